"""Kleene's three truth values over many patients at once.

A truth column is an ``int8`` array, one entry per patient: 0 false, 1 unknown, 2 true. With that order *and* is the minimum,
*or* the maximum and *not* the mirror image (Kleene 1952, Introduction to Metamathematics, §64: the strong tables).
NumPy replaced Polars expressions here: their fixed cost per expression was most of the time of one patient; over many patients both
are bound by memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Truth = npt.NDArray[np.int8]

FALSE: Final = np.int8(0)
UNKNOWN: Final = np.int8(1)
TRUE: Final = np.int8(2)


def all_of(one: Truth, other: Truth) -> Truth:
    return np.minimum(one, other)


def any_of(one: Truth, other: Truth) -> Truth:
    return np.maximum(one, other)


def not_(part: Truth) -> Truth:
    return TRUE - part


def known(part: Truth) -> Truth:
    """True where the part is true, false elsewhere: the one step out of three values, and only where a rule asks for it."""
    return from_bool(part == TRUE)


def at_least(n: int, parts: Sequence[Truth]) -> Truth:
    """True when ``n`` parts are true; false when so many are false that ``n`` cannot be reached; else unknown."""
    true = sum((part == TRUE).astype(np.int16) for part in parts)
    possible = sum((part != FALSE).astype(np.int16) for part in parts)
    return np.where(true >= n, TRUE, np.where(possible < n, FALSE, UNKNOWN)).astype(np.int8)


def from_bool(values: npt.NDArray[np.bool_]) -> Truth:
    return values.astype(np.int8) << 1
