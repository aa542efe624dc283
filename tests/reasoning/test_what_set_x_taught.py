"""Pictures of the blind sets w and x, each beside its counterpart."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, film, lab, mimic_status, procedure, says, status

from calcinosis.knowledge.criteria import Status

DIALYSIS = says("End stage renal disease on haemodialysis")
ULCER = says("Very painful necrotic ulcer", at="outer malleolus of the ankle")
HYALINE = biopsy("Arteriolar hyalinosis, subendothelial thickening of small arteries, focal necrosis.")


def test_woody_skin_of_neck_and_back_in_diabetes_is_scleredema_and_no_calcinosis() -> None:
    answer = ask(says("Type 2 diabetes mellitus"), says("Woody indurated plaque", at="back of neck"))
    assert mimic_status(answer, "scleredema") == Status.PROBABLE
    assert mimic_status(ask(says("Woody indurated plaque", at="back of neck")), "scleredema") is None
    assert mimic_status(ask(says("Type 2 diabetes mellitus"), says("Woody indurated plaque", at="calf")), "scleredema") is None


def test_woody_skin_in_kidney_failure_is_not_called_scleredema() -> None:
    answer = ask(DIALYSIS, says("Type 2 diabetes mellitus"), says("Woody indurated plaque, painful", at="back"))
    assert mimic_status(answer, "scleredema") is None
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


def test_running_candle_wax_on_a_bone_is_melorheostosis() -> None:
    wax = film("Dense cortical hyperostosis of the fibula resembling candle wax; calcified mass beside the knee.")
    assert mimic_status(ask(wax), "melorheostosis") == Status.PROBABLE
    assert mimic_status(ask(film("Dense calcified mass beside the knee.")), "melorheostosis") is None


def test_fat_cells_rimmed_by_t_cells_are_a_lymphoma_until_shown_otherwise() -> None:
    rimmed = biopsy("CD8+ T cells rimming fat cells, high Ki-67.")
    nodules = says("painful subcutaneous nodules of the thighs")
    assert mimic_status(ask(nodules, rimmed), "panniculitis_like_lymphoma") == Status.PROBABLE
    calcified = biopsy("Lymphocytes rimming fat cells; calcified arterioles with thrombosis.")
    assert mimic_status(ask(nodules, calcified), "panniculitis_like_lymphoma") == Status.UNLIKELY


def test_an_object_in_a_lump_is_a_foreign_body() -> None:
    answer = ask(says("lump", at="palm"), film("Metallic object in the region of the mass."))
    assert answer.leading_mimic == "foreign_body_filler"


def test_a_cyst_with_an_eccentric_echogenic_focus_is_a_parasite() -> None:
    answer = ask(says("painless swelling", at="chest wall"), film("Thin-walled cystic lesion of the subcutis with an eccentric echogenic focus."))
    assert mimic_status(answer, "parasitic_calcification") == Status.PROBABLE


@pytest.mark.parametrize(
    "section", ["Gadolinium deposits.", "Scar-like fibrosis with mucin in the dermis; no calcium in the vessels."]
)
def test_hard_limbs_in_kidney_failure_with_gadolinium_or_mucin_are_systemic_fibrosis(section: str) -> None:
    answer = ask(DIALYSIS, procedure("contrast-enhanced MR angiography"), says("Induration of the thighs, painful"), biopsy(section))
    assert answer.leading_mimic == "nephrogenic_systemic_fibrosis"
    assert "R1" in {alarm.id for alarm in answer.alarms}  # it stays a question in kidney failure


def test_arteriolosclerosis_without_calcium_in_a_hypertensive_ulcer_is_martorell() -> None:
    assert ask(says("Hypertension"), says("Diabetes mellitus"), ULCER, HYALINE).leading_mimic == "martorell_ulcer"
    assert ask(says("Hypertension"), DIALYSIS, ULCER, HYALINE).leading == "calciphylaxis"


def test_hyphae_in_the_dead_wound_of_a_transplanted_patient_are_its_cause_and_on_dialysis_are_not_enough() -> None:
    wound = says("Black necrotic wound", at="abdominal wall")
    hyphae = biopsy("Broad fungal hyphae without septation.")
    assert ask(says("Kidney transplant recipient"), wound, hyphae).leading_mimic == "invasive_fungal_infection"
    assert ask(DIALYSIS, wound, hyphae).leading == "calciphylaxis"


def test_bruises_with_a_used_up_clotting_system_are_purpura_fulminans() -> None:
    bruises = says("Widespread ecchymotic crusted lesions")
    used_up = (lab("D-dimer", "H"), lab("Fibrinogen", "L"), lab("Prothrombin time", "H"))
    assert mimic_status(ask(says("chickenpox"), bruises, *used_up), "purpura_fulminans_dic") == Status.PROBABLE
    assert mimic_status(ask(says("chickenpox"), bruises), "purpura_fulminans_dic") is None


def test_bone_wax_of_an_operation_is_no_melorheostosis_and_a_stool_test_no_parasite() -> None:
    assert mimic_status(ask(film("Haemostasis with bone wax.")), "melorheostosis") is None
    assert mimic_status(ask(says("leg swelling"), says("Stool for ova and parasites, Gram stain")), "parasitic_calcification") is None
