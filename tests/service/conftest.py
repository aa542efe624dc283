"""One application for all tests of the service, with a worker in a thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from smart_browser import Launching, service_with_ehrs
from smart_server import Ehr, Faults

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        workers=0, requests_per_second=100_000, burst=100_000, audit_log=tmp_path_factory.mktemp("audit") / "audit.jsonl",
        app_url="https://cds.example.org/", smart_launch_url="https://cds.example.org/launch", max_body_bytes=2_000_000,
    )  # fmt: skip
    with TestClient(make_app(settings), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def launching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launching]:
    folder = tmp_path_factory.mktemp("smart")
    with service_with_ehrs(folder) as (app, ehrs):
        yield app, ehrs, folder


@pytest.fixture
def app(launching: Launching) -> TestClient:
    return launching[0]


@pytest.fixture
def ehr(launching: Launching) -> Iterator[Ehr]:
    ehr = launching[1]["public"]
    ehr.broken.clear()
    ehr.searched.clear()
    yield ehr
    ehr.faults = Faults()
    ehr.page = 3
