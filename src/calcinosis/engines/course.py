"""The course of the patients there is something to say about: their events as read, each measurement as the rules read it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from calcinosis.events import EVENT_SCHEMA, Batch, Schema
from calcinosis.facts import Facts, looked_at, without_later_ends
from calcinosis.judged import JUDGED_SCHEMA, judged_values
from calcinosis.knowledge import Knowledge

COURSE_SCHEMA: Final[Schema] = {**EVENT_SCHEMA, **JUDGED_SCHEMA}
_WRITTEN: Final = [pl.col(name).list.join("\x1f") if name == "sites" else pl.col(name) for name in EVENT_SCHEMA if name != "subject_id"]


def course_rows(batch: Batch, subjects: pl.Series, facts: Facts, knowledge: Knowledge, as_of: datetime | None = None) -> pl.DataFrame:
    """The events that were looked at, of the patients named.

    Returns:
        ``COURSE_SCHEMA``: patients in the order named, the events of each by time (undated first), equal ones by everything else, so
        that no reader's order matters.
    """
    if not len(subjects):
        return pl.DataFrame(schema=COURSE_SCHEMA)
    order = pl.DataFrame({"subject_id": subjects, "_place": range(len(subjects))})
    events = (
        without_later_ends(looked_at(batch.events, as_of), as_of)
        .filter(pl.col("subject_id").is_in(subjects.implode()))
        .join(order, on="subject_id")
        .sort("_place", *_WRITTEN, maintain_order=True)
        .select(list(EVENT_SCHEMA))
    )
    labs = [key for key, concept in knowledge.concepts.items() if concept.lab is not None]
    measured = events.select(row=pl.arg_where(pl.col("concept").is_in(labs) & (pl.col("certainty") == "affirmed")))["row"]
    people = facts.subjects.filter(pl.col("subject_id").is_in(subjects.implode()))
    judged = judged_values(events[measured], people, knowledge).with_columns(row=measured)
    return (
        events.with_row_index("row")
        .join(judged, on="row", how="left", maintain_order="left")
        .select(pl.col(name).cast(dtype) for name, dtype in COURSE_SCHEMA.items())
    )
