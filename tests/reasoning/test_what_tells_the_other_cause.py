"""Disorders beside calcinosis are told by their own signs, time and place; a bare name takes nothing from calciphylaxis."""

from __future__ import annotations

import pytest
from small_records import Resource, ask, biopsy, drug, film, lab, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

ON_DIALYSIS = says("end-stage renal disease on haemodialysis")
DEAD_LEGS = (says("necrotic ulcers", at="legs"), says("pain", at="legs"))


def dated(resource: Resource, day: str) -> Resource:
    return {**resource, "recordedDate": day, "onsetDateTime": day}


@pytest.mark.parametrize("setting", [ON_DIALYSIS, drug("warfarin")])
@pytest.mark.parametrize("infection", ["necrotizing fasciitis", "necrotising soft tissue infection"])
def test_the_name_of_necrotising_fasciitis_alone_takes_nothing_from_calciphylaxis_in_its_setting(infection: str, setting: Resource) -> None:
    before, answer = ask(*DEAD_LEGS, setting), ask(*DEAD_LEGS, setting, says(infection))
    assert answer.leading == "calciphylaxis"
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis")
    assert {"necrotising_infection", "suspected_calciphylaxis"} <= {each.key for each in answer.alarms}


def test_a_necrotising_fasciitis_of_months_ago_explains_no_dying_skin_of_today_on_dialysis() -> None:
    old = (dated(says("necrotizing fasciitis"), "2024-02-01"), dated(says("septic shock"), "2024-02-01"))
    answer = ask(*DEAD_LEGS, ON_DIALYSIS, *old)
    assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)


def test_necrotising_fasciitis_of_today_with_its_signs_leads_and_calciphylaxis_stays_possible_on_dialysis() -> None:
    answer = ask(*DEAD_LEGS, ON_DIALYSIS, says("necrotizing fasciitis"), says("septic shock"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "necrotising_fasciitis")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert {"necrotising_infection", "suspected_calciphylaxis"} <= {each.key for each in answer.alarms}


def test_necrotising_fasciitis_without_kidney_failure_or_vitamin_k_antagonist_leads_as_before() -> None:
    answer = ask(*DEAD_LEGS, says("diabetes mellitus"), says("necrotizing fasciitis"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "necrotising_fasciitis")


INJECTED = {**drug("enoxaparin"), "note": [{"text": "60 mg twice daily in the abdominal wall; lesions 5 days after the first injection"}]}
BELLY = (says("skin necrosis", at="abdomen"), says("diabetes mellitus"), lab("Protein S activity", "L"))


@pytest.mark.parametrize("name", ["enoxaparin", "tinzaparin", "low molecular weight heparin"])
def test_necrosis_where_heparin_was_given_within_two_weeks_may_be_its_own_and_the_alarm_of_calciphylaxis_stays(name: str) -> None:
    before, answer = ask(*BELLY), ask(*BELLY, {**INJECTED, "medicationCodeableConcept": {"text": name}})
    assert before.leading == "calciphylaxis"
    assert mimic_status(answer, "heparin_necrosis_hit") is Status.PROBABLE
    assert (answer.leading, status(answer, "calciphylaxis")) == ("mimic", Status.POSSIBLE)
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


@pytest.mark.parametrize("place", ["injection points", "points of injection", "abdominal injection sites"])
def test_the_place_of_an_injection_is_read_in_other_words(place: str) -> None:
    answer = ask(says("skin necrosis", at=place), {**drug("enoxaparin"), "note": [{"text": "begun 5 days before the lesions"}]})
    assert mimic_status(answer, "heparin_necrosis_hit") is Status.PROBABLE


def test_heparin_elsewhere_or_on_dialysis_explains_no_dying_skin() -> None:
    thigh = ask(says("skin necrosis", at="thigh"), says("diabetes mellitus"), lab("Protein S activity", "L"), INJECTED)
    on_dialysis = ask(*BELLY, INJECTED, ON_DIALYSIS)
    for answer in (thigh, on_dialysis):
        assert mimic_status(answer, "heparin_necrosis_hit") is not Status.PROBABLE
        assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)


PURPURA = (says("non-blanching purpura", at="lower legs"), says("pain", at="lower legs"))
INFLAMED_VESSELS = "Neutrophils in capillaries and venules, fibrin deposits, extravasated red cells."


@pytest.mark.parametrize(
    "section", [INFLAMED_VESSELS, "Neutrophilic infiltrate around small vessels with fibrin deposition and red cell extravasation.",
                "Perivascular neutrophils with nuclear dust and extravasated erythrocytes."],
)  # fmt: skip
def test_vasculitis_is_told_from_what_the_section_shows_without_its_name(section: str) -> None:
    answer = ask(*PURPURA, biopsy(section))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "cutaneous_vasculitis")


@pytest.mark.parametrize(
    "section", ["Fibrin thrombi in capillaries and venules, scattered neutrophils and extravasated red cells.", "Extravasated red cells.",
                "Ulcer base with fibrin deposits, neutrophils, proliferating capillaries and extravasated red cells."],
)  # fmt: skip
def test_clots_an_ulcer_base_or_red_cells_alone_are_no_vasculitis(section: str) -> None:
    assert mimic_status(ask(*PURPURA, biopsy(section)), "cutaneous_vasculitis") is None


@pytest.mark.parametrize("setting", [ON_DIALYSIS, drug("warfarin")])
def test_inflamed_vessels_take_nothing_from_calciphylaxis_in_its_setting(setting: Resource) -> None:
    dying = (*PURPURA, says("skin necrosis", at="lower legs"), setting)
    before, answer = ask(*dying), ask(*dying, biopsy(INFLAMED_VESSELS))
    assert answer.leading == "calciphylaxis"
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis")
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


SHINS = says("firm subcutaneous nodules", at="shins")


@pytest.mark.parametrize(
    "section",
    [
        "Histiocytes in the deep dermis with central necrosis; mucin on Alcian blue.",
        "Histiocytes around degenerated collagen with abundant mucin.",
    ],
)
def test_histiocytes_round_dead_collagen_with_mucin_in_a_child_are_granuloma_annulare(section: str) -> None:
    answer = ask(SHINS, biopsy(section), born="2018-01-01")
    assert (answer.leading, answer.leading_mimic) == ("mimic", "subcutaneous_granuloma_annulare")


def test_without_mucin_with_caseation_or_in_rheumatoid_arthritis_it_is_not_probable() -> None:
    bare = ask(SHINS, biopsy("Histiocytes with central necrosis."), born="2018-01-01")
    tuberculous = ask(SHINS, biopsy("Histiocytes with central necrosis and mucin; caseous necrosis."), born="2018-01-01")
    arthritic = ask(SHINS, says("rheumatoid arthritis"), biopsy("Histiocytes with central necrosis and mucin."))
    for answer in (bare, tuberculous, arthritic):
        assert mimic_status(answer, "subcutaneous_granuloma_annulare") is not Status.PROBABLE


ROUND_DENSITIES = film("Left thigh: soft tissue mass with a cluster of small round calcifications.")


@pytest.mark.parametrize(
    "section", ["Partly thrombosed vascular channels of venous type.", "Dysplastic veins with organising thrombi.", "Venous-type vessels."]
)
def test_veins_in_a_mass_that_holds_mineral_are_a_venous_malformation(section: str) -> None:
    answer = ask(says("pain", at="thigh"), ROUND_DENSITIES, biopsy(section), born="2012-01-01")
    assert (answer.leading, answer.leading_mimic) == ("mimic", "phlebolith_haemangioma")


def test_round_calcifications_alone_and_small_vessels_elsewhere_are_none() -> None:
    for others in (
        (),
        (biopsy("Granulation tissue with small vessels."),),
        (says("calcinosis cutis", at="thigh"), biopsy("Venous-type vessels.")),
    ):
        assert mimic_status(ask(ROUND_DENSITIES, *others), "phlebolith_haemangioma") is not Status.PROBABLE


LEAK = (
    says("extravasation of intravenous infusion", at="left upper arm"),
    says("calcium deposits in skin", at="left upper arm"),
    says("tumour lysis syndrome"),
)


def test_a_drip_that_leaked_where_the_deposit_lies_with_calcium_into_a_vein_is_iatrogenic() -> None:
    assert ask(*LEAK, drug("calcium gluconate")).leading == "iatrogenic"


def test_a_leak_of_another_drug_elsewhere_or_without_calcium_is_not() -> None:
    other_drug = (says("extravasation of doxorubicin", at="left upper arm"), *LEAK[1:], drug("calcium gluconate"))
    elsewhere = (says("extravasation of intravenous infusion", at="right foot"), *LEAK[1:], drug("calcium gluconate"))
    for record in (LEAK, other_drug, elsewhere):
        assert ask(*record).leading == "metastatic"


LID = says("firm yellow-white nodule", at="left upper eyelid")


def test_calcium_under_the_surface_epithelium_of_a_lid_is_no_calcified_cyst() -> None:
    answer = ask(
        LID, biopsy("Calcification beneath a keratinizing squamous epithelium with acanthosis; von Kossa positive."), born="2017-01-01"
    )
    assert answer.leading == "idiopathic"
    assert mimic_status(answer, "pilomatricoma") is None


@pytest.mark.parametrize(
    "section",
    ["Calcified cyst lined by keratinizing squamous epithelium.", "Calcium deposits in a cyst with keratinising squamous lining."],
)
def test_calcium_in_a_cyst_with_such_a_lining_still_is(section: str) -> None:
    assert ask(LID, biopsy(section), born="2017-01-01").leading_mimic == "pilomatricoma"


ELBOWS = says("firm nodules", at="extensor surface of elbows")
STIFF, BOTH_HANDS = says("morning stiffness", at="hands"), says("symmetric joint swelling", at="metacarpophalangeal joints")


@pytest.mark.parametrize(
    "joints", [BOTH_HANDS, says("symmetrical polyarthritis", at="wrists"), says("bilateral synovitis of the MCP joints")]
)
def test_nodules_of_the_elbows_with_stiff_swollen_hands_are_rheumatoid_before_the_arthritis_has_its_name(joints: Resource) -> None:
    answer = ask(ELBOWS, STIFF, joints)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "rheumatoid_nodule")
    assert mimic_status(answer, "rheumatoid_nodule") is Status.PROBABLE


@pytest.mark.parametrize("other", [says("gout"), says("systemic sclerosis"), film("Elbow: calcification in the nodules.")])
def test_gout_another_connective_tissue_disease_or_mineral_speaks_against_it(other: Resource) -> None:
    assert mimic_status(ask(ELBOWS, STIFF, BOTH_HANDS, other), "rheumatoid_nodule") is None


def test_one_stiff_joint_beside_the_nodule_is_not_enough() -> None:
    assert mimic_status(ask(ELBOWS, says("joint pain", at="knee"), says("stiffness", at="knee")), "rheumatoid_nodule") is None


@pytest.mark.parametrize("words", ["cystic swellings", "multiple cysts", "steatocystoma multiplex"])
def test_cysts_of_the_scrotum_without_mineral_may_be_just_cysts(words: str) -> None:
    answer = ask(says(words, at="scrotum"), sex="male")
    assert (answer.leading, answer.leading_mimic) == ("mimic", "milia_molluscum_cyst")


def test_cysts_of_the_scrotum_that_hold_calcium_and_hard_nodules_there_stay_calcinosis() -> None:
    calcified = ask(says("cystic swellings", at="scrotum"), biopsy("Scrotum: calcium deposits in the dermis."), sex="male")
    nodules = ask(says("hard yellow nodules", at="scrotum"), sex="male")
    for answer in (calcified, nodules):
        assert answer.leading == "idiopathic"


PLANTAR = (says("painful soft tissue mass", at="sole of foot"), film("Foot: extremely calcified lesion of the plantar soft tissues."))


@pytest.mark.parametrize("scan", ["Heterogeneous soft tissue mass with enhancing areas and calcifications.", "Calcified mass with heterogeneous contrast enhancement.",
                                  "Calcified mass with an enhancing soft tissue component."])  # fmt: skip
def test_a_calcified_mass_of_a_limb_with_solid_parts_that_take_up_contrast_may_be_a_sarcoma(scan: str) -> None:
    answer = ask(*PLANTAR, film(f"MRI foot: {scan}"))
    assert (answer.leading, mimic_status(answer, "soft_tissue_sarcoma")) == ("mimic", Status.POSSIBLE)


@pytest.mark.parametrize(
    "scan",
    [
        "Non-enhancing calcified mass.",
        "Calcified mass with thin peripheral rim enhancement.",
        "Calcified mass without heterogeneous enhancement.",
    ],
)
def test_a_mass_that_takes_up_no_contrast_or_only_at_its_rim_suggests_none(scan: str) -> None:
    assert mimic_status(ask(*PLANTAR, film(f"MRI foot: {scan}")), "soft_tissue_sarcoma") is None


@pytest.mark.parametrize(
    "cause", [ON_DIALYSIS, says("systemic sclerosis"), says("primary hyperparathyroidism"), says("haemangioma", at="foot")]
)
def test_where_something_else_explains_the_mineral_no_sarcoma_is_thought_of(cause: Resource) -> None:
    scan = film("MRI foot: calcified mass with heterogeneous contrast enhancement.")
    assert mimic_status(ask(*PLANTAR, scan, cause), "soft_tissue_sarcoma") is None


def test_an_enhancing_mass_of_an_organ_is_no_sarcoma_of_soft_tissue() -> None:
    assert mimic_status(ask(film("CT abdomen: heterogeneously enhancing renal mass with calcifications.")), "soft_tissue_sarcoma") is None


@pytest.mark.parametrize("setting", [ON_DIALYSIS, says("kidney transplant")])
@pytest.mark.parametrize("name", ["pyoderma gangrenosum", "leukocytoclastic vasculitis"])
def test_a_bare_name_that_calciphylaxis_is_first_given_takes_nothing_from_it_in_kidney_failure(name: str, setting: Resource) -> None:
    before, answer = ask(*DEAD_LEGS, setting), ask(*DEAD_LEGS, setting, says(name))
    assert answer.leading == "calciphylaxis"
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis") is Status.PROBABLE
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("pyoderma gangrenosum", says("undermined ulcer border", at="legs")),
        ("leukocytoclastic vasculitis", biopsy("Leukocytoclastic vasculitis.")),
    ],
)
def test_with_a_sign_of_its_own_such_a_name_lowers_calciphylaxis_to_possible_and_no_further(name: str, sign: Resource) -> None:
    answer = ask(*DEAD_LEGS, ON_DIALYSIS, says(name), sign)
    assert (answer.leading, status(answer, "calciphylaxis")) == ("mimic", Status.POSSIBLE)


@pytest.mark.parametrize("name", ["pyoderma gangrenosum", "leukocytoclastic vasculitis"])
def test_without_kidney_failure_or_vitamin_k_antagonist_such_a_name_leads_as_before(name: str) -> None:
    assert ask(*DEAD_LEGS, says("diabetes mellitus"), says(name)).leading == "mimic"
