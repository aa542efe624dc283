"""Facts: what the events say about each patient, one row per patient and concept.

``concepts`` holds everything that is present or not; ``labs`` (see :mod:`calcinosis.labs`) holds measurements.
Presence climbs the concept tree (end-stage kidney disease shows kidney failure); an explicit negation descends it.
Anything affirmed outweighs a negation elsewhere in the record (an ulcer on the hand, none on the fingertip), and both are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.ages import years_between
from calcinosis.events import CERTAINTIES, ENDED, Batch, Schema
from calcinosis.judged import LabEvents, people_of
from calcinosis.knowledge import Knowledge
from calcinosis.labs import LabFacts, lab_facts
from calcinosis.numbers import (
    DAY,
    LAST_TIME,
    NO_TIME,
    Index,
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
    moments,
    texts_at,
    values_at,
)
from calcinosis.per_version import once_per_version
from calcinosis.truth import FALSE, TRUE, UNKNOWN, Truth

CONCEPT_FACT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "concept": pl.String,
    "present": pl.Boolean,  # null: unknown
    "n": pl.UInt32,  # events that say so (affirmed when present, negated when absent)
    "n_conflicting": pl.UInt32,  # events that say the opposite
    "suspected": pl.Boolean,  # at least one uncertain event
    "first_time": pl.Datetime("us"),
    "last_time": pl.Datetime("us"),
    "said": pl.String,  # the record's own words or code, of the deciding event
    "source": pl.String,  # resource of the deciding event (the one nearest the index date)
    "time": pl.Datetime("us"),  # its time
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on record about the presence of concepts: one row per patient and concept.

    Attributes:
        rows, concepts: row of the patient, number of the concept.
        presence: three-valued.
        n, n_conflicting, suspected, first_time, last_time: see ``CONCEPT_FACT_SCHEMA``.
        event, time: the deciding event, as a row of ``Facts.events``, and its time.
    """

    rows: Ints
    concepts: Ints
    presence: Truth
    n: Ints
    n_conflicting: Ints
    suspected: Mask
    first_time: Micros
    last_time: Micros
    event: Ints
    time: Micros

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Mentions:
    """The affirmed events of concepts that are not measured; what qualified criteria read.

    Attributes:
        event: row of ``Facts.events``.
        rows, concepts, time: row of the patient (−1 for one who is not listed), number of the concept (−1 then, too), moment.
    """

    event: Ints
    rows: Ints
    concepts: Ints
    time: Micros


@dataclass(frozen=True)
class Facts:
    """All facts of a group of patients in numbers, and (built when first asked for) as tables.

    Attributes:
        events: the events looked at (``events.EVENT_SCHEMA``).
        subjects: subject_id, birth_date, sex, age_years (at the index date), age_now (at the as-of date), index_time, index_basis
            ("calcification", "lesion", "as_of", "unknown"), as_of.
        recorded, measured, mentioned: presence of concepts, measurements, and the affirmed events one by one.
        rejects: measurements whose unit could not be used.
    """

    events: pl.DataFrame
    subjects: pl.DataFrame
    recorded: Recorded
    measured: LabFacts
    mentioned: Mentions
    rejects: pl.DataFrame
    numbers: Numbers

    @cached_property
    def concepts(self) -> pl.DataFrame:
        """``CONCEPT_FACT_SCHEMA``."""
        told = self.recorded
        said, source = self.said(told.event)
        return pl.DataFrame(
            [
                texts_at("subject_id", self.ids, told.rows),
                texts_at("concept", self.numbers.names, told.concepts),
                pl.Series("present", [(False, None, True)[truth] for truth in told.presence.tolist()], dtype=pl.Boolean),
                pl.Series("n", told.n.astype(np.uint32)),
                pl.Series("n_conflicting", told.n_conflicting.astype(np.uint32)),
                pl.Series("suspected", told.suspected),
                moments("first_time", told.first_time),
                moments("last_time", told.last_time),
                pl.Series("said", said, dtype=pl.String),
                pl.Series("source", source, dtype=pl.String),
                moments("time", told.time),
            ]
        )

    def said(self, events: Ints) -> tuple[list[str | None], list[str | None]]:
        """Of some events the record's own words or code, and the source."""
        text, code, source = (values_at(self.events[name], events) for name in ("text_value", "code", "source"))
        return _said(text, code), source

    @cached_property
    def labs(self) -> pl.DataFrame:
        """``labs.LAB_FACT_SCHEMA``."""
        return self.measured.table(self.ids, self.numbers.names)

    @cached_property
    def ids(self) -> list[str]:
        ids: list[str] = self.subjects["subject_id"].to_list()
        return ids

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {subject: row for row, subject in enumerate(self.ids)}

    def patients_with_lab(self) -> dict[str, int]:
        """Concept -> patients who have a value."""
        concepts, counts = np.unique(self.measured.concepts, return_counts=True)
        return {self.numbers.names[concept]: n for concept, n in zip(concepts.tolist(), counts.tolist(), strict=True)}

    @cached_property
    def recorded_index(self) -> Index:
        """Finds a row of ``recorded`` by :meth:`key`."""
        return Index(self.key(self.recorded.rows, self.recorded.concepts))

    @cached_property
    def measured_index(self) -> Index:
        """Finds a row of ``measured`` by :meth:`key`."""
        return Index(self.key(self.measured.rows, self.measured.concepts))

    def key(self, rows: Ints, concepts: Ints | int) -> Ints:
        """One number for a patient and a concept."""
        return rows * len(self.numbers) + concepts

    @cached_property
    def mention_sites(self) -> tuple[Ints, Ints]:
        """Where the sites of each mention begin, with one entry more for the end; and the number of each site, −1 for one not known."""
        lists = at(self.events["sites"], self.mentioned.event)
        if isinstance(lists, pl.Series):
            counts = lists.list.len().fill_null(0).to_numpy()
            sites: Names = lists.filter(counts > 0).explode()
        else:
            counts = np.array([len(each or ()) for each in lists], dtype=np.intp)
            sites = [site for each in lists for site in each or ()]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.intp)]), self.numbers.of(sites)

    @cached_property
    def index_time(self) -> Micros:
        return micros(self.subjects["index_time"])

    @cached_property
    def as_of(self) -> Micros:
        return micros(self.subjects["as_of"])


@dataclass(frozen=True, slots=True)
class _Tree:
    """The concept tree by number of concept."""

    up: Links  # to the ancestors of a concept (incl. itself) in ``above``
    above: Ints
    down: Links  # to its descendants (incl. itself) in ``below``
    below: Ints
    shows: npt.NDArray[np.int8]  # 2: mineral, 1: a lesion, 0: neither; the last entry stands for no concept
    is_lab: Mask  # the last entry stands for no concept
    is_sign: Mask  # a sign of the patient, and no calcification; the last entry stands for no concept


@once_per_version
def _tree(knowledge: Knowledge) -> _Tree:
    numbers = concept_numbers(knowledge)
    pairs = np.array(
        [(numbers[key], numbers[above]) for key, ancestors in knowledge.ancestors.items() for above in ancestors], dtype=np.intp
    )
    up, down = (pairs[np.argsort(pairs[:, side], kind="stable")] for side in (0, 1))
    shows = np.zeros(len(numbers) + 1, dtype=np.int8)
    for rank, shown in ((1, "skin_lesion"), (2, "calcification")):
        shows[[numbers[key] for key in knowledge.descendants.get(shown, ())]] = rank
    return _Tree(
        up=Links.to_sorted(up[:, 0], len(numbers)),
        above=up[:, 1],
        down=Links.to_sorted(down[:, 1], len(numbers)),
        below=down[:, 0],
        shows=shows,
        is_lab=np.array([*(knowledge.concepts[key].lab is not None for key in numbers.names), False], dtype=np.bool_),
        is_sign=np.array([*(knowledge.concepts[key].kind == "finding" for key in numbers.names), False], dtype=np.bool_) & (shows < 2),
    )


@dataclass(frozen=True, slots=True)
class _Events:
    """The columns of the events that every step reads, as numbers."""

    table: pl.DataFrame
    rows: Ints  # of the patient; −1 for one who is not listed
    concepts: Ints
    certainty: Ints  # index into ``CERTAINTIES``
    time: Micros


def build_facts(batch: Batch, knowledge: Knowledge, as_of: datetime | None = None) -> Facts:
    """Aggregate a batch of events.

    Args:
        as_of: events after this moment are not looked at; also the "now" of the alarms. Default: each patient's last event.
    """
    tree, numbers = _tree(knowledge), concept_numbers(knowledge)
    as_of = last_moment(as_of)
    events = looked_at(batch.events, as_of)
    people = batch.patients
    ids = people["subject_id"].to_list()
    if len(set(ids)) < len(ids):
        people = people.unique("subject_id", keep="first", maintain_order=True)
        ids = people["subject_id"].to_list()
    told = _Events(
        table=events,
        rows=look_up({subject: row for row, subject in enumerate(ids)}, events["subject_id"], -1),
        concepts=numbers.of(events["concept"]),
        certainty=look_up(_CERTAINTY, events["certainty"], _CERTAINTY["family"]),
        time=micros(events["time"]),
    )
    last = _last(told, people.height, as_of)
    past = _long_over(told, tree, last, knowledge)
    subjects, index_time = _subjects(people, told, tree, last, ~past)
    affirmed, is_lab = told.certainty == _CERTAINTY["affirmed"], tree.is_lab[told.concepts]
    which = np.flatnonzero(is_lab & affirmed)
    labs, rejects = lab_facts(
        LabEvents(events, which, told.rows[which], told.concepts[which], told.time[which]), people_of(subjects), knowledge
    )
    recorded = ~is_lab & (told.certainty != _CERTAINTY["family"]) & ~past
    concepts = _recorded(told, np.flatnonzero(recorded & (told.rows >= 0) & (told.concepts >= 0)), index_time, tree, numbers)
    which = np.flatnonzero(recorded & affirmed)
    rows = told.rows[which]
    mentions = Mentions(which, rows, np.where(rows >= 0, told.concepts[which], -1), told.time[which])
    return Facts(events, subjects, concepts, labs, mentions, rejects, numbers)


def last_moment(as_of: date | None) -> datetime | None:
    """The last moment that is looked at, as the times of events are: UTC without a zone. A day counts to its end, a datetime is exact."""
    if as_of is None:
        return None
    if not isinstance(as_of, datetime):
        return datetime.combine(as_of, time.max)
    return as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of


def looked_at(events: pl.DataFrame, as_of: datetime | None) -> pl.DataFrame:
    """The events up to a moment, and those without a date. What ended only later had not ended: its status is of a later day."""
    until = last_moment(as_of)
    if until is None:
        return events
    not_yet = (pl.col("status") == ENDED) & (pl.col("end_time") > until)
    return events.filter(pl.col("time").is_null() | (pl.col("time") <= until)).with_columns(
        status=pl.when(not_yet).then(None).otherwise(pl.col("status"))
    )


def without_later_ends(events: pl.DataFrame, as_of: datetime | None) -> pl.DataFrame:
    """Events as they could be written down at that moment: an end that came later was not known."""
    until = last_moment(as_of)
    if until is None:
        return events
    return events.with_columns(end_time=pl.when(pl.col("end_time") > until).then(None).otherwise(pl.col("end_time")))


def _last(told: _Events, patients: int, as_of: datetime | None) -> Micros:
    """Of each patient the moment up to which the record is looked at."""
    if as_of is not None:
        return np.full(patients, np.datetime64(as_of, "us").astype(np.int64))
    last = np.full(patients, NO_TIME)
    dated = (told.rows >= 0) & (told.time != NO_TIME)
    np.maximum.at(last, told.rows[dated], told.time[dated])
    return last


def _long_over(told: _Events, tree: _Tree, last: Micros, knowledge: Knowledge) -> Mask:
    """Signs that ended long before the last day (setting ``ended_sign_days``): they say nothing about the lesion of today.

    The record calls them over, or gives an end later than the start: the same day twice is what many exports write of every diagnosis.
    """
    ends = micros(told.table["end_time"])
    called_over = (told.table["status"] == ENDED).fill_null(False).to_numpy()
    said = called_over | ((ends != NO_TIME) & (ends > told.time))
    ended = np.flatnonzero(tree.is_sign[told.concepts] & (told.rows >= 0) & said)
    past = np.zeros(len(told.rows), dtype=np.bool_)
    if len(ended):
        # a letter of today tells of an end of long ago
        end = np.where(called_over[ended] & (ends[ended] != NO_TIME), ends[ended], np.maximum(told.time[ended], ends[ended]))
        known = (end != NO_TIME) & (last[told.rows[ended]] != NO_TIME)
        past[ended] = known & (end < last[told.rows[ended]] - int(knowledge.setting("ended_sign_days")) * DAY)
    return past


def _subjects(people: pl.DataFrame, told: _Events, tree: _Tree, last: Micros, looked_at: Mask) -> tuple[pl.DataFrame, Micros]:
    """The patients (see ``Facts``), and their index times."""
    mineral, lesion = np.full((2, people.height), NO_TIME)
    dated = (told.rows >= 0) & (told.time != NO_TIME) & looked_at
    shows = tree.shows[told.concepts]
    seen = dated & (told.certainty == _CERTAINTY["affirmed"]) & (shows > 0)
    for first, rank in ((mineral, 2), (lesion, 1)):
        which = seen & (shows >= rank)
        _earliest(first, told.rows[which], told.time[which])
    index_time = np.where(mineral != NO_TIME, mineral, np.where(lesion != NO_TIME, lesion, last))
    basis = np.where(mineral != NO_TIME, 0, np.where(lesion != NO_TIME, 1, np.where(last != NO_TIME, 2, 3)))
    birth = people["birth_date"]
    age = years_between(birth.to_numpy(), index_time)
    return pl.DataFrame(
        [
            people["subject_id"], birth, people["sex"],
            pl.Series("age_years", age, nan_to_null=True),
            pl.Series("age_now", years_between(birth.to_numpy(), last), nan_to_null=True),
            moments("index_time", index_time),
            texts_at("index_basis", _BASES, basis),
            moments("as_of", last),
        ]
    ), index_time  # fmt: skip


def _earliest(first: Micros, rows: Ints, times: Micros) -> None:
    found = np.full(len(first), LAST_TIME)
    np.minimum.at(found, rows, times)
    np.copyto(first, found, where=found != LAST_TIME)


def _recorded(told: _Events, chosen: Ints, index_time: Micros, tree: _Tree, numbers: Numbers) -> Recorded:
    """Presence of every concept: events are first counted per concept as recorded, then that count is spread over the tree."""
    if not len(chosen):
        none = np.zeros(0, dtype=np.intp)
        return Recorded(none, none, none.astype(np.int8), none, none, none.astype(np.bool_), none, none, none, none)
    rows, time = told.rows[chosen], told.time[chosen]
    index = index_time[rows]
    distance = np.where((time != NO_TIME) & (index != NO_TIME), np.abs(time - index), 0)
    # per patient, concept and certainty: how many, from when to when, and the one nearest the index date
    key = (rows * len(numbers) + told.concepts[chosen]) * len(CERTAINTIES) + told.certainty[chosen]
    order = np.lexsort((distance, key))
    starts = np.flatnonzero(firsts(key[order]))
    counts = np.diff(np.append(starts, len(order)))
    early = np.minimum.reduceat(np.where(time == NO_TIME, LAST_TIME, time)[order], starts)
    late = np.maximum.reduceat(time[order], starts)
    nearest = order[_first_of_equals(starts, (key[order], distance[order]), chosen[order], told.table)]
    certainty = key[nearest] % len(CERTAINTIES)
    # per patient and concept of the tree
    spread_up, spread_down = np.flatnonzero(certainty != _CERTAINTY["negated"]), np.flatnonzero(certainty == _CERTAINTY["negated"])
    concept = told.concepts[chosen][nearest]
    up, ancestor = tree.up.follow(concept[spread_up])
    down, descendant = tree.down.follow(concept[spread_down])
    entry = np.concatenate([spread_up[up], spread_down[down]])
    target = rows[nearest][entry] * len(numbers) + np.concatenate([tree.above[ancestor], tree.below[descendant]])
    order = np.lexsort((distance[nearest][entry], certainty[entry], target))
    entry, target = entry[order], target[order]
    starts = np.flatnonzero(firsts(target))
    event = chosen[nearest][entry]
    decides = _first_of_equals(starts, (target, certainty[entry], distance[nearest][entry]), event, told.table)
    certainty, counts = certainty[entry], counts[entry]
    affirmed = certainty == _CERTAINTY["affirmed"]
    yes = np.add.reduceat(np.where(affirmed, counts, 0), starts)
    no = np.add.reduceat(np.where(certainty == _CERTAINTY["negated"], counts, 0), starts)
    first_time = np.minimum.reduceat(np.where(affirmed, early[entry], LAST_TIME), starts)
    last_time = np.maximum.reduceat(np.where(affirmed, late[entry], NO_TIME), starts)
    return Recorded(
        rows=target[starts] // len(numbers),
        concepts=target[starts] % len(numbers),
        presence=np.where(yes > 0, TRUE, np.where(no > 0, FALSE, UNKNOWN)).astype(np.int8),
        n=np.where(yes > 0, yes, no),
        n_conflicting=np.where(yes > 0, no, 0),
        suspected=np.maximum.reduceat(certainty == _CERTAINTY["uncertain"], starts),
        first_time=np.where(first_time == LAST_TIME, NO_TIME, first_time),
        last_time=last_time,
        event=event[decides],
        time=time[nearest][entry][decides],
    )


def _first_of_equals(starts: Ints, keys: Sequence[Ints], events: Ints, table: pl.DataFrame) -> Ints:
    """Of each group the entry whose event comes first by source, time and words among those that share all keys with the group's first.

    Args:
        starts: of the groups.
        keys: of each entry, sorted by; the first one makes the groups.
    """
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(events))))
    first = starts[group]
    equal = np.logical_and.reduce([key == key[first] for key in keys])
    several = np.flatnonzero(equal & (np.bincount(group[equal], minlength=len(starts)) > 1)[group])
    if not len(several):
        return starts
    order = several[np.lexsort((_places_in_order(events[several], table), group[several]))]
    chosen = starts.copy()
    lead = order[firsts(group[order])]
    chosen[group[lead]] = lead
    return chosen


def _places_in_order(events: Ints, table: pl.DataFrame) -> Ints:
    """The place of each event by source, time and words."""
    source, time, text, code = (values_at(table[name], events) for name in ("source", "time", "text_value", "code"))
    keys = [(source or "", time or _BEFORE_ALL, said or "") for source, time, said in zip(source, time, _said(text, code), strict=True)]
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([places[key] for key in keys], dtype=np.intp)


def _said(texts: Sequence[str | None], codes: Sequence[str | None]) -> list[str | None]:
    return [code and code.removeprefix("text/") if text is None else text for text, code in zip(texts, codes, strict=True)]


_CERTAINTY: Final = {certainty: place for place, certainty in enumerate(CERTAINTIES)}
_BASES: Final = ("calcification", "lesion", "as_of", "unknown")
_BEFORE_ALL: Final = datetime.min
