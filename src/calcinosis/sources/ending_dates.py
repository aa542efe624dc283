"""The day until which something lasted, where a text says when it ended: "stopped in March 2019", "until 2017", "2015-2019".

A month or a year is taken to its last day: what ended in 2019 may have lasted to its end.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from calcinosis.sources.context_rules import EndingDates
from calcinosis.sources.words import COMMA, OPEN, Folded, fold, folded

ANY_YEAR: Final[Folded] = ("anyyear", "anyyear")  # stands for every year in the cues of ``context_rules.yaml``
_YEAR: Final = re.compile(r"(?:19|20)\d\d")


def with_any_year(words: Sequence[Folded]) -> Sequence[Folded]:
    """The words, every year the same word."""
    if not any(_YEAR.fullmatch(word[0]) for word in words):
        return words
    return [ANY_YEAR if _YEAR.fullmatch(word[0]) else word for word in words]


class EndingDateReader:
    """Reads the last day that the words beside a cue tell."""

    def __init__(self, rules: EndingDates) -> None:
        self._months = {fold(name)[0]: number for name, number in rules.months.items()}
        self._before_year = folded(rules.before_year) | self._months.keys()
        self._between = folded(rules.between) | self._months.keys() | {OPEN}

    def last_day(self, words: Sequence[Folded], cue: range, mention: range) -> datetime | None:
        """Of what ``mention`` names and ``cue`` calls ended; None where no year stands with them.

        A year further away may be that of something else, and what ended is then taken to have ended lately.
        """
        first, last = min(cue.start, mention.start), max(cue.stop, mention.stop)
        inside = [at for at in cue if _YEAR.fullmatch(words[at][0])]
        at = inside[-1] if inside else self._year(words, range(last, len(words)))
        if at is None:
            at = self._year(words, range(first - 1 - (words[first - 1][0] == COMMA), 0, -1))  # "in 2019, warfarin was stopped"
            at = at if at is not None and words[at - 1][0] in self._before_year else None
        if at is None:
            return None
        year, month = int(words[at][0]), self._months.get(words[at - 1][0], 12) if at else 12
        return datetime(year, month, monthrange(year, month)[1])

    def _year(self, words: Sequence[Folded], places: range) -> int | None:
        """The first year at these places, with nothing before it that could have a year of its own."""
        for at in places:
            if _YEAR.fullmatch(words[at][0]):
                return at
            if words[at][0] not in self._between and not words[at][0][0].isdigit():
                return None
        return None
