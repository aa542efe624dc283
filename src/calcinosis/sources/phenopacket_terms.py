"""The terms of a phenopacket: CURIEs and labels as codes and words, and what PATO, HPO and UBERON mean by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from calcinosis.sources.coding import system_name
from calcinosis.sources.fhir_values import Coded, read_answer
from calcinosis.sources.phenopacket_model import OntologyClass

_PREFIXES: Final = {  # CURIE prefixes that are not the name or a known spelling of their system
    "rxcui": "RXNORM", "sctid": "SNOMED", "snomedct_us": "SNOMED", "icd10": "ICD10", "orphanet": "ORPHA", "ordo": "ORPHA",
}  # fmt: skip
_CODE_KEEPS_PREFIX: Final = frozenset({"HPO", "MONDO"})  # codes.csv holds "HP:0001324" but "2160-0"
_IRI: Final = re.compile(r"https?://(?:purl\.obolibrary\.org/obo|www\.ebi\.ac\.uk/efo|www\.orpha\.net/ORDO)/([A-Za-z]+)_(\w+)$")
_SHORT: Final = re.compile(r"(HP|MONDO|UBERON|PATO)_(\d+)$")
_HUMAN: Final = {
    "hindlimb stylopod": "thigh", "hindlimb zeugopod": "lower leg", "hindlimb": "lower limb", "pes": "foot", "pedal digit": "toe",
    "forelimb stylopod": "upper arm", "forelimb zeugopod": "forearm", "forelimb": "upper limb", "manus": "hand", "manual digit": "finger",
}  # fmt: skip
_LIMBS: Final = re.compile(r"\b(?:" + "|".join(_HUMAN) + r")\b", re.IGNORECASE)
_OPEN_END: Final = re.compile(r",? with or without .*", re.IGNORECASE | re.DOTALL)  # part of a disease's name, not of what the patient has

# PATO terms as sent; their labels ("increased amount") are read first
_PATO: Final = {
    "PATO:0000460": "abnormal", "PATO:0000461": "normal", "PATO:0000462": "negative", "PATO:0000467": "positive",
    "PATO:0000470": "high", "PATO:0001997": "low",
}  # fmt: skip
_OF_WHAT: Final = re.compile(r"\s+(?:amount|concentration|level|activity|quality)$", re.IGNORECASE)

# HPO names a laboratory finding after its result: "Elevated circulating creatine kinase concentration", "Rheumatoid factor positive"
_HOW_MUCH: Final = r"(?:(?:abnormally|mildly|moderately|markedly|severely|highly) )?"
_RESULTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), flag)
    for pattern, flag in (
        (rf"{_HOW_MUCH}(?:elevated|increased|high) (?:circulating )?(.+?)(?: (?:concentration|level|activity))?$", "high"),
        (rf"{_HOW_MUCH}(?:decreased|reduced|low) (?:circulating )?(.+?)(?: (?:concentration|level|activity))?$", "low"),
        (r"(.+?) (?:positivity|positive)$", "positive"),
    )
)


def coded_of(term: OntologyClass | None, *, before: OntologyClass | None = None, after: OntologyClass | None = None) -> Coded | None:
    """A term as code and words; ``before`` and ``after`` lend their labels ("Severe" pain, "Stage 5")."""
    if term is None or not (term.id.strip() or term.label.strip()):
        return None
    words = [part.label.strip() for part in (before, term, after) if part is not None and part.label.strip()] if term.label.strip() else []
    text = _OPEN_END.sub("", " ".join(words)) or None
    curie = term.id.strip()
    match = _IRI.match(curie) or _SHORT.match(curie)
    prefix, colon, local = (match[1], ":", match[2]) if match else curie.partition(":") if "//" not in curie else ("", "", "")
    if not curie:
        return Coded((), text)
    if not (prefix and colon and local):
        return Coded(((None, curie, text),), text)
    system = system_name(_PREFIXES.get(prefix.lower(), prefix))
    full = f"{prefix.upper()}:{local}"
    codes = (full, local) if system in _CODE_KEEPS_PREFIX else (local, full)
    return Coded(tuple((system, code, text) for code in codes), text)


def plain_anatomy(term: OntologyClass) -> OntologyClass:
    """The term with UBERON's names for limbs and digits of any vertebrate said in words for people."""
    label = _LIMBS.sub(lambda match: _HUMAN[match[0].lower()], term.label)
    return OntologyClass(id=term.id, label=label)


def unit_of(unit: OntologyClass | None) -> str | None:
    """The UCUM code, or else the unit as written."""
    if unit is None:
        return None
    prefix, _, code = unit.id.strip().partition(":")
    if prefix.upper() == "UCUM" and code:
        return code
    return unit.label.strip() or unit.id.strip() or None


def answer_of(value: OntologyClass) -> tuple[str | None, bool]:
    """A result in words as a flag (one of ``events.FLAGS`` or "uncertain"), and whether it says that nothing is known."""
    answer = read_answer(_OF_WHAT.sub("", value.label.strip()))
    return answer.flag or _PATO.get(value.id.strip().upper()), answer.missing


def results_in_name(label: str) -> Iterator[tuple[str, str]]:
    """(name of the quantity, flag) for a term such as "Elevated circulating creatine kinase concentration"."""
    for pattern, flag in _RESULTS:
        match = pattern.match(label.strip())
        if match:
            yield match[1], flag
            yield match[1].removesuffix(" antibody"), flag
