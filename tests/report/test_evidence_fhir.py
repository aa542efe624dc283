"""The evidence as FHIR R5: valid, complete, the same every time, and no code that the specification does not have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from fhir.resources.bundle import Bundle

from calcinosis.contract import DISCLAIMER
from calcinosis.evidence.cells import load_pooled
from calcinosis.knowledge import Knowledge
from calcinosis.report.evidence_fhir import to_evidence_bundle

# As read in HL7/fhir, source/evidence/codesystem-*.xml, and the R5 code system study-design.
SPECIFIED = {
    "http://terminology.hl7.org/CodeSystem/statistic-type": {"C44256", "C93152", "C16932", "C93150", "0000457"},
    "http://terminology.hl7.org/CodeSystem/attribute-estimate-type": {"C53324", "0000421", "C44185"},
    "http://terminology.hl7.org/CodeSystem/variable-role": {"population", "exposure", "referenceExposure", "measuredVariable"},
    "http://terminology.hl7.org/CodeSystem/synthesis-type": {"std-MA", "NotApplicable"},
    "http://terminology.hl7.org/CodeSystem/certainty-type": {"Overall"},
    "http://terminology.hl7.org/CodeSystem/statistic-model-code": {"glmmLogit"},
    "http://hl7.org/fhir/study-design": {"SEVCO:01003", "SEVCO:01016", "SEVCO:01017"},
}


@pytest.fixture(scope="module")
def bundle(knowledge: Knowledge) -> dict[str, Any]:
    return to_evidence_bundle(knowledge)


def resources(bundle: dict[str, Any], kind: str, system: str = "") -> dict[str, dict[str, Any]]:
    """By identifier; ``system`` is the last part of the identifier's system."""
    found = [entry["resource"] for entry in bundle.get("entry", []) if entry["resource"]["resourceType"] == kind]
    return {each["identifier"][0]["value"]: each for each in found if each["identifier"][0]["system"].endswith(f":{system}" if system else "")}


def walk(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@pytest.mark.parametrize(
    "asked", [{}, {"treatment": "rituximab"}, {"type_": "dystrophic", "disease": "systemic_sclerosis"}, {"disease": "sjogren_syndrome"}]
)
def test_valid_r5_and_every_reference_resolves(asked: dict[str, str], knowledge: Knowledge) -> None:
    found = to_evidence_bundle(knowledge, **asked)
    read = Bundle.model_validate_json(json.dumps(found))
    assert read.type == "collection"
    addresses = [entry["fullUrl"] for entry in found.get("entry", [])]
    assert len(set(addresses)) == len(addresses)
    assert {node["reference"] for node in walk(found) if "reference" in node} <= set(addresses)


def test_deterministic(bundle: dict[str, Any], knowledge: Knowledge) -> None:
    assert bundle == to_evidence_bundle(knowledge)


def test_every_row_pooled_proportion_treatment_and_reference(bundle: dict[str, Any], knowledge: Knowledge) -> None:
    assert set(resources(bundle, "Evidence", "row")) == {row.row for row in knowledge.studies}
    assert len(resources(bundle, "Evidence", "pooled")) == len(load_pooled())
    assert set(resources(bundle, "Citation")) == {row.study for row in knowledge.studies}
    assert set(resources(bundle, "EvidenceVariable", "treatment")) == {key for row in knowledge.studies for key in row.treatments}


def test_only_codes_of_the_specification(bundle: dict[str, Any]) -> None:
    for node in walk(bundle):
        if {"system", "code"} <= node.keys() and not node["system"].startswith("urn:calcinosis"):
            assert node["code"] in SPECIFIED[node["system"]], node


def test_counts_and_intervals(bundle: dict[str, Any]) -> None:
    [statistic] = resources(bundle, "Evidence", "row")["bal12_diltiazem"]["statistic"]
    assert (statistic["numberAffected"], statistic["sampleSize"]) == (9, {"knownDataCount": 17, "numberOfParticipants": 78})
    assert statistic["quantity"]["value"] == pytest.approx(9 / 17)
    assert statistic["attributeEstimate"][0]["range"]["low"]["value"] == pytest.approx(0.278, abs=1e-3)
    [pooled] = resources(bundle, "Evidence", "pooled")["diltiazem|dystrophic||calcification"]["statistic"]
    assert (pooled["numberAffected"], pooled["sampleSize"]["numberOfStudies"]) == (12, 2)


def test_lesions_name_no_patients(bundle: dict[str, Any], knowledge: Knowledge) -> None:
    for row in knowledge.studies:
        if row.unit in ("lesions", "limbs"):
            for statistic in resources(bundle, "Evidence", "row")[row.row].get("statistic", []):
                assert "numberAffected" not in statistic and row.unit in statistic["sampleSize"]["description"]


def test_nothing_is_active_and_everything_says_what_it_is(bundle: dict[str, Any], knowledge: Knowledge) -> None:
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert resource["status"] == "draft"
        assert resource["meta"]["tag"][0]["code"] == knowledge.version
        assert ElementTree.fromstring(resource["text"]["div"]).tag == "{http://www.w3.org/1999/xhtml}div"
        if resource["resourceType"] == "Evidence":
            assert resource["note"][-1]["text"] == DISCLAIMER
            assert resource["variableDefinition"] and resource["relatedArtifact"]
