"""Questions: the distinct leaves of a knowledge base as tables by number of concept, so that facts find the questions about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calcinosis.derived import FLAG
from calcinosis.events import FLAGS
from calcinosis.findings import Leaf, is_plain, leaf_id
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import AgeIs, Current, Elsewhere, Has, LabIs, LabValue, Over, SameSite, SexIs, Suspected, concepts_asked
from calcinosis.numbers import Ints, Links, Mask, Numbers, concept_numbers
from calcinosis.truth import FALSE, TRUE
from calcinosis.units import conversion_factor

FLAG_MEANS = {  # asked -> (flags that say yes, flags that say no); any other flag leaves it unknown
    "high": (("high",), ("low", "normal")),
    "low": (("low",), ("high", "normal")),
    "normal": (("normal", "negative"), ("low", "high", "abnormal", "positive")),
    "positive": (("positive", "high", "abnormal"), ("negative", "normal")),
    "negative": (("negative", "normal"), ("positive", "high", "abnormal")),
}

MOMENTS: Final = {"index": 0, "now": 1, "ever": 2}
_DONE: Final = ("procedure",)  # kinds of concepts that are done and do not go on


class Table:
    """Rows of questions by a number, mostly that of the concept they look at."""

    def __init__(self, rows: Iterable[tuple[Any, ...]], types: Sequence[type], size: int) -> None:
        ordered = sorted(rows, key=lambda row: row[0])
        columns = list(zip(*ordered, strict=True)) or [()] * (len(types) + 1)
        self.links = Links.to_sorted(np.array(columns[0], dtype=np.intp), size)
        self.columns: tuple[npt.NDArray[Any], ...] = tuple(
            np.array(column, dtype=kind) for column, kind in zip(columns[1:], types, strict=True)
        )

    def concerns(self, numbers: Ints) -> Ints:
        """Places of the numbers that any question is about."""
        return np.flatnonzero(self.links.any(numbers))

    def of(self, numbers: Ints) -> tuple[Any, ...]:
        """To each number each of its questions: place of the number, and the columns of the question."""
        which, row = self.links.follow(numbers)
        return which, *(column[row] for column in self.columns)


@dataclass(frozen=True)
class Questions:
    """The distinct leaves of a knowledge base as tables by number of concept, built once."""

    knowledge: Knowledge
    leaves: tuple[tuple[Leaf, bool], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(leaf_id(leaf, now=now) for leaf, now in self.leaves)

    @cached_property
    def numbers(self) -> Numbers:
        return concept_numbers(self.knowledge)

    @cached_property
    def presence(self) -> Ints:
        """Number of a concept -> leaf of the plain presence question, −1 for none."""
        return self._one_each([(leaf.has, j) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Has) and is_plain(leaf)])

    @cached_property
    def suspicion(self) -> Ints:
        return self._one_each([(leaf.suspected, j) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Suspected)])

    @cached_property
    def current(self) -> Table:
        """A recorded concept -> leaf, the days for which an entry counts, whether it is the very concept asked for, whether a procedure is
        asked for, and whether an entry called active counts whatever its age."""
        usual = self.knowledge.setting("current_within_days") if any(isinstance(leaf, Current) for leaf, _ in self.leaves) else None
        rows = [
            (
                self.numbers[shown_by], j, usual if leaf.within_days is None else leaf.within_days, shown_by == leaf.current,
                self.knowledge.concepts[leaf.current].kind in _DONE,
                self.knowledge.concepts[leaf.current].kind == "drug" and leaf.within_days is None,
            )
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, Current)
            for shown_by in self.knowledge.descendants[leaf.current]
        ]  # fmt: skip
        return Table(rows, (np.intp, np.float64, np.bool_, np.bool_, np.bool_), len(self.numbers))

    @cached_property
    def over(self) -> Table:
        """A recorded concept -> leaf, and the days for which it must have been over."""
        usual = self.knowledge.setting("ended_sign_days") if any(isinstance(leaf, Over) for leaf, _ in self.leaves) else None
        rows = [
            (self.numbers[shown_by], j, usual if leaf.for_days is None else leaf.for_days)
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, Over)
            for shown_by in self.knowledge.descendants[leaf.over]
        ]
        return Table(rows, (np.intp, np.float64), len(self.numbers))

    @cached_property
    def qualified(self) -> Table:
        """A recorded concept -> leaf, number of the site asked for (−1: anywhere), lead_from, lead_to, within (NaN: any)."""
        number = self.numbers
        rows = [
            (number[shown_by], j, number[leaf.at] if leaf.at else -1, *(leaf.days_before_onset or (None, None)), leaf.within_days)
            for j, (leaf, _) in enumerate(self.leaves)
            if isinstance(leaf, Has) and not is_plain(leaf)
            for shown_by in self.knowledge.descendants[leaf.has]
        ]  # fmt: skip
        return Table(rows, (np.intp, np.intp, np.float64, np.float64, np.float64), len(self.numbers))

    @cached_property
    def same_site(self) -> Table:
        return self._pairs([(j, leaf.same_site) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, SameSite)])

    @cached_property
    def elsewhere(self) -> Table:
        return self._pairs([(j, leaf.elsewhere) for j, (leaf, _) in enumerate(self.leaves) if isinstance(leaf, Elsewhere)])

    def _pairs(self, leaves: list[tuple[int, tuple[str, str]]]) -> Table:
        """A recorded concept -> leaf, and whether it shows the first of the two concepts."""
        rows = [
            (self.numbers[shown_by], j, side == 0)
            for j, pair in leaves
            for side, concept in enumerate(pair)
            for shown_by in self.knowledge.descendants[concept]
        ]
        return Table(rows, (np.intp, np.bool_), len(self.numbers))

    @cached_property
    def regions(self) -> dict[int, Ints]:
        """Leaf of ``elsewhere`` -> to each site (the last: not known) the regions that it lies in or shares a place with, as bits."""
        inside = self.within_site
        found: dict[int, Ints] = {}
        for j, (leaf, _) in enumerate(self.leaves):
            if isinstance(leaf, Elsewhere):
                found[j] = np.zeros(len(inside), dtype=np.intp)
                for bit, region in enumerate(leaf.regions):
                    found[j][inside[inside[:, self.numbers[region]]].any(axis=0)] |= 1 << bit
        return found

    @cached_property
    def tissues(self) -> Mask:
        """Sites that may lie in any region: a calcified muscle may be one of the leg."""
        mask = np.zeros(len(self.numbers) + 1, dtype=np.bool_)
        mask[[self.numbers[key] for key in self.knowledge.descendants.get("tissue", ())]] = True
        return mask

    @cached_property
    def absence(self) -> Table:
        """A concept -> leaves that are false when it is absent: qualified presence, at the same site, elsewhere, going on."""
        rows = []
        for j, (leaf, _) in enumerate(self.leaves):
            if not (isinstance(leaf, Has) and is_plain(leaf)):
                rows += [(self.numbers[concept], j) for concept in _concepts(leaf)]
        return Table(rows, (np.intp,), len(self.numbers))

    @cached_property
    def within_site(self) -> Mask:
        """[site, other]: the first lies in the second, or is it. The last row and column stand for a site that is not known."""
        inside = np.zeros((len(self.numbers) + 1, len(self.numbers) + 1), dtype=np.bool_)
        for key, ancestors in self.knowledge.ancestors.items():
            if self.knowledge.concepts[key].kind == "site":
                inside[self.numbers[key], [self.numbers[above] for above in ancestors]] = True
        return inside

    @cached_property
    def flags(self) -> Table:
        """Concept, moment and flag (see ``flag_number``) -> leaf, truth."""
        rows = []
        for j, (leaf, now) in enumerate(self.leaves):
            if isinstance(leaf, LabIs):
                yes, no = FLAG_MEANS[leaf.is_]
                concept, moment = self.numbers[leaf.lab], MOMENTS["ever" if leaf.ever else "now" if now else "index"]
                rows += [(flag_number(concept, moment, FLAG[flag]), j, TRUE) for flag in yes]
                if not leaf.ever:  # one normal value does not show that it was never otherwise
                    rows += [(flag_number(concept, moment, FLAG[flag]), j, FALSE) for flag in no]
        return Table(rows, (np.intp, np.int8), len(self.numbers) * len(MOMENTS) * len(FLAGS))

    @cached_property
    def limits(self) -> Table:
        """Concept and moment -> leaf, at_least and below in the canonical unit (NaN: no limit)."""
        rows = []
        for j, (leaf, now) in enumerate(self.leaves):
            if isinstance(leaf, LabValue):
                lab = self.knowledge.concepts[leaf.value].lab
                if lab is None or lab.unit is None:
                    raise ValueError(f"{leaf.value} has no canonical unit, so no value of it can be compared")
                factor = conversion_factor(leaf.unit, lab.unit, lab.molar_mass, lab.valence)
                low, high = (None if limit is None else self.knowledge.number(limit) * factor for limit in (leaf.at_least, leaf.below))
                rows.append((self.numbers[leaf.value] * len(MOMENTS) + MOMENTS["now" if now else "index"], j, low, high))
        return Table(rows, (np.intp, np.float64, np.float64), len(self.numbers) * len(MOMENTS))

    @cached_property
    def person(self) -> tuple[tuple[int, AgeIs | SexIs, bool], ...]:
        return tuple((j, leaf, now) for j, (leaf, now) in enumerate(self.leaves) if isinstance(leaf, AgeIs | SexIs))

    def warm(self) -> None:
        """Build every table that is otherwise built on first use."""
        _ = self.names, self.presence, self.suspicion, self.current, self.over, self.qualified, self.same_site, self.elsewhere
        _ = self.absence, self.within_site, self.regions, self.flags, self.limits, self.person

    def closed(self, kinds: frozenset[str]) -> dict[str, list[int]]:
        """Concepts of the kinds for which silence means absence, each with the leaves that are false when it is absent."""
        found: dict[str, list[int]] = {}
        for j, (leaf, _) in enumerate(self.leaves):
            for concept in _concepts(leaf):
                if self.knowledge.concepts[concept].kind in kinds:
                    found.setdefault(concept, []).append(j)
        return found

    def _one_each(self, rows: list[tuple[str, int]]) -> Ints:
        leaves = np.full(len(self.numbers), -1, dtype=np.intp)
        for concept, j in rows:
            leaves[self.numbers[concept]] = j
        return leaves


def flag_number(concept: Any, moment: Any, flag: Any) -> Any:
    return (concept * len(MOMENTS) + moment) * len(FLAGS) + flag


def _concepts(leaf: Leaf) -> tuple[str, ...]:
    """The concepts whose presence a leaf asks for."""
    return () if isinstance(leaf, Suspected) else concepts_asked(leaf)


def all_leaves(wanted: Iterable[tuple[Leaf, bool]]) -> tuple[tuple[Leaf, bool], ...]:
    """Distinct leaves in a stable order."""
    return tuple({leaf_id(leaf, now=now): (leaf, now) for leaf, now in wanted}.values())
