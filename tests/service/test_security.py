"""Who may call: every negative case of https://cds-hooks.hl7.org/2.0/#trusting-cds-clients, and bearer tokens of an OpenID provider."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import OctKey
from pydantic import ValidationError
from served import BASE, ISSUER, PATIENT, call, ec_key, key_set, rsa_key, stub, token

from calcinosis.service.app import make_app
from calcinosis.service.jwt import SeenTokens
from calcinosis.service.limits import RateLimit
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings

EC, RSA, STRANGER = ec_key(), rsa_key(), ec_key()  # the stranger uses the same kid
OTHER_CURVE = ec_key("p256", "P-256")
SECRET = OctKey.import_key("a secret that both sides would have to know, long enough for HS384", parameters={"kid": "hmac"})
JKU_ISSUER = "https://other-ehr.example.com/"
PROVIDER = "http://127.0.0.1:1/idp"
CHART = "/cds-services/calcinosis-patient-view"


@pytest.fixture(scope="module")
def jwks() -> Iterator[tuple[str, dict[str, Any]]]:
    """A JWK Set on loopback that a test can change, and how often it was asked for."""
    state: dict[str, Any] = {"keys": key_set(ec_key("first")), "asked": 0}

    def answer(path: str, _: dict[str, str]) -> tuple[int, Any]:
        state["asked"] += path == "/jwks"
        return 200, state["keys"]

    with stub(answer) as url:
        yield url + "/jwks", state


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, jwks: tuple[str, dict[str, Any]]) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "jwks.json").write_text(json.dumps(key_set(EC, RSA, OTHER_CURVE)))
    hmac = {"kty": "oct", "kid": "hmac", "k": urlsafe_b64encode(b"x" * 48).decode()}
    (folder / "with_secret.json").write_text(json.dumps({"keys": [*key_set(EC)["keys"], hmac]}))
    clients = [
        {"iss": ISSUER, "jwks_file": folder / "jwks.json"}, {"iss": JKU_ISSUER, "jku": jwks[0]},
        {"iss": "https://secret.example/", "jwks_file": folder / "with_secret.json"},
    ]  # fmt: skip
    settings = Settings(
        workers=0, host="0.0.0.0", public_url=BASE, cds_clients=clients, metrics_token="for-prometheus", burst=10_000,
        oidc_issuer=PROVIDER, oidc_audience="calcinosis", oidc_jwks_url=jwks[0].replace("/jwks", "/idp-keys"), audit_log=folder / "audit",
    )  # fmt: skip
    with TestClient(make_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def ask(client: TestClient, bearer: str | None, path: str = "/cds-services") -> Any:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return client.get(path, headers=headers)


# --- accepted ----------------------------------------------------------------------------------------


def test_es384_and_rs384_are_accepted(guarded: TestClient) -> None:
    assert ask(guarded, token(EC)).status_code == 200
    assert ask(guarded, token(RSA, header={"alg": "RS384"})).status_code == 200
    assert ask(guarded, token(EC, aud=[BASE + "/cds-services", "https://elsewhere.example"], tenant="t1")).status_code == 200


def test_a_service_is_called_with_a_token_made_for_it(guarded: TestClient) -> None:
    headers = {"Authorization": f"Bearer {token(EC, path=CHART)}"}
    assert guarded.post(CHART, json=call("patient-view", {"patient": PATIENT}), headers=headers).status_code == 200


def test_keys_from_the_agreed_jku_are_cached_and_a_new_key_is_found(
    guarded: TestClient, jwks: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, state = jwks
    first, second = ec_key("first"), ec_key("second")
    state["keys"], state["asked"] = key_set(first), 0
    for _ in range(3):
        assert ask(guarded, token(first, iss=JKU_ISSUER, header={"jku": url})).status_code == 200
    assert state["asked"] == 1
    state["keys"] = key_set(first, second)
    assert ask(guarded, token(second, iss=JKU_ISSUER, header={"jku": url})).status_code == 401, "not asked again within seconds"
    monkeypatch.setattr("calcinosis.service.jwt._REFRESH_AFTER", -1.0)
    assert ask(guarded, token(second, iss=JKU_ISSUER, header={"jku": url})).status_code == 200


# --- refused -----------------------------------------------------------------------------------------

NOW = int(time.time())


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT", "kid": "example-kid"}, {"iss": ISSUER, "aud": BASE + "/cds-services", "exp": NOW + 200, "iat": NOW, "jti": "u"}]
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def tampered() -> str:
    header, _, signature = token(EC).split(".")
    payload = {"iss": ISSUER, "aud": BASE + "/cds-services", "exp": NOW + 200, "iat": NOW, "jti": "t"}
    return ".".join([header, urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("="), signature])


REFUSED = {
    "no token": lambda: None,
    "empty token": lambda: "",
    "not a token": lambda: "abc",
    "three parts of nonsense": lambda: "a.b.c",
    "alg none": unsigned,
    "alg HS384 with a shared secret": lambda: token(SECRET, header={"alg": "HS384"}),
    "alg HS384 keyed with the public key": lambda: token(
        OctKey.import_key(json.dumps(EC.as_dict(private=False)), parameters={"kid": "example-kid"}), header={"alg": "HS384"}
    ),
    "a symmetric key in the JWK Set": lambda: token(
        OctKey.import_key(b"x" * 48, parameters={"kid": "hmac"}), header={"alg": "HS384"}, iss="https://secret.example/"
    ),
    "alg ES256": lambda: token(OTHER_CURVE, header={"alg": "ES256"}),
    "alg RS256": lambda: token(RSA, header={"alg": "RS256"}),
    "alg that does not fit the key": lambda: token(EC, header={"kid": "example-rsa"}),
    "no kid": lambda: token(EC, drop=("kid",)),
    "unknown kid": lambda: token(ec_key("unknown")),
    "no typ": lambda: token(EC, drop=("typ",)),
    "wrong typ": lambda: token(EC, header={"typ": "at+jwt"}),
    "signed by somebody else": lambda: token(STRANGER),
    "changed after signing": tampered,
    "no iss": lambda: token(EC, drop=("iss",)),
    "unknown iss": lambda: token(EC, iss="https://stranger.example/"),
    "iss of another client": lambda: token(EC, iss=JKU_ISSUER),
    "jku not on the list": lambda: token(EC, header={"jku": "https://evil.example/jwks"}),
    "jku of a client without one": lambda: token(EC, header={"jku": "https://fhir-ehr.example.com/jwk_uri"}),
    "no aud": lambda: token(EC, drop=("aud",)),
    "aud of another service": lambda: token(EC, aud=BASE + CHART),
    "aud is only the base": lambda: token(EC, aud=BASE),
    "aud of another host": lambda: token(EC, aud="https://evil.example/cds-services"),
    "aud is a number": lambda: token(EC, aud=7),
    "no exp": lambda: token(EC, drop=("exp",)),
    "expired": lambda: token(EC, iat=NOW - 600, exp=NOW - 400),
    "exp is text": lambda: token(EC, exp="tomorrow"),
    "lives longer than five minutes": lambda: token(EC, exp=int(time.time()) + 3600),
    "no iat": lambda: token(EC, drop=("iat",)),
    "issued in the future": lambda: token(EC, iat=int(time.time()) + 600, exp=int(time.time()) + 700),
    "no jti": lambda: token(EC, drop=("jti",)),
    "jti is a number": lambda: token(EC, jti=5),
    "crit header": lambda: token(EC, header={"crit": ["kid"]}),
    "a very long token": lambda: token(EC, tenant="x" * 20_000),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(guarded: TestClient, case: str) -> None:
    response = ask(guarded, REFUSED[case]())
    assert response.status_code == 401, case
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_token_opens_the_door_once(guarded: TestClient) -> None:
    bearer = token(EC)
    assert [ask(guarded, bearer).status_code for _ in range(3)] == [200, 401, 401]


def test_a_refused_token_does_not_use_up_its_jti(guarded: TestClient) -> None:
    assert ask(guarded, token(STRANGER, jti="shared")).status_code == 401
    assert ask(guarded, token(EC, jti="shared")).status_code == 200


def test_the_memory_of_tokens_is_bounded_and_never_forgets_early() -> None:
    seen = SeenTokens(most=2)
    seen.take("i", "a", 100, 0)
    seen.take("i", "b", 100, 0)
    with pytest.raises(Exception, match="too many"):
        seen.take("i", "c", 100, 1)
    with pytest.raises(Exception, match="used before"):
        seen.take("i", "a", 100, 2)
    seen.take("i", "a", 300, 101)


def test_every_post_and_feedback_need_a_token_too(guarded: TestClient) -> None:
    for path in (CHART, "/cds-services/calcinosis-order-sign", CHART + "/feedback"):
        assert guarded.post(path, json={}).status_code == 401


# --- the API, metrics, health ------------------------------------------------------------------------


@pytest.fixture
def provider(jwks: tuple[str, dict[str, Any]]) -> Any:
    key = rsa_key("idp")
    jwks[1]["keys"] = key_set(key)
    return key


def test_the_api_takes_bearer_tokens_of_the_provider_only(guarded: TestClient, provider: Any) -> None:
    def bearer(**claims: Any) -> str:
        return token(provider, header={"alg": "RS256", "typ": "at+jwt"}, **{"iss": PROVIDER, "aud": "calcinosis", "sub": "dr-1", **claims})

    path = "/api/v1/knowledge/types"
    good = bearer()
    assert [ask(guarded, good, path).status_code for _ in range(2)] == [200, 200]
    for wrong in (
        None, "x", bearer(iss=ISSUER), bearer(aud="another"), bearer(exp=NOW - 999), bearer(nbf=int(time.time()) + 999), token(EC, path=path),
        token(rsa_key("idp"), header={"alg": "RS256"}, iss=PROVIDER, aud="calcinosis"),
    ):  # fmt: skip
        assert ask(guarded, wrong, path).status_code == 401
    assert ask(guarded, good).status_code == 401, "a token of the provider is none of a CDS client"


def test_metrics_need_their_token_and_health_needs_none(guarded: TestClient) -> None:
    assert ask(guarded, None, "/metrics").status_code == 401
    assert ask(guarded, "wrong", "/metrics").status_code == 401
    assert ask(guarded, "for-prometheus", "/metrics").status_code == 200
    assert ask(guarded, None, "/health/live").status_code == 200
    assert ask(guarded, None, "/health/ready").status_code == 200


def test_the_audit_log_names_the_client(guarded: TestClient) -> None:
    ask(guarded, token(EC))
    path: Path = guarded.app.state.settings.audit_log  # type: ignore[attr-defined]
    assert json.loads(path.read_text().splitlines()[-1])["who"] == f"cds:{ISSUER}"


# --- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "hospital.example"])
def test_beyond_loopback_it_refuses_to_start_without_authentication(host: str) -> None:
    with pytest.raises(ValidationError, match="authentication is needed"):
        Settings(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_it_needs_none(host: str) -> None:
    assert not Settings(host=host).authenticates


@pytest.mark.parametrize(
    "wrong",
    [
        {"fhir_servers": ["http://fhir.example.org"]}, {"fhir_servers": ["ftp://127.0.0.1"]}, {"fhir_servers": ["https://user:pw@fhir.example"]},
        {"oidc_issuer": "https://idp.example"}, {"oidc_issuer": "http://idp.example", "oidc_audience": "x"},
        {"cds_clients": [{"iss": "x"}]}, {"cds_clients": [{"iss": "x", "jku": "http://ehr.example/jwks"}]},
    ],
    ids=str,
)  # fmt: skip
def test_unsafe_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


# --- rate --------------------------------------------------------------------------------------------


def test_each_client_has_its_own_rate() -> None:
    rate = RateLimit(10, 2)
    rate.take("a", 0.0)
    rate.take("a", 0.0)
    with pytest.raises(ProblemError) as refused:
        rate.take("a", 0.0)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    rate.take("b", 0.0)
    rate.take("a", 0.11)


def test_beyond_the_rate_is_429(tmp_path: Path) -> None:
    with TestClient(make_app(Settings(workers=0, requests_per_second=1, burst=3, audit_log=tmp_path / "a")), base_url="http://127.0.0.1") as client:
        statuses = [client.get("/cds-services").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/health/live").status_code == 200
