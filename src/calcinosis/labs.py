"""Measurements as facts: per patient and analyte the one measurement that decides, and what was ever seen.

* Derived: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y).
* Deciding measurement: nearest to the index date within ``lab_window_days``; the latest one counts for alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import (
    FOR_ALBUMIN,
    FROM_CREATININE,
    FROM_TWO,
    SAME_SAMPLE_DAYS,
    Measured,
    Named,
    People,
    adjusted_calcium,
    egfr,
    product,
    ranks,
    together,
)
from calcinosis.events import COMPARATORS, EVENT_SCHEMA, FLAGS, Schema
from calcinosis.judged import FLAG_FROM, LAB_REJECT_SCHEMA, LabEvents, flagged, judged
from calcinosis.knowledge import Knowledge
from calcinosis.numbers import DAY, LAST_TIME, NO_TIME, Floats, Ints, Mask, Micros, concept_numbers, firsts, moments, none_below_0, texts_at

LAB_FACT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "concept": pl.String,
    "value": pl.Float64,  # canonical unit; null when only a flag was sent
    "comparator": pl.String,
    "flag": pl.String,
    "flag_from": pl.String,  # "reported", "reported_interval", "reference_interval"
    "time": pl.Datetime("us"),
    "source": pl.String,
    "said": pl.String,  # value and unit as sent
    "now_value": pl.Float64,
    "now_comparator": pl.String,
    "now_flag": pl.String,
    "now_time": pl.Datetime("us"),
    "now_source": pl.String,
    "now_said": pl.String,
    "ever": pl.List(pl.String),  # every flag ever seen
    "n": pl.UInt32,
    "first_time": pl.Datetime("us"),
    "last_time": pl.Datetime("us"),
}

_NUMBER: Final = pl.col("numeric_value").round_sig_figs(6).cast(pl.String).str.strip_suffix(".0")
_WRITTEN: Final = pl.concat_str(pl.col("comparator").fill_null(""), _NUMBER, pl.lit(" "), pl.col("unit").fill_null("(no unit)"))
_SAID: Final = pl.when(pl.col("numeric_value").is_not_null()).then(_WRITTEN).otherwise(pl.coalesce("text_value", "flag")).alias("said")


@dataclass(frozen=True, slots=True)
class Deciding:
    """For each lab fact the measurement that decides at one moment. Numbers as in :class:`~calcinosis.derived.Measured`."""

    place: Ints  # row of ``LabFacts.measured``; −1 for none
    value: Floats  # an ionised flag has no size: then that of the best measurement of the same week that has one
    comparator: Ints
    flag: Ints
    flag_from: Ints
    time: Micros


@dataclass(frozen=True, slots=True)
class LabFacts:
    """One row per patient and analyte.

    Attributes:
        rows, concepts: row of the patient, number of the concept.
        index, now: what decides at the index date, and what is known last.
        seen: the flags ever seen, as a sum of ``1 << index into FLAGS``.
        n, first_time, last_time: of the measurements.
        measured, events: all measurements, and the table of events they rest on.
    """

    rows: Ints
    concepts: Ints
    index: Deciding
    now: Deciding
    seen: npt.NDArray[np.uint8]
    n: Ints
    first_time: Micros
    last_time: Micros
    measured: Measured
    events: pl.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    def words(self, deciding: Deciding, which: Ints) -> pl.DataFrame:
        """Of some facts: said (value and unit as sent), source."""
        place = deciding.place[which]
        held = place >= 0
        words = _words(self.measured.take(place[held]), self.events)
        return words if held.all() else words.select(pl.all().gather(none_below_0(np.where(held, np.cumsum(held) - 1, -1))))

    def table(self, ids: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
        """All facts (``LAB_FACT_SCHEMA``)."""
        if not len(self):
            return pl.DataFrame(schema=LAB_FACT_SCHEMA)
        every = np.arange(len(self))
        columns = [
            texts_at("subject_id", ids, self.rows),
            texts_at("concept", names, self.concepts),
            _FLAGS_SEEN.gather(self.seen).alias("ever"),
            pl.Series("n", self.n.astype(np.uint32)),
            moments("first_time", self.first_time),
            moments("last_time", self.last_time),
        ]
        for prefix, deciding in (("", self.index), ("now_", self.now)):
            columns += [
                pl.Series(prefix + "value", deciding.value, nan_to_null=True),
                texts_at(prefix + "comparator", [*COMPARATORS, None], deciding.comparator),
                texts_at(prefix + "flag", [*FLAGS, None], deciding.flag),
                texts_at(prefix + "flag_from", [*FLAG_FROM, None], deciding.flag_from),
                moments(prefix + "time", deciding.time),
                *(column.alias(prefix + column.name) for column in self.words(deciding, every)),
            ]
        by_name = {column.name: column for column in columns}
        return pl.DataFrame([by_name[name] for name in LAB_FACT_SCHEMA])


def no_labs() -> LabFacts:
    """Nobody has a value."""
    none, nothing = np.zeros(0, dtype=np.intp), np.zeros(0)
    decides = Deciding(none, nothing, none, none, none, none)
    measured = Measured(none, none, none, nothing, none, none, none, nothing, nothing, none.reshape(0, 3), none, none)
    return LabFacts(none, none, decides, decides, none.astype(np.uint8), none, none, none, measured, pl.DataFrame(schema=EVENT_SCHEMA))


def lab_facts(events: LabEvents, people: People, knowledge: Knowledge) -> tuple[LabFacts, pl.DataFrame]:
    """Reduce lab events to one row per patient and analyte.

    Returns:
        The facts and the rejects (unknown units: ``judged.LAB_REJECT_SCHEMA``).
    """
    if not len(events.which):
        return no_labs(), pl.DataFrame(schema=LAB_REJECT_SCHEMA)
    measured, rejects = judged(events, people, knowledge)
    named = Named(measured, events.table["source"], knowledge)
    calcium = adjusted_calcium(named, knowledge)
    derived = together([calcium, egfr(named, people), product(calcium, named)])
    derived = derived.take(derived.concepts >= 0)  # a knowledge base need not ask for all of them
    everything = together([measured, flagged(derived, people, knowledge)])
    return (_deciding(everything, events.table, people, knowledge) if len(everything) else no_labs()), rejects


def _days_apart(left: Micros, right: Micros) -> npt.NDArray[np.int64]:
    """Whole days from one moment to another, towards zero; 0 where either is unknown."""
    apart = np.where((left == NO_TIME) | (right == NO_TIME), 0, right - left)
    days: npt.NDArray[np.int64] = np.sign(apart) * (np.abs(apart) // DAY)
    return days


def _deciding(measured: Measured, events: pl.DataFrame, people: People, knowledge: Knowledge) -> LabFacts:
    """One row per patient and analyte: the measurement at the index date, the latest one, and what was ever seen."""
    key = measured.rows * len(concept_numbers(knowledge)) + measured.concepts
    order = np.argsort(key, kind="stable")
    measured, key = measured.take(order), key[order]
    starts = np.flatnonzero(firsts(key))
    counts = np.diff(np.append(starts, len(key)))
    window = knowledge.setting("lab_window_days")
    groups = _Groups(starts, np.repeat(np.arange(len(starts)), counts), measured, events)
    from_index = np.abs(_days_apart(measured.time, people.index_time[measured.rows]))
    from_now = _days_apart(measured.time, people.as_of[measured.rows])
    first_time = np.minimum.reduceat(np.where(measured.time == NO_TIME, LAST_TIME, measured.time), starts)
    return LabFacts(
        rows=measured.rows[starts],
        concepts=measured.concepts[starts],
        index=groups.deciding(from_index, window),
        now=groups.deciding(from_now, window),
        seen=np.bitwise_or.reduceat(_FLAG_BIT[measured.flag], starts),
        n=counts,
        first_time=np.where(first_time == LAST_TIME, NO_TIME, first_time),
        last_time=np.maximum.reduceat(measured.time, starts),
        measured=measured,
        events=events,
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Measurements sorted by patient and analyte."""

    starts: Ints
    group: Ints  # of each measurement
    measured: Measured
    events: pl.DataFrame

    def deciding(self, distance: npt.NDArray[np.int64], window: float) -> Deciding:
        measured, near = self.measured, distance <= window
        row = self._nearest(near, distance)
        sized_row = self._nearest(near & ~np.isnan(measured.value), distance)
        week = np.where(row >= 0, distance[row] + SAME_SAMPLE_DAYS, 0)
        sized_row = np.where((sized_row >= 0) & (distance[sized_row] <= week), sized_row, -1)
        has, sized = row >= 0, sized_row >= 0
        return Deciding(
            place=row,
            value=np.where(sized, measured.value[sized_row], np.nan),
            comparator=np.where(sized, measured.comparator[sized_row], -1),
            flag=np.where(has, measured.flag[row], -1),
            flag_from=np.where(has, measured.flag_from[row], -1),
            time=np.where(has, measured.time[row], NO_TIME),
        )

    def _nearest(self, chosen: Mask, distance: npt.NDArray[np.int64]) -> Ints:
        """Per group the nearest of the chosen measurements, −1 where none is chosen."""
        distance = np.where(chosen, distance, LAST_TIME)
        best = np.minimum.reduceat(distance, self.starts)
        rows = np.flatnonzero(chosen & (distance == best[self.group]))
        group = self.group[rows]
        if not firsts(group).all():
            rows = self._one_of_equals(rows, group)
        found = np.full(len(self.starts), -1)
        found[self.group[rows]] = rows
        return found

    def _one_of_equals(self, rows: Ints, group: Ints) -> Ints:
        """Of equally near ones the first by rank, source, value, words and time, so that no reader's order matters."""
        starts = firsts(group)
        alone = starts & np.append(starts[1:], True)
        tied = rows[~alone]
        some = self.measured.take(tied)
        words = _words(some, self.events)
        value = np.where(np.isnan(some.value), -np.inf, some.value)
        order = np.lexsort((some.time, ranks(words["said"]), value, ranks(words["source"]), some.rank, group[~alone]))
        return np.concatenate([rows[alone], tied[order][firsts(group[~alone])]])


def _words(measured: Measured, events: pl.DataFrame) -> pl.DataFrame:
    """said, source of some measurements."""
    first = events.select("numeric_value", "comparator", "unit", "text_value", "flag", "source")[measured.events[:, 0]]
    words = first.select(_SAID, "source")
    if not measured.made.any():
        return words
    made, more = pl.Series(measured.made), [events["source"].gather(none_below_0(measured.events[:, place])) for place in (1, 2)]
    return words.select(
        pl.when(made == FOR_ALBUMIN).then(pl.col("said") + ", adjusted for albumin")
        .when(made == FROM_TWO).then(pl.lit("computed from calcium and phosphate"))
        .when(made == FROM_CREATININE).then("computed from creatinine " + pl.col("said"))
        .otherwise("said").alias("said"),
        pl.when(pl.col("source").is_not_null()).then(pl.concat_str("source", *more, separator=" + ", ignore_nulls=True)).alias("source"),
    )  # fmt: skip


_FLAG_BIT: Final = np.array([*(1 << place for place in range(len(FLAGS))), 0], dtype=np.uint8)
_FLAGS_SEEN: Final = pl.Series(
    [sorted(flag for place, flag in enumerate(FLAGS) if bits >> place & 1) for bits in range(1 << len(FLAGS))], dtype=pl.List(pl.String)
)
