"""The screened folders that the operator named. A browser names a cohort, never a path."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from calcinosis.knowledge import Knowledge
from calcinosis.report.cohort_folder import CohortFolder, stamp
from calcinosis.service.audit import where
from calcinosis.service.problems import ProblemError

_log = logging.getLogger("calcinosis.service")
_UNREADABLE = (OSError, ValueError, KeyError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


class Cohorts:
    """Opens folders, and keeps what was counted until the folder is written anew."""

    def __init__(self, folders: Mapping[str, Path], knowledge: Knowledge) -> None:
        self._folders, self._knowledge = dict(folders), knowledge
        self._open: dict[str, tuple[object, CohortFolder]] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._folders)

    @contextmanager
    def opened(self, name: str) -> Iterator[CohortFolder]:
        """The folder of a cohort, for the time of one answer.

        Raises:
            ProblemError: 404 for a name that the operator did not give, 503 where the folder cannot be read.
        """
        if name not in self._folders:
            raise ProblemError(404, "no such cohort")
        try:
            yield self._folder(name)
        except _UNREADABLE as error:
            _log.error("cohort %s: %s", name, where(error))
            raise ProblemError(503, "the folder of this cohort cannot be read now; those who run the service see why in its log") from None

    def _folder(self, name: str) -> CohortFolder:
        path = self._folders[name]
        now = stamp(path)
        with self._lock:
            known = self._open.get(name)
            if known is None or known[0] != now:
                known = self._open[name] = now, CohortFolder(path, self._knowledge)
            return known[1]

    def warm(self) -> None:
        """Count in the background, so that the first page of a large cohort need not."""
        if self._folders:
            threading.Thread(target=self._warm, name="cohorts", daemon=True).start()

    def _warm(self) -> None:
        for name in self._folders:
            try:
                with self.opened(name) as folder:
                    _ = folder.population, folder.order, folder.choices
            except ProblemError:
                continue  # told in the log; the page will say so too
