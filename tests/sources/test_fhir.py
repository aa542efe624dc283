"""FHIR R4: what each resource type becomes, and that the kind of file does not matter."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir_made import (
    CALCINOSIS,
    ICD10CM,
    INDEX,
    LOINC,
    PHOSPHATE,
    READER,
    SNOMED,
    WARFARIN,
    Resource,
    attached,
    coded,
    events,
    made,
    only,
    patient,
    problems,
    quantity,
    read,
    read_paths,
    said,
    status,
    write_lines,
)

from calcinosis.sources.fhir import read_resources

# --- patients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1970-03-04", date(1970, 3, 4)), ("1970", date(1970, 7, 1)), ("1970-03", date(1970, 3, 15)), ("1970-02-30", None), ("2999", None)],
)
def test_birth_dates(text: str, expected: date | None) -> None:
    batch = read_resources([patient(birthDate=text)], INDEX, READER)
    assert batch.patients["birth_date"].to_list() == [expected]
    assert bool(problems(batch)) == (expected is None)


@pytest.mark.parametrize(("gender", "sex"), [("female", "female"), ("male", "male"), ("other", None), ("unknown", None), (None, None)])
def test_sex(gender: str | None, sex: str | None) -> None:
    assert read_resources([patient(gender=gender)], INDEX, READER).patients["sex"].to_list() == [sex]


@pytest.mark.parametrize(
    ("reference", "subject"),
    [
        ("Patient/a", "a"),
        ("https://example.org/fhir/Patient/a", "a"),
        ("Patient/a/_history/3", "a"),
        ("https://example.org/fhir/Patient/a/_history/3", "a"),
        ("urn:uuid:0b1f", "0b1f"),
        ("a", "a"),
        ("Patient?identifier=x|1", "identifier=x|1"),
        ("#p", "Condition/1#p"),
        ("Group/1", None),
        ("https://example.org/fhir/Device/1", None),
        ("Group?identifier=1", None),
        ("", None),
    ],
)
def test_subject(reference: str, subject: str | None, tmp_path: Path) -> None:
    condition = made("Condition", code=CALCINOSIS, subject={"reference": reference})
    for batch in (read_resources([condition], INDEX, READER), read_paths(write_lines(tmp_path / "a.ndjson", [condition]))):
        assert batch.events["subject_id"].to_list() == ([subject] if subject else [])
        assert batch.records_rejected == (0 if subject else 1)


def test_patient_field_names_the_subject_too() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "id": "1", "patient": {"reference": "Patient/p"}, "code": coded("penicillin")}
    assert only(allergy)["subject_id"] == "p"


def test_missing_patient_is_still_read_and_warned_of_once() -> None:
    batch = read_resources([made("Condition", "1", code=CALCINOSIS), made("Condition", "2", code=CALCINOSIS)], INDEX, READER)
    assert batch.patients.to_dicts() == [{"subject_id": "p", "birth_date": None, "sex": None, "source": None, "source_file": None}]
    assert problems(batch) == [("warning", "missing_patient", None, "Patient/p")]
    assert batch.records_used == 2


def test_contained_patient_keeps_to_its_own_resource() -> None:
    inside = [{"resourceType": "Patient", "id": "x", "gender": "male", "birthDate": "1980"}]
    resources = [made("Condition", key, code=CALCINOSIS, contained=inside, subject={"reference": "#x"}) for key in ("1", "2")]
    batch = read_resources(resources, INDEX, READER)
    assert batch.patients.select("subject_id", "birth_date", "sex").rows() == [
        ("Condition/1#x", date(1980, 7, 1), "male"),
        ("Condition/2#x", date(1980, 7, 1), "male"),
    ]
    assert not problems(batch)


def test_bundle_references_are_resolved() -> None:
    entries = [
        {"fullUrl": "urn:uuid:1111", "resource": patient("p")},
        {"fullUrl": "urn:uuid:2222", "resource": {"resourceType": "Medication", "code": WARFARIN}},
        {"fullUrl": "urn:uuid:3333", "resource": {
            "resourceType": "MedicationStatement", "status": "active", "subject": {"reference": "urn:uuid:1111"},
            "medicationReference": {"reference": "urn:uuid:2222"},
        }},
    ]  # fmt: skip
    batch = read_resources(entries, INDEX, READER)
    assert batch.events.select("subject_id", "concept", "source").rows() == [("p", "warfarin", "MedicationStatement/3333")]


# --- conditions ----------------------------------------------------------------------------------------


def test_condition() -> None:
    event = only(made("Condition", code=CALCINOSIS, onsetDateTime="2020-05-06T10:00:00+02:00", abatementDateTime="2021",
                      clinicalStatus=status("resolved"), verificationStatus=status("confirmed")))  # fmt: skip
    assert event == {
        "subject_id": "p", "time": datetime(2020, 5, 6, 8), "end_time": datetime(2021, 1, 1), "code": "ICD10CM/L94.2",
        "concept": "calcinosis_cutis", "certainty": "affirmed", "status": "ended", "source": "Condition/1", "source_file": "",
        "text_value": "Calcinosis cutis",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "certainty"),
    [
        ("confirmed", "affirmed"),
        ("refuted", "negated"),
        ("provisional", "uncertain"),
        ("differential", "uncertain"),
        ("unconfirmed", "uncertain"),
    ],
)
def test_verification_status(word: str, certainty: str) -> None:
    assert said(made("Condition", code=CALCINOSIS, verificationStatus=status(word))) == [("calcinosis_cutis", certainty)]
    assert said(made("Condition", code=CALCINOSIS, verificationStatus=word)) == [("calcinosis_cutis", certainty)]  # as older FHIR had it


def test_entered_in_error_is_ignored() -> None:
    batch = read(made("Condition", code=CALCINOSIS, verificationStatus=status("entered-in-error")))
    assert (batch.events.height, batch.records_ignored) == (0, 1)


def test_broader_code_is_uncertain_until_the_words_are_exact() -> None:
    assert said(made("Condition", code=coded(None, ICD10CM, "E83.59"))) == [("calciphylaxis", "uncertain")]
    assert said(made("Condition", code=coded("Calciphylaxis", ICD10CM, "E83.59"))) == [("calciphylaxis", "affirmed")]


def test_words_say_whether_and_where() -> None:
    event = only(made("Condition", code=coded("No calcinosis cutis", ICD10CM, "L94.2")))
    assert (event["concept"], event["certainty"]) == ("calcinosis_cutis", "negated")
    assert only(made("Condition", code=coded("Calcinosis cutis of the elbow", ICD10CM, "L94.2")))["sites"] == ["elbow"]


def test_refuting_a_denial_affirms_nothing() -> None:
    assert said(made("Condition", code=coded("No calcinosis"), verificationStatus=status("refuted"))) == [("calcinosis_cutis", "uncertain")]


def test_body_sites_by_code_and_text() -> None:
    sites = [coded(None, SNOMED, "127949000"), coded("right thigh")]
    assert only(made("Condition", code=CALCINOSIS, bodySite=sites))["sites"] == ["elbow", "thigh"]


def test_condition_notes_are_read() -> None:
    note = [{"text": "Also livedo racemosa of the thighs. No skin ulcers."}]
    assert said(made("Condition", code=CALCINOSIS, note=note)) == [
        ("calcinosis_cutis", "affirmed"), ("livedo_racemosa", "affirmed"), ("skin_ulcer", "negated"),
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["onsetDateTime", "recordedDate", "onsetPeriod"])
def test_condition_dates(field: str) -> None:
    value: Any = {"start": "2020-02"} if field == "onsetPeriod" else "2020-02"
    assert only(made("Condition", code=CALCINOSIS, **{field: value}))["time"] == datetime(2020, 2, 1)


# --- observations --------------------------------------------------------------------------------------


def test_laboratory_result() -> None:
    event = only(
        made(
            "Observation", status="final", code=PHOSPHATE, effectiveDateTime="2020-01-02", valueQuantity=quantity(5.1, comparator=">"),
            interpretation=[coded(None, "x", "H")], referenceRange=[{"low": quantity(2.5), "high": quantity(4.5)}],
        )
    )  # fmt: skip
    assert event == {
        "subject_id": "p", "time": datetime(2020, 1, 2), "code": "LOINC/2777-1", "concept": "phosphate", "certainty": "affirmed",
        "numeric_value": 5.1, "comparator": ">", "unit": "mg/dL", "flag": "high", "range_low": 2.5, "range_high": 4.5,
        "status": "final", "source": "Observation/1", "source_file": "",
    }  # fmt: skip


def test_laboratory_by_name() -> None:
    assert only(made("Observation", code=coded("Phosphate"), valueQuantity=quantity(1)))["concept"] == "phosphate"


def test_unit_is_ucum_where_there_is_ucum() -> None:
    assert only(made("Observation", code=PHOSPHATE, valueQuantity=quantity(1, code="mmol/L")))["unit"] == "mmol/L"
    assert only(made("Observation", code=PHOSPHATE, valueQuantity=quantity(1, system="local", code="17")))["unit"] == "mg/dL"


def test_interval_in_another_unit_is_left_out() -> None:
    event = only(made("Observation", code=PHOSPHATE, valueQuantity=quantity(1), referenceRange=[{"low": quantity(0.8, "mmol/L")}]))
    assert "range_low" not in event


def test_of_several_intervals_the_normal_one_counts() -> None:
    ranges = [
        {"low": quantity(1), "type": coded(None, "t", "therapeutic")},
        {"low": quantity(2), "type": coded(None, "t", "normal")},
        {"low": quantity(3), "appliesTo": [coded("female")]},
    ]
    assert only(made("Observation", code=PHOSPHATE, valueQuantity=quantity(1), referenceRange=ranges))["range_low"] == 2


@pytest.mark.parametrize(
    ("code", "flag"),
    [("H", "high"), ("HH", "high"), ("HU", "high"), (">", "high"), ("L", "low"), ("LL", "low"), ("LU", "low"), ("<", "low"), ("N", "normal"),
     ("POS", "positive"), ("NEG", "negative"), ("ND", "negative"), ("A", "abnormal"), ("Positive", "positive"), ("High", "high")],
)  # fmt: skip
def test_interpretation(code: str, flag: str) -> None:
    assert only(made("Observation", code=PHOSPHATE, interpretation=[coded(None, "x", code)]))["flag"] == flag
    assert only(made("Observation", code=PHOSPHATE, interpretation=[coded(code)]))["flag"] == flag


@pytest.mark.parametrize(
    ("text", "flag", "number"),
    [
        ("positive (1:640)", "positive", None), ("Negative", "negative", None), ("not detected", "negative", None), ("1:80", "positive", None),
        ("<1:40", "negative", None), ("2.9 mmol/L (high)", "high", 2.9), ("< 5 mg/L", None, 5.0), ("7", None, 7.0), ("elevated", "high", None),
        ("within normal limits", "normal", None), ("Weakly positive", "positive", None), ("haemolysed sample", None, None),
    ],
)  # fmt: skip
def test_text_results(text: str, flag: str | None, number: float | None) -> None:
    for value in ({"valueString": text}, {"valueCodeableConcept": coded(text)}):
        event = only(made("Observation", code=coded("Antinuclear antibodies"), **value))
        assert (event.get("flag"), event.get("numeric_value"), event["text_value"]) == (flag, number, text)


def test_other_values() -> None:
    assert only(made("Observation", code=coded("ANA"), valueBoolean=True))["flag"] == "positive"
    assert only(made("Observation", code=PHOSPHATE, valueInteger=3))["numeric_value"] == 3
    titre = {"numerator": {"value": 1}, "denominator": {"value": 640}}
    assert only(made("Observation", code=coded("ANA"), valueRatio=titre))["text_value"] == "1:640"


@pytest.mark.parametrize("fields", [{}, {"dataAbsentReason": coded("not done")}, {"valueString": "not done"}, {"valueString": "unknown"}])
def test_a_result_that_is_not_there_stays_unknown(fields: Resource) -> None:
    batch = read(made("Observation", code=PHOSPHATE, **fields))
    assert (batch.events.height, batch.records_used, batch.records_rejected) == (0, 2, 0)


@pytest.mark.parametrize("word", ["entered-in-error", "cancelled"])
def test_cancelled_observations_are_ignored(word: str) -> None:
    assert read(made("Observation", status=word, code=PHOSPHATE, valueInteger=1)).records_ignored == 1


def test_components_are_results_of_their_own() -> None:
    parts = [{"code": PHOSPHATE, "valueQuantity": quantity(4)}, {"code": coded("ANA"), "valueString": "negative"}, {"valueInteger": 1}]
    batch = read(made("Observation", code=coded("Panel"), component=parts, effectiveDateTime="2020"))
    assert batch.events.select("concept", "numeric_value", "flag", "source").rows() == [
        ("phosphate", 4.0, None, "Observation/1"), ("ana", None, "negative", "Observation/1"),
    ]  # fmt: skip
    assert problems(batch) == [("warning", "no_code", None, "Observation/1")]
    assert batch.records_read == 2


@pytest.mark.parametrize(
    ("value", "certainty"),
    [
        ({}, "affirmed"), ({"valueBoolean": True}, "affirmed"), ({"valueBoolean": False}, "negated"), ({"valueString": "absent"}, "negated"),
        ({"valueString": "none seen"}, "negated"), ({"valueCodeableConcept": coded("No")}, "negated"), ({"valueString": "present"}, "affirmed"),
        ({"valueString": "possible"}, "uncertain"), ({"valueInteger": 0}, "negated"), ({"valueQuantity": {"value": 0}}, "negated"),
        ({"valueQuantity": {"value": 2}}, "affirmed"), ({"valueString": "without any today"}, "uncertain"),
        ({"valueString": "no ulcers"}, "negated"), ({"interpretation": [coded(None, "x", "NEG")]}, "negated"),
    ],
)  # fmt: skip
def test_findings_asked_about(value: Resource, certainty: str) -> None:
    assert said(made("Observation", code=coded("Skin ulcer"), **value)) == [("skin_ulcer", certainty)]


def test_site_of_a_finding_in_its_value() -> None:
    assert only(made("Observation", code=coded("Skin ulcer"), valueString="left elbow, 3 cm"))["sites"] == ["elbow"]


def test_generic_observation_is_read_through_its_value() -> None:
    for value in ({"valueString": "livedo racemosa of the thigh"}, {"valueCodeableConcept": coded("livedo racemosa of the thigh")}):
        event = only(made("Observation", code=coded("Skin finding"), **value))
        assert (event["concept"], event["certainty"], event["sites"]) == ("livedo_racemosa", "affirmed", ["thigh"])
    value = {"valueCodeableConcept": coded(None, "http://human-phenotype-ontology.org", "HP:0000001")}
    assert said(made("Observation", code=coded("Skin finding"), **value)) == [("livedo_racemosa", "affirmed")]


@pytest.mark.parametrize(
    ("question", "certainty"),
    [
        ("Skin finding", "affirmed"), ("Disease suspected", "uncertain"), ("Rule-out diagnosis", "uncertain"), ("Differential diagnosis", "uncertain"),
        ("Suspected disease ruled out", "negated"), ("Suspected disease of the mother", "family"), ("Blood differential", "affirmed"),
    ],
)  # fmt: skip
def test_the_question_may_doubt_what_its_value_names(question: str, certainty: str) -> None:
    value = {"valueCodeableConcept": coded("livedo racemosa")}
    assert said(made("Observation", code=coded(question), **value)) == [("livedo_racemosa", certainty)]


def test_loinc_properties_are_no_findings() -> None:
    assert not events(made("Observation", code=coded("MCHC [Mass/volume] by Automated count", LOINC, "786-4"), valueQuantity=quantity(33)))


# --- drugs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("MedicationRequest", {"authoredOn": "2020"}),
        ("MedicationStatement", {"effectiveDateTime": "2020"}),
        ("MedicationStatement", {"effectivePeriod": {"start": "2020"}}),
        ("MedicationStatement", {"dateAsserted": "2020"}),
        ("MedicationAdministration", {"effectiveDateTime": "2020"}),
        ("MedicationDispense", {"whenHandedOver": "2020"}),
    ],
)
def test_medications(kind: str, fields: Resource) -> None:
    event = only(made(kind, status="active", medicationCodeableConcept=WARFARIN, **fields))
    assert (event["concept"], event["time"], event["code"], event["status"]) == (
        "warfarin", datetime(2020, 1, 1), "RXNORM/11289", "active",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "word", "shown"),
    [
        ("MedicationRequest", "completed", "ended"),
        ("MedicationStatement", "stopped", "ended"),
        ("MedicationStatement", "on-hold", "on-hold"),
        ("MedicationDispense", "completed", "completed"),  # the pharmacy has handed it out: it ends nothing
        ("MedicationAdministration", "completed", "completed"),
    ],
)
def test_a_course_of_treatment_that_is_over_is_ended_in_any_format(kind: str, word: str, shown: str) -> None:
    assert only(made(kind, status=word, medicationCodeableConcept=WARFARIN))["status"] == shown


@pytest.mark.parametrize(
    ("kind", "word", "expected"),
    [
        ("MedicationStatement", "not-taken", [("warfarin", "negated")]),
        ("MedicationStatement", "intended", [("warfarin", "uncertain")]),
        ("MedicationStatement", "entered-in-error", []),
        ("MedicationRequest", "cancelled", []),
        ("MedicationRequest", "draft", []),
        ("MedicationRequest", "stopped", [("warfarin", "affirmed")]),
        ("MedicationAdministration", "not-done", []),
    ],
)
def test_medication_status(kind: str, word: str, expected: list[tuple[str, str]]) -> None:
    batch = read(made(kind, status=word, medicationCodeableConcept=WARFARIN))
    assert batch.events.select("concept", "certainty").rows() == expected
    assert batch.records_ignored == (0 if expected else 1)


def test_an_order_not_to_give_is_a_denial() -> None:
    assert said(made("MedicationRequest", medicationCodeableConcept=WARFARIN, doNotPerform=True)) == [("warfarin", "negated")]


def test_medication_by_reference(tmp_path: Path) -> None:
    medication = {"resourceType": "Medication", "id": "m", "code": WARFARIN}
    order = made("MedicationRequest", medicationReference={"reference": "https://example.org/Medication/m/_history/2"})
    assert only(order, medication)["code"] == "RXNORM/11289"
    write_lines(tmp_path / "orders.ndjson", [order])
    write_lines(tmp_path / "z.ndjson", [medication])
    assert read_paths(tmp_path).events["code"].to_list() == ["RXNORM/11289"]


def test_contained_medication() -> None:
    inside = [{"resourceType": "Medication", "id": "m", "code": WARFARIN}]
    assert only(made("MedicationRequest", medicationReference={"reference": "#m"}, contained=inside))["concept"] == "warfarin"


def test_medication_that_only_has_a_name() -> None:
    reference = {"reference": "Medication/elsewhere", "display": "Warfarin 3 mg"}
    assert said(made("MedicationRequest", medicationReference=reference)) == [("warfarin", "affirmed")]
    del reference["display"]
    assert problems(read(made("MedicationRequest", medicationReference=reference))) == [("error", "no_code", None, "MedicationRequest/1")]


def test_dosage() -> None:
    dosage = {"text": "infused into the left hand 7 days before onset", "route": coded("intravenous")}
    for fields in ({"dosageInstruction": [dosage]}, {"dosage": dosage}, {"dosage": [dosage]}):
        event = only(made("MedicationStatement", medicationCodeableConcept=coded("calcium gluconate"), **fields))
        assert (event["text_value"], event["sites"], event["days_before_onset"]) == ("calcium gluconate, intravenous", ["hand"], 7.0)


def test_dosage_text_mentions_more() -> None:
    dosage = [{"text": "Stop if calciphylaxis"}]
    assert ("warfarin", "affirmed") in said(made("MedicationRequest", medicationCodeableConcept=WARFARIN, dosageInstruction=dosage))


# --- procedures, reports, documents and the rest -------------------------------------------------------


@pytest.mark.parametrize(("word", "certainty"), [("completed", "affirmed"), ("not-done", "negated"), ("preparation", "uncertain")])
def test_procedures(word: str, certainty: str) -> None:
    event = only(made("Procedure", status=word, code=coded("Haemodialysis"), performedPeriod={"start": "2020-01-01", "end": "2020-01-02"}))
    assert (event["concept"], event["certainty"], event["time"], event["end_time"]) == (
        "haemodialysis", certainty, datetime(2020, 1, 1), datetime(2020, 1, 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "category", "conclusion", "expected"),
    [
        (coded("Radiograph of the elbow"), None, "Soft tissue calcifications.", "imaging_calcification"),
        (coded("Study"), [coded(None, "http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")], "Calcifications.", "imaging_calcification"),
        (coded("CT pelvis"), None, "Calcifications.", "imaging_calcification"),
        (coded("Skin biopsy"), None, "Calcium deposits in the dermis.", "histology_calcium"),
        (coded("Study"), [coded(None, "http://terminology.hl7.org/CodeSystem/v2-0074", "SP")], "Calcium deposits.", "histology_calcium"),
        (coded("Study"), None, "Livedo racemosa", "livedo_racemosa"),
    ],
)
def test_report_context(code: Resource, category: Any, conclusion: str, expected: str) -> None:
    assert expected in [concept for concept, _ in said(made("DiagnosticReport", code=code, category=category, conclusion=conclusion))]


def test_report() -> None:
    report = made("DiagnosticReport", status="final", code=coded("Radiograph of the elbow"), effectiveDateTime="2020",
                  conclusion="Calcifications. No mass.", conclusionCode=[CALCINOSIS])  # fmt: skip
    found = {event["concept"]: (event["certainty"], event["sites"]) for event in events(report)}
    assert found == {
        "radiograph": ("affirmed", ["elbow"]), "imaging_calcification": ("affirmed", ["elbow"]), "mass": ("negated", ["elbow"]),
        "calcinosis_cutis": ("affirmed", ["elbow"]),
    }  # fmt: skip


def test_report_attachment_is_read_in_the_same_context() -> None:
    report = made(
        "DiagnosticReport", code=coded("CT pelvis"), presentedForm=[attached("Calcifications of the thigh.", "text/plain; charset=utf-8")]
    )
    assert ("imaging_calcification", "affirmed") in said(report)


def test_document() -> None:
    document = made("DocumentReference", status="current", date="2020-01-01T00:00:00Z", description="Letter: livedo racemosa",
                    content=[{"attachment": attached("No skin ulcers.")}])  # fmt: skip
    assert said(document) == [("livedo_racemosa", "affirmed"), ("skin_ulcer", "negated")]


@pytest.mark.parametrize("field", ["conclusion", "presentedForm", "content"])
def test_long_texts_are_counted_not_read(field: str, tmp_path: Path) -> None:
    text = "livedo racemosa. " * 2_000
    fields: Resource = {
        "conclusion": {"conclusion": text}, "presentedForm": {"presentedForm": [attached(text)]}, "content": {"content": [{"attachment": attached(text)}]},
    }[field]  # fmt: skip
    resource = made("DocumentReference" if field == "content" else "DiagnosticReport", code=coded("Study"), **fields)
    for batch in (read(resource), read_paths(write_lines(tmp_path / "a.ndjson", [patient(), resource]))):
        assert (batch.events.height, batch.not_read) == (0, {"long free text": 1})


def test_other_attachments_are_counted() -> None:
    content = [{"attachment": attached("x", "application/pdf")}, {"attachment": {"contentType": "text/plain", "url": "Binary/1"}}]
    assert read(made("DocumentReference", content=content)).not_read == {
        "attachment that is not plain text": 1,
        "attachment without data": 1,
    }


def test_allergy() -> None:
    assert said(made("AllergyIntolerance", code=coded("Penicillin"))) == [("penicillin_allergy", "affirmed")]
    assert said(made("AllergyIntolerance", code=coded("Penicillin"), verificationStatus=status("refuted"))) == [
        ("penicillin_allergy", "negated")
    ]


def test_an_allergy_to_a_drug_is_not_its_use() -> None:
    assert not events(made("AllergyIntolerance", code=WARFARIN))


def test_family_history_is_never_the_patients_own() -> None:
    history = made("FamilyMemberHistory", status="completed", condition=[{"code": CALCINOSIS}, {"code": coded("No scleroderma")}])
    assert said(history) == [("calcinosis_cutis", "family")]


def test_device() -> None:
    assert said(made("Device", type=coded("Pacemaker"))) == [("pacemaker", "affirmed")]
    shelf = {"resourceType": "Device", "id": "2", "type": coded("Pacemaker")}
    assert read(shelf).records_ignored == 1


def test_unmapped_codes_are_counted() -> None:
    batch = read(*(made("Condition", str(number), code=coded("Viral sinusitis", SNOMED, "444814009")) for number in range(3)))
    assert batch.unmapped.rows() == [("condition", SNOMED, "444814009", "Viral sinusitis", 3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020", datetime(2020, 1, 1)), ("2020-05", datetime(2020, 5, 1)), ("2020-05-06", datetime(2020, 5, 6)),
        ("2020-05-06T10:00:00Z", datetime(2020, 5, 6, 10)), ("2020-05-06T10:00:00.123-04:00", datetime(2020, 5, 6, 14, 0, 0, 123000)),
        ("2020-05-06T10:00", datetime(2020, 5, 6, 10)), ("2020-13-45", None), ("2020-02-30", None), ("1849-12-31", None), ("2999", None),
        ("yesterday", None), ("", None), ("0000", None), ("infinity", None),
    ],
)  # fmt: skip
def test_dates(text: str, expected: datetime | None, tmp_path: Path) -> None:
    condition = made("Condition", code=CALCINOSIS, onsetDateTime=text)
    for batch in (read(condition), read_paths(write_lines(tmp_path / "a.ndjson", [patient(), condition]))):
        assert batch.events["time"].to_list() == [expected]
        assert [category for _, category, _, _ in problems(batch)] == ([] if expected else ["impossible_date"])


@pytest.mark.parametrize("name", ["Neutrophils/100 leukocytes in Blood", "Lymphocytes per 100 white blood cells", "Protein/Creatinine in Urine"])
def test_a_ratio_is_neither_of_its_parts(name: str) -> None:
    observation = {
        "resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p"}, "code": {"text": name},
        "valueQuantity": {"value": 40, "unit": "%"},
    }  # fmt: skip
    events = read([{"resourceType": "Patient", "id": "p"}, observation]).events
    assert not [concept for concept in events["concept"].drop_nulls() if concept in {"white_cell_count", "creatinine"}]


def test_an_immunization_is_a_vaccine_that_was_given() -> None:
    given = {"vaccineCode": coded("Warfarin"), "patient": {"reference": "Patient/p"}, "occurrenceDateTime": "2020-03-04"}  # a drug that INDEX knows
    event = only(made("Immunization", status="completed", **given))
    assert (event["concept"], event["time"]) == ("warfarin", datetime(2020, 3, 4))
    assert said(made("Immunization", status="not-done", **given)) == []
    assert problems(read(made("Immunization", status="completed"))) == [("error", "no_code", None, "Immunization/1")]
