"""The rules as a program: levels of array operations over one matrix of truth values.

Row *j* of the matrix holds one node for every patient: first the leaves, then every distinct part of every criterion once, then the
statuses. A node stands one level above the highest node it reads, so all nodes of one kind and level are answered by one NumPy call,
whether there is one patient or a million. (Calling a function per criterion cost three times as much for one patient.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from calcinosis.findings import Leaf, children, expand, leaf_id
from calcinosis.knowledge.criteria import All, AnyKnown, AnyOf, AtLeast, Criterion, FindingRef, HypothesisAtLeast, Known, Not, Status
from calcinosis.knowledge.model import StatusRule
from calcinosis.truth import FALSE, TRUE, UNKNOWN, from_bool

Matrix = npt.NDArray[np.int8]
_Rows = npt.NDArray[np.intp]
_PATIENTS_AT_A_TIME: Final = 8192  # keeps the matrix of all nodes small, however many patients there are
_NO_RULE: Final = np.int8(127)


@dataclass(frozen=True, slots=True)
class _Operation:
    """All nodes of one kind in one level. They stand next to each other in the matrix, so that their answers are written in one piece.

    ``first`` is the row of the first node; ``reads`` are the rows they read, one after the other; ``starts`` where each node begins, the
    nodes that read most first; ``turns`` the first row that each node reads, the second of those that read two, and so on; ``numbers``
    what else each needs.
    """

    kind: str  # "all", "any", "not", "known", "reaches", "reaches_if_judged", "at_least", "status"
    first: int
    reads: _Rows
    starts: _Rows
    turns: tuple[_Rows, ...]
    numbers: npt.NDArray[np.int8]  # "reaches": rank; "at_least": how many; "status": ranks of the rules, NOT_ASSESSED last
    places: npt.NDArray[np.int8]  # "status": of each rule among those of its node

    def run(self, values: Matrix) -> None:
        writes = values[self.first : self.first + len(self.starts)]
        if self.kind in ("all", "any"):  # by whole rows: ``reduceat`` takes one truth after the other
            combine = np.minimum if self.kind == "all" else np.maximum
            values.take(self.turns[0], axis=0, out=writes)
            for rows in self.turns[1:]:
                part = writes[: len(rows)]
                combine(part, values.take(rows, axis=0), out=part)
            return
        read = values.take(self.reads, axis=0)
        match self.kind:
            case "not":
                np.subtract(TRUE, read, out=writes)
            case "known":
                np.bitwise_and(read, TRUE, out=writes)
            case "reaches":
                writes[:] = from_bool(read >= self.numbers[:, None])
            case "reaches_if_judged":
                writes[:] = np.where(read == Status.NOT_ASSESSED.rank, UNKNOWN, from_bool(read >= self.numbers[:, None]))
            case "at_least":
                wanted = self.numbers[:, None].astype(np.int16)
                true = np.add.reduceat((read == TRUE).astype(np.int16), self.starts, axis=0)
                possible = np.add.reduceat((read != FALSE).astype(np.int16), self.starts, axis=0)
                writes[:] = np.where(true >= wanted, TRUE, np.where(possible < wanted, FALSE, UNKNOWN))
            case "status":
                fired = np.minimum.reduceat(np.where(read == TRUE, self.places[:, None], _NO_RULE), self.starts, axis=0)
                fired[fired == _NO_RULE] = -1
                writes[:] = fired
                n, width = self.numbers.shape
                rank = self.numbers.reshape(-1).take(np.arange(0, n * width, width)[:, None] + fired % width)
                values[self.first + n : self.first + 2 * n] = rank


@dataclass(frozen=True, slots=True)
class Program:
    """What :class:`Compiler` made.

    Attributes:
        names: column -> row of the matrix that :meth:`run` returns: leaves, ``finding:<key>``, ``criterion:<id>``,
            ``fired:<hypothesis>`` (index of the deciding rule, −1 for none), ``rank:<hypothesis>`` (of its status).
    """

    names: dict[str, int]
    leaves: int
    rows: int
    kept: _Rows
    operations: tuple[_Operation, ...]

    def run(self, leaves: Matrix) -> Matrix:
        """``leaves``: shape (leaves, patients). Returns the named rows, leaves first."""
        answers = np.empty((len(self.kept), leaves.shape[1]), dtype=np.int8)
        for start in range(0, leaves.shape[1], _PATIENTS_AT_A_TIME):
            part = leaves[:, start : start + _PATIENTS_AT_A_TIME]
            values = np.empty((self.rows, part.shape[1]), dtype=np.int8)
            values[: self.leaves] = part
            for operation in self.operations:
                operation.run(values)
            answers[:, start : start + _PATIENTS_AT_A_TIME] = values.take(self.kept, axis=0)
        return answers


class Compiler:
    """Collects criteria and statuses; what they name must have been added before."""

    def __init__(self, leaves: Iterable[tuple[Leaf, bool]]) -> None:
        self._named = {leaf_id(leaf, now=now): j for j, (leaf, now) in enumerate(leaves)}
        self._leaves = len(self._named)
        self._levels = [0] * self._leaves
        self._nodes: dict[tuple[object, ...], int] = {}
        self._parts: dict[int, list[tuple[str, int, Sequence[int], Sequence[int]]]] = {}  # level -> (kind, row, reads, numbers)

    def add(self, name: str, criterion: Criterion, *, now: bool = False) -> None:
        """``now``: what speaks for alarm or against a treatment today. The criterion's own measurements are the latest, not those at the
        index date, and a hypothesis that nobody could judge is unknown, not denied.
        """
        self._named[name] = self._node(criterion, now=now)

    def add_status(self, hypothesis: str, rules: Sequence[tuple[str, StatusRule]]) -> None:
        """The first rule that is true sets the status; an unknown rule never fires. ``rules``: name of the rule's column, and the rule."""
        ranks = [rule.status.rank for _, rule in rules]
        fired = self._write("status", [self._named[name] for name, _ in rules], [*ranks, Status.NOT_ASSESSED.rank], rows=2)
        self._named[f"fired:{hypothesis}"], self._named[f"rank:{hypothesis}"] = fired, fired + 1

    def program(self) -> Program:
        names = list(self._named)
        groups = [
            (kind, sorted((part for part in self._parts[level] if part[0] == kind), key=lambda part: -len(part[2])))
            for level in sorted(self._parts)
            for kind in dict.fromkeys(part[0] for part in self._parts[level])
        ]
        place = np.arange(len(self._levels))  # row of a node as it was added -> its row in the matrix
        firsts, row = [], self._leaves
        for kind, parts in groups:
            firsts.append(row)
            for offset in range(2 if kind == "status" else 1):
                for _, added, _, _ in parts:
                    place[added + offset], row = row, row + 1
        return Program(
            names={name: place for place, name in enumerate(names)},
            leaves=self._leaves,
            rows=len(self._levels),
            kept=place[[self._named[name] for name in names]],
            operations=tuple(_operation(kind, parts, first, place) for (kind, parts), first in zip(groups, firsts, strict=True)),
        )

    def _node(self, criterion: Criterion, *, now: bool) -> int:
        criterion = expand(criterion)
        match criterion:
            case FindingRef():
                return self._named[f"finding:{criterion.finding}"]
            case HypothesisAtLeast():
                kind = "reaches_if_judged" if now else "reaches"
                return self._once(kind, [self._named[f"rank:{criterion.hypothesis}"]], [criterion.at_least.rank])
            case All() | AnyOf():
                parts = list(dict.fromkeys(self._node(part, now=now) for part in children(criterion)))
                return parts[0] if len(parts) == 1 else self._once("all" if isinstance(criterion, All) else "any", sorted(parts))
            case AnyKnown():
                parts = list(dict.fromkeys(self._node(part, now=now) for part in criterion.any_known))
                denied = [self._once("not", [part]) for part in parts]
                all_unknown = self._once("all", sorted([*parts, *denied]))  # "a and not a" is unknown or false
                return self._once("any", sorted([*(self._once("known", [part]) for part in parts), all_unknown]))
            case Not():
                return self._once("not", [self._node(criterion.not_, now=now)])
            case Known():
                return self._once("known", [self._node(criterion.known, now=now)])
            case AtLeast():
                return self._once("at_least", [self._node(part, now=now) for part in criterion.of], [criterion.at_least])
            case _:
                return self._named[leaf_id(criterion, now=now)]  # type: ignore[arg-type]  # expand() leaves only leaves here

    def _once(self, kind: str, reads: Sequence[int], numbers: Sequence[int] = ()) -> int:
        key = (kind, *reads, *numbers)
        if key not in self._nodes:
            self._nodes[key] = self._write(kind, reads, numbers)
        return self._nodes[key]

    def _write(self, kind: str, reads: Sequence[int], numbers: Sequence[int], rows: int = 1) -> int:
        row = len(self._levels)
        level = 1 + max((self._levels[read] for read in reads), default=0)
        self._levels += [level] * rows
        self._parts.setdefault(level, []).append((kind, row, reads, numbers))
        return row


def _operation(kind: str, parts: Sequence[tuple[str, int, Sequence[int], Sequence[int]]], first: int, place: _Rows) -> _Operation:
    longest = max(len(numbers) for *_, numbers in parts)
    # ranks of a status are filled up with the last one, NOT_ASSESSED, which index −1 finds
    numbers = [[*numbers, *[numbers[-1]] * (longest - len(numbers))] for *_, numbers in parts] if longest else [[]]
    table = np.array(numbers, dtype=np.int8)
    most = max(len(reads) for _, _, reads, _ in parts)
    turns = tuple(place[[reads[turn] for _, _, reads, _ in parts if len(reads) > turn]] for turn in range(most))
    return _Operation(
        kind=kind,
        first=first,
        turns=turns,
        reads=place[[read for *_, reads, _ in parts for read in reads]],
        starts=np.cumsum([0, *(len(reads) for *_, reads, _ in parts)][:-1]).astype(np.intp),
        numbers=table if kind == "status" else table.reshape(-1),
        places=np.array([at for *_, reads, _ in parts for at in range(len(reads))], dtype=np.int8),
    )
