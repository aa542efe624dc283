"""Everything about scale in one command: growth by format, size and engine against the read limit, and the peers.

    python benchmarks/scale_and_peers.py [--patients 10000 100000 1000000] [--spark-up-to 100000] [--repeat 1] [--out benchmarks/results]

Runs ``scale.py`` and ``peers/run.py`` (their docstrings say how they measure) and writes ``README.md`` with both tables and the plot.
Needs about 30 GB of disk, PySpark and Java for Spark, and ../shared/data for the peers.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

from calcinosis.ahead import cores

HERE = Path(__file__).parent
_PAGE = """# Scale and peers

Measured {day} by `python benchmarks/scale_and_peers.py {given}`: {cores} cores, {memory:.0f} GiB, {system}, Python {python}, {packages}.

## Growth, and the read limit

`limit seconds`: DuckDB reading every value of the columns that we read, of the same files. `local`: a process on every core. `spark`:
`local[{cores}]`, its start included. Peak memory is that of all processes together. The population is made up by `calcinosis simulate`.

{scale}
![time and memory by size](scale.svg)

## Peers

The same question on the same files, each tool in an environment of its own; `start` (imports, starting an engine) is not in `seconds`.
Commands stand in `benchmarks/peers/`.

{peers}"""


def memory_of_machine() -> float:
    """GiB."""
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return int(total.split()[1]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", nargs="+", default=["10000", "100000", "1000000"])
    parser.add_argument("--spark-up-to", default="100000")
    parser.add_argument("--repeat", default="1")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    asked = ["--patients", *given.patients, "--spark-up-to", given.spark_up_to, "--repeat", given.repeat]
    subprocess.run([sys.executable, HERE / "scale.py", *asked, "--out", given.out], check=True)
    subprocess.run([sys.executable, HERE / "peers" / "run.py", "--out", given.out], check=True)
    page = _PAGE.format(
        day=date.today(), given=" ".join(asked), cores=cores(), memory=memory_of_machine(), system=platform.system(),
        python=platform.python_version(), packages=", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "pyspark")),
        scale=(given.out / "scale.md").read_text(encoding="utf-8"), peers=(given.out / "peers.md").read_text(encoding="utf-8"),
    )  # fmt: skip
    (given.out / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
