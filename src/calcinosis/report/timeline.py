"""The course of one patient as places on one common time axis: measurements against their interval, drugs as bars, the rest as marks.

Nothing is drawn here. Places along the axis are percent of its width, so that a template can draw with attributes alone (no inline
styles) and text keeps its size on any screen; heights are pixels of a lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from calcinosis.events import ENDED
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.wording import label_of
from calcinosis.report.timeline_axis import Axis, make_axis, shifted
from calcinosis.report.wording import clean, day

Event = Mapping[str, Any]

WINDOWS: Final[dict[str, tuple[str, int]]] = {"5y": ("5 years", 1826), "1y": ("1 year", 365), "90d": ("90 days", 90)}
ENTRIES: Final = 500  # rows of the table
HEIGHT, MARGIN = 66, 9  # of the lane of a measurement
_SHAPES: Final = {"high": "high", "low": "low", "normal": "normal", "positive": "odd", "abnormal": "odd", "negative": "none"}
_GROUPS: Final = {
    "drug": "Drugs", "procedure": "Procedures, devices and exposures", "device": "Procedures, devices and exposures",
    "exposure": "Procedures, devices and exposures", "disease": "Diseases", "finding": "Findings", "allergy": "Allergies",
}  # fmt: skip
_CERTAINTY_WORD: Final = {"negated": "denied", "uncertain": "uncertain", "family": "in a relative"}  # of all but what is affirmed
_LARGEST: Final = 1e100
_GOING_ON: Final = ("active", "in-progress")  # statuses of something that had not ended when it was recorded
_ORDER: Final = (*dict.fromkeys(_GROUPS.values()), "Other entries")


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement. ``shape``: high, low, normal, odd (positive or abnormal), none (negative) or plain (nobody judged it)."""

    x: float
    y: float
    shape: str
    beyond: bool  # "< 5": the value lies somewhere beyond
    said: str


@dataclass(frozen=True, slots=True)
class Band:
    """The reference interval from one moment to another; an open side reaches the edge of the lane."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class LabLane:
    label: str
    latest: str
    interval: str
    top: str  # values at the upper and lower edge of what is drawn
    bottom: str
    points: list[Point]
    lines: list[tuple[Point, Point]]
    bands: list[Band]
    described: str


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry. ``end``: where a bar ends; ``open``: nobody recorded an end. ``certainty`` as in events."""

    x: float
    end: float | None
    open: bool
    certainty: str
    said: str


@dataclass(frozen=True, slots=True)
class Lane:
    label: str
    detail: str
    marks: list[Mark]
    described: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    time: datetime | None
    end: datetime | None
    label: str
    kind: str
    said: str
    read_as: str
    interval: str
    source: str


@dataclass(frozen=True, slots=True)
class Timeline:
    axis: Axis | None  # None: nothing has a date
    labs: list[LabLane] = field(default_factory=list)
    groups: list[tuple[str, list[Lane]]] = field(default_factory=list)
    undated: list[str] = field(default_factory=list)
    outside: int = 0  # dated entries outside the window
    rows: list[Row] = field(default_factory=list)
    more: int = 0  # rows that the table leaves out


def make_timeline(
    events: Sequence[Event], knowledge: Knowledge, *, index: datetime | None, window: str = "", first: Sequence[str] = ()
) -> Timeline:
    """Lay out the events of one patient (``COURSE_SCHEMA``).

    Args:
        window: a key of ``WINDOWS``: so long before and after the index date; anything else: the whole record.
        first: concepts to show first among the measurements.
    """
    events = [_finite(each) for each in events]
    limits = _limits(index, window)
    inside = [each for each in events if _touches(each, *limits)] if limits else events
    dated = [each for each in inside if each["time"] is not None]
    axis = make_axis(*limits, index) if limits else _axis(dated, index)
    rows = _rows(inside, knowledge)
    undated = dict.fromkeys(_in_line(each, knowledge) for each in inside if each["time"] is None)
    if axis is None:
        return Timeline(None, undated=list(undated), rows=rows[:ENTRIES], more=max(len(rows) - ENTRIES, 0))
    by_concept: dict[str, list[Event]] = {}
    for each in sorted(dated, key=lambda each: each["time"]):
        by_concept.setdefault(each["concept"], []).append(each)
    measured = {key: found for key, found in by_concept.items() if any(_is_judged(each) for each in found)}
    place = {key: number for number, key in enumerate(first)}
    labs = sorted(measured, key=lambda key: (place.get(key, len(place)), -len(measured[key]), _label(key, knowledge)))
    lanes: dict[str, list[Lane]] = {}
    for key, found in by_concept.items():
        shown = [each for each in found if each["certainty"] != "family"]
        if key not in measured and shown:
            lanes.setdefault(_group(key, knowledge), []).append(_lane(key, shown, axis, knowledge))
    return Timeline(
        axis=axis,
        labs=[_lab_lane(_label(key, knowledge), [each for each in measured[key] if _is_judged(each)], axis) for key in labs],
        groups=[(title, lanes[title]) for title in _ORDER if title in lanes],
        undated=list(undated),
        outside=len(events) - len(inside),
        rows=rows[:ENTRIES],
        more=max(len(rows) - ENTRIES, 0),
    )


def _finite(event: Event) -> Event:
    """A value beyond all measure cannot be drawn; it stays in the table as sent."""
    broken = {name: None for name in ("value", "value_low", "value_high") if event[name] is not None and not abs(event[name]) < _LARGEST}
    return {**event, **broken} if broken else event


def _touches(event: Event, start: datetime, end: datetime) -> bool:
    """Undated entries belong to every window."""
    time = event["time"]
    return time is None or (time <= end and (event["end_time"] or time) >= start)


def _limits(index: datetime | None, window: str) -> tuple[datetime, datetime] | None:
    """From when to when a window reaches; None for the whole record."""
    if index is None or window not in WINDOWS:
        return None
    reach = timedelta(days=WINDOWS[window][1])
    return shifted(index, -reach), shifted(index, reach)


def _axis(dated: Sequence[Event], index: datetime | None) -> Axis | None:
    """As wide as the whole record."""
    last_seen = max((each["time"] for each in dated), default=None)
    moments = [each["time"] for each in dated]
    # an end that lies in the future (a supply, a planned course) would squeeze everything that happened
    moments += [each["end_time"] for each in dated if each["end_time"] and last_seen and each["end_time"] <= last_seen]
    moments += [index] if index else []
    return make_axis(min(moments), max(moments), index) if moments else None


# --- measurements


def _is_judged(event: Event) -> bool:
    return event["value"] is not None or event["value_flag"] is not None


def _lab_lane(label: str, found: Sequence[Event], axis: Axis) -> LabLane:
    sized = [each["value"] for each in found if each["value"] is not None]
    limits = [each[name] for each in found for name in ("value_low", "value_high") if each[name] is not None]
    low, high = (min([*sized, *limits]), max([*sized, *limits])) if sized else (0.0, 1.0)
    flat = low == high
    if flat:
        low, high = low - max(abs(low), 1e-9) * 0.1, high + max(abs(high), 1e-9) * 0.1

    def y(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low), 1)

    points = [
        Point(axis.x(each["time"]), _height(each, y), _shape(each), each["comparator"] is not None, _lab_words(each)) for each in found
    ]
    joined = [point for point, each in zip(points, found, strict=True) if each["value"] is not None]
    last = found[-1]
    return LabLane(
        label=label,
        latest=f"{_lab_value(last)}, {day(last['time'])}",
        interval=_interval(last),
        top=number(high) if sized and not flat else "",
        bottom=number(low) if sized and not flat else "",
        points=points,
        lines=list(pairwise(joined)),
        bands=_bands(found, axis, y) if sized else [],
        described=f"{label}: {len(found)} {'value' if len(found) == 1 else 'values'}, "
        + "; ".join([*(_lab_words(each) for each in found[:1]), *(_lab_words(each) for each in found[1:][-1:])]),
    )  # fmt: skip


def _height(event: Event, y: Callable[[float], float]) -> float:
    """A flag without a number stands at the edge it points to."""
    if event["value"] is not None:
        return y(event["value"])
    return {"high": MARGIN, "low": HEIGHT - MARGIN}.get(event["value_flag"], HEIGHT / 2)


def _shape(event: Event) -> str:
    return _SHAPES.get(event["value_flag"], "plain")


def _bands(found: Sequence[Event], axis: Axis, y: Callable[[float], float]) -> list[Band]:
    """One band per stretch with the same interval: it holds until a measurement came with another."""
    stretches: list[tuple[float, float | None, float | None]] = []
    for each in found:
        low, high = each["value_low"], each["value_high"]
        if (low, high) != (None, None) and (not stretches or stretches[-1][1:] != (low, high)):
            stretches.append((axis.x(each["time"]) if stretches else 0.0, low, high))
    bands = []
    for place, (left, low, high) in enumerate(stretches):
        right = stretches[place + 1][0] if place + 1 < len(stretches) else 100.0
        top = 0.0 if high is None else y(high)
        bottom = float(HEIGHT) if low is None else y(low)
        bands.append(Band(left, round(right - left, 3), top, round(bottom - top, 1)))
    return bands


def number(value: float) -> str:
    """Four significant digits; an exponent only where nobody could count the digits."""
    rounded = float(f"{value:.4g}")
    if abs(rounded) >= 1e9 or 0 < abs(rounded) < 1e-6:
        return f"{rounded:g}"
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.10f}".rstrip("0").rstrip(".")


def _lab_value(event: Event) -> str:
    flag = f", {event['value_flag']}" if event["value_flag"] else ""
    if event["value"] is None:
        return event["value_flag"] or ""
    unit = f" {event['value_unit']}" if event["value_unit"] else f" {clean(event['unit'])}" if event["unit"] else ""
    return f"{event['comparator'] or ''}{number(event['value'])}{unit}{flag}"


def _interval(event: Event) -> str:
    low, high = event["value_low"], event["value_high"]
    unit = f" {event['value_unit']}" if event["value_unit"] else ""
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}{unit}"
    return f"up to {number(high)}{unit}" if high is not None else f"from {number(low)}{unit}" if low is not None else ""


def _lab_words(event: Event) -> str:
    return f"{_lab_value(event)} on {day(event['time'])}"


# --- everything else


def _lane(key: str, found: Sequence[Event], axis: Axis, knowledge: Knowledge) -> Lane:
    label = _label(key, knowledge)
    is_drug = _group(key, knowledge) == _GROUPS["drug"]
    marks = [
        Mark(
            x=axis.x(each["time"]),
            end=axis.x(each["end_time"]) if each["end_time"] and each["end_time"] > each["time"] else None,
            open=(is_drug or each["status"] in _GOING_ON) and _has_no_end(each),
            certainty=each["certainty"],
            said=_in_line(each, knowledge),
        )
        for each in found
    ]
    first = found[0]
    until = max(each["end_time"] or each["time"] for each in found)
    span = day(first["time"]) + (f" to {day(until)}" if until.date() > first["time"].date() else "")
    span = span if len(found) == 1 else f"{len(found)} entries, {span}"
    remarks = dict.fromkeys(word for each in found if (word := _CERTAINTY_WORD.get(each["certainty"])))
    detail = ", ".join([span, *remarks, *(["end not recorded"] if marks[-1].open else [])])
    return Lane(label, detail, marks, f"{label}: {detail}")


def _has_no_end(event: Event) -> bool:
    return event["end_time"] is None and event["status"] != ENDED and event["certainty"] == "affirmed"


def _group(key: str, knowledge: Knowledge) -> str:
    concept = knowledge.concepts.get(key)
    return _GROUPS.get(concept.kind, _ORDER[-1]) if concept else _ORDER[-1]


def _label(key: str, knowledge: Knowledge) -> str:
    return label_of(knowledge, "concepts", key)


def _in_line(event: Event, knowledge: Knowledge) -> str:
    """An entry in a line of words."""
    label, said = _label(event["concept"], knowledge), _said(event)
    certainty = _CERTAINTY_WORD.get(event["certainty"])
    sites = ", ".join(_label(key, knowledge).lower() for key in event["sites"] or ())
    until = f" to {day(event['end_time'])}" if event["end_time"] else ""
    when = f"{day(event['time'])}{until}" if event["time"] else f"until {day(event['end_time'])}" if event["end_time"] else ""
    parts = [f"“{said}”" if said and said.casefold() != label.casefold() else "", certainty, sites, _lab_value(event), when]
    return ", ".join([label, *(part for part in parts if part)])


def _said(event: Event) -> str:
    """The record's own words, or number and unit as sent."""
    if event["numeric_value"] is not None:
        return clean(f"{event['comparator'] or ''}{number(event['numeric_value'])} {event['unit'] or '(no unit)'}")
    return clean(event["text_value"] or (event["code"] or "").removeprefix("text/"))


def _rows(events: Iterable[Event], knowledge: Knowledge) -> list[Row]:
    """The newest first; undated entries last."""
    ordered = sorted(events, key=lambda each: (each["time"] is None, datetime.max - each["time"] if each["time"] else timedelta()))
    return [_row(each, knowledge) for each in ordered]


def _row(event: Event, knowledge: Knowledge) -> Row:
    concept = knowledge.concepts.get(event["concept"])
    certainty = _CERTAINTY_WORD.get(event["certainty"], "")
    unusable = "unit not usable" if event["numeric_value"] is not None and event["value"] is None and certainty == "" else ""
    sites = ", ".join(_label(key, knowledge).lower() for key in event["sites"] or ())
    status = "ended" if event["status"] == ENDED else ""
    read_as = ", ".join(part for part in (_lab_value(event), certainty, sites, status, unusable) if part)
    return Row(
        time=event["time"], end=event["end_time"], label=_label(event["concept"], knowledge), kind=concept.kind if concept else "",
        said=_said(event), read_as=read_as, interval=_interval(event), source=clean(event["source"]),
    )  # fmt: skip
