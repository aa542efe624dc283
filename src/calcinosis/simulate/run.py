"""Draws a population block by block and writes it in one format."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from calcinosis.ahead import cores, in_order
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.simulate.plan import Plan, make_plan
from calcinosis.simulate.population import BLOCK, block_sizes
from calcinosis.simulate.statements import Block, draw_block
from calcinosis.simulate.write_fhir import FhirWriter
from calcinosis.simulate.write_meds import MedsWriter
from calcinosis.simulate.write_omop import OmopWriter

FORMATS: Final = ("fhir", "omop", "meds")
_BLOCKS_AHEAD = 1  # drawn while the one before is written
_README = """This population is made up by `calcinosis simulate` (seed {seed}, {patients} patients, knowledge {version}).

It is for load and recovery tests, never for claims about medical accuracy. Its rates are figures of
simulation.yaml; most of them are assumptions. No row describes a person.

truth.parquet: one row per patient, what the simulator meant. {format}/: the records.
"""


class Writer(Protocol):
    rows: int

    def write(self, block: Block) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was written: the folder to screen, the truth beside it, and how many rows."""

    folder: Path
    truth: Path
    patients: int
    rows: int


def simulate(
    patients: int,
    out: str | Path,
    *,
    data_format: str = "fhir",
    seed: int = 0,
    knowledge: Knowledge | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Simulated:
    """Write a made-up population to ``out``; the same seed gives the same bytes.

    Args:
        patients: how many.
        out: folder; made if absent. The records go to ``out/<data_format>``, the truth to ``out/truth.parquet``.
        on_progress: told how many patients are done.

    Raises:
        ValueError: an unknown format, no patients, or a folder that already holds records, or another population in another format.
    """
    if data_format not in FORMATS:
        raise ValueError(f"format {data_format!r} is not one of {', '.join(FORMATS)}")
    if patients < 1 or seed < 0:
        raise ValueError("patients must be at least 1 and the seed at least 0")
    knowledge = knowledge or load_knowledge()
    plan = make_plan(knowledge)
    folder = Path(out) / data_format
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    readme, told = _README.format(seed=seed, patients=patients, version=knowledge.version, format=data_format), Path(out) / "README.txt"
    if told.exists() and told.read_text(encoding="utf-8").partition("\n")[0] != readme.partition("\n")[0]:
        raise ValueError(f"{out} holds another population, whose truth would be lost; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    truth_path = Path(out) / "truth.parquet"
    truth: pq.ParquetWriter | None = None
    done = 0

    def draw(numbered: tuple[int, int]) -> Block:
        number, n = numbered
        return draw_block(plan, seed, number, n, 1 + number * BLOCK)

    with ThreadPoolExecutor(cores()) as pool:
        writer = _writer(plan, folder, data_format, seed, pool)
        for block in in_order(pool, draw, enumerate(block_sizes(patients)), _BLOCKS_AHEAD):
            writer.write(block)
            table: pa.Table = block.truth.to_arrow()
            truth = truth or pq.ParquetWriter(truth_path, table.schema, compression="zstd")
            truth.write_table(table)
            done += block.patients.n
            if on_progress:
                on_progress(done)
        writer.close()
    if truth:
        truth.close()
    told.write_text(readme, encoding="utf-8")
    return Simulated(folder, truth_path, patients, writer.rows)


def _writer(plan: Plan, folder: Path, data_format: str, seed: int, pool: Executor) -> Writer:
    match data_format:
        case "fhir":
            return FhirWriter(plan, folder, pool)
        case "omop":
            return OmopWriter(plan, folder)
        case _:
            return MedsWriter(plan, folder, seed)
