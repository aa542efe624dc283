"""What a text says, as one value: mentions of concepts, sites, results, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from calcinosis.sources.said_numbers import SaidNumber
from calcinosis.sources.said_results import SaidResult


@dataclass(frozen=True, slots=True)
class Mention:
    """One concept said in a text. ``text[start:end] == phrase``."""

    concept: str
    certainty: str  # "affirmed" | "negated" | "uncertain" | "family"
    sites: tuple[str, ...]  # concepts of kind "site" that stand with it
    phrase: str
    start: int
    end: int
    ended: bool = False  # a drug that was stopped, a disease that is healed, or a finding of a part that was amputated
    ended_on: datetime | None = None  # the last day that it can have lasted, where the text tells when it ended


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a text says. ``days_before_onset`` is negative when the exposure came after the lesion.

    ``results`` are laboratory results in words, ``values`` those in numbers; their ``start`` and ``end`` are places in the text.
    ``without_unit`` counts laboratory numbers that are not read, because the text gives no unit.
    """

    mentions: tuple[Mention, ...]
    sites: tuple[str, ...]
    days_before_onset: float | None
    results: tuple[SaidResult, ...] = ()
    values: tuple[SaidNumber, ...] = ()
    without_unit: int = 0


def together(study: Reading, clinical: Reading) -> Reading:
    """What a report says in all."""
    return Reading(
        mentions=tuple(sorted((*study.mentions, *clinical.mentions), key=lambda mention: (mention.start, mention.end, mention.concept))),
        sites=tuple(dict.fromkeys((*study.sites, *clinical.sites))),
        days_before_onset=clinical.days_before_onset if study.days_before_onset is None else study.days_before_onset,
        results=(*study.results, *clinical.results),
        values=(*study.values, *clinical.values),
        without_unit=study.without_unit + clinical.without_unit,
    )


def once(results: Sequence[SaidResult], values: Sequence[SaidNumber]) -> tuple[tuple[SaidResult, ...], tuple[SaidNumber, ...]]:
    """ "Calcium was normal at 2.3 mmol/L" is one result. A word that contradicts the mark beside the number leaves the number alone."""
    flags = {one.concept: one.flag for one in results}
    together = tuple(one._replace(flag=one.flag or flags.get(one.concept)) for one in values)
    numbered = {one.concept for one in values}
    return tuple(one for one in results if one.concept not in numbered), together
