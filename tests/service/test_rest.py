"""The REST API: assess, knowledge and evidence, and a valid OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from fhir.resources.R4B.bundle import Bundle
from openapi_spec_validator import OpenAPIV31SpecValidator
from served import PATIENT, bundle, case

from calcinosis import assess
from calcinosis.contract import Assessment
from calcinosis.service.rest import _EXAMPLES, Table

ASSESS = "/api/v1/assess"


@pytest.mark.parametrize("name", ["b090", "a004"])
def test_the_answer_is_that_of_the_library(client: TestClient, name: str) -> None:
    response = client.post(ASSESS, json=case(name))
    assert Assessment.model_validate_json(response.content) == assess(case(name))


@pytest.mark.parametrize("example", _EXAMPLES)
def test_the_examples_of_the_document_work(client: TestClient, example: str) -> None:
    response = client.post(ASSESS, json=_EXAMPLES[example]["value"])
    assert response.status_code == 200
    assert Assessment.model_validate_json(response.content).patient_id == "p1"


def test_a_list_of_resources_and_a_bundle_are_answered_alike(client: TestClient) -> None:
    record = case("b090")
    listed = [entry["resource"] for entry in record["entry"]]
    assert client.post(ASSESS, json=listed).json()["alarms"] == client.post(ASSESS, json=record).json()["alarms"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"), ("*/*", "application/json"), ("application/fhir+json", "application/fhir+json"),
        ("application/fhir+json;q=0.2, application/json", "application/json"), ("text/html, application/fhir+json;q=0.9, */*;q=0.1", "application/fhir+json"),
        ("application/fhir+json; fhirVersion=4.0", "application/fhir+json"),
    ],
)  # fmt: skip
def test_accept_chooses_the_form(client: TestClient, accept: str, kind: str) -> None:
    response = client.post(ASSESS, json=bundle(PATIENT), headers={"Accept": accept})
    assert response.headers["content-type"] == kind
    if kind == "application/fhir+json":
        Bundle.model_validate(response.json())


@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=1", "application/json;q=0", "application/json;q=x"])
def test_what_cannot_be_given_is_406(client: TestClient, accept: str) -> None:
    assert client.post(ASSESS, json=bundle(PATIENT), headers={"Accept": accept}).status_code == 406


@pytest.mark.parametrize("record", [bundle(), bundle(PATIENT, PATIENT | {"id": "p2"}), [], {"resourceType": "Practitioner", "id": "x"}], ids=str)
def test_not_exactly_one_patient_is_422(client: TestClient, record: Any) -> None:
    response = client.post(ASSESS, json=record)
    assert response.status_code == 422 and "one patient" in response.json()["detail"]


@pytest.mark.parametrize("table", list(Table))
def test_every_entry_of_the_knowledge_can_be_looked_up(client: TestClient, table: Table) -> None:
    listed = client.get(f"/api/v1/knowledge/{table.value}").json()["entries"]
    assert listed
    for each in listed[:: max(1, len(listed) // 80)]:
        response = client.get(f"/api/v1/knowledge/{table.value}/{each['key']}")
        assert response.status_code == 200, each
        assert (response.json()["key"], response.json()["label"]) == (each["key"], each["label"])


def test_unknown_entries_and_tables_are_named_as_such(client: TestClient) -> None:
    assert client.get("/api/v1/knowledge/types/nobody").status_code == 404
    assert client.get("/api/v1/knowledge/nowhere").status_code == 422


def test_evidence_is_filtered(client: TestClient) -> None:
    everything = client.get("/api/v1/evidence/studies", params={"limit": 500}).json()
    some = client.get("/api/v1/evidence/studies", params={"treatment": "colchicine", "type": "dystrophic", "limit": 2, "offset": 1}).json()
    assert 0 < some["total"] < everything["total"] and len(some["items"]) == 2
    assert all("colchicine" in row["treatments"] for row in some["items"])
    cells = client.get("/api/v1/evidence/cells", params={"treatment": "colchicine", "type": "dystrophic"}).json()
    assert [(each["treatment"], each["type"]) for each in cells] == [("colchicine", "dystrophic")]
    for wrong in ({"treatment": "nobody"}, {"type": "nobody"}, {"disease": "nobody"}):
        assert client.get("/api/v1/evidence/studies", params=wrong).status_code == 404
    assert client.get("/api/v1/evidence/studies", params={"limit": 0}).status_code == 422


def test_the_openapi_document_is_valid(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path


def test_every_response_carries_the_security_headers(client: TestClient) -> None:
    for response in (client.get("/health/live"), client.get("/nowhere"), client.post(ASSESS, content=b"")):
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "http" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
    assert client.get("/docs").status_code == 404, "its scripts would come from elsewhere"


def test_methods_that_do_not_exist_are_problems(client: TestClient) -> None:
    response = client.delete(ASSESS)
    assert (response.status_code, response.headers["allow"], response.headers["content-type"]) == (405, "POST", "application/problem+json")


def test_metrics_count(client: TestClient) -> None:
    client.get("/health/live")
    text = client.get("/metrics").text
    assert 'calcinosis_requests_total{service="health",status="200"}' in text
    assert "calcinosis_records_together_bucket" in text
