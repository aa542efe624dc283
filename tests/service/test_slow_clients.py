"""Clients that send slowly, or hang up: bounded, told apart from what breaks here, and counted so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings

PATH = "/api/v1/assess"
Message = dict[str, Any]


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    made = make_app(Settings(workers=0, seconds_per_body=0.2))
    with TestClient(made, base_url="http://127.0.0.1"):
        yield made


def sent(app: FastAPI, *pieces: Message | float) -> list[Message]:
    """What the application answers to a request that arrives in these pieces; a number is a pause in seconds."""
    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }  # fmt: skip
    arriving, answered = iter(pieces), []

    async def receive() -> Message:
        while isinstance(piece := next(arriving), float):
            await asyncio.sleep(piece)
        return piece

    async def send(message: Any) -> None:
        answered.append(dict(message))

    asyncio.run(app(scope, receive, send))
    return answered


def part(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": True}


def counted(app: FastAPI, status: int) -> float:
    value = app.state.metrics.registry.get_sample_value("calcinosis_requests_total", {"service": PATH.strip("/"), "status": str(status)})
    return value or 0.0


def test_a_client_that_hangs_up_is_no_error_of_the_service(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    assert sent(app, part(b"["), {"type": "http.disconnect"}) == []
    assert (counted(app, 499), counted(app, 500)) == (1, 0)
    assert "unhandled" not in caplog.text


def test_a_body_that_does_not_arrive_in_time_is_refused(app: FastAPI) -> None:
    answer = sent(app, part(b"["), 5.0, part(b"]"))
    assert answer[0]["status"] == 408 and b"within 0.2 seconds" in answer[1]["body"]
    assert (b"connection", b"close") in answer[0]["headers"]
    assert counted(app, 408) == 1


def test_slow_pieces_do_not_extend_the_time(app: FastAPI) -> None:
    drops: list[Message | float] = [piece for _ in range(20) for piece in (part(b" "), 0.05)]
    assert sent(app, *drops)[0]["status"] == 408
