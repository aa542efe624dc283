"""Drugs that act where they are applied: tacrolimus ointment and ciclosporin eye drops are not the drugs that a rule asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from calcinosis.sources.context_rules import LocalForms
from calcinosis.sources.phrases import PhraseMatcher
from calcinosis.sources.words import Folded, folded, tokenise

_FORM, _ROUTE, _NEITHER = "form", "route", "neither"
_FARTHEST: Final = 6  # words between a drug and its form: "tacrolimus 0.001 mg/mg topical ointment"


class LocalFormReader:
    """Tells as what a drug counts where a text says how it is applied.

    Args:
        lineage: concept -> itself and everything above it.
    """

    def __init__(self, rules: LocalForms, lineage: Mapping[str, frozenset[str]]) -> None:
        self._forms = PhraseMatcher(
            [
                *((phrase, _FORM) for phrase in rules.forms),
                *((phrase, _ROUTE) for phrase in rules.routes),
                *((phrase, _NEITHER) for phrase in rules.no_forms),
            ]
        )
        self._between = folded(rules.between)
        self._lineage, self._rules = lineage, rules

    def counts_as(self, drug: str) -> str:
        """The concept of a drug's local form: its own, else that of a class above it (no drug lies below two that have one)."""
        own = self._rules.own
        if drug in own:
            return own[drug]
        return next((own[above] for above in sorted(self._lineage.get(drug, ())) if above in own), self._rules.counts_as)

    def is_said(self, text: str) -> bool:
        """Whether the name of a product, or of a route, is that of something applied."""
        return any(hit.payload != _NEITHER for hit in self._forms.longest(tokenise(text).words))

    def places(self, words: Sequence[Folded]) -> dict[int, tuple[int, str]]:
        """Where a form or a route is said: first word -> (the word after it, which of the two)."""
        return {hit.start: (hit.end, hit.payload) for hit in self._forms.longest(words) if hit.payload != _NEITHER}

    def is_local(self, start: int, end: int, words: Sequence[Folded], places: Mapping[int, tuple[int, str]]) -> bool:
        """Whether the drug at ``words[start:end]`` is one of :meth:`places`: the route directly before it, or either of them behind it."""
        if any(after == start and kind == _ROUTE for after, kind in places.values()):
            return True
        for at in range(end, min(end + _FARTHEST, len(words))):
            if at in places:
                return True
            word = words[at][0]
            if word not in self._between and not word[0].isdigit():
                return False
        return False
