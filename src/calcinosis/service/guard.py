"""Lets a request in: authenticates it where that is required, and keeps its client to its rate."""

from __future__ import annotations

import hmac
from typing import Literal

import httpx2 as httpx
from fastapi import Depends, Request

from calcinosis.service.jwt import CdsVerifier, Claims, OidcVerifier, Rejected
from calcinosis.service.limits import RateLimit
from calcinosis.service.no_cookies import no_cookies
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings

Surface = Literal["cds", "api", "metrics"]


class Guard:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(5.0), follow_redirects=False, trust_env=False, cookies=no_cookies())
        self._cds = CdsVerifier(settings, self._http) if settings.cds_clients else None
        self._oidc = OidcVerifier(settings, self._http) if settings.oidc_issuer else None
        self._rate = RateLimit(settings.requests_per_second, settings.burst)

    async def admit(self, request: Request, surface: Surface) -> str:
        """The name of the client, for the audit log.

        Raises:
            ProblemError: 401 or 429.
        """
        address = _address(request)
        client = address
        if self._settings.authenticates:
            try:
                client = await self._named(request, surface)
            except Rejected as error:
                self._rate.take(address)
                challenge = 'Bearer error="invalid_token"' if "authorization" in request.headers else "Bearer"
                raise ProblemError(401, f"not authenticated: {error}", headers={"WWW-Authenticate": challenge}) from None
        request.state.client = client
        self._rate.take(client)
        return client

    def visit(self, request: Request) -> None:
        """Lets in somebody whom another server will vouch for; only the rate is kept.

        Raises:
            ProblemError: 429.
        """
        request.state.client = _address(request)
        self._rate.take(request.state.client)

    async def _named(self, request: Request, surface: Surface) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Rejected("send a bearer token")
        if surface == "metrics" and self._settings.metrics_token:
            if hmac.compare_digest(token.encode(), self._settings.metrics_token.encode()):
                return "metrics"
            raise Rejected("not the token for metrics")
        if surface == "cds":
            if self._cds is None:
                raise Rejected("no CDS client is configured")
            claims = await self._cds.verify(token, request.url.path)
            return f"cds:{claims['iss']}"
        if self._oidc is None:
            raise Rejected("no OpenID provider is configured")
        claims = await self._oidc.verify(token)
        request.state.rights = _rights(claims)
        return f"oidc:{claims.get('sub', 'unknown')}"

    async def close(self) -> None:
        await self._http.aclose()


def _rights(claims: Claims) -> frozenset[str]:
    """What a token says its holder may do or belongs to, by the names that OAuth (RFC 9068) and providers use."""
    found: set[str] = set()
    for name in ("scope", "scp", "roles", "groups"):
        value = claims.get(name)
        listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
        found.update(each for each in listed if isinstance(each, str))
    return frozenset(found)


def _address(request: Request) -> str:
    return f"ip:{request.client.host}" if request.client else "ip:unknown"


async def _cds(request: Request) -> None:
    await request.app.state.guard.admit(request, "cds")


async def _api(request: Request) -> None:
    await request.app.state.guard.admit(request, "api")


async def _cohort_reader(request: Request) -> None:
    """Whoever may read about every patient of a cohort, not of one."""
    await request.app.state.guard.admit(request, "api")
    wanted = request.app.state.settings.cohort_readers
    if wanted and getattr(request.state, "rights", frozenset()).isdisjoint(wanted):
        raise ProblemError(403, "cohorts are open to fewer people than this service: your token holds none of the rights they ask for")


async def _reader(request: Request) -> None:
    """A reader of the knowledge, which is about nobody. Whom a launch let in has no token of ours, and shall read it too."""
    guard: Guard = request.app.state.guard
    if request.app.state.settings.smart and "authorization" not in request.headers:
        guard.visit(request)
    else:
        await guard.admit(request, "api")


async def _metrics(request: Request) -> None:
    await request.app.state.guard.admit(request, "metrics")


cds_client = Depends(_cds)
api_client = Depends(_api)
cohort_reader = Depends(_cohort_reader)
knowledge_reader = Depends(_reader)
metrics_client = Depends(_metrics)
__all__ = ["Guard", "api_client", "cds_client", "cohort_reader", "knowledge_reader", "metrics_client"]
