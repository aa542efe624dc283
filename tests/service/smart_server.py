"""An EHR for the tests of the SMART launch: authorization server and FHIR R4 server in one, as strict as the specification allows.

SMART App Launch 2.2 (https://hl7.org/fhir/smart-app-launch/STU2.2/). Every request that breaks a rule of the specification is refused, and
the rule is written down in ``Ehr.broken``, so that a test can demand that there is none. ``Ehr.faults`` makes the server itself misbehave.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import uvicorn
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry
from served import CASES
from smart_fhir import RESOURCE_SCOPE, Broken, FhirSide, once
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Json = dict[str, Any]

OTHER_SCOPES = frozenset({"openid", "profile", "fhirUser", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"})
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CODE_SECONDS = 60
PRACTITIONER = "Practitioner/dr-frost"


@dataclass
class Client:
    """A registration."""

    client_id: str
    redirect_uri: str
    secret: str | None = None
    jwks: Callable[[], Json] | None = None  # asked at each use, as a JWKS URL would be


@dataclass
class Faults:
    """What the server does wrong, or differently, on purpose."""

    configuration: Callable[[Json], Json] = lambda document: document
    callback: Callable[[dict[str, str]], dict[str, str]] = lambda parameters: parameters
    token: Callable[[Json], Json] = lambda document: document
    token_error: tuple[int, Json] | None = None
    id_claims: Callable[[Json], Json] = lambda claims: claims
    id_header: Json = field(default_factory=dict)
    id_key: Any = None
    grant: Callable[[str], str] = lambda scope: scope
    search: Callable[[str, dict[str, str]], Response | None] = lambda _kind, _query: None
    bundle: Callable[[str, Json], Json] = lambda _kind, bundle: bundle


class Ehr(FhirSide):
    """State and rules; ``app`` is the server."""

    def __init__(self, *, page: int = 3, algorithm: str = "ES256", version_1: bool = False, names_itself: bool = True) -> None:
        self.base = ""  # set when it is served
        self.fhir_version = "4.0.1"
        self.page, self.algorithm, self.version_1, self.names_itself = page, algorithm, version_1, names_itself
        parameters = {"kid": "ehr-1", "use": "sig"}
        curve = {"ES256": "P-256", "ES384": "P-384"}
        self.key: Any = ECKey.generate_key(curve[algorithm], parameters=parameters) if algorithm in curve else RSAKey.generate_key(2048, parameters=parameters)
        self.clients: dict[str, Client] = {}
        self.records: dict[str, list[Json]] = {}
        self.launches: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self.codes: dict[str, Json] = {}
        self.tokens: dict[str, Json] = {}
        self.pages: dict[str, tuple[str, list[Json], int]] = {}
        self.used_jti: set[str] = set()
        self.broken: list[str] = []
        self.searched: list[str] = []
        self.faults = Faults()
        self.app = Starlette(
            routes=[
                Route("/fhir/.well-known/smart-configuration", self.configuration),
                Route("/fhir/metadata", self.metadata),
                Route("/fhir/{kind}", self.fhir_search),
                Route("/fhir/{kind}/{key}", self.fhir_read),
                Route("/page/{token}", self.next_page),
                Route("/auth/authorize", self.authorize, methods=["GET", "POST"]),
                Route("/auth/decide", self.decide, methods=["POST"]),
                Route("/auth/token", self.token, methods=["POST"]),
                Route("/auth/jwks", self.jwks),
                Route("/chart/{patient}", self.chart),
                Route("/favicon.ico", lambda _: Response(status_code=204)),  # browsers ask for it
            ]
        )

    def register(self, client: Client) -> None:
        self.clients[client.client_id] = client

    def hold(self, names: Sequence[str]) -> None:
        """Published cases as records."""
        for name in names:
            bundle = json.loads((CASES / f"{name}.json").read_bytes())
            resources = [entry["resource"] for entry in bundle["entry"]]
            patient = next(each for each in resources if each["resourceType"] == "Patient")
            patient.setdefault("name", [{"use": "official", "family": "Testperson", "given": [name.upper()]}])
            self.records[patient["id"]] = resources

    def begin_launch(self, patient: str, **context: Any) -> str:
        """What the EHR does when somebody clicks the app in a chart; the value of ``launch``."""
        token = secrets.token_urlsafe(16)
        self.launches[token] = {"patient": patient, **context}
        return token

    # --- discovery -----------------------------------------------------------------------------------

    async def configuration(self, _: Request) -> Response:
        permissions = ["permission-v1"] if self.version_1 else ["permission-v2"]
        document = {
            "issuer": self.base, "jwks_uri": f"{self.base}/auth/jwks", "authorization_endpoint": f"{self.base}/auth/authorize",
            "token_endpoint": f"{self.base}/auth/token", "grant_types_supported": ["authorization_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "code_challenge_methods_supported": ["S256"], "response_types_supported": ["code"],
            "authorization_response_iss_parameter_supported": self.names_itself,
            "capabilities": [
                "launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric", "client-confidential-asymmetric",
                "sso-openid-connect", "context-ehr-patient", "context-standalone-patient", "permission-patient", "authorize-post", *permissions,
            ],
        }  # fmt: skip
        return JSONResponse(self.faults.configuration(document))

    async def metadata(self, _: Request) -> Response:
        """Where older clients look: the extension that SMART 1 asked for."""
        uris = [{"url": name, "valueUri": f"{self.base}/auth/{path}"} for name, path in (("authorize", "authorize"), ("token", "token"))]
        extension = {"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": uris}
        coding = [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}]
        kinds = sorted({each["resourceType"] for record in self.records.values() for each in record})
        return JSONResponse(
            {
                "resourceType": "CapabilityStatement", "status": "active", "date": "2026-01-01", "kind": "instance", "fhirVersion": self.fhir_version,
                "format": ["application/fhir+json"],
                "rest": [{"mode": "server", "security": {"extension": [extension], "service": [{"coding": coding}]},
                          "resource": [{"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}]} for kind in kinds]}],
            },
            media_type="application/fhir+json",
        )  # fmt: skip

    async def jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    # --- authorization -------------------------------------------------------------------------------

    async def authorize(self, request: Request) -> Response:
        pairs = request.query_params.multi_items() if request.method == "GET" else await self._form(request)
        try:
            asked = once(pairs)
            client = self.clients.get(asked.get("client_id", ""))
            if client is None:
                raise Broken("unauthorized_client", "client_id is not registered")
            if asked.get("redirect_uri") != client.redirect_uri:
                raise Broken("invalid_request", "redirect_uri is not the registered one")
        except Broken as broken:  # never redirected (RFC 6749, 4.1.2.1)
            return self._refused(broken)
        try:
            context = self._check_authorization(asked)
        except Broken as broken:
            self.broken.append(broken.rule)
            back = {"error": broken.error, "error_description": broken.rule, "state": asked.get("state", "")}
            return RedirectResponse(f"{client.redirect_uri}?{urlencode(back)}", status_code=302)
        session = secrets.token_urlsafe(16)
        self.sessions[session] = {"asked": asked, "context": context}
        return HTMLResponse(self._consent(session, client, context))

    def _check_authorization(self, asked: dict[str, str]) -> Json:
        """The launch context, or None where a patient must be picked."""
        if asked.get("response_type") != "code":
            raise Broken("unsupported_response_type", "response_type must be code")
        if not re.fullmatch(r"[A-Za-z0-9_-]{21,}", asked.get("state", "")):  # 21 letters of 64 hold 126 bits
            raise Broken("invalid_request", "state must be unpredictable, with at least 122 bits")
        if asked.get("aud") != self.fhir:
            raise Broken("invalid_request", "aud must be the FHIR base URL")
        if asked.get("code_challenge_method") != "S256" or not re.fullmatch(r"[A-Za-z0-9_-]{43}", asked.get("code_challenge", "")):
            raise Broken("invalid_request", "PKCE with S256 is required")
        scopes = asked.get("scope", "").split()
        for scope in scopes:
            match = RESOURCE_SCOPE.fullmatch(scope)
            if match is None and scope not in OTHER_SCOPES:
                raise Broken("invalid_scope", "a scope is not of SMART")
            if match and match[3] in ("read", "write", "*") and not self.version_1:
                raise Broken("invalid_scope", "a scope of version 1, and only version 2 is offered")
            if match and match[3] not in ("read", "write", "*") and self.version_1:
                raise Broken("invalid_scope", "a scope of version 2, and only version 1 is offered")
        if not any(RESOURCE_SCOPE.fullmatch(scope) for scope in scopes):
            raise Broken("invalid_scope", "no access to data is asked for")
        if "fhirUser" in scopes and "openid" not in scopes:
            raise Broken("invalid_scope", "fhirUser without openid")
        if "launch" in asked:
            if "launch" not in scopes:
                raise Broken("invalid_scope", "an EHR launch asks for the scope launch")
            if asked["launch"] not in self.launches:
                raise Broken("invalid_request", "launch is not one of this EHR")
            return self.launches.pop(asked["launch"])
        if "launch" in scopes:
            raise Broken("invalid_request", "the scope launch without the parameter launch")
        if "launch/patient" not in scopes:
            raise Broken("invalid_scope", "a standalone launch with patient scopes asks for launch/patient")
        return {"patient": None}

    def _consent(self, session: str, client: Client, context: Json) -> str:
        """What somebody at the EHR sees: sign-in is taken as done, the patient is picked where there is none."""
        choices = [context["patient"]] if context["patient"] else sorted(self.records)
        options = "".join(f"<option value='{escape(key)}'>{escape(key)}</option>" for key in choices)
        return (
            f"<!DOCTYPE html><html lang='en'><head><title>Test EHR</title></head><body><h1>Test EHR</h1>"
            f"<p>{escape(client.client_id)} wants to read a record.</p><form method='post' action='/auth/decide'>"
            f"<input type='hidden' name='session' value='{session}'>"
            f"<label>Patient <select name='patient'>{options}</select></label>"
            f"<button name='allow' value='yes'>Allow</button> <button name='allow' value='no'>Decline</button></form></body></html>"
        )

    async def decide(self, request: Request) -> Response:
        form = once(await self._form(request))
        session = self.sessions.pop(form["session"])
        asked, context = session["asked"], {**session["context"], "patient": form.get("patient") or session["context"]["patient"]}
        back = {"state": asked["state"]} | ({"iss": self.base} if self.names_itself else {})
        if form.get("allow") != "yes":
            back |= {"error": "access_denied", "error_description": "declined by the user"}
        else:
            code = secrets.token_urlsafe(24)
            scope = self.faults.grant(asked["scope"])
            self.codes[code] = {"asked": asked, "context": context, "scope": scope, "until": time.time() + CODE_SECONDS, "token": None}
            back["code"] = code
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(self.faults.callback(back))}", status_code=302)

    # --- token ---------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        try:
            form = once(await self._form(request))
            document = self._token(form, request.headers.get("authorization"))
        except Broken as broken:
            self.broken.append(broken.rule)
            return JSONResponse({"error": broken.error, "error_description": broken.rule}, status_code=broken.status, headers=headers)
        if self.faults.token_error is not None:
            status, said = self.faults.token_error
            return JSONResponse(said, status_code=status, headers=headers)
        return JSONResponse(self.faults.token(document), headers=headers)

    def _token(self, form: dict[str, str], authorization: str | None) -> Json:
        if form.get("grant_type") != "authorization_code":
            raise Broken("unsupported_grant_type", "grant_type must be authorization_code")
        held = self.codes.get(form.get("code", ""))
        if held is None:
            raise Broken("invalid_grant", "the code is not known")
        if held["token"] is not None:
            self.tokens.pop(held["token"], None)  # RFC 6749, 4.1.2: revoke what was given for it
            raise Broken("invalid_grant", "the code was used before")
        client = self._authenticated(form, authorization, held["asked"]["client_id"])
        if held["until"] < time.time():
            raise Broken("invalid_grant", "the code has expired")
        if client.client_id != held["asked"]["client_id"]:
            raise Broken("invalid_grant", "the code was given to another client")
        if form.get("redirect_uri") != held["asked"]["redirect_uri"]:
            raise Broken("invalid_grant", "redirect_uri is not the one of the authorization request")
        verifier = form.get("code_verifier", "")
        if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
            raise Broken("invalid_request", "code_verifier is not of RFC 7636")
        if urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode() != held["asked"]["code_challenge"]:
            raise Broken("invalid_grant", "code_verifier does not fit the challenge")
        token = held["token"] = secrets.token_urlsafe(32)
        self.tokens[token] = {"scope": held["scope"], "patient": held["context"]["patient"], "until": time.time() + 300}
        document = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": held["scope"], "need_patient_banner": True}
        document |= {name: value for name, value in held["context"].items() if value is not None}
        if "openid" in held["scope"].split():
            document["id_token"] = self._id_token(held["asked"], client)
        return document

    def _authenticated(self, form: dict[str, str], authorization: str | None, owner: str) -> Client:
        """The client, authenticated as it is registered and in no other way."""
        if "client_assertion" in form:
            return self._asserted(form, owner)
        if authorization is not None:
            if "client_secret" in form:
                raise Broken("invalid_request", "two ways to authenticate at once")
            scheme, _, value = authorization.partition(" ")
            if scheme.lower() != "basic":
                raise Broken("invalid_client", "authenticate with Basic", 401)
            key, _, secret = b64decode(value, validate=True).decode().partition(":")
            client = self.clients.get(unquote_plus(key))
            if client is None or client.secret is None or not secrets.compare_digest(client.secret, unquote_plus(secret)):
                raise Broken("invalid_client", "wrong secret", 401)
            return client
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            raise Broken("invalid_client", "a public client sends its client_id", 401)
        if client.secret is not None or client.jwks is not None:
            raise Broken("invalid_client", "this client is confidential and must authenticate", 401)
        return client

    def _asserted(self, form: dict[str, str], owner: str) -> Client:
        client = self.clients[owner]
        if form.get("client_assertion_type") != ASSERTION or client.jwks is None:
            raise Broken("invalid_client", "no assertion of this type is expected", 401)
        keys = KeySet.import_key_set(client.jwks())
        assertion = form["client_assertion"]
        registry = JWSRegistry(algorithms=["RS384", "ES384"], strict_check_header=True)
        try:
            decoded = jwt.decode(assertion, keys, algorithms=["RS384", "ES384"], registry=registry)
        except Exception as error:
            raise Broken("invalid_client", f"the assertion does not verify: {type(error).__name__}", 401) from None
        header, claims, now = decoded.header, decoded.claims, time.time()
        if header.get("typ") != "JWT" or not header.get("kid"):
            raise Broken("invalid_client", "the assertion needs typ JWT and kid", 401)
        if claims.get("iss") != owner or claims.get("sub") != owner:
            raise Broken("invalid_client", "iss and sub must be the client_id", 401)
        if claims.get("aud") != f"{self.base}/auth/token":
            raise Broken("invalid_client", "aud must be the token URL", 401)
        if not isinstance(claims.get("exp"), int) or not now < claims["exp"] <= now + 300:
            raise Broken("invalid_client", "exp must be at most five minutes in the future", 401)
        if not claims.get("jti") or claims["jti"] in self.used_jti:
            raise Broken("invalid_client", "jti is missing or was used before", 401)
        self.used_jti.add(claims["jti"])
        return client

    def _id_token(self, asked: dict[str, str], client: Client) -> str:
        now = int(time.time())
        claims = {
            "iss": self.base, "sub": "dr-frost", "aud": client.client_id, "exp": now + 300, "iat": now, "nonce": asked.get("nonce"),
            "fhirUser": f"{self.fhir}/{PRACTITIONER}",
        }  # fmt: skip
        claims = {name: value for name, value in self.faults.id_claims(claims).items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT", **self.faults.id_header}
        header = {name: value for name, value in header.items() if value is not None}
        key = self.faults.id_key or self.key
        if header["alg"] == "none":
            parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
            return ".".join([*parts, ""])
        registry = JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
        return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[header["alg"]], registry=registry)

    # --- pieces --------------------------------------------------------------------------------------

    async def chart(self, request: Request) -> Response:
        """A page of the EHR from which apps are launched, in a window of their own or in a frame."""
        patient = request.path_params["patient"]
        client = next(iter(self.clients.values()))
        address = client.redirect_uri.replace("/callback", "/launch")
        query = urlencode({"iss": self.fhir, "launch": self.begin_launch(patient)})
        framed = f"<iframe title='App' src='{address}?{escape(query)}' width='1000' height='800'></iframe>" if "framed" in request.query_params else ""
        return HTMLResponse(
            f"<!DOCTYPE html><html lang='en'><head><title>Chart</title></head><body><h1>Chart of {escape(patient)}</h1>"
            f"<a href='{address}?{escape(query)}'>calcinosis</a>{framed}</body></html>"
        )

    async def _form(self, request: Request) -> list[tuple[str, str]]:
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            raise Broken("invalid_request", "send application/x-www-form-urlencoded")
        return parse_qsl((await request.body()).decode(), keep_blank_values=True, strict_parsing=True)

    def _refused(self, broken: Broken) -> Response:
        self.broken.append(broken.rule)
        return HTMLResponse(f"<h1>{escape(broken.rule)}</h1>", status_code=400)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application on a free port of loopback; yields the base URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def ehr_serving(ehr: Ehr) -> Iterator[Ehr]:
    with serving(ehr.app) as base:
        ehr.base = base
        yield ehr
