"""The record of the patient of a launch, and what of it could not be had: that stays unknown, and is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from calcinosis.service.fhir_client import FhirClient
from calcinosis.service.fhir_version import FhirVersion
from calcinosis.service.prefetch import TEMPLATES, entries, provided, queries, unanswered
from calcinosis.service.smart_scopes import allowed, kind_of

Json = dict[str, Any]

_PAGE: Final = "_count=200"  # fewer round trips; a server may send fewer at a time
_HL7: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
# Outside the United States reports carry the older categories; either of the two searches is an answer.
_ALSO: Final = {
    "imaging": ("imaging-hl7", f"DiagnosticReport?patient={{}}&category={_HL7}|RAD"),
    "pathology": ("pathology-hl7", f"DiagnosticReport?patient={{}}&category={_HL7}|PAT"),
}
_PATIENT: Final = re.compile(r"(?:^|/)Patient/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?$")

KINDS: Final = frozenset({kind_of(text) for text in TEMPLATES.values()} | {"Medication"})  # included with the prescriptions


class NoPatient(Exception):
    """The server does not give the patient of the launch."""


class NotR4(Exception):
    """The server speaks another FHIR than this service reads."""

    def __init__(self, version: FhirVersion) -> None:
        super().__init__(version.remark)


@dataclass(frozen=True, slots=True)
class Record:
    """Resources of one patient.

    Attributes:
        resources: None in place of an entry that holds none; the reader accounts for it.
        lacking: in words, what could not be fetched in full.
        others: how many entries the server sent that are another patient's; they are left out.
        remark: about the server's version of FHIR.
    """

    patient: Json
    resources: list[Json | None]
    lacking: tuple[str, ...]
    others: int
    remark: str | None = None


async def fetch_record(fhir: FhirClient, server: str, token: str, patient_id: str, scopes: str, seconds: float) -> Record:
    """Everything that the searches of the services ask for, as far as ``scopes`` go.

    Raises:
        NotR4: the server says that it speaks another FHIR.
        NoPatient: not even the patient could be had.
    """
    may, narrowed = allowed(scopes, _searches(patient_id))
    answer = await fhir.fetch(server, token, may, seconds=seconds)
    fetched, version = answer.found, answer.version or FhirVersion()
    if not version.is_read:
        raise NotR4(version)
    patient = fetched.get("patient")
    if patient is None or patient.get("resourceType") != "Patient" or patient.get("id") != patient_id:
        raise NoPatient
    answered = set(provided(fetched) - narrowed)
    for key, (other, _) in _ALSO.items():
        if other in answered:
            answered.add(key)
    found = entries(fetched)
    own = [each for each in found if each is None or _is_of(each, patient_id)]
    return Record(patient, own, unanswered(answered), len(found) - len(own), version.remark)


def _searches(patient_id: str) -> dict[str, str]:
    asked = queries(patient_id, frozenset()) | {key: text.format(patient_id) for key, text in _ALSO.values()}
    return {key: f"{text}&{_PAGE}" if "?" in text else text for key, text in asked.items()}


def _is_of(resource: Mapping[str, Any], patient_id: str) -> bool:
    """False for an entry that names another patient. One that names nobody was found by a search for this patient."""
    if resource.get("resourceType") == "Patient":
        return resource.get("id") == patient_id
    named = {match[1] for text in _subjects(resource) if (match := _PATIENT.search(text))}
    return not named or patient_id in named


def _subjects(resource: Mapping[str, Any]) -> Iterable[str]:
    for name in ("subject", "patient"):
        about = resource.get(name)
        reference = about.get("reference") if isinstance(about, Mapping) else None
        if isinstance(reference, str):
            yield reference


def banner(patient: Mapping[str, Any]) -> str:
    """Whom the page is about, so that nobody mistakes one patient for another: name, birth date, sex."""
    parts = [_name(patient.get("name")), _text(patient.get("birthDate"), "born {}"), _text(patient.get("gender"), "{}")]
    return ", ".join(part for part in parts if part)


def _name(names: Any) -> str:
    """The official name, else the first."""
    found = [each for each in names if isinstance(each, Mapping)] if isinstance(names, list) else []
    found.sort(key=lambda each: each.get("use") != "official")
    for each in found:
        if isinstance(each.get("text"), str) and each["text"].strip():
            return " ".join(each["text"].split())
        given = each.get("given")
        parts = [part for part in (*(given if isinstance(given, list) else ()), each.get("family")) if isinstance(part, str) and part]
        if parts:
            return " ".join(parts)
    return ""


def _text(value: Any, form: str) -> str:
    return form.format(value) if isinstance(value, str) and value else ""
