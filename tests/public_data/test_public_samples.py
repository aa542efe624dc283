"""The public FHIR samples beside the repository: a real export layout, read truthfully. Skipped where ../shared/data is absent."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from calcinosis.api import screen

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="../shared/data with the public samples is absent")


@pytest.fixture(scope="module", params=["fhir-smart-bulk-13", "fhir-pathling-9"])
def screened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp(request.param)
    screen(DATA / request.param, out)
    return request.param, out


def test_every_record_and_patient_is_accounted_for(screened: tuple[str, Path]) -> None:
    name, out = screened
    summary = json.loads((out / "summary.json").read_text())
    lines = sum(1 for path in (DATA / name).glob("*.ndjson") for line in path.read_bytes().splitlines() if line.strip())
    assert summary["records_read"] == lines
    assert lines == summary["records_used"] + summary["records_ignored"] + summary["records_rejected"]
    assert summary["patients_assessed"] == summary["patients_read"] == int(name.rsplit("-", 1)[1])
    assert pl.read_csv(out / "unmapped.csv")["n"].sum() > 0


def test_nobody_is_said_to_have_calcification(screened: tuple[str, Path]) -> None:
    _, out = screened
    people = pl.read_parquet(out / "assessments.parquet")
    assert not people["mineral_shown"].fill_null(False).any()
    assert not people["leading_status"].is_in(["confirmed", "probable"]).any()


def test_a_lab_never_measured_is_unknown_not_normal(screened: tuple[str, Path]) -> None:
    name, out = screened
    summary = json.loads((out / "summary.json").read_text())
    page = (out / "report.html").read_text(encoding="utf-8")
    if name == "fhir-smart-bulk-13":  # this copy holds no Observation at all
        assert summary["lab_coverage"] == {}
        reasons = pl.read_parquet(out / "reasons.parquet")
        said = reasons.filter(pl.col("role") != "missing")["label"]
        assert not said.str.contains("measured and normal").any()
    else:
        assert summary["lab_coverage"]["calcium_total"]["patients_with"] > 0
    assert "never measured" in page.lower() or "unknown" in page.lower()
