"""Explaining, batching and the output format read values and change none."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import polars as pl
from hand_made import batch_of, lab, patient

from calcinosis.assessment import assess_batch, evaluate_batch, in_words
from calcinosis.engines.rows import assessed, assessment_rows, explained
from calcinosis.events import Batch
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.reasoning.explain import explain
from calcinosis.reasoning.workup import changes_by_patient


def test_explaining_leaves_every_value_as_it_was(knowledge: Knowledge, published_cases: Batch) -> None:
    evaluated = evaluate_batch(published_cases, knowledge)
    evaluation, facts = evaluated.evaluation, evaluated.facts
    before = deepcopy(evaluation.columns), evaluation.leading.copy()
    tables = [frame.clone() for frame in (facts.subjects, facts.concepts, facts.labs, facts.events)]
    explain(evaluation, facts)
    changes_by_patient(evaluation)
    in_words(evaluated)
    assessment_rows(evaluated, published_cases)
    assert np.array_equal(before[0].matrix, evaluation.columns.matrix)
    assert np.array_equal(before[1], evaluation.leading)
    for then_table, now_table in zip(tables, (facts.subjects, facts.concepts, facts.labs, facts.events), strict=True):
        assert then_table.equals(now_table)


def test_evaluating_a_part_is_a_part_of_evaluating_all(knowledge: Knowledge, published_cases: Batch) -> None:
    evaluation = evaluate_batch(published_cases, knowledge).evaluation
    rows = np.arange(0, evaluation.subjects.height, 3)
    chosen = evaluation.subjects["subject_id"].gather(rows)
    mine = pl.col("subject_id").is_in(chosen.to_list())
    part = evaluate_batch(
        Batch(patients=published_cases.patients.filter(mine), events=published_cases.events.filter(mine)), knowledge
    ).evaluation
    assert part.subjects["subject_id"].to_list() == chosen.to_list()
    assert all(np.array_equal(part.columns[name], evaluation.columns[name][rows]) for name in part.columns)
    assert np.array_equal(part.leading, evaluation.leading[rows])


def test_the_rows_of_a_screen_agree_with_the_assessments(knowledge: Knowledge, published_cases: Batch) -> None:
    evaluated = evaluate_batch(published_cases, knowledge)
    rows, _ = assessment_rows(evaluated, published_cases)
    told = explained([assessed(published_cases, knowledge).concerned], knowledge)
    reasons, reviews = told.reasons, told.reviews
    answers = assess_batch(published_cases, knowledge)
    assert rows["subject_id"].to_list() == [a.patient_id for a in answers]
    with_reasons = set(reasons["subject_id"])
    reviewed = {(who, kind, key) for who, kind, key in reviews.select("subject_id", "kind", "key").iter_rows() if kind != "not_checked"}
    for row, answer in zip(rows.to_dicts(), answers, strict=True):
        who = answer.patient_id
        for each in answer.types:
            assert row[f"status_{each.type}"] == each.status.value, who
            assert row[f"subtype_{each.type}"] == each.subtype, who
        assert row["leading"] == answer.leading, who
        assert row["leading_mimic"] == answer.leading_mimic, who
        assert row["leading_status"] == answer.leading_status, who
        assert (row["provisional"], row["mixed"]) == (answer.provisional, answer.mixed), who
        assert sorted(row["alarms"]) == sorted(alarm.key for alarm in answer.alarms), who
        assert row["alarm_urgency"] == (answer.alarms[0].urgency if answer.alarms else None), who
        standing = {f"{m.mimic}:{m.status.value}" for m in answer.mimics if m.status.rank >= Status.POSSIBLE.rank}
        assert set(row["mimics"]) == standing, who
        assert {d.disease for d in answer.diseases if d.status == "established"} <= set(row["diseases"]), who
        assert {d.disease for d in answer.diseases if d.status == "suspected"} <= set(row["diseases_suspected"]), who
        weights = [risk.weight for risk in answer.calciphylaxis_risk]
        assert (row["calciphylaxis_major"], row["calciphylaxis_minor"]) == (weights.count("major"), weights.count("minor")), who
        assert row["n_warnings"] == len(answer.warnings), who
        assert (row["index_time"], row["index_basis"]) == (answer.index_date, answer.index_basis), who
        assert sorted(row["missing_tests"]) == sorted(test.test for test in answer.workup), who
        assert sorted(row["unusable_tests"]) == sorted(test.test for test in answer.workup if test.on_record), who
        assert {(who, each.kind, each.key) for each in answer.review} <= reviewed, who
        if standing or row["leading"] or row["mineral_shown"] or row["calciphylaxis_at_risk"] or answer.alarms:  # something to say
            assert who in with_reasons


def test_the_json_of_an_assessment_reads_back_as_the_same(knowledge: Knowledge, published_cases: Batch) -> None:
    for answer in assess_batch(published_cases, knowledge)[::10]:
        assert type(answer).model_validate_json(answer.model_dump_json()) == answer


def test_a_warning_is_counted_for_its_own_patient(knowledge: Knowledge) -> None:
    events = [
        lab("phosphate", 4, "furlong", who="a", source="Observation/7"),
        lab("phosphate", 1.1, "mmol/L", who="b", source="Observation/7"),
    ]
    batch = batch_of(events, patient("a"), patient("b"))
    rows, _ = assessment_rows(evaluate_batch(batch, knowledge), batch)
    assert rows["n_warnings"].to_list() == [len(answer.warnings) for answer in assess_batch(batch, knowledge)] == [1, 0]
