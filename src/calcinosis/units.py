"""Units: UCUM in, the concept's canonical unit out, through Pint and ucumvert; never by the size of a number.

Mass and molar concentrations of one substance differ by its molar mass, which the knowledge base gives.
UCUM: https://ucum.org/ucum
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

if TYPE_CHECKING:
    from calcinosis.knowledge.model import Lab

_ALIASES = Path(__file__).parent / "knowledge" / "content" / "unit_aliases.yaml"


TEMPERATURES: Final = ("Cel", "[degF]", "K")  # UCUM: special units on a scale of their own


class Conversion(NamedTuple):
    """``value × factor + shift`` is the value in the canonical unit. The shift is 0 but for temperatures."""

    factor: float
    shift: float


class UnknownUnit(ValueError):
    """The unit is not UCUM, not a known spelling of UCUM, or does not measure this analyte."""


@cache
def _ucum() -> Callable[[str], Any]:
    from ucumvert import UcumToPintTransformer, get_ucum_parser, parse_ucum  # imported late: many runs need no conversion

    # the parts of ucumvert.PintUcumRegistry, which builds a second registry that its own from_ucum never uses: half a second
    parser, transformer = get_ucum_parser(), UcumToPintTransformer()
    return lambda unit: transformer.transform(parse_ucum(unit, parser))


@cache
def _aliases() -> dict[str, str]:
    aliases: dict[str, str] = yaml.safe_load(_ALIASES.read_text(encoding="utf-8"))["aliases"]
    return aliases


def conversion_factor(unit: str, canonical: str, molar_mass: float | None = None, valence: int | None = None) -> float:
    """The number that turns a value in ``unit`` into ``canonical`` (both UCUM).

    Args:
        molar_mass: g/mol, or the product of two molar masses (g²/mol²) for a product of concentrations.
        valence: charge of the ion; UCUM counts an equivalent as a mole, so 1 meq/L of calcium would read as 1 mmol/L.

    Raises:
        UnknownUnit: the unit is not UCUM, measures something else, or has another zero (a temperature: :func:`canonical_conversion`).
    """
    found = _factor_or_reason(unit, canonical, molar_mass, valence)
    if isinstance(found, str):
        raise UnknownUnit(found)
    return found


@lru_cache(maxsize=4096)
def _factor_or_reason(unit: str, canonical: str, molar_mass: float | None, valence: int | None) -> float | str:
    """A failure is remembered, too: parsing a unit takes milliseconds."""
    try:
        return _factor(unit, canonical, molar_mass, valence)
    except UnknownUnit as error:
        return str(error)


def _factor(unit: str, canonical: str, molar_mass: float | None, valence: int | None) -> float:
    spelled = _aliases().get(unit.strip(), unit.strip())
    if spelled == canonical:
        return 1.0
    if "eq" in spelled and "eq" not in canonical:
        if valence is None:
            raise UnknownUnit(f"unit {unit!r} needs the valence of the ion")
        return conversion_factor(spelled.replace("eq", "mol"), canonical, molar_mass) / valence
    source, target = _parse(spelled, unit), _parse(canonical, canonical)
    if not (source._is_multiplicative and target._is_multiplicative):
        raise UnknownUnit(f"unit {unit!r} has another zero than {canonical}")
    if source.dimensionality == target.dimensionality:
        return float(source.to(target.units).magnitude / target.magnitude)
    if molar_mass:
        power = round(abs(target.dimensionality.get("[substance]", 0) or source.dimensionality.get("[substance]", 0)))
        molar = molar_mass * (_parse("g", "g") / _parse("mol", "mol")) ** power
        for converted in (source / molar, source * molar) if power else ():
            if converted.dimensionality == target.dimensionality:
                return float(converted.to(target.units).magnitude / target.magnitude)
    raise UnknownUnit(f"unit {unit!r} cannot be converted to {canonical}")


def _parse(spelled: str, as_written: str) -> Any:
    try:
        quantity = _ucum()(spelled)
    except Exception as error:  # ucumvert raises several unrelated classes, lark's among them
        raise UnknownUnit(f"unit {as_written!r} is not UCUM") from error
    if not hasattr(quantity, "dimensionality"):  # ucumvert hands an empty or purely annotated unit back as it came
        raise UnknownUnit(f"unit {as_written!r} is not UCUM")
    return quantity


def _is_annotation(unit: str) -> bool:
    return unit.startswith("{") and unit.endswith("}")


def canonical_factor(unit: str | None, lab: Lab) -> float:
    """Factor from the unit as sent to the canonical unit of a lab concept.

    Raises:
        UnknownUnit: also when the number came without any unit, unless the quantity is a mere number.
    """
    if lab.unit is None:
        return 1.0
    if _is_annotation(lab.unit) and (not unit or unit.strip() == "1" or _is_annotation(_aliases().get(unit.strip(), unit.strip()))):
        return 1.0  # UCUM: an annotation alone stands for 1, and the INR is sent without any unit more often than with one
    if not unit:
        raise UnknownUnit("a number without a unit")
    return conversion_factor(unit, lab.unit, lab.molar_mass, lab.valence)


def canonical_conversion(unit: str | None, lab: Lab) -> Conversion:
    """From the unit as sent to the canonical unit of a lab concept, of which degrees Celsius and Fahrenheit may be one.

    Raises:
        UnknownUnit: as :func:`canonical_factor`.
    """
    if unit and lab.unit in TEMPERATURES:
        return _temperature(_aliases().get(unit.strip(), unit.strip()), unit, lab.unit)
    return Conversion(canonical_factor(unit, lab), 0.0)


@lru_cache(maxsize=64)
def _temperature(spelled: str, as_written: str, canonical: str) -> Conversion:
    source, target = _parse(spelled, as_written), _parse(canonical, canonical)
    if source.dimensionality != target.dimensionality:
        raise UnknownUnit(f"unit {as_written!r} cannot be converted to {canonical}")
    registry = source._REGISTRY
    at_zero, at_thousand = (float(registry.Quantity(value, source.units).to(target.units).magnitude) for value in (0.0, 1000.0))
    return Conversion((at_thousand - at_zero) / 1000, at_zero)
