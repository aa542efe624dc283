"""Phenopackets: what each element becomes, what is never concluded, and how bad input is accounted for."""

from __future__ import annotations

import copy
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phenopackets import Phenopacket

from calcinosis.assessment import assess_batch
from calcinosis.events import EVENT_SCHEMA, Batch
from calcinosis.knowledge import load_knowledge
from calcinosis.knowledge.model import Code, Concept, Context, Lab
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.phenopacket import is_phenopacket, read_phenopacket, read_phenopackets
from calcinosis.sources.text import TextReader

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "phenopackets").glob("*.json"))

CONCEPTS = [
    Concept(key="calcinosis_cutis", label="Calcinosis cutis", kind="disease", synonyms=("calcinosis cutis",)),
    Concept(key="calciphylaxis", label="Calciphylaxis", kind="disease", synonyms=("calciphylaxis",)),
    Concept(key="solid_tumour", label="Solid tumour", kind="disease", synonyms=("solid tumour", "colon cancer")),
    Concept(key="muscle_weakness", label="Muscle weakness", kind="finding", synonyms=("muscle weakness",)),
    Concept(key="skin_ulcer", label="Skin ulcer", kind="finding", synonyms=("skin ulcer*", "ulcer*")),
    Concept(key="livedo_racemosa", label="Livedo racemosa", kind="finding", synonyms=("livedo racemosa",)),
    Concept(key="pain", label="Pain", kind="finding", synonyms=("pain",)),
    Concept(key="severe_pain", label="Severe pain", kind="finding", parents=("pain",), synonyms=("severe pain",)),
    Concept(key="seizure", label="Seizure", kind="finding", synonyms=("seizure*",)),
    Concept(
        key="histology_thrombosis", label="Thrombosis on histology", kind="finding", contexts=(Context.HISTOLOGY,), synonyms=("thrombosis",)
    ),
    Concept(key="phosphate", label="Phosphate", kind="lab", synonyms=("phosphate",), lab=Lab(unit="mmol/L", molar_mass=94.97)),
    Concept(key="creatine_kinase", label="Creatine kinase", kind="lab", synonyms=("creatine kinase",), lab=Lab(unit="U/L")),
    Concept(key="rheumatoid_factor", label="Rheumatoid factor", kind="lab", synonyms=("rheumatoid factor",), lab=Lab()),
    Concept(key="warfarin", label="Warfarin", kind="drug", synonyms=("warfarin",)),
    Concept(key="haemodialysis", label="Haemodialysis", kind="procedure", synonyms=("hemodialysis",)),
    Concept(key="thigh", label="Thigh", kind="site", synonyms=("thigh*",)),
    Concept(key="elbow", label="Elbow", kind="site", synonyms=("elbow*",)),
]


def _code(concept: str, system: Any, code: str, relation: Any = "exact") -> Code:
    return Code(concept_key=concept, system=system, code=code, relation=relation, licence_tag="test", verified_in="test")


CODES = [
    _code("calcinosis_cutis", "HPO", "HP:0025520"),
    _code("calciphylaxis", "MONDO", "MONDO:0017215"),
    _code("muscle_weakness", "HPO", "HP:0001324"),
    _code("muscle_weakness", "HPO", "HP:0003701", "narrower"),
    _code("livedo_racemosa", "HPO", "HP:0033832", "broader"),
    _code("pain", "HPO", "HP:0012531"),
    _code("phosphate", "LOINC", "2777-1"),
    _code("warfarin", "RXNORM", "11289"),
]
INDEX = ConceptIndex(CODES, {concept.key: concept for concept in CONCEPTS})
READER = TextReader(CONCEPTS)


def packet(**sections: Any) -> dict[str, Any]:
    return {"id": "packet", "subject": {"id": "patient", "sex": "FEMALE"}, **sections}


def read(obj: dict[str, Any]) -> Batch:
    batch = read_phenopacket(obj, INDEX, READER, source_file="file.json")
    assert_accounted(batch)
    return batch


def assert_accounted(batch: Batch) -> None:
    assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected
    assert batch.rejects.filter(level="error").height == batch.records_rejected
    assert dict(batch.events.schema) == EVENT_SCHEMA


def facts(obj: dict[str, Any]) -> list[tuple[str, str]]:
    """(concept, certainty) of every event that has a concept."""
    events = read(obj).events
    return [(concept, how) for concept, how in events.select("concept", "certainty").iter_rows() if concept]


def feature(identifier: str, label: str, **more: Any) -> dict[str, Any]:
    return packet(phenotypicFeatures=[{"type": {"id": identifier, "label": label}, **more}])


def measured(value: dict[str, Any], assay: dict[str, str] | None = None) -> dict[str, Any]:
    return packet(measurements=[{"assay": assay or {"id": "LOINC:2777-1", "label": "Phosphate"}, **value}])


# --- features and exclusion ------------------------------------------------------------------------------


def test_feature_by_code_with_site_and_qualifiers() -> None:
    events = read(
        feature(
            "HP:0025520",
            "Calcinosis cutis",
            modifiers=[{"id": "UBERON:0001461", "label": "elbow"}],
            onset={"age": {"iso8601duration": "P9Y"}},
        )
    ).events
    (row,) = events.to_dicts()
    assert (row["concept"], row["certainty"], row["sites"], row["code"]) == ("calcinosis_cutis", "affirmed", ["elbow"], "HPO/HP:0025520")
    assert row["time"] is None  # no date of birth
    assert (row["source"], row["source_file"], row["text_value"]) == ("phenotypicFeatures[0]", "file.json", "Calcinosis cutis, elbow")


def test_term_that_no_table_has_is_read_by_its_label() -> None:
    assert facts(feature("HP:9999999", "Skin ulcer")) == [("skin_ulcer", "affirmed")]


@pytest.mark.parametrize("identifier", ["http://purl.obolibrary.org/obo/HP_0025520", "HP_0025520", "hp:0025520"])
def test_spellings_of_a_curie(identifier: str) -> None:
    assert facts(feature(identifier, "")) == [("calcinosis_cutis", "affirmed")]


def test_severity_lends_its_word() -> None:
    said = facts(feature("HP:0012531", "Pain", severity={"id": "HP:0012828", "label": "Severe"}))
    assert said == [("pain", "affirmed"), ("severe_pain", "affirmed")]


def test_description_adds_findings_and_lead_time() -> None:
    events = read(feature("HP:0012531", "Pain", description="Ulcers on the thigh, 10 days after restart")).events
    assert set(events["concept"]) == {"pain", "skin_ulcer"}
    assert events.filter(concept="pain")["days_before_onset"].to_list() == [10.0]
    assert events["sites"].to_list() == [["thigh"], ["thigh"]]


@pytest.mark.parametrize(
    ("identifier", "label", "expected"),
    [
        ("HP:0001324", "Muscle weakness", [("muscle_weakness", "negated")]),
        ("HP:0003701", "Proximal muscle weakness", []),  # narrower: muscle weakness stays unknown
        ("HP:9999999", "Proximal muscle weakness", []),  # the same without a known code
        ("HP:0033832", "Livedo", [("livedo_racemosa", "negated")]),  # broader: no livedo at all
        ("HP:9999999", "Skin ulcer", [("skin_ulcer", "negated")]),
        ("HP:9999999", "Colon cancer", []),  # a synonym, but not the whole of solid tumour
    ],
)
def test_exclusion_denies_no_more_than_it_says(identifier: str, label: str, expected: list[tuple[str, str]]) -> None:
    batch = read(feature(identifier, label, excluded=True))
    assert [(row["concept"], row["certainty"]) for row in batch.events.to_dicts()] == expected
    assert batch.unmapped.height == (not expected)


def test_exclusion_with_a_severity_denies_nothing_wider() -> None:
    assert facts(feature("HP:0012531", "Pain", excluded=True, severity={"id": "HP:0012828", "label": "Severe"})) == []


def test_broader_code_only_suspects() -> None:
    assert facts(feature("HP:0033832", "Livedo")) == [("livedo_racemosa", "uncertain")]


@pytest.mark.parametrize(("label", "expected"), [("Suspected", "uncertain"), ("Absent", "negated")])
def test_modifier_that_doubts_or_denies(label: str, expected: str) -> None:
    assert facts(feature("HP:0001324", "Muscle weakness", modifiers=[{"id": "X:1", "label": label}])) == [("muscle_weakness", expected)]


@pytest.mark.parametrize(
    ("label", "excluded", "flag"),
    [
        ("Elevated circulating creatine kinase concentration", False, "high"),
        ("Elevated circulating creatine kinase concentration", True, None),  # not raised may be low
        ("Rheumatoid factor positive", False, "positive"),
        ("Rheumatoid factor positive", True, "negative"),
    ],
)
def test_laboratory_result_in_a_name(label: str, excluded: bool, flag: str | None) -> None:
    assert read(feature("HP:9999999", label, excluded=excluded)).events["flag"].to_list() == ([flag] if flag else [])


# --- diseases, interpretations ---------------------------------------------------------------------------


def test_diseases() -> None:
    term = {"id": "MONDO:0017215", "label": "calciphylaxis"}
    site = {"id": "UBERON:0000376", "label": "hindlimb stylopod"}
    (row,) = read(packet(diseases=[{"term": term, "primarySite": site}])).events.to_dicts()
    assert (row["concept"], row["certainty"], row["sites"]) == ("calciphylaxis", "affirmed", ["thigh"])
    assert facts(packet(diseases=[{"term": term, "excluded": True}])) == [("calciphylaxis", "negated")]
    name = {"id": "OMIM:1", "label": "Some disorder, with or without seizures"}
    assert facts(packet(diseases=[{"term": name}])) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [("SOLVED", "affirmed"), (3, "affirmed"), ("IN_PROGRESS", "uncertain"), ("UNSOLVED", "uncertain"), (None, "uncertain")],
)
def test_interpretation(status: str | int | None, expected: str) -> None:
    diagnosis = {"disease": {"id": "MONDO:0017215", "label": "calciphylaxis"}}
    assert facts(packet(interpretations=[{"progressStatus": status, "diagnosis": diagnosis}])) == [("calciphylaxis", expected)]


def test_interpretation_without_disease_is_ignored() -> None:
    batch = read(packet(interpretations=[{"progressStatus": "UNSOLVED", "summary": "nothing found"}]))
    assert (batch.records_ignored, batch.records_used) == (1, 0)


# --- measurements ----------------------------------------------------------------------------------------


def test_quantity_with_unit_and_range() -> None:
    unit = {"id": "UCUM:mg/dL", "label": "milligram per decilitre"}
    value = {"value": {"quantity": {"unit": unit, "value": 6.9, "referenceRange": {"unit": unit, "low": 2.5, "high": 4.5}}}}
    (row,) = read(measured(value)).events.to_dicts()
    assert (row["concept"], row["numeric_value"], row["unit"], row["range_low"], row["range_high"]) == ("phosphate", 6.9, "mg/dL", 2.5, 4.5)
    assert row["flag"] is None


def test_range_in_another_unit_is_not_used() -> None:
    quantity = {"unit": {"id": "UCUM:mg/dL"}, "value": 6.9, "referenceRange": {"unit": {"id": "UCUM:mmol/L"}, "high": 1.5}}
    batch = read(measured({"value": {"quantity": quantity}}))
    assert batch.events["range_high"].to_list() == [None]
    assert batch.rejects["category"].to_list() == ["used_in_part"]


@pytest.mark.parametrize("value", [{}, {"value": {}}, {"value": {"quantity": {"unit": {"id": "UCUM:mg/dL"}}}}, {"complexValue": {}}])
def test_measurement_without_a_value_is_unknown(value: dict[str, Any]) -> None:
    batch = read(measured(value))
    assert batch.events.is_empty()
    assert batch.rejects["category"].to_list() == ["no_value"]


@pytest.mark.parametrize(
    ("term", "flag"),
    [
        ({"id": "PATO:0000461", "label": "normal"}, "normal"),
        ({"id": "PATO:0000461"}, "normal"),
        ({"id": "PATO:0000470", "label": "increased amount"}, "high"),
        ({"id": "PATO:0001997", "label": "decreased amount"}, "low"),
        ({"id": "NCIT:C38758", "label": "Positive"}, "positive"),
        ({"id": "PATO:0000462", "label": "absent"}, "negative"),
        ({"id": "X:1", "label": "not done"}, None),
        ({"id": "X:1", "label": "indeterminate"}, None),
        ({"id": "X:1", "label": "something else"}, None),
    ],
)
def test_result_in_words(term: dict[str, str], flag: str | None) -> None:
    assert read(measured({"value": {"ontologyClass": term}})).events["flag"].to_list() == ([flag] if flag else [])


def test_parts_of_a_complex_value() -> None:
    parts = [
        {"type": {"id": "LOINC:2777-1", "label": "Phosphate"}, "quantity": {"unit": {"id": "UCUM:mmol/L"}, "value": 1.1}},
        {"type": {"id": "X:1", "label": "Creatine kinase"}, "quantity": {"unit": {"id": "UCUM:U/L"}, "value": 90}},
    ]
    events = read(measured({"complexValue": {"typedQuantities": parts}}, {"id": "X:2", "label": "Panel"})).events
    assert events.select("concept", "numeric_value").rows() == [("phosphate", 1.1), ("creatine_kinase", 90.0)]


def test_assay_that_asks_for_a_finding() -> None:
    assay = {"id": "X:1", "label": "Skin ulcer"}
    assert facts(measured({"value": {"ontologyClass": {"label": "present"}}}, assay)) == [("skin_ulcer", "affirmed")]
    assert facts(measured({"value": {"ontologyClass": {"label": "absent"}}}, assay)) == [("skin_ulcer", "negated")]
    examination = {"id": "X:2", "label": "Skin examination"}
    assert facts(measured({"value": {"ontologyClass": {"id": "HP:0025520"}}}, examination)) == [("calcinosis_cutis", "affirmed")]


# --- medical actions, biosamples -------------------------------------------------------------------------


def test_treatment_with_its_intervals() -> None:
    doses = [
        {"interval": {"start": "2024-02-01T00:00:00Z", "end": "2024-03-01T00:00:00Z"}},
        {"interval": {"start": "2024-01-01T00:00:00Z"}},
    ]
    (row,) = read(
        packet(medicalActions=[{"treatment": {"agent": {"id": "RxNorm:11289", "label": "warfarin"}, "doseIntervals": doses}}])
    ).events.to_dicts()
    assert (row["concept"], row["time"], row["end_time"]) == ("warfarin", datetime(2024, 1, 1), datetime(2024, 3, 1))
    assert facts(packet(medicalActions=[{"treatment": {"agent": {"id": "DrugBank:X", "label": "Warfarin"}}}])) == [("warfarin", "affirmed")]


def test_procedure_and_radiation() -> None:
    procedure = {"procedure": {"code": {"id": "X:1", "label": "Hemodialysis"}, "performed": {"timestamp": "2021-03-01T10:00:00+02:00"}}}
    batch = read(packet(medicalActions=[procedure, {"radiationTherapy": {"dosage": 10}}]))
    assert batch.events.select("concept", "time").rows() == [("haemodialysis", datetime(2021, 3, 1, 8))]
    assert (batch.records_used, batch.records_ignored, batch.not_read) == (1, 1, {"radiation therapy": 1})


def test_biosample_is_read_as_histology() -> None:
    sample = {
        "individualId": "patient",
        "description": "Thrombosis of small vessels",
        "sampledTissue": {"id": "UBERON:X", "label": "skin of thigh"},
        "timeOfCollection": {"timestamp": "2024-02-11T00:00:00Z"},
        "histologicalDiagnosis": {"id": "MONDO:0017215", "label": "calciphylaxis"},
        "phenotypicFeatures": [{"type": {"id": "X:1", "label": "Skin ulcer"}, "excluded": True}],
        "measurements": [{"assay": {"id": "LOINC:2777-1"}, "value": {"quantity": {"value": 90}}}],
    }
    batch = read(packet(biosamples=[sample, {**sample, "individualId": "brother"}]))
    assert batch.events.select("concept", "certainty").rows() == [
        ("calciphylaxis", "affirmed"), ("skin_ulcer", "negated"), ("histology_thrombosis", "affirmed"),
    ]  # fmt: skip
    assert batch.events["sites"].to_list() == [["thigh"]] * 3
    assert batch.events["time"].unique().to_list() == [datetime(2024, 2, 11)]
    assert (batch.records_used, batch.records_ignored) == (1, 1)
    assert batch.not_read == {"measurement of a biosample": 1, "biosample of another individual": 1}


# --- people and times ------------------------------------------------------------------------------------


def test_ages_count_from_the_date_of_birth() -> None:
    obj = feature("HP:0025520", "Calcinosis cutis", onset={"age": {"iso8601duration": "P9Y6M"}})
    obj["subject"]["dateOfBirth"] = "2010-02-28T00:00:00Z"
    batch = read(obj)
    assert batch.patients.select("birth_date", "sex").row(0) == (date(2010, 2, 28), "female")
    assert batch.events["time"].to_list() == [datetime(2019, 8, 28)]
    obj["phenotypicFeatures"][0]["onset"] = {"ageRange": {"start": {"iso8601duration": "P8Y"}, "end": {"iso8601duration": "P10Y"}}}
    assert read(obj).events["time"].to_list() == [datetime(2019, 2, 28)]
    obj["phenotypicFeatures"][0]["onset"] = {"ontologyClass": {"id": "HP:0011463", "label": "Childhood onset"}}
    assert read(obj).events["time"].to_list() == [None]


def test_age_at_the_last_encounter_without_a_date_of_birth() -> None:
    obj = feature("HP:0025520", "Calcinosis cutis", onset={"age": {"iso8601duration": "P9Y"}})
    obj["subject"]["timeAtLastEncounter"] = {"age": {"iso8601duration": "P18Y"}}
    obj["metaData"] = {"created": "2024-03-01T12:00:00Z"}
    batch = read(obj)
    assert batch.patients["birth_date"].to_list() == [date(2006, 2, 28)]  # one day more than 18 years
    encounter = batch.events.filter(code="phenopacket/timeAtLastEncounter")
    assert encounter.select("time", "concept").row(0) == (datetime(2024, 3, 1, 12), None)
    assert batch.events.filter(concept="calcinosis_cutis")["time"].to_list() == [None]
    obj["diseases"] = [{"term": {"label": "calciphylaxis"}, "onset": {"timestamp": "2020-05-01T00:00:00Z"}}]
    assert read(obj).patients["birth_date"].to_list() == [date(2002, 4, 30)]  # the latest date in the packet goes first
    del obj["metaData"], obj["diseases"]
    undated = read(obj)
    assert undated.patients["birth_date"].to_list() == [None]
    assert undated.rejects["category"].to_list() == ["no_date"]


@pytest.mark.parametrize(
    "onset", [{"timestamp": "yesterday"}, {"timestamp": "0001-01-01T00:00:00+14:00"}, {"age": {"iso8601duration": "nine"}}]
)
def test_bad_time_costs_only_the_time(onset: dict[str, Any]) -> None:
    batch = read(feature("HP:0025520", "Calcinosis cutis", onset=onset))
    assert batch.events["time"].to_list() == [None]
    assert batch.rejects.select("level", "category").rows() == [("warning", "bad_time")]


def test_relatives_are_never_the_patient() -> None:
    proband, brother = feature("HP:0001324", "Muscle weakness"), feature("HP:0025520", "Calcinosis cutis")
    brother["subject"]["id"] = "brother"
    batch = read({"id": "family", "proband": proband, "relatives": [brother], "pedigree": {}, "metaData": {}})
    assert batch.events.select("subject_id", "concept", "source").rows() == [
        ("patient", "muscle_weakness", "proband.phenotypicFeatures[0]")
    ]
    assert (batch.records_read, batch.records_ignored) == (2, 1)
    assert batch.not_read == {"relative of the proband": 1}


def test_members_of_a_cohort_with_the_same_subject_id_stay_apart() -> None:
    first, second = feature("HP:0001324", "Muscle weakness"), feature("HP:0025520", "Calcinosis cutis")
    second["id"] = "packet-2"
    batch = read({"id": "cohort", "members": [first, second]})
    assert batch.events.select("subject_id", "concept").rows() == [
        ("patient", "muscle_weakness"),
        ("patient (packet-2)", "calcinosis_cutis"),
    ]
    assert batch.rejects["category"].to_list() == ["repeated_subject"]


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "category"),
    [
        ("text", "wrong_type"),
        ({}, "wrong_type"),
        ({"type": "HP:0025520"}, "wrong_type"),
        ({"type": {}}, "no_code"),
        ({"type": {"id": "HP:0025520"}, "excluded": "true"}, "wrong_type"),
        ({"type": {"id": "HP:0025520"}, "negated": True}, "wrong_type"),  # version 1 would read as present
    ],
)
def test_bad_element_is_rejected_and_the_rest_read(element: Any, category: str) -> None:
    batch = read(packet(phenotypicFeatures=[element, {"type": {"id": "HP:0001324"}}]))
    assert batch.rejects.select("file", "record", "level", "category").rows() == [("file.json", "phenotypicFeatures[0]", "error", category)]
    assert batch.events["concept"].to_list() == ["muscle_weakness"]


@pytest.mark.parametrize("subject", [None, {}, {"id": ""}, {"id": " "}, {"id": 7}, "patient", []])
def test_packet_without_a_subject_id_is_rejected(subject: Any) -> None:
    obj = {**feature("HP:0025520", "Calcinosis cutis"), "subject": subject}
    batch = read(obj)
    assert (batch.records_read, batch.records_rejected, batch.patients.height, batch.events.height) == (1, 1, 0, 0)
    assert batch.rejects["category"].to_list() == ["no_subject"]


def test_rest_of_a_bad_subject_costs_only_itself() -> None:
    obj = feature("HP:0025520", "Calcinosis cutis")
    obj["subject"]["dateOfBirth"] = 1970
    batch = read(obj)
    assert batch.events.height == 1
    assert batch.rejects.select("level", "record").rows() == [("warning", "subject")]


def test_unknown_fields_are_named() -> None:
    obj = feature("HP:0025520", "Calcinosis cutis", colour="blue")
    obj["phenotypicFeatures"][0]["type"]["name"] = "x"
    obj["diagnoses"] = []
    batch = read(obj)
    assert batch.events.height == 1
    reasons = dict(batch.rejects.select("record", "reason").iter_rows())
    assert reasons["phenopacket"].endswith("diagnoses")
    assert reasons["phenotypicFeatures[0]"].endswith("colour, type.name")


def test_version_1_is_refused() -> None:
    obj = {**feature("HP:0025520", "Calcinosis cutis"), "metaData": {"phenopacketSchemaVersion": "1.0.0"}}
    assert read(obj).rejects["category"].to_list() == ["unsupported_version"]


def test_snake_case_and_null_are_protobuf_json_too() -> None:
    obj = packet(phenotypic_features=[{"type": {"id": "HP:0025520"}, "severity": None, "excluded": None}], diseases=None)
    assert facts(obj) == [("calcinosis_cutis", "affirmed")]


def test_files(tmp_path: Path) -> None:
    good = json.dumps(feature("HP:0025520", "Calcinosis cutis"))
    contents = {
        "a.json": good,
        "b.json": '{"id": ',
        "c.json": "\ufeff" + good,
        "d.json": '{"resourceType": "Bundle"}',
        "e.json": f"[{good}, 3]",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (batch,) = read_phenopackets([tmp_path, tmp_path / "missing.json"], INDEX, READER)
    assert_accounted(batch)
    assert batch.patients.height == 3
    errors = batch.rejects.filter(level="error")
    assert [(Path(row["file"]).name, row["record"], row["category"]) for row in errors.to_dicts()] == [
        ("b.json", None, "malformed_json"), ("d.json", None, "not_a_phenopacket"), ("e.json", "[1]", "not_a_phenopacket"),
        ("missing.json", None, "unreadable_file"),
    ]  # fmt: skip


def test_what_is_a_phenopacket() -> None:
    assert all(is_phenopacket(json.loads(path.read_text())) for path in EXAMPLES)
    assert not is_phenopacket({"resourceType": "Patient", "id": "1"})
    assert not is_phenopacket({"id": "1"})
    assert not is_phenopacket({"members": ["a"]})


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["P9Y", "P99999Y", "absent", "HP:0025520"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["id", "label", "age"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_phenopackets_never_raise(data: st.DataObject) -> None:
    obj: Any = json.loads(data.draw(st.sampled_from(EXAMPLES)).read_text())
    if data.draw(st.booleans()):
        obj = data.draw(st.sampled_from([{"proband": obj, "relatives": [copy.deepcopy(obj)]}, {"members": [obj, copy.deepcopy(obj)]}]))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(_places(obj)))
        if not path:
            continue
        parent = obj
        for key in path[:-1]:
            parent = parent[key]
        action = data.draw(st.sampled_from(["replace", "delete", "add"]))
        if action == "delete":
            del parent[path[-1]]
        elif action == "add" and isinstance(parent, dict):
            parent[data.draw(st.text(max_size=8))] = data.draw(_JSON)
        else:
            parent[path[-1]] = data.draw(_JSON)
    read(obj)


@given(_JSON)
def test_any_json_is_accounted_for(value: Any) -> None:
    read(value)
    read(packet(phenotypicFeatures=value, measurements=[value], subject=value))


# --- the examples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid_phenopackets(path: Path) -> None:
    assert Parse(path.read_text(encoding="utf-8"), Phenopacket()).subject.id


def test_examples_end_to_end() -> None:
    knowledge = load_knowledge()
    index, reader = ConceptIndex(knowledge.codes, knowledge.concepts), TextReader(knowledge.concepts.values())
    (batch,) = read_phenopackets(EXAMPLES, index, reader)
    assert_accounted(batch)
    assert (batch.records_rejected, batch.rejects.height) == (0, 0)
    found = {assessment.patient_id: assessment for assessment in assess_batch(batch, knowledge)}
    assert {patient: assessment.leading for patient, assessment in found.items()} == {
        "fictional-girl": "dystrophic",
        "fictional-woman": "calciphylaxis",
        "fictional-woman-2": "dystrophic",
        "fictional-man": "idiopathic",
    }
    assert found["fictional-girl"].age_years == pytest.approx(9.3, abs=0.05)
    assert [disease.disease for disease in found["fictional-girl"].diseases] == ["dermatomyositis_juvenile"]
    assert any("vka" in alarm.key for alarm in found["fictional-woman"].alarms)
