"""Bad FHIR input: never a traceback, never a silent drop; the rest is read, and each loss has a file, a line and a reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fhir_made import (
    ICD10CM,
    INDEX,
    LOINC,
    READER,
    assert_accounted,
    coded,
    events,
    made,
    patient,
    problems,
    read,
    read_paths,
    write_bundle,
    write_lines,
)

import calcinosis
from calcinosis.events import Batch
from calcinosis.sources.fhir import read_resources

GOOD = made("Condition", "good", code=coded("Calcinosis cutis", ICD10CM, "L94.2"))
PHOSPHATE = coded("Phosphate", LOINC, "2777-1")
SECRET = "Erika-Mustermann"


def read_line(tmp_path: Path, line: str | bytes) -> Batch:
    """A file with this line between two good ones."""
    batch = read_paths(write_lines(tmp_path / "a.ndjson", [patient(), line, GOOD]))
    assert_accounted(batch)
    assert batch.events["source"].to_list() == ["Condition/good"]
    return batch


# --- lines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "category"),
    [
        (b'{"resourceType":"Condition","id":"x","code":', "malformed_json"),
        (b"hello there", "malformed_json"),
        (b'{"resourceType":"Condition","id":"x"} and more', "malformed_json"),
        (b'{"resourceType":"Condition","id":"x"}{"resourceType":"Condition","id":"y"}', "malformed_json"),
        (b'{"resourceType":"Condition","id":"m\xff\xfe"}', "malformed_json"),
        (b'{"resourceType":"Condition\x00","id":"x"}', "malformed_json"),
        (b"\x00\x01\x02\x03", "malformed_json"),
        (b'{"resourceType":"Condition","id":"\\ud800"}', "malformed_json"),
        (b"[1, 2]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"12", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"id":"x"}', "no_resource_type"),
        (b"{}", "no_resource_type"),
        (b'{"resourceType":null,"id":"x"}', "no_resource_type"),
        (b'{"resourceType":"Spaceship","id":"x"}', "unknown_resource_type"),
        (b'{"resourceType":5,"id":"x"}', "unknown_resource_type"),
        (b'{"resourceType":"","id":"x"}', "unknown_resource_type"),
        (b'{"resourceType":"Condition","id":"x"}', "no_subject"),
        (b'{"resourceType":"Condition","id":"x","subject":"Patient/p"}', "no_subject"),
        (b'{"resourceType":"Condition","id":"x","subject":{"reference":"Group/1"}}', "no_subject"),
        (b'{"resourceType":"Condition","id":"x","subject":{"reference":"Patient/p"}}', "no_code"),
        (b'{"resourceType":"Condition","id":"x","subject":{"reference":"Patient/p"},"code":"calcinosis"}', "no_code"),
        (b'{"resourceType":"Condition","id":"x","subject":{"reference":"Patient/p"},"code":{"coding":[{}]}}', "no_code"),
        (b'{"resourceType":"Observation","subject":{"reference":"Patient/p"},"valueInteger":1}', "no_code"),
        (b'{"resourceType":"Patient","gender":"male"}', "no_id"),
        (b'{"resourceType":"Patient","id":"p"}', "duplicate_id"),
    ],
)
def test_a_bad_line(line: bytes, category: str, tmp_path: Path) -> None:
    batch = read_line(tmp_path, line)
    if category == "malformed_json" and line.startswith(b"["):
        return
    if b"\n" not in line:
        assert [(level, name, number) for level, name, number, _ in problems(batch)] == [("error", category, 2)]
    assert batch.records_read == 3


@pytest.mark.parametrize("sign", ["é", "€", "𐀀"])
@pytest.mark.parametrize("shift", range(4))
def test_a_bad_line_in_any_script(sign: str, shift: int, tmp_path: Path) -> None:
    """DuckDB shows a piece of the line in its message, and may cut a character in two there."""
    line = {**made("Condition", "x"), "subject": [None, {"value": "0" * shift + 40 * sign}]}
    batch = read_line(tmp_path, json.dumps(line, ensure_ascii=False))
    assert [(level, name, number) for level, name, number, _ in problems(batch)] == [("error", "no_subject", 2)]


@pytest.mark.parametrize("line", [b"", b"   ", b"\t", b"\r"])
def test_blank_lines_are_nothing(line: bytes, tmp_path: Path) -> None:
    batch = read_line(tmp_path, line)
    assert (batch.records_read, batch.rejects.height) == (2, 0)


def test_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(json.dumps(patient()).encode() + b"\r\n" + json.dumps(GOOD).encode() + b"\r\n")
    assert read_paths(path).records_used == 2


def test_an_export_that_was_cut_off(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.ndjson", [patient(), GOOD])
    path.write_bytes(path.read_bytes() + json.dumps(made("Condition", "late", code=coded("x"))).encode()[:50])
    batch = read_paths(path)
    assert problems(batch) == [("error", "malformed_json", 3, None)]
    assert (batch.records_read, batch.events.height) == (3, 1)


def test_many_bad_lines_among_many_good_ones(tmp_path: Path) -> None:
    lines: list[Any] = [patient()]
    lines += ["{broken" if number % 100 == 0 else made("Condition", str(number), code=GOOD["code"]) for number in range(5000)]
    batch = read_paths(write_lines(tmp_path / "a.ndjson", lines))
    assert_accounted(batch)
    assert (batch.records_read, batch.records_rejected, batch.events.height) == (5001, 50, 4950)
    assert batch.rejects["line"].to_list() == [number + 2 for number in range(0, 5000, 100)]


def test_numbers_that_standard_json_does_not_have(tmp_path: Path) -> None:
    lines = [
        '{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/p"},"code":{"text":"Phosphate"},"valueQuantity":{"value":NaN}}',
        '{"resourceType":"Observation","id":"2","subject":{"reference":"Patient/p"},"code":{"text":"Phosphate"},"valueInteger":NaN}',
        '{"resourceType":"Observation","id":"3","subject":{"reference":"Patient/p"},"code":{"text":"Phosphate"},"valueQuantity":{"value":1e999}}',
    ]
    batch = read_paths(write_lines(tmp_path / "a.ndjson", [patient(), *lines]))
    assert_accounted(batch)
    assert batch.events.height == 0


@pytest.mark.parametrize("field", ["text", "description"])
def test_a_long_line_is_read_and_one_beyond_all_measure_is_not(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = made("DocumentReference", "long", **{field: "x" * 70_000_000})  # more than DuckDB reads: the file is read line by line
    path = write_lines(tmp_path / "a.ndjson", [patient(), long, GOOD])
    batch = read_paths(path)
    assert (batch.records_used, batch.events.height, batch.rejects.height) == (3, 1, 0)
    monkeypatch.setattr("calcinosis.sources.spool.MAX_LINE", 60_000_000)
    batch = read_paths(path)
    assert_accounted(batch)
    assert problems(batch) == [("error", "too_large", 2, None)]
    assert batch.events.height == 1


# --- files ---------------------------------------------------------------------------------------------


def bad_file(tmp_path: Path, name: str, data: bytes) -> Batch:
    """A folder with this file and a good one."""
    write_lines(tmp_path / "good.ndjson", [patient(), GOOD])
    (tmp_path / name).write_bytes(data)
    batch = read_paths(tmp_path)
    assert_accounted(batch)
    assert "Condition/good" in batch.events["source"].to_list()
    return batch


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a"])
@pytest.mark.parametrize("data", [b"", b"\n \n", gzip.compress(b"", mtime=0)])
def test_empty_files(name: str, data: bytes, tmp_path: Path) -> None:
    batch = bad_file(tmp_path, name, data)
    assert problems(batch) == [("error", "empty_file", None, None)]
    assert batch.rejects["file"].to_list() == [str(tmp_path / name)]


@pytest.mark.parametrize(
    ("data", "category", "line"),
    [
        (b'{\n  "resourceType": "Condition",\n  "id": \n}', "malformed_json", 4),
        (b'{\n  "resourceType": "Condition",\n', "malformed_json", 3),
        (b"[\n 1\n]", "not_an_object", None),
        (b'{"resourceType":"Bundle","entry":{"a":1}}', "malformed_bundle", None),
        (b'{"resourceType":"Bundle","entry":[{"fullUrl":"x"}]}', "no_resource", None),
        (b'{"resourceType":"Bundle","entry":[5]}', "no_resource", None),
        (b'{"resourceType":"Bundle","entry":[{"resource":[]}]}', "", None),
        (b'{"resourceType":"Bundle","entry":[{"resource":7}]}', "not_an_object", None),
        (b'{"resourceType":"Bundle","entry":[{"resource":{"id":"x"}}]}', "no_resource_type", None),
        (b'{"resourceType":"Bundle","entry":', "malformed_json", 1),
        (b"\xff\xfe{\x00", "malformed_json", 1),
    ],
)
def test_bad_documents(data: bytes, category: str, line: int | None, tmp_path: Path) -> None:
    batch = bad_file(tmp_path, "a.json", data)
    found = [(name, number) for level, name, number, _ in problems(batch) if level == "error"]
    assert found == ([(category, line)] if category else [])


def test_bundles_without_entries_are_mentioned(tmp_path: Path) -> None:
    batch = bad_file(tmp_path, "a.json", b'{"resourceType":"Bundle","total":0}')
    assert problems(batch) == [("warning", "empty_bundle", None, None)]


def test_bundles_in_bundles(tmp_path: Path) -> None:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "entry": [{"resource": GOOD}]}
    for _ in range(3):
        bundle = {"resourceType": "Bundle", "entry": [{"resource": bundle}]}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    assert read_paths(tmp_path).events.height == 1
    for _ in range(5):
        bundle = {"resourceType": "Bundle", "entry": [{"resource": bundle}]}
    (tmp_path / "a.json").write_text(json.dumps(bundle))
    batch = read_paths(tmp_path)
    assert_accounted(batch)
    assert [category for _, category, _, _ in problems(batch)] == ["nested_bundle"]


def test_binary_files(tmp_path: Path) -> None:
    data = os.urandom(5000)
    batch = bad_file(tmp_path, "a.ndjson", b"x" + data)
    assert {category for _, category, _, _ in problems(batch)} == {"malformed_json"}
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + data)
    batch = read_paths(tmp_path)
    assert ("warning", "not_fhir", None, None) in problems(batch)
    batch = read_paths(tmp_path / "picture.png")
    assert problems(batch) == [("error", "not_fhir", None, None)]


@pytest.mark.parametrize("name", ["a.ndjson.gz", "a"])
def test_damaged_gzip(name: str, tmp_path: Path) -> None:
    lines = "\n".join(
        json.dumps(made("Condition", str(number), code=GOOD["code"], note=[{"text": os.urandom(30).hex()}])) for number in range(3000)
    )
    batch = bad_file(tmp_path, name, gzip.compress(lines.encode())[:-2000])
    errors = [category for level, category, _, _ in problems(batch) if level == "error"]
    assert errors[-1] == "unreadable"
    assert batch.events.height > 1000


def test_plain_text_that_is_named_gzip(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.ndjson.gz", [patient(), GOOD])
    assert read_paths(path).events.height == 1


def test_files_that_are_not_there(tmp_path: Path) -> None:
    batch = read_paths(tmp_path / "nowhere.json", write_lines(tmp_path / "a.ndjson", [patient(), GOOD]))
    assert_accounted(batch)
    assert problems(batch) == [("error", "unreadable", None, None)]
    assert batch.events.height == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.ndjson", [GOOD])
    path.chmod(0)
    assert problems(read_paths(path)) == [("error", "unreadable", None, None)]


def test_an_empty_folder_is_an_empty_batch(tmp_path: Path) -> None:
    batch = read_paths(tmp_path)
    assert (batch.records_read, batch.events.height, batch.patients.height, batch.rejects.height) == (0, 0, 0, 0)


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"\x00\x01")
    assert read_paths(tmp_path).rejects.height == 0


@pytest.mark.parametrize("name", ["it's.ndjson", "a b,c.ndjson", "[x]*?.ndjson", "größe.json"])
def test_odd_file_names(name: str, tmp_path: Path) -> None:
    batch = read_paths(write_lines(tmp_path / name, [patient(), "{", GOOD]))
    assert batch.events["source_file"].to_list() == [str(tmp_path / name)]
    assert batch.rejects["line"].to_list() == [2]


# --- fields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"valueQuantity": {"value": "abc", "unit": "mg/dL"}}, "valueQuantity has no usable number"),
        ({"valueQuantity": {"unit": "mg/dL"}}, "valueQuantity has no usable number"),
        ({"valueQuantity": "5 mg/dL"}, "valueQuantity has no usable number"),
        ({"valueQuantity": {"value": True}}, "valueQuantity has no usable number"),
        ({"valueBoolean": "true"}, "valueBoolean: expected a boolean, found a string"),
        ({"valueString": 5}, "valueString: expected a string, found a number"),
        ({"valueCodeableConcept": "positive"}, "valueCodeableConcept: expected an object, found a string"),
        ({"interpretation": "H"}, "interpretation: expected a list, found a string"),
        ({"referenceRange": 5}, "referenceRange: expected a list, found a number"),
        ({"note": "text"}, "note: expected a list, found a string"),
        ({"status": 5}, "status: expected a string, found a number"),
    ],
)
def test_a_field_of_the_wrong_type_costs_only_itself(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    observation = made("Observation", code=PHOSPHATE, **fields)
    in_file = read_paths(write_lines(tmp_path / "a.ndjson", [patient(), observation]))
    for batch, line in ((read(observation), None), (in_file, 2)):
        assert_accounted(batch)
        assert problems(batch) == [("warning", "wrong_type", line, "Observation/1")]
        assert batch.rejects["reason"].to_list() == [reason]
        assert (batch.records_used, batch.records_rejected) == (2, 0)
        assert batch.events["numeric_value"].drop_nulls().is_empty()


def test_numbers_sent_as_text_are_numbers() -> None:
    (event,) = events(made("Observation", code=PHOSPHATE, valueQuantity={"value": "5.1", "unit": "mg/dL"}))
    assert event["numeric_value"] == 5.1


def test_the_rest_of_a_code_is_used() -> None:
    code = {"coding": ["x", {"system": 5, "code": []}, {"system": ICD10CM, "code": "L94.2"}], "text": ["a"]}
    batch = read(made("Condition", code=code))
    assert batch.events["concept"].to_list() == ["calcinosis_cutis"]
    assert problems(batch) == [("warning", "wrong_type", None, "Condition/1")]


def test_an_attachment_that_is_not_base64() -> None:
    for data in ("%%%", "/////w=="):
        content = [{"attachment": {"contentType": "text/plain", "data": data}}]
        assert problems(read(made("DocumentReference", content=content))) == [("warning", "wrong_type", None, "DocumentReference/1")]


@pytest.mark.parametrize("value", [float("nan"), "\ud800", {1: 2}, object(), 10**400, b"bytes"])
def test_values_that_no_file_can_hold(value: Any) -> None:
    batch = read_resources([patient(), GOOD, made("Condition", "odd", code={"text": value})], INDEX, READER)
    assert_accounted(batch)
    assert batch.events["source"].to_list() == ["Condition/good"]


def test_what_is_remembered_of_a_value_that_no_file_can_hold_is_not_told_of_another_record(tmp_path: Path) -> None:
    """NaN and null are written alike."""
    def record(text: float | None) -> list[Any]:
        return [patient(), made("Condition", "1", code={"text": text, "id": "only here"})]

    read_resources(record(float("nan")), INDEX, READER)
    after, file = read_resources(record(None), INDEX, READER), read_paths(write_bundle(tmp_path / "a.json", record(None)))
    assert after.rejects["reason"].to_list() == file.rejects["reason"].to_list()
    assert after.rejects.height == 1


@pytest.mark.parametrize("item", [None, 5, "x", [], {}, {"resource": None}, {"resourceType": "Bundle"}, {"resourceType": ["Patient"]}])
def test_things_that_are_no_resources(item: Any, tmp_path: Path) -> None:
    for batch in (
        read_resources([patient(), GOOD, item], INDEX, READER),
        read_paths(write_bundle(tmp_path / "a.json", [patient(), GOOD, item])),
    ):
        assert_accounted(batch)
        assert batch.events.height == 1


def test_reasons_hold_no_words_of_the_record(tmp_path: Path) -> None:
    lines = [
        patient(name=SECRET, birthDate=SECRET), f'{{"resourceType":"Condition","id":"1",{SECRET}', f'"{SECRET}"', {"resourceType": SECRET, "id": "2"},
        {"resourceType": "Condition", "id": "3", "code": {"text": SECRET}}, made("Condition", "4", code=SECRET),
        made("Observation", "5", code=PHOSPHATE, valueQuantity={"value": SECRET}, effectiveDateTime=SECRET),
        made("DocumentReference", "6", content=[{"attachment": {"contentType": "text/plain", "data": SECRET}}]),
    ]  # fmt: skip
    batch = read_paths(write_lines(tmp_path / "a.ndjson", lines))
    assert batch.rejects.height >= 8
    assert SECRET not in str(batch.rejects.to_dicts())


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b'<?xml version="1.0"?><Bundle xmlns="http://hl7.org/fhir"/>', "XML"), (b"MSH|^~\\&|LAB|HOSPITAL|||202401011200||ORU^R01|1|P|2.5\r", "HL7 version 2"),
        (b"person_id,test,value\n1,calcium,2.4\n", "a table"), (b"%PDF-1.7 ...", "a document"),
        (b"Dear colleague, thank you for seeing this patient with calcinosis.", "a letter as plain text"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_named_with_the_way_in(tmp_path: Path, content: bytes, hint: str) -> None:
    path = tmp_path / "record.dat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the file is not JSON") as refused:
        calcinosis.assess(path)
    assert hint in str(refused.value)


def test_the_reason_reaches_whoever_calls_from_python(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"resourceType": "Patient", "id": "a"', encoding="utf-8")
    with pytest.raises(ValueError, match=r"the record holds 0: .*cut\.json.*not JSON"):
        calcinosis.assess(path)
    with pytest.raises(TypeError, match="as_of is a datetime"):
        calcinosis.assess({"resourceType": "Patient", "id": "a"}, as_of="2024-05-01")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="closed world 'lab'"):
        calcinosis.assess({"resourceType": "Patient", "id": "a"}, closed_world=frozenset({"lab"}))
