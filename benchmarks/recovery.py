"""What `screen` recovers of a simulated population, by type. A test of the machinery, never of medical accuracy.

    python benchmarks/recovery.py [--patients 50000] [--format fhir] [--seed 1]

A case is recovered when its type leads. Sensitivity and positive predictive value stand with Wilson 95 % intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import polars as pl
from scipy.stats import binomtest

from calcinosis.api import screen
from calcinosis.knowledge import load_knowledge
from calcinosis.simulate import FORMATS, simulate


def proportion(hits: int, of: int) -> str:
    if not of:
        return "-"
    interval = binomtest(hits, of).proportion_ci(method="wilson")
    return f"{hits}/{of} = {hits / of:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def recovered(truth: pl.DataFrame, answers: pl.DataFrame, types: list[str]) -> list[tuple[str, str, str, str]]:
    """Rows of the table: type, who, sensitivity, positive predictive value."""
    table = truth.join(answers, on="subject_id", how="left", validate="1:1")
    groups = {
        "all": pl.lit(True), "coded": pl.col("coded"), "uncoded": ~pl.col("coded"), "in words": pl.col("shown_in_text"),
        "not in words": ~pl.col("shown_in_text"), "neither": ~pl.col("coded") & ~pl.col("shown_in_text"),
    }  # fmt: skip
    rows = []
    for key in types:
        found, case = pl.col("leading") == key, pl.col("type") == key
        said = table.filter(found)
        for name, group in groups.items():
            cases = table.filter(case & group)
            ppv = proportion(said.filter(case).height, said.height) if name == "all" else ""
            rows.append((key, name, proportion(cases.filter(found).height, cases.height), ppv))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=50_000)
    parser.add_argument("--format", choices=FORMATS, default="fhir")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        made = simulate(given.patients, name, data_format=given.format, seed=given.seed)
        cohort = screen(made.folder, Path(name) / "out")
        truth = pl.read_parquet(made.truth)
        answers = pl.read_parquet(cohort.folder / "assessments.parquet").select(
            pl.col("subject_id").str.split("/").list.last(), "leading", "leading_mimic", "leading_status"
        )
    print(f"{given.patients} simulated patients, {made.rows} rows, {given.format}, seed {given.seed}; a test of the machinery only\n")
    print("| type | cases | sensitivity | positive predictive value |\n|---|---|---|---|")
    for row in recovered(truth, answers, list(load_knowledge().types)):
        print(f"| {' | '.join(row)} |")
    missed = truth.filter(pl.col("type").is_not_null()).join(answers, on="subject_id", how="left")
    print("\nWhat was said of each type:")
    for kind, leading, n in missed.group_by("type", "leading").len().sort("type", "len", descending=[False, True]).iter_rows():
        print(f"  {kind}: {leading or 'no answer'} {n}")
    false = answers.filter(pl.col("leading").is_not_null()).join(truth.filter(pl.col("type").is_null()), on="subject_id")
    print("\nAnswers in patients without a type:")
    for leading, status, mimic, n in false.group_by("leading", "leading_status", "mimic").len().sort("len", descending=True).iter_rows():
        print(f"  {leading} ({status}); meant: {mimic or 'nothing'} {n}")


if __name__ == "__main__":
    main()
