"""Each measurement as the rules read it: canonical unit, and low, normal or high.

* Unit conversion per distinct (concept, unit), through UCUM (:mod:`calcinosis.units`).
* Flag: as the laboratory reported it; else against the interval the laboratory sent; else against the interval for age and sex.
* Where age or sex is not known, all intervals that may apply are asked: the flag is theirs where they agree, and unknown where not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import AS_SENT, AT_MOST, COMPARATOR, FLAG, HIGH, LOW, NORMAL, OVER, UNDER, Measured, People
from calcinosis.events import FLAGS, REJECT_SCHEMA, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Concept, Lab, ReferenceInterval
from calcinosis.numbers import (
    Floats,
    Ints,
    Links,
    Mask,
    Micros,
    Names,
    Numbers,
    at,
    concept_numbers,
    firsts,
    look_up,
    micros,
    texts_at,
    told_apart,
)
from calcinosis.per_version import once_per_version
from calcinosis.units import TEMPERATURES, UnknownUnit, canonical_conversion, canonical_factor

JUDGED_SCHEMA: Final[Schema] = {
    "value": pl.Float64,  # canonical unit
    "value_unit": pl.String,
    "value_flag": pl.String,
    "value_flag_from": pl.String,
    "value_low": pl.Float64,  # the interval it was read against, in the canonical unit
    "value_high": pl.Float64,
}

LAB_REJECT_SCHEMA: Final[Schema] = {**REJECT_SCHEMA, "subject_id": pl.String, "concept": pl.String}
FLAG_FROM: Final = ("reported", "reported_interval", "reference_interval", "every_age", "every_sex", "both_intervals")
REPORTED, REPORTED_INTERVAL, REFERENCE_INTERVAL, EVERY_AGE, EVERY_SEX, BOTH_INTERVALS = range(len(FLAG_FROM))
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
    factors, shifts, rejects = _conversions(events, knowledge)
    measured = _canonical(events, factors, shifts)
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
    measured = _canonical(labs, *_conversions(labs, knowledge)[:2])
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


def _conversions(events: LabEvents, knowledge: Knowledge) -> tuple[Floats, Floats, pl.DataFrame]:
    """The factor of every measurement (NaN for none), its shift, and what cannot be used: it has no factor, or no patient has it."""
    values = events.floats("numeric_value")
    numeric = ~np.isnan(values)
    factors, shifts, failures, which = _conversions_by_unit(events, knowledge, numeric)
    factor, shift = factors[which], shifts[which]
    below_zero = (values < 0) & _amounts(knowledge)[events.concepts]
    unheard_of = numeric & ~below_zero & _out_of_reach(events, values * factor + shift, knowledge)
    cannot_be = below_zero | unheard_of
    factor[cannot_be] = np.nan
    failed = np.flatnonzero(numeric & np.isnan(factor))
    if not len(failed):
        return factor, shift, pl.DataFrame(schema=LAB_REJECT_SCHEMA)
    reason = which.copy()
    reason[below_zero] = len(failures)
    failures.append("a quantity below zero")
    names = concept_numbers(knowledge).names
    for concept in np.unique(events.concepts[unheard_of]).tolist():
        reason[unheard_of & (events.concepts == concept)] = len(failures)
        failures.append(_unheard_of(knowledge.concepts[names[concept]]))
    rejects = events.table[events.which[failed]].select(
        pl.col("source_file").alias("file"),
        pl.lit(None, dtype=pl.Int64).alias("line"),
        pl.col("source").alias("record"),
        pl.lit("warning").alias("level"),
        texts_at("category", ["unknown_unit", "impossible_value"], cannot_be[failed].astype(np.intp)),
        texts_at("reason", failures, reason[failed]),
        "subject_id",
        "concept",
    )
    return factor, shift, rejects


def _conversions_by_unit(events: LabEvents, knowledge: Knowledge, numeric: Mask) -> tuple[Floats, Floats, list[str | None], Ints]:
    """Of each pair of a quantity and a unit that occurs: its factor, its shift and why it has none; and the pair of every measurement."""
    sent = events.texts("unit")
    units = Numbers(unit for unit in (sent.unique() if isinstance(sent, pl.Series) else sent) if unit is not None)
    names = concept_numbers(knowledge).names
    per_concept = len(units) + 1
    pairs, which = told_apart(events.concepts * per_concept + units.of(sent) + 1, len(names) * per_concept)
    asked = np.zeros(len(pairs), dtype=np.bool_)
    asked[which[numeric]] = True
    factors, shifts = np.full(len(pairs), np.nan), np.zeros(len(pairs))
    failures: list[str | None] = [None] * (len(pairs) + 1)
    for place in np.flatnonzero(asked).tolist():
        concept, unit = divmod(int(pairs[place]), per_concept)
        lab = knowledge.concepts[names[concept]].lab
        assert lab is not None
        try:
            factors[place], shifts[place] = canonical_conversion(units.names[unit - 1] if unit else None, lab)
        except UnknownUnit as error:
            failures[place] = f"{names[concept]}: {error}"
    return factors, shifts, failures, which


def _out_of_reach(events: LabEvents, canonical: Floats, knowledge: Knowledge) -> Mask:
    """Values that no patient has."""
    lowest, highest = _possible(knowledge)[:, events.concepts]
    lower_still = np.isin(look_up(COMPARATOR, events.texts("comparator"), -1), (UNDER, AT_MOST))  # "< 5" may be below what can be told
    found: Mask = ((canonical < lowest) & ~lower_still) | (canonical > highest)
    return found


def _unheard_of(concept: Concept) -> str:
    lab = concept.lab
    assert lab is not None and lab.possible is not None
    low, high = lab.possible
    limits = f"{low:g} to {high:g} {lab.unit}"
    return f"{concept.key}: no patient reaches this ({limits} is taken for possible); is the unit right?"


@once_per_version
def _amounts(knowledge: Knowledge) -> Mask:
    """By number of concept: an amount, which is never below zero. What has no unit may be a score, and a temperature has another zero."""
    labs = [knowledge.concepts[name].lab for name in concept_numbers(knowledge).names]
    return np.array([bool(lab and lab.unit and lab.unit not in TEMPERATURES) for lab in labs], dtype=np.bool_)


@once_per_version
def _possible(knowledge: Knowledge) -> Floats:
    """By number of concept: the lowest and the highest number taken for possible (2, n), infinite where none is given."""
    labs = [knowledge.concepts[name].lab for name in concept_numbers(knowledge).names]
    limits = [lab.possible if lab and lab.possible else (-np.inf, np.inf) for lab in labs]
    return np.array(limits).T


def _canonical(events: LabEvents, factor: Floats, shift: Floats) -> Measured:
    n = len(events.which)
    rests_on = np.full((n, 3), -1)
    rests_on[:, 0] = events.which
    return Measured(
        rows=events.rows,
        concepts=events.concepts,
        time=events.time,
        value=events.floats("numeric_value") * factor + shift,
        comparator=look_up(COMPARATOR, events.texts("comparator"), -1),
        flag=look_up(FLAG, events.texts("flag"), -1),
        flag_from=np.full(n, -1),
        low=events.floats("range_low") * factor + shift,
        high=events.floats("range_high") * factor + shift,
        events=rests_on,
        made=np.full(n, AS_SENT),
        rank=np.zeros(n, dtype=np.intp),
    )


@dataclass(frozen=True, slots=True)
class _Intervals:
    """What holds at each age and sex, by number of concept: every age and sex is covered once, also where there is no interval.

    ``edges`` (4, n), canonical units: a value below the first is low, from the second to the third normal, above the fourth high. One
    interval has its lower limit twice and its upper limit twice, infinite where it has none; without an interval nothing is low, normal or
    high. The least first and third and the greatest second and fourth of several intervals are what they all agree on.
    """

    links: Links
    age_from: Floats
    age_below: Floats
    sex: Ints  # 0: either
    edges: npt.NDArray[np.float64]
    by_age: Mask  # by number of concept: what holds depends on the age


_UNLIMITED: Final = ReferenceInterval.model_fields["age_below_years"].default  # years
_NO_INTERVAL: Final = (-np.inf, np.inf, -np.inf, np.inf)


@once_per_version
def _intervals(knowledge: Knowledge) -> _Intervals:
    numbers = concept_numbers(knowledge)
    rows: list[tuple[float, ...]] = []
    by_age = np.zeros(len(numbers), dtype=np.bool_)
    for number, key in enumerate(numbers.names):
        lab = knowledge.concepts[key].lab
        if lab is not None and lab.intervals:
            held = _held(lab)
            rows += [(number, *each) for each in held]
            by_age[number] = len({each[0] for each in held}) > 1
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    links = Links.to_sorted(table[:, 0].astype(np.intp), len(numbers))
    return _Intervals(links, table[:, 1], table[:, 2], table[:, 3].astype(np.intp), np.ascontiguousarray(table[:, 4:].T), by_age)


def _held(lab: Lab) -> list[tuple[float, ...]]:
    """For each age and sex (from, below, sex or 0 for either) the edges of the last interval that covers it."""
    ages = sorted({0.0, np.inf, *(i.age_from_years for i in lab.intervals), *(_below(i) for i in lab.intervals)})
    held: list[tuple[float, ...]] = []
    for young, old in pairwise(ages):
        for sex in SEX.values() if any(i.sex for i in lab.intervals) else (0,):
            edges = _NO_INTERVAL
            for i in lab.intervals:
                if i.age_from_years <= young and old <= _below(i) and (i.sex is None or SEX[i.sex] == sex):
                    factor = canonical_factor(i.unit, lab)
                    low, high = -np.inf if i.low is None else i.low * factor, np.inf if i.high is None else i.high * factor
                    edges = (low, low, high, high)
            held.append((young, old, sex, *edges))
    return held


def _below(interval: ReferenceInterval) -> float:
    return np.inf if interval.age_below_years >= _UNLIMITED else interval.age_below_years


def _edges(measured: Measured, people: People, knowledge: Knowledge) -> tuple[npt.NDArray[np.float64], Ints]:
    """The edges (4, n) that each measurement is read against, and where they are from (index into ``FLAG_FROM``)."""
    intervals, age = _intervals(knowledge), people.age(measured)
    n, sex, no_age = len(measured), people.sex[measured.rows], np.isnan(age)
    which, row = intervals.links.follow(measured.concepts)
    may = no_age[which] | ((age[which] >= intervals.age_from[row]) & (age[which] < intervals.age_below[row]))
    may &= (intervals.sex[row] == 0) | (sex[which] == 0) | (intervals.sex[row] == sex[which])
    which, row = which[may], row[may]
    edges = np.repeat(np.array(_NO_INTERVAL)[:, None], n, axis=1)
    starts = np.flatnonzero(firsts(which)) if len(which) else which
    if len(starts):
        for place, least_or_greatest in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
            edges[place, which[starts]] = least_or_greatest.reduceat(intervals.edges[place, row], starts)
    several = (edges[0] != edges[1]) | (edges[2] != edges[3])
    source = np.where(several, np.where(no_age & intervals.by_age[measured.concepts], EVERY_AGE, EVERY_SEX), REFERENCE_INTERVAL)
    own = np.flatnonzero(~np.isnan(measured.low) | ~np.isnan(measured.high))
    low, high = measured.low[own], measured.high[own]
    sent = np.array([np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)])
    of_age, grown = edges[:, own], _of_adults_for_a_child(sent[1], edges[:, own], measured.concepts[own], age[own], knowledge)
    edges[:, own], source[own] = sent[[0, 0, 1, 1]], REPORTED_INTERVAL
    both = own[grown]
    for place, choose in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
        edges[place, both] = choose(sent[place // 2, grown], of_age[place, grown])
    source[both] = BOTH_INTERVALS
    return edges, source


def _of_adults_for_a_child(high: Floats, of_age: Floats, concepts: Ints, age: Floats, knowledge: Knowledge) -> Mask:
    """Whether a laboratory sent the interval of adults with a child's result, as systems without one for the age do.

    Its upper limit is that of adults (within ``_LIKE``), and that of the age lies clearly above it. Nothing is then called high that only
    one of the two calls so.
    """
    from_age, upper = _adults(knowledge)[:, concepts]
    with np.errstate(invalid="ignore"):
        like = np.abs(high - upper) <= _LIKE * upper
        child: Mask = (age < from_age) & like & np.isfinite(of_age[2]) & (of_age[2] > (1 + _LIKE) * high)
    return child


_LIKE: Final = 0.1


@once_per_version
def _adults(knowledge: Knowledge) -> Floats:
    """By number of concept: the age from which the last interval holds, and its upper limit (2, n); NaN where age makes no difference."""
    intervals = _intervals(knowledge)
    found = np.full((2, len(intervals.by_age)), np.nan)
    for number in np.flatnonzero(intervals.by_age).tolist():
        _, rows = intervals.links.follow(np.array([number]))
        last = rows[np.isinf(intervals.age_below[rows])]
        if len(last) == 1 and np.isfinite(intervals.edges[2, last[0]]):
            found[:, number] = intervals.age_from[last[0]], intervals.edges[2, last[0]]
    return found


def _interval_of(measured: Measured, people: People, knowledge: Knowledge) -> tuple[Floats, Floats]:
    """The one interval that each measurement is read against: the laboratory's own, else that for age and sex; NaN for none or several."""
    edges, source = _edges(measured, people, knowledge)
    one = source <= REFERENCE_INTERVAL
    low, high = (np.where(one & np.isfinite(limit), limit, np.nan) for limit in (edges[0], edges[3]))
    return low, high


def flagged(measured: Measured, people: People, knowledge: Knowledge) -> Measured:
    """Fill ``flag`` and ``flag_from`` (reported > reported interval > interval for age and sex, or all that may apply)."""
    if not len(measured):
        return measured
    (low, normal_from, normal_to, high), source = _edges(measured, people, knowledge)
    value, comparator = measured.value, measured.comparator
    # "< 5" means anywhere below 5: a flag is given only when the whole range lies on one side
    under, over = comparator == UNDER, comparator == OVER
    smallest = np.where((comparator >= 0) & (comparator < OVER), -np.inf, value)
    largest = np.where(comparator >= OVER, np.inf, value)
    judged = np.select(
        [
            (smallest > high) | (over & (smallest == high)),
            (largest < low) | (under & (largest == low)),
            (smallest >= normal_from) & (largest <= normal_to),
        ],
        [HIGH, LOW, NORMAL],
        -1,
    )
    given = measured.flag >= 0
    unlike = ((source == REFERENCE_INTERVAL) & (judged == NORMAL)) | ((source == BOTH_INTERVALS) & (judged < 0))
    doubted = given & (measured.flag == HIGH) & unlike & _of_children(measured, people, knowledge)
    flag, origin = np.where(given, measured.flag, judged), np.where(given, np.maximum(measured.flag_from, REPORTED), source)
    return replace(measured, flag=np.where(doubted, -1, flag), flag_from=np.where(doubted | (flag < 0), -1, origin))


def _of_children(measured: Measured, people: People, knowledge: Knowledge) -> Mask:
    """Results of children in quantities whose interval depends on the age.

    A laboratory that sent the limits of adults with one, or none, may have called it high by them; where the interval of the age says
    otherwise, neither is believed.
    """
    with np.errstate(invalid="ignore"):
        child: Mask = people.age(measured) < _adults(knowledge)[0, measured.concepts]
    return child & ~np.isnan(measured.value)
