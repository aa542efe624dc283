"""Results that a report carries inside itself are read, wherever the report comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calcinosis.api import assess, batch_of, make_readers, read_batches

READERS = make_readers()
PATIENT = {"resourceType": "Patient", "id": "p"}


def report(*inside: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport", "id": "d", "status": "final", "code": {"text": "Biochemistry"}, "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-06-01", "result": [{"reference": "#o"}], "contained": list(inside),
    }  # fmt: skip


def result(name: str = "Calcium", **more: Any) -> dict[str, Any]:
    quantity = {"value": 14.9, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": name}, "valueQuantity": quantity, **more}


def test_a_contained_result_is_read_and_rings() -> None:
    answer = assess([PATIENT, report(result())], readers=READERS)
    assert [alarm.key for alarm in answer.alarms] == ["hypercalcaemia_emergency"]


@pytest.mark.parametrize("name", ["report.json", "report.ndjson"])
def test_it_is_read_from_files_as_in_process(name: str, tmp_path: Path) -> None:
    records = [PATIENT, report(result(), result("Phosphate", valueQuantity={"value": 1.4, "unit": "mmol/L"}))]
    lines = "".join(json.dumps(each) + "\n" for each in records)
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in records]})
    (tmp_path / name).write_text(bundle if name.endswith(".json") else lines, encoding="utf-8")
    (batch,) = read_batches([tmp_path], READERS)
    columns = ["concept", "numeric_value", "unit", "time", "certainty"]
    assert batch.events.select(columns).sort("concept").equals(batch_of(records, READERS).events.select(columns).sort("concept"))
    assert set(batch.events["concept"]) == {"calcium_total", "phosphate"}


@pytest.mark.parametrize("standing", ["entered-in-error", "cancelled"])
def test_one_that_was_withdrawn_is_not(standing: str) -> None:
    assert not assess([PATIENT, report(result(status=standing))], readers=READERS).alarms


def test_urine_inside_a_report_is_no_serum_either() -> None:
    assert not assess([PATIENT, report(result("Calcium, 24h urine"))], readers=READERS).alarms
    assert not assess([PATIENT, report(result(specimen={"display": "Urine"}))], readers=READERS).alarms


@pytest.mark.parametrize(
    "inside", [{}, {"resourceType": "Observation"}, {"resourceType": "Patient"}, result(valueQuantity="x"), result(code=7)]
)
def test_nonsense_inside_loses_no_report(inside: Any) -> None:
    batch = batch_of([PATIENT, report(inside)], READERS)
    assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected == 2
