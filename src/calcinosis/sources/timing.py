"""How long before the lesion an exposure came, when the text says so.

"7 days before", "lesions 2 days after restart", "lesions on day 4" and "3 weeks earlier" are lead times; "3 years" and "long term"
alone are durations and say nothing about the order. An exposure that began after the lesion has a negative lead time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from calcinosis.sources.context_rules import RelativeTime
from calcinosis.sources.phrases import PhraseMatcher
from calcinosis.sources.words import COMMA, Folded, fold, folded

_COMPACT = re.compile(r"(\d+)([a-z]+)")
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
Quantity = tuple[float, float, int]  # number, days per unit, where it starts


class LeadTimeReader:
    """Reads one lead time from the words of a text; the first that resolves is taken."""

    def __init__(self, rules: RelativeTime) -> None:
        self._kinds = {fold(word)[0]: kind for kind in ("before", "earlier", "after", "later") for word in getattr(rules, kind)}
        self._kinds |= {"of": "of", "on": "on"}  # "within 24 hours of", "lesions on day 4"
        self._telling = frozenset(self._kinds) - {"of", "on"} | {"within", "day"}
        self._lesion = PhraseMatcher((word, True) for word in rules.lesion)
        self._between = folded(rules.between)
        self._pointing_back = folded(rules.pointing_back)
        self._numbers = {fold(word)[0]: value for word, value in rules.numbers.items()}
        self._units = {fold(word)[0]: value for word, value in rules.days_per_unit.items()}

    def read(self, words: Sequence[Folded], clauses: Sequence[tuple[int, int]]) -> float | None:
        if self._telling.isdisjoint(word[0] for word in words):
            return None
        lesions = {hit.start for hit in self._lesion.hits(words)}
        for low, high in clauses:
            for at in range(low, high):
                kind = self._kinds.get(words[at][0])
                days = self._lead(kind, words, lesions, low, at, high) if kind else None
                if days is not None:
                    return round(days, 4)
        return None

    def _lead(self, kind: str, words: Sequence[Folded], lesions: set[int], low: int, at: int, high: int) -> float | None:
        quantity = self._quantity(words, low, at - 1)
        days = quantity[0] * quantity[1] if quantity else None
        stop = next((k for k in range(at + 1, high) if words[k][0] == COMMA), high)
        what_follows = [words[k][0] for k in range(at + 1, stop) if words[k][0] not in self._pointing_back]
        lesion_follows = any(k in lesions for k in range(at + 1, stop))
        lesion_precedes = any(k in lesions for k in range(low, at))
        if kind == "after":
            return self._after(days, words, lesions, lesion_precedes, at, stop)
        if kind == "on":
            return self._on(words, at, stop) if lesion_precedes else None
        if days is None or quantity is None:
            return None
        if kind == "earlier":
            return days
        if kind == "before":
            if lesion_follows or not what_follows:
                return days
            return -days if lesion_precedes else None  # "lesions 2 days before the restart"; "7 days before surgery" says nothing
        if kind == "later":
            return days if lesion_precedes or lesion_follows else None
        within = quantity[2] > low and words[quantity[2] - 1][0] == "within"
        return days if within and what_follows and not lesion_follows else None

    def _on(self, words: Sequence[Folded], at: int, stop: int) -> float | None:
        """ "On day 4", "on the fourth day" of what was given."""
        for end in range(at + 2, min(at + 4, stop)):
            quantity = self._quantity(words, at + 1, end)
            if quantity and "day" in (words[end][0], words[end - 1][0]):
                return quantity[0] * quantity[1]
        return None

    def _after(
        self, days: float | None, words: Sequence[Folded], lesions: set[int], lesion_precedes: bool, at: int, stop: int
    ) -> float | None:
        """A lead time ("2 days after restart"), a negative one ("2 days after the first lesions"), -1 ("after the lesions")."""
        k = at + 1
        while k < stop and k not in lesions and words[k][0] in self._between:
            k += 1
        if k in lesions and k < stop:
            return -1.0 if days is None else -days
        if days is None and lesion_precedes:  # "ulcers after two weeks of warfarin"
            for end in range(at + 2, min(at + 5, stop)):
                quantity = self._quantity(words, at + 1, end)
                if quantity and quantity[2] == at + 1:
                    return quantity[0] * quantity[1]
        return days

    def _quantity(self, words: Sequence[Folded], low: int, end: int) -> Quantity | None:
        """The amount of time that ends at the word ``end``: "7 days", "7d", "2-3 weeks", "day 3", "the day", "1 year and 2 months"."""
        if end < low:
            return None
        word = words[end][0]
        if (compact := _COMPACT.fullmatch(word)) and compact[2] in self._units:
            return float(compact[1]), self._units[compact[2]], end
        unit = self._units.get(word)
        if unit is None:
            number, start = self._number(words, low, end)
            named = self._units.get(words[start - 1][0]) if number is not None and start > low else None
            return (number, named, start - 1) if number is not None and named and words[start - 1][0] in ("day", "week") else None
        number, start = self._number(words, low, end - 1)
        if number is None:
            alone = word in ("day", "week", "month", "year") and (end == low or words[end - 1][0] in ("the", "on"))
            return (1.0, unit, end) if alone else None
        if start - 1 > low and words[start - 1][0] in ("and", COMMA):
            larger = self._quantity(words, low, start - 2)
            if larger and larger[1] > unit:
                return number + larger[0] * larger[1] / unit, unit, larger[2]
        return number, unit, start

    def _number(self, words: Sequence[Folded], low: int, end: int) -> tuple[float | None, int]:
        """The number that ends at ``end``; of a range, the middle."""
        upper = self._value(words[end][0]) if end >= low else None
        if upper is None:
            return None, end
        gap = 2 if end - 1 > low and words[end - 1][0] in ("to", "or") else 1
        lower = self._value(words[end - gap][0]) if end - gap >= low else None
        if lower is None or words[end - gap][0] in ("a", "an"):
            if end > low and words[end][0] == "couple" and words[end - 1][0] == "a":
                return upper, end - 1
            return upper, end
        if gap == 1 and lower >= 20 and lower % 10 == 0 and upper < 10 and not words[end][0].isdigit():
            return lower + upper, end - 1  # forty two
        return ((lower + upper) / 2, end - gap) if lower < upper else (upper, end)

    def _value(self, word: str) -> float | None:
        if word[:1].isdigit():
            if (ordinal := _COMPACT.fullmatch(word)) and ordinal[2] in _ORDINALS:
                return float(ordinal[1])
            plain = re.sub(r",(?=\d{3}\b)", "", word).replace(",", ".")
            return float(plain) if re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", plain) else None
        return self._numbers.get(word)
