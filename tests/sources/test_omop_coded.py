"""Rows of a CDM in numbers: told apart by what they say, kept on disk, and given back as they came."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.sources.omop_coded import BAD_TIME, NO_TIME, NOBODY, SAYING, Coded, coded
from calcinosis.sources.omop_database import BUCKETS
from calcinosis.sources.omop_store import store_rows
from calcinosis.sources.omop_tables import RAW

ROW = st.fixed_dictionaries({
    "id": st.one_of(st.none(), st.integers(1, 9), st.integers(2**40, 2**62)), "person_id": st.one_of(st.none(), st.integers(-5, 5), st.integers(2**31, 2**33)),
    "start": st.one_of(st.none(), st.datetimes(datetime(1800, 1, 1), datetime(2100, 1, 1))), "end": st.none(),
    "bad_start": st.booleans(), "bad_end": st.just(False), "number": st.one_of(st.none(), st.floats(allow_nan=True)), "bad_number": st.booleans(),
    "operator_id": st.sampled_from([None, 1]), "concept_id": st.sampled_from([None, 1, 2]), "source_concept_id": st.just(None),
    "source_value": st.sampled_from([None, "a", "b'", ""]), "value_concept_id": st.sampled_from([None, 7]), "value_text": st.sampled_from([None, "Ä"]),
    "unit_concept_id": st.none(), "unit_text": st.sampled_from([None, "mg"]), "range_low": st.sampled_from([None, 1.0, math.nan, math.inf]), "range_high": st.none(),
    "status_concept_id": st.sampled_from([None, 9]), "status_text": st.sampled_from([None, "provisional"]),
}).map(lambda row: {**row, "bad_start": row["bad_start"] and row["start"] is None, "bad_number": row["bad_number"] and row["number"] is None})  # fmt: skip


def told(frame: pl.DataFrame, rows: Coded) -> list[tuple[Any, ...]]:
    """Every row with what it says, sorted."""
    said = frame.rows()
    columns = (getattr(rows, name).tolist() for name in ("person", "id", "start", "end", "number"))
    return sorted((repr((*row, said[place])) for *row, place in zip(*columns, rows.said.tolist(), strict=True)))


@given(rows=st.lists(ROW, max_size=30), stretch=st.integers(1, BUCKETS))
def test_rows_in_memory_and_on_disk_say_the_same(rows: list[dict[str, Any]], stretch: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    raw = pl.DataFrame(rows, schema=RAW)
    frame, there = coded(raw)
    assert frame.columns == list(SAYING)
    assert frame.is_unique().all()
    with duckdb.connect() as con:
        con.register("rows", raw)
        found = store_rows(con, "measurement", "rows", tmp_path_factory.mktemp("store"))
    assert found
    stored, kept = found
    assert stored.equals(frame)  # in the same order, too
    parts = [kept.take(first, min(first + stretch, BUCKETS)) for first in range(0, BUCKETS, stretch)] if stretch > 500 else [kept.take(0, BUCKETS)]
    assert told(stored, Coded.joined(parts)) == told(frame, there)
    assert kept.counts.sum() == kept.said.sum() == len(rows)
    kept.close()


def test_all_rows_of_a_person_are_in_one_bucket(tmp_path: Path) -> None:
    raw = pl.DataFrame([{"id": n, "person_id": n % 50, "concept_id": n % 3} for n in range(1000)], schema=RAW)
    with duckdb.connect() as con:
        con.register("rows", raw)
        found = store_rows(con, "measurement", "rows", tmp_path)
    assert found
    seen: set[int] = set()
    for bucket in np.flatnonzero(found[1].counts):
        persons = set(found[1].take(int(bucket), int(bucket) + 1).person.tolist())
        assert not persons & seen
        seen |= persons
    assert seen == set(range(50))


def test_a_source_that_changes_while_it_is_read_stops_the_run(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute("CREATE SEQUENCE other")
        rows = "(SELECT 1 AS id, 1 AS person_id, nextval('other') AS concept_id FROM range(5))"  # every query meets new ones
        with pytest.raises(ValueError, match="changed while it was being read"):
            store_rows(con, "measurement", rows, tmp_path)


def test_what_is_missing_and_what_is_wrong_are_told_apart() -> None:
    rows = [{"id": 1, "start": None, "bad_start": True, "number": math.nan}, {"id": None, "person_id": 2, "number": None}]
    _, there = coded(pl.DataFrame(rows, schema=RAW))
    assert there.start.tolist() == [BAD_TIME, NO_TIME]
    assert (there.person.tolist(), there.id.tolist()) == ([NOBODY, 2], [1, NOBODY])
    assert math.isinf(there.number[0])
    assert math.isnan(there.number[1])


@given(rows=st.lists(ROW, max_size=20), seed=st.randoms())
def test_rows_in_order_do_not_depend_on_how_they_came(rows: list[dict[str, Any]], seed: Any) -> None:
    shuffled = list(rows)
    seed.shuffle(shuffled)
    one, other = (coded(pl.DataFrame(made, schema=RAW))[1].in_order() for made in (rows, shuffled))
    for name in ("person", "id", "start", "said"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert one.repeats().tolist() == other.repeats().tolist()
