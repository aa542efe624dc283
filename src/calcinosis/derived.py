"""Derived quantities: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.ages import years_between
from calcinosis.events import COMPARATORS, FLAGS
from calcinosis.knowledge import Knowledge
from calcinosis.numbers import DAY, LAST_TIME, NO_TIME, Floats, Ints, Mask, Micros, concept_numbers, firsts, values_at

DERIVED_FROM = {
    "calcium_adjusted": ("calcium_total", "calcium_ionised", "calcium_albumin_corrected"),
    "calcium_phosphate_product": ("calcium_total", "calcium_albumin_corrected", "phosphate"),
    "egfr": ("creatinine",),
}
FLAG_DECIDES = {"calcium_ionised": "calcium_adjusted"}  # the flag of the first is the flag of the second
MG_DL_PER_UMOL_L_CREATININE = 113.12 / 10_000  # chemistry: molar mass of creatinine

FLAG: Final = {flag: place for place, flag in enumerate(FLAGS)}
LOW, NORMAL, HIGH = (FLAG[name] for name in ("low", "normal", "high"))
COMPARATOR: Final = {comparator: place for place, comparator in enumerate(COMPARATORS)}
UNDER, AT_MOST, OVER, AT_LEAST = range(len(COMPARATORS))
AS_SENT, FOR_ALBUMIN, FROM_TWO, FROM_CREATININE, NOT_ADJUSTED = range(5)  # what was made of the events behind a measurement


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements, column by column. Numbers stand for names, NaN and −1 for none."""

    rows: Ints  # of the patient
    concepts: Ints
    time: Micros
    value: Floats  # canonical unit
    comparator: Ints  # index into ``COMPARATORS``
    flag: Ints  # index into ``FLAGS``
    flag_from: Ints  # index into ``judged.FLAG_FROM``
    low: Floats  # the laboratory's own interval
    high: Floats
    events: Ints  # (n, 3): rows of the events it rests on, the first one's words are shown
    made: Ints  # ``AS_SENT`` and so on
    rank: Ints  # the lower one decides

    def take(self, which: npt.NDArray[Any]) -> Measured:
        return Measured(*(getattr(self, field.name)[which] for field in fields(self)))

    @property
    def exact(self) -> Mask:
        """A number to compute with; "< 20" is none."""
        plain: Mask = self.comparator < 0
        return ~np.isnan(self.value) & plain

    def __len__(self) -> int:
        return len(self.rows)


def together(parts: Sequence[Measured]) -> Measured:
    parts = [part for part in parts if len(part)] or parts[:1]
    return parts[0] if len(parts) == 1 else Measured(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Measured)))


@dataclass(frozen=True, slots=True)
class People:
    """What a measurement is judged by, one entry per patient."""

    birth: npt.NDArray[np.datetime64]
    sex: Ints  # 1 female, 2 male, 0 other or unknown
    index_time: Micros
    as_of: Micros

    def age(self, measured: Measured) -> Floats:
        at = np.where(measured.time == NO_TIME, self.index_time[measured.rows], measured.time)
        return years_between(self.birth[measured.rows], at)


class Named:
    """The measurements of one analyte at a time. ``sources``: of all events (String)."""

    def __init__(self, measured: Measured, sources: pl.Series, knowledge: Knowledge) -> None:
        self.measured, self.sources, self.places = measured, sources, concept_numbers(knowledge).places
        self.same_sample_days = knowledge.setting("same_sample_days")

    def __getitem__(self, concept: str) -> Measured:
        return self.measured.take(np.flatnonzero(self.measured.concepts == self.number(concept)))

    def number(self, concept: str) -> int:
        return self.places.get(concept, -2)


def _nearest_sample(left: Measured, right: Measured, named: Named) -> Ints:
    """To each row of ``left`` the row of ``right`` of the same patient taken nearest in time, if within ``same_sample_days``; −1 for none.

    Of two equally near the later one; of several taken at one time the last by source and value. Undated samples belong together.
    """
    found = np.full(len(left), -1)
    if not len(left) or not len(right):
        return found
    _, moment = np.unique(np.concatenate([right.time, left.time]), return_inverse=True)
    width = int(moment.max()) + 1
    keys, wanted = right.rows * width + moment[: len(right)], left.rows * width + moment[len(right) :]
    order = np.argsort(keys, kind="stable")
    if not firsts(keys[order]).all():  # several at one time
        value = np.where(right.exact, right.value, -np.inf)
        order = np.lexsort((value, ranks(values_at(named.sources, right.events[:, 0])), keys))
    keys = keys[order]
    after = np.searchsorted(keys, wanted, "left")
    after = np.where(np.searchsorted(keys, wanted, "right") > after, np.searchsorted(keys, wanted, "right") - 1, after)
    distances = []
    for place in (after - 1, after):
        candidate = order[np.clip(place, 0, len(order) - 1)]
        apart = np.abs(right.time[candidate] - left.time)
        apart[(right.time[candidate] == NO_TIME) != (left.time == NO_TIME)] = LAST_TIME
        fits = (place >= 0) & (place < len(order)) & (right.rows[candidate] == left.rows) & (apart <= named.same_sample_days * DAY)
        distances.append((candidate, np.where(fits, apart, LAST_TIME)))
    (before, to_before), (after, to_after) = distances
    found = np.where(to_after <= to_before, after, before)
    return np.where(np.minimum(to_before, to_after) == LAST_TIME, -1, found)


def ranks(texts: Sequence[str | None]) -> Ints:
    """The place of each text among the distinct ones, none first."""
    places = {text: place for place, text in enumerate(sorted({text for text in texts if text is not None}), 1)}
    return np.array([0 if text is None else places[text] for text in texts], dtype=np.intp)


def adjusted_calcium(named: Named, knowledge: Knowledge) -> Measured:
    """``calcium_adjusted``: ionised flag > reported corrected value > total adjusted for albumin > total calcium.

    adjusted (mmol/L) = total + setting × (reference − albumin), albumin in g/L: the conventional rule in SI units
    (source ``spr_ca``: Springer chapter, doi 10.1007/978-1-4757-2945-0_29). Unreliable at extreme albumin; ionised calcium is preferred.
    """
    ionised = named["calcium_ionised"]
    ionised = ionised.take(ionised.flag >= 0)
    ionised = replace(ionised, value=np.full(len(ionised), np.nan))
    corrected = named["calcium_albumin_corrected"]
    corrected = replace(corrected, rank=np.ones(len(corrected), dtype=np.intp))
    everything = together([ionised, corrected, _total_calcium(named, knowledge)])
    return replace(everything, concepts=np.full(len(everything), named.number("calcium_adjusted")))


def _total_calcium(named: Named, knowledge: Knowledge) -> Measured:
    total, albumin = named["calcium_total"], named["albumin"]
    if not len(total):
        return total
    per_gram, reference = knowledge.setting("calcium_adjustment_per_g_per_l"), knowledge.setting("albumin_reference")
    nearest = _nearest_sample(total, albumin, named)
    there = nearest >= 0
    computed, low_albumin = np.zeros((2, len(total)), dtype=np.bool_)
    adjusted = total.value
    if there.any():
        computed = there & albumin.exact[nearest] & total.exact
        low_albumin = there & (albumin.flag[nearest] == LOW)
        adjusted = np.where(computed, total.value + per_gram * (reference - albumin.value[nearest]), total.value)
    # low albumin of unknown size: the true value lies at or above the total, so "low" and "normal" are not known
    hidden = low_albumin & ~computed & ((total.flag == LOW) | (total.flag == NORMAL))
    below = (total.comparator == UNDER) | (total.comparator == AT_MOST)
    comparator = np.where(hidden & total.exact, AT_LEAST, total.comparator)
    events = total.events.copy()
    events[computed, 1] = albumin.events[nearest[computed], 0]
    found = replace(
        total,
        value=np.where(hidden & below, np.nan, adjusted),
        comparator=comparator,
        flag=np.where(computed | hidden, -1, total.flag),
        flag_from=np.where(computed | hidden, -1, total.flag_from),
        events=events,
        made=np.where(computed, FOR_ALBUMIN, NOT_ADJUSTED),
        rank=np.where(computed, 2, 3),
    )
    return found.take(~np.isnan(found.value) | (found.flag >= 0))


def _computed(base: Measured, concept: int, value: Floats, made: int) -> Measured:
    """A computed measurement has no flag or interval of its own yet."""
    none, no_number = np.full(len(base), -1), np.full(len(base), np.nan)
    return replace(
        base, concepts=np.full(len(base), concept), value=value, made=np.full(len(base), made), flag=none, flag_from=none,
        low=no_number, high=no_number, rank=np.ones(len(base), dtype=np.intp),
    )  # fmt: skip


def product(calcium: Measured, named: Named) -> Measured:
    """Calcium × phosphate, mmol²/L², where both have a value."""
    phosphate = named["phosphate"]
    calcium, phosphate = calcium.take(calcium.exact), phosphate.take(phosphate.exact)
    nearest = _nearest_sample(calcium, phosphate, named)
    calcium, phosphate = calcium.take(nearest >= 0), phosphate.take(nearest[nearest >= 0])
    events = calcium.events.copy()
    events[:, 2] = phosphate.events[:, 0]
    found = _computed(calcium, named.number("calcium_phosphate_product"), calcium.value * phosphate.value, FROM_TWO)
    return replace(found, events=events)


def egfr(named: Named, people: People, knowledge: Knowledge) -> Measured:
    """CKD-EPI 2021 (Inker, NEJM 2021;385:1737) in adults; bedside Schwartz (JASN 2009;20:629) in children, where a height is on file.

    scale × min(Cr/κ, 1)^α × max(Cr/κ, 1)^exponent × per_year^age × female; k × height / Cr. Cr in mg/dL, height in cm, result in
    mL/min/1.73 m². The numbers are settings of the knowledge.
    """
    creatinine = named["creatinine"]
    creatinine = creatinine.take(creatinine.exact)
    if not len(creatinine):
        return creatinine
    number = knowledge.setting
    height = named["body_height"]
    age, sex = people.age(creatinine), people.sex[creatinine.rows]
    mg_dl = creatinine.value * MG_DL_PER_UMOL_L_CREATININE
    female = sex == 1
    with np.errstate(divide="ignore"):  # a creatinine of 0 is infinitely far from failure
        ratio = mg_dl / np.where(female, number("ckd_epi_kappa_female"), number("ckd_epi_kappa_male"))
        adult = (
            number("ckd_epi_scale")
            * np.minimum(ratio, 1.0) ** np.where(female, number("ckd_epi_alpha_female"), number("ckd_epi_alpha_male"))
            * np.maximum(ratio, 1.0) ** number("ckd_epi_exponent")
            * number("ckd_epi_per_year") ** age
            * np.where(female, number("ckd_epi_female"), 1.0)
        )
        nearest = _nearest_sample(creatinine, height, named)
        tall = np.where((nearest >= 0) & height.exact[nearest], height.value[nearest], np.nan) if len(height) else np.full(len(age), np.nan)
        child = number("schwartz_k") * tall / mg_dl
    grown = age >= number("ckd_epi_from_age")
    value = np.select([grown & (sex > 0), ~grown & (age >= number("schwartz_from_age"))], [adult, child], np.nan)
    computed = _computed(creatinine, named.number("egfr"), value, FROM_CREATININE)
    return computed.take(~np.isnan(computed.value))
