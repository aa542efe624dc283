"""Pictures that a specialist would act on today, found by a reviewer who tried to get past the alarms; beside each what must stay silent."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import (
    CALCIUM_SHOWN,
    METABOLISM_NORMAL,
    Resource,
    ask,
    asked_for,
    biopsy,
    code,
    drug,
    film,
    lab,
    measured,
    mimic_status,
    says,
    status,
)

from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status

DIALYSIS = says("end-stage renal disease on haemodialysis")
WARFARIN = drug("warfarin")
SCLERODERMA = says("systemic sclerosis")


def alarms(answer: Assessment) -> dict[str, str]:
    return {alarm.key: alarm.urgency for alarm in answer.alarms}


# --- cellulitis that is none ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        [DIALYSIS, says("painful cellulitis of the thigh")],
        [DIALYSIS, says("cellulitis", provisional=True, at="calf"), says("pain", at="calf")],
        [code("ICD10CM", "N18.6"), code("ICD10CM", "L03.115"), code("ICD10CM", "R52")],
        [WARFARIN, says("cellulitis of the leg"), says("cellulitis not responding to antibiotics")],
    ],
)
def test_painful_cellulitis_in_kidney_failure_may_be_early_calciphylaxis(record: list[Resource]) -> None:
    answer = ask(*record)
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert "possible_early_calciphylaxis" in alarms(answer)
    assert {"phosphate", "adjusted_calcium"} <= asked_for(answer)


@pytest.mark.parametrize("record", [[says("painful cellulitis of the leg")], [DIALYSIS, says("cellulitis of the leg")]])
def test_cellulitis_alone_is_no_calciphylaxis(record: list[Resource]) -> None:
    assert status(ask(*record), "calciphylaxis").rank < Status.POSSIBLE.rank


# --- calcium -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "unit", "alarm"),
    [
        ("Ionised calcium", 1.95, "mmol/L", "hypercalcaemia_emergency"),
        ("Ionised calcium", 7.8, "mg/dL", "hypercalcaemia_emergency"),
        ("Ionised calcium", 1.65, "mmol/L", "hypercalcaemia_prompt"),
        ("Ionised calcium", 0.7, "mmol/L", "severe_hypocalcaemia"),
        ("Calcium", 14.0, "mg/dL", "hypercalcaemia_emergency"),
        ("Calcium", 3.5, "mmol/L", "hypercalcaemia_emergency"),
        ("Calcium", 12.0, "mg/dL", "hypercalcaemia_prompt"),
        ("Calcium", 13.9, "mg/dL", "hypercalcaemia_prompt"),
    ],
)
def test_an_alarm_of_calcium_rings_at_the_printed_limit_in_either_unit(name: str, value: float, unit: str, alarm: str) -> None:
    rung = {key for key in alarms(ask(measured(name, value, unit))) if "calcaemia" in key}
    assert rung == {alarm}


@pytest.mark.parametrize(
    ("name", "value", "unit"), [("Ionised calcium", 1.2, "mmol/L"), ("Calcium", 11.9, "mg/dL"), ("Calcium", 2.4, "mmol/L")]
)
def test_calcium_within_limits_rings_nothing(name: str, value: float, unit: str) -> None:
    assert not alarms(ask(measured(name, value, unit)))


def test_fourteen_with_an_albumin_of_four_is_fourteen() -> None:
    assert "hypercalcaemia_emergency" in alarms(ask(measured("Calcium", 14.0, "mg/dL"), measured("Albumin", 4.0, "g/dL")))


# --- infection -----------------------------------------------------------------------------------------

CHILD = says("juvenile dermatomyositis")
DEPOSIT = says("calcinosis cutis", at="elbow")


@pytest.mark.parametrize(
    "signs",
    [
        [says("fever"), says("red, swollen, painful elbow")],
        [says("fever"), says("warmth", at="elbow")],
        [says("hot, swollen, red elbow")],
        [measured("Body temperature", 39.4, "Cel"), says("warm to the touch", at="elbow")],
        [measured("Body temperature", 102.9, "[degF]"), says("warm to the touch", at="elbow")],
        [says("cellulitis", at="elbow")],
    ],
)
def test_a_deposit_that_is_hot_or_red_with_fever_rings(signs: list[Resource]) -> None:
    assert "infected_calcinosis" in alarms(ask(CHILD, DEPOSIT, *signs, born="2014-01-01"))


@pytest.mark.parametrize(
    "signs", [[says("fever")], [measured("Body temperature", 36.9, "Cel")], [measured("Body temperature", 98.4, "[degF]"), says("pain")]]
)
def test_a_deposit_without_signs_of_infection_does_not_ring(signs: list[Resource]) -> None:
    assert "infected_calcinosis" not in alarms(ask(CHILD, DEPOSIT, *signs, born="2014-01-01"))


ULCER = says("ulcer of the elbow over calcinosis")


def test_a_measured_pressure_below_90_with_an_open_lesion_is_possible_sepsis() -> None:
    assert alarms(ask(SCLERODERMA, ULCER, measured("Systolic blood pressure", 78, "mm[Hg]")))["suspected_sepsis"] == "immediate"


def test_of_a_panel_of_blood_pressure_the_systolic_value_counts() -> None:
    panel: dict[str, Any] = {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2024-06-01",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "component": [
            {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "valueQuantity": {"value": 78, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}},
            {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]}, "valueQuantity": {"value": 40, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}},
        ],
    }  # fmt: skip
    assert "suspected_sepsis" in alarms(ask(SCLERODERMA, ULCER, panel))


def test_a_measured_fever_with_an_open_lesion_rings_the_same_day() -> None:
    assert alarms(ask(SCLERODERMA, ULCER, measured("Body temperature", 39.4, "Cel")))["fever_with_open_lesion"] == "same_day"


def test_the_pressure_of_a_child_and_a_usual_one_are_no_shock() -> None:
    low = measured("Systolic blood pressure", 82, "mm[Hg]")
    assert "suspected_sepsis" not in alarms(ask(CHILD, ULCER, low, born="2020-01-01"))
    assert "suspected_sepsis" not in alarms(ask(SCLERODERMA, ULCER, measured("Systolic blood pressure", 96, "mm[Hg]")))


def test_a_temperature_without_a_unit_is_rejected_aloud() -> None:
    answer = ask(SCLERODERMA, ULCER, measured("Body temperature", 39.4, "C"))
    assert "fever_with_open_lesion" not in alarms(answer)
    assert any("body_temperature" in each for each in answer.warnings)


# --- spine, antiphospholipid syndrome, FOP -------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "urgency"),
    [
        (["spinal cord compression"], "immediate"),
        (["urinary retention", "numbness of the legs"], "immediate"),
        (["difficulty walking", "leg numbness", "urinary incontinence"], "immediate"),
        (["urinary retention"], "same_day"),
        (["leg weakness"], "same_day"),
    ],
)
def test_the_cord_in_systemic_sclerosis(signs: list[str], urgency: str) -> None:
    rung = {alarm.urgency for alarm in ask(SCLERODERMA, *map(says, signs)).alarms if alarm.id == "R7"}
    assert rung == {urgency}


def test_faecal_incontinence_alone_is_the_gut_of_systemic_sclerosis() -> None:
    assert not [alarm for alarm in ask(SCLERODERMA, says("faecal incontinence")).alarms if alarm.id == "R7"]


def test_arterial_events_and_low_platelets_in_antiphospholipid_syndrome_ring() -> None:
    events = [code("ICD10CM", "D68.61"), code("ICD10CM", "I63.9"), code("ICD10CM", "I21.4"), code("ICD10CM", "N17.9")]
    assert "catastrophic_aps" in alarms(ask(*events, measured("Platelets", 40, "10*9/L")))
    assert "catastrophic_aps" not in alarms(ask(*events, measured("Platelets", 240, "10*9/L")))


@pytest.mark.parametrize(
    "toe", ["hallux valgus, congenital, bilateral", "bilateral hallux valgus", "short malformed great toes since birth"]
)
def test_a_child_with_malformed_great_toes_is_not_to_be_biopsied(toe: str) -> None:
    answer = ask(says(toe), says("painful swelling", at="back"), film("Calcification of the soft tissue of the back."), born="2018-01-01")
    assert "fop_no_biopsy" in alarms(answer)
    assert "biopsy_of_deposit" not in asked_for(answer)


def test_hallux_valgus_of_an_adult_is_a_bunion() -> None:
    assert "fop_no_biopsy" not in alarms(ask(says("bilateral hallux valgus"), CALCIUM_SHOWN))


# --- what must not be called calciphylaxis, and what must not be explained away ------------------------


@pytest.mark.parametrize(
    "record",
    [
        [says("systemic lupus erythematosus"), drug("calcium carbonate"), drug("alfacalcidol"), says("purpura")],
        [says("osteoporosis"), drug("calcium carbonate"), drug("alfacalcidol"), says("venous ulcer of the ankle")],
        [says("atrial fibrillation"), WARFARIN, lab("Protein C", "L"), says("purpura of the arm")],
    ],
)
def test_factors_of_dialysis_do_not_count_with_healthy_kidneys(record: list[Resource]) -> None:
    assert status(ask(*record), "calciphylaxis").rank < Status.POSSIBLE.rank


def test_low_protein_c_on_warfarin_is_no_second_factor() -> None:
    named = {risk.label for risk in ask(DIALYSIS, WARFARIN, lab("Protein C", "L")).calciphylaxis_risk}
    assert "Vitamin K antagonist" in named and "Protein C or S deficiency" not in named
    assert "Protein C or S deficiency" in {risk.label for risk in ask(DIALYSIS, lab("Protein C", "L")).calciphylaxis_risk}


def test_they_count_in_chronic_kidney_disease() -> None:
    record = [says("chronic kidney disease stage 4"), drug("calcium carbonate"), drug("alfacalcidol"), says("purpura of the thigh")]
    assert status(ask(*record), "calciphylaxis") is Status.POSSIBLE


def test_a_vitamin_k_antagonist_that_ended_long_ago_is_not_to_be_stopped() -> None:
    past = {**WARFARIN, "status": "completed", "effectivePeriod": {"start": "2012-01-01", "end": "2013-01-01"}}
    past.pop("effectiveDateTime")
    answer = ask(DIALYSIS, past, says("painful indurated plaque", at="calf"))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert "vka_with_suspected_calciphylaxis" not in alarms(answer)
    assert "vka_with_suspected_calciphylaxis" in alarms(ask(DIALYSIS, WARFARIN, says("painful indurated plaque", at="calf")))


def test_necrosis_where_calcium_leaked_in_a_newborn_is_iatrogenic() -> None:
    answer = ask(says("extravasation of calcium gluconate", at="left hand"), says("skin necrosis", at="left hand"), born="2024-05-01")
    assert set(alarms(answer)) == {"calcium_infusion_tissue_necrosis"}
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


def test_a_pressure_ulcer_of_the_heel_does_not_explain_a_dead_toe_on_dialysis() -> None:
    answer = ask(DIALYSIS, WARFARIN, says("pressure ulcer of the heel"), says("painful gangrene", at="toe"))
    assert answer.leading == "calciphylaxis"
    assert "suspected_calciphylaxis" in alarms(answer)


def test_a_named_inherited_tumoral_calcinosis_is_no_idiopathic_one() -> None:
    answer = ask(says("normophosphataemic familial tumoral calcinosis"), CALCIUM_SHOWN, *METABOLISM_NORMAL)
    assert answer.leading == "dystrophic"


@pytest.mark.parametrize(("age", "warned"), [("2019-01-01", False), ("1990-01-01", True), ("1950-01-01", False)])
def test_warnings_about_pregnancy_are_for_those_who_may_become_pregnant(age: str, warned: bool) -> None:
    answer = ask(says("systemic sclerosis"), CALCIUM_SHOWN, born=age)
    told = {rule.label for option in answer.options for rule in option.safety}
    assert ("Woman who could become pregnant" in told) is warned


def test_sulfite_allergy_on_the_problem_list_speaks_against_thiosulfate() -> None:
    answer = ask(DIALYSIS, says("painful necrotic ulcer of the thigh"), says("sulfite allergy"))
    told = " ".join(rule.label for option in answer.options if "thiosulfate" in option.treatment for rule in option.safety)
    assert "ulfite" in told


# --- words of reports ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Soft tissue density mass over the elbow, no erosion.", False),
        ("Soft tissue masses of only faintly increased density.", False),
        ("Increased soft tissue density consistent with oedema.", False),
        ("Multiple soft-tissue densities in the fingers.", True),
        ("Coarse reticulated and plate-like densities in subcutaneous tissue.", True),
        ("Soft tissue opacities along the thigh.", True),
        ("A mass of soft-tissue density with coarse calcifications.", True),
    ],
)
def test_the_density_of_soft_tissue_is_no_mineral(text: str, shown: bool) -> None:
    assert ask(film(text)).provisional is not shown


def test_spaces_lined_by_macrophages_are_no_cyst() -> None:
    answer = ask(
        biopsy("Cystic spaces of amorphous calcium lined by macrophages and giant cells within fibrous septa."), says("mass of the hip")
    )
    assert mimic_status(answer, "pilomatricoma") is None
    cyst = ask(biopsy("A cyst lined by keratinising epithelium with calcium deposits."), says("nodule of the scalp"))
    assert mimic_status(cyst, "pilomatricoma") is not None


MASS = [film("Lobulated calcified mass with fluid levels lateral to the hip."), *METABOLISM_NORMAL]


def ana(value: str) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "effectiveDateTime": "2024-06-01",
        "code": {"text": "ANA"},
        "valueString": value,
    }


def hints(answer: Assessment) -> list[str]:
    reasons = next(each.reasons for each in answer.types if each.type == "dystrophic")
    return [each.label for each in reasons if "single finding of connective tissue disease" in each.label.lower()]


@pytest.mark.parametrize("value", ["1:80, speckled", "positive (1:80)", "1:40"])
def test_a_low_titre_of_antinuclear_antibodies_is_no_hint_of_connective_tissue_disease(value: str) -> None:
    assert not hints(ask(*MASS, ana(value)))


@pytest.mark.parametrize("values", [["1:640"], ["positive"], ["1:80", "1:320, homogeneous"]])
def test_a_higher_or_unknown_titre_is_one(values: list[str]) -> None:
    assert hints(ask(*MASS, *map(ana, values)))


def test_what_was_not_understood_is_told() -> None:
    assert ask(CALCIUM_SHOWN, says("qwertz of the asdf")).not_understood == ["condition: qwertz of the asdf"]


CREST = [says("limited systemic sclerosis"), film("Subcutaneous calcification of the fingertips.")]


@pytest.mark.parametrize("value", [measured("Calcium", 2.62, "mmol/L"), measured("Phosphate", 1.53, "mmol/L")])
def test_one_value_a_little_too_high_does_not_outweigh_an_established_disease(value: Resource) -> None:
    others = [lab("Phosphate", "N"), lab("Calcium", "N"), lab("Parathyroid hormone", "N"), lab("Creatinine", "N")]
    answer = ask(*CREST, *(each for each in others if each["code"] != value["code"]), value)
    assert (answer.leading, answer.mixed) == ("dystrophic", True)


@pytest.mark.parametrize(
    "more",
    [
        [measured("Calcium", 3.1, "mmol/L")],
        [measured("Calcium", 2.7, "mmol/L"), says("chronic kidney disease stage 4")],
        [measured("Calcium", 2.7, "mmol/L"), lab("Parathyroid hormone", "H")],
        [measured("Calcium", 2.7, "mmol/L"), says("sarcoidosis")],
    ],
)
def test_a_high_value_with_what_drives_it_leads(more: list[Resource]) -> None:
    assert ask(*CREST, *more).leading == "metastatic"


def test_cellulitis_that_does_not_hurt_is_no_lesion_of_metastatic_calcification() -> None:
    answer = ask(DIALYSIS, says("cellulitis of the leg"), measured("Phosphate", 6.5, "mg/dL"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "cellulitis")


def test_difficulty_walking_alone_does_not_ring_for_the_cord() -> None:
    assert not ask(SCLERODERMA, says("difficulty walking")).alarms


def test_a_sore_throat_and_a_wound_of_long_ago_are_no_calciphylaxis_beside_a_day_of_warfarin() -> None:
    sore = {**says("sore throat"), "onsetDateTime": "1995-03-25", "abatementDateTime": "1995-04-06"}
    wound = {**says("open wound of the foot"), "onsetDateTime": "1986-12-21"}
    warfarin = {**WARFARIN, "effectivePeriod": {"start": "2010-06-25", "end": "2010-06-25"}}
    for each in (sore, wound):
        each.pop("recordedDate")
    warfarin.pop("effectiveDateTime")
    assert not ask(sore, wound, warfarin, measured("Calcium", 9.5, "mg/dL")).alarms
