"""Asks the EHR's FHIR server for what a prefetch lacks, with the token that the call brought.

Only servers on the list are asked, over https beyond loopback, without redirects; pages, bytes and time are bounded. A search that fails
leaves its data unknown; it never fails the call. A server that speaks another FHIR than R4 is not read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import orjson

from calcinosis.service.audit import where
from calcinosis.service.bounded import read_at_most
from calcinosis.service.fhir_version import FhirVersion, stated_version
from calcinosis.service.no_cookies import no_cookies
from calcinosis.service.searchset import entries_of, falls_short, next_page, says_failed
from calcinosis.service.settings import Settings, is_safe_url

_log = logging.getLogger("calcinosis.service")
Json = dict[str, Any]
_VERSION_FRESH: Final = 3600.0  # seconds that a server's word about its version is kept
_VERSION_AGAIN: Final = 60.0  # a server that does not say it is not asked more often than this


class TooMuch(Exception):
    """An answer beyond the bounds, or only a part of one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Key -> the resource or searchset; keys that could not be had, in full and in time, are left out."""

    found: dict[str, Json]
    version: FhirVersion | None = None  # None: the server was not asked at all


class FhirClient:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowed = {url.rstrip("/") for url in (*settings.fhir_servers, *(server.issuer for server in settings.smart))}
        # the time of all searches together is bounded where they are waited for; a slow one of a SMART visit may use the time of the visit
        slowest = max(settings.fhir_seconds, settings.seconds_per_request)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(slowest, connect=settings.fhir_seconds), follow_redirects=False, trust_env=False,
            limits=httpx.Limits(max_connections=40), headers={"Accept": "application/fhir+json"},
            cookies=no_cookies(),
        )  # fmt: skip
        self._versions: dict[str, tuple[float, FhirVersion]] = {}

    def allows(self, server: str) -> bool:
        return server.rstrip("/") in self._allowed and is_safe_url(server)

    async def fetch(self, server: str, token: str, queries: Mapping[str, str], *, seconds: float | None = None) -> Fetched:
        """What the searches bring; nothing from a server that does not speak R4."""
        if not queries or not self.allows(server) or not token.isascii() or not token.isprintable():
            return Fetched({})
        base = server.rstrip("/") + "/"
        version = asyncio.create_task(self.version(server))
        searches = {key: asyncio.create_task(self._one(base, token, query)) for key, query in queries.items()}
        tasks: tuple[asyncio.Task[Any], ...] = (version, *searches.values())
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds or self._settings.fhir_seconds)
        finally:
            for task in tasks:
                task.cancel()
        spoken = version.result() if version in done else FhirVersion()
        if not spoken.is_read:
            return Fetched({}, spoken)
        found = {key: search.result() for key, search in searches.items() if search in done}
        return Fetched({key: value for key, value in found.items() if value is not None}, spoken)

    async def version(self, server: str) -> FhirVersion:
        """The FHIR version of a server that this service may ask, by its CapabilityStatement; asked once an hour, and without the token."""
        asked, known = self._versions.get(server, (float("-inf"), FhirVersion()))
        if time.monotonic() - asked < (_VERSION_AGAIN if known.number is None else _VERSION_FRESH):
            return known
        try:
            document, _ = await self._get(server.rstrip("/") + "/metadata", None, self._settings.fhir_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, TooMuch, ValueError) as error:
            _log.warning("a server does not say its FHIR version: %s", where(error))
            document = None
        found = stated_version(document)
        self._versions[server] = (time.monotonic(), found)
        return found

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

    async def _get(self, address: str, token: str | None, room: int) -> tuple[Json | None, int]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._http.stream("GET", address, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                return None, 0
            body = await read_at_most(response, room)
        document = orjson.loads(body)
        return (document if isinstance(document, dict) else None), len(body)

    async def close(self) -> None:
        await self._http.aclose()


def _same_server(base: str, address: str) -> bool:
    first, second = urlsplit(base), urlsplit(address)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)
