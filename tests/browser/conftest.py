"""One service and one browser for all browser tests of a session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browsing import CHROMIUM, FLAGS, Visits, serve
from playwright.sync_api import Browser, expect, sync_playwright

expect.set_options(timeout=20_000)  # both cores carry other tests: a slow answer is not a wrong one


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("the browser tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))  # a user data folder of its own, each time
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service_settings() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, browser: Browser, service_settings: dict[str, Any]) -> Iterator[str]:
    del browser  # without one there is nothing to serve
    with serve(tmp_path_factory.mktemp("served"), service_settings) as address:
        yield address


@pytest.fixture
def visits(browser: Browser, address: str) -> Iterator[Visits]:
    """Pages to open; afterwards none of them may have asked another origin, or complained."""
    visits = Visits(browser, address)
    yield visits
    visits.close()
    assert not visits.left_the_origin()
    assert not visits.complaints
