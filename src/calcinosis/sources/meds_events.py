"""The mapping from MEDS rows to events: whole subjects in, a batch out. Each distinct saying is interpreted once.

What a code stands for is found in :mod:`~calcinosis.sources.meds_codes`; what it then says follows the mapping of FHIR
resources, so that a record means the same in both formats.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch, Schema
from calcinosis.knowledge.model import Context
from calcinosis.sources.believable import EARLIEST
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import ROWS, Drafts, events_frame
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.meds_codes import BIRTH, MedsCode, ancestors, sex_of, take_apart
from calcinosis.sources.text import TextReader

SUBJECT_CODE: Final = "CALCINOSIS//SUBJECT"  # the row by which this program's own datasets name a patient
NO_VALUE: Final = "result without a value"
FILE: Final = "_file"
ROW: Final = "_row"

MEDS_ROWS: Final[Schema] = {  # what a row may hold; columns that a dataset lacks are null
    "subject_id": pl.String, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float64, "text_value": pl.String,
    "unit": pl.String, "comparator": pl.String, "flag": pl.String, "range_low": pl.Float64, "range_high": pl.Float64,
    "end_time": pl.Datetime("us"), "concept": pl.String, "certainty": pl.String, "sites": pl.List(pl.String),
    "days_before_onset": pl.Float64, "status": pl.String, "source": pl.String, "source_file": pl.String,
    FILE: pl.String, ROW: pl.Int64,
}  # fmt: skip
_RESOURCE: Final = {
    Context.CONDITION: "Condition", Context.OBSERVATION: "Observation", Context.DRUG: "MedicationStatement",
    Context.PROCEDURE: "Procedure", Context.DEVICE: "Device", Context.ALLERGY: "AllergyIntolerance", Context.NOTE: "DocumentReference",
}  # fmt: skip
_STUDIES: Final = (Context.IMAGING, Context.HISTOLOGY)
_SAYING: Final = ("code", "text_value", "has_number", "flag", "range_low", "range_high")
_REDACTED: Final = r"^[_\s]*$"  # MIMIC writes ___ where a text was removed


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """What the rows of one code can say. ``reads``: "all" rows, those with a "text", or "none"."""

    code: MedsCode
    reads: str
    sex: str | None = None
    unmapped: tuple[str, str | None, str | None, str | None] | None = None


class MedsMapper:
    """Turns the rows of whole subjects into a batch. Pure and picklable.

    Args:
        codes: ``metadata/codes.parquet`` (code, description, parent_codes), or an empty frame.
    """

    def __init__(self, index: ConceptIndex, reader: TextReader, codes: pl.DataFrame) -> None:
        self.index = index
        self._fhir = FhirMapper(index, reader)
        self._descriptions: dict[str, str | None] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        for code, description, parents in codes.select("code", "description", "parent_codes").iter_rows():
            self._descriptions[code] = description
            if parents:
                self._parents[code] = tuple(parent for parent in parents if parent)
        self._codes: dict[str, CodeMeaning] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For an engine that sends the mapper to its workers: the text reader remembers through a cache that cannot travel."""
        return {"index": self.index, "_descriptions": self._descriptions, "_parents": self._parents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.index = state["index"]
        self._descriptions, self._parents, self._codes = state["_descriptions"], state["_parents"], {}
        self._fhir = FhirMapper(self.index, TextReader(self.index.concepts.values()))

    # --- codes ---------------------------------------------------------------------------------------------

    def code(self, code: str) -> CodeMeaning:
        """What a code stands for (remembered)."""
        if code not in self._codes:
            self._codes[code] = self._read_code(code)
        return self._codes[code]

    def _read_code(self, code: str) -> CodeMeaning:
        parts = take_apart(code, self._descriptions.get(code), ancestors(code, self._parents), self.index)
        sex = sex_of(code)
        if code in (BIRTH, SUBJECT_CODE) or sex is not None:
            return CodeMeaning(parts, "all", sex)
        if parts.silent:
            return CodeMeaning(parts, "none")
        if parts.context in (Context.NOTE, *_STUDIES):
            return CodeMeaning(parts, "text" if parts.coded.text is None else "all")
        meaning = Meaning()
        if parts.context is not None and self._fhir.read.coded(parts.coded, parts.context, meaning):
            return CodeMeaning(parts, "all")
        system, own, _ = parts.coded.codings[0] if parts.coded.codings else (None, code, None)
        where = parts.context.value if parts.context else "code"
        return CodeMeaning(
            parts, "text" if parts.context is Context.OBSERVATION else "none", unmapped=(where, system, own, parts.coded.text)
        )

    def wanted(self, codes: pl.Series) -> tuple[list[str], list[str]]:
        """Of these codes, those whose every row is read, and those read only where a text stands."""
        reads = {code: self.code(code).reads for code in codes.drop_nulls()}
        return [c for c, how in reads.items() if how == "all"], [c for c, how in reads.items() if how == "text"]

    def set_aside(self, batch: Batch, counts: dict[str, int]) -> None:
        """Account for rows that were not read: code -> how many."""
        unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
        for code, rows in counts.items():
            key = self.code(code).unmapped
            if key:
                unmapped[key] += rows
        total = sum(counts.values())
        batch.records_read += total
        batch.records_ignored += total
        batch.unmapped = _unmapped(batch.unmapped, unmapped)

    # --- rows ----------------------------------------------------------------------------------------------

    def batch(self, rows: pl.DataFrame, subjects: pl.DataFrame | None = None) -> Batch:
        """The batch of whole subjects.

        Args:
            rows: MEDS columns, and of ``MEDS_ROWS`` those that the dataset has.
            subjects: subject_id and ``_file`` of subjects that may have no row here. Default: those of the rows.
        """
        rows = complete(rows)
        usable = pl.col("subject_id").is_not_null() & pl.col("code").is_not_null()
        refused, rows = rows.filter(~usable), rows.filter(usable)
        if subjects is None:
            subjects = rows.select("subject_id", FILE).unique("subject_id", keep="first", maintain_order=True)
        every, texts = self.wanted(rows["code"].unique())
        read = pl.col("code").is_in(every) | (pl.col("code").is_in(texts) & pl.col("text_value").is_not_null())
        given = pl.col("concept").is_in(list(self.index.concepts)).fill_null(False)
        rest = rows.filter(~read & ~given)
        batch = Batch(patients=self._patients(rows, subjects), events=pl.DataFrame(schema=EVENT_SCHEMA))
        self.set_aside(batch, dict(rest.group_by("code").len().iter_rows()))
        own = rows.filter(given)
        told = rows.filter(read & ~given)
        personal = [code for code in every if self.code(code).sex is not None or code in (BIRTH, SUBJECT_CODE)]
        about = told.filter(pl.col("code").is_in(personal)).height
        events = self._interpreted(told.filter(~pl.col("code").is_in(personal)), batch)
        batch.events = pl.concat([_as_written(own), events]) if own.height else events
        batch.records_read += own.height + about + refused.height
        batch.records_used += own.height + about
        batch.records_rejected += refused.height
        batch.rejects = pl.concat([batch.rejects, refusals(refused), _impossible(rows)])
        return batch

    def _patients(self, rows: pl.DataFrame, subjects: pl.DataFrame) -> pl.DataFrame:
        births = rows.filter((pl.col("code") == BIRTH) & pl.col("time").is_not_null() & (pl.col("time") >= EARLIEST))
        born = births.group_by("subject_id").agg(pl.col("time").min().dt.date().alias("birth_date"))
        sexes = {code: self.code(code).sex for code in rows["code"].unique() if self.code(code).sex}
        sex = pl.col("code").replace_strict(sexes, default=None, return_dtype=pl.String).alias("sex")
        said = rows.filter(pl.col("code").is_in(list(sexes))).select("subject_id", sex)
        one_sex = said.group_by("subject_id").agg(pl.col("sex").unique()).filter(pl.col("sex").list.len() == 1)
        named = rows.filter(pl.col("code") == SUBJECT_CODE).select("subject_id", "source", "source_file").unique("subject_id", keep="first")
        return (
            subjects.join(born, on="subject_id", how="left")
            .join(one_sex.select("subject_id", pl.col("sex").list.first()), on="subject_id", how="left")
            .join(named, on="subject_id", how="left")
            .select(
                "subject_id", "birth_date", "sex",
                pl.coalesce("source", pl.concat_str(pl.lit("subject/"), "subject_id")).alias("source"),
                pl.coalesce("source_file", FILE).alias("source_file"),
            )
            .select(list(PATIENT_SCHEMA))
            .sort("subject_id")
        )  # fmt: skip

    def _interpreted(self, rows: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        text = pl.when(~pl.col("text_value").str.contains(_REDACTED)).then("text_value").alias("text_value")
        rows = rows.with_columns(text, pl.col("numeric_value").is_finite().fill_null(False).alias("has_number"))
        sayings = rows.group_by(_SAYING, maintain_order=True).len().with_row_index("mid").with_columns(pl.col("mid").cast(pl.Int64))
        drafts, unmapped, not_read = Drafts(), Counter[tuple[str, str | None, str | None, str | None]](), Counter[str](batch.not_read)
        used = 0
        for number, *saying, count in sayings.iter_rows():
            meaning = self._meaning(*saying)
            drafts.add(number, meaning)
            used += count if meaning.drafts else 0
            for key in meaning.unmapped:
                unmapped[key] += count
            for name, times in meaning.not_read.items():
                not_read[name] += times * count
        batch.records_read += rows.height
        batch.records_used += used
        batch.records_ignored += rows.height - used
        batch.unmapped = _unmapped(batch.unmapped, unmapped)
        batch.not_read = dict(not_read)
        told = rows.join(sayings.drop("len"), on=_SAYING, how="left", nulls_equal=True, maintain_order="left")
        paths = told[FILE].unique(maintain_order=True)
        places = pl.DataFrame({FILE: paths, "file": range(len(paths))}, schema={FILE: pl.String, "file": pl.Int32})
        told = told.join(places, on=FILE, how="left", nulls_equal=True, maintain_order="left").select(
            "file", pl.col(ROW).alias("pos"), pl.lit("row").alias("rt"), pl.col(ROW).cast(pl.String).alias("id"),
            pl.col("subject_id").alias("sid"), _believable("time"), _believable("end_time"),
            pl.when("has_number").then("numeric_value").alias("number"), "comparator", "unit",
            *(pl.lit(None, dtype=pl.String).alias(name) for name in ("unit_code", "unit_text")),
            *(pl.lit(False).alias(name) for name in ("bad_time", "bad_end", "bad_value")), "mid",
        )  # fmt: skip
        return events_frame(told.select(list(ROWS)), drafts.frame(), [path or "" for path in paths])

    def _meaning(self, code: str, text: str | None, has_number: bool, flag: str | None, low: float | None, high: float | None) -> Meaning:
        """What one distinct saying means, by the mapping of the FHIR resource that would say it."""
        parts = self.code(code).code
        if parts.context is None:
            return Meaning(outcome="ignored")
        if parts.context is Context.NOTE:
            return self._fhir("DocumentReference", {"description": parts.coded.text or text})
        if parts.context in _STUDIES:
            return self._fhir("DiagnosticReport", {"code": {"text": parts.name}, "category": [{"text": parts.name}], "conclusion": text})
        coded = {
            "coding": [{"system": system, "code": each, "display": None} for system, each, _ in parts.coded.codings],
            "text": parts.coded.text,
        }
        values: dict[str, Any] = {"code": coded}
        if parts.context is Context.OBSERVATION:
            if not has_number and text is None and flag is None:
                return Meaning(outcome="ignored", not_read=Counter({NO_VALUE: 1}))
            values["valueString"] = text
            values["interpretation"] = [{"coding": [], "text": flag}] if flag else None
            if low is not None or high is not None:
                ends = {"low": low, "high": high}
                values["referenceRange"] = [{end: {"value": value} if value is not None else None for end, value in ends.items()}]
        elif parts.context is Context.DRUG:
            values = {"medicationCodeableConcept": coded, "status": "stopped" if parts.ended else None}
        elif parts.context is Context.DEVICE:
            values = {"type": coded}
        meaning = self._fhir(_RESOURCE[parts.context], values)
        if parts.unit:
            for place, draft in enumerate(meaning.drafts):
                if draft.measured and draft.unit is None:
                    meaning.drafts[place] = replace(draft, unit=parts.unit)
        return meaning


# --- helpers -------------------------------------------------------------------------------------------


def complete(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``MEDS_ROWS`` in their types; those that are missing are null."""
    return rows.select(
        (pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype=dtype)).alias(name) for name, dtype in MEDS_ROWS.items()
    )


def refusals(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows without subject or code, as rejects."""
    reason = pl.when(pl.col("subject_id").is_null()).then(pl.lit("subject_id is null")).otherwise(pl.lit("code is null"))
    category = pl.when(pl.col("subject_id").is_null()).then(pl.lit("no_subject")).otherwise(pl.lit("no_code"))
    return _rejects(rows, "error", category, reason)


def _impossible(rows: pl.DataFrame) -> pl.DataFrame:
    bad = (pl.col("time") < EARLIEST) | (pl.col("end_time") < EARLIEST)
    return _rejects(rows.filter(bad), "warning", pl.lit("impossible_date"), pl.lit(f"a date before {EARLIEST.year}; left out"))


def _rejects(rows: pl.DataFrame, level: str, category: pl.Expr, reason: pl.Expr) -> pl.DataFrame:
    return rows.select(
        pl.col(FILE).alias("file"), pl.col(ROW).alias("line"), pl.concat_str(pl.lit("row/"), ROW).alias("record"),
        pl.lit(level).alias("level"), category.alias("category"), reason.alias("reason"),
    ).cast(pl.Schema(REJECT_SCHEMA))  # fmt: skip


def _believable(name: str) -> pl.Expr:
    return pl.when(pl.col(name) >= EARLIEST).then(name).alias(name)


def _as_written(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that say themselves which concept they mean: this program wrote them."""
    source = pl.coalesce("source", pl.concat_str(pl.lit("row/"), ROW)).alias("source")
    return rows.with_columns(
        pl.col("certainty").fill_null("affirmed"), pl.col("sites").fill_null([]), source,
        pl.coalesce("source_file", FILE).alias("source_file"),
    ).select(list(EVENT_SCHEMA))  # fmt: skip


def _unmapped(known: pl.DataFrame, more: Counter[tuple[str, str | None, str | None, str | None]]) -> pl.DataFrame:
    if not more:
        return known
    added = pl.DataFrame([(*key, rows) for key, rows in more.items()], schema=UNMAPPED_SCHEMA, orient="row")
    both = pl.concat([known, added]).group_by("context", "system", "code", "text").agg(pl.col("n").sum())
    return both.sort("n", "context", "code", descending=[True, False, False]).select(list(UNMAPPED_SCHEMA))
