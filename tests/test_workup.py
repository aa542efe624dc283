"""Work-up: which tests are missing, and what each result would change."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hand_made import (
    INDEX,
    batch_of,
    day,
    evaluated,
    event,
    knowledge_of,
    lab,
    leading_of,
    patient,
    type_of,
    workup_of,
)

from calcinosis.assessment import assess_batch, evaluate_batch
from calcinosis.contract import TestOut as MissingTest
from calcinosis.events import EVENT_SCHEMA, FLAGS, Batch
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.reasoning.workup import changes_by_patient

LESION = event("calcinosis_cutis", INDEX)
PHOSPHATE = workup_of("phosphate", {"labs": {"phosphate": "high"}}, {"labs": {"phosphate": "normal"}})


def small(**more: Any) -> Knowledge:
    types = [
        type_of("calciphylaxis", ("possible", {"has": "skin_ulcer"}), urgency=1),
        type_of(
            "metastatic", ("probable", {"lab": "phosphate", "is": "high"}), ("unlikely", {"lab": "phosphate", "is": "normal"}), urgency=2
        ),
        type_of("dystrophic", ("possible", {"has": "ctd"}), urgency=3),
    ]
    findings = {"lesion_present": {"has": "skin_lesion"}, "mineral_shown": {"has": "calcification"}} | more.pop("findings", {})
    return knowledge_of(findings=findings, types=types, **({"tests": [PHOSPHATE]} | more))


def asked(knowledge: Knowledge, events: list[dict[str, Any]]) -> dict[str, MissingTest]:
    (answer,) = assess_batch(batch_of(events), knowledge)
    return {test.test: test for test in answer.workup}


def test_a_test_is_missing_until_one_of_its_results_is_known() -> None:
    assert set(asked(small(), [LESION])) == {"phosphate"}
    for flag in ("high", "normal", "low"):
        assert not asked(small(), [LESION, lab("phosphate", flag=flag)])


def test_a_result_out_of_the_window_leaves_the_test_missing() -> None:
    assert set(asked(small(), [LESION, lab("phosphate", 2.0, "mmol/L", day(-400))])) == {"phosphate"}


def test_a_missing_test_tells_a_result_that_is_not_usable_from_none() -> None:
    for told, events in (
        (False, [LESION]),
        (False, [LESION, lab("calcium_total", flag="high")]),
        (True, [LESION, lab("phosphate", 2.0, "mmol/L", day(-400))]),  # outside the window
        (True, [LESION, lab("phosphate", 2.0, "furlong")]),  # no usable unit
    ):
        assert asked(small(), events)["phosphate"].on_record is told, events
    suspected = workup_of("biopsy", {"concepts": {"biopsy": True}}, {"concepts": {"biopsy": False}})
    knowledge = small(tests=[suspected], findings={"biopsied": {"has": "biopsy"}})
    assert asked(knowledge, [LESION, event("biopsy", certainty="uncertain")])["biopsy"].on_record
    assert not asked(knowledge, [LESION])["biopsy"].on_record


def test_only_a_lesion_asks_for_a_work_up() -> None:
    assert not asked(small(), [event("ctd")])


def test_each_result_says_what_it_would_change() -> None:
    test = asked(small(), [LESION, event("ctd")])["phosphate"]
    assert test.would_change
    high, normal = test.outcomes
    assert (high.leading, high.changes) == ("metastatic", {"metastatic": "probable"})
    assert (normal.leading, normal.changes) == ("dystrophic", {"metastatic": "unlikely"})


def test_a_test_that_changes_nothing_says_so_and_comes_last() -> None:
    idle = workup_of("biopsy", {"concepts": {"biopsy": True}}, {"concepts": {"biopsy": False}})
    knowledge = small(tests=[idle, PHOSPHATE], findings={"biopsied": {"has": "biopsy"}})
    tests = asked(knowledge, [LESION])
    assert list(tests) == ["phosphate", "biopsy"]
    assert [test.would_change for test in tests.values()] == [True, False]


def test_only_a_condition_known_to_be_false_rules_a_test_out() -> None:
    knowledge = small(tests=[PHOSPHATE | {"when": {"has": "ckd"}}])
    assert asked(knowledge, [LESION])
    assert asked(knowledge, [LESION, event("esrd")])
    assert not asked(knowledge, [LESION, event("ckd", certainty="negated")])


def test_a_finding_present_shows_its_parents_and_absent_denies_its_children() -> None:
    both = workup_of("biopsy", {"concepts": {"skin_ulcer": True}}, {"concepts": {"skin_ulcer": False}})
    knowledge = small(
        tests=[both],
        findings={"parent": {"has": "skin_lesion"}, "child": {"has": "digital_ulcer"}, "placed": {"has": "skin_ulcer", "at": "arm"}},
    )
    evaluation = evaluated(batch_of([LESION]), knowledge)
    present, absent = changes_by_patient(evaluation)[0]
    assert present.ranks["calciphylaxis"] == Status.POSSIBLE.rank
    assert absent.ranks["calciphylaxis"] == Status.NOT_ASSESSED.rank  # no rule speaks
    assert present.leading == "calciphylaxis"
    assert absent.leading is None


@pytest.mark.parametrize("flag", ["high", "low", "normal", "positive", "negative"])
@pytest.mark.parametrize("ever", [False, True])
def test_a_counterfactual_flag_means_what_the_measured_flag_means(flag: str, ever: bool) -> None:
    assert flag in FLAGS
    asks = ("high", "low", "normal", "positive", "negative")
    questions = [{"lab": "phosphate", "is": each, "ever": ever} for each in asks]
    findings = {f"q{n}": question for n, question in enumerate(questions)}
    types = [type_of(f"t{n}", ("possible", question), ("unlikely", {"not": question}), urgency=n) for n, question in enumerate(questions)]
    knowledge = knowledge_of(
        findings=findings | {"lesion_present": {"has": "skin_lesion"}, "mineral_shown": {"has": "calcification"}},
        types=[*types, type_of("calciphylaxis", ("possible", {"has": "pain"}))],
        tests=[workup_of("t", {"labs": {"phosphate": flag}})],
    )
    evaluation = evaluated(batch_of([LESION]), knowledge)
    (supposed,) = changes_by_patient(evaluation)[0]
    measured = evaluated(batch_of([LESION, lab("phosphate", flag=flag)]), knowledge)
    for n, each in enumerate(asks):
        assert supposed.ranks[f"t{n}"] == measured.rank(f"t{n}")[0], f"{flag} asked for {each}"


def test_supposing_changes_nothing_in_the_evaluation() -> None:
    evaluation = evaluated(batch_of([LESION]), small())
    before = {name: column.copy() for name, column in evaluation.columns.items()}
    changes_by_patient(evaluation)
    assert all((before[name] == column).all() for name, column in evaluation.columns.items())


# --- with the shipped knowledge --------------------------------------------------------------------


def test_a_missing_calcium_changes_metastatic(knowledge: Knowledge) -> None:
    """Calcified mass at a joint, kidney failure, no calcium or phosphate on file: both are asked for; a high one would be metastatic."""
    events = [event("periarticular_calcification", sites=["hip"]), event("esrd", day(-900))]
    (answer,) = assess_batch(batch_of(events, patient()), knowledge)
    tests = {test.test: test for test in answer.workup}
    for key in ("adjusted_calcium", "phosphate"):
        assert tests[key].would_change
        assert any("metastatic" in outcome.changes for outcome in tests[key].outcomes), key
    events.append(lab("calcium_total", 2.4, "mmol/L"))
    (answer,) = assess_batch(batch_of(events, patient()), knowledge)
    assert "adjusted_calcium" not in {test.test for test in answer.workup}


def test_a_normal_calcium_is_never_said_to_make_calciphylaxis_less_likely(knowledge: Knowledge, published_cases: Batch) -> None:
    order = ["excluded", "unlikely", "not_assessed", "possible", "probable", "confirmed"]
    for answer in assess_batch(published_cases, knowledge):
        stands = next(each.status for each in answer.types if each.type == "calciphylaxis")
        for test in answer.workup:
            if test.test in ("adjusted_calcium", "ionised_calcium", "phosphate", "pth", "kidney_function"):
                for outcome in test.outcomes:
                    assert order.index(outcome.changes.get("calciphylaxis", stands)) >= order.index(stands), (answer.patient_id, test.test)


def test_what_a_result_would_change_is_what_it_changes(knowledge: Knowledge, published_cases: Batch) -> None:
    """Every outcome of every missing test of every published case, once supposed and once written into the record."""
    evaluation = evaluate_batch(published_cases, knowledge).evaluation
    names = evaluation.subjects["subject_id"].to_list()
    supposed = [(names[row], change) for row, changes in changes_by_patient(evaluation).items() for change in changes]
    added = []
    for copy, (_, change) in enumerate(supposed):
        result = knowledge.tests[change.test].outcomes[change.outcome]
        added += [lab(key, None, None, None, flag=flag, who=str(copy)) for key, flag in result.labs.items()]
        added += [event(key, None, "affirmed" if present else "negated", who=str(copy)) for key, present in result.concepts.items()]
    copies = pl.DataFrame({"copy": [str(copy) for copy in range(len(supposed))], "subject_id": [who for who, _ in supposed]})
    events = copies.join(published_cases.events, on="subject_id").drop("subject_id").rename({"copy": "subject_id"})
    people = copies.join(published_cases.patients, on="subject_id", maintain_order="left").drop("subject_id").rename({"copy": "subject_id"})
    records = Batch(
        patients=people.select(published_cases.patients.columns),
        events=pl.concat([events.select(list(EVENT_SCHEMA)), pl.DataFrame(added, schema=EVENT_SCHEMA)]),
    )
    written = evaluate_batch(records, knowledge).evaluation
    assert len(supposed) > 1000
    differing = {
        (who, change.test, change.outcome, key)
        for place, (who, change) in enumerate(supposed)
        for key in knowledge.types
        if change.ranks[key] != written.rank(key)[place]
    }
    assert not differing
    assert [change.leading for _, change in supposed] == leading_of(written)
