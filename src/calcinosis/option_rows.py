"""Treatment options of a population as rows (``treatment_options.parquet``).

A row says what :class:`~calcinosis.options.OptionWriter` says of one patient; ``tests/report/test_cohort_options.py`` holds both equal.
What does not change with the patient (evidence, doses, mechanism) is not stored: it is looked up when a row is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import Schema
from calcinosis.facts import Facts
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import VERDICTS
from calcinosis.numbers import Ints, Mask
from calcinosis.options import EFFECTS, NO_LEVEL, STANCES, effect_of, evidence_of
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.explain import REASON_SCHEMA, facts_behind
from calcinosis.reasoning.plan import PlannedCriterion, PlannedTreatment, PlannedUse
from calcinosis.truth import FALSE, TRUE, UNKNOWN, Truth

_FACTS: Final = REASON_SCHEMA["facts"]
OPTION_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "type": pl.String,
    "treatment": pl.String,
    "place": pl.UInt16,  # among the options for this type; 1 is first, equal places are ties
    "current": pl.Boolean,  # the patient has it now; null: unknown
    "stance": pl.String,  # one of STANCES
    # the uses that apply: place among those of the treatment, and whether it was studied in a disease on record (null: tied to none)
    "uses": pl.List(pl.Struct({"use": pl.UInt8, "role": pl.String, "stance": pl.String, "studied_here": pl.Boolean})),
    "speaks_for": pl.List(pl.Struct({"label": pl.String, "sources": pl.List(pl.String), "facts": _FACTS})),
    "safety": pl.List(pl.Struct({"rule": pl.String, "verdict": pl.String, "facts": _FACTS})),  # rules that hold, the gravest first
    "not_checked": pl.List(pl.String),  # rules that lack a fact, the gravest first
    "cleared": pl.UInt16,  # rules checked on known facts that do not hold
}
_NOT_ASKED: Final = 3  # beside the three truths: nobody can have it now
_AT_ONCE: Final = 20  # states of up to three values that fit in one number, beside the number of the combination before them
_GRAVITY: Final = {verdict: place for place, verdict in enumerate(VERDICTS)}


class _Said(NamedTuple):
    """A true criterion that some patients are told of."""

    option: int  # number of the option, or of the treatment where it is said whatever the type
    place: int  # in the list
    rows: Ints  # of the patients
    criterion: PlannedCriterion
    words: tuple[Any, ...]


class _Spelled:
    """Combinations of small states in words: each is spelled once, and a row keeps its number."""

    def __init__(self) -> None:
        self.lists: list[list[Any]] = []

    def of(self, states: Sequence[Ints], base: int, spell: Callable[[list[int]], list[Any]]) -> Ints:
        """Numbers of the combinations. ``states``: one array per use or rule, of values below ``base``, entry *i* of patient *i*."""
        code = np.zeros(1, dtype=np.int64)
        for place, state in enumerate(states):
            if place and place % _AT_ONCE == 0:
                code = np.unique(code, return_inverse=True)[1].reshape(-1)
            code = code * base + state
        _, first, which = np.unique(code, return_index=True, return_inverse=True)
        before = len(self.lists)
        self.lists += [spell([int(state[place]) for state in states]) for place in first.tolist()]
        number: Ints = before + which.reshape(-1)
        return number

    def column(self, numbers: Ints, kind: Any) -> pl.Series:
        return pl.Series(self.lists, dtype=kind).gather(numbers)


class _Collected:
    """The rows of every option, column by column."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.uses, self.not_checked = _Spelled(), _Spelled()

    def add(self, size: int, **columns: Any) -> None:
        """Arrays with one entry for each row, and single values that hold for all."""
        self.parts.append(columns)
        self.sizes.append(size)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([part[name] for part in self.parts])

    def same(self, name: str) -> pl.Series:
        """A column that has one value in each part."""
        return pl.Series([part[name] for part in self.parts]).gather(np.repeat(np.arange(len(self.parts)), self.sizes))


def option_rows(evaluation: Evaluation, facts: Facts) -> pl.DataFrame:
    """The options of all patients of an evaluation, for their leading type and every type that is probable or confirmed.

    Returns:
        ``OPTION_SCHEMA``; patients in the order of the evaluation, types by urgency, then by place and label.
    """
    types, diseases = _types(evaluation), _diseases(evaluation)
    standing = [(place, type_, chosen) for place, (type_, chosen) in enumerate(types.items()) if chosen.any()]
    found, favours, safety = _Collected(), list[_Said](), list[_Said]()
    for number, each in enumerate(evaluation.plan.treatments):
        asked = ((place, _Uses(evaluation, each, type_, chosen, diseases)) for place, type_, chosen in standing)
        uses = [(place, use) for place, use in asked if len(use.rows)]
        if not uses:
            continue
        rules = _Rules(evaluation, each)
        safety += rules.holding(number, np.unique(np.concatenate([use.rows for _, use in uses])))
        for place, use in uses:
            option = number * len(types) + place
            favours += use.favouring(option)
            _add(found, evaluation, each, use, rules, {"type_place": place, "option": option, "number": number})
    if not found.parts:
        return pl.DataFrame(schema=OPTION_SCHEMA)
    table = pl.DataFrame(
        {
            "row": found["row"],
            "subject_id": evaluation.subjects["subject_id"].gather(found["row"]),
            **{name: found.same(name) for name in ("type_place", "option", "number", "label", "type", "treatment")},
            "order": found["order"],
            "current": pl.Series([False, None, True, None]).gather(found["current"]),
            "stance": pl.Series(STANCES).gather(found["stance"]),
            "uses": found.uses.column(found["uses"], OPTION_SCHEMA["uses"]),
            "not_checked": found.not_checked.column(found["not_checked"], OPTION_SCHEMA["not_checked"]),
            "cleared": found["cleared"],
        }
    )
    speaks_for = _listed(favours, ("label", "sources"), "speaks_for", evaluation, facts)
    held = _listed(safety, ("rule", "verdict"), "safety", evaluation, facts).rename({"option": "number"})
    return (
        table.with_columns(pl.col("order").rank("dense").over("row", "type_place").alias("place"))
        .join(speaks_for, on=["row", "option"], how="left")
        .join(held, on=["row", "number"], how="left")
        .with_columns(pl.col("speaks_for", "safety").fill_null([]))
        .sort("row", "type_place", "place", "label")
        .select(pl.col(name).cast(kind) for name, kind in OPTION_SCHEMA.items())
    )


def _types(evaluation: Evaluation) -> dict[str, Mask]:
    """Type -> the patients it leads in, or in whom it is probable or confirmed."""
    hypotheses = list(evaluation.plan.hypotheses)
    return {
        key: (evaluation.leading == hypotheses.index(key)) | (evaluation.rank(key) >= Status.PROBABLE.rank)
        for key in evaluation.plan.knowledge.types
    }


def _diseases(evaluation: Evaluation) -> dict[str, Mask]:
    """Disease -> the patients in whom it is established or suspected."""
    found: dict[str, Mask] = {}
    for each in evaluation.plan.other:
        if each.kind == "disease" and each.role in ("established", "suspected"):
            holds = evaluation.columns[each.column] == TRUE
            found[each.owner] = found[each.owner] | holds if each.owner in found else holds
    return found


class _Uses:
    """For whom a treatment is an option of one type (``rows``), and through which of its uses."""

    def __init__(self, evaluation: Evaluation, each: PlannedTreatment, type_: str, chosen: Mask, diseases: Mapping[str, Mask]) -> None:
        self.type = type_
        self.uses = [(place, use) for place, use in enumerate(each.uses) if type_ in use.use.types]
        columns = evaluation.columns
        apply = [chosen if use.when is None else chosen & (columns[use.when.column] != FALSE) for _, use in self.uses]
        self.rows: Ints = np.flatnonzero(np.any(apply, axis=0)) if apply else np.zeros(0, dtype=np.intp)
        self.apply = [mask[self.rows] for mask in apply]
        self.studied = [_studied(use, diseases, len(chosen))[self.rows] for _, use in self.uses]
        self.favours: list[tuple[PlannedCriterion, Mask]] = [
            (criterion, applies & (columns[criterion.column][self.rows] == TRUE))
            for (_, use), applies in zip(self.uses, self.apply, strict=True)
            for criterion in use.favours
        ]

    @property
    def stance(self) -> Ints:
        """Of the uses in this disease or in none; of all where there is none: a use in another disease says nothing of this one."""
        stances = [STANCES.index(use.use.stance) for _, use in self.uses]
        here = [applies & studied for applies, studied in zip(self.apply, self.studied, strict=True)]
        of_all, of_mine = (
            np.min([np.where(applies, one, len(STANCES)) for one, applies in zip(stances, masks, strict=True)], axis=0)
            for masks in (self.apply, here)
        )
        elsewhere = np.where(of_all == STANCES.index("against"), of_all, STANCES.index("no_data"))
        stance: Ints = np.where(of_mine < len(STANCES), of_mine, elsewhere)
        return stance

    @property
    def applicability(self) -> Ints:
        studied = np.any([applies & studied for applies, studied in zip(self.apply, self.studied, strict=True)], axis=0)
        favoured = np.any([np.zeros(len(self.rows), dtype=np.bool_), *(true for _, true in self.favours)], axis=0)
        applicability: Ints = 2 - studied.astype(np.intp) - favoured
        return applicability

    def spelled(self, words: _Spelled) -> Ints:
        def spell(state: list[int]) -> list[dict[str, Any]]:
            return [
                {"use": place, "role": use.use.role, "stance": use.use.stance, "studied_here": one == 2 if use.use.diseases else None}
                for (place, use), one in zip(self.uses, state, strict=True)
                if one
            ]

        return words.of([np.where(applies, 1 + studied, 0) for applies, studied in zip(self.apply, self.studied, strict=True)], 3, spell)

    def favouring(self, option: int) -> list[_Said]:
        return [
            _Said(option, place, self.rows[true], criterion, (criterion.label, list(criterion.sources)))
            for place, (criterion, true) in enumerate(self.favours)
            if true.any()
        ]


def _studied(use: PlannedUse, diseases: Mapping[str, Mask], n: int) -> Mask:
    if not use.use.diseases:
        return np.ones(n, dtype=np.bool_)
    found: Mask = np.any([np.zeros(n, dtype=np.bool_), *(diseases[key] for key in use.use.diseases if key in diseases)], axis=0)
    return found


class _Rules:
    """The safety rules of a treatment in every patient."""

    def __init__(self, evaluation: Evaluation, each: PlannedTreatment) -> None:
        self.rules = sorted(each.safety, key=lambda pair: _GRAVITY[pair[0].verdict])
        self.truth: list[Truth] = [evaluation.columns[criterion.column] for _, criterion in self.rules]

    def number(self, verdict: str, rows: Ints) -> Ints:
        """How many rules of a verdict hold."""
        holding = [truth[rows] == TRUE for (rule, _), truth in zip(self.rules, self.truth, strict=True) if rule.verdict == verdict]
        return sum(holding, np.zeros(len(rows), dtype=np.intp))

    def cleared(self, rows: Ints) -> Ints:
        return sum((truth[rows] == FALSE for truth in self.truth), np.zeros(len(rows), dtype=np.intp))

    def not_checked(self, rows: Ints, words: _Spelled) -> Ints:
        """Keys of the rules that lack a fact; those that no record can answer are not named: they are the same for everybody."""
        keys = [rule.key for rule, _ in self.rules]
        states = [np.zeros(len(rows), dtype=np.intp), *((truth[rows] == UNKNOWN).astype(np.intp) for truth in self.truth)]
        return words.of(states, 2, lambda state: [key for key, one in zip(keys, state[1:], strict=True) if one])

    def holding(self, number: int, rows: Ints) -> list[_Said]:
        found = [
            _Said(number, place, rows[truth[rows] == TRUE], criterion, (rule.key, rule.verdict))
            for place, ((rule, criterion), truth) in enumerate(zip(self.rules, self.truth, strict=True))
        ]
        return [said for said in found if len(said.rows)]


def _add(found: _Collected, evaluation: Evaluation, each: PlannedTreatment, use: _Uses, rules: _Rules, numbers: Mapping[str, int]) -> None:
    """The rows of one treatment for one type, without what is listed with its facts."""
    rows, treatment = use.rows, each.treatment
    evidence, stance = evidence_of(evaluation.plan.knowledge, treatment.key, use.type), use.stance
    parts = (  # as _order_key of calcinosis.options
        (np.minimum(rules.number("contraindicated", rows), 1), 2),
        (stance, len(STANCES)),
        (use.applicability, 3),
        (NO_LEVEL if evidence.level is None else evidence.level, NO_LEVEL + 1),
        (EFFECTS.index(effect_of(evidence.directions)), len(EFFECTS)),
        (np.minimum(rules.number("caution", rows), 1), 2),
    )
    order = np.zeros(len(rows), dtype=np.int64)
    for part, size in parts:
        order = order * size + part
    found.add(
        len(rows),
        **numbers,
        label=treatment.label,
        type=use.type,
        treatment=treatment.key,
        row=rows,
        order=order,
        stance=stance,
        current=np.full(len(rows), _NOT_ASKED) if each.current is None else evaluation.columns[each.current.column][rows],
        uses=use.spelled(found.uses),
        not_checked=rules.not_checked(rows, found.not_checked),
        cleared=rules.cleared(rows),
    )


def _listed(said: Sequence[_Said], names: Sequence[str], name: str, evaluation: Evaluation, facts: Facts) -> pl.DataFrame:
    """row, option, and in ``name`` the list of what is said, with its facts; what has one label is said once."""
    if not said:
        return pl.DataFrame(schema={"row": pl.Int64, "option": pl.Int64, name: OPTION_SCHEMA[name]})
    sizes = [len(each.rows) for each in said]
    rows = np.concatenate([each.rows for each in said])
    criteria = np.repeat([each.criterion.id for each in said], sizes)
    which = pl.Series(np.repeat(np.arange(len(said)), sizes))
    words = {each: pl.Series([one.words[place] for one in said]).gather(which) for place, each in enumerate(names)}
    long = pl.DataFrame(
        {
            "row": rows,
            "option": np.repeat([each.option for each in said], sizes),
            "place": np.repeat([each.place for each in said], sizes),
            **words,
            "facts": facts_behind(evaluation, facts, rows, criteria).fill_null([]),
        }
    )
    keys = ["row", "option"]
    return (
        long.sort(*keys, "place")
        .group_by(*keys, names[0], maintain_order=True)
        .agg(pl.col(*names[1:], "facts").last())
        .group_by(*keys, maintain_order=True)
        .agg(pl.struct(*names, "facts").alias(name))
    )
