"""What was measured in urine, ascites or a drain is no result of blood, and nothing about it is lost silently."""

from __future__ import annotations

from typing import Any

import pytest

from calcinosis.api import batch_of, make_readers

READERS = make_readers()


def observation(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-06-01", "valueQuantity": {"value": 15.2, "unit": "mg/dL"}, **more,
    }  # fmt: skip


def read(**more: Any) -> tuple[set[str], list[str], dict[str, int]]:
    batch = batch_of([{"resourceType": "Patient", "id": "p"}, observation(**more)], READERS)
    return set(batch.events["concept"]), batch.unmapped["text"].to_list(), batch.not_read


@pytest.mark.parametrize(
    "name",
    [
        "Calcium, 24h urine", "Calcium, 24 Hr Ur", "24 hr Calcium", "Calcium, Body Fluid", "Calcium [Mass/volume] in 24 hour Urine", "Calcium synovial fluid",
        "stool calcium", "U/A calcium", "Calcium mg/24h", "Calcium in Dialysis fluid", "Albumin, Ascites", "albumin, CSF", "Albumin, pleural", "Creatinine, Body Fluid", "Creatinine 24 hr U",
        "Creatinine [Mass/volume] in Peritoneal fluid", "Phosphate 24h", "Calcium (24h)",
    ],
)  # fmt: skip
def test_a_name_of_another_specimen_is_no_result_of_blood(name: str) -> None:
    concepts, unmapped, _ = read(code={"text": name})
    assert not concepts & {"calcium_total", "albumin", "creatinine", "phosphate"}
    assert unmapped == [name]


@pytest.mark.parametrize(
    ("name", "concept"),
    [
        ("Calcium", "calcium_total"), ("Calcium [Mass/volume] in Serum or Plasma", "calcium_total"), ("Calcium, venous", "calcium_total"),
        ("Calcium, EDTA plasma", "calcium_total"),
        ("ALP (U/L)", "alkaline_phosphatase"),
        ("Creatine kinase [IU/L]", "creatine_kinase"),
        ("U&E creatinine", "creatinine"),
        ("PTH (pg/mL)", "pth_intact"), ("Calcium, Urine", "urine_calcium"), ("U-Calcium", "urine_calcium"), ("Urine Creatinine", "urine_creatinine"),
        ("Creatinine clearance 24h", "creatinine_clearance"), ("Albumin/Creatinine ratio, urine", "urine_albumin"), ("Dialysate calcium", "dialysate_calcium"),
    ],
)  # fmt: skip
def test_names_of_blood_and_of_urine_proper_are_read(name: str, concept: str) -> None:
    assert read(code={"text": name})[0] == {concept}


def test_the_specimen_says_so_too() -> None:
    assert read(code={"text": "Calcium"}, specimen={"display": "Urine"}) == (set(), [], {"result of another specimen than blood": 1})
    loinc = {"coding": [{"system": "http://loinc.org", "code": "17861-6"}]}
    assert read(code=loinc, specimen={"display": "Drain fluid"})[0] == set()
    assert read(code={"text": "Calcium"}, specimen={"display": "Venous blood"})[0] == {"calcium_total"}
    assert read(code={"text": "Calcium"}, specimen={"reference": "Specimen/1"})[0] == {"calcium_total"}


def test_a_range_as_result_is_counted() -> None:
    resource = {**observation(code={"text": "Calcium"}), "valueRange": {"low": {"value": 14}, "high": {"value": 16}}}
    resource.pop("valueQuantity")
    assert batch_of([{"resourceType": "Patient", "id": "p"}, resource], READERS).not_read == {"result that is a range": 1}


@pytest.mark.parametrize(("value", "number"), [("12,5 pg/mL", 12.5), ("1,250 pg/mL", None), ("12.5 pg/mL", 12.5)])
def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(value: str, number: float | None) -> None:
    resource = {**observation(code={"text": "PTH"}), "valueString": value}
    resource.pop("valueQuantity")
    batch = batch_of([{"resourceType": "Patient", "id": "p"}, resource], READERS)
    assert batch.events["numeric_value"].to_list() == [number]
