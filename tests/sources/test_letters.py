"""Letters of a hospital, hardly two of which are alike: read with their patients, in as many processes as there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir_made import INDEX, READER, attached, coded, gathered, made, patient, write_lines

from calcinosis.api import make_readers, screen
from calcinosis.events import Part
from calcinosis.sources.fhir import fhir_parts, read_fhir
from calcinosis.sources.fhir_tables import FhirTables

PATIENTS = 30


def letter(number: int) -> str:
    filler = f"Seen on visit {number} with a long account of the journey, the weather, the family and the food of the canteen. " * 4
    return f"{filler}She has {'no ' if number % 2 else ''}livedo racemosa. Phosphate 7.{number % 10} mg/dL."


def letters(kind: str) -> Iterator[dict[str, Any]]:
    for number in range(PATIENTS):
        yield patient(f"p{number}")
        fields: dict[str, Any] = {
            "DocumentReference": {"content": [{"attachment": attached(letter(number))}]},
            "DiagnosticReport": {"code": coded("Report"), "conclusion": letter(number)},
            "Observation": {"code": coded("Letter"), "valueString": letter(number)},
        }[kind]
        yield {**made(kind, f"l{number}", status="final" if kind != "DocumentReference" else "current", **fields),
               "subject": {"reference": f"Patient/p{number}"}}  # fmt: skip


@pytest.mark.parametrize("kind", ["DocumentReference", "DiagnosticReport", "Observation"])
def test_letters_stay_with_their_rows(kind: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.ndjson", [each for each in letters(kind) if each["resourceType"] == kind])
    tables = FhirTables(tmp_path)
    tables.read_lines([(0, path)], gzipped=False)
    tables.store_sayings()
    size, distinct = tables.letters()
    assert tables.rows("SELECT count(*), max(strlen(k)) < 400 FROM saying") == [(1, True)]  # what they say beside the letter is the same
    assert size > PATIENTS * 400
    assert distinct == pytest.approx(size, rel=0.3)
    tables.close()


@pytest.mark.parametrize("kind", ["DocumentReference", "DiagnosticReport", "Observation"])
def test_each_patient_has_his_own_letter(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calcinosis.sources.fhir._BYTES_PER_EVENT", 1)
    monkeypatch.setattr("calcinosis.sources.fhir.EVENTS_PER_BATCH", 3_000)
    path = write_lines(tmp_path / "a.ndjson", list(letters(kind)))
    parts = list(fhir_parts([path], INDEX, READER))
    assert sum(isinstance(part, Part) for part in parts) >= 3
    events = gathered(read_fhir([path], INDEX, READER)).events
    found = {(row["subject_id"], row["concept"]): row for row in events.to_dicts()}
    for number in range(PATIENTS):
        assert found[f"p{number}", "livedo_racemosa"]["certainty"] == ("negated" if number % 2 else "affirmed")
        assert found[f"p{number}", "phosphate"]["numeric_value"] == pytest.approx(7 + number % 10 / 10)
    assert len(found) == events.height


def test_processes_read_letters_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calcinosis.sources.fhir._BYTES_PER_EVENT", 1)
    monkeypatch.setattr("calcinosis.sources.fhir.EVENTS_PER_BATCH", 3_000)
    monkeypatch.setattr("calcinosis.engines.local._WORTH_WORKERS", 2)
    folder = tmp_path / "source"
    folder.mkdir()
    said = [each for kind in ("DocumentReference", "DiagnosticReport") for each in letters(kind)]
    unique = {json.dumps(each): each for each in said}
    write_lines(folder / "all.ndjson", list(unique.values()))
    written = {}
    for workers in (1, 2):
        out = tmp_path / str(workers)
        cohort = screen(folder, out, readers=make_readers(), workers=workers)
        assert (cohort.summary.patients_assessed, cohort.summary.records_used) == (PATIENTS, 3 * PATIENTS)
        assert cohort.reasons.height
        written[workers] = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    assert written[1] == written[2]
