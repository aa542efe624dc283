"""How `screen` grows: FHIR, OMOP and MEDS at several sizes of one simulated population, against the read limit.

    python benchmarks/scale.py [--patients 10000 100000] [--formats fhir omop meds] [--spark-up-to 100000] [--repeat 2]
                               [--cache /var/tmp/calcinosis-scale] [--out benchmarks/results]

The read limit is the time DuckDB needs to read the columns that we read, of the same files: NDJSON parsed and counted, Parquet hashed.
Every figure is taken in a process of its own, limit and screen in turn; imports and loading are not counted, but the start of worker
processes and of Spark is. Peak memory is the resident memory of the process and of all that it started (workers, Java), added up twice a
second from /proc; pages that processes share count in each.
Writes ``scale.md``, ``scale.csv`` and ``scale.svg``.
The population is made by `calcinosis simulate` and kept in the cache; it says nothing about medical accuracy.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measured import in_a_process, told

from calcinosis.ahead import cores

HERE = Path(__file__).parent
FORMATS = ("fhir", "omop", "meds")


def columns_of_omop(folder: Path) -> dict[str, list[str]]:
    """Table -> the columns that the reader looks at."""
    import duckdb

    from calcinosis.sources.omop_database import tables_in
    from calcinosis.sources.omop_tables import TABLES

    read: dict[str, list[str]] = {}
    for name, path in tables_in(folder).items():
        if name in TABLES:
            table = TABLES[name]
            shown = str(path / "*.parquet") if path.is_dir() else str(path)
            there = {row[0].lower(): row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{shown}'").fetchall()}
            wanted = (
                table.id, "person_id", table.concept, table.source_concept, table.source_value, *table.start, *table.end,
                *table.told.values(), table.number, table.operator,
            )  # fmt: skip
            read[shown] = [there[column] for column in dict.fromkeys(wanted) if column in there]
    return read


def read_limit(kind: str, folder: Path) -> float:
    """Seconds in which DuckDB reads every value of the columns that we read."""
    import duckdb

    con = duckdb.connect()
    if kind == "fhir":
        sys.path.insert(0, str(HERE))
        from read_fhir import count_columns

        return count_columns(folder)["seconds"]
    if kind == "omop":
        scans = [(f"'{path}'", columns) for path, columns in columns_of_omop(folder).items()]
    else:
        path = str(folder / "data" / "**" / "*.parquet")
        there = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
        scans = [(f"'{path}'", there)]
    start = time.perf_counter()
    for source, columns in scans:
        hashed = ", ".join(f'"{column}"' for column in columns)  # a count would be answered in part from the statistics of the file
        con.execute(f"SELECT bit_xor(hash({hashed})) FROM {source}").fetchall()
    return time.perf_counter() - start


def run_screen(folder: Path, engine: str) -> dict[str, Any]:
    from calcinosis.api import make_readers, screen

    readers = make_readers()
    more: dict[str, Any] = {"workers": cores()} if engine == "local" else {"engine": engine, "master": f"local[{cores()}]"}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as out:
        start = time.perf_counter()
        cohort = screen(folder, out, readers=readers, **more)
        seconds = time.perf_counter() - start
    summary = cohort.summary
    return {
        "seconds": seconds,
        "patients": summary.patients_assessed,
        "records": summary.records_read,
        "rejected": summary.records_rejected,
    }


def child(mode: str, kind: str, folder: Path) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = {"seconds": read_limit(kind, folder)} if mode == "limit" else run_screen(folder, mode)
    after, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + workers.ru_utime + workers.ru_stime
    return {**result, "cpu": cpu}


def population(cache: Path, kind: str, patients: int) -> Path:
    folder = cache / f"{kind}-{patients}"  # holds the records in a folder named after the format
    if not (cache / f"{kind}-{patients}.complete").exists():
        command = [sys.executable, "-m", "calcinosis.cli", "simulate", "--patients", str(patients), "--format", kind, "--seed", "7"]
        subprocess.run([*command, "--out", str(folder)], check=True)
        (cache / f"{kind}-{patients}.complete").touch()
    return folder / kind


def measure(cache: Path, kind: str, patients: int, engines: list[str], repeat: int) -> list[dict[str, Any]]:
    folder = population(cache, kind, patients)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    best: dict[str, dict[str, Any]] = {}
    for _ in range(repeat):
        for mode in ("limit", *engines):
            found = in_a_process(__file__, "--child", mode, kind, str(folder))
            if mode not in best or found["seconds"] < best[mode]["seconds"]:
                best[mode] = found
    rows = []
    for engine in engines:
        ours, limit = best[engine], best["limit"]
        rows.append({
            "format": kind, "engine": engine, "patients": patients, "records": ours["records"], "megabytes": round(size / 1e6),
            "limit_seconds": round(limit["seconds"], 2), "seconds": round(ours["seconds"], 2),
            "ratio": round(ours["seconds"] / limit["seconds"], 2), "microseconds_per_patient": round(ours["seconds"] / patients * 1e6, 1),
            "patients_per_second": round(patients / ours["seconds"]),
            "cpu_seconds": round(ours["cpu"], 1) if engine == "local" else "",  # what Java needs is not seen
            "peak_mib": round(ours["peak_mib"]), "rejected": ours["rejected"],
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def grown(cache: Path, formats: list[str], sizes: list[int], spark_up_to: int, repeat: int) -> list[dict[str, Any]]:
    """A row per format, size and engine."""
    cache.mkdir(parents=True, exist_ok=True)
    return [
        row
        for kind in formats
        for patients in sizes
        for row in measure(cache, kind, patients, ["local", *(["spark"] if patients <= spark_up_to else [])], repeat)
    ]


def write(rows: list[dict[str, Any]], out: Path) -> None:
    import altair as alt
    import polars as pl

    out.mkdir(parents=True, exist_ok=True)
    with (out / "scale.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    head = "| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |\n|" + "---|" * len(rows[0])
    body = ["| " + " | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()) + " |" for row in rows]
    (out / "scale.md").write_text("\n".join([head, *body, ""]), encoding="utf-8")
    lines = (
        alt.Chart(pl.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("patients:Q", scale=alt.Scale(type="log"), title="patients"),
            color=alt.Color("format:N", title="format"),
            strokeDash=alt.StrokeDash("engine:N", title="engine"),
        )
        .properties(width=360, height=240)
    )
    time_ = alt.Y("microseconds_per_patient:Q", title="microseconds per patient", scale=alt.Scale(zero=True))
    memory = alt.Y("peak_mib:Q", title="peak memory, MiB", scale=alt.Scale(zero=True))
    chart = alt.hconcat(
        lines.encode(y=time_).properties(title="What a patient costs, by size of the population"),
        lines.encode(y=memory).properties(title="Memory, by size of the population"),
    )
    chart.save(out / "scale.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--spark-up-to", type=int, default=0, help="also --engine spark on this machine, up to so many patients")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/calcinosis-scale"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        mode, kind, folder = given.child
        told(child(mode, kind, Path(folder)))
        return
    write(grown(given.cache, given.formats, given.patients, given.spark_up_to, given.repeat), given.out)


if __name__ == "__main__":
    main()
