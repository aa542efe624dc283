"""Rows of an OMOP CDM to events: the same for a file, a database server and a cluster.

Each distinct saying (concepts, value, unit, interval) is told once as the FHIR resource that would say it, and interpreted as that is
(:mod:`~calcinosis.sources.fhir_events`): so a patient means the same in both formats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from calcinosis.events import PATIENT_SCHEMA, REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_columns import DAYS_AHEAD
from calcinosis.sources.fhir_events import FhirMapper, study_context
from calcinosis.sources.fhir_frames import ROWS, Drafts, events_frame
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.omop_tables import GENDERS, OPERATORS, RAW, SAID, TABLES, Table
from calcinosis.sources.omop_vocabulary import OmopVocabulary
from calcinosis.sources.text import TextReader

PERSON: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "person_id": pl.Int64, "year": pl.Int64, "month": pl.Int64, "day": pl.Int64, "born": pl.Date, "gender_concept_id": pl.Int64,
    "gender_text": pl.String,
}  # fmt: skip
_GENDER_TEXTS: Final = {"f": "female", "female": "female", "m": "male", "male": "male"}
_EARLIEST: Final = datetime(1850, 1, 1)
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
        return table.kind, {"code": code}

    def _codeable(self, concept_id: int | None, source_concept_id: int | None, source_value: str | None) -> dict[str, Any] | None:
        """The name is read only where no concept is known, because it may be a bare code of the source system."""
        codings = self.vocabulary.codings((source_concept_id, concept_id), self._index)
        text = None if self.vocabulary.knows(concept_id, source_concept_id) else source_value
        return {"coding": codings, **({"text": text} if text else {})} if codings or text else None

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

    def batch(self, tables: Mapping[str, pl.DataFrame]) -> Batch:
        """The batch of whole patients.

        Args:
            tables: name of a table -> its rows (``RAW``); ``person`` -> (``PERSON``).
        """
        account = _Account(self._files)
        rows, drafts = [], Drafts()
        number = 0
        for place, name in enumerate(TABLES):
            if name in tables and tables[name].height:
                found, number = self._rows(TABLES[name], tables[name], place, number, drafts, account)
                rows.append(found)
        flat = pl.concat([pl.DataFrame(schema=ROWS), *rows])
        people = self._people(tables.get("person", pl.DataFrame(schema=PERSON)), flat["sid"], account)
        paths = [self._files.get(name, name) for name in TABLES]
        return account.batch(people, events_frame(flat.filter(pl.col("mid").is_not_null()), drafts.frame(), paths))

    def _rows(self, table: Table, raw: pl.DataFrame, place: int, first: int, drafts: Drafts, account: _Account) -> tuple[pl.DataFrame, int]:
        """The rows of a table as ``ROWS``, numbered by what they mean from ``first`` on; null for nothing."""
        raw = _plain(account.usable(table, raw))
        told = [name for name in SAID if raw[name].null_count() < raw.height]
        said = raw.lazy().with_row_index("row").group_by(told or "concept_id", maintain_order=True).agg("row").collect()
        lengths = said["row"].list.len().to_numpy()
        told_by = np.empty(raw.height, dtype=np.int64)  # number of its saying, for every row
        told_by[said["row"].explode().to_numpy()] = np.repeat(np.arange(said.height), lengths)
        tells = np.zeros(said.height, dtype=bool)
        for place_of, row in enumerate(said.select(told).iter_rows(named=True) if told else [{}] * said.height):
            meaning = self.meaning(table, row)
            account.add_meaning(meaning, int(lengths[place_of]))
            if meaning.drafts:
                tells[place_of] = True
                drafts.add(first + place_of, meaning)
        told_rows = tells[told_by]
        mid = pl.Series("mid", told_by + first).zip_with(pl.Series(told_rows), pl.Series([None], dtype=pl.Int64))
        units = {number: self.vocabulary.unit(number) for number in raw["unit_concept_id"].unique().drop_nulls().to_list()}
        ucum = {number: unit for number, unit in units.items() if self.vocabulary.is_ucum(number)}
        unit_code, unit_name = (
            pl.col("unit_concept_id").replace_strict(known, default=None, return_dtype=pl.String) for known in (ucum, units)
        )
        latest = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=DAYS_AHEAD)
        joined = raw.with_columns(
            mid,
            time=_believable("start", latest),
            end_time=_believable("end", latest),
            unit=pl.coalesce(unit_code, "unit_text", unit_name),
            comparator=pl.col("operator_id").replace_strict(OPERATORS, default=None, return_dtype=pl.String),
        )
        account.add_problems(table, joined)
        nothing = (pl.lit(False).alias(name) for name in ("bad_time", "bad_end", "bad_value"))  # told by table and row above
        rows = joined.select(
            pl.lit(place, dtype=pl.Int32).alias("file"), pl.lit(None, dtype=pl.Int64).alias("pos"), pl.lit(table.name).alias("rt"),
            pl.col("id").cast(pl.String), pl.col("person_id").cast(pl.String).alias("sid"), "time", "end_time", "number", "comparator",
            "unit", pl.col("unit").alias("unit_code"), "unit_text", *nothing, "mid",
        )  # fmt: skip
        return rows, first + said.height

    def _people(self, person: pl.DataFrame, subjects: pl.Series, account: _Account) -> pl.DataFrame:
        """``PATIENT_SCHEMA`` of the persons, and of those that only other tables name."""
        text = pl.col("gender_text").str.strip_chars().str.to_lowercase()
        text = text.replace_strict(_GENDER_TEXTS, default=None, return_dtype=pl.String)
        known = account.persons(person).select(
            subject_id=pl.col("person_id").cast(pl.String),
            birth_date=_birth_date(),
            sex=pl.coalesce(pl.col("gender_concept_id").replace_strict(GENDERS, default=None, return_dtype=pl.String), text),
            source=pl.concat_str(pl.lit("person/"), pl.col("person_id").cast(pl.String)),
            source_file=pl.lit(self._files.get("person", "person")),
        )
        others = subjects.unique().drop_nulls()
        others = others.filter(~others.is_in(known["subject_id"].implode()))
        account.add_strangers(others)
        added = pl.DataFrame({"subject_id": others}, schema={"subject_id": pl.String}).with_columns(
            pl.lit(None, dtype=dtype).alias(name) for name, dtype in PATIENT_SCHEMA.items() if name != "subject_id"
        )
        return pl.concat([known, added.select(known.columns)]).select(list(PATIENT_SCHEMA)).sort("subject_id")


def _plain(raw: pl.DataFrame) -> pl.DataFrame:
    """Numbers that are none (NaN, infinity) are not read."""
    finite = {name: pl.when(pl.col(name).is_finite()).then(name) for name in ("number", "range_low", "range_high")}
    return raw.with_columns(bad_number=pl.col("bad_number") | ~pl.col("number").is_finite().fill_null(True), **finite)


def _believable(name: str, latest: datetime) -> pl.Expr:
    return pl.when(pl.col(name).is_between(pl.lit(_EARLIEST), pl.lit(latest))).then(name)


def _birth_date() -> pl.Expr:
    """The day; the 15th of a month, 1 July of a year; nothing before 1850 or in the future."""
    day = pl.when(pl.col("month").is_null()).then(1).otherwise(pl.col("day").fill_null(15))
    parts = (pl.col("year"), pl.col("month").fill_null(7), day)
    written = pl.concat_str(*parts, separator="-").str.to_date("%Y-%m-%d", strict=False)
    birth = pl.coalesce(written, "born")
    return pl.when(birth.is_between(_EARLIEST.date(), date.today())).then(birth).alias("birth_date")


class _Account:
    """What became of every row of a batch."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self.used = self.rejected = self.ignored = 0
        self._rejects: list[pl.DataFrame] = []
        self._unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
        self._not_read: Counter[str] = Counter()

    def usable(self, table: Table, raw: pl.DataFrame) -> pl.DataFrame:
        """The rows without those of nobody and those whose key came before."""
        nobody = pl.col("person_id").is_null()
        # of one person only: which other persons share a batch must not matter. Sorted, because a database gives rows in any order
        raw = raw.select(pl.col(name).cast(dtype) for name, dtype in RAW.items()).sort("person_id", "id", maintain_order=True)
        as_before = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("person_id", "id")).fill_null(False)
        again = as_before if table.name != "death" else pl.lit(False)
        if raw.select(again.any()).item():
            raw = raw.sort("person_id", "id", *(name for name in RAW if name not in ("person_id", "id")))
        marked = raw.with_columns(nobody=nobody, again=again)
        self._add(table.name, marked.filter("again"), "error", "duplicate_id", f"{table.id} occurs before")
        self._add(table.name, marked.filter("nobody"), "error", "no_subject", "no person_id")
        kept = marked.filter(~pl.col("nobody") & ~pl.col("again")).drop("nobody", "again")
        self.rejected += raw.height - kept.height
        return kept

    def persons(self, person: pl.DataFrame) -> pl.DataFrame:
        """The rows of persons without those of nobody and those that came before."""
        ordered = person.rename({"person_id": "id"}).sort(pl.all())
        nobody, again = pl.col("id").is_null(), ~pl.col("id").is_first_distinct()
        self._add("person", ordered.filter(nobody), "error", "no_subject", "no person_id")
        self._add("person", ordered.filter(~nobody & again), "error", "duplicate_id", "person_id occurs before")
        kept = ordered.filter(~nobody & ~again).rename({"id": "person_id"})
        self.used += kept.height
        self.rejected += person.height - kept.height
        return kept

    def add_meaning(self, meaning: Meaning, rows: int) -> None:
        if meaning.outcome == "rejected":
            self.rejected += rows
        elif meaning.outcome == "ignored":
            self.ignored += rows
        else:
            self.used += rows
        for entry in meaning.unmapped:
            self._unmapped[entry] += rows
        for what, n in meaning.not_read.items():
            self._not_read[what] += n * rows

    def add_problems(self, table: Table, rows: pl.DataFrame) -> None:
        for bad, read, what in (("bad_start", "time", "start"), ("bad_end", "end_time", "end")):
            wrong = rows.filter(pl.col(bad) | (pl.col(what).is_not_null() & pl.col(read).is_null()))
            self._add(table.name, wrong, "warning", "impossible_date", f"{what} date: no date between 1850 and a year from now")
        self._add(table.name, rows.filter("bad_number"), "warning", "wrong_type", f"{table.number}: not a number")

    def add_strangers(self, subjects: pl.Series) -> None:
        if len(subjects):
            rows = pl.DataFrame({"record": "person/" + subjects})
            reason = "no row in person; age and sex are unknown"
            self._rejects.append(_rejects(rows, self._files.get("person", "person"), "warning", "missing_patient", reason))

    def batch(self, patients: pl.DataFrame, events: pl.DataFrame) -> Batch:
        unmapped = [(*key, n) for key, n in self._unmapped.most_common()]
        return Batch(
            patients=patients,
            events=events,
            rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *self._rejects]),
            unmapped=pl.DataFrame(unmapped, schema=UNMAPPED_SCHEMA, orient="row"),
            records_read=self.used + self.ignored + self.rejected,
            records_used=self.used,
            records_ignored=self.ignored,
            records_rejected=self.rejected,
            not_read=dict(self._not_read),
        )

    def _add(self, table: str, rows: pl.DataFrame, level: str, category: str, reason: str) -> None:
        if rows.height:
            named = rows.select(record=pl.concat_str(pl.lit(f"{table}/"), pl.col("id").cast(pl.String).fill_null("?")))
            self._rejects.append(_rejects(named, self._files.get(table, table), level, category, reason))


def _rejects(records: pl.DataFrame, file: str, level: str, category: str, reason: str) -> pl.DataFrame:
    said = {"file": file, "line": None, "level": level, "category": category, "reason": reason}
    return records.with_columns(pl.lit(value).alias(name) for name, value in said.items()).select(
        pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items()
    )
