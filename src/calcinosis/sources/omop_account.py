"""What became of every row of a batch of a CDM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch
from calcinosis.sources.believable import EARLIEST
from calcinosis.sources.omop_coded import NO_TIME, NOBODY, Coded
from calcinosis.sources.omop_sayings import OUTCOMES, Sayings
from calcinosis.sources.omop_tables import Table


class Account:
    """Counts and rejects.

    Args:
        files: table -> what ``source_file`` shows.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self.used = self.rejected = self.ignored = 0
        self._rejects: list[pl.DataFrame] = []
        self._unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
        self._not_read: Counter[str] = Counter()

    def usable(self, table: Table, rows: Coded) -> Coded:
        """The rows in order, without those of nobody and those whose key came before.

        A key counts among the rows of one person only: which other persons share a batch must not matter.
        """
        rows = rows.in_order()
        nobody = rows.person == NOBODY
        again = rows.repeats() & ~nobody & (rows.id != NOBODY) if table.name != "death" else np.zeros(len(rows), dtype=np.bool_)
        if not (nobody.any() or again.any()):
            return rows
        self._add(table.name, rows.id[again], "error", "duplicate_id", f"{table.id} occurs before")
        self._add(table.name, rows.id[nobody], "error", "no_subject", "person_id is missing or no whole number")
        kept = rows.taken(~nobody & ~again)
        self.rejected += len(rows) - len(kept)
        return kept

    def persons(self, person: pl.DataFrame) -> pl.DataFrame:
        """The rows of persons without those of nobody and those that came before."""
        ids = person["person_id"]
        if not ids.null_count() and ids.n_unique() == len(ids):
            self.used += person.height
            return person
        ordered = person.sort("person_id", *(name for name in person.columns if name != "person_id"))
        nobody, again = pl.col("person_id").is_null(), ~pl.col("person_id").is_first_distinct()
        without, repeated = (ordered.filter(which)["person_id"].fill_null(NOBODY).to_numpy() for which in (nobody, ~nobody & again))
        self._add("person", without, "error", "no_subject", "person_id is missing or no whole number")
        self._add("person", repeated, "error", "duplicate_id", "person_id occurs before")
        kept = ordered.filter(~nobody & ~again)
        self.used += kept.height
        self.rejected += person.height - kept.height
        return kept

    def add_meanings(self, sayings: Sayings, rows: Coded) -> None:
        """Count the rows by what became of their sayings."""
        counts = np.bincount(rows.said, minlength=len(sayings))
        used, ignored, rejected = (int(counts[sayings.outcome == place].sum()) for place in range(len(OUTCOMES)))
        self.used += used
        self.ignored += ignored
        self.rejected += rejected
        for place, (unmapped, not_read) in sayings.remarks.items():
            n = int(counts[place])
            for entry in unmapped if n else ():
                self._unmapped[entry] += n
            for what, times in not_read.items() if n else ():
                self._not_read[what] += times * n

    def add_problems(self, table: Table, rows: Coded, dated: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        """Name the rows of which a date or a number could not be read.

        Args:
            dated: "start" and "end" -> of each row, whether its date can be believed.
        """
        for what, believable in dated.items():
            wrong = ~believable & (getattr(rows, what) != NO_TIME)
            reason = f"{what} date: no date between {EARLIEST.year} and a year from now"
            self._add(table.name, rows.id[wrong], "warning", "impossible_date", reason)
        self._add(table.name, rows.id[np.isinf(rows.number)], "warning", "wrong_type", f"{table.number}: not a number")

    def add_strangers(self, persons: pl.Series) -> None:
        """Persons that only other tables name."""
        reason = "no row in person; age and sex are unknown"
        self._add("person", persons.to_numpy(), "warning", "missing_patient", reason)

    def add_births(self, person: pl.DataFrame, births: pl.Series) -> None:
        """Name the rows of persons that tell of a birth which cannot be.

        Args:
            births: the birth date of each, null where there is none to believe.
        """
        wrong = births.is_null() & (person["year"].is_not_null() | person["born"].is_not_null())
        reason = f"date of birth: no date between {EARLIEST.year} and today; the age is unknown"
        self._add("person", person["person_id"].filter(wrong).to_numpy(), "warning", "impossible_date", reason)

    def batch(self, patients: pl.DataFrame, events: pl.DataFrame) -> Batch:
        unmapped = [(*key, n) for key, n in self._unmapped.most_common()]
        return Batch(
            patients=patients,
            events=events,
            rejects=pl.concat([pl.DataFrame(schema=REJECT_SCHEMA), *self._rejects]),
            unmapped=pl.DataFrame(unmapped, schema=UNMAPPED_SCHEMA, orient="row"),
            records_read=self.used + self.ignored + self.rejected,
            records_used=self.used,
            records_ignored=self.ignored,
            records_rejected=self.rejected,
            not_read=dict(self._not_read),
        )

    def _add(self, table: str, ids: npt.NDArray[np.int64], level: str, category: str, reason: str) -> None:
        if len(ids):
            said = {"file": self._files.get(table, table), "line": None, "level": level, "category": category, "reason": reason}
            rows = pl.DataFrame({"record": records(table, ids)}).with_columns(pl.lit(value).alias(name) for name, value in said.items())
            self._rejects.append(rows.select(pl.col(name).cast(dtype) for name, dtype in REJECT_SCHEMA.items()))


def records(table: str, ids: npt.NDArray[np.int64]) -> pl.Series:
    """``measurement/123``; a key that is null is ``?``."""
    keys = pl.Series(ids)
    if (ids == NOBODY).any():
        keys = keys.cast(pl.String).replace(str(NOBODY), "?")
    return pl.select(pl.format(f"{table}/{{}}", keys)).to_series()
