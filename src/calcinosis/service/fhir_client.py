"""Asks the EHR's FHIR server for what a prefetch lacks, with the token that the call brought.

Only servers on the list are asked, over https beyond loopback, without redirects; pages, bytes and time are bounded. A search that fails
leaves its data unknown; it never fails the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import orjson

from calcinosis.service.audit import where
from calcinosis.service.no_cookies import no_cookies
from calcinosis.service.searchset import entries_of, falls_short, next_page, says_failed
from calcinosis.service.settings import Settings, is_safe_url

_log = logging.getLogger("calcinosis.service")
Json = dict[str, Any]


class TooMuch(Exception):
    """An answer beyond the bounds, or only a part of one."""


class FhirClient:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowed = {url.rstrip("/") for url in (*settings.fhir_servers, *(server.issuer for server in settings.smart))}
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.fhir_seconds), follow_redirects=False, trust_env=False,
            limits=httpx.Limits(max_connections=40), headers={"Accept": "application/fhir+json"},
            cookies=no_cookies(),
        )  # fmt: skip

    def allows(self, server: str) -> bool:
        return server.rstrip("/") in self._allowed and is_safe_url(server)

    async def fetch(self, server: str, token: str, queries: Mapping[str, str], *, seconds: float | None = None) -> dict[str, Json]:
        """Key -> the resource or searchset; keys that could not be had, in full and in time, are left out."""
        if not queries or not self.allows(server) or not token.isascii() or not token.isprintable():
            return {}
        base = server.rstrip("/") + "/"
        searches = {key: asyncio.create_task(self._one(base, token, query)) for key, query in queries.items()}
        try:
            done, _ = await asyncio.wait(searches.values(), timeout=seconds or self._settings.fhir_seconds)
        finally:
            for search in searches.values():
                search.cancel()
        found = {key: search.result() for key, search in searches.items() if search in done}
        return {key: value for key, value in found.items() if value is not None}

    async def _one(self, base: str, token: str, query: str) -> Json | None:
        try:
            return await self._pages(base, token, query)
        except (httpx.HTTPError, httpx.InvalidURL, TooMuch, ValueError) as error:
            _log.warning("a search failed: %s", where(error))
            return None

    async def _pages(self, base: str, token: str, query: str) -> Json | None:
        room = self._settings.fhir_bytes
        document, size = await self._get(base + query, token, room)
        if document is None or document.get("resourceType") != "Bundle":
            return None if document is None or document.get("resourceType") == "OperationOutcome" else document
        entries, total = list(entries_of(document)), document.get("total")
        for _ in range(self._settings.fhir_pages - 1):
            following = next_page(document)
            if following is None:
                break
            address = urljoin(base, following)
            if not _same_server(base, address):
                raise TooMuch  # the token goes to no other server
            room -= size
            document, size = await self._get(address, token, room)
            if document is None:
                raise TooMuch  # half a list is not a list
            entries += entries_of(document)
        else:
            if next_page(document) is not None:
                raise TooMuch
        if any(map(says_failed, entries)) or falls_short(total, entries):
            raise TooMuch  # the server itself says that something is missing
        return {"resourceType": "Bundle", "type": "searchset", "entry": entries}

    async def _get(self, address: str, token: str, room: int) -> tuple[Json | None, int]:
        async with self._http.stream("GET", address, headers={"Authorization": f"Bearer {token}"}) as response:
            if response.status_code != httpx.codes.OK:
                return None, 0
            body = bytearray()
            async for chunk in response.aiter_bytes(65_536):
                body += chunk
                if len(body) > room:
                    raise TooMuch
        document = orjson.loads(bytes(body))
        return (document if isinstance(document, dict) else None), len(body)

    async def close(self) -> None:
        await self._http.aclose()


def _same_server(base: str, address: str) -> bool:
    first, second = urlsplit(base), urlsplit(address)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)
