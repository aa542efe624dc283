"""What goes on now: a drug being taken, a pregnancy."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import INDEX, answer, day, event

TAKEN = {"current": "warfarin"}
VISIT = event("pain", INDEX)  # the last entry is "now"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (event("warfarin", day(-30)), True),
        (event("warfarin", None), True),  # an undated entry counts, as everywhere
        (event("warfarin", day(-400)), None),  # nobody said that it ended
        (event("warfarin", day(-400), status="active"), True),  # the record itself calls the order active
        (event("warfarin", day(-400), status="active", end_time=day(-3)), False),
        (event("warfarin", day(-400), status="on-hold"), None),
        (event("warfarin", day(-400), end_time=day(100)), True),
        (event("warfarin", day(-30), end_time=day(-3)), False),
        (event("warfarin", day(-30), status="ended"), False),
        (event("warfarin", day(-30), "negated"), False),
        (event("warfarin", day(-30), "uncertain"), None),
        (event("biopsy", day(-30)), None),  # silence
    ],
)
def test_a_drug_is_taken_while_nothing_says_that_it_ended(entry: dict[str, Any], expected: bool | None) -> None:
    assert answer(TAKEN, [VISIT, entry]) is expected
    assert answer({"not": TAKEN}, [VISIT, entry]) is (None if expected is None else not expected)


def test_a_later_end_ends_an_earlier_open_entry_of_the_same_drug() -> None:
    stopped = event("warfarin", day(-20), status="ended")
    assert answer(TAKEN, [VISIT, event("warfarin", day(-30)), stopped]) is False
    assert answer(TAKEN, [VISIT, event("warfarin", day(-10)), stopped]) is True


def test_the_window_can_be_named() -> None:
    assert answer(TAKEN | {"within_days": 20}, [VISIT, event("warfarin", day(-30))]) is None
    assert answer(TAKEN | {"within_days": 40}, [VISIT, event("warfarin", day(-30))]) is True
    assert answer(TAKEN | {"within_days": 20}, [VISIT, event("warfarin", day(-30), status="active")]) is None  # asked for lately


def test_silence_is_absence_only_in_a_closed_world() -> None:
    assert answer(TAKEN, [VISIT], closed_world=frozenset({"drug"})) is False


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([event("ckd", day(-900), end_time=day(-400))], True),
        ([event("ckd", day(-900), status="ended")], True),  # its own date is the last that is known of it
        ([event("ckd", day(-900), end_time=day(-30))], False),  # ended lately
        ([event("ckd", day(-900))], False),  # nobody said that it ended
        ([event("ckd", day(-900)), event("ckd", day(-700), status="ended")], True),
        ([event("ckd", day(-700), status="ended"), event("ckd", day(-600))], False),  # it came back
        ([event("ckd", day(-900), status="ended"), event("esrd", day(-800))], False),
        ([event("ckd", None, status="ended")], None),
        ([event("ckd", day(-900), "negated")], False),
        ([], None),
    ],
)
def test_a_disease_is_over_when_all_of_it_ended_long_ago(entries: list[dict[str, Any]], expected: bool | None) -> None:
    assert answer({"over": "ckd"}, [VISIT, *entries]) is expected
    assert answer({"over": "ckd", "for_days": 3000}, [VISIT, *entries]) is (False if expected is True else expected)
