"""What a dermatologist who did not know the program found wrong about drugs, each with its counterpart."""

from __future__ import annotations

import pytest
from small_records import ask, drug, lab, says

from calcinosis.contract import Assessment

NECROSIS = (says("Necrotic painful ulcer", at="breast"), says("End-stage renal disease on haemodialysis"))
ALL_THREE = tuple(lab(name, "POS") for name in ("Lupus anticoagulant", "Anticardiolipin antibodies", "Anti-beta-2-glycoprotein I"))
APS = says("Antiphospholipid syndrome")
CALCINOSIS = (says("Systemic lupus erythematosus"), says("Calcinosis cutis", at="thigh"))


def warnings(answer: Assessment, treatment: str) -> dict[str, str]:
    found = next((each for each in answer.options if each.treatment == treatment), None)
    return {each.rule: each.verdict for each in found.safety} if found else {}


def alarm_urgencies(answer: Assessment) -> dict[str, str]:
    return {alarm.key: alarm.urgency for alarm in answer.alarms}



def test_skin_necrosis_from_a_vitamin_k_antagonist_has_an_alarm_of_its_own() -> None:
    necrosis = (says("Warfarin-induced skin necrosis", at="breast"), says("skin necrosis", at="breast"))
    assert alarm_urgencies(ask(*necrosis, drug("Warfarin")))["warfarin_skin_necrosis"] == "immediate"
    doubted = (says("Warfarin-induced skin necrosis", provisional=True), says("skin necrosis", at="breast"), drug("Warfarin"))
    assert "warfarin_skin_necrosis" not in alarm_urgencies(ask(*doubted))
    assert "warfarin_skin_necrosis" not in alarm_urgencies(ask(*NECROSIS, drug("Warfarin")))


def test_apixaban_is_contraindicated_in_antiphospholipid_syndrome_with_a_thrombosis_or_three_antibodies() -> None:
    for proof in ((says("Deep vein thrombosis"),), (says("Triple positive antiphospholipid antibodies"),), ALL_THREE):
        found = warnings(ask(*NECROSIS, APS, *proof), "apixaban")
        assert found["thrombotic_antiphospholipid_syndrome"] == "contraindicated"
        assert "antiphospholipid_syndrome" not in found
    found = warnings(ask(*NECROSIS, APS, ALL_THREE[0]), "apixaban")
    assert "thrombotic_antiphospholipid_syndrome" not in found
    assert found["antiphospholipid_syndrome"] == "caution"
    assert "thrombotic_antiphospholipid_syndrome" not in warnings(ask(*NECROSIS, says("Deep vein thrombosis")), "apixaban")


@pytest.mark.parametrize("words", ["She wishes to conceive", "Planning pregnancy", "Trying to conceive", "TTC"])
def test_a_wished_pregnancy_stands_against_mycophenolate(words: str) -> None:
    answer = ask(*CALCINOSIS, drug("Mycophenolate mofetil"), says(words))
    assert "pregnancy_planned" in {each.key for each in answer.review}
    quiet = ask(*CALCINOSIS, drug("Mycophenolate mofetil"), says(words, refuted=True))
    assert "pregnancy_planned" not in {each.key for each in quiet.review}
    assert "pregnancy_planned" not in {each.key for each in ask(*CALCINOSIS, drug("Hydroxychloroquine"), says(words)).review}


@pytest.mark.parametrize(
    ("name", "sex", "told"),
    [("Methotrexate", "female", True), ("Methotrexate", "male", True), ("Cyclophosphamide", "male", True), ("Bosentan", "female", True),
     ("Mycophenolate mofetil", "male", False), ("Azathioprine", "female", False)],
)  # fmt: skip
def test_which_drugs_a_wished_pregnancy_stands_against(name: str, sex: str, told: bool) -> None:
    answer = ask(*CALCINOSIS, drug(name), says("Trying to conceive"), sex=sex)
    assert ("pregnancy_planned" in {each.key for each in answer.review}) is told
