"""Calcium in old or severe acne: dystrophic calcification is described, and so is bone (osteoma cutis)."""

from __future__ import annotations

import pytest
from small_records import CALCIUM_AND_PHOSPHATE_NORMAL, Resource, ask, biopsy, film, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

PAPULES = says("Hard skin-coloured papules", at="cheek")
FILM = film("Soft tissue calcifications of both cheeks.")
ACNE = ["Acne vulgaris, longstanding", "severe acne in adolescence", "inflammatory acne", "acne vulgaris for 12 years", "nodulocystic acne"]


@pytest.mark.parametrize("acne", ACNE)
def test_without_tissue_both_are_possible(acne: str) -> None:
    answer = ask(says(acne), PAPULES, FILM, *CALCIUM_AND_PHOSPHATE_NORMAL)
    assert status(answer, "dystrophic") is Status.POSSIBLE
    assert mimic_status(answer, "osteoma_cutis") is Status.POSSIBLE
    assert status(answer, "idiopathic") is Status.UNLIKELY


@pytest.mark.parametrize("acne", [*ACNE, "acne vulgaris with scarring"])
def test_calcium_on_biopsy_makes_it_dystrophic(acne: str) -> None:
    answer = ask(says(acne), PAPULES, biopsy("Calcium deposits in the dermis of the cheek, no bone."))
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.PROBABLE)


def test_bone_on_biopsy_makes_it_osteoma() -> None:
    answer = ask(says("severe acne"), PAPULES, FILM, biopsy("Lamellar bone with osteocytes in the dermis."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "osteoma_cutis")
    assert status(answer, "dystrophic").rank <= Status.POSSIBLE.rank


ELSEWHERE: dict[str, tuple[Resource, ...]] = {
    "mild": (says("Acne vulgaris"), PAPULES, FILM),
    "another place": (says("severe acne"), says("hard nodule", at="thigh"), film("Calcification of the subcutis of the thigh.")),
}


@pytest.mark.parametrize("record", ELSEWHERE.values(), ids=ELSEWHERE)
def test_mild_acne_or_a_lesion_elsewhere_is_no_damaged_tissue(record: tuple[Resource, ...]) -> None:
    answer = ask(*record)
    assert status(answer, "dystrophic").rank < Status.POSSIBLE.rank


def test_calcium_where_there_is_acne_is_possibly_dystrophic() -> None:
    answer = ask(says("calcinosis cutis", at="face"), says("acne vulgaris", at="face"))
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.POSSIBLE)
