"""The subepidermal calcified nodule of Winer, by name or by its histology: a form of idiopathic calcinosis at any site and age."""

from __future__ import annotations

import pytest
from small_records import METABOLISM_NORMAL, ask, biopsy, lab, says, status

from calcinosis.knowledge.criteria import Status

NAMES = ["Subepidermal calcified nodule", "subepidermal calcified nodules of Winer", "nodular calcinosis of Winer", "Winer's nodular calcinosis"]


@pytest.mark.parametrize("born", ["1950-01-01", "2018-01-01"])
@pytest.mark.parametrize("at", ["thigh", "eyelid", "hand"])
@pytest.mark.parametrize("name", NAMES)
def test_the_name_makes_it_possible(name: str, at: str, born: str) -> None:
    answer = ask(says(name, at=at), born=born)
    assert status(answer, "idiopathic") is Status.POSSIBLE
    assert answer.leading in ("idiopathic", "mimic")  # a hard nodule of a child's head may also be a pilomatricoma


def test_more_than_possible_needs_a_search_for_causes() -> None:
    assert status(ask(says(NAMES[0]), *METABOLISM_NORMAL), "idiopathic") is Status.POSSIBLE
    assert status(ask(says(NAMES[0]), *METABOLISM_NORMAL, lab("ANA", "NEG")), "idiopathic") is Status.PROBABLE


@pytest.mark.parametrize("said", ["Calcium deposits immediately below the epidermis.", "Calcium in the papillary dermis."])
def test_its_histology_makes_a_nodule_possible(said: str) -> None:
    assert status(ask(says("nodule", at="hand"), biopsy(said)), "idiopathic") is Status.POSSIBLE


@pytest.mark.parametrize("cause", ["Dermatomyositis", "primary hyperparathyroidism"])
def test_a_cause_on_record_outweighs_the_name(cause: str) -> None:
    answer = ask(says(NAMES[0]), says(cause))
    assert status(answer, "idiopathic").rank < Status.POSSIBLE.rank
    assert answer.leading in ("dystrophic", "metastatic")
