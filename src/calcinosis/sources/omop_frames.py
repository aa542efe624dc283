"""Rows of a CDM joined with what they say: the last step, over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.events import EVENT_SCHEMA
from calcinosis.sources.believable import DAYS_AHEAD, EARLIEST
from calcinosis.sources.omop_account import Account, records
from calcinosis.sources.omop_coded import Coded, Ints
from calcinosis.sources.omop_sayings import Sayings

_NO_DATE: Final = int(np.iinfo(np.int64).min)  # NaT
_OF_ROW: Final = ("subject_id", "time", "end_time", "numeric_value", "source")
_OF_SAYING: Final = tuple(name for name in EVENT_SCHEMA if name not in _OF_ROW)


@dataclass(frozen=True, slots=True)
class TableEvents:
    """The events of the rows of one table.

    Attributes:
        persons: whose rows there are, ascending, without repeats.
        who: of each event, place in ``persons``.
        place: of each event, row of the sayings' ``events``.
    """

    persons: Ints
    who: npt.NDArray[np.intp]
    place: npt.NDArray[np.intp]
    time: Ints
    end: Ints
    value: npt.NDArray[np.float64]
    source: pl.Series
    sayings: Sayings


def events_of(sayings: Sayings, rows: Coded, account: Account) -> TableEvents:
    """The events of the rows of one table, by person and key; counts all rows."""
    rows = account.usable(sayings.table, rows)
    account.add_meanings(sayings, rows)
    dated = {"start": _believable(rows.start), "end": _believable(rows.end)}
    account.add_problems(sayings.table, rows, dated)
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = rows.person[1:] != rows.person[:-1]
    of_row, place = sayings.told_by(rows)
    said = sayings.values[place]  # NaN: measures nothing, or has no number of its own
    value = said
    if sayings.table.number:
        number = rows.number[of_row]
        value = np.where(np.isfinite(said) & np.isfinite(number), number, said)
    time = np.where(dated["start"], rows.start, _NO_DATE)[of_row]
    end = np.where(dated["end"], rows.end, _NO_DATE)[of_row]
    if sayings.ends is not None:  # as ``fhir_frames.until_said``; NaT is the least of all numbers
        ended_on = sayings.ends[place]
        told = (ended_on != _NO_DATE) & (end == _NO_DATE) & ((time == _NO_DATE) | (ended_on < time))
        end = np.where(told, ended_on, end)
        time = np.where(told & (time != _NO_DATE), ended_on, time)
    return TableEvents(
        persons=rows.person[new],
        who=(np.cumsum(new) - 1)[of_row],
        place=place,
        time=time,
        end=end,
        value=value,
        source=records(sayings.table.name, rows.id[of_row]),
        sayings=sayings,
    )


def joined(tables: Sequence[TableEvents], persons: Ints) -> pl.DataFrame:
    """``EVENT_SCHEMA`` of some tables, one after the other.

    Args:
        persons: of all tables, ascending.
    """
    tables = [table for table in tables if len(table.place)]
    if not tables:
        return pl.DataFrame(schema=EVENT_SCHEMA)
    begins = np.cumsum([0, *(table.sayings.events.height for table in tables)])
    said = pl.concat([table.sayings.events.select(_OF_SAYING) for table in tables], rechunk=True)
    place = _whole([table.place + begin for table, begin in zip(tables, begins[:-1], strict=True)], np.uint32)
    who = _whole([np.searchsorted(persons, table.persons)[table.who] for table in tables], np.uint32)
    columns = {name: _gathered(said[name], place) for name in _OF_SAYING}
    columns["subject_id"] = pl.Series(persons).cast(pl.String).gather(pl.Series(who))
    columns["time"], columns["end_time"] = (
        pl.Series(np.concatenate([getattr(table, name) for table in tables]).view("datetime64[us]")) for name in ("time", "end")
    )
    columns["numeric_value"] = pl.Series(np.concatenate([table.value for table in tables]), nan_to_null=True)
    columns["source"] = pl.concat([table.source for table in tables], rechunk=True)
    return pl.DataFrame([columns[name].alias(name) for name in EVENT_SCHEMA])


def _believable(dates: Ints) -> npt.NDArray[np.bool_]:
    latest = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=DAYS_AHEAD)
    earliest, last = (np.datetime64(moment, "us").astype(np.int64) for moment in (EARLIEST, latest))
    return np.asarray((dates >= earliest) & (dates <= last))


def _whole(parts: Sequence[npt.NDArray[Any]], dtype: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype)


def _gathered(said: pl.Series, place: npt.NDArray[Any]) -> pl.Series:
    if said.null_count() == len(said):
        return said.head(0).extend_constant(None, len(place))
    return said.gather(pl.Series(place))
