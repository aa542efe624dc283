"""What a browser does in a launch: follows the redirects between the service and the EHR, and keeps the cookies of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2 as httpx
from fastapi.testclient import TestClient
from served import ec_key, rsa_key
from smart_server import Client, Ehr, ehr_serving

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings

PUBLIC_URL = "http://127.0.0.1:8765"
REDIRECT = f"{PUBLIC_URL}/smart/callback"
SECRET = "a secret: with /slash+and more"
CASES = ("b090", "a004")


class Browser:
    def __init__(self, app: TestClient, ehr: Ehr) -> None:
        self.app, self.ehr = app, ehr
        app.cookies.clear()

    def launch(self, patient: str = "b090", **context: Any) -> httpx.Response:
        """The EHR opens the app."""
        token = self.ehr.begin_launch(patient, **context)
        return self.app.get("/smart/launch", params={"iss": self.ehr.fhir, "launch": token})

    def authorize(self, response: Any) -> httpx.Response:
        """The EHR's sign-in page."""
        assert response.status_code == 303, response.text
        return httpx.get(response.headers["location"])

    def decide(self, page: httpx.Response, *, allow: str = "yes", patient: str | None = None) -> dict[str, str]:
        """Somebody presses a button there; the parameters of the callback."""
        match = re.search(r"name='session' value='([^']+)'", page.text)
        assert match, (page.status_code, page.headers, page.text)
        chosen = patient or re.findall(r"<option value='([^']+)'>", page.text)[0]
        back = httpx.post(f"{self.ehr.base}/auth/decide", data={"session": match[1], "allow": allow, "patient": chosen})
        assert back.status_code == 302
        address = back.headers["location"]
        assert address.startswith(REDIRECT + "?")
        return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))

    def back(self, parameters: dict[str, str]) -> httpx.Response:
        return self.app.get("/smart/callback", params=parameters)  # type: ignore[return-value]

    def whole(self, patient: str = "b090", **context: Any) -> httpx.Response:
        """A launch from the chart to the answer."""
        return self.back(self.decide(self.authorize(self.launch(patient, **context))))


KINDS = ("public", "secret", "rsa_pem", "ec_jwk", "version_1", "nameless")
Launching = tuple[TestClient, dict[str, Ehr], Path]
"""The service, its EHRs by kind, and the folder of its audit log."""


@contextmanager
def service_with_ehrs(folder: Path, **more: Any) -> Iterator[tuple[TestClient, dict[str, Ehr]]]:
    """The service, and one EHR for each way to be registered."""
    rsa, ec = rsa_key("our-rsa"), ec_key("our-ec")
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "rsa.pem").write_bytes(rsa.as_pem(private=True))
    (folder / "ec.json").write_text(json.dumps(ec.as_dict(private=True)))
    registered: dict[str, dict[str, Any]] = {
        "secret": {"client_secret_file": folder / "secret"}, "rsa_pem": {"private_key_file": folder / "rsa.pem"},
        "ec_jwk": {"private_key_file": folder / "ec.json"},
    }  # fmt: skip
    algorithms = {"secret": "RS256", "rsa_pem": "RS384", "ec_jwk": "ES384"}
    with ExitStack() as stack:
        ehrs = {
            kind: stack.enter_context(
                ehr_serving(Ehr(algorithm=algorithms.get(kind, "ES256"), version_1=kind == "version_1", names_itself=kind != "nameless"))
            )
            for kind in KINDS
        }
        servers = [{"issuer": ehr.fhir, "client_id": f"calcinosis-{kind}", "name": f"EHR {kind}", **registered.get(kind, {})} for kind, ehr in ehrs.items()]
        settings = Settings(
            workers=0, public_url=PUBLIC_URL, smart=servers, requests_per_second=100_000, burst=100_000, audit_log=folder / "audit.jsonl",
            **more,
        )  # fmt: skip
        app = stack.enter_context(TestClient(make_app(settings), base_url=PUBLIC_URL, follow_redirects=False))
        for kind, ehr in ehrs.items():
            ehr.hold(CASES)
            asymmetric = kind in ("rsa_pem", "ec_jwk")
            ehr.register(
                Client(
                    f"calcinosis-{kind}", REDIRECT, secret=SECRET if kind == "secret" else None,
                    jwks=(lambda: app.get("/smart/jwks.json").json()) if asymmetric else None,
                )
            )  # fmt: skip
        yield app, ehrs
