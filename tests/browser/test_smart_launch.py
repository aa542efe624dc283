"""From a chart in an EHR to the answer, and from our list of servers, as somebody at a browser does it. The EHR is that of tests/service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "service"))

from browsing import Visits, check_accessible, check_fits, picture, serve
from playwright.sync_api import Browser, Page, expect
from smart_server import Client, Ehr, ehr_serving


@dataclass
class Hospital:
    """An EHR, and the service as it runs beside it."""

    ehr: Ehr
    address: str
    visits: Visits

    def open(self, path: str, **look: Any) -> Page:
        return self.visits.open(path, **look)


@contextmanager
def hospital(browser: Browser, folder: Path, *, host: str = "127.0.0.1", framed: bool = False) -> Iterator[Hospital]:
    """``framed``: the service lets this EHR show it in a frame."""
    with ehr_serving(Ehr()) as ehr:
        ehr.base = ehr.base.replace("127.0.0.1", host)
        settings: dict[str, Any] = {"smart": [{"issuer": ehr.fhir, "client_id": "calcinosis", "name": "Test EHR"}]}
        settings |= {"frame_ancestors": [ehr.base]} if framed else {}
        with serve(folder, settings) as address:
            ehr.register(Client("calcinosis", f"{address}/smart/callback"))
            ehr.hold(["b090", "a004"])
            visits = Visits(browser, address)
            yield Hospital(ehr, address, visits)
            visits.close()


@pytest.fixture(scope="module")
def running(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(browser, tmp_path_factory.mktemp("smart")) as running:
        yield running


@pytest.fixture
def place(running: Hospital) -> Iterator[Hospital]:
    """Afterwards nothing was broken, complained of, or asked elsewhere than at the two."""
    running.visits.requests.clear()
    running.visits.complaints.clear()
    running.ehr.broken.clear()
    yield running
    assert running.ehr.broken == []
    assert running.visits.complaints == []
    assert all(url.startswith((running.address, running.ehr.base)) for url in running.visits.requests)


def opened(page: Page, name: str) -> None:
    """The answer about this patient, with its alarm."""
    expect(page.locator("#opened")).to_contain_text(name)
    expect(page.get_by_text("could not be read in full")).to_have_count(0)


@pytest.mark.parametrize("look", [{}, {"size": "phone"}, {"scripts": False}], ids=["desktop", "phone", "without scripts"])
def test_from_the_chart_to_the_answer(place: Hospital, look: dict[str, Any], request: pytest.FixtureRequest) -> None:
    page = place.open(f"{place.ehr.base}/chart/b090", **look)
    page.get_by_role("link", name="calcinosis").click()
    expect(page.get_by_role("heading", name="Test EHR")).to_be_visible()
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{place.address}/smart/callback?**")
    opened(page, "B090 Testperson")
    expect(page.locator("main")).to_contain_text("alciphylaxis")
    expect(page.locator(".alarms").first).to_be_visible()
    if look.get("scripts", True):
        check_accessible(page)
        check_fits(page)
    picture(page, f"smart-answer-{request.node.callspec.id.replace(' ', '-')}")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_what_the_record_of_the_ehr_lacks_is_entered_beside_it(place: Hospital, scripts: bool) -> None:
    page = place.open(f"{place.ehr.base}/chart/a004", scripts=scripts)
    page.get_by_role("link", name="calcinosis").click()
    page.get_by_role("button", name="Allow").click()
    opened(page, "A004 Testperson")
    asked = len(place.ehr.searched)
    expect(page.locator("#answered .headline")).to_contain_text("Dystrophic")
    expect(page.get_by_role("heading", name="Beside the record")).to_be_visible()
    page.get_by_role("group", name="Calcified small vessels on histology", exact=True).get_by_text("yes", exact=True).click()
    if not scripts:
        page.get_by_role("button", name="Assess").click()
        expect(page).to_have_url(f"{place.address}/smart/assess")
    expect(page.locator("#answered .headline")).to_contain_text("Calciphylaxis")
    opened(page, "A004 Testperson")
    expect(page.locator(".beside")).to_contain_text("together with what was entered here")
    assert len(place.ehr.searched) == asked  # the EHR is not asked again
    if scripts:
        check_accessible(page)
        check_fits(page)
        picture(page, "smart-beside")


def test_from_the_list_of_servers_to_a_patient_chosen_there(place: Hospital) -> None:
    page = place.open("/")
    page.get_by_role("link", name="Open a patient from your EHR").click()
    check_accessible(page)
    picture(page, "smart-standalone")
    page.get_by_role("link", name="Test EHR").click()
    page.get_by_label("Patient").select_option("a004")
    page.get_by_role("button", name="Allow").click()
    opened(page, "A004 Testperson")


def test_somebody_who_declines_is_told_and_finds_the_way_back(place: Hospital) -> None:
    page = place.open(f"{place.ehr.base}/chart/b090")
    page.get_by_role("link", name="calcinosis").click()
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Test EHR did not let this service in")
    expect(page.locator("main")).to_contain_text("Access was declined")
    check_accessible(page)
    picture(page, "smart-declined")
    page.get_by_role("link", name="choose a server here").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Open a patient from an EHR")
    place.visits.complaints[:] = [said for said in place.visits.complaints if "403" not in said]  # the browser's own remark


def test_a_reloaded_answer_is_not_read_again(place: Hospital) -> None:
    page = place.open(f"{place.ehr.base}/chart/b090")
    page.get_by_role("link", name="calcinosis").click()
    page.get_by_role("button", name="Allow").click()
    opened(page, "B090 Testperson")
    asked = len(place.ehr.searched)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("This launch cannot be continued")
    expect(page.locator("main")).not_to_contain_text("Testperson")
    assert len(place.ehr.searched) == asked
    place.visits.complaints[:] = [said for said in place.visits.complaints if "400" not in said]


def test_the_answer_is_not_shown_in_a_frame_unless_the_ehr_is_listed(place: Hospital) -> None:
    page = place.open(f"{place.ehr.base}/chart/b090?framed")
    with page.expect_console_message(lambda said: "frame-ancestors 'none'" in said.text):
        page.frame_locator("iframe").get_by_role("button", name="Allow").click()
    assert page.frames[-1].locator("#opened").count() == 0
    place.visits.complaints.clear()


def test_a_listed_ehr_shows_the_answer_in_a_frame_of_its_own(browser: Browser, tmp_path: Path) -> None:
    """Another site (localhost) around the service (127.0.0.1): the browser keeps the cookie of the launch apart for it."""
    with hospital(browser, tmp_path, host="localhost", framed=True) as place:
        page = place.open(f"{place.ehr.base}/chart/b090?framed")
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="Allow").click()
        expect(frame.locator("#opened")).to_contain_text("B090 Testperson")
        frame.get_by_label("Age in years").fill("30")
        expect(frame.locator(".beside")).to_contain_text("together with what was entered here")
        assert place.ehr.broken == [] and place.visits.complaints == []
