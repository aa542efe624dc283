"""Words and sentence marks of a text, spelled one way.

Folding makes *haemodialysis*, *hemodialysis* and *Haemo-dialysis*, or *tumours* and *tumor*, the same word. It is applied to
the vocabulary and to the text alike, so what matters is only that two spellings of one word meet and two words do not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

Folded = tuple[str, str]  # (singular, as written); wildcards look at both

STOP, COMMA, COLON, DASH, OPEN, CLOSE, QUERY, DOUBT = ".", ",", ":", "-", "(", ")", "?<", "?"
MARKS: Final = frozenset({STOP, COMMA, COLON, DASH, OPEN, CLOSE, QUERY, DOUBT})
_NUMBER: Final[Folded] = ("number", "number")
_POSITIVE: Final[Folded] = ("positive", "positive")
ENDS: Final = frozenset({STOP, DOUBT})  # a clause never reaches over these

# "non-uraemic" is one word, so that it never reads as "uraemic"; the other prefixes are written with and without a hyphen
_PREFIX: Final = r"(?i:non[-‐‑ ]|(?:pseudo|pre|sub|hyper|hypo|normo|peri|para|intra|extra|inter|haemo|hemo)[-‐‑])"
_TOKEN: Final = re.compile(  # most are plain words after a blank, so these stand first
    rf"""[ ]?(?: (  (?![nphiesNPHIES])[^\W\d_]+(?=[ ,;:)\n])
          | [+\-−][vV][eE]\b | [(\[][-–−][)\]] | \[\+\] | \d+(?:[.,]\d+)+
          | (?:{_PREFIX}(?=[^\W\d_]))? [^\W_]+ (?:['’][^\W_]+)* | & | [-=]> | → | (?<=\s)\+(?=\s) | (?<=\w\w\w)\+(?=[\s,;.)]|$) )
        | ( [.;:,?!()=|\n—–] | (?<=\s)-(?=\s|$) ) )""",
    re.VERBOSE,
)
_ABBREVIATIONS: Final = frozenset(
    ("no", "vs", "dr", "mr", "mrs", "ms", "st", "fig", "approx", "ca", "incl", "resp", "al", "dx", "hx", "pt", "pts", "cf", "etc")
)
_ANSWERS: Final = re.compile(r"\s*(?:yes|no|none|nil|absent|present|negative|positive|denied|never)\b", re.IGNORECASE)
_INDENTED: Final = 40  # blanks that may open the line
_BLANKS: Final = re.compile(r"\s*")
# a line that ends in one of these goes on, however the next one begins; "no" alone may be an answer ("Pain  no")
_GOES_ON: Final = frozenset((
    "a", "an", "the", "of", "to", "with", "without", "and", "or", "nor", "neither", "either", "both", "as", "than", "that", "which",
    "in", "on", "at", "by", "from", "for", "into", "over", "under", "between", "any", "not", "is", "are", "was", "were",
    "has", "have", "had", "suggest", "shows", "showed", "such", "include", "includes", "including",
))  # fmt: skip
_BEFORE_NO: Final = frozenset((
    "is", "are", "was", "were", "with", "and", "or", "but", "there", "has", "have", "had", "show", "shows", "showed", "reveals",
    "revealed", "demonstrates", "specifically", "contains", "of", "as", ",",
))  # fmt: skip
_WRAPPED: Final = 50  # a line at least this long that continues in lower case was broken by the editor, not by the writer

_IRREGULAR: Final = {
    "feet": "foot", "calves": "calf", "tophi": "tophus", "thrombi": "thrombus", "emboli": "embolus", "nevi": "nevus",
    "foci": "focus", "phalanges": "phalanx",
    # short for one word only, whoever writes it
    "vit": "vitamin", "bx": "biopsy", "mets": "metastasis", "pulm": "pulmonary", "htn": "hypertension", "insuff": "insufficiency",
}  # fmt: skip
_OE_IS_NOT_A_LIGATURE: Final = re.compile(r"^(?:tip|t|sh|d|g|h)oe|^coe[fx]")


class Tokens(NamedTuple):
    """Parallel lists: the folded words and marks, and where each stands in the text."""

    words: list[Folded]
    starts: list[int]
    ends: list[int]


def _american(word: str) -> str:
    if "oe" in word and not _OE_IS_NOT_A_LIGATURE.match(word):
        word = word.replace("oe", "e")
    if "ae" in word:
        word = word.replace("ae", "e")
    if "our" in word:
        word = re.sub(r"(?<=\w\w)our(?=$|[aies])", "or", word)  # tumour, tumoural; but "hour", "course"
    if "z" in word:
        word = re.sub(r"(?<=[iy])z", "s", word)  # mineralize, dialyze
    if word.startswith("leuc"):
        word = "leuk" + word[4:]
    if word.endswith(("bre", "tre")):
        word = word[:-2] + "er"
    return word.replace("sulph", "sulf")


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("oses", "tases", "ymoses")) and len(word) > 6:
        return word[:-2] + "is"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


@lru_cache(maxsize=1 << 16)
def fold(word: str) -> Folded:
    """Lower case, no accents or ligatures, American spelling, singular; and the same without taking the plural away.

    >>> fold("Tumours"), fold("OEDEMA"), fold("Sjögren’s"), fold("non-uræmic")
    (('tumor', 'tumors'), ('edema', 'edema'), ('sjogren', 'sjogren'), ('nonuremic', 'nonuremic'))
    """
    word = word.lower().replace("œ", "oe").replace("æ", "ae").replace("ß", "ss")
    if not word.isascii():
        word = re.sub(r"[‐‑]", "-", _without_accents(word.replace("’", "'").replace("−", "-")))
    if word in ("-ve", "(-)", "(–)", "[-]", "[–]"):
        return "negative", "negative"
    if word in ("&", "+"):
        return "and", "and"
    if word in ("+ve", "[+]"):
        return "positive", "positive"
    word = re.sub(r"'s$|['\- ]", "", word)
    # a Latin plural (bullae, vertebrae) before the ligature is folded
    plain = word[:-1] if word.endswith("ae") and len(word) > 4 else word
    full = _american(plain)
    return _american(_singular(plain)), full


def folded(*groups: Iterable[str]) -> frozenset[str]:
    """Words of the rules, as the words of a text are compared with them."""
    return frozenset(fold(word)[0] for group in groups for word in group)


@lru_cache(maxsize=1 << 12)
def fold_stem(stem: str) -> str:
    """A wildcard's stem: folded, but never taken for a plural (``pancreas*``)."""
    return _american(re.sub(r"['’\- ]", "", _without_accents(stem.lower().replace("œ", "oe").replace("æ", "ae"))))


def _is_end(text: str, at: int, words: list[Folded]) -> bool:
    """Whether the full stop at ``at`` ends a sentence: not in ``1.5``, ``e.g. x``, ``vs. x``, ``S. aureus``, ``no. 3``."""
    following = text[at + 1 : at + 2]
    if following and not following.isspace():
        return following.isupper() and text[at - 1 : at].islower()
    previous = words[-1][1] if words else ""
    letter = len(previous) == 1 and previous.isalpha()
    if not letter and previous not in _ABBREVIATIONS:
        return True
    at = end_of_blanks.end() if (end_of_blanks := _BLANKS.match(text, at + 1)) else at
    after = text[at : at + 1]
    if previous == "no":
        return not after.isdigit()
    return not after or (letter and after.isupper())


def _goes_on(words: list[Folded]) -> bool:
    """Whether a line that ends in these words cannot be the end of what it says."""
    last = words[-1][1] if words else STOP
    return last in _GOES_ON or (last == "no" and len(words) > 1 and words[-2][1] in _BEFORE_NO)


def _mark(text: str, at: int, tokens: Tokens, line_start: int) -> str | None:
    """What the punctuation at ``at`` means; None when it means nothing."""
    sign = text[at]
    before, after = text[max(at - 1, 0) : at], text[at + 1 : at + 2]
    if sign == ".":
        return STOP if _is_end(text, at, tokens.words) else None
    if sign in ";!":
        return STOP
    if sign == "\n":
        following = text[at + 1 : at + 1 + _INDENTED].lstrip(" \t")[:1]
        wrapped = at - line_start >= _WRAPPED and following.islower()
        return None if wrapped or (following.isalnum() and _goes_on(tokens.words)) else STOP
    if sign == "?":
        if not (before.isalnum() or before == ")"):
            return QUERY
        return COLON if _ANSWERS.match(text, at + 1) else DOUBT
    if sign == "(":
        return None if before.isalnum() else OPEN  # 25(OH)D, ulcer(s)
    if sign == ")":
        return None if after.isalnum() else CLOSE
    if sign in "-–—":
        return None if sign == "–" and before.isalnum() and after.isalnum() else DASH  # 10–14 days, calcium–phosphate product
    if sign == "|":
        return STOP if "|" in text[line_start:at] else COLON  # "Diabetes | no | HbA1c 33"
    return COLON if sign == "=" else sign


def tokenise(text: str) -> Tokens:
    """The words and marks of ``text``; a hyphen inside a word parts it, except after a prefix such as *non-* or *peri-*."""
    tokens = Tokens([], [], [])
    words, starts, ends = tokens
    depth = line_start = 0
    for match in _TOKEN.finditer(text):
        is_word = match.lastindex == 1
        start, end = match.span(1 if is_word else 2)
        if is_word:
            word = match[1]
            attached = word == "+" and text[start - 1 : start].isalnum()  # "MDA5+"
            words.append(_POSITIVE if attached else fold(word))
        else:
            mark = _mark(text, start, tokens, line_start)
            if mark == OPEN:
                depth += 1
            elif mark == CLOSE:
                if not depth:
                    continue
                depth -= 1
            elif text[start] == "\n":
                line_start = end
            elif mark is None and text[start] == "." and words and words[-1][1] == "no":
                words[-1] = _NUMBER  # "no. 3"
            if mark is None:
                continue
            words.append((mark, mark))
        starts.append(start)
        ends.append(end)
    return tokens
