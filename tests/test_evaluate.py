"""Statuses and the leading answer."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import INDEX, batch_of, evaluated, event, knowledge_of, lab, leading_of, mimic_of, patient, status_of, type_of

from calcinosis.assessment import assess_batch
from calcinosis.events import Batch
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status

PRESENT = {"has": "calcification"}
UNKNOWN = {"has": "pain"}
EVENTS = [event("calcification", INDEX)]


def leader(*types: Any, mimics: Any = (), events: Any = EVENTS) -> str | None:
    (only,) = leading_of(evaluated(batch_of(events), knowledge_of(types=types, mimics=mimics)))
    return only


def test_the_first_true_rule_sets_the_status() -> None:
    rules = [("confirmed", {"not": PRESENT}), ("possible", PRESENT), ("probable", PRESENT)]
    evaluation = evaluated(batch_of(EVENTS), knowledge_of(types=[type_of("one", *rules)]))
    assert status_of("one", evaluation) == ["possible"]
    assert evaluation.fired("one").tolist() == [1]


def test_an_unknown_rule_never_fires() -> None:
    rules = [("confirmed", UNKNOWN), ("excluded", {"not": UNKNOWN}), ("possible", PRESENT)]
    evaluation = evaluated(batch_of(EVENTS), knowledge_of(types=[type_of("one", *rules)]))
    assert status_of("one", evaluation) == ["possible"]


def test_without_any_true_rule_a_type_is_not_assessed() -> None:
    evaluation = evaluated(batch_of(EVENTS), knowledge_of(types=[type_of("one", ("confirmed", UNKNOWN))]))
    assert status_of("one", evaluation) == ["not_assessed"]
    assert evaluation.fired("one").tolist() == [-1]
    assert leading_of(evaluation) == [None]


def test_a_stronger_status_leads() -> None:
    assert leader(type_of("urgent", ("possible", PRESENT), urgency=1), type_of("slow", ("probable", PRESENT), urgency=5)) == "slow"


def test_among_equals_the_more_urgent_leads() -> None:
    assert leader(type_of("slow", ("probable", PRESENT), urgency=5), type_of("urgent", ("probable", PRESENT), urgency=1)) == "urgent"


def test_unlikely_excluded_and_not_assessed_never_lead() -> None:
    assert leader(type_of("one", ("unlikely", PRESENT), urgency=1), type_of("two", ("excluded", PRESENT), urgency=2)) is None


def test_a_mimic_comes_after_the_types_with_a_cause_and_before_idiopathic() -> None:
    mimic = mimic_of("gout", ("probable", PRESENT))
    assert leader(type_of("dystrophic", ("probable", PRESENT), urgency=3), mimics=[mimic]) == "dystrophic"
    assert leader(type_of("idiopathic", ("probable", PRESENT), urgency=5), mimics=[mimic]) == "gout"


def test_what_makes_a_type_more_urgent_need_not_be_read_anywhere_else() -> None:
    sooner = type_of("later", ("probable", PRESENT), urgency=5, more_urgent={"when": {"lab": "phosphate", "is": "high"}, "urgency": 0})
    types = [type_of("first", ("probable", PRESENT), urgency=1), sooner]
    assert leader(*types) == "first"
    assert leader(*types, events=[*EVENTS, lab("phosphate", flag="high")]) == "later"


def test_a_hypothesis_can_be_asked_for_and_is_false_until_it_stands() -> None:
    asks = type_of(
        "asks",
        ("possible", {"hypothesis": "gout", "at_least": "probable"}),
        ("unlikely", {"not": {"hypothesis": "gout", "at_least": "possible"}}),
    )
    for status, expected in (("confirmed", "possible"), ("probable", "possible"), ("possible", "not_assessed"), ("unlikely", "unlikely")):
        knowledge = knowledge_of(types=[asks], mimics=[mimic_of("gout", (status, PRESENT))])
        assert status_of("asks", evaluated(batch_of(EVENTS), knowledge)) == [expected]


def test_no_patient_is_no_problem() -> None:
    empty = batch_of([], patient()).patients.clear()
    evaluation = evaluated(Batch(patients=empty, events=batch_of([]).events), knowledge_of())
    assert evaluation.subjects.height == 0
    assert leading_of(evaluation) == []


# --- with the shipped knowledge --------------------------------------------------------------------

UREMIC = [
    event("esrd"), event("haemodialysis"), event("pain", sites=["thigh"]),
    event("retiform_purpura", sites=["thigh"]), event("skin_necrosis", sites=["thigh"]),
]  # fmt: skip
NORMAL_VALUES = [
    lab("calcium_total", 2.4, "mmol/L", interval=(2.2, 2.6)), lab("albumin", 42, "g/L", interval=(35, 50)),
    lab("calcium_ionised", 1.2, "mmol/L", interval=(1.1, 1.3)), lab("phosphate", 1.1, "mmol/L", interval=(0.8, 1.5)),
    lab("pth_intact", 4.0, "pmol/L", interval=(1.6, 6.9)), lab("creatinine", 70, "umol/L", interval=(50, 90)),
]  # fmt: skip


@pytest.mark.parametrize("kidney", [True, False], ids=["uraemic", "non-uraemic"])
def test_normal_calcium_does_not_exclude_calciphylaxis(knowledge: Knowledge, kidney: bool) -> None:
    picture = UREMIC if kidney else [*UREMIC[2:], event("warfarin")]
    without = evaluated(batch_of(picture), knowledge).rank("calciphylaxis")[0]
    normal = evaluated(batch_of([*picture, *NORMAL_VALUES]), knowledge).rank("calciphylaxis")[0]
    assert without >= Status.POSSIBLE.rank
    assert normal >= without


def test_normal_calcium_alone_says_nothing_about_calciphylaxis(knowledge: Knowledge) -> None:
    assert status_of("calciphylaxis", evaluated(batch_of(NORMAL_VALUES), knowledge)) == ["not_assessed"]


def test_nothing_recorded_is_nothing_assessed(knowledge: Knowledge) -> None:
    (answer,) = assess_batch(batch_of([], patient()), knowledge)
    assert {each.status for each in answer.types} == {Status.NOT_ASSESSED}
    assert answer.leading is None
    assert not answer.alarms
    assert not answer.mimics


def test_idiopathic_is_not_reached_from_silence(knowledge: Knowledge) -> None:
    """A nodule with calcium and nothing else on record: nothing was excluded by a test, so idiopathic does not stand as probable."""
    evaluation = evaluated(batch_of([event("calcinosis_cutis", sites=["thigh"])]), knowledge)
    assert evaluation.rank("idiopathic")[0] <= Status.POSSIBLE.rank
