"""After a launch: what is entered beside the record of the EHR, in a page that carries the record and a sealed note of who opened it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import case
from smart_browser import Browser, service_with_ehrs
from smart_server import Ehr

from calcinosis.service.jwt import Rejected
from calcinosis.service.pages import held
from calcinosis.service.smart_visit import SECONDS, Opened, Visits

HTML = {"Accept": "text/html"}
OPENED = Opened("Ada Example, born 1953", "p1", "Example Hospital", None, ("laboratory results",), 0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Ehr, Path]]:
    """A service that asks programs for a token; the browser of a launch has none."""
    folder = tmp_path_factory.mktemp("smart-beside")
    with service_with_ehrs(folder, require_authentication=True) as (app, ehrs):
        yield app, ehrs["public"], folder


@pytest.fixture
def app(served: tuple[TestClient, Ehr, Path]) -> TestClient:
    return served[0]


@pytest.fixture
def fields(served: tuple[TestClient, Ehr, Path]) -> dict[str, str]:
    """What the page of a launch carries."""
    page = Browser(served[0], served[1]).whole("a004")
    assert page.status_code == 200 and 'action="/smart/assess"' in page.text
    return {name: hidden(page.text, name) for name in ("held", "visit")}


def hidden(text: str, name: str) -> str:
    found = re.search(rf'type="hidden" name="{name}" value="([^"]+)"', text)
    assert found, name
    return found[1]


def headline(text: str) -> str:
    found = re.search(r'class="headline">(.*?)</p>', text, re.DOTALL)
    assert found, text[:500]
    return re.sub(r"<[^>]+>", "", found[1])


def send(app: TestClient, path: str, fields: dict[str, str], **more: Any) -> Any:
    return app.post(path, data=fields, headers=HTML, **more)


def test_what_is_entered_is_assessed_with_the_record_of_the_launch(app: TestClient, fields: dict[str, str]) -> None:
    before, after = (send(app, "/smart/assess/answer", fields | more) for more in ({}, {"q.histology_vessel_calcification": "yes"}))
    assert before.status_code == after.status_code == 200
    assert "Dystrophic" in headline(before.text) and "Calciphylaxis" in headline(after.text)
    assert "entered here" in after.text and "The record</strong> (A004 Testperson" in after.text and "<html" not in after.text


def test_without_scripts_the_whole_page_keeps_patient_record_and_form(app: TestClient, fields: dict[str, str]) -> None:
    page = send(app, "/smart/assess", fields | {"q.histology_vessel_calcification": "yes"})
    assert page.status_code == 200 and 'id="opened"' in page.text and "A004 Testperson" in page.text
    assert 'id="q-histology-vessel-calcification-yes" value="yes" checked' in page.text
    assert {name: hidden(page.text, name) for name in fields} == fields
    again = send(app, "/smart/assess", {name: hidden(page.text, name) for name in fields})
    assert "Dystrophic" in headline(again.text)


def test_the_page_holds_the_record_as_it_was_read_and_nothing_else(app: TestClient, fields: dict[str, str]) -> None:
    record = json.loads(held.unpack(fields["held"], app.app.state.settings))  # type: ignore[attr-defined]
    assert sorted(each["id"] for each in record) == sorted(entry["resource"]["id"] for entry in case("a004")["entry"])
    assert "A004" not in fields["visit"]  # sealed


def test_what_was_entered_can_be_taken_along(app: TestClient, fields: dict[str, str]) -> None:
    kept = send(app, "/smart/assess/record", fields | {"q.pain": "yes"})
    assert kept.headers["content-type"] == "application/fhir+json"
    assert [entry["resource"]["resourceType"] for entry in kept.json()["entry"]] == ["Patient", "Condition"]


def test_the_knowledge_that_the_answer_leads_to_opens_for_whom_the_ehr_let_in(app: TestClient, fields: dict[str, str]) -> None:
    text = send(app, "/smart/assess/answer", fields).text
    links = sorted(set(re.findall(r'href="(/(?:knowledge|evidence)[^"#]*)"', text)))
    assert any("/treatments/" in each for each in links) and any("/sources/" in each for each in links)
    for link in [*links[:5], *links[-5:], "/evidence"]:
        assert app.get(link, headers=HTML).status_code == 200, link
    assert app.get("/assess", headers=HTML).status_code == app.get("/cohort", headers=HTML).status_code == 401  # these are about patients
    assert app.get("/knowledge", headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize("path", ["/smart/assess", "/smart/assess/answer", "/smart/assess/record"])
def test_no_page_goes_on_without_its_own_note_and_its_own_record(served: tuple[TestClient, Ehr, Path], fields: dict[str, str], path: str) -> None:
    app, ehr, _ = served
    other = {name: hidden(Browser(app, ehr).whole("b090").text, name) for name in fields}
    for wrong in ({**fields, "visit": ""}, {**fields, "visit": "x.y.z"}, {**fields, "held": other["held"]}, {**fields, "visit": other["visit"]}, {"q.pain": "yes"}):
        refused = send(app, path, wrong)
        assert refused.status_code == 403 and "Testperson" not in refused.text and "headline" not in refused.text
    file = app.post(path, data=fields, files={"record": ("x.json", json.dumps(case("b090")))}, headers=HTML)
    assert file.status_code == 400
    assert send(app, path, {**fields, "held": "nonsense"}).status_code == 403
    assert app.post(path, content=b"{}", headers={**HTML, "Content-Type": "application/json"}).status_code == 403


def test_a_refusal_is_said_where_the_answer_would_be(app: TestClient, fields: dict[str, str]) -> None:
    text = send(app, "/smart/assess/answer", {**fields, "visit": ""}).text
    assert 'data-field=""' in text and "Open it again from the EHR" in text and "<html" not in text


def test_the_audit_names_who_asked_and_no_patient(served: tuple[TestClient, Ehr, Path], fields: dict[str, str]) -> None:
    app, _, folder = served
    audit = folder / "audit.jsonl"
    before = audit.read_text()
    send(app, "/smart/assess/answer", fields | {"drug": "SECRETDRUG"})
    send(app, "/smart/assess/answer", {"held": "SECRETHELD", "visit": "SECRETVISIT"})
    lines = audit.read_text().removeprefix(before)
    good, bad = map(json.loads, lines.splitlines())
    assert good["service"] == bad["service"] == "smart/assess/answer" and (good["status"], bad["status"]) == (200, 403)
    assert good["who"].startswith("smart:EHR public:") and bad["who"].startswith("ip:")
    assert "SECRET" not in lines and "a004" not in lines.lower()


# --- the note --------------------------------------------------------------------------------------------


def test_a_note_opens_as_it_was_sealed() -> None:
    visits = Visits()
    assert visits.open(visits.seal(OPENED, "smart:x:y", "record"), "record") == (OPENED, "smart:x:y")


def test_a_note_ends_after_a_working_day_and_with_the_process() -> None:
    now = [1_000.0]
    visits = Visits(clock=lambda: now[0])
    note = visits.seal(OPENED, "smart:x:y", "record")
    now[0] += SECONDS - 1
    visits.open(note, "record")
    now[0] += 1
    with pytest.raises(Rejected, match="too long ago"):
        visits.open(note, "record")
    with pytest.raises(Rejected, match="restarted"):
        Visits().open(note, "record")


def test_a_note_is_unreadable_and_unchangeable() -> None:
    visits = Visits()
    note = visits.seal(OPENED, "smart:x:y", "record")
    assert "Ada" not in note
    for place in range(0, len(note), 7):
        letter = "A" if note[place] != "A" else "B"
        changed = note[:place] + letter + note[place + 1 :]
        with pytest.raises(Rejected):
            visits.open(changed, "record")
    for wrong in ("", "x", note + "x", "." * 4, "x" * 40_000):
        with pytest.raises(Rejected):
            visits.open(wrong, "record")
