"""A drug that the patient takes is named once for one reason; an order of it is still judged by every rule."""

from __future__ import annotations

from small_records import ask, code, drug, says

from calcinosis.knowledge import Knowledge

WARFARIN = drug("warfarin")
DIALYSIS = code("ICD10CM", "N18.6")
CALCIPHYLAXIS = says("painful necrotic ulcer of the thigh")


def test_warfarin_with_calciphylaxis_is_told_once_with_the_strongest_source() -> None:
    answer = ask(DIALYSIS, CALCIPHYLAXIS, WARFARIN)
    said = [(each.kind, each.key) for each in answer.review]
    assert ("review", "vitamin_k_antagonist_in_calciphylaxis") in said
    assert not {("unsafe", "calciphylaxis"), ("unsafe", "at_risk_of_calciphylaxis")} & set(said)
    assert ("unsafe", "skin_necrosis") in said  # another reason
    told = next(each for each in answer.review if each.key == "vitamin_k_antagonist_in_calciphylaxis")
    assert "warfarin_us_label" in [citation.key for citation in told.citations]


def test_warfarin_in_a_patient_at_risk_is_told_once() -> None:
    said = [(each.kind, each.key) for each in ask(DIALYSIS, WARFARIN).review]
    assert ("review", "vitamin_k_antagonist_at_high_risk") in said
    assert ("unsafe", "at_risk_of_calciphylaxis") not in said


def test_the_option_itself_stays_contraindicated(knowledge: Knowledge) -> None:
    rules = {rule.key: rule.verdict for rule in knowledge.treatments["warfarin_low_dose"].safety}
    assert rules["calciphylaxis"] == "contraindicated"
