"""Ages: years between a birth date and a moment."""

from __future__ import annotations

import polars as pl


def years_between(birth: str, moment: str) -> pl.Expr:
    """Age in years, whole on every birthday (a day count over 365.25 would miss some); null for a moment before birth."""
    born, then = pl.col(birth), pl.col(moment)
    day_of_year = [when.dt.month().cast(pl.Int32) * 100 + when.dt.day() for when in (then, born)]
    before_birthday = day_of_year[0] < day_of_year[1]
    whole = then.dt.year() - born.dt.year() - before_birthday.cast(pl.Int32)
    days = (then - born.cast(pl.Datetime("us"))).dt.total_days() / 365.25
    return pl.when(whole >= 0).then(days.clip(whole, whole + 0.999))
