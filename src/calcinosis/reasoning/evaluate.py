"""Run the plan over leaf columns: findings, statuses and the leading answer, for any number of patients at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.findings import compile_criterion
from calcinosis.knowledge.model import Status
from calcinosis.leaves import LeafMatrix
from calcinosis.reasoning.plan import Plan
from calcinosis.truth import TRUE, Truth

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every truth and status of a group of patients.

    Attributes:
        subjects: subject_id, sex, age_years; entry *i* of every array is row *i*.
        columns: leaf columns and ``finding:<key>`` as truth values, ``rank:<hypothesis>`` as status ranks.
        fired: hypothesis -> index of the deciding rule, −1 for none.
        leading: index into ``plan.hypotheses``, −1 when undetermined.
    """

    plan: Plan
    subjects: pl.DataFrame
    columns: dict[str, Truth]
    fired: dict[str, Truth]
    leading: npt.NDArray[np.int16]

    def rank(self, hypothesis: str) -> Truth:
        return self.columns[f"rank:{hypothesis}"]

    def true(self, finding: str) -> npt.NDArray[np.bool_]:
        """Where a named finding is known to be true."""
        return np.equal(self.columns[f"finding:{finding}"], TRUE)

    def take(self, rows: Rows) -> Evaluation:
        """The same for some of the patients."""
        return Evaluation(
            plan=self.plan,
            subjects=self.subjects[rows.tolist()],
            columns={name: column[rows] for name, column in self.columns.items()},
            fired={key: fired[rows] for key, fired in self.fired.items()},
            leading=self.leading[rows],
        )


def evaluate(matrix: LeafMatrix, plan: Plan) -> Evaluation:
    """Findings, statuses and the leading answer from leaf columns."""
    columns = matrix.columns()
    fired: dict[str, Truth] = {}
    for node in plan.nodes:
        kind, key = node.split(":", 1)
        if kind == "finding":
            columns[node] = plan.findings[node](columns)
        else:
            columns[f"rank:{key}"], fired[key] = _status(plan, key, columns, matrix.subjects.height)
    return Evaluation(
        plan=plan, subjects=matrix.subjects, columns=columns, fired=fired, leading=_lead(plan, columns, matrix.subjects.height)
    )


def _status(plan: Plan, key: str, columns: dict[str, Truth], n: int) -> tuple[Truth, Truth]:
    """The first rule that is true sets the status; an unknown rule never fires."""
    rank = np.full(n, Status.NOT_ASSESSED.rank, dtype=np.int8)
    fired = np.full(n, -1, dtype=np.int8)
    for index, rule in enumerate(plan.rules[key]):
        hit = (rule.truth(columns) == TRUE) & (fired < 0)
        rank[hit] = rule.rank
        fired[hit] = index
    return rank, fired


def _lead(plan: Plan, columns: dict[str, Truth], n: int) -> npt.NDArray[np.int16]:
    """The hypothesis with the strongest status that is at least possible; among equals the more urgent one.

    A mimic stands after the types that have a cause and before "idiopathic", which is what remains when nothing explains the lesion
    (setting ``mimic_urgency``).
    """
    knowledge = plan.knowledge
    best = np.zeros(n, dtype=np.int16)
    leading = np.full(n, -1, dtype=np.int16)
    for index, key in enumerate(plan.hypotheses):
        type_ = knowledge.types.get(key)
        urgency = np.full(n, type_.urgency if type_ else knowledge.setting("mimic_urgency"), dtype=np.int16)
        if type_ and type_.more_urgent:
            urgency[compile_criterion(type_.more_urgent.when)(columns) == TRUE] = type_.more_urgent.urgency
        rank = columns[f"rank:{key}"].astype(np.int16)
        score = np.where(rank >= Status.POSSIBLE.rank, rank * 100 - urgency, 0)
        ahead = score > best
        leading[ahead] = index
        best = np.maximum(best, score)
    return leading
