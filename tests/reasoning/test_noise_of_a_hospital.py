"""Pairs that every hospital's records hold and that mean nothing together, each with the picture that must still be seen."""

from __future__ import annotations

from small_records import LESION, Resource, ask, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

CALCIUM: Resource = {
    "resourceType": "MedicationAdministration", "status": "completed", "effectiveDateTime": LESION.isoformat(),
    "medicationCodeableConcept": {"text": "calcium gluconate 10 % injection"}, "dosage": {"route": {"text": "intravenous"}},
}  # fmt: skip


def test_a_bruise_beside_intravenous_calcium_is_no_iatrogenic_calcification() -> None:
    assert ask(says("Haematoma of the arm"), CALCIUM).leading is None
    firm = ask(says("Firm swollen red plaque of the forearm"), CALCIUM)
    assert status(firm, "iatrogenic") in (Status.POSSIBLE, Status.PROBABLE)


def test_a_cut_beside_a_colitis_is_no_pyoderma() -> None:
    colitis = says("Ulcerative colitis")
    assert ask(says("Open wound of hand"), colitis).leading is None
    assert ask(says("Bullet wound"), colitis).leading is None
    painful = ask(says("Painful ulcer of the lower leg"), colitis)
    assert mimic_status(painful, "pyoderma_gangrenosum") is Status.POSSIBLE


def test_a_diagnosis_of_chronic_pain_makes_no_lesion_painful() -> None:
    dialysis = says("End-stage renal disease on haemodialysis")
    quiet = ask(dialysis, says("Haematoma of the arm"), says("Other chronic pain"))
    assert quiet.leading is None and not [each for each in quiet.alarms if "alciphylaxis" in each.label]
    painful = ask(dialysis, says("Painful plaque of the thigh"))
    assert [each for each in painful.alarms if "alciphylaxis" in each.label]
