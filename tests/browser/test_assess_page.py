"""*Assess*, as a clinician uses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import ROOT, Visits, bytes_of_first_load, check_accessible, check_fits, look_at, picture
from playwright.sync_api import Page, expect

CASES = ROOT / "examples" / "published_cases" / "bundles"


def say(page: Page, question: str, answer: str) -> None:
    page.get_by_role("group", name=question, exact=True).get_by_text(answer, exact=True).click()


def enter_calciphylaxis(page: Page) -> None:
    page.get_by_label("Age in years").fill("56")
    page.get_by_label("Sex").select_option("female")
    say(page, "Skin necrosis", "yes")
    say(page, "Pain", "yes")
    page.locator(".at-thigh label").first.click()  # the drawing itself
    say(page, "Haemodialysis", "yes")
    page.get_by_label("Drug 1", exact=True).fill("Warfarin")


def test_a_case_is_entered_and_the_answer_follows_while_typing(visits: Visits) -> None:
    page = visits.open("/assess")
    expect(page.get_by_text("Nothing you enter is stored")).to_be_visible()
    enter_calciphylaxis(page)
    alarms = page.locator(".alarms")
    expect(alarms).to_contain_text("act now", ignore_case=True)
    expect(alarms).to_contain_text("Vitamin K antagonist")
    expect(page.locator("#answered .headline")).to_contain_text("Calciphylaxis")
    expect(page.get_by_role("checkbox", name="Thigh")).to_be_checked()
    expect(page.get_by_label("Drug 1", exact=True)).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("Calciphylaxis: probable")
    expect(page).to_have_url(re.compile(r"/assess$"))
    check_accessible(page)
    check_fits(page)
    picture(page, "assess-calciphylaxis")


def test_a_reason_leads_to_its_question_and_to_its_source(visits: Visits) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    reasons = page.locator("#p1-type-calciphylaxis")
    expect(reasons).to_have_attribute("open", "")
    other = page.locator("#p1-type-metastatic")
    other.locator("summary").first.click()
    expect(other.get_by_text("For this status")).to_be_visible()
    reasons.get_by_role("link", name="entered here").first.click()
    assert page.evaluate("document.getElementById('entry').contains(document.activeElement)")
    cited = reasons.locator(".cite a").first
    key = cited.inner_text()
    cited.click()
    reference = page.locator(f"#ref-{key}")
    expect(reference).to_be_in_viewport()
    assert re.match(r"https://(doi\.org/10\.|pubmed\.|pmc\.)", str(reference.locator("dd a").get_attribute("href")))
    with page.expect_navigation():
        reference.locator("dt a").click()
    expect(page).to_have_url(re.compile(f"/knowledge/sources/{key}$"))


def test_what_leads_later_is_open_though_an_earlier_answer_had_it_closed(visits: Visits) -> None:
    page = visits.open("/assess")
    dystrophic, calciphylaxis = page.locator("#p1-type-dystrophic"), page.locator("#p1-type-calciphylaxis")
    say(page, "Skin ulcer", "yes")
    expect(calciphylaxis).to_have_count(1)
    expect(calciphylaxis).not_to_have_attribute("open", "")
    dystrophic.locator("summary").first.click()  # what the reader turns, stays turned
    turned = dystrophic.get_attribute("open")
    enter_calciphylaxis(page)
    expect(page.get_by_role("status")).to_contain_text("Calciphylaxis: probable")
    expect(calciphylaxis).to_have_attribute("open", "")
    assert dystrophic.get_attribute("open") == turned


def test_a_missing_test_is_found_entered_and_changes_the_answer(visits: Visits) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    missing = page.locator("#missing")
    expect(missing).to_contain_text("Calciphylaxis becomes confirmed")
    missing.get_by_role("link", name="enter Calcified small vessels on histology").first.click()
    expect(page.locator("#q-histology-vessel-calcification-unknown")).to_be_focused()
    page.keyboard.press("ArrowLeft")  # to "no"
    page.keyboard.press("ArrowLeft")  # to "yes"
    expect(page.locator("#q-histology-vessel-calcification-yes")).to_be_checked()
    expect(page.locator("#answered .headline")).to_contain_text("confirmed")
    expect(page.locator("#q-histology-vessel-calcification-yes")).to_be_focused()


def test_an_open_reason_stays_open_when_the_answer_changes(visits: Visits) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    page.locator("#p1-type-metastatic > summary").click()
    page.get_by_label("Age in years").fill("57")
    expect(page.locator(".person")).to_contain_text("57 years")
    expect(page.locator("#p1-type-metastatic")).to_have_attribute("open", "")


def test_a_value_without_its_unit_is_said_at_the_field(visits: Visits) -> None:
    page = visits.open("/assess")
    page.get_by_label("Calcium, total", exact=True).fill("14.2")
    field = page.get_by_label("Calcium, total", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#e-v-calcium-total")).to_have_text("Choose the unit.")
    check_accessible(page)
    page.get_by_label("Unit of Calcium, total").select_option("mg/dL")
    expect(page.locator(".alarms")).to_contain_text("Adjusted calcium 14 mg/dL (3.5 mmol/L) or more")
    expect(page.locator("#e-v-calcium-total")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_it_works_without_scripts(visits: Visits) -> None:
    page = visits.open("/assess", scripts=False)
    enter_calciphylaxis(page)
    page.get_by_role("button", name="Assess").click()
    expect(page).to_have_url(re.compile(r"/assess$"))
    expect(page.locator(".alarms")).to_contain_text("Vitamin K antagonist")
    expect(page.get_by_label("Age in years")).to_have_value("56")
    expect(page.get_by_role("checkbox", name="Thigh")).to_be_checked()
    page.get_by_label("Phosphate (inorganic)", exact=True).fill("nonsense")
    page.get_by_role("button", name="Assess").click()
    expect(page.locator("#e-v-phosphate")).to_be_visible()
    expect(page.locator("#answered .headline")).to_contain_text("Calciphylaxis")


def test_the_body_map_needs_no_mouse(visits: Visits) -> None:
    page = visits.open("/assess")
    page.get_by_role("checkbox", name="Scalp").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("checkbox", name="Neck")).to_be_focused()
    colour = "getComputedStyle(document.querySelector('.at-neck rect')).fill"
    before = page.evaluate(colour)
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="Neck")).to_be_checked()
    assert page.evaluate(colour) != before
    expect(page.locator("#answered .headline")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_published_case_is_uploaded(visits: Visits, scripts: bool) -> None:
    page = visits.open("/assess", scripts=scripts)
    page.get_by_text("Or read a file").click()
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(sorted(CASES.glob("*.json"))[0])
    if not scripts:
        page.get_by_role("button", name="Assess").click()
    expect(page.locator("#answered .headline")).to_be_visible()
    if scripts:
        picture(page, "assess-upload")


def test_a_file_that_is_none_is_refused_in_words(visits: Visits, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    page = visits.open("/assess")
    page.get_by_text("Or read a file").click()
    page.get_by_label("FHIR Bundle or phenopacket").set_input_files(tmp_path / "x.json")
    expect(page.locator("#e-record")).to_contain_text("cannot be read")
    assert any("400" in each for each in visits.complaints)  # Chromium reports the status itself
    visits.complaints.clear()


def test_what_was_entered_can_be_taken_along(visits: Visits, tmp_path: Path) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    with page.expect_download() as loaded:
        page.get_by_role("button", name="Download as FHIR").click()
    loaded.value.save_as(tmp_path / "entered.json")
    assert '"resourceType": "Bundle"' in (tmp_path / "entered.json").read_text()


def test_on_a_phone_the_answer_is_one_touch_away(visits: Visits) -> None:
    page = visits.open("/assess", size="phone")
    enter_calciphylaxis(page)
    bar = page.locator("#bar")
    expect(bar).to_contain_text("3 alarms. Calciphylaxis")
    check_accessible(page)
    check_fits(page)
    picture(page, "assess-phone")
    bar.tap()
    expect(page.locator(".alarms h3")).to_be_in_viewport()


def test_print_shows_the_answer_and_leaves_the_form_out(visits: Visits) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    expect(page.locator(".alarms")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("#entry")).to_be_hidden()
    expect(page.locator(".alarms")).to_be_visible()
    expect(page.locator(".references")).to_be_visible()
    picture(page, "assess-print")


def test_the_empty_page_looks_right_everywhere(visits: Visits) -> None:
    look_at(visits, "/assess", "assess-empty")


def test_the_first_load_is_small(visits: Visits) -> None:
    assert 5_000 < bytes_of_first_load(visits, "/assess") <= 200_000


@pytest.mark.parametrize(("media_type", "body"), [("text/plain", "busy"), ("text/html", "<h1>Sign in here</h1>")])
def test_an_answer_that_could_not_be_updated_is_seen_to_be_outdated(visits: Visits, media_type: str, body: str) -> None:
    page = visits.open("/assess")
    enter_calciphylaxis(page)
    expect(page.locator("#answered .headline")).to_contain_text("Calciphylaxis")
    page.route("**/assess/answer", lambda route: route.fulfill(content_type=media_type, body=body))
    say(page, "Skin necrosis", "no")
    expect(page.locator("#outdated")).to_be_visible()
    expect(page.locator("#outdated")).to_contain_text("what was entered before")
    expect(page.locator("#answered")).to_contain_text("Calciphylaxis")
    page.unroute("**/assess/answer")
    say(page, "Skin necrosis", "yes")
    expect(page.locator("#outdated")).to_have_count(0)


@pytest.mark.parametrize("zoomed", [True, False], ids=["400 %", "100 %"])
def test_nothing_that_stays_at_the_edge_hides_what_has_the_focus(visits: Visits, zoomed: bool) -> None:
    """WCAG 2.2, 2.4.11. A window of 1280 by 1024 pixels at 400 % is 320 by 256."""
    page = visits.open("/assess")
    page.set_viewport_size({"width": 320, "height": 256} if zoomed else {"width": 1280, "height": 700})
    page.get_by_label("Age in years").fill("56")
    page.get_by_role("group", name="Skin necrosis", exact=True).get_by_text("yes", exact=True).click()
    page.get_by_role("group", name="Haemodialysis", exact=True).get_by_text("yes", exact=True).click()
    expect(page.locator("#answered .headline")).to_be_attached()
    if zoomed:
        expect(page.locator("#bar")).to_be_visible()
    page.get_by_label("Age in years").focus()
    hidden = """() => {
        const focused = document.activeElement, at = (focused.labels?.[0] && focused.type === "radio" ? focused.labels[0] : focused).getBoundingClientRect();
        const edges = [document.getElementById("bar"), document.querySelector(".send")]
            .filter((each) => each.offsetHeight && ["fixed", "sticky"].includes(getComputedStyle(each).position) && !each.contains(focused))
            .map((each) => each.getBoundingClientRect().top);
        return edges.some((edge) => at.bottom > edge + 1 && at.top < edge + 200) ? focused.id || focused.name || focused.tagName : "";
    }"""
    covered = []
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.getElementById('entry').contains(document.activeElement)"):
            covered.append(page.evaluate(hidden))
    assert len(covered) > 40 and not any(covered), [each for each in covered if each]
