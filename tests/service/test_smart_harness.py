"""Is the EHR of these tests a faithful one? A client that others wrote gets through it, and each broken rule of the specification is refused."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2 as httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from served import case, ec_key, key_set
from smart_server import ASSERTION, Client, Ehr, ehr_serving

REDIRECT = "https://app.example.org/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
KEY = ec_key("app")


@pytest.fixture(scope="module")
def served() -> Iterator[Ehr]:
    ehr = Ehr(page=2)
    ehr.register(Client("app", REDIRECT))
    ehr.register(Client("secret-app", REDIRECT, secret="s3cret"))
    ehr.register(Client("key-app", REDIRECT, jwks=lambda: key_set(KEY)))
    with ehr_serving(ehr):
        ehr.hold(["b090", "a004", "b009"])
        yield ehr


@pytest.fixture
def ehr(served: Ehr) -> Ehr:
    served.broken.clear()
    return served


def decide(address: str, patient: str, allow: str = "yes") -> str:
    """Sign-in and consent; the address of the callback."""
    page = httpx.get(address)
    match = re.search(r"name='session' value='([^']+)'", page.text)
    assert match, (page.status_code, dict(page.headers), page.text)
    parts = urlsplit(address)
    form = {"session": match[1], "allow": allow, "patient": patient}
    return str(httpx.post(f"{parts.scheme}://{parts.netloc}/auth/decide", data=form).headers["location"])


# --- a client that others wrote ----------------------------------------------------------------------


@pytest.mark.parametrize("app_id", ["app", "secret-app"])
@pytest.mark.parametrize("launched", [True, False], ids=["from the chart", "standalone"])
def test_the_client_library_of_smart_health_it_gets_through(ehr: Ehr, app_id: str, launched: bool) -> None:
    """``fhirclient`` finds the endpoints in the CapabilityStatement, sends PKCE, follows pages; nothing that it does is refused."""
    fhirclient = pytest.importorskip("fhirclient.client", reason="fhirclient is in the dev dependencies")
    from fhirclient.models.condition import Condition

    settings = {"app_id": app_id, "api_base": ehr.fhir, "redirect_uri": REDIRECT, "scope": "openid fhirUser patient/*.rs"}
    settings |= {"app_secret": "s3cret"} if app_id == "secret-app" else {}
    settings |= {"launch_token": ehr.begin_launch("b090")} if launched else {}
    smart = fhirclient.FHIRClient(settings=settings)
    smart.prepare()
    address = smart.authorize_url
    assert address and not smart.ready
    smart.handle_callback(decide(address, "b090"))
    assert smart.ready and smart.patient_id == "b090"
    assert smart.patient.name[0].family == "Testperson"
    found = list(Condition.where({"patient": "b090"}).perform_resources_iter(smart.server))
    wanted = {e["resource"]["id"] for e in case("b090")["entry"] if e["resource"]["resourceType"] == "Condition"}
    assert {each.id for each in found} == wanted and len(wanted) > ehr.page
    assert ehr.broken == []


# --- authorization -----------------------------------------------------------------------------------


def asked(ehr: Ehr, **change: str | None) -> dict[str, str]:
    good: dict[str, str | None] = {
        "response_type": "code", "client_id": "app", "redirect_uri": REDIRECT, "scope": "launch/patient patient/*.rs", "aud": ehr.fhir,
        "state": "x" * 22, "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    }  # fmt: skip
    return {name: value for name, value in {**good, **change}.items() if value is not None}


def authorize(ehr: Ehr, **change: str | None) -> httpx.Response:
    return httpx.get(f"{ehr.base}/auth/authorize", params=asked(ehr, **change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"), ({"state": None}, "invalid_request"), ({"state": "short"}, "invalid_request"),
        ({"aud": None}, "invalid_request"), ({"aud": "https://evil.example/fhir"}, "invalid_request"), ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"), ({"code_challenge": "short"}, "invalid_request"), ({"scope": None}, "invalid_scope"),
        ({"scope": "launch/patient patient/*.read"}, "invalid_scope"), ({"scope": "launch/patient patient/*.sr"}, "invalid_scope"),
        ({"scope": "patient/*.rs"}, "invalid_scope"), ({"scope": "launch/patient"}, "invalid_scope"), ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"scope": "launch/patient fhirUser patient/*.rs"}, "invalid_scope"), ({"launch": "unknown", "scope": "launch patient/*.rs"}, "invalid_request"),
        ({"launch": "unknown"}, "invalid_scope"),
    ],
)  # fmt: skip
def test_an_authorization_request_that_breaks_a_rule_is_sent_back_with_an_error(ehr: Ehr, change: dict[str, str | None], error: str) -> None:
    response = authorize(ehr, **change)
    back = dict(parse_qsl(urlsplit(response.headers["location"]).query))
    assert response.status_code == 302 and back["error"] == error and "code" not in back
    assert len(ehr.broken) == 1


@pytest.mark.parametrize("change", [{"client_id": "nobody"}, {"redirect_uri": REDIRECT + "/"}, {"redirect_uri": "https://evil.example"}, {"redirect_uri": None}])
def test_nobody_is_sent_to_an_address_that_is_not_registered(ehr: Ehr, change: dict[str, str | None]) -> None:
    response = authorize(ehr, **change)
    assert response.status_code == 400 and "location" not in response.headers


def test_a_parameter_may_stand_once(ehr: Ehr) -> None:
    twice = [*asked(ehr).items(), ("aud", ehr.fhir)]
    assert httpx.get(f"{ehr.base}/auth/authorize?{urlencode(twice)}").status_code == 400


def test_an_authorization_request_may_be_posted(ehr: Ehr) -> None:
    assert httpx.post(f"{ehr.base}/auth/authorize", data=asked(ehr)).status_code == 200


def test_the_launch_of_a_chart_works_once(ehr: Ehr) -> None:
    launch = {"launch": ehr.begin_launch("b090"), "scope": "launch patient/*.rs"}
    assert authorize(ehr, **launch).status_code == 200
    assert "error=invalid_request" in authorize(ehr, **launch).headers["location"]


# --- token -------------------------------------------------------------------------------------------


def code(ehr: Ehr, patient: str = "b090", **change: str | None) -> str:
    address = f"{ehr.base}/auth/authorize?{urlencode(asked(ehr, **change))}"
    return dict(parse_qsl(urlsplit(decide(address, patient)).query))["code"]


def exchange(ehr: Ehr, form: dict[str, str | None], **more: Any) -> httpx.Response:
    good: dict[str, str | None] = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER, "client_id": "app"}
    sent = {name: value for name, value in {**good, **form}.items() if value is not None}
    return httpx.post(f"{ehr.base}/auth/token", data=sent, **more)


def test_a_code_is_exchanged_once_and_a_second_try_revokes_the_token(ehr: Ehr) -> None:
    form: dict[str, str | None] = {"code": code(ehr)}
    first = exchange(ehr, form)
    assert first.status_code == 200 and first.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {first.json()['access_token']}"}
    assert httpx.get(f"{ehr.fhir}/Patient/b090", headers=bearer).status_code == 200
    assert exchange(ehr, form).json()["error"] == "invalid_grant"
    assert httpx.get(f"{ehr.fhir}/Patient/b090", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"code_verifier": "A" * 43}, "invalid_grant"), ({"code_verifier": None}, "invalid_request"), ({"code_verifier": "short"}, "invalid_request"),
        ({"redirect_uri": REDIRECT + "?"}, "invalid_grant"), ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"code": "unknown"}, "invalid_grant"), ({"client_id": None}, "invalid_client"), ({"client_id": "secret-app"}, "invalid_client"),
        ({"client_id": "key-app"}, "invalid_client"),
    ],
)  # fmt: skip
def test_a_token_request_that_breaks_a_rule_gets_an_error(ehr: Ehr, form: dict[str, str | None], error: str) -> None:
    response = exchange(ehr, {"code": code(ehr), **form})
    assert response.status_code in (400, 401) and response.json()["error"] == error


def test_a_code_expires(ehr: Ehr) -> None:
    late = code(ehr)
    ehr.codes[late]["until"] = time.time() - 1
    assert exchange(ehr, {"code": late}).json()["error"] == "invalid_grant"


def test_a_token_request_is_a_form(ehr: Ehr) -> None:
    assert httpx.post(f"{ehr.base}/auth/token", json={"grant_type": "authorization_code"}).status_code == 400


@pytest.mark.parametrize("auth", [("secret-app", "wrong"), ("app", "s3cret"), ("app", "")])
def test_a_wrong_secret_is_refused(ehr: Ehr, auth: tuple[str, str]) -> None:
    assert exchange(ehr, {"code": code(ehr, client_id="secret-app"), "client_id": None}, auth=auth).status_code == 401


def assertion(ehr: Ehr, key: ECKey = KEY, header: dict[str, Any] | None = None, **change: Any) -> dict[str, str | None]:
    now = int(time.time())
    claims = {"iss": "key-app", "sub": "key-app", "aud": f"{ehr.base}/auth/token", "exp": now + 240, "jti": str(time.monotonic_ns()), **change}
    head = {"alg": "ES384", "kid": "app", "typ": "JWT", **(header or {})}
    signed = jwt.encode(head, claims, key, algorithms=["ES384"])
    return {"client_assertion": signed, "client_assertion_type": ASSERTION, "client_id": None}


def test_an_assertion_is_accepted_once(ehr: Ehr) -> None:
    made = assertion(ehr)
    assert exchange(ehr, {"code": code(ehr, client_id="key-app"), **made}).status_code == 200
    assert exchange(ehr, {"code": code(ehr, client_id="key-app"), **made}).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "change",
    [{"iss": "app"}, {"sub": "app"}, {"aud": "https://evil.example"}, {"exp": int(time.time()) + 3600}, {"exp": 1}, {"jti": ""}, {"header": {"typ": "at+jwt"}},
     {"header": {"kid": "other"}}, {"key": ec_key("app")}],
)  # fmt: skip
def test_an_assertion_that_breaks_a_rule_is_refused(ehr: Ehr, change: dict[str, Any]) -> None:
    response = exchange(ehr, {"code": code(ehr, client_id="key-app"), **assertion(ehr, **change)})
    assert response.status_code == 401 and response.json()["error"] == "invalid_client"


# --- FHIR --------------------------------------------------------------------------------------------


def bearer(ehr: Ehr, scope: str = "launch/patient patient/*.rs", patient: str = "b090") -> dict[str, str]:
    return {"Authorization": f"Bearer {exchange(ehr, {'code': code(ehr, patient, scope=scope)}).json()['access_token']}"}


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [
        ("patient/*.rs", "Condition?patient=b090", 200), ("patient/*.rs", "Condition?patient=a004", 403), ("patient/*.rs", "Condition", 403),
        ("patient/*.rs", "Patient/a004", 404), ("patient/Patient.r", "Condition?patient=b090", 403), ("patient/Condition.r", "Condition?patient=b090", 403),
        ("patient/Condition.s", "Condition?patient=b090", 200), ("patient/Patient.s", "Patient/b090", 403),
        ("patient/*.rs", "Condition?patient=b090&made-up=1", 400), ("patient/*.rs", "Condition?patient=b090&patient=b090", 400),
    ],
)  # fmt: skip
def test_a_token_opens_what_its_scopes_and_its_patient_allow(ehr: Ehr, scope: str, path: str, status: int) -> None:
    assert httpx.get(f"{ehr.fhir}/{path}", headers=bearer(ehr, f"launch/patient {scope}")).status_code == status


def test_without_a_token_or_with_an_old_one_there_is_nothing(ehr: Ehr) -> None:
    assert httpx.get(f"{ehr.fhir}/Patient/b090").status_code == 401
    headers = bearer(ehr)
    ehr.tokens[headers["Authorization"].removeprefix("Bearer ")]["until"] = time.time() - 1
    assert httpx.get(f"{ehr.fhir}/Patient/b090", headers=headers).status_code == 401


@pytest.mark.parametrize("code", ["RAD", "PAT"])
def test_a_narrowed_scope_narrows_the_answer(ehr: Ehr, code: str) -> None:
    reports = [each for each in ehr.records["b009"] if each["resourceType"] == "DiagnosticReport"]
    assert {each["category"][0]["coding"][0]["code"] for each in reports} == {"RAD", "PAT"}
    scope = f"launch/patient patient/DiagnosticReport.rs?category=http://terminology.hl7.org/CodeSystem/v2-0074|{code}"
    found = httpx.get(f"{ehr.fhir}/DiagnosticReport?patient=b009&_count=200", headers=bearer(ehr, scope, "b009")).json()
    of_this = {each["id"] for each in reports if each["category"][0]["coding"][0]["code"] == code}
    assert {entry["resource"]["id"] for entry in found["entry"]} == of_this


def test_pages_belong_to_the_token_that_searched(ehr: Ehr) -> None:
    mine, other = bearer(ehr), bearer(ehr)
    bundle = httpx.get(f"{ehr.fhir}/Condition?patient=b090", headers=mine).json()
    following = next(link["url"] for link in bundle["link"] if link["relation"] == "next")
    assert httpx.get(following, headers=other).status_code == 403
    assert httpx.get(following).status_code == 401
    assert len(httpx.get(following, headers=mine).json()["entry"]) == ehr.page
