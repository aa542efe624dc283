"""The piece of a text that a reader must see to judge what was read in it."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 90  # characters: a line of a report
_BREAK: Final = re.compile(r"(?:(?<=[.;!])|(?<=\w\?))\s+|\s*[\r\n]+\s*|\s*\|\s*")  # between two statements


def excerpt(text: str, start: int, end: int) -> str:
    """The statement in which ``text[start:end]`` stands, in one line; of a long one ``LONGEST`` characters around it, "…" for the rest.

    >>> excerpt("Seen today. No new livedo of the thighs; pain is less.", 19, 25)
    'No new livedo of the thighs'
    """
    low, high = max(0, start - LONGEST), min(len(text), end + LONGEST)
    breaks = [found.span() for found in _BREAK.finditer(text, low, high)]
    begins = max((after for _, after in breaks if after <= start), default=None)
    ends = min((before for before, _ in breaks if before >= end), default=None)
    begin, stop = low if begins is None else begins, high if ends is None else ends
    spare = max(0, LONGEST - (end - start))
    if stop - begin > max(LONGEST, end - start):
        right = min(stop - end, max(spare // 2, spare - (start - begin)))
        begin, stop = max(begin, start - (spare - right)), end + right
    before, after = text[begin:start], text[end:stop]
    cut_before = begin > 0 and begin != begins
    cut_after = stop < len(text) and stop != ends
    if cut_before and text[begin - 1].isalnum():
        before = before.partition(" ")[2] if " " in before else ""
    if cut_after and text[stop].isalnum():
        after = after.rpartition(" ")[0] if " " in after else ""
    piece = " ".join(f"{before}{text[start:end]}{after}".split()).rstrip(" .;")
    return f"{'… ' if cut_before else ''}{piece}{' …' if cut_after else ''}"
