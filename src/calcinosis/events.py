"""Events: something recorded about a patient, one row each, whatever the source format was.

The columns are MEDS-compatible (``subject_id, time, code, numeric_value, text_value``) and add what a
clinical rule needs: unit, certainty, site and the resource the row came from, so that every reason can
point back. See https://github.com/Medical-Event-Data-Standard/meds for the MEDS schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

Schema = dict[str, pl.DataType | type[pl.DataType]]

CERTAINTIES: Final = ("affirmed", "negated", "uncertain", "family")
FLAGS: Final = ("low", "normal", "high", "positive", "negative", "abnormal")
COMPARATORS: Final = ("<", "<=", ">", ">=")
_RENAMES: Final = "\x1f"  # no id of FHIR holds it
_RENAMED: Final = re.compile(rf"^(Patient/)\d+{_RENAMES}")
EVENTS_PER_BATCH: Final = 125_000  # about so many: the patients of a batch are whole
SEX: Final = {"f": "female", "female": "female", "m": "male", "male": "male"}  # what tables write, in small letters
ACTIVE: Final = "active"  # the status of an order, a drug list or a problem that goes on, in FHIR's word
ENDED: Final = "ended"  # the status of a condition or a course of treatment that is over, whatever word the format has for it

EVENT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "time": pl.Datetime("us"),  # UTC; null when the record gives no date
    "end_time": pl.Datetime("us"),  # abatement, end of therapy
    "code": pl.String,  # "LOINC/17861-6" or "text/serum calcium"
    "concept": pl.String,  # key in knowledge/content/concepts
    "certainty": pl.String,  # one of CERTAINTIES; "uncertain" also marks a broader code
    "numeric_value": pl.Float64,
    "comparator": pl.String,  # one of COMPARATORS, as in FHIR Quantity.comparator
    "unit": pl.String,  # as sent, meant as UCUM
    "text_value": pl.String,
    "flag": pl.String,  # one of FLAGS, as the laboratory reported it
    "range_low": pl.Float64,  # the laboratory's own interval, in ``unit``
    "range_high": pl.Float64,
    "sites": pl.List(pl.String),  # concept keys of kind "site"
    "days_before_onset": pl.Float64,  # exposure lead time said in words ("7 days before onset" = 7)
    "status": pl.String,  # ``ENDED``, or the resource's own status
    "source": pl.String,  # "Condition/a004-2"
    "source_file": pl.String,
}

PATIENT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "birth_date": pl.Date,  # a year alone becomes 1 July of that year
    "sex": pl.String,  # "female", "male" or null
    "source": pl.String,
    "source_file": pl.String,
}

REJECT_SCHEMA: Final[Schema] = {
    "file": pl.String,
    "line": pl.Int64,  # 1-based; null when the format has no lines
    "record": pl.String,  # "Observation/123", a JSON path, or null
    "level": pl.String,  # "error": the record was not used; "warning": used in part
    "category": pl.String,  # short machine word: "malformed_json", "unknown_unit", ...
    "reason": pl.String,
}

UNMAPPED_SCHEMA: Final[Schema] = {
    "context": pl.String,
    "system": pl.String,
    "code": pl.String,
    "text": pl.String,
    "n": pl.Int64,
}


_NO_REJECTS: Final = pl.DataFrame(schema=REJECT_SCHEMA)
_NONE_UNMAPPED: Final = pl.DataFrame(schema=UNMAPPED_SCHEMA)


@dataclass(slots=True)
class Batch:
    """What a source hands over: the patients and events it read, and an account of everything it did not use.

    ``records_read == records_used + records_ignored + records_rejected`` always holds:
    *used* resources reached a patient, *ignored* ones are of a type that no rule reads, *rejected* ones are in ``rejects``
    with level ``error``.
    """

    patients: pl.DataFrame
    events: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=_NO_REJECTS.clone)
    unmapped: pl.DataFrame = field(default_factory=_NONE_UNMAPPED.clone)
    records_read: int = 0
    records_used: int = 0
    records_ignored: int = 0
    records_rejected: int = 0
    not_read: dict[str, int] = field(default_factory=dict)  # "long free text" -> count, shown in the report


@dataclass(frozen=True, slots=True)
class Part:
    """Whole patients on their way: what their batch is made of, here or in another process.

    Attributes:
        make: makes the batch of ``rows``. The same object for all parts of a source, so that it need travel only once to a process.
        rows: what ``make`` takes.
        parts: how many parts the source has.
    """

    make: Callable[[Any], Batch]
    rows: Any
    parts: int

    def batch(self) -> Batch:
        return self.make(self.rows)


Coming = Batch | Part
"""What a source hands over. A batch among parts is asked for only when all parts before it have been made: their files may go then."""


def made(coming: Iterable[Coming]) -> Iterator[Batch]:
    """The batches, one by one."""
    for each in coming:
        yield each.batch() if isinstance(each, Part) else each


def stacked(batches: Sequence[Batch]) -> Batch:
    """Several one-patient batches as one; each patient gets a name of its own (:func:`renamed`), because two records may use one id.

    Only patients and events are carried over: an account belongs to the record it was made for.
    """
    names = [pl.lit(renamed(place, batch.patients["subject_id"][0])).alias("subject_id") for place, batch in enumerate(batches)]
    return Batch(
        patients=pl.concat([batch.patients.with_columns(name) for batch, name in zip(batches, names, strict=True)]),
        events=pl.concat([batch.events.with_columns(name) for batch, name in zip(batches, names, strict=True)]),
    )


def renamed(place: int, subject: str) -> str:
    """The name of a patient among stacked batches."""
    return f"{place}{_RENAMES}{subject}"


def as_recorded(source: str) -> str:
    """A source without the name that stacking gave its patient."""
    return _RENAMED.sub(r"\1", source) if _RENAMES in source else source
