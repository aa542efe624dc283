"""Work done ahead comes back in order, and neither the cores nor the slices decide what is written."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcinosis.ahead import cores, in_order
from calcinosis.simulate import FORMATS, population, run, simulate, write_fhir


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3)), st.integers(1, 4), st.integers(0, 5))
def test_results_come_in_the_order_of_the_items(delays: list[int], workers: int, ahead: int) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 2000)
        return item[0]

    with ThreadPoolExecutor(workers) as pool:
        assert list(in_order(pool, work, enumerate(delays), ahead)) == list(range(len(delays)))


def test_no_more_than_asked_is_done_ahead() -> None:
    started: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        results = in_order(pool, lambda item: started.append(item), range(100), ahead=3)
        for taken in range(1, 20):
            next(results)
            time.sleep(0.001)
            assert max(started) < taken + 3


def test_an_error_reaches_the_one_who_waits_for_the_result() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        list(in_order(pool, lambda item: 1 // item, [2, 1, 0, 1], ahead=1))


def test_there_is_a_core() -> None:
    assert cores() >= 1


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("data_format", FORMATS)
def test_neither_cores_nor_slices_change_a_byte(data_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (population, run):
        monkeypatch.setattr(module, "BLOCK", 100)  # several blocks of few patients
    for name, number, rows in (("one", 1, 1000), ("many", 7, 333)):
        for module in (run, write_fhir):
            monkeypatch.setattr(module, "cores", lambda number=number: number)
        monkeypatch.setattr(write_fhir, "_SLICE", rows)
        simulate(450, tmp_path / name, data_format=data_format, seed=4)
    assert len(_digests(tmp_path / "one")) > 5
    assert _digests(tmp_path / "one") == _digests(tmp_path / "many")


def test_the_bytes_of_a_column_are_its_lines_and_a_missing_line_is_an_error() -> None:
    lines = pl.DataFrame({"line": ["a\n", "a line of more than twelve bytes\n", "é\n", ""]})
    assert bytes(write_fhir._joined(lines)) == "a\na line of more than twelve bytes\né\n".encode()
    assert bytes(write_fhir._joined(lines.slice(1, 2))) == "a line of more than twelve bytes\né\n".encode()
    with pytest.raises(ValueError, match="lacks a part"):
        write_fhir._joined(pl.DataFrame({"line": ["a\n", None]}))
