"""What the distinct sayings of a table mean, once for all the rows that share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.sources.fhir_frames import ROWS, Drafts, events_frame, spread
from calcinosis.sources.omop_coded import SAYING, Coded
from calcinosis.sources.omop_tables import OPERATORS, SAID, TABLES, Table

if TYPE_CHECKING:
    from calcinosis.sources.omop_events import OmopMapper

OUTCOMES: Final = ("used", "ignored", "rejected")
Unmapped = tuple[str, str | None, str | None, str | None]
_NUMBERS: Final = (None, 0.0, 1.0)  # no number, a zero, any other: no more of a number decides what a row means


class Sayings:
    """The distinct sayings of one table, interpreted.

    Attributes:
        frame: ``SAYING``, one row a saying.
        events: the events of each saying (``EVENT_SCHEMA``; subject, times and source are not those of a row).
        outcome: of each saying, index into ``OUTCOMES``.
        ends: of each event the last day that its text tells, in µs (NaT: none); None where no text tells one.
        remarks: what to count of a saying beside that: codes and texts that no concept knows, and what was not read.
    """

    def __init__(self, table: Table, frame: pl.DataFrame, mapper: OmopMapper, files: Sequence[str]) -> None:
        self.table, self.frame = table, frame
        self.outcome = np.zeros(frame.height, dtype=np.int8)
        self.remarks: dict[int, tuple[list[Unmapped], dict[str, int]]] = {}
        drafts, tells = Drafts(), np.zeros(frame.height, dtype=np.bool_)
        for place, said in enumerate(frame.select(SAID).iter_rows(named=True)):
            meaning = mapper.meaning(table, said)
            self.outcome[place] = OUTCOMES.index(meaning.outcome)
            if meaning.unmapped or meaning.not_read:
                self.remarks[place] = (meaning.unmapped, dict(meaning.not_read))
            if meaning.drafts:
                tells[place] = True
                drafts.add(place, meaning)
        rows = self._rows(mapper, np.flatnonzero(tells))
        self.events = events_frame(rows, drafts.frame(), list(files)).rechunk()
        meant = self.events["subject_id"].cast(pl.Int64).to_numpy()
        keys = np.arange(frame.height * len(_NUMBERS))
        self._first = np.searchsorted(meant, keys, side="left")
        self._count = np.searchsorted(meant, keys, side="right") - self._first
        self._once = bool((self._count <= 1).all())
        self.values = self.events["numeric_value"].fill_null(float("nan")).to_numpy()
        ends = self.events["end_time"]
        self.ends = None if ends.null_count() == len(ends) else ends.to_numpy().view(np.int64)

    def __len__(self) -> int:
        return self.frame.height

    def told_by(self, rows: Coded) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """For every event of these rows, in their order: its row, and its place in ``events``."""
        key = rows.said.astype(np.intp) * len(_NUMBERS)
        if self.table.number:
            key += np.where(np.isfinite(rows.number), np.where(rows.number == 0, 1, 2), 0)
        counts = self._count[key]
        if self._once:
            of_row = np.flatnonzero(counts)
            return of_row, self._first[key if len(of_row) == len(key) else key[of_row]]
        return spread(self._first[key], counts)

    def pairs(self, counts: npt.NDArray[np.int64]) -> list[tuple[int | None, int | None, str | None, int]]:
        """How many rows of each concept, source concept and words."""
        named = self.frame.select("concept_id", "source_concept_id", "source_value")
        return [(*row, int(n)) for row, n in zip(named.iter_rows(), counts, strict=True)]

    def _rows(self, mapper: OmopMapper, telling: npt.NDArray[np.intp]) -> pl.DataFrame:
        """``ROWS`` of a row without a number, with a zero and with another number, for each saying that tells something."""
        numbers = _NUMBERS if self.table.number else _NUMBERS[:1]
        vocabulary = mapper.vocabulary
        frame = self.frame[telling]
        units = {number: vocabulary.unit(number) for number in frame["unit_concept_id"].unique().drop_nulls().to_list()}
        ucum = {number: unit for number, unit in units.items() if vocabulary.is_ucum(number)}
        unit_code, unit_name = (
            pl.col("unit_concept_id").replace_strict(known, default=None, return_dtype=pl.String) for known in (ucum, units)
        )
        written = frame.select(
            *SAYING, unit=pl.coalesce(unit_code, "unit_text", unit_name),
            comparator=pl.col("operator_id").replace_strict(OPERATORS, default=None, return_dtype=pl.String),
            mid=pl.Series(telling, dtype=pl.Int64),
        )[np.repeat(np.arange(frame.height), len(numbers))]  # fmt: skip
        keys = (telling[:, None] * len(_NUMBERS) + np.arange(len(numbers))).ravel()
        known: dict[str, pl.Expr | pl.Series] = {
            "file": pl.lit(list(TABLES).index(self.table.name)), "rt": pl.lit(self.table.name), "sid": pl.Series(keys).cast(pl.String),
            "number": pl.Series(list(numbers) * frame.height, dtype=pl.Float64), "unit_code": pl.col("unit"),
            "bad_time": pl.lit(False), "bad_end": pl.lit(False), "bad_value": pl.lit(False),
        }  # fmt: skip
        whole = written.with_columns(**known)
        never = (pl.lit(None).alias(name) for name in ROWS if name not in whole.columns)
        return whole.with_columns(never).select(pl.col(name).cast(dtype) for name, dtype in ROWS.items())
