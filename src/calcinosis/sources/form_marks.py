"""The marks of forms in a text: boxes, choices that nobody made, leaders of dots, lists of pluses and minuses.

An empty box says nothing of what stands beside it: not that it is there, and not that it is absent. Every function keeps each character
that it does not blank where it is, so that places in the text stay true.
"""

from __future__ import annotations

import re
from typing import Final

_EMPTY: Final = r"\[[ _]{0,3}\]|☐|□|◻|○(?=\s)"
_BOX: Final = re.compile(rf"(?P<empty>{_EMPTY})|(?P<ticked>\[ ?[xX✓✔] ?\]|☑|☒|■|✓|✔)")
_WORD: Final = re.compile(r"[^\W_]")
# "Calcinosis: Y / N": both are offered and none is chosen, or the choice was made with a pen
_CHOICE: Final = re.compile(r"(?<![^\W_])(?:y\s?/\s?n|yes\s?/\s?no)(?![^\W_/])", re.IGNORECASE)
_PIECE: Final = re.compile(r"[^.;\n]+|[.;\n]+")
_ITEM: Final = re.compile(r"[^.;,\n]+|[.;,\n]+")
_ANSWER: Final = r"\s*(?:yes|no|none|nil|absent|present|negative|positive|neg|pos)\b"
_LEADER: Final = re.compile(rf"(?<=\w)\s*(?:\.{{3,}}|…|_{{3,}})(?={_ANSWER})", re.IGNORECASE)
_OPTION: Final = re.compile(
    r"\s*(?P<word>yes|not (?:taking|present|known|current)|no|none|never|currently taking|current|currently|taking|present|absent|unknown"
    r"|n/?a)\b",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(r"(?<=[a-z)]) N(?:(?P<gap>[ \t])(?=[ \t/(-])|(?=\s*(?:[/;,.|]|$)))", re.MULTILINE)  # "livedo N / necrosis N"
NOT_THERE: Final = "Ø"  # for a lone N, which has no room for a word
_NO: Final = re.compile(r"(?<=\w)(?:\? |: )N(?:(?P<gap>[ \t])(?=[ \t/])|(?=\s*(?:[|;,./]|$)))", re.MULTILINE)  # "Dialysis? N   Warfarin? N"
_DENIED_LIST: Final = re.compile(  # "Denies:" or "No evidence of:", and a list with a line for each
    r"(?P<head>\b(?:den(?:ies|ied)|negatives?(?: for)?|no|no (?:evidence|signs?|history) of))[ \t]*:[ \t]*"
    r"(?P<items>(?:\n[ \t]*[-*•·][ \t]+[^\n]+)+)",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"\n[ \t]*[-*•·][ \t]")
_NOT_FILLED: Final = re.compile(r"^[^:\n]{2,60}:[ \t]*(?:_{2,}|[Nn]/?[Aa])[ \t]*$", re.MULTILINE)  # "Eschar: ___", "Skin ulcers: N/A"
_ZERO: Final = re.compile(r"(?<=[a-z]): 0(?=[ \t]*(?:$|[,;](?!\d)))", re.MULTILINE)  # "Ulcers: 0"
_GAP: Final = re.compile(  # "Livedo: No   Ulcers: No"
    r"(?<=\w)(?P<answer>: ?(?:yes|no|none|nil|absent|present))(?P<gap>[ \t])(?=[ \t]+\w)", re.IGNORECASE
)
_SIGN: Final = re.compile(r"\((?P<sign>[+−–-])\)(?= ?[^\W\d_])")  # "(+) eschar (-) livedo"
_PLUS: Final = re.compile(r"(?:^|[,;:])[ \t]*\+[ \t]?[^\W\d_]", re.MULTILINE)
_MINUS: Final = re.compile(r"[,;] [-−–] ?(?=[^\W\d_])")


def without_form_marks(text: str) -> str:
    """``text`` in the same length, without what a form offers and nobody ticked.

    >>> without_form_marks("[ ] livedo [x] puffy fingers")
    ';          ;   puffy fingers'
    >>> without_form_marks("Calcinosis ..... absent")
    'Calcinosis:      absent'
    >>> without_form_marks("+ pain, - fever")
    '+ pain,no fever'
    """
    if _BOX.search(text):
        text = "".join(_of_piece(piece) for piece in _PIECE.findall(text))  # no further: a note may come without line breaks
    if "/" in text and _CHOICE.search(text):
        text = "".join(_without_choices(item) for item in _ITEM.findall(text))
    text = _DENIED_LIST.sub(_in_one_line, text)
    text = _NOT_FILLED.sub(lambda found: " " * len(found[0]), text)
    text = _ZERO.sub(":no", text)
    text = _GAP.sub(lambda found: f"{found['answer']};", text)
    if re.match(r"\s*\(", text):
        text = _SIGN.sub(lambda found: ";  " if found["sign"] == "+" else ";no", text)
    text = _LEADER.sub(lambda found: ":" + " " * (len(found[0]) - 1), text)
    text = _NO.sub(lambda found: ":no;" if found["gap"] else ":no", text)
    text = _ALONE.sub(lambda found: f":{NOT_THERE};" if found["gap"] else f":{NOT_THERE}", text)
    if _PLUS.search(text):
        text = _MINUS.sub(lambda found: found[0][0] + "no" + " " * (len(found[0]) - 3), text)
    return text


def _in_one_line(found: re.Match[str]) -> str:
    items = _BULLET.sub(lambda mark: "," + " " * (len(mark[0]) - 1), found["items"])
    between = len(found[0]) - len(found["head"]) - len(items)
    return found["head"] + " " * (between + 1) + items[1:]  # without a comma before the first


def _without_choices(item: str) -> str:
    """What stands before the last choice of an item is its label."""
    offered = [choice.end() for choice in _CHOICE.finditer(item)]
    return " " * offered[-1] + item[offered[-1] :] if offered else item


def _of_piece(piece: str) -> str:
    """A box stands before its label, unless the piece ends in one, or a colon or an answer says that the label stands before it."""
    boxes = list(_BOX.finditer(piece))
    if not boxes:
        return piece
    written = list(piece)
    behind = not _WORD.search(piece, boxes[-1].end())  # "livedo [ ]  gangrene [x]"
    named_before = _OPTION.match(piece, boxes[0].end()) or piece[: boxes[0].start()].rstrip().endswith(":")
    if named_before and not any(box["ticked"] for box in boxes):
        begin = piece.rfind(",", 0, boxes[0].start()) + 1  # "Fever [ ] yes [ ] no": nobody answered
        written[begin : boxes[0].start()] = " " * (boxes[0].start() - begin)
    for place, box in enumerate(boxes):
        if behind:
            before = boxes[place - 1].end() if place else 0
            label = max(piece.rfind(mark, before, box.start()) for mark in ",:") + 1
            begin, end = max(label, before), box.end()
        else:
            begin, end = box.start(), boxes[place + 1].start() if place + 1 < len(boxes) else len(piece)
        chosen = not behind and _OPTION.match(piece, box.end())  # "Confusion [ ] yes [x] no": the label stands before the boxes
        if box["empty"]:
            written[begin:end] = " " * (end - begin)
        mark = (" " if box["empty"] else ":") if chosen else ";"
        written[box.start() : box.end()] = mark.ljust(box.end() - box.start())
        if chosen and box["ticked"]:
            begin, end = chosen.span("word")
            if chosen["word"].lower().startswith("not "):
                written[begin:end] = "no".ljust(end - begin)
            if piece[end : end + 1] in (" ", "\t"):
                written[end] = ";"  # the next label begins
    return "".join(written)
