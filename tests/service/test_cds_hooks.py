"""CDS Hooks 2.0: requests in the shapes of the specification, responses that fit its schema, and cards worth reading."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import PATIENT, bundle, call, case, drug, egfr, order_call, patient_of, searchsets

from calcinosis.service.cds_models import CardResponse, Discovery

VIEW, SELECT, SIGN = (f"/cds-services/calcinosis-{hook}" for hook in ("patient-view", "order-select", "order-sign"))


def cards(client: TestClient, path: str, body: Any) -> list[dict[str, Any]]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    CardResponse.model_validate(response.json())
    found: list[dict[str, Any]] = response.json()["cards"]
    for card in found:
        assert None not in card.values() and [] not in card.values(), "the specification forbids null and empty elements"
        assert "**Rule" in card["detail"] or card["source"]["topic"]["code"] == "undetermined", "the rule that fired is in the card"
    return found


def by_topic(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [card for card in found if card["source"]["topic"]["system"] == f"urn:calcinosis:{kind}"]


# --- discovery ---------------------------------------------------------------------------------------


def test_discovery_lists_the_services_with_templates_a_server_can_satisfy(client: TestClient) -> None:
    found = Discovery.model_validate(client.get("/cds-services").json())
    assert {service.hook for service in found.services} == {"patient-view", "order-select", "order-sign"}
    for service in found.services:
        for query in service.prefetch.values():
            assert "{{context.patientId}}" in query
            assert query.startswith("Patient/") or "?patient={{context.patientId}}" in query


# --- requests of the specification -------------------------------------------------------------------


def test_the_example_request_of_the_specification_is_answered(client: TestClient) -> None:
    """https://cds-hooks.hl7.org/2.0/#example: one prefetched patient under a key of its own, and a FHIR server not on our list."""
    body = call("patient-view", {"patientToGreet": {"resourceType": "Patient", "id": "1288992", "gender": "male", "birthDate": "1925-12-23"}}, "1288992")
    body |= {
        "fhirServer": "http://hooks.smarthealthit.org:9080",
        "fhirAuthorization": {
            "access_token": "some-opaque-fhir-access-token", "token_type": "Bearer", "expires_in": 300,
            "scope": "patient/Patient.read patient/Observation.read", "subject": "cds-service4",
        },
        "extension": {"com.example.timestamp": "2017-11-27T22:13:25Z"},
    }  # fmt: skip
    assert cards(client, VIEW, body) == []


def test_the_order_select_example_is_answered(client: TestClient) -> None:
    """https://cds-hooks.org/hooks/order-select/: a diet and a drug are selected; this service knows nothing against either."""
    diet = {"resourceType": "NutritionOrder", "id": "pureeddiet-simple", "status": "draft", "patient": {"reference": "Patient/1288992"}}
    amoxicillin = drug("Amoxicillin 120 MG/ML / clavulanate potassium 8.58 MG/ML Oral Suspension", "smart-MedicationRequest-103", code="617993", patient="1288992")
    body = order_call(
        diet, amoxicillin, prefetch={"patient": PATIENT | {"id": "1288992"}}, hook="order-select", patient="1288992",
        selections=["NutritionOrder/pureeddiet-simple", "MedicationRequest/smart-MedicationRequest-103"],
    )  # fmt: skip
    body["context"]["userId"] = "PractitionerRole/123"
    assert cards(client, SELECT, body) == []


def test_a_draft_imaging_request_as_the_sandbox_sends_it_is_answered(client: TestClient) -> None:
    """Shape of github.com/cds-hooks/sandbox-cds-services tests/stubs/pama-imaging-stub.js."""
    imaging = {
        "resourceType": "ServiceRequest", "id": "example-MRI-59879846", "status": "draft", "intent": "plan",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72133"}], "text": "Lumbar spine CT"},
        "subject": {"reference": "Patient/MRI-59879846"},
        "reasonCode": [{"coding": [{"system": "http://snomed.info/sct", "code": "279039007", "display": "Low back pain"}]}],
    }  # fmt: skip
    body = order_call(
        imaging, prefetch={"patient": PATIENT | {"id": "MRI-59879846"}}, hook="order-select", patient="MRI-59879846",
        selections=["ServiceRequest/example-MRI-59879846"],
    )  # fmt: skip
    assert cards(client, SELECT, body) == []


# --- patient-view ------------------------------------------------------------------------------------


def test_alarms_come_first_with_their_rule_and_a_source_that_opens(client: TestClient) -> None:
    record = case("b090")
    found = cards(client, VIEW, call("patient-view", searchsets(record), patient_of(record)))
    alarms = by_topic(found, "alarm")
    assert alarms and found[0] in alarms and found[0]["indicator"] == "critical"
    assert all(card["source"]["url"].startswith("https://") for card in alarms)
    assert found == sorted(found, key=lambda card: ("critical", "warning", "info").index(card["indicator"]))
    assert {link["type"] for link in found[0]["links"]} == {"smart", "absolute"}
    assert all(reason["display"] for reason in found[0]["overrideReasons"])


def test_missing_work_up_is_offered_as_an_order(client: TestClient) -> None:
    lesion = {
        "resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}, "code": {"text": "Calcinosis cutis"},
        "recordedDate": "2025-12-01",
    }  # fmt: skip
    found = by_topic(cards(client, VIEW, call("patient-view", {"patient": PATIENT, "conditions": bundle(lesion)})), "leading")
    (card,) = found
    assert card["selectionBehavior"] == "any" and 1 <= len(card["suggestions"]) <= 3
    for suggestion in card["suggestions"]:
        (action,) = suggestion["actions"]
        request = action["resource"]
        assert (action["type"], request["resourceType"], request["status"]) == ("create", "ServiceRequest", "draft")
        assert request["subject"] == {"reference": "Patient/p1"} and request["encounter"] == {"reference": "Encounter/89284"}
        assert request["code"]["text"]
    assert "Not available to this service" in card["detail"] and "laboratory results" in card["detail"]


def test_a_patient_without_calcification_gets_no_card(client: TestClient) -> None:
    hypertension = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "code": {"text": "Hypertension"}}
    prefetch = {"patient": PATIENT, "conditions": bundle(hypertension), "medicationRequests": bundle(drug("Amlodipine", status="active"))}
    assert cards(client, VIEW, call("patient-view", prefetch)) == []


def test_what_stands_in_the_record_never_becomes_a_link(client: TestClient) -> None:
    record = case("b090")
    for entry in record["entry"]:
        for concept in (entry["resource"].get("code"),):
            if concept and "text" in concept:
                concept["text"] += " [click](https://evil.example) <img src=x>"
    for card in cards(client, VIEW, call("patient-view", searchsets(record), patient_of(record))):
        assert "](https://evil.example)" not in card["detail"] and "<img" not in card["detail"]


def test_another_patient_in_the_prefetch_is_not_looked_at_and_is_counted(client: TestClient) -> None:
    record = case("b090")
    lesion = {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}, "code": {"text": "Calcinosis cutis"}}
    found = cards(client, VIEW, call("patient-view", {"record": record, "patient": PATIENT, "own": bundle(lesion)}, "p1"))
    assert found and by_topic(found, "alarm") == []
    assert all(re.search(r"another patient: \d+ entries were not looked at", card["detail"]) for card in found)


def test_data_of_nobody_but_another_patient_are_no_data(client: TestClient) -> None:
    """Silence would pass for "nothing found"."""
    record = {"record": case("b090"), "patient": PATIENT}
    for body, path in ((call("patient-view", record, "p1"), VIEW), (order_call(drug("Warfarin"), prefetch=record), SIGN)):
        response = client.post(path, json=body)
        assert response.status_code == 412 and "another patient" in response.json()["detail"]


# --- what could not be used --------------------------------------------------------------------------


UNUSABLE = [
    egfr(22) | {"valueQuantity": {"value": 22, "unit": "bananas"}},
    {"resourceType": "Condition", "id": "empty", "subject": {"reference": "Patient/p1"}},
    {"resourceType": "Nonsense", "id": "n"},
    {"id": "no-type"},
    None,
]  # fmt: skip


@pytest.mark.parametrize("path", [VIEW, SIGN])
def test_what_could_not_be_used_stands_on_the_card(client: TestClient, path: str) -> None:
    record = bundle(CALCIPHYLAXIS, *UNUSABLE)
    prefetch = {"patient": PATIENT, "record": record}
    body = order_call(drug("Warfarin"), prefetch=prefetch) if path == SIGN else call("patient-view", prefetch)
    found = cards(client, path, body)
    assert found
    for card in found:
        said = card["detail"].partition("Could not be used in full:")[2]
        assert said.count("* ") == 4 and "and 2 more" in said.partition("Supports")[0]


def test_the_page_says_it_before_the_answer_and_leads_to_the_entries(client: TestClient) -> None:
    page = client.post("/assess/answer", json=bundle(PATIENT, CALCIPHYLAXIS, *UNUSABLE)).text
    said, _, rest = page.partition('<article class="patient"')
    assert 'href="#p1-warnings">5 entries could not be used in full</a>' in said and 'id="p1-warnings"' in rest
    assert "Not everything was used" not in client.post("/assess/answer", json=bundle(PATIENT, CALCIPHYLAXIS)).text


def test_a_record_that_was_used_in_full_is_not_called_incomplete(client: TestClient) -> None:
    for card in cards(client, VIEW, call("patient-view", {"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS)})):
        assert "Could not be used" not in card["detail"]


# --- orders ------------------------------------------------------------------------------------------


CALCIPHYLAXIS = {
    "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "recordedDate": "2026-01-02",
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E83.59"}], "text": "Calciphylaxis"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("ordered", "record", "indicator", "rule"),
    [
        (drug("Warfarin 5 MG Oral Tablet", code="11289"), [CALCIPHYLAXIS], "critical", "vitamin_k_antagonist_in_calciphylaxis"),
        (drug("Calcium carbonate 1250 mg"), [CALCIPHYLAXIS], "critical", "calcium_in_calciphylaxis"),
        (drug("Cholecalciferol"), [CALCIPHYLAXIS], "critical", "vitamin_d_in_calciphylaxis"),
        (drug("Colchicine 0.5 mg"), [drug("Diltiazem", "m1", status="active")], "warning", "diltiazem_verapamil"),
        (drug("Diltiazem 120 mg"), [drug("Colchicine", "m1", status="active")], "warning", "diltiazem_verapamil"),
        (drug("Alendronate 70 mg"), [egfr(22)], "warning", "renal_impairment"),
    ],
    ids=["warfarin", "calcium", "vitamin D", "colchicine on diltiazem", "diltiazem on colchicine", "bisphosphonate, low eGFR"],
)
@pytest.mark.parametrize("path", [SIGN, SELECT])
def test_an_order_that_is_unsafe_here_gets_a_card(
    client: TestClient, path: str, ordered: dict[str, Any], record: list[dict[str, Any]], indicator: str, rule: str
) -> None:
    selections = {"selections": ["MedicationRequest/draft-1"]} if path == SELECT else {}
    hook = path.removeprefix("/cds-services/calcinosis-")
    body = order_call(ordered, prefetch={"patient": PATIENT, "record": bundle(*record)}, hook=hook, **selections)
    (card,) = cards(client, path, body)
    assert card["indicator"] == indicator
    assert rule.replace("_", "\\_") in card["detail"]
    (suggestion,) = card["suggestions"]
    assert suggestion["actions"][0] | {"description": ""} == {"type": "delete", "description": "", "resourceId": "MedicationRequest/draft-1"}


@pytest.mark.parametrize(
    ("ordered", "record"),
    [
        (drug("Alendronate 70 mg"), [egfr(85)]),
        (drug("Paracetamol"), [CALCIPHYLAXIS]),
        (drug("Colchicine 0.5 mg"), [drug("Lisinopril", "m1", status="active")]),
        (drug("Colchicine 0.5 mg"), [drug("Diltiazem", "m1", status="stopped")]),
    ],
    ids=["normal eGFR", "unrelated drug", "no interaction", "the other drug was stopped"],
)
def test_a_safe_order_gets_none(client: TestClient, ordered: dict[str, Any], record: list[dict[str, Any]]) -> None:
    assert cards(client, SIGN, order_call(ordered, prefetch={"patient": PATIENT, "record": bundle(*record)})) == []


def test_two_drafts_that_do_not_go_together_are_both_named(client: TestClient) -> None:
    drafts = drug("Colchicine", "a"), drug("Diltiazem", "b")
    found = cards(client, SIGN, order_call(*drafts, prefetch={"patient": PATIENT}))
    assert {card["suggestions"][0]["actions"][0]["resourceId"] for card in found} == {"MedicationRequest/a", "MedicationRequest/b"}


def test_order_select_speaks_of_the_selected_order_only(client: TestClient) -> None:
    drafts = drug("Warfarin", "a"), drug("Calcium carbonate", "b")
    body = order_call(
        *drafts, prefetch={"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS)}, hook="order-select", selections=["MedicationRequest/b"]
    )  # fmt: skip
    (card,) = cards(client, SELECT, body)
    assert card["summary"].startswith("Calcium carbonate")


def test_an_order_named_by_a_reference_beside_it_is_read(client: TestClient) -> None:
    ordered = drug("x") | {"medicationReference": {"reference": "Medication/m"}}
    del ordered["medicationCodeableConcept"]
    medication = {"resourceType": "Medication", "id": "m", "code": {"text": "Warfarin"}}
    found = cards(client, SIGN, order_call(ordered, medication, prefetch={"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS)}))
    assert len(found) == 1


# --- feedback ----------------------------------------------------------------------------------------


def test_feedback_is_counted_by_rule_and_its_comment_is_not_kept(client: TestClient) -> None:
    """The bodies of https://cds-hooks.hl7.org/2.0/#feedback."""
    shown = cards(client, SIGN, order_call(drug("Warfarin"), prefetch={"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS)}))[0]
    accepted = {"card": shown["uuid"], "outcome": "accepted", "acceptedSuggestions": [{"id": shown["suggestions"][0]["uuid"]}], "outcomeTimestamp": "2020-12-11T00:00:00Z"}
    overridden = {
        "card": "9368d37b-283f-44a0-93ea-547cebab93ed", "outcome": "overridden", "outcomeTimestamp": "2020-12-11T00:00:00Z",
        "overrideReason": {"reason": {"code": "d7ecf885", "system": "https://example.com/cds-hooks/override-reason-system"}, "userComment": "Mrs Secret declined"},
    }  # fmt: skip
    response = client.post(f"{SIGN}/feedback", json={"feedback": [accepted, overridden]})
    assert response.status_code == 200
    figures = client.get("/metrics").text
    line = 'calcinosis_feedback_total{outcome="accepted",rule="order:vitamin_k_antagonist_in_calciphylaxis",service="calcinosis-order-sign"} 1.0'
    assert line in figures
    assert "Secret" not in figures


# --- what does not fit -------------------------------------------------------------------------------


def changed(**parts: Any) -> dict[str, Any]:
    return call("patient-view", {"patient": PATIENT}) | parts


@pytest.mark.parametrize(
    "body",
    [
        changed(hook="order-sign"), changed(hookInstance="not-a-uuid"), changed(hookInstance=None), changed(context={}),
        changed(context={"userId": "Practitioner/x", "patientId": "a/../b"}), changed(context={"patientId": "p1"}), changed(prefetch=[]),
        changed(fhirAuthorization={"access_token": "x"}), changed(fhirServer=7), [], 1, "text", {},
        changed(fhirAuthorization={"access_token": "x", "token_type": "Bearer", "expires_in": 1, "scope": "", "subject": ""}),
    ],
    ids=str,
)  # fmt: skip
def test_a_call_that_does_not_fit_is_refused(client: TestClient, body: Any) -> None:
    response = client.post(VIEW, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("prefetch", [None, {}, {"patient": None}, {"patient": {"resourceType": "OperationOutcome"}}, {"x": 3}], ids=str)
def test_without_any_data_the_precondition_fails(client: TestClient, prefetch: Any) -> None:
    """https://cds-hooks.hl7.org/2.0/#http-status-codes_1: 412 when the data can be had neither way."""
    assert client.post(VIEW, json=call("patient-view", prefetch)).status_code == 412


def test_null_for_one_key_is_no_answer_but_the_rest_is_used(client: TestClient) -> None:
    prefetch = {"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS), "laboratory": None, "medicationRequests": None, "medicationStatements": None}
    found = cards(client, VIEW, call("patient-view", prefetch))
    assert found and all("laboratory results" in card["detail"] for card in found)


def test_unknown_service_is_404(client: TestClient) -> None:
    assert client.post("/cds-services/nobody", json={}).status_code == 404
    assert client.post("/cds-services/nobody/feedback", json={"feedback": []}).status_code == 404


def test_the_audit_log_says_who_when_and_which_service_and_nothing_else(client: TestClient) -> None:
    cards(client, VIEW, call("patient-view", {"patient": PATIENT}))
    path: Path = client.app.state.settings.audit_log  # type: ignore[attr-defined]
    last = json.loads(path.read_text().splitlines()[-1])
    assert set(last) == {"when", "who", "service", "method", "status", "ms"}
    assert last["service"] == "cds-services/calcinosis-patient-view"
    assert "p1" not in path.read_text().split()
