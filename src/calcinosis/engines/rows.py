"""A batch of whole patients, as rows of the result tables. Every engine calls :func:`assessed`; what differs is who carries the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.assessment import Evaluated, evaluate_batch
from calcinosis.contract import MUST_NOT_MISS
from calcinosis.engines.course import COURSE_SCHEMA, course_rows
from calcinosis.events import PATIENT_SCHEMA, Batch, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.option_rows import OPTION_SCHEMA, option_rows
from calcinosis.options import REVIEW_SCHEMA, review_rows
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.explain import REASON_SCHEMA, explain
from calcinosis.reasoning.workup import missing_tests, unusable_tests
from calcinosis.truth import TRUE, Truth

COUNTS: Final[Schema] = {"calciphylaxis_major": pl.UInt8, "calciphylaxis_minor": pl.UInt8, "n_warnings": pl.UInt32}


@dataclass(frozen=True, slots=True)
class Asked:
    """How to assess."""

    as_of: datetime | None = None
    closed_world: frozenset[str] = frozenset()


_AS_RECORDED: Final = Asked()


@dataclass(frozen=True, slots=True)
class Assessed:
    """What a batch adds to the result tables, and its account.

    Attributes:
        assessments: one row per patient (:func:`assessment_schema`).
        rejects: of the source and of the units (``REJECT_SCHEMA``).
        concerned: the patients there is something to say about, with their events: to be explained (:func:`explained`), best many
            together. Its account is empty.
        patients_with_lab: concept -> patients who have a value.
    """

    assessments: pl.DataFrame
    rejects: pl.DataFrame
    unmapped: pl.DataFrame
    concerned: Batch
    records_read: int
    records_used: int
    records_ignored: int
    records_rejected: int
    patients_read: int
    not_read: dict[str, int]
    patients_with_lab: dict[str, int]


@dataclass(frozen=True, slots=True)
class Explained:
    """The result tables about some patients: ``REASON_SCHEMA``, ``REVIEW_SCHEMA``, ``OPTION_SCHEMA`` and ``COURSE_SCHEMA``."""

    reasons: pl.DataFrame
    reviews: pl.DataFrame
    options: pl.DataFrame
    events: pl.DataFrame


def assessed(batch: Batch, knowledge: Knowledge, asked: Asked = _AS_RECORDED) -> Assessed:
    """Assess a batch of whole patients."""
    evaluated = evaluate_batch(batch, knowledge, as_of=asked.as_of, closed_world=asked.closed_world)
    rows, concerned = assessment_rows(evaluated, batch)
    return Assessed(
        assessments=rows,
        rejects=pl.concat([batch.rejects, evaluated.facts.rejects.select(batch.rejects.columns).sort("file", "record", "reason")]),
        unmapped=batch.unmapped,
        concerned=_only(batch, concerned),
        records_read=batch.records_read,
        records_used=batch.records_used,
        records_ignored=batch.records_ignored,
        records_rejected=batch.records_rejected,
        patients_read=batch.patients["subject_id"].n_unique(),
        not_read=dict(batch.not_read),
        patients_with_lab=evaluated.facts.patients_with_lab(),
    )


def explained(batches: Sequence[Batch], knowledge: Knowledge, asked: Asked = _AS_RECORDED) -> Explained:
    """Explain every patient of some batches, all together: a table costs much the same for one patient and for a thousand."""
    patients = pl.concat([pl.DataFrame(schema=PATIENT_SCHEMA), *(batch.patients for batch in batches)])
    if patients.is_empty():
        return Explained(*(pl.DataFrame(schema=schema) for schema in (REASON_SCHEMA, REVIEW_SCHEMA, OPTION_SCHEMA, COURSE_SCHEMA)))
    batch = Batch(patients=patients, events=pl.concat([batch.events for batch in batches]))
    evaluated = evaluate_batch(batch, knowledge, as_of=asked.as_of, closed_world=asked.closed_world)
    evaluation, facts = evaluated.evaluation, evaluated.facts
    return Explained(
        reasons=explain(evaluation, facts),
        reviews=review_rows(evaluation, facts),
        options=option_rows(evaluation, facts),
        events=course_rows(batch, evaluation.subjects["subject_id"], facts, knowledge, asked.as_of),
    )


def _only(batch: Batch, subjects: pl.Series) -> Batch:
    """Some of the patients, without the account."""
    if subjects.is_empty():
        return Batch(patients=batch.patients.clear(), events=batch.events.clear())
    mine = pl.col("subject_id").is_in(subjects.implode())
    return Batch(patients=_apart(batch.patients.filter(mine)), events=_apart(batch.events.filter(mine)))


def _apart(frame: pl.DataFrame) -> pl.DataFrame:
    """With memory of its own: filtered text points into the text of the whole column, and would keep all of it."""
    return pl.DataFrame(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), schema=frame.schema)


def assessment_schema(knowledge: Knowledge) -> Schema:
    """Columns of ``assessments.parquet``."""
    return {
        "subject_id": pl.String, "sex": pl.String, "age_years": pl.Float64, "index_time": pl.Datetime("us"), "index_basis": pl.String,
        "lesion_present": pl.Boolean, "mineral_shown": pl.Boolean, "labelled": pl.Boolean,
        "leading": pl.String, "leading_mimic": pl.String, "leading_status": pl.String, "provisional": pl.Boolean, "mixed": pl.Boolean,
        **{f"status_{key}": pl.String for key in knowledge.types}, **{f"subtype_{key}": pl.String for key in knowledge.types},
        "mimics": pl.List(pl.String), "diseases": pl.List(pl.String), "diseases_suspected": pl.List(pl.String),
        "alarms": pl.List(pl.String), "alarm_urgency": pl.String,
        "calciphylaxis_major": COUNTS["calciphylaxis_major"], "calciphylaxis_minor": COUNTS["calciphylaxis_minor"],
        "calciphylaxis_at_risk": pl.Boolean, "missing_tests": pl.List(pl.String), "unusable_tests": pl.List(pl.String),
        "n_warnings": COUNTS["n_warnings"], "knowledge_version": pl.String,
    }  # fmt: skip


def assessment_rows(evaluated: Evaluated, batch: Batch) -> tuple[pl.DataFrame, pl.Series]:
    """One row per patient (``assessment_schema``), and the ids of those there is something to say about (:func:`_something_to_say`)."""
    evaluation, facts = evaluated.evaluation, evaluated.facts
    plan, columns, knowledge = evaluation.plan, evaluation.columns, evaluation.plan.knowledge
    n = evaluation.subjects.height
    alarms = {c.owner: columns[c.column] == TRUE for c in plan.other if c.kind == "alarm"}
    diseases = {
        role: {c.owner: columns[c.column] == TRUE for c in plan.other if c.kind == "disease" and c.role == role}
        for role in ("established", "suspected")
    }
    lacking = missing_tests(evaluation)
    missing = {key: _mask(rows, n) for key, rows in lacking.items()}
    unusable = {key: _mask(rows, n) for key, rows in unusable_tests(plan, facts, lacking).items()}
    standing = np.sum([evaluation.rank(key) >= Status.PROBABLE.rank for key in knowledge.types], axis=0)
    rows = evaluation.subjects.select("subject_id", "sex", "age_years").with_columns(
        _boolean(columns["finding:lesion_present"]).alias("lesion_present"),
        _boolean(columns["finding:mineral_shown"]).alias("mineral_shown"),
        pl.Series("labelled", evaluation.true("labelled")),
        *_leading(evaluation),
        pl.Series("provisional", ~evaluation.true("calcium_shown")),
        pl.Series("mixed", np.greater(standing, 1)),
        *(_status_names(evaluation.rank(key)).alias(f"status_{key}") for key in knowledge.types),
        *(_subtype(evaluation, key).alias(f"subtype_{key}") for key in knowledge.types),
        _lists(_standing_mimics(evaluation), n).alias("mimics"),
        _lists(_most_specific(diseases["established"], knowledge), n).alias("diseases"),
        _lists(diseases["suspected"], n).alias("diseases_suspected"),
        _lists(alarms, n).alias("alarms"),
        _most_urgent(alarms, knowledge, n).alias("alarm_urgency"),
        *_risk_counts(evaluation),
        _boolean(columns["finding:calciphylaxis_at_risk"]).alias("calciphylaxis_at_risk"),
        _lists(missing, n).alias("missing_tests"),
        _lists(unusable, n).alias("unusable_tests"),
        pl.Series([knowledge.version]).new_from_index(0, n).alias("knowledge_version"),
    )
    rows = (
        rows.join(facts.subjects.select("subject_id", "index_time", "index_basis"), on="subject_id", how="left", maintain_order="left")
        .join(_warnings(batch, facts.rejects), on="subject_id", how="left", maintain_order="left")
        .with_columns(pl.col("n_warnings").fill_null(0))
        .select(list(assessment_schema(knowledge)))
    )
    return rows, rows["subject_id"].filter(pl.Series(_something_to_say(evaluation, alarms, missing)))


def _leading(evaluation: Evaluation) -> tuple[pl.Series, pl.Series, pl.Series]:
    """What leads (a type, or "mimic"), which mimic, and its status; null where nothing leads."""
    hypotheses = evaluation.plan.hypotheses
    leaders = pl.Series([*hypotheses, None], dtype=pl.String)
    leading = leaders.gather(evaluation.leading.astype(np.int64) % len(leaders)).alias("leading")
    is_mimic = leading.is_in(list(evaluation.plan.knowledge.mimics))
    n = evaluation.subjects.height
    ranks = np.vstack([*(evaluation.rank(key) for key in hypotheses), np.full(n, -1, dtype=np.int8)])
    return (
        pl.select(pl.when(is_mimic).then(pl.lit("mimic")).otherwise(leading)).to_series().alias("leading"),
        pl.select(pl.when(is_mimic).then(leading)).to_series().alias("leading_mimic"),
        _status_names(ranks[evaluation.leading % len(ranks), np.arange(n)]).alias("leading_status"),
    )


def _most_specific(established: dict[str, npt.NDArray[np.bool_]], knowledge: Knowledge) -> dict[str, npt.NDArray[np.bool_]]:
    """The established diseases without those that a more specific one replaces."""
    left = dict(established)
    for key, found in established.items():
        for less in knowledge.diseases[key].more_specific_than:
            left[less] = left[less] & ~found
    return left


def _most_urgent(alarms: dict[str, npt.NDArray[np.bool_]], knowledge: Knowledge, n: int) -> pl.Series:
    """The urgency of the most urgent alarm that rings."""
    urgency = np.full(n, len(ALARM_URGENCIES), dtype=np.int8)
    for key, rings in alarms.items():
        urgency[rings] = np.minimum(urgency[rings], ALARM_URGENCIES.index(knowledge.alarms[key].urgency))
    return pl.Series([*ALARM_URGENCIES, None]).gather(urgency)


def _risk_counts(evaluation: Evaluation) -> Iterator[pl.Series]:
    """How many major and minor risk factors of the type that must not be missed are on record."""
    weights = {factor.key: factor.weight for factor in evaluation.plan.knowledge.types[MUST_NOT_MISS].risk_factors}
    factors = [c for c in evaluation.plan.shown[MUST_NOT_MISS] if c.role == "risk" and c.detail]
    for weight in ("major", "minor"):
        found = [evaluation.columns[c.column] == TRUE for c in factors if weights[c.detail or ""] == weight]
        yield pl.Series(f"calciphylaxis_{weight}", sum(found, np.zeros(evaluation.subjects.height, dtype=np.uint8)))


def _something_to_say(
    evaluation: Evaluation, alarms: dict[str, npt.NDArray[np.bool_]], missing: dict[str, npt.NDArray[np.bool_]]
) -> npt.NDArray[np.bool_]:
    """The patients in whom a type or mimic is at least possible, calcium is shown, an alarm fires, the risk of calciphylaxis is high, or a
    test is missing that is asked for also without a lesion. For all others there is nothing to explain but what nobody recorded.
    """
    tests = evaluation.plan.knowledge.tests
    grounds = [
        *(evaluation.rank(key) >= Status.POSSIBLE.rank for key in evaluation.plan.hypotheses),
        evaluation.true("mineral_shown"),
        evaluation.true("calciphylaxis_at_risk"),
        *alarms.values(),
        *(lacking for key, lacking in missing.items() if tests[key].without_lesion),
    ]
    told: npt.NDArray[np.bool_] = np.any(grounds, axis=0)
    return told


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
