"""Calciphylaxis is a disease of the skin: calcified vessels of lung or kidney at autopsy do not show it, and never hide it."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, film, measured, says, status

from calcinosis.knowledge.criteria import Status

AUTOPSY = {**film("Multiple foci of calcification in the vessel walls and parenchyma of both lungs and kidneys."), "code": {"text": "Autopsy"}}


def test_calcified_vessels_of_organs_alone_are_no_calciphylaxis() -> None:
    answer = ask(AUTOPSY, measured("Calcium", 25, "mg/dL"), says("renal insufficiency"), says("palpable mass", at="neck"))
    assert answer.leading == "metastatic"
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


PATHOLOGY = {**film("Calcified vessels of the thigh."), "code": {"text": "Pathology"}}


@pytest.mark.parametrize("skin", [biopsy("Calcified small vessels in the subcutis."), PATHOLOGY])
def test_a_skin_biopsy_beside_them_counts(skin: dict[str, object]) -> None:
    assert status(ask(AUTOPSY, skin), "calciphylaxis").rank >= Status.PROBABLE.rank


def test_beside_an_ischaemic_lesion_they_leave_it_probable() -> None:
    answer = ask(AUTOPSY, says("painful necrotic ulcers", at="thigh"), says("end-stage renal disease on dialysis"))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank


HEART = {**film("Extensive calcification of endocardium, myocardium and coronary arteries."), "code": {"text": "Post-mortem examination heart"}}


def test_calcium_in_heart_muscle_with_tertiary_hyperparathyroidism_may_be_metastatic() -> None:
    assert ask(HEART, says("tertiary hyperparathyroidism")).leading == "metastatic"


@pytest.mark.parametrize(
    "organs", [film("Heart valve calcification and calcified coronary arteries."), says("nephrocalcinosis"), film("Calcified lung nodule.")]
)
def test_calcium_of_organs_on_a_film_names_no_type(organs: dict[str, object]) -> None:
    assert status(ask(organs, says("tertiary hyperparathyroidism")), "metastatic").rank < Status.POSSIBLE.rank


def test_calcium_in_heart_muscle_after_infarction_is_not_called_metastatic() -> None:
    assert status(ask(HEART, says("ischaemic heart disease")), "metastatic").rank < Status.POSSIBLE.rank


def test_calcium_in_heart_muscle_leaves_dying_skin_to_calciphylaxis() -> None:
    answer = ask(HEART, says("tertiary hyperparathyroidism"), says("painful necrotic ulcers", at="thigh"), says("end-stage renal disease on dialysis"))
    assert answer.leading == "calciphylaxis"
