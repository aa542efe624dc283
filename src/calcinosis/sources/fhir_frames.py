"""Joins rows with what they mean: the last step, the same for one patient and for a million rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA
from calcinosis.sources.fhir_columns import COMPONENT
from calcinosis.sources.fhir_meaning import Meaning

_Places = npt.NDArray[np.intp]
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


class TypedRow(NamedTuple):
    """One row of ``ROWS``."""

    file: int
    pos: int
    rt: str
    id: str | None
    sid: str | None
    time: datetime | None
    end_time: datetime | None
    number: float | None
    comparator: str | None
    unit: str | None
    unit_code: str | None
    unit_text: str | None
    bad_time: bool
    bad_end: bool
    bad_value: bool
    mid: int


_DRAFT_SCHEMA: Final[_Schema] = {
    "mid": pl.Int64, "concept": pl.String, "certainty": pl.String, "sites": pl.List(pl.String), "code": pl.String,
    "text_value": pl.String, "flag": pl.String, "days_before_onset": pl.Float64, "status": pl.String, "ended_on": pl.Datetime("us"),
    "measured": pl.Boolean, "needs_value": pl.Boolean, "said_number": pl.Float64, "said_comparator": pl.String, "said_unit": pl.String,
    "range_low": pl.Float64, "range_high": pl.Float64, "range_unit": pl.String,
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
                draft.days_before_onset, draft.status, draft.ended_on, draft.measured, draft.needs_value, draft.number, draft.comparator,
                draft.unit, draft.range_low, draft.range_high, draft.range_unit,
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
    """The events of these rows. Those of one resource keep their order; resources come as they were read.

    Args:
        rows: ``ROWS``.
        drafts: sorted by ``mid`` (:class:`Drafts`).
    """
    # rows meet their drafts by place: a join of two small tables takes longer than all the rest
    said, meant = rows["mid"].to_numpy(), drafts["mid"].to_numpy()
    first = np.searchsorted(meant, said, side="left")
    counts = np.searchsorted(meant, said, side="right") - first
    of_row, draft = spread(first, counts)
    rows = rows if (counts == 1).all() else rows[of_row]
    meanings = drafts.drop("mid")
    said_so = pl.DataFrame([*rows.get_columns(), *meanings[draft].get_columns()])
    says_something = said_so.select_seq(_SAYS_SOMETHING).to_series()
    said_so = said_so if says_something.all() else said_so.filter(says_something)
    intervals = _OWN_INTERVAL if drafts["range_unit"].null_count() == drafts.height else _INTERVAL_OF_UNIT
    times = {} if drafts["ended_on"].null_count() == drafts.height else _UNTIL_SAID
    columns = _AS_EVENTS | intervals | times | {"source_file": _file_names(paths)}
    return said_so.select_seq(**{name: columns[name] for name in EVENT_SCHEMA})


def spread(first: _Places, counts: _Places) -> tuple[_Places, _Places]:
    """Of each row so many places of a table, from its first: the row and the place of each, row by row."""
    of_row = np.repeat(np.arange(len(counts)), counts)
    return of_row, np.arange(len(of_row)) + (first - (np.cumsum(counts) - counts))[of_row]


def events_of(rows: list[TypedRow], meanings: Mapping[int, Meaning], paths: list[str]) -> pl.DataFrame:
    """The same for the rows of one record, without tables on the way: planning them takes longer than this.

    Args:
        meanings: by ``TypedRow.mid``.
    """
    events = [event for row in rows for event in _events_of(row, meanings[row.mid], paths)]
    columns = zip(*events, strict=True) if events else ([] for _ in EVENT_SCHEMA)
    return pl.DataFrame([pl.Series(name, column, dtype=EVENT_SCHEMA[name]) for name, column in zip(EVENT_SCHEMA, columns, strict=True)])


def until_said(time: datetime | None, end_time: datetime | None, ended_on: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Time and end of an event of which a text of ``time`` says that it ended on a day before: it is of that day.

    An end of the record itself stands, and a text does not know what ends after it.
    """
    if ended_on is None or end_time is not None or (time is not None and ended_on >= time):
        return time, end_time
    return ended_on if time is not None else None, ended_on


def _events_of(row: TypedRow, meaning: Meaning, paths: list[str]) -> Iterator[tuple[Any, ...]]:
    """In the order of ``EVENT_SCHEMA``."""
    source = f"{'Observation' if row.rt == COMPONENT else row.rt}/{'?' if row.id is None else row.id}"
    for draft in meaning.drafts:
        number = row.number if draft.measured and row.number is not None else draft.number
        if draft.needs_value and draft.flag is None and draft.text_value is None and not (draft.measured and number is not None):
            continue
        certainty, comparator, unit = draft.certainty, draft.comparator, draft.unit
        if draft.measured:
            comparator = row.comparator if row.comparator is not None else draft.comparator
            unit = row.unit if row.unit is not None else draft.unit
            if number == 0 and not draft.needs_value and certainty == "affirmed":
                certainty = "negated"
        fits = draft.range_unit is None or draft.range_unit.lower() in {
            each.lower() for each in (row.unit, row.unit_code, row.unit_text) if each is not None
        }
        time, end_time = until_said(row.time, row.end_time, draft.ended_on)
        yield (
            row.sid, time, end_time, draft.code, draft.concept, certainty, number, comparator, unit,
            draft.text_value, draft.flag, draft.range_low if fits else None, draft.range_high if fits else None, list(draft.sites),
            draft.days_before_onset, draft.status, source, paths[row.file],
        )  # fmt: skip


_MEASURED: Final = pl.col("measured")
_NUMBER: Final = pl.coalesce("number", "said_number")
_SAYS_SOMETHING: Final = (
    ~pl.col("needs_value") | pl.col("flag").is_not_null() | pl.col("text_value").is_not_null() | (_MEASURED & _NUMBER.is_not_null())
)
_SAME_UNIT: Final = pl.col("range_unit").is_null() | pl.any_horizontal(
    pl.col("range_unit").str.to_lowercase() == pl.col(name).str.to_lowercase() for name in ("unit", "unit_code", "unit_text")
).fill_null(False)  # fmt: skip
_AS_DRAFTED: Final = ("time", "end_time", "code", "concept", "text_value", "flag", "sites", "days_before_onset", "status")
_AS_EVENTS: Final = {
    "subject_id": pl.col("sid"),
    **{name: pl.col(name) for name in _AS_DRAFTED},
    # "number of ulcers: 0" denies the ulcers
    "certainty": pl.when(_MEASURED & ~pl.col("needs_value") & (_NUMBER == 0) & (pl.col("certainty") == "affirmed"))
    .then(pl.lit("negated"))
    .otherwise("certainty"),
    "numeric_value": pl.when(_MEASURED).then(_NUMBER).otherwise("said_number"),
    "comparator": pl.when(_MEASURED).then(pl.coalesce("comparator", "said_comparator")).otherwise("said_comparator"),
    "unit": pl.when(_MEASURED).then(pl.coalesce("unit", "said_unit")).otherwise("said_unit"),
    "source": pl.concat_str(pl.col("rt").replace(COMPONENT, "Observation"), pl.lit("/"), pl.col("id").fill_null("?")),
}
_SAID_BEFORE: Final = pl.col("ended_on") < pl.col("time")
_UNTIL_SAID: Final = {  # as ``until_said``
    "end_time": pl.coalesce("end_time", pl.when(pl.col("time").is_null() | _SAID_BEFORE).then("ended_on")),
    "time": pl.when(pl.col("end_time").is_null() & _SAID_BEFORE).then("ended_on").otherwise("time"),
}
_OWN_INTERVAL: Final = {name: pl.col(name) for name in ("range_low", "range_high")}
_INTERVAL_OF_UNIT: Final = {name: pl.when(_SAME_UNIT).then(name) for name in _OWN_INTERVAL}


def patients_frame(patients: pl.DataFrame, paths: list[str]) -> pl.DataFrame:
    named = patients.select(*(name for name in PATIENT_SCHEMA if name != "source_file"), _file_names(paths).alias("source_file"))
    return named if named.height == 1 else named.sort("subject_id")


def _file_names(paths: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(paths, dtype=pl.String)).gather(pl.col("file")) if len(paths) > 1 else _the_file(paths)


def _the_file(paths: list[str]) -> pl.Expr:
    return pl.when(pl.col("file").is_not_null()).then(pl.lit(paths[0] if paths else None, dtype=pl.String))
