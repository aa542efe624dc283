"""``calcinosis evidence`` as a user meets it: what it prints, what it writes, what it refuses and with which exit code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from typer.testing import CliRunner

from calcinosis.cli import app
from calcinosis.evidence.cells import load_pooled

runner = CliRunner()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = runner.invoke(app, ["evidence", *(str(argument) for argument in arguments)], env={"COLUMNS": "100"})
    return result.exit_code, result.stdout, result.stderr


def test_all_treatments_are_a_table_per_type() -> None:
    code, out, _ = run()
    assert code == 0
    assert all(f"{label}: " in out for label in ("Calciphylaxis", "Dystrophic calcification", "Iatrogenic calcification"))
    assert "never makes one" in " ".join(out.split())


def test_one_treatment_by_another_of_its_names() -> None:
    code, out, _ = run("cardizem")
    assert code == 0
    assert out.startswith("Diltiazem") and "References" in out


def test_filters() -> None:
    code, out, _ = run("--type", "calciphylaxis")
    assert code == 0 and "Dystrophic calcification:" not in out
    code, out, _ = run("--disease", "systemic_sclerosis", "--type", "dystrophic")
    assert code == 0 and "Calciphylaxis:" not in out


def test_an_unknown_name_exits_2_and_lists_the_nearest(tmp_path: Path) -> None:
    code, out, err = run("dilitazem", "--csv", tmp_path / "rows.csv")
    assert (code, out) == (2, "")
    assert "did you mean diltiazem" in err
    assert not (tmp_path / "rows.csv").exists()
    assert run("--type", "nonsense")[0] == 2
    code, _, err = run("--disease", "sclerosis")
    assert code == 2 and "systemic_sclerosis" in err


def test_files_are_written_and_nothing_is_printed(tmp_path: Path) -> None:
    page, rows, bundle = tmp_path / "page.html", tmp_path / "rows.csv", tmp_path / "bundle.json"
    code, out, err = run("rheopheresis", "--html", page, "--csv", rows, "--fhir", bundle)
    assert (code, out) == (0, "")
    assert all(str(path) in err for path in (page, rows, bundle))
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with rows.open(encoding="utf-8", newline="") as stream:
        assert all("rheopheresis" in row["treatments"] for row in csv.DictReader(stream))
    assert json.loads(bundle.read_text(encoding="utf-8"))["resourceType"] == "Bundle"


def test_the_pooled_proportions_are_a_table(tmp_path: Path) -> None:
    table = tmp_path / "pooled.csv"
    code, out, err = run("diltiazem", "--pooled", table)
    assert (code, out) == (0, "") and str(table) in err
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    shipped = [cell for cell in load_pooled() if cell.treatment == "diltiazem"]
    assert [(row["type"], row["disease"], row["outcome"]) for row in rows] == [(c.type, c.disease or "", c.outcome) for c in shipped]
    assert [(row["events"], row["n"], float(row["low"])) for row in rows] == [(str(c.events), str(c.n), c.low) for c in shipped]


def test_a_filter_without_rows_is_no_error(tmp_path: Path) -> None:
    code, out, _ = run("--disease", "sjogren_syndrome")
    assert code == 0 and out.startswith("No treatment and no study in the knowledge names Sj")
    code, _, err = run("--disease", "sjogren_syndrome", "--csv", tmp_path / "rows.csv", "--fhir", tmp_path / "b.json", "--html", tmp_path / "p.html")
    assert code == 0 and "wrote 0 rows" in err
