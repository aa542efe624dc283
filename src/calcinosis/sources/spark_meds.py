"""A MEDS dataset on Spark: which codes mean something is asked once; only their rows reach the workers, by bucket of subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch, Schema
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.meds import EXACT, NEEDED, NO_METADATA, SPELLINGS, column_of, divided_subjects, metadata_file, renamed
from calcinosis.sources.meds_events import FILE, MEDS_ROWS, ROW, MedsMapper
from calcinosis.sources.spark_fhir import in_buckets, list_files
from calcinosis.sources.text import TextReader
from calcinosis.spark_types import ddl, decoded, globbed, shown

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FILES: Final = "_files"  # in how many shards a subject stands; null on rows of the dataset
_NAME: Final = "_name"  # the id that a subject had before this program numbered it
_HOW: Final[Schema] = {"code": pl.String, "_how": pl.String}


@dataclass(frozen=True, slots=True)
class SparkMeds:
    """The rows of a dataset that say something, and one for each subject, for :func:`calcinosis.engines.spark.screen_rows`."""

    spark: SparkSession
    source: str
    index: ConceptIndex
    reader: TextReader
    rows_per_bucket: int

    def __call__(self, without: Sequence[str]) -> tuple[DataFrame, Callable[[pa.Table], Batch], Batch]:
        """The rows, what makes a batch of them, and the account of the rows that are not read.

        Raises:
            ValueError: there is no shard, or its columns are not those of MEDS.
        """
        from pyspark.sql import functions as f

        gone = {decoded(path) for path in without}
        listed = [file.path for file in list_files(self.spark, [self.source]) if file.path.endswith(".parquet")]
        data = [path for path in listed if "metadata" not in PurePosixPath(path).parts]
        in_data = [path for path in data if shown(path).startswith(f"{shown(globbed(self.source)).rstrip('/')}/data/")]
        shards = [path for path in in_data or data if shown(path) not in gone]
        if not shards:
            raise ValueError(f"{self.source}: no MEDS data: no Parquet file in it or in its folder data/ that can be read")
        rows = self._rows(shards)
        mapper = MedsMapper(self.index, self.reader, self._codes(listed))
        usable = f.col("subject_id").isNotNull() & f.col("code").isNotNull()
        counts = [row["code"] for row in rows.select("code").distinct().collect()]
        every, texts = mapper.wanted(pl.Series(counts, dtype=pl.String))
        how = self.spark.createDataFrame([*((code, "all") for code in every), *((code, "text") for code in texts)], ddl(_HOW))
        marked = rows.join(f.broadcast(how), "code", "left")
        told = f.col("text_value").isNotNull() if "text_value" in rows.columns else f.lit(False)
        given = f.col("concept").isNotNull() if "concept" in rows.columns else f.lit(False)
        wanted = f.coalesce((f.col("_how") == "all") | ((f.col("_how") == "text") & told), f.lit(False)) | given
        aside = marked.where(usable & ~wanted).groupBy("code").count().collect()
        rest = Batch(patients=pl.DataFrame(schema=PATIENT_SCHEMA), events=pl.DataFrame(schema=EVENT_SCHEMA))
        if self._metadata("codes.parquet", listed) is None:
            rest.not_read = dict(NO_METADATA)
        mapper.set_aside(rest, {row["code"]: row["count"] for row in aside})
        kept = marked.where(wanted | ~usable).drop("_how")
        subjects = rows.where(usable).groupBy("subject_id").agg(
            f.min(FILE).alias(FILE), f.count_distinct(FILE).cast("int").alias(_FILES), f.min(ROW).alias(ROW)
        )  # fmt: skip
        subjects = self._named(subjects, listed)
        everything = kept.unionByName(subjects, allowMissingColumns=True)
        key = f.coalesce("subject_id", f.lit(""))
        return in_buckets(everything, key, kept.count() + subjects.count(), self.rows_per_bucket), ManySubjects(mapper), rest

    def _rows(self, shards: Sequence[str]) -> DataFrame:
        from pyspark.sql import functions as f

        read = self.spark.read.option("mergeSchema", "true").parquet(*map(globbed, shards))
        missing = [name for name in NEEDED if name not in read.columns]
        if missing:
            raise ValueError(f"{self.source}: no column {', '.join(missing)}; MEDS data has {', '.join(NEEDED)}")
        known = [name for name in read.columns if name in MEDS_ROWS or name in SPELLINGS or name == EXACT]
        columns = [f.col(name).cast("string") if name == "subject_id" else f.col(name) for name in known]
        return read.select(
            *columns, f.col("_metadata.file_path").alias(FILE), (f.col("_metadata.row_index") + 1).alias(ROW)
        )  # fmt: skip

    def _codes(self, listed: Sequence[str]) -> pl.DataFrame:
        schema: Schema = {"code": pl.String, "description": pl.String, "parent_codes": pl.List(pl.String)}
        file = self._metadata("codes.parquet", listed)
        if file is None:
            return pl.DataFrame(schema=schema)
        codes = self.spark.read.parquet(globbed(file))
        there = [name for name in schema if name in codes.columns]
        found = [row.asDict() for row in codes.select(*there).where("code IS NOT NULL").collect()]
        return pl.DataFrame([{name: row.get(name) for name in schema} for row in found], schema=schema)

    def _named(self, subjects: DataFrame, listed: Sequence[str]) -> DataFrame:
        from pyspark.sql import functions as f

        file = self._metadata("subject_ids.parquet", listed)
        if file is None:
            return subjects.withColumn(_NAME, f.lit(None).cast("string"))
        names = self.spark.read.parquet(globbed(file))
        before = names.select(f.col("subject_id").cast("string"), f.col("source_subject_id").cast("string").alias(_NAME))
        return subjects.join(before, "subject_id", "left")

    def _metadata(self, name: str, listed: Sequence[str]) -> str | None:
        inside = next((path for path in listed if path.endswith(f"/metadata/{name}")), None)
        beside = metadata_file(Path(self.source).absolute(), name)  # when only data/ was named
        return inside or (str(beside) if beside else None)


class ManySubjects:
    """The rows of a bucket to a batch. Can be pickled."""

    def __init__(self, mapper: MedsMapper) -> None:
        self._mapper = mapper

    def __call__(self, table: pa.Table) -> Batch:
        frame: Any = pl.from_arrow(table)
        names = {path: decoded(path) for path in frame[FILE].unique().drop_nulls()}
        frame = frame.with_columns(pl.col(FILE).replace(names))
        subjects = frame.filter(pl.col(_FILES).is_not_null()).sort(FILE, ROW)
        rows = frame.filter(pl.col(_FILES).is_null()).drop(_FILES, _NAME, "bucket").sort(FILE, ROW)
        rows = rows.rename({old: new for old, new in SPELLINGS.items() if old in rows.columns and new not in rows.columns})
        rows = rows.select(column_of(name, dtype, rows.schema) for name, dtype in MEDS_ROWS.items())
        batch = self._mapper.batch(rows, subjects.select("subject_id", FILE))
        divided = subjects.filter(pl.col(_FILES) > 1)
        if divided.height:
            batch.rejects = pl.concat([batch.rejects, divided_subjects(divided)])
        before = subjects.filter(pl.col(_NAME).is_not_null()).select("subject_id", pl.col(_NAME).alias("source_subject_id"))
        return renamed(batch, before) if before.height else batch
