"""FHIR files as staged rows, for engines whose workers see a part of the files each: one row per resource or component, typed.

A worker that reads a part of a file does not know which other resources its patients have; so reading (here) and meaning
(:mod:`~calcinosis.sources.fhir_many`) are two steps, and the engine brings the rows of a patient together between them.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final

import orjson
import polars as pl

from calcinosis.events import Schema
from calcinosis.sources.fhir_columns import LAYOUTS, MEDICATION_TYPES, RESOURCE_TYPES
from calcinosis.sources.fhir_frames import ROWS
from calcinosis.sources.fhir_one import Row, component_row, flat_rows, reference_id, typed_values
from calcinosis.sources.fhir_values import read_birth_date, read_sex
from calcinosis.sources.spool import (
    GZIP,
    HEAD,
    READ_ERRORS,
    Entry,
    Reject,
    entries_of,
    line_entries,
    not_json,
    shape_of_head,
    unreadable,
)

# What a staged row is: a resource or component; a record that never became one; how many were ignored; how many lines a block has.
ROW, REJECT, IGNORED, LINES = "row", "reject", "ignored", "lines"

_TYPED: Final = [name for name in ROWS if name not in ("file", "pos", "mid")]
STAGED: Final[Schema] = {
    "what": pl.String,
    "file": pl.String,
    "block": pl.Int64,  # where in the file the reader of this part began; lines are counted from there
    "seq": pl.Int64,  # of the record in its block; the components of an Observation share it
    "by_line": pl.Boolean,  # ``pos`` counts lines, else the entries of a document
    "pos": pl.Int64,
    **{name: ROWS[name] for name in _TYPED},
    "component": pl.Boolean,
    "updated": pl.Datetime("us"),  # when this version of the resource was made
    "born": pl.Date,  # of a Patient
    "sex": pl.String,
    "k": pl.String,  # the packed fields as JSON, keys sorted
    "needs": pl.String,  # id of the Medication that says which drug this is
    "drug": pl.String,  # of a Medication: its code as JSON
    "level": pl.String, "category": pl.String, "reason": pl.String, "record": pl.String,  # of a reject
    "n": pl.Int64,  # of "ignored" and "lines"
}  # fmt: skip
_PAGE: Final = 10_000
_EMPTY: Final = dict.fromkeys(STAGED)


def stage_lines(lines: Iterable[tuple[str, int, bytes]]) -> Iterator[pl.DataFrame]:
    """Stage lines of NDJSON: (file, block, line), the lines of one block together and in order.

    Yields:
        ``STAGED``. ``pos`` counts the lines of the block from 1; a row "lines" says how many there are.
    """
    page = _Page()
    part: _Part | None = None
    for file, block, line in lines:
        if part is None or (part.file, part.block) != (file, block):
            if part is not None:
                page.close(part)
            part = _Part(file, block, by_line=True)
        part.lines += 1
        page.add(part, line_entries([(part.lines, part.lines, line)]))
        if page.full:
            yield page.take()
    if part is not None:
        page.close(part)
    yield page.take()


def stage_file(file: str, data: bytes, *, named: bool) -> Iterator[pl.DataFrame]:
    """Stage a whole file: a document, or lines; gzip or not.

    Args:
        named: the user asked for this very file, so that it is an error when it is not JSON.
    """
    page = _Page()
    part = _Part(file, 0, by_line=True)
    stream = gzip.GzipFile(fileobj=io.BytesIO(data)) if data[:2] == GZIP else io.BytesIO(data)
    try:
        head = stream.read(HEAD)
        shape = shape_of_head(head.lstrip(), PurePath(file).name)
        if shape == "empty":
            page.add(part, [Reject("empty_file", "the file is empty")])
        elif shape == "other":
            page.add(part, [Reject("not_fhir", not_json(head), level="error" if named else "warning")])
        elif shape == "document":
            part.by_line = False
            page.add(part, entries_of(head + stream.read()))
        else:
            stream.seek(0)
            for number, line in enumerate(stream, start=1):
                page.add(part, line_entries([(number, number, line)]))
                if page.full:
                    yield page.take()
    except READ_ERRORS as error:
        page.add(part, [unreadable(error)])
    page.close(part)
    yield page.take()


class _Part:
    """A part of a file, and what was counted in it."""

    def __init__(self, file: str, block: int, *, by_line: bool) -> None:
        self.file, self.block, self.by_line = file, block, by_line
        self.seq = self.lines = self.ignored = 0

    def row(self, **columns: Any) -> dict[str, Any]:
        return {**_EMPTY, "file": self.file, "block": self.block, "by_line": self.by_line, **columns}


class _Page:
    """Staged rows on their way out."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    @property
    def full(self) -> bool:
        return len(self._rows) >= _PAGE

    def take(self) -> pl.DataFrame:
        frame = pl.DataFrame(self._rows, schema=STAGED)
        self._rows = []
        return frame

    def add(self, part: _Part, items: Iterable[Entry | Reject]) -> None:
        for item in items:
            part.seq += 1
            if isinstance(item, Reject):
                self._rows.append(part.row(
                    what=REJECT, seq=part.seq, pos=item.line, record=item.record, level=item.level, category=item.category,
                    reason=item.reason,
                ))  # fmt: skip
                continue
            (row,) = flat_rows([item])
            if row.kind in RESOURCE_TYPES and row.kind not in LAYOUTS:
                part.ignored += 1
                continue
            self._rows.append(_staged(part, row, component=False))
            self._rows += [_staged(part, component_row(row, each), component=True) for each in row.components or ()]

    def close(self, part: _Part) -> None:
        """Say what was counted."""
        if part.ignored:
            self._rows.append(part.row(what=IGNORED, n=part.ignored))
        if part.lines:
            self._rows.append(part.row(what=LINES, n=part.lines))


def _staged(part: _Part, row: Row, *, component: bool) -> dict[str, Any]:
    typed = dict(zip(_TYPED, (row.kind, row.id, row.subject, *typed_values(row)), strict=True))
    more: dict[str, Any] = {}
    if row.kind == "Patient":
        born = read_birth_date(row.start)
        more = {"born": born, "sex": read_sex(row.parts.get("gender")), "bad_time": row.start is not None and born is None}
    elif row.kind == "Medication" and row.parts.get("code") is not None:
        more = {"drug": orjson.dumps(row.parts["code"]).decode()}
    elif row.kind in MEDICATION_TYPES and "medicationCodeableConcept" not in row.parts:
        more = {"needs": reference_id(row.parts.get("medicationReference"))}
    packed = orjson.dumps(row.parts, option=orjson.OPT_SORT_KEYS).decode()
    return part.row(what=ROW, seq=part.seq, pos=row.place, component=component, updated=row.updated, k=packed, **{**typed, **more})
