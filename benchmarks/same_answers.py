"""One simulated population as FHIR, OMOP and MEDS, on one machine and on Spark: do the answers agree patient by patient?

    python benchmarks/same_answers.py [--patients 20000] [--spark] [--seed 11]

Prints, for each format and engine against FHIR on one machine, how many patients differ in any column of ``assessments.parquet``, and in
which. What a format cannot carry is listed in docs/simulation.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from calcinosis.api import make_readers, screen

_NOT_COMPARED = ("n_warnings",)  # counts records, and each format cuts a record its own way


def answers(source: Path, out: Path, engine: str) -> pl.DataFrame:
    start = time.perf_counter()
    cohort = screen(source, out, readers=make_readers(), engine=engine)
    print(f"{source.name}, {engine}: {cohort.summary.patients_assessed:,} patients in {time.perf_counter() - start:.1f} s", flush=True)
    table = cohort.assessments.sort("subject_id").drop(_NOT_COMPARED)
    lists = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
    return table.with_columns(pl.col(lists).list.sort(), pl.col("age_years").round(2))


def differences(left: pl.DataFrame, right: pl.DataFrame) -> dict[str, int]:
    """Column -> patients who differ in it; "any" for those who differ at all."""
    if left["subject_id"].to_list() != right["subject_id"].to_list():
        return {"subject_id": len(set(left["subject_id"]) ^ set(right["subject_id"]))}
    differ = pl.DataFrame({name: left[name].ne_missing(right[name]) for name in left.columns})
    found = {name: int(differ[name].sum()) for name in differ.columns}
    return {"any": int(differ.select(pl.any_horizontal(pl.all()).sum()).item()), **{name: n for name, n in found.items() if n}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--spark", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        for kind in ("fhir", "omop", "meds"):
            command = [sys.executable, "-m", "calcinosis.cli", "simulate", "--patients", str(given.patients), "--seed", str(given.seed)]
            subprocess.run([*command, "--format", kind, "--out", str(folder / kind)], check=True, stdout=subprocess.DEVNULL)
        first = answers(folder / "fhir" / "fhir", folder / "out-fhir-local", "local")
        failed = False
        for engine in ("local", *(["spark"] if given.spark else [])):
            for kind in ("fhir", "omop", "meds"):
                if (kind, engine) != ("fhir", "local"):
                    found = differences(first, answers(folder / kind / kind, folder / f"out-{kind}-{engine}", engine))
                    print(f"  against FHIR on one machine: {found}", flush=True)
                    failed |= bool(found.get("any", 1))
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
