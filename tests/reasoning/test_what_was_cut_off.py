"""What an amputation took away years ago is no lesion of today; what is there now, and what has no date, still counts."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import ask, procedure, says, status

from calcinosis.knowledge.criteria import Status

RISKS = (says("type 2 diabetes mellitus"), says("morbid obesity"))


def amputation(text: str, day: str | None) -> dict[str, Any]:
    undated = {key: value for key, value in procedure(text).items() if key != "performedDateTime"}
    return {**undated, **({"performedDateTime": day} if day else {})}


@pytest.mark.parametrize("text", ["amputation of the second toe for gangrene", "BKA for painful necrotic ulcers", "toe amputated because of necrosis"])
def test_gangrene_that_was_amputated_years_ago_rings_no_alarm_today(text: str) -> None:
    answer = ask(amputation(text, "2015-03-01"), *RISKS, says("leg ulcer"))
    assert not answer.alarms
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


@pytest.mark.parametrize(
    ("text", "day"),
    [("amputation of the toe for gangrene", "2024-05-20"), ("amputation of the toe for gangrene", None),
     ("debridement of a painful necrosis of the amputation stump", "2015-03-01")],
)  # fmt: skip
def test_lately_or_without_a_date_or_at_the_stump_it_counts(text: str, day: str | None) -> None:
    answer = ask(amputation(text, day), *RISKS, says("leg ulcer"))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


def test_a_new_necrosis_beside_an_old_amputation_counts() -> None:
    answer = ask(amputation("amputated in 2015 for gangrene; now painful necrotic ulcer of the thigh", "2024-06-01"), *RISKS)
    assert answer.alarms
