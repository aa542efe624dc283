"""Work-up: the tests that are missing, ranked by what their results would change in this patient.

Each possible result of each missing test is written into a copy of the patient's row, and the same evaluator runs over the copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.derived import FLAG_DECIDES
from calcinosis.findings import is_plain
from calcinosis.knowledge.model import Has, LabIs, LabValue, Outcome, Test
from calcinosis.leaves import FLAG_MEANS, LeafMatrix
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


_scenarios: dict[str, tuple[_Scenario, ...]] = {}


def scenarios(plan: Plan) -> tuple[_Scenario, ...]:
    version = plan.knowledge.version
    if version not in _scenarios:
        _scenarios[version] = tuple(
            _scenario(plan, test, outcome, index) for test in plan.knowledge.tests.values() for index, outcome in enumerate(test.outcomes)
        )
    return _scenarios[version]


def _scenario(plan: Plan, test: Test, outcome: Outcome, index: int) -> _Scenario:
    knowledge = plan.knowledge
    assigns: dict[str, np.int8] = {}
    known: list[str] = []
    flags = {**{FLAG_DECIDES[lab]: flag for lab, flag in outcome.labs.items() if lab in FLAG_DECIDES}, **outcome.labs}
    for (leaf, _), name in zip(plan.questions.leaves, plan.questions.names, strict=True):
        if isinstance(leaf, LabIs) and leaf.lab in flags:
            if leaf.lab in outcome.labs:
                known.append(name)
            truth = _flag_truth(leaf, flags[leaf.lab])
            if not leaf.ever or truth == TRUE:  # a new result takes nothing back that was seen before
                assigns[name] = truth
        elif isinstance(leaf, LabValue) and leaf.value in outcome.labs:
            known.append(name)
        elif isinstance(leaf, Has):
            for concept, present in outcome.concepts.items():
                if is_plain(leaf) and leaf.has == concept:
                    known.append(name)
                if present and is_plain(leaf) and leaf.has in knowledge.ancestors[concept]:
                    assigns[name] = TRUE
                elif not present and leaf.has in knowledge.descendants[concept]:
                    assigns[name] = FALSE
    place = {name: j for j, name in enumerate(plan.questions.names)}
    leaves = np.array([place[name] for name in assigns], dtype=np.intp)
    return _Scenario(test, outcome, index, tuple(known), leaves, np.array(list(assigns.values()), dtype=np.int8))


def _flag_truth(leaf: LabIs, flag: str) -> np.int8:
    yes, no = FLAG_MEANS[leaf.is_]
    return TRUE if flag in yes else FALSE if flag in no and not leaf.ever else UNKNOWN


_known: dict[str, dict[str, tuple[str, ...]]] = {}


def _answers(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Test -> the columns any of which, if known, answers it; built once per knowledge version."""
    version = plan.knowledge.version
    if version not in _known:
        answers: dict[str, dict[str, None]] = {}
        for each in scenarios(plan):
            answers.setdefault(each.test.key, {}).update(dict.fromkeys(each.known))
        _known[version] = {key: tuple(names) for key, names in answers.items()}
    return _known[version]


def missing_tests(evaluation: Evaluation) -> dict[str, npt.NDArray[np.intp]]:
    """Test -> rows of the patients with a lesion for whom it is missing.

    A test is missing while all its results are unknown, unless its ``when`` rules it out.
    """
    plan, columns = evaluation.plan, evaluation.columns
    lesion = evaluation.true("lesion_present")
    when = {c.owner: c.column for c in plan.other if c.kind == "test"}
    answers = _answers(plan)
    missing = {}
    for test in plan.knowledge.tests.values():
        known = answers.get(test.key)
        if not known:
            continue
        lacking = lesion & (columns.matrix[[columns.names[name] for name in known]] == UNKNOWN).all(axis=0)
        if test.key in when and lacking.any():
            lacking &= columns[when[test.key]] >= (UNKNOWN if test.ask_when_unknown else TRUE)
        if lacking.any():
            missing[test.key] = np.flatnonzero(lacking)
    return missing


def what_tests_would_change(evaluation: Evaluation, missing: dict[str, npt.NDArray[np.intp]]) -> pl.DataFrame:
    """Evaluate every outcome of every missing test.

    Returns:
        subject_id, test, outcome (index), leading (key or null), and ``rank:<type>`` after the result.
    """
    plan = evaluation.plan
    base = evaluation.leaves
    blocks, rows, tests, outcomes = [], [], [], []
    for each in scenarios(plan):
        lacking = missing.get(each.test.key)
        if lacking is None:
            continue
        block = base[:, lacking]
        block[each.leaves] = each.values[:, None]
        blocks.append(block)
        rows.append(lacking)
        tests += [each.test.key] * len(lacking)
        outcomes += [each.index] * len(lacking)
    if not blocks:
        return pl.DataFrame(schema={"subject_id": pl.String, "test": pl.String, "outcome": pl.Int32, "leading": pl.String})
    subjects = evaluation.subjects[np.concatenate(rows).tolist()]
    after = evaluate(LeafMatrix(subjects=subjects, names=plan.questions.names, values=np.hstack(blocks)), plan)
    leaders = pl.Series([*plan.hypotheses, None], dtype=pl.String)
    return pl.DataFrame(
        {
            "subject_id": subjects["subject_id"],
            "test": tests,
            "outcome": pl.Series(outcomes, dtype=pl.Int32),
            "leading": leaders.gather(after.leading.astype(np.int64) % len(leaders)),
            **{f"rank:{key}": after.rank(key) for key in plan.knowledge.types},
        }
    )
