"""Reads results that a text states in words: "calcium and phosphorus levels were normal", "anti-MDA5 positive", "raised PTH".

A result belongs to a name only when it stands beside it, with nothing but words such as "level" or "was" between. Names joined by
commas, "and" or "or" share one result. What could be read in two ways is not read: unknown is better than a wrong "normal".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from calcinosis.knowledge.model import Concept
from calcinosis.sources.context import AND, OR
from calcinosis.sources.context_rules import SaidResults
from calcinosis.sources.lab_names import Spelling, longest_names
from calcinosis.sources.phrases import Hit, PhraseMatcher
from calcinosis.sources.words import CLOSE, COLON, COMMA, DASH, MARKS, OPEN, Folded, folded, tokenise

QUALITIES: Final = frozenset({"positive", "negative"})  # of an antibody; a calcium is never positive
NOT_SAID: Final = frozenset({"family", "family_list", "companion", "uncertain", "silent", "topic"})
LEAST_TITRE: Final = 10  # 1:640 is a titre, "1:2" is anything
SHORTEST: Final = 3  # letters of a name that needs no leave ("RF" does, "PTH" does not)
# What the words of a clause are: a name, a result, "and" between names, a comma, a number or its unit, a word that may stand between
# a name and its result, any other word
NAME, RESULT, JOIN, PAUSE, NUMBER, LINK, OTHER = "LRJ,NFX"
TITRE: Final = "T"  # of a result that is a dilution
_IN_TURN: Final = re.compile(r"(?:F*L[FN]*R)+F*")  # "Ca normal PTH raised"
_RUN: Final = re.compile(r"L(?:F*[J,]+F*L)*")
_ONE: Final[Folded] = ("1", "1")
_YEAR: Final = re.compile(r"(?:19|20)\d\d$")


class SaidResult(NamedTuple):
    """The words ``start..end`` say that ``concept`` was ``flag`` (one of ``events.FLAGS``)."""

    concept: str
    flag: str
    start: int
    end: int


class _Item(NamedTuple):
    kind: str
    start: int
    end: int
    payload: str


class SaidResultReader:
    """Reads the results of one clause after the other."""

    def __init__(self, labs: Iterable[Concept], rules: SaidResults, spelling: Spelling) -> None:
        labs = list(labs)
        self._spelling = spelling
        leave = folded(rules.short_names)
        names = ((spelling.phrase(name), lab.key) for lab in labs for name in lab.synonyms)
        self._names = PhraseMatcher((name, key) for name, key in names if _telling(tokenise(name).words, leave))
        self._results = PhraseMatcher((phrase, flag) for flag, phrases in rules.words.items() for phrase in phrases)
        self._whole = PhraseMatcher(
            (word, (key, flag)) for key, flags in rules.in_one_word.items() for flag, said in flags.items() for word in said
        )
        self._denials = folded(rules.denials)
        measured = {lab.key for lab in labs if lab.lab and lab.lab.unit}
        self._quantities = measured | {lab.key for lab in labs if lab.lab and not measured.isdisjoint(lab.lab.stands_for)}
        self._positive_titre = {lab.key: lab.lab.positive_titre for lab in labs if lab.lab and lab.lab.positive_titre}
        self._low_titre = {lab.key: lab.lab.low_titre for lab in labs if lab.lab and lab.lab.low_titre}
        self._between = folded(rules.between)
        self._before = folded(rules.before)
        self._behind = folded(rules.behind)
        self._units = folded(rules.units)
        self._past = folded(rules.past)

    def read(self, words: Sequence[Folded], clauses: Sequence[tuple[int, int]]) -> list[SaidResult]:
        found = list(self._in_one_word(words))
        results = self._results.longest(words)
        names = longest_names(self._names.hits(self._spelling.words(words))) if results or _ONE in words else []
        if names:
            known = _known(names, results)
            begins = sorted(hit.start for hit in names)
            for low, high in clauses:
                if bisect_left(begins, low) < bisect_left(begins, high):
                    items = self._items(words, low, high, known)
                    found += self._clause(items, words[low:high])
                    found += self._titres(items, words[low:high])
        flags: dict[str, set[str]] = {}
        for said in found:
            flags.setdefault(said.concept, set()).add(said.flag)
        return [said for said in dict.fromkeys(found) if len(flags[said.concept]) == 1]  # "normal, later raised": which holds?

    def _in_one_word(self, words: Sequence[Folded]) -> Iterator[SaidResult]:
        for hit in self._whole.hits(words):
            if not hit.start or words[hit.start - 1][0] not in self._denials | self._past:
                yield SaidResult(hit.payload[0], hit.payload[1], hit.start, hit.end)

    def _items(self, words: Sequence[Folded], low: int, high: int, known: Mapping[int, _Item]) -> list[_Item]:
        items, at = [], low
        while at < high:
            item = known.get(at)
            if item is None or item.end > high:
                item = _Item(self._kind(words[at][0]), at, at + 1, words[at][0])
            items.append(item)
            at = item.end
        return items

    def _kind(self, word: str) -> str:
        if word == COMMA:
            return PAUSE
        if word in AND or word in OR:
            return JOIN
        if word in self._between or word in (COLON, DASH, OPEN, CLOSE):
            return LINK
        return NUMBER if word[0].isdigit() or word in self._units else OTHER

    def _clause(self, items: list[_Item], words: Sequence[Folded]) -> Iterator[SaidResult]:
        kinds = "".join(item.kind for item in items)
        if NAME not in kinds:
            return
        past = any(word[0] in self._past or _YEAR.match(word[0]) for word in words)
        for run in _RUN.finditer(kinds):
            ahead, behind = self._beside(items, kinds, run.start(), run.end())
            for name, result in _shared(items[run.start() : run.end()], ahead, behind):
                if name.payload in self._quantities and (result.payload in QUALITIES or past):
                    continue
                if result.kind == TITRE and int(words[result.start - items[0].start][0]) < self._positive_titre.get(name.payload, 0):
                    continue
                if past and result.payload != "positive":  # an antibody once found tells of the disease
                    continue
                yield SaidResult(name.payload, result.payload, min(name.start, result.start), max(name.end, result.end))

    def _beside(self, items: Sequence[_Item], kinds: str, start: int, stop: int) -> tuple[_Item | None, _Item | None]:
        """The result that stands ahead of a run of names, and the one behind it."""
        after = _past_links(kinds, stop, 1)
        end = _past_links(kinds, stop, 1, LINK + NUMBER)
        before = _past_links(kinds, start - 1, -1)
        ends_well = end < len(kinds) and kinds[end] == RESULT and (_IN_TURN.fullmatch(kinds) or self._ends_well(items, kinds, end))
        behind = items[end] if ends_well else None
        ahead = items[before] if before >= 0 and kinds[before] == RESULT and self._stands_free(items, kinds, before) else None
        if ahead is not None and (owner := _past_links(kinds, before - 1, -1)) >= 0 and kinds[owner] == NAME:
            ahead = None  # it is the result of the name before it
        if behind is None and after < len(kinds) and not self._may_follow(items[after]):
            titre = kinds[after] == NUMBER and ahead is not None and ahead.payload in QUALITIES
            ahead = ahead if titre else None  # "positive ANA 1:640", but "low calcium diet", "calcium 2.3"
        if behind is None and ahead is None:
            behind = _titre(items, after)
        if ahead is None and not self._may_precede(items, kinds, start):
            behind = None  # "dietary calcium was normal"
        return ahead, behind

    def _titres(self, items: Sequence[_Item], words: Sequence[Folded]) -> Iterator[SaidResult]:
        """What the titre of an antibody says beside "positive"."""
        for at, name in enumerate(items):
            low = self._low_titre.get(name.payload) if name.kind == NAME else None
            behind = takewhile(lambda place: items[place].kind != NAME, range(at + 1, len(items)))
            titre = next((found for place in behind if (found := _titre(items, place))), None) if low else None
            if low and titre:
                flag = "positive" if int(words[titre.start - items[0].start][0]) < low.below else "negative"
                yield SaidResult(low.concept, flag, name.start, titre.end)

    def _may_follow(self, item: _Item) -> bool:
        return item.kind in (JOIN, PAUSE) or item.payload in MARKS or item.payload in self._behind

    def _ends_well(self, items: Sequence[_Item], kinds: str, at: int) -> bool:
        """Whether the words go on after a result as they do after a result: "vitamin D high dose" does not."""
        return at + 1 >= len(kinds) or kinds[at + 1] in (LINK, NUMBER) or self._may_follow(items[at + 1])

    def _stands_free(self, items: Sequence[_Item], kinds: str, at: int) -> bool:
        return at == 0 or kinds[at - 1] != OTHER or items[at - 1].payload in self._before

    def _may_precede(self, items: Sequence[_Item], kinds: str, at: int) -> bool:
        return at == 0 or kinds[at - 1] not in (OTHER, NUMBER) or items[at - 1].payload in self._before


def _known(names: Sequence[Hit[str]], results: Sequence[Hit[str]]) -> dict[int, _Item]:
    """Names and results by their first word; a result inside a name is part of it."""
    known = {hit.start: _Item(NAME, hit.start, hit.end, hit.payload) for hit in names}
    inside = {at for hit in names for at in range(hit.start, hit.end)}
    for hit in results:
        if inside.isdisjoint(range(hit.start, hit.end)):
            known[hit.start] = _Item(RESULT, hit.start, hit.end, hit.payload)
    return known


def _titre(items: Sequence[_Item], at: int) -> _Item | None:
    """ "1:640" and "1/640" say that an antibody is there."""
    numbers = [item for item in items[at : at + 3] if item.payload != COLON]
    if len(numbers) >= 2 and numbers[0].payload == "1" and numbers[1].payload.isdigit() and int(numbers[1].payload) >= LEAST_TITRE:
        return numbers[1]._replace(kind=TITRE, payload="positive")
    return None


def _past_links(kinds: str, at: int, step: int, links: str = LINK) -> int:
    while 0 <= at < len(kinds) and kinds[at] in links:
        at += step
    return at


def _shared(run: Sequence[_Item], ahead: _Item | None, behind: _Item | None) -> Iterator[tuple[_Item, _Item]]:
    """Each name of a run with its result."""
    names = [item for item in run if item.kind == NAME]
    pauses = [item.start for item in run if item.kind == PAUSE]
    listed = not pauses or any(item.kind == JOIN for item in run)
    if ahead is None or behind is None:
        result = ahead or behind
        if result is None:
            return
        if ahead is not None and not listed:
            names = names[:1]  # "raised ESR, calcium": the comma ends it
        yield from ((name, result) for name in names)
    elif len(pauses) == 1:  # "raised CRP and ESR, calcium normal"
        yield from ((name, ahead if name.start < pauses[0] else behind) for name in names)
    elif len(names) == 2 and not pauses:  # "normal calcium and PTH raised"
        yield from zip(names, (ahead, behind), strict=True)


def _telling(words: Sequence[Folded], leave: frozenset[str]) -> bool:
    """Whether a name is long enough to be read inside a text."""
    return len(words) > 1 or words[0][0] in leave or len(words[0][1]) >= SHORTEST
