"""An OMOP CDM on Spark: Parquet tables. Which rows matter is asked as of every CDM; only those reach the workers, by bucket of persons."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch, Schema
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_database import KNOWN, Cdm
from calcinosis.sources.omop_events import PERSON, OmopMapper
from calcinosis.sources.omop_selection import select
from calcinosis.sources.omop_tables import RAW, Column, Columns, Dialect
from calcinosis.sources.spark_fhir import in_buckets, list_files
from calcinosis.sources.text import TextReader
from calcinosis.spark_types import arrow_schema, decoded, globbed, shown

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TABLE: Final = "table"
_ROWS: Final[Schema] = {_TABLE: pl.String, **RAW, **PERSON}  # one shape for the rows of every table
_TOKEN: Final = re.compile(r"'((?:[^']|'')*)'|\"([^\"]+)\"|\b(VARCHAR|DOUBLE PRECISION|TIMESTAMP)\b")
_TYPES: Final = {"VARCHAR": "STRING", "DOUBLE PRECISION": "DOUBLE", "TIMESTAMP": "TIMESTAMP_NTZ"}


@dataclass(frozen=True, slots=True)
class SparkOmop:
    """The relevant rows of a CDM by bucket, for :func:`calcinosis.engines.spark.screen_rows`."""

    spark: SparkSession
    source: str
    index: ConceptIndex
    reader: TextReader
    rows_per_bucket: int

    def __call__(self, without: Sequence[str]) -> tuple[DataFrame, Callable[[pa.Table], Batch], Batch]:
        """The rows, what makes a batch of them, and the account of the rows that matter to no rule.

        Raises:
            ValueError: no table ``person``, no vocabulary, tables that are not Parquet.
        """
        from pyspark.sql import functions as f

        cdm = SparkCdm(self.spark, self.source, {decoded(path) for path in without})
        chosen = select(cdm, self.index, self.reader)
        asked = {name: cdm.ask(query) for name, query in {**chosen.queries, "person": cdm.person_query()}.items()}
        frames = [frame.withColumn(_TABLE, f.lit(name)) for name, frame in asked.items()]
        rows = frames[0]
        for frame in frames[1:]:
            rows = rows.unionByName(frame, allowMissingColumns=True)
        for column in set(_ROWS) - set(rows.columns):
            rows = rows.withColumn(column, f.lit(None).cast("string"))
        fetched = {name: _counted(asked[name]) for name in chosen.queries}
        ignored, unmapped = chosen.left(fetched.__getitem__)
        expected = cdm.count("person") + sum(n for counts in fetched.values() for *_, n in counts)
        rest = Batch(
            patients=pl.DataFrame(schema=PATIENT_SCHEMA), events=pl.DataFrame(schema=EVENT_SCHEMA), unmapped=unmapped,
            records_read=ignored, records_ignored=ignored, not_read=dict(chosen.not_read),
        )  # fmt: skip
        return in_buckets(rows, "person_id", expected, self.rows_per_bucket), ManyPersons(chosen.mapper), rest


def _counted(rows: DataFrame) -> list[tuple[Any, ...]]:
    """How many rows of each concept, source concept and words."""
    names = [name for name in ("concept_id", "source_concept_id", "source_value") if name in rows.columns]
    found = (row.asDict() for row in rows.groupBy(*names).count().collect())
    return [(row.get("concept_id"), row.get("source_concept_id"), row.get("source_value"), row["count"]) for row in found]


class ManyPersons:
    """The rows of a bucket to a batch. Can be pickled."""

    def __init__(self, mapper: OmopMapper) -> None:
        self._mapper = mapper

    def __call__(self, table: pa.Table) -> Batch:
        typed = table.select(list(_ROWS)).cast(arrow_schema(_ROWS))
        rows = pl.DataFrame(pl.from_arrow(typed))
        tables = {str(name): part for (name,), part in rows.group_by(_TABLE, maintain_order=True)}
        return self._mapper.batch({
            name: part.select(pl.col(column).cast(kind) for column, kind in (PERSON if name == "person" else RAW).items())
            for name, part in tables.items()
        })  # fmt: skip


class SparkCdm(Cdm):
    """Parquet tables that Spark reads: ``measurement.parquet``, a folder of that name, or a folder ``measurement``."""

    def __init__(self, spark: SparkSession, source: str, gone: set[str]) -> None:
        self.dialect = Dialect(tries=True)
        self.shown = source
        self._spark = spark
        files: dict[str, list[str]] = {}
        for file in list_files(spark, [source]):
            parts = PurePosixPath(shown(file.path)).parts
            named = (re.sub(r"\.parquet$", "", part.lower()) for part in reversed(parts[-2:]))
            table = next((name for name in named if name in KNOWN), None)
            if table and file.path.endswith(".parquet") and shown(file.path) not in gone:
                files.setdefault(table, []).append(file.path)
        self._frames = {table: spark.read.parquet(*map(globbed, paths)) for table, paths in files.items()}
        self._files = {table: shown(paths[0] if len(paths) == 1 else str(PurePosixPath(paths[0]).parent)) for table, paths in files.items()}
        for table, frame in self._frames.items():
            frame.createOrReplaceTempView(self.place(table))
        self.tables = frozenset(files)

    def columns(self, table: str) -> Columns:
        return {name.lower(): Column(f'"{name}"', kind) for name, kind in self._frames[table].dtypes}

    def ask(self, sql: str) -> DataFrame:
        """A query in the words of the other CDMs."""
        return self._spark.sql(in_spark(sql))

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.ask(sql).collect()]

    def place(self, table: str) -> str:
        return f"calcinosis_cdm_{table}"

    def file_of(self, table: str) -> str:
        return self._files.get(table, f"{self.shown}:{table}")


def in_spark(sql: str) -> str:
    """SQL as DuckDB and PostgreSQL take it, in Spark's spelling of texts, names and types."""

    def spelled(token: re.Match[str]) -> str:
        text, name, kind = token.groups()
        if text is not None:
            return "'" + text.replace("''", "'").replace("\\", "\\\\").replace("'", "\\'") + "'"
        return f"`{name}`" if name else _TYPES[kind]

    return _TOKEN.sub(spelled, sql)
