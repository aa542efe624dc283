"""Fuzz target: mutated FHIR resources. No traceback, no lost record: read = used + ignored + rejected, assessed = patients read.

Usage: python tests/fuzz/fuzz_fhir.py [--resources 20000] [--seed 1]
Prints what was thrown at the reader and how it answered; exits 1 on the first broken promise and names the seed that repeats it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from calcinosis.api import make_readers, read_batches
from calcinosis.assessment import evaluate_batch

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"
ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**30, "", " ", "\u0000", "💉" * 40, "<script>", "2020-13-45", "9999-12-31", "0001-01-01", [], {}, [[]], [None], {"value": "abc"},
    "NaN", float("inf"), "Patient/", "#x", "urn:uuid:", "a" * 5000,
)  # fmt: skip
LINES_PER_FILE = 400


def copy_of(value: Any) -> Any:
    return json.loads(json.dumps(value))


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths_in(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths_in(inner, (*path, index))
    return found


def mutate(resource: dict[str, Any], rng: random.Random) -> bytes:
    """One to four structural changes, sometimes bytes damaged on top."""
    copy = copy_of(resource)
    for _ in range(rng.randint(1, 4)):
        paths = paths_in(copy)
        if not paths:
            break
        path = rng.choice(paths)
        parent = copy
        for step in path[:-1]:
            parent = parent[step]
        action = rng.random()
        if action < 0.3 and isinstance(parent, dict):
            del parent[path[-1]]
        elif action < 0.75:
            parent[path[-1]] = copy_of(rng.choice(ODD_VALUES))
        elif action < 0.85 and isinstance(parent, dict):
            parent[rng.choice(("code", "subject", "valueQuantity", "id", "extra"))] = copy_of(parent[path[-1]])
        else:
            parent[path[-1]] = [parent[path[-1]]]
    line = json.dumps(copy, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.08:
        at = rng.randrange(len(line))
        line = rng.choice(
            (line[:at], line[:at] + rng.randbytes(3) + line[at:], line.replace(b'"', b"'", 3), b"", b"[1,2]", b"\xff\xfe" + line)
        )
    return line.replace(b"\n", b" ").replace(b"\r", b" ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    pool = [entry["resource"] for path in sorted(CASES.glob("*.json")) for entry in json.loads(path.read_bytes())["entry"]]
    readers = make_readers()
    totals = dict.fromkeys(("thrown", "read", "used", "ignored", "rejected", "warnings", "patients"), 0)
    start = time.perf_counter()
    for number in range(-(-given.resources // LINES_PER_FILE)):
        seed = given.seed * 1_000_000 + number
        rng = random.Random(seed)
        # the first line stays whole: a file that opens with a UTF-16 mark is refused as one thing, with its reason
        lines = [json.dumps(pool[0]).encode(), *(mutate(rng.choice(pool), rng) for _ in range(LINES_PER_FILE - 1))]
        thrown = sum(1 for line in lines if line.strip())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mutated.ndjson"
            path.write_bytes(b"\n".join(lines) + b"\n")
            try:
                batches = list(read_batches([path], readers))
                assessed = sum(evaluate_batch(batch, readers.knowledge).evaluation.subjects.height for batch in batches)
            except Exception:
                traceback.print_exc()
                print(f"seed {seed}: a traceback")
                return 1
        read, used, ignored, rejected = (
            sum(getattr(b, "records_" + name) for b in batches) for name in ("read", "used", "ignored", "rejected")
        )
        patients = sum(b.patients["subject_id"].n_unique() for b in batches)
        if read != used + ignored + rejected or assessed != patients or read < thrown:
            print(
                f"seed {seed}: thrown {thrown}, read {read} != used {used} + ignored {ignored} + rejected {rejected}; assessed {assessed} of {patients}"
            )
            return 1
        errors = sum(b.rejects.filter(b.rejects["level"] == "error").height for b in batches)
        if errors < rejected:
            print(f"seed {seed}: {rejected} records rejected, only {errors} of them listed")
            return 1
        for name, value in zip(
            totals, (thrown, read, used, ignored, rejected, sum(b.rejects.height for b in batches) - errors, patients), strict=True
        ):
            totals[name] += value
    print(
        ", ".join(f"{name} {value:,}" for name, value in totals.items()),
        f"in {time.perf_counter() - start:.0f} s: no traceback, no lost record",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
