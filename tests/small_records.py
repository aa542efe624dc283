"""Small FHIR records of one patient, for tests of what the shipped knowledge makes of them."""

from __future__ import annotations

import base64
from datetime import date, timedelta
from functools import lru_cache
from itertools import count
from typing import Any

from calcinosis.api import Readers, assess, make_readers
from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status

Resource = dict[str, Any]
LESION = date(2024, 6, 1)
SYSTEMS = {"ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm", "ICD9CM": "http://hl7.org/fhir/sid/icd-9-cm", "SNOMED": "http://snomed.info/sct"}
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_numbers = count()


@lru_cache(maxsize=1)
def _readers() -> Readers:
    return make_readers()


def ask(
    *resources: Resource, sex: str = "female", born: str | None = "1970-01-01", closed_world: frozenset[str] = frozenset()
) -> Assessment:
    """The answer for one adult (or whoever was born then, None: nobody knows when) with these resources."""
    patient = {"resourceType": "Patient", "id": "p", "gender": sex, **({"birthDate": born} if born else {})}
    about = [{"id": f"r{next(_numbers)}", "subject": {"reference": "Patient/p"}, **resource} for resource in resources]
    return assess([patient, *about], readers=_readers(), closed_world=closed_world)


def code(system: str, value: str, **more: Any) -> Resource:
    """A coded condition without any words."""
    return {
        "resourceType": "Condition", "recordedDate": LESION.isoformat(), "code": {"coding": [{"system": SYSTEMS[system], "code": value}]}, **more,
    }  # fmt: skip


def says(text: str, *, refuted: bool = False, provisional: bool = False, at: str | None = None) -> Resource:
    """A condition in words only."""
    standing = "refuted" if refuted else "provisional" if provisional else "confirmed"
    return {
        "resourceType": "Condition", "recordedDate": LESION.isoformat(), "code": {"text": text},
        "verificationStatus": {"coding": [{"code": standing}]}, **({"bodySite": [{"text": at}]} if at else {}),
    }  # fmt: skip


def film(text: str) -> Resource:
    return {
        "resourceType": "DiagnosticReport", "status": "final", "effectiveDateTime": LESION.isoformat(), "code": {"text": "Radiograph"},
        "conclusion": text,
    }  # fmt: skip


def biopsy(text: str) -> Resource:
    return {**film(text), "code": {"text": "Skin biopsy"}}


def lab(name: str, flag: str, *, days_before: int = 0) -> Resource:
    """A result with the laboratory's own flag: N, H, L, POS or NEG."""
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": (LESION - timedelta(days=days_before)).isoformat(),
        "code": {"text": name}, "interpretation": [{"coding": [{"system": _INTERPRETATION, "code": flag}]}],
    }  # fmt: skip


def measured(name: str, value: float, unit: str, *, days_before: int = 0) -> Resource:
    """A result as a number, without flag or interval."""
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": (LESION - timedelta(days=days_before)).isoformat(),
        "code": {"text": name}, "valueQuantity": {"value": value, "unit": unit},
    }  # fmt: skip


def drug(name: str) -> Resource:
    return {
        "resourceType": "MedicationStatement", "status": "active", "effectiveDateTime": LESION.isoformat(),
        "medicationCodeableConcept": {"text": name},
    }  # fmt: skip


def procedure(text: str) -> Resource:
    return {"resourceType": "Procedure", "status": "completed", "performedDateTime": LESION.isoformat(), "code": {"text": text}}


def letter(text: str) -> Resource:
    """A note as an EHR keeps it: plain text, encoded."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference", "status": "current", "date": LESION.isoformat(),
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }  # fmt: skip


CALCIUM_SHOWN = film("Subcutaneous calcification of the forearm.")
CALCIUM_AND_PHOSPHATE_NORMAL = (lab("Calcium", "N"), lab("Phosphate", "N"))
METABOLISM_NORMAL = (*CALCIUM_AND_PHOSPHATE_NORMAL, lab("Parathyroid hormone", "N"), lab("Creatinine", "N"))


def status(answer: Assessment, kind: str) -> Status:
    return next(each.status for each in answer.types if each.type == kind)


def asked_for(answer: Assessment) -> set[str]:
    """Keys of the tests that are missing."""
    return {test.test for test in answer.workup}


def mimic_status(answer: Assessment, kind: str) -> Status | None:
    """None where no rule of the mimic fired."""
    return next((each.status for each in answer.mimics if each.mimic == kind), None)
