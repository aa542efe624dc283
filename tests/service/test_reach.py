"""Who may reach the service: by which name, from which page, with which cookie."""

from __future__ import annotations

from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from calcinosis.service.app import make_app
from calcinosis.service.no_cookies import no_cookies
from calcinosis.service.prefetch import absent, provided, queries
from calcinosis.service.settings import Settings

SANDBOX = "https://sandbox.cds-hooks.org"


def client(tmp_path: Path, name: str = "http://127.0.0.1", **more: object) -> TestClient:
    return TestClient(make_app(Settings(workers=0, audit_log=tmp_path / "audit", **more)), base_url=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["http://127.0.0.1:8000", "http://localhost:9000", "http://[::1]:8000"])
def test_an_open_service_answers_to_the_names_of_this_machine(tmp_path: Path, name: str) -> None:
    with client(tmp_path, name) as app:
        assert app.get("/cds-services").status_code == 200


@pytest.mark.parametrize("name", ["http://attacker.example:8000", "http://127.0.0.1.attacker.example"])
def test_an_open_service_answers_to_no_other_name(tmp_path: Path, name: str) -> None:
    with client(tmp_path, name) as app:
        assert app.get("/cds-services").status_code == 421


def test_a_service_behind_a_public_address_asks_who_calls() -> None:
    behind = Settings(public_url="https://cds.example.org")
    assert behind.authenticates and behind.known_hosts is None
    assert not Settings().authenticates and not Settings(public_url="http://localhost:8000").authenticates


def test_scripts_of_another_site_reach_the_cds_services_and_no_page(tmp_path: Path) -> None:
    with client(tmp_path, cors_origins=(SANDBOX,)) as app:
        asked = {address: app.get(address, headers={"Origin": SANDBOX}) for address in ("/cds-services", "/assess", "/evidence")}
    allowed = {address: "access-control-allow-origin" in answer.headers for address, answer in asked.items()}
    assert allowed == {"/cds-services": True, "/assess": False, "/evidence": False}


@pytest.mark.parametrize("origin", ["*", "https://*.example.org", "example.org"])
def test_an_origin_is_one_site(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        Settings(cors_origins=(origin,))


def test_a_cookie_of_one_call_does_not_go_along_with_the_next() -> None:
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"Set-Cookie": "SESSION=a; Path=/"})

    with httpx.Client(transport=httpx.MockTransport(answer), cookies=no_cookies()) as caller:
        caller.get("https://ehr.example.org/a")
        caller.get("https://ehr.example.org/b")
    assert sent == [None, None]


def test_vital_signs_are_asked_for_and_their_lack_is_told() -> None:
    assert "category=vital-signs" in queries("p1", frozenset())["vitals"]
    assert "temperature and blood pressure" in absent(frozenset({"patient"}))


@pytest.mark.parametrize(
    "more",
    [{"link": [{"relation": "next", "url": "https://ehr.example.org/2"}]},
     {"entry": [{"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}}]}],
)  # fmt: skip
def test_a_list_that_goes_on_or_failed_in_part_is_no_whole_answer(more: dict[str, object]) -> None:
    bundle = {"resourceType": "Bundle", "type": "searchset"}
    assert provided({"conditions": bundle}) == {"conditions"} and provided({"conditions": bundle | more}) == frozenset()
