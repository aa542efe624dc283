"""Finds many thousands of phrases and word patterns in a list of folded words.

Phrases live in a trie over words. A wildcard (``calcif*``) is one more kind of edge; which edges a word may take from the
root is remembered per word, so a text of *n* words costs about *n* dictionary look-ups, however large the vocabulary is.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import Generic, NamedTuple, TypeVar

from calcinosis.sources.words import MARKS, Folded, fold_stem, tokenise

T = TypeVar("T")
_MEMO = 50_000  # words remembered per matcher; a hospital's notes have more misspellings than memory should hold


class Hit(NamedTuple, Generic[T]):
    """``payload`` was found in ``words[start:end]``."""

    start: int
    end: int
    payload: T


class Step(NamedTuple):
    """One word of a phrase: an exact word, or the stem of a wildcard."""

    word: str
    wild: bool


@lru_cache(maxsize=1 << 16)
def steps(phrase: str) -> tuple[Step, ...]:
    """The words of a phrase as written in the knowledge files.

    >>> steps("Calcif* vessels")
    (Step(word='calcif', wild=True), Step(word='vessel', wild=False))
    """
    if phrase in MARKS:  # a cue may be a mark: "?"
        return (Step(phrase, False),)
    tokens = tokenise(phrase)
    return tuple(
        Step(fold_stem(phrase[start:end]), True) if phrase[end : end + 1] == "*" else Step(word[0], False)
        for word, start, end in zip(*tokens, strict=True)
    )


class _Node(Generic[T]):
    __slots__ = ("ends", "next", "stems")

    def __init__(self) -> None:
        self.next: dict[str, _Node[T]] = {}
        self.stems: dict[str, _Node[T]] = {}
        self.ends: list[T] = []

    def child(self, step: Step) -> _Node[T]:
        return (self.stems if step.wild else self.next).setdefault(step.word, _Node())

    def follow(self, token: Folded) -> list[_Node[T]]:
        nodes = [self.next[token[0]]] if token[0] in self.next else []
        if self.stems:
            nodes += [node for stem, node in self.stems.items() if token[1].startswith(stem) or token[0].startswith(stem)]
        return nodes


class PhraseMatcher(Generic[T]):
    """Every phrase that stands in a text, overlapping ones included."""

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._root: _Node[T] = _Node()
        self._memo: dict[Folded, tuple[_Node[T], ...]] = {}
        for phrase, payload in phrases:
            node = self._root
            for step in steps(phrase):
                node = node.child(step)
            if node is not self._root and payload not in node.ends:
                node.ends.append(payload)

    def _first(self, token: Folded) -> tuple[_Node[T], ...]:
        nodes = tuple(self._root.follow(token))
        if len(self._memo) >= _MEMO:
            self._memo.clear()
        self._memo[token] = nodes
        return nodes

    def hits(self, words: Sequence[Folded]) -> list[Hit[T]]:
        found: list[Hit[T]] = []
        n = len(words)
        for start, nodes in enumerate(map(self._memo.get, words)):
            if nodes is None:
                nodes = self._first(words[start])
            if not nodes:
                continue
            level: Sequence[_Node[T]] = nodes
            end = start + 1
            while level:
                deeper: list[_Node[T]] = []
                word = words[end] if end < n else None
                for node in level:
                    if node.ends:
                        found += [Hit(start, end, payload) for payload in node.ends]
                    if word is not None:
                        if node.stems:
                            deeper += node.follow(word)
                        elif word[0] in node.next:
                            deeper.append(node.next[word[0]])
                level = deeper
                end += 1
        return found

    def longest(self, words: Sequence[Folded]) -> list[Hit[T]]:
        """Left to right, the longest phrase at each place, none overlapping another (one payload per phrase: the first)."""
        hits = self.hits(words)
        if len(hits) < 2:
            return hits
        kept: list[Hit[T]] = []
        at = 0
        best: dict[int, Hit[T]] = {}
        for hit in hits:
            if hit.start not in best or hit.end > best[hit.start].end:
                best[hit.start] = hit
        for start in sorted(best):
            if start >= at:
                kept.append(best[start])
                at = best[start].end
        return kept


class PatternHit(NamedTuple, Generic[T]):
    """``payload`` was found in the words at ``positions`` (ascending)."""

    positions: tuple[int, ...]
    payload: T


class _Pattern(NamedTuple, Generic[T]):
    words: tuple[int, ...]  # ids of its choices ("a|b" is one choice)
    reach: int  # words from the first to the last, both counted, that it may spread over
    payload: T


class PatternMatcher(Generic[T]):
    """Patterns: words that all stand in one stretch of text, in any order.

    ``a|b`` is a choice, ``x-ray`` words in a row, and ``~6`` at the end says that all stand within six words.
    """

    def __init__(self, patterns: Iterable[tuple[str, T]]) -> None:
        choices: dict[str, int] = {}
        parsed: list[_Pattern[T]] = []
        uses: dict[int, int] = defaultdict(int)
        for text, payload in patterns:
            text, _, reach = text.partition("~")
            words = tuple(dict.fromkeys(choices.setdefault(choice, len(choices)) for choice in text.split()))
            parsed.append(_Pattern(words, int(reach) if reach else sys.maxsize, payload))
            for word in words:
                uses[word] += 1
        self._choices = PhraseMatcher((option, key) for choice, key in choices.items() for option in choice.split("|"))
        # a pattern is looked at only when its rarest word is there
        self._by_rarest: dict[int, list[_Pattern[T]]] = defaultdict(list)
        for pattern in parsed:
            if pattern.words:
                self._by_rarest[min(pattern.words, key=lambda key: (uses[key], key))].append(pattern)

    def places(self, words: Sequence[Folded]) -> list[tuple[int, int]]:
        """Where the choices stand, in the order of the text: worked out once, asked for many stretches."""
        return [(hit.start, hit.payload) for hit in self._choices.hits(words)]

    def hits(self, places: Sequence[tuple[int, int]], start: int, end: int) -> list[PatternHit[T]]:
        """Patterns within ``words[start:end]``, each at the places where its words stand closest together."""
        here: dict[int, list[int]] = {}
        for at, key in places[bisect_left(places, (start, -1)) : bisect_left(places, (end, -1))]:
            before = here.setdefault(key, [])
            if not before or before[-1] != at:
                before.append(at)
        found: list[PatternHit[T]] = []
        for key in here:
            for pattern in self._by_rarest.get(key, ()):
                lists = [here[word] for word in pattern.words if word in here]
                if len(lists) == len(pattern.words) and (positions := _closest(lists)) and positions[-1] - positions[0] < pattern.reach:
                    found.append(PatternHit(positions, pattern.payload))
        return found


def _closest(lists: list[list[int]]) -> tuple[int, ...] | None:
    """One distinct position from each list, spanning as little as possible."""
    if len(lists) == 1:
        return (lists[0][0],)
    best: tuple[int, tuple[int, ...]] | None = None
    for anchor in lists[0]:
        near = [sorted(places, key=lambda at: abs(at - anchor))[:2] for places in lists[1:]]
        for rest in product(*near):
            chosen = tuple(sorted((anchor, *rest)))
            if all(a != b for a, b in pairwise(chosen)) and (best is None or chosen[-1] - chosen[0] < best[0]):
                best = (chosen[-1] - chosen[0], chosen)
    return best[1] if best else None
