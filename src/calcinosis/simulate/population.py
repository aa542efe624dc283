"""Who the patients are: traits, sex, age and visits of one block, drawn from the seed and the number of the block."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from calcinosis.knowledge.simulation import Condition
from calcinosis.simulate.plan import Plan

BLOCK = 20_000  # patients drawn from one child seed; fixed, so that nothing else decides what is drawn
RECORD_ENDS = date(2024, 12, 31)
DAYS_PER_YEAR = 365.25

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class Patients:
    """One block of ``n`` patients. Days count from 1970-01-01; visits are sorted by patient and time (minutes since 1970)."""

    n: int
    first_id: int
    traits: dict[str, Bools]
    subtypes: dict[str, NDArray[np.str_]]
    female: Bools
    birth_day: Ints
    death_day: Ints  # -1: alive
    visit_patient: Ints
    visit_minute: Ints
    visit_offset: Ints  # (n + 1,) first visit of each patient
    lesion_visit: Ints  # (n,) the visit at which a lesion is seen, if there is one


def whom(condition: Condition, traits: dict[str, Bools], n: int) -> Bools:
    """Mask over the patients that a condition names."""
    mask = np.ones(n, np.bool_)
    for key in condition.given:
        mask &= traits[key]
    if condition.given_any:
        mask &= np.logical_or.reduce([traits[key] for key in condition.given_any])
    for key in condition.unless:
        mask &= ~traits[key]
    return mask


def block_sizes(patients: int) -> list[int]:
    return [min(BLOCK, patients - first) for first in range(0, patients, BLOCK)]


def draw_patients(plan: Plan, rng: np.random.Generator, n: int, first_id: int) -> Patients:
    """Traits in the order of the file, then sex, age and visits."""
    settings = plan.simulation
    traits: dict[str, Bools] = {}
    subtypes: dict[str, NDArray[np.str_]] = {}
    p_female = np.full(n, plan.number(settings.female))
    age_from, age_below = np.full(n, plan.number(settings.age_from)), np.full(n, plan.number(settings.age_below))
    for trait, share in plan.traits:
        hit = whom(trait, traits, n) & (rng.random(n) < share)
        traits[trait.key] = traits[trait.key] | hit if trait.key in traits else hit
        if trait.subtype:
            subtypes.setdefault(trait.key, np.full(n, "", "U40"))[hit] = trait.subtype
        if trait.female:
            p_female[hit] = plan.number(trait.female)
        if trait.age_from:
            age_from[hit] = plan.number(trait.age_from)
        if trait.age_below:
            age_below[hit] = plan.number(trait.age_below)
    female = rng.random(n) < p_female
    end = (RECORD_ENDS - date(1970, 1, 1)).days
    birth_day = end - np.floor((age_from + rng.random(n) * (age_below - age_from)) * DAYS_PER_YEAR).astype(np.int64)
    length = plan.number(settings.years) * DAYS_PER_YEAR
    start = np.maximum(end - np.floor(length * (0.5 + 0.5 * rng.random(n))).astype(np.int64), birth_day + 1)
    counts = 1 + rng.poisson(plan.number(settings.visits), n)
    offset = np.concatenate(([0], np.cumsum(counts)))
    patient = np.repeat(np.arange(n), counts)
    day = start[patient] + np.floor(rng.random(len(patient)) * (end - start[patient])).astype(np.int64)
    minute = day * 1440 + rng.integers(8 * 60, 17 * 60, len(patient))
    minute = np.sort(patient << 32 | minute) & 0xFFFFFFFF
    lesion = offset[:-1] + np.floor(rng.random(n) * counts).astype(np.int64)
    dead = rng.random(n) < plan.number(settings.death)
    death_day = np.where(dead, minute[offset[1:] - 1] // 1440 + 1, -1)
    return Patients(n, first_id, traits, subtypes, female, birth_day, death_day, patient, minute, offset, lesion)
