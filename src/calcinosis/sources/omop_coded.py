"""Rows of a CDM in numbers: who, which, when, how much, and which of the few distinct sayings of the table.

A million measurements say a few hundred things (concept, unit, operator, interval, words). Those are told apart once; a row keeps the
number of its saying.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.sources.omop_tables import RAW

Ints = npt.NDArray[np.int64]
NOBODY: Final = int(np.iinfo(np.int64).min)  # a person or key that is null
NO_TIME: Final = NOBODY + 1  # a date that is null: minus infinity, as DuckDB keeps it
BAD_TIME: Final = int(np.iinfo(np.int64).max)  # something that is no date: infinity
OF_ROW: Final = ("person_id", "id", "start", "end", "number", "bad_start", "bad_end", "bad_number")
SAYING: Final = tuple(name for name in RAW if name not in OF_ROW)
"""The columns of ``RAW`` that few distinct combinations share; they decide what a row means, and its unit."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows of one table, an array a column.

    Attributes:
        person, id: ``NOBODY`` where null.
        start, end: microseconds since 1970; ``NO_TIME`` where null, ``BAD_TIME`` where something stands that is no date.
        number: NaN where null, infinity where something stands that is no number.
        said: row of its saying in the table's sayings.
    """

    person: Ints
    id: Ints
    start: Ints
    end: Ints
    number: npt.NDArray[np.float64]
    said: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.person)

    def taken(self, rows: npt.NDArray[Any]) -> Coded:
        """Some of the rows: by place, or by a mask."""
        return Coded(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def in_order(self) -> Coded:
        """By person and key, because a database gives rows in any order; rows with the same key by all that they say."""
        rows = self if _ascends(self.person, self.id) else self.taken(np.lexsort((self.id, self.person)))
        if rows.repeats().any():
            rows = rows.taken(np.lexsort((rows.said, np.nan_to_num(rows.number, nan=-np.inf), rows.end, rows.start, rows.id, rows.person)))
        return rows

    def repeats(self) -> npt.NDArray[np.bool_]:
        """Of rows in order: those whose person and key are those of the row before."""
        again = np.zeros(len(self), dtype=np.bool_)
        again[1:] = (self.person[1:] == self.person[:-1]) & (self.id[1:] == self.id[:-1])
        return again


def _ascends(first: Ints, second: Ints) -> bool:
    higher, same = first[1:] > first[:-1], first[1:] == first[:-1]
    return bool((higher | (same & (second[1:] >= second[:-1]))).all())


def coded(raw: pl.DataFrame) -> tuple[pl.DataFrame, Coded]:
    """The distinct sayings of some rows (``SAYING``), and the rows.

    Args:
        raw: columns of ``RAW``; one that is not there is null.
    """
    raw = _plain(raw.with_columns(pl.lit(None).alias(name) for name in RAW if name not in raw.columns).select(
        pl.col(name).cast(dtype) for name, dtype in RAW.items()
    ))  # fmt: skip
    told = [name for name in SAYING if raw[name].null_count() < raw.height]
    if not raw.height:
        sayings, said = raw.select(SAYING), np.empty(0, dtype=np.int32)
    elif not told:
        sayings, said = raw.select(SAYING).head(1), np.zeros(raw.height, dtype=np.int32)
    else:
        groups = raw.lazy().with_row_index("row").group_by(told).agg("row").collect().sort(told)
        said = np.empty(raw.height, dtype=np.int32)
        said[groups["row"].explode().to_numpy()] = np.repeat(np.arange(groups.height, dtype=np.int32), groups["row"].list.len().to_numpy())
        never = (pl.lit(None, dtype=RAW[name]).alias(name) for name in SAYING if name not in told)
        sayings = groups.drop("row").with_columns(never).select(SAYING)
    dates = raw.select(
        pl.when(f"bad_{name}").then(BAD_TIME).otherwise(pl.col(name).to_physical().fill_null(NO_TIME)).alias(name)
        for name in ("start", "end")
    )
    return sayings, Coded(
        person=raw["person_id"].fill_null(NOBODY).to_numpy(),
        id=raw["id"].fill_null(NOBODY).to_numpy(),
        start=dates["start"].to_numpy(),
        end=dates["end"].to_numpy(),
        number=raw["number"].fill_null(math.nan).to_numpy(),
        said=said,
    )


def _plain(raw: pl.DataFrame) -> pl.DataFrame:
    """Numbers that are none (NaN, infinity) are not read."""
    bad = pl.col("bad_number").fill_null(False) | ~pl.col("number").is_finite().fill_null(True)
    finite = {name: pl.when(pl.col(name).is_finite()).then(name) for name in ("range_low", "range_high")}
    return raw.with_columns(number=pl.when(bad).then(math.inf).otherwise("number"), **finite)
