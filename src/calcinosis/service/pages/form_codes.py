"""What the entry form offers and says of a concept: its units, in words too, and the public codes that mean it exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Concept
from calcinosis.units import UnknownUnit, canonical_conversion, canonical_factor

URI: Final = {
    "SNOMED": "http://snomed.info/sct", "LOINC": "http://loinc.org", "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm", "HPO": "http://human-phenotype-ontology.org",
    "MONDO": "http://purl.obolibrary.org/obo/mondo.owl",
}  # fmt: skip

_UNIT_WORDS: Final = {
    "{INR}": "INR", "mL/min/{1.73_m2}": "mL/min/1.73 m²", "umol/L": "µmol/L", "ug/L": "µg/L", "10*9/L": "×10⁹/L", "10*3/uL": "×10³/µL",
}  # fmt: skip


def in_unit(limits: tuple[float, float], unit: str, concept: Concept) -> tuple[float, float]:
    """Limits in the canonical unit of a measurement, in another of its units."""
    assert concept.lab is not None
    factor, shift = canonical_conversion(unit, concept.lab)
    low, high = ((limit - shift) / factor for limit in limits)
    return low, high


def word_of(unit: str) -> str:
    """A UCUM unit as people write it."""
    return _UNIT_WORDS.get(unit, unit)


def exact_codes(knowledge: Knowledge) -> dict[str, list[Any]]:
    """Concept -> codes that mean it, and nothing else in the knowledge."""
    meanings: dict[tuple[str, str], int] = {}
    for code in knowledge.codes:
        meanings[code.system, code.code] = meanings.get((code.system, code.code), 0) + 1
    found: dict[str, list[Any]] = {}
    for code in knowledge.codes:
        if code.relation == "exact" and code.system in URI and meanings[code.system, code.code] == 1:
            found.setdefault(code.concept_key, []).append(code)
    return found


def units_of(concept: Concept, knowledge: Knowledge) -> tuple[str, ...]:
    """The canonical unit and those that laboratories send for it; where none is known, those of tests with the same canonical unit."""
    assert concept.lab is not None
    if concept.lab.unit is None:
        return ()
    own = tuple(_convertible(concept, (code.unit for code in knowledge.codes if code.concept_key == concept.key)))
    if len(own) > 1:
        return own
    alike = {key for key, each in knowledge.concepts.items() if each.lab and each.lab.unit == concept.lab.unit}
    return tuple(_convertible(concept, (code.unit for code in knowledge.codes if code.concept_key in alike)))


def _convertible(concept: Concept, units: Iterator[str | None]) -> Iterator[str]:
    assert concept.lab is not None and concept.lab.unit is not None
    for unit in dict.fromkeys((concept.lab.unit, *units)):
        if unit:
            try:
                canonical_factor(unit, concept.lab)
            except UnknownUnit:
                continue
            yield unit
