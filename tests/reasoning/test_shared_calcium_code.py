"""A code that calciphylaxis shares with other disorders asks a question; it is no diagnosis, and it is never dropped."""

from __future__ import annotations

import pytest
from small_records import CALCIUM_AND_PHOSPHATE_NORMAL, Resource, ask, asked_for, code, drug, film, lab, says, status

from calcinosis.knowledge.criteria import Status

CODES = [code("ICD10CM", "E83.59"), code("ICD9CM", "275.49")]
QUESTION = "clarify_calcium_code"


@pytest.mark.parametrize("shared", CODES, ids=["ICD-10-CM", "ICD-9-CM"])
def test_the_code_alone_is_a_question_and_not_a_type(shared: Resource) -> None:
    answer = ask(shared)
    assert (answer.leading, answer.alarms) == (None, [])
    assert status(answer, "calciphylaxis") is Status.NOT_ASSESSED
    [question] = answer.workup
    assert question.test == QUESTION
    assert question.would_change and "calciphylaxis" in [outcome.leading for outcome in question.outcomes]


def test_what_speaks_for_it_is_shown_with_the_code() -> None:
    calciphylaxis = next(each for each in ask(CODES[0]).types if each.type == "calciphylaxis")
    assert any("code" in reason.label for reason in calciphylaxis.reasons)


WITH: dict[str, list[Resource]] = {
    "skin lesion": [says("erythema of the calf")],
    "ulcer": [says("skin ulcer")],
    "plaque": [says("indurated plaque of the thigh")],
    "biopsy": [{"resourceType": "Procedure", "status": "completed", "performedDateTime": "2024-06-01", "code": {"text": "skin biopsy"}}],
    "end-stage kidney disease": [code("ICD10CM", "N18.6")],
    "chronic kidney disease": [says("chronic kidney disease")],
    "reduced kidney function": [lab("eGFR", "L")],
    "warfarin": [drug("warfarin")],
    "sodium thiosulfate": [drug("sodium thiosulfate")],
    "obesity and diabetes": [says("obesity"), says("diabetes mellitus")],
}


@pytest.mark.parametrize("found", WITH.values(), ids=WITH)
def test_with_a_lesion_or_a_risk_setting_it_makes_calciphylaxis_possible(found: list[Resource]) -> None:
    answer = ask(CODES[0], *found)
    assert (answer.leading, answer.leading_status) == ("calciphylaxis", Status.POSSIBLE)
    assert "possible_early_calciphylaxis" in [alarm.key for alarm in answer.alarms]


ALONE: dict[str, list[Resource]] = {
    "obesity": [says("obesity")],
    "primary hyperparathyroidism": [says("primary hyperparathyroidism"), says("hypercalcaemia"), lab("Parathyroid hormone", "H")],
}


@pytest.mark.parametrize("found", ALONE.values(), ids=ALONE)
def test_one_common_factor_or_the_disorder_the_code_names_leaves_it_a_question(found: list[Resource]) -> None:
    answer = ask(CODES[0], *found)
    assert status(answer, "calciphylaxis") is Status.NOT_ASSESSED
    assert QUESTION in asked_for(answer)


def test_deposits_of_a_known_disease_are_not_doubted_for_the_code() -> None:
    answer = ask(CODES[0], code("ICD10CM", "L94.2"), says("systemic sclerosis"), says("nodules of the fingers"))
    assert answer.leading == "dystrophic"
    assert status(answer, "calciphylaxis") is Status.UNLIKELY


def test_the_word_beside_the_code_is_the_diagnosis() -> None:
    stated = code("ICD10CM", "E83.59")
    stated["code"]["text"] = "Calciphylaxis"
    assert status(ask(stated), "calciphylaxis") is Status.PROBABLE
    assert status(ask(CODES[0], says("calciphylaxis", provisional=True)), "calciphylaxis") is Status.POSSIBLE


@pytest.mark.parametrize("shared", CODES, ids=["ICD-10-CM", "ICD-9-CM"])
def test_nothing_excludes_calciphylaxis_beside_the_code(shared: Resource) -> None:
    normal = [*CALCIUM_AND_PHOSPHATE_NORMAL, lab("Parathyroid hormone", "N"), lab("Creatinine", "N"), lab("Albumin", "N")]
    healthy = [says("skin lesion", refuted=True), says("pain", refuted=True), says("chronic kidney disease", refuted=True)]
    for record in (normal, healthy, [*normal, *healthy], [*normal, film("No calcification.")]):
        assert status(ask(shared, *record), "calciphylaxis") is not Status.EXCLUDED


def test_the_question_is_closed_once_the_skin_was_examined() -> None:
    assert QUESTION not in asked_for(ask(CODES[0], says("skin lesion", refuted=True)))
