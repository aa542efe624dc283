"""Findings: criteria over facts, each true, false or unknown for every patient at once.

A criterion is a tree whose leaves ask one thing of the facts (:mod:`calcinosis.leaves`). This module knows the trees: their names and
parts; :mod:`calcinosis.reasoning.program` compiles them all together.
"""

from __future__ import annotations

from collections.abc import Iterator

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import (
    AgeIs,
    All,
    AnyKnown,
    AnyOf,
    AtLeast,
    Criterion,
    Current,
    Elsewhere,
    FindingRef,
    Has,
    HasAny,
    HypothesisAtLeast,
    Known,
    LabIs,
    LabValue,
    Not,
    Over,
    SameSite,
    SexIs,
    Suspected,
    concepts_asked,
)

Leaf = Has | Current | Over | Suspected | SameSite | Elsewhere | LabIs | LabValue | AgeIs | SexIs


def leaf_id(leaf: Leaf, *, now: bool = False) -> str:
    """The column that holds a leaf. ``now`` asks for the latest measurement and today's age instead of those at the index date."""
    match leaf:
        case Has():
            return "has:" + leaf.has + (f"@{leaf.at}" if leaf.at else "") + _qualifiers(leaf)
        case Current():
            return f"current:{leaf.current}" + ("" if leaf.within_days is None else f"±{leaf.within_days}d")
        case Over():
            return f"over:{leaf.over}" + ("" if leaf.for_days is None else f"±{leaf.for_days}d")
        case Suspected():
            return f"suspected:{leaf.suspected}"
        case SameSite():
            return "same_site:" + "&".join(leaf.same_site)
        case Elsewhere():
            return "elsewhere:" + "&".join(leaf.elsewhere) + "@" + "|".join(leaf.regions)
        case LabIs():
            return f"lab:{leaf.lab}:{leaf.is_}" + (":ever" if leaf.ever else ":now" if now else "")
        case LabValue():
            return f"value:{leaf.value}:[{leaf.at_least},{leaf.below}){leaf.unit}" + (":now" if now else "")
        case AgeIs():
            return f"age:[{leaf.at_least},{leaf.below})" + (":now" if now else "")
        case SexIs():
            return f"sex:{leaf.sex}"


def _qualifiers(leaf: Has) -> str:
    lead = f"~{leaf.days_before_onset[0]}..{leaf.days_before_onset[1]}d" if leaf.days_before_onset else ""
    return lead + (f"±{leaf.within_days}d" if leaf.within_days is not None else "")


def is_plain(leaf: Has) -> bool:
    """A presence question without site or time."""
    return leaf_id(leaf) == f"has:{leaf.has}"


def expand(criterion: Criterion) -> Criterion:
    """Write shorthand out: ``has_any`` is an ``any`` of ``has``, at each of its sites; ``without`` is asked of each site on its own."""
    if not isinstance(criterion, HasAny):
        return criterion
    places: list[Criterion] = []
    for site in criterion.sites or (None,):
        lies = [Has(has=concept, at=site) for concept in criterion.has_any]
        if criterion.without:
            there = AnyOf(any=tuple(Has(has=concept, at=site) for concept in criterion.without))
            places.append(All(all=(AnyOf(any=tuple(lies)), Not(**{"not": Known(known=there)}))))
        else:
            places += lies
    return AnyOf(any=tuple(places))


def children(criterion: Criterion) -> tuple[Criterion, ...]:
    """The direct parts of a compound criterion; empty for a leaf or a reference."""
    match expand(criterion):
        case All(all_=parts) | AnyOf(any_=parts) | AnyKnown(any_known=parts) | AtLeast(of=parts):
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
    elif isinstance(criterion, Leaf):
        yield criterion
        if isinstance(criterion, Has) and not is_plain(criterion):
            yield Has(has=criterion.has)  # a qualified leaf is false when the plain one is
        elif isinstance(criterion, SameSite | Elsewhere | Current | Over):  # what was denied is at no site, and is not going on
            yield from (Has(has=concept) for concept in concepts_asked(criterion))
    else:
        for part in children(criterion):
            yield from leaves(part, knowledge)


def references(criterion: Criterion) -> Iterator[FindingRef | HypothesisAtLeast]:
    """The findings and hypotheses a criterion names directly."""
    if isinstance(criterion, FindingRef | HypothesisAtLeast):
        yield criterion
    for part in children(criterion):
        yield from references(part)
