"""Writes events as a MEDS dataset, for the tools that read MEDS (MEDS-Transforms, ACES).

Every batch becomes one shard of whole subjects. The columns that a clinical rule needs beyond MEDS go along as extra columns,
so that reading the dataset back gives the same events.
MEDS: https://github.com/Medical-Event-Data-Standard/meds
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from calcinosis.events import EVENT_SCHEMA, REJECT_SCHEMA, Batch
from calcinosis.knowledge.model import Concept
from calcinosis.sources.meds import EXACT
from calcinosis.sources.meds_codes import BIRTH
from calcinosis.sources.meds_events import SUBJECT_CODE

MEDS_VERSION: Final = "0.4.1"  # of the format that is written
_SEX: Final = {"female": "GENDER//F", "male": "GENDER//M"}
_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9]\d{0,17}")
_FIRST_NUMBER: Final = 1 << 62  # for ids that are no numbers in a source whose first batch held numbers only: no hospital counts so far
_ARROW: Final = pa.schema([
    pa.field("subject_id", pa.int64(), nullable=False), ("time", pa.timestamp("us")), pa.field("code", pa.string(), nullable=False),
    ("numeric_value", pa.float32()), ("text_value", pa.large_string()), (EXACT, pa.float64()), ("end_time", pa.timestamp("us")),
    ("unit", pa.string()), ("comparator", pa.string()), ("flag", pa.string()), ("range_low", pa.float64()),
    ("range_high", pa.float64()), ("concept", pa.string()), ("certainty", pa.string()), ("sites", pa.list_(pa.string())),
    ("days_before_onset", pa.float64()), ("status", pa.string()), ("source", pa.string()), ("source_file", pa.string()),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """What a conversion wrote and what it could not use."""

    patients: int
    events: int
    records_read: int
    records_used: int
    records_ignored: int
    records_rejected: int
    not_read: Mapping[str, int]


class NothingReadError(ValueError):
    """Nothing of the source could be read, and nothing was written.

    Attributes:
        rejects: why (``REJECT_SCHEMA``).
    """

    def __init__(self, rejects: pl.DataFrame) -> None:
        self.rejects = rejects
        super().__init__("nothing could be read")


def write_meds(batches: Iterable[Batch], folder: Path, concepts: Mapping[str, Concept], *, name: str) -> Written:
    """Write a dataset: ``data/N.parquet``, and in ``metadata/`` the codes, what the dataset is, and the ids where they are no integers.

    Args:
        name: of the dataset.

    Raises:
        NothingReadError: no record could be read.
        ValueError: the folder holds something already, or a patient stands in two batches. In either case nothing is left behind.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: is not empty; a dataset is written into a new folder")
    numbers = _Numbers()
    codes: dict[str, set[str]] = {}
    rejects = [pl.DataFrame(schema=REJECT_SCHEMA)]
    not_read = Counter[str]()
    shards = events = read = used = ignored = rejected = 0
    with _new_folder(folder):
        for batch in batches:
            read, used = read + batch.records_read, used + batch.records_used
            ignored, rejected = ignored + batch.records_ignored, rejected + batch.records_rejected
            rejects.append(batch.rejects)
            not_read.update(batch.not_read)
            if batch.patients.is_empty():
                continue
            rows = _rows(batch, numbers.of(batch.patients["subject_id"].to_list()))
            for code, concept in rows.select("code", "concept").unique().iter_rows():
                codes.setdefault(code, set()).update([concept] if concept else [])
            pq.write_table(rows.to_arrow().cast(_ARROW), folder / "data" / f"{shards}.parquet", compression="zstd")
            shards, events = shards + 1, events + batch.events.height
        if not numbers.known and used + ignored == 0:
            raise NothingReadError(pl.concat(rejects))
        _write_codes(codes, concepts, folder / "metadata" / "codes.parquet")
        numbers.write(folder / "metadata" / "subject_ids.parquet")
        (folder / "metadata" / "dataset.json").write_bytes(_about(name))
        pl.concat(rejects).write_parquet(folder / "metadata" / "rejects.parquet")
    return Written(len(numbers.known), events, read, used, ignored, rejected, not_read)


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Folders for data and metadata, which are gone again when the block fails, and so are the folders made above them."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    parts = [folder / "data", folder / "metadata"]
    try:
        for part in parts:
            part.mkdir(parents=True)
        yield
    except BaseException:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # another program may have put something there
            for each in made:
                each.rmdir()
        raise


def _rows(batch: Batch, numbers: Mapping[str, int]) -> pl.DataFrame:
    """Static rows first, then by time; the events of one moment keep their order."""
    people = batch.patients
    static = [
        people.select("subject_id", pl.lit(SUBJECT_CODE).alias("code"), "source", "source_file"),
        people.filter(pl.col("sex").is_in(list(_SEX))).select("subject_id", pl.col("sex").replace_strict(_SEX).alias("code")),
        people.filter(pl.col("birth_date").is_not_null()).select(
            "subject_id", pl.col("birth_date").cast(pl.Datetime("us")).alias("time"), pl.lit(BIRTH).alias("code")
        ),
    ]
    events = batch.events.filter(pl.col("subject_id").is_in(people["subject_id"].implode())).select(list(EVENT_SCHEMA))
    events = events.with_columns(pl.col("numeric_value").alias(EXACT), pl.coalesce("code", pl.lit("text/")).alias("code"))
    rows = pl.concat([*static, events], how="diagonal").with_columns(
        pl.col("subject_id").replace_strict(numbers, return_dtype=pl.Int64), pl.col("numeric_value").cast(pl.Float32)
    )
    return rows.sort("subject_id", "time", nulls_last=False, maintain_order=True).select(_ARROW.names)


class _Numbers:
    """The integer that MEDS wants for every patient: the id itself where all of them are integers, else counted from 1."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._keeps: bool | None = None
        self._next = 1

    def of(self, ids: list[str]) -> dict[str, int]:
        if self._keeps is None:
            self._keeps = all(_WHOLE_NUMBER.fullmatch(each) for each in ids)
            self._next = _FIRST_NUMBER if self._keeps else 1
        found = {}
        for each in ids:
            if each in self.known:
                raise ValueError(f"{each}: a patient in two batches; a source hands over whole patients")
            if self._keeps and _WHOLE_NUMBER.fullmatch(each):
                found[each] = int(each)
            else:
                found[each], self._next = self._next, self._next + 1
            self.known[each] = found[each]
        return found

    def write(self, path: Path) -> None:
        if any(str(number) != name for name, number in self.known.items()):
            names = pl.DataFrame({"subject_id": list(self.known.values()), "source_subject_id": list(self.known)})
            names.write_parquet(path)


def _write_codes(codes: Mapping[str, set[str]], concepts: Mapping[str, Concept], path: Path) -> None:
    """Each code with the concepts it stood for as parents, ``CALCINOSIS/<concept key>``, and those as codes of their own."""
    names = sorted({concept for found in codes.values() for concept in found})
    lines: list[tuple[str, str | None, list[str]]] = [
        (code, _description(found, concepts), [f"CALCINOSIS/{each}" for each in sorted(found)]) for code, found in sorted(codes.items())
    ]
    lines += [(f"CALCINOSIS/{name}", concepts[name].label if name in concepts else None, []) for name in names]
    schema = pa.schema([
        pa.field("code", pa.string(), nullable=False), ("description", pa.string()), ("parent_codes", pa.list_(pa.string())),
    ])  # fmt: skip
    columns = [pa.array([line[place] for line in lines], field.type) for place, field in enumerate(schema)]
    pq.write_table(pa.table(columns, schema=schema), path)


def _description(found: set[str], concepts: Mapping[str, Concept]) -> str | None:
    return "; ".join(concepts[each].label for each in sorted(found) if each in concepts) or None


def _about(name: str) -> bytes:
    return orjson.dumps(
        {
            "dataset_name": name, "etl_name": "calcinosis", "etl_version": version("calcinosis"), "meds_version": MEDS_VERSION,
            "created_at": datetime.now(UTC).isoformat(), "code_modifier_columns": ["unit", "certainty", "status"],
            "raw_source_id_columns": ["source", "source_file"],
            "other_extension_columns": [
                EXACT, "end_time", "comparator", "flag", "range_low", "range_high", "concept", "sites", "days_before_onset",
            ],
        },
        option=orjson.OPT_INDENT_2,
    )  # fmt: skip
