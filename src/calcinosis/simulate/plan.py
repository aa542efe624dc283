"""The simulation file compiled: every distinct thing a record can say is a numbered payload."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Lab
from calcinosis.knowledge.simulation import Condition, Entry, Figure, Measured, Panel, Simulation, Trait
from calcinosis.knowledge.simulation_check import adult_interval, figure_value
from calcinosis.units import canonical_factor

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Payload:
    """One thing a record can say, apart from who, when and how much."""

    kind: str  # condition, drug, procedure, report, note or lab
    label: str
    concept: str | None = None
    system: str | None = None
    code: str | None = None
    text: str | None = None
    unit: str | None = None
    unit_known: bool = True
    certainty: str = "affirmed"
    study: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedEntry:
    entry: Entry
    payloads: range
    share: float
    repeat: float
    ended: float
    shows_answer: bool  # words about a type or a mimic


@dataclass(frozen=True, slots=True)
class PlannedTest:
    """``mean`` and ``sd`` are in the canonical unit; ``factors`` turn them into the units as sent."""

    payloads: range
    mean: float
    sd: float
    floor: float
    limits: Floats  # cumulative shares of the spellings
    factors: Floats
    shifts: tuple[tuple[Condition, float, float], ...]


@dataclass(frozen=True, slots=True)
class PlannedPanel:
    panel: Panel
    share: float
    at_lesion: float
    tests: tuple[PlannedTest, ...]


@dataclass(slots=True)
class Plan:
    simulation: Simulation
    knowledge: Knowledge
    payloads: list[Payload] = field(default_factory=list)
    traits: list[tuple[Trait, float]] = field(default_factory=list)
    entries: list[PlannedEntry] = field(default_factory=list)
    panels: list[PlannedPanel] = field(default_factory=list)

    def number(self, figure: Figure | None, default: float = 0.0) -> float:
        return default if figure is None else figure_value(self.knowledge, figure)

    @property
    def trait_roles(self) -> dict[str, str]:
        """Trait key -> role, in the order of the file."""
        return {trait.key: trait.role for trait, _ in self.traits}


def make_plan(knowledge: Knowledge) -> Plan:
    """Compile the one simulation of the knowledge.

    Raises:
        ValueError: the knowledge holds no simulation.
    """
    if not knowledge.simulations:
        raise ValueError("the knowledge holds no simulation.yaml")
    plan = Plan(next(iter(knowledge.simulations.values())), knowledge)
    plan.traits = [(trait, plan.number(trait.share)) for trait in plan.simulation.traits]
    answers = {trait.key for trait, _ in plan.traits if trait.role in {"type", "mimic"}}
    for entry in plan.simulation.entries:
        first = len(plan.payloads)
        plan.payloads.extend(_payloads(entry))
        plan.entries.append(
            PlannedEntry(
                entry,
                range(first, len(plan.payloads)),
                plan.number(entry.share),
                plan.number(entry.repeat),
                plan.number(entry.ended),
                bool(entry.texts) and bool(answers.intersection((*entry.given, *entry.given_any))),
            )
        )
    for panel in plan.simulation.panels:
        tests = tuple(_test(plan, test) for test in panel.tests)
        plan.panels.append(PlannedPanel(panel, plan.number(panel.share), plan.number(panel.at_lesion), tests))
    return plan


def _payloads(entry: Entry) -> list[Payload]:
    if entry.texts:
        return [Payload(entry.kind, entry.label, text=text, study=entry.study) for text in entry.texts]
    split = [code.split("/", 1) for code in entry.codes]
    return [Payload(entry.kind, entry.label, entry.concept, system, code, certainty=entry.certainty) for system, code in split]


def _test(plan: Plan, test: Measured) -> PlannedTest:
    known = plan.knowledge.concepts[test.concept].lab if test.concept else None
    lab = known or Lab(unit=test.unit, molar_mass=None, valence=None, possible=None)
    scale = canonical_factor(test.unit, lab)
    interval = adult_interval(lab) if test.from_interval else None
    mean, sd = ((interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 4) if interval else (
        plan.number(test.mean) * scale, plan.number(test.sd) * scale,
    )  # fmt: skip
    first = len(plan.payloads)
    for spelling in test.spellings:
        system, code = spelling.code.split("/", 1)
        plan.payloads.append(Payload("lab", test.label, test.concept, system, code, unit=spelling.unit, unit_known=spelling.known))
    factors = [1 / canonical_factor(spelling.unit, lab) if spelling.known else 1.0 for spelling in test.spellings]
    shifts = tuple((shift, plan.number(shift.mean) * scale, plan.number(shift.sd) * scale) for shift in test.shifts)
    limits = np.cumsum([plan.number(spelling.share) for spelling in test.spellings])
    return PlannedTest(range(first, len(plan.payloads)), mean, sd, plan.number(test.floor) * scale, limits[:-1], np.array(factors), shifts)
