"""What a sentence takes for granted while it denies something else: the eschars of "no drainage from the eschars".

A lesion behind "from", "around", "over" is there, whatever is said not to come from it or to lie around it. The words are data
(``context_rules.yaml``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from calcinosis.sources.certainty import Match
from calcinosis.sources.context import AND, OR
from calcinosis.sources.context_rules import PresupposedWords
from calcinosis.sources.phrases import PhraseMatcher
from calcinosis.sources.words import COMMA, MARKS, Folded, folded

FEW: Final = 4  # words between the preposition and the lesion: "from the two black, leathery eschars"


class Presupposed:
    """Finds the lesions that a text takes for granted."""

    def __init__(self, words: PresupposedWords, adjectives: Collection[str], lesions: Collection[str]) -> None:
        self._behind = PhraseMatcher([(phrase, True) for phrase in words.phrases] + [(phrase, False) for phrase in words.prepositions])
        self._unless = folded(words.unless_after)
        self._between = folded(words.not_between)
        self._adjectives = folded(adjectives)
        self._lesions = lesions

    def among(self, matches: Sequence[Match], words: Sequence[Folded]) -> dict[int, int]:
        """First word of what is taken for granted -> the place of the word that says so: a lesion, and what is told of it before."""
        places = sorted({hit.end - 1 for hit in self._behind.hits(words) if hit.payload or not self._after_another(hit.start, words)})
        if not places:
            return {}
        found: dict[int, int] = {}
        with_lesion: set[int] = set()
        for match in matches:
            nearest = bisect_left(places, match.start) - 1
            if match.concept.kind == "finding" and nearest >= 0 and self._reaches(places[nearest], match, words):
                found[match.start] = places[nearest]
                if match.concept.key in self._lesions:
                    with_lesion.add(places[nearest])
        return {start: place for start, place in found.items() if place in with_lesion}

    def _after_another(self, preposition: int, words: Sequence[Folded]) -> bool:
        return preposition > 0 and words[preposition - 1][0] in self._unless

    def _reaches(self, preposition: int, match: Match, words: Sequence[Folded]) -> bool:
        said = range(preposition + 1, match.end)
        return match.start - preposition <= FEW + 1 and not any(self._ends(words[at][0], words[at - 1][0]) for at in said)

    def _ends(self, word: str, before: str) -> bool:
        if word == COMMA and before in self._adjectives:  # "of the black, hard glans"
            return False
        return word in MARKS or word in AND or word in OR or word in self._between
