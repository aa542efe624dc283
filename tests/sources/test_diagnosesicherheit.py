"""How sure a German diagnosis is stands in an extension of its code."""

from __future__ import annotations

from typing import Any

import pytest

from calcinosis.api import batch_of, make_readers

READERS = make_readers()
URL = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"


def condition(letter: Any, **more: Any) -> dict[str, Any]:
    mark = {"url": URL, "valueCoding": {"system": "https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_DIAGNOSESICHERHEIT", "code": letter}}
    coding = {"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": "M34.1", "extension": [mark]}
    return {
        "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "recordedDate": "2024-06-01", "code": {"coding": [coding]}, **more,
    }  # fmt: skip


def certainties(record: dict[str, Any]) -> set[tuple[str, str | None]]:
    batch = batch_of([{"resourceType": "Patient", "id": "p"}, record], READERS)
    return set(batch.events.select("certainty", "status").iter_rows())


@pytest.mark.parametrize(
    ("letter", "certainty", "status"), [("A", "negated", None), ("V", "uncertain", None), ("G", "affirmed", None), ("Z", "affirmed", "ended")]
)
def test_the_letter_says_how_sure_the_diagnosis_is(letter: str, certainty: str, status: str | None) -> None:
    assert certainties(condition(letter)) == {(certainty, status)}


def test_the_verification_status_counts_for_more() -> None:
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    assert certainties(condition("V", **refuted)) == {("negated", None)}


@pytest.mark.parametrize("broken", [None, 7, ["A"], {"code": "A"}])
def test_a_broken_mark_changes_nothing(broken: Any) -> None:
    assert certainties(condition(broken)) == {("affirmed", None)}
