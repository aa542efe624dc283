"""What can be wrong with the simulation file beyond its shape; part of ``calcinosis knowledge check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from calcinosis.knowledge.loader import Knowledge, Problem
from calcinosis.knowledge.model import Lab
from calcinosis.knowledge.simulation import Condition, Figure, Measured, Simulation
from calcinosis.units import UnknownUnit, canonical_factor, conversion_factor

if TYPE_CHECKING:
    from pydantic import BaseModel


def figure_value(knowledge: Knowledge, figure: Figure) -> float:
    """The number itself.

    Raises:
        LookupError: ``derived_from`` names no prevalence with a number.
    """
    if figure.value is not None:
        return figure.value
    disease, _, index = str(figure.derived_from).partition("#")
    entries = knowledge.diseases[disease].prevalence if disease in knowledge.diseases else ()
    if int(index) >= len(entries):
        raise LookupError(f"no prevalence {figure.derived_from}")
    entry = entries[int(index)]
    if entry.numerator is not None and entry.denominator:
        return entry.numerator / entry.denominator
    if entry.percent is None:
        raise LookupError(f"prevalence {figure.derived_from} has no number")
    return entry.percent / 100


def check_simulation(knowledge: Knowledge) -> Iterator[Problem]:
    """Figures that do not resolve, shares beyond 0..1, unknown traits, concepts, codes and units."""
    for simulation in knowledge.simulations.values():
        origin = knowledge.origins["Simulation", simulation.key]
        for message in _defects(knowledge, simulation):
            yield Problem(origin, "simulation", message)


def _defects(knowledge: Knowledge, simulation: Simulation) -> Iterator[str]:
    known = {f"{code.system}/{code.code}": set[str]() for code in knowledge.codes}
    for code in knowledge.codes:
        known[f"{code.system}/{code.code}"].add(code.concept_key)
    seen: list[str] = []
    roles: dict[str, str] = {}
    for trait in simulation.traits:
        yield from _bad_traits(trait.key, trait, seen)
        if roles.setdefault(trait.key, trait.role) != trait.role:
            yield f"trait {trait.key!r} has two roles"
        seen.append(trait.key)
        wanted = {"disease": knowledge.diseases, "type": knowledge.types, "mimic": knowledge.mimics}.get(trait.role)
        if wanted is not None and trait.key not in wanted:
            yield f"{trait.key!r} is no {trait.role} of the knowledge"
        yield from _bad_figures(knowledge, trait.key, trait)
    for entry in simulation.entries:
        yield from _bad_traits(entry.key, entry, seen)
        yield from _bad_figures(knowledge, entry.key, entry)
        yield from _bad_codes(known, entry.key, entry.concept, entry.codes, entry.codes_verified_in)
        if entry.concept and entry.concept not in knowledge.concepts:
            yield f"{entry.key}: concept {entry.concept!r} does not exist"
    for panel in simulation.panels:
        yield from _bad_traits(panel.key, panel, seen)
        yield from _bad_figures(knowledge, panel.key, panel)
        for test in panel.tests:
            yield from _bad_test(knowledge, known, seen, test)


def _bad_traits(key: str, who: Condition, seen: Sequence[str]) -> Iterator[str]:
    for trait in (*who.given, *who.given_any, *who.unless):
        if trait not in seen:
            yield f"{key}: trait {trait!r} is not drawn before"


def _bad_figures(knowledge: Knowledge, key: str, record: BaseModel) -> Iterator[str]:
    for name in type(record).model_fields:
        figure = getattr(record, name)
        if not isinstance(figure, Figure):
            continue
        try:
            value = figure_value(knowledge, figure)
        except LookupError as error:
            yield f"{key}.{name}: {error.args[0]}"
            continue
        if name in {"share", "female", "ended", "at_lesion"} and not 0 <= value <= 1:
            yield f"{key}.{name}: {value} is no share"


def _bad_codes(known: dict[str, set[str]], key: str, concept: str | None, codes: Sequence[str], verified_in: str | None) -> Iterator[str]:
    for code in codes:
        if concept and concept not in known.get(code, set()):
            yield f"{key}: {code} is not a code of {concept} in codes.csv"
        if not concept and not verified_in:
            yield f"{key}: say in codes_verified_in where {code} was looked up"


def _bad_test(knowledge: Knowledge, known: dict[str, set[str]], seen: Sequence[str], test: Measured) -> Iterator[str]:
    yield from _bad_figures(knowledge, test.key, test)
    yield from _bad_codes(known, test.key, test.concept, [spelling.code for spelling in test.spellings], test.codes_verified_in)
    for shift in test.shifts:
        yield from _bad_traits(test.key, shift, seen)
        yield from _bad_figures(knowledge, test.key, shift)
    concept = knowledge.concepts.get(test.concept or "")
    lab = concept.lab if concept else Lab(unit=test.unit, molar_mass=None, valence=None, possible=None)
    if lab is None or lab.unit is None:
        yield f"{test.key}: {test.concept} has no canonical unit"
        return
    if test.from_interval and adult_interval(lab) is None:
        yield f"{test.key}: {test.concept} has no adult interval with both limits"
    for unit, good in ((test.unit, True), *((spelling.unit, spelling.known) for spelling in test.spellings)):
        try:
            canonical_factor(unit, lab)
            converts = True
        except UnknownUnit:
            converts = False
        if converts != good:
            yield f"{test.key}: unit {unit!r} {'converts' if converts else 'does not convert'}"
    shares = sum(figure_value(knowledge, spelling.share) for spelling in test.spellings)
    if abs(shares - 1) > 1e-9:
        yield f"{test.key}: the shares of the spellings add up to {shares:g}"


def adult_interval(lab: Lab) -> tuple[float, float] | None:
    """Limits of the interval for adults of either sex, in the canonical unit."""
    adult = 18.0
    for interval in lab.intervals:
        for_adults = interval.age_from_years <= adult < interval.age_below_years
        if for_adults and interval.low is not None and interval.high is not None and lab.unit:
            factor = conversion_factor(interval.unit, lab.unit, lab.molar_mass, lab.valence)
            return interval.low * factor, interval.high * factor
    return None
