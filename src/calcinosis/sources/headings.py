"""Headings that say what the lines below them are: relatives, allergies, a differential diagnosis, drugs that were stopped.

ConText (see :mod:`~calcinosis.sources.context`) knows no lines; a letter keeps its family history in a list under a line of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from calcinosis.sources.context import Scope
from calcinosis.sources.context_rules import Effect, Headings
from calcinosis.sources.words import MARKS, Folded, Tokens, folded, tokenise

_BULLET: Final = re.compile(r"[ \t]*(?:[-*•·–>+]|\(?\d{1,2}[.)]|\(?[a-z][.)])[ \t]+|[ \t]+", re.IGNORECASE)
MOST_WORDS: Final = 8  # of a heading that is not known by name


class _Line(NamedTuple):
    """``first`` to ``last`` are the words that stand in it."""

    text: str
    first: int
    last: int


class _Heading(NamedTuple):
    """``behind``: the place of the first word below or behind it."""

    words: tuple[str, ...]
    behind: int


class HeadingReader:
    """Finds the sections of a text whose heading changes what its lines say."""

    def __init__(self, rules: Headings) -> None:
        told: dict[Effect, Sequence[str]] = {
            "family_list": rules.family, "allergy_list": rules.allergies, "not_taken": rules.not_taken, "uncertain": rules.uncertain,
            "taken_no_more": rules.taken_no_more, "negated": rules.negated, "planned": rules.planned, "topic": rules.topic,
        }  # fmt: skip
        self._effects = {_plain(phrase): effect for effect, phrases in told.items() for phrase in phrases}
        self._known = {_plain(phrase) for phrase in rules.others} | set(self._effects)
        self._telling = {words[0] for words in self._effects}
        self._nothing = {_plain(phrase) for phrase in rules.nothing}
        self._patient = folded(rules.of_the_patient)

    def scopes(self, text: str, tokens: Tokens, clauses: Sequence[tuple[int, int]]) -> list[Scope]:
        """The scopes of all sections, clause by clause."""
        if "\n" not in text or self._telling.isdisjoint(word[0] for word in tokens.words):
            return []
        starts = [low for low, _ in clauses]
        found = []
        for effect, heading, first, last in self._sections(text, tokens):
            for low, high in clauses[max(0, bisect_left(starts, first) - 1) : bisect_left(starts, last)]:
                if low < last and first < high:
                    found.append(Scope(effect, max(low, first), min(high, last), heading, heading + 1))
        return found

    def _sections(self, text: str, tokens: Tokens) -> Iterator[tuple[Effect, int, int, int]]:
        """(effect, word of the heading, first word below it, word behind the last)."""
        effect: Effect | None = None
        heading = first = 0
        in_line = filled = False  # the heading had words behind it; a line stood below it
        for line in _lines(text, tokens):
            says = _words(tokens.words[line.first : line.last])
            if not says and (line.text.strip() or not filled):  # a rule under a heading, a blank line below it
                continue
            opens = self._heading(line, tokens.words) if says else None
            ends = opens is not None or not says or self._leaves_the_list(line, says, in_line)
            if effect and ends:
                yield effect, heading, first, line.first
                effect = None
            if opens is not None:
                effect, heading, first = self._effect_of(opens.words), line.first, opens.behind
                in_line, filled = opens.behind < line.last, False
            else:
                filled = bool(says)
                if effect and says in self._nothing:  # "None known": nothing more will come
                    yield effect, heading, first, line.last
                    effect = None
        if effect:
            yield effect, heading, first, len(tokens.words)

    def _effect_of(self, heading: tuple[str, ...]) -> Effect | None:
        """By the longest known heading that it begins with: "DDx listed for the request form".

        One word is enough to doubt what follows, and for nothing else: "Teaching hospital", "Discussed with the family".
        """
        known = next((heading[:n] for n in range(len(heading), 0, -1) if heading[:n] in self._known), ())
        effect = self._effects.get(known)
        return effect if len(known) > 1 or known == heading or effect == "uncertain" else None

    def _heading(self, line: _Line, words: Sequence[Folded]) -> _Heading | None:
        """None for a line that is no heading."""
        here = words[line.first : line.last]
        colon = next((at for at, word in enumerate(here) if word[0] in (":", "-")), len(here))
        before = _words(here[:colon])
        behind = _words(here[colon:])
        if before in self._known and (not behind or here[colon][0] == ":"):
            return _Heading(before, line.first + colon + 1 if behind else line.last)
        if behind:
            return None
        shown = line.text.strip()
        looks_so = shown.startswith("#") or shown.endswith(":") or (shown.isupper() and len(shown) > 3)
        return _Heading(before, line.last) if looks_so and len(before) <= MOST_WORDS else None

    def _leaves_the_list(self, line: _Line, says: tuple[str, ...], in_line: bool) -> bool:
        """ "She was admitted with": the writer speaks of the patient again. A list that began behind its heading goes on in items."""
        return says[0] in self._patient or (in_line and not _BULLET.match(line.text))


def _lines(text: str, tokens: Tokens) -> Iterator[_Line]:
    at = 0
    for line in text.split("\n"):
        yield _Line(line, bisect_left(tokens.starts, at), bisect_left(tokens.starts, at + len(line)))
        at += len(line) + 1


def _words(words: Sequence[Folded]) -> tuple[str, ...]:
    return tuple(word[0] for word in words if word[0] not in MARKS)


def _plain(phrase: str) -> tuple[str, ...]:
    return _words(tokenise(phrase).words)
