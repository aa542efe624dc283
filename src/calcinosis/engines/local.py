"""The local engine: one machine, out of core. DuckDB reads, Polars and NumPy evaluate, results are appended batch by batch.

Every batch holds whole patients, so batches are independent, and neither their size nor who assesses them changes an answer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import polars as pl
import pyarrow.compute  # noqa: F401  (PyArrow would import it with the first table that is written)
import pyarrow.parquet as pq

from calcinosis.engines.cohort import Cohort, Summary, account_of, new_summary, result_tables, write_summary, write_unmapped
from calcinosis.engines.rows import Asked, Assessed, Explained, assessed, explained
from calcinosis.engines.workers import Workers
from calcinosis.events import Batch, Coming, Part, Schema
from calcinosis.knowledge import Knowledge

_EXPLAINED_TOGETHER: Final = 20_000  # events: about 300 patients
_WORTH_WORKERS: Final = 45  # parts: with two processes for fewer, what they win is lost in starting them

_Result = TypeVar("_Result", Assessed, Explained)


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


class _Results:
    """What has come of the batches: tables on disk, the account, and the patients who wait to be explained."""

    def __init__(self, folder: Path, knowledge: Knowledge, summary: Summary) -> None:
        self.summary = summary
        self.unmapped: list[pl.DataFrame] = []
        self._tables = {name: _Table(folder / file, schema) for name, (file, schema) in result_tables(knowledge).items()}
        self._concerned: list[Batch] = []

    def __enter__(self) -> _Results:
        return self

    def __exit__(self, *error: object) -> None:
        for table in self._tables.values():
            table.close()

    def add(self, result: Assessed | Explained) -> None:
        for field in fields(result):
            if field.name in self._tables:
                self._tables[field.name].add(getattr(result, field.name))
        if isinstance(result, Assessed):
            self.unmapped.append(result.unmapped)
            self.summary.add(account_of(result))
            self._concerned.append(result.concerned)

    @property
    def enough_to_explain(self) -> bool:
        return sum(each.events.height for each in self._concerned) >= _EXPLAINED_TOGETHER

    def to_explain(self) -> list[Batch]:
        """Those who wait; they wait no longer."""
        waiting, self._concerned = self._concerned, []
        return waiting


class _Clock:
    """Seconds by what they went into."""

    def __init__(self) -> None:
        self.seconds = {"read": 0.0, "assess": 0.0}
        self._mark = time.perf_counter()

    def lap(self, name: str) -> None:
        """What passed since the last lap went into ``name``."""
        now = time.perf_counter()
        self.seconds[name] += now - self._mark
        self._mark = now


class _Line:
    """Jobs in the order in which they were given out, and who does them: a thread beside the reader, or processes once they are worth it.

    A process that dies (most often for want of memory) takes the others with it; what they had is then done here.
    """

    def __init__(self, knowledge: Knowledge, asked: Asked, workers: int) -> None:
        self._knowledge, self._asked, self._count = knowledge, asked, workers
        self._stack = ExitStack()
        self._thread = self._stack.enter_context(ThreadPoolExecutor(max_workers=1))
        self._jobs: deque[tuple[Future[Assessed] | Future[Explained], Callable[[], Assessed | Explained]]] = deque()
        self.workers: Workers | None = None

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def full(self) -> bool:
        """Whether a job must be taken back before another is given out: memory is bounded by what is in line."""
        return len(self._jobs) >= (2 * self._count if self.workers else 1)

    def ready(self, coming: Coming) -> Coming:
        """The batch, or a part whose batch a process will make."""
        if isinstance(coming, Batch):
            return coming
        if self.workers is None and self._count > 1 and coming.parts >= _WORTH_WORKERS:
            self.workers = self._stack.enter_context(Workers(self._count, self._knowledge, self._asked))
        return coming if self.workers else coming.batch()

    def assess(self, ready: Coming) -> None:
        def here() -> Assessed:
            batch = ready.batch() if isinstance(ready, Part) else ready
            return assessed(batch, self._knowledge, self._asked)

        self._give(here, None if isinstance(ready, Batch) else lambda workers: workers.assess(ready))

    def explain(self, batches: Sequence[Batch]) -> None:
        def here() -> Explained:
            return explained(batches, self._knowledge, self._asked)

        self._give(here, lambda workers: workers.explain(batches))

    def take(self) -> Assessed | Explained:
        """The result of the oldest job."""
        job, here = self._jobs.popleft()
        try:
            return job.result()
        except BrokenProcessPool:
            self._go_on_alone()
            return self._thread.submit(here).result()  # one thread does all that is left, one thing at a time

    def _give(self, here: Callable[[], _Result], there: Callable[[Workers], Future[_Result]] | None) -> None:
        if self.workers is not None and there is not None:
            try:
                self._jobs.append((there(self.workers), here))
                return
            except BrokenProcessPool:
                self._go_on_alone()
        self._jobs.append((self._thread.submit(here), here))

    def _go_on_alone(self) -> None:
        self.workers, self._count = None, 1


def screen_batches(
    coming: Iterable[Coming],
    folder: Path,
    knowledge: Knowledge,
    *,
    source: str,
    as_of: datetime | None = None,
    closed_world: frozenset[str] = frozenset(),
    on_patients: Callable[[int], None] | None = None,
    workers: int = 1,
) -> Cohort:
    """Assess what a source hands over and write the tables and ``summary.json`` (docs/data_contracts.md).

    Reasons, reviews, options and events are written for the patients there is something to say about (:mod:`calcinosis.engines.rows`).

    Args:
        workers: processes for a large source (:mod:`calcinosis.engines.workers`); the answers and their order are the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        _Results(folder, knowledge, new_summary(source, knowledge, as_of, closed_world)) as results,
        _Line(knowledge, Asked(as_of, closed_world), workers) as line,
    ):

        def settle() -> None:
            """Write the result of the oldest job."""
            result = line.take()
            results.add(result)
            if isinstance(result, Assessed):
                if results.enough_to_explain:
                    line.explain(results.to_explain())
                if on_patients:
                    on_patients(results.summary.patients_assessed)

        clock = _Clock()
        for each in coming:
            ready = line.ready(each)
            clock.lap("read")
            while line.full:
                settle()
            line.assess(ready)
            if line.workers and isinstance(ready, Batch):  # the source may take away what the parts before it need
                while len(line):
                    settle()
            del each, ready  # before the next one is made
            clock.lap("assess")
        while len(line):
            settle()
        line.explain(results.to_explain())
        settle()
        clock.lap("assess")
    results.summary.seconds = {name: round(seconds, 3) for name, seconds in clock.seconds.items()}
    write_unmapped(results.unmapped, folder / "unmapped.csv")
    write_summary(results.summary, folder)
    return Cohort(folder=folder, summary=results.summary)
