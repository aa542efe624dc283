"""The steps that few rows take in Python and many in Polars: the same assessment either way."""

from __future__ import annotations

import pytest
from test_equality import generated_patients, joined

from calcinosis.assessment import assess_batch
from calcinosis.engines.rows import assessed, explained
from calcinosis.events import Batch
from calcinosis.knowledge import Knowledge


def test_few_and_many_give_the_same_assessment(knowledge: Knowledge, published_cases: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = joined(published_cases, generated_patients(knowledge, 60, seed=11))
    answers = {}
    for many in (0, 10**9):
        monkeypatch.setattr("calcinosis.numbers.MANY", many)
        part = assessed(everyone, knowledge)
        answers[many] = assess_batch(everyone, knowledge), part, explained([part.concerned], knowledge)
    few, many_ = answers[10**9], answers[0]
    assert few[0] == many_[0]
    for place, tables in ((1, ("assessments", "rejects")), (2, ("reasons", "reviews", "options", "events"))):
        for table in tables:
            assert getattr(few[place], table).equals(getattr(many_[place], table)), table
    assert few[1].patients_with_lab == many_[1].patients_with_lab
