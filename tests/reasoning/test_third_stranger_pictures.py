"""Pictures that a dermatologist who did not know the program found misjudged in letters: each beside its counterpart."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, drug, letter, measured, mimic_status, procedure, says, status

from calcinosis.api import make_readers
from calcinosis.contract import Assessment
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.model import Context

DIALYSIS = says("End-stage renal disease on haemodialysis")


def read(text: str, context: Context = Context.NOTE) -> dict[str, set[str]]:
    """What the text says: certainties by concept."""
    found: dict[str, set[str]] = {}
    for mention in make_readers().text.read(text, context).mentions:
        found.setdefault(mention.concept, set()).add(mention.certainty)
    return found


def alarm_keys(answer: Assessment) -> set[str]:
    return {alarm.key for alarm in answer.alarms}


@pytest.mark.parametrize(
    "text",
    ["Mechanical AVR 2009, on warfarin.", "AF, mech MVR.", "Mechanical MVR in 2011.", "St. Jude valve.", "Metallic valve in situ.",
     "Bileaflet valve, aortic position.", "On-X valve 2018."],
)  # fmt: skip
def test_a_mechanical_valve_is_read_by_its_short_and_trade_names(text: str) -> None:
    assert read(text).get("mechanical_heart_valve") == {"affirmed"}


@pytest.mark.parametrize("text", ["Echo: bileaflet mitral valve prolapse.", "Tissue AVR 2016.", "ST elevation in aVR."])
def test_the_patients_own_valve_and_a_tissue_valve_are_not_mechanical(text: str) -> None:
    assert "mechanical_heart_valve" not in read(text)


@pytest.mark.parametrize(
    "text",
    ["PE in 2019; warfarin (INR 2-3).", "Previous PE.", "PMH: DVT/PE.", "CTPA: bilateral PEs.", "Unprovoked PE.", "hx of PE", "(DVT 2009, PE 2011)"],
)
def test_an_embolism_called_pe_is_read_where_a_year_or_a_word_of_history_stands_with_it(text: str) -> None:
    assert read(text).get("venous_thromboembolism") == {"affirmed"}


@pytest.mark.parametrize(
    "text", ["PE: afebrile, lungs clear.", "PE tubes in 2012.", "Bilateral PE tubes.", "On PE the abdomen was soft.", "No history of PE.", "Previous PE unremarkable."]
)
def test_a_physical_examination_and_tubes_of_the_ear_are_no_embolism(text: str) -> None:
    assert read(text).get("venous_thromboembolism", set()) <= {"negated"}


@pytest.mark.parametrize("text", ["Both breasts are hard, mottled and very painful.", "Breasts stony hard, mottled."])
def test_hard_mottled_breasts_on_dialysis_ring_for_calciphylaxis(text: str) -> None:
    assert {"suspected_calciphylaxis", "possible_early_calciphylaxis"} & alarm_keys(ask(DIALYSIS, letter(text)))
    assert not ask(DIALYSIS, letter("Breasts soft, no mottling, no pain.")).alarms


def test_a_bruise_like_patch_as_hard_as_rock_on_dialysis_rings() -> None:
    answer = ask(DIALYSIS, letter("A bruise-like patch on the left thigh, rock hard."))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert {"suspected_calciphylaxis", "possible_early_calciphylaxis"} & alarm_keys(answer)
    assert not ask(DIALYSIS, letter("A bruise on the left thigh after a fall.")).alarms


@pytest.mark.parametrize("text", ["The ulcer cannot be touched.", "Cannot bear to be touched.", "She won't let anyone touch it.", "Exquisitely sore."])
def test_what_nobody_may_touch_is_severe_pain(text: str) -> None:
    assert read(text).get("severe_pain") == {"affirmed"}


@pytest.mark.parametrize("text", ["R index and middle black, dry.", "Fingers black and dry."])
def test_dry_black_fingers_on_dialysis_are_dead_fingers(text: str) -> None:
    assert "calciphylaxis_high_mortality_site" in alarm_keys(ask(DIALYSIS, letter(text)))


@pytest.mark.parametrize(
    "text",
    ["Aspirate: urate crystals. XR: no soft tissue calcification except vascular calcification of the radial artery.",
     "Biopsy is not indicated. Knee film: vascular calcification of the popliteal artery.",
     "Biopsy was refused. CT: calcification of the iliac arteries.",
     "Biopsy is not planned. Calciphylaxis is unlikely. CT: coronary artery calcification.",
     "We would rather not do a biopsy. XR pelvis: vascular calcification.",
     "Superficial biopsy without subcutis. X-ray: fine branching calcification of small vessels in the subcutaneous fat."],
)  # fmt: skip
def test_calcium_of_a_film_or_of_a_large_artery_is_no_biopsy(text: str) -> None:
    assert "histology_vessel_calcification" not in read(text)


@pytest.mark.parametrize(
    "text",
    ["Skin biopsy: necrosis and vascular calcification.", "Biopsy was done. It showed medial calcification of subcutaneous arterioles.",
     "Histology with calcified vessels and thrombi.", "Von Kossa: calcium in dermal vessels."],
)  # fmt: skip
def test_a_letter_still_tells_the_calcified_vessels_of_a_biopsy(text: str) -> None:
    assert read(text).get("histology_vessel_calcification") == {"affirmed"}


def test_a_report_of_a_biopsy_needs_no_further_word_and_its_denial_counts() -> None:
    ulcer = (DIALYSIS, says("painful necrotic ulcer", at="thigh"))
    assert status(ask(*ulcer, biopsy("Vascular calcification.")), "calciphylaxis") is Status.CONFIRMED
    assert status(ask(*ulcer, biopsy("No vascular calcification.")), "calciphylaxis") is Status.PROBABLE


def test_an_overhanging_edge_of_bone_is_no_ulcer() -> None:
    found = read("XR: overhanging edge erosions.")
    assert "bone_erosion_overhanging" in found
    assert not {"skin_ulcer", "undermined_ulcer_border"} & set(found)
    assert "undermined_ulcer_border" in read("Ulcer with overhanging edge.")
    gout = ask(says("firm nodules", at="finger"), says("Gout"), letter("Hands: overhanging edge erosions."))
    assert mimic_status(gout, "gouty_tophus") is Status.PROBABLE


def test_an_earlier_result_of_calcium_is_no_earlier_calcinosis() -> None:
    assert not {"calcinosis_history", "calcification"} & set(read("Previous calcium 2.48 in February."))
    assert "calcinosis_history" in read("Previous calcium deposits of the thigh.")
    assert "calcinosis_history" in read("Previous calcinosis of the elbow.")


DEAD_FINGERS = (DIALYSIS, letter("s/p CABG 2020. Fingertips with dry gangrene."))


def test_an_operation_of_the_history_makes_no_probable_cholesterol_embolism_where_calciphylaxis_is_suspected_on_dialysis() -> None:
    for reason in (says("Calciphylaxis", provisional=True), says("Black glans penis")):
        answer = ask(*DEAD_FINGERS, reason, sex="male")
        assert mimic_status(answer, "cholesterol_embolism") is Status.POSSIBLE
        assert answer.leading == "calciphylaxis"
    lately = ask(*DEAD_FINGERS, says("Calciphylaxis", provisional=True), procedure("Coronary angiography") | {"performedDateTime": "2024-05-01"})
    assert mimic_status(lately, "cholesterol_embolism") is Status.PROBABLE
    assert mimic_status(ask(letter("s/p CABG. Blue toes.")), "cholesterol_embolism") is Status.PROBABLE


PLAQUES = (says("firm subcutaneous plaques", at="abdomen"), measured("Creatinine", 98, "umol/L"))


def test_filtration_of_the_blood_in_intensive_care_is_no_kidney_failure() -> None:
    for_days = ask(*PLAQUES, letter("AKI: CVVH for 6 days, stopped; renal function recovered."))
    assert not any("ialysis" in risk.label for risk in for_days.calciphylaxis_risk)
    for_years = ask(*PLAQUES, letter("On maintenance haemodialysis."))
    assert any("ialysis" in risk.label for risk in for_years.calciphylaxis_risk)
    assert {"acute_renal_replacement_therapy"} <= set(read("CRRT was needed."))


MARTORELL = (
    says("Hypertension"), says("painful ulcer with black eschar", at="leg"), says("Martorell ulcer"),
    biopsy("Stenosing arteriolosclerosis with medial calcification of a subcutaneous arteriole; necrosis."),
)  # fmt: skip


def test_arterioles_of_a_martorell_ulcer_do_not_confirm_calciphylaxis() -> None:
    agreed = ask(*MARTORELL)
    assert status(agreed, "calciphylaxis") is Status.PROBABLE
    assert mimic_status(agreed, "martorell_ulcer") is Status.PROBABLE
    assert "suspected_calciphylaxis" in alarm_keys(agreed)
    for setting in (DIALYSIS, drug("Warfarin")):
        assert status(ask(*MARTORELL, setting), "calciphylaxis") is Status.CONFIRMED
    unnamed = ask(*MARTORELL[:2], MARTORELL[3])
    assert status(unnamed, "calciphylaxis") is Status.CONFIRMED


def test_pain_of_the_hip_makes_no_painful_ulcer_of_a_fingertip() -> None:
    lesions = (DIALYSIS, says("ulcer", at="fingertip"), says("soft tissue mass", at="hip"))
    assert "suspected_calciphylaxis" not in alarm_keys(ask(*lesions, says("pain", at="hip")))
    assert "possible_early_calciphylaxis" in alarm_keys(ask(*lesions, says("pain", at="hip")))
    for told in (says("pain", at="finger"), says("pain")):
        assert "suspected_calciphylaxis" in alarm_keys(ask(*lesions, told))
    assert "suspected_calciphylaxis" in alarm_keys(ask(*lesions, says("pain", at="hip"), says("ulcer", at="thigh")))


@pytest.mark.parametrize("text", ["Pain 1/10.", "Pain 0/10.", "Pain score 1 out of 10."])
def test_a_score_of_almost_nothing_is_no_pain(text: str) -> None:
    assert not {"pain", "severe_pain"} & set(read(text))


@pytest.mark.parametrize("text", ["Pain 3/10.", "Pain 10/10.", "Pain since 1/10."])
def test_a_higher_score_is_pain(text: str) -> None:
    assert {"pain", "severe_pain"} & set(read(text))
