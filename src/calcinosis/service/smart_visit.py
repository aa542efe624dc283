"""What lets the page of a launch ask again, when something is entered beside the record.

The token of the launch is gone by then, and nothing was kept. The page carries the record and a sealed note: who opened it, about whom,
what could not be read, and a digest of the record, so that none of it can be exchanged for another. It holds for a working day and as
long as this process runs; nobody else can read or make one.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Final

from calcinosis.service.jwt import Rejected
from calcinosis.service.sealed import NotOurs, Seal

SECONDS: Final = 8 * 3600
_LONGEST: Final = 32_768


@dataclass(frozen=True, slots=True)
class Opened:
    """What the page says before the answer."""

    banner: str
    patient_id: str
    server: str
    about: str | None
    lacking: tuple[str, ...]
    others: int
    remark: str | None = None  # about the server


class Visits:
    """Seals what a launch opened, and opens it when the page comes back."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._seal = Seal()
        self._clock = clock

    def seal(self, opened: Opened, client: str, held: str) -> str:
        """The note for a page that holds this record."""
        note = {"opened": asdict(opened), "client": client, "record": _digest(held), "until": self._clock() + SECONDS}
        return self._seal.close(note)

    def open(self, sealed: str, held: str) -> tuple[Opened, str]:
        """What was opened, and the client for the audit log.

        Raises:
            Rejected: it is no note of ours, about another record, or too old.
        """
        if not sealed or len(sealed) > _LONGEST:
            raise Rejected("the page names no launch")
        try:
            note = self._seal.open(sealed)
            opened = Opened(**{**note["opened"], "lacking": tuple(note["opened"]["lacking"])})
        except (NotOurs, TypeError, KeyError):
            raise Rejected("the service was restarted since this page was opened") from None
        if not hmac.compare_digest(note["record"], _digest(held)):
            raise Rejected("the record is not the one of the launch")
        if note["until"] <= self._clock():
            raise Rejected("this page was opened too long ago")
        return opened, str(note["client"])


def _digest(held: str) -> str:
    return sha256(held.encode()).hexdigest()
