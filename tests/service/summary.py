"""A patient summary as a document Bundle, whose entries name one another by ``fullUrl``."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

Json = dict[str, Any]


def address_of(kind: str, key: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{kind}/{key}')}"


def patient_summary(record: Json) -> Json:
    """The record as the International Patient Summary would carry it: a Composition first, every reference by ``fullUrl``."""
    resources = [entry["resource"] for entry in record["entry"]]
    patient = next(each for each in resources if each["resourceType"] == "Patient")
    about = {"reference": address_of("Patient", patient["id"])}
    composition = {"resourceType": "Composition", "id": "summary", "status": "final", "subject": about, "title": "Patient summary"}
    entries = [{"fullUrl": address_of("Composition", "summary"), "resource": composition}]
    entries += [{"fullUrl": address_of(each["resourceType"], each["id"]), "resource": _by_address(each, about)} for each in resources]
    return {"resourceType": "Bundle", "type": "document", "timestamp": "2026-01-10T08:00:00Z", "entry": entries}


def _by_address(resource: Json, about: Json) -> Json:
    changed = dict(resource)
    for name in ("subject", "patient"):
        if name in resource:
            changed[name] = about
    drug = resource.get("medicationReference")
    if drug:
        changed["medicationReference"] = {"reference": address_of(*drug["reference"].split("/"))}
    return changed
