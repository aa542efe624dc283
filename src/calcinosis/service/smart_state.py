"""What the browser carries between the authorization request and the callback.

One encrypted cookie per launch, readable by nobody but this process, for ten minutes and for one callback. It holds no patient data: which
server was asked, the secret halves of PKCE and nonce, and how the launch began.
"""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Final

from calcinosis.service.jwt import Rejected, SeenTokens
from calcinosis.service.sealed import NotOurs, Seal
from calcinosis.service.settings import Settings

SECONDS: Final = 600
_LONGEST: Final = 4_096
_BYTES: Final = 32  # 256 bits: the specification asks for at least 122 in a state


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch under way. ``scopes`` are those that were asked for."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    scopes: str
    standalone: bool
    until: float

    @property
    def challenge(self) -> str:
        """RFC 7636, S256."""
        return urlsafe_b64encode(sha256(self.verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


class Launches:
    """Seals launches into cookies and opens each of them once."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._seal = Seal()  # a restart ends the launches under way, and nothing else
        self._clock = clock
        self._seen = SeenTokens()
        self._framed = bool(settings.frame_ancestors)
        self._secure = settings.base_url.startswith("https:") or self._framed

    def begin(self, issuer: str, scopes: str, *, standalone: bool) -> Launch:
        state, nonce, verifier = (secrets.token_urlsafe(_BYTES) for _ in range(3))
        return Launch(issuer, state, nonce, verifier, scopes, standalone, self._clock() + SECONDS)

    def cookie(self, launch: Launch) -> str:
        """The ``Set-Cookie`` of a launch."""
        return self._set(launch.state, self._seal.close(asdict(launch)), SECONDS)

    def forget(self, state: str) -> str:
        """The ``Set-Cookie`` that takes it back."""
        return self._set(state, "", 0)

    def open(self, cookies: Mapping[str, str], state: str) -> Launch:
        """The launch that this browser began with this state.

        Raises:
            Rejected: it began none, too long ago, or it came back before.
        """
        sealed = cookies.get(self._name(state), "")
        if not sealed or len(sealed) > _LONGEST:
            raise Rejected("this browser began no such launch, or it came back before")
        try:
            held = self._seal.open(sealed)
            launch = Launch(**{each.name: held[each.name] for each in fields(Launch)})
        except (NotOurs, KeyError):
            raise Rejected("the launch was not begun here, or the service was restarted since") from None
        if not hmac.compare_digest(launch.state.encode(), state.encode()):
            raise Rejected("state is not the one of this launch")
        now = self._clock()
        if launch.until <= now:
            raise Rejected("the launch took longer than ten minutes")
        self._seen.take(launch.issuer, launch.state, launch.until, now)
        return launch

    def _name(self, state: str) -> str:
        """Each launch has a cookie of its own, so that two tabs do not disturb each other."""
        tag = sha256(state.encode()).hexdigest()[:16]
        return f"__Host-launch-{tag}" if self._secure else f"launch-{tag}"

    def _set(self, state: str, value: str, seconds: int) -> str:
        """A frame of another site gets no ``Lax`` cookie back: there it is ``None``, kept apart for each embedding site."""
        parts = [f"{self._name(state)}={value}", "Path=/", f"Max-Age={seconds}", "HttpOnly"]
        parts += ["Secure"] if self._secure else []
        parts += ["SameSite=None", "Partitioned"] if self._framed else ["SameSite=Lax"]
        return "; ".join(parts)
