"""Findings: each kind of criterion, and the three values of Kleene's logic."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hand_made import INDEX, answer, day, event, knowledge_of, lab, parsed
from pydantic import ValidationError
from reference_evaluator import kleene_and, kleene_at_least, kleene_not, kleene_or

from calcinosis.findings import children, expand, leaf_id, leaves, references

# a leaf that is true, false or unknown of a patient who has calcinosis and no ulcer, and of whose pain nothing is known
LEAF: dict[bool | None, Any] = {True: {"has": "calcification"}, False: {"has": "skin_ulcer"}, None: {"has": "pain"}}
PATIENT = [event("calcification"), event("skin_ulcer", certainty="negated")]
VALUES = (True, False, None)


# --- Kleene ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", list(product(VALUES, repeat=3)))
def test_all_and_any_follow_kleene(values: tuple[bool | None, ...]) -> None:
    parts = [LEAF[value] for value in values]
    assert answer({"all": parts}, PATIENT) is kleene_and(values)
    assert answer({"any": parts}, PATIENT) is kleene_or(values)


@pytest.mark.parametrize("value", VALUES)
def test_not_of_unknown_is_unknown(value: bool | None) -> None:
    assert answer({"not": LEAF[value]}, PATIENT) is kleene_not(value)


@pytest.mark.parametrize("value", VALUES)
def test_known_is_the_only_step_out_of_unknown(value: bool | None) -> None:
    assert answer({"known": LEAF[value]}, PATIENT) is (value is True)
    assert answer({"not": {"known": LEAF[value]}}, PATIENT) is (value is not True)


@pytest.mark.parametrize("values", list(product(VALUES, repeat=3)))
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_at_least_is_open_while_the_unknown_ones_could_decide(n: int, values: tuple[bool | None, ...]) -> None:
    assert answer({"at_least": n, "of": [LEAF[value] for value in values]}, PATIENT) is kleene_at_least(n, values)


def test_one_criterion_asked_twice_counts_twice() -> None:
    assert answer({"at_least": 2, "of": [LEAF[True], LEAF[True]]}, PATIENT) is True


# --- presence --------------------------------------------------------------------------------------


def test_has_is_true_false_or_unknown() -> None:
    assert answer({"has": "pain"}, [event("pain")]) is True
    assert answer({"has": "pain"}, [event("pain", certainty="negated")]) is False
    assert answer({"has": "pain"}, []) is None


def test_has_any_is_an_any_of_has() -> None:
    asked = {"has_any": ["pain", "nodule"]}
    assert answer(asked, [event("nodule")]) is True
    assert answer(asked, [event("nodule", certainty="negated")]) is None
    assert answer(asked, [event("nodule", certainty="negated"), event("pain", certainty="negated")]) is False
    assert answer(asked | {"at": "limb"}, [event("nodule", sites=["thigh"])]) is True


@pytest.mark.parametrize(
    ("sites", "expected"),
    [(["hand"], True), (["arm"], True), (["limb"], False), (["abdomen"], False), (["abdomen", "hand"], True), ([], None), (None, None)],
)
def test_a_site_contains_its_parts_but_not_its_whole(sites: list[str] | None, expected: bool | None) -> None:
    assert answer({"has": "skin_lesion", "at": "arm"}, [event("nodule", sites=sites)]) is expected


def test_a_lesion_without_a_site_leaves_every_site_open() -> None:
    events = [event("nodule", sites=["abdomen"]), event("nodule", sites=None)]
    assert answer({"has": "nodule", "at": "arm"}, events) is None
    assert answer({"has": "nodule", "at": "abdomen"}, events) is True


def test_absent_altogether_is_absent_at_every_site() -> None:
    assert answer({"has": "nodule", "at": "arm"}, [event("skin_lesion", certainty="negated")]) is False


@pytest.mark.parametrize(
    ("time", "said", "expected"),
    [
        (day(-7), None, True),
        (day(-30), None, False),
        (day(5), None, False),
        (INDEX, None, None),
        (None, None, None),
        (day(-30), 7.0, True),
        (None, 60.0, False),
    ],
)
def test_the_lead_time_of_an_exposure_in_words_beats_its_date(time: Any, said: float | None, expected: bool | None) -> None:
    events = [event("calcification", INDEX), event("injection", time, days_before_onset=said)]
    assert answer({"has": "injection", "days_before_onset": [0, 14]}, events) is expected


def test_within_days_counts_undated_entries() -> None:
    asked = {"has": "pain", "within_days": 30}
    for time, expected in ((day(-30), True), (day(30), True), (day(-31), False), (None, True)):
        assert answer(asked, [event("calcification", INDEX), event("pain", time)]) is expected


def test_same_site_needs_two_sites() -> None:
    asked = {"same_site": ["pain", "nodule"]}
    assert answer(asked, [event("pain", sites=["hand"]), event("nodule", sites=["hand"])]) is True
    assert answer(asked, [event("pain", sites=["hand"]), event("nodule", sites=["arm"])]) is True  # the hand lies in the arm
    assert answer(asked, [event("pain", sites=["hand"]), event("nodule", sites=["thigh"])]) is False
    assert answer(asked, [event("pain", sites=["hand"]), event("nodule")]) is None
    assert answer(asked, [event("pain", sites=["hand"]), event("nodule", certainty="negated")]) is False
    assert answer(asked, [event("pain", sites=["hand"])]) is None


def test_without_is_asked_of_each_site_on_its_own() -> None:
    asked = {"has_any": ["nodule"], "at": ["thigh", "abdomen"], "without": ["injection", "warfarin"]}
    thigh, abdomen, nowhere = event("nodule", sites=["thigh"]), event("nodule", sites=["abdomen"]), event("nodule")
    assert answer(asked, [thigh]) is True
    assert answer(asked, [thigh, event("injection", sites=["abdomen"])]) is True
    assert answer(asked, [thigh, event("injection", sites=["thigh"])]) is False
    assert answer(asked, [thigh, abdomen, event("injection", sites=["thigh"])]) is True
    assert answer(asked, [thigh, event("injection")]) is True  # a wound of no recorded place is not known to lie there
    assert answer(asked, [nowhere]) is None
    assert answer(asked, [event("nodule", sites=["hand"])]) is False
    assert answer(asked, [event("skin_lesion", certainty="negated")]) is False


def test_elsewhere_needs_a_region_for_every_entry() -> None:
    asked = {"elsewhere": ["pain", "nodule"], "regions": ["arm", "leg", "abdomen"]}
    pain, nodule = event("pain", sites=["abdomen"]), event("nodule", sites=["thigh"])
    assert answer(asked, [pain, nodule]) is True
    assert answer(asked, [event("pain", sites=["leg"]), nodule]) is False  # one region
    assert answer(asked, [pain, event("pain", sites=["thigh"]), nodule]) is False
    assert answer(asked, [pain, event("pain"), nodule]) is None  # the other pain may lie anywhere
    assert answer(asked, [pain, nodule, event("skin_ulcer")]) is True
    assert answer({"elsewhere": ["pain", "skin_lesion"], "regions": ["arm", "leg", "abdomen"]}, [pain, nodule, event("skin_ulcer")]) is None
    assert answer(asked, [event("pain", sites=["limb"]), nodule]) is False  # the limb may be the leg
    assert answer(asked | {"regions": ["arm", "abdomen"]}, [pain, nodule]) is None  # the thigh lies in none of the regions
    assert answer(asked, [pain]) is None
    assert answer(asked, [pain, event("nodule", certainty="negated")]) is False


# --- person ----------------------------------------------------------------------------------------


def test_age_and_sex_are_unknown_when_not_recorded() -> None:
    from hand_made import patient

    nobody = patient(born=None, sex=None)
    assert answer({"age": "years", "below": 18}, [event("calcification")], nobody) is None
    assert answer({"sex": "female"}, [event("calcification")], nobody) is None
    assert answer({"age": "years", "at_least": 50, "below": 51}, [event("calcification")]) is True
    assert answer({"sex": "male"}, [event("calcification")]) is False


# --- measurements ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "high", "low", "normal", "positive", "negative"),
    [
        ("high", True, False, False, True, False),
        ("low", False, True, False, None, None),
        ("normal", False, False, True, False, True),
        ("positive", None, None, False, True, False),
        ("negative", None, None, True, False, True),
        ("abnormal", None, None, False, True, False),
    ],
)
def test_a_flag_answers_what_it_can(flag: str, high: Any, low: Any, normal: Any, positive: Any, negative: Any) -> None:
    for asked, expected in {"high": high, "low": low, "normal": normal, "positive": positive, "negative": negative}.items():
        assert answer({"lab": "ana", "is": asked}, [lab("ana", flag=flag)]) is expected, asked


@pytest.mark.parametrize(
    ("comparator", "value", "at_least_2", "below_2"),
    [
        (None, 2.0, True, False), (None, 1.9, False, True),
        ("<", 2.0, False, True), ("<", 1.5, False, True), ("<", 2.5, None, None),
        ("<=", 2.0, None, None), ("<=", 1.5, False, True), ("<=", 2.5, None, None),
        (">", 2.0, True, False), (">", 1.5, None, None), (">=", 2.0, True, False), (">=", 1.5, None, None),
    ],
)  # fmt: skip
def test_a_comparator_leaves_open_what_it_does_not_say(
    comparator: str | None, value: float, at_least_2: bool | None, below_2: bool | None
) -> None:
    events = [lab("phosphate", value, "mmol/L", comparator=comparator)]
    assert answer({"value": "phosphate", "unit": "mmol/L", "at_least": 2}, events) is at_least_2
    assert answer({"value": "phosphate", "unit": "mmol/L", "below": 2}, events) is below_2


def test_a_limit_is_converted_to_the_unit_of_the_rule() -> None:
    events = [lab("phosphate", 2.0, "mmol/L")]  # 6.19 mg/dL
    assert answer({"value": "phosphate", "unit": "mg/dL", "at_least": 6.1, "below": 6.3}, events) is True
    assert answer({"value": "phosphate", "unit": "mg/dL", "at_least": 6.3}, events) is False


# --- closed world ----------------------------------------------------------------------------------


def test_closed_world_only_for_named_kinds_and_never_labs() -> None:
    closed = frozenset({"disease", "lab"})
    assert answer({"has": "ckd"}, [], closed_world=closed) is False
    assert answer({"has": "warfarin"}, [], closed_world=closed) is None
    assert answer({"has": "pain"}, [], closed_world=closed) is None
    assert answer({"lab": "phosphate", "is": "high"}, [], closed_world=closed) is None
    assert answer({"value": "phosphate", "unit": "mmol/L", "at_least": 1}, [], closed_world=closed) is None
    assert answer({"age": "years", "below": 5}, [], closed_world=closed) is None


def test_a_suspicion_is_no_silence() -> None:
    assert answer({"has": "ckd"}, [event("esrd", certainty="uncertain")], closed_world=frozenset({"disease"})) is None


def test_a_family_history_is_silence_about_the_patient() -> None:
    assert answer({"has": "ckd"}, [event("ckd", certainty="family")], closed_world=frozenset({"disease"})) is False


def test_a_missing_site_or_date_is_not_closed_to_absence() -> None:
    closed = frozenset({"finding", "exposure"})
    assert answer({"has": "nodule", "at": "arm"}, [event("nodule")], closed_world=closed) is None
    assert answer({"has": "injection", "days_before_onset": [0, 14]}, [event("injection", None)], closed_world=closed) is None
    assert answer({"has": "nodule", "at": "arm"}, [], closed_world=closed) is False
    assert answer({"same_site": ["nodule", "pain"]}, [event("nodule", sites=["arm"])], closed_world=closed) is False


# --- shape -----------------------------------------------------------------------------------------


def test_every_qualifier_is_part_of_the_name_of_a_leaf() -> None:
    asked = [
        {"has": "pain"}, {"has": "pain", "at": "arm"}, {"has": "pain", "at": "leg"}, {"has": "pain", "within_days": 3},
        {"has": "pain", "days_before_onset": [0, 3]}, {"has": "pain", "at": "arm", "within_days": 3}, {"suspected": "pain"},
        {"over": "pain"}, {"over": "pain", "for_days": 3}, {"current": "pain"},
        {"same_site": ["pain", "nodule"]}, {"elsewhere": ["pain", "nodule"], "regions": ["arm"]},
        {"elsewhere": ["pain", "nodule"], "regions": ["arm", "leg"]}, {"lab": "ana", "is": "positive"}, {"lab": "ana", "is": "positive", "ever": True},
        {"value": "phosphate", "unit": "mg/dL", "below": 3}, {"value": "phosphate", "unit": "mmol/L", "below": 3},
        {"value": "phosphate", "unit": "mg/dL", "at_least": 3}, {"age": "years", "below": 3},
        {"age": "years", "at_least": 3}, {"sex": "male"},
    ]  # fmt: skip
    names = [leaf_id(parsed(each)) for each in asked]  # type: ignore[arg-type]
    assert len(set(names)) == len(names)
    for each in ({"lab": "ana", "is": "positive"}, {"value": "phosphate", "unit": "mg/dL", "below": 3}):
        assert leaf_id(parsed(each), now=True) != leaf_id(parsed(each))  # type: ignore[arg-type]


def test_leaves_are_found_through_findings_and_compounds() -> None:
    knowledge = knowledge_of(findings={"inner": {"not": {"has": "pain", "at": "arm"}}})
    tree = parsed(
        {"at_least": 1, "of": [{"known": {"finding": "inner"}}, {"has_any": ["nodule", "ckd"]}, {"lab": "ana", "is": "positive"}]}
    )
    assert {leaf_id(leaf) for leaf in leaves(tree, knowledge)} == {"has:pain@arm", "has:pain", "has:nodule", "has:ckd", "lab:ana:positive"}
    assert [r.finding for r in references(tree)] == ["inner"]  # type: ignore[union-attr]


def test_shorthand_is_written_out_once() -> None:
    assert [child.has for child in children(parsed({"has_any": ["nodule", "ckd"]}))] == ["nodule", "ckd"]  # type: ignore[union-attr]
    assert expand(parsed({"has": "ckd"})) == parsed({"has": "ckd"})


@pytest.mark.parametrize(
    "wrong",
    [{}, {"has": "a", "lab": "b"}, {"hass": "a"}, {"all": []}, {"at_least": 0, "of": [{"has": "a"}]}, "pain", {"has": "a", "near": "b"},
     {"has_any": ["a"], "without": ["b"]}],
)  # fmt: skip
def test_a_criterion_that_is_none_is_rejected(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(wrong)
