"""What stands between the same commas tells a small vessel from a large artery, and a zonal pattern from its reverse."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text
SMALL_VESSELS = {"histology_vessel_calcification", "histology_vessel_calcification_plain"}


def section(text: str) -> dict[str, set[str]]:
    """Concept -> how sure, of a section of tissue."""
    said: dict[str, set[str]] = {}
    for mention in READER.read(text, Context.HISTOLOGY).mentions:
        said.setdefault(mention.concept, set()).add(mention.certainty)
    return said


@pytest.mark.parametrize(
    "text",
    [
        "One medium calibre artery (0.9 mm) in the deep fat shows medial calcification of Monckeberg type with patent lumen.",
        "von Kossa positive in the wall of one medium calibre artery only",
        "A large muscular artery shows medial calcification.",
        "Incidental medial calcification of one deep artery, 1.2 mm.",
    ],
)
def test_calcium_of_a_large_artery_is_none_of_small_vessels(text: str) -> None:
    said = section(text)
    assert said.keys().isdisjoint(SMALL_VESSELS)
    assert "histology_large_artery_calcification" in said
    assert "histology_calcium_deposit" not in said or "kossa" in text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "Calcification of small and medium-sized arteries of the subcutis with intimal hyperplasia.",
        "Medial calcification of arterioles in the subcutaneous fat.",
        "Medial calcification of medium-sized arteries, Monckeberg-like, and of arterioles with thrombi.",
        "Medium-sized arteries with mural calcification and thrombosis.",
        "Mural calcification of a single medium-sized artery of the septum.",
    ],
)
def test_small_vessels_beside_larger_ones_stay_small_vessels(text: str) -> None:
    assert any("affirmed" in section(text).get(concept, ()) for concept in SMALL_VESSELS)


def test_arterioles_free_of_calcium_stand_beside_an_artery_of_monckeberg() -> None:
    said = section("A deep artery shows Monckeberg calcification. Subcutaneous arterioles and capillaries are free of calcium.")
    assert said["histology_vessel_calcification"] == {"negated"}


@pytest.mark.parametrize("text", ["Reverse zonation is seen.", "There is no zonation.", "Lack of zonation in the osteoid."])
def test_reverse_or_missing_zonation_is_no_zonal_ossification(text: str) -> None:
    assert "affirmed" not in section(text).get("zonal_ossification", ())


def test_zonation_itself_is_read() -> None:
    assert section("Zonation with a mature rim of bone.")["zonal_ossification"] == {"affirmed"}
