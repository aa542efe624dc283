"""MEDS, read and written: codes through their parents, units never guessed, every row accounted for, and the way back."""

from __future__ import annotations

import json
import pickle
import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from calcinosis.api import Readers, make_readers, read_batches, screen
from calcinosis.assessment import assess_batch
from calcinosis.cli import app
from calcinosis.events import CERTAINTIES, ENDED, EVENT_SCHEMA, FLAGS, PATIENT_SCHEMA, Batch
from calcinosis.sources import meds as reading
from calcinosis.sources.meds import is_meds, read_codes, read_meds
from calcinosis.sources.meds_events import NO_VALUE, MedsMapper
from calcinosis.sources.meds_write import write_meds

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"
DAY = datetime(2150, 3, 1, 8)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def readers() -> Readers:
    return make_readers()


def dataset(folder: Path, *shards: list[Row], codes: list[tuple[str, str | None, list[str]]] | None = None) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").mkdir()
    base = {"subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.String, "numeric_value": pl.Float32, "text_value": pl.String}
    for number, rows in enumerate(shards):
        extra = {name for row in rows for name in row} - set(base)
        frame = pl.DataFrame([{name: row.get(name) for name in (*base, *sorted(extra))} for row in rows], schema_overrides=base)
        frame.write_parquet(folder / "data" / f"{number}.parquet")
    schema = {"code": pl.String, "description": pl.String, "parent_codes": pl.List(pl.String)}
    pl.DataFrame(codes or [], schema=schema, orient="row").write_parquet(folder / "metadata" / "codes.parquet")
    return folder


def whole(batches: list[Batch]) -> Batch:
    for batch in batches:
        assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected
        assert batch.records_rejected == batch.rejects.filter(pl.col("level") == "error").height
    return Batch(
        patients=pl.concat([b.patients for b in batches]), events=pl.concat([b.events for b in batches]),
        rejects=pl.concat([b.rejects for b in batches]), unmapped=pl.concat([b.unmapped for b in batches]),
        records_read=sum(b.records_read for b in batches), records_used=sum(b.records_used for b in batches),
        records_ignored=sum(b.records_ignored for b in batches), records_rejected=sum(b.records_rejected for b in batches),
        not_read={name: sum(b.not_read.get(name, 0) for b in batches) for b in batches for name in b.not_read},
    )  # fmt: skip


def read(path: Path, readers: Readers) -> Batch:
    return whole(list(read_meds(path, readers.index, readers.text)))


def row(
    code: str, number: float | None = None, text: str | None = None, *, subject: int | None = 1, time: datetime | None = DAY, **more: Any
) -> Row:
    return {"subject_id": subject, "time": time, "code": code, "numeric_value": number, "text_value": text, **more}


# --- codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "description", "parents", "concept"),
    [
        ("LAB//50893//mg/dL", "what the site calls it", ["LOINC/17861-6"], "calcium_total"),
        ("LAB//RESULT//1//mg/dL", "Phosphate [Mass/volume] in Serum or Plasma", [], "phosphate"),
        ("LOINC/17861-6", None, [], "calcium_total"),
        ("LOINC//17861-6//mg/dL", None, [], "calcium_total"),
        ("CHEM//7//mg/dL", None, ["SITE/calcium"], "calcium_total"),  # whose parent has a parent
    ],
)
def test_a_result_is_found_through_parents_then_code_then_words(
    tmp_path: Path, readers: Readers, code: str, description: str | None, parents: list[str], concept: str
) -> None:
    path = dataset(
        tmp_path / "d", [row(code, 9.5, unit="mg/dL")], codes=[(code, description, parents), ("SITE/calcium", None, ["LOINC/17861-6"])]
    )
    assert read(path, readers).events.select("concept", "numeric_value", "unit").rows() == [(concept, 9.5, "mg/dL")]


@pytest.mark.parametrize(
    ("code", "concepts"),
    [
        ("DIAGNOSIS//ICD//10//N186", {"esrd"}), ("DIAGNOSIS//ICD//9//5856", {"esrd"}), ("ICD10CM/N18.6", {"esrd"}),
        ("MEDICATION//Warfarin//Administered//123", {"warfarin"}), ("RxNorm/11289", {"warfarin"}),
    ],
)  # fmt: skip
def test_codes_of_conditions_and_drugs(tmp_path: Path, readers: Readers, code: str, concepts: set[str]) -> None:
    assert concepts <= set(read(dataset(tmp_path / "d", [row(code)]), readers).events["concept"])


def test_a_circle_of_parents_ends(tmp_path: Path, readers: Readers) -> None:
    path = dataset(tmp_path / "d", [row("A//1", 1.0)], codes=[("A//1", None, ["B/2"]), ("B/2", None, ["A//1", "B/2"])])
    assert read(path, readers).records_ignored == 1


def test_a_drug_not_given_is_not_taken_and_a_stop_ends_it(tmp_path: Path, readers: Readers) -> None:
    rows = [
        row(f"MEDICATION//{part}//1", time=DAY.replace(hour=hour))
        for hour, part in enumerate(("START//Warfarin", "Warfarin//Not Given", "Warfarin//Hold Dose", "STOP//Warfarin"))
    ]
    found = read(dataset(tmp_path / "d", rows), readers)
    assert found.events.filter(pl.col("concept") == "warfarin").select("status", pl.col("time").dt.hour()).rows() == [(None, 0), (ENDED, 3)]
    assert found.records_ignored == 2


# --- units and results -------------------------------------------------------------------------------------


def test_the_unit_comes_from_its_column_else_from_the_code_else_it_is_unknown(tmp_path: Path, readers: Readers) -> None:
    names = [(code, "Calcium [Mass/volume] in Serum or Plasma", ["LOINC/17861-6"]) for code in ("LAB//1//mg/dL", "LAB//1//UNK", "LAB//1")]
    rows = [
        row("LAB//1//mg/dL", 9.5, unit=None),
        row("LAB//1//mg/dL", 2.4, unit="mmol/L"),
        row("LAB//1//UNK", 9.5, unit=None),
        row("LAB//1", 9.5, unit=None),
    ]
    assert read(dataset(tmp_path / "d", rows, codes=names), readers).events["unit"].to_list() == ["mg/dL", "mmol/L", None, None]


def test_a_number_without_a_unit_is_said_and_never_flagged(tmp_path: Path, readers: Readers) -> None:
    path = dataset(tmp_path / "d", [row("LAB//1//UNK", 9.5)], codes=[("LAB//1//UNK", None, ["LOINC/17861-6"])])
    cohort = screen(path, tmp_path / "out", readers=readers)
    rejects = pl.read_parquet(cohort.folder / "rejects.parquet")
    assert rejects["category"].to_list() == ["unknown_unit"]
    assert rejects["record"].to_list() == ["row/1"]
    assert "calcium_total" not in cohort.summary.lab_coverage


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("NEG", None, (None, None, "negative")), ("POSITIVE", None, (None, None, "positive")), (">75", None, (75.0, ">", None)),
        ("___", 3.5, (3.5, None, None)), ("HIGH", 3.5, (3.5, None, "high")),
    ],
)  # fmt: skip
def test_results_in_words_are_read_as_those_of_fhir(
    tmp_path: Path, readers: Readers, text: str, number: float | None, expected: tuple[Any, ...]
) -> None:
    found = read(dataset(tmp_path / "d", [row("LOINC/2731-8", number, text, unit="pg/mL")]), readers)
    assert found.events.select("numeric_value", "comparator", "flag").rows() == [expected]


@pytest.mark.parametrize("text", [None, "___", "  "])
def test_a_result_without_a_value_says_nothing_and_is_counted(tmp_path: Path, readers: Readers, text: str | None) -> None:
    found = read(dataset(tmp_path / "d", [row("LOINC/2777-1", None, text)]), readers)
    assert found.events.is_empty()
    assert (found.records_ignored, found.not_read) == (1, {NO_VALUE: 1})


def test_the_laboratorys_interval_is_kept(tmp_path: Path, readers: Readers) -> None:
    found = read(dataset(tmp_path / "d", [row("LOINC/17861-6", 9.5, unit="mg/dL", ref_range_lower=8.4, ref_range_upper=10.3)]), readers)
    assert found.events.select("range_low", "range_high").rows() == [(8.4, 10.3)]


def test_a_number_of_32_bits_is_its_shortest_decimal(tmp_path: Path, readers: Readers) -> None:
    assert read(dataset(tmp_path / "d", [row("LOINC/17861-6", 11.3)]), readers).events["numeric_value"].to_list() == [11.3]


# --- people and the account --------------------------------------------------------------------------------


def test_birth_sex_and_subjects_of_whom_nothing_is_known(tmp_path: Path, readers: Readers) -> None:
    rows = [
        row("GENDER//F", time=None), row("MEDS_BIRTH", time=datetime(1960, 5, 4)),
        row("Gender/M", subject=2, time=None), row("GENDER//F", subject=2, time=None), row("RACE//X", subject=3),
    ]  # fmt: skip
    found = read(dataset(tmp_path / "d", rows), readers)
    assert found.patients.select("subject_id", "birth_date", "sex").rows() == [
        ("1", date(1960, 5, 4), "female"),
        ("2", None, None),
        ("3", None, None),
    ]


def test_every_row_is_used_ignored_or_rejected_by_row(tmp_path: Path, readers: Readers) -> None:
    rows = [row("LOINC/2777-1", 1.0), row("LOINC/2777-1", 1.0, subject=None), row("RACE//X"), {**row("x"), "code": None}]
    found = read(dataset(tmp_path / "d", rows, codes=[("RACE//X", "a race", [])]), readers)
    assert (found.records_read, found.records_used, found.records_ignored, found.records_rejected) == (4, 1, 1, 2)
    assert found.rejects.select("line", "category").rows() == [(2, "no_subject"), (4, "no_code")]
    assert found.unmapped.select("code", "text", "n").rows() == [("X", "a race", 1)]


def test_a_shard_that_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path, readers: Readers) -> None:
    path = dataset(tmp_path / "d", [row("LOINC/2777-1", 1.0)])
    (path / "data" / "1.parquet").write_bytes(b"PAR1 not really")
    pl.DataFrame({"subject_id": [1], "code": ["x"]}).write_parquet(path / "data" / "2.parquet")
    found = read(path, readers)
    assert found.events.height == 1
    assert [Path(file).name for file in found.rejects["file"]] == ["1.parquet", "2.parquet"]


def test_parts_of_a_shard_say_the_same_as_the_whole(tmp_path: Path, readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dataset(tmp_path / "d", [row("LOINC/2777-1", float(n), subject=subject) for subject in (5, 3, 9) for n in range(4)])
    at_once = read(path, readers)
    monkeypatch.setattr(reading, "EVENTS_PER_BATCH", 3)
    batches = list(read_meds(path, readers.index, readers.text))
    assert len(batches) > 2
    assert_frame_equal(whole(batches).events, at_once.events)
    assert whole(batches).records_used == at_once.records_used


def test_a_subject_in_two_shards_stays_one_patient_and_is_said(tmp_path: Path, readers: Readers) -> None:
    path = dataset(tmp_path / "d", [row("LOINC/2777-1", 1.0), row("LOINC/2777-1", 1.0, subject=2)], [row("LOINC/17861-6", 9.0)])
    batches = list(read_meds(path, readers.index, readers.text))
    found = whole(batches)
    assert sorted(found.patients["subject_id"]) == ["1", "2"]
    assert found.rejects.select("category", "level").rows() == [("divided_subject", "warning")]
    [together] = [batch for batch in batches if "1" in batch.patients["subject_id"]]
    assert together.events["concept"].to_list() == ["phosphate", "calcium_total"]


def test_recognised_by_its_columns(tmp_path: Path) -> None:
    path = dataset(tmp_path / "d", [row("x")])
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    assert is_meds(path) and is_meds(path / "data") and is_meds(path / "data" / "0.parquet")
    assert not is_meds(tmp_path / "other.parquet")
    assert not is_meds(CASES)


def test_the_mapper_travels(tmp_path: Path, readers: Readers) -> None:
    path = dataset(tmp_path / "d", [row("LAB//1//mg/dL", 9.5)], codes=[("LAB//1//mg/dL", None, ["LOINC/17861-6"])])
    mapper = MedsMapper(readers.index, readers.text, read_codes(path))
    rows = pl.read_parquet(path / "data" / "0.parquet")
    assert_frame_equal(pickle.loads(pickle.dumps(mapper)).batch(rows).events, mapper.batch(rows).events)


# --- written -----------------------------------------------------------------------------------------------


def valid(folder: Path) -> None:
    meds = pytest.importorskip("meds.schema", reason="the meds package (extra dev) is absent")
    seen: set[int] = set()
    codes = pq.read_table(folder / "metadata" / "codes.parquet")
    meds.CodeMetadataSchema.validate(codes)
    for shard in sorted((folder / "data").rglob("*.parquet")):
        table = pq.read_table(shard)
        meds.DataSchema.validate(table)
        rows = pl.from_arrow(table)
        assert isinstance(rows, pl.DataFrame)
        assert_frame_equal(rows, rows.sort("subject_id", "time", nulls_last=False, maintain_order=True))
        assert set(rows["code"]) <= set(codes["code"].to_pylist())
        assert not seen & set(rows["subject_id"])
        seen |= set(rows["subject_id"])
    meds.DatasetMetadataSchema.validate(json.loads((folder / "metadata" / "dataset.json").read_text()))


def test_published_cases_come_back_with_the_same_events_and_assessments(tmp_path: Path, readers: Readers) -> None:
    first = whole(list(read_batches([CASES], readers)))
    written = write_meds([first], tmp_path / "out", readers.knowledge.concepts, name="cases")
    valid(tmp_path / "out")
    assert written.patients == first.patients.height > 100
    back = read(tmp_path / "out", readers)
    order = ["subject_id", "source", "concept", "code", "time"]
    assert_frame_equal(back.events.sort(order, maintain_order=True), first.events.sort(order, maintain_order=True))
    assert_frame_equal(back.patients, first.patients.sort("subject_id"))
    answers = [{a.patient_id: a.model_dump(exclude={"warnings"}) for a in assess_batch(b, readers.knowledge)} for b in (first, back)]
    assert answers[0] == answers[1]


_TIMES = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
_TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, readers: Readers) -> None:
    ids = data.draw(st.sampled_from([["1", "20", "3"], ["Patient/1", "b", "007"]]))
    concepts = sorted(readers.knowledge.concepts)
    event = st.fixed_dictionaries({
        "subject_id": st.sampled_from(ids), "time": _TIMES, "end_time": _TIMES, "code": st.text("abc/", min_size=1, max_size=8),
        "concept": st.sampled_from(concepts), "certainty": st.sampled_from(CERTAINTIES), "numeric_value": _NUMBERS,
        "comparator": st.sampled_from([None, "<", ">="]), "unit": _TEXTS, "text_value": _TEXTS, "flag": st.sampled_from([None, *FLAGS]),
        "range_low": _NUMBERS, "range_high": _NUMBERS, "sites": st.lists(st.sampled_from(["hand", "thigh"]), max_size=2),
        "days_before_onset": _NUMBERS, "status": st.sampled_from([None, ENDED, "final"]), "source": st.text(min_size=1, max_size=6), "source_file": st.just("f"),
    })  # fmt: skip
    events = pl.DataFrame(data.draw(st.lists(event, max_size=8)), schema=EVENT_SCHEMA)
    patients = pl.DataFrame(
        [(each, data.draw(st.none() | st.dates(date(1900, 1, 1))), data.draw(st.sampled_from([None, "female", "male"])), f"Patient/{each}", "f") for each in ids],
        schema=PATIENT_SCHEMA, orient="row",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("written") / "out"
    write_meds([Batch(patients, events)], folder, readers.knowledge.concepts, name="generated")
    valid(folder)
    back = read(folder, readers)
    assert_frame_equal(back.patients, patients.sort("subject_id"))
    wanted = events.sort("subject_id", "time", nulls_last=False, maintain_order=True)
    assert_frame_equal(back.events.sort("subject_id", "time", nulls_last=False, maintain_order=True), wanted)


def test_integer_ids_stay_and_a_filled_folder_is_refused(tmp_path: Path, readers: Readers) -> None:
    batch = read(dataset(tmp_path / "d", [row("LOINC/2777-1", 1.0, subject=77)]), readers)
    write_meds([batch], tmp_path / "out", readers.knowledge.concepts, name="x")
    assert set(pl.read_parquet(tmp_path / "out" / "data" / "0.parquet")["subject_id"]) == {77}
    assert not (tmp_path / "out" / "metadata" / "subject_ids.parquet").exists()
    with pytest.raises(ValueError, match="not empty"):
        write_meds([batch], tmp_path / "out", readers.knowledge.concepts, name="x")


def test_a_dataset_without_code_metadata_says_what_its_codes_lose(tmp_path: Path, readers: Readers) -> None:
    source = dataset(tmp_path / "d", [row("LOINC/2777-1", 1.0, unit="mmol/L"), row("LOINC/2777-1", 2.0, unit="mmol/L", subject=2)])
    assert read(source, readers).not_read == {}
    shutil.rmtree(source / "metadata")
    lost = "parents and descriptions of codes (no metadata/codes.parquet)"
    assert screen(source, tmp_path / "out", readers=readers).summary.not_read == {lost: 1}
    done = CliRunner().invoke(app, ["assess", str(source)])
    assert done.exit_code == 0
    assert f"calcinosis: not read: {lost}: 1" in done.stderr
    done = CliRunner().invoke(app, ["convert", str(source), "--out", str(tmp_path / "again")])
    assert f"calcinosis: not read: {lost}: 1" in done.stderr


def test_convert_accounts_for_what_it_read(tmp_path: Path) -> None:
    source = dataset(tmp_path / "d", [row("LOINC/2777-1", 1.0, unit="mmol/L"), row("RACE//X"), row("LOINC/2777-1", 1.0, subject=None)])
    done = CliRunner().invoke(app, ["convert", str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "wrote 1 events of 1 patients" in done.output
    assert "records read 3 = used 1 + of types no rule reads 1 + rejected 1" in done.output
    assert pl.read_parquet(tmp_path / "out" / "metadata" / "rejects.parquet")["line"].to_list() == [3]
    valid(tmp_path / "out")
    quiet = CliRunner().invoke(app, ["convert", str(source), "--out", str(tmp_path / "quiet"), "--quiet"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    valid(tmp_path / "quiet")
    again = CliRunner().invoke(app, ["convert", str(source), "--out", str(tmp_path / "out")])
    assert again.exit_code == 2
    assert "is not empty" in again.output


@pytest.mark.parametrize(
    ("code", "text", "concept"),
    [
        ("NOTE//Progress note", "Livedo racemosa of both thighs.", "livedo_racemosa"),
        ("REPORT//Radiograph of the hand", "Calcification of the soft tissue.", "imaging_calcification"),
        ("REPORT//Skin biopsy, pathology", "Calcified small vessels.", "histology_vessel_calcification"),
    ],
)
def test_the_text_of_a_document_is_read(code: str, text: str, concept: str) -> None:
    readers = make_readers()
    rows = pl.DataFrame({"subject_id": [1], "time": [datetime(2020, 1, 1)], "code": [code], "text_value": [text]})
    none = pl.DataFrame(schema={"code": pl.String, "description": pl.String, "parent_codes": pl.List(pl.String)})
    batch = MedsMapper(readers.index, readers.text, none).batch(rows)
    assert concept in batch.events["concept"].to_list()
    assert (batch.records_read, batch.records_used) == (1, 1)


def test_a_folder_around_a_dataset_is_read_with_its_metadata(tmp_path: Path) -> None:
    inside = tmp_path / "export" / "dataset"
    write_meds(read_batches([CASES / "b090.json"], make_readers()), inside, make_readers().knowledge.concepts, name="one")
    around = pl.concat([batch.events for batch in read_batches([tmp_path / "export"], make_readers())])
    assert_frame_equal(around, pl.concat([batch.events for batch in read_batches([inside], make_readers())]))
