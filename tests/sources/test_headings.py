"""Headings on lines of their own, and the lists below them."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text


def said(text: str) -> dict[str, str]:
    return {each.concept: each.certainty for each in READER.read(text, Context.NOTE).mentions}


@pytest.mark.parametrize(
    "heading",
    ["Family history:", "FAMILY HISTORY", "# Family History", "**Family history**", "Family Hx", "FH:", "Family history\n--------------", "Family history:\n"],
)
def test_a_list_of_relatives_diseases_is_not_the_patients(heading: str) -> None:
    found = said(f"Seen with livedo racemosa.\n\n{heading}\n- scleroderma\n- lupus (SLE)\n\nMedications:\n- warfarin")
    assert (found["systemic_sclerosis"], found["systemic_lupus_erythematosus"]) == ("family", "family")
    assert (found["livedo_racemosa"], found["warfarin"]) == ("affirmed", "affirmed")


@pytest.mark.parametrize(
    "text",
    [
        "Family history: nil of note.\nCalciphylaxis was confirmed on biopsy.",
        "Family history\nNil\nCalciphylaxis was confirmed on biopsy.",
        "Family history:\nNone known.\nCalciphylaxis, biopsy proven.",
        "Family history:\n- mother: lupus\nShe has calciphylaxis.",
        "Family history:\n- mother: lupus\nExamination: calciphylaxis of the thigh.",
        "Family history:\n- mother: lupus\nEXAMINATION\ncalciphylaxis of the thigh",
        "Family history:\n- mother: lupus\n\nCalciphylaxis of the thigh.",
        "Family history: mother lupus\nDiagnosis: calciphylaxis",
        "Family history: mother lupus\nCalciphylaxis of the thigh since May.",
        "Allergies:\nNKDA\nCalciphylaxis of the thigh since May.",
        "Differential diagnosis:\n1. vasculitis\n\nFinal diagnosis: calciphylaxis",
    ],
)
def test_the_patients_own_disease_below_a_list_stays_his(text: str) -> None:
    assert said(text)["calciphylaxis"] == "affirmed"


def test_a_list_that_begins_behind_its_heading_goes_on_in_items() -> None:
    found = said("FH: mother scleroderma\n    - dermatomyositis (sister)\n    - lupus\nSkin: ulcers")
    assert (found["systemic_sclerosis"], found["dermatomyositis"], found["lupus_erythematosus"]) == ("family", "family", "family")
    assert found["skin_ulcer"] == "affirmed"


@pytest.mark.parametrize("line", ["Black eschar of the left thigh", "painful livedo racemosa"])
def test_a_sign_below_a_family_history_is_not_lost(line: str) -> None:
    found = said(f"Family history:\n- Mother: SLE\n- lupus\n{line}")
    assert found["systemic_lupus_erythematosus"] == "family"
    assert "affirmed" in (found.get("eschar"), found.get("livedo_racemosa"))


def test_a_relatives_sign_is_the_relatives() -> None:
    assert said("Family history:\n- Father: gangrene\n\nExamination: livedo racemosa")["gangrene"] == "family"


def test_what_somebody_is_allergic_to_is_not_taken() -> None:
    assert "warfarin" not in said("Allergies:\n- warfarin (rash)\n- penicillin\n\nMedications:\n- apixaban")
    assert said("Allergies:\n- penicillin\n\nMedications:\n- warfarin")["warfarin"] == "affirmed"


def test_a_listed_differential_diagnosis_is_not_certain() -> None:
    found = said("Differential diagnosis:\n1. Calciphylaxis\n2. Vasculitis\n\nPlan\nBiopsy")
    assert (found["calciphylaxis"], found["vasculitis"]) == ("uncertain", "uncertain")


def test_drugs_under_stopped_have_ended() -> None:
    ended = {each.concept: each.ended for each in READER.read("Medications stopped:\n- warfarin 3 mg\n\nContinue:\n- apixaban", Context.NOTE).mentions}
    assert (ended["warfarin"], ended["apixaban"]) == (True, False)


def test_a_relatives_values_are_not_the_patients() -> None:
    reading = READER.read("Family history:\nSister: calcium 3.1 mmol/L\n\nResults:\nPhosphate 2.4 mmol/L", Context.NOTE)
    assert [value.concept for value in reading.values] == ["phosphate"]


@pytest.mark.parametrize(
    ("heading", "certainty"),
    [
        ("DDx listed for the request form:", "uncertain"), ("Differential for the arm (before biopsy):", "uncertain"), ("Considered and dismissed:", "negated"),
        ("Rejected alternatives:", "negated"), ("Re-refer if:", None), ("Advice sheet:", None), ("Problems:", "affirmed"), ("Discharge diagnoses:", "affirmed"),
        ("Family of dressings used:", "affirmed"), ("Teaching hospital diagnoses:", "affirmed"),
    ],
)  # fmt: skip
def test_a_heading_is_known_by_its_first_words(heading: str, certainty: str | None) -> None:
    assert said(f"{heading}\nSquamous carcinoma\nCalciphylaxis of the thigh\n\nPlan:\nDressings").get("calciphylaxis") == certainty


def test_drugs_only_discussed_are_not_taken() -> None:
    found = said("Drugs discussed, not started:\nDiltiazem\nSodium thiosulfate (topical)\n\nCurrent treatment:\nwarfarin")
    assert "diltiazem" not in found and "sodium_thiosulfate" not in found
    assert found["warfarin"] == "affirmed"
