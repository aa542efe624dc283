"""Criteria and references in readable words, for the reference pages and ``calcinosis knowledge show``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

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
    sites_named,
)
from calcinosis.knowledge.loader import Knowledge
from calcinosis.knowledge.model import Outcome, ReferenceInterval, Source
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import CurrentDrugReview, Treatment

Namer = Callable[[str, str], str]  # (table, key) -> how the entry is called
Outline = tuple[str, list["Outline"]]  # a line, and what stands under it

CRITERIA = (
    All, AnyOf, AnyKnown, AtLeast, Not, Known, FindingRef, HypothesisAtLeast, Has, HasAny, Current, Over, Suspected, SameSite, Elsewhere,
    LabIs, LabValue, AgeIs, SexIs,
)  # fmt: skip


def setting_value(knowledge: Knowledge, key: str) -> str:
    """A setting's value as text, or its key where it does not exist."""
    setting = knowledge.settings.get(key)
    if setting is None:
        return key
    return f"{setting.value:g}" if isinstance(setting.value, float) else str(setting.value)


def label_of(knowledge: Knowledge, table: str, key: str) -> str:
    """The label of an entry, or its key where the content names something that does not exist (the check reports that)."""
    record = getattr(knowledge, table).get(key)
    return str(record.label) if record is not None else key


def in_words(criterion: Criterion, knowledge: Knowledge, name: Namer | None = None) -> str:
    """One criterion on one line.

    >>> from calcinosis.knowledge import load_knowledge
    >>> from calcinosis.knowledge.model import AgeIs
    >>> in_words(AgeIs(age="years", below=18), load_knowledge())
    'age below 18 years'
    """
    return _on_one_line(outline(criterion, name or _plain_names(knowledge)))


def outline(criterion: Criterion, name: Namer) -> Outline:
    """The criterion as a tree of lines, so that long ones can be set as nested lists."""
    match criterion:
        case All(all_=parts):
            return "all of", [outline(part, name) for part in parts]
        case AnyOf(any_=parts):
            return "any of", [outline(part, name) for part in parts]
        case AnyKnown(any_known=parts):
            return "any of, of which those on record decide", [outline(part, name) for part in parts]
        case AtLeast(at_least=count, of=parts):
            return f"at least {count} of", [outline(part, name) for part in parts]
        case Not(not_=Known(known=part)):
            return _prefixed("not on record:", outline(part, name))
        case Not(not_=part):
            return _prefixed("shown not to hold:", outline(part, name))
        case Known(known=part):
            return _prefixed("on record:", outline(part, name))
        case _:
            return _leaf(criterion, name), []


def _leaf(criterion: Criterion, name: Namer) -> str:
    match criterion:
        case Has():
            return f"{name('concepts', criterion.has)} is recorded{_qualifiers(criterion, name)}"
        case Current(current=key, within_days=days):
            return f"{name('concepts', key)} goes on now" + (f" (recorded within {days:g} days)" if days is not None else "")
        case HasAny(has_any=keys, sites=sites, without=others):
            listed, places, absent = (", ".join(name("concepts", key) for key in each) for each in (keys, sites, others))
            where = f"; at {'this site' if len(sites) == 1 else 'one of these sites'}: {places}" if sites else ""
            return f"recorded is any of: {listed}{where}" + (f"; and not on record there: {absent}" if others else "")
        case Over(over=key, for_days=days):
            long = f"{days:g}" if days is not None else name("settings", "ended_sign_days")
            return f"{name('concepts', key)} is on record and ended at least {long} days ago"
        case Suspected(suspected=key):
            return f"{name('concepts', key)} is only suspected in the record"
        case SameSite(same_site=(first, second)):
            return f"{name('concepts', first)} and {name('concepts', second)} are recorded at a common site"
        case Elsewhere(elsewhere=(first, second), regions=regions):
            listed = ", ".join(name("concepts", key) for key in regions)
            both = f"{name('concepts', first)} and {name('concepts', second)}"
            return f"each record of {both} names a place, and they lie in different regions ({listed})"
        case LabIs(lab=key, is_=flag, ever=ever):
            return f"{name('concepts', key)} " + (f"was ever {flag}" if ever else f"is {flag}")
        case LabValue(value=key, unit=unit):
            return f"{name('concepts', key)} {_range(criterion.at_least, criterion.below, name)} {unit}"
        case AgeIs():
            return f"age {_range(criterion.at_least, criterion.below, name)} years"
        case SexIs(sex=sex):
            return f"sex is {sex}"
        case FindingRef(finding=key):
            return name("findings", key)
        case HypothesisAtLeast(hypothesis=key, at_least=status):
            return f"{name('hypotheses', key)} is at least {status.value}"
    raise TypeError(f"no words for {type(criterion).__name__}")


def _qualifiers(criterion: Has, name: Namer) -> str:
    words = f" at this site: {name('concepts', criterion.at)}" if criterion.at else ""
    if criterion.days_before_onset:
        first, last = criterion.days_before_onset
        words += f", {first:g} to {last:g} days before onset"
    if criterion.within_days is not None:
        words += f", within {criterion.within_days:g} days of the index date or undated"
    return words


def _range(at_least: float | str | None, below: float | str | None, name: Namer) -> str:
    """Limits in words; a limit that is a text is the key of a setting."""
    low, high = (name("settings", limit) if isinstance(limit, str) else f"{limit:g}" for limit in (at_least or 0.0, below or 0.0))
    if at_least is not None and below is not None:
        return f"from {low} to below {high}"
    return f"at least {low}" if at_least is not None else f"below {high}"


def _prefixed(prefix: str, part: Outline) -> Outline:
    return f"{prefix} {part[0]}", part[1]


def _on_one_line(part: Outline) -> str:
    line, parts = part
    return f"{line} ({'; '.join(_on_one_line(each) for each in parts)})" if parts else line


def _plain_names(knowledge: Knowledge) -> Namer:
    def name(table: str, key: str) -> str:
        if table == "hypotheses":
            return label_of(knowledge, "types" if key in knowledge.types else "mimics", key)
        if table == "settings":
            return f"{setting_value(knowledge, key)} (setting {key})"
        label = label_of(knowledge, table, key)
        return f"“{label}”" if table == "findings" else label

    return name


# --- what a record is made of ----------------------------------------------------------------------


def walk(value: Any) -> Iterator[BaseModel]:
    """Every record inside a record, itself included."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from walk(getattr(value, name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from walk(item)


def reads(record: BaseModel, knowledge: Knowledge) -> Iterator[tuple[str, str]]:
    """The entries that the criteria and outcomes of a record name directly: (table, key), each once."""
    yield from dict.fromkeys(pair for part in walk(record) for pair in _named(part, knowledge))


def _named(part: BaseModel, knowledge: Knowledge) -> Iterator[tuple[str, str]]:
    yield from (("concepts", key) for key in (*concepts_asked(part), *sites_named(part)))
    match part:
        case Treatment() | CurrentDrugReview():
            yield from (("concepts", key) for key in part.concepts)
        case Study():
            yield from (("treatments", key) for key in part.treatments)
        case Over(for_days=None):
            yield "settings", "ended_sign_days"
        case LabIs():
            yield "concepts", part.lab
        case LabValue():
            yield "concepts", part.value
            yield from (("settings", limit) for limit in (part.at_least, part.below) if isinstance(limit, str))
        case FindingRef():
            yield "findings", part.finding
        case HypothesisAtLeast():
            yield "types" if part.hypothesis in knowledge.types else "mimics", part.hypothesis
        case Outcome():
            yield from (("concepts", key) for key in (*part.labs, *part.concepts))


def cited(record: BaseModel) -> tuple[str, ...]:
    """Every source key inside a record, each once, in the order of the file."""
    keys: dict[str, None] = {}
    for part in walk(record):
        for field in ("sources", "suspected_sources"):
            keys.update(dict.fromkeys(getattr(part, field, ()) or ()))
    return tuple(keys)


def places_of(source: Source) -> list[tuple[str, str, str]]:
    """Where a source can be read: name, identifier, address."""
    places = (
        ("PubMed", source.pmid, f"https://pubmed.ncbi.nlm.nih.gov/{source.pmid}/"),
        ("PMC", source.pmcid, f"https://pmc.ncbi.nlm.nih.gov/articles/{source.pmcid}/"),
        ("doi", source.doi, f"https://doi.org/{source.doi}"),
        ("page", source.url, source.url or ""),
    )
    return [(name, value, address) for name, value, address in places if value]


def citation(source: Source) -> tuple[str, str]:
    """What to print for a source, and where it opens."""
    parts = (source.authors, str(source.year) if source.year else None, source.title, source.journal)
    addresses = {name: address for name, _, address in places_of(source)}
    best = next(name for name in ("PubMed", "doi", "PMC", "page") if name in addresses)  # the model sees to it that there is one
    return ", ".join(part for part in parts if part) or source.key, addresses[best]


def interval_in_words(interval: ReferenceInterval) -> str:
    low, high = (f"{limit:g}" if limit is not None else None for limit in (interval.low, interval.high))
    span = f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"
    ages = [f"from {interval.age_from_years:g} years"] if interval.age_from_years else []
    ages += [f"below {interval.age_below_years:g} years"] if interval.age_below_years < 200 else []
    return ", ".join(part for part in (f"{span} {interval.unit}", *ages, interval.sex, interval.note) if part)
