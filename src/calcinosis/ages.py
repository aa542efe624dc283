"""Ages: years between a birth date and a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from calcinosis.numbers import DAY, NO_TIME, Floats, Micros


def years_between(birth: npt.NDArray[np.datetime64], moment: Micros) -> Floats:
    """Age in years, whole on every birthday (a day count over 365.25 would miss some); NaN for an unknown date or a moment before birth."""
    born, then = birth.astype("M8[D]"), moment.view("M8[us]").astype("M8[D]")
    known = ~np.isnat(born) & (moment != NO_TIME)
    born, then = np.where(known, born, _EPOCH), np.where(known, then, _EPOCH)
    (born_year, born_day), (then_year, then_day) = _year_and_day(born), _year_and_day(then)
    whole = then_year - born_year - (then_day < born_day)
    days = (np.where(known, moment, 0) - born.astype(np.int64) * DAY) // DAY * (1 / 365.25)
    return np.where(known & (whole >= 0), np.clip(days, whole, whole + 0.999), np.nan)


_EPOCH = np.datetime64(0, "D")


def _year_and_day(date: npt.NDArray[np.datetime64]) -> tuple[Any, Any]:
    """Year, and month and day as one number."""
    month = date.astype("M8[M]")
    months = month.astype(np.int64)
    return months // 12, months % 12 * 100 + (date - month.astype("M8[D]")).astype(np.int64)
