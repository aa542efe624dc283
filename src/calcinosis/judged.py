"""Each measurement as the rules read it: canonical unit, and low, normal or high.

* Unit conversion per distinct (concept, unit), through UCUM (:mod:`calcinosis.units`).
* Flag: as the laboratory reported it; else against the interval the laboratory sent; else against the interval for age and sex.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from calcinosis.derived import AS_SENT, COMPARATOR, FLAG, HIGH, LOW, NORMAL, OVER, UNDER, Measured, People
from calcinosis.events import FLAGS, REJECT_SCHEMA, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.numbers import Floats, Ints, Links, Micros, Names, Numbers, at, concept_numbers, look_up, micros, texts_at
from calcinosis.units import UnknownUnit, canonical_factor

JUDGED_SCHEMA: Final[Schema] = {
    "value": pl.Float64,  # canonical unit
    "value_unit": pl.String,
    "value_flag": pl.String,
    "value_flag_from": pl.String,
    "value_low": pl.Float64,  # the interval it was read against, in the canonical unit
    "value_high": pl.Float64,
}

LAB_REJECT_SCHEMA: Final[Schema] = {**REJECT_SCHEMA, "subject_id": pl.String, "concept": pl.String}
FLAG_FROM: Final = ("reported", "reported_interval", "reference_interval")
SEX: Final = {"female": 1, "male": 2}


@dataclass(frozen=True, slots=True)
class LabEvents:
    """Affirmed events of laboratory concepts.

    Attributes:
        table: events (``events.EVENT_SCHEMA``), also of other concepts.
        which: rows of ``table``.
        rows, concepts, time: of each: row of the patient (−1 for one who is not listed), number of the concept, moment.
    """

    table: pl.DataFrame
    which: Ints
    rows: Ints
    concepts: Ints
    time: Micros

    def texts(self, name: str) -> Names:
        return at(self.table[name], self.which)

    def floats(self, name: str) -> Floats:
        floats: Floats = self.table[name].to_numpy()[self.which]
        return floats


def people_of(subjects: pl.DataFrame) -> People:
    return People(
        birth=subjects["birth_date"].to_numpy(),
        sex=look_up(SEX, subjects["sex"], 0),
        index_time=micros(subjects["index_time"]),
        as_of=micros(subjects["as_of"]),
    )


def judged(events: LabEvents, people: People, knowledge: Knowledge) -> tuple[Measured, pl.DataFrame]:
    """The usable measurements with their flags, and the rejects (unknown units: ``LAB_REJECT_SCHEMA``)."""
    factors, rejects = _conversions(events, knowledge)
    measured = _canonical(events, factors)
    usable = (measured.rows >= 0) & (~np.isnan(measured.value) | (measured.flag >= 0))
    return flagged(measured if usable.all() else measured.take(usable), people, knowledge), rejects


def judged_values(events: pl.DataFrame, subjects: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame:
    """Each measurement as the rules read it.

    Args:
        events: of laboratory concepts and of the given patients only.

    Returns:
        ``JUDGED_SCHEMA``, one row per event in the order given; all null where the unit could not be used and no flag was sent.
    """
    if events.is_empty():
        return pl.DataFrame(schema=JUDGED_SCHEMA)
    people, numbers = people_of(subjects), concept_numbers(knowledge)
    rows = {subject: row for row, subject in enumerate(subjects["subject_id"].to_list())}
    concepts = numbers.of(events["concept"])
    labs = LabEvents(events, np.arange(events.height), look_up(rows, events["subject_id"], -1), concepts, micros(events["time"]))
    measured = _canonical(labs, _conversions(labs, knowledge)[0])
    low, high = _interval_of(measured, people, knowledge)
    measured = flagged(measured, people, knowledge)
    units = [lab.unit if (lab := knowledge.concepts[name].lab) else None for name in numbers.names]
    return pl.DataFrame(
        [
            pl.Series("value", measured.value, nan_to_null=True),
            texts_at("value_unit", [*units, None], np.where(np.isnan(measured.value), -1, concepts)),
            texts_at("value_flag", [*FLAGS, None], measured.flag),
            texts_at("value_flag_from", [*FLAG_FROM, None], measured.flag_from),
            pl.Series("value_low", low, nan_to_null=True),
            pl.Series("value_high", high, nan_to_null=True),
        ]
    )


def _conversions(events: LabEvents, knowledge: Knowledge) -> tuple[Floats, pl.DataFrame]:
    """The factor of every measurement (NaN for none), and the measurements that have no factor."""
    sent = events.texts("unit")
    units = Numbers(unit for unit in (sent.unique() if isinstance(sent, pl.Series) else sent) if unit is not None)
    names = concept_numbers(knowledge).names
    pairs, which = np.unique(events.concepts * (len(units) + 1) + units.of(sent) + 1, return_inverse=True)
    numeric = ~np.isnan(events.floats("numeric_value"))
    asked = np.zeros(len(pairs), dtype=np.bool_)
    asked[which[numeric]] = True
    factors = np.full(len(pairs), np.nan)
    failures: list[str | None] = [None] * (len(pairs) + 1)
    for place in np.flatnonzero(asked).tolist():
        concept, unit = divmod(int(pairs[place]), len(units) + 1)
        lab = knowledge.concepts[names[concept]].lab
        assert lab is not None
        try:
            factors[place] = canonical_factor(units.names[unit - 1] if unit else None, lab)
        except UnknownUnit as error:
            failures[place] = f"{names[concept]}: {error}"
    failed = np.flatnonzero(numeric & np.isnan(factors)[which])
    if not len(failed):
        return factors[which], pl.DataFrame(schema=LAB_REJECT_SCHEMA)
    rejects = events.table.select("source_file", "source", "subject_id", "concept")[events.which[failed]]
    return factors[which], rejects.select(
        pl.col("source_file").alias("file"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
        pl.col("source").alias("record"),
        pl.lit("warning").alias("level"),
        pl.lit("unknown_unit").alias("category"),
        texts_at("reason", failures, which[failed]),
        "subject_id",
        "concept",
    )


def _canonical(events: LabEvents, factor: Floats) -> Measured:
    n = len(events.which)
    rests_on = np.full((n, 3), -1)
    rests_on[:, 0] = events.which
    return Measured(
        rows=events.rows,
        concepts=events.concepts,
        time=events.time,
        value=events.floats("numeric_value") * factor,
        comparator=look_up(COMPARATOR, events.texts("comparator"), -1),
        flag=look_up(FLAG, events.texts("flag"), -1),
        flag_from=np.full(n, -1),
        low=events.floats("range_low") * factor,
        high=events.floats("range_high") * factor,
        events=rests_on,
        made=np.full(n, AS_SENT),
        rank=np.zeros(n, dtype=np.intp),
    )


@dataclass(frozen=True, slots=True)
class _Intervals:
    """The reference intervals in canonical units, by number of concept."""

    links: Links
    age_from: Floats
    age_below: Floats
    sex: Ints  # 0: either
    low: Floats  # NaN: none
    high: Floats


_interval_tables: dict[str, _Intervals] = {}


def _intervals(knowledge: Knowledge) -> _Intervals:
    """One table per knowledge version."""
    if knowledge.version not in _interval_tables:
        numbers = concept_numbers(knowledge)
        rows = [
            (number, i.age_from_years, i.age_below_years, 0 if i.sex is None else SEX[i.sex],
             *(np.nan if x is None else x * canonical_factor(i.unit, lab) for x in (i.low, i.high)))
            for number, key in enumerate(numbers.names)
            for lab in [knowledge.concepts[key].lab]
            if lab is not None
            for i in lab.intervals
        ]  # fmt: skip
        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        links = Links.to_sorted(table[:, 0].astype(np.intp), len(numbers))
        _interval_tables[knowledge.version] = _Intervals(
            links, table[:, 1], table[:, 2], table[:, 3].astype(np.intp), table[:, 4], table[:, 5]
        )
    return _interval_tables[knowledge.version]


def _interval_of(measured: Measured, people: People, knowledge: Knowledge) -> tuple[Floats, Floats]:
    """The interval that each measurement is read against: the laboratory's own, else that for age and sex; NaN for none.

    An interval without an age limit applies at any age, known or not; one for a sex only where the sex is known.
    """
    intervals = _intervals(knowledge)
    which, row = intervals.links.follow(measured.concepts)
    age, age_from, age_below = people.age(measured)[which], intervals.age_from[row], intervals.age_below[row]
    by_age = ((age >= age_from) & (age < age_below)) | ((age_from <= 0) & (age_below >= 200))
    by_sex = (intervals.sex[row] == 0) | (intervals.sex[row] == people.sex[measured.rows][which])
    fits = by_age & by_sex
    own = ~np.isnan(measured.low) | ~np.isnan(measured.high)
    low, high = np.full((2, len(measured)), np.nan)
    low[which[fits]], high[which[fits]] = intervals.low[row[fits]], intervals.high[row[fits]]  # the last that fits
    return np.where(own, measured.low, low), np.where(own, measured.high, high)


def flagged(measured: Measured, people: People, knowledge: Knowledge) -> Measured:
    """Fill ``flag`` and ``flag_from`` (reported > reported interval > interval for age and sex)."""
    if not len(measured):
        return measured
    low, high = _interval_of(measured, people, knowledge)
    own = ~np.isnan(measured.low) | ~np.isnan(measured.high)
    value, comparator = measured.value, measured.comparator
    # "< 5" means anywhere below 5: a flag is given only when the whole range lies on one side
    under, over = comparator == UNDER, comparator == OVER
    smallest = np.where((comparator >= 0) & (comparator < OVER), -np.inf, value)
    largest = np.where(comparator >= OVER, np.inf, value)
    no_low, no_high = np.isnan(low), np.isnan(high)
    judged = np.select(
        [
            (smallest > high) | (over & (smallest == high)),
            (largest < low) | (under & (largest == low)),
            ~(no_low & no_high) & (no_low | (smallest >= low)) & (no_high | (largest <= high)),
        ],
        [HIGH, LOW, NORMAL],
        -1,
    )
    given = measured.flag >= 0
    by_interval = np.where(judged < 0, -1, np.where(own, 1, 2))
    return replace(
        measured,
        flag=np.where(given, measured.flag, judged),
        flag_from=np.where(given, np.maximum(measured.flag_from, 0), by_interval),
    )
