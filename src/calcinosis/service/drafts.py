"""Draft orders of a call: which can be checked, and why the others cannot.

A draft is read as if it were carried out, undated, for the patient of the call. What cannot be read is told: silence would pass for "safe".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from calcinosis.events import Batch
from calcinosis.service.prefetch import name_of, unpacked
from calcinosis.sources.fhir_columns import RESOURCE_TYPES
from calcinosis.sources.fhir_one import reference_id

Json = dict[str, Any]

_CARRIED_OUT: Final = {"MedicationRequest": "active", "Procedure": "in-progress"}
_DATES: Final = ("authoredOn", "occurrenceDateTime", "occurrencePeriod", "performedDateTime", "performedPeriod", "dispenseRequest")
_CHECKED: Final = ("MedicationRequest", "ServiceRequest")
_OTHER_DRUG_RECORDS: Final = ("MedicationStatement", "MedicationAdministration", "MedicationDispense")
_LOINC: Final = "http://loinc.org"
_UNREADABLE: Final = "an entry without a resource that can be read"
_NOT_R4: Final = "it is written in another version of FHIR than R4"
_NOT_SENT: Final = "it refers to a Medication that was not sent, and does not name the drug"
_NO_CODE: Final = "it names neither a code nor a text"
_UNKNOWN_CODE: Final = "the knowledge base does not know its code, and no name stands beside it"


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft order.

    Attributes:
        name: tells it from the other drafts.
        called: "MedicationRequest/103", as the client calls it; None where it has no id.
        alone: whether no other draft is called so.
        shown: what is ordered, in the words of the order.
        resources: what to read; empty when nothing of it is a drug or procedure.
        why_not: why it cannot be checked.
    """

    name: str
    called: str | None = None
    alone: bool = False
    shown: str = ""
    resources: tuple[Json, ...] = ()
    why_not: str | None = None

    @property
    def reference(self) -> str | None:
        """What names this draft and no other."""
        return self.called if self.alone else None


@dataclass(frozen=True, slots=True)
class NotChecked:
    """An order about which nothing can be said, and why."""

    name: str
    shown: str
    why: str


def read_drafts(bundle: Mapping[str, Any], patient_id: str, record: Iterable[Json | None] = ()) -> list[Draft]:
    """The drafts in the order sent. ``record``: where a Medication may stand that is not among the drafts."""
    resources = list(unpacked({"resourceType": "Bundle", "entry": bundle.get("entry")}))
    drugs = _medications(resources) | _medications(record)
    names = [_called(each) for each in resources]
    drafts = []
    for place, (resource, called) in enumerate(zip(resources, names, strict=True), start=1):
        if resource is None:
            drafts.append(Draft(f"entry {place}", why_not=_UNREADABLE))
        elif resource["resourceType"] != "Medication":
            alone = called is not None and names.count(called) == 1
            name = called if called and alone else f"{called or _short(resource['resourceType'])} (entry {place})"
            drafts.append(_draft(Draft(name, called, alone), resource, drugs, patient_id))
    return drafts


def selected(drafts: Sequence[Draft], bundle: Mapping[str, Any], selections: Sequence[str]) -> tuple[list[Draft], list[NotChecked]]:
    """The selected drafts, with the entries that could not be read; and the selections that name none."""
    addresses = _addresses(bundle)
    wanted = {addresses.get(each, each): each for each in selections}
    chosen = [draft for draft in drafts if draft.called in wanted or draft.why_not == _UNREADABLE]
    known = {draft.called for draft in drafts}
    lost = [NotChecked(each, "", "it is selected, and not among the draft orders") for name, each in wanted.items() if name not in known]
    return chosen, lost


def not_understood(draft: Draft, read: Batch) -> str | None:
    """Why nothing can be said of an order that was read; None where it was understood, or is named and no rule is about it."""
    if draft.why_not or not draft.resources or read.events.height:
        return draft.why_not
    order = draft.resources[0]
    drug = order.get("medicationReference")
    if isinstance(drug, Mapping) and not order.get("medicationCodeableConcept") and not drug.get("display"):
        inside = str(drug.get("reference", "")).startswith("#")
        if len(draft.resources) == 1 and not (inside and order.get("contained")):
            return _NOT_SENT
    codings = _codings(draft.resources)
    if draft.shown or any(each.get("system") == _LOINC for each in codings):  # a name was read; a LOINC code is a test, and no treatment
        return None
    return _UNKNOWN_CODE if any(each.get("code") for each in codings) else _NO_CODE


def _draft(named: Draft, order: Json, drugs: Mapping[str, Json], patient_id: str) -> Draft:
    """The draft with what it orders, or why that cannot be checked."""
    kind = order["resourceType"]
    if kind not in _CHECKED:
        why = None if kind in RESOURCE_TYPES and kind not in _OTHER_DRUG_RECORDS else f"{_short(kind)} is no order of FHIR R4"
        return replace(named, why_not=why)
    if isinstance(order.get("medication"), dict) or (isinstance(order.get("code"), dict) and "concept" in order["code"]):
        return replace(named, why_not=_NOT_R4)
    drug = drugs.get(reference_id(order.get("medicationReference")) or "")
    parts = (_as_if_done(order, patient_id), *([drug] if drug else []))
    return replace(named, shown=_words(parts), resources=parts)


def _as_if_done(resource: Json, patient_id: str) -> Json:
    done = {name: value for name, value in resource.items() if name not in _DATES}
    if done["resourceType"] == "ServiceRequest":
        done["resourceType"] = "Procedure"
    return done | {"status": _CARRIED_OUT[done["resourceType"]], "subject": {"reference": f"Patient/{patient_id}"}}


def _medications(resources: Iterable[Json | None]) -> dict[str, Json]:
    found = [each for each in resources if each is not None and each.get("resourceType") == "Medication"]
    return {each["id"]: each for each in found if isinstance(each.get("id"), str)}


def _called(resource: Json | None) -> str | None:
    name = name_of(resource)
    return "/".join(name) if name else None


def _addresses(bundle: Mapping[str, Any]) -> dict[str, str]:
    """fullUrl -> "Type/id", for a client that selects by address."""
    found = {}
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        address = entry.get("fullUrl") if isinstance(entry, dict) else None
        called = _called(next(unpacked({"resourceType": "Bundle", "entry": [entry]}), None))
        if isinstance(address, str) and called:
            found[address] = called
    return found


def _concepts(parts: Iterable[Json]) -> list[Mapping[str, Any]]:
    """What the parts of an order say they are, coded and in words; a contained Medication too."""
    found: list[Any] = []
    for part in parts:
        found += [part.get("medicationCodeableConcept"), part.get("code")]
        inside = part.get("contained")
        found += [each.get("code") for each in inside if isinstance(each, dict)] if isinstance(inside, list) else []
    return [each for each in found if isinstance(each, Mapping)]


def _codings(parts: Iterable[Json]) -> list[Mapping[str, Any]]:
    listed = [concept.get("coding") for concept in _concepts(parts)]
    return [coding for each in listed if isinstance(each, list) for coding in each if isinstance(coding, Mapping)]


def _words(parts: Sequence[Json]) -> str:
    """The first name that an order gives of what is ordered."""
    drug = parts[0].get("medicationReference")
    said = [
        *(concept.get("text") for concept in _concepts(parts)),
        *(coding.get("display") for coding in _codings(parts)),
        drug.get("display") if isinstance(drug, Mapping) else None,
    ]
    return next((each.strip() for each in said if isinstance(each, str) and each.strip()), "")


def _short(kind: str) -> str:
    return kind if len(kind) <= 60 else kind[:60] + "…"
