"""Disorders that look like calcinosis or calciphylaxis, as records describe them; each with what must not be taken for it."""

from __future__ import annotations

import pytest
from small_records import Resource, ask, biopsy, drug, film, lab, procedure, says, status

from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status


def mimic(answer: Assessment, key: str) -> Status:
    return next((each.status for each in answer.mimics if each.mimic == key), Status.NOT_ASSESSED)


def test_a_foreign_body_granuloma_around_calcium_is_no_foreign_material() -> None:
    answer = ask(says("calcified nodules", at="scrotum"), biopsy("Calcium deposits of the dermis with a foreign-body granuloma."), sex="male")
    assert answer.leading == "idiopathic"
    assert mimic(answer, "foreign_body_filler").rank < Status.POSSIBLE.rank


@pytest.mark.parametrize("found", ["Silicone granuloma.", "Foreign body granuloma to liquid silicone."])
def test_a_granuloma_around_silicone_is(found: str) -> None:
    assert mimic(ask(says("firm nodule", at="lip"), biopsy(found)), "foreign_body_filler") is Status.CONFIRMED


def test_cartilage_nodules_of_a_finger_are_chondromatosis() -> None:
    tissue = {**biopsy("Osteocartilaginous nodules; cartilage cells in lacunae."), "code": {"text": "Histology"}}
    answer = ask(says("hard multinodular mass", at="finger"), film("Several calcified bodies around the phalanx."), tissue)
    assert answer.leading_mimic == "synovial_chondromatosis"


@pytest.mark.parametrize(
    ("kidneys", "expected"),
    [((), Status.PROBABLE), ((says("end-stage renal disease"), procedure("haemodialysis")), Status.POSSIBLE)],
)  # fmt: skip
def test_white_scars_and_hyaline_vessels_are_livedoid_vasculopathy_unless_the_kidneys_failed(
    kidneys: tuple[Resource, ...], expected: Status
) -> None:
    scars, tissue = says("pearly-white angular atrophic scars", at="ankle"), biopsy("Hyaline thickening of the walls of dermal vessels.")
    assert mimic(ask(scars, tissue, *kidneys), "livedoid_vasculopathy") is expected


@pytest.mark.parametrize("kidneys", ["", "end-stage renal disease on haemodialysis"])
def test_necrosis_within_days_of_starting_warfarin_is_warfarin_necrosis_unless_the_kidneys_failed(kidneys: str) -> None:
    started = {**drug("warfarin"), "note": [{"text": "started five days before the lesions"}]}
    answer = ask(started, says("skin necrosis"), *([says(kidneys)] if kidneys else []))
    assert answer.alarms
    assert (answer.leading_mimic == "warfarin_necrosis") is not bool(kidneys)
    assert status(answer, "calciphylaxis").rank >= (Status.PROBABLE if kidneys else Status.POSSIBLE).rank


def test_steal_of_a_fistula_explains_gangrene_of_its_hand_and_the_alarm_still_rings() -> None:
    answer = ask(procedure("haemodialysis"), says("gangrene", at="finger"), film("Steal causing vascular insufficiency of the fingers."))
    assert answer.leading_mimic == "access_steal"
    assert answer.alarms
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


@pytest.mark.parametrize(
    "found",
    ["Tortuous calcifications along the superficial femoral, popliteal and anterior tibial arteries, like a pipe stem.", "Rail-like calcification."],
)  # fmt: skip
def test_calcified_arteries_like_pipes_are_no_deposit(found: str) -> None:
    answer = ask(says("chronic pain", at="knee"), film(found))
    assert answer.leading_mimic == "vascular_calcification"


@pytest.mark.parametrize("shock", ["septic shock", "hypotension"])
def test_severe_pain_in_red_hard_skin_with_shock_rings_for_necrotising_infection(shock: str) -> None:
    answer = ask(says("severe pain", at="thigh"), says("redness with induration", at="thigh"), says(shock))
    assert "R4" in {alarm.id for alarm in answer.alarms}
    assert mimic(answer, "necrotising_fasciitis") is Status.POSSIBLE


def test_without_shock_it_does_not() -> None:
    answer = ask(says("severe pain", at="thigh"), says("redness with induration", at="thigh"))
    assert "R4" not in {alarm.id for alarm in answer.alarms}


@pytest.mark.parametrize(("born", "expected"), [("2024-05-20", "protein_c_s_deficiency_necrosis"), ("1970-01-01", None)])
def test_low_protein_c_with_necrosis_of_a_newborn_is_the_deficiency(born: str, expected: str | None) -> None:
    answer = ask(says("painful skin necrosis", at="foot"), lab("Protein C activity", "L"), born=born)
    assert answer.leading_mimic == expected
    assert answer.alarms


def test_calcium_in_a_wound_may_be_dystrophic_unless_injury_is_denied() -> None:
    wound, deposits = says("wound that does not heal", at="lower leg"), says("subcutaneous calcifications in the wound", at="lower leg")
    assert status(ask(wound, deposits), "dystrophic") is Status.POSSIBLE
    assert status(ask(wound, deposits, says("trauma", refuted=True)), "dystrophic").rank < Status.POSSIBLE.rank


@pytest.mark.parametrize("words", ["occasional hooklets of a parasite", "many calcareous corpuscles, tegumental cells"])
def test_parts_of_a_worm_in_tissue_are_a_parasite(words: str) -> None:
    answer = ask(says("subcutaneous nodule", at="arm"), biopsy(words))
    assert answer.leading_mimic == "parasitic_calcification"
