"""What depends on the knowledge alone is built once per version of it, however many patients follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar


class Versioned(Protocol):
    """The knowledge, or what was compiled from it."""

    @property
    def version(self) -> str: ...


_Basis = TypeVar("_Basis", bound=Versioned)
_Made = TypeVar("_Made")


def once_per_version(build: Callable[[_Basis], _Made]) -> Callable[[_Basis], _Made]:
    """The same function, which keeps what it built for each version."""
    kept: dict[str, _Made] = {}

    @wraps(build)
    def at_hand(basis: _Basis) -> _Made:
        version = basis.version
        if version not in kept:
            kept[version] = build(basis)
        return kept[version]

    return at_hand
