"""The local engine: one machine, out of core. DuckDB reads, Polars evaluates, results are appended batch by batch.

Every batch holds whole patients, so batches are independent and their size changes no answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.compute  # noqa: F401  (PyArrow would import it with the first table that is written)
import pyarrow.parquet as pq

from calcinosis.engines.cohort import Cohort, new_summary, result_tables, write_summary, write_unmapped
from calcinosis.engines.rows import Assessed, Explained, assessed, explained
from calcinosis.events import Batch, Schema
from calcinosis.knowledge import Knowledge

_EXPLAINED_TOGETHER: Final = 20_000  # events: about 300 patients


class _Table:
    """A Parquet file that grows by one row group per batch, so that memory stays with the batch."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.empty = pl.DataFrame(schema=schema)
        self.schema = self.empty.to_arrow().schema
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def add(self, frame: pl.DataFrame) -> None:
        if not frame.is_empty():
            self.writer.write_table(frame.select(self.empty.columns).cast(self.empty.schema).to_arrow().cast(self.schema))

    def close(self) -> None:
        self.writer.close()


def _one_ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, the next one being read while the last one is assessed."""
    stream = iter(batches)
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, stream, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, stream, None)
            yield batch
            del batch


def screen_batches(
    batches: Iterable[Batch],
    folder: Path,
    knowledge: Knowledge,
    *,
    source: str,
    as_of: datetime | None = None,
    closed_world: frozenset[str] = frozenset(),
    on_patients: Callable[[int], None] | None = None,
) -> Cohort:
    """Assess a stream of batches and write the tables and ``summary.json`` (docs/data_contracts.md).

    Reasons, reviews and events are written for patients in whom a type or mimic is at least possible, calcium is shown, an alarm fires
    or the risk of calciphylaxis is high; for all others there is nothing to explain but what nobody recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = new_summary(source, knowledge, as_of, closed_world)
    tables = {name: _Table(folder / file, schema) for name, (file, schema) in result_tables(knowledge).items()}
    unmapped: list[pl.DataFrame] = []
    waiting: list[Batch] = []  # patients to explain
    clock = {"read": 0.0, "assess": 0.0}
    mark = time.perf_counter()

    def write(part: Assessed | Explained) -> None:
        for field in fields(part):
            if field.name in tables:
                tables[field.name].add(getattr(part, field.name))

    def explain() -> None:
        write(explained(waiting, knowledge, as_of=as_of, closed_world=closed_world))
        waiting.clear()

    try:
        for batch in _one_ahead(batches):
            clock["read"] += time.perf_counter() - mark
            mark = time.perf_counter()
            part = assessed(batch, knowledge, as_of=as_of, closed_world=closed_world)
            del batch  # before the next one is made
            write(part)
            waiting.append(part.concerned)
            if sum(each.events.height for each in waiting) >= _EXPLAINED_TOGETHER:
                explain()
            unmapped.append(part.unmapped)
            summary.add(part)
            del part
            if on_patients:
                on_patients(summary.patients_assessed)
            clock["assess"] += time.perf_counter() - mark
            mark = time.perf_counter()
        explain()
        clock["assess"] += time.perf_counter() - mark
    finally:
        for table in tables.values():
            table.close()
    summary.seconds = {name: round(value, 3) for name, value in clock.items()}
    write_unmapped(unmapped, folder / "unmapped.csv")
    write_summary(summary, folder)
    return Cohort(folder=folder, summary=summary)
