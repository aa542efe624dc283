"""What a folder holds beside the one format that it is read as: every such file is told, because nothing is lost silently."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, REJECT_SCHEMA, Batch
from calcinosis.sources.meds import NEEDED, root_of, shards_of
from calcinosis.sources.omop_database import ENDINGS, KNOWN, tables_in
from calcinosis.sources.phenopacket import is_phenopacket
from calcinosis.sources.spool import HEAD, READ_ERRORS, find_files, is_gzip, open_file

ReadAs = Literal["omop", "meds", "phenopacket"]

_NAMES: Final[dict[ReadAs, str]] = {"omop": "OMOP", "meds": "MEDS", "phenopacket": "phenopackets"}
_FHIR: Final = re.compile(rb'"resourceType"\s*:\s*"[A-Z]')
_LARGEST_PHENOPACKET: Final = 16_000_000  # bytes


def left_aside(source: Path, read_as: ReadAs) -> Batch:
    """The account of the files below a folder that its reader does not open; nobody is in it.

    A file of a format that this program reads counts as one rejected record. Any other is a warning, but not in a CDM: it has tables
    that no rule reads.
    """
    own, named = _own(source, read_as), _NAMES[read_as]
    tables = set(tables_in(source)) if read_as == "omop" and source.is_dir() else set()
    rejects: list[tuple[str, None, None, str, str, str]] = []
    not_read = Counter[str]()
    for file in find_files([source])[0] if source.is_dir() else []:
        if own(file):
            continue
        what = format_of(file)
        if what == "OMOP" and tables & _tables_named(file):
            rejects.append((str(file), None, None, "warning", "other_file", "not read: its table is read from another file"))
        elif what:
            reason = f"{what} in a folder that is read as {named}: not read; name it as a source of its own"
            rejects.append((str(file), None, None, "error", "other_format", reason))
            not_read[f"{what} files beside {named}"] += 1
        elif not (read_as == "omop" and _is_table(file)):
            rejects.append((str(file), None, None, "warning", "other_file", f"not read: no file of {named}"))
    errors = not_read.total()
    return Batch(
        patients=pl.DataFrame(schema=PATIENT_SCHEMA), events=pl.DataFrame(schema=EVENT_SCHEMA),
        rejects=pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row"), records_read=errors, records_rejected=errors,
        not_read=dict(not_read),
    )  # fmt: skip


def _own(source: Path, read_as: ReadAs) -> Callable[[Path], bool]:
    """Whether the reader opens a file, or the format has it without patients in it."""
    if not source.is_dir():
        return lambda _: True
    match read_as:
        case "meds":
            shards, root = set(shards_of(source)), root_of(source)
            return lambda file: file in shards or root / "metadata" in file.parents
        case "omop":
            tables = set(tables_in(source).values())
            return lambda file: file in tables or bool(tables & set(file.parents))
        case "phenopacket":
            return lambda file: file.suffix == ".json"


def format_of(file: Path) -> str | None:
    """The format whose records a file holds, by its content; None: none that is read."""
    name = file.name.lower()
    try:
        if name.endswith(".parquet") and set(NEEDED) <= set(pq.read_schema(file).names):
            return "MEDS"
        if _is_table(file):
            return "OMOP" if _tables_named(file) else None
        if name.endswith((".duckdb", ".ddb")):
            return "DuckDB"
        with open_file(file, is_gzip(file)) as stream:
            head = stream.read(HEAD)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return None
        if _FHIR.search(head):
            return "FHIR"
        record = orjson.loads(file.read_bytes()) if file.stat().st_size <= _LARGEST_PHENOPACKET else None
        return "phenopackets" if isinstance(record, dict) and is_phenopacket(record) else None
    except (*READ_ERRORS, pa.ArrowException, orjson.JSONDecodeError):
        return None


def _is_table(file: Path) -> bool:
    return file.name.lower().endswith(ENDINGS)


def _tables_named(file: Path) -> frozenset[str]:
    """The CDM tables that a file may hold: by its own name, and for Parquet also by its folder's."""
    name = file.name.lower()
    stem = name.removesuffix(next((ending for ending in ENDINGS if name.endswith(ending)), ""))
    return KNOWN & ({stem, file.parent.name.lower()} if name.endswith(".parquet") else {stem})
