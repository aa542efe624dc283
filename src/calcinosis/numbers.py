"""Names as numbers: patients and concepts are counted once, and tables are joined by looking up places in arrays.

A join of two small Polars tables costs 0.1 to 0.3 ms however few rows they have; the same step over integers costs some microseconds
for one patient and is bound by memory for a million. Names become numbers and numbers names by a loop of Python where they are few, which
no call of Polars is worth, and by Polars where they are many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.knowledge import Knowledge
from calcinosis.per_version import once_per_version

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Micros = npt.NDArray[np.int64]
Names = pl.Series | Sequence[str | None]

NO_TIME: Final = np.iinfo(np.int64).min  # what NumPy's "not a time" is as a number: before everything
LAST_TIME: Final = np.iinfo(np.int64).max  # after everything
DAY: Final = 86_400_000_000  # microseconds
MANY: Final = 1000  # from so many rows on a call of Polars costs less than a loop of Python


class Numbers:
    """Distinct names, sorted, each with its place; −1 for any other name."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        self.places = {name: place for place, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> int:
        return self.places[name]

    def of(self, names: Names) -> Ints:
        return look_up(self.places, names, -1)


@once_per_version
def concept_numbers(knowledge: Knowledge) -> Numbers:
    """Every concept, counted."""
    return Numbers(knowledge.concepts)


def look_up(table: dict[str, int], names: Names, otherwise: int) -> Ints:
    """The number of each name in a table."""
    if len(names) < MANY:
        listed = names.to_list() if isinstance(names, pl.Series) else names
        return np.fromiter(map(table.get, listed, repeat(otherwise)), dtype=np.intp, count=len(names))
    if not table:
        return np.full(len(names), otherwise)
    names = names if isinstance(names, pl.Series) else pl.Series(names, dtype=pl.String)
    places = names.cast(pl.Enum(list(table)), strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    found: Ints = np.array([*table.values(), otherwise], dtype=np.intp)[places]
    return found


def texts_at(name: str, texts: Sequence[str | None], places: Ints) -> pl.Series:
    """The text in each place; −1 leads to the last one."""
    if len(places) < MANY:
        return pl.Series(name, [texts[place] for place in places.tolist()], dtype=pl.String)
    return pl.Series(name, texts, dtype=pl.String).gather(places % len(texts))


def none_below_0(places: Ints) -> pl.Series:
    """Places to gather by, those below 0 giving null."""
    index = pl.Series("place", places)
    return index.to_frame().select(pl.when(pl.col("place") >= 0).then("place")).to_series() if (places < 0).any() else index


def at(column: pl.Series, places: Ints) -> pl.Series | list[Any]:
    """The value in each place: as a list if there are few."""
    return column.gather(places) if len(places) >= MANY else values_at(column, places)


def values_at(column: pl.Series, places: Ints) -> list[Any]:
    """The value in each place."""
    if len(column) < MANY:
        values = column.to_list()
        return [values[place] for place in places.tolist()]
    return column.gather(places).to_list()


def micros(times: pl.Series) -> Micros:
    """Moments in microseconds since 1970; ``NO_TIME`` for none."""
    found: Micros = times.to_numpy().view(np.int64)
    return found


def moments(name: str, times: Micros) -> pl.Series:
    """The inverse of :func:`micros`."""
    if len(times) < MANY:
        return pl.Series(name, [None if time == NO_TIME else time for time in times.tolist()], dtype=pl.Datetime("us"))
    return pl.Series(name, times.view("M8[us]"))


def whole_days(difference: Micros) -> npt.NDArray[np.int64]:
    """Days in a stretch of microseconds, whole ones and towards zero."""
    days: npt.NDArray[np.int64] = np.sign(difference) * (np.abs(difference) // DAY)
    return days


def datetimes(times: Micros) -> list[datetime | None]:
    """As :func:`moments`, for Python."""
    return [None if time == NO_TIME else _EPOCH + timedelta(microseconds=time) for time in times.tolist()]


_EPOCH: Final = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Links:
    """From each of some numbers to any number of places in a table sorted by that number."""

    starts: Ints

    @classmethod
    def to_sorted(cls, numbers: Ints, size: int) -> Links:
        """``numbers``: sorted, each below ``size``; entry *i* belongs to row *i* of the table."""
        return cls(np.searchsorted(numbers, np.arange(size + 1)))

    def any(self, numbers: Ints) -> Mask:
        found: Mask = self.starts[numbers + 1] > self.starts[numbers]
        return found

    def follow(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Each pair of a number and a row of the table it leads to: place in ``numbers``, row of the table. No number may be −1."""
        return spread(self.starts[numbers], self.starts[numbers + 1])


def spread(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Every row of the ranges from ``starts`` to ``ends``: which range, and the row."""
    counts = ends - starts
    which = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return which, np.arange(len(which)) + (starts - before)[which]


def firsts(keys: npt.NDArray[Any]) -> Mask:
    """Where a new key begins in sorted keys."""
    new = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return new


def distinct(keys: npt.NDArray[np.int64]) -> Ints:
    """Places of the first of each distinct key, in the order in which they stand."""
    order = np.argsort(keys, kind="stable")
    return np.sort(order[firsts(keys[order])])


def told_apart(keys: Ints, size: int) -> tuple[Ints, Ints]:
    """As ``np.unique(keys, return_inverse=True)``, for keys from 0 to below ``size``: many need no sorting."""
    if len(keys) < MANY:
        return np.unique(keys, return_inverse=True)
    there = np.zeros(size, dtype=np.bool_)
    there[keys] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[keys]


class Index:
    """Finds the row of a table by a key that each of its rows has for itself."""

    def __init__(self, keys: Ints) -> None:
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]

    def find(self, keys: Ints) -> Ints:
        """Row of each key, −1 for none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.order[place], -1)

    def first_from(self, keys: Ints, ends: Ints) -> Ints:
        """Row of the lowest key that is at least ``keys`` and below ``ends``, −1 for none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[place] >= keys) & (self.keys[place] < ends), self.order[place], -1)
