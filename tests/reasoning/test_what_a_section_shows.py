"""What a section shows decides between a mimic and calcinosis: ghost cells, hyphae, crystals, elastic fibres."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, drug, lab, mimic_status, says, status

from calcinosis.knowledge.criteria import Status

DEAD_SKIN = (says("eschar", at="forearm"), says("pain", at="forearm"))


@pytest.mark.parametrize("layer", ["in the dermis", "with an abscess of the subcutis"])
def test_hyphae_in_the_biopsy_of_dead_skin_prove_a_mould_and_leave_calciphylaxis_possible(layer: str) -> None:
    answer = ask(*DEAD_SKIN, says("type 2 diabetes mellitus"), biopsy(f"Broad ribbon-like hyphae {layer}."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "invasive_fungal_infection")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE


def test_hyphae_of_the_horny_layer_are_no_mould_infection() -> None:
    answer = ask(*DEAD_SKIN, says("type 2 diabetes mellitus"), biopsy("Septate hyphae in the stratum corneum. Necrosis of the dermis."))
    assert mimic_status(answer, "invasive_fungal_infection") is None
    assert answer.leading == "calciphylaxis"


def test_hyphae_on_dialysis_do_not_set_calciphylaxis_aside() -> None:
    answer = ask(*DEAD_SKIN, says("end-stage renal disease on haemodialysis"), biopsy("Hyphae in the dermis."))
    assert status(answer, "calciphylaxis") is Status.PROBABLE


def test_needles_identified_as_apatite_are_no_urate() -> None:
    lump = says("mass", at="knee")
    assert mimic_status(ask(lump, biopsy("Needle-like crystals in histiocytes.")), "gouty_tophus") is Status.CONFIRMED
    apatite = biopsy("Needle-like crystals in histiocytes; X-ray diffraction: hydroxyapatite.")
    assert mimic_status(ask(lump, apatite), "gouty_tophus") is None
    assert mimic_status(ask(lump, apatite, says("gout")), "gouty_tophus") is Status.CONFIRMED  # both may lie together


def test_ghost_cells_of_fat_are_pancreatic_panniculitis_and_no_pilomatricoma() -> None:
    section = biopsy("Lobular panniculitis with ghost-like anucleate adipocytes and saponification of fat.")
    answer = ask(says("tender red nodules", at="shin"), section, lab("Lipase", "H"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "pancreatic_panniculitis")
    assert mimic_status(answer, "pilomatricoma") is None


def test_pancreatic_panniculitis_with_calcinosis_keeps_its_cause() -> None:
    answer = ask(says("calcinosis cutis", at="shin"), says("pancreatic panniculitis"), lab("Calcium", "N"), lab("Phosphate", "N"))
    assert answer.leading == "dystrophic"


def test_ghost_cells_in_brackets_are_a_pilomatricoma() -> None:
    answer = ask(says("firm nodule", at="arm"), biopsy("Lobules of ghost (shadow) cells with areas of calcification."))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "pilomatricoma")


def test_calcified_elastic_fibres_are_no_damaged_tissue() -> None:
    section = biopsy("Clumped elastic fibres, calcified on von Kossa stain.")
    answer = ask(says("yellow plaques", at="arm"), section, drug("calcitriol"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "pseudoxanthoma_elasticum")
