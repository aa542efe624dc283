"""The relevant rows of a table on disk, in numbers, by bucket of their persons: a batch reads its stretch of every part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from calcinosis.sources.omop_coded import NO_TIME, NOBODY, SAYING, Coded
from calcinosis.sources.omop_database import BUCKETS, bucket_of
from calcinosis.sources.omop_tables import RAW

MOST_SAYINGS: Final = 50_000  # of a table with more, such as notes, rows are kept as they are and told apart batch by batch
_PART: Final = 1 << 20  # rows
_EARLIEST, _LATEST, _NAN, _INFINITE = "TIMESTAMP '-infinity'", "TIMESTAMP 'infinity'", "CAST('nan' AS DOUBLE)", "CAST('inf' AS DOUBLE)"
_ABSENT: Final = {"person": NOBODY, "id": NOBODY, "start": NO_TIME, "end": NO_TIME, "number": float("nan")}
_TYPES: Final[dict[str, type[np.generic]]] = {"number": np.float64, "said": np.int32, "bucket": np.uint16}  # all others: 64 bits


class StoredRows:
    """Rows in a file; parts as they came, each sorted by bucket, column by column.

    Attributes:
        counts: rows of each bucket.
        said: rows of each saying.
    """

    def __init__(self, path: Path, sayings: int) -> None:
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._one_at_a_time = Lock()
        self._parts: list[tuple[dict[str, _Stored], npt.NDArray[np.int64]]] = []  # its columns; where each bucket begins
        self.counts = np.zeros(BUCKETS, dtype=np.int64)
        self.said = np.zeros(sayings, dtype=np.int64)

    def add(self, rows: pa.RecordBatch) -> None:
        """Args: rows: the columns of ``Coded`` (one that is not there is null) and ``bucket``."""
        if not rows.num_rows:
            return
        columns = {name: _numbers(rows.column(name), _TYPES.get(name, np.int64)) for name in rows.schema.names}
        bucket = columns.pop("bucket")
        if columns["said"].min() < 0:
            raise ValueError("the source changed while it was being read")
        order = np.argsort(bucket, kind="stable")
        counts = np.bincount(bucket, minlength=BUCKETS)
        stored = {}
        for name, values in columns.items():
            kept = _narrow(values)
            stored[name] = _Stored(self._file.seek(0, 2), kept.dtype)
            kept[order].tofile(self._file)
        self._parts.append((stored, np.concatenate([[0], np.cumsum(counts)])))
        self.counts += counts
        self.said += np.bincount(columns["said"], minlength=len(self.said))

    def take(self, first: int, last: int) -> Coded:
        """The rows of some buckets, from and up to."""
        parts = [self._stretch(stored, int(starts[first]), int(starts[last])) for stored, starts in self._parts]
        return Coded.joined([part for part in parts if len(part)] or [self._stretch({}, 0, 0)])

    def close(self) -> None:
        self._file.close()

    def _read(self, there: _Stored, first: int, last: int) -> npt.NDArray[Any]:
        with self._one_at_a_time:  # a file has one place to read from
            self._file.seek(there.begins + first * there.dtype.itemsize)
            return np.fromfile(self._file, there.dtype, last - first)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: it reads the same file."""
        return {**self.__dict__, "_file": None, "_one_at_a_time": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = self._path.open("rb", buffering=0)
        self._one_at_a_time = Lock()

    def _stretch(self, stored: dict[str, _Stored], first: int, last: int) -> Coded:
        columns = []
        for name in (column.name for column in fields(Coded)):
            dtype = _TYPES.get(name, np.int64)
            if name in stored and last > first:
                there = stored[name]
                columns.append(self._read(there, first, last).astype(dtype, copy=False))
            else:
                columns.append(np.full(last - first, _ABSENT.get(name, 0), dtype))
        return Coded(*columns)


class _Stored(NamedTuple):
    """A column of a part in the file."""

    begins: int
    dtype: np.dtype[Any]


def _narrow(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers in as few bytes as hold them: most of the time is writing."""
    if values.dtype.kind == "f":
        return values
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values


def _numbers(column: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values as they lie in memory; ``to_numpy`` would import pandas, half a second for nothing."""
    return np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]


def store_rows(con: duckdb.DuckDBPyConnection, name: str, rows: str, folder: Path) -> tuple[pl.DataFrame, StoredRows] | None:
    """Tell the sayings of some rows apart, and keep the rows.

    Args:
        name: of the table.
        rows: what FROM takes: a query in brackets, or a table; columns of ``RAW``.

    Returns:
        The sayings (``SAYING``), in an order of their own; None when there are more than ``MOST_SAYINGS``.
    """
    there = {str(row[0]) for row in con.execute(f"DESCRIBE SELECT * FROM {rows} AS coming").fetchall()}
    plain = _plain(there, rows)
    said = [column for column in SAYING if column in there]
    listed = ", ".join(said)
    if name == "note":  # texts by their hash first: those of a hospital would fill the memory
        found = con.execute(f"SELECT count(*) FROM (SELECT DISTINCT hash({listed or 'NULL'}) FROM {plain} AS plain)").fetchall()
        if found[0][0] > MOST_SAYINGS:
            return None
    sayings = f"sayings_{name}"
    ordered = ", ".join(f"{column} NULLS FIRST" for column in said) or "1"
    con.execute(
        f"CREATE TEMP TABLE {sayings} AS SELECT CAST(row_number() OVER (ORDER BY {ordered}) - 1 AS INTEGER) AS said, {listed or 'NULL'} "
        f"FROM (SELECT DISTINCT {listed or 'NULL'} FROM {plain} AS plain)"
    )
    n = con.execute(f"SELECT count(*) FROM {sayings}").fetchall()[0][0]
    if n > MOST_SAYINGS:
        con.execute(f"DROP TABLE {sayings}")
        return None
    frame: pl.DataFrame = con.sql(f"SELECT * EXCLUDE (said) FROM {sayings} ORDER BY said").pl()
    telling = [column for column in said if frame[column].n_unique() > 1]  # what is the same everywhere need not be compared
    same = " AND ".join(f"plain.{column} IS NOT DISTINCT FROM sayings.{column}" for column in telling) or "true"
    wanted = ", ".join(f'{sql} AS "{column}"' for column, sql in _of_row(there).items())
    kept = StoredRows(folder / f"{name}.rows", n)
    coming = con.sql(
        f"SELECT {wanted}, coalesce(sayings.said, -1) AS said, {bucket_of('plain.person_id')} AS bucket "
        f"FROM {plain} AS plain LEFT JOIN {sayings} AS sayings ON {same}"
    )
    for part in coming.to_arrow_reader(_PART):
        kept.add(part)
    con.execute(f"DROP TABLE {sayings}")
    return _whole(frame), kept


def _of_row(there: Iterable[str]) -> dict[str, str]:
    """Column of ``Coded`` -> SQL; the same as in ``omop_coded.coded``."""
    found = {name.removesuffix("_id"): f"coalesce(plain.{name}, CAST({NOBODY} AS BIGINT))" for name in ("person_id", "id") if name in there}
    for name in ("start", "end"):
        if name in there:
            no_date = f"CASE WHEN plain.bad_{name} THEN {_LATEST} ELSE {_EARLIEST} END" if f"bad_{name}" in there else _EARLIEST
            found[name] = f"""CASE WHEN plain."{name}" = {_EARLIEST} THEN {_LATEST} ELSE coalesce(plain."{name}", {no_date}) END"""
    if "number" in there:
        bad = "plain.bad_number OR NOT isfinite(plain.number)"
        found["number"] = f"CASE WHEN {bad} THEN {_INFINITE} ELSE coalesce(plain.number, {_NAN}) END"
    return found


def _plain(there: Iterable[str], rows: str) -> str:
    """Intervals are of finite numbers."""
    listed = ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in ("range_low", "range_high") if name in there)
    return f"(SELECT * REPLACE ({listed}) FROM {rows} AS raw)" if listed else rows


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    never = (pl.lit(None).alias(name) for name in SAYING if name not in frame.columns)
    return frame.with_columns(never).select(pl.col(name).cast(RAW[name]) for name in SAYING)
