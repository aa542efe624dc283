"""Reads names too short to be read inside a text: "RA" as an item of a list of diagnoses, "STS 25 g" as an order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from calcinosis.knowledge.model import Context
from calcinosis.sources.context import AND
from calcinosis.sources.context_rules import Alone
from calcinosis.sources.phrases import Hit
from calcinosis.sources.words import COMMA, ENDS, QUERY, Folded, folded, tokenise

READS_ALONE: Final = frozenset({Context.CONDITION, Context.DRUG, Context.PROCEDURE})
MOST_WORDS: Final = 60  # a longer text is no list of names
_YEAR: Final = re.compile(r"(?:19|20)\d\d$")


class NameAloneReader:
    """Matches a whole item of a list: nothing before the name but "known" or "history of", nothing behind it but a date or a dose."""

    def __init__(self, names: Iterable[tuple[str, str]], context: Context, rules: Alone) -> None:
        self._names: dict[tuple[str, ...], list[str]] = {}
        for name, key in names if context in READS_ALONE else ():
            self._names.setdefault(tuple(word for word, _ in tokenise(name).words), []).append(key)
        self._longest = max(map(len, self._names), default=0)
        self._leading = folded(rules.leading)
        self._of_drugs = context is Context.DRUG
        self._trailing = folded(rules.trailing_of_drugs if self._of_drugs else rules.trailing)

    def hits(self, words: Sequence[Folded]) -> Iterator[Hit[str]]:
        if not self._names or len(words) > MOST_WORDS:
            return
        start = 0
        for at in range(len(words) + 1):
            if at == len(words) or words[at][0] in (COMMA, *ENDS) or words[at][0] in AND:
                yield from self._item(words, start, at)
                start = at + 1

    def _item(self, words: Sequence[Folded], start: int, end: int) -> Iterator[Hit[str]]:
        for at in range(start, end):
            for length in range(min(self._longest, end - at), 0, -1):
                keys = self._names.get(tuple(word for word, _ in words[at : at + length]))
                if keys and self._ends(words, at + length, end):
                    yield from (Hit(at, at + length, key) for key in keys)
            if words[at][0] not in self._leading and words[at][0] != QUERY:
                return

    def _ends(self, words: Sequence[Folded], at: int, end: int) -> bool:
        if at == end < len(words) - 1 and words[at][0] in AND and len(words[at + 1][0]) == 1:
            return False  # "PM&R"
        if at == end or words[at][0] in self._trailing:
            return True
        return words[at][0][0].isdigit() and (self._of_drugs or _YEAR.match(words[at][0]) is not None)
