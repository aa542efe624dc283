"""Everything that a launch must refuse, and what it may never give away."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey
from pydantic import ValidationError
from served import ec_key, rsa_key
from smart_browser import PUBLIC_URL, Browser, Launching
from smart_server import Ehr

from calcinosis.service.app import make_app
from calcinosis.service.jwt import Rejected
from calcinosis.service.server import read_settings
from calcinosis.service.settings import Settings
from calcinosis.service.smart_client import Failed, _configuration, _reason
from calcinosis.service.smart_record import _is_of, banner
from calcinosis.service.smart_state import SECONDS, Launches

READ = "Testperson"  # stands on a page only when the record was read


def refused(page: Any, status: int, words: str, ehr: Ehr) -> None:
    """A page, not a traceback; no record was read, and none is shown."""
    assert page.status_code == status, page.text
    assert page.headers["content-type"].startswith("text/html")
    assert words in page.text
    assert READ not in page.text and ehr.searched == []


# --- who may launch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [lambda iss: iss + "/", lambda iss: iss.upper(), lambda iss: iss + "?", lambda iss: iss.replace("127.0.0.1", "localhost"),
     lambda _: "https://evil.example/fhir", lambda _: "javascript:alert(1)", lambda _: "//evil.example", lambda iss: iss + "\r\nX: y"],
)  # fmt: skip
def test_only_servers_on_the_list_may_launch(app: TestClient, ehr: Ehr, change: Any) -> None:
    """Nothing is fetched from, or sent to, an address that a link brings."""
    for path, more in (("/smart/launch", {"launch": "x"}), ("/smart/standalone", {})):
        page = app.get(path, params={"iss": change(ehr.fhir), **more})
        refused(page, 403, "not known here", ehr)
        assert "location" not in page.headers and "evil.example" not in page.text


@pytest.mark.parametrize(
    "query", ["", "iss=x", "launch=x", "iss=&launch=", "iss=a&iss=b&launch=x", "iss=a&launch=x&launch=y", "iss=a&launch=" + "x" * 5000]
)
def test_a_launch_that_is_not_whole_is_refused(app: TestClient, ehr: Ehr, query: str) -> None:
    refused(app.get(f"/smart/launch?{query}"), 400, "This launch", ehr)


def test_the_service_redirects_to_the_servers_of_its_list_and_nowhere_else(app: TestClient, ehr: Ehr) -> None:
    """No open redirect: neither launch nor callback takes an address to go to."""
    more = {"redirect_uri": "https://evil.example", "next": "https://evil.example", "authorization_endpoint": "https://evil.example"}
    response = app.get("/smart/launch", params={"iss": ehr.fhir, "launch": ehr.begin_launch("b090"), **more})
    assert response.headers["location"].startswith(f"{ehr.base}/auth/authorize?") and "evil" not in response.headers["location"]
    page = app.get("/smart/callback", params={"state": "x", "code": "y", **more})
    assert page.status_code == 400 and "location" not in page.headers


# --- discovery ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d | {"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        (lambda d: {k: v for k, v in d.items() if k != "code_challenge_methods_supported"}, "PKCE"),
        (lambda d: {k: v for k, v in d.items() if k != "token_endpoint"}, "names no endpoint"),
        (lambda d: d | {"authorization_endpoint": "http://ehr.example.org/authorize"}, "names no endpoint"),
        (lambda d: d | {"authorization_endpoint": "javascript:alert(1)"}, "names no endpoint"),
        (lambda d: d | {"token_endpoint": "https://user:password@ehr.example.org/token"}, "names no endpoint"),
        (lambda d: d | {"token_endpoint": 7}, "names no endpoint"),
        (lambda _: [], "cannot be read"),
        (lambda d: d | {"filler": "x" * 300_000}, "too large"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_of_smart_2_ends_the_launch(app: TestClient, ehr: Ehr, change: Any, words: str) -> None:
    app.app.state.smart._known.clear()  # type: ignore[attr-defined]
    ehr.faults.configuration = change
    page = app.get("/smart/launch", params={"iss": ehr.fhir, "launch": ehr.begin_launch("b090")})
    app.app.state.smart._known.clear()  # type: ignore[attr-defined]
    refused(page, 502, words, ehr)


def test_a_server_elsewhere_cannot_send_us_to_this_machine() -> None:
    from calcinosis.service.smart_client import _endpoint

    assert _endpoint({"t": "http://127.0.0.1:5432/"}, "t", "https://ehr.example.org/r4") is None
    assert _endpoint({"t": "https://localhost/"}, "t", "https://ehr.example.org/r4") is None
    assert _endpoint({"t": "auth/token"}, "t", "https://ehr.example.org/r4") == "https://ehr.example.org/r4/auth/token"


def test_a_server_that_is_away_is_not_asked_again_at_once(tmp_path: Path) -> None:
    settings = Settings(workers=0, smart=[{"issuer": "http://127.0.0.1:9/fhir", "client_id": "c"}], audit_log=tmp_path / "audit")
    with TestClient(make_app(settings), follow_redirects=False, base_url="http://127.0.0.1") as app:
        for words in ("does not answer", "cannot be read"):
            page = app.get("/smart/standalone", params={"iss": "http://127.0.0.1:9/fhir"})
            assert page.status_code == 502 and words in page.text


# --- state -------------------------------------------------------------------------------------------


def test_a_callback_that_this_browser_did_not_begin_is_refused(app: TestClient, ehr: Ehr) -> None:
    """Login forced upon somebody: the attacker's code and state in the victim's browser."""
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    app.cookies.clear()
    refused(browser.back(parameters), 400, "this browser began no such launch", ehr)


def test_a_state_that_is_not_the_one_of_the_cookie_is_refused(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    first = browser.decide(browser.authorize(browser.launch()))
    refused(browser.back(first | {"state": first["state"][::-1]}), 400, "began no such launch", ehr)
    other = browser.decide(browser.authorize(browser.launch()))
    names = {launches_name(app, each["state"]): app.cookies[launches_name(app, each["state"])] for each in (first, other)}
    app.cookies.clear()
    app.cookies.set(launches_name(app, first["state"]), names[launches_name(app, other["state"])])  # the cookie of another launch
    refused(browser.back(first), 400, "state is not the one of this launch", ehr)


def launches_name(app: TestClient, state: str) -> str:
    return str(app.app.state.launches._name(state))  # type: ignore[attr-defined]


def test_a_callback_works_once(app: TestClient, ehr: Ehr) -> None:
    """Neither the browser's back button nor somebody who kept the cookie gets in twice."""
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    name = launches_name(app, parameters["state"])
    kept = app.cookies[name]
    assert READ in browser.back(parameters).text
    ehr.searched.clear()
    assert name not in app.cookies
    refused(browser.back(parameters), 400, "came back before", ehr)
    app.cookies.set(name, kept)
    refused(browser.back(parameters), 400, "used before", ehr)
    assert ehr.broken == []  # the code was never sent a second time


def test_a_failed_callback_uses_the_launch_up(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    kept = dict(app.cookies)
    ehr.faults.token_error = (400, {"error": "invalid_grant"})
    assert browser.back(parameters).status_code == 502
    ehr.faults.token_error = None
    for name, value in kept.items():
        app.cookies.set(name, value)
    refused(browser.back(parameters), 400, "used before", ehr)


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c.d.e", "x" * 9000, "eyJhbGciOiJub25lIn0..x.x.x"])
def test_a_cookie_that_is_not_ours_is_refused(app: TestClient, ehr: Ehr, cookie: str) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    app.cookies.clear()
    app.cookies.set(launches_name(app, parameters["state"]), cookie)
    refused(browser.back(parameters), 400, "This launch cannot be continued", ehr)


def test_a_cookie_of_another_service_is_refused(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    foreign = Launches(app.app.state.settings)  # type: ignore[attr-defined]
    launch = foreign.begin(ehr.fhir, "launch", standalone=False)
    name, _, value = foreign.cookie(launch).partition(";")[0].partition("=")
    app.cookies.set(name, value)
    refused(browser.back({"state": launch.state, "code": "c"}), 400, "restarted since", ehr)


def test_a_launch_that_took_too_long_is_refused() -> None:
    now = [time.time()]
    launches = Launches(Settings(), clock=lambda: now[0])
    launch = launches.begin("https://ehr.example.org", "launch", standalone=False)
    name, _, value = launches.cookie(launch).partition(";")[0].partition("=")
    now[0] += SECONDS
    with pytest.raises(Rejected, match="ten minutes"):
        launches.open({name: value}, launch.state)


@pytest.mark.parametrize("query", ["", "code=x", "state=&code=x", "state=a&state=b&code=x", "state=a&code=x&code=y", "state=" + "x" * 5000])
def test_a_callback_that_is_not_whole_is_refused(app: TestClient, ehr: Ehr, query: str) -> None:
    refused(app.get(f"/smart/callback?{query}"), 400, "This launch", ehr)


def test_a_callback_without_a_code_is_refused(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    del parameters["code"]
    refused(browser.back(parameters), 400, "no code", ehr)


def test_the_cookie_tells_its_reader_nothing_and_is_out_of_reach_of_scripts(app: TestClient, ehr: Ehr) -> None:
    response = Browser(app, ehr).launch()
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and f"Max-Age={SECONDS}" in cookie and "Domain" not in cookie
    asked = dict(parse_qsl(urlsplit(response.headers["location"]).query))
    assert asked["state"] not in cookie and asked["nonce"] not in cookie


def cookie_of(**settings: Any) -> str:
    launches = Launches(Settings(**settings))
    return launches.cookie(launches.begin("https://ehr.example.org", "launch", standalone=False))


def test_beyond_loopback_the_cookie_is_secure_and_of_this_host() -> None:
    cookie = cookie_of(public_url="https://cds.example.org")
    assert cookie.startswith("__Host-launch-") and "; Secure" in cookie and "Path=/;" in cookie and "SameSite=Lax" in cookie
    assert "; Secure" not in cookie_of()


def test_in_a_frame_the_cookie_is_kept_apart_for_each_embedding_site() -> None:
    cookie = cookie_of(public_url="https://cds.example.org", frame_ancestors=["https://ehr.example.org"])
    assert "SameSite=None; Partitioned" in cookie and "; Secure" in cookie


# --- which server answers ----------------------------------------------------------------------------


def test_a_callback_from_another_server_is_refused(app: TestClient, launching: Launching, ehr: Ehr) -> None:
    """Mix-up (RFC 9207): the code of one server must not be sent to another."""
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    for iss in (launching[1]["secret"].base, ehr.fhir, ehr.base + "/", ""):
        browser = Browser(app, ehr)
        parameters = browser.decide(browser.authorize(browser.launch()))
        refused(browser.back(parameters | {"iss": iss}), 403, "another server", ehr)
    assert not any(held["token"] for held in ehr.codes.values() if held["asked"]["state"] == parameters["state"])


def test_a_server_that_names_itself_must_do_so(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    del parameters["iss"]
    refused(browser.back(parameters), 403, "iss is missing", ehr)


# --- refusals of the server --------------------------------------------------------------------------


def test_somebody_who_declines_gets_a_page(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()), allow="no")
    assert parameters["error"] == "access_denied"
    refused(browser.back(parameters), 403, "Access was declined", ehr)


def test_what_a_link_says_is_never_repeated_on_the_page(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()), allow="no")
    parameters |= {"error": "<b>call 555</b>", "error_description": "call 555 now"}
    page = browser.back(parameters)
    refused(page, 403, "no known reason", ehr)
    assert "555" not in page.text


def test_an_error_without_a_launch_of_this_browser_says_nothing(app: TestClient, ehr: Ehr) -> None:
    refused(app.get("/smart/callback", params={"state": "x", "error": "access_denied"}), 400, "began no such launch", ehr)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ((400, {"error": "invalid_grant", "error_description": "code <i>expired</i>"}), "invalid_grant: code &lt;i&gt;expired&lt;/i&gt;"),
        ((401, {"error": "invalid_client"}), "invalid_client"), ((500, {}), "gave no token"), ((200, {}), "holds no token"), ((302, {}), "gave no token"),
    ],
)  # fmt: skip
def test_an_error_of_the_token_endpoint_is_a_page(app: TestClient, ehr: Ehr, error: Any, words: str) -> None:
    ehr.faults.token_error = error
    refused(Browser(app, ehr).whole(), 502, words, ehr)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patient": None}, "which patient"), ({"patient": ""}, "which patient"), ({"patient": 7}, "which patient"),
        ({"patient": "../Patient"}, "which patient"), ({"patient": ".."}, "which patient"), ({"patient": "a?b=c"}, "which patient"),
        ({"access_token": ""}, "no token"), ({"access_token": "a\nb"}, "no token"), ({"access_token": "é"}, "no token"),
        ({"token_type": "mac"}, "not a bearer"), ({"token_type": None}, "not a bearer"), ({"scope": 3}, "which access"),
        ({"id_token": None}, "who signed in"), ({"id_token": 5}, "who signed in"),
    ],
)  # fmt: skip
def test_a_token_answer_that_lacks_something_is_refused(app: TestClient, ehr: Ehr, change: dict[str, Any], words: str) -> None:
    ehr.faults.token = lambda document: {k: v for k, v in (document | change).items() if v is not None}
    refused(Browser(app, ehr).whole(), 502, words, ehr)


def test_a_standalone_launch_without_a_patient_is_refused(app: TestClient, ehr: Ehr) -> None:
    ehr.faults.token = lambda document: {k: v for k, v in document.items() if k != "patient"}
    browser = Browser(app, ehr)
    page = browser.back(browser.decide(browser.authorize(app.get("/smart/standalone", params={"iss": ehr.fhir}))))
    refused(page, 502, "which patient", ehr)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)  # fmt: skip
FIELDS = st.sampled_from(
    ["capabilities", "code_challenge_methods_supported", "token_endpoint", "authorization_endpoint", "issuer", "jwks_uri", "name", "birthDate", "gender",
     "subject", "patient", "given", "family", "reference", "use", "text", "error", "error_description", "resourceType", "token_endpoint_auth_methods_supported"]
)  # fmt: skip


@given(st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON) | st.lists(st.dictionaries(FIELDS, JSON), max_size=2)))
def test_whatever_a_server_sends_is_read_or_refused(document: dict[str, Any]) -> None:
    """Never a traceback: a configuration fails in words, a patient has a banner or none, an entry is somebody's or nobody's."""
    with contextlib.suppress(Failed):
        _configuration(document | {"code_challenge_methods_supported": ["S256"]}, "https://ehr.example.org/r4")
    assert isinstance(banner(document), str)
    assert isinstance(_is_of(document, "p1"), bool)
    assert isinstance(_reason(document), str)


# --- who signed in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "iss is not"), ({"iss": None}, "iss is not"), ({"aud": "another-app"}, "aud is not"), ({"aud": None}, "aud is missing"),
        ({"aud": ["calcinosis-public", "another-app"]}, "aud is not"), ({"azp": "another-app"}, "aud is not"), ({"aud": []}, "aud is missing"),
        ({"exp": int(time.time()) - 3600}, "exp has passed"), ({"exp": None}, "exp is missing"), ({"exp": "soon"}, "exp is missing"),
        ({"iat": int(time.time()) + 3600}, "iat lies"), ({"iat": None}, "iat is missing"), ({"nonce": "another"}, "nonce is not"),
        ({"exp": math.nan}, "not a signed token"), ({"exp": math.inf}, "not a signed token"), ({"exp": 10**400}, "not a signed token"),
        ({"nonce": None}, "nonce is missing"), ({"sub": None}, "sub is missing"), ({"sub": ""}, "sub is missing"),
    ],
)  # fmt: skip
def test_an_id_token_made_for_something_else_is_refused(app: TestClient, ehr: Ehr, claims: dict[str, Any], words: str) -> None:
    ehr.faults.id_claims = lambda made: made | claims
    refused(Browser(app, ehr).whole(), 403, words, ehr)


def test_the_nonce_of_another_launch_is_refused(app: TestClient, ehr: Ehr) -> None:
    """An id_token that was taken elsewhere and is replayed here."""
    browser = Browser(app, ehr)
    taken: list[str] = []
    ehr.faults.token = lambda document: (taken.append(document["id_token"]), document)[1]
    assert READ in browser.whole().text
    ehr.searched.clear()
    ehr.faults.token = lambda document: document | {"id_token": taken[0]}
    refused(browser.whole(), 403, "nonce is not", ehr)


@pytest.mark.parametrize(
    ("header", "key", "words"),
    [
        ({"alg": "none"}, None, "alg is not accepted"),
        ({"alg": "HS256"}, OctKey.import_key("the public key as a secret, which anyone could know"), "alg is not accepted"),
        ({}, ec_key("ehr-1", "P-256"), "signature does not fit"), ({"kid": "unknown"}, None, "kid is not in"),
        ({"alg": "RS256"}, rsa_key("ehr-1"), "signature does not fit"),
    ],
    ids=["none", "HS256", "stranger", "unknown kid", "wrong kind"],
)  # fmt: skip
def test_an_id_token_that_the_server_did_not_sign_is_refused(app: TestClient, ehr: Ehr, header: dict[str, Any], key: Any, words: str) -> None:
    ehr.faults.id_header, ehr.faults.id_key = header, key
    refused(Browser(app, ehr).whole(), 403, words, ehr)


CRITICAL = urlsafe_b64encode(b'{"alg":"ES256","kid":"ehr-1","crit":["x"],"x":1}').decode()


@pytest.mark.parametrize(
    ("token", "words"),
    [("", "not a signed token"), ("x", "not a signed token"), ("a.b", "not a signed token"), ("a.b.c", "not a signed token"),
     ("x" * 20_000, "not a signed token"), ("e30.e30.", "alg is not accepted"), (CRITICAL + ".e30.AA", "crit is not supported")],
)  # fmt: skip
def test_an_id_token_that_is_none_is_refused(app: TestClient, ehr: Ehr, token: str, words: str) -> None:
    ehr.faults.token = lambda document: document | {"id_token": token}
    refused(Browser(app, ehr).whole(), 403, words, ehr)


def test_a_server_with_one_key_need_not_name_it(app: TestClient, ehr: Ehr) -> None:
    ehr.faults.id_header = {"kid": None}
    assert READ in Browser(app, ehr).whole().text


def test_where_nobody_signs_in_nobody_is_named(app: TestClient, launching: Launching, ehr: Ehr) -> None:
    """openid was not granted: the launch stands, the audit log says that the user is not known."""
    ehr.faults.grant = lambda scope: " ".join(each for each in scope.split() if each not in ("openid", "fhirUser"))
    assert READ in Browser(app, ehr).whole().text
    assert json.loads((launching[2] / "audit.jsonl").read_text().splitlines()[-1])["who"] == "smart:EHR public:unnamed"


# --- what is given away ------------------------------------------------------------------------------


def test_nothing_of_a_launch_is_logged(app: TestClient, launching: Launching, ehr: Ehr, caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor code nor state nor verifier nor patient, at the finest level of every logger."""
    caplog.set_level(logging.DEBUG)
    browser = Browser(app, ehr)
    parameters = browser.decide(browser.authorize(browser.launch()))
    secrets = [parameters["code"], parameters["state"]]
    ehr.faults.token = lambda document: (secrets.extend((document["access_token"], document["id_token"])), document)[1]
    assert READ in browser.back(parameters).text
    ehr.faults.token_error = (400, {"error": "invalid_grant", "error_description": "patient b090"})
    browser.whole()
    assert len(secrets) == 4
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "uvicorn.error"))]  # the test's own browser
    text = "\n".join(record.getMessage() for record in ours) + (launching[2] / "audit.jsonl").read_text()
    for secret in (*secrets, "b090", READ):
        assert secret not in text


def test_every_page_of_a_launch_keeps_its_address_and_itself_to_itself(app: TestClient, ehr: Ehr) -> None:
    browser = Browser(app, ehr)
    begun = browser.launch()
    page = browser.back(browser.decide(browser.authorize(begun)))
    for response in (begun, page, app.get("/smart/callback"), app.get("/smart/standalone")):
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "unsafe-inline" not in response.headers["content-security-policy"]
    assert " style=" not in page.text and "<style" not in page.text  # the policy would drop them
    tokens = list(ehr.tokens)
    assert tokens and not any(token in page.text for token in tokens)
    assert page.headers.get("content-encoding") is None  # a secret beside what an attacker may choose is not compressed


def test_frames_are_for_the_listed_ehrs(tmp_path: Path) -> None:
    settings = Settings(workers=0, frame_ancestors=["https://ehr.example.org", "https://*.clinic.example"], audit_log=tmp_path / "audit")
    with TestClient(make_app(settings), base_url="http://127.0.0.1") as app:
        policy = app.get("/health/live").headers["content-security-policy"]
    assert policy.endswith("frame-ancestors https://ehr.example.org https://*.clinic.example")


def test_launches_are_kept_to_their_rate(tmp_path: Path) -> None:
    settings = Settings(
        workers=0, smart=[{"issuer": "https://ehr.example.org/r4", "client_id": "c"}], requests_per_second=0.001, burst=3,
        audit_log=tmp_path / "audit",
    )  # fmt: skip
    with TestClient(make_app(settings), base_url="http://127.0.0.1") as app:
        assert [app.get("/smart/callback").status_code for _ in range(4)] == [400, 400, 400, 429]


# --- settings ----------------------------------------------------------------------------------------

GOOD = {"issuer": "https://ehr.example.org/r4", "client_id": "calcinosis"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"smart": [GOOD | {"issuer": "http://ehr.example.org/r4"}]}, "https"), ({"smart": [GOOD, GOOD]}, "twice"),
        ({"smart": [GOOD], "public_url": "http://cds.example.org"}, "public_url"), ({"smart": [GOOD], "host": "0.0.0.0"}, "public_url"),
        ({"smart": [GOOD | {"client_secret_file": "/nowhere"}]}, "not a file"), ({"smart": [GOOD | {"surprise": 1}]}, "surprise"),
        ({"smart": [GOOD | {"client_id": ""}]}, "client_id"), ({"frame_ancestors": ["*"]}, "not an origin"),
        ({"frame_ancestors": ["https://a.example; script-src *"]}, "not an origin"), ({"frame_ancestors": ["http://a.example"]}, "not an origin"),
        ({"frame_ancestors": ["https://a.example/path"]}, "not an origin"), ({"frame_ancestors": ["'self'"]}, "not an origin"),
    ],
)  # fmt: skip
def test_settings_that_are_not_safe_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**settings)


def test_a_service_with_smart_alone_may_be_reached_from_elsewhere() -> None:
    """Who launches it is signed in at the EHR; everything else stays shut."""
    settings = Settings(smart=[GOOD], host="0.0.0.0", public_url="https://cds.example.org")
    assert settings.authenticates and settings.launch_url == "https://cds.example.org/smart/launch"


def test_a_secret_and_a_key_at_once_are_refused(tmp_path: Path) -> None:
    for name, key in (("rsa.pem", rsa_key().as_pem(private=True)), ("secret", b"s")):
        (tmp_path / name).write_bytes(key)
    both = GOOD | {"client_secret_file": tmp_path / "secret", "private_key_file": tmp_path / "rsa.pem"}
    with pytest.raises(ValidationError, match="not both"):
        Settings(smart=[both])


@pytest.mark.parametrize(
    "content",
    [b"", b"no key", rsa_key().as_pem(private=False), ec_key(curve="P-256").as_pem(private=True), json.dumps(ec_key().as_dict(private=False)).encode(), b"{"],
    ids=["empty", "text", "public RSA", "P-256", "public EC", "half a JWK"],
)
def test_a_key_that_cannot_sign_for_smart_is_refused_at_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "settings.yaml").write_text(json.dumps({"smart": [GOOD | {"private_key_file": str(tmp_path / "key")}]}))
    with pytest.raises(ValueError, match="holds no private key"):
        read_settings(tmp_path / "settings.yaml", {})


def test_without_a_launch_url_of_its_own_the_service_names_none() -> None:
    assert Settings().launch_url is None
    assert Settings(smart=[GOOD], public_url=PUBLIC_URL, smart_launch_url="https://other.example/launch").launch_url == "https://other.example/launch"
