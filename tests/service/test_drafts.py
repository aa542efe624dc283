"""Draft orders that could not be read: the card says which, and why. Silence would pass for "safe"."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import PATIENT, RXNORM, bundle, drug, order_call

SIGN = "/cds-services/calcinosis-order-sign"
SELECT = "/cds-services/calcinosis-order-select"
CALCIPHYLAXIS = {
    "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "recordedDate": "2026-01-02", "code": {"text": "Calciphylaxis"},
}  # fmt: skip
RECORD = {"patient": PATIENT, "conditions": bundle(CALCIPHYLAXIS)}
WARFARIN = {"resourceType": "Medication", "id": "m", "code": {"text": "Warfarin"}}


def cards(client: TestClient, path: str, body: Any) -> list[dict[str, Any]]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["cards"]
    return found


def ordered(**parts: Any) -> dict[str, Any]:
    order = drug("x") | parts
    del order["medicationCodeableConcept"]
    return order


def coded(system: str, code: str, **words: str) -> dict[str, Any]:
    return ordered() | {"medicationCodeableConcept": {"coding": [{"system": system, "code": code, **words}]}}


def not_checked(found: list[dict[str, Any]]) -> str:
    (card,) = [each for each in found if each["source"]["topic"]["code"] == "not_checked"]
    assert card["indicator"] == "info" and "suggestions" not in card
    detail: str = card["detail"]
    return detail


def sent(*entries: dict[str, Any], hook: str = "order-sign", record: Any = None, **context: Any) -> dict[str, Any]:
    body = order_call(prefetch=record or RECORD, hook=hook, **context)
    body["context"]["draftOrders"]["entry"] = list(entries)
    return body


# --- what is read ------------------------------------------------------------------------------------


def test_a_drug_named_by_the_address_of_another_draft_is_read(client: TestClient) -> None:
    order = ordered(medicationReference={"reference": "urn:uuid:22"})
    found = cards(client, SIGN, sent({"fullUrl": "urn:uuid:11", "resource": order}, {"fullUrl": "urn:uuid:22", "resource": WARFARIN}))
    assert [card["indicator"] for card in found] == ["critical"]


def test_a_drug_contained_in_the_order_is_read(client: TestClient) -> None:
    order = ordered(medicationReference={"reference": "#m"}, contained=[WARFARIN])
    assert [card["indicator"] for card in cards(client, SIGN, sent({"resource": order}))] == ["critical"]


def test_a_drug_that_stands_in_the_prefetch_is_read(client: TestClient) -> None:
    order = ordered(medicationReference={"reference": "Medication/m"})
    record = RECORD | {"medicationRequests": bundle(WARFARIN)}
    assert [card["indicator"] for card in cards(client, SIGN, sent({"resource": order}, record=record))] == ["critical"]


def test_an_order_may_be_selected_by_its_address(client: TestClient) -> None:
    order = drug("Warfarin")
    del order["id"]
    entry = {"fullUrl": "urn:uuid:11", "resource": order}
    (card,) = cards(client, SELECT, sent(entry, hook="order-select", selections=["urn:uuid:11"]))
    assert card["indicator"] == "critical"


# --- what is not, and why ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (ordered(medicationReference={"reference": "urn:uuid:99"}), "Medication that was not sent"),
        (ordered(medicationReference={"reference": "Medication/99"}), "Medication that was not sent"),
        (ordered(medicationReference={"reference": "#m"}, contained=[{"resourceType": "Medication", "id": "m"}]), "neither a code nor a text"),
        (ordered(medication={"concept": {"text": "Warfarin"}}), "another version of FHIR"),
        (coded("urn:local", "4711"), "does not know its code"),
        (coded(RXNORM, "99999999"), "does not know its code"),
        (ordered(), "neither a code nor a text"),
        (drug("Warfarin") | {"resourceType": "MedicationOrder"}, "no order of FHIR R4"),
        (drug("Warfarin") | {"resourceType": "MedicationStatement"}, "no order of FHIR R4"),
        ({"resourceType": "ServiceRequest", "id": "s", "code": {"concept": {"text": "Biopsy"}}}, "another version of FHIR"),
    ],
    ids=["address unknown", "reference unknown", "contained without code", "R5", "local code", "RxNorm code", "nothing", "DSTU2", "no order", "R5 procedure"],
)  # fmt: skip
def test_an_order_that_was_not_understood_is_named_with_the_reason(client: TestClient, order: dict[str, Any], why: str) -> None:
    detail = not_checked(cards(client, SIGN, sent({"resource": order})))
    assert why in detail and f"{order['resourceType']}/{order['id']}".replace("-", "\\-") in detail


def test_an_entry_without_a_resource_is_told_on_both_hooks(client: TestClient) -> None:
    for path, more in ((SIGN, {}), (SELECT, {"selections": []})):
        hook = path.removeprefix("/cds-services/calcinosis-")
        assert "entry 1" in not_checked(cards(client, path, sent({"fullUrl": "urn:uuid:1"}, hook=hook, **more)))


def test_a_selection_that_names_nothing_is_told(client: TestClient) -> None:
    body = sent({"resource": drug("Paracetamol")}, hook="order-select", selections=["MedicationRequest/other"])
    detail = not_checked(cards(client, SELECT, body))
    assert "MedicationRequest/other" in detail and "not among the draft orders" in detail


def test_two_drafts_of_one_id_are_both_checked_and_neither_is_offered_for_removal(client: TestClient) -> None:
    """The later one used to hide the first."""
    found = cards(client, SIGN, sent({"resource": drug("Warfarin")}, {"resource": drug("Paracetamol")}))
    (card,) = found
    assert card["indicator"] == "critical" and "suggestions" not in card
    body = sent({"resource": drug("Warfarin")}, {"resource": drug("x")}, hook="order-select", selections=["MedicationRequest/draft-1"])
    assert [each["indicator"] for each in cards(client, SELECT, body)] == ["critical"]


def test_several_orders_are_one_card_behind_those_that_are_unsafe(client: TestClient) -> None:
    found = cards(client, SIGN, sent(*({"resource": each} for each in (coded("urn:local", "1") | {"id": "a"}, drug("Warfarin", "b"), ordered(id="c")))))
    assert [card["indicator"] for card in found] == ["critical", "info"]
    assert found[1]["summary"] == "2 orders were not checked"


def test_what_an_order_says_never_becomes_a_link(client: TestClient) -> None:
    order = ordered(id="x", medication={"concept": {"text": "x"}}) | {"resourceType": "MedicationRequest", "id": "[a](https://evil.example)"}
    assert "](https://evil.example)" not in not_checked(cards(client, SIGN, sent({"resource": order})))


@pytest.mark.parametrize("order", [
    drug("Paracetamol"), coded("urn:local", "1", display="Paracetamol"), {"resourceType": "NutritionOrder", "id": "n", "status": "draft"},
    {"resourceType": "ServiceRequest", "id": "s", "code": {"coding": [{"system": "http://loinc.org", "code": "24323-8"}]}},
], ids=["named", "named beside a code", "diet", "laboratory test"])  # fmt: skip
def test_an_order_that_is_named_or_no_treatment_gets_no_card(client: TestClient, order: dict[str, Any]) -> None:
    assert cards(client, SIGN, sent({"resource": order})) == []
