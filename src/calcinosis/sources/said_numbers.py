"""Reads laboratory values in a text: "Ca 2.61 mmol/L (2.1-2.6)", "PTH of 1,450 pg/mL", "phosphate rose from 1.9 to 3.1 mmol/l".

A number belongs to a name only when nothing but words such as "level" or "was" stands between, and only with its unit: a dose, a
range, a target or a dialysate is no result, and a number without a unit is counted, not guessed. What could be read in two ways is
not read.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from calcinosis.knowledge.model import Concept
from calcinosis.sources.context import AND, OR
from calcinosis.sources.context_rules import SaidNumbers, SaidResults
from calcinosis.sources.lab_names import Spelling, longest_names
from calcinosis.sources.phrases import Hit, PhraseMatcher
from calcinosis.sources.words import CLOSE, COLON, COMMA, DASH, MARKS, OPEN, Folded, Tokens, fold, folded

MOST_BETWEEN: Final = 8  # words between a name and its number
SHORT: Final = 2  # letters of a name that is believed only with a unit: "P" is a pulse as well

_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?)"
_LETTERS: Final = r"[A-Za-zµμ]"
_BEDSIDE: Final = {"Cel": r"(?:°|º|deg(?:rees)?)?\s?[CF](?![A-Za-z])|℃|℉", "mm[Hg]": r"mm\s?Hg"}  # canonical unit -> as it is written
_UNIT: Final = (  # of a concentration, an activity or a rate; a mere "mg" is a dose
    rf"(?:{'|'.join(_BEDSIDE.values())}|\(mg/d[lL]\)[²2^]+|g?m?g\s?%|%|/\s?(?:[µμu][lL]|mm[3³]|cumm|nl)|[x×]?\s?10\s?[*^]?\s?[3369⁹³]{{1,2}}\s?/\s?{_LETTERS}+"
    rf"|{_LETTERS}[A-Za-zµμ\d²^*]*(?:\s?/\s?{_LETTERS}[A-Za-zµμ\d²³^*]*|\s?/\s?1[.,]73\s?m\^?[2²]|\sper\s[A-Za-z]+){{1,3}})(?![A-Za-z\d])"
)
_MARK: Final = r"[\[(]?(?:HH?|LL?|\*|↑+|↓+)[\])]?"
_COLUMN: Final = r"(?:[ \t]{0,16}|[ \t]*\|[ \t]*|\s)"  # the unit may stand in a column of its own
_ADJUSTED_NAME: Final = re.compile(r"[ \t,]*[\[(]?(?:adj|adjusted|corr|corrected)\b", re.IGNORECASE)
_ADJUSTED: Final = re.compile(rf"{_ADJUSTED_NAME.pattern}(?![^()\[\]\n]{{0,12}}\d)", re.IGNORECASE)  # not "(corrected 2.45 mmol/L)"
_VALUE: Final = re.compile(  # the laboratory's interval may stand before the unit: "15.1 [8.5-10.5] mg/dL"
    rf"(?P<number>{_NUMBER})(?![\d:])(?:\s?(?P<mark>{_MARK})(?=\s|$))?"
    rf"(?:\s?[\[(]\s?(?P<low>{_NUMBER})\s?(?:[-–—]|to)\s?(?P<high>{_NUMBER})\s?[\])](?=\s?{_UNIT}))?(?:{_COLUMN}(?P<unit>{_UNIT}))?"
)
_NEXT: Final = re.compile(r"\s?(?:/|,?\s?(?:and|&)\b|,(?=\s))\s*(?=\d)")
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_EITHER: Final = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")  # "1.450" is a thousand and more in one country, and less than two in another
_SIGN: Final = re.compile(r"([<>]\s?=?|≤|≥)\s*$")
_SIGNS: Final = {"≤": "<=", "≥": ">="}
_TO: Final = re.compile(r"\s?(?:[-–—]|to\b)\s?(?=\d)")
_BECAME: Final = re.compile(r"\s?(?:-+>|→|⇒)\s?(?=\d)")
_BARE: Final = re.compile(r"\s?(?:$|[,.;:()\[\]↑↓\n]|(?:HH?|LL?|and|on|in|at|with|but|today)\b)")  # behind a number whose unit was left out
_INTERVAL: Final = re.compile(  # the laboratory's own, behind the value
    rf"\s*[\[(](?:[A-Za-z][A-Za-z.:,\s]*)?(?P<low>{_NUMBER})\s?(?:[-–—]|to)\s?(?P<high>{_NUMBER})\s?(?P<unit>{_UNIT})?[^()\[\]\d]*[\])]"
)
_MARKED: Final = re.compile(r"\s*[\[(,]?\s*(?P<flag>HH?\b|LL?\b|↑|↓|high\b|low\b|elevated\b|raised\b|normal\b)")
_FLAGS: Final = {"h": "high", "↑": "high", "e": "high", "r": "high", "l": "low", "↓": "low", "n": "normal"}
_YEAR: Final = re.compile(r"(?:19|20)\d\d$")


class SaidNumber(NamedTuple):
    """The text says at ``start..end`` that ``concept`` was ``number`` ``unit``; the interval is the laboratory's own, in that unit."""

    concept: str
    number: float
    comparator: str | None
    unit: str
    start: int
    end: int
    flag: str | None = None
    range_low: float | None = None
    range_high: float | None = None


class SaidNumbersOfText(NamedTuple):
    """The values of a text, and how many numbers of a laboratory quantity stand in it without a unit."""

    values: list[SaidNumber]
    without_unit: int


class _Way(NamedTuple):
    """From a name to its number."""

    at: int  # the number's word
    flag: str | None
    comparator: str | None
    rising: bool  # "from" stood there: two numbers follow
    unit: str | None  # in brackets behind the name: "Calcium (mg/dL): 9.8"


_Name = Hit[str]
_Links = Mapping[int, Hit[tuple[str, str]]]


class SaidNumberReader:
    """Reads the values of one text after the other."""

    def __init__(self, labs: Iterable[Concept], results: SaidResults, rules: SaidNumbers, spelling: Spelling) -> None:
        labs = [lab for lab in labs if lab.lab and lab.lab.unit]
        self._spelling = spelling
        names = [(name, lab.key) for lab in labs for name in lab.synonyms]
        names += [(name, key) for key, more in rules.names.items() for name in more]
        self._names = PhraseMatcher((spelling.phrase(name), key) for name, key in names)
        self._percent = {lab.key for lab in labs if lab.lab and lab.lab.unit == "%"}
        self._bedside = {lab.key: lab.lab.unit for lab in labs if lab.lab and lab.lab.unit in _BEDSIDE}
        self._mere_numbers = {lab.key for lab in labs if lab.lab and lab.lab.unit and lab.lab.unit.startswith("{")}
        flags = [(phrase, ("flag", flag)) for flag in ("normal", "high", "low") for phrase in results.words[flag]]
        comparators = [(phrase, ("comparator", sign)) for sign, phrases in rules.comparators.items() for phrase in phrases]
        self._links = PhraseMatcher[tuple[str, str]](flags + comparators)
        self._between = folded(results.between, rules.between)
        self._before = folded(results.before, rules.before)
        self._units = folded(results.units)
        self._never = folded(results.past, rules.not_measured)
        self._change, self._somebody_else = folded(rules.change), folded(rules.somebody_else)
        self._of_blood, self._elsewhere = folded(rules.of_blood), folded(rules.other_specimen)
        self._another_day = PhraseMatcher((phrase, True) for phrase in rules.another_day)
        self._now = folded(rules.now)

    def read(self, text: str, tokens: Tokens, clauses: Sequence[tuple[int, int]]) -> SaidNumbersOfText:
        words = tokens.words
        if not any(word[0][0].isdigit() for word in words):
            return SaidNumbersOfText([], 0)
        hits = self._names.hits(self._spelling.words(words))
        if not hits:
            return SaidNumbersOfText([], 0)
        names = longest_names(hits)
        links = {hit.start: hit for hit in self._links.longest(words)}
        found: list[SaidNumber] = []
        without_unit = 0
        for low, high in clauses:
            here = [name for name in names if low <= name.start < high]
            if not here or any(_YEAR.match(word[0]) or word[0] in self._somebody_else for word in words[low:high]):
                continue  # of another day, perhaps, or of somebody else
            for run, shared in _runs(here, text, tokens):
                way = self._way(text, tokens, run[-1].end, high, links)
                if way is not None and self._is_measured(words, low, run[0]):
                    said = self._values_of_run(text, tokens, run, way, shared, hits)
                    beyond = min((name.start for name in here if name.start >= run[-1].end), default=high)
                    found += [now for one in said or [] if (now := self._of_today(text, tokens, one, beyond))]
                    without_unit += said == []
        return SaidNumbersOfText(_undisputed(found), without_unit)

    def _values_of_run(
        self, text: str, tokens: Tokens, run: Sequence[_Name], way: _Way, shared: bool, hits: Sequence[_Name]
    ) -> list[SaidNumber] | None:
        """As :meth:`_values`, of as many of the names as there are numbers."""
        said = self._values(text, tokens, run, way)
        if said is None and len(run) > 1 and not shared:  # "Ca normal, P 7.8 mg/dL": the number is the last one's
            return self._values(text, tokens, run[-1:], way)
        if said is None and len(run) == 1 and len(parts := _parts(run[0], hits)) > 1:  # "Ca/P 9.4/7.2 mg/dL" is no product
            return self._values(text, tokens, parts, way)
        return said

    def _of_today(self, text: str, tokens: Tokens, said: SaidNumber, beyond: int) -> SaidNumber | None:
        """Of "3.62 mmol/L in May, 2.41 today" the second value; None for "3.62 mmol/L last year" alone."""
        words, at = tokens.words, bisect_left(tokens.starts, said.end)
        piece = next((k for k in range(at, beyond) if words[k][0] == COMMA), beyond)
        if any(word[0] in self._now for word in words[at:piece]) and not self._another_day.hits(words[at:piece]):
            return said  # "3.62 today, 2.41 in May"
        for k in range(at, beyond):
            value = _VALUE.match(text, tokens.starts[k]) if words[k][0][0].isdigit() else None
            if value is None or (value["unit"] or said.unit).split() != said.unit.split():
                continue
            behind = bisect_left(tokens.starts, value.end())
            if any(word[0] in self._now for word in (*words[max(at, k - 2) : k], *words[behind : min(beyond, behind + 2)])):
                later = SaidNumber(said.concept, number_in(value["number"]), None, said.unit, said.start, value.end())
                return _with_what_follows(later, text, value)
        dated = any(at + hit.end >= beyond or not words[at + hit.end][0][0].isdigit() for hit in self._another_day.hits(words[at:piece]))
        return None if dated else said  # "2.3 mmol/L (previously 1.8 mmol/L)" dates another one

    def _is_measured(self, words: Sequence[Folded], low: int, name: _Name) -> bool:
        """Whether what stands before a name leaves it a result of this patient's blood, and of now."""
        depth = 0
        of_blood = any(words[k][0] in self._of_blood for k in range(max(low, name.start - 1), name.end))
        for k in range(name.start - 1, low - 1, -1):
            word = words[k][0]
            depth += (word == CLOSE) - (word == OPEN and depth > 0)
            if not depth and (word in self._never or (word in self._elsewhere and not of_blood)):
                return False
        before = words[name.start - 1][0] if name.start > low else COMMA
        if before in ("in", "of") and name.start - 2 >= low and words[name.start - 2][0] in self._change:
            return False
        return before in MARKS or before in AND | OR | self._before | self._units or before[0].isdigit() or len(before) == 1

    def _way(self, text: str, tokens: Tokens, at: int, high: int, links: _Links) -> _Way | None:
        words, name_ends = tokens.words, at
        flag = comparator = unit = None
        rising = False
        for _ in range(MOST_BETWEEN):
            if at >= high:
                return None
            word = words[at][0]
            if word[0].isdigit():
                return _Way(at, flag, comparator, rising, unit)
            if at in links:
                kind, payload = links[at].payload
                flag, comparator = (payload, comparator) if kind == "flag" else (flag, payload)
                at = links[at].end
            elif word == OPEN and at + 1 < high and not words[at + 1][0][0].isdigit():
                behind = _past_bracket(words, at, high)
                inside = text[tokens.ends[at] : tokens.starts[behind - 1]].strip()
                unit = inside if re.fullmatch(_UNIT, inside) else unit
                at = behind
            elif word in (COLON, DASH, OPEN, CLOSE) or (word == COMMA and at == name_ends) or word in self._between:
                rising = rising or word == "from"
                at += 1
            else:
                return None
        return None

    def _values(self, text: str, tokens: Tokens, run: Sequence[_Name], way: _Way) -> list[SaidNumber] | None:
        """The values of names that stand together, as many as there are; empty: they have no unit; None: there are none."""
        found = _written(text, tokens, way, len(run))
        if found is None and len(run) == 1 and self._bedside.get(run[0].payload) == "mm[Hg]":
            found = _written(text, tokens, way, 2)  # "BP 84/50 mmHg": the higher pressure is the first
        if found is None:
            return None
        written, comparator = found
        units = [" ".join((one["unit"] or "").split()) for one in written]
        units = [unit or units[-1] or way.unit or "" for unit in units][: len(run)]
        if not all(self._fits(name, unit) for name, unit in zip(run, units, strict=True)):
            return None
        units = [_as_listed(unit) for unit in units]
        if any(not unit and name.payload not in self._mere_numbers for name, unit in zip(run, units, strict=True)):
            named = all(_is_long(tokens, name) or name.payload in self._bedside for name in run)
            bare = way.flag is None and named and not _YEAR.match(written[0]["number"])
            return [] if bare and _BARE.match(text, written[-1].end()) else None
        if not all(self._believed(name, unit, tokens) for name, unit in zip(run, units, strict=True)):
            return None
        begin, end = tokens.starts[run[0].start], written[-1].end()
        if len(run) == 1:
            adjusted = _ADJUSTED_NAME.match(text, tokens.ends[run[0].end - 1]) or _ADJUSTED.match(text, end)
            concept = self._adjusted(run[0], tokens) if adjusted else run[0].payload
            said = SaidNumber(concept, number_in(written[0]["number"]), comparator, units[0], begin, end, way.flag)
            return [_with_what_follows(said, text, written[0])]
        return [
            SaidNumber(name.payload, number_in(one["number"]), None, unit, begin, end, way.flag)
            for name, one, unit in zip(run, written, units, strict=True)
        ]

    def _adjusted(self, name: _Name, tokens: Tokens) -> str:
        """The quantity of "corrected calcium" for "calcium 2.45 mmol/L (corrected)"; the same one where there is no such quantity."""
        words = [fold("corrected"), *tokens.words[name.start : name.end]]
        whole = (hit.payload for hit in self._names.hits(self._spelling.words(words)) if hit.start == 0 and hit.end == len(words))
        return next(whole, name.payload)

    def _fits(self, name: _Name, unit: str) -> bool:
        """Whether a unit of the bedside stands with a quantity that is taken there, and no other unit with that."""
        wanted = self._bedside.get(name.payload)
        found = next((canonical for canonical, written in _BEDSIDE.items() if re.fullmatch(written, unit)), None)
        return not unit or found == wanted

    def _believed(self, name: _Name, unit: str, tokens: Tokens) -> bool:
        """Whether a value with this unit can be one of this quantity."""
        if unit == "%" and name.payload not in self._percent:
            return False  # "albumin 20 %" is an infusion
        return _is_long(tokens, name) or "/" in unit or unit.startswith("mg") or name.payload in self._bedside


def _written(text: str, tokens: Tokens, way: _Way, wanted: int) -> tuple[list[re.Match[str]], str | None] | None:
    """The numbers at the end of the way (of "from 1.9 to 3.1" the last one), and what compares them; None unless as many as wanted."""
    start, comparator = tokens.starts[way.at], way.comparator
    sign = _SIGN.search(text[tokens.ends[way.at - 1] : start])
    if sign is not None:
        comparator = _SIGNS.get(sign[1], sign[1].replace(" ", ""))
    value = _VALUE.match(text, start)
    while value is not None and (on := _BECAME.match(text, value.end()) or (_TO.match(text, value.end()) if way.rising else None)):
        value, comparator = _VALUE.match(text, on.end()), None
    written: list[re.Match[str]] = []
    while value is not None:
        written.append(value)
        on = _NEXT.match(text, value.end()) if len(written) < wanted or "/" in text[value.end() : value.end() + 2] else None
        value = _VALUE.match(text, on.end()) if on else None
    if len(written) != wanted or any(_EITHER.fullmatch(one["number"]) for one in written) or _TO.match(text, written[-1].end()):
        return None
    return written, comparator


def _with_what_follows(said: SaidNumber, text: str, written: re.Match[str]) -> SaidNumber:
    """The value with the laboratory's own interval and its mark, where they stand beside it."""
    end, mark = said.end, written["mark"]
    interval = _INTERVAL.match(text, end)
    if written["low"] is not None:
        said = said._replace(range_low=number_in(written["low"]), range_high=number_in(written["high"]))
    if interval is not None and (interval["unit"] is None or interval["unit"].split() == said.unit.split()):
        said = said._replace(range_low=number_in(interval["low"]), range_high=number_in(interval["high"]))
        end = interval.end()
    marked = _MARKED.match(mark or "") or _MARKED.match(text, end)
    if said.flag is None and marked is not None:
        said = said._replace(flag=_FLAGS.get(marked["flag"][0].lower()))
    return said


def _undisputed(found: Sequence[SaidNumber]) -> list[SaidNumber]:
    """Each value once; of a quantity that was said to have two, which holds?"""
    values: dict[str, set[tuple[float, str | None, str]]] = {}
    for one in found:
        values.setdefault(one.concept, set()).add((one.number, one.comparator, one.unit))
    return [one for one in dict.fromkeys(found) if len(values[one.concept]) == 1]


def _as_listed(unit: str) -> str:
    """A unit of the bedside as the table of units has it: "38.9 C", "° F", "mm Hg"."""
    if re.fullmatch(_BEDSIDE["mm[Hg]"], unit):
        return "mmHg"
    if re.fullmatch(_BEDSIDE["Cel"], unit):
        return "°F" if unit[-1] in "F℉" else "°C"
    return unit


def number_in(written: str) -> float:
    """ "1,450" is a thousand and more, "2,45" has a decimal comma."""
    return float(written.replace(",", "" if _THOUSANDS.fullmatch(written) else "."))


def _runs(names: Sequence[_Name], text: str, tokens: Tokens) -> list[tuple[list[_Name], bool]]:
    """Names with nothing but "/", "and" or commas between, and whether "/" or "and" joins them, so that they share what follows."""
    runs: list[tuple[list[_Name], bool]] = []
    before: _Name | None = None
    for name in names:
        between = [word[0] for word in tokens.words[before.end : name.start]] if before else []
        gap = text[tokens.ends[before.end - 1] : tokens.starts[name.start]].strip() if before else ""
        if before and (gap == "/" or (between and all(word == COMMA or word in AND for word in between))):
            runs[-1] = [*runs[-1][0], name], runs[-1][1] or gap == "/" or any(word in AND for word in between)
        else:
            runs.append(([name], False))
        before = name
    return runs


def _parts(name: _Name, hits: Sequence[_Name]) -> list[_Name]:
    """The names inside a longer one."""
    return longest_names([hit for hit in hits if name.start <= hit.start and hit.end <= name.end and hit[:2] != name[:2]])


def _is_long(tokens: Tokens, name: _Name) -> bool:
    return name.end - name.start > 1 or len(tokens.words[name.start][1]) > SHORT


def _past_bracket(words: Sequence[Folded], at: int, high: int) -> int:
    depth = 0
    while at < high:
        depth += (words[at][0] == OPEN) - (words[at][0] == CLOSE)
        at += 1
        if not depth:
            break
    return at
