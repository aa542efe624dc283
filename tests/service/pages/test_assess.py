"""*Assess*: from the fields of the form to a record, and from the record to the page."""

from __future__ import annotations

import gzip
import json
import logging
import re
from datetime import date
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served import CASES, case

from calcinosis.api import assess, make_readers
from calcinosis.knowledge import load_knowledge
from calcinosis.service.pages.assess import answer_page
from calcinosis.service.pages.body_map import HEIGHT, WIDTH, shapes
from calcinosis.service.pages.form_record import CONCEPT_SYSTEM, EntryForm
from calcinosis.sources.fhir import read_resources
from calcinosis.units import canonical_factor

KNOWLEDGE = load_knowledge()
FORM = EntryForm(KNOWLEDGE)
TODAY = date(2026, 11, 27)
BROWSER = {"Accept": "text/html"}
CHOICES = [q.key for asked in FORM.groups if asked.group.kind in ("choices", "drugs") for q in asked.questions]
RESULTS = [q for asked in FORM.groups if asked.group.kind == "results" for q in asked.questions]
CALCIPHYLAXIS = [
    ("age", "56"), ("sex", "female"), ("q.skin_necrosis", "yes"), ("q.pain", "yes"), ("site", "thigh"), ("q.haemodialysis", "yes"),
    ("drug", "Warfarin"), ("taking", "yes"), ("v.phosphate", "2.4"), ("u.phosphate", "mmol/L"),
]  # fmt: skip


def read(**fields: str | list[str]) -> Any:
    """Field names with ``__`` for the dot."""
    return FORM.read({name.replace("__", "."): [said] if isinstance(said, str) else said for name, said in fields.items()}, TODAY)


def events(*resources: dict[str, Any]) -> list[dict[str, Any]]:
    readers = make_readers()
    rows: list[dict[str, Any]] = read_resources(list(resources), readers.index, readers.text).events.to_dicts()
    return rows


def post(client: TestClient, fields: list[tuple[str, str]], path: str = "/assess") -> Any:
    return client.post(path, content=urlencode(fields), headers={**BROWSER, "Content-Type": "application/x-www-form-urlencoded"})


def everything(client: TestClient) -> list[tuple[str, str]]:
    """The fields of the page as a browser sends them when nobody touched them."""
    text = client.get("/assess").text
    fields = []
    for tag in re.findall(r"<input [^>]*>", text):
        name, value, kind = (re.search(rf'\b{each}="([^"]*)"', tag) for each in ("name", "value", "type"))
        kind_is = kind[1] if kind else "text"
        if name and name[1] not in ("held", "full") and (kind_is not in ("radio", "checkbox", "file") or re.search(r"\bchecked\b", tag)):
            fields.append((name[1], value[1] if value else ""))
    for name, inside in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', text, re.DOTALL):
        options = re.findall(r'<option value="([^"]*)"( selected)?', inside)
        fields.append((name, next((value for value, chosen in options if chosen), options[0][0])))
    return fields


# --- the form says what was said, and nothing else ---------------------------------------------------


@pytest.mark.parametrize(
    ("key", "unit", "said", "limits"),
    [
        ("calcium_total", "mmol/L", "9.5", "0.3 to 8 mmol/L"), ("calcium_total", "mmol/L", "0", "0.3 to 8"), ("calcium_total", "mmol/L", "1000", ""),
        ("calcium_total", "mg/dL", "95", "1.2 to 32.1 mg/dL"), ("calcium_total", "mmol/L", ">9", ""), ("creatinine", "umol/L", "1.2", "5 to 8000 µmol/L"),
        ("platelets", "10*9/L", "250000", "0 to 10000"), ("creatine_kinase", "U/L", "4000000", "0 to 3000000 U/L"), ("inr", "{INR}", "0", "0.3 to 100 INR"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_is_said_at_its_field_and_not_used(key: str, unit: str, said: str, limits: str) -> None:
    """Units are never guessed from the number: the form asks again."""
    entered = FORM.read({f"v.{key}": [said], f"u.{key}": [unit]}, TODAY)
    assert not entered.says_something
    assert said in entered.problems[f"v.{key}"] and limits in entered.problems[f"v.{key}"]


@pytest.mark.parametrize(
    ("key", "unit", "said"),
    [
        ("calcium_total", "mmol/L", "2.4"), ("calcium_total", "mg/dL", "9.5"), ("calcium_total", "mmol/L", "7.2"), ("calcium_total", "mmol/L", "<0.2"),
        ("creatinine", "mg/dL", "1.2"), ("pth_intact", "pg/mL", "5000"), ("egfr", "mL/min/{1.73_m2}", "0"), ("crp", "mg/L", "<0.6"),
        ("neutrophil_count", "10*9/L", "0"), ("haemoglobin", "g/dL", "14"),
    ],
)  # fmt: skip
def test_an_extreme_number_that_can_be_is_taken(key: str, unit: str, said: str) -> None:
    entered = FORM.read({f"v.{key}": [said], f"u.{key}": [unit]}, TODAY)
    assert entered.says_something and not entered.problems


def test_every_number_with_a_unit_has_limits_around_its_normal_values() -> None:
    for asked in FORM.groups:
        for question in asked.questions:
            lab = KNOWLEDGE.concepts[question.key].lab
            if question.units and lab:
                assert lab.possible is not None, question.key
                low, high = lab.possible
                known = [end for each in lab.intervals for end in (each.low, each.high) if end is not None]
                assert all(low <= end <= high for end in known), question.key


def test_an_untouched_form_says_nothing(client: TestClient) -> None:
    fields: dict[str, list[str]] = {}
    for name, value in everything(client):
        fields.setdefault(name, []).append(value)
    assert {f"q.{key}" for key in CHOICES} <= fields.keys() and {f"v.{q.key}" for q in RESULTS} <= fields.keys()
    entered = FORM.read(fields, TODAY)
    assert entered.resources == [{"resourceType": "Patient", "id": "entered"}] and not entered.problems and not entered.says_something
    page = post(client, everything(client))
    assert page.status_code == 200 and "Nothing was entered yet" in page.text and "chip is-" not in page.text


@given(st.dictionaries(st.sampled_from(CHOICES), st.sampled_from(["yes", "no", ""]), max_size=8))
def test_the_record_holds_what_was_answered_and_no_more(said: dict[str, str]) -> None:
    entered = FORM.read({f"q.{key}": [answer] for key, answer in said.items()}, TODAY)
    found = {row["concept"]: row["certainty"] for row in events(*entered.resources)}
    assert found == {key: "affirmed" if answer == "yes" else "negated" for key, answer in said.items() if answer}


@pytest.mark.parametrize("key", CHOICES)
@pytest.mark.parametrize("said", ["yes", "no"])
def test_every_question_is_read_back_as_it_was_answered(key: str, said: str) -> None:
    entered = FORM.read({f"q.{key}": [said]}, TODAY)
    (row,) = events(*entered.resources)
    assert (row["concept"], row["certainty"]) == (key, "affirmed" if said == "yes" else "negated")


@pytest.mark.parametrize(("key", "unit"), [(q.key, unit) for q in RESULTS for unit in q.units])
def test_every_unit_on_offer_is_converted(key: str, unit: str) -> None:
    number = next(each for each in (3.5, 35.0, 0.35) if FORM.impossible(key, unit, each, lower_still=False) is None)
    entered = FORM.read({f"v.{key}": [str(number)], f"u.{key}": [unit]}, TODAY)
    assert not entered.problems
    rows = [row for row in events(*entered.resources) if row["concept"] == key]
    assert [(row["numeric_value"], row["unit"]) for row in rows] == [(number, unit)]
    lab = KNOWLEDGE.concepts[key].lab
    assert lab is not None and canonical_factor(unit, lab) > 0


@pytest.mark.parametrize("key", [q.key for q in RESULTS if not q.units])
@pytest.mark.parametrize("flag", ["positive", "negative"])
def test_serology_is_positive_or_negative(key: str, flag: str) -> None:
    (row,) = events(*FORM.read({f"v.{key}": [flag]}, TODAY).resources)
    assert (row["concept"], row["flag"]) == (key, flag)


@pytest.mark.parametrize("word", ["low", "normal", "high"])
def test_a_result_may_be_a_word(word: str) -> None:
    (row,) = events(*read(v__phosphate=word).resources)
    assert (row["concept"], row["flag"], row["numeric_value"]) == ("phosphate", word, None)


def test_a_lesion_stands_at_the_sites_that_were_marked() -> None:
    rows = {row["concept"]: row for row in events(*read(q__skin_necrosis="yes", q__nodule="no", site=["thigh", "calf"]).resources)}
    assert set(rows["skin_necrosis"]["sites"]) == set(rows["skin_lesion"]["sites"]) == {"thigh", "calf"}
    assert not rows["nodule"]["sites"]


def test_age_is_that_of_today() -> None:
    for years in ("56", "0.5", "12,5", "0"):
        entered = read(age=years, q__nodule="yes")
        assert assess(entered.resources).age_years == pytest.approx(float(years.replace(",", ".")), abs=0.01)


def test_drugs_are_found_by_name_and_by_synonym_and_may_have_been_stopped() -> None:
    entered = read(drug=["Warfarin", "ivig", "colchicine", ""], taking=["yes", "past", "no", "yes"])
    assert not entered.problems
    rows = {row["concept"]: row for row in events(*entered.resources)}
    assert set(rows) == {"warfarin", "immunoglobulin_iv", "colchicine"}
    assert rows["colchicine"]["certainty"] == "negated" and rows["immunoglobulin_iv"]["status"] != rows["warfarin"]["status"]


def test_every_label_of_the_search_finds_its_drug() -> None:
    for label in FORM.drugs:
        key = FORM.drug(label)
        assert key is not None and KNOWLEDGE.concepts[key].label == label


def test_resources_have_unique_identifiers_and_public_codes() -> None:
    entered = read(q__skin_ulcer="yes", drug=["Warfarin", "warfarin"], taking=["past", "yes"], v__phosphate="5", u__phosphate="mg/dL", site=["leg"])
    names = [each["id"] for each in entered.resources]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", name) for name in names)
    phosphate = next(each for each in entered.resources if each["resourceType"] == "Observation")["code"]["coding"]
    assert phosphate == [{"system": CONCEPT_SYSTEM, "code": "phosphate"}, {"system": "http://loinc.org", "code": "2777-1"}]


# --- what cannot be read is said at its field --------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"v.phosphate": "2.4"}, "v.phosphate"), ({"v.phosphate": "2.4", "u.phosphate": "furlong"}, "v.phosphate"),
        ({"v.phosphate": "a lot", "u.phosphate": "mmol/L"}, "v.phosphate"), ({"v.phosphate": "-2", "u.phosphate": "mmol/L"}, "v.phosphate"),
        ({"v.phosphate": "nan", "u.phosphate": "mmol/L"}, "v.phosphate"), ({"v.phosphate": "1e5", "u.phosphate": "mmol/L"}, "v.phosphate"),
        ({"v.platelets": "1,200", "u.platelets": "10*9/L"}, "v.platelets"), ({"v.ana": "1:640"}, "v.ana"), ({"age": "old"}, "age"),
        ({"age": "131"}, "age"), ({"age": "-1"}, "age"), ({"sex": "x"}, "sex"), ({"q.nodule": "perhaps"}, "q.nodule"), ({"site": "moon"}, "site"),
        ({"drug": "Wafarin"}, "drug.0"), ({"drug": "Warfarin", "taking": "often"}, "drug.0"), ({"nonsense": "1"}, ""),
    ],
)  # fmt: skip
def test_nonsense_adds_nothing_and_is_named(client: TestClient, fields: dict[str, str], name: str) -> None:
    entered = FORM.read({key: [value] for key, value in fields.items()}, TODAY)
    assert list(entered.problems) == [name] and entered.resources == [{"resourceType": "Patient", "id": "entered"}]
    page = post(client, list(fields.items()))
    assert page.status_code == 200 and f'data-field="{name}"' in page.text
    if name:
        assert re.search(rf'class="error"[^>]*data-for="{re.escape(name)}">[^<]+<', page.text)


def test_a_misspelt_drug_is_given_its_neighbours() -> None:
    assert "Warfarin" in read(drug="Wafarin").problems["drug.0"]


def test_a_contradiction_is_pointed_out_at_both_ends() -> None:
    entered = read(q__vitamin_k_antagonist_class="no", drug="Warfarin")
    assert set(entered.problems) == {"q.vitamin_k_antagonist_class", "drug.0"}


_ODD = st.text(max_size=30)


@given(st.dictionaries(st.sampled_from([*sorted(FORM.names), "x"]), st.lists(st.one_of(_ODD, st.sampled_from(["yes", "5", "mg/dL", "thigh"])), max_size=4), max_size=12))
def test_whatever_is_sent_becomes_a_readable_record_or_a_message(fields: dict[str, list[str]]) -> None:
    entered = FORM.read(fields, TODAY)
    readers = make_readers()
    batch = read_resources(entered.resources, readers.index, readers.text)
    assert batch.rejects.height == 0 and batch.patients.height == 1
    json.dumps(entered.resources, allow_nan=False)


# --- the page ----------------------------------------------------------------------------------------


def test_a_calciphylaxis_case_gets_its_alarm_first_then_the_answer_then_what_is_missing(client: TestClient) -> None:
    text = post(client, CALCIPHYLAXIS).text
    answer = text[text.index('id="answered"') :]
    order = [answer.index(each) for each in ('class="alarms"', 'class="headline">Calciphylaxis', 'id="missing"', 'id="p1-types"', 'id="p1-options"')]
    assert order == sorted(order)
    assert "act now" in answer and "Current treatment to review" in answer and 'id="q-skin-necrosis"' in text
    assert 'href="#q-skin-necrosis"' in answer and re.search(r'href="/knowledge/sources/[a-z0-9_]+"', answer)
    assert re.search(r'href="https://(doi\.org|pubmed)', answer) and 'href="/knowledge/alarms/' in answer and 'href="/knowledge/types/calciphylaxis"' in answer


def test_the_form_stays_filled(client: TestClient) -> None:
    text = post(client, [*CALCIPHYLAXIS, ("v.ana", "positive"), ("q.nodule", "no")]).text
    for expected in (
        r'id="age" name="age" value="56"', r'<option value="female" selected>', r'id="q-skin-necrosis-yes" value="yes" checked', r'id="q-nodule-no" value="no" checked',
        r'value="thigh" id="site-thigh" checked', r'id="v-phosphate" name="v.phosphate" value="2.4"', r'<option value="mmol/L" selected>', r'name="drug" value="Warfarin"',
        r'<option value="positive" selected>', r'id="g-antibodies-box" open',
    ):  # fmt: skip
        assert re.search(expected, text), expected
    assert len(re.findall(r'value="[^"]+" checked|id="site-[^"]*" checked', text)) == 5  # four answers and one site


def test_a_missing_test_changes_the_answer(client: TestClient) -> None:
    lesion = [("q.calcinosis_cutis", "yes"), ("q.imaging_calcification", "yes"), ("site", "elbow")]
    before, after = (post(client, [*lesion, *more], "/assess/answer").text for more in ([], [("q.systemic_sclerosis_limited", "yes")]))
    assert 'class="headline">Dystrophic' not in before and 'class="headline">Dystrophic' in after


def test_the_script_gets_the_answer_without_the_page(client: TestClient) -> None:
    part = post(client, CALCIPHYLAXIS, "/assess/answer")
    assert part.headers["content-type"].startswith("text/html") and "<html" not in part.text and 'class="alarms"' in part.text
    page = post(client, CALCIPHYLAXIS).text
    assert part.text.strip() in page


def test_what_was_entered_can_be_kept_and_read_again(client: TestClient) -> None:
    kept = post(client, CALCIPHYLAXIS, "/assess/record")
    assert kept.headers["content-type"] == "application/fhir+json" and "attachment" in kept.headers["content-disposition"]
    again = client.post("/assess/answer", files={"record": ("kept.json", kept.content, "application/json")}, headers=BROWSER).text
    entered = post(client, CALCIPHYLAXIS, "/assess/answer").text
    assert "entered here" in entered and "entered here" not in again  # it is a record now
    assert _statuses(again) == _statuses(entered)


def _statuses(text: str) -> list[str]:
    return re.findall(r'id="p1-(?:type|mimic)-[a-z-]+"|chip is-[a-z_]+|class="urgency">[^<]+', text)


@pytest.mark.parametrize("name", [path.stem for path in sorted(CASES.glob("*.json"))[:3]])
def test_a_bundle_can_be_uploaded_or_sent(client: TestClient, name: str) -> None:
    body = json.dumps(case(name)).encode()
    by_file = client.post("/assess", files={"record": ("case.json", body, "application/json")}, data={"age": ""}, headers=BROWSER)
    raw = client.post("/assess/answer", content=body, headers={**BROWSER, "Content-Type": "application/fhir+json"})
    packed = client.post("/assess/answer", content=gzip.compress(body), headers={**BROWSER, "Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert by_file.status_code == raw.status_code == 200 and raw.text == packed.text
    held = re.search(r'<input type="hidden" id="held-back" value="[A-Za-z0-9+/=]+">', raw.text)
    assert held and raw.text.replace(held[0], "").strip() in by_file.text
    direct = assess(case(name))
    assert raw.text.count('class="alarm"') == len(direct.alarms)


def test_a_phenopacket_can_be_uploaded(client: TestClient) -> None:
    packet = {
        "id": "p1", "subject": {"id": "p1", "sex": "FEMALE"}, "phenotypicFeatures": [{"type": {"id": "HP:0025520", "label": "Calcinosis cutis"}}],
        "metaData": {"created": "2026-01-01T00:00:00Z", "createdBy": "example", "phenopacketSchemaVersion": "2.0"},
    }  # fmt: skip
    found = client.post("/assess", files={"record": ("p.json", json.dumps(packet).encode())}, headers=BROWSER)
    assert found.status_code == 200 and "Calcinosis" in found.text and "five types" in found.text


def test_the_answer_about_a_record_read_elsewhere(client: TestClient) -> None:
    """As a SMART launch asks for it."""
    import anyio.from_thread

    resources = read(q__skin_necrosis="yes", q__haemodialysis="yes", q__pain="yes").resources
    scope = {"type": "http", "method": "GET", "path": "/assess", "headers": [(b"accept-encoding", b"gzip")], "query_string": b"", "app": client.app}
    assert client.portal is not None
    found = client.portal.call(answer_page, Request(scope), resources, lambda _: "NOTE-OF-THE-LAUNCH")
    assert isinstance(client.portal, anyio.from_thread.BlockingPortal)
    assert found.status_code == 200 and b'class="alarms"' in bytes(found.body) and "content-encoding" not in found.headers
    text = bytes(found.body).decode()
    assert 'name="visit" value="NOTE-OF-THE-LAUNCH"' in text and 'action="/smart/assess"' in text and 'name="record"' not in text


# --- hostile input, limits, and what is written down -------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2", b"5", b"[]", b'{"resourceType": "Bundle", "entry": 7}', b"\xff\xfe", b"[" * 5000, b"\x1f\x8b\x08"])
def test_a_file_that_is_no_record_is_refused_at_its_field(client: TestClient, content: bytes) -> None:
    found = client.post("/assess", files={"record": ("x.json", content)}, headers=BROWSER)
    assert found.status_code in ((200,) if not content else (400, 422)), found.text
    assert not content or ('data-for="record"' in found.text and "cannot be read" in found.text)


def test_too_much_is_refused(client: TestClient) -> None:
    most = client.app.state.settings.max_body_bytes  # type: ignore[attr-defined]
    bomb = gzip.compress(b"[" + b" " * (most + 1) + b"]")
    headers = {**BROWSER, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert client.post("/assess", content=bomb, headers=headers).status_code == 413
    assert client.post("/assess", files={"record": ("x.json", b" " * (most + 1))}, headers=BROWSER).status_code == 413
    assert post(client, [("age", "9" * 5_000)]).status_code == 413
    assert post(client, [(f"x{n}", "1") for n in range(3_000)]).status_code == 400
    assert client.post("/assess", content=b"x", headers={**BROWSER, "Content-Type": "text/plain"}).status_code == 415
    many = json.dumps([{"resourceType": "Patient", "id": "p"}] * 6_000).encode()
    assert client.post("/assess", files={"record": ("x.json", many)}, headers=BROWSER).status_code == 413


@pytest.mark.parametrize("body", [b"--x\r\nbroken", b"", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"])
def test_a_broken_form_is_400_and_never_500(client: TestClient, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        assert client.post("/assess", content=body, headers={**BROWSER, "Content-Type": kind}).status_code in (200, 400)


def test_markup_in_a_field_is_text(client: TestClient) -> None:
    attack = '"><script>alert(1)</script>'
    text = post(client, [("age", attack), ("drug", attack), ("v.phosphate", attack), ("site", attack), (attack, attack)]).text
    assert "<script>alert" not in text and "&lt;script&gt;" in text


def test_nothing_of_the_form_reaches_an_address_a_log_or_the_audit(client: TestClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    audit = client.app.state.settings.audit_log  # type: ignore[attr-defined]
    before = audit.read_text()
    found = post(client, [*CALCIPHYLAXIS, ("age", "SECRETAGE"), ("drug", "SECRETDRUG"), ("taking", "yes")])
    client.post("/assess", files={"record": ("SECRETNAME.json", b'{"SECRETKEY": ')}, headers=BROWSER)
    written = audit.read_text().removeprefix(before)
    heard = caplog.text + "".join(capfd.readouterr()) + re.sub(r'"(when|ms)":[^,}]+', "", written)  # a time may hold any digits
    for word in ("SECRET", "Warfarin", "skin_necrosis", "thigh", "2.4"):
        assert word not in heard
    assert [json.loads(line)["service"] for line in written.splitlines()] == ["assess", "assess"]
    assert found.headers["cache-control"] == "no-store" and "set-cookie" not in found.headers and "content-encoding" not in found.headers
    assert 'method="post"' in found.text and found.text.count("<form") == 1


def test_the_page_says_that_nothing_is_stored(client: TestClient) -> None:
    assert "Nothing you enter is stored" in client.get("/assess").text


# --- the body map ------------------------------------------------------------------------------------


def test_every_site_is_drawn_inside_the_picture_and_lights_up(client: TestClient) -> None:
    sheet = client.get(re.search(r'href="(/static/assess-[^"]+\.css)"', client.get("/assess").text)[1]).text  # type: ignore[index]
    (sites,) = (asked for asked in FORM.groups if asked.group.kind == "sites")
    for question in sites.questions:
        name = question.key.replace("_", "-")
        assert f".map:has(#site-{name}:checked) .at-{name} rect" in sheet
        for shape in shapes(question.key):
            assert 0 <= shape.x <= WIDTH - shape.width and 0 <= shape.y <= HEIGHT - shape.height
