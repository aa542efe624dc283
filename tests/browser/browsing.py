"""What the browser tests share: a service as it is run, a browser, what a page may ask for, and whether everybody can use it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

ROOT: Final = Path(__file__).parents[2]
ARTEFACTS: Final = ROOT / "test-artefacts"
CHROMIUM: Final = os.environ.get("CHROMIUM", "") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZES: Final[dict[str, ViewportSize]] = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@contextmanager
def serve(folder: Path, settings: Mapping[str, Any]) -> Iterator[str]:
    """``calcinosis serve`` on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump({"audit_log": str(folder / "audit.jsonl"), "burst": 10_000, **settings}))
    command = [sys.executable, "-m", "calcinosis.cli", "serve", "--port", str(port), "--settings", str(file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx2.get(address + "/health/ready").status_code == 200:
                    break
            except httpx2.HTTPError:
                pass
            if process.poll() is not None:
                raise AssertionError((folder / "log").read_text())
            time.sleep(0.2)
        else:
            raise AssertionError((folder / "log").read_text())
        yield address
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Visits:
    """Opens pages of the service, and remembers what they asked for and complained about."""

    browser: Browser
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _contexts: list[Any] = field(default_factory=list)

    def open(self, path: str, *, size: str = "desktop", dark: bool = False, scripts: bool = True) -> Page:
        context = self.browser.new_context(
            viewport=SIZES[size], color_scheme="dark" if dark else "light", java_script_enabled=scripts, base_url=self.address,
            has_touch=size == "phone", reduced_motion="reduce",
        )  # fmt: skip
        self._contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)  # also what the CSP stops
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def left_the_origin(self) -> list[str]:
        return [url for url in self.requests if not url.startswith((self.address + "/", "data:", "blob:"))]


def check_accessible(page: Page) -> None:
    """axe-core finds nothing serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')}"
        for each in found if each["impact"] in ("serious", "critical") for node in each["nodes"][:5]
    ]  # fmt: skip
    assert not grave, "\n".join(grave)


def check_structure(page: Page) -> None:
    """Headings do not jump, and no two landmarks have one name."""
    rules = {"runOnly": {"type": "rule", "values": ["heading-order", "landmark-unique", "scrollable-region-focusable"]}}
    found = Axe().run(page, options=rules).response["violations"]
    assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


def check_fits(page: Page) -> None:
    """Nothing makes the page wider than its window; wide tables scroll on their own."""
    wide = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], f"{page.url}: {wide[0]} px wide in a window of {wide[1]} px"


def picture(page: Page, name: str) -> Path:
    """Kept under ``test-artefacts/``."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def look_at(visits: Visits, path: str, name: str) -> None:
    """One page in every look: wide and narrow, light and dark. Each is accessible, in order, fits and is kept as a picture."""
    for size in SIZES:
        page = visits.open(path, size=size)
        check_structure(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            if (size, scheme) != ("phone", "dark"):  # told by the other three: colours by the scheme, the rest by the size
                check_accessible(page)
            check_fits(page)
            picture(page, f"{name}-{size}-{scheme}")


def bytes_of_first_load(visits: Visits, path: str) -> int:
    """Bytes on the wire, headers included, of a page and all it loads, with nothing cached."""
    page = visits.open("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    counted: list[float] = []
    session.on("Network.loadingFinished", lambda event: counted.append(event["encodedDataLength"]))
    page.goto(path, wait_until="networkidle")
    return int(sum(counted))
