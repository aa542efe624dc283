"""Notes that a browser carries and nobody but this process can read or make: AES-GCM with a key that dies with the process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_ALGORITHM: Final = {"alg": "dir", "enc": "A256GCM"}


class NotOurs(ValueError):
    """The note was not made by this process, or was changed."""


class Seal:
    """Each has a key of its own, so that a note made for one purpose opens nothing else."""

    def __init__(self) -> None:
        self._key = OctKey.import_key(secrets.token_bytes(32))

    def close(self, note: Mapping[str, Any]) -> str:
        return jwe.encrypt_compact(_ALGORITHM, orjson.dumps(note), self._key)

    def open(self, sealed: str) -> dict[str, Any]:
        """Raises:
        NotOurs: it cannot be opened.
        """
        try:
            note = orjson.loads(jwe.decrypt_compact(sealed, self._key, algorithms=list(_ALGORITHM.values())).plaintext or b"")
        except (JoseError, ValueError, TypeError, KeyError):
            raise NotOurs from None
        if not isinstance(note, dict):
            raise NotOurs
        return note
