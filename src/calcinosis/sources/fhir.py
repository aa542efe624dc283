"""Reads FHIR R4: Bundles, single resources and Bulk NDJSON, one patient or a hospital, through the same mapping.

The flat rows of :mod:`~calcinosis.sources.fhir_tables` are grouped by what they say; each distinct saying is interpreted once
(:mod:`~calcinosis.sources.fhir_events`); joining the two gives the events. What was not used is accounted for record by record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import polars as pl

from calcinosis.events import Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_account import Account, Numbering
from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import Drafts, events_frame, patients_frame
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.fhir_tables import FhirTables
from calcinosis.sources.spool import (
    READ_ERRORS,
    Entry,
    Reject,
    document_entries,
    find_files,
    is_gzip,
    line_entries,
    numbered_lines,
    open_file,
    resources_of,
    shape_of,
    to_line,
)
from calcinosis.sources.text import TextReader

__all__ = ["read_fhir", "read_resources"]

_GROUP: Final = 512 * 1024 * 1024  # bytes of NDJSON that one statement reads
_SPOOL: Final = 64 * 1024 * 1024  # bytes of spooled resources that one statement reads
_PAGE: Final = 5_000  # distinct sayings interpreted at a time
_EVENTS_PER_BATCH: Final = 1_000_000
_REMEMBERED: Final = 20_000  # distinct sayings that an in-process reader keeps

_Progress = Callable[[int, int], None]


def read_fhir(
    paths: Sequence[Path],
    index: ConceptIndex,
    reader: TextReader,
    *,
    memory_limit: str | None = None,
    on_progress: _Progress | None = None,
) -> Iterator[Batch]:
    """Read files and folders of FHIR R4 JSON, of any size and mixture.

    Every patient is complete within one batch. The last batch carries the account: rejects, unmapped codes, record counts.

    Args:
        memory_limit: for DuckDB ("2GB"); beyond it, tables move to a temporary folder.
        on_progress: called with (files done, files in all).
    """
    with TemporaryDirectory(prefix="calcinosis-") as folder:
        run = _Run(Path(folder), FhirMapper(index, reader), memory_limit)
        try:
            run.read(find_files(paths), frozenset(paths), on_progress)
            yield from run.batches()
        finally:
            run.tables.close()


def read_resources(resources: Sequence[dict[str, Any]], index: ConceptIndex, reader: TextReader, *, source_file: str = "") -> Batch:
    """Read the resources of one patient, in process.

    ``resources`` may also be entries of a Bundle (``{"fullUrl": ..., "resource": ...}``), whose references are then resolved.
    """
    return _in_process(index, reader).read(list(resources), source_file)


# --- many files --------------------------------------------------------------------------------------------


class _Run:
    """One reading of many files."""

    def __init__(self, folder: Path, mapper: FhirMapper, memory_limit: str | None) -> None:
        self.tables = FhirTables(folder, memory_limit)
        self.account = Account()
        self._mapper = mapper
        self._drafts = Drafts()
        self._spool = folder / "spool.ndjson"

    def read(self, files: Sequence[Path], named: frozenset[Path], on_progress: _Progress | None) -> None:
        groups: list[list[int]] = []
        documents: list[int] = []
        size = 0
        for path in files:
            number = self._sorted_in(path, path in named)
            if number is None:
                continue
            file = self.account.files[number]
            if file.numbering is Numbering.ENTRY:
                documents.append(number)
                continue
            if not groups or size > _GROUP or self.account.files[groups[-1][0]].gzipped != file.gzipped:
                groups.append([])
                size = 0
            groups[-1].append(number)
            size += path.stat().st_size
        done = 0
        for group in groups:
            self._read_lines(group)
            done += len(group)
            if on_progress:
                on_progress(done, len(files))
        self._read_odd_lines()
        self._write(item for number in documents for item in self._document(number))
        if on_progress:
            on_progress(len(files), len(files))
        self.account.settle(self.tables)

    def batches(self) -> Iterator[Batch]:
        expected = self._interpret()
        parts = max(1, -(-expected // _EVENTS_PER_BATCH))
        for part in range(parts):
            condition = f"hash(sid) % {parts} = {part}" if parts > 1 else "true"
            rows = self.tables.kept_rows(condition)
            self.account.add_row_problems(rows)
            patients = self.account.patients(self.tables, self.tables.patients(condition))
            batch = Batch(
                patients=patients_frame(patients, self.account.paths),
                events=events_frame(rows, self._drafts.frame(), self.account.paths),
            )
            if part == parts - 1:
                self.account.close(batch, self.tables)
            yield batch

    def _interpret(self) -> int:
        """Give every distinct saying its meaning; returns how many events to expect."""
        expected = 0
        for first in range(0, self.tables.find_meanings(), _PAGE):
            kept = []
            for number, kind, packed, rows in self.tables.meanings(first, _PAGE):
                meaning = self._mapper(kind, packed)
                if self.account.add_meaning(number, kind, meaning, rows) or meaning.drafts:
                    kept.append(number)
                    self._drafts.add(number, meaning)
                    expected += rows * len(meaning.drafts)
            if kept:
                self.tables.keep(kept)
        return expected

    # --- files ---------------------------------------------------------------------------------------------

    def _sorted_in(self, path: Path, named: bool) -> int | None:
        """Number a file that can be read; account for one that cannot."""
        try:
            gzipped = is_gzip(path)
            shape = shape_of(path, gzipped)
        except READ_ERRORS as error:
            number = self.account.add_file(path, False, Numbering.LINE)
            self.account.add_reject(number, _unreadable(error))
            return None
        number = self.account.add_file(path, gzipped, Numbering.ENTRY if shape == "document" else Numbering.ORDINAL)
        if shape == "empty":
            self.account.add_reject(number, Reject("empty_file", "the file is empty"))
        elif shape == "other":
            self.account.add_reject(number, Reject("not_fhir", "the file is not JSON", level="error" if named else "warning"))
        else:
            return number
        return None

    def _read_lines(self, numbers: list[int]) -> None:
        """Let DuckDB read NDJSON files; one that it cannot read is read line by line instead."""
        files = self.account.files
        try:
            self.tables.read_lines([(number, files[number].path) for number in numbers], files[numbers[0]].gzipped)
        except duckdb.Error:
            if len(numbers) > 1:
                for number in numbers:
                    self._read_lines([number])
            else:
                files[numbers[0]].numbering = Numbering.LINE
                self._write(self._lines(numbers[0]))

    def _read_odd_lines(self) -> None:
        """Lines that are no resource, or a whole Bundle."""
        odd = self.tables.rows("SELECT DISTINCT file FROM flat WHERE rt IS NULL OR rt = 'Bundle' ORDER BY file")
        self.tables.take("rt IS NULL OR rt = 'Bundle'")
        self._write(item for (number,) in odd for item in self._odd(number))

    def _odd(self, number: int) -> Iterator[tuple[int, Entry | Reject]]:
        file = self.account.files[number]
        ordinals = self.tables.odd_lines(file.path, file.gzipped)
        found = 0
        for ordinal, line_number, line in numbered_lines(file.path, file.gzipped, ordinals):
            found += 1
            for item in line_entries([(ordinal, line_number, line)]):
                yield number, item
        for _ in range(len(ordinals) - found):
            yield number, Reject("malformed_json", "not a JSON object")

    def _lines(self, number: int) -> Iterator[tuple[int, Entry | Reject]]:
        file = self.account.files[number]
        try:
            with open_file(file.path, file.gzipped) as stream:
                for item in line_entries((line_number, line_number, line) for line_number, line in enumerate(stream, start=1)):
                    yield number, item
        except READ_ERRORS as error:
            yield number, _unreadable(error)

    def _document(self, number: int) -> Iterator[tuple[int, Entry | Reject]]:
        file = self.account.files[number]
        try:
            for item in document_entries(file.path, file.gzipped):
                yield number, item
        except READ_ERRORS as error:
            yield number, _unreadable(error)

    def _write(self, items: Iterator[tuple[int, Entry | Reject]]) -> None:
        """Hand resources to DuckDB by way of the spool."""
        waiting: list[bytes] = []
        size = 0
        for number, item in items:
            line = to_line(item, number) if isinstance(item, Entry) else item
            if isinstance(line, Reject):
                self.account.add_reject(number, line)
                continue
            waiting.append(line)
            size += len(line)
            if size > _SPOOL:
                self._flush(waiting)
                waiting, size = [], 0
        if waiting:
            self._flush(waiting)

    def _flush(self, lines: list[bytes]) -> None:
        self._spool.write_bytes(b"\n".join(lines))
        self.tables.read_spool(self._spool)


def _unreadable(error: BaseException) -> Reject:
    return Reject("unreadable", f"the file cannot be read: {getattr(error, 'strerror', None) or error}")


# --- one patient -------------------------------------------------------------------------------------------


class _InProcess:
    """A reader that stays warm: its tables, prepared statements and interpreted sayings serve one patient after another."""

    def __init__(self, index: ConceptIndex, reader: TextReader) -> None:
        self.index, self.reader = index, reader
        self._mapper = FhirMapper(index, reader)
        self._tables = FhirTables()
        self._known: dict[tuple[str, str], Meaning] = {}
        self._lock = threading.Lock()

    def read(self, resources: list[Any], source_file: str) -> Batch:
        account = Account()
        file = account.add_file(Path(source_file), False, Numbering.ENTRY, shown=source_file)
        lines = []
        for item in resources_of(resources):
            line = to_line(item, file) if isinstance(item, Entry) else item
            if isinstance(line, Reject):
                account.add_reject(file, line)
            else:
                lines.append(line)
        with self._lock:
            self._tables.read_texts(lines)
            account.settle(self._tables)
            rows = self._tables.all_rows()
            patients = account.patients(self._tables, self._tables.all_patients())
        rows, drafts = self._interpreted(rows, account)
        account.add_row_problems(rows)
        batch = Batch(patients=patients_frame(patients, account.paths), events=events_frame(rows, drafts.frame(), account.paths))
        account.close(batch, None)
        return batch

    def _interpreted(self, rows: pl.DataFrame, account: Account) -> tuple[pl.DataFrame, Drafts]:
        """Number the distinct sayings of the rows; the meaning of each is remembered."""
        counts: dict[tuple[str, str], int] = {}
        for saying in zip(rows["rt"], rows["k"], strict=True):
            counts[saying] = counts.get(saying, 0) + 1
        order = {saying: number for number, saying in enumerate(counts)}
        numbers = [order[saying] for saying in zip(rows["rt"], rows["k"], strict=True)]
        drafts = Drafts()
        for (kind, packed), number in order.items():
            if packed is not None:
                meaning = self._meaning(kind, packed)
                account.add_meaning(number, kind, meaning, counts[kind, packed])
                drafts.add(number, meaning)
        return rows.with_columns(pl.Series("mid", numbers, dtype=pl.Int64)), drafts

    def _meaning(self, kind: str, packed: str) -> Meaning:
        known = self._known.get((kind, packed))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[kind, packed] = self._mapper(kind, packed)
        return known


_warm: list[_InProcess] = []
_WARM: Final = 4


def _in_process(index: ConceptIndex, reader: TextReader) -> _InProcess:
    """The warm reader for this index and text reader."""
    for engine in _warm:
        if engine.index is index and engine.reader is reader:
            return engine
    _warm.insert(0, _InProcess(index, reader))
    del _warm[_WARM:]
    return _warm[0]
