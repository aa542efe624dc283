"""A standalone cluster with two workers: the same answers, also when one of them dies in the middle."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hand_made import CASES
from same import assert_same
from small_cluster import Cluster, children, kill_tree, session, slow

from calcinosis.api import Readers, make_readers, screen
from calcinosis.engines.cohort import Cohort
from calcinosis.engines.spark import STAGING, screen_rows
from calcinosis.sources.fhir_many import ManyPatients
from calcinosis.sources.spark_fhir import SparkFhir

pytestmark = slow
COPIES = 40  # of the published cases, so that tasks are still running when a worker dies


@pytest.fixture(scope="module")
def readers() -> Readers:
    return make_readers()


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published cases many times under other names, as NDJSON files."""
    folder = tmp_path_factory.mktemp("population")
    bundles = [orjson.loads(path.read_bytes()) for path in sorted((CASES / "bundles").glob("*.json"))]
    for copy in range(COPIES):
        lines = []
        for bundle in bundles:
            for entry in bundle["entry"]:
                resource = {**entry["resource"], "id": f"{entry['resource']['id']}-{copy}"}
                for name in ("subject", "patient"):
                    if name in resource:
                        resource[name] = {"reference": f"{resource[name]['reference']}-{copy}"}
                lines.append(orjson.dumps(resource))
        (folder / f"export{copy}.ndjson").write_bytes(b"\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def expected(population: Path, readers: Readers, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return screen(population, tmp_path_factory.mktemp("local"), readers=readers)


def run(spark: Any, source: Path, out: Path, readers: Readers) -> Cohort:
    reader = ManyPatients(readers.index, readers.text)
    rows = SparkFhir(spark, [str(source)], reader, str(out / STAGING / "fhir"), rows_per_bucket=1000)
    return screen_rows(spark, rows, out, readers.knowledge, source=str(source))


def test_two_workers_and_the_death_of_one(cluster: Cluster, population: Path, expected: Cohort, readers: Readers, tmp_path: Path) -> None:
    spark = session(cluster.url, **{"spark.sql.shuffle.partitions": "40"})
    try:
        def who(batches: Any) -> Any:  # inside, so that it travels whole: workers do not have this file
            for _ in batches:
                time.sleep(0.5)
                yield pa.RecordBatch.from_pydict({"pid": pa.array([os.getppid()], pa.int32())})

        hosts = spark.range(100).repartition(2).mapInArrow(who, "pid int").distinct().collect()
        assert len(hosts) == 2, "both workers work"
        undisturbed = run(spark, population, tmp_path / "undisturbed", readers)
        assert_same(undisturbed, expected)

        done: list[Cohort | BaseException] = []

        def work() -> None:
            try:
                done.append(run(spark, population, tmp_path / "killed", readers))
            except BaseException as error:
                done.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        written = tmp_path / "killed" / STAGING / "parts"
        end = time.monotonic() + 300
        while len(list(written.rglob("*.parquet"))) < 3:  # some tasks of the assessment are done, most are not
            assert thread.is_alive() and time.monotonic() < end
            time.sleep(0.05)
        worker = cluster.processes[2]
        below = children(worker.pid)
        doomed = kill_tree(worker.pid)
        assert len(below) >= 2, "the worker had an executor, and the executor a Python process"
        assert not (written / "_SUCCESS").exists(), "it died during the run"
        worker.wait()
        thread.join(timeout=500)
        assert not any(_alive(pid) for pid in doomed)
        (answer,) = done
        if isinstance(answer, BaseException):
            raise answer
        assert_same(answer, expected)
        assert "Removing worker" in (cluster.folder / "Master-0.log").read_text() or "Removing executor" in (cluster.folder / "Master-0.log").read_text()
    finally:
        spark.stop()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
