"""The private key of a confidential SMART client."""

from __future__ import annotations

from pathlib import Path

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey


def read_private_key(file: Path) -> RSAKey | ECKey:
    """The key in a file, PEM or JWK, under its own name or else its thumbprint.

    Raises:
        ValueError: it is no private key that SMART knows.
    """
    text = file.read_text("utf-8").strip()
    key: RSAKey | ECKey | None = None
    for kind in (RSAKey, ECKey):
        try:
            key = kind.import_key(orjson.loads(text) if text.startswith("{") else text)
            break
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if key is None or not key.is_private or (isinstance(key, ECKey) and key.curve_name != "P-384"):
        raise ValueError(f"{file} holds no private key, RSA or EC P-384, as PEM or JWK")
    key.ensure_kid()
    return key


def algorithm(key: RSAKey | ECKey) -> str:
    """The two that the specification asks of a client."""
    return "RS384" if isinstance(key, RSAKey) else "ES384"
