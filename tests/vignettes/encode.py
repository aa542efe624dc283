"""Turns a vignette (a published case in a few lines of YAML) into the FHIR resources a hospital would hold.

Fields of a vignette: ``id``; ``source`` (author, year and a doi, pmid or url); ``sex``; ``age`` in years; ``conditions``
(text, sites, refuted); ``labs`` (name, value, unit, flag: a code of HL7 table observation-interpretation); ``reports`` (code, conclusion);
``drugs`` and ``procedures`` (text, note); ``ischaemic`` (an alarm is due); ``undecidable`` (why the record cannot decide);
``expect`` (leading, and mimic where leading is "mimic").
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
DAY = date(2024, 6, 1)
_PATIENT = {"reference": "Patient/p"}
_FLAGS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


def load_vignettes(folder: Path = HERE) -> list[dict[str, Any]]:
    """All vignettes of a folder, in the order of files and lines."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.yaml")):
        found += [{"file": path.stem, **vignette} for vignette in yaml.safe_load(path.read_text(encoding="utf-8"))["vignettes"]]
    return found


def to_resources(vignette: dict[str, Any]) -> list[dict[str, Any]]:
    """The record of one patient, all dated on one day: the order of events is told by the notes alone."""
    return [{**resource, "id": resource.get("id", f"r{number}")} for number, resource in enumerate(_resources(vignette))]


def to_bundle(vignette: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource} for resource in to_resources(vignette)]}


def _resources(vignette: dict[str, Any]) -> Iterator[dict[str, Any]]:
    patient: dict[str, Any] = {"resourceType": "Patient", "id": "p"}
    if vignette.get("sex"):
        patient["gender"] = vignette["sex"]
    if vignette.get("age") is not None:
        patient["birthDate"] = (DAY - timedelta(days=round(float(vignette["age"]) * 365.25 + 90))).isoformat()
    yield patient
    for item in vignette.get("conditions", ()):
        yield {
            "resourceType": "Condition", "subject": _PATIENT, "recordedDate": DAY.isoformat(), "code": {"text": item["text"]},
            "verificationStatus": {"coding": [{"code": "refuted" if item.get("refuted") else "confirmed"}]},
            **({"bodySite": [{"text": site} for site in item["sites"]]} if item.get("sites") else {}), **_note(item),
        }  # fmt: skip
    for item in vignette.get("labs", ()):
        result: dict[str, Any] = {}
        if item.get("value") is not None:
            result["valueQuantity"] = {"value": item["value"], **({"unit": item["unit"]} if item.get("unit") else {})}
        if item.get("flag"):
            result["interpretation"] = [{"coding": [{"system": _FLAGS, "code": item["flag"]}]}]
        yield {
            "resourceType": "Observation", "status": "final", "subject": _PATIENT, "effectiveDateTime": DAY.isoformat(),
            "code": {"text": item["name"]}, **result, **_note(item),
        }  # fmt: skip
    for item in vignette.get("reports", ()):
        yield {
            "resourceType": "DiagnosticReport", "status": "final", "subject": _PATIENT, "effectiveDateTime": DAY.isoformat(),
            "code": {"text": item["code"]}, "conclusion": item["conclusion"],
        }  # fmt: skip
    for item in vignette.get("drugs", ()):
        yield {
            "resourceType": "MedicationStatement", "status": "active", "subject": _PATIENT, "effectiveDateTime": DAY.isoformat(),
            "medicationCodeableConcept": {"text": item["text"]}, **_note(item),
        }  # fmt: skip
    for item in vignette.get("procedures", ()):
        yield {
            "resourceType": "Procedure", "status": "completed", "subject": _PATIENT, "performedDateTime": DAY.isoformat(),
            "code": {"text": item["text"]}, **_note(item),
        }  # fmt: skip


def _note(item: dict[str, Any]) -> dict[str, Any]:
    return {"note": [{"text": item["note"]}]} if item.get("note") else {}
