"""*Assess* with a record: a clinician uploads a case, sees what is missing, fills it in beside the record, and the answer changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import ROOT, Visits, check_accessible, check_fits, picture
from playwright.sync_api import Page, expect

CASES = ROOT / "examples" / "published_cases" / "bundles"
BIOPSY = "histology-vessel-calcification"


def upload(page: Page, name: str = "a085") -> None:
    """Case a085: calciphylaxis is probable, and no biopsy is on record."""
    box = page.locator("details.file")
    if box.get_attribute("open") is None:
        box.locator("summary").click()
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(CASES / f"{name}.json")


def say(page: Page, question: str, answer: str) -> None:
    page.get_by_role("group", name=question, exact=True).get_by_text(answer, exact=True).click()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_what_the_record_lacks_is_filled_in_beside_it(visits: Visits, size: str) -> None:
    page = visits.open("/assess", size=size)
    upload(page)
    expect(page.locator("#answered .headline")).to_contain_text("probable")
    expect(page.locator(".beside")).to_contain_text("The record (born 1953, male), as it is")
    assert page.locator("#record").input_value() == ""  # the page holds the record now
    expect(page.locator("#holds")).to_be_visible()
    page.locator("#missing").get_by_role("link", name="enter Calcified small vessels on histology").first.click()
    expect(page.locator(f"#q-{BIOPSY}-unknown")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#answered .headline")).to_contain_text("confirmed")
    expect(page.locator(".beside")).to_contain_text("together with what was entered here")
    expect(page.get_by_role("status")).to_contain_text("Calciphylaxis: confirmed")
    page.locator("#missing").get_by_role("link", name="enter Phosphate (inorganic)").first.click()
    expect(page.get_by_label("Phosphate (inorganic)", exact=True)).to_be_focused()
    check_accessible(page)
    check_fits(page)
    picture(page, f"assess-beside-{size}")
    reasons = page.locator("#p1-type-calciphylaxis")
    expect(reasons).to_contain_text("Condition/a085-8")
    reasons.get_by_role("link", name="entered here").first.click()
    assert page.evaluate("document.getElementById('entry').contains(document.activeElement)")


def test_without_scripts_the_record_goes_along_with_the_form(visits: Visits) -> None:
    page = visits.open("/assess", scripts=False)
    upload(page)
    page.get_by_role("button", name="Assess").click()
    expect(page.locator("#answered .headline")).to_contain_text("probable")
    page.locator("#missing").get_by_role("link", name="enter Calcified small vessels on histology").first.click()
    expect(page).to_have_url(re.compile(f"#q-{BIOPSY}$"))
    say(page, "Calcified small vessels on histology", "yes")
    page.get_by_role("button", name="Assess").click()
    expect(page.locator("#answered .headline")).to_contain_text("confirmed")
    expect(page.locator("#record")).to_have_value("")
    expect(page.locator(f"#q-{BIOPSY}-yes")).to_be_checked()
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(CASES / "a004.json")  # the next patient's
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_text("Nothing was entered yet")).to_be_visible()
    assert page.locator("input[name=held]").input_value() == ""


def test_another_file_takes_the_place_of_the_record(visits: Visits) -> None:
    page = visits.open("/assess")
    upload(page)
    expect(page.locator(".beside")).to_contain_text("born 1953, male")
    upload(page, "a004")
    expect(page.locator(".beside")).to_contain_text("born 1966, female")
    expect(page.locator("#answered .headline")).to_contain_text("Dystrophic")


def test_another_file_clears_what_was_entered_for_the_patient_before(visits: Visits) -> None:
    """Values of one patient must never be assessed with the record of the next."""
    page = visits.open("/assess")
    page.get_by_label("Age in years").fill("80")
    upload(page)
    expect(page.get_by_label("Age in years")).to_have_value("")
    expect(page.locator(".beside")).to_contain_text("as it is")
    say(page, "Calcified small vessels on histology", "yes")
    page.get_by_label("Phosphate (inorganic)", exact=True).fill("2.4")
    page.get_by_label("Unit of Phosphate (inorganic)").select_option("mmol/L")
    page.get_by_role("checkbox", name="Thigh").first.check(force=True)
    page.get_by_label("Drug 1", exact=True).fill("Warfarin")
    expect(page.locator(".beside")).to_contain_text("together with what was entered here")
    upload(page, "a004")
    expect(page.locator(".beside")).to_contain_text("born 1966, female), as it is")
    expect(page.locator(f"#q-{BIOPSY}-unknown")).to_be_checked()
    for label in ("Phosphate (inorganic)", "Unit of Phosphate (inorganic)", "Drug 1"):
        expect(page.get_by_label(label, exact=True)).to_have_value("")
    expect(page.get_by_role("checkbox", name="Thigh").first).not_to_be_checked()
    expect(page.locator("#cleared")).to_be_visible()
    check_accessible(page)
    page.get_by_role("button", name="Put it back").click()
    expect(page.locator("#cleared")).to_be_hidden()
    expect(page.get_by_label("Drug 1", exact=True)).to_have_value("Warfarin")
    expect(page.locator(f"#q-{BIOPSY}-yes")).to_be_checked()
    expect(page.locator(".beside")).to_contain_text("born 1966, female), together with what was entered here")


def test_a_file_alone_is_not_said_to_clear_anything(visits: Visits) -> None:
    page = visits.open("/assess")
    upload(page)
    expect(page.locator(".beside")).to_contain_text("as it is")
    expect(page.locator("#cleared")).to_be_hidden()


def test_without_scripts_another_file_clears_what_was_entered_beside_the_record(visits: Visits) -> None:
    page = visits.open("/assess", scripts=False)
    upload(page)
    page.get_by_role("button", name="Assess").click()
    say(page, "Calcified small vessels on histology", "yes")
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(CASES / "a004.json")
    page.get_by_role("button", name="Assess").click()
    expect(page.locator(".beside")).to_contain_text("born 1966, female), as it is")
    expect(page.locator(f"#q-{BIOPSY}-unknown")).to_be_checked()
    expect(page.locator("#e-record")).to_contain_text("cleared")


def test_a_file_that_is_none_leaves_no_record_behind(visits: Visits, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    page = visits.open("/assess")
    upload(page)
    expect(page.locator("#answered .headline")).to_contain_text("probable")
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(tmp_path / "x.json")
    expect(page.locator("#e-record")).to_contain_text("cannot be read")
    expect(page.locator("#answered .headline")).to_have_count(0)
    visits.complaints.clear()  # Chromium reports the status itself


def test_an_option_brings_what_is_known_of_it_and_the_rest_comes_when_asked_for(visits: Visits) -> None:
    page = visits.open("/assess")
    upload(page)
    option = page.locator("details.option").first
    option.locator("summary").click()
    expect(option.get_by_role("heading", name="Considered for")).to_be_visible()
    expect(option.get_by_role("link", name="What it is, uses, weaknesses, monitoring, doses")).to_have_attribute("href", re.compile("^/knowledge/treatments/"))
    check_accessible(page)
    picture(page, "assess-option")
    shown = page.locator("details.option").count()
    row = page.locator(".overview a[data-open]").last
    name = row.inner_text()
    row.click()
    expect(page.locator("details.option[open]").filter(has_text=name).last).to_be_in_viewport()
    assert page.locator("details.option").count() > shown
    expect(page.get_by_role("button", name="options in detail")).to_have_count(0)
    say(page, "Sarcoidosis", "no")
    expect(page.locator(".beside")).to_contain_text("together with what was entered here")
    assert page.locator("details.option").count() > shown  # they stay


def test_without_scripts_the_rest_of_the_options_comes_with_the_button(visits: Visits) -> None:
    page = visits.open("/assess", scripts=False)
    upload(page)
    with page.expect_navigation():
        page.get_by_role("button", name="Assess").click()
    shown = page.locator("details.option").count()
    with page.expect_navigation():
        page.get_by_role("button", name="options in detail").click()
    assert page.locator("details.option").count() > shown > 0
    expect(page.locator(".beside")).to_contain_text("born 1953, male")
    page.locator("details.option").first.locator("summary").click()
    link = page.locator("details.option").first.get_by_role("link", name="What it is, uses, weaknesses, monitoring, doses")
    with page.expect_navigation():
        link.click()
    expect(page).to_have_url(re.compile("/knowledge/treatments/"))


def test_since_when_a_date_of_results_and_a_second_lesion(visits: Visits) -> None:
    page = visits.open("/assess")
    page.get_by_label("Age in years").fill("56")
    say(page, "Nodule", "yes")
    page.get_by_role("checkbox", name="Thigh").first.check(force=True)
    page.get_by_label("Since when (if known)", exact=True).first.fill("2 years ago")
    expect(page.locator(".person")).to_contain_text(re.compile(r"Index date: 20\d\d-\d\d-01"))
    page.get_by_label("Since when (if known)", exact=True).first.fill("soon")
    expect(page.locator("#e-w-since")).to_contain_text("how long ago")
    page.get_by_label("Since when (if known)", exact=True).first.fill("2019-05")
    expect(page.locator(".person")).to_contain_text("2019-05-01")
    expect(page.locator("#e-w-since")).to_be_hidden()
    page.get_by_text("A second lesion, unlike the first").click()
    second = page.locator("#second-box")
    second.get_by_text("Skin necrosis", exact=True).click()
    second.get_by_text("Finger", exact=True).click()
    second.get_by_label("Since when (if known)").fill("3 weeks")
    expect(page.locator("#answered")).to_contain_text("Skin necrosis")
    expect(page.locator("#q-2-skin-necrosis input")).to_be_checked()
    check_accessible(page)
    check_fits(page)
    picture(page, "assess-second-lesion")
    page.get_by_label("Drug 1", exact=True).fill("Warfarin")
    page.get_by_label("Since when drug 1 (if known)").fill("4 weeks ago")
    expect(page.locator("#answered")).to_contain_text("Warfarin")
