"""How long reading FHIR takes, against the time DuckDB needs to parse the same columns and count them.

    python benchmarks/read_fhir.py [--gigabytes 1] [--data ../shared/data] [--repeat 3] [--memory-limit 2GB]

The input is public synthetic data (SMART bulk sample, Pathling's test data), copied with new ids until it is large enough.
Each figure is taken in a process of its own; peak memory is that of the reading process.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from calcinosis.knowledge.loader import load_knowledge
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir import read_fhir
from calcinosis.sources.fhir_columns import COLUMNS, columns_sql
from calcinosis.sources.text import TextReader

FOLDERS = ("fhir-smart-bulk-13", "fhir-pathling-9")
IDS = re.compile(rb'(?<="id":")[0-9a-f-]{36}|(?<="Patient/)[0-9a-f-]{36}')


def copies(data: Path, target: Path, size: int) -> int:
    """Write NDJSON of at least ``size`` bytes, one file per resource type; returns its true size."""
    sources = [path for folder in FOLDERS for path in sorted((data / folder).glob("*.ndjson"))]
    if not sources:
        sys.exit(f"no public data in {data}")
    texts = {path: path.read_bytes() for path in sources}
    rounds = -(-size // sum(map(len, texts.values())))
    expected = target / f"complete-{rounds}"
    if not expected.exists():
        target.mkdir(parents=True, exist_ok=True)
        for old in target.iterdir():
            old.unlink()
        for path, text in texts.items():
            with (target / f"{path.stem}-{path.parent.name}.ndjson").open("wb") as stream:
                for number in range(rounds):
                    stream.write(IDS.sub(lambda match, n=number: match[0] + b"-%d" % n, text))  # type: ignore[misc]
        expected.touch()
    return sum(path.stat().st_size for path in target.glob("*.ndjson"))


def count_columns(folder: Path) -> dict[str, float]:
    """DuckDB parses every column that the reader uses, and counts its values."""
    counted = ", ".join(f'count("{name}")' for name in COLUMNS)
    files = [str(path) for path in sorted(folder.glob("*.ndjson"))]
    con = duckdb.connect()
    start = time.perf_counter()
    con.execute(f"SELECT {counted} FROM read_ndjson({files}, columns = {columns_sql(own=False)}, ignore_errors = true)").fetchall()
    return {"seconds": time.perf_counter() - start}


def read(folder: Path, memory_limit: str | None) -> dict[str, float]:
    knowledge = load_knowledge()
    index, reader = ConceptIndex(knowledge.codes, knowledge.concepts), TextReader(knowledge.concepts.values())
    start = time.perf_counter()
    events = patients = batches = 0
    for batch in read_fhir([folder], index, reader, memory_limit=memory_limit):
        events, patients, batches = events + batch.events.height, patients + batch.patients.height, batches + 1
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds, "records": batch.records_read, "rejected": batch.records_rejected, "events": events,
        "patients": patients, "batches": batches,
    }  # fmt: skip


def alone(task: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run one measurement in a new process."""
    command = [sys.executable, __file__, "--task", task, "--target", str(arguments.target)]
    command += ["--memory-limit", arguments.memory_limit] if arguments.memory_limit else []
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--target", type=Path, default=Path("/tmp/calcinosis-benchmark-fhir"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory-limit")
    parser.add_argument("--task", choices=("count", "read"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        result = count_columns(arguments.target) if arguments.task == "count" else read(arguments.target, arguments.memory_limit)
        result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(result))
        return
    size = copies(arguments.data, arguments.target, int(arguments.gigabytes * 1e9))
    counts = [alone("count", arguments) for _ in range(arguments.repeat)]
    reads = [alone("read", arguments) for _ in range(arguments.repeat)]
    counted, best = min(run["seconds"] for run in counts), min(reads, key=lambda run: run["seconds"])
    print(f"input            {size / 1e9:6.2f} GB, {best['records']:,.0f} records, {best['patients']:,.0f} patients")
    print(f"DuckDB counts    {counted:6.2f} s, best of {arguments.repeat}")
    events = f"{best['events']:,.0f} events in {best['batches']:.0f} batches"
    print(f"read_fhir        {best['seconds']:6.2f} s, best of {arguments.repeat}; {events}")
    print(f"ratio            {best['seconds'] / counted:6.2f}")
    print(f"peak memory      {max(run['peak_gb'] for run in reads):6.2f} GB")


if __name__ == "__main__":
    main()
