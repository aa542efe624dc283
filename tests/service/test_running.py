"""The service as it is run: worker processes, records assessed together, overload, shutdown."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from served import PATIENT, bundle, call, case, patient_of, searchsets

from calcinosis.service.assessors import Assessors
from calcinosis.service.metrics import Metrics
from calcinosis.service.problems import ProblemError
from calcinosis.service.server import check_address, read_settings
from calcinosis.service.settings import Settings
from calcinosis.service.work import Done, Job

VIEW = "/cds-services/calcinosis-patient-view"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """``calcinosis serve`` with one worker process."""
    folder = tmp_path_factory.mktemp("serve")
    settings = folder / "settings.yaml"
    settings.write_text(f"audit_log: {folder / 'audit.jsonl'}\nburst: 1000\n")
    port = 20_000 + os.getpid() % 20_000
    command = [sys.executable, "-m", "calcinosis.cli", "serve", "--port", str(port), "--settings", str(settings)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                if httpx2.get(url + "/health/ready").status_code == 200:
                    break
            except httpx2.HTTPError:
                time.sleep(0.3)
        else:
            raise AssertionError((folder / "log").read_text())
        yield url, process, folder
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "calcinosis.cli", "serve", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"calcinosis: port {port} is in use\n")


def test_an_address_of_another_machine_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.1 port 8000: "):
        check_address("192.0.2.1", 8000)


def test_many_at_once_are_answered_each_with_its_own(running: tuple[str, subprocess.Popen[bytes], Path]) -> None:
    records = [case(name) for name in ("b090", "a004", "a005", "a007")] * 5
    bodies = [call("patient-view", searchsets(record), patient_of(record)) for record in records]

    async def ask() -> list[Any]:
        async with httpx2.AsyncClient(base_url=running[0], timeout=60) as client:
            return await asyncio.gather(*(client.post(VIEW, json=body) for body in bodies))

    found = asyncio.run(ask())
    assert {response.status_code for response in found} == {200}
    everyone = {patient_of(record) for record in records}
    for place, response in enumerate(found):
        assert response.json() == found[place % 4].json()
        assert response.json()["cards"]
        named = {who for who in everyone if f"/{who}" in response.text}  # the patients whose resources a card names
        assert named == {patient_of(records[place])}


def test_the_event_loop_stays_free_while_records_are_assessed(running: tuple[str, subprocess.Popen[bytes], Path]) -> None:
    record = case("b090")

    async def ask() -> tuple[float, float]:
        async with httpx2.AsyncClient(base_url=running[0], timeout=60) as client:
            work = [asyncio.create_task(client.post("/api/v1/assess", json=record)) for _ in range(10)]
            await asyncio.sleep(0.05)
            start = time.perf_counter()
            for _ in range(5):
                await client.get("/health/live")
            probes = (time.perf_counter() - start) / 5
            await asyncio.gather(*work)
            return probes, time.perf_counter() - start

    probe, everything = asyncio.run(ask())
    assert probe < max(0.1, everything / 2), f"{probe:.3f} s for a health check while {everything:.3f} s of work ran"


def test_running_requests_are_finished_at_shutdown(running: tuple[str, subprocess.Popen[bytes], Path]) -> None:
    url, process, folder = running
    record = case("b090")

    async def ask() -> list[Any]:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            work = [asyncio.create_task(client.post("/api/v1/assess", json=record)) for _ in range(6)]
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*work, return_exceptions=True)

    found = asyncio.run(ask())
    process.wait(30)
    answered = [each.status_code for each in found if isinstance(each, httpx2.Response)]
    assert answered and set(answered) <= {200, 503}
    log = (folder / "log").read_text()
    assert "Traceback" not in log and "b090" not in log


# --- overload ----------------------------------------------------------------------------------------


def overloaded(**settings: Any) -> list[Any]:
    """Five jobs at once for assessors whose worker never answers."""

    async def run() -> list[Any]:
        assessors = Assessors(Settings(**settings), Metrics())
        assessors.ready = True
        job = Job("json", json.dumps(bundle(PATIENT)).encode())
        return await asyncio.gather(*(assessors.answer(job) for _ in range(5)), return_exceptions=True)

    return asyncio.run(run())


def test_too_many_waiting_are_sent_away_at_once() -> None:
    found = overloaded(max_waiting=2, seconds_per_request=0.2)
    assert [type(each) for each in found] == [ProblemError] * 5
    assert [each.detail for each in found].count("too many records wait for an answer") == 3
    assert all(each.status == 503 and each.headers["Retry-After"] for each in found)


def test_a_worker_that_dies_is_replaced() -> None:
    async def run() -> list[Any]:
        assessors = Assessors(Settings(workers=1), Metrics())
        await assessors.start()
        try:
            job = Job("json", json.dumps(bundle(PATIENT)).encode())
            first = await assessors.answer(job)
            for pid in list(assessors._pool._processes):  # type: ignore[union-attr]
                os.kill(pid, signal.SIGKILL)
            second = await asyncio.gather(assessors.answer(job), return_exceptions=True)
            third = await assessors.answer(job)
            return [first, *second, third]
        finally:
            await assessors.stop()

    first, second, third = asyncio.run(run())
    assert isinstance(first, Done) and isinstance(third, Done) and first.body == third.body
    assert isinstance(second, Done) or (isinstance(second, ProblemError) and second.status == 503)


# --- settings ----------------------------------------------------------------------------------------


def test_options_stand_over_the_file_and_the_file_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALCINOSIS_PORT", "1")
    monkeypatch.setenv("CALCINOSIS_BURST", "7")
    file = tmp_path / "settings.yaml"
    file.write_text("port: 2\nworkers: 3\n")
    found = read_settings(file, {"workers": 4})
    assert (found.port, found.workers, found.burst) == (2, 4, 7)


@pytest.mark.parametrize(("text", "message"), [("prot: 1", "no setting prot"), ("port: x", "port"), ("[1]", "mapping"), ("host: 0.0.0.0", "authentication")])
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_settings(file, {})
