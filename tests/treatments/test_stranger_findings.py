"""What a rheumatologist who did not know the program found wrong in its treatment lists, each with its counterpart."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import LESION, Resource, ask, code, drug, says

from calcinosis.contract import Assessment


def result(name: str, value: float, unit: str, low: float, high: float) -> Resource:
    """A result with the laboratory's own interval."""
    value_, low_, high_ = ({"value": each, "unit": unit} for each in (value, low, high))
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": LESION.isoformat(), "code": {"text": name},
        "valueQuantity": value_, "referenceRange": [{"low": low_, "high": high_}],
    }  # fmt: skip


def option(answer: Assessment, treatment: str) -> Any:
    return next((each for each in answer.options if each.treatment == treatment), None)


def verdicts(answer: Assessment, treatment: str) -> set[str]:
    found = option(answer, treatment)
    return {each.rule for each in found.safety if each.verdict in ("contraindicated", "caution")} if found else set()


CALCINOSIS = says("Calcinosis cutis of the fingers")
JDM = says("Juvenile dermatomyositis")
CALCIUM_EMERGENCY = result("calcium", 14.6, "mg/dL", 8.5, 10.5)
KIDNEY_FAILURE = says("End-stage renal disease on haemodialysis")
FAILING_KIDNEYS = result("creatinine", 9.0, "mg/dL", 0.6, 1.2)


@pytest.mark.parametrize(
    ("more", "litres"), [((), True), ((KIDNEY_FAILURE,), False), ((says("Congestive heart failure"),), False), ((FAILING_KIDNEYS,), False)]
)  # fmt: skip
def test_litres_of_saline_are_not_advised_in_kidney_or_heart_failure(more: tuple[Any, ...], litres: bool) -> None:
    alarms = ask(CALCINOSIS, CALCIUM_EMERGENCY, *more).alarms
    said = " ".join(action.text for alarm in alarms for action in alarm.actions)
    assert ("4-6 L in 24 hours" in said) is litres
    assert alarms[0].urgency == "immediate"


def test_active_vitamin_d_of_hypoparathyroidism_is_reviewed_and_not_withheld() -> None:
    low = result("calcium", 7.6, "mg/dL", 8.5, 10.5)
    high = result("phosphate", 6.4, "mg/dL", 2.5, 4.5)
    answer = ask(says("Hypoparathyroidism"), CALCINOSIS, low, high, drug("calcitriol 0.5 microgram"))
    reviews = {each.key for each in answer.review}
    assert "vitamin_d_in_hypoparathyroidism" in reviews
    assert "vitamin_d_in_metastatic_calcification" not in reviews
    without = ask(CALCINOSIS, low, high, drug("calcitriol 0.5 microgram"))
    assert "vitamin_d_in_metastatic_calcification" in {each.key for each in without.review}


def test_signs_of_an_infection_contraindicate_strong_immunosuppression() -> None:
    ill = ask(says("Dermatomyositis"), CALCINOSIS, says("draining sinus of the elbow"), says("Fever"))
    for treatment in ("rituximab", "tofacitinib", "methotrexate"):
        assert any(each.verdict == "contraindicated" and "nfection" in each.label for each in option(ill, treatment).safety), treatment
    well = ask(says("Dermatomyositis"), CALCINOSIS)
    assert not verdicts(well, "rituximab")


def test_fever_of_years_ago_is_no_infection_of_today() -> None:
    old = says("Fever") | {"recordedDate": "2009-03-01"}
    answer = ask(says("Dermatomyositis"), CALCINOSIS, says("Skin ulcer"), old)
    assert not [alarm for alarm in answer.alarms if "ever" in alarm.label]


def test_drugs_of_another_disease_come_after_what_is_tied_to_none() -> None:
    """Heel-prick calcification: rituximab and the like were studied in dermatomyositis."""
    heel = ask(
        says("Calcified nodule of the heel"), says("History of repeated heel pricks in the neonatal unit"),
        born="2023-11-01",
    )  # fmt: skip
    listed = {each.treatment: each for each in heel.options if each.type == "dystrophic"}
    assert {listed[key].stance for key in ("rituximab", "infliximab", "cyclophosphamide", "tofacitinib")} == {"no_data"}
    assert listed["observation"].place < min(listed[key].place for key in ("rituximab", "infliximab", "cyclophosphamide", "tofacitinib"))


def test_active_juvenile_dermatomyositis_begins_with_corticosteroid_and_methotrexate() -> None:
    active = ask(JDM, CALCINOSIS, says("Muscle weakness"), born="2014-01-01")
    first = [each.treatment for each in active.options if each.stance == "standard"]
    assert set(first[:2]) == {"corticosteroid_systemic", "methotrexate"}
    quiet = ask(JDM, CALCINOSIS, born="2014-01-01")
    assert option(quiet, "methotrexate").stance == "option"


def test_low_phosphate_is_not_lowered() -> None:
    low = result("phosphate", 2.0, "mg/dL", 2.5, 4.5)
    answer = ask(says("Kidney transplant"), CALCINOSIS, result("calcium", 11.4, "mg/dL", 8.5, 10.5), low)
    lowering = option(answer, "phosphate_lowering")
    assert lowering is None or lowering.order.contraindicated


def test_morphine_in_kidney_failure_and_a_direct_anticoagulant_in_antiphospholipid_syndrome_are_reviewed() -> None:
    answer = ask(KIDNEY_FAILURE, CALCINOSIS, drug("morphine sulfate 10 mg"))
    assert "opioid_in_kidney_failure" in {each.key for each in answer.review}
    answer = ask(says("Antiphospholipid syndrome"), CALCINOSIS, drug("rivaroxaban 20 mg"))
    assert "direct_anticoagulant_in_antiphospholipid_syndrome" in {each.key for each in answer.review}
    answer = ask(says("Atrial fibrillation"), CALCINOSIS, drug("rivaroxaban 20 mg"), drug("morphine sulfate 10 mg"))
    assert not {"opioid_in_kidney_failure", "direct_anticoagulant_in_antiphospholipid_syndrome"} & {each.key for each in answer.review}


def test_diltiazem_heeds_low_pressure_and_a_second_calcium_channel_blocker() -> None:
    sclerosis = says("Limited cutaneous systemic sclerosis")
    answer = ask(sclerosis, CALCINOSIS, says("Hypotension"), drug("nifedipine 30 mg"))
    assert {"low_blood_pressure", "second_calcium_channel_blocker"} <= verdicts(answer, "diltiazem")
    assert not verdicts(ask(sclerosis, CALCINOSIS), "diltiazem")


def test_an_unlicensed_drug_stands_behind_what_can_be_had() -> None:
    answer = ask(
        KIDNEY_FAILURE, says("Calciphylaxis"), says("Painful necrotic ulcer of the thigh"), says("Severe pain"),
    )  # fmt: skip
    trial, thiosulfate = option(answer, "hexasodium_fytate"), option(answer, "sodium_thiosulfate_iv")
    assert trial.stance == "trial_only"
    assert trial.place > thiosulfate.place


@pytest.mark.parametrize(
    ("written", "treatment", "rule"),
    [
        ("J18.9", "rituximab", "severe_infection"), ("D55.0", "hydroxychloroquine", "g6pd"), ("O09.90", "methotrexate", "pregnancy"),
        ("I50.22", "diltiazem", "reduced_ejection_fraction"), ("Z22.7", "tofacitinib", "tuberculosis_latent"), ("K25.4", "tpa_low_dose", "bleeding_tendency_or_ulcer"),
    ],
)  # fmt: skip
def test_a_condition_that_is_only_a_code_is_heeded(written: str, treatment: str, rule: str) -> None:
    """A code without a display, as claims and MEDS send it."""
    disease = KIDNEY_FAILURE if treatment == "tpa_low_dose" else says("Systemic lupus erythematosus")
    lesion = says("Calciphylaxis") if treatment == "tpa_low_dose" else CALCINOSIS
    more = says("Dermatomyositis")
    with_code, without = (ask(disease, more, lesion, *each, born="1990-01-01") for each in ((code("ICD10CM", written),), ()))
    new = verdicts(with_code, treatment) - verdicts(without, treatment)
    assert any(rule in each for each in new), (new, verdicts(with_code, treatment))
