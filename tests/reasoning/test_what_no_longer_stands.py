"""Withdrawn documents, signs that are over, and numbers that cannot be."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from small_records import LESION, Resource, ask, measured, says, status

from calcinosis.knowledge.criteria import Status

NOTE = base64.b64encode(b"Painful necrotic ulcer of the thigh, calciphylaxis.").decode()


def note(**more: Any) -> Resource:
    content = [{"attachment": {"contentType": "text/plain", "data": NOTE}}]
    return {"resourceType": "DocumentReference", "status": "current", "date": LESION.isoformat(), "content": content, **more}


@pytest.mark.parametrize("withdrawn", [{"status": "superseded"}, {"status": "entered-in-error"}, {"docStatus": "entered-in-error"}])
def test_a_withdrawn_document_is_not_read(withdrawn: dict[str, str]) -> None:
    assert status(ask(note()), "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert not ask(note(**withdrawn)).alarms


ULCER: Resource = {**says("painful necrotic ulcer of the leg"), "onsetDateTime": "2014-01-01"}


@pytest.mark.parametrize(
    ("over", "rings"),
    [
        ({}, True),
        ({"abatementDateTime": "2014-03-01"}, False),
        ({"abatementDateTime": "2024-03-01"}, True),  # less than a year before the last entry
        ({"abatementDateTime": "2014-01-01"}, True),  # the day of the diagnosis once more is no end
        ({"abatementString": "healed in spring"}, False),
        ({"abatementAge": {"value": 44, "unit": "a"}}, False),
    ],
)
def test_a_sign_that_ended_long_ago_by_its_end_alone_is_not_looked_at(over: dict[str, Any], rings: bool) -> None:
    ulcer = {**ULCER, **over}
    ulcer.pop("recordedDate")
    assert bool(ask(ulcer, measured("Calcium", 9.5, "mg/dL")).alarms) is rings


@pytest.mark.parametrize(
    ("name", "value", "unit"), [("Calcium", -999, "mg/dL"), ("Creatinine", -1, "mg/dL"), ("Phosphate", -0.5, "mmol/L")]
)
def test_a_quantity_below_zero_is_rejected_aloud(name: str, value: float, unit: str) -> None:
    answer = ask(measured(name, value, unit))
    assert not answer.alarms
    assert any("a quantity below zero" in each for each in answer.warnings)


def test_a_score_or_a_temperature_may_lie_below_zero() -> None:
    assert not ask(measured("Bone density T-score", -2.6, "1"), measured("Body temperature", -0.5, "Cel")).warnings
