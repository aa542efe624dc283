"""A filler is foreign material, and one of calcium hydroxylapatite is dense on films: neither is tissue damaged by an injection."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, film, mimic_status, procedure, says, status

from calcinosis.knowledge.criteria import Status

FILM = film("Calcific nodules in the subcutis of both cheeks.")
MINERAL = [
    "Radiesse injection, cheeks", "calcium hydroxylapatite injected into the cheeks", "Dermal filler (CaHA), face", "Facial filler injection (calcium hydroxyapatite)",
]  # fmt: skip
OTHER = ["Hyaluronic acid filler injection, cheeks", "Injection of dermal filler, cheeks", "liquid silicone injection, cheeks", "Sculptra injections, cheeks"]


@pytest.mark.parametrize("given", MINERAL)
def test_a_filler_of_calcium_is_what_the_film_shows(given: str) -> None:
    answer = ask(procedure(given), film("Calcific plaques in the facial subcutis."))
    assert (answer.leading, answer.leading_mimic, answer.leading_status) == ("mimic", "foreign_body_filler", Status.PROBABLE)
    assert status(answer, "dystrophic").rank < Status.POSSIBLE.rank
    assert status(answer, "iatrogenic").rank < Status.POSSIBLE.rank


@pytest.mark.parametrize("given", [*MINERAL, *OTHER])
def test_a_filler_is_no_damage_by_injection(given: str) -> None:
    answer = ask(procedure(given), FILM)
    assert (answer.leading, answer.leading_mimic) == ("mimic", "foreign_body_filler")
    assert status(answer, "dystrophic").rank < Status.POSSIBLE.rank


def test_the_material_alone_shows_no_deposit() -> None:
    answer = ask(procedure("calcium hydroxyapatite, Radiesse"), procedure("hydroxyapatite-coated hip prosthesis"))
    assert answer.leading is None
    assert mimic_status(answer, "foreign_body_filler") is None


def test_the_crystals_of_a_deposit_are_no_filler() -> None:
    answer = ask(says("Systemic sclerosis"), says("nodule", at="finger"), biopsy("Deposits of calcium hydroxyapatite crystals."))
    assert answer.leading == "dystrophic"
    assert mimic_status(answer, "foreign_body_filler") is None


def test_an_injection_at_the_site_still_is_damage_and_one_elsewhere_is_not() -> None:
    there = ask(procedure("Intramuscular injections, buttock"), film("Calcified nodule of the buttock."))
    assert (there.leading, there.leading_status) == ("dystrophic", Status.PROBABLE)
    elsewhere = ask(procedure("Influenza vaccination, upper arm"), film("Calcified nodule of the buttock."))
    assert status(elsewhere, "dystrophic").rank < Status.POSSIBLE.rank
