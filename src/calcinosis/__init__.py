"""calcinosis: which type of soft-tissue calcification, in which connective tissue disease, why, how sure, and what is urgent.

The public API; everything is imported on first use, so that ``import calcinosis`` costs nothing.

>>> import calcinosis
>>> [answer] = calcinosis.assess("examples/published_cases/bundles/b090.json")  # doctest: +SKIP
>>> answer.leading, answer.leading_status  # doctest: +SKIP
('calciphylaxis', <Status.CONFIRMED: 'confirmed'>)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calcinosis.api import assess, screen
    from calcinosis.contract import Assessment
    from calcinosis.engines.cohort import Cohort
    from calcinosis.knowledge import Knowledge, load_knowledge

__all__ = ["Assessment", "Cohort", "Knowledge", "assess", "load_knowledge", "screen"]

_HOMES = {
    "assess": "calcinosis.api",
    "screen": "calcinosis.api",
    "Assessment": "calcinosis.contract",
    "Cohort": "calcinosis.engines.cohort",
    "Knowledge": "calcinosis.knowledge",
    "load_knowledge": "calcinosis.knowledge",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'calcinosis' has no attribute {name!r}; it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
