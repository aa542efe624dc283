"""Processes of this machine that make batches and assess them: one a core, with the functions of every other engine.

What is the same for all parts (the knowledge, and what makes a batch) travels once, in a file; a part and its results travel alone.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final

from calcinosis.engines.rows import Asked, Assessed, Explained, assessed, explained
from calcinosis.events import Batch, Part
from calcinosis.knowledge import Knowledge
from calcinosis.loading import uncollected
from calcinosis.reasoning.plan import make_plan

_THREADS: Final = "POLARS_MAX_THREADS"  # read when a process starts


class Workers:
    """A pool of processes. Leave the block only when every job was taken back."""

    def __init__(self, count: int, knowledge: Knowledge, asked: Asked) -> None:
        self._folder = TemporaryDirectory(prefix="calcinosis-")
        self._asked = asked
        self._travelled: dict[int, tuple[Callable[[Any], Batch], Path]] = {}
        self._threads = os.environ.get(_THREADS)
        os.environ[_THREADS] = "1"  # a process per core already
        known = self._travels(knowledge)
        self._pool = ProcessPoolExecutor(
            count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(known,)
        )  # spawn: a fork would copy the locks of threads that are not copied

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._threads is None:
            os.environ.pop(_THREADS, None)
        else:
            os.environ[_THREADS] = self._threads
        self._folder.cleanup()

    def assess(self, part: Part) -> Future[Assessed]:
        if id(part.make) not in self._travelled:  # kept beside its path, so that no other object can have its id
            self._travelled[id(part.make)] = part.make, self._travels(part.make)
        with _without_script():
            return self._pool.submit(_assess, self._travelled[id(part.make)][1], part.rows, self._asked)

    def explain(self, batches: Sequence[Batch]) -> Future[Explained]:
        with _without_script():
            return self._pool.submit(_explain, batches, self._asked)

    def _travels(self, what: object) -> Path:
        path = Path(self._folder.name) / f"{len(self._travelled)}-{type(what).__name__}.pickle"
        path.write_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))
        return path


@contextmanager
def _without_script() -> Iterator[None]:
    """Processes begin while jobs are given out, and each would run the script that called us once more (what stands under
    ``if __name__ == "__main__":`` apart). Ours need nothing of it, so they are not told where it is."""
    script = vars(sys.modules["__main__"])
    told: dict[str, Any] = {name: script[name] for name in ("__spec__", "__file__") if name in script}
    script.update(dict.fromkeys(told, None))
    try:
        yield
    finally:
        script.update(told)


# --- in the processes --------------------------------------------------------------------------------------


_knowledge: Knowledge | None = None
_makers: dict[Path, Callable[[Any], Batch]] = {}


def _begin(knowledge: Path) -> None:
    global _knowledge
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with uncollected():
        _knowledge = pickle.loads(knowledge.read_bytes())
        make_plan(_knowing()).questions.warm()


def _end_with_parent() -> None:
    """A parent that was killed says nothing more: without it a process would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _knowing() -> Knowledge:
    if _knowledge is None:
        raise RuntimeError("a process was given work before it knew anything")
    return _knowledge


def _assess(make: Path, rows: Any, asked: Asked) -> Assessed:
    if make not in _makers:
        with uncollected():
            _makers[make] = pickle.loads(make.read_bytes())
    return assessed(_makers[make](rows), _knowing(), asked)


def _explain(batches: Sequence[Batch], asked: Asked) -> Explained:
    return explained(batches, _knowing(), asked)
