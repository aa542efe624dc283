"""The times of a phenopacket: timestamps, and ages that need a date of birth to become dates."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from calcinosis.sources.phenopacket_model import TimeElement

_NUMBER: Final = r"(\d{1,6}(?:\.\d{1,9})?)"
_DURATION: Final = re.compile(rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T.*)?", re.ASCII)
_DAYS_PER_YEAR: Final = 365.25


def timestamp(text: str) -> datetime:
    """An RFC 3339 timestamp as written (with its own offset); a date alone is midnight.

    Raises:
        ValueError: it is not one.
    """
    return datetime.fromisoformat(text.strip())


def utc(text: str) -> datetime:
    moment = timestamp(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _age(text: str) -> tuple[int, float]:
    """An ISO 8601 duration as whole months and days. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError("not an ISO 8601 age")
    years, months, weeks, days = (float(part or 0) for part in match.groups())
    whole = int(years) * 12 + int(months)
    return whole, (years % 1) * _DAYS_PER_YEAR + (months % 1) * _DAYS_PER_YEAR / 12 + weeks * 7 + days


def shifted(start: date, months: int, days: float) -> date:
    """``start`` moved by calendar months, then days. Raises ValueError or OverflowError outside the calendar."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise ValueError("outside the calendar")
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return date(year, month + 1, day) + timedelta(days=days)


def age_of(element: TimeElement | None) -> tuple[int, float] | None:
    """The age a time element gives, in months and days; of a range, the middle. Raises ValueError."""
    if element is None:
        return None
    if element.age is not None:
        return _age(element.age.iso8601duration)
    if element.age_range is None:
        return None
    (months, days), (to_months, to_days) = (_age(end.iso8601duration) for end in (element.age_range.start, element.age_range.end))
    middle = (months + to_months) / 2
    return int(middle), (middle % 1) * _DAYS_PER_YEAR / 12 + (days + to_days) / 2


@dataclass(slots=True)
class Clock:
    """Turns time elements into moments. ``latest`` is the last moment that stood in the packet as a date."""

    birth: date | None
    latest: datetime | None = None

    def read(self, element: TimeElement | None) -> datetime | None:
        """Raises ValueError or OverflowError when what is written is no time."""
        if element is None:
            return None
        interval = element.interval
        dates = [text for text in (element.timestamp, interval and interval.start, interval and interval.end) if text]
        if dates:
            moment = utc(dates[0])
            self.latest = max(self.latest or moment, moment)
            return moment
        age = age_of(element)
        if age is None or self.birth is None:
            return None
        return datetime.combine(shifted(self.birth, *age), datetime.min.time())
