"""Two public OMOP samples: a CDM 5.3.1 without any value, and a CDM 5.4 without ancestors. Skipped where ../shared/data is absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from calcinosis.api import make_readers, read_batches, screen
from calcinosis.sources.omop_tables import COUNTED, TABLES

DATA = Path(__file__).parents[3] / "shared" / "data"
GIBLEED, SYNTHEA = DATA / "omop-gibleed", DATA / "omop-synthea27nj"

pytestmark = pytest.mark.skipif(not GIBLEED.exists() or not SYNTHEA.exists(), reason="../shared/data with the public samples is absent")


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Sample -> its results."""
    out = {source: tmp_path_factory.mktemp(source.name) for source in (GIBLEED, SYNTHEA)}
    for source, folder in out.items():
        screen(source, folder)
    return out


@pytest.fixture(scope="module")
def events() -> dict[Path, pl.DataFrame]:
    readers = make_readers()
    return {source: pl.concat([batch.events for batch in read_batches([source], readers)]) for source in (GIBLEED, SYNTHEA)}


def summary_of(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def rows_of(source: Path, *names: str) -> int:
    return sum(pl.scan_parquet(source / f"{name}.parquet").select(pl.len()).collect().item() for name in names)


@pytest.mark.parametrize("source", [GIBLEED, SYNTHEA], ids=lambda source: source.name)
def test_every_row_and_person_is_accounted_for(screened: dict[Path, Path], source: Path) -> None:
    summary = summary_of(screened[source])
    assert summary["records_read"] == rows_of(source, "person", *TABLES, *COUNTED)
    assert summary["records_read"] == summary["records_used"] + summary["records_ignored"] + summary["records_rejected"]
    assert summary["records_rejected"] == 0
    people = pl.read_parquet(source / "person.parquet")["person_id"].cast(pl.Int64).cast(pl.String)
    assessed = pl.read_parquet(screened[source] / "assessments.parquet")
    assert sorted(assessed["subject_id"]) == sorted(people)
    assert assessed["age_years"].null_count() == 0
    assert assessed["sex"].is_in(["female", "male"]).all()


@pytest.mark.parametrize("source", [GIBLEED, SYNTHEA], ids=lambda source: source.name)
def test_what_nobody_knows_is_counted_and_nobody_is_said_to_have_calcification(screened: dict[Path, Path], source: Path) -> None:
    unmapped = pl.read_csv(screened[source] / "unmapped.csv")
    assert unmapped.height > 50
    assert unmapped["n"].sum() <= 2 * summary_of(screened[source])["records_read"]
    assert unmapped.select("context", "system", "code", "text").is_duplicated().sum() == 0
    people = pl.read_parquet(screened[source] / "assessments.parquet")
    assert not people["mineral_shown"].fill_null(False).any()
    assert not people["leading_status"].is_in(["confirmed", "probable"]).any()


def test_conditions_and_drugs_of_gibleed(events: dict[Path, pl.DataFrame], screened: dict[Path, Path]) -> None:
    affirmed = events[GIBLEED].filter(pl.col("certainty") == "affirmed")
    persons = {name: affirmed.filter(pl.col("concept") == name)["subject_id"].n_unique() for name in ("rheumatoid_arthritis", "warfarin")}
    assert persons == {"rheumatoid_arthritis": 18, "warfarin": 137}
    diseases = pl.read_parquet(screened[GIBLEED] / "assessments.parquet")["diseases"]
    assert diseases.list.contains("rheumatoid_arthritis").sum() == 18


def test_measurements_without_a_value_are_unknown(events: dict[Path, pl.DataFrame], screened: dict[Path, Path]) -> None:
    measurements = pl.read_parquet(GIBLEED / "measurement.parquet")
    assert measurements.height == 44_053
    assert measurements["value_as_number"].null_count() == 44_053
    labs = {key for key, concept in make_readers().knowledge.concepts.items() if concept.kind == "lab"}
    assert not events[GIBLEED].filter(pl.col("concept").is_in(list(labs))).height
    assert summary_of(screened[GIBLEED])["lab_coverage"] == {}
    reasons = pl.read_parquet(screened[GIBLEED] / "reasons.parquet").filter(pl.col("role") != "missing")
    assert not reasons["label"].str.contains("measured and normal").any()
    assert "never measured" in (screened[GIBLEED] / "report.html").read_text(encoding="utf-8").lower()


def test_laboratory_values_of_synthea(events: dict[Path, pl.DataFrame], screened: dict[Path, Path]) -> None:
    raw = pl.read_parquet(SYNTHEA / "measurement.parquet").filter(pl.col("measurement_concept_id").is_in([3006906, 3032503]))  # LOINC 17861-6, 49765-1
    found = events[SYNTHEA].filter(pl.col("concept") == "calcium_total")
    assert found.height == raw.height == raw["value_as_number"].is_not_null().sum() > 0
    assert sorted(found["numeric_value"]) == sorted(raw["value_as_number"].cast(pl.Float64))
    assert set(found["unit"]) == {"mg/dL"}
    assert found["subject_id"].n_unique() == summary_of(screened[SYNTHEA])["lab_coverage"]["calcium_total"]["patients_with"]
    rejects = pl.read_parquet(screened[SYNTHEA] / "rejects.parquet")
    assert set(rejects["category"]) <= {"unknown_unit", "impossible_date"}
    assert rejects["file"].str.ends_with(".parquet").all()
