"""The 100 real patients of the MIMIC-IV demo in MEDS, read truthfully. Skipped where ../shared/data is absent."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from calcinosis.api import make_readers, read_batches, screen

DATA = Path(__file__).parents[3] / "shared" / "data" / "meds-mimic-iv-demo"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data with the public samples is absent")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimic")
    screen(DATA, folder)
    return folder


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return pl.concat([batch.events for batch in read_batches([DATA], make_readers())])


def test_every_row_and_person_is_accounted_for(out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    assert summary["records_read"] == 356_063
    assert summary["records_read"] == summary["records_used"] + summary["records_ignored"] + summary["records_rejected"]
    assert summary["patients_assessed"] == summary["patients_read"] == 100
    people = pl.read_parquet(out / "assessments.parquet")
    assert people["sex"].null_count() == people["age_years"].null_count() == 0
    assert not people["mineral_shown"].fill_null(False).any()  # nobody in it has known calcinosis


def test_labs_are_found_in_as_many_patients_as_the_data_hold(out: Path) -> None:
    coverage = json.loads((out / "summary.json").read_text())["lab_coverage"]
    found = {lab: coverage[lab]["patients_with"] for lab in ("phosphate", "calcium_total", "pth_intact")}
    assert found == {"phosphate": 100, "calcium_total": 99, "pth_intact": 9}


def test_warfarin_kidney_failure_and_dialysis_are_found(events: pl.DataFrame) -> None:
    patients = {
        concept: events.filter(pl.col("concept") == concept)["subject_id"].n_unique() for concept in ("warfarin", "esrd", "haemodialysis")
    }
    assert patients["warfarin"] == 23
    raw = pl.read_parquet(DATA / "data" / "*" / "*.parquet")
    esrd = raw.filter(pl.col("code").is_in(["DIAGNOSIS//ICD//10//N186", "DIAGNOSIS//ICD//9//5856"]))["subject_id"].n_unique()
    assert patients["esrd"] >= esrd > 0
    assert patients["haemodialysis"] > 0


def test_nobody_with_an_absent_lab_is_called_normal(out: Path, events: pl.DataFrame) -> None:
    measured = set(events.filter(pl.col("concept") == "pth_intact")["subject_id"])
    reasons = pl.read_parquet(out / "reasons.parquet").explode("facts").unnest("facts", separator="_")
    told = reasons.filter(pl.col("facts_concept") == "pth_intact")
    assert set(told["subject_id"]) <= measured
    silent = reasons.filter(~pl.col("subject_id").is_in(list(measured)) & (pl.col("role") != "missing"))
    assert (
        not silent["label"].str.contains("(?i)PTH.* normal").fill_null(False).filter(silent["label"].str.contains("not known").not_()).any()
    )


def test_what_is_not_mapped_or_has_no_usable_unit_is_listed(out: Path) -> None:
    unmapped = pl.read_csv(out / "unmapped.csv")
    assert unmapped.filter(pl.col("code") == "2075-0")["text"].to_list() == ["Chloride [Moles/volume] in Serum or Plasma"]
    rejects = pl.read_parquet(out / "rejects.parquet")
    beside = rejects.filter(pl.col("category") == "other_file")  # licence, checksums
    assert beside["level"].unique().to_list() == ["warning"]
    rejects = rejects.filter(pl.col("category") != "other_file")
    assert set(rejects["category"]) == {"unknown_unit"}
    assert rejects["record"].str.contains(r"^row/\d+$").all()
