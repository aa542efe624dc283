"""The public FHIR samples beside the repository: a real export layout, read truthfully. Skipped where ../shared/data is absent."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import polars as pl
import pytest

from calcinosis.api import screen
from calcinosis.knowledge import load_knowledge

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
    coverage = json.loads((out / "summary.json").read_text())["lab_coverage"]
    concepts = load_knowledge().concepts
    if name == "fhir-smart-bulk-13":  # this copy holds no Observation at all
        assert coverage == {}
        reasons = pl.read_parquet(out / "reasons.parquet")
        assert not reasons.filter(pl.col("role") != "missing")["label"].str.contains("measured and normal").any()
        shown = reasons["facts"].drop_nulls().explode().struct.field("concept").drop_nulls()
        assert [concept for concept in shown if concept and concepts[concept].lab] == []
        lacking = reasons.filter(pl.col("role") == "missing")["unknown"].explode().struct.unnest()
        because = set(lacking.filter(pl.col("concept").is_in([key for key, each in concepts.items() if each.lab]))["because"])
        assert because <= {"never measured"}  # the only lesion of this sample is a cut that was sutured, so nobody may have anything to say
        assert not pl.read_parquet(out / "assessments.parquet")["lesion_present"].any()
    else:
        assert coverage["calcium_total"]["patients_with"] > 0
    measured = {concepts[key].label: counts["patients_with"] for key, counts in coverage.items()}
    patients = pl.read_parquet(out / "assessments.parquet").height
    told = lab_counts((out / "report.html").read_text(encoding="utf-8"))
    assert told == {label: (measured.get(label, 0), patients - measured.get(label, 0)) for label in told}


def lab_counts(page: str) -> dict[str, tuple[int, int]]:
    """First-line quantity -> patients who have it, and patients in whom it was never measured, as the report says."""
    table = page[page.index('id="labs"') :].partition("</table>")[0]
    assert "Never measured: unknown, not normal" in table
    rows = re.findall(r'<th scope="row">([^<]+)</th><td class="number">(\d+) .*?</td><td class="number">(\d+) ', table)
    assert rows
    return {html.unescape(label): (int(some), int(none)) for label, some, none in rows}
