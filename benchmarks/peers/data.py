"""Public data copied with new ids, so that every peer reads the same files.

fhir: the SMART bulk sample (Patient, Condition), 13 patients a copy; omop: Eunomia GiBleed, 2,694 persons a copy;
meds: the MIMIC-IV demo, 100 subjects a copy.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import duckdb
import polars as pl

_IDS = re.compile(rb'(?<="id":")[0-9a-f-]{36}|(?<="Patient/)[0-9a-f-]{36}')


def make(public: Path, target: Path, copies: int) -> None:
    """Write ``fhir/``, ``omop/`` and ``meds/`` below ``target``, unless they are there."""
    done = target / f"complete-{copies}"
    if done.exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    _fhir(public / "fhir-smart-bulk-13", target / "fhir", copies)
    _omop(public / "omop-gibleed", target / "omop", copies)
    _meds(public / "meds-mimic-iv-demo", target / "meds", copies)
    done.touch()


def _fhir(source: Path, target: Path, copies: int) -> None:
    target.mkdir(parents=True)
    for kind in ("Patient", "Condition"):
        text = (source / f"{kind}.000.ndjson").read_bytes()
        with (target / f"{kind}.ndjson").open("wb") as stream:
            for number in range(copies):
                stream.write(_IDS.sub(lambda match, n=number: match[0] + b"-%d" % n, text))  # type: ignore[misc]


def _omop(source: Path, target: Path, copies: int) -> None:
    target.mkdir(parents=True)
    connection = duckdb.connect()
    for path in sorted(source.glob("*.parquet")):
        columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
        empty = connection.execute(f"SELECT count(*) = 0 FROM '{path}'").fetchone() == (True,)
        if "person_id" not in columns or empty:
            shutil.copy(path, target / path.name)
            continue
        key = f"{path.stem}_id"
        moved = ["person_id::BIGINT + n * 100000 AS person_id"]
        if key in columns and key != "person_id":
            moved.append(f"{key}::BIGINT + n * 10000000 AS {key}")
        rows = f"SELECT * REPLACE ({', '.join(moved)}) FROM '{path}', range({copies}) AS copy(n)"
        connection.execute(f"COPY ({rows}) TO '{target / path.name}' (FORMAT parquet)")


def _meds(source: Path, target: Path, copies: int) -> None:
    (target / "data").mkdir(parents=True)
    events = pl.concat([pl.read_parquet(path) for path in sorted((source / "data").rglob("*.parquet"))], how="diagonal")
    moved = [events.with_columns(pl.col("subject_id") + number * 100_000_000) for number in range(copies)]
    pl.concat(moved).sort("subject_id", maintain_order=True).write_parquet(target / "data" / "0.parquet")
    shutil.copytree(source / "metadata", target / "metadata")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
