"""How fast `calcinosis simulate` writes a population, beside the time the disk needs for as many bytes.

    python benchmarks/simulate.py [--patients 200000] [--formats fhir omop meds] [--repeat 3]

Each run is a process of its own, start included; in turn with it, `dd` writes as many zeros directly to the same disk (the limit, where
`dd` and direct writing exist). Prints the best of each; the bar for every format is 20,000 patients a second.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGABYTE = 10**6


def simulated(patients: int, data_format: str, folder: Path) -> tuple[float, int]:
    """Seconds, and bytes written."""
    command = [sys.executable, "-m", "calcinosis.cli", "simulate", "--patients", str(patients), "--format", data_format, "--seed", "1"]
    start = time.perf_counter()
    subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return seconds, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_limit(size: int, folder: Path) -> float | None:
    """Seconds in which `dd` writes as many bytes past the page cache; None where it cannot."""
    dd = shutil.which("dd")
    if dd is None:
        return None
    start = time.perf_counter()
    done = subprocess.run(
        [dd, "if=/dev/zero", f"of={folder / 'zeros'}", "bs=4M", f"count={max(size // (4 << 20), 1)}", "oflag=direct"],
        capture_output=True, check=False,
    )  # fmt: skip
    return time.perf_counter() - start if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=200_000)
    parser.add_argument("--formats", nargs="+", default=["fhir", "omop", "meds"], choices=("fhir", "omop", "meds"))
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    for data_format in given.formats:
        runs, limits, size = [], [], 0
        for _ in range(given.repeat):
            with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
                seconds, size = simulated(given.patients, data_format, Path(name) / "out")
                runs.append(seconds)
            with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
                limits.append(write_limit(size, Path(name)))
        known = [limit for limit in limits if limit is not None]
        disk = f"; the disk alone {min(known):.1f} s, ratio {min(runs) / min(known):.1f}" if known else ""
        print(
            f"{data_format}: {given.patients:,} patients, {size / MEGABYTE:,.0f} MB in {min(runs):.1f} s (all: "
            f"{', '.join(f'{run:.1f}' for run in runs)}): {given.patients / min(runs):,.0f} patients/s (bar 20,000){disk}",
            flush=True,
        )


if __name__ == "__main__":
    main()
