"""Ages: years between a birth date and a moment."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from calcinosis.numbers import DAY, MANY, NO_TIME, Floats, Micros


def years_between(birth: npt.NDArray[np.datetime64], moment: Micros) -> Floats:
    """Age in years, whole on every birthday (a day count over 365.25 would miss some); NaN for an unknown date or a moment before birth."""
    born, then = birth.astype("M8[D]"), moment.view("M8[us]").astype("M8[D]")
    known = ~np.isnat(born) & (moment != NO_TIME)
    born, then = np.where(known, born, _EPOCH), np.where(known, then, _EPOCH)
    (born_year, born_day), (then_year, then_day) = _year_and_day(born), _year_and_day(then)
    whole = then_year - born_year - (then_day < born_day)
    days = (np.where(known, moment, 0) - born.astype(np.int64) * DAY) // DAY * (1 / 365.25)
    return np.where(known & (whole >= 0), np.clip(days, whole, whole + 0.999), np.nan)


def shown_age(years: float | None) -> float | None:
    """To one decimal, never up: nobody is called 66 on the day before the birthday."""
    return None if years is None else int(years * 10) / 10


_EPOCH = np.datetime64(0, "D")


_TABLE_FROM, _TABLE_TO = np.datetime64("1850-01-01", "D"), np.datetime64("2150-01-01", "D")


@cache
def _table() -> tuple[Any, Any]:
    return _told(np.arange(_TABLE_FROM, _TABLE_TO))


def _year_and_day(date: npt.NDArray[np.datetime64]) -> tuple[Any, Any]:
    """Year, and month and day as one number: many dates are looked up, because dividing each by the calendar takes ten times as long."""
    if len(date) >= MANY and date.min() >= _TABLE_FROM and date.max() < _TABLE_TO:
        place = (date - _TABLE_FROM).astype(np.int64)
        year, day = _table()
        return year[place], day[place]
    return _told(date)


def _told(date: npt.NDArray[np.datetime64]) -> tuple[Any, Any]:
    month = date.astype("M8[M]")
    months = month.astype(np.int64)
    return months // 12, months % 12 * 100 + (date - month.astype("M8[D]")).astype(np.int64)
