"""Who calls: signed tokens of CDS clients, bearer tokens of an OpenID provider, and who signed in at an EHR.

A CDS client signs a token for each call (CDS Hooks 2.0, "Trusting CDS Clients"): ES384 or RS384, ``kid``, an issuer on the list, the
``jku`` agreed with it, the address of the service as ``aud``, at most five minutes of life, and a ``jti`` that is accepted once.
https://cds-hooks.hl7.org/2.0/#trusting-cds-clients
"""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from calcinosis.service.bounded import read_at_most
from calcinosis.service.settings import CdsClient, Settings

CDS_ALGORITHMS: Final = ("ES384", "RS384")
OIDC_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LONGEST_LIFE: Final = 300  # seconds from iat to exp
LEEWAY: Final = 30  # seconds by which clocks may differ
_KEYS_FRESH: Final = 300.0
_REFRESH_AFTER: Final = 30.0  # an unknown kid asks again, but not more often than this
_LONGEST_TOKEN: Final = 8_192
_MOST_KEYS: Final = 256_000  # bytes of a JWK Set
_REMEMBERED: Final = 100_000

Claims = Mapping[str, Any]


class Rejected(Exception):
    """The token is not accepted; the message says which rule it breaks and quotes nothing of it."""


class KeySource:
    """The public keys of one issuer: a file, or a URL whose answer is kept for some minutes."""

    def __init__(self, *, url: str | None = None, file: Path | None = None, http: httpx.AsyncClient, discovery: str | None = None) -> None:
        self._url, self._file, self._http, self._discovery = url, file, http, discovery
        self._keys: dict[str, Any] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def only_key(self) -> Any:
        """The key of an issuer that has one and does not name it in its tokens.

        Raises:
            Rejected: there are several, or none.
        """
        await self._renew(_KEYS_FRESH)
        if len(self._keys) != 1:
            raise Rejected("kid is missing")
        return next(iter(self._keys.values()))

    async def key(self, kid: str) -> Any:
        """Raises:
        Rejected: nobody has this key.
        """
        await self._renew(_KEYS_FRESH if kid in self._keys else _REFRESH_AFTER)
        if kid not in self._keys:
            raise Rejected("kid is not in the issuer's JWK Set")
        return self._keys[kid]

    async def _renew(self, seconds: float) -> None:
        """Read the keys again if they are older than this; of many that wait for it, one reads."""
        if time.monotonic() - self._read_at > seconds:
            async with self._lock:
                if time.monotonic() - self._read_at > seconds:
                    await self._read()

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        try:
            document = orjson.loads(self._file.read_bytes()) if self._file else await self._fetched()
            found = KeySet.import_key_set(_public_only(document))
        except (OSError, httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, TypeError, KeyError, AttributeError):
            if not self._keys:  # keys that were good some minutes ago stay good while the server is away
                raise Rejected("the issuer's JWK Set cannot be read") from None
            return
        self._keys = {key.kid: key for key in found.keys if key.kid}

    async def _fetched(self) -> Any:
        if self._url is None and self._discovery is not None:
            document = await self._json(self._discovery)
            self._url = str(document["jwks_uri"])
        return await self._json(self._url or "")

    async def _json(self, url: str) -> Any:
        async with self._http.stream("GET", url, headers={"Accept": "application/json"}) as response:
            response.raise_for_status()
            return orjson.loads(await read_at_most(response, _MOST_KEYS))


def _public_only(document: Any) -> Any:
    """Asymmetric keys with a name; a symmetric key in a JWK Set would let anyone who reads it sign."""
    keys = [key for key in document["keys"] if key.get("kty") in ("RSA", "EC", "OKP") and isinstance(key.get("kid"), str)]
    return {"keys": keys}


class SeenTokens:
    """The ``jti`` of every token until it has expired: a token opens the door once."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._most = most

    def take(self, issuer: str, jti: str, until: float, now: float) -> None:
        while self._until and next(iter(self._until.values())) < now:
            self._until.popitem(last=False)
        if (issuer, jti) in self._until:  # those that have expired are gone
            raise Rejected("jti was used before")
        if len(self._until) >= self._most:
            raise Rejected("too many tokens at once")  # forgetting one early would let it in again
        self._until[issuer, jti] = until


class CdsVerifier:
    """Verifies the tokens of CDS clients."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._base = settings.base_url
        self._clients: dict[str, tuple[CdsClient, KeySource]] = {
            client.iss: (client, KeySource(url=client.jku, file=client.jwks_file, http=http)) for client in settings.cds_clients
        }
        self._seen = SeenTokens()

    async def verify(self, token: str, path: str) -> Claims:
        """Claims of a token made for ``path``.

        Raises:
            Rejected: it is not accepted.
        """
        header, unverified = _opened(token)
        if header.get("alg") not in CDS_ALGORITHMS:
            raise Rejected(f"alg must be one of {', '.join(CDS_ALGORITHMS)}")
        if header.get("typ") != "JWT":
            raise Rejected("typ must be JWT")
        kid = _text(header, "kid")
        issuer = _text(unverified, "iss")
        if issuer not in self._clients:
            raise Rejected("iss is not on the list of trusted clients")
        client, keys = self._clients[issuer]
        if "jku" in header and header["jku"] != client.jku:
            raise Rejected("jku is not the one agreed with this client")
        claims = _verified(token, await keys.key(kid), CDS_ALGORITHMS)
        now = time.time()
        issued, expires = _time(claims, "iat"), _time(claims, "exp")
        if expires <= now - LEEWAY:
            raise Rejected("exp has passed")
        if issued > now + LEEWAY:
            raise Rejected("iat lies in the future")
        if expires - issued > LONGEST_LIFE or expires <= issued:
            raise Rejected(f"exp must be at most {LONGEST_LIFE} seconds after iat")
        if self._base + path not in _audience(claims):
            raise Rejected("aud is not the address of this service")
        self._seen.take(issuer, _text(claims, "jti"), now + LONGEST_LIFE + 2 * LEEWAY, now)
        return claims


class OidcVerifier:
    """Verifies bearer tokens (signed access tokens) of one OpenID provider."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._issuer, self._audience = settings.oidc_issuer or "", settings.oidc_audience or ""
        discovery = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        self._keys = KeySource(url=settings.oidc_jwks_url, http=http, discovery=discovery)

    async def verify(self, token: str) -> Claims:
        header, unverified = _opened(token)
        if header.get("alg") not in OIDC_ALGORITHMS:
            raise Rejected("alg is not accepted")
        if unverified.get("iss") != self._issuer:
            raise Rejected("iss is not the provider")
        claims = _verified(token, await self._keys.key(_text(header, "kid")), OIDC_ALGORITHMS)
        now = time.time()
        if _time(claims, "exp") <= now - LEEWAY:
            raise Rejected("exp has passed")
        if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
            raise Rejected("nbf lies in the future")
        if self._audience not in _audience(claims):
            raise Rejected("aud is not this service")
        return claims


async def verify_id_token(token: str, *, issuer: str, client_id: str, nonce: str, keys: KeySource, now: float) -> Claims:
    """Claims about who signed in (OpenID Connect Core 1.0, 3.1.3.7).

    Raises:
        Rejected: it was not made by this issuer, for this client and this launch.
    """
    header, _ = _opened(token)
    if header.get("alg") not in OIDC_ALGORITHMS:
        raise Rejected("alg is not accepted")
    key = await keys.key(_text(header, "kid")) if "kid" in header else await keys.only_key()
    claims = _verified(token, key, OIDC_ALGORITHMS)
    if claims.get("iss") != issuer:
        raise Rejected("iss is not the server's issuer")
    audience = _audience(claims)
    if client_id not in audience or ((len(audience) > 1 or "azp" in claims) and claims.get("azp") != client_id):
        raise Rejected("aud is not this client")
    if _time(claims, "exp") <= now - LEEWAY:
        raise Rejected("exp has passed")
    if _time(claims, "iat") > now + LEEWAY:
        raise Rejected("iat lies in the future")
    if not hmac.compare_digest(_text(claims, "nonce").encode(), nonce.encode()):
        raise Rejected("nonce is not the one of this launch")
    _text(claims, "sub")
    return claims


# --- pieces ------------------------------------------------------------------------------------------


def _opened(token: str) -> tuple[Claims, Claims]:
    """Header and payload as they stand, not yet verified; only used to find the key.

    Numbers that are none (NaN) or infinite are refused here, by orjson: the JWT library reads them, and such an ``exp`` never passes.
    """
    if len(token) > _LONGEST_TOKEN or token.count(".") != 2:
        raise Rejected("not a signed token")
    opened = []
    for part in token.split(".")[:2]:
        try:
            document = orjson.loads(urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4)))
        except (ValueError, UnicodeEncodeError):
            raise Rejected("not a signed token") from None
        if not isinstance(document, dict):
            raise Rejected("not a signed token")
        opened.append(document)
    if "crit" in opened[0] or "b64" in opened[0]:
        raise Rejected("crit is not supported")
    return opened[0], opened[1]


def _verified(token: str, key: Any, algorithms: tuple[str, ...]) -> Claims:
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        raise Rejected("the key is not asymmetric")
    try:
        registry = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
        claims = jwt.decode(token, key, algorithms=list(algorithms), registry=registry)
    except (JoseError, ValueError, TypeError):
        raise Rejected("the signature does not fit") from None
    return dict(claims.claims)


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value or len(value) > 512:
        raise Rejected(f"{name} is missing")
    return value


def _time(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected(f"{name} is missing")
    return float(value)


def _audience(claims: Claims) -> list[str]:
    value = claims.get("aud")
    listed = value if isinstance(value, list) else [value]
    named = [each for each in listed if isinstance(each, str) and each]
    if not named or len(named) != len(listed):
        raise Rejected("aud is missing")
    return named
