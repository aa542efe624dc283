"""FHIR out: valid R4, the same every time, never an order and never final."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from fhir.resources.R4B.bundle import Bundle
from people import PEOPLE, SCRIPT, anticoagulated, assessed, frozen

from calcinosis.report.fhir_out import to_fhir_bundle

AT = datetime(2025, 3, 1, 12, 0)


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


@pytest.mark.parametrize("at", [None, AT])
@pytest.mark.parametrize("names", [[name] for name in PEOPLE] + [list(PEOPLE), []], ids=[*PEOPLE, "everybody", "nobody"])
def test_valid_r4(names: list[str], at: datetime | None) -> None:
    bundle = to_fhir_bundle([assessed(name) for name in names], at=at)
    read = Bundle.model_validate_json(json.dumps(bundle))
    assert read.type == "collection"
    assert len(read.entry or []) == len(bundle.get("entry", []))


def test_deterministic_and_each_resource_once() -> None:
    everybody = [assessed(name) for name in PEOPLE]
    bundle = to_fhir_bundle(everybody)
    assert bundle == to_fhir_bundle(everybody) == to_fhir_bundle([*everybody, everybody[0]])
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(addresses)) == len(addresses)
    assert all(entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}" for entry in bundle["entry"])


def test_another_assessment_has_other_ids() -> None:
    one = frozen("nodule")
    other = one.model_copy(update={"warnings": ["Observation/1: unit not known"]})
    ids = [resources(to_fhir_bundle([each]), "RiskAssessment")[0]["id"] for each in (one, other)]
    assert ids[0] != ids[1]


def test_every_resource_names_its_patient_knowledge_and_narrative() -> None:
    for assessment in (assessed(name) for name in PEOPLE):
        for entry in to_fhir_bundle([assessment])["entry"]:
            resource = entry["resource"]
            assert resource["meta"]["tag"] == [{"system": "urn:calcinosis:knowledge-version", "code": assessment.knowledge_version}]
            assert ElementTree.fromstring(resource["text"]["div"]).tag == "{http://www.w3.org/1999/xhtml}div"
            if resource["resourceType"] != "Device":
                assert resource.get("subject") or resource.get("patient")
                assert resource["status"] in {"preliminary", "data-requested"}


def test_one_prediction_per_type_with_its_status() -> None:
    assessment = frozen("dialysis")
    [risk] = resources(to_fhir_bundle([assessment]), "RiskAssessment")
    by_type = {each["outcome"]["coding"][0]["code"]: each for each in risk["prediction"]}
    assert set(by_type) >= {each.type for each in assessment.types}
    assert by_type["calciphylaxis"]["qualitativeRisk"]["text"] == "probable"
    assert by_type["dystrophic"]["qualitativeRisk"]["coding"][0]["code"] == "not-assessed"
    assert risk["note"][0]["text"].startswith("Calciphylaxis: probable")
    assert any("bananas/L" in note["text"] for note in risk["note"])
    assert {"reference": "Condition/dialysis-1-4"}.items() <= risk["basis"][0].items()


def test_a_derived_quantity_points_to_every_measurement() -> None:
    [risk] = resources(to_fhir_bundle([frozen("dialysis")]), "RiskAssessment")
    wanted = {"Observation/dialysis-1-8", "Observation/dialysis-1-9"}  # calcium and phosphate, of which the product was computed
    assert wanted <= {each.get("reference") for each in risk["basis"]}


def test_alarms_are_detected_issues_with_evidence_and_no_claim_of_action() -> None:
    assessment = frozen("dialysis")
    bundle = to_fhir_bundle([assessment])
    issues = resources(bundle, "DetectedIssue")
    assert [each["code"]["coding"][0]["code"] for each in issues] == [alarm.key for alarm in assessment.alarms]
    assert issues[0]["severity"] == "high"
    assert {"reference": "Condition/dialysis-1-4"}.items() <= next(
        detail for detail in issues[0]["evidence"][0]["detail"] if detail.get("reference", "").endswith("-4")
    ).items()
    assert all("mitigation" not in issue and assessment.alarms[0].actions for issue in issues)
    assert all(action.text in issue["detail"] for issue, alarm in zip(issues, assessment.alarms, strict=True) for action in alarm.actions)
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds.index("DetectedIssue") < kinds.index("RiskAssessment")


def test_current_treatment_to_review_is_a_detected_issue_that_points_to_the_drug() -> None:
    assessment = anticoagulated()
    bundle = to_fhir_bundle([assessment])
    Bundle.model_validate_json(json.dumps(bundle))
    issues = resources(bundle, "DetectedIssue")[len(assessment.alarms) :]
    assert [issue["code"]["text"] for issue in issues] == [each.label for each in assessment.review]
    for issue, each in zip(issues, assessment.review, strict=True):
        assert issue["severity"] == ("high" if each.urgency == "same_day" or each.verdict == "contraindicated" else "moderate")
        assert f"To consider: {' '.join(each.text.split())}" in issue["detail"]
        known = {detail.get("reference") for detail in issue["evidence"][0]["detail"]}
        assert {fact.source for fact in each.facts if " + " not in fact.source} <= known
        assert "mitigation" not in issue  # R4: action taken or committed to; nobody has acted
    assert {found["reference"] for found in issues[0]["implicated"]} == {"MedicationStatement/dialysis-1-3"}


def test_drugs_that_nobody_knows_of_are_asked_for() -> None:
    assessment = frozen("dialysis")
    [guidance] = resources(to_fhir_bundle([assessment]), "GuidanceResponse")
    assert guidance["dataRequirement"][-1]["type"] == "MedicationStatement"
    notes = [note["text"] for note in guidance["note"]]
    assert all(any(note.endswith(drug) for note in notes) for drug in assessment.review_not_checked)


def test_options_are_never_sent_as_plans_or_requests() -> None:
    kinds = {entry["resource"]["resourceType"] for entry in to_fhir_bundle([assessed(name) for name in PEOPLE])["entry"]}
    assert kinds == {"Device", "DetectedIssue", "RiskAssessment", "GuidanceResponse"}


def test_missing_work_up_is_asked_for_never_ordered() -> None:
    assessment = frozen("nodule")
    bundle = to_fhir_bundle([assessment])
    [guidance] = resources(bundle, "GuidanceResponse")
    assert guidance["status"] == "data-requested"
    asked = [each["codeFilter"][0]["code"][0]["code"] for each in guidance["dataRequirement"]]
    assert asked == [test.test for test in assessment.workup]
    assert not {entry["resource"]["resourceType"] for entry in bundle["entry"]} & {
        "ServiceRequest",
        "MedicationRequest",
        "Task",
        "CarePlan",
    }


def test_an_id_that_fhir_does_not_allow_and_markup_stay_text() -> None:
    [risk] = resources(to_fhir_bundle([assessed("hostile")]), "RiskAssessment")
    assert risk["subject"]["identifier"]["value"] == f"evil-{SCRIPT}"
    assert "reference" not in risk["subject"]
    assert all("reference" not in each for each in risk["basis"])
    assert "<script" not in risk["text"]["div"]
