"""Who fits the filters of a screened folder, in which order, and what is stored of one patient."""

from __future__ import annotations

import csv
import io
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from made_course import HOSTILE, make_cohort

from calcinosis.api import assess
from calcinosis.knowledge import load_knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.report.cohort_folder import CohortFolder, Filters, stamp
from calcinosis.report.cohort_patient import retell

KNOWLEDGE = load_knowledge()
STANDING = ("confirmed", "probable", "possible")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def folder(path: Path) -> CohortFolder:
    return CohortFolder(path, KNOWLEDGE)


@pytest.fixture(scope="module")
def people(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path / "assessments.parquet").to_dicts()


@pytest.fixture(scope="module")
def reviewed(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path / "treatment_reviews.parquet").to_dicts()


def ids(folder: CohortFolder, **asked: Any) -> list[str]:
    return [line["id"] for line in folder.lines(folder.chosen(Filters(**asked)))]


# --- filters: what the columns say, written out row by row


PLAIN: dict[str, tuple[dict[str, Any], Any]] = {
    "type": ({"type": "calciphylaxis"}, lambda p: p["status_calciphylaxis"] in STANDING),
    "type and status": ({"type": "dystrophic", "status": "probable"}, lambda p: p["status_dystrophic"] == "probable"),
    "status": ({"status": "probable"}, lambda p: p["leading_status"] == "probable"),
    "mimic": ({"type": "mimic"}, lambda p: p["leading"] == "mimic"),
    "mimic and status": ({"type": "mimic", "status": "confirmed"}, lambda p: p["leading"] == "mimic" and p["leading_status"] == "confirmed"),
    "undetermined": ({"type": "undetermined"}, lambda p: p["lesion_present"] is True and p["leading"] is None),
    "disease": ({"disease": "systemic_sclerosis"}, lambda p: "systemic_sclerosis" in p["diseases"]),
    "no disease": ({"disease": "none"}, lambda p: not p["diseases"]),
    "any alarm": ({"alarm": "any"}, lambda p: bool(p["alarms"])),
    "urgency": ({"alarm": "same_day"}, lambda p: p["alarm_urgency"] == "same_day"),
    "one alarm": ({"alarm": "suspected_calciphylaxis"}, lambda p: "suspected_calciphylaxis" in p["alarms"]),
    "missing test": ({"missing": "albumin"}, lambda p: "albumin" in p["missing_tests"]),
    "at risk": ({"at_risk": "any"}, lambda p: p["calciphylaxis_at_risk"] is True),
    "at risk, no lesion": ({"at_risk": "no_lesion"}, lambda p: p["calciphylaxis_at_risk"] is True and not p["lesion_present"]),
    "unlabelled": (
        {"unlabelled": True},
        lambda p: not p["labelled"] and (
            (p["leading"] in KNOWLEDGE.types and p["leading_status"] in ("confirmed", "probable")) or (not p["provisional"] and p["leading"] != "mimic")
        ),
    ),
    "part of the id": ({"patient": "09"}, lambda p: "09" in p["subject_id"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_filter_finds_whom_the_columns_say_and_nobody_else(name: str, folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    asked, fits = PLAIN[name]
    found = ids(folder, **asked)
    assert len(found) == len(set(found))
    assert set(found) == {p["subject_id"] for p in people if fits(p)}
    if name != "at risk, no lesion":
        assert 0 < len(found) < len(people)


@pytest.mark.parametrize(("one", "other"), list(combinations(("type", "disease", "urgency", "missing test", "unlabelled", "at risk"), 2)))
def test_filters_add_up(one: str, other: str, folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    asked = PLAIN[one][0] | PLAIN[other][0]
    assert set(ids(folder, **asked)) == {p["subject_id"] for p in people if PLAIN[one][1](p) and PLAIN[other][1](p)}


def test_reviews_find_those_whose_treatment_is_known(folder: CohortFolder, reviewed: list[dict[str, Any]]) -> None:
    known = [row for row in reviewed if row["kind"] != "not_checked"]
    assert set(ids(folder, review="any")) == {row["subject_id"] for row in known}
    key = known[0]["key"]
    assert set(ids(folder, review=key)) == {row["subject_id"] for row in known if row["key"] == key}


@pytest.mark.parametrize("field", ["type", "status", "disease", "alarm", "missing", "review", "patient"])
@pytest.mark.parametrize("value", ["no_such", "'; drop table", "status", "../x", "\u202e", "[", "(?i)"])
def test_an_unknown_value_fits_nobody_and_breaks_nothing(
    field: str, value: str, folder: CohortFolder, people: list[dict[str, Any]]
) -> None:
    fit = [p["subject_id"] for p in people if field == "patient" and value in p["subject_id"]]
    assert ids(folder, **{field: value}) == fit
    assert bool(fit) is (field == "patient" and value == "\u202e"), "one patient's id holds this character"


# --- order


def test_the_most_urgent_stand_first(folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    urgency = {"immediate": 0, "same_day": 1, "urgent": 2, None: 3}
    rank = ["excluded", "unlikely", "not_assessed", "possible", "probable", "confirmed"]
    known = {p["subject_id"]: p for p in people}

    def place(who: str) -> tuple[int, int]:
        return urgency[known[who]["alarm_urgency"]], -len(known[who]["alarms"])

    found = ids(folder)
    assert sorted(found) == sorted(known)
    assert [place(who) for who in found] == sorted(place(who) for who in found)
    quiet = [known[who]["leading_status"] for who in found if not known[who]["alarms"]]
    strengths = [-rank.index(status) if status else 0 for status in quiet]
    assert strengths == sorted(strengths)


def test_pages_put_together_are_the_whole(folder: CohortFolder) -> None:
    rows = folder.chosen(Filters(alarm="any"))
    pages = [line["id"] for start in range(0, len(rows), 7) for line in folder.lines(rows[start : start + 7])]
    assert pages == ids(folder, alarm="any")


def test_choices_are_what_occurs(folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    for column, choices in folder.choices.items():
        if column == "reviews":
            assert choices and all(len(ids(folder, review=each.key)) == each.n for each in choices)
        else:
            assert {each.key: each.n for each in choices} == {
                key: sum(key in p[column] for p in people) for key in {key for p in people for key in p[column]}
            }


# --- the file


def test_the_csv_holds_every_column_of_those_who_fit_in_their_order(folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    text = b"".join(folder.csv(folder.chosen(Filters(alarm="any")))).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(people[0])
    found = ids(folder, alarm="any")
    assert [row["subject_id"] for row in rows] == ["'" + who if who[0] in "=+-@" else who for who in found]
    known = {p["subject_id"]: p for p in people}
    for row, who in zip(rows, found, strict=True):
        assert row["alarms"].split("; ") == known[who]["alarms"]


def test_no_cell_of_the_csv_is_a_formula(folder: CohortFolder) -> None:
    text = b"".join(folder.csv(folder.order)).decode()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=HYPERLINK(\"http://x\")" in cells
    assert not [cell for cell in cells if cell[:1] in "=+@" and cell]


def test_nobody_is_a_file_with_a_header_only(folder: CohortFolder, people: list[dict[str, Any]]) -> None:
    text = b"".join(folder.csv(folder.chosen(Filters(type="no_such")))).decode()
    assert text.strip().split(",") == list(people[0])


# --- one patient


def test_the_stored_rows_say_what_the_assessment_said(folder: CohortFolder, path: Path) -> None:
    """All published cases: alarms, statuses, reasons with facts and sources, reviews."""
    same = ("alarms", "leading", "leading_status", "leading_mimic", "provisional", "mixed", "types", "mimics", "forms", "review",
            "review_not_checked", "index_date", "index_basis", "age_years", "sex", "knowledge_version")  # fmt: skip
    checked = 0
    for file in sorted((path.parent / "source").glob("*.json")):
        answer = assess(file)
        stored = folder.patient(answer.patient_id)
        if stored is None:  # it bears a hostile name now
            continue
        told = retell(stored, KNOWLEDGE)
        assert [each.disease for each in told.assessment.diseases] == [each.disease for each in answer.diseases]
        assert {each.test for each in told.assessment.workup} == {each.test for each in answer.workup}
        if told.explained:
            assert {name: getattr(told.assessment, name) for name in same} == {name: getattr(answer, name) for name in same}
            found = {risk.key for risks in told.risks.values() for risk in risks}
            assert found == {risk.key for risk in answer.calciphylaxis_risk}
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("who", HOSTILE)
def test_a_patient_of_any_name_is_found_with_all_rows(who: str, folder: CohortFolder, path: Path) -> None:
    stored = folder.patient(who)
    assert stored is not None and stored.events and stored.reasons
    for table, rows in (("events", stored.events), ("reasons", stored.reasons), ("treatment_reviews", stored.reviews)):
        assert len(rows) == pl.read_parquet(path / f"{table}.parquet").filter(pl.col("subject_id") == who).height


def test_nobody_of_that_name_is_none(folder: CohortFolder) -> None:
    assert folder.patient("nobody") is None


def test_warnings_are_those_of_the_patients_own_records(folder: CohortFolder, path: Path, tmp_path: Path) -> None:
    for file in path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    stored = folder.patient("course-1")
    assert stored is not None
    first = stored.events[0]
    rejects = pl.read_parquet(path / "rejects.parquet")
    made = [
        {"file": first["source_file"], "record": first["source"], "level": "warning", "category": "x", "reason": "mine"},
        {"file": "elsewhere", "record": first["source"], "level": "warning", "category": "x", "reason": "another file's"},
        {"file": first["source_file"], "record": "Observation/not-mine", "level": "warning", "category": "x", "reason": "another's"},
        {"file": None, "record": "Patient/course-1", "level": "warning", "category": "x", "reason": "the person"},
    ]
    pl.concat([rejects, pl.DataFrame(made, schema=rejects.schema)]).write_parquet(tmp_path / "rejects.parquet")
    again = CohortFolder(tmp_path, KNOWLEDGE).patient("course-1")
    assert again is not None
    assert {row["reason"] for row in again.rejects} == {"mine", "the person"}
    assert retell(again, KNOWLEDGE).assessment.warnings == sorted([f"{first['source']}: mine", "Patient/course-1: the person"])


def test_words_of_another_knowledge_are_shown_by_their_keys(folder: CohortFolder) -> None:
    stored = folder.patient("course-1")
    assert stored is not None
    stored.person.update(
        alarms=["of_tomorrow"], diseases=["new_disease"], missing_tests=["new_test"], mimics=["new_mimic:possible"], status_new_type="odd",
        subtype_new_type=None, leading="new_type", knowledge_version="2030.1",
    )  # fmt: skip
    for row in stored.reasons:
        row["sources"] = ["unheard_of"]
        for fact in row["facts"] or ():
            fact["concept"] = "new_concept"
    told = retell(stored, KNOWLEDGE).assessment
    assert [each.label for each in told.alarms] == ["of_tomorrow"]
    assert [each.label for each in told.diseases] == ["new_disease"]
    assert [each.label for each in told.workup] == ["new_test"]
    assert [each.label for each in told.mimics if each.status.rank >= Status.POSSIBLE.rank] == ["new_mimic"]
    assert told.types[-1].label == "new_type" and told.types[-1].status.value == "not_assessed"
    assert told.types[0].reasons[0].citations[0].key == "unheard_of"


# --- the folder


def test_a_folder_written_anew_has_another_stamp(path: Path, tmp_path: Path) -> None:
    for name in ("assessments.parquet", "summary.json"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    before = stamp(tmp_path)
    assert stamp(tmp_path) == before
    os.utime(tmp_path / "summary.json", ns=(1, 1))
    assert stamp(tmp_path) != before
    (tmp_path / "assessments.parquet").unlink()
    with pytest.raises(OSError):
        stamp(tmp_path)


def test_a_summary_that_lacks_its_account_is_refused(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_bytes(orjson.dumps({"source": "x"}))
    with pytest.raises(ValueError, match="records_read"):
        _ = CohortFolder(tmp_path, KNOWLEDGE).summary


def test_an_older_folder_without_events_says_so(path: Path, tmp_path: Path) -> None:
    for file in path.iterdir():
        if file.name != "events.parquet":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    stored = CohortFolder(tmp_path, KNOWLEDGE).patient("course-1")
    assert stored is not None and stored.reasons and not stored.has_course
