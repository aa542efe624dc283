"""A record and what was entered beside it: one patient, one answer, and nothing kept by the service."""

from __future__ import annotations

import gzip
import json
import logging
import re
from base64 import b64encode
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served import CASES, case

from calcinosis.api import assess, batch_of, make_readers
from calcinosis.assessment import assess_batch
from calcinosis.knowledge import load_knowledge
from calcinosis.service.pages import held
from calcinosis.service.pages.beside import with_entered
from calcinosis.service.pages.form_record import EntryForm
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings

KNOWLEDGE = load_knowledge()
FORM = EntryForm(KNOWLEDGE)
TODAY = date(2026, 11, 27)
BROWSER = {"Accept": "text/html"}
BIOPSY = {"q.histology_vessel_calcification": "yes"}
SMALL = Settings(max_body_bytes=100_000)


def together(record: Any, **fields: str | list[str]) -> Any:
    """The answer about a record and the fields (``__`` for the dot) beside it."""
    readers = make_readers()
    said = FORM.read({name.replace("__", "."): [each] if isinstance(each, str) else each for name, each in fields.items()}, TODAY, beside=True)
    assert not said.problems
    batch = with_entered(batch_of(record, readers), json.dumps(said.resources).encode(), readers)
    assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected
    (found,) = assess_batch(batch, readers.knowledge)
    return found


def upload(client: TestClient, name: str, path: str = "/assess/answer", **data: str) -> Any:
    return client.post(path, files={"record": ("SECRETNAME.json", json.dumps(case(name)))}, data=data, headers=BROWSER)


def held_in(text: str) -> str:
    found = re.search(r'(?:id="held-back"|name="held") value="([A-Za-z0-9+/=]+)"', text)
    assert found, "the page holds no record"
    return found[1]


def headline(text: str) -> str:
    found = re.search(r'class="headline">(.*?)</p>', text, re.DOTALL)
    assert found
    return re.sub(r"<[^>]+>", "", found[1])


# --- one patient -----------------------------------------------------------------------------------------


def test_a_missing_result_entered_beside_the_record_changes_the_answer(client: TestClient) -> None:
    before = upload(client, "a085").text
    assert "probable" in headline(before) and 'href="#q-histology-vessel-calcification"' in before and "as it is" in before
    after = client.post("/assess/answer", data={"held": held_in(before), **BIOPSY}, headers=BROWSER).text
    assert "confirmed" in headline(after) and "together with what was entered here" in after
    assert '<a class="entered" href="#q-histology-vessel-calcification">entered here</a>' in after
    assert "Condition/a085-8" in after  # the record's own entries keep their names


def test_record_and_form_in_one_request_are_one_answer_too(client: TestClient) -> None:
    assert "confirmed" in headline(upload(client, "a085", **BIOPSY).text)


@pytest.mark.parametrize("name", [path.stem for path in sorted(CASES.glob("*.json"))[::12]])
def test_a_record_with_nothing_beside_it_is_answered_as_it_is(client: TestClient, name: str) -> None:
    first = upload(client, name).text
    again = client.post("/assess/answer", data={"held": held_in(first), "q.pain": "", "v.phosphate": ""}, headers=BROWSER).text
    direct = assess(case(name))
    assert first.split('class="beside"')[1] == again.split('class="beside"')[1]
    assert first.count('class="alarm"') == len(direct.alarms)


@pytest.mark.parametrize("name", ["a085", "a051", "a018"])
def test_what_is_entered_without_a_date_moves_no_date_of_the_record(name: str) -> None:
    alone, added = assess(case(name)), together(case(name), v__phosphate="1.2", u__phosphate="mmol/L", q__fever="no", drug="Colchicine")
    assert (alone.index_date, alone.index_basis, alone.age_years) == (added.index_date, added.index_basis, added.age_years)
    assert [(each.key, each.urgency) for each in alone.alarms] == [(each.key, each.urgency) for each in added.alarms]


def test_a_result_without_a_date_or_of_today_counts_for_a_lesion_of_years() -> None:
    """Case a085 is of 2020: a result of today describes the lesion, which is still there."""
    undated, of_then, of_today = (
        together(case("a085"), v__phosphate="2.9", u__phosphate="mmol/L", **more) for more in ({}, {"on__mineral": "2020-05-20"}, {"on__mineral": "today"})
    )  # fmt: skip

    def reads_phosphate(found: Any) -> bool:
        return "phosphate" in {fact.concept for each in found.types for reason in (*each.reasons, *each.against) for fact in reason.facts}

    assert reads_phosphate(undated) and reads_phosphate(of_then) and reads_phosphate(of_today)


def test_age_and_sex_fill_what_the_record_lacks_and_change_nothing_else() -> None:
    record = [{k: v for k, v in entry["resource"].items() if k not in ("birthDate", "gender")} for entry in case("a085")["entry"]]
    found = together(record, age="70", sex="female")
    assert found.sex == "female" and found.age_years == pytest.approx(70 - (TODAY - date(2020, 6, 1)).days / 365.25, abs=0.1)
    other = together(case("a085"), age="30", sex="female")
    assert other.sex == "male" and [each for each in other.warnings if each.startswith("entered here")] == [
        "entered here: the record says another birth date; that of the record is used", "entered here: the record says another sex; that of the record is used",
    ]  # fmt: skip


def test_a_phenopacket_takes_additions_as_well(client: TestClient) -> None:
    packet = {
        "id": "p1", "subject": {"id": "p1", "sex": "FEMALE"}, "phenotypicFeatures": [{"type": {"id": "HP:0025520", "label": "Calcinosis cutis"}}],
        "metaData": {"created": "2026-01-01T00:00:00Z", "createdBy": "example", "phenopacketSchemaVersion": "2.0"},
    }  # fmt: skip
    before = client.post("/assess/answer", files={"record": ("p.json", json.dumps(packet))}, headers=BROWSER).text
    after = client.post("/assess/answer", data={"held": held_in(before), "q.systemic_sclerosis_limited": "yes"}, headers=BROWSER).text
    assert "Dystrophic" not in headline(before) and "Dystrophic" in headline(after) and "entered here" in after


def test_what_the_record_calls_entered_is_not_taken_for_what_was_entered_here(client: TestClient) -> None:
    kept = client.post("/assess/record", data={"q.skin_necrosis": "yes", "q.pain": "yes", "site": "thigh"}, headers=BROWSER).content
    before = client.post("/assess/answer", files={"record": ("kept.json", kept)}, headers=BROWSER).text
    assert "entered here" not in before.split('class="beside"')[1].split("</p>", 1)[1] and "Condition/entered-pain" in before
    after = client.post("/assess/answer", data={"held": held_in(before), "q.pain": "yes", "q.haemodialysis": "yes"}, headers=BROWSER).text
    assert "Condition/entered-skin-necrosis" in after and 'href="#q-haemodialysis">entered here' in after


# --- the record stays in the page ------------------------------------------------------------------------


def test_without_scripts_the_page_carries_the_record_and_the_form(client: TestClient) -> None:
    first = upload(client, "a085", "/assess", **BIOPSY).text
    assert 'id="q-histology-vessel-calcification-yes" value="yes" checked' in first and "The record stays in this page" in first
    again = client.post("/assess", data={"held": held_in(first), "q.pain": "yes"}, headers=BROWSER).text
    assert held_in(again) == held_in(first) and "probable" in headline(again)


def test_another_file_takes_the_place_of_the_record(client: TestClient) -> None:
    first, other = held_in(upload(client, "a085").text), upload(client, "b090").text
    both = client.post("/assess/answer", files={"record": ("x.json", json.dumps(case("b090")))}, data={"held": first}, headers=BROWSER).text
    assert both == other and held_in(both) != first


def test_the_page_says_whose_record_it_holds(client: TestClient) -> None:
    record = case("a085")
    patient = next(entry["resource"] for entry in record["entry"] if entry["resource"]["resourceType"] == "Patient")
    patient["name"] = [{"family": "<b>Example</b>", "given": ["Ada"]}]
    text = client.post("/assess/answer", files={"record": ("x.json", json.dumps(record))}, headers=BROWSER).text
    assert "The record</strong> (Ada &lt;b&gt;Example&lt;/b&gt;, born 1953, male)" in text


@given(st.binary(max_size=2_000))
def test_a_record_comes_out_of_the_page_as_it_went_in(record: bytes) -> None:
    assert held.unpack(held.pack(record), SMALL) == record


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: b64encode(raw).decode()))
def test_whatever_else_is_held_is_refused(text: str) -> None:
    with pytest.raises(ProblemError):
        held.unpack(text, SMALL)


HELD: dict[str, tuple[str, int]] = {
    "not packed": ("nonsense", 400),
    "broken JSON": (b64encode(gzip.compress(b"{")).decode(), 400),
    "deep JSON": (b64encode(gzip.compress(b"[" * 5_000)).decode(), 400),
    "too large": (b64encode(gzip.compress(b"[" + b" " * 3_000_000 + b"]")).decode(), 413),
    "nobody": (b64encode(gzip.compress(b"[]")).decode(), 422),
    "more behind": (b64encode(gzip.compress(b"{}") + b"more").decode(), 400),
    "cut off": (b64encode(gzip.compress(b"{}")[:-5]).decode(), 400),
}


@pytest.mark.parametrize(("packed", "status"), HELD.values(), ids=HELD)  # named: gzip writes the time, and two workers must agree on names
def test_a_held_record_is_trusted_no_more_than_a_file(client: TestClient, packed: str, status: int) -> None:
    for path in ("/assess", "/assess/answer"):
        found = client.post(path, data={"held": packed, "q.pain": "yes"}, headers=BROWSER)
        assert found.status_code == status and 'data-field="record"' in found.text
        assert 'name="held" value=""' in found.text or path == "/assess/answer"  # it leaves the page


def test_nothing_of_the_record_is_written_down(client: TestClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    audit = client.app.state.settings.audit_log  # type: ignore[attr-defined]
    before = audit.read_text()
    page = upload(client, "a085", "/assess", **BIOPSY)
    client.post("/assess/answer", data={"held": held_in(page.text), "drug": "SECRETDRUG", "taking": "yes"}, headers=BROWSER)
    client.post("/assess/answer", data={"held": "SECRETHELD"}, headers=BROWSER)
    written = re.sub(r'"(when|ms)":[^,}]+', "", audit.read_text().removeprefix(before))  # a time may hold any digits
    heard = caplog.text + "".join(capfd.readouterr()) + written
    for word in ("SECRET", "a085", "1953", "histology", held_in(page.text)[:40]):
        assert word not in heard
    assert page.headers["cache-control"] == "no-store" and "content-encoding" not in page.headers and "set-cookie" not in page.headers


# --- the size of an answer -------------------------------------------------------------------------------


def test_an_answer_stays_below_210_kilobytes(client: TestClient) -> None:
    """The largest answers among the published cases, and the case of calciphylaxis that the form was measured with."""
    form = {"age": "56", "sex": "female", "q.skin_necrosis": "yes", "q.pain": "yes", "site": "thigh", "q.haemodialysis": "yes", "drug": "Warfarin", "taking": "yes"}
    answers = [client.post("/assess/answer", data=form, headers=BROWSER), *(upload(client, name) for name in ("a051", "a018", "a004", "b090"))]
    assert max(len(each.content) for each in answers) < 210_000 and len(answers[0].content) < 150_000


def test_every_option_stands_in_the_table_and_the_rest_comes_in_detail_on_demand(client: TestClient) -> None:
    short = upload(client, "a051")
    full = client.post("/assess/answer", data={"held": held_in(short.text), "full": "1"}, headers=BROWSER).text
    options = assess(case("a051")).options
    for text in (short.text, full):
        assert len(re.findall(r'<th scope="row"><a href="#p1-(?:option|more)', text)) == len(options)
    detailed = re.findall(r'<details class="option" id="([^"]+)"', short.text)
    assert 0 < len(detailed) < len(options) == len(re.findall(r'<details class="option"', full))
    assert re.search(rf'name="full" value="1">Show the other {len(options) - len(detailed)} options in detail', short.text) and 'name="full"' not in full
    for option in options:
        at = f"p1-option-{option.type}-{option.treatment}"
        assert (f'href="#{at}"' in short.text) == (at in detailed) and (at in detailed or f'data-open="{at}"' in short.text)
        assert at in detailed or not (option.order.contraindicated or option.current)
    assert {f"/knowledge/treatments/{option.treatment}" for option in options} == set(re.findall(r"/knowledge/treatments/[a-z0-9_]+", full))


def test_every_reference_on_the_page_is_cited_there(client: TestClient) -> None:
    for text in (upload(client, name).text for name in ("a051", "a085")):
        cited, listed = (set(re.findall(pattern, text)) for pattern in (r'href="#ref-([^"]+)"', r'id="ref-([^"]+)"'))
        assert cited == listed


def test_what_the_answer_leaves_to_the_knowledge_stands_there(client: TestClient) -> None:
    for option in assess(case("a085")).options[:8]:
        text = re.sub(r"\s+", " ", client.get(f"/knowledge/treatments/{option.treatment}").text)
        left = [option.what, *(use.statement for use in option.uses), *option.notes, *option.mechanism, *option.monitoring, *option.dosing]
        for said in [each.text for each in left] + [rule.why for rule in option.always]:
            assert said.split(".")[0].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")[:60] in text, said
