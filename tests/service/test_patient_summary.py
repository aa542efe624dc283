"""A patient summary (a document Bundle whose entries name one another by ``urn:uuid``) says what the same record says in searchsets."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import PATIENT, RXNORM, bundle, call, case, order_call, patient_of, searchsets
from summary import patient_summary

VIEW = "/cds-services/calcinosis-patient-view"
SIGN = "/cds-services/calcinosis-order-sign"


def summaries_of(client: TestClient, path: str, body: Any) -> list[str]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return [card["summary"] for card in response.json()["cards"]]


@pytest.mark.parametrize("name", ["b090", "a004"])
def test_a_summary_as_prefetch_gives_the_cards_of_the_same_record(client: TestClient, name: str) -> None:
    record, patient = case(name), patient_of(case(name))
    through = summaries_of(client, VIEW, call("patient-view", {"summary": patient_summary(record)}, patient))
    assert through == summaries_of(client, VIEW, call("patient-view", searchsets(record), patient)) != []


@pytest.mark.parametrize("name", ["b090", "a004"])
def test_a_summary_sent_to_the_api_gives_the_answer_of_the_same_record(client: TestClient, name: str) -> None:
    summary, plain = (client.post("/api/v1/assess", json=each).json() for each in (patient_summary(case(name)), case(name)))
    assert summary == plain


def test_an_order_is_checked_against_a_summary(client: TestClient) -> None:
    calciphylaxis = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "code": {"text": "Calciphylaxis"}}
    warfarin = {
        "resourceType": "MedicationRequest", "id": "w", "status": "draft", "intent": "order", "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": "11289"}]},
    }  # fmt: skip
    record = patient_summary(bundle(PATIENT, calciphylaxis))
    assert len(summaries_of(client, SIGN, order_call(warfarin, prefetch={"summary": record}))) == 1


def test_a_drug_of_a_summary_is_read_through_its_medication(client: TestClient) -> None:
    calciphylaxis = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "code": {"text": "Calciphylaxis"}}
    medication = {"resourceType": "Medication", "id": "m", "code": {"text": "Warfarin"}}
    taken = {
        "resourceType": "MedicationStatement", "id": "s", "status": "active", "subject": {"reference": "Patient/p1"},
        "medicationReference": {"reference": "Medication/m"},
    }  # fmt: skip
    found = summaries_of(
        client, VIEW, call("patient-view", {"summary": patient_summary(bundle(PATIENT, calciphylaxis, medication, taken))})
    )
    assert any(each.startswith("Review current treatment") for each in found)


def test_a_bundle_inside_a_bundle_is_read_too(client: TestClient) -> None:
    record, patient = case("b090"), patient_of(case("b090"))
    batch = {"resourceType": "Bundle", "type": "batch-response", "entry": [{"resource": each} for each in searchsets(record).values()]}
    assert summaries_of(client, VIEW, call("patient-view", {"everything": batch}, patient))
