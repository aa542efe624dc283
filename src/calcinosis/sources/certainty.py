"""How surely something is said: what the scopes over a mention make of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from calcinosis.knowledge.model import Concept
from calcinosis.sources.context import LONGEST_CLAUSE, Scope
from calcinosis.sources.context_rules import Effect

DONE_OR_GIVEN: Final = ("drug", "procedure", "device", "exposure")  # what may be planned, offered or refused
_NOT_DONE: Final = frozenset({"planned", "asked_about", "considered"})
_DOUBTS_DISEASE: Final = frozenset({"looked_for", "asked_about", "considered"})
_PARTED: Final = frozenset[Effect]({"negated", "uncertain", "looked_for", "asked_about"})  # what a denied neighbour does not share


class Match(NamedTuple):
    start: int
    end: int
    positions: Sequence[int]  # the words themselves: of a pattern, with gaps
    concept: Concept
    is_phrase: bool


def certainty_of(
    match: Match, matches: Sequence[Match], scopes: Sequence[Scope], begins: Sequence[int], granted: Callable[[Match], int | None]
) -> str | None:
    """The certainty of a match; None when the text says nothing of the patient ("no family history of", "not assessed").

    ``begins`` are the (ascending) starts of ``scopes``, so that a long note need not look at all of them. ``granted``: of what the text
    takes for granted, the place of the word that says so; a denial or doubt on the other side of it concerns something else.
    """
    above = over(match, scopes, begins)
    if any(scope.effect in _PARTED for scope in above) and (place := granted(match)) is not None:
        above = [scope for scope in above if scope.effect not in _PARTED or scope.cue_end > place]
    if not above:
        return "affirmed"
    spares = match.concept.kind == "site" or not match.is_phrase
    denials = [scope for scope in above if scope.effect == "negated" or (scope.effect == "spared" and spares)]
    kind = match.concept.kind
    effects = {_as_meant(scope.effect, kind) for scope in above}
    if "silent" in effects or "topic" in effects or ("family" in effects and denials) or ("not_taken" in effects and kind == "drug"):
        return None
    if "allergy_list" in effects and kind in ("drug", "finding"):
        return None
    if kind in DONE_OR_GIVEN and not effects.isdisjoint(_NOT_DONE):
        return None
    if ("prevented" in effects and kind in ("disease", "finding")) or ("taken_out" in effects and kind == "device"):
        return None
    if "family" in effects:
        return "family"
    if denials:
        # "calcification without vessel involvement" denies the pattern; "calcification without vessel thrombosis" denies something else
        if not match.is_phrase and all(_denies_another(scope, match, matches) for scope in denials):
            return None
        return "uncertain" if "still_suspected" in effects and kind == "disease" else "negated"
    return "uncertain" if "uncertain" in effects or (kind == "disease" and not effects.isdisjoint(_DOUBTS_DISEASE)) else "affirmed"


def _as_meant(effect: Effect, kind: str) -> Effect:
    """What stands below "family history" is a relative's; but a sign there, with no relative beside it, may be the patient's."""
    if effect == "family_list":
        return effect if kind == "finding" else "family"
    return "family" if effect == "companion" else effect


def over(match: Match, scopes: Sequence[Scope], begins: Sequence[int]) -> list[Scope]:
    """The scopes that a match stands in."""
    if not scopes:
        return []
    near = scopes[bisect_left(begins, match.start - LONGEST_CLAUSE) : bisect_left(begins, match.end)]
    return [scope for scope in near if _any_within(match, scope.start, scope.end) and not _holds_cue(match, scope)]


def _holds_cue(match: Match, scope: Scope) -> bool:
    """Whether the cue is a part of the match. A pattern without its first word does not hold it: "pulses not palpable".

    Of "wife on dialysis" the "on" belongs to both.
    """
    return scope.effect != "companion" and _any_within(match, scope.cue_start, scope.cue_end if match.is_phrase else scope.cue_start + 1)


def _any_within(match: Match, start: int, end: int) -> bool:
    if start >= match.end or match.start >= end:
        return False
    return match.is_phrase or any(start <= at < end for at in match.positions)


def _denies_another(scope: Scope, match: Match, matches: Sequence[Match]) -> bool:
    """Whether a scope over only some words of a pattern holds a finding of its own."""
    if scope.start <= match.start and match.end <= scope.end:
        return False
    own = set(match.positions)
    return any(
        other.concept.kind != "site" and scope.start <= other.start and other.end <= scope.end and own.isdisjoint(other.positions)
        for other in matches
    )
