"""Which access a launch asks for, and what the granted access lets a search say.

Scopes come in two spellings: ``patient/Observation.rs`` (SMART 2) and ``patient/Observation.read`` (SMART 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

_DATA: Final = re.compile(r"(?:patient|user)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(\?.+)?")
_VERSION_1: Final = {"read": "rs", "write": "cud", "*": "cruds"}

Grant = Literal["full", "part", "none"]


def kind_of(query: str) -> str:
    """The resource type that a read or search is about."""
    return re.split(r"[/?]", query, maxsplit=1)[0]


def wanted(kinds: Iterable[str], capabilities: Sequence[str], *, standalone: bool, configured: Sequence[str] | None) -> str:
    """The ``scope`` of an authorization request: no more than the searches need."""
    version_1 = "permission-v1" in capabilities and "permission-v2" not in capabilities
    suffix = "read" if version_1 else "rs"
    data = configured or [f"patient/{kind}.{suffix}" for kind in sorted(set(kinds))]
    who = ["openid", "fhirUser"] if "sso-openid-connect" in capabilities else []
    context = "launch/patient" if standalone else "launch"
    return " ".join(dict.fromkeys([context, *who, *data]))


def granted(scopes: str, query: str) -> Grant:
    """Whether an answer to ``query`` under these scopes can hold everything, a part, or nothing."""
    kind = kind_of(query)
    needed = "s" if "?" in query else "r"
    found: Grant = "none"
    for scope in scopes.split():
        match = _DATA.fullmatch(scope)
        if match is None or match[1] not in ("*", kind) or needed not in _VERSION_1.get(match[2], match[2]):
            continue
        if match[3] is None:
            return "full"
        found = "part"  # narrowed by search parameters
    return found


def allowed(scopes: str, queries: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """The searches that may be made, and the keys of those whose answer may lack something."""
    grants = {key: granted(scopes, query) for key, query in queries.items()}
    may = {key: query for key, query in queries.items() if grants[key] != "none"}
    return may, frozenset(key for key, grant in grants.items() if grant == "part")
