"""The three formats hold the same patients, and each is what its standard says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from fhir.resources.R4B import get_fhir_model_class
from typer.testing import CliRunner

from calcinosis.api import screen
from calcinosis.cli import app
from calcinosis.knowledge import Knowledge
from calcinosis.simulate import FORMATS, Simulated, simulate
from calcinosis.simulate.omop_schema import SCHEMAS
from calcinosis.simulate.omop_vocabulary import FIRST_LOCAL_ID
from calcinosis.simulate.plan import make_plan
from calcinosis.simulate.write_meds import meds_code

PATIENTS = 2000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Simulated]:
    return {each: simulate(PATIENTS, tmp_path_factory.mktemp(each), data_format=each, seed=3) for each in FORMATS}


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("data_format", FORMATS)
def test_the_same_seed_gives_the_same_bytes(data_format: str, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(300, tmp_path / name, data_format=data_format, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


def test_the_truth_is_the_same_in_all_formats(made: dict[str, Simulated]) -> None:
    truth = [pl.read_parquet(each.truth) for each in made.values()]
    assert truth[0].height == PATIENTS
    assert truth[0].equals(truth[1])
    assert truth[0].equals(truth[2])


def test_every_kind_of_fhir_resource_is_valid(made: dict[str, Simulated]) -> None:
    files = sorted(made["fhir"].folder.glob("*.ndjson"))
    assert {path.stem for path in files} >= {"Patient", "Condition", "Observation", "MedicationRequest", "Procedure", "DiagnosticReport"}
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        seen: dict[str, str] = {}
        for line in lines:  # one of each shape: same code, status and unit
            record = json.loads(line)
            shape = json.dumps({key: value for key, value in record.items() if key not in {"id", "subject"} and "ate" not in key[-8:]})
            seen.setdefault(shape if path.stem != "Observation" else str((record["code"], record.get("valueQuantity", {}).get("unit"))), line)
        for line in list(seen.values())[:400]:
            get_fhir_model_class(path.stem).model_validate_json(line)
        assert len({json.loads(line)["id"] for line in lines}) == len(lines)


def test_fhir_screens_without_rejects_other_than_the_units_put_in(made: dict[str, Simulated], tmp_path: Path) -> None:
    cohort = screen(made["fhir"].folder, tmp_path / "out")
    summary = cohort.summary
    assert summary.records_read == summary.records_used + summary.records_ignored + summary.records_rejected
    assert summary.records_rejected == 0
    assert summary.patients_assessed == PATIENTS
    rejects = pl.read_parquet(tmp_path / "out" / "rejects.parquet")
    assert set(rejects["category"]) == {"unknown_unit"}
    assert rejects.height == pl.read_parquet(made["fhir"].truth)["unknown_units"].sum() > 0


def test_fhir_and_omop_give_every_patient_the_same_assessment(made: dict[str, Simulated], tmp_path: Path) -> None:
    answers = []
    for each in ("fhir", "omop"):
        cohort = screen(made[each].folder, tmp_path / each)
        assert cohort.summary.records_rejected == 0
        table = pl.read_parquet(cohort.folder / "assessments.parquet")
        answers.append(table.with_columns(pl.col("subject_id").str.split("/").list.last()).sort("subject_id").drop("age_years"))
    assert answers[0]["leading"].is_not_null().any()
    assert answers[0].equals(answers[1])


def test_omop_has_the_columns_of_the_cdm_and_its_ids_resolve(made: dict[str, Simulated]) -> None:
    folder = made["omop"].folder
    tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in SCHEMAS}
    for name, schema in SCHEMAS.items():
        assert pq.read_schema(folder / f"{name}.parquet").equals(schema), name
        if f"{name}_id" in schema.names:
            assert tables[name][f"{name}_id"].is_unique().all(), name
    known = {0, *tables["concept"]["concept_id"]}
    assert min(known - {0}) > FIRST_LOCAL_ID
    for table, column in (("condition_occurrence", "condition"), ("drug_exposure", "drug"), ("measurement", "measurement")):
        assert set(tables[table][f"{column}_concept_id"]) <= known
        assert set(tables[table][f"{column}_source_concept_id"]) <= known - {0}
    related = tables["concept_relationship"]
    assert set(related["concept_id_1"]) | set(related["concept_id_2"]) <= known
    assert set(tables["measurement"]["visit_occurrence_id"]) <= set(tables["visit_occurrence"]["visit_occurrence_id"])
    owner = tables["visit_occurrence"].select("visit_occurrence_id", owner="person_id")
    for table in ("measurement", "note", "drug_exposure"):
        assert tables[table].join(owner, on="visit_occurrence_id").filter(pl.col("owner") != pl.col("person_id")).is_empty()


def test_omop_columns_are_those_of_a_public_cdm_5_4() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "omop-synthea27nj"
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    for name, schema in SCHEMAS.items():
        assert pq.read_schema(folder / f"{name}.parquet").names == schema.names, name


def test_meds_validates_and_is_sorted(made: dict[str, Simulated]) -> None:
    meds = pytest.importorskip("meds")
    folder = made["meds"].folder
    for shard in folder.glob("data/*/*.parquet"):
        table = pq.read_table(shard)
        meds.DataSchema.align(table)
        events = pl.from_arrow(table)
        assert isinstance(events, pl.DataFrame)
        assert events.equals(events.sort("subject_id", "time", nulls_last=False, maintain_order=True))
    codes = pq.read_table(folder / "metadata" / "codes.parquet")
    meds.CodeMetadataSchema.align(codes)
    meds.DatasetMetadataSchema.validate(json.loads((folder / "metadata" / "dataset.json").read_text(encoding="utf-8")))
    used = set(pl.read_parquet(folder / "data" / "*" / "*.parquet", columns=["code"])["code"])
    assert used <= set(codes["code"].to_pylist())


def test_the_three_formats_say_the_same_of_every_patient(made: dict[str, Simulated], knowledge: Knowledge) -> None:
    plan = make_plan(knowledge)
    names = {meds_code(payload): payload for payload in plan.payloads}
    meds = pl.read_parquet(made["meds"].folder / "data" / "*" / "*.parquet").filter(pl.col("code").is_in(list(names)))
    meds_labs = meds.filter(pl.col("code").str.starts_with("LAB//")).select(
        pl.col("subject_id").cast(pl.String), "time", pl.col("code").str.split("//").list.get(1).alias("code"),
        pl.col("numeric_value").cast(pl.Float64).round(2).alias("value"), "unit",
    )  # fmt: skip
    omop = made["omop"].folder
    omop_labs = pl.read_parquet(omop / "measurement.parquet").select(
        pl.col("person_id").cast(pl.String), "measurement_datetime", "measurement_source_value", "value_as_number", "unit_source_value"
    )
    fhir = pl.read_ndjson(made["fhir"].folder / "Observation.ndjson", infer_schema_length=None)
    fhir_labs = fhir.select(
        pl.col("subject").struct.field("reference").str.strip_prefix("Patient/"),
        pl.col("effectiveDateTime").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us").dt.replace_time_zone(None),
        pl.col("code").struct.field("coding").list.first().struct.field("code").alias("code"),
        pl.col("valueQuantity").struct.field("value"), pl.col("valueQuantity").struct.field("unit"),
    )  # fmt: skip
    first, *others = (labs.rename(dict(zip(labs.columns, "abcde", strict=True))) for labs in (meds_labs, omop_labs, fhir_labs))
    unit = [pl.when(pl.col("d").is_not_null()).then("e").alias("e")]  # FHIR has no unit without a value
    wanted = first.with_columns(unit).sort(pl.all())
    for other in others:
        assert other.with_columns(unit).sort(pl.all()).equals(wanted)
    notes = pl.read_parquet(omop / "note.parquet").select(pl.col("person_id").cast(pl.Int64), "note_datetime", "note_text")
    words = meds.filter(pl.col("text_value").is_not_null()).select("subject_id", "time", "text_value")
    assert notes.rename(dict(zip(notes.columns, words.columns, strict=True))).sort(pl.all()).equals(words.sort(pl.all()))


def test_a_command_makes_a_population_and_refuses_to_overwrite_it(tmp_path: Path) -> None:
    call = ["simulate", "--patients", "50", "--format", "meds", "--seed", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "never for claims about medical accuracy" in (tmp_path / "README.txt").read_text(encoding="utf-8")
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 2
    assert "is not empty" in again.output
    wrong = CliRunner().invoke(app, ["simulate", "--format", "hl7v2", "--out", str(tmp_path / "x")])
    assert wrong.exit_code == 2
