"""Work-up: the tests that are missing, ranked by what their results would change in this patient.

Each possible result of each missing test is written into a copy of the patient's row, and the same evaluator runs over the copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calcinosis.derived import DERIVED_FROM, FLAG_DECIDES
from calcinosis.facts import Facts
from calcinosis.findings import Leaf, is_plain
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Has, LabIs, LabValue
from calcinosis.knowledge.model import Outcome, Test
from calcinosis.leaves import LeafMatrix
from calcinosis.numbers import Ints, concept_numbers, look_up
from calcinosis.per_version import once_per_version
from calcinosis.questions import FLAG_MEANS
from calcinosis.reasoning.evaluate import Evaluation, evaluate
from calcinosis.reasoning.plan import Plan
from calcinosis.truth import FALSE, TRUE, UNKNOWN


@dataclass(frozen=True, slots=True)
class _Scenario:
    test: Test
    outcome: Outcome
    index: int
    known: tuple[str, ...]  # leaves that hold the answer already if they are known
    leaves: npt.NDArray[np.intp]  # leaves that the result would answer
    values: npt.NDArray[np.int8]  # and how


@once_per_version
def scenarios(plan: Plan) -> tuple[_Scenario, ...]:
    about: dict[str, list[int]] = {}
    for j, (leaf, _) in enumerate(plan.questions.leaves):
        about.setdefault(_about(leaf), []).append(j)
    tests = plan.knowledge.tests.values()
    return tuple(_scenario(plan, test, outcome, index, about) for test in tests for index, outcome in enumerate(test.outcomes))


def _about(leaf: Leaf) -> str:
    """The concept whose result a leaf reads; empty for none that a test could give."""
    match leaf:
        case LabIs():
            return leaf.lab
        case LabValue():
            return leaf.value
        case Has():
            return leaf.has
        case _:
            return ""


def _scenario(plan: Plan, test: Test, outcome: Outcome, index: int, about: dict[str, list[int]]) -> _Scenario:
    """``about``: concept -> places of the leaves that read it."""
    knowledge, questions = plan.knowledge, plan.questions
    flags = {**{FLAG_DECIDES[lab]: flag for lab, flag in outcome.labs.items() if lab in FLAG_DECIDES}, **outcome.labs}
    reached = {kin for concept in outcome.concepts for kin in (*knowledge.ancestors[concept], *knowledge.descendants[concept])}
    places = sorted({j for concept in (*flags, *reached) for j in about.get(concept, ())})
    read = [(j, questions.leaves[j][0]) for j in places]
    answers = {j: answer for j, leaf in read if (answer := _answer(leaf, flags, outcome.concepts, knowledge)) is not None}
    return _Scenario(
        test=test,
        outcome=outcome,
        index=index,
        known=tuple(questions.names[j] for j, leaf in read if _holds_result(leaf, outcome)),
        leaves=np.array(list(answers), dtype=np.intp),
        values=np.array(list(answers.values()), dtype=np.int8),
    )


def _holds_result(leaf: Leaf, outcome: Outcome) -> bool:
    """Whether a known answer to the leaf is a result of the test."""
    match leaf:
        case LabIs():
            return leaf.lab in outcome.labs
        case LabValue():
            return leaf.value in outcome.labs
        case Has():
            return is_plain(leaf) and leaf.has in outcome.concepts
        case _:
            return False


def _answer(leaf: Leaf, flags: Mapping[str, str], concepts: Mapping[str, bool], knowledge: Knowledge) -> np.int8 | None:
    """What a result answers to a leaf; None where it leaves the answer as it was."""
    answer = None
    if isinstance(leaf, LabIs) and leaf.lab in flags:
        truth = _flag_truth(leaf, flags[leaf.lab])
        answer = truth if not leaf.ever or truth == TRUE else None  # a new result takes nothing back that was seen before
    elif isinstance(leaf, Has):
        for concept, present in concepts.items():
            if present and is_plain(leaf) and leaf.has in knowledge.ancestors[concept]:
                answer = TRUE
            elif not present and leaf.has in knowledge.descendants[concept]:
                answer = FALSE
    return answer


def _flag_truth(leaf: LabIs, flag: str) -> np.int8:
    yes, no = FLAG_MEANS[leaf.is_]
    return TRUE if flag in yes else FALSE if flag in no and not leaf.ever else UNKNOWN


@dataclass(frozen=True, slots=True)
class _Asked:
    """The tests that can be missing, each with the rows of the matrix that tell."""

    tests: tuple[str, ...]
    known: npt.NDArray[np.intp]  # leaves any of which, if known, answers a test; test after test
    starts: npt.NDArray[np.intp]  # where each test begins
    when: npt.NDArray[np.intp]  # row of the criterion that a test waits for
    least: npt.NDArray[np.int8]  # what that criterion must reach; 0 where a test waits for none
    without_lesion: npt.NDArray[np.bool_]  # asked for also where no lesion is on record


@once_per_version
def _asked_tests(plan: Plan) -> _Asked:
    known: dict[str, dict[str, None]] = {}
    for each in scenarios(plan):
        known.setdefault(each.test.key, {}).update(dict.fromkeys(each.known))
    when = {c.owner: c.column for c in plan.other if c.kind == "test"}
    tests = [test for test in plan.knowledge.tests.values() if known.get(test.key)]
    row = plan.program.names
    return _Asked(
        tests=tuple(test.key for test in tests),
        known=np.array([row[name] for test in tests for name in known[test.key]], dtype=np.intp),
        starts=np.cumsum([0, *(len(known[test.key]) for test in tests)])[:-1],
        when=np.array([row[when[test.key]] if test.key in when else 0 for test in tests], dtype=np.intp),
        least=np.array([UNKNOWN if test.key in when else FALSE for test in tests], dtype=np.int8),
        without_lesion=np.array([test.without_lesion and test.key in when for test in tests], dtype=np.bool_),
    )


def missing_tests(evaluation: Evaluation) -> dict[str, npt.NDArray[np.intp]]:
    """Test -> rows of the patients for whom it is missing: those with a lesion and, for a few tests, those with another ground.

    A test is missing while all its results are unknown, unless its ``when`` rules it out.
    """
    asked, matrix = _asked_tests(evaluation.plan), evaluation.columns.matrix
    if not asked.tests:
        return {}
    lesion = evaluation.true("lesion_present")
    rows = np.flatnonzero(lesion | (matrix[asked.when[asked.without_lesion]] == TRUE).any(axis=0))
    matrix = matrix if len(rows) == matrix.shape[1] else matrix[:, rows]
    lacking = np.logical_and.reduceat(matrix[asked.known] == UNKNOWN, asked.starts, axis=0)
    lacking &= matrix[asked.when] >= asked.least[:, None]
    lacking &= lesion[rows] | (asked.without_lesion[:, None] & (matrix[asked.when] == TRUE))
    return {asked.tests[test]: rows[lacking[test]] for test in np.flatnonzero(lacking.any(axis=1)).tolist()}


def unusable_tests(plan: Plan, facts: Facts, missing: Mapping[str, Ints]) -> dict[str, Ints]:
    """Of missing tests the patients of whom a result is on record that decides nothing.

    It has no interval for the age and sex, lies outside the window, has a unit that could not be used, cannot be computed further
    (creatinine of somebody whose age is not known), or is only suspected. For all other patients nothing is on record.

    Args:
        missing: test -> rows of the patients in ``facts.subjects``.
    """
    if not missing:
        return {}
    told = _concepts_told(plan)
    asked = [facts.key(rows[:, None], told[test]) for test, rows in missing.items()]
    keys = np.concatenate([each.ravel() for each in asked])
    held = (facts.measured_index.find(keys) >= 0) | (facts.recorded_index.find(keys) >= 0)
    if facts.rejects.height:
        of = look_up(facts.row_of, facts.rejects["subject_id"], -1)
        held |= np.isin(keys, facts.key(of, facts.numbers.of(facts.rejects["concept"])))
    parts = np.split(held, np.cumsum([each.size for each in asked])[:-1])
    return {
        test: rows[part.reshape(each.shape).any(axis=1)] for (test, rows), each, part in zip(missing.items(), asked, parts, strict=True)
    }


@once_per_version
def _concepts_told(plan: Plan) -> dict[str, Ints]:
    """Test -> numbers of the concepts that its results are recorded as, and of what those are computed from."""
    numbers = concept_numbers(plan.knowledge)
    told: dict[str, dict[int, None]] = {}
    for test in plan.knowledge.tests.values():
        named = [key for outcome in test.outcomes for key in (*outcome.labs, *outcome.concepts)]
        every = [part for key in named for part in (key, *DERIVED_FROM.get(key, ())) if part in numbers.places]
        told[test.key] = dict.fromkeys(numbers[key] for key in every)
    return {test: np.array(list(concepts), dtype=np.intp) for test, concepts in told.items()}


@dataclass(frozen=True, slots=True)
class Change:
    """What would stand after one result of a missing test."""

    test: str
    outcome: int  # index into the test's outcomes
    leading: str | None
    ranks: dict[str, int]  # of each type


def changes_by_patient(evaluation: Evaluation) -> dict[int, list[Change]]:
    """Row of a patient -> every result of every missing test, in the order of the knowledge."""
    plan = evaluation.plan
    results = _results(evaluation, missing_tests(evaluation))
    if results is None:
        return {}
    rows, each, after = results
    leaders = (*plan.hypotheses, None)
    ranks = after.columns.matrix[[after.columns.names[f"rank:{key}"] for key in plan.knowledge.types]].T.tolist()
    found: dict[int, list[Change]] = {}
    for row, scenario, leading, rank in zip(rows.tolist(), each, after.leading.tolist(), ranks, strict=True):
        change = Change(scenario.test.key, scenario.index, leaders[leading], dict(zip(plan.knowledge.types, rank, strict=True)))
        found.setdefault(row, []).append(change)
    return found


def _results(
    evaluation: Evaluation, missing: dict[str, npt.NDArray[np.intp]]
) -> tuple[npt.NDArray[np.intp], list[_Scenario], Evaluation] | None:
    """Evaluate every outcome of every missing test: row of the patient, the outcome, and the evaluation after it, entry by entry."""
    plan = evaluation.plan
    tried = [each for each in scenarios(plan) if each.test.key in missing]
    if not tried:
        return None
    lacking = [missing[each.test.key] for each in tried]
    counts = np.array([len(rows) for rows in lacking])
    rows = np.concatenate(lacking)
    values = evaluation.leaves.take(rows, axis=1)
    for each, end, count in zip(tried, np.cumsum(counts).tolist(), counts.tolist(), strict=True):
        values[each.leaves, end - count : end] = each.values[:, None]
    matrix = LeafMatrix(subjects=evaluation.subjects[rows], names=plan.questions.names, values=values)
    return rows, [each for each, count in zip(tried, counts.tolist(), strict=True) for _ in range(count)], evaluate(matrix, plan)
