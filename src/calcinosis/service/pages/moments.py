"""When something was or began, as somebody writes it: a date, a month, a year, or how long ago. And the birth date of an age."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

OLDEST: Final = 130
_DATE: Final = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_AGO: Final = re.compile(r"(\d{1,4})\s*(days?|d|weeks?|wks?|w|months?|mo|years?|yrs?|y)(?:\s+ago)?")
_AGE: Final = re.compile(r"\d{1,9}(?:[.,]\d{1,6})?")


class NotRead(Exception):
    """What is wrong, in words for the field."""


def moment(text: str, today: date) -> str:
    """A FHIR date, as precise as what was written: to the day, to the month (also for “2 years ago”), or a year.

    Raises:
        NotRead: it is no such moment, lies in the future or further back than a life.
    """
    said = " ".join(text.lower().split())
    if said == "today":
        return today.isoformat()
    found = _DATE.fullmatch(said)
    ago = _AGO.fullmatch(said)
    if found:
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        first = _day(year, month or 1, day or 1)
        written = f"{year:04}" if month is None else f"{year:04}-{month:02}" if day is None else first.isoformat()
    elif ago:
        first, written = _before(today, int(ago[1]), ago[2])
    else:
        raise NotRead("Write a date as 2024-05-31, 2024-05 or 2024, or how long ago: 3 weeks, 2 years.")
    if first > today:
        raise NotRead("This lies in the future.")
    if first.year < today.year - OLDEST:
        raise NotRead(f"This is more than {OLDEST} years ago.")
    return written


def _day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise NotRead("There is no such day.") from None


def _before(today: date, count: int, unit: str) -> tuple[date, str]:
    """Days and weeks to the day; months and years to the month."""
    if unit[0] in "dw":
        first = today - timedelta(days=count * (7 if unit[0] == "w" else 1))
        return first, first.isoformat()
    months = today.year * 12 + today.month - 1 - count * (12 if unit[0] == "y" else 1)
    if months < 12:
        raise NotRead(f"This is more than {OLDEST} years ago.")
    first = date(months // 12, months % 12 + 1, 1)
    return first, first.isoformat()[:7]


def birth_date(text: str, today: date) -> date:
    """Of somebody who is this old today, to the day.

    Raises:
        NotRead: it is no age.
    """
    years = float(text.replace(",", ".")) if _AGE.fullmatch(text) else OLDEST + 1
    if years > OLDEST:
        raise NotRead(f"Age in years: a number from 0 to {OLDEST}.")
    whole = int(years)
    day = today.replace(year=today.year - whole, day=28 if (today.month, today.day) == (2, 29) else today.day)
    return day - timedelta(days=round((years - whole) * 365.25))
