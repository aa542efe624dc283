"""The plan: everything about the rules that does not depend on a patient, compiled once per knowledge version.

A *node* is a finding or a hypothesis (type or mimic). Nodes are ordered so that each comes after those it names.
A *criterion* is anything with a truth value that is shown to a reader: a status rule, a support, a point against, an alarm ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import Schema
from calcinosis.findings import Leaf, children, expand, leaf_id, leaves, references
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import (
    AgeIs,
    All,
    AnyOf,
    Criterion,
    Current,
    FindingRef,
    Has,
    HypothesisAtLeast,
    Known,
    LabIs,
    LabValue,
    Not,
    SexIs,
    Status,
    concepts_asked,
)
from calcinosis.knowledge.model import CalcificationType, Hypothesis, RiskFactor
from calcinosis.knowledge.treatments import CurrentDrugReview, SafetyRule, Treatment, Use
from calcinosis.per_version import once_per_version
from calcinosis.questions import Questions, all_leaves
from calcinosis.reasoning.program import Compiler, Program


@dataclass(frozen=True, slots=True)
class PlannedCriterion:
    """One shown criterion: owner, role and what to tell the reader."""

    id: int  # row in ``Plan.criteria``
    kind: str  # "type", "mimic", "alarm", "disease", "form", "test"
    owner: str
    role: str  # "rule", "supports", "against", "subtype", "risk", "established", "suspected", "when"
    label: str
    sources: tuple[str, ...]
    status: Status | None = None  # of a rule
    detail: str | None = None  # key of a subtype or risk factor

    @property
    def column(self) -> str:
        """The column that holds its truth."""
        return f"criterion:{self.id}"


@dataclass(frozen=True, slots=True)
class PlannedUse:
    use: Use
    when: PlannedCriterion | None
    favours: tuple[PlannedCriterion, ...]


@dataclass(frozen=True, slots=True)
class PlannedTreatment:
    treatment: Treatment
    current: PlannedCriterion | None  # the patient has it now
    uses: tuple[PlannedUse, ...]
    safety: tuple[tuple[SafetyRule, PlannedCriterion], ...]  # the rules that a record can answer


@dataclass(frozen=True, slots=True)
class PlannedReview:
    review: CurrentDrugReview
    taken: PlannedCriterion
    when: PlannedCriterion


@dataclass(frozen=True, slots=True)
class Plan:
    knowledge: Knowledge
    questions: Questions  # every leaf, once
    program: Program  # every finding, criterion and status over the leaves
    rank_rows: npt.NDArray[np.intp]  # rows of the statuses, one per hypothesis
    urgency: npt.NDArray[np.int16]  # one per hypothesis
    more_urgent: dict[int, tuple[str, int]]  # place of a hypothesis -> column, and its urgency where that is true
    rules: dict[str, tuple[PlannedCriterion, ...]]  # hypothesis -> its status rules, in order
    shown: dict[str, tuple[PlannedCriterion, ...]]  # hypothesis -> supports, against, subtypes, risk factors
    other: tuple[PlannedCriterion, ...]  # alarms, diseases, forms, tests
    treatments: tuple[PlannedTreatment, ...]
    reviews: tuple[PlannedReview, ...]
    open_questions: dict[int, tuple[tuple[int, str], ...]]  # criterion of a safety rule or review -> leaves (row, concept) it may lack
    criteria: pl.DataFrame  # id, kind, owner, role, label, sources, status, detail
    criterion_leaves: pl.DataFrame  # id, leaf, positive: which leaf values argue for "true"
    leaf_subjects: pl.DataFrame  # leaf, source_kind ("concept", "lab", "lab_now", "patient"), concept

    @property
    def version(self) -> str:
        return self.knowledge.version

    @property
    def hypotheses(self) -> tuple[str, ...]:
        return tuple(self.rules)


@once_per_version
def make_plan(knowledge: Knowledge) -> Plan:
    """Compile the knowledge base."""
    nodes = _order(knowledge)  # first: it refuses circles, which nothing below would survive
    planner = _Planner()
    rules: dict[str, tuple[PlannedCriterion, ...]] = {}
    shown: dict[str, tuple[PlannedCriterion, ...]] = {}
    for kind, hypotheses in (("type", knowledge.types), ("mimic", knowledge.mimics)):
        for each in hypotheses.values():
            rules[each.key] = tuple(planner.status_rules(kind, each))
            shown[each.key] = tuple(planner.beside_the_rules(kind, each))
    other = tuple(planner.everything_else(knowledge))
    treatments = tuple(planner.treatment(each, knowledge) for each in knowledge.treatments.values())
    reviews = tuple(planner.review(each) for each in knowledge.reviews.values())
    planned = planner.planned
    questions = _questions(knowledge, planned)
    program = _program(knowledge, questions, nodes, rules, planned)
    return Plan(
        knowledge=knowledge,
        questions=questions,
        program=program,
        rank_rows=np.array([program.names[f"rank:{key}"] for key in rules], dtype=np.intp),
        urgency=np.array(
            [knowledge.types[key].urgency if key in knowledge.types else knowledge.setting("mimic_urgency") for key in rules],
            dtype=np.int16,
        ),
        more_urgent={
            place: (f"more_urgent:{key}", each.more_urgent.urgency)
            for place, key in enumerate(rules)
            for each in [knowledge.types.get(key)]
            if each and each.more_urgent
        },
        rules=rules,
        shown=shown,
        other=other,
        treatments=treatments,
        reviews=reviews,
        open_questions={
            c.id: tuple(_open_questions(when, knowledge, program, now=now)) for c, when, now in planned if c.kind in ("safety", "review")
        },
        criteria=_criteria_table(planned),
        criterion_leaves=_argument_table(planned, knowledge),
        leaf_subjects=_subject_table(questions),
    )


class _Planned(NamedTuple):
    """A criterion as it is shown, and as it is evaluated."""

    shown: PlannedCriterion
    when: Criterion
    now: bool  # asked about the present, not about the index date


class _Planner:
    """Numbers every criterion that is shown to a reader, in the order in which it is asked for them."""

    def __init__(self) -> None:
        self.planned: list[_Planned] = []

    def _plan(self, kind: str, owner: str, role: str, label: str, sources: tuple[str, ...], when: Criterion, *,
              now: bool = False, status: Status | None = None, detail: str | None = None) -> PlannedCriterion:  # fmt: skip
        shown = PlannedCriterion(len(self.planned), kind, owner, role, label, sources, status, detail)
        self.planned.append(_Planned(shown, when, now))
        return shown

    def status_rules(self, kind: str, each: Hypothesis) -> Iterator[PlannedCriterion]:
        for rule in each.rules:
            yield self._plan(kind, each.key, "rule", rule.label, rule.sources, rule.when, status=rule.status)

    def beside_the_rules(self, kind: str, each: Hypothesis) -> Iterator[PlannedCriterion]:
        """What is shown of a hypothesis whichever rule decided."""
        for role, weighed in (("supports", each.supports), ("against", each.against)):
            for one in weighed:
                yield self._plan(kind, each.key, role, one.label, one.sources, one.when)
        for subtype in each.subtypes:
            yield self._plan(kind, each.key, "subtype", subtype.label, subtype.sources, subtype.when, detail=subtype.key)
        if isinstance(each, CalcificationType):
            yield from self._risks(kind, each.key, each.risk_factors)

    def _risks(self, kind: str, owner: str, factors: tuple[RiskFactor, ...]) -> Iterator[PlannedCriterion]:
        for factor in factors:
            if factor.when is not None:
                yield self._plan(kind, owner, "risk", factor.label, factor.sources, factor.when, detail=factor.key)

    def everything_else(self, knowledge: Knowledge) -> Iterator[PlannedCriterion]:
        """Alarms, diseases, forms and tests."""
        for alarm in knowledge.alarms.values():
            yield self._plan("alarm", alarm.key, "when", alarm.label, alarm.sources, alarm.when, now=True)
        for disease in knowledge.diseases.values():
            yield self._plan("disease", disease.key, "established", disease.label, disease.sources, disease.established)
            if disease.suspected is not None:
                yield self._plan("disease", disease.key, "suspected", disease.label, disease.suspected_sources, disease.suspected)
            yield from self._risks("disease", disease.key, disease.risk_factors)
        for form in knowledge.forms.values():
            if form.when is not None:
                yield self._plan("form", form.key, "when", form.label, form.description.sources, form.when)
        for test in knowledge.tests.values():
            if test.when is not None:
                yield self._plan("test", test.key, "when", test.label, test.sources, test.when)

    def treatment(self, each: Treatment, knowledge: Knowledge) -> PlannedTreatment:
        uses = tuple(self._use(each, use) for use in each.uses)
        current = None
        if each.concepts:
            current = self._plan("treatment", each.key, "current", each.label, each.what.sources, _taken(each, knowledge))
        safety = tuple(
            (rule, self._plan("safety", each.key, rule.verdict, rule.label, rule.sources, rule.when, now=True, detail=rule.key))
            for rule in each.safety
            if rule.when is not None
        )
        return PlannedTreatment(each, current, uses, safety)

    def _use(self, of: Treatment, use: Use) -> PlannedUse:
        when = None
        if use.when is not None:
            when = self._plan("use", of.key, "when", of.label, use.statement.sources, use.when, now=True)
        favours = tuple(self._plan("use", of.key, "favours", each.label, each.sources, each.when) for each in use.favours)
        return PlannedUse(use, when, favours)

    def review(self, each: CurrentDrugReview) -> PlannedReview:
        taken = self._plan("review", each.key, "taken", each.label, each.sources, _any_current(each.concepts))
        return PlannedReview(each, taken, self._plan("review", each.key, "when", each.label, each.sources, each.when, now=True))


def _taken(treatment: Treatment, knowledge: Knowledge) -> Criterion:
    """That it is taken now; of a class, only while no drug of it is that stands as a treatment of its own."""
    within = {below for concept in treatment.concepts for below in knowledge.descendants[concept]}.difference(treatment.concepts)
    named = tuple(dict.fromkeys(c for each in knowledge.treatments.values() for c in each.concepts if c in within))
    taken = _any_current(treatment.concepts)
    return All(all=(taken, Not.model_validate({"not": Known(known=_any_current(named))}))) if named else taken


def _any_current(concepts: tuple[str, ...]) -> Criterion:
    return AnyOf(any=tuple(Current(current=concept) for concept in concepts))


def _questions(knowledge: Knowledge, planned: Sequence[_Planned]) -> Questions:
    """Every leaf that any criterion asks for, once."""
    of_findings = {key: tuple(dict.fromkeys(leaves(finding.when, knowledge))) for key, finding in knowledge.findings.items()}
    wanted = [(leaf, now and not named) for _, when, now in planned for leaf, named in _leaves_with_home(when, knowledge, of_findings)]
    wanted += [(leaf, False) for within in of_findings.values() for leaf in within]
    wanted += [(leaf, False) for each in knowledge.types.values() if each.more_urgent for leaf in leaves(each.more_urgent.when, knowledge)]
    return Questions(knowledge, all_leaves(wanted))


def _criteria_table(planned: Sequence[_Planned]) -> pl.DataFrame:
    rows = [(c.id, c.kind, c.owner, c.role, c.label, list(c.sources), c.status, c.detail) for c, _, _ in planned]
    schema: Schema = {
        "id": pl.Int32,
        "kind": pl.String,
        "owner": pl.String,
        "role": pl.String,
        "label": pl.String,
        "sources": pl.List(pl.String),
        "status": pl.String,
        "detail": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _argument_table(planned: Sequence[_Planned], knowledge: Knowledge) -> pl.DataFrame:
    arguments = _Arguments(knowledge)
    rows = [(c.id, name, positive) for c, when, now in planned for name, positive in arguments.of(when, now=now)]
    schema = {"id": pl.Int32, "leaf": pl.String, "positive": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").unique(maintain_order=True)


def _subject_table(questions: Questions) -> pl.DataFrame:
    rows = [row for leaf, now in questions.leaves for row in _leaf_subjects(leaf, now=now)]
    schema = {"leaf": pl.String, "source_kind": pl.String, "concept": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").unique(maintain_order=True)


def _open_questions(criterion: Criterion, knowledge: Knowledge, program: Program, *, now: bool) -> Iterator[tuple[int, str]]:
    """The leaves that could leave a criterion unknown; what stands in ``known`` cannot.

    Of a hypothesis that could not be judged, its own name is asked for: all that would judge it is listed with its type.
    """
    criterion = expand(criterion)
    if isinstance(criterion, HypothesisAtLeast):
        named = leaf_id(Has(has=criterion.hypothesis), now=False)
        yield from [(program.names[named], criterion.hypothesis)] if named in program.names else []
    elif isinstance(criterion, FindingRef):
        yield from _open_questions(knowledge.findings[criterion.finding].when, knowledge, program, now=False)
    elif isinstance(criterion, Leaf):
        name = leaf_id(criterion, now=now)
        yield from ((program.names[name], concept) for _, _, concept in _leaf_subjects(criterion, now=now))
    elif not isinstance(criterion, Known):
        for part in children(criterion):
            yield from _open_questions(part, knowledge, program, now=now)


def _program(
    knowledge: Knowledge,
    questions: Questions,
    nodes: tuple[str, ...],
    rules: dict[str, tuple[PlannedCriterion, ...]],
    planned: Sequence[_Planned],
) -> Program:
    compiler = Compiler(questions.leaves)
    for node in nodes:
        kind, key = node.split(":", 1)
        if kind == "finding":
            compiler.add(node, knowledge.findings[key].when)
        else:
            hypothesis: Hypothesis = knowledge.types.get(key) or knowledge.mimics[key]
            own = [(criterion.column, rule) for criterion, rule in zip(rules[key], hypothesis.rules, strict=True)]
            for column, rule in own:
                compiler.add(column, rule.when)
            compiler.add_status(key, own)
    for criterion, when, now in planned:
        if criterion.role != "rule":
            compiler.add(criterion.column, when, now=now)
    for key, each in knowledge.types.items():
        if each.more_urgent:
            compiler.add(f"more_urgent:{key}", each.more_urgent.when)
    return compiler.program()


def _order(knowledge: Knowledge) -> tuple[str, ...]:
    """Order findings and hypotheses by dependency.

    Raises:
        ValueError: they name each other in a circle.
    """
    order: dict[str, None] = {}

    def criteria_of(node: str) -> Iterator[Criterion]:
        kind, key = node.split(":", 1)
        if kind == "finding":
            yield knowledge.findings[key].when
        else:
            hypothesis = knowledge.types.get(key) or knowledge.mimics[key]
            yield from (rule.when for rule in hypothesis.rules)

    def visit(node: str, path: tuple[str, ...]) -> None:
        if node in path:
            raise ValueError(f"rules form a circle: {' -> '.join((*path, node))}")
        if node not in order:
            for criterion in criteria_of(node):
                for r in references(criterion):
                    visit(f"finding:{r.finding}" if isinstance(r, FindingRef) else f"hypothesis:{r.hypothesis}", (*path, node))
            order[node] = None

    for key in knowledge.findings:
        visit(f"finding:{key}", ())
    for key in (*knowledge.types, *knowledge.mimics):
        visit(f"hypothesis:{key}", ())
    return tuple(order)


def _leaves_with_home(
    criterion: Criterion, knowledge: Knowledge, of_findings: Mapping[str, tuple[Leaf, ...]]
) -> Iterator[tuple[Leaf, bool]]:
    """Leaves of a criterion, and whether they stand in a finding it names (findings always look at the index date)."""
    criterion = expand(criterion)
    if isinstance(criterion, FindingRef):
        yield from ((leaf, True) for leaf in of_findings[criterion.finding])
    elif children(criterion):
        for part in children(criterion):
            yield from _leaves_with_home(part, knowledge, of_findings)
    elif not isinstance(criterion, HypothesisAtLeast):
        yield from ((leaf, False) for leaf in leaves(criterion, knowledge))


class _Arguments:
    """Leaves of a criterion with their sign: a true leaf argues for the criterion when positive. Named parts are looked up once."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._named: dict[tuple[str, int], tuple[tuple[str, bool], ...]] = {}

    def of(self, criterion: Criterion, *, now: bool) -> tuple[tuple[str, bool], ...]:
        """(leaf, positive), each once."""
        return tuple(dict.fromkeys(self._signed(criterion, now=now)))

    def _signed(self, criterion: Criterion, *, now: bool) -> Iterator[tuple[str, bool]]:
        criterion = expand(criterion)
        if isinstance(criterion, FindingRef):
            yield from self._of_named(f"finding:{criterion.finding}", 0, [self._knowledge.findings[criterion.finding].when])
        elif isinstance(criterion, Not):
            yield from ((leaf, not positive) for leaf, positive in self._signed(criterion.not_, now=now))
        elif isinstance(criterion, Leaf):
            yield leaf_id(criterion, now=now), True
        elif isinstance(criterion, HypothesisAtLeast):
            hypothesis: Hypothesis = self._knowledge.types.get(criterion.hypothesis) or self._knowledge.mimics[criterion.hypothesis]
            rank = criterion.at_least.rank
            yield from self._of_named(criterion.hypothesis, rank, [rule.when for rule in hypothesis.rules if rule.status.rank >= rank])
        else:
            for part in children(criterion):
                yield from self._signed(part, now=now)

    def _of_named(self, key: str, rank: int, parts: list[Criterion]) -> tuple[tuple[str, bool], ...]:
        if (key, rank) not in self._named:
            self._named[key, rank] = tuple(dict.fromkeys(each for part in parts for each in self._signed(part, now=False)))
        return self._named[key, rank]


def _leaf_subjects(leaf: Leaf, *, now: bool) -> Iterator[tuple[str, str, str]]:
    """What the facts of a leaf are about."""
    name = leaf_id(leaf, now=now)
    match leaf:
        case LabIs():
            yield name, "lab_now" if now else "lab", leaf.lab
        case LabValue():
            yield name, "lab_now" if now else "lab", leaf.value
        case AgeIs() | SexIs():
            yield name, "patient", ""
        case _:
            yield from ((name, "concept", concept) for concept in concepts_asked(leaf))
