"""Every safety rule on real records: one patient who triggers it, one who does not, and one with the fact missing.

The patients are made from the rules themselves (:mod:`safety_records`) and go the whole way: FHIR resources are read, facts are built,
all rules are evaluated at once, and the options and reviews are written. A concept without readable words, or with the wrong contexts,
shows here as a rule that its own patient does not trigger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pytest
from safety_records import AS_OF, Measured, Patients, Person, Way, ends_by_itself, inside, limits_of, measures, ways

from calcinosis.api import make_readers
from calcinosis.assessment import Evaluated, evaluate_batch
from calcinosis.contract import OptionOut, ReviewOut
from calcinosis.findings import leaf_id
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import AgeIs, LabValue
from calcinosis.knowledge.treatments import CurrentDrugReview, SafetyRule
from calcinosis.options import OptionWriter, Told, reviews_by_patient
from calcinosis.reasoning.evaluate import Columns, Evaluation
from calcinosis.reasoning.plan import Plan, PlannedCriterion, PlannedTreatment, make_plan
from calcinosis.sources.fhir import read_resources
from calcinosis.truth import FALSE, TRUE, UNKNOWN
from calcinosis.words import Words

# Rules that no record can clear: they ask whether a test was ever positive, or for a site that nobody denies.
NEVER_CLEARED = {
    "baricitinib/thrombosis", "immunoglobulin_iv/thrombosis_rate", "jak_inhibitor/thrombosis", "lenalidomide/thromboembolism",
    "thalidomide/thrombosis_risk", "tofacitinib/thrombosis", "vka_withdrawal/antiphospholipid_syndrome",  # antibodies ever positive
    "observation/tissue_necrosis",  # asks for one site of two findings
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A patient made for a rule or review."""

    owner: str  # "diltiazem/ivabradine"
    row: int
    way: Way
    without: str = ""  # what was left out
    measure: Measured | Person | None = None  # the value under test


@dataclass(frozen=True)
class Examined:
    """All patients, evaluated at once, with what was written about the treatment (or review) that each was made for."""

    evaluated: Evaluated
    triggering: list[Case]
    clear: list[Case]
    incomplete: list[Case]
    measured: list[Case]
    nobody: int  # the patient of whom nothing is recorded

    @property
    def evaluation(self) -> Evaluation:
        return self.evaluated.evaluation

    @property
    def plan(self) -> Plan:
        return self.evaluation.plan

    def truth(self, criterion: PlannedCriterion, row: int) -> int:
        return int(self.evaluation.columns[criterion.column][row])


def rules_of(plan: Plan) -> Iterator[tuple[str, PlannedTreatment, SafetyRule, PlannedCriterion]]:
    for each in plan.treatments:
        for rule, criterion in each.safety:
            yield f"{each.treatment.key}/{rule.key}", each, rule, criterion


@lru_cache(maxsize=1)
def examine() -> Examined:
    readers = make_readers()
    knowledge, plan = readers.knowledge, make_plan(readers.knowledge)
    patients = Patients(knowledge)

    def made(owner: str, way: Way, *, born: bool = True, **more: Any) -> Case:
        return Case(owner, int(patients.add(owner, way, born=born)[1:]), way, **more)

    triggering, clear, incomplete, measured = [], [], [], []
    for name, _, rule, _ in rules_of(plan):
        assert rule.when is not None
        for way in ways(rule.when, True, knowledge):
            triggering.append(made(name, way))
            incomplete += [
                made(name, tuple(other for other in way if other is not atom), born=False, without=str(atom))
                for atom in way
            ]
            for atom in measures(way):
                for value in around(atom, knowledge):
                    exact = replace(atom, exactly=value)
                    measured.append(made(name, tuple(exact if other is atom else other for other in way), measure=exact))
        clear += [made(name, way) for way in ways(rule.when, False, knowledge)]
    nobody = int(patients.add("nobody", (), born=False)[1:])
    evaluated = evaluate_batch(read_resources(patients.resources, readers.index, readers.text), knowledge, as_of=AS_OF)
    assert evaluated.evaluation.subjects["subject_id"].to_list() == [f"s{n:06d}" for n in range(len(patients.names))]
    return Examined(evaluated, triggering, clear, incomplete, measured, nobody)


def around(atom: Measured | Person, knowledge: Knowledge) -> Iterator[float]:
    """Just below, at and just above each limit."""
    assert isinstance(atom.leaf, LabValue | AgeIs)
    for limit in limits_of(atom.leaf, knowledge):
        if limit is not None:
            step = max(2 / 365.25, limit / 1000) if isinstance(atom.leaf, AgeIs) else limit / 1000
            yield from (limit - step, *([limit] if isinstance(atom.leaf, LabValue) or limit == int(limit) else []), limit + step)


@pytest.fixture(scope="module")
def examined() -> Examined:
    return examine()


def written(examined: Examined, cases: Iterable[Case]) -> list[tuple[Case, list[OptionOut]]]:
    """The options of each case for the treatment it was made for, for every type in which that treatment is used."""
    by_treatment: dict[str, list[Case]] = {}
    for case in cases:
        by_treatment.setdefault(case.owner.split("/")[0], []).append(case)
    found = []
    for each in examined.plan.treatments:
        mine = by_treatment.get(each.treatment.key, [])
        if mine:
            types = tuple(dict.fromkeys(key for use in each.uses for key in use.use.types))
            alone = replace(
                only(examined.evaluation, rows_of(mine)), plan=replace(examined.plan, treatments=(each,), reviews=())
            )
            writer = OptionWriter(Told(alone, examined.evaluated.facts, Words(examined.plan.knowledge)), [types] * len(mine))
            found += [(case, writer.options(row, frozenset())) for row, case in enumerate(mine)]
    return found


def only(evaluation: Evaluation, rows: Any) -> Evaluation:
    """Of some of the patients."""
    columns = Columns(evaluation.columns.names, evaluation.columns.matrix[:, rows])
    return replace(evaluation, subjects=evaluation.subjects[rows.tolist()], columns=columns, leading=evaluation.leading[rows])


def rows_of(cases: list[Case]) -> Any:
    import numpy as np

    return np.array([case.row for case in cases], dtype=np.intp)


def report(wrong: Iterable[str]) -> str:
    return "\n".join(sorted(set(wrong)))


# --- the three patients ------------------------------------------------------------------------------


def test_every_rule_has_a_patient_who_triggers_it_and_sees_why(examined: Examined) -> None:
    criteria = {name: criterion for name, _, _, criterion in rules_of(examined.plan)}
    assert {case.owner for case in examined.triggering} == set(criteria)
    wrong = [
        f"{case.owner}: {examined.truth(criteria[case.owner], case.row)} for {case.way}"
        for case in examined.triggering
        if examined.truth(criteria[case.owner], case.row) != TRUE
    ]
    assert not wrong, report(wrong)


def test_a_rule_that_holds_is_written_with_its_facts_and_sources(examined: Examined) -> None:
    wrong = []
    for case, options in written(examined, examined.triggering):
        key = case.owner.split("/")[1]
        shown = [rule for option in options for rule in option.safety if rule.rule == key]
        if not shown:
            wrong.append(f"{case.owner}: not shown to {case.way}")
        elif not all(rule.facts and rule.citations for rule in shown):
            wrong.append(f"{case.owner}: without facts or sources for {case.way}")
    assert not wrong, report(wrong)


def test_every_rule_has_a_patient_whom_explicit_facts_clear(examined: Examined) -> None:
    criteria = {name: criterion for name, _, _, criterion in rules_of(examined.plan)}
    wrong = [
        f"{case.owner}: {examined.truth(criteria[case.owner], case.row)} for {case.way}"
        for case in examined.clear
        if examined.truth(criteria[case.owner], case.row) != FALSE
    ]
    assert not wrong, report(wrong)
    assert set(criteria) - {case.owner for case in examined.clear} == NEVER_CLEARED


def test_a_cleared_rule_is_neither_shown_nor_called_unchecked(examined: Examined) -> None:
    wrong = [
        f"{case.owner}: {case.way}"
        for case, options in written(examined, examined.clear)
        for option in options
        if case.owner.split("/")[1] in {rule.rule for rule in option.safety} | {rule.rule for rule in option.not_checked}
    ]
    assert not wrong, report(wrong)


def test_every_rule_is_unknown_for_a_patient_of_whom_nothing_is_recorded(examined: Examined) -> None:
    unknown = {name for name, _, _, criterion in rules_of(examined.plan) if examined.truth(criterion, examined.nobody) == UNKNOWN}
    assert {name for name, *_ in rules_of(examined.plan)} == unknown


def test_an_unknown_rule_is_listed_as_not_checked_with_what_is_missing(examined: Examined) -> None:
    names = [name for name, *_ in rules_of(examined.plan)]
    nobody = [Case(f"{key}/", examined.nobody, ()) for key in dict.fromkeys(name.split("/")[0] for name in names)]
    listed: dict[str, list[list[str]]] = {}
    for case, options in written(examined, nobody):
        for option in options:
            assert not option.safety
            for rule in option.not_checked:
                if rule.because is None:
                    listed.setdefault(case.owner + rule.rule, []).append(rule.missing)
    assert set(listed) == set(names)
    silent = [name for name, missing in listed.items() if not all(missing)]
    assert not silent, report(silent)


def test_taking_one_fact_away_never_clears_a_rule(examined: Examined) -> None:
    criteria = {name: criterion for name, _, _, criterion in rules_of(examined.plan)}
    wrong = [
        f"{case.owner}: cleared without {case.without}"
        for case in examined.incomplete
        if examined.truth(criteria[case.owner], case.row) == FALSE
    ]
    assert not wrong, report(wrong)


# --- limits ------------------------------------------------------------------------------------------


def test_limits_hold_to_the_digit(examined: Examined) -> None:
    """``at_least`` includes its limit, ``below`` does not; read from a record in the unit of the rule."""
    criteria = {name: criterion for name, _, _, criterion in rules_of(examined.plan)}
    columns, wrong = examined.evaluation.columns, []
    for case in examined.measured:
        assert case.measure is not None
        leaf, value = case.measure.leaf, case.measure.exactly
        assert isinstance(leaf, LabValue | AgeIs)
        assert value is not None
        name = leaf_id(leaf, now=True)
        expected = inside(value, leaf, examined.plan.knowledge)
        if int(columns[name if name in columns else leaf_id(leaf)][case.row]) != (TRUE if expected else FALSE):
            wrong.append(f"{case.owner}: {name} is not {expected} at {value}")
        if expected is case.measure.truth and examined.truth(criteria[case.owner], case.row) != TRUE:
            wrong.append(f"{case.owner}: does not hold at {value} of {name}")
    assert not wrong, report(wrong)
    assert len(examined.measured) > 200


# --- drugs the patient already takes -----------------------------------------------------------------


@dataclass(frozen=True)
class Reviewed:
    """The patients of one review and one of its drugs."""

    review: str
    concept: str
    how: str  # "taken", "ended", "unknown", "no reason"
    row: int


@lru_cache(maxsize=1)
def review_patients() -> tuple[Evaluated, list[Reviewed]]:
    from safety_records import Says

    readers = make_readers()
    knowledge = readers.knowledge
    patients, cases = Patients(knowledge), []

    def add(review: CurrentDrugReview, concept: str, how: str, way: Way) -> None:
        cases.append(Reviewed(review.key, concept, how, int(patients.add(review.key, way)[1:])))

    for review in knowledge.reviews.values():
        kin = {key for concept in review.concepts for key in (*knowledge.descendants[concept], *knowledge.ancestors[concept])}
        reasons = ways(review.when, True, knowledge)
        reasons = [way for way in reasons if not any(isinstance(atom, Says) and atom.concept in kin for atom in way)]
        for concept in review.concepts:
            for reason in reasons:
                add(review, concept, "taken", (*reason, Says(concept, "now")))
            others = tuple(Says(other, "absent") for other in review.concepts if other != concept)
            if not any(other in knowledge.ancestors[concept] for other in review.concepts if other != concept) and ends_by_itself(
                concept, knowledge
            ):
                add(review, concept, "ended", (*reasons[0], *others, Says(concept, "over")))
            add(review, concept, "unknown", reasons[0])
            for reason in ways(review.when, False, knowledge)[:1]:
                add(review, concept, "no reason", (*reason, Says(concept, "now")))
    batch = read_resources(patients.resources, readers.index, readers.text)
    return evaluate_batch(batch, knowledge, as_of=AS_OF), cases


@pytest.fixture(scope="module")
def reviewed() -> list[tuple[Reviewed, list[ReviewOut], list[str]]]:
    evaluated, cases = review_patients()
    evaluation, words = evaluated.evaluation, Words(evaluated.evaluation.plan.knowledge)
    rows = reviews_by_patient(Told(evaluation, evaluated.facts, words))
    return [(case, *rows.get(case.row, ([], []))) for case in cases]


def test_a_drug_under_review_is_named_with_the_entry_that_shows_it(reviewed: list[tuple[Reviewed, list[ReviewOut], list[str]]]) -> None:
    wrong = []
    for case, found, _ in reviewed:
        mine = [each for each in found if each.key == case.review and each.kind == "review"]
        if case.how == "taken" and not (mine and mine[0].facts and mine[0].citations and mine[0].urgency):
            wrong.append(f"{case.review}: {case.concept} being taken is not shown")
        if case.how != "taken" and mine:
            wrong.append(f"{case.review}: {case.concept} is shown although it is {case.how}")
    assert not wrong, report(wrong)


def test_a_drug_that_nobody_knows_about_is_listed_and_an_ended_one_is_not(
    reviewed: list[tuple[Reviewed, list[ReviewOut], list[str]]], knowledge: Knowledge
) -> None:
    labels: Mapping[str, str] = {key: review.label for key, review in knowledge.reviews.items()}
    wrong = []
    for case, _, unknown in reviewed:
        listed = labels[case.review] in unknown
        if listed != (case.how == "unknown"):
            wrong.append(f"{case.review}: {case.concept} {case.how}, {'listed' if listed else 'not listed'} as unknown")
    assert not wrong, report(wrong)


def test_the_counts_of_the_triples() -> None:
    """What was tested, for whoever reads the log (``pytest -s``)."""
    examined, (_, cases) = examine(), review_patients()
    rules = len(list(rules_of(examined.plan)))
    print(
        f"\n{rules} executable rules: {len(examined.triggering)} patients trigger one, {len(examined.clear)} are cleared, "
        f"{len(examined.incomplete)} lack one fact, {len(examined.measured)} stand at a limit; "
        f"{len({case.review for case in cases})} reviews with {len(cases)} patients"
    )
    assert rules >= 500
