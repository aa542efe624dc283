"""The workers, and the queue before them.

Each worker is a process. When one is free it takes what waits, up to ``together`` records, and assesses them as one table: under load
the cost of planning is shared, and nobody waits when there is none.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from calcinosis.service import work
from calcinosis.service.metrics import Metrics
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings
from calcinosis.service.work import Done, Job

_log = logging.getLogger("calcinosis.service")


class Assessors:
    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._waiting: deque[tuple[Job, asyncio.Future[Done]]] = deque()
        self._arrived = asyncio.Event()
        self._takers: list[asyncio.Task[None]] = []
        self._pool: Executor | None = None
        self.ready = False

    async def start(self) -> None:
        self._pool = self._make_pool()
        count = max(1, self._settings.workers)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._pool, _warm) for _ in range(count)))
        self._takers = [asyncio.create_task(self._take()) for _ in range(count)]
        self.ready = True

    async def stop(self) -> None:
        """Finish what is being assessed; refuse what waits."""
        self.ready = False
        for taker in self._takers:
            taker.cancel()
        _refuse(self._waiting)
        self._waiting.clear()
        if self._pool:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def answer(self, job: Job) -> Done:
        """Raises:
        ProblemError: the record cannot be answered (4xx), or not now (503).
        """
        if not self.ready or len(self._waiting) >= self._settings.max_waiting:
            raise ProblemError(503, "too many records wait for an answer", headers={"Retry-After": "1"})
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._metrics.waiting.set(len(self._waiting))
        self._arrived.set()
        try:
            done = await asyncio.wait_for(future, self._settings.seconds_per_request)
        except TimeoutError:
            raise ProblemError(503, "no answer in time", headers={"Retry-After": "1"}) from None
        if done.status >= 400:
            raise ProblemError(done.status, done.detail)
        return done

    async def _take(self) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.together))]
            self._metrics.waiting.set(len(self._waiting))
            taken = [(job, future) for job, future in taken if not future.done()]  # whoever gave up is not assessed
            if taken:
                await self._assess(taken)

    async def _assess(self, taken: list[tuple[Job, asyncio.Future[Done]]]) -> None:
        self._metrics.together.observe(len(taken))
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, work.answer, [job for job, _ in taken])
        except BrokenProcessPool:
            _log.error("a worker died; new workers are started")
            self._pool = self._make_pool()
            found = [Done(b"", 503, "the worker failed; try again")] * len(taken)
        except asyncio.CancelledError:
            _refuse(taken)
            raise
        for (_, future), done in zip(taken, found, strict=True):
            if not future.done():
                future.set_result(done)

    def _make_pool(self) -> Executor:
        if self._settings.workers == 0:
            return ThreadPoolExecutor(1, initializer=work.load, initargs=(self._settings.code_map, self._settings.rxterms))
        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # of the workers: their tables are small, and threads only cost
        return ProcessPoolExecutor(
            self._settings.workers,
            mp_context=multiprocessing.get_context("spawn"),  # a fork of a process with threads may hang
            initializer=work.load,
            initargs=(self._settings.code_map, self._settings.rxterms),
        )


def _refuse(jobs: Iterable[tuple[Job, asyncio.Future[Done]]]) -> None:
    """The service ends before they are answered."""
    for _, future in jobs:
        if not future.done():
            future.set_exception(ProblemError(503, "the service is shutting down", headers={"Retry-After": "5"}))


def _warm() -> None:
    """Starts a worker: its initialiser loads the knowledge."""
