"""A standalone cluster on this machine, and small sessions."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

slow = pytest.mark.skipif("CALCINOSIS_SPARK" not in os.environ, reason="takes minutes: make spark")
SOURCE = Path(__file__).parents[2] / "src"
USUAL = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(SOURCE)}


@dataclass
class Cluster:
    """A master and its workers; ``url`` is what a session connects to."""

    folder: Path
    url: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        import pyspark

        home = Path(pyspark.__file__).parent
        log = (self.folder / f"{role}-{len(self.processes)}.log").open("wb")
        env = {**os.environ, **USUAL, "SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m"}
        command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{role.lower()}.{role}", "--host", "127.0.0.1", *arguments]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        self.processes.append(process)
        return process

    def await_log(self, name: str, text: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while text not in (self.folder / name).read_text(errors="replace"):
            if time.monotonic() > end:
                raise TimeoutError(f"{name} never said {text!r}")
            time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(pid: int) -> list[int]:
    """Everything below a process, as the kernel lists it."""
    try:
        below = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    threads = Path(f"/proc/{pid}/task")
    below = sorted({int(each) for task in threads.glob("*/children") for each in task.read_text().split()} | set(below))
    return [*below, *(grandchild for child in below for grandchild in children(child))]


def kill_tree(pid: int) -> list[int]:
    """Kill -9 a process and everything below it: a machine that is gone."""
    doomed = [pid, *children(pid)]
    for each in doomed:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return doomed


def session(master: str, **settings: str) -> Any:
    """A small session of our own; the caller stops it."""
    from pyspark.sql import SparkSession

    usual = {
        "spark.driver.memory": "768m", "spark.executor.memory": "512m", "spark.ui.enabled": "false", "spark.log.level": "ERROR",
        "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.sql.shuffle.partitions": "8",
        "spark.executorEnv.PYTHONPATH": str(SOURCE), "spark.executorEnv.POLARS_MAX_THREADS": "1",
        "spark.ui.showConsoleProgress": "false", "spark.sql.adaptive.coalescePartitions.enabled": "false",
    }  # fmt: skip
    builder = SparkSession.builder.master(master).appName("calcinosis-tests")
    for name, value in {**usual, **settings}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
