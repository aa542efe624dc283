"""What speaks against a treatment is seen however the record says it: allergies, reactions, codes, counts, ejection fraction."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import ask, code, drug, says

from calcinosis.contract import OptionOut
from calcinosis.knowledge import Knowledge

CALCINOSIS: list[dict[str, Any]] = [says("dermatomyositis"), says("calcinosis cutis of the elbows")]


def option(treatment: str, *record: dict[str, Any]) -> OptionOut:
    return next(each for each in ask(*CALCINOSIS, *record).options if each.treatment == treatment)


def contraindicated(treatment: str, *record: dict[str, Any]) -> bool:
    return option(treatment, *record).order.contraindicated


def allergy(text: str | None = None, *, status: str = "active", coding: dict[str, str] | None = None) -> dict[str, Any]:
    concept: dict[str, Any] = {"text": text} if text else {}
    if coding:
        concept["coding"] = [coding]
    return {"resourceType": "AllergyIntolerance", "clinicalStatus": {"coding": [{"code": status}]}, "code": concept}


def test_every_drug_has_a_rule_on_allergy(knowledge: Knowledge) -> None:
    without = [
        each.key
        for each in knowledge.treatments.values()
        if each.kind == "drug" and each.concepts and not any("allerg" in str(rule.when) for rule in each.safety)
    ]
    assert not without


@pytest.mark.parametrize("name", ["Rituximab", "MabThera"])
def test_an_allergy_in_the_list_contraindicates(name: str) -> None:
    assert contraindicated("rituximab", allergy(name)) and not contraindicated("methotrexate", allergy(name))


def test_an_allergy_by_code_alone_contraindicates() -> None:
    diltiazem = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "3443"}
    assert contraindicated("diltiazem", allergy(coding=diltiazem))


@pytest.mark.parametrize("text", ["Anaphylaxis due to rituximab", "Allergy to rituximab", "Rituximab infusion reaction"])
def test_a_reaction_on_the_problem_list_contraindicates_and_is_no_treatment(text: str) -> None:
    found = option("rituximab", says(text))
    assert found.order.contraindicated and found.current is not True


@pytest.mark.parametrize(
    ("text", "treatment"), [("Methotrexate pneumonitis", "methotrexate"), ("Colchicine toxicity", "colchicine"), ("Liver injury due to bosentan", "bosentan")]
)  # fmt: skip
def test_harm_by_a_drug_does_not_say_that_it_is_taken(text: str, treatment: str) -> None:
    assert option(treatment, says(text)).current is not True


def test_an_allergy_denied_or_no_longer_active_contraindicates_nothing() -> None:
    assert not contraindicated("rituximab", says("no allergy to rituximab"))
    assert not contraindicated("diltiazem", allergy("Diltiazem", status="inactive"))


def test_a_drug_being_taken_is_no_allergy() -> None:
    found = option("rituximab", drug("rituximab"))
    assert found.current and not found.order.contraindicated


@pytest.mark.parametrize("icd", ["I44.1", "I44.2"])
def test_a_high_degree_block_by_code_contraindicates_diltiazem(icd: str) -> None:
    assert contraindicated("diltiazem", code("ICD10CM", icd)) and not contraindicated("diltiazem", code("ICD10CM", "I44.0"))


def observed(loinc: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2024-06-01", "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }  # fmt: skip


def test_a_low_ejection_fraction_contraindicates_diltiazem_and_a_normal_one_does_not() -> None:
    assert contraindicated("diltiazem", observed("10230-1", 25, "%"))
    assert contraindicated("diltiazem", code("ICD10CM", "I50.22"))
    assert not contraindicated("diltiazem", observed("10230-1", 60, "%"))


@pytest.mark.parametrize("loinc", ["777-3"])
def test_a_very_low_count_without_an_interval_is_a_caution(loinc: str) -> None:
    def cautions(value: float) -> set[str]:
        return {rule.rule for rule in option("azathioprine", observed(loinc, value, "10*9/L")).safety}

    assert "low_counts" in cautions(30) and "low_counts" not in cautions(250)


def test_kidney_failure_measured_or_by_dialysis_excludes_minocycline() -> None:
    assert contraindicated("minocycline", observed("33914-3", 8, "mL/min/{1.73_m2}"))
    assert contraindicated("minocycline", says("peritoneal dialysis"))
    assert not contraindicated("minocycline", observed("33914-3", 80, "mL/min/{1.73_m2}"))


def test_the_warfarin_that_apixaban_would_replace_is_a_caution() -> None:
    answer = ask(code("ICD10CM", "N18.6"), says("painful necrotic ulcer of the thigh"), drug("warfarin"))
    found = next(each for each in answer.options if each.treatment == "apixaban")
    assert not found.order.contraindicated and "replaces_vitamin_k_antagonist" in {rule.rule for rule in found.safety}


def test_kidney_failure_without_a_word_on_dialysis_is_not_called_without_dialysis() -> None:
    answer = ask(code("ICD10CM", "N18.6"), says("painful necrotic ulcer of the thigh"))
    found = next(each for each in answer.options if each.treatment == "cinacalcet")
    assert not found.order.contraindicated


def test_a_use_in_another_disease_does_not_decide_the_stance() -> None:
    assert option("corticosteroid_systemic").stance == "against"  # the option was in juvenile dermatomyositis
