"""Units: UCUM in, canonical units out, and nothing guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.knowledge.model import Lab
from calcinosis.units import UnknownUnit, canonical_factor, conversion_factor

CALCIUM = Lab(unit="mmol/L", molar_mass=40.078, valence=2)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("mg/dL", 10.0, 100 / 40.078),  # 10 mg/dL = 100 mg/L = 2.495 mmol/L
        ("mmol/L", 2.5, 2.5),
        ("umol/L", 2500.0, 2.5),
        ("g/L", 0.1, 100 / 40.078),
        ("mg/L", 100.0, 100 / 40.078),
    ],
)
def test_calcium_converts_through_its_molar_mass(unit: str, value: float, expected: float) -> None:
    assert value * canonical_factor(unit, CALCIUM) == pytest.approx(expected)


def test_one_equivalent_of_calcium_is_half_a_mole() -> None:
    assert 5.0 * conversion_factor("meq/L", "mmol/L", 40.078, 2) == pytest.approx(2.5)
    assert conversion_factor("mEq/L", "mmol/L", 40.078, 2) == pytest.approx(0.5)


def test_meq_needs_valence() -> None:
    with pytest.raises(UnknownUnit, match="valence"):
        conversion_factor("meq/L", "mmol/L", 40.078, None)


def test_a_product_of_concentrations_uses_the_product_of_molar_masses() -> None:
    expected = (10 / 40.078) * (10 / 30.974)  # 1 mg/dL of each, in mmol/L
    assert conversion_factor("mg2/dL2", "mmol2/L2", 40.078 * 30.974) == pytest.approx(expected)
    assert 55 * conversion_factor("mg2/dL2", "mmol2/L2", 1241.376) == pytest.approx(4.43, abs=0.005)  # as printed: 55 mg2/dL2 is about 4.43


def test_pth_and_creatinine_as_laboratories_print_them() -> None:
    assert 65 * conversion_factor("pg/mL", "pmol/L", 9425) == pytest.approx(6.9, abs=0.05)  # the usual 65 pg/mL = 6.9 pmol/L
    assert conversion_factor("mg/dL", "umol/L", 113.12) == pytest.approx(88.4, abs=0.05)  # the usual factor


@pytest.mark.parametrize("spelling", ["µmol/L", "μmol/L", "UMOL/L"])
def test_spellings_that_mean_one_unit_are_read(spelling: str) -> None:
    assert conversion_factor(spelling, "umol/L") == pytest.approx(1.0)


@pytest.mark.parametrize("unit", ["furlong", "mg%%", "per patient", "mmHg", "s", "%", "mmol/mol"])
def test_unknown_unit_is_rejected_aloud(unit: str) -> None:
    with pytest.raises(UnknownUnit, match="unit"):
        canonical_factor(unit, CALCIUM)


def test_a_number_without_a_unit_is_not_guessed() -> None:
    for unit in (None, ""):
        with pytest.raises(UnknownUnit, match="without a unit"):
            canonical_factor(unit, CALCIUM)


def test_mass_does_not_become_moles_without_a_molar_mass() -> None:
    with pytest.raises(UnknownUnit, match="converted"):
        conversion_factor("mg/dL", "mmol/L")


def test_a_lab_without_a_unit_takes_any_unit() -> None:
    assert canonical_factor("anything", Lab()) == 1.0


@given(
    st.sampled_from(["mg/dL", "mmol/L", "umol/L", "g/L", "meq/L", "mg/L", "nmol/mL"]), st.sampled_from(["mg/dL", "mmol/L", "umol/L", "g/L"])
)
def test_there_and_back_is_one(unit: str, other: str) -> None:
    there = conversion_factor(unit, other, 40.078, 2)
    back = conversion_factor(other, "mmol/L", 40.078, 2)
    assert there * back == pytest.approx(conversion_factor(unit, "mmol/L", 40.078, 2))


@pytest.mark.parametrize("unit", [None, "", "1", "{INR}", "{ratio}"])
def test_a_mere_number_needs_no_unit(unit: str | None) -> None:
    assert canonical_factor(unit, Lab(unit="{INR}")) == 1.0


@pytest.mark.parametrize("unit", ["%", "s", "mg/dL"])
def test_a_mere_number_has_no_other_unit(unit: str) -> None:
    with pytest.raises(UnknownUnit):
        canonical_factor(unit, Lab(unit="{INR}"))
