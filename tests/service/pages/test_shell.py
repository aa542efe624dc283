"""What all pages share: the frame, files, errors, who gets in, and what is written down about a visit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from served import ec_key, key_set, stub, token

from calcinosis.report import patient_page
from calcinosis.service.app import make_app
from calcinosis.service.pages import routers
from calcinosis.service.pages.files import address
from calcinosis.service.pages.shell import DOORS, environment, page, sections
from calcinosis.service.settings import Settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
REPORTS = Path(patient_page.__file__).parent / "templates"


def test_the_start_page_says_what_it_is_and_opens_every_door_that_exists(client: TestClient) -> None:
    found = client.get("/", headers=BROWSER)
    assert found.status_code == 200 and found.headers["content-type"] == "text/html; charset=utf-8"
    paths = {route.path for router in routers for route in router.routes}  # type: ignore[attr-defined]
    doors = re.findall(r'<li><a href="([^"]+)"', found.text.partition('<nav aria-label="Pages"')[2].partition("</nav>")[0])
    assert doors == [door.path for door in DOORS if door.path in paths] and {"/evidence", "/knowledge"} <= set(doors)
    for path in doors:
        assert client.get(path, headers=BROWSER).status_code == 200
    assert "never makes one" in found.text and client.app.state.knowledge.version in found.text  # type: ignore[attr-defined]


def test_the_page_one_is_on_is_marked(client: TestClient) -> None:
    assert '<a href="/knowledge" aria-current="true">' in client.get("/knowledge/types").text
    assert "aria-current" not in client.get("/no-such-page", headers=BROWSER).text


def test_the_look_is_that_of_the_reports(client: TestClient) -> None:
    assert client.get(address("style.css")).content == (REPORTS / "style.css").read_bytes()


def test_a_file_may_be_kept_for_good_under_its_own_name_only(client: TestClient) -> None:
    found = client.get(address("pages.css"))
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert found.headers["content-type"].startswith("text/css")
    plain = client.get(address("pages.css"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == found.content
    for wrong in ("/static/pages.css", "/static/pages-000000000000.css", "/static/..%2fshell.py", "/static/page.html.j2"):
        assert client.get(wrong).status_code == 404


def test_pages_are_compressed_for_those_who_can_read_it(client: TestClient) -> None:
    packed = client.get("/knowledge", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/knowledge", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.text == plain.text and int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_a_page_about_a_patient_is_never_compressed(client: TestClient) -> None:
    scope = {
        "type": "http", "method": "GET", "path": "/", "headers": [(b"accept-encoding", b"gzip")], "query_string": b"", "app": client.app,
    }  # fmt: skip
    found = page(Request(scope), "error.html.j2", about_patient=True, code=200, phrase="x", detail=None)
    assert "content-encoding" not in found.headers


def test_pages_are_not_part_of_the_description_of_the_api(client: TestClient) -> None:
    listed = client.get("/api/v1/openapi.json").json()["paths"]
    assert not {"/", "/knowledge", "/evidence", "/static/{name}"} & set(listed)


def test_what_the_pages_add_to_the_templates_stays_out_of_the_reports() -> None:
    assert "static" in environment().globals and "static" not in patient_page.environment().globals
    assert patient_page.environment().globals["source_href"]("a b") == "#ref-a-b"  # type: ignore[operator]


def test_sections_are_found_for_the_list_of_contents() -> None:
    body = '<section id="a" aria-labelledby="a-t">\n<h2 id="a-t">One &amp; two</h2></section><section class="x"><h2>No</h2></section>'
    assert sections(body) == [("a", "One &amp; two")]


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/no-such-page", "/knowledge/types/nothing", "/knowledge/nothing", "/evidence?treatment=nothing"])
def test_somebody_at_a_browser_gets_a_page_and_a_program_a_problem(client: TestClient, path: str) -> None:
    seen = client.get(path, headers=BROWSER)
    assert seen.status_code == 404 and "This page does not exist" in seen.text and 'href="/"' in seen.text
    told = client.get(path, headers={"Accept": "application/json"})
    assert told.status_code == 404 and told.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/v1/knowledge/nothing", "/api/v1/nothing", "/cds-services/nothing", "/static/nothing"])
def test_what_programs_ask_for_answers_programs(client: TestClient, path: str) -> None:
    assert client.get(path, headers=BROWSER).headers["content-type"] == "application/problem+json"


def test_an_error_never_quotes_what_was_sent(client: TestClient) -> None:
    found = client.get("/knowledge/types/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers=BROWSER)
    assert found.status_code == 404 and "alert(1)" not in found.text
    long = client.get("/knowledge", params={"q": "a" * 201}, headers=BROWSER)
    assert long.status_code == 422 and "aaaa" not in long.text


def test_what_breaks_says_so_without_a_traceback(tmp_path: Path) -> None:
    app = make_app(Settings(workers=0, audit_log=tmp_path / "a"))

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("a secret")

    with TestClient(app, raise_server_exceptions=False, base_url="http://127.0.0.1") as client:
        seen = client.get("/breaks", headers=BROWSER)
        assert seen.status_code == 500 and "Nothing that you entered was stored" in seen.text and "secret" not in seen.text
        assert "content-security-policy" in seen.headers
        app.state.knowledge = None  # now the page of the error breaks too
        told = client.get("/breaks", headers=BROWSER)
        assert told.status_code == 500 and told.json()["detail"] == "internal error"


# --- who gets in -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Any]]:
    """As deploy/nginx.conf runs it: on loopback, with authentication, the token from the sign-in before it."""
    key = ec_key()
    with stub(lambda *_: (200, key_set(key))) as url:
        settings = Settings(
            workers=0, require_authentication=True, oidc_issuer="https://id.example.org", oidc_audience="calcinosis",
            oidc_jwks_url=url + "/keys", audit_log=tmp_path_factory.mktemp("audit") / "audit.jsonl",
        )  # fmt: skip
        with TestClient(make_app(settings), base_url="http://127.0.0.1") as client:
            yield client, key


@pytest.mark.parametrize("path", ["/", "/knowledge", "/knowledge/types/calciphylaxis", "/evidence"])
def test_where_the_rest_asks_for_a_token_pages_do_too(behind_a_proxy: tuple[TestClient, Any], path: str) -> None:
    client, key = behind_a_proxy
    refused = client.get(path, headers=BROWSER)
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert "This server asks who you are" in refused.text
    bearer = token(key, iss="https://id.example.org", aud="calcinosis", sub="dr-a")
    assert client.get(path, headers=BROWSER | {"Authorization": f"Bearer {bearer}"}).status_code == 200


def test_the_page_of_a_refusal_has_its_look(behind_a_proxy: tuple[TestClient, Any]) -> None:
    client, _ = behind_a_proxy
    files = re.findall(r'"(/static/[^"]+)"', client.get("/", headers=BROWSER).text)
    assert len(files) >= 3 and {client.get(each).status_code for each in files} == {200}


# --- what is written down ----------------------------------------------------------------------------


def test_a_search_is_audited_without_its_words(tmp_path: Path) -> None:
    with TestClient(make_app(Settings(workers=0, audit_log=tmp_path / "a")), base_url="http://127.0.0.1") as client:
        client.get("/knowledge", params={"q": "zebrafish"})
        client.get("/knowledge/sources/nothing-like-it")
        client.get(address("style.css"))
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [line["service"] for line in lines] == ["knowledge", "knowledge/{table}/{key}"]
    assert "zebrafish" not in (tmp_path / "a").read_text() and "nothing-like-it" not in (tmp_path / "a").read_text()
