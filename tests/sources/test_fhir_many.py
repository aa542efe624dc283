"""Staged rows of many patients become the same patients, events and account as the reader of one machine makes of the same files."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import polars as pl
import pytest
from hand_made import CASES

from calcinosis.api import Readers, make_readers
from calcinosis.events import Batch
from calcinosis.sources.fhir import read_fhir
from calcinosis.sources.fhir_many import GATHERED, ManyPatients
from calcinosis.sources.fhir_staged import STAGED, stage_file, stage_lines
from calcinosis.sources.spool import find_files

DATA = Path(__file__).parents[3] / "shared" / "data"
BAD_LINES = b"""{"resourceType": "Patient", "id": "p1", "birthDate": "1960", "gender": "female"}

{"resourceType": "Observation", "id": "o1", "subject": {"reference": "Patient/p1"}, "code": {"coding": [{"system": "http://loinc.org", "code": "17861-6"}]}, "valueQuantity": {"value": "x"}}
{"resourceType": "Condition", "id": "c0", "code": {"text": "calcinosis cutis"}}
not JSON
[1, 2]
{"resourceType": "Nonsense", "id": "n1"}
{"resourceType": "Encounter", "id": "e1", "subject": {"reference": "Patient/p1"}}
{"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p2"}, "code": {"text": "calcinosis cutis"}, "onsetDateTime": "3020"}
{"resourceType": "Device", "id": "d1", "type": {"text": "pacemaker"}}
{"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient", "id": "p3"}}, {}]}
{"resourceType": "Observation", "id": "bp", "subject": {"reference": "Patient/p3"}, "status": "final", "code": {"text": "panel"}, "component": [{"code": {"text": "serum calcium"}, "valueQuantity": {"value": 2.9, "unit": "mmol/L"}}]}
"""


@pytest.fixture(scope="module")
def readers() -> Readers:
    return make_readers()


def staged(files: list[Path]) -> pl.DataFrame:
    frames = [
        frame.with_columns(pl.lit(at, dtype=pl.Int64).alias("at"))
        for at, file in enumerate(files)
        for frame in stage_file(str(file), file.read_bytes(), named=True)
    ]
    more = {name: kind for name, kind in GATHERED.items() if name not in STAGED and name != "at"}
    return pl.concat(frames).with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in more.items())


def many(files: list[Path], readers: Readers) -> Batch:
    reader: ManyPatients = pickle.loads(pickle.dumps(ManyPatients(readers.index, readers.text)))
    return reader(staged(files).to_arrow())


def one_machine(files: list[Path], readers: Readers) -> Batch:
    batches = list(read_fhir(files, readers.index, readers.text))
    last = batches[-1]
    last.patients = pl.concat([batch.patients for batch in batches])
    last.events = pl.concat([batch.events for batch in batches])
    return last


def assert_same(ours: Batch, theirs: Batch) -> None:
    for name in ("patients", "events", "rejects", "unmapped"):
        first, second = (
            getattr(batch, name).with_columns(pl.col(pl.List(pl.String)).list.join("|")).sort(pl.all(), nulls_last=True) for batch in (ours, theirs)
        )
        assert first.equals(second), f"{name}\n{first.join(second, on=first.columns, how='anti', nulls_equal=True)}"
    counts = ("records_read", "records_used", "records_ignored", "records_rejected", "not_read")
    assert [getattr(ours, name) for name in counts] == [getattr(theirs, name) for name in counts]


@pytest.mark.parametrize("folder", [CASES / "bundles", DATA / "fhir-pathling-9", DATA / "fhir-smart-bulk-13"], ids=lambda path: path.name)
def test_the_same_as_on_one_machine(folder: Path, readers: Readers) -> None:
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    files, _ = find_files([folder])
    assert_same(many(files, readers), one_machine(files, readers))


def test_what_cannot_be_used_has_the_same_file_line_and_reason(tmp_path: Path, readers: Readers) -> None:
    (tmp_path / "bad.ndjson").write_bytes(BAD_LINES)
    (tmp_path / "bad.gz.ndjson").write_bytes(gzip.compress(BAD_LINES.replace(b'"id": "', b'"id": "z')))
    (tmp_path / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "notes.txt").write_text("hello")
    files, _ = find_files([tmp_path])
    ours, theirs = many(files, readers), one_machine([tmp_path / file.name for file in files], readers)
    assert_same(ours, theirs)
    assert ours.records_rejected >= 8


def test_a_gzip_that_breaks_off_is_named_and_what_came_before_is_read(tmp_path: Path, readers: Readers) -> None:
    line = '{"resourceType": "Patient", "id": "p%d", "birthDate": "1960-01-01"}\n'
    whole = gzip.compress("".join(line % number for number in range(50_000)).encode())
    (tmp_path / "cut.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    batch = many([tmp_path / "cut.ndjson.gz"], readers)
    assert 0 < batch.patients.height < 50_000
    assert batch.rejects.filter(pl.col("category") == "unreadable")["file"].to_list() == [str(tmp_path / "cut.ndjson.gz")]
    assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected


def test_lines_are_counted_from_the_start_of_their_block() -> None:
    lines = [("a", 0, b"{}"), ("a", 0, b""), ("a", 0, b"nonsense"), ("a", 9, b"{}"), ("b", 0, b"{}")]
    (frame,) = stage_lines(lines)
    assert frame.filter(pl.col("what") == "reject").select("file", "block", "pos").rows() == [("a", 0, 1), ("a", 0, 3), ("a", 9, 1), ("b", 0, 1)]
    assert frame.filter(pl.col("what") == "lines").select("file", "block", "n").rows() == [("a", 0, 3), ("a", 9, 1), ("b", 0, 1)]
