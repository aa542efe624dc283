"""What a nephrologist and a paediatric rheumatologist who did not know the program found wrong, each with its counterpart."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import Resource, ask, drug, letter, measured, says

from calcinosis.contract import Assessment

NECROSIS = (says("Necrotic painful ulcer", at="breast"), says("End-stage renal disease on haemodialysis"))
LAST_YEAR = "2022-06-01"


def order(name: str, **more: Any) -> Resource:
    return {
        "resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": LAST_YEAR,
        "medicationCodeableConcept": {"text": name}, **more,
    }  # fmt: skip


def reviews(answer: Assessment) -> set[str]:
    return {each.key for each in answer.review if each.kind == "review"}


def warnings(answer: Assessment, treatment: str) -> dict[str, str]:
    found = next((each for each in answer.options if each.treatment == treatment), None)
    return {each.rule: each.verdict for each in found.safety} if found else {}


def alarm_keys(answer: Assessment) -> set[str]:
    return {alarm.key for alarm in answer.alarms}


def test_an_order_of_two_years_ago_that_is_still_active_is_reviewed() -> None:
    assert "vitamin_k_antagonist_in_calciphylaxis" in reviews(ask(*NECROSIS, order("Warfarin 3 mg daily")))
    ended = ask(*NECROSIS, order("Warfarin 3 mg daily", status="completed"))
    assert "vitamin_k_antagonist_in_calciphylaxis" not in reviews(ended)


def test_a_mechanical_valve_stands_beside_the_advice_to_stop_warfarin() -> None:
    valve = ask(*NECROSIS, drug("Warfarin"), says("Mechanical mitral valve"))
    assert "vitamin_k_antagonist_with_mechanical_valve" in reviews(valve)
    assert warnings(valve, "apixaban")["mechanical_valve"] == "contraindicated"
    tissue = ask(*NECROSIS, drug("Warfarin"), says("Bioprosthetic valve"))
    assert "vitamin_k_antagonist_with_mechanical_valve" not in reviews(tissue)
    assert warnings(tissue, "apixaban")["prosthetic_valve"] == "caution"
    assert "direct_anticoagulant_with_mechanical_valve" in reviews(ask(*NECROSIS, drug("Apixaban"), says("Mechanical mitral valve")))


@pytest.mark.parametrize(
    "text", ["She no longer takes warfarin.", "She came off warfarin in May.", "Warfarin was switched to apixaban.", "Changed to apixaban from warfarin."]
)
def test_warfarin_that_was_stopped_is_an_exposure_and_not_a_drug_to_stop(text: str) -> None:
    alarms = alarm_keys(ask(*NECROSIS, letter(text)))
    assert "vka_until_lately_with_suspected_calciphylaxis" in alarms
    assert "vka_with_suspected_calciphylaxis" not in alarms


def test_warfarin_that_is_taken_rings_the_same_day() -> None:
    alarms = alarm_keys(ask(*NECROSIS, letter("She takes warfarin.")))
    assert "vka_with_suspected_calciphylaxis" in alarms
    assert "vka_until_lately_with_suspected_calciphylaxis" not in alarms


def test_necrosis_from_warfarin_is_a_reason_to_review_it_today() -> None:
    answer = ask(says("Anticoagulant-induced skin necrosis of the breast"), drug("Warfarin"))
    assert next(each.urgency for each in answer.review if each.key == "vitamin_k_antagonist_in_warfarin_necrosis") == "same_day"


def test_pamidronate_heeds_low_calcium() -> None:
    dermatomyositis = (says("Dermatomyositis"), says("Calcinosis cutis"))
    assert "hypocalcaemia" in warnings(ask(*dermatomyositis, measured("Corrected calcium", 1.85, "mmol/L")), "pamidronate")
    assert "hypocalcaemia" not in warnings(ask(*dermatomyositis, measured("Corrected calcium", 2.4, "mmol/L")), "pamidronate")


def test_methotrexate_heeds_the_lung() -> None:
    dermatomyositis = (says("Dermatomyositis"), says("Calcinosis cutis"))
    assert warnings(ask(*dermatomyositis, says("Interstitial lung disease")), "methotrexate")["lung"] == "caution"
    assert "lung" not in warnings(ask(*dermatomyositis), "methotrexate")


def test_a_low_bicarbonate_counts_without_the_flag_of_the_laboratory() -> None:
    assert warnings(ask(*NECROSIS, measured("Bicarbonate", 13, "mmol/L")), "sodium_thiosulfate_iv")["metabolic_acidosis"] == "caution"
    assert "metabolic_acidosis" not in warnings(ask(*NECROSIS, measured("Bicarbonate", 25, "mmol/L")), "sodium_thiosulfate_iv")


def current(answer: Assessment) -> set[str]:
    return {each.treatment for each in answer.options if each.current}


def test_thiosulfate_on_the_skin_is_not_the_infusion() -> None:
    assert "sodium_thiosulfate_iv" not in current(ask(*NECROSIS, drug("Sodium thiosulfate 25 % ointment")))
    assert "sodium_thiosulfate_iv" in current(ask(*NECROSIS, drug("Sodium thiosulfate 25 g intravenously")))


@pytest.mark.parametrize("text", ["I would value your opinion on sodium thiosulfate.", "Grateful for your advice on sodium thiosulphate."])
def test_a_drug_that_is_asked_about_is_not_taken(text: str) -> None:
    assert "sodium_thiosulfate_iv" not in current(ask(*NECROSIS, letter(text)))


def test_a_class_is_not_reviewed_beside_the_drug_that_is_named() -> None:
    pregnant = (says("Calcinosis cutis"), says("Dermatomyositis"), says("Pregnancy"))
    named = {each.treatment for each in ask(*pregnant, drug("Alendronic acid 70 mg weekly")).review if each.kind == "unsafe"}
    assert "alendronate" in named
    assert "bisphosphonate" not in named
    unnamed = {each.treatment for each in ask(*pregnant, drug("Bisphosphonate")).review if each.kind == "unsafe"}
    assert "bisphosphonate" in unnamed


def test_a_warning_for_the_age_asks_for_that_of_today_not_of_the_lesion() -> None:
    """Calcinosis since 1995 in a woman of 66: no pregnancy to fear; and since 2009 in one who was seven then."""
    since_1995 = {**says("Calcinosis cutis of the fingers"), "recordedDate": "1995-06-01"}
    scleroderma = says("Systemic sclerosis")
    assert "contraception" not in warnings(ask(since_1995, scleroderma, drug("Bosentan"), born="1958-01-01"), "bosentan")
    since_2009 = {**says("Calcinosis cutis of the fingers"), "recordedDate": "2009-06-01"}
    assert "contraception" in warnings(ask(since_2009, scleroderma, drug("Bosentan"), born="2002-01-01"), "bosentan")


def test_phosphate_that_is_normal_is_lowered_in_kidney_failure_only() -> None:
    """On dialysis a normal phosphate is often the work of a binder; without kidney failure there is nothing to lower."""
    necrosis = says("Necrotic painful ulcer", at="thigh")
    normal = (measured("Phosphate", 1.0, "mmol/L"), measured("Calcium", 2.3, "mmol/L"))
    offered = {each.treatment for each in ask(necrosis, says("alcoholic cirrhosis"), *normal).options}
    assert "wound_care" in offered
    assert "phosphate_lowering" not in offered
    assert "phosphate_lowering" in {each.treatment for each in ask(*NECROSIS, *normal).options}
    assert "phosphate_lowering" in {each.treatment for each in ask(necrosis, says("alcoholic cirrhosis")).options}  # nobody measured it


def test_a_supply_that_ran_out_last_week_is_asked_about_the_same_day() -> None:
    """Pharmacies and OMOP write the end of a supply as the end of the drug."""
    ran_out = {
        "resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": "Warfarin 3 mg"},
        "effectivePeriod": {"start": "2024-03-01", "end": "2024-05-25"},
    }  # fmt: skip
    rings = {alarm.key: alarm.urgency for alarm in ask(*NECROSIS, ran_out).alarms}
    assert rings["vka_until_lately_with_suspected_calciphylaxis"] == "same_day"
