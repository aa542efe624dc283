"""Rows of an OMOP CDM to events: the same for a file, a database server and a cluster.

Each distinct saying (concepts, value, unit, interval) is told once as the FHIR resource that would say it, and interpreted as that is
(:mod:`~calcinosis.sources.fhir_events`): so a patient means the same in both formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from calcinosis.events import PATIENT_SCHEMA, SEX, Batch
from calcinosis.sources.believable import EARLIEST
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_events import FhirMapper, study_context
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.omop_account import Account
from calcinosis.sources.omop_coded import Coded, coded
from calcinosis.sources.omop_frames import events_of, joined
from calcinosis.sources.omop_sayings import Sayings
from calcinosis.sources.omop_statuses import NAMES, NOT_UNDERSTOOD, status_fields
from calcinosis.sources.omop_tables import GENDERS, SAID, TABLES, Table
from calcinosis.sources.omop_vocabulary import OmopVocabulary
from calcinosis.sources.text import TextReader

PERSON: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "person_id": pl.Int64, "year": pl.Int64, "month": pl.Int64, "day": pl.Int64, "born": pl.Date, "gender_concept_id": pl.Int64,
    "gender_text": pl.String,
}  # fmt: skip
_KNOWN: Final = 200_000  # distinct sayings whose meaning is kept


class OmopMapper:
    """Turns the rows of whole patients into a :class:`~calcinosis.events.Batch`. Picklable.

    Args:
        vocabulary: of the concepts that the rows use.
        files: table -> what ``source_file`` shows.
    """

    def __init__(self, index: ConceptIndex, reader: TextReader, vocabulary: OmopVocabulary, files: Mapping[str, str]) -> None:
        self._index, self._mapper = index, FhirMapper(index, reader)
        self.vocabulary = vocabulary
        self._files = dict(files)
        self._known: dict[tuple[Any, ...], Meaning] = {}

    # --- what a saying means ------------------------------------------------------------------------------

    def meaning(self, table: Table, said: Mapping[str, Any]) -> Meaning:
        """The meaning of one distinct saying (``SAID``; what is left out is unknown)."""
        key = (table.name, *(said.get(name) for name in SAID))
        found = self._known.get(key)
        if found is None:
            kind, fields = self._resource(table, said)
            found = self._mapper(kind, fields) if fields else Meaning(outcome="ignored", category="no_concept")
            statuses = self._statuses(said)
            if found.drafts and statuses and status_fields(statuses) is None:
                found.not_read[NOT_UNDERSTOOD] += 1
            if len(self._known) >= _KNOWN:
                self._known.clear()
            if table.name != "note":  # hardly a note comes twice, and a million of them would fill the memory
                self._known[key] = found
        return found

    def _resource(self, table: Table, said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The FHIR resource type and fields that say the same; no fields where nothing is said."""
        if table.name == "note":
            return self._note(said)
        code = self._codeable(said.get("concept_id"), said.get("source_concept_id"), said.get("source_value"))
        if code is None:
            return table.kind, {}
        match table.kind:
            case "MedicationStatement":
                return table.kind, {"medicationCodeableConcept": code}
            case "Device":
                return table.kind, {"type": code}
            case "Observation":
                return table.kind, {"code": code, **self._value(said)}
            case "Condition":
                return table.kind, {"code": code, **(status_fields(self._statuses(said)) or {})}
        return table.kind, {"code": code}

    def _codeable(self, concept_id: int | None, source_concept_id: int | None, source_value: str | None) -> dict[str, Any] | None:
        """The name is read only where no concept is known, because it may be a bare code of the source system."""
        codings = self.vocabulary.codings((source_concept_id, concept_id), self._index)
        text = None if self.vocabulary.knows(concept_id, source_concept_id) else source_value
        return {"coding": codings, **({"text": text} if text else {})} if codings or text else None

    def _statuses(self, said: Mapping[str, Any]) -> list[str]:
        """Names of the status of a condition, the nearest first."""
        number, text = said.get("status_concept_id"), said.get("status_text")
        if number is None:
            return [text] if text else []
        return [*self.vocabulary.names_of(number), NAMES.get(number, f"OMOP concept {number}")]

    def _value(self, said: Mapping[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        if said.get("value_concept_id"):
            value["valueCodeableConcept"] = self._codeable(said["value_concept_id"], None, None)
        elif said.get("value_text"):
            value["valueString"] = said["value_text"]
        interval = {
            end: {"value": said[name]} for end, name in (("low", "range_low"), ("high", "range_high")) if said.get(name) is not None
        }
        return value | ({"referenceRange": [interval]} if interval else {})

    def _note(self, said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        text = said.get("value_text")
        if not text:
            return "DocumentReference", {}
        named = [name for name in (self.vocabulary.name(said.get("concept_id")), said.get("source_value")) if name]
        if study_context(" ; ".join(named)) is None:
            return "DocumentReference", {"description": text}
        return "DiagnosticReport", {"code": {"text": named[-1]}, "category": [{"text": name} for name in named], "conclusion": text}

    # --- rows ---------------------------------------------------------------------------------------------

    def sayings(self, table: Table, frame: pl.DataFrame) -> Sayings:
        """Interpret the distinct sayings (``SAYING``) of a table."""
        return Sayings(table, frame, self, [self._files.get(name, name) for name in TABLES])

    def batch(self, tables: Mapping[str, pl.DataFrame]) -> Batch:
        """The batch of whole patients.

        Args:
            tables: name of a table -> its rows (``RAW``); ``person`` -> (``PERSON``).
        """
        there = {name: coded(tables[name]) for name in TABLES if name in tables and tables[name].height}
        parts = [(self.sayings(TABLES[name], frame), rows) for name, (frame, rows) in there.items()]
        return self.batch_of(parts, tables.get("person", pl.DataFrame(schema=PERSON)))

    def batch_of(self, parts: Iterable[tuple[Sayings, Coded]], person: pl.DataFrame) -> Batch:
        """The batch of whole patients.

        Args:
            parts: the rows of each table, in the order of ``TABLES``, with its sayings.
            person: ``PERSON``.
        """
        account = Account(self._files)
        tables = [events_of(sayings, rows, account) for sayings, rows in parts if len(rows)]
        persons = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(table.persons for table in tables)]))
        return account.batch(self._people(person, pl.Series(persons), account), joined(tables, persons))

    def _people(self, person: pl.DataFrame, subjects: pl.Series, account: Account) -> pl.DataFrame:
        """``PATIENT_SCHEMA`` of the persons, and of those that only other tables name."""
        text = pl.col("gender_text").str.strip_chars().str.to_lowercase()
        text = text.replace_strict(SEX, default=None, return_dtype=pl.String)
        listed = account.persons(person)
        others = subjects.filter(~subjects.is_in(listed["person_id"].implode()))
        account.add_strangers(others)
        births = _birth_dates(listed)
        account.add_births(listed, births)
        known = listed.select(
            subject_id=pl.col("person_id").cast(pl.String),
            birth_date=births,
            sex=pl.coalesce(pl.col("gender_concept_id").replace_strict(GENDERS, default=None, return_dtype=pl.String), text),
            source=pl.format("person/{}", "person_id"),
            source_file=pl.lit(self._files.get("person", "person")),
        )
        if len(others):
            added = pl.DataFrame({"subject_id": others.cast(pl.String)}).with_columns(
                pl.lit(None, dtype=dtype).alias(name) for name, dtype in PATIENT_SCHEMA.items() if name != "subject_id"
            )
            known = pl.concat([known, added.select(known.columns)])
        return known.select(list(PATIENT_SCHEMA)).sort("subject_id")


def _birth_dates(person: pl.DataFrame) -> pl.Series:
    """The day; the 15th of a month, 1 July of a year; nothing before ``EARLIEST`` or in the future."""
    unknown = -1
    year, month, day = (person[name].fill_null(unknown).to_numpy() for name in ("year", "month", "day"))
    day = np.where(month == unknown, 1, np.where(day == unknown, 15, day))
    month = np.where(month == unknown, 7, month)
    today = date.today()
    told = (year >= EARLIEST.year) & (year <= today.year) & (month >= 1) & (month <= 12)  # arithmetic of dates takes any month
    first = (np.where(told, year - 1970, 0) * 12 + np.where(told, month - 1, 0)).astype("datetime64[M]")
    days = (first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")
    told &= (day >= 1) & (day <= days.astype(np.int64))
    written = first.astype("datetime64[D]") + np.where(told, day - 1, 0)
    birth = np.where(told, written, person["born"].to_numpy())
    plausible = (birth >= np.datetime64(EARLIEST, "D")) & (birth <= np.datetime64(today))
    return pl.Series("birth_date", np.where(plausible, birth, np.datetime64("NaT")), dtype=pl.Date)
