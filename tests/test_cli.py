"""The command line as a user meets it: what it prints, what it writes, what it refuses and with which exit code."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from calcinosis.cli import app
from calcinosis.engines.rows import assessment_schema
from calcinosis.knowledge import load_knowledge

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "examples" / "published_cases" / "bundles"
CASE = BUNDLES / "b090.json"
FIELDS = {"patient_id", "leading", "types", "mimics", "alarms", "diseases", "workup", "knowledge_version", "disclaimer"}

runner = CliRunner()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_assess_prints_alarms_before_the_answer() -> None:
    code, out, _ = run("assess", CASE)
    assert code == 0
    lower = out.lower()
    assert lower.index("alarm") < lower.index("calciphylaxis · confirmed" if "calciphylaxis · confirmed" in lower else "confirmed")


def test_json_is_one_object_per_line_with_the_promised_fields() -> None:
    code, out, _ = run("assess", CASE, BUNDLES / "a013.json", "--json")
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert {answer["patient_id"] for answer in answers} == {"b090", "a013"}
    for answer in answers:
        assert answer.keys() >= FIELDS
        assert {each["type"] for each in answer["types"]} == {"dystrophic", "metastatic", "idiopathic", "iatrogenic", "calciphylaxis"}
        assert all(each.keys() >= {"type", "status", "subtype", "reasons", "against", "missing"} for each in answer["types"])


def test_html_and_fhir_are_written(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, _ = run("assess", CASE, "--html", page, "--fhir")
    assert code == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads(out)["resourceType"] == "Bundle"


def test_output_format_never_changes_a_value(tmp_path: Path) -> None:
    _, out, _ = run("assess", CASE, "--json")
    answer = json.loads(out)
    code, _, _ = run("screen", CASE, "--out", tmp_path / "out", "--quiet")
    assert code == 0
    row = pl.read_parquet(tmp_path / "out" / "assessments.parquet").to_dicts()[0]
    assert row["leading"] == answer["leading"]
    for each in answer["types"]:
        assert row[f"status_{each['type']}"] == each["status"]
        assert row[f"subtype_{each['type']}"] == each["subtype"]
    assert set(row["alarms"]) == {alarm["key"] for alarm in answer["alarms"]}
    assert set(row["missing_tests"]) == {test["test"] for test in answer["workup"]}


def test_a_missing_file_is_named_and_the_rest_goes_on() -> None:
    code, out, err = run("assess", "/nowhere/x.json", CASE, "--json")
    assert code == 0
    assert "/nowhere/x.json" in err
    assert json.loads(out)["patient_id"] == "b090"


def test_exit_code_2_only_when_nothing_could_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"resourceType": "Bundle", "entry": [', encoding="utf-8")
    code, _, err = run("assess", broken)
    assert code == 2
    assert "broken.json" in err
    code, out, err = run("assess", broken, CASE, "--json")
    assert code == 0
    assert "broken.json" in err
    assert len(out.splitlines()) == 1
    assert run("assess", "/nowhere")[0] == 2


def test_an_unknown_kind_of_closed_world_lists_the_valid_ones() -> None:
    code, _, err = run("assess", CASE, "--closed-world", "laboratory")
    assert code == 2
    assert "disease, drug, procedure" in err


def test_a_bad_code_map_is_refused_with_its_line(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("system,code,text,concept_key\nlocal,1,,no_such_concept\n", encoding="utf-8")
    code, _, err = run("assess", CASE, "--code-map", table)
    assert code == 2
    assert "2" in err and "no_such_concept" in err


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", ":1: holds no row below the header"),
        ("urn:lab,CA,,calcium_total\nurn:lab,CA,,phosphate\n", ":3: 'CA' is phosphate here and calcium_total on line 2"),
        (",,Serum X,phosphate\n,,serum x,albumin\n", ":3: 'serum x' is albumin here and phosphate on line 2"),
    ],
)
def test_a_code_map_that_maps_nothing_or_one_code_to_two_measurements_is_refused(tmp_path: Path, rows: str, words: str) -> None:
    table = tmp_path / "codes.csv"
    table.write_text(f"system,code,text,concept_key\n{rows}", encoding="utf-8")
    code, _, err = run("assess", CASE, "--code-map", table)
    assert code == 2
    assert words in err


def test_a_site_code_map_is_used(tmp_path: Path) -> None:
    patient = {"resourceType": "Patient", "id": "p"}
    condition = {
        "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://hospital.example/codes", "code": "X1"}]},
    }  # fmt: skip
    export = tmp_path / "export.ndjson"
    export.write_text(json.dumps(patient) + "\n" + json.dumps(condition) + "\n", encoding="utf-8")
    table = tmp_path / "map.csv"
    table.write_text("system,code,text,concept_key\nhttp://hospital.example/codes,X1,,dermatomyositis\n", encoding="utf-8")
    _, out, _ = run("assess", export, "--json")
    assert json.loads(out)["diseases"] == []
    _, out, _ = run("assess", export, "--json", "--code-map", table)
    assert [each["disease"] for each in json.loads(out)["diseases"]] == ["dermatomyositis"]


def test_screen_writes_every_file_and_accounts_for_every_record(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for path in sorted(BUNDLES.glob("*.json"))[:6]:
        shutil.copy(path, source)
    (source / "bad.json").write_bytes(b"\x00\x01\x02")
    out = tmp_path / "out"
    code, printed, _ = run("screen", source, "--out", out, "--quiet")
    assert code == 0
    assert "Report:" in printed
    for name in ("assessments.parquet", "reasons.parquet", "rejects.parquet", "unmapped.csv", "summary.json", "report.html"):
        assert (out / name).exists(), name
    summary = json.loads((out / "summary.json").read_text())
    assert summary["records_read"] == summary["records_used"] + summary["records_ignored"] + summary["records_rejected"]
    assert summary["patients_assessed"] == summary["patients_read"] == 6
    table = pl.read_parquet(out / "assessments.parquet")
    assert table.schema == pl.Schema(assessment_schema(load_knowledge()))
    assert pl.read_parquet(out / "rejects.parquet")["file"].str.ends_with("bad.json").any()


def test_screen_reads_gzip_bulk_data_with_any_file_name(tmp_path: Path) -> None:
    bundle = json.loads(CASE.read_bytes())
    with gzip.open(tmp_path / "whatever.gz", "wt", encoding="utf-8") as stream:
        for entry in bundle["entry"]:
            stream.write(json.dumps(entry["resource"]) + "\n")
    code, _, _ = run("screen", tmp_path / "whatever.gz", "--out", tmp_path / "out", "--quiet")
    assert code == 0
    row = pl.read_parquet(tmp_path / "out" / "assessments.parquet").to_dicts()[0]
    _, out, _ = run("assess", CASE, "--json")
    assert row["leading"] == json.loads(out)["leading"]


def test_as_of_hides_what_came_later() -> None:
    _, out, _ = run("assess", CASE, "--json", "--as-of", "2001-01-01")
    answer = json.loads(out)
    measured = [fact for each in answer["types"] for reason in each["reasons"] for fact in reason["facts"] if fact["time"]]
    assert all(fact["time"] < "2001-01-02" for fact in measured)


def test_no_patient_text_on_standard_error(tmp_path: Path) -> None:
    secret = "Jane Sample has an unmistakable private sentence"
    bundle = json.loads(CASE.read_bytes())
    bundle["entry"].append(
        {
            "resource": {
                "resourceType": "Observation",
                "id": "o",
                "subject": {"reference": "Patient/b090"},
                "code": secret,
                "valueString": secret,
            }
        }
    )
    path = tmp_path / "case.json"
    path.write_text(json.dumps(bundle), encoding="utf-8")
    code, _, err = run("assess", path, "--json")
    assert code == 0
    assert secret not in err


@pytest.mark.parametrize("command", [["--help"], ["assess", "--help"], ["screen", "--help"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['calcinosis', *{command!r}]\n"
        "from calcinosis.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'polars', 'duckdb', 'altair', 'pint', 'pyarrow', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)


def test_knowledge_check_names_the_files_of_the_folder_that_was_checked(tmp_path: Path) -> None:
    folder = tmp_path / "content"
    shutil.copytree(ROOT / "src" / "calcinosis" / "knowledge" / "content", folder)
    (folder / "settings.yaml").write_text("settings: {}\n", encoding="utf-8")
    code, out, _ = run("knowledge", "check", folder)
    assert code == 1
    assert out.startswith(f"{folder / 'settings.yaml'}:1: error: ")
