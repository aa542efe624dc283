"""Patients of a screened population: how one is shown in a line, in which order they stand, and who counts as a likely case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.knowledge.wording import label_of

STANDING: Final = (Status.CONFIRMED, Status.PROBABLE, Status.POSSIBLE)
SHOWN: Final = (
    "subject_id", "sex", "age_years", "leading", "leading_mimic", "leading_status", "provisional", "diseases", "alarms", "alarm_urgency",
    "calciphylaxis_major", "calciphylaxis_minor",
)  # fmt: skip


class Labels:
    """Labels of one knowledge base; an unknown key is its own label."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge

    def type(self, key: str) -> str:
        return "A mimic" if key == "mimic" else label_of(self.knowledge, "types", key)

    def mimic(self, key: str) -> str:
        return label_of(self.knowledge, "mimics", key)

    def disease(self, key: str) -> str:
        return label_of(self.knowledge, "diseases", key)

    def alarm(self, key: str) -> str:
        return label_of(self.knowledge, "alarms", key)

    def test(self, key: str) -> str:
        return label_of(self.knowledge, "tests", key)

    def concept(self, key: str) -> str:
        return label_of(self.knowledge, "concepts", key)


def likely_unlabelled(types: Sequence[str]) -> pl.Expr:
    """Nobody coded or stated a diagnosis, yet a type leads at probable or confirmed, or calcium is shown and no mimic leads."""
    strong = pl.col("leading_status").is_in([Status.CONFIRMED.value, Status.PROBABLE.value]).fill_null(False)
    is_type = pl.col("leading").is_in(types).fill_null(False)
    calcium = ~pl.col("provisional") & (pl.col("leading") != "mimic").fill_null(True)
    return ~pl.col("labelled").fill_null(False) & ((is_type & strong) | calcium)


def patients_by_entry(people: pl.LazyFrame, column: str) -> list[tuple[str, int]]:
    """Patients per entry of a list column, most frequent first."""
    counted = people.select(pl.col(column).explode().alias("key")).drop_nulls().group_by("key").len()
    return list(counted.sort("len", "key", descending=[True, False]).collect().iter_rows())


def most_urgent_first() -> dict[str, Any]:
    """Arguments of ``sort``: worst alarm, then the number of alarms, then the strongest answer, then risk factors, then the id."""
    order = {urgency: number for number, urgency in enumerate(ALARM_URGENCIES)}
    strength = {status.value: -status.rank for status in Status}
    keys = (
        pl.col("alarm_urgency").replace_strict(order, default=len(order), return_dtype=pl.Int8),
        pl.col("alarms").list.len().fill_null(0),
        pl.col("leading_status").replace_strict(strength, default=0, return_dtype=pl.Int8),
        pl.col("calciphylaxis_major"),
        pl.col("subject_id"),
    )
    return {"by": keys, "descending": [False, True, False, True, False]}


def as_shown(row: dict[str, Any], label: Labels) -> dict[str, Any]:
    """A row of ``assessments.parquet`` (``SHOWN``) in words."""
    leading, age = row["leading"], row["age_years"]
    known = label.knowledge.alarms
    last = len(ALARM_URGENCIES)
    alarms = sorted(row["alarms"] or (), key=lambda key: ALARM_URGENCIES.index(known[key].urgency) if key in known else last)
    return {
        "id": row["subject_id"],
        "person": f"{'age unknown' if age is None else f'{int(age)} years'}, {row['sex'] or 'sex unknown'}",
        "answer": None if leading is None else label.mimic(row["leading_mimic"] or leading) if leading == "mimic" else label.type(leading),
        "status": Status(row["leading_status"]) if row["leading_status"] else None,
        "provisional": bool(row["provisional"]),
        "diseases": [label.disease(key) for key in row["diseases"] or ()],
        "alarms": [label.alarm(key) for key in alarms],
        "urgency": row["alarm_urgency"],
        "major": row["calciphylaxis_major"] or 0,
        "minor": row["calciphylaxis_minor"] or 0,
    }
