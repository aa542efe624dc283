"""What a rheumatologist who did not know the program found wrong in its treatment lists, each with its counterpart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calcinosis import assess
from calcinosis.contract import Assessment

TODAY = "2024-05-02"


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def condition(text: str, *, when: str = TODAY, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition", "code": {"text": text}, "recordedDate": when, "onsetDateTime": when,
        "verificationStatus": {"coding": [{"code": "confirmed"}]}, **more,
    }  # fmt: skip


def drug(text: str) -> dict[str, Any]:
    return {"resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": text}, "effectiveDateTime": TODAY}


def result(code: str, value: float, unit: str, low: float, high: float) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": TODAY, "valueQuantity": quantity(value, unit),
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "referenceRange": [{"low": quantity(low, unit), "high": quantity(high, unit)}],
    }  # fmt: skip


def patient(tmp_path: Path, *resources: dict[str, Any], sex: str = "female", born: str = "1970-01-01") -> Assessment:
    entries = [{"resource": {"resourceType": "Patient", "id": "p", "gender": sex, "birthDate": born}}]
    for number, each in enumerate(resources):
        entries.append({"resource": {**each, "id": f"r{number}", "subject": {"reference": "Patient/p"}}})
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}), encoding="utf-8")
    return assess(path)


def option(answer: Assessment, treatment: str) -> Any:
    return next((each for each in answer.options if each.treatment == treatment), None)


def verdicts(answer: Assessment, treatment: str) -> set[str]:
    found = option(answer, treatment)
    return {each.rule for each in found.safety if each.verdict in ("contraindicated", "caution")} if found else set()


CALCINOSIS = condition("Calcinosis cutis of the fingers")
JDM = condition("Juvenile dermatomyositis")
CALCIUM_EMERGENCY = result("17861-6", 14.6, "mg/dL", 8.5, 10.5)
KIDNEY_FAILURE = condition("End-stage renal disease on haemodialysis")


@pytest.mark.parametrize(
    ("more", "litres"), [((), True), ((KIDNEY_FAILURE,), False), ((condition("Congestive heart failure"),), False)]
)  # fmt: skip
def test_litres_of_saline_are_not_advised_in_kidney_or_heart_failure(tmp_path: Path, more: tuple[Any, ...], litres: bool) -> None:
    alarms = patient(tmp_path, CALCINOSIS, CALCIUM_EMERGENCY, *more).alarms
    said = " ".join(action.text for alarm in alarms for action in alarm.actions)
    assert ("4-6 L in 24 hours" in said) is litres
    assert alarms[0].urgency == "immediate"


def test_active_vitamin_d_of_hypoparathyroidism_is_reviewed_and_not_withheld(tmp_path: Path) -> None:
    low = result("17861-6", 7.6, "mg/dL", 8.5, 10.5)
    high = result("2777-1", 6.4, "mg/dL", 2.5, 4.5)
    answer = patient(tmp_path, condition("Hypoparathyroidism"), CALCINOSIS, low, high, drug("calcitriol 0.5 microgram"))
    reviews = {each.key for each in answer.review}
    assert "vitamin_d_in_hypoparathyroidism" in reviews
    assert "vitamin_d_in_metastatic_calcification" not in reviews
    without = patient(tmp_path, CALCINOSIS, low, high, drug("calcitriol 0.5 microgram"))
    assert "vitamin_d_in_metastatic_calcification" in {each.key for each in without.review}


def test_signs_of_an_infection_contraindicate_strong_immunosuppression(tmp_path: Path) -> None:
    ill = patient(tmp_path, condition("Dermatomyositis"), CALCINOSIS, condition("draining sinus of the elbow"), condition("Fever"))
    for treatment in ("rituximab", "tofacitinib", "methotrexate"):
        assert any(each.verdict == "contraindicated" and "nfection" in each.label for each in option(ill, treatment).safety), treatment
    well = patient(tmp_path, condition("Dermatomyositis"), CALCINOSIS)
    assert not verdicts(well, "rituximab")


def test_fever_of_years_ago_is_no_infection_of_today(tmp_path: Path) -> None:
    old = condition("Fever", when="2009-03-01")
    answer = patient(tmp_path, condition("Dermatomyositis"), CALCINOSIS, condition("Skin ulcer"), old)
    assert not [alarm for alarm in answer.alarms if "ever" in alarm.label]


def test_drugs_of_another_disease_come_after_what_is_tied_to_none(tmp_path: Path) -> None:
    """Heel-prick calcification: rituximab and the like were studied in dermatomyositis."""
    heel = patient(
        tmp_path, condition("Calcified nodule of the heel"), condition("History of repeated heel pricks in the neonatal unit"),
        born="2023-11-01",
    )  # fmt: skip
    listed = {each.treatment: each for each in heel.options if each.type == "dystrophic"}
    assert {listed[key].stance for key in ("rituximab", "infliximab", "cyclophosphamide", "tofacitinib")} == {"no_data"}
    assert listed["observation"].place < min(listed[key].place for key in ("rituximab", "infliximab", "cyclophosphamide", "tofacitinib"))


def test_active_juvenile_dermatomyositis_begins_with_corticosteroid_and_methotrexate(tmp_path: Path) -> None:
    active = patient(tmp_path, JDM, CALCINOSIS, condition("Muscle weakness"), born="2014-01-01")
    first = [each.treatment for each in active.options if each.stance == "standard"]
    assert set(first[:2]) == {"corticosteroid_systemic", "methotrexate"}
    quiet = patient(tmp_path, JDM, CALCINOSIS, born="2014-01-01")
    assert option(quiet, "methotrexate").stance == "option"


def test_low_phosphate_is_not_lowered(tmp_path: Path) -> None:
    low = result("2777-1", 2.0, "mg/dL", 2.5, 4.5)
    answer = patient(tmp_path, condition("Kidney transplant"), CALCINOSIS, result("17861-6", 11.4, "mg/dL", 8.5, 10.5), low)
    lowering = option(answer, "phosphate_lowering")
    assert lowering is None or lowering.order.contraindicated


def test_morphine_in_kidney_failure_and_a_direct_anticoagulant_in_antiphospholipid_syndrome_are_reviewed(tmp_path: Path) -> None:
    answer = patient(tmp_path, KIDNEY_FAILURE, CALCINOSIS, drug("morphine sulfate 10 mg"))
    assert "opioid_in_kidney_failure" in {each.key for each in answer.review}
    answer = patient(tmp_path, condition("Antiphospholipid syndrome"), CALCINOSIS, drug("rivaroxaban 20 mg"))
    assert "direct_anticoagulant_in_antiphospholipid_syndrome" in {each.key for each in answer.review}
    answer = patient(tmp_path, condition("Atrial fibrillation"), CALCINOSIS, drug("rivaroxaban 20 mg"), drug("morphine sulfate 10 mg"))
    assert not {"opioid_in_kidney_failure", "direct_anticoagulant_in_antiphospholipid_syndrome"} & {each.key for each in answer.review}


def test_diltiazem_heeds_low_pressure_and_a_second_calcium_channel_blocker(tmp_path: Path) -> None:
    sclerosis = condition("Limited cutaneous systemic sclerosis")
    answer = patient(tmp_path, sclerosis, CALCINOSIS, condition("Hypotension"), drug("nifedipine 30 mg"))
    assert {"low_blood_pressure", "second_calcium_channel_blocker"} <= verdicts(answer, "diltiazem")
    assert not verdicts(patient(tmp_path, sclerosis, CALCINOSIS), "diltiazem")


def test_an_unlicensed_drug_stands_behind_what_can_be_had(tmp_path: Path) -> None:
    answer = patient(
        tmp_path, KIDNEY_FAILURE, condition("Calciphylaxis"), condition("Painful necrotic ulcer of the thigh"), condition("Severe pain"),
    )  # fmt: skip
    trial, thiosulfate = option(answer, "hexasodium_fytate"), option(answer, "sodium_thiosulfate_iv")
    assert trial.stance == "trial_only"
    assert trial.place > thiosulfate.place


@pytest.mark.parametrize(
    ("code", "treatment", "rule"),
    [
        ("J18.9", "rituximab", "severe_infection"), ("D55.0", "hydroxychloroquine", "g6pd"), ("O09.90", "methotrexate", "pregnancy"),
        ("I50.22", "diltiazem", "reduced_ejection_fraction"), ("Z22.7", "tofacitinib", "tuberculosis_latent"), ("K25.4", "tpa_low_dose", "bleeding_tendency_or_ulcer"),
    ],
)  # fmt: skip
def test_a_condition_that_is_only_a_code_is_heeded(tmp_path: Path, code: str, treatment: str, rule: str) -> None:
    """A code without a display, as claims and MEDS send it."""
    coded = condition("")
    coded["code"] = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}]}
    disease = KIDNEY_FAILURE if treatment == "tpa_low_dose" else condition("Systemic lupus erythematosus")
    lesion = condition("Calciphylaxis") if treatment == "tpa_low_dose" else CALCINOSIS
    more = condition("Dermatomyositis")
    with_code, without = (patient(tmp_path, disease, more, lesion, *each, born="1990-01-01") for each in ((coded,), ()))
    new = verdicts(with_code, treatment) - verdicts(without, treatment)
    assert any(rule in each for each in new), (new, verdicts(with_code, treatment))
