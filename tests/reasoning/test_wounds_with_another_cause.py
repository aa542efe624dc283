"""A wound that the record names lowers calciphylaxis and quiets its alarm; it never excludes it, and never where anything else speaks for it."""

from __future__ import annotations

import pytest
from small_records import SYSTEMS, Resource, ask, biopsy, code, drug, film, lab, mimic_status, says, status

from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status

DIALYSIS = says("End-stage renal disease on haemodialysis")
ON_WARFARIN = drug("warfarin")


def coded(value: str, text: str) -> Resource:
    """An ICD-10-CM code with the words that stand beside it."""
    return {**code("ICD10CM", value), "code": {"coding": [{"system": SYSTEMS["ICD10CM"], "code": value}], "text": text}}


def alarms(answer: Assessment) -> set[str]:
    return {alarm.key for alarm in answer.alarms if "calciphylaxis" in alarm.key}


def at_least_possible(answer: Assessment) -> bool:
    return status(answer, "calciphylaxis") in (Status.POSSIBLE, Status.PROBABLE, Status.CONFIRMED)


PRESSURE = {
    "bedsore": [says("Bedsore on buttock with slough and necrosis")],
    "unstageable": [says("Unstageable pressure ulcer heel, dry eschar")],
    "decubitus": [says("sacral decubitus ulcer stage IV with necrosis")],
    "pressure sore": [says("Necrotic pressure sore of the hip")],
    "code and words": [coded("L89.150", "Pressure injury sacrum unstageable w eschar")],
    "diabetic": [says("Pressure ulcer of buttock with necrosis"), says("diabetes mellitus")],
}
ARTERIAL = {
    "diabetic PAD": [says("Gangrene of R great toe due to diabetic PAD")],
    "critical limb ischaemia": [says("Critical limb ischaemia with dry gangrene of left foot"), says("PVD"), says("T2DM")],
    "E11.52": [code("ICD10CM", "E11.52")],
    "E11.52 in words": [says("Type 2 diabetes mellitus with diabetic peripheral angiopathy with gangrene")],
    "I70.261": [code("ICD10CM", "I70.261")],
    "I70.261 and words": [coded("I70.261", "Atherosclerosis of native arteries of extremities with gangrene, right leg")],
}
OTHERS = {
    "burn": ("thermal_injury", [says("Full-thickness scald burn with eschar")]),
    "frostbite": ("thermal_injury", [says("Frostbite with necrosis of toes")]),
    "tick": ("inoculation_eschar", [says("inoculation eschar (tick, rickettsia)")]),
    "spotted fever": ("inoculation_eschar", [says("black eschar and fever"), code("ICD10CM", "A77.1")]),
    "dehiscence": ("surgical_wound_dehiscence", [says("Dehiscence of abdominal surgical wound with necrotic edges")]),
    "radiation": ("radiation_ulcer", [says("Radiation ulcer of chest wall with necrosis")]),
    "fungating tumour": ("malignant_wound", [says("Fungating necrotic breast cancer wound")]),
}
ON_DIALYSIS = {
    **{name: record for name, (_, record) in OTHERS.items() if name != "spotted fever"},
    "bedsore": PRESSURE["bedsore"], "pressure injury, code and words": PRESSURE["code and words"],
    "Kaposi sarcoma": [says("Kaposi sarcoma with painful violaceous plaques of the foot")],
    "steal": [says("steal syndrome of AVF with finger gangrene")],
}  # fmt: skip


@pytest.mark.parametrize("record", PRESSURE.values(), ids=PRESSURE)
def test_a_pressure_ulcer_leads_and_does_not_ring(record: list[Resource]) -> None:
    answer = ask(*record)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "pressure_ulcer")
    assert status(answer, "calciphylaxis") is Status.UNLIKELY
    assert not alarms(answer)


@pytest.mark.parametrize("record", ARTERIAL.values(), ids=ARTERIAL)
def test_gangrene_of_the_foot_in_arterial_disease_leads_and_does_not_ring(record: list[Resource]) -> None:
    answer = ask(*record)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "atherosclerotic_ulcer")
    assert status(answer, "calciphylaxis") is Status.UNLIKELY
    assert not alarms(answer)


@pytest.mark.parametrize("arterial", ["I73.9", "E11.51", "I70.213"])
def test_gangrene_of_no_recorded_place_in_arterial_disease_leaves_calciphylaxis_possible(arterial: str) -> None:
    answer = ask(code("ICD10CM", "I96"), code("ICD10CM", arterial))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "atherosclerotic_ulcer")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert alarms(answer) == {"possible_early_calciphylaxis"}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_a_named_cause_of_the_dead_skin_leads_and_does_not_ring(case: tuple[str, list[Resource]]) -> None:
    mimic, record = case
    answer = ask(*record)
    assert (answer.leading, answer.leading_mimic) == ("mimic", mimic)
    assert status(answer, "calciphylaxis") is Status.UNLIKELY
    assert not alarms(answer)


@pytest.mark.parametrize("record", ON_DIALYSIS.values(), ids=ON_DIALYSIS)
def test_on_dialysis_calciphylaxis_stays_possible_with_an_alarm(record: list[Resource]) -> None:
    answer = ask(*record, DIALYSIS)
    assert answer.leading == "mimic"
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert alarms(answer)


def test_a_code_of_pressure_ulcer_alone_on_dialysis_rings_with_the_lower_urgency() -> None:
    answer = ask(code("ICD10CM", "L89.150"), DIALYSIS)
    assert answer.leading_mimic == "pressure_ulcer"
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert alarms(answer) == {"possible_early_calciphylaxis"}


HEEL = says("Pressure ulcer of heel with eschar")
SPEAKS: dict[str, list[Resource]] = {
    "calcified small vessels": [biopsy("Calcified small vessels of the subcutis with thrombosis")],
    "vitamin K antagonist": [ON_WARFARIN],
    "dialysis, painful thigh": [DIALYSIS, says("painful indurated plaque of the thigh")],
    "dialysis, painful abdomen": [DIALYSIS, says("painful ulcer of the abdomen")],
    "dialysis, painful breast": [DIALYSIS, says("painful necrosis of the breast")],
    "chronic kidney disease": [says("chronic kidney disease stage 3")],
    "hyperparathyroidism": [says("hyperparathyroidism")],
    "high calcium": [lab("Calcium", "H")],
    "suspected": [says("calciphylaxis", provisional=True)],
    "stated": [says("calciphylaxis")],
    "retiform purpura": [says("retiform purpura")],
    "necrosis of the thigh": [says("skin necrosis", at="thigh")],
    "necrosis of the calf": [says("skin necrosis", at="calf")],
    "necrosis of the penis": [says("skin necrosis", at="penis")],
    "necrosis of the forearm": [says("skin necrosis", at="forearm")],
}


@pytest.mark.parametrize("found", SPEAKS.values(), ids=SPEAKS)
def test_a_pressure_ulcer_hides_nothing_that_speaks_for_calciphylaxis(found: list[Resource]) -> None:
    answer = ask(HEEL, *found)
    assert at_least_possible(answer)
    assert alarms(answer)


BEYOND = ["dialysis, painful thigh", "dialysis, painful abdomen", "dialysis, painful breast", "retiform purpura", "necrosis of the thigh"]


@pytest.mark.parametrize("found", BEYOND)
def test_where_an_ischaemic_change_lies_elsewhere_the_pressure_ulcer_does_not_lead(found: str) -> None:
    assert ask(HEEL, *SPEAKS[found]).leading == "calciphylaxis"


OPEN = {"dialysis": [DIALYSIS], "warfarin": [ON_WARFARIN], "purpura": [says("retiform purpura of the thigh")]}


@pytest.mark.parametrize("found", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("record", [ARTERIAL["diabetic PAD"], ARTERIAL["E11.52"]], ids=["words", "code"])
def test_arterial_gangrene_hides_nothing_that_speaks_for_calciphylaxis(record: list[Resource], found: list[Resource]) -> None:
    answer = ask(*record, *found)
    assert answer.leading == "calciphylaxis"
    assert alarms(answer)


def test_pain_of_the_pressure_ulcer_with_two_risk_factors_keeps_calciphylaxis_possible() -> None:
    risks = [says("systemic lupus erythematosus"), says("obesity")]
    answer = ask(says("exquisitely painful pressure ulcer of the buttock with necrosis"), *risks)
    assert answer.leading_mimic == "pressure_ulcer"
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert alarms(answer)


def test_palpable_pulses_leave_gangrene_unexplained() -> None:
    answer = ask(says("gangrene", at="toe"), says("peripheral arterial disease"), says("palpable pedal pulses"))
    assert at_least_possible(answer)


@pytest.mark.parametrize(
    "record",
    [
        [says("No pressure ulcer"), says("eschar of the buttock")],
        [says("pressure ulcer", provisional=True), says("eschar of the buttock")],
        [says("left lateral decubitus position"), says("eschar of the buttock")],
        [says("burn scar of the arm"), says("necrosis of the thigh")],
        [says("Kaposi sarcoma"), says("necrosis of the buttock")],
        [says("Frostbite", at="toe"), says("eschar of the buttock")],
    ],
    ids=["denied", "suspected", "position", "old scar", "dead skin in Kaposi sarcoma", "another place"],
)
def test_a_wound_that_is_not_there_explains_nothing(record: list[Resource]) -> None:
    answer = ask(*record)
    assert at_least_possible(answer)
    assert alarms(answer)


def test_steal_explains_the_hand_and_not_the_leg() -> None:
    answer = ask(says("steal syndrome of AVF with finger gangrene"), says("gangrene of the toe"), DIALYSIS)
    assert status(answer, "calciphylaxis") is Status.PROBABLE


def test_calcinosis_leads_beside_a_pressure_ulcer() -> None:
    calcinosis = [says("systemic sclerosis"), says("calcinosis of the fingers"), film("Subcutaneous calcification of the fingers")]
    answer = ask(*calcinosis, HEEL)
    assert answer.leading == "dystrophic"
    assert mimic_status(answer, "pressure_ulcer") is Status.POSSIBLE


def test_two_risk_factors_keep_calciphylaxis_possible_beside_a_pressure_ulcer() -> None:
    answer = ask(says("Pressure ulcer of buttock with necrosis"), says("diabetes mellitus"), says("obesity"))
    assert at_least_possible(answer)
    assert answer.leading_mimic == "pressure_ulcer"


def all_alarms(answer: Assessment) -> set[str]:
    return {alarm.key for alarm in answer.alarms}


@pytest.mark.parametrize("risk", [DIALYSIS, ON_WARFARIN], ids=["dialysis", "warfarin"])
@pytest.mark.parametrize("wound", ["necrotic sacral pressure ulcer", "sacral decubitus ulcer stage IV with necrosis", "necrotic pressure ulcer of the buttock"])
def test_a_necrotic_pressure_ulcer_of_the_trunk_rings_the_same_day_and_not_at_once(wound: str, risk: Resource) -> None:
    answer = ask(says(wound), risk)
    assert at_least_possible(answer)
    assert alarms(answer) == {"suspected_calciphylaxis"} | ({"vka_with_suspected_calciphylaxis"} if risk is ON_WARFARIN else set())
    assert {alarm.urgency for alarm in answer.alarms} == {"same_day"}


AT_ONCE: dict[str, list[Resource]] = {
    "no pressure ulcer": [says("necrotic ulcer of the sacrum")],
    "severe pain": [says("necrotic sacral pressure ulcer, excruciating pain")],
    "another place": [says("sacral pressure ulcer"), says("necrosis of the thigh")],
    "another place of the trunk": [says("necrotic sacral pressure ulcer"), says("necrosis of the breast")],
    "retiform purpura": [says("necrotic sacral pressure ulcer"), says("retiform purpura of the back")],
    "proven": [says("necrotic sacral pressure ulcer"), biopsy("Calcified small vessels of the subcutis with thrombosis")],
    "penis": [says("necrotic sacral pressure ulcer"), says("necrosis of the penis")],
}


R2 = {"calciphylaxis_of_the_genitals", "calciphylaxis_high_mortality_site", "calciphylaxis_ulcerated"}


@pytest.mark.parametrize(("name", "record"), AT_ONCE.items(), ids=AT_ONCE)
def test_what_a_pressure_ulcer_does_not_explain_rings_at_once(name: str, record: list[Resource]) -> None:
    rung = alarms(ask(*record, DIALYSIS)) & R2
    wanted = {"penis": "calciphylaxis_of_the_genitals", "proven": "calciphylaxis_ulcerated"}.get(name, "calciphylaxis_high_mortality_site")
    assert rung == {wanted}  # one alarm, with the figure of this place alone


@pytest.mark.parametrize("wound", ["painful fresh surgical wound of the knee", "painful postoperative wound", "painful traumatic wound of the shin", "painful cellulitis of the leg"])
def test_a_painful_fresh_wound_on_warfarin_is_no_ulcer(wound: str) -> None:
    answer = ask(says(wound), ON_WARFARIN)
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank
    assert not answer.alarms


@pytest.mark.parametrize(
    "wound",
    ["painful non-healing surgical wound of the knee", "painful surgical wound, not healing", "painful surgical wound with necrosis", "painful black surgical wound",
     "painful surgical wound that does not heal", "painful ulcer of the shin", "painful chronic wound of the leg", "painful traumatic wound of the leg with livedo"],
)  # fmt: skip
def test_a_painful_wound_that_does_not_heal_or_dies_on_warfarin_is_possible_calciphylaxis(wound: str) -> None:
    answer = ask(says(wound), ON_WARFARIN)
    assert at_least_possible(answer)
    assert "vka_with_suspected_calciphylaxis" in all_alarms(answer)


def test_a_painful_surgical_wound_over_fat_on_dialysis_stays_possible_calciphylaxis() -> None:
    answer = ask(says("painful surgical wound of the abdomen"), DIALYSIS)
    assert at_least_possible(answer)
    assert alarms(answer)


SCLERODERMA = [says("systemic sclerosis"), says("Raynaud phenomenon")]


@pytest.mark.parametrize("lesion", ["dry gangrene of the index finger", "fingertip necrosis", "painful digital ulcers with gangrene of the finger", "gangrene of the toe"])
def test_digital_gangrene_of_systemic_sclerosis_leads_and_calciphylaxis_stays_possible(lesion: str) -> None:
    answer = ask(*SCLERODERMA, says(lesion))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "digital_ischaemia_systemic_sclerosis")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert all_alarms(answer) == {"critical_digital_ischaemia_ctd", "possible_early_calciphylaxis"}


BESIDE_SCLERODERMA = {
    "dialysis": DIALYSIS, "warfarin": ON_WARFARIN, "necrosis of the thigh": says("necrosis of the thigh"), "retiform purpura": says("retiform purpura"),
    "hyperparathyroidism": says("hyperparathyroidism"), "suspected": says("calciphylaxis", provisional=True),
    "calcified small vessels": biopsy("Calcified small vessels of the subcutis with thrombosis"),
}  # fmt: skip


@pytest.mark.parametrize("found", BESIDE_SCLERODERMA.values(), ids=BESIDE_SCLERODERMA)
def test_digital_gangrene_of_systemic_sclerosis_does_not_lead_where_anything_else_speaks(found: Resource) -> None:
    answer = ask(*SCLERODERMA, says("gangrene of the finger"), found)
    assert answer.leading == "calciphylaxis"


def test_the_code_of_a_penile_ulcer_on_dialysis_rings_at_once() -> None:
    answer = ask(code("ICD10CM", "N48.5"), DIALYSIS)
    assert at_least_possible(answer)
    assert "calciphylaxis_of_the_genitals" in alarms(answer)


@pytest.mark.parametrize("burn", ["T20.30XA", "T21.32XA", "T22.319A", "T23.301A", "T24.312A", "T25.321A", "T30.0", "T31.10"])
def test_the_code_of_a_burn_explains_dead_skin_as_the_word_does(burn: str) -> None:
    answer = ask(code("ICD10CM", burn), says("eschar"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "thermal_injury")
    assert status(answer, "calciphylaxis") is Status.UNLIKELY
    assert at_least_possible(ask(code("ICD10CM", burn), says("eschar"), DIALYSIS))


@pytest.mark.parametrize("other", ["T26.00XA", "T27.0XXA", "T28.0XXA"])
def test_burns_of_eye_airway_and_inner_organs_are_none_of_the_skin(other: str) -> None:
    assert ask(code("ICD10CM", other), says("eschar")).leading_mimic != "thermal_injury"
