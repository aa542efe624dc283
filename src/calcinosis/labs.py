"""Measurements as facts: per patient and analyte the one measurement that decides, and what was ever seen.

* Derived: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y).
* Deciding measurement: nearest to the index date within ``lab_window_days``, failing that the latest one within that time before the
  as-of date; the latest one counts for alarms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import (
    AS_SENT,
    DERIVED_FROM,
    FOR_ALBUMIN,
    FROM_CREATININE,
    FROM_TWO,
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
from calcinosis.judged import (
    BOTH_INTERVALS,
    EVERY_AGE,
    EVERY_SEX,
    FLAG_FROM,
    LAB_REJECT_SCHEMA,
    REFERENCE_INTERVAL,
    LabEvents,
    flagged,
    judged,
)
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Lab
from calcinosis.numbers import (
    LAST_TIME,
    NO_TIME,
    Floats,
    Ints,
    Mask,
    Micros,
    concept_numbers,
    firsts,
    moments,
    texts_at,
    values_at,
    whole_days,
)
from calcinosis.per_version import once_per_version
from calcinosis.units import canonical_factor

LAB_FACT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "concept": pl.String,
    "value": pl.Float64,  # canonical unit; null when only a flag was sent
    "comparator": pl.String,
    "flag": pl.String,
    "flag_from": pl.String,  # ``judged.FLAG_FROM``
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

Words = tuple[list[str | None], list[str | None]]  # value and unit as sent, and the source, of each measurement


@dataclass(frozen=True, slots=True)
class Deciding:
    """For each lab fact the measurement that decides at one moment. Numbers as in :class:`~calcinosis.derived.Measured`."""

    place: Ints  # row of ``LabFacts.measured``; −1 for none
    value: Floats  # an ionised flag has no size: then that of the best measurement of the same week that has one
    comparator: Ints
    flag: Ints
    flag_from: Ints
    time: Micros

    def take(self, kept: Mask) -> Deciding:
        return Deciding(*(getattr(self, column.name)[kept] for column in fields(self)))

    def with_others(self, chosen: Mask, others: Deciding) -> Deciding:
        """With other measurements for some of the facts."""
        at = np.flatnonzero(chosen)
        return Deciding(*(_placed(getattr(self, column.name), at, getattr(others, column.name)) for column in fields(self)))


def _chosen(among: Mask, kept: Mask) -> Mask:
    """``among``, without those of its places that are not ``kept``."""
    chosen = among.copy()
    chosen[among] = kept
    return chosen


def _placed(values: npt.NDArray[Any], at: Ints, others: npt.NDArray[Any]) -> npt.NDArray[Any]:
    changed = values.copy()
    changed[at] = others
    return changed


@dataclass(frozen=True, slots=True)
class LabFacts:
    """One row per patient and analyte.

    Attributes:
        rows, concepts: row of the patient, number of the concept.
        index, now: what decides at the index date, and what is known last.
        seen: the flags ever seen, as a sum of ``1 << index into FLAGS``.
        n, first_time, last_time: of the measurements.
        measured, events: all measurements, and the table of events they rest on.
        derived: number of a computed quantity -> its unit, molar mass and valence.
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
    derived: Mapping[int, Lab]

    def __len__(self) -> int:
        return len(self.rows)

    def words(self, deciding: Deciding, which: Ints) -> Words:
        """Of some facts; none where nothing decides."""
        place = deciding.place[which]
        held = np.flatnonzero(place >= 0)
        said, source = _words(self.measured.events[place[held]], self.measured.made[place[held]], self.events)
        for at in np.flatnonzero(self.measured.made[place[held]] != AS_SENT).tolist():
            said[at] = self._with_size(int(place[held[at]]), said[at])
        flag_from = deciding.flag_from[which[held]]
        for at in np.flatnonzero(flag_from > REFERENCE_INTERVAL).tolist():
            said[at] = f"{said[at]}, {_WHATEVER[int(flag_from[at])]}"
        if len(held) == len(place):
            return said, source
        all_said: list[str | None] = [None] * len(place)
        sources = all_said.copy()
        for at, its_words, its_source in zip(held.tolist(), said, source, strict=True):
            all_said[at], sources[at] = its_words, its_source
        return all_said, sources

    def _with_size(self, place: int, made_of: str | None) -> str:
        """What was computed, before the words that say of what; calcium in the unit in which it was sent."""
        value, lab = float(self.measured.value[place]), self.derived[int(self.measured.concepts[place])]
        unit = lab.unit or ""
        if self.measured.made[place] == FOR_ALBUMIN:
            sent = self.events["unit"][int(self.measured.events[place, 0])]
            value, unit = value / canonical_factor(sent, lab), sent or unit
        return f"{float(f'{value:.3g}'):g} {unit.translate(_PLAIN)}, {made_of}"

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
            said, source = self.words(deciding, every)
            columns += [
                pl.Series(prefix + "value", deciding.value, nan_to_null=True),
                texts_at(prefix + "comparator", [*COMPARATORS, None], deciding.comparator),
                texts_at(prefix + "flag", [*FLAGS, None], deciding.flag),
                texts_at(prefix + "flag_from", [*FLAG_FROM, None], deciding.flag_from),
                moments(prefix + "time", deciding.time),
                pl.Series(prefix + "said", said, dtype=pl.String),
                pl.Series(prefix + "source", source, dtype=pl.String),
            ]
        by_name = {column.name: column for column in columns}
        return pl.DataFrame([by_name[name] for name in LAB_FACT_SCHEMA])


def no_labs() -> LabFacts:
    """Nobody has a value."""
    none, nothing = np.zeros(0, dtype=np.intp), np.zeros(0)
    decides = Deciding(none, nothing, none, none, none, none)
    measured = Measured(none, none, none, nothing, none, none, none, nothing, nothing, none.reshape(0, 3), none, none)
    nobody = pl.DataFrame(schema=EVENT_SCHEMA)
    return LabFacts(none, none, decides, decides, none.astype(np.uint8), none, none, none, measured, nobody, {})


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
    derived = together([calcium, egfr(named, people, knowledge), product(calcium, named)])
    derived = derived.take(derived.concepts >= 0)  # a knowledge base need not ask for all of them
    everything = together([measured, flagged(derived, people, knowledge)])
    return (_deciding(everything, events.table, people, knowledge) if len(everything) else no_labs()), rejects


def _days_apart(left: Micros, right: Micros) -> npt.NDArray[np.int64]:
    """Whole days from one moment to another; 0 where either is unknown."""
    return whole_days(np.where((left == NO_TIME) | (right == NO_TIME), 0, right - left))


def _deciding(measured: Measured, events: pl.DataFrame, people: People, knowledge: Knowledge) -> LabFacts:
    """One row per patient and analyte: the measurement at the index date, the latest one, and what was ever seen."""
    key = measured.rows * len(concept_numbers(knowledge)) + measured.concepts
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(firsts(key[order]))
    counts = np.diff(np.append(starts, len(key)))
    first = order[starts]
    rows, time = measured.rows[first], measured.time[order]
    window = knowledge.setting("lab_window_days")
    groups = _Groups(starts, np.repeat(np.arange(len(starts)), counts), order, measured, events, knowledge.setting("same_sample_days"))
    now = groups.deciding(_days_apart(measured.time, people.as_of[measured.rows]), window)
    # of most patients of a population, who have no lesion, the index date is the last day: then both are the same
    earlier, index = (people.index_time != people.as_of)[rows], now
    if earlier.any():
        from_index = np.abs(_days_apart(measured.time, people.index_time[measured.rows]))
        at_index = groups.only(earlier).deciding(from_index, window)
        held = at_index.place >= 0  # else today's describes a lesion that is still there better than nothing
        index = now.with_others(_chosen(earlier, held), at_index.take(held))
    first_time = np.minimum.reduceat(np.where(time == NO_TIME, LAST_TIME, time), starts)
    return LabFacts(
        rows=rows,
        concepts=measured.concepts[first],
        index=index,
        now=now,
        seen=np.bitwise_or.reduceat(_FLAG_BIT[measured.flag[order]], starts),
        n=counts,
        first_time=np.where(first_time == LAST_TIME, NO_TIME, first_time),
        last_time=np.maximum.reduceat(time, starts),
        measured=measured,
        events=events,
        derived=_derived_labs(knowledge),
    )


@once_per_version
def _derived_labs(knowledge: Knowledge) -> dict[int, Lab]:
    numbers = concept_numbers(knowledge)
    found = ((key, knowledge.concepts[key].lab) for key in DERIVED_FROM if key in knowledge.concepts)
    return {numbers[key]: lab for key, lab in found if lab is not None}


@dataclass(frozen=True, slots=True)
class _Groups:
    """Measurements by patient and analyte."""

    starts: Ints  # in ``order``
    group: Ints  # of each in ``order``
    order: Ints  # rows of ``measured``, group by group
    measured: Measured
    events: pl.DataFrame
    same_sample_days: float

    def only(self, chosen: Mask) -> _Groups:
        """Some of the groups."""
        if chosen.all():
            return self
        members = chosen[self.group]
        group = (np.cumsum(chosen) - 1)[self.group[members]]
        return _Groups(np.flatnonzero(firsts(group)), group, self.order[members], self.measured, self.events, self.same_sample_days)

    def deciding(self, distance: npt.NDArray[np.int64], window: float) -> Deciding:
        """Of each group the measurement that decides.

        Args:
            distance: of every row of ``measured``, in days.
        """
        measured, near = self.measured, distance <= window
        row = self._nearest(near, distance)
        sized_row = row.copy()
        bare = (row >= 0) & np.isnan(measured.value[row])
        if bare.any():
            sized_row[bare] = self.only(bare)._nearest(near & ~np.isnan(measured.value), distance)
            week = np.where(row >= 0, distance[row] + self.same_sample_days, 0)
            sized_row[(sized_row >= 0) & (distance[sized_row] > week)] = -1
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
        apart = np.where(chosen, distance, LAST_TIME)[self.order]
        best = np.minimum.reduceat(apart, self.starts)
        places = np.flatnonzero((apart == best[self.group]) & (apart != LAST_TIME))
        rows, group = self.order[places], self.group[places]
        if not firsts(group).all():
            rows, group = self._one_of_equals(rows, group)
        found = np.full(len(self.starts), -1)
        found[group] = rows
        return found

    def _one_of_equals(self, rows: Ints, group: Ints) -> tuple[Ints, Ints]:
        """Of equally near ones the first by rank, source, value, words and time, so that no reader's order matters."""
        starts = firsts(group)
        alone = starts & np.append(starts[1:], True)
        tied, among = rows[~alone], group[~alone]
        some = self.measured.take(tied)
        said, source = _words(some.events, some.made, self.events)
        value = np.where(np.isnan(some.value), -np.inf, some.value)
        order = np.lexsort((some.time, ranks(said), value, ranks(source), some.rank, among))
        first = firsts(among)
        return np.concatenate([rows[alone], tied[order][first]]), np.concatenate([group[alone], among[first]])


def _words(rests_on: Ints, made: Ints, events: pl.DataFrame) -> Words:
    """What measurements say, which rest on some events (``Measured.events``, ``Measured.made``)."""
    columns = ("numeric_value", "comparator", "unit", "text_value", "flag", "source")
    number, comparator, unit, text, flag, source = (values_at(events[name], rests_on[:, 0]) for name in columns)
    said = [
        (text[i] if text[i] is not None else flag[i]) if number[i] is None else _written(number[i], comparator[i], unit[i])
        for i in range(len(number))
    ]
    computed = np.flatnonzero(made != AS_SENT)
    second, third = (values_at(events["source"], rests_on[computed, place]) for place in (1, 2))
    for at, how, *more in zip(computed.tolist(), made[computed].tolist(), second, third, strict=True):
        said[at] = _MADE[how].format(said[at])
        there = [name for name, event in zip(more, rests_on[at, 1:].tolist(), strict=True) if event >= 0]
        source[at] = " + ".join([source[at] or "?", *(name or "?" for name in there)])
    return said, source


def _written(number: float, comparator: str | None, unit: str | None) -> str:
    return f"{comparator or ''}{float(f'{number:.6g}')!r}".removesuffix(".0") + f" {unit or '(no unit)'}"


_PLAIN: Final = str.maketrans("_", " ", "{}")  # an annotation of UCUM, "{1.73_m2}", as it is written by hand
_MADE: Final = {
    FOR_ALBUMIN: "adjusted for albumin from {}",
    FROM_TWO: "computed from calcium and phosphate",
    FROM_CREATININE: "computed from creatinine {}",
}
_WHATEVER: Final = {
    EVERY_AGE: "judged without the age, which is not known",
    EVERY_SEX: "judged without the sex, which is not known",
    BOTH_INTERVALS: "the interval sent is one of adults, so that of this age was asked too",
}
_FLAG_BIT: Final = np.array([*(1 << place for place in range(len(FLAGS))), 0], dtype=np.uint8)
_FLAGS_SEEN: Final = pl.Series(
    [sorted(flag for place, flag in enumerate(FLAGS) if bits >> place & 1) for bits in range(1 << len(FLAGS))], dtype=pl.List(pl.String)
)
