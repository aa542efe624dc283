"""Sets that were written blind, of published and of constructed cases: what was answered rightly stays so, and calciphylaxis is never
excluded.

A case in ``known_misses.txt`` is answered otherwise than its authors did, with the reason there; when that changes, the test says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from calcinosis.validation import Score, validate_folder

TESTS = Path(__file__).parents[1]
SETS = [*(f"published_cases/fresh_{letter}" for letter in "efpqrstuvwx"), *(f"constructed_cases/fresh_{letter}" for letter in "ghijklmno")]


@pytest.fixture(scope="module", params=SETS)
def folder(request: pytest.FixtureRequest) -> Path:
    return TESTS / str(request.param)


@pytest.fixture(scope="module")
def score(folder: Path) -> Score:
    return validate_folder(folder)


def known_misses(folder: Path) -> dict[str, str]:
    lines = (folder / "known_misses.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line.strip() and not line.startswith("#"))


def test_every_case_is_answered_as_its_authors_did_or_is_a_known_miss(folder: Path, score: Score) -> None:
    assert not score.without_answer
    assert not score.without_truth
    assert {each.id for each in score.disagreements} == set(known_misses(folder))


def test_no_calciphylaxis_is_excluded(score: Score) -> None:
    assert score.all.urgent_excluded == 0
