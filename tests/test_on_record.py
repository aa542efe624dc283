"""The drugs and the latest results that a reader checks first."""

from __future__ import annotations

from datetime import timedelta

from small_records import LESION, ask, drug, film, lab, measured, says

from calcinosis.assessment import Assessment
from calcinosis.report.wording import at_hand


def standings(answer: Assessment) -> dict[str, str]:
    assert answer.on_record is not None
    return {each.fact.concept: each.standing for each in answer.on_record.drugs}


def lines(answer: Assessment) -> dict[str, list[str]]:
    assert answer.on_record is not None
    return dict(at_hand(answer.on_record))


def old(name: str, status: str) -> dict[str, object]:
    """An order of long before the lesion."""
    return {
        "resourceType": "MedicationRequest", "intent": "order", "status": status,
        "authoredOn": (LESION - timedelta(days=1000)).isoformat(), "medicationCodeableConcept": {"text": name},
    }  # fmt: skip


def test_what_is_taken_stands_apart_from_what_ended_and_from_what_nobody_knows() -> None:
    answer = ask(says("skin ulcer"), drug("prednisone"), old("warfarin", "active"), old("sevelamer", "stopped"), old("diltiazem", "unknown"))
    assert standings(answer) == {"warfarin": "taken", "prednisone": "taken", "diltiazem": "unclear", "sevelamer": "ended"}
    assert lines(answer)["Drugs taken"] == [f"Prednisone ({LESION})", f"Warfarin ({LESION - timedelta(days=1000)})"]


def test_a_drug_named_twice_is_told_once_by_the_entry_that_says_most() -> None:
    answer = ask(says("skin ulcer"), old("warfarin", "active"), old("warfarin", "active"), drug("warfarin 3 mg daily"))
    assert standings(answer) == {"warfarin": "taken"}


def test_a_record_without_drugs_does_not_say_that_none_is_taken() -> None:
    assert lines(ask(says("skin ulcer")))["Drugs taken"] == ["no drug on record, which is not to say that none is taken"]


def test_a_drug_that_is_denied_is_not_listed() -> None:
    assert standings(ask(says("skin ulcer"), film("Radiograph of the thigh. The patient never took warfarin."))) == {}


def test_latest_results_show_value_flag_and_day() -> None:
    answer = ask(says("skin ulcer"), measured("phosphate", 2.1, "mmol/L"), measured("phosphate", 1.2, "mmol/L", days_before=60), lab("PTH", "H"))
    assert lines(answer)["Latest results"] == [f"Phosphate (inorganic) 2.1 mmol/L (high), {LESION}", f"Parathyroid hormone, intact (high), {LESION}"]


def test_a_computed_result_shows_its_number_and_what_it_was_computed_from() -> None:
    answer = ask(says("skin ulcer"), measured("calcium", 10.1, "mg/dL"), measured("albumin", 3.1, "g/dL"), measured("creatinine", 2.1, "mg/dL"))
    told = "; ".join(lines(answer)["Latest results"])
    assert "10.8 mg/dL, adjusted for albumin from 10.1 mg/dL" in told
    assert "mL/min/1.73 m2, computed from creatinine 2.1 mg/dL" in told


def test_what_was_not_measured_lately_is_named_with_the_reason() -> None:
    answer = ask(says("skin ulcer"), measured("phosphate", 1.2, "mmol/L", days_before=400))
    assert "Phosphate (inorganic)" in lines(answer)["Measured outside the window, or without a usable result"]
    assert "Parathyroid hormone, intact" in lines(answer)["No result on record"]


def test_a_name_that_only_contains_a_drug_is_no_drug() -> None:
    assert standings(ask(says("skin ulcer"), film("Radiograph. Kidney stones (calcium oxalate), insulin resistance."))) == {}


def test_the_order_of_the_records_changes_nothing() -> None:
    drugs = [drug("prednisone"), drug("warfarin"), old("sevelamer", "stopped"), drug("calcitriol")]
    names = [[each.fact.label for each in record.drugs] for order in (drugs, drugs[::-1]) if (record := ask(says("ulcer"), *order).on_record)]
    assert names[0] == names[1]
