"""The Spark engine: a cluster of workers, each assessing whole patients with the functions of every other engine.

Rows come as a DataFrame with a column ``bucket``; all rows of a patient are in one bucket, and a bucket holds many patients. Only
public, DataFrame-level calls are used, so that it runs over Spark Connect too. No event ever reaches the driver.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import polars as pl
import pyarrow as pa

from calcinosis.engines.cohort import Cohort, account_of, new_summary, result_tables, write_summary, write_unmapped
from calcinosis.engines.rows import Asked, assessed, explained
from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.loading import uncollected
from calcinosis.reasoning.plan import make_plan
from calcinosis.spark_types import arrow_table, ddl, decoded, uri

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BUCKET: Final = "bucket"
ROWS_PER_BUCKET: Final = 50_000  # rows of the source that one call assesses together: enough to work in columns, little memory
STAGING: Final = "_calcinosis_staging"
_RESULT: Final = "name string, part binary"
_ACCOUNT: Final = "account"
_UNREADABLE: Final = re.compile(
    r"(?:Encountered error while reading file|Could not read footer for file:?) (\S+?)\.?(?:\s|$)", re.IGNORECASE
)
_AT_ONCE: Final = 4  # jobs that write tables
_MOST_UNREADABLE: Final = 50  # files taken out one by one; more, and the source itself is broken


Read = Callable[[Sequence[str]], "tuple[DataFrame, Callable[[pa.Table], Batch], Batch | None]"]


class SparkError(ValueError):
    """Spark could not finish the run; says why in one line."""


@contextmanager
def spark_session(master: str | None = None) -> Iterator[SparkSession]:
    """The session that is running, or a new one, which ends with the block.

    Args:
        master: "local[4]", "spark://host:7077", "yarn" ...; default: what Spark's own configuration says.

    Raises:
        SparkError: PySpark or Java is missing, the master cannot be reached, or a session with another master is running.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise SparkError("the Spark engine needs PySpark: pip install 'calcinosis[spark]'") from None
    running = SparkSession.getActiveSession()
    if running is not None:
        if master not in (None, running.conf.get("spark.master", None)):
            raise SparkError(f"a Spark session is running already; the master {master} is for a new one: leave it out, or stop the session")
        yield running
        return
    builder = SparkSession.builder.appName("calcinosis").config("spark.executorEnv.POLARS_MAX_THREADS", "1")
    builder = builder.config("spark.log.level", "ERROR").config("spark.ui.showConsoleProgress", "false")
    if master is not None:
        builder = builder.master(master)
    configured = "SPARK_HOME" in os.environ or "SPARK_CONF_DIR" in os.environ
    if (master or ("" if configured else "local")).startswith("local"):  # workers on this machine: this Python, not the first of the path
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        session = builder.getOrCreate()
    except (PySparkException, OSError) as error:
        raise SparkError(f"no Spark session: {one_line(error)}") from None
    try:
        yield session
    finally:
        session.stop()


def screen_rows(
    spark: SparkSession,
    read: Read,
    folder: Path,
    knowledge: Knowledge,
    *,
    source: str,
    as_of: datetime | None = None,
    closed_world: frozenset[str] = frozenset(),
    aside: Batch | None = None,
) -> Cohort:
    """Assess the rows of a source on a cluster, and write the tables that every engine writes.

    Args:
        read: gives the rows, with a column ``bucket``; what makes a batch of the rows of one bucket, which travels to the workers;
            and a batch with the account of what is in no bucket, or None. Called again, with the names of the files to leave out, when
            Spark finds one that it cannot read.
        folder: seen by the driver and by all workers.
        aside: the account of files that ``read`` does not open.

    Raises:
        SparkError: the run failed for another reason than a file that cannot be read.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    asked = Asked(as_of, closed_world)
    summary = new_summary(source, knowledge, as_of, closed_world)
    staging = folder / STAGING
    start = time.perf_counter()
    try:
        parts, rest, unreadable = _assessed_parts(spark, read, knowledge, asked, staging)
        summary.seconds["assess"] = round(time.perf_counter() - start, 3)
        start = time.perf_counter()
        beside = [assessed(each, knowledge) for each in (aside, rest) if each is not None]
        extra = [(decoded(file), None, None, "error", "unreadable", reason) for file, reason in unreadable]
        extra += [row for each in beside for row in each.rejects.rows()]
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as jobs:  # small jobs: one after the other they would wait for the driver
            tables = result_tables(knowledge).items()
            writing = [
                jobs.submit(_write_table, spark, parts, name, folder / file, schema, extra if name == "rejects" else [])
                for name, (file, schema) in tables
            ]
            counting = jobs.submit(_unmapped, parts)
        for job in writing:
            job.result()
        for row in parts.where(parts.name == _ACCOUNT).select("part").toLocalIterator():
            summary.add(orjson.loads(bytes(row["part"])))
        for each in beside:
            summary.add(account_of(each))
        summary.records_read += len(unreadable)
        summary.records_rejected += len(unreadable)
        write_unmapped([counting.result(), *(each.unmapped for each in beside)], folder / "unmapped.csv")
    except Exception as error:
        raise _explained(error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    summary.seconds["write"] = round(time.perf_counter() - start, 3)
    write_summary(summary, folder)
    return Cohort(folder=folder, summary=summary)


def _assessed_parts(
    spark: SparkSession, read: Read, knowledge: Knowledge, asked: Asked, staging: Path
) -> tuple[DataFrame, Batch | None, list[tuple[str, str]]]:
    """Assess every bucket once, and keep what comes of it on disk; files that Spark cannot read are left out and named.

    Returns:
        name of a table and a part of it in Arrow's format; the account of what is in no bucket; (file, reason).
    """
    unreadable: list[tuple[str, str]] = []
    kept = str(staging / "parts")
    while True:
        try:
            rows, to_batch, rest = read([file for file, _ in unreadable])
            assess_bucket = _function(_Task(pickle.dumps((to_batch, knowledge), pickle.HIGHEST_PROTOCOL), asked))
            rows.groupBy(BUCKET).applyInArrow(assess_bucket, _RESULT).write.mode("overwrite").partitionBy("name").parquet(uri(kept))
            break
        except Exception as error:
            found = unreadable_file(error)
            if found is None or found[0] in dict(unreadable) or len(unreadable) >= _MOST_UNREADABLE:
                raise
            unreadable.append(found)
    return spark.read.schema("part binary, name string").parquet(uri(kept)), rest, unreadable


def _function(task: _Task) -> Callable[[pa.Table], pa.Table]:
    """A plain function: Spark counts arguments, and would count ``self``."""

    def assess_bucket(table: pa.Table) -> pa.Table:
        return task(table)

    return assess_bucket


def unreadable_file(error: Exception) -> tuple[str, str] | None:
    """(file, reason) when Spark failed because of a file that it could not read."""
    text = str(error)
    named = _UNREADABLE.search(text)
    if named is None:
        return None
    causes = re.findall(r"Caused by: \S+?(?:Exception|Error): ([^\n]+)", text[named.end() :])
    reason = next((cause for cause in reversed(causes) if named[1] not in cause), "damaged")
    return named[1], f"the file cannot be read: {reason[:200]}"


def one_line(error: Exception) -> str:
    """What Spark says, without its stack."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _explained(error: Exception) -> SparkError:
    if isinstance(error, SparkError):
        return error
    file = unreadable_file(error)
    text = str(error)
    own = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception): .+)$", text, re.MULTILINE)
    return SparkError(f"Spark could not finish: {f'{file[0]}: {file[1]}' if file else (own[-1][:300] if own else one_line(error))}")


# --- in the workers ----------------------------------------------------------------------------------------


_loaded: dict[str, tuple[Callable[[pa.Table], Batch], Knowledge]] = {}


@dataclass
class _Task:
    """What a worker does with a bucket. The payload is unpacked once per Python process."""

    payload: bytes  # what makes a batch, and the knowledge
    asked: Asked

    def __post_init__(self) -> None:
        self.key = sha256(self.payload).hexdigest()

    def __call__(self, table: pa.Table) -> pa.Table:
        to_batch, knowledge = self._ready()
        part = assessed(to_batch(table), knowledge, self.asked)
        told = explained([part.concerned], knowledge, self.asked)
        frames = {field.name: getattr(each, field.name) for each in (part, told) for field in fields(each)}
        named = {name: _packed(frame) for name, frame in frames.items() if isinstance(frame, pl.DataFrame) and frame.height}
        named[_ACCOUNT] = orjson.dumps(account_of(part))
        return pa.table({"name": pa.array(list(named), pa.string()), "part": pa.array(list(named.values()), pa.binary())})

    def _ready(self) -> tuple[Callable[[pa.Table], Batch], Knowledge]:
        if self.key not in _loaded:
            os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one Python process per core already
            _loaded.clear()
            with uncollected():
                _loaded[self.key] = pickle.loads(self.payload)
                make_plan(_loaded[self.key][1])
        return _loaded[self.key]


def _packed(frame: pl.DataFrame) -> bytes:
    return frame.write_ipc_stream(None, compression="zstd", compat_level=pl.CompatLevel.oldest()).getvalue()


@dataclass
class _Unpack:
    """From parts to the rows of one table."""

    schema: Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for part in batch.column("part"):
                yield from arrow_table(pl.read_ipc_stream(part.as_py()), self.schema).to_batches()


# --- back on the driver ------------------------------------------------------------------------------------


def _write_table(spark: SparkSession, parts: DataFrame, name: str, path: Path, schema: Schema, more: Sequence[tuple[Any, ...]]) -> None:
    rows = parts.where(parts.name == name).select("part").mapInArrow(_Unpack(schema), ddl(schema))
    if more:
        rows = rows.union(spark.createDataFrame(list(more), ddl(REJECT_SCHEMA)))
    if path.is_file():
        path.unlink()
    rows.write.mode("overwrite").option("compression", "zstd").parquet(uri(str(path)))
    for beside in path.iterdir():  # Spark's marks and checksums: readers of Parquet folders stumble over them
        if beside.suffix != ".parquet":
            beside.unlink()


def _unmapped(parts: DataFrame) -> pl.DataFrame:
    """Codes that nobody knows, added up by Spark."""
    rows = parts.where(parts.name == "unmapped").select("part").mapInArrow(_Unpack(UNMAPPED_SCHEMA), ddl(UNMAPPED_SCHEMA))
    keys = [name for name in UNMAPPED_SCHEMA if name != "n"]
    counted = rows.groupBy(*keys).sum("n").collect()
    return pl.DataFrame([tuple(row) for row in counted], schema=UNMAPPED_SCHEMA, orient="row")
