"""The relevant rows of a table on disk, in numbers, by bucket of their persons: a batch reads its stretch of every part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Final

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
_NULL: Final = {
    "person_id": f"CAST({NOBODY} AS BIGINT)", "id": f"CAST({NOBODY} AS BIGINT)", "start": "TIMESTAMP '-infinity'", "end": "TIMESTAMP '-infinity'",
    "number": "CAST('nan' AS DOUBLE)",
}  # fmt: skip
_ABSENT: Final = {"person": NOBODY, "id": NOBODY, "start": NO_TIME, "end": NO_TIME, "number": float("nan")}
_TYPES: Final = {"number": np.float64, "said": np.int32}  # all others are whole numbers of 64 bits


class StoredRows:
    """Rows in a file; parts as they came, each sorted by bucket, column by column.

    Attributes:
        counts: rows of each bucket.
        said: rows of each saying.
    """

    def __init__(self, path: Path, sayings: int) -> None:
        self._file = path.open("w+b", buffering=0)
        self._parts: list[tuple[dict[str, int], npt.NDArray[np.int64]]] = []  # where each column begins; where each bucket does
        self.counts = np.zeros(BUCKETS, dtype=np.int64)
        self.said = np.zeros(sayings, dtype=np.int64)

    def add(self, rows: pa.RecordBatch) -> None:
        """Args: rows: the columns of ``Coded`` (one that is not there is null) and ``bucket``."""
        columns = {name: _numbers(rows.column(name)) for name in rows.schema.names}
        bucket = columns.pop("bucket")
        if len(bucket) and columns["said"].min() < 0:
            raise ValueError("the source changed while it was being read")
        order = np.argsort(bucket, kind="stable")
        counts = np.bincount(bucket, minlength=BUCKETS)
        begins = {}
        for name, values in columns.items():
            begins[name] = self._file.seek(0, 2)
            values[order].tofile(self._file)
        self._parts.append((begins, np.concatenate([[0], np.cumsum(counts)])))
        self.counts += counts
        self.said += np.bincount(columns["said"], minlength=len(self.said))

    def take(self, first: int, last: int) -> Coded:
        """The rows of some buckets, from and up to."""
        parts = [self._column(begins, int(starts[first]), int(starts[last])) for begins, starts in self._parts]
        return Coded.joined([part for part in parts if len(part)] or parts or [self._column({}, 0, 0)])

    def close(self) -> None:
        self._file.close()

    def _column(self, begins: dict[str, int], first: int, last: int) -> Coded:
        columns = []
        for column in fields(Coded):
            dtype = np.dtype(_TYPES.get(column.name, np.int64))
            if column.name in begins and last > first:
                self._file.seek(begins[column.name] + first * dtype.itemsize)
                columns.append(np.fromfile(self._file, dtype, last - first))
            else:
                columns.append(np.full(last - first, _ABSENT.get(column.name, 0), dtype))
        return Coded(*columns)


def _numbers(column: pa.Array) -> npt.NDArray[np.generic]:
    return np.asarray((column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_numpy(zero_copy_only=True))


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
        found = con.execute(f"SELECT count(*) FROM (SELECT DISTINCT hash({listed}) FROM {plain} AS plain)").fetchall()
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
    wanted = ", ".join(f'coalesce(plain."{column}", {null}) AS "{column.removesuffix("_id")}"' for column, null in _NULL.items() if column in there)
    kept = StoredRows(folder / f"{name}.rows", n)
    coming = con.sql(
        f"SELECT {wanted}, coalesce(sayings.said, -1) AS said, {bucket_of('plain.person_id')} AS bucket "
        f"FROM {plain} AS plain LEFT JOIN {sayings} AS sayings ON {same}"
    )
    for part in coming.to_arrow_reader(_PART):
        kept.add(part)
    con.execute(f"DROP TABLE {sayings}")
    return _whole(frame), kept


def _plain(there: Iterable[str], rows: str) -> str:
    """As ``omop_coded.coded`` reads them: a number is finite, and so is a date."""
    changed = {}
    for name in ("number", "range_low", "range_high"):
        if name in there:
            changed[name] = f"CASE WHEN isfinite({name}) THEN {name} END"
    if "bad_number" in there:
        changed["bad_number"] = "coalesce(bad_number, false) OR coalesce(NOT isfinite(number), false)"
    for name in ("start", "end"):
        if f"bad_{name}" in there:
            changed[f"bad_{name}"] = f"""coalesce(bad_{name}, false) OR coalesce("{name}" = TIMESTAMP '-infinity', false)"""
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in changed.items())
    return f"(SELECT * REPLACE ({listed}) FROM {rows} AS raw)" if listed else rows


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    never = (pl.lit(None).alias(name) for name in SAYING if name not in frame.columns)
    whole = frame.with_columns(never).select(pl.col(name).cast(RAW[name]) for name in SAYING)
    return whole.with_columns(pl.col("bad_start", "bad_end", "bad_number").fill_null(False))
