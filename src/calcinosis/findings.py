"""Findings: criteria over facts, each true, false or unknown for every patient at once.

A criterion is a tree whose leaves ask one thing of the facts (:mod:`calcinosis.leaves`). Every tree compiles to one function from
truth columns to a truth column, so one patient is a table of one row and there is no second evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce

from calcinosis import truth
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import (
    AgeIs,
    All,
    AnyOf,
    AtLeast,
    Criterion,
    FindingRef,
    Has,
    HasAny,
    HypothesisAtLeast,
    Known,
    LabIs,
    LabValue,
    Not,
    SameSite,
    SexIs,
    Suspected,
)
from calcinosis.truth import Truth

Leaf = Has | Suspected | SameSite | LabIs | LabValue | AgeIs | SexIs
Columns = Mapping[str, Truth]  # leaf columns, "finding:<key>" and "rank:<hypothesis>" (status ranks, not truth)
Evaluator = Callable[[Columns], Truth]


def leaf_id(leaf: Leaf, *, now: bool = False) -> str:
    """The column that holds a leaf. ``now`` asks for the latest measurement instead of the one at the index date."""
    match leaf:
        case Has():
            return "has:" + leaf.has + (f"@{leaf.at}" if leaf.at else "") + _qualifiers(leaf)
        case Suspected():
            return f"suspected:{leaf.suspected}"
        case SameSite():
            return "same_site:" + "&".join(leaf.same_site)
        case LabIs():
            return f"lab:{leaf.lab}:{leaf.is_}" + (":ever" if leaf.ever else ":now" if now else "")
        case LabValue():
            return f"value:{leaf.value}:[{leaf.at_least},{leaf.below}){leaf.unit}" + (":now" if now else "")
        case AgeIs():
            return f"age:[{leaf.at_least},{leaf.below})"
        case SexIs():
            return f"sex:{leaf.sex}"


def _qualifiers(leaf: Has) -> str:
    lead = f"~{leaf.days_before_onset[0]}..{leaf.days_before_onset[1]}d" if leaf.days_before_onset else ""
    return lead + (f"±{leaf.within_days}d" if leaf.within_days is not None else "")


def is_plain(leaf: Has) -> bool:
    """A presence question without site or time."""
    return leaf_id(leaf) == f"has:{leaf.has}"


def expand(criterion: Criterion) -> Criterion:
    """Write shorthand out: ``has_any`` is an ``any`` of ``has``."""
    if isinstance(criterion, HasAny):
        return AnyOf(any=tuple(Has(has=concept, at=criterion.at) for concept in criterion.has_any))
    return criterion


def children(criterion: Criterion) -> tuple[Criterion, ...]:
    """The direct parts of a compound criterion; empty for a leaf or a reference."""
    match expand(criterion):
        case All(all_=parts) | AnyOf(any_=parts) | AtLeast(of=parts):
            return parts
        case Not(not_=part) | Known(known=part):
            return (part,)
        case _:
            return ()


def leaves(criterion: Criterion, knowledge: Knowledge) -> Iterator[Leaf]:
    """Every leaf a criterion reads, through the findings it names."""
    criterion = expand(criterion)
    if isinstance(criterion, FindingRef):
        yield from leaves(knowledge.findings[criterion.finding].when, knowledge)
    elif isinstance(criterion, Has | Suspected | SameSite | LabIs | LabValue | AgeIs | SexIs):
        yield criterion
        if isinstance(criterion, Has) and not is_plain(criterion):
            yield Has(has=criterion.has)  # a qualified leaf is false when the plain one is
        elif isinstance(criterion, SameSite):
            yield from (Has(has=concept) for concept in criterion.same_site)
    else:
        for part in children(criterion):
            yield from leaves(part, knowledge)


def references(criterion: Criterion) -> Iterator[FindingRef | HypothesisAtLeast]:
    """The findings and hypotheses a criterion names directly."""
    if isinstance(criterion, FindingRef | HypothesisAtLeast):
        yield criterion
    for part in children(criterion):
        yield from references(part)


def compile_criterion(criterion: Criterion, *, now: bool = False) -> Evaluator:
    """A function from columns to the criterion's truth. ``now``: its own measurements are the latest, not those at the index date.

    The tree is written out as one Python expression and compiled: walking it for every patient would cost three times as much.
    """
    evaluator: Evaluator = eval(f"lambda columns: {_source(criterion, now)}", _KLEENE)  # our own text; no input reaches it
    return evaluator


_KLEENE = {name: getattr(truth, name) for name in ("all_of", "any_of", "not_", "known", "at_least", "from_bool")}


def _source(criterion: Criterion, now: bool) -> str:
    criterion = expand(criterion)
    parts = [_source(part, now) for part in children(criterion)]
    match criterion:
        case FindingRef():
            return f"columns[{'finding:' + criterion.finding!r}]"
        case HypothesisAtLeast():
            return f"from_bool(columns[{'rank:' + criterion.hypothesis!r}] >= {criterion.at_least.rank})"
        case All():
            return reduce(lambda one, other: f"all_of({one}, {other})", parts)
        case AnyOf():
            return reduce(lambda one, other: f"any_of({one}, {other})", parts)
        case Not():
            return f"not_({parts[0]})"
        case Known():
            return f"known({parts[0]})"
        case AtLeast():
            return f"at_least({criterion.at_least}, [{', '.join(parts)}])"
        case _:
            return f"columns[{leaf_id(criterion, now=now)!r}]"  # type: ignore[arg-type]  # expand() leaves only leaves here
