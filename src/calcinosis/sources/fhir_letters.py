"""Reads the letters of a part: the rows of which only the long text was left to be read (:mod:`~calcinosis.sources.fhir_columns`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import polars as pl

from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import Drafts
from calcinosis.sources.fhir_meaning import Meaning

_REMEMBERED: Final = 4_000  # letters whose meaning is kept: some are sent to everybody


class LetterReader:
    """Reads letters. Can be pickled.

    Args:
        told: what was not read of a row without its letter, by the number of that saying; it has been counted.
    """

    def __init__(self, mapper: FhirMapper, told: Mapping[int, Counter[str]]) -> None:
        self._mapper, self._told = mapper, told
        self._meaning = lru_cache(maxsize=_REMEMBERED)(mapper.from_json)

    def __reduce__(self) -> tuple[type[LetterReader], tuple[Any, ...]]:
        return LetterReader, (self._mapper, self._told)

    def read(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
        """The rows by the numbers of what they mean, that meaning as ``Drafts.frame`` gives it, and what was not read of the letters.

        Args:
            rows: ``fhir_frames.ROWS`` and ``letter``.
        """
        drafts, not_read = Drafts(), Counter[str]()
        letters = rows.group_by("rt", "letter", "mid", maintain_order=True).len().rename({"mid": "without"})
        for number, (kind, letter, without, count) in enumerate(letters.iter_rows()):
            meaning: Meaning = self._meaning(kind, letter)
            drafts.add(number, meaning)
            for what, n in meaning.not_read.items():
                not_read[what] += (n - self._told.get(without, Counter())[what]) * count
        numbers = letters.drop("len").with_row_index("mid").with_columns(pl.col("mid").cast(pl.Int64))
        numbered = rows.rename({"mid": "without"}).join(numbers, on=["rt", "letter", "without"], maintain_order="left")
        return numbered, drafts.frame(), {what: n for what, n in not_read.items() if n}
