"""Finds entries of the knowledge by what a reader types: labels, other names, codes, and words of their statements."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Concept, Source, Statement
from calcinosis.knowledge.treatments import Treatment
from calcinosis.knowledge.wording import citation, walk
from calcinosis.service.pages.links import TABLES, title
from calcinosis.sources.words import fold

_WORD: Final = re.compile(r"[^\W_]+(?:[.'’][^\W_]+)*")  # "E83.59" is one word
_LABEL, _NAME, _TEXT = 8.0, 4.0, 1.0  # how much a word counts where it stands
_WHOLE: Final = 2.0  # times more when it is the whole word, not its beginning
_BONUS: Final = 100.0  # the words asked for are all there is


@dataclass(frozen=True, slots=True)
class Found:
    table: str
    key: str
    label: str


class Finder:
    """An index over all tables. Every word asked for must begin some word of the entry."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._entries: list[Found] = []
        self._names: list[set[tuple[str, ...]]] = []  # labels and other names as words, to prefer a name asked for in full
        weights: dict[str, dict[int, float]] = {}
        codes: dict[str, list[str]] = {}
        for code in knowledge.codes:
            codes.setdefault(code.concept_key, []).append(code.code)
        for table in TABLES:
            for key, record in getattr(knowledge, table).items():
                number = len(self._entries)
                shown = title(knowledge, table, key)
                self._entries.append(Found(table, key, shown))
                names = [shown, key.replace("_", " "), *_other_names(record), *(codes.get(key, ()) if table == "concepts" else ())]
                self._names.append({tuple(words_of(name)) for name in names})
                for weight, texts in ((_TEXT, list(_texts(record))), (_NAME, names[1:]), (_LABEL, names[:1])):
                    for word in {word for text in texts for word in words_of(text)}:
                        weights.setdefault(word, {})[number] = weight  # the heaviest comes last
        self._weights = weights
        self._vocabulary = sorted(weights)

    def find(self, asked: str, most: int = 60) -> tuple[list[Found], int]:
        """The best entries and how many there are in all."""
        words = tuple(words_of(asked))
        scores: dict[int, float] | None = None
        for word in words:
            here: dict[int, float] = {}
            for known in self._beginning_with(word):
                times = _WHOLE if known == word else 1.0
                for number, weight in self._weights[known].items():
                    here[number] = max(here.get(number, 0.0), weight * times)
            scores = here if scores is None else {number: score + here[number] for number, score in scores.items() if number in here}
        if not scores:
            return [], 0
        for number in scores:
            if words in self._names[number]:
                scores[number] += _BONUS
        ranked = sorted(scores, key=lambda number: (-scores[number], number))
        return [self._entries[number] for number in ranked[:most]], len(ranked)

    def near(self, asked: str) -> list[str]:
        """Words of the knowledge that look like those asked for."""
        return [near for word in words_of(asked) for near in get_close_matches(word, self._vocabulary, n=3, cutoff=0.75)]

    def _beginning_with(self, word: str) -> Iterator[str]:
        for place in range(bisect_left(self._vocabulary, word), len(self._vocabulary)):
            if not self._vocabulary[place].startswith(word):
                return
            yield self._vocabulary[place]


def words_of(text: str) -> list[str]:
    """The words as the index spells them: British and American, singular and plural meet."""
    return [fold(match.group())[0] for match in _WORD.finditer(text)]


def _other_names(record: Any) -> Iterator[str]:
    if isinstance(record, Concept):
        yield from (each.replace("*", "") for each in record.synonyms)
    elif isinstance(record, Treatment):
        yield from (*record.names, record.drug_class or "")
    elif isinstance(record, Source):
        yield from (each for each in (record.pmid, record.pmcid, record.doi) if each)


def _texts(record: Any) -> Iterator[str]:
    if isinstance(record, Source):
        yield citation(record)[0]
        return
    for part in walk(record):
        if isinstance(part, Statement):
            yield part.text
        for name in ("label", "text", "meaning", "why", "population"):
            said = getattr(part, name, None)
            if isinstance(said, str):
                yield said
