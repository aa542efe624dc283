"""The local engine: one machine, out of core. DuckDB reads, Polars evaluates, results are appended batch by batch.

Every batch holds whole patients, so batches are independent and their size changes no answer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow.compute  # noqa: F401  (PyArrow would import it with the first table that is written)
import pyarrow.parquet as pq

from calcinosis.assessment import Evaluated, evaluate_batch
from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Status
from calcinosis.options import REVIEW_SCHEMA, review_rows
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.explain import REASON_SCHEMA, explain
from calcinosis.reasoning.workup import missing_tests
from calcinosis.truth import TRUE, Truth

_URGENCIES = ("immediate", "same_day", "urgent")


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
    patients_rejected: int = 0
    not_read: dict[str, int] = field(default_factory=dict)
    lab_coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The result of :func:`screen`: where it was written, and the tables to go on with."""

    folder: Path
    summary: Summary

    @property
    def assessments(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "assessments.parquet")

    @property
    def reasons(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "reasons.parquet")

    @property
    def treatment_reviews(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "treatment_reviews.parquet")

    @property
    def rejects(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "rejects.parquet")


class _Table:
    """A Parquet file that grows by one row group per batch, so that memory stays with the batch."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.empty = pl.DataFrame(schema=schema)
        self.schema = self.empty.to_arrow().schema
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def add(self, frame: pl.DataFrame) -> None:
        if not frame.is_empty():
            self.writer.write_table(frame.select(self.empty.columns).cast(self.empty.schema).to_arrow().cast(self.schema))

    def close(self) -> None:
        self.writer.close()


def assessment_schema(knowledge: Knowledge) -> Schema:
    """Columns of ``assessments.parquet``."""
    return {
        "subject_id": pl.String, "sex": pl.String, "age_years": pl.Float64, "index_time": pl.Datetime("us"), "index_basis": pl.String,
        "lesion_present": pl.Boolean, "mineral_shown": pl.Boolean, "labelled": pl.Boolean,
        "leading": pl.String, "leading_mimic": pl.String, "leading_status": pl.String, "provisional": pl.Boolean, "mixed": pl.Boolean,
        **{f"status_{key}": pl.String for key in knowledge.types}, **{f"subtype_{key}": pl.String for key in knowledge.types},
        "mimics": pl.List(pl.String), "diseases": pl.List(pl.String), "diseases_suspected": pl.List(pl.String),
        "alarms": pl.List(pl.String), "alarm_urgency": pl.String,
        "calciphylaxis_major": pl.UInt8, "calciphylaxis_minor": pl.UInt8, "calciphylaxis_at_risk": pl.Boolean,
        "missing_tests": pl.List(pl.String), "n_warnings": pl.UInt32, "knowledge_version": pl.String,
    }  # fmt: skip


def screen_batches(
    batches: Iterable[Batch],
    folder: Path,
    knowledge: Knowledge,
    *,
    source: str,
    as_of: datetime | None = None,
    closed_world: frozenset[str] = frozenset(),
    on_patients: Callable[[int], None] | None = None,
) -> Cohort:
    """Assess a stream of batches and write ``assessments``, ``reasons``, ``treatment_reviews``, ``rejects``, ``unmapped``, ``summary``.

    Reasons and reviews are written for patients in whom a type or mimic is at least possible, calcium is shown, an alarm fires or the
    risk of calciphylaxis is high; for all others there is nothing to explain but what nobody recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(
        source=source,
        knowledge_version=knowledge.version,
        calcinosis_version=version("calcinosis"),
        closed_world=sorted(closed_world),
        as_of=as_of.isoformat() if as_of else None,
    )
    tables = {
        "assessments": _Table(folder / "assessments.parquet", assessment_schema(knowledge)),
        "reasons": _Table(folder / "reasons.parquet", REASON_SCHEMA),
        "reviews": _Table(folder / "treatment_reviews.parquet", REVIEW_SCHEMA),
        "rejects": _Table(folder / "rejects.parquet", REJECT_SCHEMA),
    }
    unmapped: list[pl.DataFrame] = []
    coverage: Counter[str] = Counter()
    clock = {"read": 0.0, "assess": 0.0}
    mark = time.perf_counter()
    try:
        for batch in batches:
            clock["read"] += time.perf_counter() - mark
            mark = time.perf_counter()
            rows = _assess_into(tables, batch, knowledge, as_of, closed_world, coverage)
            unmapped.append(batch.unmapped)
            _count(summary, batch, rows)
            del batch  # before the next one is made
            if on_patients:
                on_patients(summary.patients_assessed)
            clock["assess"] += time.perf_counter() - mark
            mark = time.perf_counter()
    finally:
        for table in tables.values():
            table.close()
    summary.lab_coverage = {lab: {"patients_with": n} for lab, n in sorted(coverage.items())}
    summary.seconds = {name: round(value, 3) for name, value in clock.items()}
    _write_unmapped(unmapped, folder / "unmapped.csv")
    write_summary(summary, folder)
    return Cohort(folder=folder, summary=summary)


def _assess_into(
    tables: dict[str, _Table],
    batch: Batch,
    knowledge: Knowledge,
    as_of: datetime | None,
    closed_world: frozenset[str],
    coverage: Counter[str],
) -> int:
    """Assess a batch and append its rows; returns how many patients it held."""
    evaluated = evaluate_batch(batch, knowledge, as_of=as_of, closed_world=closed_world)
    rows, reasons, reviews = assessment_rows(evaluated, batch)
    tables["assessments"].add(rows)
    tables["reasons"].add(reasons)
    tables["reviews"].add(reviews)
    tables["rejects"].add(batch.rejects)
    tables["rejects"].add(evaluated.facts.rejects)
    coverage.update(dict(evaluated.facts.labs.group_by("concept").len().iter_rows()))
    return rows.height


def write_summary(summary: Summary, folder: Path) -> None:
    (folder / "summary.json").write_bytes(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2))


def _count(summary: Summary, batch: Batch, assessed: int) -> None:
    summary.records_read += batch.records_read
    summary.records_used += batch.records_used
    summary.records_ignored += batch.records_ignored
    summary.records_rejected += batch.records_rejected
    summary.patients_read += batch.patients["subject_id"].n_unique()
    summary.patients_assessed += assessed
    for what, n in batch.not_read.items():
        summary.not_read[what] = summary.not_read.get(what, 0) + n


def _write_unmapped(frames: list[pl.DataFrame], path: Path) -> None:
    table = pl.concat(frames) if frames else pl.DataFrame(schema=UNMAPPED_SCHEMA)
    keys = [name for name in UNMAPPED_SCHEMA if name != "n"]
    table.group_by(keys).agg(pl.col("n").sum()).sort("n", *keys, descending=[True, *[False] * len(keys)]).write_csv(path)


def assessment_rows(evaluated: Evaluated, batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """One row per patient (``assessment_schema``); of those there is something to say about, the reasons and the treatment reviews."""
    evaluation, facts = evaluated.evaluation, evaluated.facts
    plan, columns = evaluation.plan, evaluation.columns
    knowledge = plan.knowledge
    n = evaluation.subjects.height
    alarms = {c.owner: columns[c.column] == TRUE for c in plan.other if c.kind == "alarm"}
    weights = {r.key: r.weight for r in knowledge.types["calciphylaxis"].risk_factors}
    risks = {c.detail: columns[c.column] == TRUE for c in plan.shown["calciphylaxis"] if c.role == "risk" and c.detail}
    standing = np.sum([evaluation.rank(key) >= Status.PROBABLE.rank for key in knowledge.types], axis=0)
    leaders = pl.Series([*plan.hypotheses, None], dtype=pl.String)
    leading = leaders.gather(evaluation.leading.astype(np.int64) % len(leaders)).alias("leading")
    ranks = np.vstack([*(evaluation.rank(key) for key in plan.hypotheses), np.full(n, -1, dtype=np.int8)])
    leading_rank = ranks[evaluation.leading % len(ranks), np.arange(n)]
    urgency = np.full(n, len(_URGENCIES), dtype=np.int8)
    for key, rings in alarms.items():
        urgency[rings] = np.minimum(urgency[rings], _URGENCIES.index(knowledge.alarms[key].urgency))
    is_mimic = leading.is_in(list(knowledge.mimics))
    rows = evaluation.subjects.select("subject_id", "sex", "age_years").with_columns(
        _boolean(columns["finding:lesion_present"]).alias("lesion_present"),
        _boolean(columns["finding:mineral_shown"]).alias("mineral_shown"),
        pl.Series("labelled", evaluation.true("labelled")),
        pl.select(pl.when(is_mimic).then(pl.lit("mimic")).otherwise(leading)).to_series().alias("leading"),
        pl.select(pl.when(is_mimic).then(leading)).to_series().alias("leading_mimic"),
        _status_names(leading_rank).alias("leading_status"),
        pl.Series("provisional", ~evaluation.true("mineral_shown")),
        pl.Series("mixed", np.greater(standing, 1)),
        *(_status_names(evaluation.rank(key)).alias(f"status_{key}") for key in knowledge.types),
        *(_subtype(evaluation, key).alias(f"subtype_{key}") for key in knowledge.types),
        _lists(_standing_mimics(evaluation), n).alias("mimics"),
        *(_lists({c.owner: columns[c.column] == TRUE for c in plan.other if c.kind == "disease" and c.role == role}, n).alias(name)
          for role, name in (("established", "diseases"), ("suspected", "diseases_suspected"))),
        _lists(alarms, n).alias("alarms"),
        pl.Series([*_URGENCIES, None]).gather(urgency).alias("alarm_urgency"),
        *(pl.Series(f"calciphylaxis_{weight}", sum((risks[key] for key in risks if weights[key] == weight), np.zeros(n, dtype=np.uint8)))
          for weight in ("major", "minor")),
        _boolean(columns["finding:calciphylaxis_at_risk"]).alias("calciphylaxis_at_risk"),
        _lists({key: _mask(lacking, n) for key, lacking in missing_tests(evaluation).items()}, n).alias("missing_tests"),
        pl.Series([knowledge.version]).new_from_index(0, n).alias("knowledge_version"),
    )  # fmt: skip
    rows = (
        rows.join(facts.subjects.select("subject_id", "index_time", "index_basis"), on="subject_id", how="left", maintain_order="left")
        .join(_warnings(batch, facts.rejects), on="subject_id", how="left", maintain_order="left")
        .with_columns(pl.col("n_warnings").fill_null(0))
    )
    standing_at_all = np.any([evaluation.rank(key) >= Status.POSSIBLE.rank for key in plan.hypotheses], axis=0)
    interesting = (
        standing_at_all
        | evaluation.true("mineral_shown")
        | evaluation.true("calciphylaxis_at_risk")
        | np.any(list(alarms.values()), axis=0)
    )
    chosen = np.flatnonzero(interesting)
    if not len(chosen):
        return rows.select(list(assessment_schema(knowledge))), pl.DataFrame(schema=REASON_SCHEMA), pl.DataFrame(schema=REVIEW_SCHEMA)
    concerned = evaluation.take(chosen)
    return rows.select(list(assessment_schema(knowledge))), explain(concerned, facts), review_rows(concerned, facts)


def _mask(rows: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return mask


def _boolean(values: Truth) -> pl.Series:
    """Truth values as Booleans with null for unknown."""
    return pl.Series([False, None, True]).gather(values)


def _status_names(ranks: Truth) -> pl.Series:
    names = pl.Series([status.value for status in Status] + [None], dtype=pl.String)
    return names.gather(ranks.astype(np.int64) % len(names))


def _lists(flags: dict[str, npt.NDArray[np.bool_]], n: int) -> pl.Series:
    """Per patient the names whose flag is set, as a list column."""
    hits = [np.flatnonzero(flag) for flag in flags.values()]
    long = pl.DataFrame(
        {
            "row": np.concatenate([np.zeros(0, dtype=np.intp), *hits]),
            "name": pl.Series([k for k, h in zip(flags, hits, strict=True) for _ in h], dtype=pl.String),
        }
    )
    grouped = long.group_by("row").agg("name")
    every = pl.DataFrame({"row": np.arange(n)}).join(grouped, on="row", how="left", maintain_order="left")
    return every["name"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def _standing_mimics(evaluation: Evaluation) -> dict[str, npt.NDArray[np.bool_]]:
    """ "<mimic>:<status>" -> patients, for mimics that are at least possible."""
    return {
        f"{key}:{status.value}": evaluation.rank(key) == status.rank
        for key in evaluation.plan.knowledge.mimics
        for status in (Status.CONFIRMED, Status.PROBABLE, Status.POSSIBLE)
    }


def _subtype(evaluation: Evaluation, key: str) -> pl.Series:
    """The first subtype whose criterion is true, for patients in whom the type is at least possible."""
    subtypes = [c for c in evaluation.plan.shown[key] if c.role == "subtype"]
    chosen = np.full(evaluation.subjects.height, len(subtypes), dtype=np.int16)
    for index, criterion in reversed(list(enumerate(subtypes))):
        chosen[evaluation.columns[criterion.column] == TRUE] = index
    chosen[evaluation.rank(key) < Status.POSSIBLE.rank] = len(subtypes)
    return pl.Series([*(c.detail for c in subtypes), None], dtype=pl.String).gather(chosen)


def _warnings(batch: Batch, unit_rejects: pl.DataFrame) -> pl.DataFrame:
    """Warnings per patient: records read in part, and values whose unit could not be used."""
    read = batch.rejects.filter(pl.col("level") == "warning").select("record").drop_nulls()
    concerned = batch.events.filter(pl.col("source").is_in(read["record"].implode())) if read.height else batch.events.clear()
    owners = concerned.select("subject_id", pl.col("source").alias("record")).unique()
    everyone = pl.concat([read.join(owners, on="record").select("subject_id"), unit_rejects.select("subject_id")])
    return everyone.group_by("subject_id").agg(pl.len().cast(pl.UInt32).alias("n_warnings"))
