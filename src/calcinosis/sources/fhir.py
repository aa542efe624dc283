"""Reads FHIR R4: Bundles, single resources and Bulk NDJSON, one patient or a hospital, through the same mapping.

The flat rows of :mod:`~calcinosis.sources.fhir_tables` keep what they say apart; each distinct saying is interpreted once
(:mod:`~calcinosis.sources.fhir_events`), most of them while DuckDB reads on; joining the two gives the events. Letters, hardly two of
which are alike, are read with the part of the patients that they belong to, in as many processes as there are. What was not used is
accounted for record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import polars as pl

from calcinosis.events import EVENTS_PER_BATCH, Batch, Coming, Part, made
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_account import Account, Numbering
from calcinosis.sources.fhir_columns import LAYOUTS, RESOURCE_TYPES
from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import Drafts, events_frame, events_of, patients_frame
from calcinosis.sources.fhir_letters import LetterReader
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.fhir_one import Remembered, as_json, contained_subjects, flat_rows, patient_rows, settle, typed_rows
from calcinosis.sources.fhir_tables import FhirTables
from calcinosis.sources.spool import (
    HEAD,
    READ_ERRORS,
    Entry,
    Reject,
    document_entries,
    find_files,
    is_gzip,
    line_entries,
    not_json,
    numbered_lines,
    open_file,
    resources_of,
    shape_of,
    to_line,
    unreadable,
)
from calcinosis.sources.text import TextReader

__all__ = ["fhir_parts", "read_fhir", "read_resources"]

_GROUP: Final = 512 * 1024 * 1024  # bytes of NDJSON that one statement reads
_SPOOL: Final = 64 * 1024 * 1024  # bytes of spooled resources that one statement reads
_PAGE: Final = 5_000  # distinct sayings interpreted at a time
_BYTES_PER_EVENT: Final = 4  # reading so much of a letter counts as an event: a part of a hospital's letters takes half a second
_LETTERS_PER_PART: Final = 16 * 1024 * 1024  # bytes of letters, repeated ones as well

_ODD: Final = "file IS NOT NULL AND pos IS NULL AND (rt IS NULL OR rt = 'Bundle')"  # among the rows that DuckDB read by itself

_CANNOT_READ: Final = (duckdb.Error, UnicodeDecodeError)  # DuckDB's message shows a piece of the line, and may cut a character in two

_Progress = Callable[[int, int], None]


def read_fhir(
    paths: Sequence[Path],
    index: ConceptIndex,
    reader: TextReader,
    *,
    memory_limit: str | None = None,
    on_progress: _Progress | None = None,
) -> Iterator[Batch]:
    """The batches of :func:`fhir_parts`, made one by one."""
    return made(fhir_parts(paths, index, reader, memory_limit=memory_limit, on_progress=on_progress))


def fhir_parts(
    paths: Sequence[Path],
    index: ConceptIndex,
    reader: TextReader,
    *,
    memory_limit: str | None = None,
    on_progress: _Progress | None = None,
) -> Iterator[Coming]:
    """Read files and folders of FHIR R4 JSON, of any size and mixture.

    Every patient is complete within one batch. The last batch carries the account: rejects, unmapped codes, record counts.

    Args:
        memory_limit: for DuckDB ("2GB"); beyond it, tables move to a temporary folder. Default: 600 MB, and 32 MB per thread; more when
            there are lines of more than 4 MB, or files that hold several types of resources.
        on_progress: called with (files done, files in all).
    """
    with TemporaryDirectory(prefix="calcinosis-") as folder:
        run = _Run(Path(folder), FhirMapper(index, reader), memory_limit)
        try:
            files, closed = find_files(paths)
            run.read(files, frozenset(paths), on_progress, closed)
            yield from run.parts()
        finally:
            run.tables.close()


def read_resources(resources: Sequence[dict[str, Any] | None], index: ConceptIndex, reader: TextReader, *, source_file: str = "") -> Batch:
    """Read the resources of one patient, in process.

    ``resources`` may also be entries of a Bundle (``{"fullUrl": ..., "resource": ...}``), whose references are then resolved. None is an
    entry that held no resource, and is accounted for as rejected.
    """
    account = Account()
    file = account.add_file(Path(source_file), Numbering.ENTRY, shown=source_file)
    entries = []
    for checked in as_json(list(resources_of(list(resources)))):
        if isinstance(checked, Entry):
            entries.append(checked)
        else:
            account.add_reject(file, checked)
    rows = settle(flat_rows(entries), account, file)
    typed, meanings = typed_rows(rows, _remembered(index, reader), account, file)
    account.add_row_problems(typed)
    patients = account.patients(patient_rows(rows, file), lambda: contained_subjects(rows))
    batch = Batch(patients=patients_frame(patients, account.paths), events=events_of(typed, meanings, account.paths))
    account.close(batch, None)
    return batch


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the batch of a part.

    Attributes:
        drafts: what the sayings mean.
        paths: of the files, by their number.
        letters: reads those of the part; None where there are none, for it is large.
    """

    drafts: pl.DataFrame
    paths: list[str]
    letters: LetterReader | None

    def __call__(self, part: tuple[pl.DataFrame, pl.DataFrame]) -> Batch:
        rows, patients = part
        people = patients_frame(patients, self.paths)
        if self.letters is None:
            return Batch(patients=people, events=events_frame(rows, self.drafts, self.paths))
        is_letter = pl.col("letter").is_not_null()
        told, drafts, not_read = self.letters.read(rows.filter(is_letter))
        events = [events_frame(rows.filter(~is_letter), self.drafts, self.paths), events_frame(told, drafts, self.paths)]
        return Batch(patients=people, events=pl.concat(events), not_read=not_read)


# --- many files --------------------------------------------------------------------------------------------


class _Run:
    """One reading of many files."""

    def __init__(self, folder: Path, mapper: FhirMapper, memory_limit: str | None) -> None:
        self.tables = FhirTables(folder, memory_limit)
        self.account = Account()
        self._mapper = mapper
        self._drafts = Drafts()
        self._early: dict[tuple[str, str], Meaning] = {}  # what was interpreted while DuckDB was still reading
        self._told_before: dict[int, Counter[str]] = {}  # what a report without its letter says of what was not read
        self._spool = folder / "spool.ndjson"

    def read(
        self, files: Sequence[Path], named: frozenset[Path], on_progress: _Progress | None = None, closed: Sequence[OSError] = ()
    ) -> None:
        for error in closed:
            folder = self.account.add_file(Path(error.filename), Numbering.LINE)
            self.account.add_reject(folder, Reject("unreadable", f"the folder cannot be read: {error.strerror}"))
        groups: list[list[int]] = []
        filling: dict[tuple[bool, str | None], tuple[list[int], int]] = {}  # (gzipped, kind) -> (group, bytes in it)
        documents: list[int] = []
        for path in files:
            number = self._sorted_in(path, named=path in named)
            if number is None:
                continue
            file = self.account.files[number]
            if file.numbering is Numbering.ENTRY:
                documents.append(number)
                continue
            group, size = filling.get((file.gzipped, file.kind), ([], _GROUP))
            if size >= _GROUP:
                group, size = [], 0
                groups.append(group)
            group.append(number)
            filling[file.gzipped, file.kind] = group, size + path.stat().st_size
        done = 0
        with ThreadPoolExecutor(max_workers=1) as beside:
            for group in groups:
                self._read_group(group)
                beside.submit(self._interpret_early, self.tables.new_sayings(_PAGE))
                done += len(group)
                if on_progress:
                    on_progress(done, len(files))
        self._read_odd_lines()
        self._write(item for number in documents for item in self._document(number))
        if on_progress:
            on_progress(len(files), len(files))
        self.account.settle(self.tables)

    def parts(self) -> Iterator[Coming]:
        expected = self._interpret()
        size, distinct = self.tables.letters()
        parts = max(1, -(-(expected + distinct // _BYTES_PER_EVENT) // EVENTS_PER_BATCH), -(-size // _LETTERS_PER_PART))
        self.tables.spread(parts)
        make = _Maker(self._drafts.frame(), self.account.paths, LetterReader(self._mapper, self._told_before) if size else None)
        for part in range(parts - 1):
            yield Part(make, self._rows(part), parts)
        batch = make(self._rows(parts - 1))
        self.account.close(batch, self.tables)
        yield batch

    def _rows(self, part: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What was said of the patients of a part, and the patients."""
        rows = self.tables.kept_rows(part)
        self.account.add_row_problems(rows)
        return rows, self.account.patients(self.tables.patients(part), self.tables.contained_subjects)

    def _interpret_early(self, sayings: list[tuple[str, str]]) -> None:
        for saying in sayings:
            if saying not in self._early:
                self._early[saying] = self._mapper.from_json(*saying)

    def _interpret(self) -> int:
        """Give every distinct saying its meaning; returns how many events to expect."""
        expected = 0
        for first in range(0, self.tables.count_sayings(), _PAGE):
            kept = []
            for number, kind, packed, rows in self.tables.sayings(first, _PAGE):
                meaning = self._early.pop((kind, packed), None) or self._mapper.from_json(kind, packed)
                if meaning.not_read and kind in LAYOUTS and LAYOUTS[kind].told:
                    self._told_before[number] = meaning.not_read
                if self.account.add_meaning(number, kind, meaning, rows) or meaning.drafts:
                    kept.append(number)
                    self._drafts.add(number, meaning)
                    expected += rows * len(meaning.drafts)
            if kept:
                self.tables.keep(kept)
        self._early.clear()
        return expected

    # --- files ---------------------------------------------------------------------------------------------

    def _sorted_in(self, path: Path, *, named: bool) -> int | None:
        """Number a file that can be read; account for one that cannot."""
        try:
            gzipped = is_gzip(path)
            shape, kind = shape_of(path, gzipped)
        except READ_ERRORS as error:
            number = self.account.add_file(path, Numbering.LINE)
            self.account.add_reject(number, unreadable(error))
            return None
        number = self.account.add_file(path, Numbering.ENTRY if shape == "document" else Numbering.ORDINAL, gzipped=gzipped, kind=kind)
        if shape == "empty":
            self.account.add_reject(number, Reject("empty_file", "the file is empty"))
        elif shape == "other":
            with open_file(path, gzipped) as stream:
                reason = not_json(stream.read(HEAD))
            self.account.add_reject(number, Reject("not_fhir", reason, level="error" if named else "warning"))
        else:
            return number
        return None

    def _read_group(self, numbers: list[int]) -> None:
        """Read NDJSON files that begin with the same resource type: most hold no other, and then few columns need reading."""
        kind, gzipped = self.account.files[numbers[0]].kind, self.account.files[numbers[0]].gzipped
        files = [(number, self.account.files[number].path) for number in numbers]
        if kind in LAYOUTS:
            rest = self._read_one_kind(files, gzipped, kind)
        elif kind in RESOURCE_TYPES:
            rest = self._count_one_kind(files, gzipped, kind)
        else:
            rest = numbers
        if rest:
            self._read_lines(rest)
        self.tables.store_sayings()

    def _read_one_kind(self, files: list[tuple[int, Path]], gzipped: bool, kind: str) -> list[int]:
        """Read files of one resource type; returns those that hold others too, or that DuckDB cannot read."""
        for strict in (True, False):
            try:
                self.tables.read_lines(files, gzipped, kind, strict=strict)
            except _CANNOT_READ:
                continue
            strays = self.tables.strays(files, kind)
            for number in strays:
                self.tables.forget(number)
            return strays
        return [number for number, _ in files]

    def _count_one_kind(self, files: list[tuple[int, Path]], gzipped: bool, kind: str) -> list[int]:
        """Count files of a resource type that no rule reads; returns those that hold others too."""
        try:
            counts = self.tables.count_kinds(files, gzipped)
        except _CANNOT_READ:
            return [number for number, _ in files]
        rest = {number for number, found, _ in counts if found != kind}
        self.account.add_ignored(sum(lines for number, _, lines in counts if number not in rest))
        return sorted(rest)

    def _read_lines(self, numbers: list[int]) -> None:
        """Let DuckDB read NDJSON files; one that it cannot read is read line by line instead."""
        files = self.account.files
        try:
            self.tables.read_lines([(number, files[number].path) for number in numbers], files[numbers[0]].gzipped)
        except _CANNOT_READ:
            if len(numbers) > 1:
                for number in numbers:
                    self._read_lines([number])
            else:
                files[numbers[0]].numbering = Numbering.LINE
                self._write(self._lines(numbers[0]))

    def _read_odd_lines(self) -> None:
        """Lines that are no resource, or a whole Bundle."""
        odd = self.tables.rows(f"SELECT DISTINCT file FROM flat WHERE {_ODD} ORDER BY file")
        if odd:
            self.tables.take(_ODD)
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
            yield number, unreadable(error)

    def _document(self, number: int) -> Iterator[tuple[int, Entry | Reject]]:
        file = self.account.files[number]
        try:
            for item in document_entries(file.path, file.gzipped):
                yield number, item
        except READ_ERRORS as error:
            yield number, unreadable(error)

    def _write(self, items: Iterator[tuple[int, Entry | Reject]]) -> None:
        """Hand resources to DuckDB by way of the spool."""
        waiting: list[tuple[int, bytes]] = []
        size = 0
        for number, item in items:
            line = to_line(item, number) if isinstance(item, Entry) else item
            if isinstance(line, Reject):
                self.account.add_reject(number, line)
                continue
            waiting.append((number, line))
            size += len(line)
            if size > _SPOOL:
                self._flush(waiting)
                waiting, size = [], 0
        self._flush(waiting)

    def _flush(self, lines: list[tuple[int, bytes]]) -> None:
        """Let DuckDB read spooled lines; if it cannot, find the line that it cannot read."""
        if not lines:
            return
        self._spool.write_bytes(b"".join(line + b"\n" for _, line in lines))
        try:
            self.tables.read_spool(self._spool, max(len(line) for _, line in lines))
        except _CANNOT_READ as error:
            if isinstance(error, duckdb.OutOfMemoryException) and len(lines) == 1:
                raise ValueError("the memory limit is too small for what is read; give more with --limit-memory") from error
            if len(lines) == 1:
                self.account.add_reject(lines[0][0], Reject("unreadable", "a resource that DuckDB cannot read"))
            else:
                self._flush(lines[: len(lines) // 2])
                self._flush(lines[len(lines) // 2 :])
        else:
            self.tables.store_sayings()


# --- one patient -------------------------------------------------------------------------------------------


_warm: list[tuple[ConceptIndex, TextReader, Remembered]] = []
_KEPT_WARM: Final = 4


def _remembered(index: ConceptIndex, reader: TextReader) -> Remembered:
    """What this index and text reader said before; the same saying means the same in the next patient."""
    for known_index, known_reader, remembered in _warm:
        if known_index is index and known_reader is reader:
            return remembered
    remembered = Remembered(FhirMapper(index, reader))
    _warm.insert(0, (index, reader, remembered))
    del _warm[_KEPT_WARM:]
    return remembered
