"""`screen` against the read limit: the time DuckDB needs to read the same columns of the same files, in one run.

    python benchmarks/screen_fhir.py [--gigabytes 1] [--large] [--repeat 3] [--data ../shared/data]

Input as in ``read_fhir.py``: public synthetic data copied with new ids. For each size, DuckDB counting the columns and the whole of
`screen` (reading, assessing, tables, report) run alternately, each in a process of its own; imports and loading are not counted.
Prints the best time of each, their ratio and the peak memory, workers included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from measured import in_a_process, told
from read_fhir import copies, count_columns

from calcinosis.ahead import cores
from calcinosis.api import make_readers, screen

GIGABYTE = 10**9


def screen_all(folder: Path, workers: int) -> dict[str, float]:
    readers = make_readers()
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        cohort = screen(folder, out, readers=readers, workers=workers)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, **cohort.summary.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--large", action="store_true", help="also four times the size")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--child", choices=("duckdb", "screen"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        told(count_columns(given.data) if given.child == "duckdb" else screen_all(given.data, cores()))
        return
    if not given.data.exists():
        sys.exit(f"{given.data} is absent: the public samples are needed to make the files")
    for gigabytes in (given.gigabytes, 4 * given.gigabytes) if given.large else (given.gigabytes,):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            folder = Path(name)
            size = copies(given.data, folder, int(gigabytes * GIGABYTE))
            runs: dict[str, list[dict[str, float]]] = {"duckdb": [], "screen": []}
            for _ in range(given.repeat):
                for mode, results in runs.items():
                    results.append(in_a_process(__file__, "--child", mode, "--data", str(folder)))
        best = {mode: min(results, key=lambda run: run["seconds"]) for mode, results in runs.items()}
        peak = {mode: max(run["peak_mib"] for run in results) for mode, results in runs.items()}
        limit, ours = best["duckdb"]["seconds"], best["screen"]["seconds"]
        stages = ", ".join(f"{name} {best['screen'][name]:.2f}" for name in ("read", "assess", "report"))
        print(
            f"{size / GIGABYTE:.2f} GB: DuckDB reads the columns in {limit:.2f} s ({peak['duckdb']:.0f} MiB); "
            f"screen {ours:.2f} s ({stages}; {peak['screen']:.0f} MiB); ratio {ours / limit:.2f} (bar 2.00)",
            flush=True,
        )


if __name__ == "__main__":
    main()
