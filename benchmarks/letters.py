"""How fast letters are read when no two are alike, as in a hospital; alone and with a process on every core.

    python benchmarks/letters.py [--letters 20000 80000] [--data ../shared/data]

The letters of the public SMART bulk sample, each with a number of its own written into it, so that nothing can be remembered, and each
current: most of the sample's are superseded, which are not read.
Prints letters per second, the read limit (DuckDB reading the same columns of the same files) beside it, and the peak memory.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path

import orjson
from measured import in_a_process, told
from read_fhir import IDS, count_columns
from screen_fhir import screen_all

from calcinosis.ahead import cores

FOLDER = "fhir-smart-bulk-13"


def write(data: Path, target: Path, letters: int) -> int:
    """NDJSON of so many letters and their patients; returns the bytes."""
    documents = [orjson.loads(line) for path in sorted((data / FOLDER).glob("DocumentReference*")) for line in path.open("rb")]
    patients = b"".join(path.read_bytes() for path in sorted((data / FOLDER).glob("Patient*")))
    rounds = -(-letters // len(documents))
    with (target / "Patient.ndjson").open("wb") as people, (target / "DocumentReference.ndjson").open("wb") as stream:
        for number in range(rounds):
            people.write(IDS.sub(lambda match, n=number: match[0] + b"-%d" % n, patients))  # type: ignore[misc]
            for place, document in enumerate(documents[: letters - number * len(documents)]):
                attachment = document["content"][0]["attachment"]
                kept = attachment["data"]
                text = base64.b64decode(kept).decode().replace("# Social History", f"# Visit {number}-{place}\n\n# Social History")
                document["status"] = "current"
                attachment["data"] = base64.b64encode(f"{text}\nReference {number}/{place}.\n".encode()).decode()
                line = IDS.sub(lambda match, n=number: match[0] + b"-%d" % n, orjson.dumps(document))  # type: ignore[misc]
                stream.write(line + b"\n")
                attachment["data"] = kept
    return sum(path.stat().st_size for path in target.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--letters", type=int, nargs="+", default=[20_000, 80_000])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        told(count_columns(given.data) if given.child == "limit" else screen_all(given.data, int(given.child)))
        return
    if not (given.data / FOLDER).exists():
        sys.exit(f"{given.data / FOLDER} is absent: the public sample is needed to make the letters")
    for letters in given.letters:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
            folder = Path(name)
            size = write(given.data, folder, letters)
            limit = in_a_process(__file__, "--child", "limit", "--data", name)["seconds"]
            for workers in (1, cores()):
                found = in_a_process(__file__, "--child", str(workers), "--data", name)
                print(
                    f"{letters:,} letters ({size / 1e6:.0f} MB), processes {workers}: {found['seconds']:.1f} s, "
                    f"{letters / found['seconds']:.0f} letters/s; DuckDB reads the columns in {limit:.2f} s; {found['peak_mib']:.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
