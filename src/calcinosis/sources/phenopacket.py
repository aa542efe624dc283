"""Reads GA4GH Phenopackets (version 2, JSON) into events: single phenopackets, the proband of a family, the members of a cohort.

One record is one element: a phenotypic feature, disease, measurement, medical action, biosample or interpretation.
An age becomes a date only where the date of birth is given; every other event keeps a null time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_frames import until_said
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.phenopacket_events import PhenopacketMapper, Span
from calcinosis.sources.phenopacket_model import (
    COHORT_FIELDS,
    FAMILY_FIELDS,
    PACKET_FIELDS,
    SECTIONS,
    Individual,
    problems_of,
    unknown_fields,
)
from calcinosis.sources.phenopacket_times import Clock, age_of, shifted, timestamp, utc
from calcinosis.sources.text import TextReader

PATIENTS_PER_BATCH: Final = 2000
ENCOUNTER: Final = "phenopacket/timeAtLastEncounter"  # code of the event that dates the last encounter; it has no concept
_SEX: Final = {"FEMALE": "female", "MALE": "male", 1: "female", 2: "male"}
_NO_SEX: Final = ("", "UNKNOWN_SEX", "OTHER_SEX", 0, 3)


def is_phenopacket(obj: dict[str, Any]) -> bool:
    """Whether a JSON object looks like a phenopacket, family or cohort (and not, say, like a FHIR resource)."""
    if not isinstance(obj, dict) or "resourceType" in obj:
        return False
    fields = _camel(obj)
    if isinstance(fields.get("proband"), dict) or SECTIONS.keys() & fields.keys():
        return True
    members = fields.get("members")
    if isinstance(members, list):
        return all(isinstance(member, dict) and bool(PACKET_FIELDS & _camel(member).keys()) for member in members)
    meta = fields.get("metaData")
    if isinstance(meta, dict) and "phenopacketSchemaVersion" in _camel(meta):
        return True
    return isinstance(fields.get("subject"), dict) and "metaData" in fields


def read_phenopacket(obj: dict[str, Any], index: ConceptIndex, reader: TextReader, *, source_file: str = "") -> Batch:
    """Reads one phenopacket, family or cohort that is in memory."""
    packets = _Reader(index, reader)
    packets.document(obj, source_file)
    return packets.batch()


def read_phenopackets(paths: Sequence[Path], index: ConceptIndex, reader: TextReader) -> Iterator[Batch]:
    """Reads JSON files (of a folder, every ``*.json`` below it), some thousand patients at a time.

    A file holds one phenopacket, family or cohort, or a list of them. What cannot be read is in ``Batch.rejects``.
    """
    packets = _Reader(index, reader)
    some = False
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            packets.file(file)
            if len(packets.patients) >= PATIENTS_PER_BATCH:
                yield packets.batch()
                some = True
    if packets.patients or packets.rejects or not some:
        yield packets.batch()


# --- packets -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Collects patients, events and the account of what was not used until :meth:`batch` hands them over."""

    index: ConceptIndex
    reader: TextReader
    patients: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    unmapped: Counter[tuple[str, str | None, str | None, str | None]] = field(default_factory=Counter)
    not_read: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    subjects: set[str] = field(default_factory=set)
    mapper: PhenopacketMapper = field(init=False)

    def __post_init__(self) -> None:
        self.mapper = PhenopacketMapper(self.index, self.reader)

    def batch(self) -> Batch:
        """What was read since the last call."""
        unmapped = [(*key, n) for key, n in self.unmapped.most_common()]
        batch = Batch(
            patients=pl.DataFrame(self.patients, schema=PATIENT_SCHEMA, orient="row"),
            events=pl.DataFrame(self.events, schema=EVENT_SCHEMA, orient="row"),
            rejects=pl.DataFrame(self.rejects, schema=REJECT_SCHEMA, orient="row"),
            unmapped=pl.DataFrame(unmapped, schema=UNMAPPED_SCHEMA, orient="row"),
            records_read=self.counts.total(),
            records_used=self.counts["used"],
            records_ignored=self.counts["ignored"],
            records_rejected=self.counts["rejected"],
            not_read={what: n for what, n in self.not_read.items() if n},
        )
        self.patients, self.events, self.rejects = [], [], []
        self.unmapped, self.not_read, self.counts = Counter(), Counter(), Counter()
        return batch

    def file(self, path: Path) -> None:
        try:
            obj = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except OSError as error:
            self.reject(str(path), None, "unreadable_file", error.strerror or type(error).__name__)
        except (orjson.JSONDecodeError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            self.reject(str(path), None, "malformed_json", getattr(error, "msg", "nested too deeply"), line=line)
        else:
            for n, item in enumerate(obj) if isinstance(obj, list) else ((None, obj),):
                self.document(item, str(path), "" if n is None else f"[{n}].")

    def document(self, obj: Any, file: str, path: str = "") -> None:
        """A phenopacket, family or cohort; ``path`` is its place in the file."""
        if not isinstance(obj, dict) or not is_phenopacket(obj):
            self.reject(file, path.rstrip(".") or None, "not_a_phenopacket", "neither a phenopacket nor a family or cohort of phenopackets")
            return
        fields = _camel(obj)
        if "proband" in fields:
            self.unknown(fields, FAMILY_FIELDS, file, path)
            relatives = fields.get("relatives")
            self.not_read["relative of the proband"] += len(relatives) if isinstance(relatives, list) else 0
            for relative in relatives if isinstance(relatives, list) else ():
                self.counts["ignored"] += sum(_size(relative, name) for name in SECTIONS)
            self.packet(fields["proband"], file, f"{path}proband.", fields.get("metaData"))
        elif "members" in fields:
            self.unknown(fields, COHORT_FIELDS, file, path)
            for n, member in enumerate(fields["members"] if isinstance(fields["members"], list) else [fields["members"]]):
                self.packet(member, file, f"{path}members[{n}].", fields.get("metaData"))
        else:
            self.packet(obj, file, path, None)

    def packet(self, obj: Any, file: str, path: str, outer_meta: Any) -> None:
        """One phenopacket: its subject and every element."""
        if not isinstance(obj, dict):
            self.reject(file, path.rstrip("."), "wrong_type", "a phenopacket is an object")
            return None
        fields = _camel(obj)
        self.unknown(fields, PACKET_FIELDS, file, path)
        meta = _camel(next((each for each in (fields.get("metaData"), outer_meta) if isinstance(each, dict)), {}))
        elements = list(_elements(fields, path))
        if str(meta.get("phenopacketSchemaVersion") or "2").startswith("1"):
            return self.reject_all(elements, file, path, "unsupported_version", "Phenopackets version 1; convert it to version 2")
        subject = self.subject(fields, file, path)
        if subject is None or not subject.id.strip():
            return self.reject_all(elements, file, path, "no_subject", "the subject has no id (a string)")
        owner = subject.id.strip()
        name = self.own_name(owner, fields, file, path)
        clock = Clock(self.birth_date(subject, file, path))
        for record, section, value in elements:
            self.element(record, section, value, clock, owner, name, file)
        self.patient(subject, name, clock, meta, file, path)
        return None

    def subject(self, fields: dict[str, Any], file: str, path: str) -> Individual | None:
        raw = fields.get("subject")
        try:
            subject = Individual.model_validate(raw)
        except ValidationError as error:
            identifier = raw.get("id") if isinstance(raw, dict) else None
            if not isinstance(identifier, str):
                return None
            self.warn(file, f"{path}subject", "wrong_type", problems_of(error) + "; only the id was used")
            return Individual(id=identifier)
        self.warn_unknown(unknown_fields(subject), file, f"{path}subject")
        return subject

    def own_name(self, owner: str, fields: dict[str, Any], file: str, path: str) -> str:
        """The patient's id. The schema asks for a subject id that is unique in its packet only, so a repeated one is told apart."""
        name, packet = owner, fields.get("id")
        if name in self.subjects:
            name = f"{owner} ({packet.strip() if isinstance(packet, str) and packet.strip() else file})"
            base, n = name, 1
            while name in self.subjects:
                n += 1
                name = f"{base} {n}"
            reason = "another phenopacket has the same subject id; it is taken for another person"
            self.warn(file, f"{path}subject", "repeated_subject", reason)
        self.subjects.add(name)
        return name

    def birth_date(self, subject: Individual, file: str, path: str) -> date | None:
        if subject.date_of_birth is None:
            return None
        try:
            return timestamp(subject.date_of_birth).date()
        except ValueError:
            self.warn(file, f"{path}subject", "bad_time", "dateOfBirth is not a timestamp")
            return None

    def patient(self, subject: Individual, name: str, clock: Clock, meta: dict[str, Any], file: str, path: str) -> None:
        """The patient's row, and the event that dates the last encounter.

        An age at the last encounter without a date of birth is placed at the latest date of the packet, else at the packet's
        creation; the birth date follows from it. One day is added so that a whole number of years is reached.
        """
        source = f"{path}subject"
        sex = subject.sex.upper() if isinstance(subject.sex, str) else subject.sex
        if sex not in _SEX and sex not in _NO_SEX:
            self.warn(file, source, "unknown_sex", "sex is not one of FEMALE, MALE, OTHER_SEX, UNKNOWN_SEX")
        birth, encounter = clock.birth, None
        try:
            dated = clock.latest
            encounter = clock.read(subject.time_at_last_encounter)
            age = age_of(subject.time_at_last_encounter)
            if birth is None and age is not None:
                created = meta.get("created")
                encounter = dated or (utc(created) if isinstance(created, str) else None)
                if encounter is None:
                    self.warn(file, source, "no_date", "the age at the last encounter has no date beside it and was not used")
                else:
                    birth = shifted(encounter.date(), -age[0], -age[1] - 1)
        except (ValueError, OverflowError):
            self.warn(file, source, "bad_time", "the age at the last encounter, or the date it refers to, cannot be read")
        self.patients.append({"subject_id": name, "birth_date": birth, "sex": _SEX.get(sex), "source": source, "source_file": file})
        if encounter is not None:
            self.events.append(
                {"subject_id": name, "time": encounter, "code": ENCOUNTER, "certainty": "affirmed", "sites": [], "source": source,
                 "source_file": file}
            )  # fmt: skip

    def element(self, record: str, section: str, value: Any, clock: Clock, owner: str, name: str, file: str) -> None:
        try:
            element = SECTIONS[section].model_validate(value)
        except ValidationError as error:
            self.reject(file, record, "wrong_type", problems_of(error))
            return
        meaning, span = self.mapper(element, owner)
        if meaning.outcome == "rejected":
            self.reject(file, record, meaning.category or "", meaning.reason or "")
            return
        self.counts[meaning.outcome] += 1
        self.not_read += meaning.not_read
        if meaning.outcome == "ignored":
            self.not_read[meaning.category or section] += 1
            return
        self.unmapped.update(meaning.unmapped)
        self.warn_unknown(unknown_fields(element), file, record)
        for problem in meaning.problems:
            self.warn(file, record, "used_in_part", problem)
        start, end = self.span(span, clock, file, record)
        self.events += _rows(meaning, start, end, name, record, file)

    def span(self, span: Span, clock: Clock, file: str, record: str) -> tuple[datetime | None, datetime | None]:
        moments: list[list[datetime]] = [[], []]
        for found, elements in zip(moments, span, strict=True):
            for element in elements:
                try:
                    moment = clock.read(element)
                except (ValueError, OverflowError):
                    self.warn(file, record, "bad_time", "a time cannot be read; the record is used without it")
                else:
                    found += [moment] if moment is not None else []
        return min(moments[0], default=None), max(moments[1], default=None)

    # --- the account -----------------------------------------------------------------------------------

    def reject(self, file: str, record: str | None, category: str, reason: str, *, line: int | None = None) -> None:
        self.counts["rejected"] += 1
        self._note(file, line, record, "error", category, reason)

    def reject_all(self, elements: list[tuple[str, str, Any]], file: str, path: str, category: str, reason: str) -> None:
        for record in [record for record, _, _ in elements] or [path.rstrip(".") or "phenopacket"]:
            self.reject(file, record, category, reason)

    def warn(self, file: str, record: str | None, category: str, reason: str) -> None:
        self._note(file, None, record, "warning", category, reason)

    def unknown(self, fields: dict[str, Any], known: frozenset[str], file: str, path: str) -> None:
        self.warn_unknown((str(name)[:40] for name in fields if name not in known), file, path.rstrip(".") or "phenopacket")

    def warn_unknown(self, names: Iterator[str], file: str, record: str) -> None:
        found = ", ".join(names)
        if found:
            self.warn(file, record, "unknown_field", f"not in Phenopackets v2 and not read: {found[:200]}")

    def _note(self, file: str, line: int | None, record: str | None, level: str, category: str, reason: str) -> None:
        self.rejects.append({"file": file, "line": line, "record": record, "level": level, "category": category, "reason": reason})


# --- helpers -------------------------------------------------------------------------------------------


def _camel(obj: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object under their JSON names, without nulls."""
    named = ((str(name), value) for name, value in obj.items() if value is not None)
    return {to_camel(name) if "_" in name else name: value for name, value in named}


def _elements(fields: dict[str, Any], path: str) -> Iterator[tuple[str, str, Any]]:
    """(record name, section, content) of each element; a section that is no list is one element, to be rejected."""
    for section in SECTIONS:
        value = fields.get(section)
        if isinstance(value, list):
            for n, item in enumerate(value):
                yield f"{path}{section}[{n}]", section, item
        elif value is not None:
            yield f"{path}{section}", section, [value]


def _size(relative: Any, section: str) -> int:
    value = _camel(relative).get(section) if isinstance(relative, dict) else None
    return len(value) if isinstance(value, list) else 0 if value is None else 1


def _rows(meaning: Meaning, start: datetime | None, end: datetime | None, name: str, record: str, file: str) -> Iterator[dict[str, Any]]:
    for draft in meaning.drafts:
        if draft.needs_value and draft.number is None and draft.flag is None:
            continue  # a laboratory quantity that is only named is unknown
        time, end_time = until_said(start, end, draft.ended_on)
        yield {
            "subject_id": name, "time": time, "end_time": end_time, "code": draft.code, "concept": draft.concept,
            "certainty": draft.certainty,
            "numeric_value": draft.number, "comparator": draft.comparator, "unit": draft.unit, "text_value": draft.text_value,
            "flag": draft.flag, "range_low": draft.range_low, "range_high": draft.range_high, "sites": list(draft.sites),
            "days_before_onset": draft.days_before_onset, "status": draft.status, "source": record, "source_file": file,
        }  # fmt: skip
