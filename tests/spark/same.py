"""Two result folders are the same: patient by patient, reason by reason, reject by reject."""

from __future__ import annotations

import polars as pl

from calcinosis.engines.cohort import Cohort

TABLES = ("assessments", "reasons", "treatment_reviews", "treatment_options", "events", "rejects")


def assert_same(first: Cohort, second: Cohort) -> None:
    for name in TABLES:
        ours, theirs = (_in_order(getattr(cohort, name)) for cohort in (first, second))
        assert ours.schema == theirs.schema, name
        assert ours.equals(theirs), f"{name}\n{ours.join(theirs, on=ours.columns, how='anti', nulls_equal=True)}"
    unmapped = [pl.read_csv(cohort.folder / "unmapped.csv", infer_schema=False) for cohort in (first, second)]
    assert unmapped[0].equals(unmapped[1])
    told = ("records_read", "records_used", "records_ignored", "records_rejected", "patients_read", "patients_assessed", "not_read", "lab_coverage")
    assert {name: getattr(first.summary, name) for name in told} == {name: getattr(second.summary, name) for name in told}
    assert_adds_up(first)


def assert_adds_up(cohort: Cohort) -> None:
    summary = cohort.summary
    assert summary.records_read == summary.records_used + summary.records_ignored + summary.records_rejected
    assert summary.records_rejected == cohort.rejects.filter(pl.col("level") == "error").height


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    as_text = frame.select(pl.concat_str(pl.struct(pl.all()).struct.json_encode()).alias("_order"))
    return frame.hstack(as_text).sort("_order").drop("_order")
