"""Disorders that let skin die or ulcerate are named from what proves them, and none takes calciphylaxis or its alarm away."""

from __future__ import annotations

from small_records import ask, biopsy, mimic_status, says, status

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
