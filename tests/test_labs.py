"""Measurements: units, flags, derived quantities and the measurement that decides."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hand_made import INDEX, answer, day, event, facts_of, lab, lab_fact, patient

from calcinosis.knowledge import load_knowledge

ADULT = patient(born=date(1974, 6, 1))
CHILD = patient(born=date(2018, 6, 1))  # six years old at the index date
INFANT = patient(born=date(2024, 1, 1))


def flag(concept: str, *events: dict[str, Any], who: dict[str, Any] = ADULT) -> str | None:
    fact = lab_fact(concept, events, who)
    return fact["flag"] if fact else None


# --- flags -----------------------------------------------------------------------------------------


def test_reported_flag_beats_reported_interval() -> None:
    fact = lab_fact("phosphate", [lab("phosphate", 9.0, "mmol/L", interval=(0.8, 1.5), flag="normal")])
    assert fact is not None
    assert (fact["flag"], fact["flag_from"]) == ("normal", "reported")


def test_reported_interval_beats_reference_interval() -> None:
    fact = lab_fact("phosphate", [lab("phosphate", 1.45, "mmol/L", interval=(0.8, 1.4))])
    assert fact is not None
    assert (fact["flag"], fact["flag_from"]) == ("high", "reported_interval")
    fact = lab_fact("phosphate", [lab("phosphate", 1.45, "mmol/L")])
    assert fact is not None
    assert (fact["flag"], fact["flag_from"]) == ("normal", "reference_interval")


def test_the_reported_interval_is_in_the_reported_unit() -> None:
    assert flag("phosphate", lab("phosphate", 4.6, "mg/dL", interval=(2.5, 4.5))) == "high"
    assert flag("phosphate", lab("phosphate", 4.4, "mg/dL", interval=(2.5, 4.5))) == "normal"


def test_phosphate_of_a_child_is_judged_by_age() -> None:
    measured = lab("phosphate", 1.7, "mmol/L")
    assert flag("phosphate", measured, who=CHILD) == "normal"
    assert flag("phosphate", measured, who=ADULT) == "high"
    assert flag("phosphate", lab("phosphate", 2.2, "mmol/L"), who=INFANT) == "normal"
    assert flag("phosphate", lab("phosphate", 2.2, "mmol/L"), who=CHILD) == "high"


def test_without_an_age_the_flag_is_that_of_every_age_or_none() -> None:
    assert flag("phosphate", lab("phosphate", 1.7, "mmol/L"), who=patient(born=None)) is None
    fact = lab_fact("phosphate", [lab("phosphate", 8.0, "mg/dL")], patient(born=None))
    assert fact is not None
    assert (fact["flag"], fact["flag_from"]) == ("high", "every_age")
    assert fact["said"] == "8 mg/dL, judged without the age, which is not known"
    fact = lab_fact("haemoglobin", [lab("haemoglobin", 90, "g/L")], patient(sex=None))
    assert fact is not None
    assert (fact["flag"], fact["flag_from"]) == ("low", "every_sex")
    assert fact["said"] == "90 g/L, judged without the sex, which is not known"
    assert flag("albumin", lab("albumin", 20, "g/L"), who=patient(born=None)) == "low"  # this interval holds at every age


def test_an_interval_for_one_sex_needs_the_sex() -> None:
    measured = lab("haemoglobin", 125, "g/L")
    assert flag("haemoglobin", measured, who=patient(sex="female")) == "normal"
    assert flag("haemoglobin", measured, who=patient(sex="male")) == "low"
    assert flag("haemoglobin", measured, who=patient(sex=None)) is None


def test_the_limits_of_an_interval_are_normal() -> None:
    for value in (0.8, 1.5):
        assert flag("phosphate", lab("phosphate", value, "mmol/L", interval=(0.8, 1.5))) == "normal"


@pytest.mark.parametrize(
    ("comparator", "value", "interval", "expected"),
    [
        ("<", 0.5, (0.8, 1.5), "low"),
        ("<", 0.8, (0.8, 1.5), "low"),
        ("<=", 0.8, (0.8, 1.5), None),  # may be exactly at the limit, which is normal
        ("<", 1.2, (0.8, 1.5), None),
        ("<", 9.0, (0.8, 1.5), None),
        (">", 2.0, (0.8, 1.5), "high"),
        (">", 1.5, (0.8, 1.5), "high"),
        (">=", 1.5, (0.8, 1.5), None),
        (">", 1.0, (0.8, 1.5), None),
        (">", 0.1, (0.8, 1.5), None),
        ("<", 5.0, (None, 10.0), "normal"),  # an antibody below its only limit
        ("<=", 10.0, (None, 10.0), "normal"),
        ("<", 20.0, (None, 10.0), None),
        (">", 90.0, (60.0, None), "normal"),  # eGFR > 90
        (">", 60.0, (60.0, None), "normal"),
        (">=", 60.0, (60.0, None), "normal"),
        (">", 30.0, (60.0, None), None),
    ],
)
def test_a_comparator_decides_only_what_it_can(
    comparator: str, value: float, interval: tuple[float | None, float | None], expected: str | None
) -> None:
    assert flag("phosphate", lab("phosphate", value, "mmol/L", interval=interval, comparator=comparator)) == expected


def test_a_flag_without_a_number_is_a_measurement() -> None:
    fact = lab_fact("ana", [lab("ana", flag="positive")])
    assert fact is not None
    assert (fact["value"], fact["flag"]) == (None, "positive")
    assert answer({"lab": "ana", "is": "positive"}, [lab("ana", flag="positive")]) is True


# --- units -----------------------------------------------------------------------------------------


def test_values_are_converted_to_the_canonical_unit() -> None:
    fact = lab_fact("calcium_total", [lab("calcium_total", 10.0, "mg/dL")])
    assert fact is not None
    assert fact["value"] == pytest.approx(2.495, abs=0.001)
    assert fact["said"] == "10 mg/dL"


def test_unknown_unit_is_rejected_aloud() -> None:
    facts = facts_of([lab("phosphate", 4.0, "furlong", source="Observation/7"), lab("phosphate", 4.0, None, source="Observation/8")])
    assert facts.labs.is_empty()
    assert sorted(facts.rejects["record"]) == ["Observation/7", "Observation/8"]
    assert set(facts.rejects["category"]) == {"unknown_unit"}
    assert set(facts.rejects["level"]) == {"warning"}
    assert all(reason.startswith("phosphate: ") for reason in facts.rejects["reason"])


def test_a_reported_flag_survives_an_unknown_unit() -> None:
    facts = facts_of([lab("phosphate", 4.0, "furlong", flag="high")])
    assert facts.labs["flag"].to_list() == ["high"]
    assert facts.labs["value"].to_list() == [None]
    assert facts.rejects.height == 1


def test_meq_without_valence_is_rejected_and_with_it_converted() -> None:
    assert facts_of([lab("potassium", 4.0, "meq/L")]).rejects.height == 1
    fact = lab_fact("calcium_total", [lab("calcium_total", 5.0, "meq/L")])
    assert fact is not None
    assert fact["value"] == pytest.approx(2.5)


# --- calcium ---------------------------------------------------------------------------------------


def test_albumin_adjustment() -> None:
    fact = lab_fact("calcium_adjusted", [lab("calcium_total", 2.1, "mmol/L"), lab("albumin", 2.0, "g/dL")])
    assert fact is not None
    assert fact["value"] == pytest.approx(2.1 + 0.02 * (40 - 20))  # 2.5
    assert fact["flag"] == "normal"
    assert fact["said"] == "2.5 mmol/L, adjusted for albumin from 2.1 mmol/L"
    assert flag("calcium_total", lab("calcium_total", 2.1, "mmol/L")) == "low"


def test_albumin_adjustment_in_conventional_units_is_the_same_rule() -> None:
    fact = lab_fact("calcium_adjusted", [lab("calcium_total", 8.0, "mg/dL"), lab("albumin", 2.0, "g/dL")])
    assert fact is not None
    assert fact["value"] * 4.0078 == pytest.approx(8.0 + 0.8 * (4.0 - 2.0), abs=0.01)


def test_albumin_of_another_week_does_not_adjust() -> None:
    near = lab_fact("calcium_adjusted", [lab("calcium_total", 2.1, "mmol/L"), lab("albumin", 20, "g/L", day(7))])
    far = lab_fact("calcium_adjusted", [lab("calcium_total", 2.1, "mmol/L"), lab("albumin", 20, "g/L", day(8))])
    assert near is not None
    assert far is not None
    assert near["value"] == pytest.approx(2.5)
    assert far["value"] == pytest.approx(2.1)


def test_the_albumin_nearest_in_time_adjusts() -> None:
    events = [lab("calcium_total", 2.1, "mmol/L"), lab("albumin", 10, "g/L", day(-5)), lab("albumin", 20, "g/L", day(1))]
    fact = lab_fact("calcium_adjusted", events)
    assert fact is not None
    assert fact["value"] == pytest.approx(2.5)


def test_albumin_of_another_patient_does_not_adjust() -> None:
    events = [lab("calcium_total", 2.1, "mmol/L", who="a"), lab("albumin", 20, "g/L", who="b")]
    facts = facts_of(events, patient("a"), patient("b"))
    assert facts.labs.filter(concept="calcium_adjusted").select("subject_id", "value").rows() == [("a", 2.1)]


@pytest.mark.parametrize("value", [2.1, 2.4])
def test_low_albumin_of_unknown_size_hides_a_low_or_normal_calcium(value: float) -> None:
    low_albumin = lab("albumin", flag="low")
    assert flag("calcium_adjusted", lab("calcium_total", value, "mmol/L"), low_albumin) is None
    assert flag("calcium_adjusted", lab("calcium_total", flag="normal"), low_albumin) is None


def test_a_calcium_high_in_spite_of_low_albumin_is_high() -> None:
    assert flag("calcium_adjusted", lab("calcium_total", 2.9, "mmol/L"), lab("albumin", flag="low")) == "high"


def test_an_albumin_below_the_limit_of_detection_is_no_number_to_adjust_with() -> None:
    fact = lab_fact("calcium_adjusted", [lab("calcium_total", 2.9, "mmol/L"), lab("albumin", 30, "g/L", comparator="<")])
    assert fact is not None
    assert fact["value"] == pytest.approx(2.9)


def test_ionised_calcium_preferred() -> None:
    events = [lab("calcium_total", 2.9, "mmol/L"), lab("calcium_ionised", 1.2, "mmol/L"), lab("calcium_albumin_corrected", 2.9, "mmol/L")]
    assert flag("calcium_adjusted", *events) == "normal"
    assert answer({"lab": "calcium_adjusted", "is": "high"}, events) is False


def test_a_corrected_calcium_beats_our_own_adjustment() -> None:
    events = [lab("calcium_total", 2.1, "mmol/L"), lab("albumin", 10, "g/L"), lab("calcium_albumin_corrected", 2.4, "mmol/L")]
    fact = lab_fact("calcium_adjusted", events)
    assert fact is not None
    assert fact["value"] == pytest.approx(2.4)


def test_missing_calcium_is_neither_high_nor_not_high() -> None:
    high = {"lab": "calcium_adjusted", "is": "high"}
    assert answer(high, []) is None
    assert answer({"not": high}, []) is None
    assert answer({"any": [high, {"not": high}]}, []) is None
    assert answer(high, [], closed_world=frozenset({"lab", "disease", "finding", "drug"})) is None


def test_the_size_of_a_calcium_is_known_beside_an_ionised_flag() -> None:
    events = [lab("calcium_total", 3.6, "mmol/L"), lab("calcium_ionised", 1.9, "mmol/L")]
    assert answer({"value": "calcium_adjusted", "unit": "mmol/L", "at_least": 3.0}, events) is True


def test_the_size_of_another_month_is_not_the_size_of_today() -> None:
    events = [event("calcification", INDEX), lab("calcium_ionised", 1.2, "mmol/L"), lab("calcium_total", 3.6, "mmol/L", day(-60))]
    severe = {"value": "calcium_adjusted", "unit": "mmol/L", "at_least": 3.0}
    assert answer(severe, events) is None
    assert answer({"lab": "calcium_adjusted", "is": "normal"}, events) is True
    assert answer(severe, [*events[:2], lab("calcium_total", 3.6, "mmol/L", day(-3))]) is True


# --- product ---------------------------------------------------------------------------------------


def test_calcium_phosphate_product_is_computed_from_samples_of_one_week() -> None:
    events = [lab("calcium_total", 10, "mg/dL"), lab("phosphate", 7, "mg/dL", day(2))]
    asked = {"value": "calcium_phosphate_product", "unit": "mg2/dL2", "at_least": 69.9, "below": 70.1}
    assert answer(asked, events) is True
    assert lab_fact("calcium_phosphate_product", [lab("calcium_total", 10, "mg/dL"), lab("phosphate", 7, "mg/dL", day(20))]) is None


def test_a_reported_product_beats_a_computed_one() -> None:
    events = [lab("calcium_total", 10, "mg/dL"), lab("phosphate", 7, "mg/dL"), lab("calcium_phosphate_product", 80, "mg2/dL2")]
    assert answer({"value": "calcium_phosphate_product", "unit": "mg2/dL2", "at_least": 79.9}, events) is True


def test_a_phosphate_beyond_the_range_of_the_assay_gives_no_exact_product() -> None:
    events = [lab("calcium_total", 10, "mg/dL"), lab("phosphate", 7, "mg/dL", comparator="<")]
    assert answer({"value": "calcium_phosphate_product", "unit": "mg2/dL2", "at_least": 65}, events) is not True


# --- kidney ----------------------------------------------------------------------------------------


def ckd_epi_2021(creatinine_mg_dl: float, age: float, female: bool) -> float:
    """Inker, NEJM 2021;385:1737: 142 × min(Scr/κ, 1)^α × max(Scr/κ, 1)^−1.200 × 0.9938^age × 1.012 [female]."""
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = creatinine_mg_dl / kappa
    return 142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**age * (1.012 if female else 1)


@pytest.mark.parametrize(
    ("sex", "age", "creatinine", "printed"),
    [("female", 50, 1.0, 69), ("male", 50, 1.0, 92), ("female", 30, 0.6, 124), ("male", 70, 4.0, 15)],
)
def test_egfr_ckd_epi_2021(sex: str, age: int, creatinine: float, printed: int) -> None:
    who = patient(born=date(2024 - age, 6, 1), sex=sex)
    fact = lab_fact("egfr", [lab("creatinine", creatinine, "mg/dL")], who)
    assert fact is not None
    assert fact["value"] == pytest.approx(ckd_epi_2021(creatinine, age, sex == "female"), rel=2e-3)
    assert round(fact["value"]) == printed


def test_egfr_reads_creatinine_in_any_unit() -> None:
    first = lab_fact("egfr", [lab("creatinine", 1.0, "mg/dL")])
    second = lab_fact("egfr", [lab("creatinine", 88.4, "umol/L")])
    assert first is not None
    assert second is not None
    assert first["value"] == pytest.approx(second["value"], rel=1e-3)


def test_egfr_needs_sex_and_age_and_an_exact_creatinine() -> None:
    assert lab_fact("egfr", [lab("creatinine", 1.0, "mg/dL")], patient(sex=None)) is None
    assert lab_fact("egfr", [lab("creatinine", 1.0, "mg/dL")], patient(born=None)) is None
    assert lab_fact("egfr", [lab("creatinine", 1.0, "mg/dL", comparator="<")]) is None


def test_schwartz() -> None:
    events = [lab("creatinine", 0.5, "mg/dL"), lab("body_height", 1.2, "m")]
    fact = lab_fact("egfr", events, CHILD)
    assert fact is not None
    assert fact["value"] == pytest.approx(0.413 * 120 / 0.5, rel=1e-3)  # bedside Schwartz: 0.413 × height (cm) / creatinine (mg/dL)
    assert lab_fact("egfr", [lab("creatinine", 0.5, "mg/dL")], CHILD) is None  # no height


def test_a_reported_egfr_beats_a_computed_one() -> None:
    fact = lab_fact("egfr", [lab("creatinine", 1.0, "mg/dL"), lab("egfr", 25, "mL/min/{1.73_m2}")])
    assert fact is not None
    assert (fact["value"], fact["flag"]) == (25, "low")


def test_an_egfr_reported_as_more_than_ninety_is_normal() -> None:
    assert flag("egfr", lab("egfr", 90, "mL/min/{1.73_m2}", comparator=">")) == "normal"


# --- the deciding measurement ----------------------------------------------------------------------


def test_lab_ten_years_before_does_not_describe_today() -> None:
    events = [event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L", day(-3650))]
    high = {"lab": "phosphate", "is": "high"}
    assert answer(high, events) is None
    assert answer({"value": "phosphate", "unit": "mmol/L", "at_least": 1.0}, events) is None
    assert answer(high | {"ever": True}, events) is True


def test_the_window_is_ninety_days_either_side() -> None:
    high = {"lab": "phosphate", "is": "high"}
    later = event("skin_lesion", day(400))  # the record goes on, so that no measurement is one of today
    for offset, expected in ((-90, True), (90, True), (-91, None), (91, None)):
        assert answer(high, [event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L", day(offset)), later]) is expected


def test_where_none_was_measured_at_the_lesion_the_latest_value_describes_it() -> None:
    """A clinic sees calcinosis for years; the results of today are better than none."""
    high = {"lab": "phosphate", "is": "high"}
    today = [lab("phosphate", 3.0, "mmol/L", day(3000)), event("skin_lesion", day(3010))]
    assert answer(high, [event("calcification", INDEX), *today]) is True
    assert answer(high, [event("calcification", INDEX), lab("phosphate", 1.0, "mmol/L", day(5)), *today]) is False


def test_a_result_of_years_ago_describes_neither_the_lesion_nor_today() -> None:
    high = {"lab": "phosphate", "is": "high"}
    assert answer(high, [lab("phosphate", 3.0, "mmol/L", day(-2000)), event("calcification", INDEX), event("skin_lesion", day(3010))]) is None


def test_the_measurement_nearest_the_index_date_decides() -> None:
    events = [event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L", day(-30)), lab("phosphate", 1.0, "mmol/L", day(20))]
    assert flag("phosphate", *events) == "normal"


def test_never_high_is_not_shown_by_one_normal_value() -> None:
    assert answer({"lab": "phosphate", "is": "high", "ever": True}, [lab("phosphate", 1.0, "mmol/L")]) is None


def test_an_undated_measurement_counts() -> None:
    assert flag("phosphate", event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L", None)) == "high"


def test_the_latest_measurement_is_kept_beside_it() -> None:
    events = [event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L", day(1)), lab("phosphate", 1.0, "mmol/L", day(800))]
    fact = lab_fact("phosphate", events)
    assert fact is not None
    assert (fact["flag"], fact["now_flag"], fact["ever"], fact["n"]) == ("high", "normal", ["high", "normal"], 2)


@pytest.mark.parametrize(
    ("concept", "value", "unit", "taken"),
    [
        ("calcium_total", 9.1, "mmol/L", False), ("calcium_total", 9.1, "mg/dL", True), ("calcium_total", 5.2, "mmol/L", True),
        ("albumin", 29, "g/dL", False), ("albumin", 2.9, "g/dL", True), ("phosphate", 0.0, "mmol/L", False), ("creatinine", 1.1, "umol/L", False),
    ],
)  # fmt: skip
def test_a_number_that_no_patient_reaches_is_refused_aloud_and_never_converted_by_guess(
    concept: str, value: float, unit: str, taken: bool
) -> None:
    refused = facts_of([lab(concept, value, unit)], ADULT, knowledge=load_knowledge()).rejects.filter(category="impossible_value")["reason"].to_list()
    assert (not refused) is taken
    assert taken or ("is the unit right?" in refused[0] and concept in refused[0])


def test_a_child_s_result_that_was_called_high_by_the_limits_of_adults_is_not_believed() -> None:
    """Phosphate 1.72 mmol/L at six years is high for an adult and normal for the age; the laboratory sends the flag of its adults."""
    assert flag("phosphate", lab("phosphate", 1.72, "mmol/L", flag="high"), who=CHILD) is None
    assert flag("phosphate", lab("phosphate", 1.72, "mmol/L", flag="high", interval=(0.8, 1.5)), who=CHILD) is None
    assert flag("phosphate", lab("phosphate", 1.72, "mmol/L", flag="high", interval=(0.9, 1.7)), who=CHILD) == "high"
    assert flag("phosphate", lab("phosphate", 2.4, "mmol/L", flag="high"), who=CHILD) == "high"
    assert flag("phosphate", lab("phosphate", 1.72, "mmol/L", flag="high"), who=ADULT) == "high"


def test_the_interval_of_adults_sent_with_a_child_s_result_makes_nothing_high_alone() -> None:
    """Phosphate 4.8 mg/dL at six years with "2.5-4.5": high for an adult, normal for the age."""
    sent = (2.5, 4.5)
    assert flag("phosphate", lab("phosphate", 4.8, "mg/dL", interval=sent), who=CHILD) is None
    assert flag("phosphate", lab("phosphate", 4.8, "mg/dL", interval=sent), who=ADULT) == "high"
    assert flag("phosphate", lab("phosphate", 7.5, "mg/dL", interval=sent), who=CHILD) == "high"
    assert flag("phosphate", lab("phosphate", 4.2, "mg/dL", interval=sent), who=CHILD) == "normal"
    assert flag("phosphate", lab("phosphate", 5.6, "mg/dL", interval=(3.5, 5.4)), who=CHILD) == "high"  # an interval of children is believed
