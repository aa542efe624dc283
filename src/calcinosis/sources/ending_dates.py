"""The day until which something lasted, where a text says when it ended: "stopped in March 2019", "until 2017", "2015-2019".

A month or a year is taken to its last day: what ended in 2019 may have lasted to its end.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from calcinosis.sources.words import CLOSE, COMMA, ENDS, Folded

ANY_YEAR: Final[Folded] = ("anyyear", "anyyear")  # stands for every year in the cues of ``context_rules.yaml``
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_PIECE_ENDS: Final = frozenset({COMMA, CLOSE, "and", *ENDS})
_BEFORE_YEAR: Final = frozenset({"in", "of"})  # "in 2019 warfarin was stopped"


def with_any_year(words: Sequence[Folded]) -> Sequence[Folded]:
    """The words, every year the same word."""
    if not any(_YEAR.fullmatch(word[0]) for word in words):
        return words
    return [ANY_YEAR if _YEAR.fullmatch(word[0]) else word for word in words]


def last_day(words: Sequence[Folded], start: int, end: int, months: Mapping[str, int]) -> datetime | None:
    """The last day that the words round the cue ``start..end`` tell; None where they tell none.

    Args:
        months: folded name -> number.
    """
    inside = [at for at in range(start, end) if _YEAR.fullmatch(words[at][0])]
    at = inside[-1] if inside else _year_behind(words, end)
    at = _year_before(words, start, months) if at is None else at
    if at is None:
        return None
    year = int(words[at][0])
    month = months.get(words[at - 1][0], 12) if at else 12
    return datetime(year, month, monthrange(year, month)[1])


def _year_behind(words: Sequence[Folded], end: int) -> int | None:
    for at in range(end, len(words)):
        if _YEAR.fullmatch(words[at][0]):
            return at
        if words[at][0] in _PIECE_ENDS:
            return None
    return None


def _year_before(words: Sequence[Folded], start: int, months: Mapping[str, int]) -> int | None:
    for at in range(start - 1, 0, -1):
        if words[at][0] in _PIECE_ENDS:
            return None
        if _YEAR.fullmatch(words[at][0]):
            return at if words[at - 1][0] in _BEFORE_YEAR or words[at - 1][0] in months else None
    return None
