"""Run the plan over leaf columns: findings, statuses and the leading answer, for any number of patients at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.knowledge.criteria import Status
from calcinosis.leaves import LeafMatrix
from calcinosis.reasoning.plan import Plan
from calcinosis.reasoning.program import Matrix
from calcinosis.truth import TRUE, Truth

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Columns(Mapping[str, Truth]):
    """The rows of a matrix by name (see :class:`~calcinosis.reasoning.program.Program`)."""

    names: Mapping[str, int]
    matrix: Matrix

    def __getitem__(self, name: str) -> Truth:
        row: Truth = self.matrix[self.names[name]]
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every truth and status of a group of patients.

    Attributes:
        subjects: subject_id, sex, age_years; entry *i* of every column is row *i*.
        columns: leaves, findings and criteria as truth values, ``rank:`` and ``fired:`` of each hypothesis.
        leading: index into ``plan.hypotheses``, −1 when undetermined.
    """

    plan: Plan
    subjects: pl.DataFrame
    columns: Columns
    leading: npt.NDArray[np.int16]

    @property
    def leaves(self) -> Matrix:
        """Truth of every leaf, in the order of ``plan.questions.names``."""
        return self.columns.matrix[: self.plan.program.leaves]

    def rank(self, hypothesis: str) -> Truth:
        return self.columns[f"rank:{hypothesis}"]

    def fired(self, hypothesis: str) -> Truth:
        """Index of the deciding rule, −1 for none."""
        return self.columns[f"fired:{hypothesis}"]

    def true(self, finding: str) -> npt.NDArray[np.bool_]:
        """Where a named finding is known to be true."""
        return np.equal(self.columns[f"finding:{finding}"], TRUE)


def evaluate(matrix: LeafMatrix, plan: Plan) -> Evaluation:
    """Findings, statuses and the leading answer from leaf columns."""
    columns = Columns(plan.program.names, plan.program.run(matrix.values))
    return Evaluation(plan=plan, subjects=matrix.subjects, columns=columns, leading=_lead(plan, columns))


def _lead(plan: Plan, columns: Columns) -> npt.NDArray[np.int16]:
    """The hypothesis with the strongest status that is at least possible; among equals the more urgent one.

    A mimic stands after the types that have a cause and before "idiopathic", which is what remains when nothing explains the lesion
    (setting ``mimic_urgency``).
    """
    rank = columns.matrix[plan.rank_rows].astype(np.int16)
    urgency = np.broadcast_to(plan.urgency[:, None], rank.shape).copy()
    for place, (column, more_urgent) in plan.more_urgent.items():
        urgency[place, columns[column] == TRUE] = more_urgent
    score = np.where(rank >= Status.POSSIBLE.rank, rank * 100 - urgency, 0)
    best = score.argmax(axis=0)  # the first of equals
    return np.where(score[best, np.arange(rank.shape[1])] > 0, best, -1).astype(np.int16)
