"""What a request may cost: size, inflation, time, depth and rate. Everything beyond is refused before it is read in full."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import OrderedDict
from typing import Any, Final

import numpy as np
import orjson
from fastapi import Request

from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings

JSON_TYPES: Final = ("application/json", "application/fhir+json")
_REMEMBERED: Final = 10_000  # clients
_QUOTE: Final = ord('"')
_STEPS: Final = np.zeros(256, dtype=np.int8)
_STEPS[list(b"{[")], _STEPS[list(b"}]")] = 1, -1


async def read_body(request: Request, settings: Settings, kinds: tuple[str, ...] = JSON_TYPES) -> bytes:
    """The body of a request, inflated; of one of these media types.

    Raises:
        ProblemError: 400, 408, 413 or 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise ProblemError(415, f"send {' or '.join(kinds)}", headers={"Accept": ", ".join(kinds)})
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ProblemError(415, "send gzip or no content encoding", headers={"Accept-Encoding": "gzip"})
    most = settings.max_body_bytes
    if (length := request.headers.get("content-length", "")).isdigit() and int(length) > most:
        raise _too_large(most)
    inflate = zlib.decompressobj(wbits=31) if encoding.endswith("gzip") else None
    body = bytearray()
    try:
        async with asyncio.timeout(settings.seconds_per_body):
            async for chunk in request.stream():
                body += chunk if inflate is None else _inflated(inflate, chunk, most - len(body))
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        detail = f"the body did not arrive within {settings.seconds_per_body:g} seconds"
        raise ProblemError(408, detail, headers={"Connection": "close"}) from None
    if inflate is not None and (not inflate.eof or inflate.unused_data):
        raise ProblemError(400, "the gzip stream is broken, or holds more than one member")
    return bytes(body)


def _inflated(inflate: Any, chunk: bytes, room: int) -> bytes:
    """At most one byte more than there is room for."""
    try:
        inflated: bytes = inflate.decompress(chunk, room + 1)
    except zlib.error:
        raise ProblemError(400, "the body is not gzip") from None
    return inflated


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {most} bytes (after decompression)", headers={"Connection": "close"})


def parse(body: bytes, settings: Settings) -> Any:
    """The JSON of a body.

    Raises:
        ProblemError: 400; the message never quotes the text.
    """
    if depth_of(body) > settings.max_depth:
        raise ProblemError(400, f"JSON nested deeper than {settings.max_depth} levels")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("str is not valid UTF-8"):
            raise ProblemError(400, "the body is not UTF-8") from None
        raise ProblemError(400, f"the body is not JSON: line {error.lineno}, column {error.colno}") from None


def check_record(body: bytes, settings: Settings) -> None:
    """Whether a body may be a record to assess.

    Raises:
        ProblemError: 400, 413 or 422.
    """
    document = parse(body, settings)
    if not isinstance(document, dict | list):
        raise ProblemError(422, "send a Bundle, a list of resources, or a phenopacket")
    listed = document.get("entry") if isinstance(document, dict) else document
    if isinstance(listed, list) and len(listed) > settings.max_entries:
        raise ProblemError(413, f"more than {settings.max_entries} resources")


def depth_of(body: bytes) -> int:
    """Deepest nesting of brackets outside strings, found without parsing."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    letters = np.frombuffer(body, dtype=np.uint8)
    if not letters.size:
        return 0
    steps = _STEPS[letters]
    steps[np.bitwise_xor.accumulate(letters == _QUOTE)] = 0  # inside a string
    return int(np.cumsum(steps, dtype=np.int32).max())


class RateLimit:
    """A token bucket per client; the clients heard of last are remembered."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second, self._burst = per_second, float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float | None = None) -> None:
        """Raises:
        ProblemError: 429 with ``Retry-After``.
        """
        now = time.monotonic() if now is None else now
        left, since = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._buckets[client] = (left - 1 if allowed else left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if not allowed:
            raise ProblemError(429, "too many requests", headers={"Retry-After": str(max(1, round((1 - left) / self._per_second)))})
