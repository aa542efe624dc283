"""A lesion of which the record says no more than that it is there: the skin is looked at before anything is measured."""

from __future__ import annotations

import pytest
from small_records import ask, asked_for, film, says

SAID_ONLY = says("extensive skin lesions")


def test_the_examination_comes_before_every_other_test() -> None:
    first = ask(SAID_ONLY, says("end-stage renal disease on haemodialysis")).workup[0]
    assert first.test == "describe_lesion"
    assert "calciphylaxis" in {outcome.leading for outcome in first.outcomes}


@pytest.mark.parametrize("more", ["painful necrotic ulcer", "hard nodules", "itchy rash", "purpura of the legs"])
def test_a_lesion_that_is_described_is_not_asked_for_again(more: str) -> None:
    assert "describe_lesion" not in asked_for(ask(SAID_ONLY, says(more)))


def test_calcium_on_film_describes_enough() -> None:
    assert "describe_lesion" not in asked_for(ask(SAID_ONLY, film("Subcutaneous calcification of the thigh.")))


def test_nobody_without_a_lesion_is_asked_to_describe_one() -> None:
    assert "describe_lesion" not in asked_for(ask(says("end-stage renal disease on haemodialysis")))
