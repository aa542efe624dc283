"""A FHIR server that answers late: within the time of a SMART visit it is heard, within that of a CDS call it is not waited for."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from calcinosis.service.fhir_client import Fetched, FhirClient
from calcinosis.service.settings import Settings

LATE = 0.6  # seconds


class _Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": []}
        if self.path.endswith("/metadata"):
            said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}
        else:
            time.sleep(LATE)
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No noise in the test run."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Whom it answers late may have gone."""


@pytest.fixture(scope="module")
def late() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/fhir"
    server.shutdown()


def fetched(server: str, seconds: float | None) -> Fetched:
    async def ask() -> Fetched:
        client = FhirClient(Settings(fhir_servers=(server,), fhir_seconds=LATE / 3, seconds_per_request=20))
        try:
            return await client.fetch(server, "token", {"conditions": "Condition?patient=p"}, seconds=seconds)
        finally:
            await client.close()

    return asyncio.run(ask())


def test_a_late_answer_is_heard_within_the_time_of_a_visit(late: str) -> None:
    assert "conditions" in fetched(late, 10).found


def test_a_cds_call_does_not_wait_for_it(late: str) -> None:
    began = time.monotonic()
    assert not fetched(late, None).found
    assert time.monotonic() - began < LATE
