"""One entry of the record is told by what it says most exactly."""

from __future__ import annotations

from small_records import ask, letter, says

from calcinosis.report.wording import evidence


def told(text: str) -> list[tuple[str, ...]]:
    answer = ask(says("End stage renal disease on haemodialysis"), letter(text))
    return [each.labels for alarm in answer.alarms for each in evidence(alarm.facts)]


def test_an_eschar_is_not_also_told_as_a_skin_lesion() -> None:
    labels = [set(each) for each in told("Painful eschar of the thigh.")]
    assert any("Eschar" in each for each in labels)
    assert not any("Skin or soft-tissue lesion" in each for each in labels)


def test_dialysis_is_told_once_and_not_with_all_that_it_implies() -> None:
    labels = told("Painful eschar of the thigh.")
    assert ("Chronic kidney disease, any stage",) not in labels
    assert all(len(each) <= 3 for each in labels)


def test_what_is_denied_at_large_is_told_at_large() -> None:
    labels = [set(each) for each in told("Painful livedo racemosa of the thighs. No ulcers.")]
    assert not any("Digital ulcer" in each and "Skin ulcer" in each for each in labels)
