"""*Evidence*, as a clinician asks it."""

from __future__ import annotations

import re

import pytest
from browsing import Visits, bytes_of_first_load, look_at, picture
from playwright.sync_api import expect


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/evidence", "evidence"),
        ("/evidence?treatment=diltiazem", "evidence-treatment"),
        ("/evidence?disease=dermatomyositis_juvenile", "evidence-disease"),
    ],
)
def test_looks_right_everywhere(visits: Visits, path: str, name: str) -> None:
    look_at(visits, path, name)


@pytest.mark.parametrize("scripts", [True, False])
def test_filter_open_a_treatment_and_open_a_study(visits: Visits, scripts: bool) -> None:
    page = visits.open("/evidence", scripts=scripts)
    page.get_by_label("Disease", exact=True).select_option(label="Systemic sclerosis")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("disease=systemic_sclerosis"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Systemic sclerosis")
    page.locator("#overview-dystrophic").locator("..").get_by_role("link", name="Diltiazem").click()
    expect(page).to_have_url(re.compile("treatment=diltiazem&disease=systemic_sclerosis"))
    expect(page.get_by_label("Disease", exact=True)).to_have_value("systemic_sclerosis")
    expect(page.locator("figure svg[role=img]").first).to_be_visible()
    study = page.locator("table.studies th a").first
    named = study.inner_text()
    study.click()
    expect(page).to_have_url(re.compile("/knowledge/sources/"))
    expect(page.locator("h1 + article, article")).to_contain_text(named.split()[0])
    expect(page.locator("#studies")).to_contain_text("Diltiazem")


def test_what_nobody_studied_is_called_a_gap(visits: Visits) -> None:
    page = visits.open("/evidence?type=idiopathic&disease=polymyositis")
    expect(page.locator("main")).to_contain_text("That is a gap in what was studied or read, not a sign that nothing works.")


def test_what_is_shown_can_be_taken_away(visits: Visits) -> None:
    page = visits.open("/evidence?treatment=diltiazem")
    with page.expect_download() as csv:
        page.get_by_role("link", name="rows as CSV").click()
    lines = csv.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("row,study,treatments") and len(lines) > 5
    with page.expect_download() as fhir:
        page.get_by_role("link", name="FHIR R5").click()
    assert fhir.value.suggested_filename == "evidence.fhir.json"


def test_print_keeps_plots_and_studies(visits: Visits) -> None:
    page = visits.open("/evidence?treatment=diltiazem")
    page.emulate_media(media="print")
    expect(page.locator("form.ask")).to_be_hidden()
    expect(page.locator("figure svg").first).to_be_visible()
    picture(page, "evidence-treatment-print")


def test_the_first_load_is_small(visits: Visits) -> None:
    for path in ("/evidence", "/evidence?treatment=sodium_thiosulfate_iv", "/evidence?type=dystrophic"):
        size = bytes_of_first_load(visits, path)
        print(f"{path}: {size} bytes")
        assert 10_000 < size <= 200_000
