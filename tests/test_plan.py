"""The plan: everything that is read is asked for, in an order in which nothing is read before it is made."""

from __future__ import annotations

import pytest
from hand_made import alarm_of, knowledge_of, mimic_of, type_of, weighed, workup_of

from calcinosis.knowledge import Knowledge
from calcinosis.reasoning.plan import make_plan

SOURCES = {"sources": ["book"]}


def names(knowledge: Knowledge) -> set[str]:
    return set(make_plan(knowledge).questions.names)


def test_every_leaf_that_any_part_reads_is_asked_for() -> None:
    knowledge = knowledge_of(
        findings={"inner": {"has": "pain", "at": "arm"}},
        types=[
            type_of(
                "one", ("possible", {"has": "nodule"}), supports=[weighed("s", {"has": "ckd"})],
                against=[weighed("a", {"suspected": "ctd"})],
                subtypes=[{"key": "sub", "label": "sub", "when": {"sex": "male"}, "sources": ["book"]}],
                risk_factors=[{"key": "risk", "label": "risk", "when": {"has": "warfarin"}, "sources": ["book"]}],
                more_urgent={"when": {"has": "esrd"}, "urgency": 0},
            )
        ],
        mimics=[mimic_of("other", ("possible", {"has": "biopsy"}))],
        alarms=[alarm_of("alarm", {"lab": "ana", "is": "positive"})],
        tests=[workup_of("test", {"labs": {"ana": "positive"}}, when={"has": "injection"})],
        diseases=[{"key": "d", "label": "d", "established": {"has": "ctd"}, "suspected": {"age": "years", "below": 5}} | SOURCES],
    )  # fmt: skip
    assert names(knowledge) >= {
        "has:nodule", "has:pain", "has:pain@arm", "has:ckd", "suspected:ctd", "sex:male", "has:warfarin", "has:esrd", "has:biopsy",
        "lab:ana:positive:now", "has:injection", "has:ctd", "age:[None,5.0)",
    }  # fmt: skip


def test_an_alarm_asks_for_the_latest_measurement_and_its_findings_for_the_one_at_the_index_date() -> None:
    high, low = {"lab": "phosphate", "is": "high"}, {"lab": "phosphate", "is": "low"}
    knowledge = knowledge_of(findings={"was_high": high}, alarms=[alarm_of("a", {"any": [{"finding": "was_high"}, low]})])
    assert {"lab:phosphate:high", "lab:phosphate:low:now"} <= names(knowledge)
    assert "lab:phosphate:high:now" not in names(knowledge)


def test_each_node_comes_after_those_it_names() -> None:
    knowledge = knowledge_of(
        findings={"a": {"not": {"finding": "b"}}, "b": {"known": {"finding": "c"}}, "c": {"has": "pain"}},
        types=[
            type_of("one", ("possible", {"hypothesis": "two", "at_least": "possible"}), urgency=1),
            type_of("two", ("possible", {"finding": "a"}), urgency=2),
        ],
    )
    place = make_plan(knowledge).program.names
    order = ["finding:c", "finding:b", "finding:a", "rank:two", "rank:one"]
    assert [name for name in place if name in order] == order


@pytest.mark.parametrize(
    "findings",
    [{"a": {"finding": "a"}}, {"a": {"not": {"finding": "b"}}, "b": {"any": [{"has": "pain"}, {"finding": "a"}]}}],
)
def test_findings_in_a_circle_are_refused(findings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"circle: .*a -> "):
        make_plan(knowledge_of(findings=findings))


def test_hypotheses_in_a_circle_are_refused() -> None:
    types = [
        type_of("one", ("possible", {"hypothesis": "two", "at_least": "possible"}), urgency=1),
        type_of("two", ("possible", {"hypothesis": "one", "at_least": "possible"}), urgency=2),
    ]
    with pytest.raises(ValueError, match="circle"):
        make_plan(knowledge_of(types=types))


def test_the_plan_is_compiled_once_per_knowledge_version() -> None:
    knowledge = knowledge_of()
    assert make_plan(knowledge) is make_plan(knowledge)
    assert make_plan(knowledge_of()) is not make_plan(knowledge)


def test_every_criterion_has_a_number_of_its_own(knowledge: Knowledge) -> None:
    plan = make_plan(knowledge)
    assert plan.criteria["id"].is_unique().all()
    assert set(plan.criterion_leaves["id"]) == set(plan.criteria["id"])  # no criterion without a leaf that can explain it
    assert set(plan.criterion_leaves["leaf"]) <= set(plan.questions.names)
    assert set(plan.leaf_subjects["leaf"]) == set(plan.questions.names)


def test_every_shown_criterion_of_the_shipped_knowledge_has_a_source(knowledge: Knowledge) -> None:
    shown = make_plan(knowledge).criteria
    assert shown.filter(shown["sources"].list.len() == 0).select("kind", "owner", "role", "label").rows() == []
