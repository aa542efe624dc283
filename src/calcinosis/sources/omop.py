"""Reads an OMOP CDM (5.3.1, 5.4): a folder of Parquet or CSV tables, a DuckDB file, or a PostgreSQL database.

Only rows whose concepts mean something to a rule travel. Which those are is asked first: every distinct pair of concepts, counted by the
database, is interpreted once. The relevant rows are then copied once into a database of our own, which hands over whole patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import EVENTS_PER_BATCH, Batch, Coming, Part, made
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_coded import Coded, coded
from calcinosis.sources.omop_database import BUCKETS, KeptCdm, open_cdm, tables_in
from calcinosis.sources.omop_events import OmopMapper
from calcinosis.sources.omop_sayings import Sayings
from calcinosis.sources.omop_selection import Selection, select
from calcinosis.sources.omop_store import StoredRows, store_rows
from calcinosis.sources.omop_tables import TABLES
from calcinosis.sources.text import TextReader

__all__ = ["is_omop", "omop_parts", "read_omop"]

_PERSONS_PER_BATCH: Final = 50_000
_ROWS_PER_NOTE: Final = 100  # a note takes longer than a row of codes by more; but batches of a few persons would be slow as well
_SERVERS: Final = ("postgresql://", "postgres://")

Counts = npt.NDArray[np.int64]
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
    """The batches of :func:`omop_parts`, made one by one."""
    return made(omop_parts(source, index, reader, memory_limit=memory_limit, on_progress=on_progress))


def omop_parts(
    source: Path | str,
    index: ConceptIndex,
    reader: TextReader,
    *,
    memory_limit: str | None = None,
    on_progress: _Progress | None = None,
) -> Iterator[Coming]:
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
        copies = _Copies(cdm, selection, Path(folder))
        try:
            cdm.copy("person", cdm.person_query())
            for done, name in enumerate(selection.queries):
                copies.add(name)
                if on_progress:
                    on_progress(done + 2, len(selection.queries) + 1)
            make = _Maker(selection.mapper, copies.stored)
            stretches = list(_stretches(*copies.sizes()))
            for first, last in stretches[:-1]:
                yield Part(make, copies.stretch(first, last), len(stretches))
            batch = make(copies.stretch(*stretches[-1]))
            _close(batch, cdm, selection, copies)
            yield batch
        finally:
            copies.close()


class _Copies:
    """The relevant rows of every table: in numbers, or as they are where they say too many different things."""

    def __init__(self, cdm: KeptCdm, selection: Selection, folder: Path) -> None:
        self._cdm, self._selection, self._folder = cdm, selection, folder
        self.stored: dict[str, tuple[Sayings, StoredRows]] = {}

    def add(self, name: str) -> None:
        cdm, mapper = self._cdm, self._selection.mapper
        rows = cdm.coming(name, self._selection.queries[name])
        found = store_rows(cdm.con, name, rows, self._folder)
        if found:
            self.stored[name] = mapper.sayings(TABLES[name], found[0]), found[1]
        else:
            cdm.keep(name, rows)
        cdm.gone(name)

    def sizes(self) -> tuple[Counts, Counts]:
        """How many rows (a note counts as several) and how many persons each bucket has."""
        as_they_are = [name for name in self._selection.queries if name not in self.stored]
        plain = (self._counted(name) * (_ROWS_PER_NOTE if name == "note" else 1) for name in as_they_are)
        rows = (stored.counts for _, stored in self.stored.values())
        return sum((*plain, *rows), start=np.zeros(BUCKETS, dtype=np.int64)), self._counted("person")

    def stretch(self, first: int, last: int) -> _Stretch:
        """Of some buckets, from and up to."""
        plain = {name: self._rows(name, first, last) for name in self._selection.queries if name not in self.stored}
        return _Stretch(first, last, self._rows("person", first, last), plain)

    def fetched(self, name: str) -> Iterable[tuple[Any, ...]]:
        """Concept, source concept, the words read, and how many rows."""
        if name not in self.stored:
            return self._cdm.fetched(name)
        sayings, rows = self.stored[name]
        return sayings.pairs(rows.said)

    def close(self) -> None:
        for _, rows in self.stored.values():
            rows.close()

    def _counted(self, name: str) -> Counts:
        counts = np.zeros(BUCKETS, dtype=np.int64)
        for bucket, n in self._cdm.con.execute(f"SELECT bucket, count(*) FROM fetched_{name} GROUP BY bucket").fetchall():
            counts[bucket] = n
        return counts

    def _rows(self, name: str, first: int, last: int) -> pl.DataFrame:
        query = f"SELECT * EXCLUDE (bucket) FROM fetched_{name} WHERE bucket >= {first} AND bucket < {last}"
        frame: pl.DataFrame = self._cdm.con.sql(query).pl()
        return frame


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Buckets of persons, from and up to; their persons, and their rows of the tables that are kept as they are."""

    first: int
    last: int
    person: pl.DataFrame
    plain: dict[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the batch of a stretch."""

    mapper: OmopMapper
    stored: Mapping[str, tuple[Sayings, StoredRows]]

    def __call__(self, stretch: _Stretch) -> Batch:
        return self.mapper.batch_of(self._tables(stretch), stretch.person)

    def _tables(self, stretch: _Stretch) -> Iterator[tuple[Sayings, Coded]]:
        for name in TABLES:
            if name in self.stored:
                sayings, rows = self.stored[name]
                yield sayings, rows.take(stretch.first, stretch.last)
            elif name in stretch.plain:
                frame, coded_rows = coded(stretch.plain[name])
                yield self.mapper.sayings(TABLES[name], frame), coded_rows


def _stretches(rows: Counts, persons: Counts) -> Iterator[tuple[int, int]]:
    """Buckets of persons, from and up to, that make batches of a good size; the last one ends with ``BUCKETS``."""
    first, held = 0, [0, 0]
    for bucket, (n, people) in enumerate(zip(rows.tolist(), persons.tolist(), strict=True)):
        if bucket > first and (held[0] + n > EVENTS_PER_BATCH or held[1] + people > _PERSONS_PER_BATCH):
            yield first, bucket
            first, held = bucket, [0, 0]
        held = [held[0] + n, held[1] + people]
    yield first, BUCKETS


def _close(batch: Batch, cdm: KeptCdm, selection: Selection, copies: _Copies) -> None:
    """Add what was never fetched, what the files themselves could not give, and what the CDM does not hold."""
    ignored, unmapped = selection.left(copies.fetched)
    rejects = cdm.rejects()
    batch.records_ignored += ignored
    batch.records_rejected += rejects.height
    batch.records_read += ignored + rejects.height
    batch.not_read = {**batch.not_read, **selection.not_read}
    batch.unmapped = pl.concat([batch.unmapped, unmapped])
    batch.rejects = pl.concat([batch.rejects, rejects])
