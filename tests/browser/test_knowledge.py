"""*Knowledge*, as a clinician reads it."""

from __future__ import annotations

import re

import pytest
from browsing import Visits, bytes_of_first_load, check_accessible, check_fits, look_at, picture
from playwright.sync_api import expect


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/knowledge", "knowledge"),
        ("/knowledge?q=warfarin", "knowledge-search"),
        ("/knowledge/types/calciphylaxis", "knowledge-type"),
        ("/knowledge/treatments/warfarin_low_dose", "knowledge-treatment"),
        ("/knowledge/sources/nig16", "knowledge-source"),
    ],
)
def test_looks_right_everywhere(visits: Visits, path: str, name: str) -> None:
    look_at(visits, path, name)


@pytest.mark.parametrize(
    "path",
    [
        "/knowledge/diseases", "/knowledge/diseases/systemic_sclerosis", "/knowledge/mimics", "/knowledge/mimics/gouty_tophus", "/knowledge/alarms",
        "/knowledge/alarms/suspected_calciphylaxis", "/knowledge/tests", "/knowledge/tests/hftc_genes", "/knowledge/treatments", "/knowledge/reviews",
        "/knowledge/forms/tumoral", "/knowledge/findings", "/knowledge/findings/lesion_present", "/knowledge/concepts", "/knowledge/concepts/phosphate",
        "/knowledge/settings", "/knowledge/sources",
    ],
)  # fmt: skip
def test_every_kind_of_page_is_accessible_and_fits_a_phone(visits: Visits, path: str) -> None:
    page = visits.open(path, size="phone")
    check_accessible(page)
    check_fits(page)


def test_from_the_start_to_a_type_and_on_to_the_source_of_one_statement(visits: Visits) -> None:
    page = visits.open("/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Knowledge").click()
    page.get_by_role("region", name="Types").get_by_role("link", name="Calciphylaxis").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("alciphylaxis")
    fact = page.locator("#facts li").first
    key = fact.locator(".cite a").first
    cited = key.inner_text()
    key.click()
    target = page.locator("#sources div:target")
    expect(target).to_contain_text(cited)
    target.locator("dt a").click()
    expect(page).to_have_url(re.compile(f"/knowledge/sources/{cited}$"))
    outside = page.locator("a[rel~=external]").first
    assert re.match(r"https://(pubmed\.ncbi\.nlm\.nih\.gov/\d+/|doi\.org/10\.|pmc\.ncbi)", str(outside.get_attribute("href")))
    expect(page.locator("#used-by")).to_contain_text("Calciphylaxis")


def test_the_search_works_without_scripts_and_forgives_spelling(visits: Visits) -> None:
    page = visits.open("/knowledge", scripts=False)
    page.get_by_role("searchbox").fill("hemodialysis")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Haemodialysis", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("diltiazen")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="diltiazem").click()
    expect(page.locator(".found a").first).to_have_text("Diltiazem")


def test_a_deep_link_opens_a_section(visits: Visits) -> None:
    page = visits.open("/knowledge/types/calciphylaxis#rules")
    expect(page.locator("#rules")).to_be_in_viewport()


def test_what_is_not_verified_says_so(visits: Visits) -> None:
    page = visits.open("/knowledge/sources")
    assert page.get_by_text("(low grade)").count() > 0


def test_print_has_no_navigation_and_keeps_the_sources(visits: Visits) -> None:
    page = visits.open("/knowledge/types/calciphylaxis")
    page.emulate_media(media="print")
    expect(page.locator("nav.doors")).to_be_hidden()
    expect(page.locator("#sources dl")).to_be_visible()
    picture(page, "knowledge-type-print")


def test_the_first_load_is_small(visits: Visits) -> None:
    for path in ("/knowledge", "/knowledge/sources", "/knowledge/concepts", "/knowledge/types/calciphylaxis"):
        assert 5_000 < bytes_of_first_load(visits, path) <= 200_000
