"""The folder that ``screen`` wrote, opened for reading: who fits some filters, the most urgent first, and what is stored of one patient.

Tables are scanned, never loaded: a page of a million patients costs one or two columns and fifty rows. What does not depend on the
filters (the order, the counts) is worked out once per folder and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from calcinosis.engines.cohort import Summary
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.numbers import Ints
from calcinosis.report.people import SHOWN, STANDING, Labels, as_shown, likely_unlabelled, most_urgent_first, patients_by_entry
from calcinosis.report.population import Population, count_population
from calcinosis.spreadsheet import no_formula

FILES: Final = (
    "assessments.parquet", "reasons.parquet", "treatment_reviews.parquet", "treatment_options.parquet", "events.parquet", "rejects.parquet",
    "summary.json",
)  # fmt: skip
UNDETERMINED: Final = "undetermined"
AT_RISK: Final = ("any", "no_lesion")
_CSV_ROWS: Final = 50_000  # at a time


@dataclass(frozen=True, slots=True)
class Filters:
    """Who is wanted; an empty field asks nothing, all others must hold.

    Attributes:
        patient: part of the id.
        type: key of a type, ``mimic`` or ``undetermined`` (a lesion of which nothing is at least possible).
        status: of that type, else of the leading answer; empty: at least possible.
        disease: key of an established disease, or ``none``.
        alarm: ``any``, an urgency, or a key.
        missing: key of a test that is not on record.
        review: ``any``, or the key of a review or safety rule of a current treatment.
        at_risk: ``any`` or ``no_lesion``: high risk of calciphylaxis.
        unlabelled: likely cases without a diagnosis.
    """

    patient: str = ""
    type: str = ""
    status: str = ""
    disease: str = ""
    alarm: str = ""
    missing: str = ""
    review: str = ""
    at_risk: str = ""
    unlabelled: bool = False

    def asked(self) -> dict[str, str]:
        """The fields that ask something, as a form sends them."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: "1" if value is True else value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a filter that fits somebody."""

    key: str
    label: str
    n: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything the folder holds of one patient: rows of its tables."""

    person: dict[str, Any]
    reasons: list[dict[str, Any]]
    reviews: list[dict[str, Any]]
    options: list[dict[str, Any]]
    events: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    has_course: bool  # false: written before events were kept
    has_options: bool  # false: written before options were kept


class CohortFolder:
    """Reads one folder. Any method may raise OSError, ValueError or PolarsError: the folder may vanish or be written anew."""

    def __init__(self, path: Path, knowledge: Knowledge) -> None:
        self.path, self.knowledge, self.label = path, knowledge, Labels(knowledge)

    @cached_property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = orjson.loads((self.path / "summary.json").read_bytes())
        lacking = {each.name for each in fields(Summary)} - {"lab_coverage", *summary}  # without coverage the labs are not counted
        if lacking:
            raise ValueError(f"summary.json lacks {', '.join(sorted(lacking))}")
        return summary

    @cached_property
    def population(self) -> Population:
        return count_population(self.path, self.knowledge, self.summary)

    @cached_property
    def order(self) -> Ints:
        """Rows of ``assessments.parquet``, the most urgent first."""
        how = most_urgent_first()
        rows: Ints = self._people.select(pl.arg_sort_by(how["by"], descending=how["descending"])).collect().to_series().to_numpy()
        return rows

    @cached_property
    def choices(self) -> dict[str, list[Choice]]:
        """Diseases, alarms, missing tests and reviews that occur here, the most frequent first."""
        named = {"diseases": self.label.disease, "alarms": self.label.alarm, "missing_tests": self.label.test}
        found = {
            column: [Choice(key, label(key), n) for key, n in patients_by_entry(self._people, column)] for column, label in named.items()
        }
        reviews = self._scan("treatment_reviews")
        if reviews is not None:
            rows = (
                reviews.filter(pl.col("kind") != "not_checked")
                .group_by("key")
                .agg(pl.col("label").first(), pl.col("subject_id").n_unique().alias("n"))
                .sort("n", "key", descending=[True, False])
            )
            found["reviews"] = [Choice(*row) for row in rows.collect().iter_rows()]
        return found

    # --- who

    def chosen(self, filters: Filters) -> Ints:
        """Rows of the patients who fit, the most urgent first."""
        wanted = self._condition(filters)
        if wanted is None:
            return self.order
        fits = self._people.select(wanted.fill_null(False).alias("fits")).collect().to_series().to_numpy()
        rows: Ints = self.order[fits[self.order]]
        return rows

    def lines(self, rows: Ints) -> list[dict[str, Any]]:
        """Some patients as they are shown, in the order of ``rows``."""
        return [as_shown(row, self.label) for row in self._taken(rows, SHOWN).to_dicts()]

    def csv(self, rows: Ints) -> Iterator[bytes]:
        """Everything in ``assessments.parquet`` about some patients, in pieces.

        Lists are joined by "; ". A text that a spreadsheet would run as a formula gets an apostrophe in front.
        """
        schema = self._people.collect_schema()
        flat = [
            pl.col(name).list.join("; ") if isinstance(dtype, pl.List)
            else no_formula(name) if dtype == pl.String
            else pl.col(name)
            for name, dtype in schema.items()
        ]  # fmt: skip
        for start in range(0, max(len(rows), 1), _CSV_ROWS):
            part = self._taken(rows[start : start + _CSV_ROWS], schema.names())
            yield part.select(flat).write_csv(include_header=start == 0, datetime_format="%Y-%m-%dT%H:%M:%S").encode()

    def _taken(self, rows: Ints, columns: Sequence[str]) -> pl.DataFrame:
        wanted = pl.DataFrame({"_row": pl.Series(rows, dtype=pl.UInt32)})
        found = self._people.select(columns).with_row_index("_row").filter(pl.col("_row").is_in(wanted["_row"].implode()))
        return wanted.join(found.collect(engine="streaming"), on="_row", maintain_order="left").drop("_row")

    def _condition(self, asked: Filters) -> pl.Expr | None:
        columns = self._people.collect_schema()
        conditions: list[pl.Expr] = []
        if asked.patient:
            conditions.append(pl.col("subject_id").str.contains(asked.patient, literal=True))
        if asked.type == UNDETERMINED:
            conditions.append(pl.col("lesion_present") & pl.col("leading").is_null())
        elif asked.type and asked.type != "mimic" and f"status_{asked.type}" in columns:
            wanted = [asked.status] if asked.status else [status.value for status in STANDING]
            conditions.append(pl.col(f"status_{asked.type}").is_in(wanted))
        else:
            conditions += [pl.col("leading") == asked.type] if asked.type else []
            conditions += [pl.col("leading_status") == asked.status] if asked.status else []
        if asked.disease:
            listed = pl.col("diseases").list
            conditions.append(listed.len() == 0 if asked.disease == "none" else listed.contains(asked.disease))
        if asked.alarm:
            worst = pl.col("alarm_urgency")
            conditions.append(
                worst.is_not_null() if asked.alarm == "any"
                else worst == asked.alarm if asked.alarm in ALARM_URGENCIES
                else pl.col("alarms").list.contains(asked.alarm)
            )  # fmt: skip
        if asked.missing:
            conditions.append(pl.col("missing_tests").list.contains(asked.missing))
        if asked.review:
            conditions.append(pl.col("subject_id").is_in(self._reviewed(asked.review).implode()))
        if asked.at_risk:
            conditions.append(pl.col("calciphylaxis_at_risk"))
            conditions += [~pl.col("lesion_present").fill_null(False)] if asked.at_risk == "no_lesion" else []
        if asked.unlabelled:
            conditions.append(likely_unlabelled(list(self.knowledge.types)))
        return pl.all_horizontal(conditions) if conditions else None

    def _reviewed(self, key: str) -> pl.Series:
        table = self._scan("treatment_reviews")
        if table is None:
            return pl.Series([], dtype=pl.String)
        found = table.filter(pl.col("kind") != "not_checked", *([] if key == "any" else [pl.col("key") == key]))
        return found.select(pl.col("subject_id").unique()).collect().to_series()

    # --- one patient

    def patient(self, subject: str) -> Stored | None:
        found = self._people.filter(pl.col("subject_id") == subject).head(1).collect().to_dicts()
        if not found:
            return None
        events = self._of("events", subject)
        types = [name.removeprefix("status_") for name in found[0] if name.startswith("status_")]
        return Stored(
            person=found[0],
            reasons=sorted(self._of("reasons", subject), key=lambda row: row["order"] or 0),
            reviews=self._of("treatment_reviews", subject),
            options=sorted(self._of("treatment_options", subject), key=lambda row: (types.index(row["type"]), row["place"])),
            events=events,
            rejects=self._rejects(subject, events),
            has_course=self._scan("events") is not None,
            has_options=self._scan("treatment_options") is not None,
        )

    def _of(self, table: str, subject: str) -> list[dict[str, Any]]:
        scanned = self._scan(table)
        return scanned.filter(pl.col("subject_id") == subject).collect().to_dicts() if scanned is not None else []

    def _rejects(self, subject: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What could not be used in full of the patient's own resource and of the records behind the events."""
        table = self._scan("rejects")
        if table is None:
            return []
        files: dict[str, set[str | None]] = {f"Patient/{subject}": {None}}
        for each in events:
            files.setdefault(each["source"], set()).add(each["source_file"])
        rows = table.filter(pl.col("record").is_in(list(files))).sort("record", "reason").collect().to_dicts()
        return [row for row in rows if row["file"] is None or files[row["record"]] & {None, row["file"]}]

    # --- tables

    @property
    def _people(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.path / "assessments.parquet")

    def _scan(self, table: str) -> pl.LazyFrame | None:
        path = self.path / f"{table}.parquet"
        return pl.scan_parquet(path) if path.exists() else None


def stamp(path: Path) -> tuple[tuple[int, int], ...]:
    """What tells one writing of a folder from the next.

    Raises:
        OSError: the folder lacks its assessments or its summary.
    """
    (path / "assessments.parquet").stat(), (path / "summary.json").stat()
    states = [(path / name).stat() for name in FILES if (path / name).exists()]
    return tuple((state.st_mtime_ns, state.st_size) for state in states)
