"""What speaks against an order, and that records assessed together are answered as one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hand_made import CASES

from calcinosis.api import make_readers
from calcinosis.assessment import assess_batch, assess_together
from calcinosis.events import Batch
from calcinosis.orders import check_orders
from calcinosis.sources.fhir import read_resources

SUBJECT = {"subject": {"reference": "Patient/p"}}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "p", "birthDate": "1960-01-01", "gender": "female"}


def read(*resources: dict[str, Any]) -> Batch:
    readers = make_readers()
    return read_resources([PATIENT, *resources], readers.index, readers.text)


def drug(text: str) -> dict[str, Any]:
    return {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "medicationCodeableConcept": {"text": text}, **SUBJECT}


def keys(record: Batch, *ordered: str, selected: tuple[str, ...] | None = None) -> dict[str, set[str]]:
    orders = {name: read(drug(name)) for name in ordered}
    found = check_orders(record, orders, selected or ordered, make_readers().knowledge)
    return {name: {issue.key for issue in each.issues} for name, each in found.items()}


def test_the_rule_may_stand_on_either_side() -> None:
    assert "diltiazem_verapamil" in keys(read(drug("diltiazem")), "colchicine")["colchicine"]
    assert "diltiazem_verapamil" in keys(read(drug("colchicine")), "diltiazem")["diltiazem"]


def test_what_holds_without_the_order_is_not_blamed_on_it() -> None:
    record = read(drug("diltiazem"), drug("colchicine"))
    assert keys(record, "paracetamol") == {"paracetamol": set()}
    assert keys(record, "lisinopril") == {"lisinopril": set()}


def test_ordering_again_what_the_patient_has_is_still_checked() -> None:
    assert "diltiazem_verapamil" in keys(read(drug("diltiazem"), drug("colchicine")), "colchicine")["colchicine"]


def test_drafts_are_checked_against_each_other_but_only_selected_ones_are_told() -> None:
    both = keys(read(), "colchicine", "diltiazem")
    assert both["colchicine"] and both["diltiazem"]
    assert set(keys(read(), "colchicine", "diltiazem", selected=("diltiazem",))) == {"diltiazem"}


def test_an_order_changes_nothing_in_the_record() -> None:
    record = read(drug("diltiazem"))
    before = record.events.clone()
    keys(record, "colchicine")
    assert record.events.equals(before)


def test_contraindications_that_cannot_be_checked_are_named() -> None:
    found = check_orders(read(), {"a": read(drug("alendronate"))}, ["a"], make_readers().knowledge)["a"]
    assert found.labels == ("Alendronate",) and not found.issues and "Low calcium" in found.not_checked


@pytest.mark.parametrize("size", [2, 7])
def test_together_is_as_one_by_one(size: int) -> None:
    readers = make_readers()
    records = [json.loads(path.read_bytes()) for path in sorted((CASES / "bundles").glob("*.json"))[: 3 * size]]
    batches = [read_resources([record], readers.index, readers.text) for record in records]
    alone = [assess_batch(batch, readers.knowledge)[0] for batch in batches]
    together = [answer for start in range(0, len(batches), size) for answer in assess_together(batches[start : start + size], readers.knowledge)]
    assert together == alone


def test_brief_leaves_out_options_and_missing_and_nothing_else() -> None:
    record = read_resources([json.loads((CASES / "bundles" / "b090.json").read_bytes())], make_readers().index, make_readers().text)
    (brief,) = assess_together([record], make_readers().knowledge, brief=True)
    (full,) = assess_together([record], make_readers().knowledge)
    assert full.options and any(each.missing for each in full.types)
    types = [each.model_copy(update={"missing": []}) for each in full.types]
    assert brief == full.model_copy(update={"options": [], "types": types})


def test_together_refuses_a_record_of_two() -> None:
    two = read(PATIENT | {"id": "q"})
    with pytest.raises(ValueError, match="one patient"):
        assess_together([read(), two], make_readers().knowledge)
