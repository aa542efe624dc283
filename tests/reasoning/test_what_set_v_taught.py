"""Pictures of the blind set v, each beside its counterpart."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, drug, film, measured, says, status

from calcinosis.knowledge.criteria import Status

KIDNEY = says("Chronic kidney disease stage 4")


def test_a_painful_leg_ulcer_in_kidney_disease_with_further_risks_is_possible_calciphylaxis() -> None:
    answer = ask(KIDNEY, says("Diabetes mellitus"), drug("Prednisolone"), says("Painful ulcer", at="right lower leg"))
    assert status(answer, "calciphylaxis") == Status.POSSIBLE
    assert "possible_early_calciphylaxis" in {alarm.key for alarm in answer.alarms}


@pytest.mark.parametrize(
    "wound", [says("Painful diabetic foot ulcer", at="foot"), says("Painful venous ulcer", at="lower leg"), says("Painless ulcer", at="lower leg")]
)
def test_an_ulcer_with_a_name_or_without_pain_is_none(wound: dict[str, object]) -> None:
    answer = ask(KIDNEY, says("Diabetes mellitus"), drug("Prednisolone"), wound)
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


def test_an_ulcer_years_after_a_liver_transplant_is_not_iatrogenic_calcification() -> None:
    assert status(ask(says("Liver transplantation"), says("Ulcer", at="lower leg")), "iatrogenic").rank < Status.POSSIBLE.rank
    nodules = ask(says("Liver transplantation"), says("Firm calcified nodules", at="abdomen"))
    assert status(nodules, "iatrogenic").rank >= Status.POSSIBLE.rank


def test_calcium_all_through_the_lungs_in_kidney_failure_is_possibly_metastatic() -> None:
    lungs = film("Diffuse calcification of the lungs.")
    assert status(ask(says("End stage renal disease"), lungs), "metastatic") == Status.POSSIBLE
    assert status(ask(says("End stage renal disease"), film("Calcified granuloma of the right lung.")), "metastatic").rank < Status.POSSIBLE.rank
    assert status(ask(lungs), "metastatic").rank < Status.POSSIBLE.rank


def test_calcified_vessels_of_a_lung_are_no_calciphylaxis_of_the_skin() -> None:
    section = {**biopsy("Calcifications in the interalveolar septa and focally in vessel walls."), "code": {"text": "Transbronchial lung biopsy"}}
    assert status(ask(says("Dependence on haemodialysis"), section), "calciphylaxis").rank < Status.POSSIBLE.rank
    assert status(ask(says("Dependence on haemodialysis"), section), "metastatic") == Status.POSSIBLE


def test_bone_formed_at_the_hip_after_a_brain_injury_is_heterotopic_ossification() -> None:
    answer = ask(
        says("Severe traumatic brain injury"), says("Restricted joint motion", at="hip"), film("Mature bone-density formation medial to the hip joint."),
    )  # fmt: skip
    assert answer.leading_mimic == "heterotopic_ossification"


def test_a_measured_normal_calcium_does_not_silence_the_warning() -> None:
    answer = ask(
        KIDNEY, says("Diabetes mellitus"), drug("Prednisolone"), says("Painful ulcer", at="right lower leg"), measured("Calcium", 2.3, "mmol/L"),
        measured("Phosphate", 1.1, "mmol/L"),
    )  # fmt: skip
    assert "possible_early_calciphylaxis" in {alarm.key for alarm in answer.alarms}
