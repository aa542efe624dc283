"""Which names the service answers to, and which scripts of other sites may call it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from calcinosis.service.problems import problem

CDS = "/cds-services"


class KnownHosts:
    """Refuses a request under another name: without authentication, a page of any site could reach the service by a name of its own."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _name(Headers(scope=scope).get("host", "")) not in self._hosts:
            await problem(421, "this service does not answer to that name")(scope, receive, send)
            return
        await self._app(scope, receive, send)


class CdsCors:
    """CORS for the CDS services alone: no page, and no cohort, is for the scripts of another site."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["Authorization", "Content-Type"]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = scope["type"] == "http" and (scope["path"] == CDS or scope["path"].startswith(CDS + "/"))
        await (self._shared if shared else self._app)(scope, receive, send)


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
