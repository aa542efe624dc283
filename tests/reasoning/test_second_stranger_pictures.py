"""Pictures that a second stranger found misjudged: dead toes of an occluded artery, calcium in vessels alone, a biopsy that is on record."""

from __future__ import annotations

from small_records import METABOLISM_NORMAL, Resource, ask, asked_for, biopsy, film, lab, measured, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

DIALYSIS = says("End-stage renal disease on haemodialysis")
DEAD_TOE = (says("Peripheral arterial disease"), says("Critical limb ischaemia with rest pain"), says("Gangrene of great toe", at="right great toe"))
OCCLUSION = film("Occlusion of the superficial femoral artery.") | {"code": {"text": "CT angiogram"}}


def test_a_dead_toe_below_an_occluded_artery_is_arterial_first_on_dialysis_too() -> None:
    answer = ask(DIALYSIS, *DEAD_TOE, OCCLUSION)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "atherosclerotic_ulcer")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert answer.alarms


def test_without_a_shown_occlusion_or_with_lesions_elsewhere_calciphylaxis_stays_ahead() -> None:
    assert ask(DIALYSIS, *DEAD_TOE).leading == "calciphylaxis"
    elsewhere = ask(DIALYSIS, *DEAD_TOE, OCCLUSION, says("painful livedo racemosa", at="thigh"))
    assert status(elsewhere, "calciphylaxis").rank >= Status.PROBABLE.rank


RETIFORM = (says("Rheumatoid arthritis"), says("painful retiform purpura with necrosis", at="calf"), *METABOLISM_NORMAL)
VESSELS = biopsy("Medial calcification of small subcutaneous arterioles with luminal thrombosis.")


def test_calcium_of_vessels_in_an_ischaemic_lesion_is_no_dystrophic_calcinosis() -> None:
    answer = ask(*RETIFORM, VESSELS)
    assert answer.leading == "calciphylaxis"
    assert status(answer, "dystrophic").rank < Status.PROBABLE.rank
    both = ask(*RETIFORM, VESSELS, says("calcinosis cutis", at="elbow"))
    assert status(both, "dystrophic").rank >= Status.PROBABLE.rank


def test_a_biopsy_that_proved_calciphylaxis_is_not_asked_for_again() -> None:
    ulcer = says("painful necrotic ulcer", at="thigh")
    assert "deep_skin_biopsy_calciphylaxis" in asked_for(ask(DIALYSIS, ulcer))
    proven = ask(DIALYSIS, ulcer, says("Biopsy-proven calciphylaxis", at="thigh"))
    assert "deep_skin_biopsy_calciphylaxis" not in asked_for(proven)
    assert status(proven, "calciphylaxis") is Status.CONFIRMED


def test_needle_shaped_clefts_of_cholesterol_are_no_urate() -> None:
    answer = ask(says("blue toes", at="toe"), biopsy("Needle-shaped cholesterol clefts within arterioles."))
    assert mimic_status(answer, "gouty_tophus") is None
    assert mimic_status(answer, "cholesterol_embolism") is Status.CONFIRMED


def dated(resource: Resource, day: str) -> Resource:
    return {name: value for name, value in resource.items() if name != "recordedDate"} | {"onsetDateTime": day}


def test_kidneys_that_failed_years_later_do_not_make_the_deposit_metastatic() -> None:
    deposit = (dated(says("Systemic sclerosis"), "2012-01-01"), dated(says("Calcinosis cutis", at="finger"), "2016-06-01"))
    values = (measured("Creatinine", 380, "umol/L"), measured("Phosphate", 1.7, "mmol/L"), measured("Calcium", 2.3, "mmol/L"))
    crisis = dated(says("Scleroderma renal crisis"), "2024-05-28")
    answer = ask(*deposit, crisis, *values)
    assert answer.leading == "dystrophic"
    assert status(answer, "metastatic") is Status.POSSIBLE
    chronic = dated(says("Chronic kidney disease stage 4"), "2015-01-01")
    assert status(ask(*deposit, chronic, *values), "metastatic").rank >= Status.PROBABLE.rank


def test_vibrio_vulnificus_rings_at_once() -> None:
    septic = (says("haemorrhagic bullae", at="leg"), says("sepsis"), says("liver cirrhosis"))
    assert "necrotising_infection" in {alarm.key for alarm in ask(*septic).alarms}
    assert "necrotising_infection" not in {alarm.key for alarm in ask(says("bullae", at="leg"), says("liver cirrhosis")).alarms}


WOUNDS = (says("painful wounds", at="abdomen"), says("alcoholic hepatitis"), says("morbid obesity"))


def test_painful_wounds_over_fat_with_three_risk_factors_are_possible_calciphylaxis() -> None:
    answer = ask(*WOUNDS, lab("Protein C", "L"))
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert "possible_early_calciphylaxis" in {alarm.key for alarm in answer.alarms}


def test_two_risk_factors_or_a_wound_with_a_cause_are_not_enough() -> None:
    assert status(ask(*WOUNDS), "calciphylaxis") is Status.NOT_ASSESSED
    dehiscence = ask(*WOUNDS, lab("Protein C", "L"), says("dehiscence of the laparotomy wound", at="abdomen"))
    assert status(dehiscence, "calciphylaxis").rank < Status.POSSIBLE.rank
