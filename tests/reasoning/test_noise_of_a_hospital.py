"""Pairs that every hospital's records hold and that mean nothing together, each with the picture that must still be seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calcinosis import assess
from calcinosis.contract import Assessment


def condition(text: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition", "code": {"text": text}, "onsetDateTime": "2024-04-01",
        "verificationStatus": {"coding": [{"code": "confirmed"}]}, **more,
    }  # fmt: skip


def given(text: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationAdministration", "status": "completed", "effectiveDateTime": "2024-04-02",
        "medicationCodeableConcept": {"text": text}, "dosage": {"route": {"text": "intravenous"}},
    }  # fmt: skip


def answer(tmp_path: Path, *resources: dict[str, Any]) -> Assessment:
    entries = [{"resource": {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960-01-01"}}]
    entries += [{"resource": {**each, "id": f"r{n}", "subject": {"reference": "Patient/p"}}} for n, each in enumerate(resources)]
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}), encoding="utf-8")
    return assess(path)


def status(found: Assessment, type_: str) -> str:
    return next(each.status.value for each in found.types if each.type == type_)


CALCIUM = given("calcium gluconate 10 % injection")


def test_a_bruise_beside_intravenous_calcium_is_no_iatrogenic_calcification(tmp_path: Path) -> None:
    assert answer(tmp_path, condition("Haematoma of the arm"), CALCIUM).leading is None
    firm = answer(tmp_path, condition("Firm swollen red plaque of the forearm"), CALCIUM)
    assert status(firm, "iatrogenic") in ("possible", "probable")


def test_a_cut_beside_a_colitis_is_no_pyoderma(tmp_path: Path) -> None:
    colitis = condition("Ulcerative colitis")
    assert answer(tmp_path, condition("Open wound of hand"), colitis).leading is None
    assert answer(tmp_path, condition("Bullet wound"), colitis).leading is None
    painful = answer(tmp_path, condition("Painful ulcer of the lower leg"), colitis)
    assert "pyoderma_gangrenosum" in {each.mimic for each in painful.mimics if each.status.rank >= 3}


def test_a_diagnosis_of_chronic_pain_makes_no_lesion_painful(tmp_path: Path) -> None:
    dialysis = condition("End-stage renal disease on haemodialysis")
    quiet = answer(tmp_path, dialysis, condition("Haematoma of the arm"), condition("Other chronic pain"))
    assert quiet.leading is None and not [each for each in quiet.alarms if "alciphylaxis" in each.label]
    painful = answer(tmp_path, dialysis, condition("Painful plaque of the thigh"))
    assert [each for each in painful.alarms if "alciphylaxis" in each.label]
