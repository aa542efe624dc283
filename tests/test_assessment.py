"""The assessment: the contract of the JSON, and what a clinician reads first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hand_made import INDEX, alarm_of, batch_of, day, event, knowledge_of, lab, mimic_of, only_patient, patient, type_of

from calcinosis.assessment import Assessment, assess_batch
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status

PRESENT = {"has": "calcification"}
FINDINGS: dict[str, Any] = {"lesion_present": {"has_any": ["skin_lesion", "calcification"]}, "mineral_shown": PRESENT}


def types(*more: Any) -> list[Any]:
    return [type_of("calciphylaxis", ("possible", {"has": "skin_ulcer"}), urgency=1), *more]


def assessed(events: list[dict[str, Any]], *patients: dict[str, Any], as_of: datetime | None = None, **records: Any) -> Assessment:
    records.setdefault("types", types(type_of("dystrophic", ("probable", PRESENT), urgency=3)))
    (answer,) = assess_batch(batch_of(events, *patients), knowledge_of(findings=FINDINGS, **records), as_of=as_of)
    return answer


# --- alarms ----------------------------------------------------------------------------------------


def test_alarms_come_first_and_the_most_urgent_first() -> None:
    alarms = [
        alarm_of("later", PRESENT, "urgent"),
        alarm_of("today", PRESENT, "same_day"),
        alarm_of("at_once", PRESENT, "immediate"),
        alarm_of("no", {"has": "pain"}),
    ]
    answer = assessed([event("calcification")], alarms=alarms)
    assert list(Assessment.model_fields)[1] == "alarms"
    assert [alarm.key for alarm in answer.alarms] == ["at_once", "today", "later"]
    assert all(alarm.actions and alarm.facts and alarm.citations for alarm in answer.alarms)


def test_an_alarm_looks_at_the_latest_measurement() -> None:
    alarms = [alarm_of("high", {"value": "calcium_adjusted", "unit": "mmol/L", "at_least": 3.0}, "immediate")]
    onset = event("calcification", INDEX)
    later = lab("calcium_total", 3.4, "mmol/L", day(700))
    assert [a.key for a in assessed([onset, lab("calcium_total", 2.4, "mmol/L"), later], alarms=alarms).alarms] == ["high"]
    assert not assessed([onset, lab("calcium_total", 3.4, "mmol/L"), lab("calcium_total", 2.4, "mmol/L", day(700))], alarms=alarms).alarms


def test_an_alarm_does_not_ring_for_a_measurement_of_long_ago() -> None:
    alarms = [alarm_of("high", {"lab": "phosphate", "is": "high"})]
    events = [event("calcification", INDEX), lab("phosphate", 3.0, "mmol/L"), event("pain", day(700))]
    assert not assessed(events, alarms=alarms).alarms
    assert assessed(events, alarms=alarms, as_of=day(10)).alarms


# --- types and mimics ------------------------------------------------------------------------------


def test_all_types_are_reported_the_most_urgent_first() -> None:
    answer = assessed([event("calcification")])
    assert [(each.type, each.status) for each in answer.types] == [("calciphylaxis", Status.NOT_ASSESSED), ("dystrophic", Status.PROBABLE)]
    assert (answer.leading, answer.leading_status, answer.provisional, answer.mixed) == ("dystrophic", Status.PROBABLE, False, False)


def test_the_answer_is_provisional_until_calcium_was_shown() -> None:
    answer = assessed([event("skin_ulcer")])
    assert (answer.leading, answer.provisional) == ("calciphylaxis", True)
    assert assessed([event("skin_ulcer"), event("calcification", certainty="uncertain")]).provisional


def test_two_types_at_probable_are_mixed() -> None:
    two = types(type_of("dystrophic", ("probable", PRESENT), urgency=3), type_of("metastatic", ("confirmed", PRESENT), urgency=2))
    answer = assessed([event("calcification")], types=two)
    assert (answer.leading, answer.mixed) == ("metastatic", True)


def test_a_leading_mimic_is_named() -> None:
    answer = assessed(
        [event("nodule")], mimics=[mimic_of("gout", ("probable", {"has": "nodule"})), mimic_of("other", ("probable", {"has": "pain"}))]
    )
    assert (answer.leading, answer.leading_mimic, answer.leading_status) == ("mimic", "gout", Status.PROBABLE)
    assert [mimic.mimic for mimic in answer.mimics] == ["gout"]
    assert answer.mimics[0].tells_apart


def test_a_subtype_is_named_only_where_the_type_stands() -> None:
    subtype = [{"key": "local", "label": "local", "when": PRESENT, "sources": ["book"]}]
    for status, expected in (("possible", "local"), ("unlikely", None)):
        answer = assessed([event("calcification")], types=types(type_of("dystrophic", (status, PRESENT), subtypes=subtype, urgency=3)))
        assert answer.types[1].subtype == expected


def test_the_first_subtype_that_fits_is_named() -> None:
    subtypes = [
        {"key": key, "label": key, "when": when, "sources": ["book"]}
        for key, when in (("a", {"has": "pain"}), ("b", PRESENT), ("c", PRESENT))
    ]
    assert (
        assessed([event("calcification")], types=types(type_of("dystrophic", ("possible", PRESENT), subtypes=subtypes, urgency=3)))
        .types[1]
        .subtype
        == "b"
    )


# --- diseases --------------------------------------------------------------------------------------


def disease(key: str, established: Any, **more: Any) -> dict[str, Any]:
    return {"key": key, "label": key, "established": established, "sources": ["book"]} | more


def test_a_more_specific_disease_replaces_a_general_one() -> None:
    diseases = [disease("ctd", {"has": "ctd"}), disease("ssc", {"has": "systemic_sclerosis"}, more_specific_than=["ctd"])]
    assert [d.disease for d in assessed([event("systemic_sclerosis")], diseases=diseases).diseases] == ["ssc"]
    assert [d.disease for d in assessed([event("ctd")], diseases=diseases).diseases] == ["ctd"]


def test_a_suspected_disease_is_shown_as_suspected() -> None:
    diseases = [disease("ssc", {"has": "systemic_sclerosis"}, suspected={"suspected": "systemic_sclerosis"}, suspected_sources=["book"])]
    answer = assessed([event("systemic_sclerosis", certainty="uncertain")], diseases=diseases)
    assert [(d.disease, d.status) for d in answer.diseases] == [("ssc", "suspected")]


def test_a_family_history_is_no_disease_of_the_patient(knowledge: Knowledge) -> None:
    events = [event("calcinosis_cutis"), event("systemic_sclerosis", certainty="family"), event("esrd", certainty="family")]
    (with_family,) = assess_batch(batch_of(events), knowledge)
    (without,) = assess_batch(batch_of(events[:1]), knowledge)
    assert with_family == without
    assert not with_family.diseases


# --- the record ------------------------------------------------------------------------------------


def test_the_index_date_age_and_basis_are_reported() -> None:
    answer = assessed([event("calcification", day(-30)), event("pain", INDEX)])
    assert (answer.index_date, answer.index_basis, answer.sex) == (day(-30), "calcification", "female")
    assert answer.age_years == pytest.approx(49.9)


def test_a_value_that_could_not_be_used_is_a_warning_of_its_patient() -> None:
    batch = batch_of(
        [event("calcification", who="a"), lab("phosphate", 4, "furlong", who="a", source="Observation/7"), event("calcification", who="b")],
        patient("a"),
        patient("b"),
    )
    knowledge = knowledge_of(findings=FINDINGS, types=types())
    together = assess_batch(batch, knowledge)
    assert [len(answer.warnings) for answer in together] == [1, 0]
    assert together[0].warnings[0].startswith("Observation/7: phosphate: unit 'furlong'")
    assert [assess_batch(only_patient(batch, who), knowledge)[0].warnings for who in ("a", "b")] == [answer.warnings for answer in together]


def test_events_of_somebody_else_are_not_assessed() -> None:
    answers = assess_batch(batch_of([event("calcification", who="stranger")]), knowledge_of(findings=FINDINGS, types=types()))
    assert [(answer.patient_id, answer.leading) for answer in answers] == [("p", None)]


def test_a_patient_listed_twice_is_assessed_once() -> None:
    answers = assess_batch(batch_of([event("calcification")], patient(), patient()), knowledge_of(findings=FINDINGS, types=types()))
    assert [answer.patient_id for answer in answers] == ["p"]


def test_the_contract_has_a_schema_and_refuses_unknown_fields() -> None:
    schema = Assessment.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) >= {"patient_id", "alarms", "leading", "types", "workup", "warnings", "knowledge_version"}
    answer = assessed([event("calcification")])
    assert Assessment.model_validate_json(answer.model_dump_json()) == answer
    assert "never" in answer.disclaimer
