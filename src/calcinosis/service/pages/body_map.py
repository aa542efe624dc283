"""Where the sites of the body map are drawn: two figures of simple shapes. Anatomy as a drawing, nothing of medicine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WIDTH, HEIGHT = 400, 400
_MIDDLE: Final = {"front": 100, "back": 300}
_BOTH: Final = ("front", "back")


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle with round corners, in units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    round: float


# site -> (views, left edge from the midline or None when it lies on the midline, top, width, height, radius)
_DRAWN: Final[dict[str, tuple[tuple[tuple[str, ...], float | None, float, float, float, float], ...]]] = {
    "scalp": ((("front",), None, 6, 34, 15, 11), (("back",), None, 6, 38, 50, 19)),
    "face": ((("front",), None, 20, 38, 37, 17),),
    "ear": ((_BOTH, 19, 27, 6, 14, 3),),
    "neck": ((_BOTH, None, 56, 20, 16, 3),),
    "shoulder": ((_BOTH, 30, 71, 22, 24, 11),),
    "axilla": ((("front",), 23, 96, 8, 15, 4),),
    "chest": ((("front",), None, 71, 60, 25, 8),),
    "breast": ((("front",), 1, 95, 22, 21, 10),),
    "abdomen": ((("front",), None, 116, 50, 44, 9),),
    "back": ((("back",), None, 71, 60, 62, 9),),
    "flank": ((("back",), 1, 132, 28, 32, 7),),
    "groin": ((("front",), 9, 160, 20, 18, 7),),
    "genital": ((("front",), None, 160, 18, 24, 8),),
    "hip": ((("front",), 28, 152, 9, 34, 4),),
    "buttock": ((("back",), 1, 163, 33, 33, 14),),
    "arm": ((_BOTH, 36, 94, 17, 42, 8),),
    "elbow": ((_BOTH, 37, 134, 18, 20, 9),),
    "forearm": ((_BOTH, 39, 153, 17, 42, 8),),
    "wrist": ((_BOTH, 41, 194, 15, 11, 4),),
    "hand": ((_BOTH, 41, 204, 18, 22, 6),),
    "finger": ((_BOTH, 42, 225, 17, 14, 4),),
    "fingertip": ((_BOTH, 43, 238, 15, 10, 5),),
    "thigh": ((("front",), 2, 180, 32, 70, 12), (("back",), 2, 195, 31, 55, 10)),
    "knee": ((_BOTH, 5, 249, 26, 24, 11),),
    "leg": ((("front",), 6, 272, 23, 66, 9),),
    "calf": ((("back",), 4, 272, 26, 66, 12),),
    "ankle": ((_BOTH, 8, 337, 17, 14, 5),),
    "foot": ((("front",), 7, 350, 21, 18, 7),),
    "heel": ((("back",), 7, 350, 19, 18, 8),),
    "toe": ((("front",), 7, 367, 24, 11, 5),),
}  # fmt: skip


def shapes(site: str) -> list[Shape]:
    """Every shape of a site, on both sides and in both figures.

    Raises:
        KeyError: the site is not drawn.
    """
    found = []
    for views, edge, top, width, height, radius in _DRAWN[site]:
        for view in views:
            middle = _MIDDLE[view]
            lefts = (middle - width / 2,) if edge is None else (middle + edge, middle - edge - width)
            found += [Shape(left, top, width, height, radius) for left in lefts]
    return found
