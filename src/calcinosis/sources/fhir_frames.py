"""Joins rows with what they mean: the last step, the same for one patient and for a million rows."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA
from calcinosis.sources.fhir_columns import COMPONENT
from calcinosis.sources.fhir_meaning import Meaning

_Schema = dict[str, pl.DataType | type[pl.DataType]]
ROWS: Final[_Schema] = {  # a row ready to become events
    "file": pl.Int32, "pos": pl.Int64, "rt": pl.String, "id": pl.String, "sid": pl.String, "time": pl.Datetime("us"),
    "end_time": pl.Datetime("us"), "number": pl.Float64, "comparator": pl.String, "unit": pl.String, "unit_code": pl.String,
    "unit_text": pl.String, "bad_time": pl.Boolean, "bad_end": pl.Boolean, "bad_value": pl.Boolean, "mid": pl.Int64,
}  # fmt: skip
PATIENT_ROWS: Final[_Schema] = {
    "subject_id": pl.String, "birth_date": pl.Date, "source": pl.String, "file": pl.Int32, "pos": pl.Int64, "found": pl.Boolean,
    "sex": pl.String, "bad_birth": pl.Boolean,
}  # fmt: skip
_DRAFT_SCHEMA: Final[_Schema] = {
    "mid": pl.Int64, "concept": pl.String, "certainty": pl.String, "sites": pl.List(pl.String), "code": pl.String,
    "text_value": pl.String, "flag": pl.String, "days_before_onset": pl.Float64, "status": pl.String, "measured": pl.Boolean,
    "needs_value": pl.Boolean, "said_number": pl.Float64, "said_comparator": pl.String, "said_unit": pl.String, "range_low": pl.Float64,
    "range_high": pl.Float64, "range_unit": pl.String,
}  # fmt: skip
_CHUNK: Final = 20_000  # drafts kept as Python objects before they are packed into a frame


class Drafts:
    """The drafts of many meanings, as a table."""

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, number: int, meaning: Meaning) -> None:
        self._waiting += [
            (
                number, draft.concept, draft.certainty, list(draft.sites), draft.code, draft.text_value, draft.flag,
                draft.days_before_onset, draft.status, draft.measured, draft.needs_value, draft.number, draft.comparator, draft.unit,
                draft.range_low, draft.range_high, draft.range_unit,
            )
            for draft in meaning.drafts
        ]  # fmt: skip
        if len(self._waiting) > _CHUNK:
            self._pack()

    def frame(self) -> pl.DataFrame:
        self._pack()
        return self._frames[0]

    def _pack(self) -> None:
        if self._waiting or len(self._frames) != 1:
            self._frames.append(pl.DataFrame(self._waiting, schema=_DRAFT_SCHEMA, orient="row"))
            self._waiting = []
            self._frames = [pl.concat(self._frames)]


def events_frame(rows: pl.DataFrame, drafts: pl.DataFrame, paths: list[str]) -> pl.DataFrame:
    """The events of these rows. Those of one resource keep their order; resources come as they were read."""
    measured = pl.col("measured")
    same_unit = pl.col("range_unit").is_null() | pl.any_horizontal(
        pl.col("range_unit").str.to_lowercase() == pl.col(name).str.to_lowercase() for name in ("unit", "unit_code", "unit_text")
    ).fill_null(False)  # fmt: skip
    kind = pl.col("rt").replace(COMPONENT, "Observation")
    return (
        rows.lazy()
        .join(drafts.lazy(), on="mid", maintain_order="left_right")
        .with_columns(
            pl.when(measured).then(pl.coalesce("number", "said_number")).alias("numeric_value"),
            pl.when(measured).then(pl.coalesce("comparator", "said_comparator")).alias("comparator"),
            pl.when(measured).then(pl.coalesce("unit", "said_unit")).alias("unit"),
        )
        .filter(~pl.col("needs_value") | pl.any_horizontal(pl.col("numeric_value", "flag", "text_value").is_not_null()))
        .select(
            pl.col("sid").alias("subject_id"),
            "time",
            "end_time",
            "code",
            "concept",
            # "number of ulcers: 0" denies the ulcers
            pl.when(measured & ~pl.col("needs_value") & (pl.col("numeric_value") == 0) & (pl.col("certainty") == "affirmed"))
            .then(pl.lit("negated"))
            .otherwise("certainty")
            .alias("certainty"),
            "numeric_value",
            "comparator",
            "unit",
            "text_value",
            "flag",
            pl.when(same_unit).then("range_low").alias("range_low"),
            pl.when(same_unit).then("range_high").alias("range_high"),
            "sites",
            "days_before_onset",
            "status",
            pl.concat_str(kind, pl.lit("/"), pl.col("id").fill_null("?")).alias("source"),
            _file_names(paths).alias("source_file"),
        )
        .select(list(EVENT_SCHEMA))
        .collect()
    )


def patients_frame(patients: pl.DataFrame, paths: list[str]) -> pl.DataFrame:
    named = patients.lazy().with_columns(_file_names(paths).alias("source_file"))
    return named.select(list(PATIENT_SCHEMA)).sort("subject_id").collect()


def _file_names(paths: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(paths, dtype=pl.String)).gather(pl.col("file")) if len(paths) > 1 else _the_file(paths)


def _the_file(paths: list[str]) -> pl.Expr:
    return pl.when(pl.col("file").is_not_null()).then(pl.lit(paths[0] if paths else None, dtype=pl.String))
