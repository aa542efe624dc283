"""Deposits of a disordered metabolism that no report names: the code and the chemistry say enough."""

from __future__ import annotations

import pytest
from small_records import CALCIUM_AND_PHOSPHATE_NORMAL, LESION, Resource, ask, code, lab, says, status

from calcinosis.knowledge.criteria import Status

STATED = {"calcinosis cutis": code("ICD10CM", "L94.2"), "calcification of muscle": code("ICD10CM", "M61.40")}
LEFT_OPEN = {
    "other disorder of calcium": code("ICD10CM", "E83.59"),
    "pathologic calcification": code("SNOMED", "18115005"),
    "calcification on film": code("SNOMED", "129748009"),
}
PRODUCT = {
    "resourceType": "Observation", "status": "final", "effectiveDateTime": LESION.isoformat(), "code": {"text": "calcium phosphate product"},
    "valueQuantity": {"value": 78, "unit": "mg2/dL2"},
}  # fmt: skip
DERANGED: dict[str, Resource] = {"phosphate": lab("Phosphate", "H"), "calcium": lab("Ionised calcium", "H"), "product": PRODUCT}


@pytest.mark.parametrize("deranged", DERANGED.values(), ids=DERANGED)
@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_a_code_for_calcification_with_high_values_makes_it_probable(stated: Resource, deranged: Resource) -> None:
    answer = ask(stated, deranged)
    assert (answer.leading, answer.leading_status, answer.provisional) == ("metastatic", Status.PROBABLE, False)


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
def test_a_recorded_disorder_that_explains_the_values_confirms_it(stated: Resource) -> None:
    answer = ask(stated, lab("Phosphate", "H"), code("ICD10CM", "N25.81"))
    assert (answer.leading, answer.leading_status) == ("metastatic", Status.CONFIRMED)


@pytest.mark.parametrize("deranged", DERANGED.values(), ids=DERANGED)
@pytest.mark.parametrize("left_open", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_a_code_that_leaves_the_tissue_open_makes_it_possible(left_open: Resource, deranged: Resource) -> None:
    answer = ask(left_open, deranged)
    assert (answer.leading, answer.leading_status, answer.provisional) == ("metastatic", Status.POSSIBLE, True)


@pytest.mark.parametrize("left_open", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_without_high_values_such_a_code_names_no_type(left_open: Resource) -> None:
    assert ask(left_open).leading is None
    assert status(ask(left_open, *CALCIUM_AND_PHOSPHATE_NORMAL), "metastatic").rank < Status.POSSIBLE.rank


def test_on_dialysis_such_a_code_keeps_both_open_and_the_more_urgent_leads() -> None:
    answer = ask(LEFT_OPEN["other disorder of calcium"], lab("Phosphate", "H"), code("ICD10CM", "N18.6"))
    assert (answer.leading, status(answer, "metastatic")) == ("calciphylaxis", Status.POSSIBLE)


CLUES: dict[str, Resource] = {
    "hormone": lab("Parathyroid hormone", "H"),
    "kidney": lab("eGFR", "L"),
    "phosphate of last year": lab("Phosphate", "H", days_before=300),
    "calcium of last year": lab("Ionised calcium", "H", days_before=300),
}


@pytest.mark.parametrize("clue", CLUES.values(), ids=CLUES)
def test_an_abnormal_hormone_kidney_or_earlier_value_makes_it_possible(clue: Resource) -> None:
    answer = ask(STATED["calcinosis cutis"], clue)
    assert (answer.leading, answer.leading_status) == ("metastatic", Status.POSSIBLE)


@pytest.mark.parametrize("clue", CLUES.values(), ids=CLUES)
def test_normal_calcium_and_phosphate_at_the_lesion_outweigh_such_a_clue_but_do_not_exclude(clue: Resource) -> None:
    normal = [*CALCIUM_AND_PHOSPHATE_NORMAL, lab("Parathyroid hormone", "N"), lab("Creatinine", "N")]
    measured = [each for each in normal if each["code"] != clue["code"] or each["effectiveDateTime"] != clue["effectiveDateTime"]]
    assert status(ask(STATED["calcinosis cutis"], clue, *measured), "metastatic") is Status.UNLIKELY
    assert status(ask(STATED["calcinosis cutis"], *normal), "metastatic") is Status.EXCLUDED


def test_a_connective_tissue_disease_with_reduced_kidney_function_is_not_called_dystrophic_alone() -> None:
    answer = ask(STATED["calcinosis cutis"], says("systemic sclerosis"), lab("eGFR", "L"))
    assert answer.leading == "dystrophic"
    assert status(answer, "metastatic") is Status.POSSIBLE
