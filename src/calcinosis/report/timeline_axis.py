"""The time axis: where a moment lies, and which dates are written under it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

EDGE: Final = 2.5  # percent left free at either end
_MOST: Final = 6  # dates written; more would run into each other on a phone
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600)
_DAYS: Final = (1, 2, 7, 14)
_SHORTEST: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    label: str
    anchor: str  # start, middle, end: a label never leaves the picture


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``start`` to ``end``; ``index`` is the place of the index date, None where it is unknown or outside."""

    start: datetime
    end: datetime
    ticks: list[Tick]
    index: Tick | None

    def x(self, moment: datetime) -> float:
        """Percent of the width; what lies outside stands at the edge."""
        share = (moment - self.start) / (self.end - self.start)
        return round(EDGE + (100 - 2 * EDGE) * min(max(share, 0.0), 1.0), 3)


def shifted(moment: datetime, by: timedelta) -> datetime:
    """Not beyond the first and the last day there is."""
    try:
        return moment + by
    except OverflowError:
        return datetime.max if by > timedelta() else datetime.min


def make_axis(first: datetime, last: datetime, index: datetime | None) -> Axis:
    """At least a month wide."""
    short = _SHORTEST - (last - first)
    if short > timedelta():
        first, last = shifted(first, -short / 2), shifted(last, short / 2)
    bare = Axis(first, last, [], None)
    ticks = [_tick(bare, moment, words) for moment, words in _dates(first, last)]
    there = _tick(bare, index, index.date().isoformat(), 30) if index and first <= index <= last else None
    return Axis(first, last, ticks, there)


def _tick(axis: Axis, moment: datetime, label: str, near: float = 10) -> Tick:
    """``near``: percent from an edge below which the label would leave the picture of a phone."""
    x = axis.x(moment)
    return Tick(x, label, "start" if x < near else "end" if x > 100 - near else "middle")


def _dates(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Round dates, as many as fit."""
    days = (last - first).days + 1
    for step in _DAYS:
        if days / step <= _MOST:
            start = datetime(first.year, first.month, first.day) + timedelta(days=1)
            moments = [start + timedelta(days=n) for n in range(0, days, step)]
            return [(each, each.date().isoformat()) for each in moments if first <= each <= last]
    for step in _MONTHS:
        found = _months(first, last, step)
        if len(found) <= _MOST:
            return [(each, f"{each.year}" if step >= 12 else f"{each:%Y-%m}") for each in found]
    return []


def _months(first: datetime, last: datetime, step: int) -> list[datetime]:
    number = first.year * 12 + first.month - 1
    number += -number % step
    found = []
    while number // 12 <= min(last.year, 9998):
        moment = datetime(number // 12, number % 12 + 1, 1)
        if first <= moment <= last:
            found.append(moment)
        number += step
    return found
