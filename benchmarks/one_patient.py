"""One patient in process: from a parsed FHIR Bundle to an explained assessment, after loading.

Prints the median and the 95th percentile over the published cases, and the share of each stage.
Usage: python benchmarks/one_patient.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from calcinosis.api import make_readers
from calcinosis.assessment import evaluate_batch, in_words
from calcinosis.sources.fhir import read_resources

CASES = Path(__file__).parents[1] / "examples" / "published_cases" / "bundles"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    start = time.perf_counter()
    readers = make_readers()
    print(f"loading knowledge and readers: {time.perf_counter() - start:.2f} s")
    bundles = [json.loads(path.read_bytes()) for path in sorted(CASES.glob("*.json"))]
    for bundle in bundles[:5]:  # warm
        in_words(evaluate_batch(read_resources([bundle], readers.index, readers.text), readers.knowledge))
    stages: dict[str, list[float]] = {"read": [], "evaluate": [], "explain": [], "total": []}
    for _ in range(rounds):
        for bundle in bundles:
            t0 = time.perf_counter()
            batch = read_resources([bundle], readers.index, readers.text)
            t1 = time.perf_counter()
            evaluated = evaluate_batch(batch, readers.knowledge)
            t2 = time.perf_counter()
            in_words(evaluated, batch)
            t3 = time.perf_counter()
            for name, value in zip(stages, (t1 - t0, t2 - t1, t3 - t2, t3 - t0), strict=True):
                stages[name].append(value * 1000)
    for name, values in stages.items():
        ordered = sorted(values)
        print(f"{name:>9}: median {statistics.median(values):6.1f} ms   p95 {ordered[int(0.95 * len(ordered))]:6.1f} ms")
    print("bar: 20 ms for one patient in process after loading (total, median)")


if __name__ == "__main__":
    main()
