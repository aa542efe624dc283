"""Which FHIR a server speaks, by its own word (``fhirVersion`` of its CapabilityStatement), and what that means here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_NUMBER: Final = re.compile(r"(\d{1,2}\.\d{1,2})(\.\d{1,3})?(-[A-Za-z0-9.]{1,20})?")
_R4: Final = "4.0"
_R4B: Final = "4.3"


@dataclass(frozen=True, slots=True)
class FhirVersion:
    """``number``: None where the server does not say it."""

    number: str | None = None

    @property
    def is_read(self) -> bool:
        return self.number is None or self._release in (_R4, _R4B)

    @property
    def remark(self) -> str | None:
        """What a reader of the answer should know; None where there is nothing to say."""
        if self.number is None:
            return "The server does not say which version of FHIR it speaks; its data were read as R4 (4.0)."
        if not self.is_read:
            return f"The server speaks FHIR {self.number}. This service reads R4 (4.0), so nothing of that server was used."
        return f"The server speaks FHIR {self.number} (R4B); what is new there was not read." if self._release == _R4B else None

    @property
    def _release(self) -> str:
        found = _NUMBER.fullmatch(self.number or "")
        return found[1] if found else ""


def stated_version(document: Any) -> FhirVersion:
    """The version in a CapabilityStatement (in DSTU2: Conformance)."""
    number = document.get("fhirVersion") if isinstance(document, Mapping) else None
    return FhirVersion(number if isinstance(number, str) and _NUMBER.fullmatch(number) else None)
