"""How urgent an alarm or a review is, and how grave a safety rule: the words, each list from the gravest to the least."""

from __future__ import annotations

from typing import Final, Literal, get_args

AlarmUrgency = Literal["immediate", "same_day", "urgent"]
ReviewUrgency = Literal[AlarmUrgency, "routine"]
Verdict = Literal["contraindicated", "caution", "monitor", "note"]

ALARM_URGENCIES: Final[tuple[AlarmUrgency, ...]] = get_args(AlarmUrgency)
REVIEW_URGENCIES: Final[tuple[ReviewUrgency, ...]] = get_args(ReviewUrgency)
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
