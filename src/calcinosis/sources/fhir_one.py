"""One patient in process: the same flat rows as :mod:`~calcinosis.sources.fhir_tables` makes, without a database.

Both follow the lists of :mod:`~calcinosis.sources.fhir_columns`, and a test with random resources holds them to the same answer.
Planning one SQL statement takes longer than all of this.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from calcinosis.events import COMPARATORS
from calcinosis.sources.fhir_account import Account
from calcinosis.sources.fhir_columns import (
    COMPONENT,
    LAYOUTS,
    MAX_BASE64,
    MEDICATION_TYPES,
    NEEDS_NO_SUBJECT,
    NUMBER_PATTERN,
    RESOURCE_TYPES,
    RESULT,
    Layout,
)
from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import PATIENT_ROWS, TypedRow
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.fhir_values import UCUM, read_birth_date, read_moment, read_sex
from calcinosis.sources.spool import Entry, Reject

_REMEMBERED: Final = 20_000  # distinct sayings whose meaning is kept
_NOTHING: Final = Layout(())
_NUMBER: Final = re.compile(NUMBER_PATTERN)
_CONDITIONAL: Final = re.compile(r"(?:^|/)Patient[?]")
_TYPED_REFERENCE: Final = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([^/]+)(?:/_history/[^/]*)?$")
_LAST_PART: Final = re.compile(r"([^/:#]+)(?:/_history/[^/]*)?$")


class Row(NamedTuple):
    """The flat row of one resource, or of one component."""

    place: int
    kind: str
    id: str | None
    subject: str | None
    start: str | None
    end: str | None
    parts: dict[str, Any]
    quantity: Any
    components: list[Any] | None
    updated: datetime | None = None  # when this version of the resource was made


class Remembered:
    """The mapper, with what it said before."""

    def __init__(self, mapper: FhirMapper) -> None:
        self._mapper = mapper
        self._known: dict[tuple[str, bytes], Meaning] = {}

    def __call__(self, kind: str, packed: bytes) -> Meaning:
        """Made of the packed fields and nothing else: what packs alike (NaN and null) would else share the meaning that came first."""
        known = self._known.get((kind, packed))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[kind, packed] = self._mapper(kind, orjson.loads(packed))
        return known


def flat_rows(entries: Iterable[Entry]) -> Iterator[Row]:
    """The counterpart of :func:`calcinosis.sources.fhir_columns.projection`."""
    for place, resource in ((entry.place, entry.resource) for entry in entries):
        kind, key = str(resource["resourceType"]), _simple(resource.get("id"))
        reference = _reference(resource)
        layout = LAYOUTS.get(kind, _NOTHING)
        components = resource.get("component") if kind == "Observation" else None
        yield Row(
            place, kind, key, _subject(kind, key, reference), _first(resource, layout.start), _first(resource, layout.end),
            _packed(kind, layout.packed, resource, reference), resource.get("valueQuantity") if kind == "Observation" else None,
            components if isinstance(components, list) else None, read_moment(_varchar(_inside(resource.get("meta"), "lastUpdated"))),
        )  # fmt: skip


def settle(rows: Iterable[Row], account: Account, file: int) -> list[Row]:
    """The rows that can be used, with their components; the counterpart of :meth:`Account.settle`."""
    kept: list[Row] = []
    rows = list(rows)
    stays = _newest(rows)
    for number, row in enumerate(rows):
        category = _unusable(row, other_stays=row.id is not None and stays[row.kind, row.id] != number)
        if category:
            account.add_row_reject(file, row.place, row.kind, row.id, category)
            continue
        account.read += 1
        if row.kind not in LAYOUTS or (row.kind == "Device" and row.subject is None):
            account.ignored += 1
        else:
            kept.append(row)
    drugs = {row.id: row.parts["code"] for row in kept if row.kind == "Medication" and row.id and row.parts.get("code") is not None}
    for row in list(kept):
        if drugs and row.kind in MEDICATION_TYPES and "medicationCodeableConcept" not in row.parts:
            drug = drugs.get(reference_id(row.parts.get("medicationReference")) or "")
            row.parts.update({} if drug is None else {"medicationCodeableConcept": drug})
        kept += [component_row(row, component) for component in row.components or ()]
    return kept


def typed_rows(rows: list[Row], remembered: Remembered, account: Account, file: int) -> tuple[list[TypedRow], dict[int, Meaning]]:
    """The rows that say something, with dates and numbers read, numbered by what they mean; and the meanings."""
    said = [(row, orjson.dumps(row.parts, option=orjson.OPT_SORT_KEYS)) for row in rows if row.kind != "Patient"]
    counts = Counter((row.kind, packed) for row, packed in said)
    meanings: dict[int, Meaning] = {}
    kept: dict[tuple[str, bytes], int] = {}
    values: list[TypedRow] = []
    seen: set[tuple[str, bytes]] = set()
    for row, packed in said:
        key = (row.kind, packed)
        if key not in seen:
            seen.add(key)
            meaning = remembered(row.kind, packed)
            if account.add_meaning(len(seen), row.kind, meaning, counts[key]) or meaning.drafts:
                kept[key] = len(seen)
                meanings[len(seen)] = meaning
        if key in kept:
            values.append(TypedRow._make((file, row.place, row.kind, row.id, row.subject, *typed_values(row), kept[key])))
    return values, meanings


def typed_values(row: Row) -> tuple[Any, ...]:
    """The fields of ``TypedRow`` from ``time`` to ``bad_value``."""
    time, end, quantity = read_moment(row.start), read_moment(row.end), _quantity(row.quantity)
    return (
        time, end, *quantity, row.start is not None and time is None, row.end is not None and end is None,
        row.quantity is not None and quantity[0] is None,
    )  # fmt: skip


def patient_rows(rows: list[Row], file: int) -> pl.DataFrame:
    """The patients, and the subjects without a Patient resource."""
    known = {row.subject for row in rows if row.kind == "Patient"}
    others = dict.fromkeys(row.subject for row in rows if row.subject is not None and row.subject not in known)
    values: list[tuple[Any, ...]] = []
    for row in rows:
        if row.kind == "Patient":
            born = read_birth_date(row.start)
            sex, bad_birth = read_sex(row.parts.get("gender")), row.start is not None and born is None
            values.append((row.subject, born, f"Patient/{row.id}", file, row.place, True, sex, bad_birth))
    values += [(subject, None, None, None, None, False, None, False) for subject in others]
    return pl.DataFrame(values, schema=PATIENT_ROWS, orient="row")


def contained_subjects(rows: list[Row]) -> list[tuple[str, Any]]:
    return [(row.subject, row.parts.get("contained")) for row in rows if row.subject is not None and "#" in row.subject]


# --- pieces ------------------------------------------------------------------------------------------------


def _newest(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Type and id -> the place of its newest version among the rows; of equally new ones the first."""
    found: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows):
        if row.id is None:
            continue
        before = found.setdefault((row.kind, row.id), number)
        if row.updated is not None and (rows[before].updated or datetime.min) < row.updated:
            found[row.kind, row.id] = number
    return found


def _unusable(row: Row, *, other_stays: bool) -> str | None:
    """The category of a row that must be rejected."""
    if row.kind not in RESOURCE_TYPES:
        return "unknown_resource_type"
    if row.kind not in LAYOUTS:
        return None
    if other_stays:
        return "duplicate_id"
    if row.subject is None and row.kind not in NEEDS_NO_SUBJECT:
        return "no_id" if row.kind == "Patient" else "no_subject"
    return None


def _varchar(value: Any) -> str | None:
    """A JSON value as DuckDB reads it into a text column."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _simple(value: Any) -> str | None:
    """A text or number; an object or list is no id and no reference."""
    return None if isinstance(value, (dict, list)) else _varchar(value)


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _first(resource: Mapping[str, Any], paths: tuple[str, ...]) -> str | None:
    for path in paths:
        value: Any = resource
        for name in path.split("."):
            value = _inside(value, name)
        if value is not None:
            return _varchar(value)
    return None


def _reference(resource: Mapping[str, Any]) -> str | None:
    subject = _inside(resource.get("subject"), "reference")
    return _simple(subject if subject is not None else _inside(resource.get("patient"), "reference"))


def _subject(kind: str, key: str | None, reference: str | None) -> str | None:
    """The id of the patient that a reference names; None for a Group or Device."""
    if reference is not None and reference.startswith("Patient/") and "/_history/" not in reference:
        return reference[8:] or None
    if kind == "Patient":
        return key
    if reference is None:
        return None
    if reference.startswith("#"):
        return f"{kind}/{key or ''}{reference}"
    if reference.startswith("urn:"):
        return reference.rsplit(":", 1)[1] or None
    if "?" in reference:
        return reference.split("?")[1] or None if _CONDITIONAL.search(reference) else None
    typed = _TYPED_REFERENCE.search(reference)
    if typed:
        return typed[2] if typed[1] == "Patient" else None
    return reference.rsplit("/", 1)[-1] or None


def reference_id(reference: Any) -> str | None:
    """The last part of what a reference names."""
    target = _inside(reference, "reference")
    found = _LAST_PART.search(target) if isinstance(target, str) else None
    return found[1] if found else None


def _packed(kind: str, names: tuple[str, ...], resource: Mapping[str, Any], reference: str | None) -> dict[str, Any]:
    parts = {name: resource[name] for name in names if resource.get(name) is not None}
    if "contained" in parts:
        drug = _inside(parts.get("medicationReference"), "reference")
        inside = parts["contained"] if kind == "DiagnosticReport" and isinstance(parts["contained"], list) else []
        results = any(_inside(each, "resourceType") == "Observation" for each in inside)
        if not (reference or "").startswith("#") and not (isinstance(drug, str) and drug.startswith("#")) and not results:
            del parts["contained"]
    if "specimen" in parts:
        shown = _inside(parts.pop("specimen"), "display")
        parts |= {} if shown is None else {"specimen": shown}
    for name, inner in (("content", "attachment"), ("presentedForm", None)):
        if name in parts:
            parts[name] = _attachments(parts[name], inner)
    return parts


def _attachments(value: Any, inner: str | None) -> list[dict[str, Any]] | None:
    if not isinstance(value, list):
        return None
    found = []
    for item in value:
        attachment = _inside(item, inner) if inner else item
        kind, url, data = (_varchar(_inside(attachment, name)) for name in ("contentType", "url", "data"))
        size = None if data is None else len(data.encode())
        found.append({"contentType": kind, "url": url, "size": size, "data": data if size is not None and size <= MAX_BASE64 else None})
    return found


def component_row(row: Row, component: Any) -> Row:
    """A part of an Observation that has a result of its own."""
    parts = {"status": row.parts["status"]} if "status" in row.parts else {}
    if isinstance(component, dict):
        parts |= {name: component[name] for name in RESULT if component.get(name) is not None}
    return row._replace(kind=COMPONENT, parts=parts, quantity=_inside(component, "valueQuantity"), components=None)


def _number(quantity: Any) -> float | None:
    value = _inside(quantity, "value")
    if type(value) is float:  # JSON has no other than finite ones
        return value if math.isfinite(value) else None
    text = _varchar(value)
    if text is None or not _NUMBER.match(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _quantity(quantity: Any) -> tuple[float | None, str | None, str | None, str | None, str | None]:
    """Number, comparator, unit (the UCUM code when there is one), and both spellings of the unit."""
    if quantity is None:
        return _NO_QUANTITY
    comparator, unit, system, code = [_varchar(_inside(quantity, name)) for name in ("comparator", "unit", "system", "code")]
    first, second = (code, unit) if system == UCUM else (unit, code)
    shown = first if first is not None else second
    return _number(quantity), comparator if comparator in COMPARATORS else None, shown, code, unit


_NO_QUANTITY: Final = (None, None, None, None, None)


def as_json(entries: list[Entry | Reject]) -> list[Entry | Reject]:
    """The entries, with those rejected that could not have come from a file."""
    found = [entry for entry in entries if isinstance(entry, Entry)]
    if _can_be_written([entry.resource for entry in found]):
        return entries
    return [
        entry
        if isinstance(entry, Reject) or _can_be_written(entry.resource)
        else Reject("malformed_json", "cannot be written as JSON", record=f"entry[{entry.place - 1}]")
        for entry in entries
    ]


def _can_be_written(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
