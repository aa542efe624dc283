"""Lumps and hard tissue that look like calcinosis and are not: tumour, ear, amyloid, urate, young bone."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, film, lab, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

BACK = says("stony hard subcutaneous mass", at="upper back")
ON_DIALYSIS = says("end-stage renal disease on haemodialysis")
AMYLOID = biopsy("Widespread amyloid on Congo red stain.")


def test_an_ossifying_fibromyxoid_tumour_is_not_taken_for_bone_of_the_skin() -> None:
    answer = ask(BACK, biopsy("Ossifying fibromyxoid tumour with a shell of lamellar bone."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "ossifying_fibromyxoid_tumour")
    assert mimic_status(ask(BACK, biopsy("Lamellar bone in the subcutis.")), "osteoma_cutis") is Status.CONFIRMED


@pytest.mark.parametrize(
    "proof", [film("Calcification of the auricular cartilage."), biopsy("Auricle: small foci of lacunar bone formation."), says("auricular ossification")]
)
def test_a_hard_auricle_with_mineral_or_bone_in_its_cartilage_is_a_petrified_ear(proof: dict[str, object]) -> None:
    answer = ask(says("rock-hard auricles", at="both ears"), proof)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "petrified_ear")
    assert mimic_status(answer, "petrified_ear") is Status.CONFIRMED


@pytest.mark.parametrize("other", [says("hard nodule of the helix", at="ear"), says("hard of hearing, both ears"), says("calcinosis cutis", at="auricle")])
def test_a_nodule_of_the_ear_or_deafness_is_no_petrified_ear(other: dict[str, object]) -> None:
    assert mimic_status(ask(other), "petrified_ear") is None


def test_mineral_of_the_ear_cartilage_alone_on_a_film_is_no_calcinosis() -> None:
    answer = ask(film("Calcification of the auricular cartilage."))
    assert answer.leading is None


def test_amyloid_in_a_hard_swelling_on_dialysis_is_that_of_dialysis_and_calciphylaxis_stays_possible() -> None:
    lump = (says("hard indurated swelling", at="buttock"), says("tenderness", at="buttock"), ON_DIALYSIS)
    before, answer = ask(*lump), ask(*lump, AMYLOID)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "dialysis_amyloidosis")
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis") is Status.POSSIBLE
    assert {each.key for each in before.alarms} <= {each.key for each in answer.alarms}


def test_amyloid_on_dialysis_does_not_lead_where_skin_dies() -> None:
    answer = ask(says("hard swelling", at="buttock"), says("painful skin necrosis", at="thigh"), ON_DIALYSIS, AMYLOID)
    assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)


def test_amyloid_without_dialysis_stays_amyloidosis_of_the_skin() -> None:
    answer = ask(says("waxy nodules", at="shin"), AMYLOID)
    assert (answer.leading_mimic, mimic_status(answer, "dialysis_amyloidosis")) == ("cutaneous_amyloidosis", None)


@pytest.mark.parametrize("section", ["No amyloid on Congo red stain.", "Congo red stain negative for amyloid."])
def test_a_negative_congo_red_shows_no_amyloid(section: str) -> None:
    answer = ask(says("hard indurated swelling", at="buttock"), ON_DIALYSIS, biopsy(section))
    assert mimic_status(answer, "dialysis_amyloidosis") is None


RING = film("Left thigh: peripheral rim calcification of the muscle mass.")
THIGH = says("hard mass", at="posterior thigh")


def injury(when: str) -> dict[str, object]:
    return {**says("trauma"), "onsetDateTime": when, "recordedDate": when}


def test_a_ring_of_mineral_in_a_muscle_soon_after_an_injury_is_myositis_ossificans() -> None:
    answer = ask(THIGH, RING, injury("2024-05-10"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "heterotopic_ossification")
    assert status(answer, "dystrophic") is Status.POSSIBLE


def test_without_an_injury_of_the_last_year_or_with_calcinosis_of_the_skin_the_ring_proves_nothing() -> None:
    for others in ((), (injury("1990-05-10"),), (injury("2024-05-10"), says("calcinosis cutis", at="thigh"))):
        assert mimic_status(ask(THIGH, RING, *others), "heterotopic_ossification") is not Status.PROBABLE


def test_calcium_in_the_skin_soon_after_an_injury_stays_dystrophic() -> None:
    answer = ask(says("firm nodule", at="thigh"), film("Subcutaneous calcification of the thigh."), injury("2024-05-10"))
    assert (answer.leading, status(answer, "dystrophic")) == ("dystrophic", Status.PROBABLE)


FINGERS = (says("whitish-yellow papules and nodules", at="finger pads"), says("chronic renal failure"), lab("Calcium", "N"))


def test_whitish_fluid_on_biopsy_with_high_urate_is_a_tophus() -> None:
    answer = ask(*FINGERS, says("whitish discharge on biopsy", at="fingers"), lab("Uric acid", "H"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "gouty_tophus")


def test_whitish_fluid_with_high_phosphate_on_dialysis_stays_metastatic() -> None:
    answer = ask(*FINGERS, ON_DIALYSIS, says("whitish fluid on punch biopsy", at="fingers"), lab("Uric acid", "H"), lab("Phosphate", "H"))
    assert answer.leading == "metastatic"


@pytest.mark.parametrize("words", ["whitish vaginal discharge", "whitish discharge", "white cell count of the joint fluid on biopsy day"])
def test_other_whitish_discharge_is_no_chalk(words: str) -> None:
    assert mimic_status(ask(*FINGERS, says(words), lab("Uric acid", "H")), "gouty_tophus") is Status.POSSIBLE


SHOULDER = (says("pain", at="shoulder"), says("limited range of motion", at="shoulder"))


def test_one_deposit_beside_the_shoulder_may_be_calcific_tendinopathy_and_deposits_at_several_sites_are_not() -> None:
    one = ask(*SHOULDER, film("Calcified soft tissue deposit beside the shoulder."))
    several = ask(*SHOULDER, film("Large calcified soft tissue deposits beside the shoulder and at several other sites."))
    assert mimic_status(one, "calcific_tendinopathy") is Status.POSSIBLE
    assert mimic_status(several, "calcific_tendinopathy") is None


def test_a_deposit_named_in_the_tendon_stays_so_whatever_else_there_is() -> None:
    answer = ask(*SHOULDER, film("Calcification within the supraspinatus tendon; deposits at several other sites."))
    assert mimic_status(answer, "calcific_tendinopathy") is Status.CONFIRMED


def test_pain_at_several_sites_is_no_deposit_there() -> None:
    answer = ask(*SHOULDER, film("Calcified soft tissue deposit beside the shoulder."), says("pain at several sites"))
    assert mimic_status(answer, "calcific_tendinopathy") is Status.POSSIBLE


def test_an_outgrowth_that_goes_on_into_the_bone_is_an_exostosis_and_a_deposit_beside_the_bone_is_not() -> None:
    lump = says("bony-hard nodule under the nail", at="great toe")
    answer = ask(lump, film("Calcified projection on the distal phalanx, continuous with the bone."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "subungual_exostosis")
    assert mimic_status(ask(lump, film("Calcification in the soft tissue of the great toe.")), "subungual_exostosis") is None


def test_blood_in_a_growing_mass_is_a_haematoma_unless_calcium_was_shown() -> None:
    mass = says("soft mass, growing for a year", at="buttock")
    answer = ask(mass, film("Blood collection in the mass of the buttock."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "expanding_haematoma")
    shown = ask(mass, film("Blood collection in the mass of the buttock, extensive subcutaneous calcification."))
    assert mimic_status(shown, "expanding_haematoma") is Status.POSSIBLE


def test_blood_elsewhere_is_no_haematoma_of_the_mass() -> None:
    answer = ask(says("soft mass, growing for a year", at="buttock"), says("subdural haematoma", at="head"))
    assert mimic_status(answer, "expanding_haematoma") is None


def test_a_fluid_fluid_level_alone_shows_no_calcium() -> None:
    assert ask(says("soft mass", at="buttock"), film("Fluid-fluid level inside the mass.")).provisional
    assert not ask(says("soft mass", at="buttock"), film("Fluid-calcium level inside the mass.")).provisional


def test_hard_skin_in_albrights_osteodystrophy_is_bone_first() -> None:
    answer = ask(says("hard skin lesions"), says("Albright hereditary osteodystrophy"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "albright_osteodystrophy")


def test_a_calcified_mass_on_dialysis_is_metastatic_first_and_calciphylaxis_stays_possible_where_the_skin_breaks() -> None:
    answer = ask(
        says("tender mass", at="buttock"), says("skin erosion", at="buttock"), ON_DIALYSIS, film("Right buttock: solid calcified subcutaneous mass.")
    )
    assert (answer.leading, answer.leading_status) == ("metastatic", Status.PROBABLE)
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert "possible_early_calciphylaxis" in {alarm.key for alarm in answer.alarms}


@pytest.mark.parametrize(("where", "expected"), [("right cheek", Status.PROBABLE), ("left foot", Status.NOT_ASSESSED)])
def test_calcium_where_an_infection_healed_is_dystrophic(where: str, expected: Status) -> None:
    answer = ask(says("calcified structures in soft tissue", at="right cheek"), says(f"past infection of the {where}"))
    assert status(answer, "dystrophic") is expected
