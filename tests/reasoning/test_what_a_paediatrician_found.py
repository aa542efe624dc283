"""Children as a paediatric rheumatologist who did not know the program wrote them, each beside its counterpart."""

from __future__ import annotations

import pytest
from small_records import ask, drug, film, letter, measured, says, status

from calcinosis.api import make_readers
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.model import Context

READER = make_readers().text
FIVE_WEEKS = "2024-04-27"  # before LESION, 2024-06-01
SCHOOL_AGE = "2017-01-01"


def test_fat_necrosis_of_the_newborn_is_no_calciphylaxis() -> None:
    answer = ask(
        says("Subcutaneous fat necrosis of newborn"), says("Firm violaceous plaques", at="back"), says("Weight loss"), measured("Calcium", 3.3, "mmol/L"),
        born=FIVE_WEEKS,
    )  # fmt: skip
    assert answer.leading_mimic == "fat_necrosis_of_newborn"
    assert status(answer, "calciphylaxis") == Status.UNLIKELY
    assert "suspected_calciphylaxis" not in {alarm.key for alarm in answer.alarms}


def test_the_same_words_in_an_adult_stay_a_warning() -> None:
    answer = ask(says("Firm violaceous plaques", at="back"), says("Weight loss"), measured("Calcium", 3.3, "mmol/L"))
    assert any("calciphylaxis" in alarm.key for alarm in answer.alarms)


def test_litres_of_saline_are_told_of_adults() -> None:
    answer = ask(says("Calcinosis cutis"), measured("Calcium", 3.8, "mmol/L"), born=FIVE_WEEKS)
    (alarm,) = [each for each in answer.alarms if each.key == "hypercalcaemia_emergency"]
    (saline,) = [action.text for action in alarm.actions if "saline" in action.text]
    assert "no volume for a child" in saline
    assert "by weight" in saline


def test_calcium_and_phosphate_that_are_normal_for_an_infant_make_no_high_product() -> None:
    minerals = measured("Calcium", 2.42, "mmol/L"), measured("Phosphate", 2.2, "mmol/L")
    infant = ask(says("Nodule", at="forearm"), *minerals, born=FIVE_WEEKS)
    assert status(infant, "metastatic").rank < Status.POSSIBLE.rank
    assert status(ask(says("Nodule", at="forearm"), *minerals), "metastatic").rank >= Status.POSSIBLE.rank


def test_a_rash_with_normal_minerals_is_no_idiopathic_calcification() -> None:
    minerals = measured("Calcium", 2.38, "mmol/L"), measured("Phosphate", 1.5, "mmol/L")
    assert ask(says("Fever"), says("Maculopapular rash"), *minerals, born=SCHOOL_AGE).leading is None
    assert status(ask(says("Firm nodule"), *minerals, born=SCHOOL_AGE), "idiopathic") == Status.POSSIBLE


@pytest.mark.parametrize(
    "text", ["Calcinosis occurs in up to a third of children.", "Calciphylaxis is not a risk here.", "We told the parents about calcinosis."]
)
def test_what_parents_are_told_is_no_finding(text: str) -> None:
    assert not READER.read(text, Context.NOTE).mentions


@pytest.mark.parametrize("text", ["Ulcers occur in two fingers.", "The ulcer is a concern of hers.", "Nodules are seen in both elbows."])
def test_what_is_seen_in_the_patient_stands(text: str) -> None:
    assert [mention.certainty for mention in READER.read(text, Context.NOTE).mentions] == ["affirmed"]


@pytest.mark.parametrize("text", ["I explained to her that she has calciphylaxis.", "Mother was told that he has dermatomyositis."])
def test_a_diagnosis_that_was_explained_stands(text: str) -> None:
    assert [mention.certainty for mention in READER.read(text, Context.NOTE).mentions] == ["affirmed"]


def test_a_creatinine_without_the_height_is_shown_with_what_is_lacking() -> None:
    record = ask(says("Calcinosis cutis"), measured("Creatinine", 90, "umol/L"), born=SCHOOL_AGE).on_record
    assert [lab.said for lab in record.labs] == ["90 umol/L"]
    assert {each.concept: each.because for each in record.labs_unknown}["egfr"] == "what it is computed from is on record only in part"


def test_a_steroid_after_a_transplant_is_questioned_only_where_calciphylaxis_is_possible() -> None:
    record = says("Kidney transplant recipient"), drug("Prednisolone"), says("Calcinosis cutis")
    said = "Kidney transplant recipient (calciphylaxis)"
    assert said not in str(ask(*record).review)
    assert said in str(ask(*record, says("Calciphylaxis")).review)


def test_calcified_callus_is_no_calcium_of_soft_tissue() -> None:
    assert status(ask(says("Fracture of the radius"), film("Calcified callus."), born=SCHOOL_AGE), "dystrophic").rank < Status.POSSIBLE.rank


def test_education_does_not_confirm_calcinosis() -> None:
    answer = ask(
        says("Juvenile dermatomyositis"), letter("No calcinosis. I explained that calcinosis occurs in up to a third of children."), born=SCHOOL_AGE,
    )  # fmt: skip
    assert status(answer, "dystrophic").rank < Status.PROBABLE.rank
