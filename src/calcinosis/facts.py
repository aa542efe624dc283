"""Facts: what the events say about each patient, one row per patient and concept.

``concepts`` holds everything that is present or not; ``labs`` (see :mod:`calcinosis.labs`) holds measurements.
Presence climbs the concept tree (end-stage kidney disease shows kidney failure); an explicit negation descends it.
Anything affirmed outweighs a negation elsewhere in the record (an ulcer on the hand, none on the fingertip), and both are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from calcinosis.ages import years_between
from calcinosis.events import Batch, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.labs import lab_facts
from calcinosis.numbers import Index, Ints, Mask, Micros, Numbers, concept_numbers, look_up, micros
from calcinosis.plans import run
from calcinosis.truth import FALSE, TRUE, UNKNOWN, Truth

_PRESENCE: Final = {True: int(TRUE), False: int(FALSE)}

CONCEPT_FACT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "concept": pl.String,
    "present": pl.Boolean,  # null: unknown
    "n": pl.UInt32,  # events that say so (affirmed when present, negated when absent)
    "n_conflicting": pl.UInt32,  # events that say the opposite
    "suspected": pl.Boolean,  # at least one uncertain event
    "first_time": pl.Datetime("us"),
    "last_time": pl.Datetime("us"),
    "said": pl.String,  # the record's own words or code, of the deciding event
    "source": pl.String,  # resource of the deciding event (the one nearest the index date)
    "time": pl.Datetime("us"),  # its time
}

MENTIONED: Final = ("subject_id", "concept", "time", "end_time", "status", "sites", "days_before_onset")


@dataclass(frozen=True, slots=True)
class Places:
    """The rows of a table in numbers: row of the patient in ``Facts.subjects``, number of the concept."""

    rows: Ints
    concepts: Ints


@dataclass(frozen=True)
class Facts:
    """All facts of a group of patients, as tables and (built when first asked for) as arrays.

    Attributes:
        subjects: subject_id, sex, age_years (at the index date), index_time, index_basis
            ("calcification", "lesion", "as_of", "unknown"), as_of.
        concepts: see ``CONCEPT_FACT_SCHEMA``.
        labs: see ``labs.LAB_FACT_SCHEMA``.
        mentions: the affirmed events as recorded (``MENTIONED``); what qualified criteria read.
        rejects: measurements whose unit could not be used.
    """

    subjects: pl.DataFrame
    concepts: pl.DataFrame
    labs: pl.DataFrame
    mentions: pl.DataFrame
    rejects: pl.DataFrame
    numbers: Numbers

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {subject: row for row, subject in enumerate(self.subjects["subject_id"].to_list())}

    @cached_property
    def recorded(self) -> Places:
        return self._places(self.concepts)

    @cached_property
    def measured(self) -> Places:
        return self._places(self.labs)

    @cached_property
    def mentioned(self) -> Places:
        return self._places(self.mentions)

    @cached_property
    def recorded_index(self) -> Index:
        """Finds a row of ``concepts`` by :meth:`key`."""
        return Index(self.key(self.recorded.rows, self.recorded.concepts))

    @cached_property
    def measured_index(self) -> Index:
        """Finds a row of ``labs`` by :meth:`key`."""
        return Index(self.key(self.measured.rows, self.measured.concepts))

    def key(self, rows: Ints, concepts: Ints | int) -> Ints:
        """One number for a patient and a concept."""
        return rows * len(self.numbers) + concepts

    @cached_property
    def presence(self) -> Truth:
        """Of each row of ``concepts``."""
        return look_up(_PRESENCE, self.concepts["present"].to_list(), int(UNKNOWN)).astype(np.int8)

    @cached_property
    def suspected(self) -> Mask:
        return np.array(self.concepts["suspected"].to_list(), dtype=np.bool_)

    @cached_property
    def mention_times(self) -> Micros:
        return micros(self.mentions["time"])

    @cached_property
    def mention_ends(self) -> Micros:
        return micros(self.mentions["end_time"])

    @cached_property
    def index_time(self) -> Micros:
        return micros(self.subjects["index_time"])

    @cached_property
    def as_of(self) -> Micros:
        return micros(self.subjects["as_of"])

    def _places(self, table: pl.DataFrame) -> Places:
        rows = look_up(self.row_of, table["subject_id"].to_list(), -1)
        concepts = self.numbers.of(table["concept"].to_list())
        return Places(rows, np.where(rows >= 0, concepts, -1))  # what is about nobody listed is about nothing


@dataclass(frozen=True, slots=True)
class _Tree:
    up: pl.DataFrame  # concept -> ancestor (incl. itself)
    down: pl.DataFrame  # concept -> descendant (incl. itself)
    lesion: pl.DataFrame  # concept -> rank: 0 shows mineral, 1 shows a lesion
    labs: frozenset[str]


_trees: dict[str, _Tree] = {}


def _tree(knowledge: Knowledge) -> _Tree:
    """The concept tree as join tables, built once per knowledge version."""
    if knowledge.version not in _trees:
        _trees[knowledge.version] = _build_tree(knowledge)
    return _trees[knowledge.version]


def _build_tree(knowledge: Knowledge) -> _Tree:
    up = [(key, above) for key, ancestors in knowledge.ancestors.items() for above in ancestors]
    schema = {"concept": pl.String, "target": pl.String}
    lesion = dict.fromkeys(knowledge.descendants.get("skin_lesion", ()), 1)
    lesion.update(dict.fromkeys(knowledge.descendants.get("calcification", ()), 0))
    return _Tree(
        up=pl.DataFrame(up, schema=schema, orient="row"),
        down=pl.DataFrame([(above, key) for key, above in up], schema=schema, orient="row"),
        lesion=pl.DataFrame(list(lesion.items()), schema={"concept": pl.String, "rank": pl.Int8}, orient="row"),
        labs=frozenset(key for key, concept in knowledge.concepts.items() if concept.lab is not None),
    )


def build_facts(batch: Batch, knowledge: Knowledge, as_of: datetime | None = None) -> Facts:
    """Aggregate a batch of events.

    Args:
        as_of: events after this moment are not looked at; also the "now" of the alarms. Default: each patient's last event.
    """
    tree = _tree(knowledge)
    events = batch.events
    if as_of is not None:
        as_of = as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of  # event times are UTC without a zone
        events = events.filter(pl.col("time").is_null() | (pl.col("time") <= as_of))
    subjects = _subjects(batch.patients, events, tree, as_of)
    is_lab = pl.col("concept").is_in(list(tree.labs))
    labs, rejects = lab_facts(events.filter(is_lab & (pl.col("certainty") == "affirmed")), subjects, knowledge)
    read = [*MENTIONED, "certainty", "source", "text_value", "code"]
    recorded = events.select(read).filter(~is_lab & (pl.col("certainty") != "family"))
    concepts = _concept_facts(recorded, subjects, tree)
    mentions = recorded.filter(pl.col("certainty") == "affirmed").select(MENTIONED)
    return Facts(subjects, concepts, labs, mentions, rejects, concept_numbers(knowledge))


def _subjects(patients: pl.DataFrame, events: pl.DataFrame, tree: _Tree, as_of: datetime | None) -> pl.DataFrame:
    affirmed = events.lazy().filter(pl.col("certainty") == "affirmed")
    onset = (
        affirmed.join(tree.lesion.lazy(), on="concept")
        .filter(pl.col("time").is_not_null())
        .group_by("subject_id")
        .agg(
            pl.col("time").filter(pl.col("rank") == 0).min().alias("_mineral"),
            pl.col("time").min().alias("_lesion"),
        )
    )
    last = events.lazy().group_by("subject_id").agg(pl.col("time").max().alias("_last"))
    now = pl.lit(as_of, dtype=pl.Datetime("us")) if as_of is not None else pl.col("_last")
    return run(
        patients.lazy()
        .select("subject_id", "birth_date", "sex")
        .unique("subject_id", keep="first", maintain_order=True)
        .join(last, on="subject_id", how="left", maintain_order="left")
        .join(onset, on="subject_id", how="left", maintain_order="left")
        .with_columns(now.alias("as_of"))
        .with_columns(
            pl.coalesce("_mineral", "_lesion", "as_of").alias("index_time"),
            pl.when(pl.col("_mineral").is_not_null())
            .then(pl.lit("calcification"))
            .when(pl.col("_lesion").is_not_null())
            .then(pl.lit("lesion"))
            .when(pl.col("as_of").is_not_null())
            .then(pl.lit("as_of"))
            .otherwise(pl.lit("unknown"))
            .alias("index_basis"),
        )
        .with_columns(years_between("birth_date", "index_time").alias("age_years"))
        .select("subject_id", "birth_date", "sex", "age_years", "index_time", "index_basis", "as_of")
    )


def _concept_facts(events: pl.DataFrame, subjects: pl.DataFrame, tree: _Tree) -> pl.DataFrame:
    """Presence of every concept: events are first counted per concept as recorded, then that count is spread over the tree."""
    key = ["subject_id", "concept", "certainty"]
    distance = (pl.col("time") - pl.col("index_time")).abs().dt.total_microseconds().fill_null(0)
    placed = run(
        events.lazy()
        .select(*key, "time", "source", pl.coalesce("text_value", pl.col("code").str.strip_prefix("text/")).alias("said"))
        .join(subjects.lazy().select("subject_id", "index_time"), on="subject_id")
        .with_columns(distance.alias("distance"))
    ).lazy()
    counted = placed.group_by(key).agg(
        pl.len().alias("n"),
        pl.col("time").min().alias("first_time"),
        pl.col("time").max().alias("last_time"),
        pl.col("distance").min(),
    )
    nearest = (
        placed.join(counted.select(*key, "distance"), on=[*key, "distance"], how="semi")
        .sort("source", "time", "said")
        .unique(key, keep="first", maintain_order=True)
        .select(*key, "time", "source", "said")
    )
    recorded = run(counted.join(nearest, on=key)).lazy()
    affirmed, denied, unsure = (pl.col("certainty") == word for word in ("affirmed", "negated", "uncertain"))
    return run(
        pl.concat(
            [
                recorded.filter(~denied).join(tree.up.lazy(), on="concept"),
                recorded.filter(denied).join(tree.down.lazy(), on="concept"),
            ]
        )
        .with_columns(pl.when(affirmed).then(0).when(denied).then(1).otherwise(2).alias("weight"))
        .sort("weight", "distance", "source", "time", "said")
        .group_by("subject_id", "target", maintain_order=True)
        .agg(
            pl.col("n").filter(affirmed).sum().alias("yes"),
            pl.col("n").filter(denied).sum().alias("no"),
            unsure.any().alias("suspected"),
            pl.col("first_time").filter(affirmed).min(),
            pl.col("last_time").filter(affirmed).max(),
            pl.col("said", "source", "time").first(),
        )
        .select(
            "subject_id",
            pl.col("target").alias("concept"),
            pl.when(pl.col("yes") > 0).then(True).when(pl.col("no") > 0).then(False).alias("present"),
            pl.when(pl.col("yes") > 0).then("yes").otherwise("no").cast(pl.UInt32).alias("n"),
            pl.when(pl.col("yes") > 0).then("no").otherwise(0).cast(pl.UInt32).alias("n_conflicting"),
            "suspected", "first_time", "last_time", "said", "source", "time",
        )
    )  # fmt: skip
