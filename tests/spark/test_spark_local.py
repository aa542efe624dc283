"""Spark on this machine gives what the local engine gives, file by file and line by line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hand_made import CASES
from same import assert_adds_up, assert_same
from small_cluster import session, slow

from calcinosis.api import Readers, make_readers, screen
from calcinosis.engines.cohort import Cohort
from calcinosis.engines.spark import STAGING, SparkError, screen_rows, unreadable_file
from calcinosis.events import ENDED
from calcinosis.report.population import render_population_html
from calcinosis.simulate import simulate
from calcinosis.sources.fhir_many import ManyPatients
from calcinosis.sources.spark_fhir import SparkFhir

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def readers() -> Readers:
    return make_readers()


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    made = session("local[2]", **{"spark.sql.files.maxPartitionBytes": "100k", "spark.sql.files.openCostInBytes": "1k"})
    yield made
    made.stop()


def in_parts(spark: Any, sources: Sequence[str], out: Path, readers: Readers) -> Cohort:
    """Every plain NDJSON file in parts, and many buckets."""
    reader = ManyPatients(readers.index, readers.text)
    rows = SparkFhir(spark, sources, reader, str(out / STAGING / "fhir"), rows_per_bucket=500, read_whole=0)
    return screen_rows(spark, rows, out, readers.knowledge, source=", ".join(sources))


@pytest.mark.parametrize("folder", [CASES / "bundles", pytest.param(DATA / "fhir-pathling-9", marks=slow), pytest.param(DATA / "fhir-smart-bulk-13", marks=slow)], ids=["published", "pathling", "smart"])
def test_the_same_assessments_as_the_local_engine(folder: Path, spark: Any, readers: Readers, tmp_path: Path) -> None:
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    ours = screen(folder, tmp_path / "spark", engine="spark", readers=readers)
    theirs = screen(folder, tmp_path / "local", readers=readers)
    assert_same(ours, theirs)
    assert spark.range(1).count() == 1, "the session of the caller still runs"
    assert not (tmp_path / "spark" / STAGING).exists()
    assert "<html" in (tmp_path / "spark" / "report.html").read_text()
    assert render_population_html(tmp_path / "spark").count("<td") == render_population_html(tmp_path / "local").count("<td")


@slow
@pytest.mark.parametrize("name", ["omop-synthea27nj", "omop-gibleed", "meds-mimic-iv-demo"])
def test_tables_give_the_same(name: str, spark: Any, readers: Readers, tmp_path: Path) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is absent")
    ours = screen(DATA / name, tmp_path / "spark", engine="spark", readers=readers)
    assert_same(ours, screen(DATA / name, tmp_path / "local", readers=readers))
    assert spark.range(1).count() == 1, "the session of the caller still runs"


@slow
def test_statuses_of_conditions_in_an_omop_cdm(spark: Any, readers: Readers, tmp_path: Path) -> None:
    statuses: list[tuple[int | None, str | None]] = [
        (32899, "P"), (32906, None), (None, "refuted"), (0, "Differential"), (2_000_000_001, None), (32902, None), (None, None), (None, "entered-in-error"),
    ]  # fmt: skip
    tables = {
        "person": [{"person_id": n, "year_of_birth": 1960} for n in range(1, 41)],
        "concept": [{"concept_id": 100, "vocabulary_id": "ICD10CM", "concept_code": "M34.9", "concept_name": "Systemic sclerosis, unspecified"},
                    {"concept_id": 101, "vocabulary_id": "ICD10CM", "concept_code": "L94.2", "concept_name": "Calcinosis cutis"},
                    {"concept_id": 32899, "vocabulary_id": "Condition Status", "concept_code": "s", "concept_name": "Preliminary diagnosis"}],
        "condition_occurrence": [
            {"condition_occurrence_id": n, "person_id": n, "condition_concept_id": 100, "condition_start_datetime": datetime(2020, 1, 2),
             "condition_status_concept_id": statuses[n % 8][0], "condition_status_source_value": statuses[n % 8][1]}
            for n in range(1, 41)
        ] + [{"condition_occurrence_id": n, "person_id": n - 40, "condition_concept_id": 101} for n in range(41, 81)],
    }  # fmt: skip
    (tmp_path / "cdm").mkdir()
    for name, rows in tables.items():
        pl.DataFrame(rows).write_parquet(tmp_path / "cdm" / f"{name}.parquet")
    ours = screen(tmp_path / "cdm", tmp_path / "spark", engine="spark", readers=readers)
    assert_same(ours, screen(tmp_path / "cdm", tmp_path / "local", readers=readers))
    assert spark.range(1).count() == 1, "the session of the caller still runs"
    assert ours.summary.not_read.pop("condition status") == 5
    assert all("no table" in what for what in ours.summary.not_read), "of the tables that this CDM lacks"
    said = ours.events.filter(pl.col("concept") == "systemic_sclerosis")
    assert dict(said["certainty"].value_counts().rows()) == {"affirmed": 20, "uncertain": 10, "negated": 5}
    assert said["status"].drop_nulls().to_list() == [ENDED] * 5


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("data_format", ["omop", "meds"])
def test_what_a_folder_lacks_and_holds_beside_is_told_as_by_the_local_engine(readers: Readers, tmp_path: Path, data_format: str) -> None:
    source = simulate(20, tmp_path / "made", data_format=data_format, seed=3).folder
    (source / ("metadata/codes.parquet" if data_format == "meds" else "measurement.parquet")).unlink()
    (source / "Patient.ndjson").write_bytes(b'{"resourceType": "Patient", "id": "p"}')
    ours = screen(source, tmp_path / "spark", engine="spark", readers=readers)
    assert_same(ours, screen(source, tmp_path / "local", readers=readers))
    assert ours.summary.not_read[f"FHIR files beside {data_format.upper()}"] == 1
    assert any("no metadata/codes.parquet" in what or "no table measurement" in what for what in ours.summary.not_read)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("spark")
def test_results_replace_older_ones_only_when_they_are_complete(readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = sorted((CASES / "bundles").glob("*.json"))
    out = tmp_path / "out"
    screen(bundles[:1], out, readers=readers)  # files, which folders replace
    before = contents(out)
    written: list[int] = []

    def broken(*_: object) -> str:
        written.append(len(list(tmp_path.rglob(".unfinished-*/*.parquet"))))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("calcinosis.report.population.render_population_html", broken)
        with pytest.raises(KeyboardInterrupt):
            screen(bundles[1:4], out, engine="spark", readers=readers)
        with pytest.raises(KeyboardInterrupt):
            screen(bundles[1:4], tmp_path / "new" / "out", engine="spark", readers=readers)
    assert written == [6, 6], "the tables were there"
    assert contents(out) == before
    assert not (tmp_path / "new").exists()
    cohort = screen(bundles[1:4], out, engine="spark", readers=readers)
    assert (cohort.folder, cohort.assessments.height) == (out, 3)
    assert (out / "assessments.parquet").is_dir()
    assert not list(out.glob(".unfinished-*"))
    assert screen(bundles[:2], out, readers=readers).assessments.height == 2  # and files replace folders


def test_another_master_than_that_of_the_running_session_is_refused(spark: Any, readers: Readers, tmp_path: Path) -> None:
    assert spark.conf.get("spark.master") != "local[7]"
    with pytest.raises(SparkError, match="a Spark session is running already"):
        screen(CASES / "bundles" / "b090.json", tmp_path / "spark", engine="spark", master="local[7]", readers=readers)


@slow
def test_lines_in_parts_twice_and_by_reference(spark: Any, readers: Readers, tmp_path: Path) -> None:
    """A Bulk export as hospitals make it: a file per type, Medications apart, an id twice (the newest counts), lines that are no resource."""
    source = tmp_path / "export"
    source.mkdir()
    people = [{"resourceType": "Patient", "id": f"p{n}", "birthDate": "1960-02-03", "gender": "female"} for n in range(2000)]
    drugs = [
        {"resourceType": "Medication", "id": f"m{n}", "code": {"text": text}}
        for n, text in enumerate(("warfarin", "calcium carbonate", "no such drug"))
    ]
    orders = [
        {"resourceType": "MedicationRequest", "id": f"r{n}", "status": "active", "intent": "order", "authoredOn": "2020-01-01",
         "subject": {"reference": f"Patient/p{n % 2000}"}, "medicationReference": {"reference": f"Medication/m{n % 3}"}}
        for n in range(4000)
    ]  # fmt: skip
    said = [
        {"resourceType": "Condition", "id": f"c{n % 2900}", "subject": {"reference": f"Patient/p{n % 2000}"},
         "code": {"text": ("calcinosis cutis", "systemic sclerosis", "end-stage renal disease")[n % 3]}, "onsetDateTime": "2019-05-01",
         **({"meta": {"lastUpdated": f"2024-01-{1 + n * 7 % 28:02d}T00:00:00Z"}} if n % 5 else {})}
        for n in range(3000)
    ]  # fmt: skip
    visits = [{"resourceType": "Encounter", "id": f"e{n}", "subject": {"reference": "Patient/p1"}} for n in range(500)]
    lines = [orjson.dumps(each) for each in said]
    lines[1500:1500] = [b"", b"not JSON", b'{"resourceType": "Condition", "id": "lost", "code": {"text": "x"}}', b"\r"]
    for name, rows in (("Patient", people), ("Medication", drugs), ("MedicationRequest", orders), ("Encounter", visits)):
        (source / f"{name}.ndjson").write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    (source / "Condition.ndjson").write_bytes(b"\n".join(lines))
    packed = gzip.compress(b"\n".join(orjson.dumps({**each, "id": f"z{n}"}) for n, each in enumerate(said)))
    (source / "more.ndjson.gz").write_bytes(packed[: len(packed) * 2 // 3])

    ours = in_parts(spark, [str(source)], tmp_path / "spark", readers)
    theirs = screen(source, tmp_path / "local", readers=readers)
    assert_same(ours, theirs)
    found = ours.rejects.filter(pl.col("level") == "error")
    assert set(found["category"]) == {"malformed_json", "no_subject", "duplicate_id", "unreadable"}
    assert found.filter(pl.col("category") == "malformed_json").select("file", "line").rows() == [(str(source / "Condition.ndjson"), 1502)]
    assert found.filter(pl.col("category") == "duplicate_id").height == 100
    assert (source / "more.ndjson.gz").as_posix() in found.filter(pl.col("category") == "unreadable")["file"].to_list()


@slow
def test_a_file_that_spark_cannot_read_is_rejected_by_name(spark: Any, readers: Readers, tmp_path: Path) -> None:
    """The rows come from Parquet here; one file of it is cut."""
    source, staged = tmp_path / "export", tmp_path / "staged"
    source.mkdir()
    lines = [orjson.dumps({"resourceType": "Patient", "id": f"p{n}", "birthDate": "1960-02-03"}) for n in range(300)]
    for part in range(3):
        (source / f"part{part}.ndjson").write_bytes(b"\n".join(lines[part * 100 : part * 100 + 100]))
    reader = ManyPatients(readers.index, readers.text)
    rows, _, _ = SparkFhir(spark, [str(source)], reader, str(tmp_path / "first"), rows_per_bucket=1000)(())
    rows.repartition(3).write.parquet(f"file:{staged}")
    files = sorted(staged.glob("*.parquet"))
    damaged = bytearray(files[1].read_bytes())
    damaged[4 : len(damaged) // 2] = bytes(len(damaged) // 2 - 4)  # the pages; the footer still says what should be there
    files[1].write_bytes(damaged)
    (staged / f".{files[1].name}.crc").unlink(missing_ok=True)

    def read(without: Sequence[str]) -> Any:
        names = {Path(each.removeprefix("file:")).name for each in without}
        return spark.read.parquet(*(f"file:{file}" for file in files if file.name not in names)), reader, None

    cohort = screen_rows(spark, read, tmp_path / "out", readers.knowledge, source=str(staged))
    assert_adds_up(cohort)
    (row,) = cohort.rejects.filter(pl.col("category") == "unreadable").to_dicts()
    assert row["file"] == str(files[1])
    assert 0 < cohort.summary.patients_assessed < 300


@slow
def test_another_failure_stops_the_run_with_one_line(spark: Any, readers: Readers, tmp_path: Path) -> None:
    broken: Any = itemgetter("no such column")
    rows = SparkFhir(spark, [str(CASES / "bundles" / "b090.json")], broken, str(tmp_path / "staged"), rows_per_bucket=1000)
    with pytest.raises(SparkError, match=r"KeyError.*no such column") as caught:
        screen_rows(spark, rows, tmp_path / "out", readers.knowledge, source="")
    assert len(str(caught.value).splitlines()) == 1
    assert unreadable_file(RuntimeError("something else")) is None
