"""`screen` against the read limit: the time DuckDB needs to read the same columns of the same files, in one run.

Makes Bulk NDJSON by repeating the public samples in ../shared/data with new ids (1 GB and, with --large, 4 GB), then for each size
runs (a) DuckDB counting every column the reader asks for, (b) `calcinosis screen`, each in a process of its own, alternating, and
prints seconds, their ratio and the peak memory of each process.
Usage: python benchmarks/screen_fhir.py [--gb 1] [--large] [--rounds 3] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = ("fhir-smart-bulk-13", "fhir-pathling-9")
LEFT_OUT = ("DocumentReference",)  # long base64 notes are counted, not read


def make_data(target: Path, samples: Path, gigabytes: float) -> None:
    texts = {}
    for sample in SAMPLES:
        for path in sorted((samples / sample).glob("*.ndjson")):
            if not path.name.startswith(LEFT_OUT):
                texts[f"{sample}.{path.name}"] = path.read_text(encoding="utf-8")
    uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    copies = max(1, int(gigabytes * 1e9 / sum(map(len, texts.values()))))
    for name, text in texts.items():
        pieces = uuid.split(text)
        ids = uuid.findall(text)
        with (target / name).open("w", encoding="utf-8") as out:
            for copy in range(copies):
                suffix = f"{copy:06d}"
                out.write("".join(piece + (ids[i][:-6] + suffix if i < len(ids) else "") for i, piece in enumerate(pieces)))


def run_child(mode: str, data: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one run in a fresh process (imports not counted)."""
    out = subprocess.run([sys.executable, __file__, "--child", mode, "--data", str(data)], check=True, capture_output=True, text=True)
    seconds, peak = out.stdout.split()[-2:]
    return float(seconds), float(peak)


def child(mode: str, data: Path) -> None:
    files = sorted(str(path) for path in data.glob("*.ndjson"))
    if mode == "duckdb":
        import duckdb

        from calcinosis.sources.fhir_columns import column_names, columns_sql

        counts = ", ".join(f'count("{name}")' for name in column_names())
        connection = duckdb.connect()
        start = time.perf_counter()
        connection.sql(
            f"select {counts} from read_ndjson({files}, columns={columns_sql(own=False)}, ignore_errors=true, maximum_object_size=104857600)"
        ).fetchall()
    else:
        from calcinosis.api import make_readers, screen

        readers = make_readers()
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            screen([data], out, readers=readers)
            seconds = time.perf_counter() - start
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--large", action="store_true", help="also 4 times the size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--child", choices=("duckdb", "screen"))
    given = parser.parse_args()
    if given.child:
        child(given.child, given.data)
        return
    if not given.data.exists():
        raise SystemExit(f"{given.data} is absent: the public samples are needed to make the files (see benchmarks/README.md)")
    for gigabytes in (given.gb, 4 * given.gb) if given.large else (given.gb,):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            data = Path(folder)
            make_data(data, given.data, gigabytes)
            size = sum(path.stat().st_size for path in data.iterdir()) / 1e9
            runs: dict[str, list[tuple[float, float]]] = {"duckdb": [], "screen": []}
            for _ in range(given.rounds):
                for mode, results in runs.items():
                    results.append(run_child(mode, data))
            best = {mode: min(seconds for seconds, _ in results) for mode, results in runs.items()}
            peak = {mode: max(mib for _, mib in results) for mode, results in runs.items()}
            print(
                f"{size:.2f} GB: DuckDB reads the columns in {best['duckdb']:.2f} s ({peak['duckdb']:.0f} MiB); "
                f"screen {best['screen']:.2f} s ({peak['screen']:.0f} MiB); ratio {best['screen'] / best['duckdb']:.2f} (bar 2)",
                flush=True,
            )


if __name__ == "__main__":
    main()
