"""The pages of a made cohort: how long a reader waits, and what it costs the processor.

    python benchmarks/cohort_pages.py [--patients 1000000] [--interesting 0.05]

Every patient is a copy of a published case (a share of ``--interesting``) or one of whom nothing is known, with an id of its own. Each page
is asked for three times over ASGI, without a network; the best time is printed. Counts are made beforehand, as when the service starts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from fastapi.testclient import TestClient

from calcinosis.api import screen
from calcinosis.report.cohort_folder import CohortFolder
from calcinosis.service.app import make_app
from calcinosis.service.pages.cohort import Door
from calcinosis.service.settings import Settings

CASES = Path(__file__).parents[1] / "examples" / "published_cases" / "bundles"
ROW_GROUPS = 40
BAR = 0.3  # seconds


def write(table: pl.DataFrame, path: Path) -> None:
    arrow = table.to_arrow()
    pq.write_table(arrow, path, compression="zstd", row_group_size=max(-(-table.height // ROW_GROUPS), 1))


def make_cohort(folder: Path, patients: int, interesting: float) -> None:
    """Copies of the screened cases among patients of whom nothing is known."""
    cases = folder / "cases"
    screen(CASES, cases)
    known = pl.read_parquet(cases / "assessments.parquet")
    lists = {name: [] for name, dtype in known.schema.items() if isinstance(dtype, pl.List)}
    states = {name: "not_assessed" for name in known.columns if name.startswith("status_")}
    nothing = dict.fromkeys(known.columns) | lists | states | {"labelled": False, "provisional": True, "mixed": False, "n_warnings": 0}
    pool = pl.concat([known, pl.DataFrame([nothing], schema=known.schema)])
    draw = np.random.default_rng(1)
    chosen = np.where(draw.random(patients) < interesting, draw.integers(0, known.height, patients), known.height)
    ids = pl.Series("subject_id", [f"{number:08x}-{number * 7919 % 16**12:012x}" for number in range(patients)])
    age = pl.Series("age_years", draw.uniform(1, 95, patients))
    write(pool[chosen].with_columns(ids, age), folder / "assessments.parquet")
    copies = pl.DataFrame({"new": ids, "subject_id": pool["subject_id"].gather(chosen)}).drop_nulls()
    for name in ("reasons", "treatment_reviews", "treatment_options", "events"):
        table = pl.read_parquet(cases / f"{name}.parquet")
        copied = copies.join(table, on="subject_id", maintain_order="left_right").with_columns(subject_id="new").select(table.columns)
        write(copied, folder / f"{name}.parquet")
    for name in ("rejects.parquet", "unmapped.csv", "summary.json"):
        shutil.copy(cases / name, folder / name)


def best(client: TestClient, address: str) -> tuple[float, float, int]:
    runs = []
    for _ in range(3):
        wall, processor = time.perf_counter(), time.process_time()
        answer = client.get(address)
        runs.append((time.perf_counter() - wall, time.process_time() - processor))
        assert answer.status_code == 200, address
    return min(run[0] for run in runs), min(run[1] for run in runs), len(answer.content)


def addresses(folder: CohortFolder) -> Sequence[str]:
    door, n = Door("made"), len(folder.order)
    urgent, quiet = folder.lines(folder.order[:1]), folder.lines(folder.order[-1:])
    return (
        door.home, door.list(), door.list(page=str(n // 100)), door.list(type="dystrophic", status="probable"),
        door.list(disease="none", page="500"), door.list(alarm="any", review="any"), door.list(unlabelled="1"),
        door.list(missing="albumin"), door.list(patient="00777"),
        door.patient(urgent[0]["id"]), door.patient(quiet[0]["id"]),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--interesting", type=float, default=0.05)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        path = Path(name)
        make_cohort(path, given.patients, given.interesting)
        settings = Settings(workers=0, requests_per_second=1e6, burst=10**6, audit_log=path / "audit", cohorts={"made": path})
        app = make_app(settings)
        with app.state.cohorts.opened("made") as folder:
            start = time.perf_counter()
            _ = folder.population, folder.order, folder.choices
            print(f"{given.patients:,} patients: counted once in {time.perf_counter() - start:.2f} s")
            asked = addresses(folder)
        worst = 0.0
        with TestClient(app) as client:
            for address in asked:
                wall, processor, size = best(client, address)
                worst = max(worst, wall)
                print(f"{wall * 1000:6.0f} ms  processor {processor * 1000:4.0f} ms  {size / 1000:5.0f} kB  {address[:90]}")
        print(f"slowest page {worst * 1000:.0f} ms (bar {BAR * 1000:.0f} ms)")


if __name__ == "__main__":
    main()
