"""Work done ahead on every core and handed over in order, so that the number of cores never decides what is written."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(pool: Executor, work: Callable[[_Item], _Done], items: Iterable[_Item], ahead: int) -> Iterator[_Done]:
    """``map(work, items)``, with at most ``ahead`` results waiting beyond the one handed over: memory stays bounded."""
    waiting: deque[Future[_Done]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
