"""The record as of a day: what came later, and what only a later day could know."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hand_made import INDEX, answer, day, event
from typer.testing import CliRunner

from calcinosis.api import assess, make_readers, screen
from calcinosis.cli import app
from calcinosis.facts import last_moment

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-01-01"}
ABOUT = {"subject": {"reference": "Patient/p"}}
ULCER = {"resourceType": "Condition", "id": "u", **ABOUT, "onsetDateTime": "2020-12-01", "code": {"text": "skin ulcer"}}


def warfarin(status: str, **period: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationStatement", "id": "w", **ABOUT, "status": status, "effectivePeriod": period,
        "medicationCodeableConcept": {"text": "warfarin"},
    }  # fmt: skip


def standings(as_of: date | None, *resources: dict[str, Any]) -> dict[str, str]:
    record = assess([PATIENT, *resources], as_of=as_of, readers=make_readers()).on_record
    assert record is not None
    return {each.fact.concept: each.standing for each in record.drugs}


def written(folder: Path, *resources: dict[str, Any]) -> Path:
    path = folder / "record.ndjson"
    path.write_text("\n".join(map(json.dumps, [PATIENT, *resources])), encoding="utf-8")
    return path


@pytest.mark.parametrize("status", ["stopped", "completed"])
def test_a_drug_that_was_stopped_later_was_taken_then(status: str) -> None:
    entry = warfarin(status, start="2019-01-01", end="2022-01-01")
    assert standings(date(2021, 2, 1), ULCER, entry) == {"warfarin": "taken"}
    assert standings(date(2022, 1, 1), ULCER, entry) == {"warfarin": "ended"}
    assert standings(None, ULCER, entry) == {"warfarin": "ended"}


def test_an_end_without_a_date_counts_as_it_is_recorded() -> None:
    assert standings(date(2021, 2, 1), ULCER, warfarin("stopped", start="2021-01-01")) == {"warfarin": "ended"}


def test_a_disease_that_was_resolved_later_was_not_over_then() -> None:
    resolved = event("ckd", day(-900), status="ended", end_time=day(-400))
    asked = {"over": "ckd", "for_days": 0}
    assert answer(asked, [resolved], as_of=day(-500)) is False
    assert answer(asked, [resolved], as_of=INDEX) is True
    assert answer({"current": "ckd"}, [resolved], as_of=day(-500)) is True
    assert answer({"current": "ckd"}, [resolved], as_of=INDEX) is False


def test_a_resolved_condition_of_fhir_goes_on_until_its_abatement(tmp_path: Path) -> None:
    pregnancy = {
        "resourceType": "Condition", "id": "c", **ABOUT, "onsetDateTime": "2020-12-15", "abatementDateTime": "2021-08-01",
        "clinicalStatus": {"coding": [{"code": "resolved"}]}, "code": {"text": "pregnancy"},
    }  # fmt: skip
    calcinosis = {**ULCER, "id": "k", "code": {"text": "calcinosis cutis"}}
    course = screen(written(tmp_path, calcinosis, pregnancy), tmp_path / "then", as_of=date(2021, 2, 1)).events
    assert course.filter(concept="pregnancy").select("status", "end_time").rows() == [(None, None)]  # as it could be written down then
    course = screen(tmp_path / "record.ndjson", tmp_path / "later", as_of=date(2021, 8, 1)).events
    assert course.filter(concept="pregnancy").select("status", "end_time").rows() == [("ended", datetime(2021, 8, 1))]


def test_a_day_counts_to_its_end_and_a_moment_is_exact() -> None:
    assert last_moment(date(2021, 5, 1)) == datetime(2021, 5, 1, 23, 59, 59, 999999)
    assert last_moment(datetime(2021, 5, 1)) == datetime(2021, 5, 1)
    assert last_moment(datetime(2021, 5, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == datetime(2021, 5, 1)
    assert last_moment(None) is None


AFTERNOON = {**ULCER, "onsetDateTime": "2021-05-01T14:30:00Z"}


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ("2021-05-01", True),
        ("2021-04-30", False),
        ("2021-05-01T14:29:59", False),
        ("2021-05-01 14:30:00", True),
        ("2021-05-01T16:29:59+02:00", False),
        ("2021-05-01T16:30:00+02:00", True),
    ],
)
def test_as_of_a_day_sees_its_afternoon(tmp_path: Path, asked: str, seen: bool) -> None:
    path = written(tmp_path, AFTERNOON)
    result = CliRunner().invoke(app, ["assess", str(path), "--json", "--as-of", asked])
    assert (json.loads(result.stdout)["index_basis"] == "lesion") is seen
    as_of = date.fromisoformat(asked) if len(asked) == 10 else datetime.fromisoformat(asked)
    assert (assess(path, as_of=as_of).index_basis == "lesion") is seen


def test_screen_sees_what_assess_sees(tmp_path: Path) -> None:
    path = written(tmp_path, AFTERNOON)
    result = CliRunner().invoke(app, ["screen", str(path), "--out", str(tmp_path / "out"), "--quiet", "--as-of", "2021-05-01"])
    assert result.exit_code == 0
    assert pl.read_parquet(tmp_path / "out" / "assessments.parquet")["index_basis"].to_list() == ["lesion"]
    assert screen(path, tmp_path / "api", as_of=date(2021, 5, 1)).summary.as_of == "2021-05-01T23:59:59.999999"


def test_a_day_that_is_none_is_refused_in_words() -> None:
    result = CliRunner().invoke(app, ["assess", "record.json", "--as-of", "yesterday"])
    assert result.exit_code == 2
    assert "neither a day" in result.stderr


def test_what_is_neither_day_nor_moment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="as_of is a datetime or a date"):
        screen(written(tmp_path, ULCER), tmp_path / "out", as_of="2021-05-01")  # type: ignore[arg-type]


def test_patients_without_an_entry_up_to_the_day_are_assessed_all_the_same(tmp_path: Path) -> None:
    cohort = screen(written(tmp_path, ULCER), tmp_path / "out", as_of=date(1960, 1, 1))
    assert cohort.summary.patients_assessed == 1
    assert cohort.assessments["lesion_present"].to_list() == [None]
