"""A folder is read as one format; what else it holds is told, file by file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from calcinosis.api import screen
from calcinosis.engines.cohort import Cohort
from calcinosis.simulate import simulate

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"
LINES = b'{"resourceType": "Patient", "id": "p"}\n'


def made(folder: Path, data_format: str) -> Path:
    """A small population of one format, the folder itself."""
    return simulate(20, folder, data_format=data_format, seed=3).folder


def told(cohort: Cohort) -> dict[str, tuple[str, str]]:
    """File name -> level and category of the files that were left aside."""
    asked = pl.col("category").is_in(["other_format", "other_file"])
    return {Path(row["file"]).name: (row["level"], row["category"]) for row in cohort.rejects.filter(asked).to_dicts()}


def assert_adds_up(cohort: Cohort) -> None:
    said = cohort.summary
    assert said.records_read == said.records_used + said.records_ignored + said.records_rejected


@pytest.mark.parametrize("data_format", ["meds", "omop"])
def test_fhir_beside_tables_is_told_file_by_file(tmp_path: Path, data_format: str) -> None:
    source = made(tmp_path / "made", data_format)
    alone = screen(source, tmp_path / "alone")
    assert told(alone) == {}
    (source / "below").mkdir()
    (source / "Patient.ndjson").write_bytes(LINES)
    shutil.copy(CASES / "b090.json", source / "below")
    (source / "README.md").write_text("made up")
    cohort = screen(source, tmp_path / "out")
    error = ("error", "other_format")
    assert told(cohort) == {"Patient.ndjson": error, "b090.json": error, "README.md": ("warning", "other_file")}
    assert cohort.summary.not_read[f"FHIR files beside {data_format.upper()}"] == 2
    assert cohort.summary.records_rejected == alone.summary.records_rejected + 2
    assert cohort.summary.patients_assessed == alone.summary.patients_assessed
    assert_adds_up(cohort)


def test_one_meds_file_beside_fhir_does_not_hide_the_fhir(tmp_path: Path) -> None:
    shard = next(made(tmp_path / "made", "meds").rglob("data/**/*.parquet"))
    source = tmp_path / "mixed"
    source.mkdir()
    shutil.copy(shard, source / "events.parquet")
    shutil.copy(CASES / "b090.json", source)
    done = subprocess.run(
        [sys.executable, "-m", "calcinosis.cli", "screen", str(source), "--out", str(tmp_path / "out"), "--quiet"],
        capture_output=True, text=True, timeout=120, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Not read: FHIR files beside MEDS: 1" in done.stdout
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["not_read"]["FHIR files beside MEDS"] == 1
    assert "FHIR files beside MEDS (1)" in (tmp_path / "out" / "report.html").read_text()


def test_a_dataset_in_a_folder_beside_another_does_not_hide_it(tmp_path: Path) -> None:
    made(tmp_path, "meds")
    made(tmp_path, "fhir")
    cohort = screen(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    assert cohort.summary.not_read["FHIR files beside MEDS"] == len(list((tmp_path / "fhir").glob("*.ndjson*")))
    assert_adds_up(cohort)


def test_tables_beside_other_tables_are_told(tmp_path: Path) -> None:
    source = made(tmp_path / "omop", "omop")
    meds = made(tmp_path / "meds", "meds")
    shutil.copytree(meds / "data", source / "data")
    shards = {path.name for path in (meds / "data").rglob("*.parquet")}
    (source / "measurement.tsv").write_text("measurement_id\n1\n")  # measurement.parquet is read
    (source / "visit_occurrence.csv").write_text("visit_occurrence_id\n1\n")  # a table that no rule reads
    duckdb.connect(str(source / "other.duckdb")).close()
    cohort = screen(source, tmp_path / "out")
    error = ("error", "other_format")
    assert told(cohort) == {**dict.fromkeys(shards, error), "other.duckdb": error, "measurement.tsv": ("warning", "other_file")}
    assert_adds_up(cohort)


def test_tables_beside_fhir_are_counted(tmp_path: Path) -> None:
    source = made(tmp_path, "fhir")
    made(tmp_path / "more", "omop").rename(source / "cdm")
    cohort = screen(source, tmp_path / "out")
    tables = len(list((source / "cdm").glob("*.parquet")))
    assert tables
    assert cohort.summary.not_read["Parquet, CSV or DuckDB files beside FHIR"] == tables


def test_fhir_lines_beside_phenopackets_are_told(tmp_path: Path) -> None:
    packet = {"id": "x", "subject": {"id": "p"}, "metaData": {"phenopacketSchemaVersion": "2.0"}}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text(json.dumps(packet))
    (tmp_path / "in" / "Patient.ndjson").write_bytes(LINES)
    cohort = screen(tmp_path / "in", tmp_path / "out")
    assert told(cohort) == {"Patient.ndjson": ("error", "other_format")}
    assert cohort.summary.not_read["FHIR files beside phenopackets"] == 1
