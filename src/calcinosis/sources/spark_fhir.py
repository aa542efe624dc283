"""FHIR on Spark: every file is read by some worker, and the rows of a patient are brought together.

Plain NDJSON that is large is read in parts, everything else (documents, gzip, small files) whole. What a worker has read is kept as
staged rows; from these Spark finds what only the whole shows: line numbers, ids that occur twice, Medications that others refer to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import pyarrow as pa

from calcinosis.events import Schema
from calcinosis.sources.fhir_columns import READ_TYPES
from calcinosis.sources.fhir_many import ManyPatients
from calcinosis.sources.fhir_staged import LINES, REJECT, ROW, STAGED, stage_file, stage_lines
from calcinosis.spark_types import arrow_table, ddl, decoded, globbed, shown

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

READ_WHOLE: Final = 32 * 2**20  # bytes up to which a file is read whole; larger plain NDJSON is read in parts
_LARGEST_WHOLE: Final = 2**31 - 2**20  # bytes; Spark hands a file over as one value
_LINES_NAME: Final = re.compile(r"\.(?:ndjson|jsonl)$", re.IGNORECASE)
_PER_BATCH: Final = "spark.sql.execution.arrow.maxRecordsPerBatch"
_PLACES: Final[Schema] = {"file": pl.String, "at": pl.Int64}
_BLOCKS: Final[Schema] = {"file": pl.String, "block": pl.Int64, "before": pl.Int64}


class SparkFile(NamedTuple):
    """``path`` as Spark names it; ``size`` in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class SparkFhir:
    """FHIR files as rows by bucket, for :func:`calcinosis.engines.spark.screen_rows`.

    Args:
        staging: a folder that driver and workers share.
        read_whole: bytes up to which a file is read whole.
    """

    spark: SparkSession
    sources: Sequence[str]
    reader: ManyPatients
    staging: str
    rows_per_bucket: int
    read_whole: int = READ_WHOLE

    def __call__(self, without: Sequence[str]) -> tuple[DataFrame, ManyPatients, None]:
        """Read each file once, those in ``without`` not at all; the columns are ``fhir_many.GATHERED`` and "bucket"."""
        gone = {decoded(path) for path in without}
        files = [file for file in list_files(self.spark, self.sources) if shown(file.path) not in gone]
        self._stage(files)
        return self._gathered(files), self.reader, None

    def _stage(self, files: Sequence[SparkFile]) -> None:
        nothing = self.spark.createDataFrame([], ddl(STAGED))
        nothing.write.mode("overwrite").parquet(self.staging)
        in_parts = [file for file in files if file.size > self.read_whole and _LINES_NAME.search(file.path)]
        too_large = [file for file in files if file.size > _LARGEST_WHOLE and file not in in_parts]
        whole = [file for file in files if file not in {*in_parts, *too_large}]
        if too_large:
            reason = f"one document or compressed file of more than {_LARGEST_WHOLE // 2**20} MB; use NDJSON, in several files"
            rejects = [
                {**dict.fromkeys(STAGED), "what": REJECT, "file": shown(file.path), "block": 0, "seq": 1, "by_line": False,
                 "level": "error", "category": "too_large", "reason": reason}
                for file in too_large
            ]  # fmt: skip
            self.spark.createDataFrame([tuple(row.values()) for row in rejects], ddl(STAGED)).write.mode("append").parquet(self.staging)
        if in_parts:
            _lines(self.spark, in_parts).write.mode("append").parquet(self.staging)
        if whole:
            usual = self.spark.conf.get(_PER_BATCH)
            self.spark.conf.set(_PER_BATCH, "1")  # a row is a whole file
            try:
                _whole(self.spark, whole, frozenset(map(decoded, map(globbed, self.sources)))).write.mode("append").parquet(self.staging)
            finally:
                self.spark.conf.set(_PER_BATCH, str(usual))

    def _gathered(self, files: Sequence[SparkFile]) -> DataFrame:
        from pyspark.sql import functions as f

        spark = self.spark
        rows = spark.read.schema(ddl(STAGED)).parquet(self.staging)
        places = spark.createDataFrame([(shown(file.path), at) for at, file in enumerate(files)], ddl(_PLACES))
        rows = _from_the_start(spark, rows).join(f.broadcast(places), "file", "left")
        rows = _without_seconds(rows)
        rows = _with_medications(rows)
        key = f.coalesce("sid", f.concat_ws("/", "file", f.col("block").cast("string")))
        return in_buckets(rows, key, rows.count(), self.rows_per_bucket)


def list_files(spark: SparkSession, sources: Sequence[str]) -> list[SparkFile]:
    """The files named and those in the folders named, in the order of the sources, sorted in each; hidden ones are left out."""
    found: dict[str, SparkFile] = {}
    for source in sources:
        listed = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(globbed(source)).select("path", "length")
        files = [SparkFile(row["path"], row["length"]) for row in listed.collect()]
        found.update((file.path, file) for file in sorted(files, key=lambda file: PurePosixPath(file.path).parts))
    return list(found.values())


def in_buckets(rows: DataFrame, key: Column | str, expected: int, rows_per_bucket: int) -> DataFrame:
    """The rows with a column "bucket", the same for all that have one key; ``expected`` says how many rows that matter there are."""
    from pyspark.sql import functions as f

    return rows.withColumn("bucket", f.pmod(f.xxhash64(key), f.lit(max(1, -(-expected // rows_per_bucket)))))


# --- in the workers ----------------------------------------------------------------------------------------


def _lines(spark: SparkSession, files: Sequence[SparkFile]) -> DataFrame:
    from pyspark.sql import functions as f

    text = spark.read.option("lineSep", "\n").text([globbed(file.path) for file in files])
    parts = text.select(
        f.col("value").cast("binary").alias("line"),
        f.col("_metadata.file_path").alias("file"),
        f.col("_metadata.file_block_start").alias("block"),
    )
    return parts.mapInArrow(_stage_lines, ddl(STAGED))


def _stage_lines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    names: dict[str, str] = {}
    lines = (
        (names.setdefault(file, decoded(file)), block, line)
        for batch in batches
        for line, file, block in zip(*(batch.column(name).to_pylist() for name in ("line", "file", "block")), strict=True)
    )
    for frame in stage_lines(lines):
        yield from arrow_table(frame, STAGED).to_batches()


def _whole(spark: SparkSession, files: Sequence[SparkFile], named: frozenset[str]) -> DataFrame:
    content = spark.read.format("binaryFile").load([globbed(file.path) for file in files]).select("path", "content")
    return content.mapInArrow(_StageFiles(named), ddl(STAGED))


@dataclass(frozen=True, slots=True)
class _StageFiles:
    """``named``: the files that the user named, as opposed to those in folders."""

    named: frozenset[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for path, content in zip(batch.column("path").to_pylist(), batch.column("content"), strict=True):
                name = shown(path)
                for frame in stage_file(name, content.as_py(), named=name in self.named):
                    yield from arrow_table(frame, STAGED).to_batches()


# --- what only the whole shows -----------------------------------------------------------------------------


def _from_the_start(spark: SparkSession, rows: DataFrame) -> DataFrame:
    """Lines counted from the start of the file: a worker that read a later block did not know how many stand before it."""
    from pyspark.sql import functions as f

    before: list[tuple[str, int, int]] = []
    counts = rows.where(rows.what == LINES).select("file", "block", "n").collect()
    lines: dict[str, int] = {}
    for file, block, n in sorted(map(tuple, counts)):
        if lines.get(file):
            before.append((file, block, lines[file]))
        lines[file] = lines.get(file, 0) + n
    if not before:
        return rows
    offsets = f.broadcast(spark.createDataFrame(before, ddl(_BLOCKS)))
    return rows.join(offsets, ["file", "block"], "left").withColumn("pos", f.col("pos") + f.coalesce("before", f.lit(0))).drop("before")


def _without_seconds(rows: DataFrame) -> DataFrame:
    """Mark the records (column "again") of whose type and id another record is newer or, where none is, stands before."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    records = rows.where((rows.what == ROW) & ~rows.component & rows.id.isNotNull() & rows.rt.isin(*READ_TYPES))
    twice = records.groupBy("rt", "id").count().where("count > 1").select("rt", "id")
    if twice.limit(1).count() == 0:
        return rows.withColumn("again", f.lit(False))
    first = Window.partitionBy("rt", "id").orderBy(f.col("updated").desc_nulls_last(), "at", "block", "seq")
    again = records.join(twice, ["rt", "id"], "left_semi").withColumn("nth", f.row_number().over(first)).where("nth > 1")
    marks = again.select("file", "block", "seq", f.lit(True).alias("again"))
    return rows.join(marks, ["file", "block", "seq"], "left").withColumn("again", f.coalesce("again", f.lit(False)))


def _with_medications(rows: DataFrame) -> DataFrame:
    """Give the records that refer to a Medication its code (column "code")."""
    from pyspark.sql import functions as f

    drugs = rows.where(rows.drug.isNotNull() & rows.id.isNotNull() & ~rows.again).groupBy("id").agg(f.min("drug").alias("code"))
    needed = drugs.select(f.col("id").alias("needs"), "code")
    if rows.where(rows.drug.isNotNull()).limit(1).count() == 0:
        return rows.withColumn("code", f.lit(None).cast("string"))
    return rows.join(needed, "needs", "left")
