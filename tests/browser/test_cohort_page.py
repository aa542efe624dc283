"""*Cohort* as a registry nurse uses it: who is urgent, filter, open a patient, read the course, print, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browsing import ARTEFACTS, Visits, bytes_of_first_load, check_accessible, check_fits, check_structure, look_at, picture, serve
from made_course import HOSTILE, make_cohort
from playwright.sync_api import Browser, Page, expect

from calcinosis.service.pages.cohort import Door

DOOR = Door("registry")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """A service of its own: this one has a cohort."""
    del browser
    folder = make_cohort(tmp_path_factory.mktemp("cohort"))
    with serve(tmp_path_factory.mktemp("served"), {"workers": 0, "cohorts": {"registry": str(folder)}}) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "name"),
    [("/cohort", "cohorts"), (DOOR.home, "cohort"), (DOOR.list(alarm="any"), "cohort-patients"), (DOOR.patient("course-1"), "cohort-patient")],
)
def test_it_looks_right_everywhere(path: str, name: str, visits: Visits) -> None:
    look_at(visits, path, name)


def test_from_the_door_to_the_course_of_a_patient_with_calciphylaxis(visits: Visits) -> None:
    page = visits.open("/")
    page.get_by_role("link", name=re.compile("^Cohort")).first.click()
    page.get_by_role("link", name=re.compile("registry")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("registry")
    page.get_by_role("link", name="Patient list").click()
    everybody = counted(page)
    page.get_by_label("Type").select_option(label="Calciphylaxis")
    page.get_by_label("Alarm").select_option("immediate")
    page.get_by_label("Autoimmune disease").select_option("systemic_sclerosis")
    page.get_by_role("button", name="Show").click()
    assert 0 < counted(page) < everybody
    expect(page.get_by_label("Type")).to_have_value("calciphylaxis")
    page.get_by_role("link", name="course-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Patient course-1")
    expect(page.locator("section.alarms h4").first).to_contain_text("act now")
    alarms, answer = (page.locator(each).bounding_box() for each in ("section.alarms", "section.answer"))
    assert alarms and answer and alarms["y"] < answer["y"]

    phosphate = page.get_by_role("img", name=re.compile("^Phosphate"))
    expect(phosphate).to_be_visible()
    assert phosphate.locator("path.is-high").count() == 5 and phosphate.locator("path.is-normal").count() == 1
    page.locator("details.table > summary").click()
    expect(page.get_by_role("cell", name="7.1 mg/dL")).to_be_visible()
    picture(page, "cohort-course-with-table")
    page.get_by_role("link", name="± 90 days").click()
    expect(page.locator(".periods [aria-current]")).to_have_text("± 90 days")
    expect(page.get_by_text("entries lie outside")).to_be_visible()


def counted(page: Page) -> int:
    return int(page.locator("#found").inner_text().split()[0].replace(",", ""))


def test_marks_stand_at_their_time_and_all_lanes_share_the_axis(visits: Visits) -> None:
    page = visits.open(DOOR.patient("course-1"))
    plots = page.locator(".timeline svg.plot").evaluate_all("all => all.map(e => [e.getBoundingClientRect().x, e.getBoundingClientRect().width])")
    assert len(plots) > 10
    assert len({(round(x), round(width)) for x, width in plots}) == 1, "every lane begins and ends with the axis"
    index = page.locator(".timeline line.index").evaluate_all("all => all.map(e => Math.round(e.getBoundingClientRect().x))")
    assert len(set(index)) == 1
    bars = page.locator("rect.bar-of").evaluate_all("all => all.map(e => [e.textContent, e.getBoundingClientRect().width])")
    widths = {said.split(",")[0]: width for said, width in bars}
    assert widths["Warfarin"] > 0.9 * widths["Prednisone"] > 50


def test_everything_works_without_scripts(visits: Visits) -> None:
    page = visits.open(DOOR.list(), scripts=False)
    page.get_by_label("Alarm").select_option("any")
    page.get_by_role("button", name="Show").click()
    assert "alarm=any" in page.url
    page.locator("table.people th a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Patient")


@pytest.mark.parametrize("who", HOSTILE)
def test_a_hostile_id_is_opened_from_the_list(who: str, visits: Visits) -> None:
    page = visits.open(DOOR.list(alarm="any"))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.locator(f"a[href='{DOOR.patient(who)}']").click()
    shown = re.sub(r"[\u200b-\u202e]", "\N{REPLACEMENT CHARACTER}", who)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Patient {shown}")
    check_accessible(page)
    check_fits(page)


def test_the_file_is_downloaded(visits: Visits, tmp_path: Path) -> None:
    page = visits.open(DOOR.list(alarm="any"))
    total = counted(page)
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("CSV")).click()
    waiting.value.save_as(tmp_path / "list.csv")
    assert waiting.value.suggested_filename == "registry-patients.csv"
    assert len((tmp_path / "list.csv").read_text().splitlines()) == total + 1


def test_on_paper_the_course_is_there_and_the_controls_are_not(visits: Visits) -> None:
    page = visits.open(DOOR.patient("course-1"), dark=True)
    page.emulate_media(media="print", color_scheme="dark")
    for gone in (".path", ".periods", ".doors"):
        expect(page.locator(gone)).to_be_hidden()
    expect(page.get_by_role("img", name=re.compile("^Phosphate"))).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ARTEFACTS.mkdir(exist_ok=True)
    paper = page.pdf(path=ARTEFACTS / "cohort-patient.pdf", format="A4")
    assert paper.startswith(b"%PDF") and len(paper) > 20_000
    page.goto(DOOR.list())
    page.emulate_media(media="print")
    expect(page.locator("form.filters")).to_be_hidden()


def test_on_a_phone_labels_of_the_axis_stay_inside_and_apart(visits: Visits) -> None:
    page = visits.open(DOOR.patient("course-1"), size="phone")
    boxes: list[Any] = page.locator(".axis text:not(.index-word)").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])"
    )
    assert boxes == sorted(boxes)
    assert all(right < left for (_, right), (left, _) in pairwise(boxes))
    [word] = page.locator(".index-word").evaluate_all("all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])")
    assert word[0] >= 0 and word[1] <= 390
    check_fits(page)


def test_no_two_landmarks_of_a_list_or_a_patient_have_one_name(visits: Visits) -> None:
    page = visits.open("/cohort/registry/patients")
    check_structure(page)
    page.goto(page.locator("main a[href*='/patients/']").first.get_attribute("href") or "")
    check_structure(page)


def test_treatment_options_stand_with_what_speaks_against_them_here(visits: Visits) -> None:
    page = visits.open(DOOR.patient("course-1"))
    options = page.locator("section.options")
    expect(options.get_by_role("heading", level=3)).to_have_text("Treatment options evaluated so far")
    shown = options.locator("details.option").count()
    assert 5 < shown < options.locator("table.overview tbody tr:not(.group)").count()
    options.locator("details.option > summary").first.click()
    check_accessible(page)
    check_fits(page)
    picture(page, "cohort-options")
    options.get_by_role("link", name=re.compile("Show the other")).click()
    expect(page.locator("section.options details.option")).to_have_count(page.locator("table.overview tbody tr:not(.group)").count())


def test_the_first_load_is_small(visits: Visits) -> None:
    assert 2_000 < bytes_of_first_load(visits, DOOR.patient("course-1")) <= 220_000
    assert bytes_of_first_load(visits, DOOR.home) <= 200_000
