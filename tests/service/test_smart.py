"""A launch from the chart, and one without an EHR around it, to the answer about its patient; against a strict server."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from served import case
from smart_browser import KINDS, PUBLIC_URL, REDIRECT, Browser, Launching
from smart_server import Ehr
from starlette.responses import JSONResponse

from calcinosis.service.settings import Settings, SmartServer
from calcinosis.service.smart_record import banner
from calcinosis.service.smart_scopes import granted, wanted

FULL = "could not be read in full"


# --- the way there -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_launch_from_the_chart_ends_at_the_answer_about_its_patient(launching: Launching, kind: str) -> None:
    """Public, with a secret, with an RSA and an EC key; under scopes of version 2 and 1; with and without ``iss`` in the callback."""
    app, ehrs, _ = launching
    page = Browser(app, ehrs[kind]).whole("b090")
    assert page.status_code == 200
    assert "B090 Testperson" in page.text
    assert "calciphylaxis" in page.text.lower()
    assert "Condition/b090-3" in page.text  # a reason opens its entry
    assert ehrs[kind].broken == []


@pytest.mark.parametrize("kind", ["public", "version_1"])
def test_a_standalone_launch_lets_the_patient_be_chosen_at_the_server(launching: Launching, kind: str) -> None:
    app, ehrs, _ = launching
    browser = Browser(app, ehrs[kind])
    choices = app.get("/smart/standalone")
    assert all(f"EHR {each}" in choices.text for each in KINDS)
    sign_in = browser.authorize(app.get("/smart/standalone", params={"iss": ehrs[kind].fhir}))
    page = browser.back(browser.decide(sign_in, patient="a004"))
    assert page.status_code == 200
    assert "A004 Testperson" in page.text and "b090" not in page.text
    assert ehrs[kind].broken == []


def test_the_answer_is_the_one_of_the_same_record_sent_to_the_api(app: TestClient, ehr: Ehr, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of all searches arrive: what is assessed is the record."""
    ehr.page = 2
    handed: list[dict[str, Any]] = []

    async def keep(_: Any, resources: list[dict[str, Any]], *_more: Any) -> Any:
        handed.extend(resources)
        return JSONResponse({})

    monkeypatch.setattr("calcinosis.service.smart.answer_page", keep)
    assert Browser(app, ehr).whole("b090").status_code == 200
    assert ehr.broken == []
    record = [entry["resource"] for entry in case("b090")["entry"]]
    assert sorted((each["resourceType"], each["id"]) for each in handed) == sorted((each["resourceType"], each["id"]) for each in record)
    through, sent = (app.post("/api/v1/assess", json=each).json() for each in (handed, record))
    assert through["leading"] == sent["leading"] == "calciphylaxis"
    assert {t["type"]: t["status"] for t in through["types"]} == {t["type"]: t["status"] for t in sent["types"]}


def test_the_authorization_request_asks_for_what_the_searches_need_and_no_more(app: TestClient, ehr: Ehr) -> None:
    address = Browser(app, ehr).launch().headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    scopes = asked.pop("scope").split()
    assert scopes[:3] == ["launch", "openid", "fhirUser"]
    assert scopes[3:] == [
        f"patient/{kind}.rs"
        for kind in (
            "AllergyIntolerance", "Condition", "Device", "DiagnosticReport", "DocumentReference", "Immunization", "Medication", "MedicationAdministration",
            "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Patient", "Procedure",
        )
    ]  # fmt: skip
    assert asked["aud"] == ehr.fhir and asked["redirect_uri"] == REDIRECT and asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) == len(asked["nonce"]) == 43 and asked["state"] != asked["nonce"]


def test_each_launch_has_secrets_of_its_own(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    asked = [dict(parse_qsl(urlsplit(browser.launch().headers["location"]).query)) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({each[name] for each in asked}) == 3


def test_two_launches_at_once_do_not_disturb_each_other(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    first, second = browser.launch("b090"), browser.launch("a004")
    back = [browser.decide(browser.authorize(each)) for each in (second, first)]
    pages = [browser.back(each) for each in back]
    assert "A004 Testperson" in pages[0].text and "B090 Testperson" in pages[1].text
    assert ehr.broken == []


def test_configured_scopes_are_asked_for_as_they_stand() -> None:
    assert wanted(["Patient"], [], standalone=True, configured=("patient/*.rs",)) == "launch/patient patient/*.rs"


def test_scopes_of_version_1_are_for_servers_that_offer_nothing_else() -> None:
    kinds = ["Patient"]
    assert wanted(kinds, ["permission-v1"], standalone=False, configured=None) == "launch patient/Patient.read"
    assert wanted(kinds, ["permission-v1", "permission-v2"], standalone=False, configured=None) == "launch patient/Patient.rs"
    assert wanted(kinds, [], standalone=False, configured=None) == "launch patient/Patient.rs"


def test_an_endpoint_with_a_query_of_its_own_keeps_it(app: TestClient, ehr: Ehr) -> None:
    app.app.state.smart._known.clear()  # type: ignore[attr-defined]
    ehr.faults.configuration = lambda d: d | {"authorization_endpoint": d["authorization_endpoint"] + "?tenant=7&scope=evil"}
    address = Browser(app, ehr).launch().headers["location"]
    app.app.state.smart._known.clear()  # type: ignore[attr-defined]
    query = parse_qs(urlsplit(address).query)
    assert query["tenant"] == ["7"] and len(query["scope"]) == 1 and "evil" not in query["scope"][0]


# --- the public keys ---------------------------------------------------------------------------------


def test_the_keys_that_an_ehr_reads_are_public(app: TestClient) -> None:
    answer = app.get("/smart/jwks.json")
    keys = answer.json()["keys"]
    assert {(key["kty"], key["alg"]) for key in keys} == {("RSA", "RS384"), ("EC", "ES384")}
    assert all(key["kid"] and key["use"] == "sig" and not {"d", "p", "q", "dp", "dq", "qi"} & set(key) for key in keys)
    assert "max-age" in answer.headers["cache-control"]


# --- who, and what is missing ------------------------------------------------------------------------


def test_the_audit_log_names_who_signed_in_and_nothing_of_the_patient(launching: Launching) -> None:
    app, ehrs, folder = launching
    Browser(app, ehrs["public"]).whole("b090")
    log = (folder / "audit.jsonl").read_text()
    line = json.loads(log.splitlines()[-1])
    assert line["who"] == "smart:EHR public:dr-frost" and line["service"] == "smart/callback"
    assert "b090" not in log and "Testperson" not in log


def test_a_full_record_is_not_called_incomplete(app: TestClient, ehr: Ehr) -> None:
    assert FULL not in Browser(app, ehr).whole("b090").text


def fails(kind: str, status: int = 500, **query: str) -> Any:
    def search(asked: str, parameters: dict[str, str]) -> JSONResponse | None:
        hit = asked == kind and all(value in parameters.get(name, "") for name, value in query.items())
        return JSONResponse({"resourceType": "OperationOutcome", "issue": []}, status_code=status) if hit else None

    return search


def before_the_answer(page: httpx.Response) -> str:
    head, _, rest = page.text.partition('<section class="opened"')
    assert rest, page.text[:500]
    assert "<h3" not in head.partition("<main")[2]
    return rest.partition("</section>")[0]


@pytest.mark.parametrize(
    ("kind", "query", "words"),
    [("Observation", {"category": "laboratory"}, "laboratory results"), ("Condition", {}, "diagnoses"), ("MedicationRequest", {}, "prescriptions")],
    ids=["laboratory", "conditions", "prescriptions"],
)
def test_a_search_that_fails_is_told_first_and_its_data_are_unknown(app: TestClient, ehr: Ehr, kind: str, query: dict[str, str], words: str) -> None:
    ehr.faults.search = fails(kind, **query)
    page = Browser(app, ehr).whole("b090")
    assert page.status_code == 200
    said = before_the_answer(page)
    assert FULL in said and f"<li>{words}</li>" in said and said.count("<li>") == 1
    assert "unknown on this page, not absent" in said


def test_a_report_is_found_by_either_of_its_two_categories(app: TestClient, ehr: Ehr) -> None:
    """US Core has LOINC parts, other servers HL7's older table; one of the two is an answer."""
    ehr.faults.search = fails("DiagnosticReport", category="loinc.org")
    assert FULL not in Browser(app, ehr).whole("b090").text
    ehr.faults.search = fails("DiagnosticReport")
    said = before_the_answer(Browser(app, ehr).whole("b090"))
    assert "<li>imaging reports</li>" in said and "<li>pathology reports</li>" in said


def endless(_: str, bundle: dict[str, Any]) -> dict[str, Any]:
    """A list whose last page points to itself again."""
    address = next(link["url"] for link in bundle["link"] if link["relation"] == "self")
    return bundle | {"link": [{"relation": "next", "url": address}]}


def elsewhere(_: str, bundle: dict[str, Any]) -> dict[str, Any]:
    return bundle | {"link": [{"relation": "next", "url": "http://127.0.0.1:9/fhir/Condition?page=2"}]}


def says_so(_: str, bundle: dict[str, Any]) -> dict[str, Any]:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "incomplete"}]}
    return bundle | {"entry": [*bundle["entry"], {"resource": outcome, "search": {"mode": "outcome"}}]}


@pytest.mark.parametrize("fault", [endless, elsewhere, says_so])
def test_a_list_that_is_cut_short_is_told_first(app: TestClient, ehr: Ehr, fault: Any) -> None:
    """Too many pages, a page on another server (no token goes there), or the server's own word."""
    ehr.page = 200
    ehr.faults.bundle = lambda kind, bundle: fault(kind, bundle) if kind == "Condition" else bundle
    said = before_the_answer(Browser(app, ehr).whole("b090"))
    assert FULL in said and "<li>diagnoses</li>" in said


def test_a_warning_of_the_server_is_no_gap(app: TestClient, ehr: Ehr) -> None:
    remark = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "suppressed"}]}
    ehr.page = 200
    ehr.faults.bundle = lambda _, bundle: bundle | {"entry": [*bundle["entry"], {"resource": remark, "search": {"mode": "outcome"}}]}
    assert FULL not in Browser(app, ehr).whole("b090").text


@pytest.fixture
def version_asked_anew(app: TestClient) -> Iterator[None]:
    known = app.app.state.fhir._versions  # type: ignore[attr-defined]
    known.clear()
    yield
    known.clear()


@pytest.mark.usefixtures("version_asked_anew")
def test_a_server_of_another_fhir_is_refused_before_anybody_signs_in(app: TestClient, ehr: Ehr) -> None:
    ehr.fhir_version = "5.0.0"
    page = Browser(app, ehr).launch()
    ehr.fhir_version = "4.0.1"
    assert page.status_code == 502 and "speaks FHIR 5.0.0" in page.text and "EHR public" in page.text


@pytest.mark.usefixtures("version_asked_anew")
def test_a_server_of_r4b_is_read_and_the_page_says_so(app: TestClient, ehr: Ehr) -> None:
    ehr.fhir_version = "4.3.0"
    said = before_the_answer(Browser(app, ehr).whole("b090"))
    ehr.fhir_version = "4.0.1"
    assert "FHIR 4.3.0 (R4B)" in said


def test_what_was_not_granted_is_not_searched_and_is_told(app: TestClient, ehr: Ehr) -> None:
    ehr.faults.grant = lambda scope: " ".join(each for each in scope.split() if "Procedure" not in each and "Allergy" not in each)
    said = before_the_answer(Browser(app, ehr).whole("b090"))
    assert said.count("<li>") == 2 and "<li>procedures</li>" in said and "<li>allergies</li>" in said
    assert not [each for each in ehr.searched if each.startswith(("Procedure", "AllergyIntolerance"))]
    assert ehr.broken == []


def test_what_was_granted_in_part_is_read_and_told(app: TestClient, ehr: Ehr) -> None:
    """An answer under a narrowed scope looks complete and is not."""
    narrow = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    ehr.faults.grant = lambda scope: scope.replace("patient/Observation.rs", narrow)
    page = Browser(app, ehr).whole("b090")
    assert "<li>laboratory results</li>" in before_the_answer(page)
    assert "Observation/b090-6" in page.text  # and its calcium is still used


def test_a_server_that_does_not_list_scopes_again_granted_what_was_asked(app: TestClient, ehr: Ehr) -> None:
    ehr.faults.token = lambda document: {name: value for name, value in document.items() if name != "scope"}
    page = Browser(app, ehr).whole("b090")
    assert page.status_code == 200 and FULL not in page.text


def test_entries_of_another_patient_are_left_out_and_counted(app: TestClient, ehr: Ehr) -> None:
    stray = {
        "resourceType": "Condition", "id": "stray-1", "subject": {"reference": "Patient/somebody-else"},
        "code": {"text": "systemic sclerosis"}, "recordedDate": "2020-06-01",
    }  # fmt: skip
    ehr.page = 200
    ehr.faults.bundle = lambda kind, bundle: bundle | {"entry": [*bundle["entry"], {"resource": stray}]} if kind == "Condition" else bundle
    page = Browser(app, ehr).whole("b090")
    assert page.status_code == 200
    assert "The server also sent 1 entry of another patient" in before_the_answer(page)
    assert "stray-1" not in page.text


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_without_the_patient_there_is_no_answer(app: TestClient, ehr: Ehr, status: int) -> None:
    ehr.faults.search = fails("Patient", status)
    page = Browser(app, ehr).whole("b090")
    assert page.status_code == 502
    assert "does not give this patient" in page.text and "<article" not in page.text


def test_another_patient_than_that_of_the_launch_is_no_answer(app: TestClient, ehr: Ehr) -> None:
    other = {"resourceType": "Patient", "id": "a004", "name": [{"text": "Somebody Else"}]}
    ehr.faults.search = lambda kind, _: JSONResponse(other) if kind == "Patient" else None
    page = Browser(app, ehr).whole("b090")
    assert page.status_code == 502 and "Somebody Else" not in page.text


def test_the_name_of_the_patient_is_text_and_never_markup(app: TestClient, ehr: Ehr, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = next(each for each in ehr.records["b090"] if each["resourceType"] == "Patient")
    monkeypatch.setitem(patient, "name", [{"text": "<script>alert(1)</script> & Co"}])
    page = Browser(app, ehr).whole("b090")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in page.text and "<script>alert" not in page.text


@pytest.mark.parametrize(
    ("patient", "said"),
    [
        ({"name": [{"family": "Old", "use": "old"}, {"family": "Roe", "given": ["Jane", "Q"], "use": "official"}], "gender": "female"}, "Jane Q Roe, female"),
        ({"name": [{"text": " Jane  Roe "}], "birthDate": "1961-03-04"}, "Jane Roe, born 1961-03-04"),
        ({"name": [{"given": None, "family": 3}], "gender": 7}, ""), ({"name": {"family": "Roe"}}, ""), ({}, ""),
    ],
)  # fmt: skip
def test_the_banner_says_whom_the_page_is_about(patient: dict[str, Any], said: str) -> None:
    assert banner(patient) == said


# --- cards -------------------------------------------------------------------------------------------


def test_cards_lead_to_our_own_launch_and_the_launch_knows_the_card(app: TestClient, ehr: Ehr) -> None:
    call = {
        "hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {"userId": "Practitioner/x", "patientId": "b090"}, "prefetch": {"record": case("b090")},
    }  # fmt: skip
    cards = app.post("/cds-services/calcinosis-patient-view", json=call).json()["cards"]
    links = [link for card in cards for link in card["links"] if link["type"] == "smart"]
    assert links and all(link["url"] == f"{PUBLIC_URL}/smart/launch" for link in links)
    alarm = next(card for card in cards if card["source"]["topic"]["system"] == "urn:calcinosis:alarm")
    context = next(link for link in alarm["links"] if link["type"] == "smart")["appContext"]
    assert context == f"alarm:{alarm['source']['topic']['code']}"
    page = Browser(app, ehr).whole("b090", appContext=context)  # an EHR hands it over beside the token
    assert f"opened from a card about: {alarm['source']['topic']['display'].rstrip('…')}" in page.text


@pytest.mark.parametrize("context", ["alarm:nothing", "<b>x</b>", "order:", "", 5], ids=str)
def test_a_context_that_is_not_ours_is_not_shown(app: TestClient, ehr: Ehr, context: Any) -> None:
    page = Browser(app, ehr).whole("b090", appContext=context)
    assert page.status_code == 200 and "opened from a card" not in page.text


# --- scopes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "query", "grant"),
    [
        ("patient/Observation.rs", "Observation?patient=1", "full"), ("patient/Observation.s", "Observation?patient=1", "full"),
        ("patient/Observation.r", "Observation?patient=1", "none"), ("patient/*.rs", "Patient/1", "full"), ("patient/Patient.s", "Patient/1", "none"),
        ("user/Observation.cruds", "Observation?patient=1", "full"), ("patient/Observation.read", "Observation?patient=1", "full"),
        ("patient/Observation.write", "Observation?patient=1", "none"), ("patient/*.*", "Observation?patient=1", "full"),
        ("patient/Observation.rs?category=x", "Observation?patient=1", "part"), ("patient/Observation.sr", "Observation?patient=1", "none"),
        ("patient/Observation.rs?category=x patient/*.rs", "Observation?patient=1", "full"), ("launch openid", "Patient/1", "none"),
        ("patient/ObservationX.rs", "Observation?patient=1", "none"), ("", "Patient/1", "none"),
    ],
)  # fmt: skip
def test_what_a_granted_scope_lets_a_search_say(scopes: str, query: str, grant: str) -> None:
    assert granted(scopes, query) == grant


def test_pkce_is_that_of_the_specification() -> None:
    """The example of RFC 7636, appendix B."""
    from calcinosis.service.smart_state import Launch

    launch = Launch("i", "s", "n", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "", False, 0)
    assert launch.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert launch.challenge == urlsafe_b64encode(sha256(launch.verifier.encode()).digest()).rstrip(b"=").decode()


def test_without_a_configured_server_there_is_no_launch(client: TestClient) -> None:
    assert client.get("/smart/standalone").status_code == 404


def test_the_default_name_of_a_server_is_its_host() -> None:
    assert SmartServer(issuer="https://ehr.example.org/r4", client_id="c").label == "ehr.example.org"
    assert Settings(smart=[{"issuer": "https://ehr.example.org/r4", "client_id": "c"}]).launch_url == "http://127.0.0.1:8000/smart/launch"
