"""Kleene's three truth values over many patients at once.

A truth column is an ``int8`` array, one entry per patient: 0 false, 1 unknown, 2 true. With that order *and* is the minimum,
*or* the maximum and *not* the mirror image (Kleene 1952, Introduction to Metamathematics, §64: the strong tables).
NumPy replaced Polars expressions here: their fixed cost per expression was most of the time of one patient; over many patients both
are bound by memory.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Truth = npt.NDArray[np.int8]

FALSE: Final = np.int8(0)
UNKNOWN: Final = np.int8(1)
TRUE: Final = np.int8(2)


def from_bool(values: npt.NDArray[np.bool_]) -> Truth:
    return values.astype(np.int8) << 1
