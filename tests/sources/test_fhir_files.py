"""FHIR R4: that the kind of file does not matter, that nothing is lost, and that public data reads as it should."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from fhir_made import (
    CALCINOSIS,
    ICD10CM,
    INDEX,
    PHOSPHATE,
    READER,
    SNOMED,
    WARFARIN,
    assert_accounted,
    attached,
    coded,
    comparable,
    gathered,
    made,
    patient,
    problems,
    quantity,
    read,
    read_paths,
    status,
    write_bundle,
    write_lines,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA
from calcinosis.knowledge import load_knowledge
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir import read_fhir, read_resources
from calcinosis.sources.fhir_tables import FhirTables
from calcinosis.sources.spool import HEAD
from calcinosis.sources.text import TextReader

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# --- the kind of file does not matter ------------------------------------------------------------------


LETTER = "Seen for livedo racemosa of the thighs. No skin ulcers. Calcium 9.8. Phosphate 6.1 mg/dL, mother has scleroderma.\n" * 4
EVERYTHING = [
    patient(),
    made("Condition", "c1", code=coded("Calcinosis cutis of the elbow", ICD10CM, "L94.2"), onsetDateTime="2020", note=[{"text": "livedo racemosa"}]),
    made("Condition", "c2", code=coded("Viral sinusitis", SNOMED, "444814009")),
    made("Condition", "c3", code=CALCINOSIS, verificationStatus=status("entered-in-error")),
    made("Condition", "c4", code=CALCINOSIS, onsetDateTime="2020-13-45", abatementDateTime="soon"),
    made("Condition", "c5", code="calcinosis"),
    made("Condition", "c6", code=CALCINOSIS, subject={"reference": "Patient/elsewhere"}),
    made("Observation", "o1", status="final", code=PHOSPHATE, valueQuantity=quantity(5.1), effectiveDateTime="2020-01-02T03:04:05+06:00",
         referenceRange=[{"low": quantity(2.5), "high": quantity(4.5)}], interpretation=[coded(None, "x", "H")]),
    made("Observation", "o2", code=PHOSPHATE, valueQuantity=quantity("high")),
    made("Observation", "o3", code=coded("Panel"), component=[{"code": PHOSPHATE, "valueQuantity": quantity(4)}, {"code": coded("ANA"), "valueString": "negative"}]),
    made("Observation", "o4", code=coded("Skin finding"), valueString="livedo racemosa of the thigh"),
    made("Observation", "o1", code=PHOSPHATE, valueQuantity=quantity(1)),
    {"resourceType": "Medication", "id": "m", "code": WARFARIN},
    made("MedicationRequest", "d1", status="active", medicationReference={"reference": "Medication/m"}, authoredOn="2019"),
    made("MedicationStatement", "d2", status="not-taken", medicationCodeableConcept=WARFARIN, dosage=[{"text": "7 days before onset"}]),
    made("Procedure", "x1", status="completed", code=coded("Haemodialysis")),
    made("DiagnosticReport", "r1", code=coded("Radiograph of the hand"), conclusion="Calcifications. No mass."),
    made("DocumentReference", "l1", content=[{"attachment": attached("scleroderma")}]),
    made("DocumentReference", "l2", status="current", date="2021", description="Calcium 9.8", content=[{"attachment": attached(LETTER)}]),
    made("DocumentReference", "l3", status="current", date="2022", content=[{"attachment": attached(LETTER, "Text/Plain; charset=utf-8")}]),
    made("DocumentReference", "l4", status="entered-in-error", content=[{"attachment": attached(LETTER)}]),
    made("DocumentReference", "l5", content=[{"attachment": attached(LETTER)}, {"attachment": attached(LETTER, "application/pdf")}]),
    made("DiagnosticReport", "r2", status=7, code=coded("Skin biopsy of the thigh, calcium 9.8"), conclusion=LETTER, presentedForm=[attached(LETTER)]),
    made("Observation", "o5", code=coded("Progress note"), valueString=LETTER, note=[{"text": "scleroderma"}],
         component=[{"code": PHOSPHATE, "valueQuantity": quantity(6)}, {"code": coded("Course"), "valueString": LETTER}]),
    made("FamilyMemberHistory", "f1", condition=[{"code": CALCINOSIS}]),
    made("Encounter", "e1", status="finished"),
    {"resourceType": "Spaceship", "id": "s1"},
    {"resourceType": "Condition", "id": "n1", "code": CALCINOSIS},
]  # fmt: skip


def test_every_kind_of_file_gives_the_same(tmp_path: Path) -> None:
    in_process = comparable(read_resources(EVERYTHING, INDEX, READER))
    files = [
        write_bundle(tmp_path / "bundle.json", EVERYTHING),
        write_lines(tmp_path / "lines.ndjson", EVERYTHING),
        write_lines(tmp_path / "any-name", EVERYTHING),
        write_lines(tmp_path / "lines.ndjson.gz", EVERYTHING, gzipped=True),
        write_lines(tmp_path / "gzip-without-a-name", EVERYTHING, gzipped=True),
        write_lines(tmp_path / "bundle-in-lines.ndjson", [EVERYTHING[0], {"resourceType": "Bundle", "entry": [{"resource": item} for item in EVERYTHING[1:]]}]),
    ]  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps(EVERYTHING, indent=1))
    (tmp_path / "indented.json").write_text(
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": item} for item in EVERYTHING]}, indent=2)
    )
    (tmp_path / "bom.ndjson").write_bytes(b"\xef\xbb\xbf" + files[1].read_bytes())
    for path in (*files, tmp_path / "list.json", tmp_path / "indented.json", tmp_path / "bom.ndjson"):
        batch = read_paths(path)
        assert_accounted(batch)
        assert comparable(batch) == in_process, path.name


ENTRY_A_LINE = json.dumps({"resourceType": "Bundle", "entry": [{"resource": item} for item in EVERYTHING]}).replace(', {"resource"', ',\n{"resource"')


@pytest.mark.parametrize(
    "text",
    [
        ENTRY_A_LINE,
        ENTRY_A_LINE.replace('[{"resource"', '[\n{"resource"', 1),
        ENTRY_A_LINE.replace('[{"resource"', '[\n  {"resource"', 1)[:-2] + "\n]}\n",
        ENTRY_A_LINE.replace(',\n{"resource"', '\n,{"resource"'),
        ENTRY_A_LINE.replace('[{"resource"', '[\n{"resource"', 1).replace(',\n{"resource"', '\n,{"resource"'),
        ENTRY_A_LINE.replace("\n", "\r\n"),
        "\n\r\n" + ENTRY_A_LINE.replace("\n", "\n\n"),
        "\ufeff" + ENTRY_A_LINE,
        "\ufeff" + ENTRY_A_LINE.replace("\n", "\r\n"),
    ],
    ids=["plain", "first_too", "end_apart", "comma_first", "comma_first_first_too", "crlf", "blank_lines", "mark", "mark_and_crlf"],
)
@pytest.mark.parametrize("size", ["small", "beyond_the_head"])
def test_a_bundle_with_an_entry_a_line_is_one_document(tmp_path: Path, text: str, size: str) -> None:
    if size == "beyond_the_head":
        text = text.replace('"finished"', json.dumps("é" * HEAD, ensure_ascii=False))
    path = tmp_path / "bundle.json"
    path.write_text(text, encoding="utf-8", newline="")
    assert comparable(read_paths(path)) == comparable(read_resources(EVERYTHING, INDEX, READER))


def test_a_bundle_with_an_entry_a_line_that_breaks_off_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(ENTRY_A_LINE[:-20], encoding="utf-8")
    assert [category for _, category, _, _ in problems(read_paths(path))] == ["malformed_json"]
    path.write_text(ENTRY_A_LINE.replace('"Spaceship"', "Spaceship"), encoding="utf-8")
    assert [category for _, category, _, _ in problems(read_paths(path))] == ["malformed_json"]


@pytest.mark.parametrize(
    "first", ['{"resourceType":"Condition","id":', '{"resourceType":"Condition","x":[', '{"resourceType":"Condition","id":"c', "{broken", '{"a":1,']
)
@pytest.mark.parametrize("good", [1, 2, 9])
def test_a_broken_first_line_leaves_the_lines_after_it(tmp_path: Path, first: str, good: int) -> None:
    path = write_lines(tmp_path / "a.ndjson", [patient(), *(made("Condition", f"c{n}", code=CALCINOSIS) for n in range(good - 1))])
    path.write_bytes(first.encode() + b"\n" + path.read_bytes())
    batch = read_paths(path)
    assert problems(batch) == [("error", "malformed_json", 1, None)]
    assert (batch.records_read, batch.records_used) == (good + 1, good)


def test_lines_that_are_all_broken_are_told_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"resourceType":"Condition","id":"c\n' * 3)
    assert problems(read_paths(path)) == [("error", "malformed_json", line, None) for line in (1, 2, 3)]


def test_bundles_longer_than_the_head_may_stand_in_lines(tmp_path: Path) -> None:
    long = {"resourceType": "Bundle", "entry": [{"resource": patient()}, {"resource": made("Spaceship", "s", name="x" * HEAD)}]}
    path = write_lines(tmp_path / "a.ndjson", [long, {"resourceType": "Bundle", "entry": [{"resource": made("Condition", "c", code=CALCINOSIS)}]}])
    assert read_paths(path).events["concept"].to_list() == ["calcinosis_cutis"]


def test_a_folder_of_single_resources(tmp_path: Path) -> None:
    for number, resource in enumerate(EVERYTHING):
        (tmp_path / f"{number:02}.json").write_text(json.dumps(resource, indent=2 if number % 2 else None))
    assert comparable(read_paths(tmp_path)) == comparable(read_resources(EVERYTHING, INDEX, READER))


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    batch = read_paths(write_lines(tmp_path / "a.ndjson", ["", EVERYTHING[0], "  ", *EVERYTHING[1:]]))
    lines = {(category, record): line for _, category, line, record in problems(batch)}
    assert lines["no_code", "Condition/c5"] == 8
    assert lines["duplicate_id", "Observation/o1"] == 14
    assert lines["unknown_resource_type", "unknown type/s1"] == 29
    assert lines["no_subject", "Condition/n1"] == 30
    assert lines["impossible_date", "Condition/c4"] == 7


def test_the_first_of_two_resources_with_one_id_counts(tmp_path: Path) -> None:
    twice = [made("Observation", "o", code=PHOSPHATE, valueInteger=value) for value in (1, 2, 3)]
    for batch in (read(*twice), read_paths(write_lines(tmp_path / "a.ndjson", [patient(), *twice]))):
        assert batch.events["numeric_value"].to_list() == [1.0]
        assert batch.records_rejected == 2


def test_every_patient_is_complete_in_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calcinosis.sources.fhir.EVENTS_PER_BATCH", 10)
    people = [patient(str(number)) for number in range(30)]
    resources = [
        made("Condition", f"{number}-{copy}", code=CALCINOSIS, subject={"reference": f"Patient/{number}"})
        for number in range(30)
        for copy in range(3)
    ]
    batches = list(read_fhir([write_lines(tmp_path / "a.ndjson", [*people, *resources])], INDEX, READER))
    assert len(batches) == 9
    subjects = [subject for batch in batches for subject in batch.patients["subject_id"]]
    assert sorted(subjects) == sorted(str(number) for number in range(30))
    for batch in batches:
        assert set(batch.events["subject_id"]) == set(batch.patients["subject_id"])
        assert all(count == 3 for count in batch.events.group_by("subject_id").len()["len"])
    assert [batch.records_read for batch in batches] == [0] * 8 + [120]


def test_schemas_and_progress(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a.json", EVERYTHING)
    write_lines(tmp_path / "b.ndjson", [])
    seen: list[tuple[int, int]] = []
    batch = read_paths(tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)
    for found in (batch, read_resources([], INDEX, READER), read_paths(tmp_path / "b.ndjson")):
        assert found.events.schema == EVENT_SCHEMA
        assert found.patients.schema == PATIENT_SCHEMA


# --- random changes ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 3000) | st.sampled_from([1.5, -0.25, 7.0]) | st.text(max_size=6)
    | st.sampled_from(["2020", "Patient/p", "#x", "refuted", "H", "absent", "calcinosis", "5.1", "1e3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["coding", "text", "value", "code", "reference", "start"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inside for found in [(*path, key), *places(item, (*path, key))]]


@st.composite
def mutated(draw: st.DrawFn) -> list[Any]:
    resources: list[Any] = copy.deepcopy(EVERYTHING)
    for _ in range(draw(st.integers(1, 8))):
        path = draw(st.sampled_from(places(resources)))
        target: Any = resources
        for key in path[:-1]:
            target = target[key]
        if isinstance(target, dict) and draw(st.booleans()):
            del target[path[-1]]
        else:
            target[path[-1]] = draw(JSON)
    return resources


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mutated())
def test_random_changes_never_raise_and_are_accounted_for(tmp_path: Path, resources: list[Any]) -> None:
    in_process = read_resources(resources, INDEX, READER)
    assert_accounted(in_process)
    bundle = read_paths(write_bundle(tmp_path / "a.json", resources))
    assert_accounted(bundle)
    assert comparable(bundle) == comparable(in_process)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mutated())
def test_random_changes_read_the_same_from_lines(tmp_path: Path, resources: list[Any]) -> None:
    lines = read_paths(write_lines(tmp_path / "a.ndjson", resources))
    assert_accounted(lines)
    if all(isinstance(item, dict) and isinstance(item.get("resourceType"), str) for item in resources):
        assert comparable(lines) == comparable(read_resources(resources, INDEX, READER))


# --- public data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "patients", "records", "present"),
    [("fhir-smart-bulk-13", 13, 6810, {"esrd", "insulin"}), ("fhir-pathling-9", 9, None, {"calcium_total", "creatinine"})],
)
def test_public_data(folder: str, patients: int, records: int | None, present: set[str]) -> None:
    if not (DATA / folder).exists():
        pytest.skip(f"public data not here: {DATA / folder}")
    knowledge = load_knowledge()
    index, reader = ConceptIndex(knowledge.codes, knowledge.concepts), TextReader(knowledge.concepts.values())
    batch = gathered(read_fhir([DATA / folder], index, reader))
    assert_accounted(batch)
    assert batch.patients.height == patients
    assert batch.patients["birth_date"].null_count() == 0
    assert batch.records_rejected == 0
    assert records is None or batch.records_read == records
    assert present <= set(batch.events["concept"])
    assert batch.events["time"].null_count() == 0


def test_a_duplicate_is_found_among_millions_of_ids(tmp_path: Path) -> None:
    tables = FhirTables(tmp_path, "120MB")
    tables.con.execute("INSERT INTO flat BY NAME SELECT 0 AS file, 'Condition' AS rt, 'c' || range AS id FROM range(5000000)")
    assert not tables.may_have_duplicates()
    tables.con.execute("INSERT INTO flat BY NAME SELECT 0 AS file, 'Condition' AS rt, 'c77' AS id")
    assert tables.may_have_duplicates()
    tables.close()
