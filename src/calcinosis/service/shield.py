"""The outermost layer: security headers on every response, no traceback to anybody, one line in the audit log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calcinosis.service.audit import AuditLog, where
from calcinosis.service.metrics import Metrics
from calcinosis.service.problems import ErrorPage, problem

_log = logging.getLogger("calcinosis.service")

CONTENT_SECURITY_POLICY: Final = (  # everything from this origin or nowhere; the pages need no more
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_HUNG_UP: Final = 499  # as proxies count it: the client closed the connection before its request was complete
_UNAUDITED: Final = ("health", "metrics", "static/{name}")


class Shield:
    def __init__(
        self, app: ASGIApp, *, audit: AuditLog, metrics: Metrics, page: ErrorPage, frame_ancestors: Sequence[str] = ()
    ) -> None:  # fmt: skip
        self._app, self._audit, self._metrics, self._page = app, audit, metrics, page
        ancestors = " ".join(frame_ancestors) or "'none'"
        self._headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors=ancestors), **_HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        scope.setdefault("state", {})
        status = 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")  # a page or a static file may say otherwise
            await send(message)

        try:
            await self._app(scope, receive, answered)
        except ClientDisconnect:
            status = status or _HUNG_UP  # nobody is left to answer, and nothing broke here
        except Exception as error:
            _log.error("unhandled: %s", where(error))
            if status == 0:
                await self._broken(scope)(scope, receive, answered)
        finally:
            seconds = time.perf_counter() - start
            service = _service(scope)
            self._metrics.requests.labels(service, str(status)).inc()
            self._metrics.seconds.labels(service).observe(seconds)
            if service not in _UNAUDITED:
                who = str(scope["state"].get("client", "unauthenticated"))
                self._audit.write(who=who, service=service, method=scope["method"], status=status, milliseconds=seconds * 1000)

    def _broken(self, scope: Scope) -> Response:
        """Says that something broke, and never breaks itself."""
        try:
            found = self._page(Request(scope), 500, None, None)
        except Exception as error:
            _log.error("no page for an error: %s", where(error))
            found = None
        return found or problem(500, "internal error")


def _service(scope: Scope) -> str:
    """The route as declared, never the address as asked: that may hold anything."""
    route = scope.get("route")
    path = str(getattr(route, "path", "unknown")).strip("/")
    return "health" if path.startswith("health") else path or "root"
