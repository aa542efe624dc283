"""Combinations of states are told apart, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from calcinosis.option_rows import _Spelled


@pytest.mark.parametrize("base", [2, 3])
@pytest.mark.parametrize("n_states", [1, 19, 20, 21, 64, 100])
def test_patients_that_differ_in_one_state_are_told_apart(base: int, n_states: int) -> None:
    patients = np.vstack([np.zeros(n_states, dtype=np.intp), np.eye(n_states, dtype=np.intp) * (base - 1)])
    words = _Spelled()
    numbers = words.of(list(patients.T), base, lambda state: [place for place, one in enumerate(state) if one])
    assert [words.lists[number] for number in numbers.tolist()] == [[], *([place] for place in range(n_states))]
