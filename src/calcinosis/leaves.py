"""Leaves: from facts to truth columns, one per distinct question the criteria ask.

Each kind of question is answered for all patients and all its leaves at once, by looking up the recorded concepts in a small table of
the questions; the answers land in one matrix (leaf × patient) of truth values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import AT_MOST, OVER, UNDER
from calcinosis.events import ACTIVE, ENDED, FLAGS
from calcinosis.facts import Facts
from calcinosis.knowledge.criteria import AgeIs, SexIs
from calcinosis.numbers import NO_TIME, Floats, Ints, Links, Mask, Micros, distinct, micros, spread, whole_days
from calcinosis.questions import MOMENTS, Questions, flag_number
from calcinosis.truth import FALSE, TRUE, UNKNOWN, Truth, from_bool

Matrix = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class LeafMatrix:
    """Truth of every leaf for every patient.

    Attributes:
        subjects: ``Facts.subjects``; row *i* is column *i* of ``values``.
        names: leaf ids; row *j* of ``values``.
        values: int8, shape (leaves, patients).
    """

    subjects: pl.DataFrame
    names: tuple[str, ...]
    values: Matrix


def ask(facts: Facts, questions: Questions, closed_world: frozenset[str] = frozenset()) -> LeafMatrix:
    """Answer every question for every patient.

    Args:
        closed_world: kinds of concepts for which silence means absence, of :data:`calcinosis.api.CLOSABLE`. Labs are never closed.
    """
    subjects = facts.subjects
    values = np.full((len(questions.leaves), subjects.height), UNKNOWN, dtype=np.int8)
    _presence(facts, questions, values)
    mentions = facts.mentioned
    for table, answer in (
        (questions.current, _current),
        (questions.over, _over),
        (questions.qualified, _qualified),
        (questions.same_site, _same_site),
        (questions.elsewhere, _elsewhere),
    ):
        concerned = table.concerns(mentions.concepts)
        if len(concerned):
            answer(facts, concerned, questions, values)
    if len(facts.measured):
        _labs(facts, questions, values)
    age, age_now = subjects["age_years"].to_numpy(), subjects["age_now"].to_numpy()
    sex = np.array([sex or "" for sex in subjects["sex"].to_list()], dtype=np.object_)
    for j, leaf, now in questions.person:
        values[j] = _person(leaf, age_now if now else age, sex)
    if closed_world:
        spoken = facts.recorded  # also if only suspected
        for concept, asked in questions.closed(closed_world).items():
            silent = np.ones(subjects.height, dtype=np.bool_)
            silent[spoken.rows[spoken.concepts == questions.numbers[concept]]] = False
            values[np.array(asked)[:, None], np.flatnonzero(silent)] = FALSE
    return LeafMatrix(subjects=subjects, names=questions.names, values=values)


def _presence(facts: Facts, questions: Questions, values: Matrix) -> None:
    """Presence and suspicion; and what is false because the concept is absent."""
    recorded = facts.recorded
    rows, concepts, truth = recorded.rows, recorded.concepts, recorded.presence
    leaf = questions.presence[concepts]
    asked = leaf >= 0
    values[leaf[asked], rows[asked]] = truth[asked]
    leaf = questions.suspicion[concepts]
    asked = (leaf >= 0) & (recorded.suspected | (truth != UNKNOWN))
    values[leaf[asked], rows[asked]] = from_bool((recorded.suspected & (truth == UNKNOWN))[asked])
    absent = np.flatnonzero(truth == FALSE)
    which, leaf = questions.absence.of(concepts[absent])
    values[leaf, rows[absent][which]] = FALSE


def _any(values: Matrix, leaf: Ints, rows: Ints, truth: Truth) -> None:
    """Each entry becomes the strongest of its truths (Kleene's *or*)."""
    values[leaf, rows] = FALSE
    np.maximum.at(values.reshape(-1), leaf * values.shape[1] + rows, truth)


def _current(facts: Facts, chosen: Ints, questions: Questions, values: Matrix) -> None:
    """Whether what was recorded goes on. What is done (an operation) does not go on; it counts as current for the days asked for after it
    ended."""
    entries = entries_of(facts, chosen)
    which, leaf, within, itself, done, lasting = questions.current.of(facts.mentioned.concepts[chosen])
    taken = entries.go_on(which, within) | (lasting & entries.called_active[which])
    truth = np.where(entries.is_open[which], np.where(taken, TRUE, UNKNOWN), np.where(itself, FALSE, UNKNOWN))
    _any(values, leaf, entries.rows[which], np.where(done & entries.lately(which, within), TRUE, truth))


@dataclass(frozen=True, slots=True)
class Entries:
    """Some mentions, and whether what they name goes on.

    An entry is over when it says so, when its end has come, or when a later entry of the same concept ended. A drug that the record itself
    lists as active, without an end, is taken whatever the age of its order: warfarin is ordered once and taken for years. The end of one
    drug does not end its class: another may be taken.

    Attributes:
        rows, time, end, as_of: row of the patient, moments.
        is_open: not over.
        called_active: the record lists it as active.
    """

    rows: Ints
    time: Micros
    end: Micros
    as_of: Micros
    is_open: Mask
    called_active: Mask

    def go_on(self, which: Ints, within: Floats | float) -> Mask:
        """Whether entries that are open are recent enough, undated, or end in the future."""
        ahead = (self.end != NO_TIME) & (self.as_of != NO_TIME) & (self.end > self.as_of)
        going: Mask = self._within(self.time, which, within) | ahead[which]
        return going

    def lately(self, which: Ints, within: Floats | float) -> Mask:
        """Whether entries ended recently."""
        return self._within(np.where(self.end != NO_TIME, self.end, self.time), which, within)

    def _within(self, moment: Micros, which: Ints, within: Floats | float) -> Mask:
        undated = (self.as_of == NO_TIME) | (self.time == NO_TIME)
        near: Mask = undated[which] | (whole_days(self.as_of - moment)[which] <= within)
        return near


def entries_of(facts: Facts, chosen: Ints) -> Entries:
    """Some of ``facts.mentioned``, by place."""
    mentions = facts.mentioned
    rows, time = mentions.rows[chosen], mentions.time[chosen]
    over, end, last_end = _ends(facts, chosen)
    called_active = (facts.events["status"] == ACTIVE).fill_null(False).to_numpy()[mentions.event[chosen]]
    return Entries(rows, time, end, facts.as_of[rows], ~over & ~((time != NO_TIME) & (time < last_end)), called_active)


def _ends(facts: Facts, chosen: Ints) -> tuple[Mask, Micros, Micros]:
    """Of some mentions: whether they are over by their own word, their own end, and the last end of the same concept in the patient."""
    mentions = facts.mentioned
    rows, event, as_of = mentions.rows[chosen], mentions.event[chosen], facts.as_of[mentions.rows[chosen]]
    end = micros(facts.events["end_time"])[event]
    said_over = (facts.events["status"] == ENDED).fill_null(False).to_numpy()[event]
    over = said_over | ((end != NO_TIME) & (as_of != NO_TIME) & (end <= as_of))
    _, entry = np.unique(facts.key(rows, mentions.concepts[chosen]), return_inverse=True)
    last_end = np.full(len(chosen), NO_TIME)
    np.maximum.at(last_end, entry[over], np.where(end != NO_TIME, end, mentions.time[chosen])[over])
    return over, end, last_end[entry]


def _over(facts: Facts, chosen: Ints, questions: Questions, values: Matrix) -> None:
    """All entries must have ended long enough ago: Kleene's *and*."""
    rows, time, as_of = facts.mentioned.rows[chosen], facts.mentioned.time[chosen], facts.as_of[facts.mentioned.rows[chosen]]
    said_over, end, last_end = _ends(facts, chosen)
    ended = said_over | ((time != NO_TIME) & (time < last_end))
    end = np.where(said_over, np.where(end != NO_TIME, end, time), last_end)
    which, leaf, long = questions.over.of(facts.mentioned.concepts[chosen])
    known = ((end != NO_TIME) & (as_of != NO_TIME))[which]
    past = from_bool(whole_days(np.where(known, (as_of - end)[which], 0)) >= long)
    truth = np.where(ended[which], np.where(known, past, UNKNOWN), FALSE)
    values[leaf, rows[which]] = TRUE
    np.minimum.at(values.reshape(-1), leaf * values.shape[1] + rows[which], truth)


def _qualified(facts: Facts, chosen: Ints, questions: Questions, values: Matrix) -> None:
    mentions = facts.mentioned
    rows = mentions.rows[chosen]
    which, leaf, at, lead_from, lead_to, within = questions.qualified.of(mentions.concepts[chosen])
    truth = np.full(len(which), TRUE)
    sited = np.flatnonzero(at >= 0)
    if len(sited):
        of_mention, site, told = _sites(facts, chosen)
        links = Links.to_sorted(of_mention, len(chosen))
        pair, place = links.follow(which[sited])
        found = np.zeros(len(sited), dtype=np.bool_)
        found[pair[questions.within_site[site[place], at[sited][pair]]]] = True
        truth[sited] = np.where(told[which[sited]], from_bool(found), UNKNOWN)
    time, index = mentions.time[chosen], facts.index_time[rows]
    dated = (time != NO_TIME) & (index != NO_TIME)
    days = np.where(dated, whole_days(np.where(dated, index - time, 0)), 0).astype(np.float64)
    said = facts.events["days_before_onset"].to_numpy()[mentions.event[chosen]]
    lead = np.where(np.isnan(said), np.where(days != 0, days, np.nan), said)[which]  # same-day entries say nothing about order
    leads = np.where(np.isnan(lead), UNKNOWN, from_bool((lead >= lead_from) & (lead <= lead_to)))
    near = from_bool(~dated[which] | (np.abs(days)[which] <= within))
    truth = np.minimum(truth, np.where(np.isnan(lead_from), TRUE, leads))
    truth = np.minimum(truth, np.where(np.isnan(within), TRUE, near))
    _any(values, leaf, rows[which], truth)


def _sites(facts: Facts, chosen: Ints) -> tuple[Ints, Ints, Mask]:
    """The sites of some mentions: place in ``chosen``, site (−1: not known) of each; and which mentions name any."""
    starts, sites = facts.mention_sites
    which, place = spread(starts[chosen], starts[chosen + 1])
    return which, sites[place], starts[chosen + 1] > starts[chosen]


def _same_site(facts: Facts, chosen: Ints, questions: Questions, values: Matrix) -> None:
    of_mention, site, told = _sites(facts, chosen)
    if not told.any():
        return
    mention = chosen[of_mention]
    which, leaf, is_first = questions.same_site.of(facts.mentioned.concepts[mention])
    rows, site = facts.mentioned.rows[mention][which], site[which]
    answer = leaf * values.shape[1] + rows
    kept = distinct((answer * 2 + is_first) * (len(questions.numbers) + 1) + site)
    answer, is_first, site = answer[kept], is_first[kept], site[kept]
    order = np.argsort(answer[~is_first], kind="stable")
    second, second_site = answer[~is_first][order], site[~is_first][order]
    first, first_site = answer[is_first], site[is_first]
    pair, place = spread(np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right"))
    inside = questions.within_site
    here, there = first_site[pair], second_site[place]
    flat = values.reshape(-1)
    flat[first[pair][~(questions.tissues[here] | questions.tissues[there])]] = FALSE
    flat[first[pair][inside[here, there] | inside[there, here]]] = TRUE


def _elsewhere(facts: Facts, chosen: Ints, questions: Questions, values: Matrix) -> None:
    of_mention, site, _ = _sites(facts, chosen)
    rows = facts.mentioned.rows[chosen]
    which, leaf, is_first = questions.elsewhere.of(facts.mentioned.concepts[chosen])
    for j in np.unique(leaf).tolist():
        lies = np.zeros(len(chosen), dtype=np.intp)
        np.bitwise_or.at(lies, of_mention, questions.regions[j][site])
        mine = leaf == j
        row, first, lies = rows[which[mine]], is_first[mine], lies[which[mine]]
        regions = np.zeros((2, values.shape[1]), dtype=np.intp)
        told = np.zeros((2, values.shape[1]), dtype=np.bool_)
        placed = np.ones(values.shape[1], dtype=np.bool_)
        np.bitwise_or.at(regions, (first.astype(np.intp), row), lies)
        told[first.astype(np.intp), row] = True
        placed[row[lies == 0]] = False
        truth = np.where(regions[0] & regions[1], FALSE, np.where(placed, TRUE, UNKNOWN))
        both = told.all(axis=0)
        values[j, both] = truth[both]


def _labs(facts: Facts, questions: Questions, values: Matrix) -> None:
    """Flags and limits of the two deciding measurements of each analyte, and the flags ever seen."""
    labs = facts.measured
    rows, concepts = labs.rows, labs.concepts
    for moment, decides in (("index", labs.index), ("now", labs.now)):
        _flags(decides.flag, moment, rows, concepts, questions, values)
        _limits(decides.value, decides.comparator, moment, rows, concepts, questions, values)
    ever, owner = np.nonzero(labs.seen >> np.arange(len(FLAGS), dtype=np.uint8)[:, None] & 1)
    _flags(ever, "ever", rows[owner], concepts[owner], questions, values)


def _flags(flags: Ints, moment: str, rows: Ints, concepts: Ints, questions: Questions, values: Matrix) -> None:
    seen = np.flatnonzero(flags >= 0)
    which, leaf, truth = questions.flags.of(flag_number(concepts[seen], MOMENTS[moment], flags[seen]))
    values[leaf, rows[seen][which]] = truth


def _limits(value: Floats, comparator: Ints, moment: str, rows: Ints, concepts: Ints, questions: Questions, values: Matrix) -> None:
    which, leaf, at_least, below = questions.limits.of(concepts * len(MOMENTS) + MOMENTS[moment])
    sized = np.flatnonzero(~np.isnan(value[which]))
    if not len(sized):
        return
    which, leaf, at_least, below = which[sized], leaf[sized], at_least[sized], below[sized]
    value, comparator = value[which], comparator[which]
    under = (comparator == UNDER) | (comparator == AT_MOST)  # the true value lies at or under ``value``
    over = comparator >= OVER
    reaches = np.select(
        [np.isnan(at_least), (value >= at_least) & ~under, (value < at_least) & ~over, (comparator == UNDER) & (value <= at_least)],
        [TRUE, TRUE, FALSE, FALSE],
        UNKNOWN,
    )
    stays = np.select(
        [np.isnan(below), (value < below) & ~over, (value >= below) & ~under, (comparator == UNDER) & (value <= below)],
        [TRUE, TRUE, FALSE, TRUE],
        UNKNOWN,
    )
    values[leaf, rows[which]] = np.minimum(reaches, stays)


def _person(leaf: AgeIs | SexIs, age: Floats, sex: npt.NDArray[np.object_]) -> Truth:
    if isinstance(leaf, SexIs):
        return np.where(sex == "", UNKNOWN, from_bool(sex == leaf.sex)).astype(np.int8)
    inside = np.ones(len(age), dtype=np.bool_)
    if leaf.at_least is not None:
        inside &= age >= leaf.at_least
    if leaf.below is not None:
        inside &= age < leaf.below
    return np.where(np.isnan(age), UNKNOWN, from_bool(inside))
