"""Which laboratory quantity a name names: "S-Calcium, total", "PTH (intact), plasma" and "phosphate level" are whole names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from calcinosis.knowledge.model import Concept
from calcinosis.sources.context_rules import LabNames
from calcinosis.sources.phrases import Hit, PhraseMatcher
from calcinosis.sources.words import CLOSE, MARKS, OPEN, Folded, fold, folded, tokenise

Name = tuple[Folded, ...]
# "ALP (U/L)" is measured in units and "U&E creatinine" in the panel of urea and electrolytes, not in urine
_NOT_URINE: Final = re.compile(r"\b[a-z]*U\s*/\s*(?:[mdµμu]?l|k?g|\d+)\b|\bU\s*(?:&|and)\s*Es?\b", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[^\W\d_]+")


class Spelling:
    """What the short words of laboratory names stand for: "Ca (corr.)", "MDA5 Ab"."""

    def __init__(self, spelled_out: Mapping[str, str]) -> None:
        self._whole = {fold(short)[0]: word for short, word in spelled_out.items()}
        self._folded = {short: fold(word) for short, word in self._whole.items()}

    def words(self, words: Sequence[Folded]) -> list[Folded]:
        return [self._folded.get(word[0], word) for word in words]

    def phrase(self, phrase: str) -> str:
        """A name of the knowledge with its short words spelled out."""
        return _LETTERS.sub(lambda match: self._whole.get(fold(match.group())[0], match.group()), phrase)


class LabNameReader:
    """Matches whole strings only: "calcium gluconate" is not "calcium", and urine calcium is not serum calcium."""

    def __init__(self, labs: Iterable[Concept], rules: LabNames, spelling: Spelling) -> None:
        labs = list(labs)
        self._spelling = spelling
        self._names = PhraseMatcher((spelling.phrase(phrase.replace(",", " ")), lab.key) for lab in labs for phrase in lab.synonyms)
        self._qualities = {lab.key for lab in labs if not (lab.lab and lab.lab.unit)}
        self._of_antibodies = [_words(phrase) for phrase in rules.trailing_of_antibodies]
        self._leading = [_words(phrase) for phrase in rules.leading]
        self._trailing = [_words(phrase) for phrase in rules.trailing]
        self._other_specimen = folded(rules.other_specimen)
        self._other_quantity = folded(rules.other_quantity) | self._other_specimen
        self._of_blood = {lab.key for lab in labs if lab.lab and lab.lab.unit and not any(map(self.of_other_specimen, lab.synonyms))}

    def read(self, text: str) -> str | None:
        named = self._first(self._candidates(text))
        if named is None:
            named = self._first(self._without_antibody(text))
            named = named if named in self._qualities else None
        return named

    def of_other_specimen(self, text: str) -> bool:
        """Whether a name says that it was measured in something else than blood: "Calcium, 24h urine", "albumin, ascites"."""
        return any(word[0] in self._other_specimen for word in tokenise(_NOT_URINE.sub(" ", text)).words)

    def is_of_blood(self, concept: str) -> bool:
        """Whether a quantity is one of blood, none of whose names speaks of another specimen."""
        return concept in self._of_blood

    def _first(self, names: Iterable[Name]) -> str | None:
        for name in names:
            for hit in self._names.hits(name):
                if hit.start == 0 and hit.end == len(name):
                    return hit.payload
        return None

    def _without_antibody(self, text: str) -> Iterator[Name]:
        """The name of an antibody without "antibody", "IgG", "titre" behind it."""
        for name in list(self._candidates(text)):
            for tail in self._of_antibodies:
                if len(name) > len(tail) and _same(name[-len(tail) :], tail):
                    yield name[: -len(tail)]

    def _candidates(self, text: str) -> Iterator[Name]:
        """The name as written, then with the bracket's words in front, then ever less of what may be left off."""
        text = _NOT_URINE.sub(" ", text).replace("[", " (").replace("]", ") ")
        tokens = self._spelling.words(tokenise(text).words)
        outside: list[Folded] = []
        inside: list[Folded] = []
        depth = 0
        for token in tokens:
            if token[0] in (OPEN, CLOSE):
                depth += 1 if token[0] == OPEN else -1
            elif token[0] not in MARKS:
                (inside if depth > 0 else outside).append(token)
        method = next((at for at, token in enumerate(outside) if at and token[0] == "by"), None)
        outside = outside[:method]  # "albumin by electrophoresis"
        yield tuple(tokens)
        yield tuple(token for token in tokens if token[0] not in MARKS)
        yield from self._shortened(tuple(token for token in tokens if token[0] not in MARKS))
        if inside or method:
            yield from self._shortened((*inside, *outside))
            if not any(token[0] in self._other_quantity for token in inside):
                yield from self._shortened(tuple(outside))

    def _shortened(self, name: Name) -> Iterator[Name]:
        """``name`` itself, then without its specimen and words such as "level"; both ends, both orders."""
        seen = {name}
        queue = [name]
        while queue:
            name = queue.pop(0)
            yield name
            if len(name) == 2:  # "calcium, ionised"
                yield name[::-1]
            shorter = [name[len(lead) :] for lead in self._leading if len(name) > len(lead) and _same(name[: len(lead)], lead)]
            shorter += [name[: -len(tail)] for tail in self._trailing if len(name) > len(tail) and _same(name[-len(tail) :], tail)]
            for one in shorter:
                if one not in seen:
                    seen.add(one)
                    queue.append(one)


def _words(phrase: str) -> Name:
    return tuple(fold(word) for word in phrase.split())


def _same(some: Name, other: Name) -> bool:
    return all(a[0] == b[0] for a, b in zip(some, other, strict=True))


def longest_names(hits: Sequence[Hit[str]]) -> list[Hit[str]]:
    """The longest names of a text in their order; a stretch that names two quantities names neither."""
    kept: dict[tuple[int, int], str | None] = {}
    for hit in sorted(hits, key=lambda hit: (hit.start - hit.end, hit.start)):
        place = (hit.start, hit.end)
        if place in kept:
            kept[place] = hit.payload if kept[place] == hit.payload else None
        elif not any(hit.start < end and start < hit.end for start, end in kept):
            kept[place] = hit.payload
    return [Hit(start, end, name) for (start, end), name in sorted(kept.items()) if name is not None]
