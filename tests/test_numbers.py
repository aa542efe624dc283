"""Joins as look-ups in arrays: what is not there is found by nobody, and one entry is no special case."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.ages import years_between
from calcinosis.numbers import (
    MANY,
    NO_TIME,
    Index,
    Links,
    Numbers,
    distinct,
    look_up,
    micros,
    moments,
    none_below_0,
    spread,
    texts_at,
    told_apart,
)  # fmt: skip


def test_a_name_that_is_not_known_has_no_number() -> None:
    numbers = Numbers(["b", "a", "b"])
    assert numbers.names == ["a", "b"]
    assert numbers.of(pl.Series(["b", None, "c", "a"])).tolist() == [1, -1, -1, 0]


def test_links_lead_to_every_row_of_a_number_and_none_of_another() -> None:
    links = Links.to_sorted(np.array([0, 0, 3]), 5)
    which, row = links.follow(np.array([3, 1, 0, 4]))
    assert list(zip(which.tolist(), row.tolist(), strict=True)) == [(0, 2), (2, 0), (2, 1)]
    assert links.any(np.array([0, 1, 3, 4, -1])).tolist() == [True, False, True, False, False]


def test_empty_ranges_have_no_rows() -> None:
    which, row = spread(np.array([2, 5]), np.array([2, 5]))
    assert len(which) == len(row) == 0


def test_an_index_finds_its_own_keys_only() -> None:
    index = Index(np.array([7, 3, 9]))
    assert index.find(np.array([3, 4, 9, 10, -1])).tolist() == [1, -1, 2, -1, -1]
    assert index.first_from(np.array([4, 8, 10]), np.array([8, 9, 99])).tolist() == [0, -1, -1]
    nobody = Index(np.array([], dtype=np.intp))
    assert nobody.find(np.array([1])).tolist() == nobody.first_from(np.array([0]), np.array([9])).tolist() == [-1]


def test_the_first_of_each_key_stays_in_order() -> None:
    assert distinct(np.array([5, 2, 5, 9, 2])).tolist() == [0, 1, 3]


def test_moments_and_numbers_are_the_same_moments() -> None:
    times = pl.Series("t", [datetime(1931, 5, 6, 7), None, datetime(2024, 2, 29)], dtype=pl.Datetime("us"))
    assert micros(times)[1] == NO_TIME
    assert moments("t", micros(times)).equals(times)


def test_an_age_is_whole_on_every_birthday_and_unknown_before_birth() -> None:
    born = pl.Series([date(1960, 2, 29), date(2000, 1, 1), date(2000, 1, 1), None], dtype=pl.Date).to_numpy()
    moment = pl.Series([datetime(2023, 3, 1), datetime(2021, 1, 1), datetime(1999, 1, 1), datetime(2020, 1, 1)], dtype=pl.Datetime("us"))
    ages = years_between(born, micros(moment))
    assert 63 <= ages[0] < 63.01
    assert 21 <= ages[1] < 21.01
    assert np.isnan(ages[2:]).all()


@given(st.lists(st.tuples(st.dates(date(1850, 1, 1)), st.datetimes(datetime(1850, 1, 1))), min_size=1, max_size=40))
def test_many_ages_are_looked_up_as_few_are_computed(pairs: list[tuple[date, datetime]]) -> None:
    """Also where a date lies beyond the table."""
    born = np.array([birth for birth, _ in pairs], dtype="M8[D]")
    moment = np.array([moment for _, moment in pairs], dtype="M8[us]").view(np.int64)
    times = -(-MANY // len(pairs))
    many = years_between(np.tile(born, times), np.tile(moment, times))
    assert np.array_equal(many, np.tile(years_between(born, moment), times), equal_nan=True)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_many_keys_are_told_apart_as_few_are(keys: list[int]) -> None:
    repeated = np.tile(np.array(keys), -(-MANY // len(keys)))
    for found, expected in zip(told_apart(repeated, 51), np.unique(repeated, return_inverse=True), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("many", [0, 10**9])
def test_few_and_many_rows_give_the_same(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr("calcinosis.numbers.MANY", many)
    assert look_up({"b": 7, "a": 0}, pl.Series(["a", None, "c", "b"], dtype=pl.String), -3).tolist() == [0, -3, -3, 7]
    assert look_up({}, pl.Series([None, "c"], dtype=pl.String), -1).tolist() == [-1, -1]
    assert texts_at("t", ["x", "y", None], np.array([1, -1, 0])).equals(pl.Series("t", ["y", None, "x"], dtype=pl.String))
    times = pl.Series("t", [datetime(1931, 5, 6, 7), None], dtype=pl.Datetime("us"))
    assert moments("t", micros(times)).equals(times)


def test_no_place_gives_nothing() -> None:
    assert pl.Series(["a", "b"]).gather(none_below_0(np.array([1, -1, 0]))).to_list() == ["b", None, "a"]
    assert none_below_0(np.array([1, 0])).to_list() == [1, 0]
