"""Reasons: every criterion that was decided, with the facts and citations behind it.

Explaining reads values and changes none: it starts from the evaluated matrix and only adds rows elsewhere. :func:`reasons_of` finds the
reasons in numbers; :func:`explain` writes them out as one long table, :mod:`calcinosis.assessment` as the records of one patient.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final

import numpy as np
import polars as pl

from calcinosis.derived import DERIVED_FROM
from calcinosis.events import FLAGS, Schema
from calcinosis.facts import Facts, Recorded
from calcinosis.knowledge.criteria import Status
from calcinosis.labs import LabFacts
from calcinosis.numbers import Ints, Mask, concept_numbers, datetimes, distinct, firsts, look_up, none_below_0, values_at
from calcinosis.per_version import once_per_version
from calcinosis.questions import Table
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.plan import Plan
from calcinosis.reasoning.program import Matrix
from calcinosis.truth import FALSE, TRUE, UNKNOWN

REASON_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "kind": pl.String,  # "type", "mimic", "alarm", "disease", "form"
    "owner": pl.String,  # key of the hypothesis, alarm, disease or form
    "role": pl.String,  # "decides", "supports", "against", "missing", "subtype", "risk", "established", "suspected", "when"
    "label": pl.String,
    "detail": pl.String,  # key of a subtype or risk factor
    "status": pl.String,  # of the rule that decides
    "sources": pl.List(pl.String),
    "order": pl.Int32,
    "facts": pl.List(
        pl.Struct(
            {
                "concept": pl.String,
                "said": pl.String,
                "value": pl.String,  # "present", "absent", "suspected", a flag
                "time": pl.Datetime("us"),
                "first_time": pl.Datetime("us"),
                "last_time": pl.Datetime("us"),
                "source": pl.String,
                "n": pl.UInt32,
            }
        )
    ),
    "unknown": pl.List(pl.Struct({"concept": pl.String, "because": pl.String})),  # for role "missing"
}

BECAUSE: Final = (
    "measured outside the window, or without a usable result",
    "unit not convertible",
    "never measured",
    "on record, but not whether it goes on",
    "only suspected",
    "source silent",
    "measured, but no interval for the age and sex decides, or these are not known",
    "what it is computed from is on record only in part",
)
_OUTSIDE, _UNUSABLE, _NEVER, _GOES_ON, _SUSPECTED, _SILENT, _NO_INTERVAL, _IN_PART = range(len(BECAUSE))
FACT_KINDS: Final = ("concept", "lab", "lab_now", "patient")
_CONCEPT, _LAB, LAB_NOW, _PATIENT = range(len(FACT_KINDS))
_NOT_JUDGED: Final = "The record does not hold what is needed to judge this type; see what is missing"
_PATIENTS_AT_A_TIME: Final = 2048  # keeps the table of all leaves of all reasons small, however many patients there are


@dataclass(frozen=True, slots=True)
class Reasons:
    """The reasons of some patients in numbers, patient by patient, each in the order of the criteria.

    Attributes:
        rows: row of the patient in ``Facts.subjects``.
        criteria: row of ``ReasonTexts.rows``.
        missing: the criterion is unknown, not true.
        fact_of, fact: each fact of each reason: place of the reason (ascending), and the fact (:class:`FactTable`).
        unknown_of, concept, because: what each missing criterion lacks: place of the reason (ascending), number of the concept
            (−1: age and sex), index into ``BECAUSE``.
    """

    rows: Ints
    criteria: Ints
    missing: Mask
    fact_of: Ints
    fact: Ints
    unknown_of: Ints
    concept: Ints
    because: Ints


class ReasonTexts:
    """What the reasons of a plan say, whoever the patient is."""

    def __init__(self, plan: Plan) -> None:
        knowledge = plan.knowledge
        criteria = plan.criteria.to_dicts()
        for row in criteria:
            row |= {"order": row["id"]} if row["role"] != "rule" else {"order": -1, "role": "decides", "detail": None}
        not_judged = [
            {
                "kind": "type", "owner": key, "role": "decides", "label": _NOT_JUDGED, "detail": None, "status": Status.NOT_ASSESSED.value,
                "sources": list(knowledge.types[key].definition.sources) if key in knowledge.types else [], "order": -1,
            }
            for key in plan.hypotheses
        ]  # fmt: skip
        self.rows: list[dict[str, Any]] = [{name: row[name] for name in _TEXT} for row in [*criteria, *not_judged]]
        self.table = pl.DataFrame(self.rows, schema={name: REASON_SCHEMA[name] for name in _TEXT})
        self.first_not_judged = len(criteria)
        self.decides = np.array([row["role"] == "decides" for row in self.rows], dtype=np.bool_)
        self.first_rule = np.array([rules[0].id for rules in plan.rules.values()], dtype=np.intp)
        row = plan.program.names
        shown = [*(c for key in plan.hypotheses for c in plan.shown[key]), *(c for c in plan.other if c.kind != "test")]
        self.shown_rows = np.array([row[c.column] for c in shown], dtype=np.intp)
        self.ids = np.array([c.id for c in shown], dtype=np.intp)
        self.may_miss = np.array([c.kind == "type" and c.role in ("supports", "against") for c in shown], dtype=np.bool_)
        self.of_mimic = np.array([plan.hypotheses.index(c.owner) if c.kind == "mimic" else -1 for c in shown], dtype=np.intp)
        self.fired_rows = np.array([row[f"fired:{key}"] for key in plan.hypotheses], dtype=np.intp)
        self.is_type = np.array([key in knowledge.types for key in plan.hypotheses], dtype=np.bool_)
        numbers = concept_numbers(knowledge)
        leaf_place = {name: j for j, name in enumerate(plan.questions.names)}
        subjects: dict[str, list[tuple[int, int]]] = {}
        for leaf, kind, concept in plan.leaf_subjects.iter_rows():
            subjects.setdefault(leaf, []).append((FACT_KINDS.index(kind), numbers.places.get(concept, -1)))
        self.leaves = Table(  # criterion -> leaf, its sign, whether it asks what goes on, and the kind and concept of each fact behind it
            (
                (criterion, leaf_place[leaf], positive, leaf.startswith("current:"), *subject)
                for criterion, leaf, positive in plan.criterion_leaves.iter_rows()
                for subject in subjects[leaf]
            ),
            (np.int32, np.bool_, np.bool_, np.int8, np.int32),
            len(criteria),
        )
        self.lesions = [numbers[key] for key in ("calcification", "chalky_discharge", "skin_lesion") if key in numbers.places]
        self.derived = [(numbers[base], numbers[made]) for made, bases in DERIVED_FROM.items() for base in bases
                        if base in numbers.places and made in numbers.places]  # fmt: skip


_TEXT: Final = [name for name in REASON_SCHEMA if name not in ("subject_id", "facts", "unknown")]


@once_per_version
def reason_texts(plan: Plan) -> ReasonTexts:
    return ReasonTexts(plan)


def reasons_of(evaluation: Evaluation, table: FactTable, *, with_missing: bool = True) -> Reasons:
    """Reasons for every hypothesis, alarm, disease and form of the given patients.

    Args:
        evaluation: only the patients to explain (:meth:`Evaluation.take`).
        with_missing: also the criteria of the types that are unknown.
    """
    columns, texts = evaluation.columns, reason_texts(evaluation.plan)
    # what is said for and against a mimic is shown only to the patients in whom one of its rules fired
    is_judged = texts.is_type | (columns.matrix[texts.fired_rows] >= 0).any(axis=1)
    chosen = np.flatnonzero((texts.of_mimic < 0) | is_judged[texts.of_mimic])
    shown_rows, ids, of_mimic = texts.shown_rows[chosen], texts.ids[chosen], texts.of_mimic[chosen]
    may_miss = texts.may_miss[chosen] & with_missing
    people = look_up(table.facts.row_of, evaluation.subjects["subject_id"], -1)
    parts = []
    for start in range(0, max(len(people), 1), _PATIENTS_AT_A_TIME):
        matrix = columns.matrix[:, start : start + _PATIENTS_AT_A_TIME]
        fired, values = matrix[texts.fired_rows], matrix[shown_rows]
        decides = (fired >= 0) | texts.is_type[:, None]
        lacks = (values == UNKNOWN) & may_miss[:, None]
        told = (values == TRUE) & (decides[of_mimic] | (of_mimic < 0)[:, None])
        who, place = np.nonzero(np.concatenate([decides, told | lacks]).T)
        which = np.concatenate([texts.first_rule, ids])[place]
        rule = np.flatnonzero(place < len(fired))
        index = fired[place[rule], who[rule]]
        which[rule] = np.where(index >= 0, which[rule] + index, texts.first_not_judged + place[rule])
        missing = np.concatenate([np.zeros_like(decides), lacks]).T[who, place]
        parts.append(_with_facts(people[start:][who], who, which, missing, matrix, table, texts))
    return _joined(parts) if len(parts) > 1 else parts[0]


def _joined(parts: list[Reasons]) -> Reasons:
    before = np.cumsum([0, *(len(part.rows) for part in parts)])
    moved = [replace(part, fact_of=part.fact_of + n, unknown_of=part.unknown_of + n) for part, n in zip(parts, before, strict=False)]
    return Reasons(*(np.concatenate([getattr(part, field.name) for part in moved]) for field in fields(Reasons)))


def _with_facts(rows: Ints, who: Ints, criteria: Ints, missing: Mask, matrix: Matrix, table: FactTable, texts: ReasonTexts) -> Reasons:
    """To each true criterion, the facts of its leaves whose value argues for its truth; to each unknown one, what nobody recorded."""
    facts = table.facts
    judged = np.flatnonzero(criteria < texts.first_not_judged)
    which, leaf, positive, current, kind, concept = texts.leaves.of(criteria[judged])
    reason = judged[which]
    value = matrix[leaf, who[reason]]
    argues = np.flatnonzero(~missing[reason] & (value == np.where(positive, TRUE, FALSE)))
    fact_of, fact = _facts(reason[argues], rows, kind[argues], concept[argues], table)
    lacks = texts.decides[criteria]
    lacks[fact_of] = False
    bare = np.flatnonzero(lacks)
    if len(bare):
        last_resort = _never_without_a_fact(rows[bare], facts, texts)
        held = last_resort >= 0
        fact_of, fact = np.concatenate([fact_of, bare[held]]), np.concatenate([fact, last_resort[held]])
        order = np.argsort(fact_of, kind="stable")
        fact_of, fact = fact_of[order], fact[order]
    lacking = np.flatnonzero(missing[reason] & (value == UNKNOWN))
    reason, concept = reason[lacking], concept[lacking]
    because = _because(rows[reason], kind[lacking], concept, current[lacking], facts, texts)
    kept = distinct((reason * (len(facts.numbers) + 1) + concept + 1) * len(BECAUSE) + because)
    return Reasons(rows, criteria, missing, fact_of, fact, reason[kept], concept[kept], because[kept])


def _facts(reason: Ints, rows: Ints, kind: Ints, concept: Ints, table: FactTable) -> tuple[Ints, Ints]:
    """The distinct facts of each reason, as numbers of ``FactTable``; those that no entry of the record shows are left out."""
    facts, first = table.facts, table.starts
    who = rows[reason]
    fact = np.full(len(reason), -1)
    for each, index in ((_CONCEPT, facts.recorded_index), (_LAB, facts.measured_index), (LAB_NOW, facts.measured_index)):
        asked = np.flatnonzero(kind == each)
        if len(asked):
            place = index.find(facts.key(who[asked], concept[asked]))
            fact[asked] = np.where(place >= 0, place + first[each], -1)
    patient = kind == _PATIENT
    fact[patient] = who[patient] + first[_PATIENT]
    seen = np.flatnonzero((fact >= 0) & table.sourced[fact])
    reason, fact = reason[seen], table.same[fact[seen]]
    kept = distinct(reason * first[-1] + fact)
    return reason[kept], fact[kept]


def _never_without_a_fact(rows: Ints, facts: Facts, texts: ReasonTexts) -> Ints:
    """A status that rests on what is missing names the lesion it is about, or failing that the first entry of the patient record."""
    found = facts.recorded_index.first_from(facts.key(rows, 0), facts.key(rows, len(facts.numbers)))
    for concept in reversed(texts.lesions):
        place = facts.recorded_index.find(facts.key(rows, concept))
        found = np.where((place >= 0) & (facts.recorded.presence[place] == TRUE), place, found) if len(facts.recorded) else found
    return found


def unknown_measurements(plan: Plan, facts: Facts, rows: Ints, concepts: Ints) -> list[str]:
    """Why the latest results of some measurements are not known."""
    kind = np.full(len(rows), LAB_NOW)
    because = _because(rows, kind, concepts, np.zeros(len(rows), dtype=np.bool_), facts, reason_texts(plan))
    return [BECAUSE[each] for each in because.tolist()]


def _because(rows: Ints, kind: Ints, concept: Ints, current: Mask, facts: Facts, texts: ReasonTexts) -> Ints:
    """Why nobody knows, as an index into ``BECAUSE``."""
    key = facts.key(rows, concept)
    recorded = facts.recorded_index.find(key)
    known = (recorded >= 0) & (concept >= 0)
    if known.any():
        goes_on = known & current & (facts.recorded.presence[recorded] == TRUE)
        because = np.where(goes_on, _GOES_ON, np.where(known & facts.recorded.suspected[recorded], _SUSPECTED, _SILENT))
    else:
        because = np.full(len(rows), _SILENT)
    lab = np.flatnonzero((kind == _LAB) | (kind == LAB_NOW))
    unusable = np.isin(key[lab], _unusable(facts, texts)) if facts.rejects.height else False
    place = facts.measured_index.find(key[lab])
    because[lab] = np.where(place >= 0, _OUTSIDE, np.where(unusable, _UNUSABLE, _NEVER))
    never = lab[(place < 0) & np.logical_not(unusable)]
    for base, made in texts.derived:
        asked = never[concept[never] == made]
        because[asked[facts.measured_index.find(facts.key(rows[asked], np.full(len(asked), base))) >= 0]] = _IN_PART
    for each, decides in ((_LAB, facts.measured.index), (LAB_NOW, facts.measured.now)):
        there = np.flatnonzero((place >= 0) & (kind[lab] == each))
        unread = ~np.isnan(decides.value[place[there]]) & (decides.flag[place[there]] < 0)
        because[lab[there[unread]]] = _NO_INTERVAL
    return because


def _unusable(facts: Facts, texts: ReasonTexts) -> Ints:
    """Keys of the analytes whose unit could not be used, and of what is computed from them."""
    rows = look_up(facts.row_of, facts.rejects["subject_id"], -1)
    concepts = facts.numbers.of(facts.rejects["concept"])
    made = [facts.key(rows[concepts == base], made) for base, made in texts.derived]
    return np.concatenate([facts.key(rows, concepts), *made])


@dataclass(frozen=True)
class FactTable:
    """Facts by number: the rows of ``Facts.recorded``, of ``measured`` at the index date, of ``measured`` now, and of ``subjects``."""

    facts: Facts

    @cached_property
    def starts(self) -> Ints:
        """Number of the first fact of each kind, and how many there are."""
        facts = self.facts
        return np.cumsum([0, len(facts.recorded), len(facts.measured), len(facts.measured), facts.subjects.height])

    @cached_property
    def sourced(self) -> Mask:
        """Whether an entry of the record stands behind a fact."""
        facts = self.facts
        named = facts.events["source"].is_not_null().to_numpy()
        sourced = [named[facts.recorded.event]]
        for decides in (facts.measured.index, facts.measured.now):
            event = facts.measured.measured.events[decides.place, 0] if len(facts.measured) else decides.place
            sourced.append((decides.place >= 0) & named[event])
        return np.concatenate([*sourced, np.ones(facts.subjects.height, dtype=np.bool_)])

    @cached_property
    def same(self) -> Ints:
        """Each fact, and for the latest measurement that at the index date where they are one."""
        labs, starts = self.facts.measured, self.starts
        numbers = np.arange(starts[-1])
        numbers[starts[LAB_NOW] : starts[LAB_NOW + 1]] -= np.where(labs.index.place == labs.now.place, len(labs), 0)
        return numbers

    def row(self, number: int) -> dict[str, Any]:
        """One fact by number, with the columns of :meth:`rows`."""
        kind = int(np.searchsorted(self._lasts, number))
        place = number - int(self.starts[kind])
        return {name: values[place] for name, values in self._lists[kind]}

    @cached_property
    def _lasts(self) -> Ints:
        return self.starts[1:] - 1

    @cached_property
    def _lists(self) -> list[list[tuple[str, list[Any]]]]:
        every = (np.arange(n) for n in np.diff(self.starts).tolist())
        return [list(zip(_FACT_COLUMNS, self._columns(kind, rows), strict=True)) for kind, rows in enumerate(every)]

    def rows(self, numbers: Ints) -> pl.DataFrame:
        """concept, said, value, time, first_time, last_time, source, n of some facts."""
        wanted, place = np.unique(numbers, return_inverse=True)
        cuts = np.searchsorted(wanted, self.starts)
        kinds = [self._columns(kind, wanted[cuts[kind] : cuts[kind + 1]] - self.starts[kind]) for kind in range(len(FACT_KINDS))]
        columns = {name: list(chain.from_iterable(kind[place] for kind in kinds)) for place, name in enumerate(_FACT_COLUMNS)}
        return pl.DataFrame(columns, schema=_FACT_COLUMNS)[place]

    def _columns(self, kind: int, rows: Ints) -> list[list[Any]]:
        """The columns of some facts of one of the ``FACT_KINDS``."""
        facts, names = self.facts, self.facts.numbers.names
        if kind == _PATIENT:
            return self._people(rows)
        if kind == _CONCEPT:
            known: Recorded | LabFacts = facts.recorded
            said, source = facts.said(facts.recorded.event[rows])
            value: list[str | None] = [_PRESENCE[truth] for truth in facts.recorded.presence[rows].tolist()]
            time = facts.recorded.time[rows]
        else:
            known = facts.measured
            decides = facts.measured.now if kind == LAB_NOW else facts.measured.index
            said, source = facts.measured.words(decides, rows)
            value, time = [_FLAGS[flag] for flag in decides.flag[rows].tolist()], decides.time[rows]
        concepts = [names[concept] for concept in known.concepts[rows].tolist()]
        first, last = datetimes(known.first_time[rows]), datetimes(known.last_time[rows])
        return [concepts, said, value, datetimes(time), first, last, source, known.n[rows].tolist()]

    def _people(self, rows: Ints) -> list[list[Any]]:
        columns = ("subject_id", "sex", "age_years", "age_now")
        ids, sexes, ages, today = (values_at(self.facts.subjects[name], rows) for name in columns)
        n, never = len(rows), [None] * len(rows)
        said = [f"{sex or 'sex unknown'}, {_aged(age, now)}" for sex, age, now in zip(sexes, ages, today, strict=True)]
        return [[""] * n, said, ["present"] * n, never, never, never, [f"Patient/{who}" for who in ids], [1] * n]


def _aged(age: float | None, now: float | None) -> str:
    """The age at the index date, and that of now where it is another: a rule of a treatment asks for the latter."""
    if age is None:
        return "age unknown"
    return f"{int(age)} years" if now is None or int(now) == int(age) else f"{int(age)} years, {int(now)} now"


_FLAGS: Final = (*FLAGS, None)  # −1 finds the last
_FACT_COLUMNS: Final[Schema] = {
    "concept": pl.String, "said": pl.String, "value": pl.String, "time": pl.Datetime("us"), "first_time": pl.Datetime("us"),
    "last_time": pl.Datetime("us"), "source": pl.String, "n": pl.UInt32,
}  # fmt: skip
_PRESENCE: Final = ("absent", "suspected", "present")  # by truth


def explain(evaluation: Evaluation, facts: Facts) -> pl.DataFrame:
    """The reasons of the given patients as a table.

    Returns:
        ``REASON_SCHEMA``; one row per patient and criterion that is true, or (role "missing") unknown.
    """
    known, texts = FactTable(facts), reason_texts(evaluation.plan)
    reasons = reasons_of(evaluation, known)
    shown = known.rows(reasons.fact)
    names = pl.Series([*facts.numbers.names, ""], dtype=pl.String)
    lacks = pl.DataFrame(
        {
            "concept": names.gather(reasons.concept % len(names)),
            "because": pl.Series(BECAUSE, dtype=pl.String).gather(reasons.because),
        }
    )
    n = len(reasons.rows)
    role = pl.when(pl.Series(reasons.missing)).then(pl.lit("missing")).otherwise("role").alias("role")
    return (
        texts.table[reasons.criteria]
        .with_columns(
            role,
            facts.subjects["subject_id"].gather(reasons.rows).alias("subject_id"),
            _lists(shown, reasons.fact_of, n).alias("facts"),
            _lists(lacks, reasons.unknown_of, n).alias("unknown"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in REASON_SCHEMA.items())
    )


def facts_behind(evaluation: Evaluation, facts: Facts, who: Ints, criteria: Ints) -> pl.Series:
    """The facts that argue for some true criteria.

    Args:
        who: row of the patient in ``evaluation``.
        criteria: row of ``plan.criteria``.

    Returns:
        To each pair ``REASON_SCHEMA["facts"]``; null where nothing on record argues for it.
    """
    table = FactTable(facts)
    found = _behind(evaluation, table, who, criteria)
    return _lists(table.rows(found.fact), found.fact_of, len(who)).alias("facts")


def facts_by_number_behind(evaluation: Evaluation, table: FactTable, who: Ints, criteria: Ints) -> list[list[int]]:
    """The same as numbers of the table, for a few patients."""
    found = _behind(evaluation, table, who, criteria)
    lists: list[list[int]] = [[] for _ in range(len(who))]
    for place, fact in zip(found.fact_of.tolist(), found.fact.tolist(), strict=True):
        lists[place].append(fact)
    return lists


def _behind(evaluation: Evaluation, table: FactTable, who: Ints, criteria: Ints) -> Reasons:
    people = look_up(table.facts.row_of, evaluation.subjects["subject_id"], -1)
    rows, true = people[who], np.zeros(len(who), dtype=np.bool_)
    return _with_facts(rows, who, criteria, true, evaluation.columns.matrix, table, reason_texts(evaluation.plan))


def _lists(rows: pl.DataFrame, owner: Ints, n: int) -> pl.Series:
    """The rows as lists of structs, one list for each of ``n`` owners, null for none. ``owner`` ascends."""
    starts = np.flatnonzero(firsts(owner))
    grouped = pl.DataFrame({"owner": owner, "row": rows.to_struct()}).group_by("owner", maintain_order=True).agg("row")
    place = np.full(n, -1)
    place[owner[starts]] = np.arange(len(starts))
    return grouped["row"].gather(none_below_0(place))
