"""What was not measured is not known: neither high nor not high, for any analyte and any patient."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hand_made import answer, lab
from hypothesis import given, settings
from hypothesis import strategies as st

from calcinosis.assessment import evaluate_batch
from calcinosis.derived import DERIVED_FROM
from calcinosis.events import Batch
from calcinosis.findings import leaf_id
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import LabIs, LabValue
from calcinosis.truth import UNKNOWN

CALCIUM = {"calcium_adjusted", *DERIVED_FROM["calcium_adjusted"]}


def without(batch: Batch, concepts: set[str]) -> Batch:
    return Batch(patients=batch.patients, events=batch.events.filter(~pl.col("concept").is_in(list(concepts))))


@pytest.mark.parametrize(
    "closed_world", [frozenset(), frozenset({"disease", "drug", "procedure", "finding", "lab"})], ids=["open", "closed"]
)
def test_calcium_high_and_calcium_not_high_are_never_both_answered_without_a_calcium(
    knowledge: Knowledge, published_cases: Batch, closed_world: frozenset[str]
) -> None:
    evaluation = evaluate_batch(without(published_cases, CALCIUM), knowledge, closed_world=closed_world).evaluation
    asked = [
        leaf_id(leaf, now=now)
        for leaf, now in evaluation.plan.questions.leaves
        if (isinstance(leaf, LabIs) and leaf.lab in CALCIUM) or (isinstance(leaf, LabValue) and leaf.value in CALCIUM)
    ]
    assert asked
    for name in asked:
        assert np.all(evaluation.columns[name] == UNKNOWN), name
    assert not evaluation.true("calcium_normal").any()


def test_no_measurement_at_all_answers_no_question_about_one(knowledge: Knowledge, published_cases: Batch) -> None:
    labs = {key for key, concept in knowledge.concepts.items() if concept.lab is not None}
    evaluation = evaluate_batch(without(published_cases, labs), knowledge, closed_world=frozenset({"disease", "lab"})).evaluation
    for leaf, now in evaluation.plan.questions.leaves:
        if isinstance(leaf, LabIs | LabValue):
            assert np.all(evaluation.columns[leaf_id(leaf, now=now)] == UNKNOWN)


@settings(max_examples=60)
@given(
    st.one_of(st.none(), st.floats(0.5, 5.0)),
    st.sampled_from([None, "<", "<=", ">", ">="]),
    st.sampled_from([None, "low", "normal", "high", "abnormal", "positive", "negative"]),
    st.sampled_from(["mmol/L", "mg/dL", "furlong", None]),
)
def test_high_and_not_high_are_answered_together_or_not_at_all(
    value: float | None, comparator: str | None, flag: str | None, unit: str | None
) -> None:
    events = [lab("calcium_total", value, unit, comparator=comparator, flag=flag)]
    high = answer({"lab": "calcium_adjusted", "is": "high"}, events)
    not_high = answer({"not": {"lab": "calcium_adjusted", "is": "high"}}, events)
    assert (high, not_high) in [(True, False), (False, True), (None, None)]
    if high is True:
        assert answer({"lab": "calcium_adjusted", "is": "low"}, events) is False
        assert answer({"lab": "calcium_adjusted", "is": "normal"}, events) is False
