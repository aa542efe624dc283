"""``events.parquet``: the events of whom there is something to say about, as they were read, each value as the rules read it."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hand_made import day, event, patient
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_equality import generated_patients, joined

from calcinosis.assessment import evaluate_batch
from calcinosis.engines.course import COURSE_SCHEMA
from calcinosis.engines.local import screen_batches
from calcinosis.engines.rows import Asked, Explained, assessed, explained
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch
from calcinosis.knowledge import load_knowledge

KNOWLEDGE = load_knowledge()
seeds = st.integers(0, 100_000)


def in_one_order(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(pl.col("sites").list.join(",")).sort(list(EVENT_SCHEMA))


def told(batch: Batch, **more: Any) -> Explained:
    asked = Asked(**more)
    return explained([assessed(batch, KNOWLEDGE, asked).concerned], KNOWLEDGE, asked)


def course(batch: Batch, **more: Any) -> pl.DataFrame:
    return told(batch, **more).events


def renamed(batch: Batch) -> Batch:
    new = pl.concat_str(pl.lit("other-"), "subject_id").alias("subject_id")
    return Batch(patients=batch.patients.with_columns(new), events=batch.events.with_columns(new))


@settings(max_examples=25)
@given(seeds)
def test_it_holds_every_event_of_the_explained_and_of_nobody_else(seed: int) -> None:
    batch = generated_patients(KNOWLEDGE, 20, seed)
    part = told(batch)
    concerned = part.reasons["subject_id"].unique()
    read = batch.events.filter(pl.col("subject_id").is_in(concerned.implode()))
    assert 0 < part.events.height < batch.events.height
    assert_frame_equal(in_one_order(part.events.select(list(EVENT_SCHEMA))), in_one_order(read))
    assert part.events.schema == pl.Schema(COURSE_SCHEMA)


@settings(max_examples=15)
@given(seeds)
def test_neither_the_order_of_the_reader_nor_the_batches_matter(seed: int) -> None:
    left, right = generated_patients(KNOWLEDGE, 8, seed), renamed(generated_patients(KNOWLEDGE, 8, seed + 1))
    whole = joined(left, right)
    shuffled = Batch(patients=whole.patients, events=whole.events.sample(fraction=1, shuffle=True, seed=seed))
    assert_frame_equal(course(whole), course(shuffled))
    assert_frame_equal(course(whole), pl.concat([course(left), course(right)]))


@settings(max_examples=25)
@given(seeds)
def test_a_measurement_that_decided_stands_there_as_it_was_judged(seed: int) -> None:
    batch = generated_patients(KNOWLEDGE, 40, seed)
    part, labs = told(batch), evaluate_batch(batch, KNOWLEDGE).facts.labs
    columns = ("subject_id", "concept", "time", "source", "value_flag", "value_flag_from")
    stands = set(part.events.select(columns).iter_rows())
    sent = set(batch.events.select("subject_id", "concept").iter_rows())  # what is computed was not sent
    concerned = set(part.reasons["subject_id"])
    decided = [
        (row["subject_id"], row["concept"], row["time"], row["source"], row["flag"], row["flag_from"])
        for row in labs.iter_rows(named=True)
        if row["subject_id"] in concerned and row["source"] and " computed" not in row["said"] and (row["subject_id"], row["concept"]) in sent
    ]
    plain = [row for row in decided if row[1] in ("phosphate", "albumin", "creatinine", "calcium_total", "pth_intact", "urate")]
    assert plain
    assert set(plain) <= stands


# --- one value at a time


def judged(*events: dict[str, Any], birth: date | None = date(1960, 1, 1), sex: str | None = "female") -> list[dict[str, Any]]:
    batch = Batch(
        patients=pl.DataFrame([patient("p", birth, sex)], schema=PATIENT_SCHEMA),
        events=pl.DataFrame([event("calcinosis_cutis", day(0)), *events], schema=EVENT_SCHEMA),
    )
    return [row for row in course(batch).to_dicts() if row["concept"] != "calcinosis_cutis"]


def test_a_value_is_converted_and_read_against_the_interval_for_age_and_sex() -> None:
    [row] = judged(event("calcium_total", day(1), numeric_value=11.3, unit="mg/dL"))
    assert row["value"] == pytest.approx(2.8194, abs=1e-3)
    assert (row["numeric_value"], row["unit"], row["value_unit"]) == (11.3, "mg/dL", "mmol/L")
    assert (row["value_low"], row["value_high"], row["value_flag"], row["value_flag_from"]) == (2.2, 2.6, "high", "reference_interval")


def test_the_laboratorys_own_interval_is_converted_and_comes_first() -> None:
    [row] = judged(event("calcium_total", day(1), numeric_value=11.3, unit="mg/dL", range_low=8.0, range_high=12.0))
    assert (row["value_low"], row["value_high"]) == (pytest.approx(1.996, abs=1e-3), pytest.approx(2.994, abs=1e-3))
    assert (row["value_flag"], row["value_flag_from"]) == ("normal", "reported_interval")


def test_a_reported_flag_decides_and_the_interval_is_still_told() -> None:
    [row] = judged(event("calcium_total", day(1), numeric_value=2.4, unit="mmol/L", flag="high"))
    assert (row["value_flag"], row["value_flag_from"], row["value_low"], row["value_high"]) == ("high", "reported", 2.2, 2.6)


def test_a_unit_that_cannot_be_used_leaves_the_value_unknown_and_the_event_in_place() -> None:
    [row] = judged(event("calcium_total", day(1), numeric_value=11.3, unit="furlong"))
    assert (row["numeric_value"], row["unit"]) == (11.3, "furlong")
    assert (row["value"], row["value_unit"], row["value_flag"]) == (None, None, None)


def test_no_interval_for_an_unknown_age_is_no_interval() -> None:
    [row] = judged(event("calcium_total", day(1), numeric_value=2.4, unit="mmol/L"), birth=None)
    assert (row["value"], row["value_low"], row["value_high"], row["value_flag"]) == (2.4, None, None, None)


def test_what_is_denied_or_about_a_relative_is_kept_and_never_judged() -> None:
    rows = judged(event("calcium_total", day(1), "negated", flag="high"), event("calcium_total", day(1), "family", flag="high"))
    assert [(row["certainty"], row["value_flag"]) for row in rows] == [("family", None), ("negated", None)]


def test_as_of_leaves_out_what_came_later_and_keeps_what_has_no_date() -> None:
    events = [event("calcinosis_cutis", day(0)), event("pain", day(9)), event("warfarin", None), event("skin_ulcer", day(-3))]
    batch = Batch(
        patients=pl.DataFrame([patient("p", None, None)], schema=PATIENT_SCHEMA), events=pl.DataFrame(events, schema=EVENT_SCHEMA)
    )
    assert course(batch, as_of=day(2))["concept"].to_list() == ["warfarin", "skin_ulcer", "calcinosis_cutis"]


def test_the_file_holds_all_batches(tmp_path: Path, published_cases: Batch) -> None:
    cohort = screen_batches(iter([published_cases]), tmp_path, KNOWLEDGE, source="test", as_of=datetime(2030, 1, 1))
    assert_frame_equal(cohort.events, course(published_cases, as_of=datetime(2030, 1, 1)))
    assert set(cohort.events["subject_id"]) == set(cohort.reasons["subject_id"])
