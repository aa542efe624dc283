"""Spark tests need PySpark and Java."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from small_cluster import USUAL, Cluster, free_port, kill_tree


@pytest.fixture(autouse=True, scope="session")
def environment() -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'calcinosis[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17")
    os.environ.update(USUAL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone master and two workers with one core each."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    port = free_port()
    made.url = f"spark://127.0.0.1:{port}"
    try:
        made.start("Master", "--port", str(port), "--webui-port", "0")
        made.await_log("Master-0.log", "I have been elected leader")
        for _ in range(2):
            made.start("Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(made.folder / "work"), made.url)
        for number in (1, 2):
            made.await_log(f"Worker-{number}.log", "Successfully registered with master")
        yield made
    finally:
        for process in made.processes:
            kill_tree(process.pid)
            process.wait()
