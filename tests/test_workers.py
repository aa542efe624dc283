"""Worker processes: the same tables byte for byte, and nothing is lost when one dies."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hand_made import batch_of, patient

from calcinosis.api import make_readers, screen
from calcinosis.engines.local import screen_batches
from calcinosis.engines.rows import Assessed
from calcinosis.events import Batch, Coming, Part
from calcinosis.simulate import simulate
from calcinosis.sources.omop_database import BUCKETS
from calcinosis.sources.omop_store import StoredRows

PATIENTS = 1500


@pytest.fixture(scope="module")
def populations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: simulate(PATIENTS, tmp_path_factory.mktemp(name), data_format=name, seed=5) for name in ("fhir", "omop", "meds")}
    return {name: each.folder for name, each in made.items()}


@pytest.fixture(autouse=True)
def many_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("fhir", "omop", "meds"):
        monkeypatch.setattr(f"calcinosis.sources.{source}.EVENTS_PER_BATCH", 8_000)
    monkeypatch.setattr("calcinosis.engines.local._WORTH_WORKERS", 2)
    monkeypatch.setattr("calcinosis.engines.local._EXPLAINED_TOGETHER", 1_000)


def written(folder: Path, out: Path, workers: int, on_patients: Callable[[int], None] | None = None) -> dict[str, str]:
    """The files of a run by their content; ``summary.json`` and the report hold times."""
    cohort = screen(folder, out, readers=make_readers(), workers=workers, on_patients=on_patients)
    assert cohort.summary.patients_assessed == PATIENTS
    assert cohort.reasons.height
    files = [path for path in sorted(out.iterdir()) if path.suffix in {".parquet", ".csv"}]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", ["fhir", "omop", "meds"])
def test_processes_write_the_same_bytes(populations: dict[str, Path], tmp_path: Path, name: str) -> None:
    seen: set[int] = set()
    threads = os.environ.get("POLARS_MAX_THREADS")
    alone = written(populations[name], tmp_path / "alone", 1)
    together = written(populations[name], tmp_path / "together", 2, lambda _: seen.update(_children()))
    assert together == alone
    assert len(seen) == 2  # processes did the work
    assert not _children()
    assert os.environ.get("POLARS_MAX_THREADS") == threads


def test_a_process_that_dies_loses_nobody(populations: dict[str, Path], tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(_: int) -> None:
        if not killed:
            victim = multiprocessing.active_children()[0]
            victim.kill()
            killed.append(victim.pid or 0)

    after_death = written(populations["omop"], tmp_path / "killed", 2, kill_one)
    assert killed
    assert after_death == written(populations["omop"], tmp_path / "alone", 1)


def test_few_parts_start_no_process(populations: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calcinosis.engines.local._WORTH_WORKERS", 10**6)
    seen: set[int] = set()
    written(populations["meds"], tmp_path, 2, lambda _: seen.update(_children()))
    assert not seen


def _children() -> set[int]:
    return {child.pid or 0 for child in multiprocessing.active_children()}


def test_work_of_the_dead_is_done_before_the_source_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last batch takes away the files of the parts before it."""
    source = _Source()
    monkeypatch.setattr("calcinosis.engines.workers.Workers.assess", lambda *_: _broken())
    with TemporaryDirectory() as out:
        cohort = screen_batches(source.parts(), Path(out), make_readers().knowledge, source="test", workers=2)
    assert cohort.summary.patients_assessed == len(source.made) == 6


class _Source:
    """Five parts, then a batch; what made the parts is gone when more is asked for."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.gone = False

    def make(self, name: str) -> Batch:
        assert not self.gone
        self.made.append(name)
        return batch_of([], patient(name))

    def parts(self) -> Iterator[Coming]:
        for number in range(5):
            yield Part(self.make, f"p{number}", 6)
        yield self.make("last")
        self.gone = True


def _broken() -> Future[Assessed]:
    future: Future[Assessed] = Future()
    future.set_exception(BrokenProcessPool())
    return future


def test_two_threads_read_their_own_stretches_of_stored_rows(tmp_path: Path) -> None:
    n = 200_000
    bucket = (np.arange(n) % BUCKETS).astype(np.uint16)
    rows = StoredRows(tmp_path / "rows", 1)
    rows.add(pa.RecordBatch.from_arrays(
        [pa.array(np.arange(n)), pa.array(np.zeros(n, np.int32)), pa.array(bucket)], names=["person", "said", "bucket"]
    ))  # fmt: skip
    stretches = [(first, first + 16) for first in range(0, BUCKETS, 16)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda stretch: rows.take(*stretch).person, stretches))
    for (first, last), person in zip(stretches, taken, strict=True):
        assert np.array_equal(np.sort(person), np.flatnonzero((bucket >= first) & (bucket < last)))


def test_workers_end_when_their_parent_is_killed(populations: dict[str, Path], tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(f"""
import multiprocessing, os, signal
import calcinosis.engines.local as local, calcinosis.sources.omop as omop
from calcinosis.api import screen

omop.EVENTS_PER_BATCH, local._WORTH_WORKERS = 8_000, 2


def die(_):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    screen({str(populations["omop"])!r}, {str(tmp_path / "out")!r}, workers=2, on_patients=die)
""")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    children = [int(pid) for pid in run.stdout.split()]
    assert len(children) == 2
    deadline = time.monotonic() + 20
    while any(map(_lives, children)):
        assert time.monotonic() < deadline, "a worker waits for a parent that is dead"
        time.sleep(0.1)


def test_a_script_without_a_guard_is_run_once(populations: dict[str, Path], tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(f"""
import multiprocessing, sys
import calcinosis.engines.local as local, calcinosis.sources.omop as omop
from calcinosis.api import screen

print("once", flush=True)
omop.EVENTS_PER_BATCH, local._WORTH_WORKERS = 8_000, 2
seen = set()
screen({str(populations["omop"])!r}, {str(tmp_path / "out")!r}, workers=2,
       on_patients=lambda _: seen.update(child.pid for child in multiprocessing.active_children()))
print(len(seen), __file__, sys.modules["__main__"].__file__, flush=True)
""")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == ["once", f"2 {script} {script}"]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
