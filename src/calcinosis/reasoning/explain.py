"""Reasons: every criterion that was decided, with the facts and citations behind it, as one long table.

Explaining reads values and changes none: it starts from the evaluated table and only adds rows elsewhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from calcinosis.events import Schema
from calcinosis.facts import Facts
from calcinosis.knowledge.model import Status
from calcinosis.labs import DERIVED_FROM
from calcinosis.plans import run
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.plan import Plan, PlannedCriterion
from calcinosis.truth import TRUE, UNKNOWN

REASON_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "kind": pl.String,  # "type", "mimic", "alarm", "disease", "form"
    "owner": pl.String,  # key of the hypothesis, alarm, disease or form
    "role": pl.String,  # "decides", "supports", "against", "missing", "subtype", "risk", "established", "suspected", "when"
    "label": pl.String,
    "detail": pl.String,  # key of a subtype or risk factor
    "status": pl.String,  # of the rule that decides
    "sources": pl.List(pl.String),
    "order": pl.Int32,
    "facts": pl.List(
        pl.Struct(
            {
                "concept": pl.String,
                "said": pl.String,
                "value": pl.String,  # "present", "absent", "suspected", a flag
                "time": pl.Datetime("us"),
                "first_time": pl.Datetime("us"),
                "last_time": pl.Datetime("us"),
                "source": pl.String,
                "n": pl.UInt32,
            }
        )
    ),
    "unknown": pl.List(pl.Struct({"concept": pl.String, "because": pl.String})),  # for role "missing"
}


_COMMON = [name for name in REASON_SCHEMA if name not in ("facts", "unknown")]


def explain(evaluation: Evaluation, facts: Facts) -> pl.DataFrame:
    """Reasons for every hypothesis, alarm, disease and form of the given patients.

    Args:
        evaluation: only the patients to explain (:meth:`Evaluation.take`).

    Returns:
        ``REASON_SCHEMA``; one row per patient and criterion that is true, or (role "missing") unknown.
    """
    plan = evaluation.plan
    # what is said for and against a mimic is shown only where one of its rules fired
    judged = [key for key in plan.hypotheses if key in plan.knowledge.types or (evaluation.fired(key) >= 0).any()]
    shown = [*(c for key in judged for c in plan.shown[key]), *(c for c in plan.other if c.kind != "test")]
    true, missing = _decided(evaluation, shown)
    leaf_values = _leaf_values(evaluation).lazy()
    fired = pl.concat([_deciding_rules(evaluation), true], how="diagonal").lazy()
    reasons = _never_without_a_fact(_attach_facts(fired, _leaf_facts(leaf_values, facts, plan), plan), facts)
    gaps = _unknown_leaves(missing.lazy(), leaf_values, facts, plan)
    everything = pl.concat([reasons.select(*_COMMON, "facts"), gaps.select(*_COMMON, "unknown")], how="diagonal")
    return run(everything.select([pl.col(name).cast(dtype) for name, dtype in REASON_SCHEMA.items()]))


def facts_behind(evaluation: Evaluation, facts: Facts, decided: pl.DataFrame) -> pl.DataFrame:
    """The facts that argue for some true criteria.

    Args:
        decided: subject_id, id (of ``plan.criteria``).

    Returns:
        subject_id, id, facts.
    """
    plan = evaluation.plan
    leaf_facts = _leaf_facts(_leaf_values(evaluation).lazy(), facts, plan)
    return run(_attach_facts(decided.lazy(), leaf_facts, plan))


def _decided(evaluation: Evaluation, shown: list[PlannedCriterion]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The true criteria, and the unknown supports and points against of the types: subject_id and the columns of ``plan.criteria``."""
    columns = evaluation.columns
    values = columns.matrix[[columns.names[criterion.column] for criterion in shown]]
    may_miss = np.array([c.kind == "type" and c.role in ("supports", "against") for c in shown], dtype=np.bool_)
    which, row = np.nonzero((values == TRUE) | ((values == UNKNOWN) & may_miss[:, None]))
    ids = np.array([c.id for c in shown], dtype=np.int32)
    decided = pl.DataFrame({"id": ids[which], "row": row, "truth": values[which, row] == TRUE})
    decided = decided.with_columns(
        evaluation.subjects["subject_id"].gather(decided["row"]).alias("subject_id"), pl.col("id").alias("order")
    )
    decided = decided.join(evaluation.plan.criteria, on="id", maintain_order="left").drop("row")
    return decided.filter("truth").drop("truth"), decided.filter(~pl.col("truth")).drop("truth")


def _deciding_rules(evaluation: Evaluation) -> pl.DataFrame:
    """One row per patient and type (and mimic whose rule fired): the rule that set the status."""
    plan, knowledge = evaluation.plan, evaluation.plan.knowledge
    columns = evaluation.columns
    fired = columns.matrix[[columns.names[f"fired:{key}"] for key in plan.hypotheses]]
    is_type = np.array([key in knowledge.types for key in plan.hypotheses])
    which, row = np.nonzero((fired >= 0) | is_type[:, None])
    # rule ids of one hypothesis are consecutive: the id is that of its first rule plus the index that fired
    first = np.array([rules[0].id for rules in plan.rules.values()], dtype=np.int32)
    index = fired[which, row]
    decided = pl.DataFrame(
        {
            "subject_id": evaluation.subjects["subject_id"].gather(row),
            "id": np.where(index >= 0, first[which] + index, -1 - which).astype(np.int32),  # negative: no rule fired
            "owner": pl.Series(plan.hypotheses).gather(which),
            "kind": pl.Series(["mimic", "type"]).gather(is_type[which].astype(np.int64)),
        }
    )
    return (
        decided.join(plan.criteria.select("id", "label", "sources", "status"), on="id", how="left", maintain_order="left")
        .join(plan.definitions, on="owner", how="left", maintain_order="left")
        .with_columns(
            pl.col("label").fill_null("The record does not hold what is needed to judge this type; see what is missing"),
            pl.coalesce("sources", "definition_sources").alias("sources"),
            pl.col("status").fill_null(Status.NOT_ASSESSED.value),
            pl.lit("decides").alias("role"),
            pl.lit(None, dtype=pl.String).alias("detail"),
            pl.lit(-1, dtype=pl.Int32).alias("order"),
        )
        .drop("definition_sources")
    )


def _leaf_values(evaluation: Evaluation) -> pl.DataFrame:
    """subject_id, leaf, value (Boolean): the leaves that are known."""
    names, matrix = evaluation.plan.questions.names, evaluation.leaves
    leaf, row = np.nonzero(matrix != UNKNOWN)
    return pl.DataFrame(
        {
            "subject_id": evaluation.subjects["subject_id"].gather(row),
            "leaf": pl.Series(names, dtype=pl.String).gather(leaf),
            "value": matrix[leaf, row] == TRUE,
        },
        schema={"subject_id": pl.String, "leaf": pl.String, "value": pl.Boolean},
    )


def _leaf_facts(leaf_values: pl.LazyFrame, facts: Facts, plan: Plan) -> pl.LazyFrame:
    """One fact per patient and known leaf: subject_id, leaf, leaf value, fact (struct)."""
    asked = leaf_values.rename({"value": "leaf_value"}).join(plan.leaf_subjects.lazy(), on="leaf", maintain_order="left_right")
    on = ["subject_id", "concept"]
    word = pl.when("present").then(pl.lit("present")).when(~pl.col("present")).then(pl.lit("absent")).otherwise(pl.lit("suspected"))
    recorded = facts.concepts.lazy().select(*on, "said", word.alias("fact_value"), "time", "first_time", "last_time", "source", "n")
    labs = facts.labs.lazy().select(*on, "said", pl.col("flag").alias("fact_value"), "time", "first_time", "last_time", "source", "n")
    now = facts.labs.lazy().select(
        *on, pl.col("now_said").alias("said"), pl.col("now_flag").alias("fact_value"), pl.col("now_time").alias("time"),
        "first_time", "last_time", pl.col("now_source").alias("source"), "n",
    )  # fmt: skip
    person = facts.subjects.lazy().select(
        "subject_id",
        pl.lit("").alias("concept"),
        pl.concat_str(
            pl.col("sex").fill_null("sex unknown"),
            pl.lit(", "),
            pl.col("age_years").floor().cast(pl.Int64).cast(pl.String).fill_null("age unknown"),
            pl.lit(" years"),
        ).alias("said"),
        pl.lit("present").alias("fact_value"),
        pl.lit(None, dtype=pl.Datetime("us")).alias("time"),
        pl.lit(None, dtype=pl.Datetime("us")).alias("first_time"),
        pl.lit(None, dtype=pl.Datetime("us")).alias("last_time"),
        pl.concat_str(pl.lit("Patient/"), "subject_id").alias("source"),
        pl.lit(1, dtype=pl.UInt32).alias("n"),
    )
    parts = [
        asked.filter(pl.col("source_kind") == kind).join(frame, on=on, maintain_order="left")
        for kind, frame in (("concept", recorded), ("lab", labs), ("lab_now", now), ("patient", person))
    ]
    return (
        pl.concat(parts)
        .filter(pl.col("source").is_not_null())
        .select(
            "subject_id",
            "leaf",
            pl.col("leaf_value").alias("positive"),
            pl.struct("concept", "said", pl.col("fact_value").alias("value"), "time", "first_time", "last_time", "source", "n").alias(
                "fact"
            ),
        )
    )


def _attach_facts(reasons: pl.LazyFrame, leaf_facts: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    """To each criterion, the facts of its leaves whose value argues for its truth."""
    argued = (
        reasons.select("subject_id", "id")
        .join(plan.criterion_leaves.lazy(), on="id", maintain_order="left")
        .join(leaf_facts, on=["subject_id", "leaf", "positive"], maintain_order="left_right")
        .group_by("subject_id", "id", maintain_order=True)
        .agg(pl.col("fact").unique(maintain_order=True).alias("facts"))
    )
    return reasons.join(argued, on=["subject_id", "id"], how="left", maintain_order="left")


def _never_without_a_fact(reasons: pl.LazyFrame, facts: Facts) -> pl.LazyFrame:
    """A status that rests on what is missing names the lesion it is about, or failing that the patient record itself."""
    concepts = facts.concepts.lazy()
    named = pl.col("concept").is_in(["calcification", "chalky_discharge", "skin_lesion"])
    lesion = (
        concepts.filter(named & pl.col("present"))
        .sort("concept")
        .select(
            "subject_id",
            pl.struct("concept", "said", pl.lit("present").alias("value"), "time", "first_time", "last_time", "source", "n").alias("fact"),
        )
    )
    anything = concepts.sort("concept").group_by("subject_id", maintain_order=True).agg(
        pl.struct(
            "concept", "said",
            pl.when("present").then(pl.lit("present")).when(~pl.col("present")).then(pl.lit("absent")).otherwise(pl.lit("suspected")).alias("value"),
            "time", "first_time", "last_time", "source", "n",
        ).first().alias("fact")
    )  # fmt: skip
    fallback = (
        pl.concat([lesion, anything]).group_by("subject_id", maintain_order=True).agg(pl.col("fact").first().implode().alias("_fallback"))
    )
    joined = reasons.join(fallback, on="subject_id", how="left", maintain_order="left")
    lacks = (pl.col("role") == "decides") & (pl.col("facts").is_null() | (pl.col("facts").list.len() == 0))
    return joined.with_columns(pl.when(lacks).then("_fallback").otherwise("facts").alias("facts")).drop("_fallback")


def _unknown_leaves(missing: pl.LazyFrame, leaf_values: pl.LazyFrame, facts: Facts, plan: Plan) -> pl.LazyFrame:
    """To each unknown criterion, the concepts nobody recorded, and why they are unknown."""
    measured = facts.labs.lazy().select("subject_id", "concept", pl.lit(True).alias("_measured"))
    suspected = facts.concepts.lazy().filter("suspected").select("subject_id", "concept", pl.lit(True).alias("_suspected"))
    recorded = facts.concepts.lazy().filter("present").select("subject_id", "concept", pl.lit(True).alias("_recorded"))
    derived = pl.DataFrame(
        [(made, base) for made, bases in DERIVED_FROM.items() for base in bases], schema=["made", "concept"], orient="row"
    )
    unusable = facts.rejects.lazy().select("subject_id", "concept")
    through = unusable.join(derived.lazy(), on="concept").select("subject_id", pl.col("made").alias("concept"))
    unusable = pl.concat([unusable, through]).unique().with_columns(pl.lit(True).alias("_unusable"))
    because = (
        pl.when(pl.col("source_kind").str.starts_with("lab") & pl.col("_measured").fill_null(False))
        .then(pl.lit("measured outside the window, or without a usable result"))
        .when(pl.col("source_kind").str.starts_with("lab") & pl.col("_unusable").fill_null(False))
        .then(pl.lit("unit not convertible"))
        .when(pl.col("source_kind").str.starts_with("lab"))
        .then(pl.lit("never measured"))
        .when(pl.col("_recorded").fill_null(False) & pl.col("leaf").str.starts_with("current:"))
        .then(pl.lit("on record, but not whether it goes on"))
        .when(pl.col("_suspected").fill_null(False))
        .then(pl.lit("only suspected"))
        .otherwise(pl.lit("source silent"))
    )
    unknown = (
        missing.select("subject_id", "id")
        .join(plan.criterion_leaves.lazy().select("id", "leaf"), on="id", maintain_order="left")
        .join(leaf_values, on=["subject_id", "leaf"], how="left", maintain_order="left")
        .filter(pl.col("value").is_null())
        .join(plan.leaf_subjects.lazy(), on="leaf", maintain_order="left_right")
        .join(measured, on=["subject_id", "concept"], how="left", maintain_order="left")
        .join(suspected, on=["subject_id", "concept"], how="left", maintain_order="left")
        .join(recorded, on=["subject_id", "concept"], how="left", maintain_order="left")
        .join(unusable, on=["subject_id", "concept"], how="left", maintain_order="left")
        .group_by("subject_id", "id", maintain_order=True)
        .agg(pl.struct("concept", because.alias("because")).unique(maintain_order=True).alias("unknown"))
    )
    return missing.with_columns(pl.lit("missing").alias("role")).join(unknown, on=["subject_id", "id"], how="left", maintain_order="left")
