"""What a sentence takes for granted while it denies something else: the eschars of "no drainage from the eschars".

A lesion behind "from", "around", "over" is there, whatever is said not to come from it or to lie around it. The words are data
(``context_rules.yaml``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from calcinosis.sources.certainty import Match
from calcinosis.sources.context import AND, OR
from calcinosis.sources.context_rules import PresupposedWords
from calcinosis.sources.phrases import PhraseMatcher
from calcinosis.sources.words import COMMA, MARKS, Folded, folded

LONGEST: Final = 4  # words of a phrase of these
NEXT: Final = 2  # words from "on" to the drug: "on her warfarin"
FEW: Final = 4  # words between the preposition and the lesion: "from the two black, leathery eschars"


class Presupposed:
    """Finds the lesions that a text takes for granted."""

    def __init__(
        self, words: PresupposedWords, adjectives: Collection[str], lesions: Collection[str], treatments: Collection[str]
    ) -> None:
        self._going_on = PhraseMatcher((phrase, True) for phrase in words.going_on)
        self._treatments = treatments
        self._behind = PhraseMatcher([(phrase, True) for phrase in words.phrases] + [(phrase, False) for phrase in words.prepositions])
        self._unless = folded(words.unless_after)
        self._between = folded(words.not_between)
        self._adjectives = folded(adjectives)
        self._lesions = frozenset((*lesions, *words.diseases))

    def in_text(self, matches: Sequence[Match], words: Sequence[Folded]) -> Callable[[Match], int | None]:
        """Tells of a match the place of the word by which it is taken for granted; None where nothing does.

        Asked only of what stands under a denial, since most does not.
        """
        lesions = [match for match in matches if match.concept.key in self._lesions]

        def place_of(match: Match) -> int | None:
            if match.concept.kind == "drug" or match.concept.key in self._treatments:
                return self._goes_on(match, words)
            is_lesion = match.concept.key in self._lesions
            if not is_lesion and match.concept.kind != "finding":
                return None
            place = self._preposition(match, words)
            if place is None or not self._reaches(place, match, words):
                return None
            # what is told of a lesion before it is there as well: "of the painful plaques"
            return place if is_lesion or any(place < other.start and self._reaches(place, other, words) for other in lesions) else None

        return place_of

    def _preposition(self, match: Match, words: Sequence[Folded]) -> int | None:
        low = max(0, match.start - FEW - LONGEST)
        near = self._behind.hits(words[low : match.start])
        places = [low + hit.end - 1 for hit in near if hit.payload or not self._after_another(low + hit.start, words)]
        return max(places, default=None)

    def _goes_on(self, match: Match, words: Sequence[Folded]) -> int | None:
        """A drug that is taken and dialysis that goes on: "no bleeding on warfarin"."""
        low = max(0, match.start - LONGEST)
        near = self._going_on.hits(words[low : match.start + 1])  # of "on HD" the first word belongs to the name
        places = (low + hit.end - 1 for hit in near)
        return max((place for place in places if match.start - place <= NEXT), default=None)

    def _after_another(self, preposition: int, words: Sequence[Folded]) -> bool:
        return preposition > 0 and words[preposition - 1][0] in self._unless

    def _reaches(self, preposition: int, match: Match, words: Sequence[Folded]) -> bool:
        said = range(preposition + 1, match.end)
        return match.start - preposition <= FEW + 1 and not any(self._ends(words[at][0], words[at - 1][0]) for at in said)

    def _ends(self, word: str, before: str) -> bool:
        if word == COMMA and before in self._adjectives:  # "of the black, hard glans"
            return False
        return word in MARKS or word in AND or word in OR or word in self._between
