"""Reads an OMOP CDM (5.3.1, 5.4): a folder of Parquet or CSV tables, a DuckDB file, or a PostgreSQL database.

Only rows whose concepts mean something to a rule travel. Which those are is asked first: every distinct pair of concepts, counted by the
database, is interpreted once. The relevant rows are then copied once into a database of our own, which hands over whole patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from calcinosis.events import Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_database import BUCKETS, KeptCdm, open_cdm, tables_in
from calcinosis.sources.omop_events import PERSON
from calcinosis.sources.omop_selection import Selection, select
from calcinosis.sources.omop_tables import RAW
from calcinosis.sources.text import TextReader

__all__ = ["is_omop", "read_omop"]

_EVENTS_PER_BATCH: Final = 125_000
_PERSONS_PER_BATCH: Final = 50_000
_SERVERS: Final = ("postgresql://", "postgres://")

_Progress = Callable[[int, int], None]


def is_omop(source: Path | str) -> bool:
    """Whether this is a connection string, a DuckDB file or a folder with a table ``person`` of a CDM."""
    if str(source).startswith(_SERVERS):
        return True
    path = Path(source)
    if path.is_dir():
        return {"person", "concept"} & set(tables_in(path)) != set()
    return path.suffix in {".duckdb", ".ddb"} and path.is_file()


def read_omop(
    source: Path | str,
    index: ConceptIndex,
    reader: TextReader,
    *,
    memory_limit: str | None = None,
    on_progress: _Progress | None = None,
) -> Iterator[Batch]:
    """Read a CDM, whole patients at a time. The last batch carries the account of the rows that were not fetched.

    Args:
        source: a folder, a DuckDB file, or ``postgresql://user@host/database`` (read-only; schema by ``?options=-csearch_path%3Dcdm``).
        memory_limit: for our own database ("2GB"); beyond it, rows move to a temporary folder. Default: 1 GB.
        on_progress: called with (tables copied, tables in all).

    Raises:
        ValueError: no table ``person``, no vocabulary, a vocabulary that knows none of the concepts, or a database or file that cannot be
            read; the message says which.
    """
    with TemporaryDirectory(prefix="calcinosis-") as folder, open_cdm(source, folder, memory_limit) as cdm:
        selection = select(cdm, index, reader)
        wanted = {"person": cdm.person_query(), **selection.queries}
        for done, (name, query) in enumerate(wanted.items()):
            cdm.copy(name, query)
            if on_progress:
                on_progress(done + 1, len(wanted))
        stretches = _stretches(cdm, list(wanted))
        for first, last in stretches:
            batch = selection.mapper.batch({name: _rows(cdm, name, first, last) for name in wanted})
            if last == BUCKETS:
                _close(batch, cdm, selection)
            yield batch


def _stretches(cdm: KeptCdm, names: list[str]) -> list[tuple[int, int]]:
    """Buckets of persons, from and up to, that make batches of a good size; the last one ends with ``BUCKETS``."""
    events, persons = [0] * BUCKETS, [0] * BUCKETS
    for name in names:
        counts = persons if name == "person" else events
        for bucket, n in cdm.con.execute(f"SELECT bucket, count(*) FROM fetched_{name} GROUP BY bucket").fetchall():
            counts[bucket] += n
    ends, held = [], [0, 0]
    for bucket in range(BUCKETS):
        held = [held[0] + events[bucket], held[1] + persons[bucket]]
        following = (events[bucket + 1], persons[bucket + 1]) if bucket + 1 < BUCKETS else (0, 0)
        if held[0] + following[0] > _EVENTS_PER_BATCH or held[1] + following[1] > _PERSONS_PER_BATCH:
            ends.append(bucket + 1)
            held = [0, 0]
    ends = [*(end for end in ends if end < BUCKETS), BUCKETS]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _rows(cdm: KeptCdm, name: str, first: int, last: int) -> pl.DataFrame:
    columns = PERSON if name == "person" else RAW
    frame: pl.DataFrame = cdm.con.sql(f"SELECT * EXCLUDE (bucket) FROM fetched_{name} WHERE bucket >= {first} AND bucket < {last}").pl()
    never = (pl.lit(None).alias(column) for column in columns if column not in frame.columns)
    return frame.with_columns(never).select(pl.col(column).cast(dtype) for column, dtype in columns.items())


def _close(batch: Batch, cdm: KeptCdm, selection: Selection) -> None:
    """Add what was never fetched, and what the files themselves could not give."""
    ignored, unmapped = selection.left(cdm.fetched)
    rejects = cdm.rejects()
    batch.records_ignored += ignored
    batch.records_rejected += rejects.height
    batch.records_read += ignored + rejects.height
    batch.unmapped = pl.concat([batch.unmapped, unmapped])
    batch.rejects = pl.concat([batch.rejects, rejects])
