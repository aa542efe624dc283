"""Measurements: canonical units, flags, derived quantities, and the one measurement that decides.

* Unit conversion per distinct (concept, unit), through UCUM (:mod:`calcinosis.units`).
* Flag: as the laboratory reported it; else against the interval the laboratory sent; else against the interval for age and sex.
* Derived: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y).
* Deciding measurement: nearest to the index date within ``lab_window_days``; the latest one counts for alarms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import (
    FLAG,
    HIGH,
    LOW,
    NORMAL,
    SAME_SAMPLE_DAYS,
    Measured,
    Named,
    People,
    Texts,
    adjusted_calcium,
    egfr,
    product,
    texts_of,
    together,
)
from calcinosis.events import FLAGS, REJECT_SCHEMA, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.numbers import DAY, LAST_TIME, NO_TIME, Floats, Ints, Links, Mask, Micros, concept_numbers, firsts, look_up, micros, moments
from calcinosis.units import UnknownUnit, canonical_factor

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

JUDGED_SCHEMA: Final[Schema] = {
    "value": pl.Float64,  # canonical unit
    "value_unit": pl.String,
    "value_flag": pl.String,
    "value_flag_from": pl.String,
    "value_low": pl.Float64,  # the interval it was read against, in the canonical unit
    "value_high": pl.Float64,
}

_LAB_REJECTS: Final[Schema] = {**REJECT_SCHEMA, "subject_id": pl.String, "concept": pl.String}
_SEX: Final = {"female": 1, "male": 2}
_FLAG_FROM: Final = ("reported", "reported_interval", "reference_interval")


def lab_facts(events: pl.DataFrame, subjects: pl.DataFrame, knowledge: Knowledge) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reduce lab events to one row per patient and analyte.

    Returns:
        The facts (``LAB_FACT_SCHEMA``) and the rejects (unknown units: ``events.REJECT_SCHEMA``, subject_id and concept).
    """
    if events.is_empty():
        return pl.DataFrame(schema=LAB_FACT_SCHEMA), pl.DataFrame(schema=_LAB_REJECTS)
    people = _people(subjects)
    factors, rejects = _conversions(events, knowledge)
    intervals = _intervals(knowledge)
    measured = _canonical(events, factors, people, knowledge)
    usable = (measured.rows >= 0) & (~np.isnan(measured.value) | (measured.flag >= 0))
    measured = _flagged(measured if usable.all() else measured.take(usable), people, intervals)
    named = Named(measured, knowledge)
    calcium = adjusted_calcium(named, knowledge)
    derived = together([calcium, egfr(named, people), product(calcium, named)])
    derived = derived.take(derived.concepts >= 0)  # a knowledge base need not ask for all of them
    everything = together([measured, _flagged(derived, people, intervals)])
    return _deciding(everything, people, knowledge), rejects


def judged_values(events: pl.DataFrame, subjects: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame:
    """Each measurement as the rules read it.

    Args:
        events: of laboratory concepts and of the given patients only.

    Returns:
        ``JUDGED_SCHEMA``, one row per event in the order given; all null where the unit could not be used and no flag was sent.
    """
    if events.is_empty():
        return pl.DataFrame(schema=JUDGED_SCHEMA)
    people, intervals = _people(subjects), _intervals(knowledge)
    measured = _canonical(events, _conversions(events, knowledge)[0], people, knowledge)
    low, high = _interval_of(measured, people, intervals)
    measured = _flagged(measured, people, intervals)
    labs = [knowledge.concepts[concept].lab for concept in events["concept"].to_list()]
    units = [lab.unit if lab and known else None for lab, known in zip(labs, (~np.isnan(measured.value)).tolist(), strict=True)]
    return pl.DataFrame(
        [
            pl.Series("value", measured.value, nan_to_null=True),
            pl.Series("value_unit", units, dtype=pl.String),
            pl.Series("value_flag", _FLAG_TEXTS[measured.flag].tolist(), dtype=pl.String),
            pl.Series("value_flag_from", _FLAG_FROM_TEXTS[measured.flag_from].tolist(), dtype=pl.String),
            pl.Series("value_low", low, nan_to_null=True),
            pl.Series("value_high", high, nan_to_null=True),
        ]
    )


def _people(subjects: pl.DataFrame) -> People:
    return People(
        ids=subjects["subject_id"].to_list(),
        birth=subjects["birth_date"].to_numpy(),
        sex=look_up(_SEX, subjects["sex"].to_list(), 0),
        index_time=micros(subjects["index_time"]),
        as_of=micros(subjects["as_of"]),
    )


def _conversions(events: pl.DataFrame, knowledge: Knowledge) -> tuple[Floats, pl.DataFrame]:
    """The factor of every measurement (NaN for none), and the measurements that have no factor."""
    pairs = [
        None if number is None else (concept, unit)
        for number, concept, unit in zip(
            events["numeric_value"].to_list(), events["concept"].to_list(), events["unit"].to_list(), strict=True
        )
    ]
    factors: dict[tuple[str, str | None] | None, float] = {None: np.nan}
    failures: dict[tuple[str, str | None] | None, str] = {}
    for pair in set(pairs):
        if pair is not None:
            concept, unit = pair
            lab = knowledge.concepts[concept].lab
            assert lab is not None
            try:
                factors[pair] = canonical_factor(unit, lab)
            except UnknownUnit as error:
                factors[pair] = np.nan
                failures[pair] = f"{concept}: {error}"
    factor = np.fromiter(map(factors.__getitem__, pairs), dtype=np.float64, count=len(pairs))
    if not failures:
        return factor, pl.DataFrame(schema=_LAB_REJECTS)
    reasons = [failures.get(pair) for pair in pairs]
    rejects = events.with_columns(pl.Series("reason", reasons, dtype=pl.String)).filter(pl.col("reason").is_not_null())
    return factor, rejects.select(
        pl.col("source_file").alias("file"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
        pl.col("source").alias("record"),
        pl.lit("warning").alias("level"),
        pl.lit("unknown_unit").alias("category"),
        "reason",
        "subject_id",
        "concept",
    )


_NUMBER: Final = pl.col("numeric_value").round_sig_figs(6).cast(pl.String).str.strip_suffix(".0")
_WRITTEN: Final = pl.concat_str(pl.col("comparator").fill_null(""), _NUMBER, pl.lit(" "), pl.col("unit").fill_null("(no unit)"))
_SAID: Final = pl.when(pl.col("numeric_value").is_not_null()).then(_WRITTEN).otherwise(pl.coalesce("text_value", "flag")).alias("said")


def _canonical(events: pl.DataFrame, factor: Floats, people: People, knowledge: Knowledge) -> Measured:
    n = events.height
    return Measured(
        rows=look_up({subject: row for row, subject in enumerate(people.ids)}, events["subject_id"].to_list(), -1),
        concepts=concept_numbers(knowledge).of(events["concept"].to_list()),
        time=micros(events["time"]),
        value=events["numeric_value"].to_numpy() * factor,
        comparator=texts_of(events["comparator"].to_list()),
        flag=look_up(FLAG, events["flag"].to_list(), -1),
        flag_from=np.full(n, -1),
        low=events["range_low"].to_numpy() * factor,
        high=events["range_high"].to_numpy() * factor,
        source=texts_of(events["source"].to_list()),
        said=texts_of(events.select(_SAID).to_series().to_list()),
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
            (number, i.age_from_years, i.age_below_years, 0 if i.sex is None else _SEX[i.sex],
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


def _interval_of(measured: Measured, people: People, intervals: _Intervals) -> tuple[Floats, Floats]:
    """The interval that each measurement is read against: the laboratory's own, else that for age and sex; NaN for none.

    An interval without an age limit applies at any age, known or not; one for a sex only where the sex is known.
    """
    which, row = intervals.links.follow(measured.concepts)
    age, age_from, age_below = people.age(measured)[which], intervals.age_from[row], intervals.age_below[row]
    by_age = ((age >= age_from) & (age < age_below)) | ((age_from <= 0) & (age_below >= 200))
    by_sex = (intervals.sex[row] == 0) | (intervals.sex[row] == people.sex[measured.rows][which])
    fits = by_age & by_sex
    own = ~np.isnan(measured.low) | ~np.isnan(measured.high)
    low, high = np.full((2, len(measured)), np.nan)
    low[which[fits]], high[which[fits]] = intervals.low[row[fits]], intervals.high[row[fits]]  # the last that fits
    return np.where(own, measured.low, low), np.where(own, measured.high, high)


def _flagged(measured: Measured, people: People, intervals: _Intervals) -> Measured:
    """Fill ``flag`` and ``flag_from`` (reported > reported interval > interval for age and sex)."""
    if not len(measured):
        return measured
    low, high = _interval_of(measured, people, intervals)
    own = ~np.isnan(measured.low) | ~np.isnan(measured.high)
    value, comparator = measured.value, measured.comparator
    # "< 5" means anywhere below 5: a flag is given only when the whole range lies on one side
    under, over = comparator == "<", comparator == ">"
    smallest = np.where(under | (comparator == "<="), -np.inf, value)
    largest = np.where(over | (comparator == ">="), np.inf, value)
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


def _days_apart(left: Micros, right: Micros) -> npt.NDArray[np.int64]:
    """Whole days from one moment to another, towards zero; 0 where either is unknown."""
    apart = np.where((left == NO_TIME) | (right == NO_TIME), 0, right - left)
    days: npt.NDArray[np.int64] = np.sign(apart) * (np.abs(apart) // DAY)
    return days


def _deciding(measured: Measured, people: People, knowledge: Knowledge) -> pl.DataFrame:
    """One row per patient and analyte: the measurement at the index date, the latest one, and what was ever seen."""
    if not len(measured):
        return pl.DataFrame(schema=LAB_FACT_SCHEMA)
    numbers = concept_numbers(knowledge)
    key = measured.rows * len(numbers) + measured.concepts
    order = np.argsort(key, kind="stable")
    if not firsts(key[order]).all():
        value = np.where(np.isnan(measured.value), -np.inf, measured.value)
        order = np.lexsort((measured.time, _ranks(measured.said), value, _ranks(measured.source), measured.rank, key))
    measured, key = measured.take(order), key[order]
    starts = np.flatnonzero(firsts(key))
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(key))))
    window = knowledge.setting("lab_window_days")
    from_index = np.abs(_days_apart(measured.time, people.index_time[measured.rows]))
    from_now = _days_apart(measured.time, people.as_of[measured.rows])
    columns = [
        pl.Series("subject_id", [people.ids[row] for row in measured.rows[starts].tolist()], dtype=pl.String),
        pl.Series("concept", [numbers.names[concept] for concept in measured.concepts[starts].tolist()], dtype=pl.String),
    ]
    for prefix, distance in (("", from_index), ("now_", from_now)):
        near = distance <= window
        sized = near & ~np.isnan(measured.value)
        row, sized_row = _first(near, distance, group, len(starts)), _first(sized, distance, group, len(starts))
        # an ionised flag has no size: then that of the best measurement of the same week that has one
        week = np.where(row >= 0, distance[row] + SAME_SAMPLE_DAYS, 0)
        sized_row = np.where((sized_row >= 0) & (distance[sized_row] <= week), sized_row, -1)
        columns += [
            pl.Series(prefix + "value", np.where(sized_row >= 0, measured.value[sized_row], np.nan), nan_to_null=True),
            _text_column(prefix + "comparator", measured.comparator, sized_row),
            _text_column(prefix + "flag", _FLAG_TEXTS[measured.flag], row),
            _text_column(prefix + "flag_from", _FLAG_FROM_TEXTS[measured.flag_from], row),
            moments(prefix + "time", np.where(row >= 0, measured.time[row], NO_TIME)),
            _text_column(prefix + "source", measured.source, row),
            _text_column(prefix + "said", measured.said, row),
        ]
    seen = np.bitwise_or.reduceat(_FLAG_BIT[measured.flag], starts)
    first_time = np.minimum.reduceat(np.where(measured.time == NO_TIME, LAST_TIME, measured.time), starts)
    columns += [
        _FLAGS_SEEN.gather(seen).alias("ever"),
        pl.Series("n", np.diff(np.append(starts, len(key))).astype(np.uint32)),
        moments("first_time", np.where(first_time == LAST_TIME, NO_TIME, first_time)),
        moments("last_time", np.maximum.reduceat(measured.time, starts)),
    ]
    by_name = {column.name: column for column in columns}
    return pl.DataFrame([by_name[name] for name in LAB_FACT_SCHEMA])


def _ranks(texts: Texts) -> Ints:
    """The place of each text among the distinct ones, none first."""
    order = pl.Series(texts.tolist(), dtype=pl.String).arg_sort().to_numpy()
    ranks = np.empty(len(texts), dtype=np.intp)
    ranks[order] = np.cumsum(firsts(texts[order]))
    return ranks


def _first(chosen: Mask, distance: npt.NDArray[np.int64], group: Ints, n: int) -> Ints:
    """Per group the nearest of the chosen rows, of equals the first; −1 where none is chosen."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((distance[rows], group[rows]))]
    nearest = rows[firsts(group[rows])]
    found = np.full(n, -1)
    found[group[nearest]] = nearest
    return found


def _text_column(name: str, texts: Texts, rows: Ints) -> pl.Series:
    found = texts[rows]
    found[rows < 0] = None
    return pl.Series(name, found.tolist(), dtype=pl.String)


_FLAG_TEXTS: Final = texts_of([*FLAGS, None])  # −1 finds the last
_FLAG_FROM_TEXTS: Final = texts_of([*_FLAG_FROM, None])
_FLAG_BIT: Final = np.array([*(1 << place for place in range(len(FLAGS))), 0], dtype=np.uint8)
_FLAGS_SEEN: Final = pl.Series(
    [sorted(flag for place, flag in enumerate(FLAGS) if bits >> place & 1) for bits in range(1 << len(FLAGS))], dtype=pl.List(pl.String)
)
