"""Reads an OMOP CDM (5.3.1, 5.4): a folder of Parquet or CSV tables, a DuckDB file, or a PostgreSQL database.

Only rows whose concepts mean something to a rule travel. Which those are is asked first: every distinct pair of concepts, counted by the
database, is interpreted once. The relevant rows are then copied once into a database of our own, which hands over whole patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import polars as pl

from calcinosis.events import Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_database import Cdm, open_cdm, tables_in
from calcinosis.sources.omop_events import PERSON
from calcinosis.sources.omop_selection import Selection, select
from calcinosis.sources.omop_tables import RAW
from calcinosis.sources.text import TextReader

__all__ = ["is_omop", "read_omop"]

_EVENTS_PER_BATCH: Final = 125_000
_PERSONS_PER_BATCH: Final = 50_000
_MEMORY: Final = "1GB"
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
        ValueError: no table ``person``, no vocabulary, or a vocabulary that knows none of the concepts; the message says which.
    """
    with TemporaryDirectory(prefix="calcinosis-") as folder, open_cdm(source, folder) as cdm:
        selection = select(cdm, index, reader)
        yield from _Copy(Path(folder), cdm, selection, memory_limit).batches(on_progress)


class _Copy:
    """The relevant rows in a database of our own, in as many parts as there will be batches."""

    def __init__(self, folder: Path, cdm: Cdm, selection: Selection, memory_limit: str | None) -> None:
        self._cdm, self._selection = cdm, selection
        self._parts = max(1, -(-selection.expected // _EVENTS_PER_BATCH), -(-selection.persons // _PERSONS_PER_BATCH))
        self._con = duckdb.connect(str(folder / "rows.duckdb"), config={"temp_directory": str(folder)})
        self._con.execute(f"SET memory_limit = '{memory_limit or _MEMORY}'; SET preserve_insertion_order = false")

    def batches(self, on_progress: _Progress | None) -> Iterator[Batch]:
        wanted = {"person": self._selection.person, **self._selection.queries}
        for done, (name, query) in enumerate(wanted.items()):
            self._cdm.copy_into(self._con, name, f"SELECT *, abs(person_id) % {self._parts} AS part FROM ({query})")
            if on_progress:
                on_progress(done + 1, len(wanted))
        try:
            for part in range(self._parts):
                tables = {name: self._rows(name, part) for name in wanted}
                batch = self._selection.mapper.batch(tables)
                if part == self._parts - 1:
                    self._close(batch)
                yield batch
        finally:
            self._con.close()

    def _rows(self, name: str, part: int) -> pl.DataFrame:
        columns = PERSON if name == "person" else RAW
        without = " OR part IS NULL" if part == 0 else ""  # rows without a person are accounted for once
        listed = ", ".join(f'"{column}"' for column in columns)
        frame: pl.DataFrame = self._con.sql(f"SELECT {listed} FROM {name} WHERE part = {part}{without}").pl()
        return frame.cast(dict(columns.items()))

    def _close(self, batch: Batch) -> None:
        """Add what was never fetched, and what the files themselves could not give."""
        left = self._selection
        batch.records_read += left.ignored
        batch.records_ignored += left.ignored
        batch.unmapped = pl.concat([batch.unmapped, left.unmapped])
        rejects = self._cdm.rejects()
        batch.records_read += rejects.height
        batch.records_rejected += rejects.height
        batch.rejects = pl.concat([batch.rejects, rejects])
