"""Peers side by side: the same question, the same files, each tool in an environment and a process of its own.

    python benchmarks/peers/run.py [--copies 50] [--cache /var/tmp/calcinosis-peers] [--data ../shared/data] [--only circepy]
                                   [--out benchmarks/results]

The question is one that every peer can be asked: who has this diagnosis on record? (`screen`, which asks about a thousand criteria of
every patient, is printed beside it.) Start (imports, starting an engine) is counted apart. Peers answer from public packages, installed
by pip at the version found; nothing of them is shipped. fhir4ds-v2 is AGPL and run as a black box.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    name: str
    packages: tuple[str, ...]  # the first gives the version that is printed
    script: str
    source: str  # folder of the data
    question: str


PEERS = (
    Peer("fhir4ds-v2", ("fhir4ds-v2", "pandas"), "fhir4ds_esrd.py", "fhir", "FHIR: end-stage renal disease"),
    Peer("ohdsi-circepy", ("ohdsi-circepy", "ibis-framework[duckdb]", "duckdb<2", "setuptools"), "circepy_ra.py", "omop",
         "OMOP: rheumatoid arthritis"),
    Peer("es-aces", ("es-aces",), "aces_esrd.py", "meds", "MEDS: end-stage renal disease"),
)  # fmt: skip
CONCEPTS = {"fhir": "esrd", "omop": "rheumatoid_arthritis", "meds": "esrd"}


def version_of(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def environment(peer: Peer, cache: Path) -> Path:
    """The Python of the peer's environment; made when it is not there."""
    folder = cache / "env" / peer.name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        (folder / "complete").touch()
    return python


def measured(command: list[str | Path]) -> dict[str, float]:
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{run.stderr[-2000:]}")
    result: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return result


def row(question: str, tool: str, command: str, result: dict[str, float]) -> str:
    return (
        f"| {question} | {tool} | `{command}` | {result['answer']:,.0f} | {result['seconds']:.2f} | {result['start']:.1f} | "
        f"{result['peak_mib']:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/calcinosis-peers"))
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--only", help="name of one peer")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    given = parser.parse_args()
    if not given.data.exists():
        sys.exit(f"{given.data} is absent: the public samples are needed to make the files")
    # a process of its own: one that was large hands its peak memory on to those it starts
    subprocess.run([sys.executable, HERE / "data.py", given.data, given.cache / "data", str(given.copies)], check=True)
    table: list[str] = []

    def tell(*lines: str) -> None:
        table.extend(lines)
        print(*lines, sep="\n", flush=True)

    tell("| question | tool | command | answer | seconds | start | peak MiB |", "|---|---|---|---|---|---|---|")
    for peer in PEERS:
        if given.only not in (None, peer.name):
            continue
        source = given.cache / "data" / peer.source
        python = environment(peer, given.cache)
        tool = f"{peer.name} {version_of(python, peer.packages[0])}"
        tell(row(peer.question, tool, f"{peer.script} {peer.source}", measured([python, HERE / peer.script, source])))
        ours = [sys.executable, HERE / "ours.py", source, CONCEPTS[peer.source]]
        asked = f"ours.py {peer.source} {CONCEPTS[peer.source]}"
        tell(row(peer.question, "calcinosis, one fact", asked, measured(ours)))
        tell(row("all criteria, all patients", "calcinosis screen", f"{asked} --screen", measured([*ours, "--screen"])))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "peers.md").write_text("\n".join([*table, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
