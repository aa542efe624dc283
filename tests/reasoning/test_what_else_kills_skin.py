"""Disorders that let skin die or ulcerate are named from what proves them, and none takes calciphylaxis or its alarm away."""

from __future__ import annotations

import pytest
from small_records import Resource, ask, biopsy, drug, lab, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

VESSELS_OF_DERMIS = "Diffuse proliferation of bland endothelial cells and small vessels in the papillary and reticular dermis."
ULCERATED_BREAST = (says("reticulated plaque", at="breast"), says("ulcer", at="breast"))


def test_new_vessels_in_the_dermis_of_an_ulcerated_breast_are_diffuse_dermal_angiomatosis() -> None:
    answer = ask(*ULCERATED_BREAST, says("heavy smoker"), biopsy(VESSELS_OF_DERMIS))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "diffuse_dermal_angiomatosis")


def test_new_vessels_in_the_dermis_do_not_explain_dying_skin_on_dialysis() -> None:
    dying = (*ULCERATED_BREAST, says("skin necrosis", at="breast"), says("end-stage renal disease on haemodialysis"))
    answer = ask(*dying, biopsy(VESSELS_OF_DERMIS))
    assert mimic_status(answer, "diffuse_dermal_angiomatosis") is Status.PROBABLE
    assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)
    assert "suspected_calciphylaxis" in {each.key for each in answer.alarms}


def test_new_vessels_in_the_dermis_do_not_lead_where_skin_dies_with_two_risk_factors() -> None:
    dying = (says("painful skin necrosis", at="breast"), says("ulcer", at="breast"), says("obesity"), says("diabetes mellitus"))
    before, answer = ask(*dying), ask(*dying, biopsy(VESSELS_OF_DERMIS))
    assert answer.leading == before.leading == "calciphylaxis"
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


def test_atypical_endothelial_cells_are_no_diffuse_dermal_angiomatosis() -> None:
    answer = ask(*ULCERATED_BREAST, biopsy("Diffuse proliferation of atypical endothelial cells in the dermis."))
    assert mimic_status(answer, "diffuse_dermal_angiomatosis") is None


BLISTERS = (says("haemorrhagic bullae", at="legs"), says("hypotension"), says("alcoholic cirrhosis"))


def test_vibrio_from_blisters_leads_and_keeps_the_alarm_of_calciphylaxis_in_kidney_failure() -> None:
    dying = (*BLISTERS, says("end-stage renal disease on haemodialysis"))
    before, answer = ask(*dying), ask(*dying, says("Vibrio vulnificus grown from blister fluid"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "vibrio_vulnificus_infection")
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis") is Status.PROBABLE
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


def test_haemorrhagic_blisters_with_shock_in_liver_disease_may_be_vibrio() -> None:
    assert mimic_status(ask(*BLISTERS), "vibrio_vulnificus_infection") is Status.POSSIBLE


def test_a_vibrio_infection_of_years_ago_explains_no_dying_skin_of_today() -> None:
    old = {**says("Vibrio vulnificus sepsis"), "recordedDate": "2019-06-01"}
    answer = ask(says("skin necrosis", at="thigh"), says("end-stage renal disease on haemodialysis"), old)
    assert answer.leading == "calciphylaxis"
    assert mimic_status(answer, "vibrio_vulnificus_infection") is None


def test_calcified_vessels_make_vibrio_unlikely() -> None:
    section = biopsy("Calcification of small vessels with thrombosis and necrosis.")
    answer = ask(says("skin necrosis", at="thigh"), says("Vibrio vulnificus grown from the wound"), section)
    assert (answer.leading, mimic_status(answer, "vibrio_vulnificus_infection")) == ("calciphylaxis", Status.UNLIKELY)


NECROTIC_LEGS = (says("necrotic ulcers", at="legs"), says("pain", at="legs"))
INJECTS = says("injection drug use (krokodil)")


def test_dead_skin_of_the_legs_of_somebody_who_injects_krokodil_is_taken_for_that() -> None:
    answer = ask(*NECROTIC_LEGS, INJECTS)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "krokodil_wound")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert "suspected_calciphylaxis" in {each.key for each in answer.alarms}


def test_krokodil_explains_neither_kidney_failure_nor_dead_skin_of_the_belly() -> None:
    on_dialysis = ask(*NECROTIC_LEGS, INJECTS, says("end-stage renal disease on haemodialysis"))
    belly = ask(*NECROTIC_LEGS, INJECTS, says("skin necrosis", at="abdomen"))
    for answer in (on_dialysis, belly):
        assert mimic_status(answer, "krokodil_wound") is Status.POSSIBLE
        assert answer.leading == "calciphylaxis"


def virus(flag: str) -> Resource:
    return lab("SARS-CoV-2 RT-PCR", flag)


NET = (says("retiform purpura", at="legs"), says("multiple myeloma"), drug("dexamethasone"))


def test_retiform_purpura_with_the_virus_names_covid_and_leaves_calciphylaxis_where_it_was() -> None:
    before, answer = ask(*NET), ask(*NET, virus("POS"), biopsy("Fibrin thrombi in dermal vessels."))
    assert mimic_status(ask(*NET, virus("POS")), "covid19_retiform_purpura") is Status.POSSIBLE
    assert mimic_status(answer, "covid19_retiform_purpura") is Status.PROBABLE
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis") is Status.PROBABLE
    assert answer.leading == "calciphylaxis"
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


def test_vaccine_negative_test_or_an_infection_of_long_ago_are_no_covid_of_today() -> None:
    old = {**says("COVID-19"), "recordedDate": "2021-01-10"}
    for other in (virus("NEG"), says("COVID-19 vaccination"), old):
        assert mimic_status(ask(*NET, other), "covid19_retiform_purpura") is None


HYPERTENSIVE_ULCER = (says("hypertension"), says("obesity"), says("ulcer", at="lateral lower leg"), says("severe pain", at="lower leg"), drug("prednisolone"))


@pytest.mark.parametrize("name", ["hypertensive ischaemic ulcer", "hypertensive ischemic leg ulcer", "Martorell ulcer"])
def test_a_hypertensive_ischaemic_ulcer_is_martorell_under_each_of_its_names(name: str) -> None:
    answer = ask(*HYPERTENSIVE_ULCER, biopsy(f"Changes of {name}."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "martorell_ulcer")


def test_an_ischaemic_ulcer_without_a_cause_and_martorell_on_dialysis_stay_calciphylaxis() -> None:
    assert ask(*HYPERTENSIVE_ULCER, biopsy("Ischaemic ulcer.")).leading == "calciphylaxis"
    on_dialysis = ask(*HYPERTENSIVE_ULCER, biopsy("Hypertensive ischaemic ulcer."), says("end-stage renal disease on haemodialysis"))
    assert on_dialysis.leading == "calciphylaxis"
    assert mimic_status(on_dialysis, "martorell_ulcer") is Status.UNLIKELY


ULCER_IN_ARTHRITIS = (says("seropositive rheumatoid arthritis"), says("ulcer", at="leg"), says("blisters", at="leg"))


def test_a_biopsy_that_says_vasculitis_explains_an_ulcer_in_rheumatoid_arthritis() -> None:
    answer = ask(*ULCER_IN_ARTHRITIS, biopsy("Right leg: vasculitis."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "cutaneous_vasculitis")
    assert mimic_status(answer, "cutaneous_vasculitis") is Status.PROBABLE


@pytest.mark.parametrize("section", ["No vasculitis.", "Livedoid vasculitis.", "Perivascular lymphocytes.", "Rule out vasculitis.", "Vasculitis cannot be excluded.", "Septic vasculitis.",
     "Changes mimicking vasculitis.", "Vasculitis-like changes.", "Thrombosis rather than vasculitis.", "Clinical diagnosis: vasculitis? Dermal oedema."])
def test_a_biopsy_without_vasculitis_of_its_own_names_none(section: str) -> None:
    assert mimic_status(ask(*ULCER_IN_ARTHRITIS, biopsy(section)), "cutaneous_vasculitis") is not Status.PROBABLE


def test_the_word_vasculitis_does_not_explain_dying_skin_on_dialysis_or_over_fat() -> None:
    section = biopsy("Vasculitis.")
    for place in ("thigh", "leg"):
        answer = ask(says("painful skin necrosis", at=place), says("obesity"), says("diabetes mellitus"), section)
        assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)
    on_dialysis = ask(says("painful skin necrosis", at="leg"), section, says("end-stage renal disease on haemodialysis"))
    assert (on_dialysis.leading, status(on_dialysis, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)


def test_cryofibrinogen_in_necrotic_ulcers_leads_unless_kidney_failure_or_a_vitamin_k_antagonist_speaks_for_calciphylaxis() -> None:
    picture = (says("large necrotic ulcers", at="legs"), lab("Cryofibrinogen", "POS"), lab("Cryoglobulins", "NEG"))
    assert ask(*picture).leading_mimic == "cryofibrinogenaemia"
    for more in (says("end-stage renal disease on haemodialysis"), drug("warfarin")):
        answer = ask(*picture, more)
        assert (answer.leading, mimic_status(answer, "cryofibrinogenaemia")) == ("calciphylaxis", Status.POSSIBLE)
        assert answer.alarms
