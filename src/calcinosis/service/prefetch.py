"""What the services ask for, and what a call really brought.

The templates are searches that a server must support under US Core (patient with category, code or intent), or that a server with the
resources of the International Patient Summary offers. A client that cannot satisfy one leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from calcinosis.events import PATIENT_SCHEMA, REJECT_SCHEMA, Batch
from calcinosis.service.searchset import entries_of, falls_short, next_page, says_failed
from calcinosis.sources.spool import Entry, resources_of

Json = dict[str, Any]

_LOINC: Final = "http://loinc.org"
_BODY: Final = ",".join(f"{_LOINC}|{code}" for code in ("8302-2", "29463-7"))  # height and weight: dose and clearance rules need them
TEMPLATES: Final = {
    "patient": "Patient/{{context.patientId}}",
    "conditions": "Condition?patient={{context.patientId}}",
    "laboratory": "Observation?patient={{context.patientId}}&category=laboratory",
    "body": f"Observation?patient={{{{context.patientId}}}}&code={_BODY}",
    "vitals": "Observation?patient={{context.patientId}}&category=vital-signs",
    "examination": "Observation?patient={{context.patientId}}&category=exam",
    "imaging": f"DiagnosticReport?patient={{{{context.patientId}}}}&category={_LOINC}|LP29684-5",
    "pathology": f"DiagnosticReport?patient={{{{context.patientId}}}}&category={_LOINC}|LP7839-6",
    "procedures": "Procedure?patient={{context.patientId}}",
    "medicationRequests": "MedicationRequest?patient={{context.patientId}}&intent=order&_include=MedicationRequest:medication",
    "medicationStatements": "MedicationStatement?patient={{context.patientId}}",
    "administrations": "MedicationAdministration?patient={{context.patientId}}",
    "dispenses": "MedicationDispense?patient={{context.patientId}}",
    "documents": "DocumentReference?patient={{context.patientId}}",
    "allergies": "AllergyIntolerance?patient={{context.patientId}}",
    "devices": "Device?patient={{context.patientId}}",
    "immunizations": "Immunization?patient={{context.patientId}}",
}
_WORDS: Final = {
    "patient": "the patient's birth date and sex", "conditions": "diagnoses", "laboratory": "laboratory results",
    "body": "height and weight", "vitals": "temperature and blood pressure",
    "examination": "findings on examination", "imaging": "imaging reports",
    "pathology": "pathology reports", "procedures": "procedures", "medicationRequests": "prescriptions",
    "medicationStatements": "drugs taken", "administrations": "drugs given",
    "dispenses": "drugs dispensed", "documents": "letters and notes", "allergies": "allergies", "devices": "devices",
    "immunizations": "vaccinations",
}  # fmt: skip
_EITHER: Final = (("medicationRequests", "medicationStatements"),)  # one of them is enough
# few servers have them; their lack is not worth a line on each card
_OPTIONAL: Final = frozenset({"body", "examination", "devices", "immunizations", "administrations", "dispenses", "documents"})


def provided(prefetch: Mapping[str, Any]) -> frozenset[str]:
    """Keys that brought a whole answer, an empty one too. ``null``, an ``OperationOutcome`` and a list that goes on elsewhere are none."""
    return frozenset(key for key, value in prefetch.items() if _kind(value) not in (None, "OperationOutcome") and not _cut_short(value))


def _cut_short(bundle: Mapping[str, Any]) -> bool:
    """Whether a search answer has a next page, reports an error beside its matches, or holds fewer of them than it counts."""
    listed = entries_of(bundle)
    return next_page(bundle) is not None or any(map(says_failed, listed)) or falls_short(bundle.get("total"), listed)


def absent(brought: frozenset[str]) -> tuple[str, ...]:
    """In words, what stays unknown."""
    lacking = [key for key in TEMPLATES if key not in brought and key not in _OPTIONAL]
    for group in _EITHER:
        if brought & set(group):
            lacking = [key for key in lacking if key not in group]
    return tuple(_WORDS[key] for key in lacking)


def unanswered(brought: Iterable[str]) -> tuple[str, ...]:
    """In words, every search that brought no answer."""
    return tuple(_WORDS[key] for key in TEMPLATES if key not in frozenset(brought))


def queries(patient_id: str, brought: frozenset[str]) -> dict[str, str]:
    """The searches that a call did not bring, with the patient filled in."""
    return {key: text.replace("{{context.patientId}}", patient_id) for key, text in TEMPLATES.items() if key not in brought}


def entries(prefetch: Mapping[str, Any]) -> list[Json | None]:
    """Every resource in any value of a prefetch: a resource, or a Bundle of any type (a patient summary too), each once.

    References by ``fullUrl`` are resolved within their Bundle. An entry that holds no resource stays as None, so that the reader accounts
    for it; so do two versions of one resource.
    """
    found: dict[tuple[str, str], Json] = {}
    others: list[Json | None] = []
    for resource in (each for value in prefetch.values() for each in unpacked(value)):
        name = name_of(resource)
        if name is None or found.setdefault(name, resource or {}) != resource:
            others.append(resource)
    return [*found.values(), *others]


def _kind(value: Any) -> str | None:
    kind = value.get("resourceType") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None


def name_of(resource: Json | None) -> tuple[str, str] | None:
    """Type and id of a resource that has both."""
    kind, key = (resource or {}).get("resourceType"), (resource or {}).get("id")
    return (kind, key) if isinstance(kind, str) and isinstance(key, str) else None


def unpacked(value: Any) -> Iterator[Json | None]:
    """The resources of a Bundle, or the one that ``value`` is; None in place of an entry without one."""
    if _kind(value) in (None, "OperationOutcome"):
        return
    for found in resources_of(value):
        if isinstance(found, Entry):
            if found.resource["resourceType"] != "OperationOutcome":
                yield found.resource
        elif found.level == "error":
            yield None


# --- the patient of the call -------------------------------------------------------------------------


class OtherPatient(Exception):
    """The record is not that of the patient of the call."""


def only(batch: Batch, patient_id: str) -> Batch:
    """The batch of the patient whom the call is about. Entries about others are counted and not looked at.

    Raises:
        OtherPatient: everything that was sent is about somebody else.
    """
    if batch.patients["subject_id"].to_list() == [patient_id] and (batch.events["subject_id"] == patient_id).all():
        return batch  # the usual case
    patients = batch.patients.filter(pl.col("subject_id") == patient_id)
    if patients.is_empty():
        patients = pl.DataFrame([{"subject_id": patient_id}], schema=PATIENT_SCHEMA)
    events = batch.events.filter(pl.col("subject_id") == patient_id)
    others = batch.events.filter(pl.col("subject_id") != patient_id)["source"].n_unique()
    if others and events.is_empty():
        raise OtherPatient
    left_out = [(None, None, "another patient", "warning", "other_patient", f"{others} entries were not looked at")] if others else []
    told = pl.DataFrame(left_out, schema=REJECT_SCHEMA, orient="row")
    return replace(batch, patients=patients, events=events, rejects=pl.concat([told, batch.rejects]))
