"""schemathesis against the whole OpenAPI document: no 5xx, and every response as declared.

Here with few examples of each operation; ``make schemathesis`` runs thousands (``SCHEMATHESIS_EXAMPLES``).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from schemathesis import checks

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
CHECKS = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
    checks.response_schema_conformance, checks.negative_data_rejection, checks.unsupported_method,
]  # fmt: skip

app = make_app(Settings(workers=0, requests_per_second=1e6, burst=10**6, max_waiting=10_000))
schema = schemathesis.openapi.from_dict(app.openapi())
COUNT = {"examples": 0}


@pytest.fixture(scope="module", autouse=True)
def url() -> Iterator[str]:
    """A real server on loopback, started once for all examples."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    print(f"\nschemathesis: {COUNT['examples']} examples")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 100, suppress_health_check=list(HealthCheck))
def test_every_response_is_as_declared(case: schemathesis.Case, url: str) -> None:
    COUNT["examples"] += 1
    tolerant = case.path == "/api/v1/assess"  # by contract a part of a record that cannot be used is a warning, not a refusal
    excluded = [checks.negative_data_rejection] if tolerant else []
    case.call_and_validate(base_url=url, checks=CHECKS, excluded_checks=excluded)
