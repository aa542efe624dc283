from __future__ import annotations

import io
import json
import re
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from calcinosis.report.validation_page import render_validation_html
from calcinosis.validation import Score, TruthError, print_score, rate, read_truth, score, validate_folder

TYPES = ("calciphylaxis", "iatrogenic", "metastatic", "dystrophic", "idiopathic")


def truth_of(*rows: tuple[str, ...]) -> pl.DataFrame:
    columns = ("id", "published_type", "also_acceptable", "basis", "difficulty", "complete")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def answers_of(*rows: tuple[str, str | None, dict[str, str], list[str]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"id": case, "leading": leading, "alarms": alarms} | {f"status_{each}": status.get(each, "not_assessed") for each in TYPES}
            for case, leading, status, alarms in rows
        ],
        schema_overrides={"leading": pl.String, "alarms": pl.List(pl.String)},
    )


TRUTH = truth_of(
    ("a", "dystrophic", "", "histology", "typical", "true"),
    ("b", "dystrophic", "iatrogenic|metastatic", "clinical", "hard", "true"),
    ("c", "calciphylaxis", "", "histology", "typical", "true"),
    ("d", "calciphylaxis", "", "clinical", "hard", "false"),
    ("e", "mimic", "", "clinical", "hard", "true"),
    ("f", "idiopathic", "", "clinical", "typical", "false"),
)
ANSWERS = answers_of(
    ("a", "dystrophic", {"dystrophic": "confirmed"}, []),
    ("b", "metastatic", {"metastatic": "probable"}, []),
    ("c", "calciphylaxis", {"calciphylaxis": "confirmed"}, ["suspected_calciphylaxis"]),
    ("d", None, {"calciphylaxis": "unlikely"}, ["possible_early_calciphylaxis"]),
    ("e", "mimic", {}, []),
    ("f", "dystrophic", {"idiopathic": "unlikely"}, []),
)


def test_the_interval_is_wilsons_and_nothing_to_count_has_no_interval() -> None:
    measured = rate(81, 263)  # Newcombe 1998, table I: Wilson 0.2553 to 0.3662
    assert measured.low == pytest.approx(0.2553, abs=5e-5)
    assert measured.high == pytest.approx(0.3662, abs=5e-5)
    assert (rate(0, 0).value, str(rate(0, 0))) == (None, "no case")


def test_also_acceptable_counts_as_agreement_but_not_as_sensitivity() -> None:
    result = score(ANSWERS, TRUTH)
    assert (result.all.agreement.hits, result.all.agreement.n) == (4, 6)
    by_type = {each.type: each for each in result.all.types}
    assert (by_type["dystrophic"].sensitivity.hits, by_type["dystrophic"].sensitivity.n) == (1, 2)
    assert (by_type["dystrophic"].predictive_value.hits, by_type["dystrophic"].predictive_value.n) == (1, 2)
    assert (by_type["metastatic"].predictive_value.hits, by_type["metastatic"].predictive_value.n) == (0, 1)
    assert by_type["iatrogenic"].sensitivity.value is None


def test_calciphylaxis_has_its_own_scores() -> None:
    result = score(ANSWERS, TRUTH)
    assert (result.all.urgent_sensitivity.hits, result.all.urgent_sensitivity.n) == (1, 2)
    assert (result.all.urgent_not_missed.hits, result.all.urgent_excluded) == (2, 0)
    silent = ANSWERS.drop("alarms")
    assert score(silent, TRUTH).all.urgent_not_missed.hits == 1
    excluded = ANSWERS.with_columns(
        pl.when(pl.col("id") == "d").then(pl.lit("excluded")).otherwise("status_calciphylaxis").alias("status_calciphylaxis")
    )
    assert score(excluded, TRUTH).all.urgent_excluded == 1


def test_parts_add_up_to_all_cases_and_the_confusion_grid_is_full() -> None:
    result = score(ANSWERS, TRUTH)
    for split in ("complete", "basis", "difficulty"):
        assert sum(part.agreement.n for part in result.parts if part.split == split) == 6
    grid = result.all.confusion
    assert {len(row) for row in grid.values()} == {7}
    assert sum(sum(row.values()) for row in grid.values()) == 6
    assert grid["calciphylaxis"]["undetermined"] == 1
    assert result.complete is not None
    assert (result.complete.agreement.hits, result.complete.agreement.n) == (4, 4)


def test_held_out_cases_are_scored_apart() -> None:
    complete = TRUTH.with_columns(complete=pl.lit("true"))
    parts = {part.name: part for part in score(ANSWERS, complete, held_out=frozenset("ab")).parts if part.split == "reading"}
    assert {name: part.agreement.n for name, part in parts.items()} == {"held out": 2, "read while writing": 4}
    assert not [part for part in score(ANSWERS, complete).parts if part.split == "reading"]


def test_targets_say_met_not_met_or_nothing_to_judge() -> None:
    def met(truth: pl.DataFrame) -> dict[str, bool | None]:
        return {target.label: target.met for target in score(ANSWERS, truth).targets}

    assert met(TRUTH)["Agreement, complete cases"] is True
    assert met(TRUTH.with_columns(complete=pl.lit("true"))) == {
        "Agreement, complete cases": False,
        "Calciphylaxis sensitivity, complete cases": False,
        "Calciphylaxis with status excluded, all cases": True,
        "Mimics recognised, complete cases": True,
        "Undetermined, complete cases": False,
    }
    few = score(ANSWERS.head(1), TRUTH.head(1).with_columns(complete=pl.lit("false")))
    assert [target.met for target in few.targets] == [None, None, None, None, None]


def test_disagreements_name_the_answer_and_the_status_of_the_published_type() -> None:
    rows = [(each.id, each.published, each.answered, each.status) for each in score(ANSWERS, TRUTH).disagreements]
    assert rows == [("d", "calciphylaxis", "undetermined", "unlikely"), ("f", "idiopathic", "dystrophic", "unlikely")]


def test_a_case_without_an_answer_is_undetermined_never_dropped() -> None:
    result = score(ANSWERS.filter(pl.col("id") != "c"), TRUTH)
    assert result.without_answer == {"c": "no answer was given"}
    assert result.all.agreement.n == 6
    assert result.all.undetermined.hits == 2
    lenient = TRUTH.with_columns(also_acceptable=pl.lit("undetermined"))
    assert score(ANSWERS, lenient).all.agreement.hits == 4
    assert score(ANSWERS.clear(), lenient).all.agreement.hits == 0
    assert score(ANSWERS, TRUTH.head(4)).without_truth == ("e", "f")


def test_two_answers_for_one_case_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one answer for a"):
        score(pl.concat([ANSWERS, ANSWERS.head(1)]), TRUTH)


def test_an_answer_outside_the_types_is_refused_with_the_valid_names() -> None:
    with pytest.raises(ValueError, match="unknown answer gouty_tophus; known are calciphylaxis"):
        score(ANSWERS.with_columns(leading=pl.lit("gouty_tophus")), TRUTH)


def test_bad_truth_is_reported_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        "id,published_type,also_acceptable,basis,difficulty,complete,note\n"
        'a,dystrophic,,histology,typical,true,"two\nlines"\n'
        ",dystrophic,,histology,typical,true,\n"
        "a,tumoral,mimic|nonsense,histology,typical,perhaps,\n"
    )
    with pytest.raises(TruthError) as caught:
        score(ANSWERS, read_truth(path))
    message = str(caught.value)
    for part in (
        "truth.csv:4: the id is missing",
        "truth.csv:5: id 'a' already stands on line 3",
        "truth.csv:5: unknown published_type 'tumoral'; known are calciphylaxis",
        "unknown also_acceptable 'nonsense'",
        "complete must be true or false, not 'perhaps'",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"id,published_type\n", "no column also_acceptable"), (b"", "no column id"), (b"\xff\xfe\x00", "not a UTF-8 CSV file")],
)
def test_an_unusable_truth_file_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes(content)
    with pytest.raises(TruthError, match=says):
        read_truth(path)
    with pytest.raises(TruthError, match="cannot be read"):
        read_truth(tmp_path / "absent.csv")


def test_an_empty_truth_table_is_an_error_not_a_perfect_score() -> None:
    with pytest.raises(TruthError, match="holds no case"):
        score(ANSWERS, TRUTH.clear())


def test_the_terminal_shows_targets_splits_types_and_disagreements() -> None:
    console = Console(file=io.StringIO(), width=220, record=True)
    renamed = pl.col("id").replace("d", "[bold]z")  # an id is text, never markup
    print_score(score(ANSWERS.with_columns(renamed), TRUTH.with_columns(renamed, complete=pl.lit("true"))), console)
    text = console.export_text()
    for part in ("NOT MET", "met", "difficulty: hard", "By set of cases", "4/6 = 66.7%", "Disagreements", "[bold]z"):
        assert part in text


def test_the_score_is_plain_json() -> None:
    result = score(ANSWERS, TRUTH)
    assert Score.model_validate_json(result.model_dump_json()) == result


def test_a_folder_is_assessed_and_scored_and_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    patient = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient", "id": "p"}}]}
    (tmp_path / "bundles" / "a.json").write_text(json.dumps(patient))
    (tmp_path / "bundles" / "b.json").write_text("{ not json")
    (tmp_path / "bundles" / "x.json").write_text("[1]")
    TRUTH.head(3).write_csv(tmp_path / "truth.csv")
    result = validate_folder(tmp_path)
    assert result.all.undetermined.hits == 3
    assert set(result.without_answer) == {"b", "c"}
    assert result.without_answer["c"] == "no file bundles/c.json"


def _copied(folder: Path, *cases: str) -> Path:
    from hand_made import CASES

    (folder / "bundles").mkdir()
    for name in cases:
        (folder / "bundles" / f"{name}.json").write_bytes((CASES / "bundles" / "b090.json").read_bytes())
    header = "id,published_type,also_acceptable,basis,difficulty,complete"
    rows = [f"{name},calciphylaxis,,histology,typical," for name in cases]
    (folder / "truth.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return folder


def test_a_folder_without_bundles_is_an_error_not_a_bad_score(tmp_path: Path) -> None:
    folder = _copied(tmp_path, "a")
    (folder / "bundles" / "a.json").unlink()
    with pytest.raises(TruthError, match=r"bundles: holds no \.json file"):
        validate_folder(folder)
    (folder / "bundles").rmdir()
    with pytest.raises(TruthError, match="bundles: no such folder"):
        validate_folder(folder)


def test_a_repeated_patient_id_and_cases_of_unstated_completeness_are_told(tmp_path: Path) -> None:
    result = validate_folder(_copied(tmp_path, "a", "b"))
    assert result.all.agreement.n == 2
    told = " ".join(result.notes)
    assert "2 of 2 cases leave complete empty" in told
    assert "a.json, b.json hold the same patient id 'b090'" in told
    out = io.StringIO()
    print_score(result, Console(file=out, width=200))
    assert all(note in out.getvalue() for note in result.notes)
    assert "hold the same patient id" in render_validation_html(result)


def test_an_id_is_the_file_name_without_its_ending(tmp_path: Path) -> None:
    folder = _copied(tmp_path, "a")
    text = (folder / "truth.csv").read_text(encoding="utf-8")
    (folder / "truth.csv").write_text(text.replace("\na,", "\na.json,"), encoding="utf-8")
    with pytest.raises(TruthError, match=r"truth\.csv:2: id 'a\.json' must be the file name without \.json"):
        validate_folder(folder)


def test_the_page_draws_what_the_score_says_and_asks_nothing_of_the_network() -> None:
    page = render_validation_html(score(ANSWERS, TRUTH))
    assert page.count('<svg role="img" aria-labelledby="') == 3
    assert "published calciphylaxis: 1 answered calciphylaxis, 1 answered undetermined" in page
    assert "Agreement with the published type in complete cases: 4 of 4, 100%" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    landmarks = re.findall(r'<(?:section|div class="scroll" role="region"[^>]*?) aria-labelledby="([^"]+)"', page)
    assert len(landmarks) == len(set(landmarks)) > 5
    assert not re.search(r"<script|<img|@import|src=", page)
    assert set(re.findall(r'href="(https?:[^"]+)"', page)) == {"https://doi.org/10.1080/01621459.1927.10502953"}
