"""Hypercalcaemia in a list of problems, and calcium that was measured: the value of the time of the lesion says what the calcium is."""

from __future__ import annotations

import pytest
from small_records import CALCIUM_AND_PHOSPHATE_NORMAL, CALCIUM_SHOWN, Resource, ask, code, lab, measured, says, status

from calcinosis.knowledge.criteria import Status

SCLERODERMA = says("Systemic sclerosis")
WORDS = {"now": says("hypercalcemia"), "once": says("history of hypercalcemia"), "phosphate": says("hyperphosphatemia")}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_normal_values_leave_the_word_possible_and_the_disease_leads(word: Resource) -> None:
    answer = ask(SCLERODERMA, word, CALCIUM_SHOWN, *CALCIUM_AND_PHOSPHATE_NORMAL)
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.CONFIRMED)
    assert status(answer, "metastatic") is Status.POSSIBLE  # what was corrected may have left deposits


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_without_a_measurement_the_word_counts_in_full(word: Resource) -> None:
    assert status(ask(SCLERODERMA, word, CALCIUM_SHOWN), "metastatic") is Status.PROBABLE


def test_the_value_of_another_analyte_does_not_contradict_the_word() -> None:
    assert status(ask(says("hypercalcemia"), CALCIUM_SHOWN, lab("Phosphate", "N")), "metastatic") is Status.PROBABLE


def test_a_value_of_another_year_does_not_contradict_the_word() -> None:
    old = [lab("Calcium", "N", days_before=400), lab("Phosphate", "N", days_before=400)]
    assert status(ask(says("hypercalcemia"), CALCIUM_SHOWN, *old), "metastatic") is Status.PROBABLE


OTHERS: dict[str, Resource] = {
    "hormone": lab("Parathyroid hormone", "H"),
    "kidney failure": code("ICD10CM", "N18.6"),
    "kidney function": lab("eGFR", "L"),
    "parathyroid": says("Primary hyperparathyroidism"),
    "vitamin D": says("vitamin D intoxication"),
    "product": measured("calcium phosphate product", 60, "mg2/dL2"),
    "another day": lab("Calcium", "H", days_before=30),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_word_counts_in_full_where_something_else_speaks_for_it(other: Resource) -> None:
    answer = ask(SCLERODERMA, says("hypercalcemia"), CALCIUM_SHOWN, *CALCIUM_AND_PHOSPHATE_NORMAL, other)
    assert status(answer, "metastatic") is Status.PROBABLE


def test_a_noted_disorder_is_never_excluded_by_one_normal_day() -> None:
    everything = [*CALCIUM_AND_PHOSPHATE_NORMAL, lab("Parathyroid hormone", "N"), lab("Creatinine", "N")]
    assert status(ask(says("hypercalcemia"), CALCIUM_SHOWN, *everything), "metastatic") is Status.POSSIBLE


@pytest.mark.parametrize("normal", [(), CALCIUM_AND_PHOSPHATE_NORMAL], ids=["unknown", "normal"])
def test_calciphylaxis_stands_whatever_the_values(normal: tuple[Resource, ...]) -> None:
    lesion = [says("painful necrotic ulcer", at="thigh"), says("end-stage renal disease on haemodialysis"), says("hypercalcemia")]
    answer = ask(*lesion, *normal)
    assert (answer.leading, answer.leading_status) == ("calciphylaxis", Status.PROBABLE)
    assert answer.alarms


# --- numbers without the laboratory's own interval

BORN = {"adult": "1970-01-01", "girl of 13": "2011-02-01", "infant": "2024-01-01", "nobody knows when": None}


@pytest.mark.parametrize("born", BORN.values(), ids=BORN)
def test_a_clearly_high_calcium_counts_at_any_age(born: str | None) -> None:
    answer = ask(CALCIUM_SHOWN, measured("Calcium", 12.4, "mg/dL"), born=born)
    assert (answer.leading, answer.leading_status) == ("metastatic", Status.PROBABLE)


@pytest.mark.parametrize("born", BORN.values(), ids=BORN)
def test_clearly_normal_values_count_at_any_age(born: str | None) -> None:
    values = [measured("Calcium", 9.6, "mg/dL"), measured("Phosphate", 1.4 if born != BORN["infant"] else 1.6, "mmol/L")]
    assert status(ask(SCLERODERMA, CALCIUM_SHOWN, *values, born=born), "dystrophic") is Status.CONFIRMED


def test_the_reason_says_that_the_age_was_not_known() -> None:
    answer = ask(CALCIUM_SHOWN, measured("Calcium", 12.4, "mg/dL"), born=None)
    metastatic = next(each for each in answer.types if each.type == "metastatic")
    told = [fact.said for reason in metastatic.reasons for fact in reason.facts if fact.concept == "calcium_adjusted"]
    assert told
    assert set(told) == {"12.4 mg/dL, total, not adjusted for albumin, judged without the age, which is not known"}


def test_a_value_that_the_age_would_decide_stays_unknown_and_says_so() -> None:
    answer = ask(CALCIUM_SHOWN, measured("Calcium", 2.65, "mmol/L"), born=None)
    metastatic = next(each for each in answer.types if each.type == "metastatic")
    assert metastatic.status.rank < Status.POSSIBLE.rank
    because = {unknown.because for missing in metastatic.missing for unknown in missing.unknown if unknown.concept == "calcium_adjusted"}
    assert because == {"measured, but no interval for the age and sex decides, or these are not known"}
    assert status(ask(CALCIUM_SHOWN, measured("Calcium", 2.65, "mmol/L")), "metastatic") is Status.PROBABLE
