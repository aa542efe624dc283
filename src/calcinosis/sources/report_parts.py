"""The clinical details that a report of a biopsy or an imaging study repeats from its request: a clinician wrote them, so they are read
as a note, with drugs, procedures and values."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from calcinosis.sources.context_rules import ReportHeadings

_SIGN: Final = re.compile(r"[^\n]")
_BELOW: Final = re.compile(r"\s*\S[\s\S]*?(?=\n[ \t]*\n)")  # from a heading to the empty line below its text


class ReportParts:
    """Tells the clinical details of a report from what the study showed."""

    def __init__(self, rules: ReportHeadings) -> None:
        self._clinical = set(map(_plain, rules.clinical))
        names = sorted({*self._clinical, *map(_plain, rules.others)}, key=len, reverse=True)
        listed = "|".join(r"[ \t/&-]+".join(map(re.escape, name.split())) for name in names)
        self._headings = re.compile(
            rf"(?:^|(?<=[.;?)]\s))[ \t#*]*(?P<name>{listed})[ \t*]*(?::|\s-\s|(?=\n))", re.IGNORECASE | re.MULTILINE
        )

    def split(self, text: str) -> tuple[str, str] | None:
        """The clinical details and the rest, each with blanks in place of the other; None where they cannot be told apart.

        Details end at the next heading, or at an empty line below them.
        """
        headings = list(self._headings.finditer(text))
        details = [
            (heading.start(), _end(text, heading.end(), following.start()))
            for heading, following in pairwise(headings)
            if _plain(heading["name"]) in self._clinical
        ]
        if not details:
            return None
        clinical, rest, at = [], [], 0
        for start, end in details:
            clinical += [_SIGN.sub(" ", text[at:start]), text[start:end]]
            rest += [text[at:start], _SIGN.sub(" ", text[start:end])]
            at = end
        return "".join([*clinical, _SIGN.sub(" ", text[at:])]), "".join([*rest, text[at:]])


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s/&-]+", name.lower()))


def _end(text: str, heading: int, following: int) -> int:
    below = _BELOW.match(text, heading, following)
    return below.end() if below else following
