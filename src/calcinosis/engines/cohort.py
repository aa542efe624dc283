"""What a screening leaves behind: a folder of tables and an account, the same whichever engine wrote them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from stat import S_IMODE
from tempfile import mkdtemp
from typing import Any

import orjson
import polars as pl

from calcinosis.engines.course import COURSE_SCHEMA
from calcinosis.engines.rows import COUNTS, Assessed, assessment_schema
from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.option_rows import OPTION_SCHEMA
from calcinosis.options import REVIEW_SCHEMA
from calcinosis.reasoning.explain import REASON_SCHEMA
from calcinosis.spreadsheet import no_formula


def result_tables(knowledge: Knowledge) -> dict[str, tuple[str, Schema]]:
    """Table of :class:`Assessed` or ``Explained`` -> its file and columns. Local: one file each; Spark: a folder of that name."""
    return {
        "assessments": ("assessments.parquet", assessment_schema(knowledge)),
        "reasons": ("reasons.parquet", REASON_SCHEMA),
        "reviews": ("treatment_reviews.parquet", REVIEW_SCHEMA),
        "options": ("treatment_options.parquet", OPTION_SCHEMA),
        "events": ("events.parquet", COURSE_SCHEMA),
        "rejects": ("rejects.parquet", REJECT_SCHEMA),
    }


@dataclass(slots=True)
class Summary:
    """What was read, what was not, and how long it took (``summary.json``)."""

    source: str
    knowledge_version: str
    calcinosis_version: str
    closed_world: list[str]
    as_of: str | None
    records_read: int = 0
    records_used: int = 0
    records_ignored: int = 0
    records_rejected: int = 0
    patients_read: int = 0
    patients_assessed: int = 0
    not_read: dict[str, int] = field(default_factory=dict)
    lab_coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, account: Mapping[str, Any]) -> None:
        """Count one batch of whole patients (:func:`account_of`)."""
        for name in ("records_read", "records_used", "records_ignored", "records_rejected", "patients_read", "patients_assessed"):
            setattr(self, name, getattr(self, name) + account[name])
        for what, n in account["not_read"].items():
            self.not_read[what] = self.not_read.get(what, 0) + n
        for lab, n in account["patients_with_lab"].items():
            self.lab_coverage[lab] = {"patients_with": self.lab_coverage.get(lab, {}).get("patients_with", 0) + n}


def account_of(part: Assessed) -> dict[str, Any]:
    """The account of a batch of whole patients without its tables, as JSON can hold it."""
    held = {each.name: getattr(part, each.name) for each in fields(part)}
    counts = {name: value for name, value in held.items() if not isinstance(value, pl.DataFrame | Batch)}
    return {**counts, "patients_assessed": part.assessments.height}


def new_summary(source: str, knowledge: Knowledge, as_of: datetime | None, closed_world: frozenset[str]) -> Summary:
    """What was asked and what answers; nothing counted yet."""
    return Summary(
        source=source,
        knowledge_version=knowledge.version,
        calcinosis_version=version("calcinosis"),
        closed_world=sorted(closed_world),
        as_of=as_of.isoformat() if as_of else None,
    )


@dataclass(frozen=True, slots=True)
class Cohort:
    """The result of :func:`screen`: where it was written, and the tables to go on with."""

    folder: Path
    summary: Summary

    @property
    def assessments(self) -> pl.DataFrame:
        return self._read("assessments.parquet", COUNTS)

    @property
    def reasons(self) -> pl.DataFrame:
        return self._read("reasons.parquet", REASON_SCHEMA)

    @property
    def treatment_reviews(self) -> pl.DataFrame:
        return self._read("treatment_reviews.parquet", REVIEW_SCHEMA)

    @property
    def treatment_options(self) -> pl.DataFrame:
        return self._read("treatment_options.parquet", OPTION_SCHEMA)

    @property
    def events(self) -> pl.DataFrame:
        return self._read("events.parquet", {})

    @property
    def rejects(self) -> pl.DataFrame:
        return self._read("rejects.parquet", {})

    def _read(self, name: str, types: Schema) -> pl.DataFrame:
        """A table, which is a file or a folder of them. ``types``: of columns that Spark writes wider, having no unsigned numbers."""
        return pl.read_parquet(self.folder / name).with_columns(pl.col(column).cast(kind) for column, kind in types.items())


@contextmanager
def replaced_when_complete(folder: Path) -> Iterator[Path]:
    """A folder to write to, whose files replace those of ``folder`` when the block ends well; else what was there before stays.

    A table is a file, or a folder of them that Spark wrote.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=".unfinished-", dir=folder))
    with suppress(OSError):  # not every mounted file system has modes
        work.chmod(S_IMODE(folder.stat().st_mode))  # workers of a cluster may be other users
    try:
        yield work
        for path in sorted(work.iterdir(), key=lambda path: (path.name == "summary.json", path.name)):
            old = folder / path.name
            if old.is_dir():
                shutil.rmtree(old)
            elif path.is_dir():
                old.unlink(missing_ok=True)
            path.replace(old)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # only where nothing was written
            for each in made:
                each.rmdir()


def write_summary(summary: Summary, folder: Path) -> None:
    summary.lab_coverage = dict(sorted(summary.lab_coverage.items()))
    (folder / "summary.json").write_bytes(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2))


def write_unmapped(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Add up what several batches could not map, the most frequent first."""
    table = pl.concat([pl.DataFrame(schema=UNMAPPED_SCHEMA), *frames])
    keys = [name for name in UNMAPPED_SCHEMA if name != "n"]
    table = table.group_by(keys).agg(pl.col("n").sum()).sort("n", *keys, descending=[True, *[False] * len(keys)])
    table.with_columns(no_formula(name) for name in keys).write_csv(path)
