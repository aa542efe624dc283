"""An answer of another server, up to a size."""

from __future__ import annotations

from typing import Final

import httpx2 as httpx

_CHUNK: Final = 65_536


class TooLarge(ValueError):
    """The answer is larger than agreed; the rest of it was not read."""


async def read_at_most(response: httpx.Response, most: int) -> bytes:
    """The body of an answer that is being received.

    Raises:
        TooLarge: it is longer than ``most`` bytes, after decompression.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes(_CHUNK):
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)
