"""The client's side of SMART App Launch 2.2: discovery, the authorization request, the token, and who signed in.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html. Only configured servers are spoken to, over https beyond loopback, without
redirects, in bounded time and size.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus, urlencode, urljoin, urlsplit, urlunsplit
from uuid import uuid4

import httpx2 as httpx
import orjson
from joserfc import jwt

from calcinosis.service.audit import where
from calcinosis.service.bounded import TooLarge, read_at_most
from calcinosis.service.jwt import Claims, KeySource, Rejected, verify_id_token
from calcinosis.service.no_cookies import no_cookies
from calcinosis.service.settings import Settings, SmartServer, is_loopback, is_safe_url
from calcinosis.service.smart_keys import algorithm, read_private_key
from calcinosis.service.smart_scopes import wanted
from calcinosis.service.smart_state import Launch

_log = logging.getLogger("calcinosis.service")
Json = dict[str, Any]

_CONFIGURATION: Final = "/.well-known/smart-configuration"
_FRESH: Final = 300.0  # seconds that a discovery document is kept
_AGAIN: Final = 5.0  # a server that did not answer is not asked more often than this
_MOST_BYTES: Final = 256_000
_ASSERTION_LIFE: Final = 240  # seconds; the specification allows five minutes
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SAID: Final = 200
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")


class Failed(Exception):
    """The server's side of the launch went wrong; the message is for the clinician and quotes no token."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a server says of itself, as far as a launch needs it."""

    authorization_endpoint: str
    token_endpoint: str
    issuer: str | None
    jwks_uri: str | None
    capabilities: tuple[str, ...]
    names_itself: bool  # RFC 9207: every callback carries ``iss``
    post_only: bool  # takes the client's secret in the body alone


@dataclass(frozen=True, slots=True)
class Granted:
    """A token response that passed every check."""

    token: str
    patient: str
    scopes: str
    user: str | None
    app_context: str | None


class SmartClient:
    def __init__(self, settings: Settings) -> None:
        self.redirect_uri = f"{settings.base_url}/smart/callback"
        self._servers = {server.issuer: server for server in settings.smart}
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.fhir_seconds), follow_redirects=False, trust_env=False, cookies=no_cookies()
        )
        self._known: dict[str, tuple[float, Configuration | None]] = {}
        self._locks = {issuer: asyncio.Lock() for issuer in self._servers}
        self._key_sources: dict[str, KeySource] = {}
        self._secrets = {s.issuer: s.client_secret_file.read_text("utf-8").strip() for s in settings.smart if s.client_secret_file}
        self._private = {s.issuer: read_private_key(s.private_key_file) for s in settings.smart if s.private_key_file}

    def server(self, issuer: str) -> SmartServer | None:
        """The configured server of exactly this name."""
        return self._servers.get(issuer)

    def public_keys(self) -> Json:
        """The JWK Set that an EHR reads to verify our assertions."""
        keys = {key.kid: key for key in self._private.values()}
        return {"keys": [key.as_dict(private=False, use="sig", alg=algorithm(key)) for key in keys.values()]}

    # --- discovery -----------------------------------------------------------------------------------

    async def configuration(self, server: SmartServer) -> Configuration:
        """Raises:
        Failed: it says nothing, or not what SMART 2 asks for.
        """
        async with self._locks[server.issuer]:
            asked, known = self._known.get(server.issuer, (float("-inf"), None))
            age = time.monotonic() - asked
            if known is not None and age < _FRESH:
                return known
            if known is None and age < _AGAIN:
                raise Failed("The server's SMART configuration cannot be read.")
            self._known[server.issuer] = (time.monotonic(), None)
            base = server.issuer.rstrip("/")
            status, document = await self._json("GET", base + _CONFIGURATION, headers={"Accept": "application/json"})
            if status != httpx.codes.OK:
                raise Failed("The server's SMART configuration cannot be read.")
            found = _configuration(document, server.issuer)
            self._known[server.issuer] = (time.monotonic(), found)
            return found

    # --- authorization -------------------------------------------------------------------------------

    def scopes(self, server: SmartServer, told: Configuration, kinds: Iterable[str], *, standalone: bool) -> str:
        return wanted(kinds, told.capabilities, standalone=standalone, configured=server.scopes)

    def authorization_url(self, server: SmartServer, told: Configuration, launch: Launch, token: str | None) -> str:
        """Where the browser goes next. ``token`` is the ``launch`` parameter of an EHR launch."""
        asked = {
            "response_type": "code", "client_id": server.client_id, "redirect_uri": self.redirect_uri, "scope": launch.scopes,
            "state": launch.state, "aud": server.issuer, "code_challenge": launch.challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        if token is not None:
            asked["launch"] = token
        if "openid" in launch.scopes.split():
            asked["nonce"] = launch.nonce
        parts = urlsplit(told.authorization_endpoint)
        kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in asked]
        return urlunsplit(parts._replace(query=urlencode([*kept, *asked.items()])))

    def check_sender(self, server: SmartServer, told: Configuration, iss: str | None) -> None:
        """Whether the callback comes from the server that was asked (RFC 9207), where it says so.

        Raises:
            Rejected: it comes from another one.
        """
        if iss is None:
            if told.names_itself:
                raise Rejected("iss is missing from the callback")
        elif iss != (told.issuer or server.issuer):
            raise Rejected("the callback comes from another server than the one that was asked")

    # --- token ---------------------------------------------------------------------------------------

    async def exchange(self, server: SmartServer, told: Configuration, launch: Launch, code: str) -> Granted:
        """The code for a token.

        Raises:
            Failed: the server refuses, or answers with less than SMART asks for.
            Rejected: the id_token is not for this launch.
        """
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri, "code_verifier": launch.verifier,
        }  # fmt: skip
        headers = {"Accept": "application/json"}
        self._authenticate(server, told, form, headers)
        status, document = await self._json("POST", told.token_endpoint, headers=headers, data=form)
        if status != httpx.codes.OK:
            raise Failed(f"The server gave no token{_reason(document)}.")
        token = document.get("access_token")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise Failed("The server's answer holds no token.")
        if str(document.get("token_type", "")).lower() != "bearer":
            raise Failed("The server's token is not a bearer token.")
        scopes = document.get("scope", launch.scopes)  # left out: as asked (RFC 6749, 5.1)
        if not isinstance(scopes, str):
            raise Failed("The server does not say which access it grants.")
        user = await self._user(server, told, launch, scopes, document.get("id_token"))
        patient = document.get("patient")
        if not isinstance(patient, str) or not _is_id(patient):
            raise Failed("The server does not say which patient the launch is about. Open a patient first, then launch again.")
        context = document.get("appContext")
        return Granted(token, patient, scopes, user, context if isinstance(context, str) else None)

    def _authenticate(self, server: SmartServer, told: Configuration, form: dict[str, str], headers: dict[str, str]) -> None:
        if (key := self._private.get(server.issuer)) is not None:
            now = int(time.time())
            claims = {
                "iss": server.client_id, "sub": server.client_id, "aud": told.token_endpoint, "iat": now, "exp": now + _ASSERTION_LIFE,
                "jti": str(uuid4()),
            }  # fmt: skip
            header = {"alg": algorithm(key), "kid": key.kid, "typ": "JWT"}
            form |= {"client_assertion_type": _ASSERTION, "client_assertion": jwt.encode(header, claims, key, algorithms=[algorithm(key)])}
        elif (secret := self._secrets.get(server.issuer)) is not None and not told.post_only:
            pair = f"{quote_plus(server.client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = server.client_id
            if secret is not None:
                form["client_secret"] = secret

    async def _user(self, server: SmartServer, told: Configuration, launch: Launch, scopes: str, token: Any) -> str | None:
        """The ``sub`` of who signed in, if that was asked and granted."""
        if "openid" not in launch.scopes.split() or "openid" not in scopes.split():
            return None
        if not isinstance(token, str) or told.issuer is None or told.jwks_uri is None:
            raise Failed("The server does not say who signed in.")
        keys = self._key_sources.setdefault(told.jwks_uri, KeySource(url=told.jwks_uri, http=self._http))
        claims: Claims = await verify_id_token(
            token, issuer=told.issuer, client_id=server.client_id, nonce=launch.nonce, keys=keys, now=time.time()
        )
        return str(claims["sub"])

    # --- the wire ------------------------------------------------------------------------------------

    async def _json(self, method: str, url: str, **sent: Any) -> tuple[int, Json]:
        """Status and JSON object of an answer; an error may have no JSON.

        Raises:
            Failed: no answer, or none that can be read.
        """
        try:
            async with self._http.stream(method, url, **sent) as response:
                body = await read_at_most(response, _MOST_BYTES)
                status = response.status_code
        except TooLarge:
            raise Failed("The server's answer is too large.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.warning("a SMART server did not answer: %s", where(error))
            raise Failed("The server does not answer.") from None
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            document = None
        if status == httpx.codes.OK and not isinstance(document, dict):
            raise Failed("The server's answer cannot be read.")
        return status, document if isinstance(document, dict) else {}

    async def close(self) -> None:
        await self._http.aclose()


def _configuration(document: Json, base: str) -> Configuration:
    capabilities = _words(document, "capabilities")
    if "S256" not in _words(document, "code_challenge_methods_supported"):
        raise Failed("The server does not offer PKCE with S256, which SMART 2 asks for.")
    methods = _words(document, "token_endpoint_auth_methods_supported")
    authorization, token = (_endpoint(document, name, base) for name in ("authorization_endpoint", "token_endpoint"))
    if authorization is None or token is None:
        raise Failed("The server's SMART configuration names no endpoint that may be used.")
    issuer = document.get("issuer")
    return Configuration(
        authorization, token, issuer if isinstance(issuer, str) else None, _endpoint(document, "jwks_uri", base), capabilities,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        post_only="client_secret_post" in methods and "client_secret_basic" not in methods,
    )  # fmt: skip


def _endpoint(document: Json, name: str, base: str) -> str | None:
    """An absolute address; a server elsewhere cannot send us to this machine."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        return None
    address = urljoin(base.rstrip("/") + "/", value)
    if not is_safe_url(address):
        return None
    here, there = (is_loopback(urlsplit(each).hostname or "") for each in (address, base))
    return address if there or not here else None


def _words(document: Json, name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _is_id(text: str) -> bool:
    """FHIR's ``id``, so that it can stand in a search."""
    return bool(_ID.fullmatch(text)) and text not in (".", "..")


def _reason(document: Json) -> str:
    """What a token endpoint says of its refusal (RFC 6749, 5.2)."""
    parts = [document.get(name) for name in ("error", "error_description")]
    said = ": ".join(" ".join(part.split())[:_SAID] for part in parts if isinstance(part, str) and part.strip())
    return f" ({said})" if said else ""
