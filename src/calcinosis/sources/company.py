"""What the words near a mention make of it: it is read only beside some words, and as something else in the company of others.

"Calcified vessels" of a letter are those of a biopsy only where a biopsy is spoken of; "medial calcification" in a section is that of a
small vessel, unless the sentence speaks of Mönckeberg or of a large artery. The words are data (``context_rules.yaml``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from calcinosis.knowledge.model import Concept, Context
from calcinosis.sources.context_rules import ContextRules
from calcinosis.sources.phrases import PhraseMatcher
from calcinosis.sources.words import COMMA, Folded

NEAR: Final = 40  # words round a mention that needs other words beside it


class Placed(Protocol):
    """A concept in words ``start..end`` (the part of a match that is looked at here)."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def positions(self) -> Sequence[int]: ...
    @property
    def concept(self) -> Concept: ...


Match = TypeVar("Match", bound=Placed)


class _Other(NamedTuple):
    """What a concept is in other company."""

    becomes: Concept
    among: PhraseMatcher[bool]  # True: of these words; False: of those that keep it what it is


class Company:
    """The needs of the concepts that one context may say."""

    def __init__(self, here: Sequence[Concept], context: Context, rules: ContextRules) -> None:
        by_key = {concept.key: concept for concept in here}
        named = {concept.beside for concept in here if concept.beside} if context == Context.NOTE else set()
        self._beside = PhraseMatcher((phrase, name) for name in named for phrase in rules.beside[name])
        self._not_yet = PhraseMatcher((phrase, True) for phrase in rules.not_yet_beside)
        self._needs = {concept.key: concept.beside for concept in here if concept.beside in named}
        self._others = {
            key: _Other(by_key[one.becomes], PhraseMatcher([(word, True) for word in one.words] + [(word, False) for word in one.unless]))
            for one in rules.instead
            if one.becomes in by_key
            for key in one.concepts
        }

    def with_words_beside(self, matches: list[Match], words: list[Folded]) -> list[Match]:
        """Without those that need other words near them (``Concept.beside``) and have none."""
        if not any(match.concept.key in self._needs for match in matches):
            return matches
        there: dict[str, list[int]] = defaultdict(list)
        not_yet = {at for hit in self._not_yet.hits(words) for at in range(hit.start, hit.end)}
        for hit in self._beside.hits(words):
            if hit.start not in not_yet:
                there[hit.payload].append(hit.start)

        def stands(match: Match) -> bool:
            needed = self._needs.get(match.concept.key)
            if needed is None:
                return True
            if not not_yet.isdisjoint(match.positions):  # "calcific arteriolopathy, no biopsy done" tells of no section
                return False
            places = there.get(needed, [])
            return bisect_left(places, match.start - NEAR) < bisect_left(places, match.end + NEAR)

        return [match for match in matches if stands(match)]

    def other(self, match: Placed, words: Sequence[Folded], clauses: Sequence[tuple[int, int]]) -> Concept | None:
        """What a mention is in the company of the words between the commas round it; None: what it says."""
        other = self._others.get(match.concept.key)
        if other is None:
            return None
        low, high = next((clause for clause in clauses if clause[0] <= match.start < clause[1]), (match.start, match.end))
        start = next((at + 1 for at in range(match.start - 1, low - 1, -1) if words[at][0] == COMMA), low)
        end = next((at for at in range(match.end, high) if words[at][0] == COMMA), high)
        said = {hit.payload for hit in other.among.hits(words[start:end])}
        return other.becomes if said == {True} else None
