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

    def __init__(
        self, words: PresupposedWords, adjectives: Collection[str], lesions: Collection[str], treatments: Collection[str]
    ) -> None:
        self._going_on = PhraseMatcher(
            [(phrase, True) for phrase in words.going_on_phrases] + [(phrase, False) for phrase in words.going_on]
        )
        self._unless_going_on = folded(words.unless_going_on_after)
        self._treatments = treatments
        self._behind = PhraseMatcher([(phrase, True) for phrase in words.phrases] + [(phrase, False) for phrase in words.prepositions])
        self._unless = folded(words.unless_after)
        self._between = folded(words.not_between)
        self._adjectives = folded(adjectives)
        self._lesions = frozenset((*lesions, *words.diseases))

    def among(self, matches: Sequence[Match], words: Sequence[Folded]) -> dict[int, int]:
        """First word of what is taken for granted -> the place of the word that says so."""
        return {**self._lesions_among(matches, words), **self._treatments_among(matches, words)}

    def _lesions_among(self, matches: Sequence[Match], words: Sequence[Folded]) -> dict[int, int]:
        """Lesions, and what is told of them before."""
        places = sorted({hit.end - 1 for hit in self._behind.hits(words) if hit.payload or not self._after_another(hit.start, words)})
        if not places:
            return {}
        found: dict[int, int] = {}
        with_lesion: set[int] = set()
        for match in matches:
            nearest = bisect_left(places, match.start) - 1
            is_lesion = match.concept.key in self._lesions
            if nearest >= 0 and (is_lesion or match.concept.kind == "finding") and self._reaches(places[nearest], match, words):
                found[match.start] = places[nearest]
                if is_lesion:
                    with_lesion.add(places[nearest])
        return {start: place for start, place in found.items() if place in with_lesion}

    def _treatments_among(self, matches: Sequence[Match], words: Sequence[Folded]) -> dict[int, int]:
        """A drug that is taken and dialysis that goes on: "no bleeding on warfarin"."""
        places = {
            hit.end - 1
            for hit in self._going_on.hits(words)
            if hit.payload or (hit.start and words[hit.start - 1][0] not in self._unless_going_on)
        }
        found = {}
        for match in matches if places else ():
            if match.concept.kind == "drug" or match.concept.key in self._treatments:
                # of "on HD" the first word belongs to the name
                place = next((at for at in (match.start, match.start - 1, match.start - 2) if at in places), None)
                if place is not None:
                    found[match.start] = place
        return found

    def _after_another(self, preposition: int, words: Sequence[Folded]) -> bool:
        return preposition > 0 and words[preposition - 1][0] in self._unless

    def _reaches(self, preposition: int, match: Match, words: Sequence[Folded]) -> bool:
        said = range(preposition + 1, match.end)
        return match.start - preposition <= FEW + 1 and not any(self._ends(words[at][0], words[at - 1][0]) for at in said)

    def _ends(self, word: str, before: str) -> bool:
        if word == COMMA and before in self._adjectives:  # "of the black, hard glans"
            return False
        return word in MARKS or word in AND or word in OR or word in self._between
