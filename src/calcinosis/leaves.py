"""Leaves: from facts to truth columns, one per distinct question the criteria ask.

Each kind of question is answered for all patients and all its leaves in one join against a small table of the questions;
the answers land in one matrix (leaf × patient) of truth values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import ENDED, Schema
from calcinosis.facts import Facts
from calcinosis.findings import Leaf, is_plain, leaf_id
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import AgeIs, Current, Has, LabIs, LabValue, SameSite, SexIs, Suspected
from calcinosis.plans import run
from calcinosis.truth import FALSE, TRUE, UNKNOWN, Truth, from_bool
from calcinosis.units import conversion_factor

FLAG_MEANS = {  # asked -> (flags that say yes, flags that say no); any other flag leaves it unknown
    "high": (("high",), ("low", "normal")),
    "low": (("low",), ("high", "normal")),
    "normal": (("normal", "negative"), ("low", "high", "abnormal", "positive")),
    "positive": (("positive", "high", "abnormal"), ("negative", "normal")),
    "negative": (("negative", "normal"), ("positive", "high", "abnormal")),
}


_ANSWERS: Schema = {"subject_id": pl.String, "leaf": pl.Int32, "truth": pl.Int8}


@dataclass(frozen=True, slots=True)
class LeafMatrix:
    """Truth of every leaf for every patient.

    Attributes:
        subjects: subject_id, sex, age_years; row *i* is column *i* of ``values``.
        names: leaf ids; row *j* of ``values``.
        values: int8, shape (leaves, patients).
    """

    subjects: pl.DataFrame
    names: tuple[str, ...]
    values: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Questions:
    """The distinct leaves of a knowledge base as join tables, built once."""

    knowledge: Knowledge
    leaves: tuple[tuple[Leaf, bool], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(leaf_id(leaf, now=now) for leaf, now in self.leaves)

    @cached_property
    def presence(self) -> pl.DataFrame:
        """concept -> leaf of the plain presence question."""
        return self._table(
            [(leaf.has, j) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Has) and is_plain(leaf)], "concept"
        )

    @cached_property
    def suspicion(self) -> pl.DataFrame:
        return self._table([(leaf.suspected, j) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Suspected)], "concept")

    @cached_property
    def current(self) -> pl.DataFrame:
        """shown_by (a recorded concept) -> leaf and the days for which an entry counts."""
        usual = self.knowledge.setting("current_within_days") if any(isinstance(leaf, Current) for leaf, _ in self.leaves) else None
        rows = [
            (shown_by, j, usual if leaf.within_days is None else leaf.within_days)
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, Current)
            for shown_by in self.knowledge.descendants[leaf.current]
        ]
        return pl.DataFrame(rows, schema={"shown_by": pl.String, "leaf": pl.Int32, "within": pl.Float64}, orient="row")

    @cached_property
    def denied(self) -> pl.DataFrame:
        """concept -> leaf of what does not go on when the concept is absent."""
        return self._table([(leaf.current, j) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Current)], "concept")

    @cached_property
    def qualified(self) -> pl.DataFrame:
        """shown_by (a recorded concept) -> leaf with concept, at, lead_from, lead_to, within."""
        rows = [
            (shown_by, leaf.has, j, leaf.at, *(leaf.days_before_onset or (None, None)), leaf.within_days)
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, Has) and not is_plain(leaf)
            for shown_by in self.knowledge.descendants[leaf.has]
        ]
        schema = {
            "shown_by": pl.String, "concept": pl.String, "leaf": pl.Int32, "at": pl.String,
            "lead_from": pl.Float64, "lead_to": pl.Float64, "within": pl.Float64,
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def same_site(self) -> pl.DataFrame:
        """leaf -> the two concepts."""
        rows = [(j, *leaf.same_site) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, SameSite)]
        return pl.DataFrame(rows, schema={"leaf": pl.Int32, "first": pl.String, "second": pl.String}, orient="row")

    @cached_property
    def same_site_shown_by(self) -> pl.DataFrame:
        """shown_by (a recorded concept) -> leaf and side ("first", "second")."""
        rows = [
            (shown_by, j, side)
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, SameSite)
            for side, concept in zip(("first", "second"), leaf.same_site, strict=True)
            for shown_by in self.knowledge.descendants[concept]
        ]
        return pl.DataFrame(rows, schema={"shown_by": pl.String, "leaf": pl.Int32, "side": pl.String}, orient="row")

    @cached_property
    def site_ancestors(self) -> pl.DataFrame:
        rows = [
            (key, above)
            for key, ancestors in self.knowledge.ancestors.items()
            if self.knowledge.concepts[key].kind == "site"
            for above in ancestors
        ]
        return pl.DataFrame(rows, schema={"site": pl.String, "within_site": pl.String}, orient="row")

    @cached_property
    def related_sites(self) -> pl.DataFrame:
        """Pairs of sites of which one lies in the other."""
        up = self.site_ancestors
        down = up.select(pl.col("within_site").alias("site"), pl.col("site").alias("within_site"))
        return pl.concat([up, down]).unique()

    @cached_property
    def flags(self) -> pl.DataFrame:
        """concept, moment ("index", "now", "ever"), flag -> leaf, truth."""
        rows = []
        for j, (leaf, now) in enumerate(self.leaves):
            if isinstance(leaf, LabIs):
                yes, no = FLAG_MEANS[leaf.is_]
                moment = "ever" if leaf.ever else "now" if now else "index"
                rows += [(leaf.lab, moment, flag, j, int(TRUE)) for flag in yes]
                if not leaf.ever:  # one normal value does not show that it was never otherwise
                    rows += [(leaf.lab, moment, flag, j, int(FALSE)) for flag in no]
        schema = {"concept": pl.String, "moment": pl.String, "flag": pl.String, "leaf": pl.Int32, "truth": pl.Int8}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def limits(self) -> pl.DataFrame:
        """concept, moment -> leaf with at_least and below in the canonical unit."""
        rows = []
        for j, (leaf, now) in enumerate(self.leaves):
            if isinstance(leaf, LabValue):
                lab = self.knowledge.concepts[leaf.value].lab
                if lab is None or lab.unit is None:
                    raise ValueError(f"{leaf.value} has no canonical unit, so no value of it can be compared")
                factor = conversion_factor(leaf.unit, lab.unit, lab.molar_mass, lab.valence)
                low, high = (None if limit is None else self.knowledge.number(limit) * factor for limit in (leaf.at_least, leaf.below))
                rows.append((leaf.value, "now" if now else "index", j, low, high))
        schema = {"concept": pl.String, "moment": pl.String, "leaf": pl.Int32, "at_least": pl.Float64, "below": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def person(self) -> tuple[tuple[int, AgeIs | SexIs], ...]:
        return tuple((j, leaf) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, AgeIs | SexIs))

    def warm(self) -> None:
        """Build every table that is otherwise built on first use."""
        for table in (self.names, self.presence, self.suspicion, self.qualified, self.same_site, self.same_site_shown_by, self.flags):
            len(table)
        _ = self.limits, self.person, self.related_sites

    def closed(self, kinds: frozenset[str]) -> dict[str, list[int]]:
        """Concepts of the kinds for which silence means absence, each with the leaves that are false when it is absent."""
        found: dict[str, list[int]] = {}
        for j, (leaf, _) in enumerate(self.leaves):
            for concept in _concepts(leaf):
                if self.knowledge.concepts[concept].kind in kinds:
                    found.setdefault(concept, []).append(j)
        return found

    def _table(self, rows: list[tuple[str, int]], key: str) -> pl.DataFrame:
        return pl.DataFrame(rows, schema={key: pl.String, "leaf": pl.Int32}, orient="row")


def ask(facts: Facts, questions: Questions, closed_world: frozenset[str] = frozenset()) -> LeafMatrix:
    """Answer every question for every patient.

    Args:
        closed_world: kinds of concepts ("disease", "drug", "procedure" ...) for which silence means absence. Labs are never closed.
    """
    subjects = facts.subjects.select("subject_id", "sex", "age_years")
    rows = subjects.select("subject_id").with_row_index("row")
    values = np.full((len(questions.leaves), subjects.height), UNKNOWN, dtype=np.int8)

    present = facts.concepts.lazy().select("subject_id", "concept", "present", "suspected")
    labs = facts.labs.lazy()
    answers = pl.concat(
        [
            _presence(present, questions),
            _suspicion(present, questions),
            _current(facts, present, questions),
            _qualified(facts, present, questions),
            _same_site(facts, present, questions),
            _flags(labs, questions),
            _limits(labs, questions),
        ]
    )
    placed = run(answers.join(rows.lazy(), on="subject_id").select("leaf", "row", "truth"))
    values[placed["leaf"].to_numpy(), placed["row"].to_numpy()] = placed["truth"].to_numpy()
    age = subjects["age_years"].fill_null(np.nan).to_numpy()
    sex = subjects["sex"].fill_null("").to_numpy()
    for j, leaf in questions.person:
        values[j] = _person(leaf, age, sex)
    closed = questions.closed(closed_world) if closed_world else {}
    spoken = facts.concepts.filter(pl.col("concept").is_in(list(closed))).join(rows, on="subject_id")  # also if only suspected
    for concept, asked in closed.items():
        silent = np.ones(subjects.height, dtype=np.bool_)
        silent[spoken.filter(pl.col("concept") == concept)["row"].to_numpy()] = False
        for j in asked:
            values[j][silent] = FALSE
    return LeafMatrix(subjects=subjects, names=questions.names, values=values)


def _truth(value: pl.Expr) -> pl.Expr:
    """Boolean (null = unknown) to the truth encoding."""
    return (value.cast(pl.Int8) * 2).fill_null(1).alias("truth")


def _presence(present: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    return (
        present.filter(pl.col("present").is_not_null())
        .join(questions.presence.lazy(), on="concept")
        .select("subject_id", "leaf", _truth(pl.col("present")))
    )


def _suspicion(present: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    asked = present.join(questions.suspicion.lazy(), on="concept").filter(pl.col("suspected") | pl.col("present").is_not_null())
    return asked.select("subject_id", "leaf", _truth(pl.col("suspected") & pl.col("present").is_null()))


def _current(facts: Facts, present: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    """An entry is over when it says so, when its end has come, or when a later entry of the same concept ended."""
    missing = present.filter(~pl.col("present")).join(questions.denied.lazy(), on="concept")
    absent = missing.select("subject_id", "leaf", _truth(pl.lit(False)))
    said_over = (pl.col("status") == ENDED).fill_null(False)
    over = said_over | (pl.col("end_time") <= pl.col("as_of")).fill_null(False)
    last_end = pl.coalesce("end_time", "time").filter(pl.col("over")).max().over("subject_id", "concept")
    open_ = ~pl.col("over") & ~(pl.col("time") < pl.col("last_end")).fill_null(False)
    near = ((pl.col("as_of") - pl.col("time")).dt.total_days() <= pl.col("within")).fill_null(True)
    going_on = near | (pl.col("end_time") > pl.col("as_of")).fill_null(False)
    truth = pl.when(pl.col("open") & going_on).then(int(TRUE)).when("open").then(int(UNKNOWN)).otherwise(int(FALSE))
    met = (
        facts.mentions.lazy()
        .join(questions.current.lazy().select(pl.col("shown_by").alias("concept")).unique(), on="concept", how="semi")
        .join(facts.subjects.lazy().select("subject_id", "as_of"), on="subject_id")
        .with_columns(over.alias("over"))
        .with_columns(last_end.alias("last_end"))
        .with_columns(open_.alias("open"))
        .join(questions.current.lazy(), left_on="concept", right_on="shown_by")
        .group_by("subject_id", "leaf")
        .agg(truth.max().cast(pl.Int8).alias("truth"))
    )
    return pl.concat([absent, met])


def _qualified(facts: Facts, present: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    plain = questions.qualified.lazy().select("concept", "leaf").unique()
    absent = present.filter(~pl.col("present")).join(plain, on="concept").select("subject_id", "leaf", _truth(pl.lit(False)))
    numbered = (
        facts.mentions.lazy()
        .join(questions.qualified.lazy(), left_on="concept", right_on="shown_by")
        .join(facts.subjects.lazy().select("subject_id", "index_time"), on="subject_id")
        .with_row_index("mention")
    )
    asked = run(numbered).lazy()  # numbered once: both branches below read it
    at_sites = (
        asked.filter(pl.col("at").is_not_null() & (pl.col("sites").list.len() > 0))
        .select("mention", "at", pl.col("sites").alias("site"))
        .explode("site")
        .join(questions.site_ancestors.lazy(), on="site", how="left")
        .group_by("mention")
        .agg((pl.col("within_site") == pl.col("at")).any().alias("at_site"))
    )
    dated = (pl.col("index_time") - pl.col("time")).dt.total_days().cast(pl.Float64)
    lead = pl.coalesce("days_before_onset", pl.when(dated != 0).then(dated))  # same-day entries say nothing about order
    near = (pl.col("time") - pl.col("index_time")).dt.total_days().abs() <= pl.col("within")
    meets = (
        pl.when(pl.col("at").is_null()).then(True).otherwise(pl.col("at_site"))
        & pl.when(pl.col("lead_from").is_null()).then(True).otherwise(lead.is_between(pl.col("lead_from"), pl.col("lead_to")))
        & pl.when(pl.col("within").is_null()).then(True).otherwise(near.fill_null(True))
    )
    met = (
        asked.join(at_sites, on="mention", how="left")
        .select("subject_id", "leaf", meets.alias("meets"))
        .group_by("subject_id", "leaf")
        .agg(_truth(pl.col("meets").any(ignore_nulls=False)))
    )
    return pl.concat([absent, met])


def _same_site(facts: Facts, present: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    missing = present.filter(~pl.col("present")).select("subject_id", "concept")
    pairs = questions.same_site.lazy()
    absent = pl.concat(
        [missing.join(pairs, left_on="concept", right_on=side).select("subject_id", "leaf") for side in ("first", "second")]
    ).unique()
    sited = (
        facts.mentions.lazy()
        .filter(pl.col("sites").list.len() > 0)
        .join(questions.same_site_shown_by.lazy(), left_on="concept", right_on="shown_by")
        .select("subject_id", "leaf", "side", pl.col("sites").alias("site"))
        .explode("site")
        .unique()
    )
    first = sited.filter(pl.col("side") == "first").select("subject_id", "leaf", "site")
    second = sited.filter(pl.col("side") == "second").select("subject_id", "leaf", pl.col("site").alias("within_site"))
    both = first.join(second, on=["subject_id", "leaf"])
    shared = both.join(questions.related_sites.lazy().with_columns(pl.lit(True).alias("related")), on=["site", "within_site"], how="left")
    met = shared.group_by("subject_id", "leaf").agg(_truth(pl.col("related").fill_null(False).any()))
    return pl.concat([absent.with_columns(_truth(pl.lit(False))), met])


def _moments(labs: pl.LazyFrame) -> pl.LazyFrame:
    """The two deciding measurements of each analyte as rows: subject_id, concept, moment, value, comparator, flag."""
    at_index = labs.select("subject_id", "concept", pl.lit("index").alias("moment"), "value", "comparator", "flag")
    now = labs.select(
        "subject_id", "concept", pl.lit("now").alias("moment"), pl.col("now_value").alias("value"),
        pl.col("now_comparator").alias("comparator"), pl.col("now_flag").alias("flag"),
    )  # fmt: skip
    return pl.concat([at_index, now])


def _flags(labs: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    deciding = _moments(labs).select("subject_id", "concept", "moment", "flag").drop_nulls()
    ever = labs.select("subject_id", "concept", pl.lit("ever").alias("moment"), pl.col("ever").alias("flag")).explode("flag").drop_nulls()
    return pl.concat([deciding, ever]).join(questions.flags.lazy(), on=["concept", "moment", "flag"]).select("subject_id", "leaf", "truth")


def _limits(labs: pl.LazyFrame, questions: Questions) -> pl.LazyFrame:
    asked = _moments(labs).filter(pl.col("value").is_not_null()).join(questions.limits.lazy(), on=["concept", "moment"])
    value, comparator = pl.col("value"), pl.col("comparator").fill_null("=")
    below = comparator.is_in(["<", "<="])  # the true value lies at or under ``value``
    above = comparator.is_in([">", ">="])
    reaches = (
        pl.when((value >= pl.col("at_least")) & ~below).then(True)
        .when((value < pl.col("at_least")) & ~above).then(False)
        .when((comparator == "<") & (value <= pl.col("at_least"))).then(False)
    )  # fmt: skip
    stays = (
        pl.when((value < pl.col("below")) & ~above).then(True)
        .when((value >= pl.col("below")) & ~below).then(False)
        .when((comparator == "<") & (value <= pl.col("below"))).then(True)
    )  # fmt: skip
    inside = pl.when(pl.col("at_least").is_null()).then(True).otherwise(reaches) & pl.when(pl.col("below").is_null()).then(True).otherwise(
        stays
    )
    return asked.select("subject_id", "leaf", _truth(inside))


def _person(leaf: AgeIs | SexIs, age: npt.NDArray[np.float64], sex: npt.NDArray[np.object_]) -> Truth:
    if isinstance(leaf, SexIs):
        return np.where(sex == "", UNKNOWN, from_bool(sex == leaf.sex)).astype(np.int8)
    inside = np.ones(len(age), dtype=np.bool_)
    if leaf.at_least is not None:
        inside &= age >= leaf.at_least
    if leaf.below is not None:
        inside &= age < leaf.below
    return np.where(np.isnan(age), UNKNOWN, from_bool(inside))


def _concepts(leaf: Leaf) -> tuple[str, ...]:
    """The concepts whose presence a leaf asks for."""
    match leaf:
        case Has():
            return (leaf.has,)
        case Current():
            return (leaf.current,)
        case SameSite():
            return leaf.same_site
        case _:
            return ()


def all_leaves(wanted: Iterable[tuple[Leaf, bool]]) -> tuple[tuple[Leaf, bool], ...]:
    """Distinct leaves in a stable order."""
    return tuple({leaf_id(leaf, now=now): (leaf, now) for leaf, now in wanted}.values())
