"""The vocabulary tables: only the codes in use, under ids of our own (OMOP leaves 2,000,000,000 and above to each site)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from calcinosis.knowledge import Knowledge
from calcinosis.simulate.plan import Payload, Plan

FIRST_LOCAL_ID = 2_000_000_000
NO_CONCEPT = 0
_VALID_FROM, _VALID_TO = date(1970, 1, 1), date(2099, 12, 31)
_VOCABULARY = {"RXNORM": "RxNorm"}  # spelled as OMOP does; the others are spelled as in codes.csv
_DOMAIN = {"condition": "Condition", "drug": "Drug", "procedure": "Procedure", "lab": "Measurement"}
_STANDARD = frozenset({"SNOMED", "LOINC", "RXNORM", "UCUM"})  # of the vocabularies in use, those whose concepts are standard


@dataclass(slots=True)
class Vocabulary:
    """``ids``: (system, code) -> our id; ``maps_to``: id of a source code -> id of the standard concept that means the same."""

    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: list[tuple[object, ...]] = field(default_factory=list)
    maps_to: dict[int, int] = field(default_factory=dict)

    def standard_id(self, payload: Payload) -> int:
        source = self.source_id(payload)
        return source if payload.system in _STANDARD else self.maps_to.get(source, NO_CONCEPT)

    def source_id(self, payload: Payload) -> int:
        return self.ids[payload.system or "", payload.code or ""]

    def unit_id(self, payload: Payload) -> int:
        return self.ids.get(("UCUM", payload.unit or ""), NO_CONCEPT)

    def add(self, system: str, code: str, name: str, domain: str) -> int:
        if (system, code) not in self.ids:
            new = FIRST_LOCAL_ID + 1 + len(self.ids)
            self.ids[system, code] = new
            standard = "S" if system in _STANDARD else None
            vocabulary = _VOCABULARY.get(system, system)
            kind = "Ingredient" if system == "RXNORM" else "Unit" if system == "UCUM" else domain
            self.rows.append((new, name, domain, vocabulary, kind, standard, code, _VALID_FROM, _VALID_TO, None))
        return self.ids[system, code]

    def relationships(self) -> list[tuple[object, ...]]:
        same = [(id_, id_) for (system, _), id_ in self.ids.items() if system in _STANDARD]
        return [(one, two, "Maps to", _VALID_FROM, _VALID_TO, None) for one, two in (*same, *self.maps_to.items())]

    def ancestors(self) -> list[tuple[object, ...]]:
        return [(id_, id_, 0, 0) for (system, _), id_ in self.ids.items() if system in _STANDARD]

    def vocabularies(self) -> list[tuple[object, ...]]:
        names = sorted({_VOCABULARY.get(system, system) for system, _ in self.ids})
        return [(name, name, "calcinosis simulate: the codes in use only", None, NO_CONCEPT) for name in names]


def make_vocabulary(plan: Plan) -> Vocabulary:
    """Every code of the plan; an ICD-10-CM code maps to SNOMED CT where the knowledge calls both exact for one concept."""
    vocabulary = Vocabulary()
    snomed = _exact_snomed(plan.knowledge)
    exact = {(code.concept_key, code.system, code.code) for code in plan.knowledge.codes if code.relation == "exact"}
    for payload in plan.payloads:
        if not payload.code or not payload.system:
            continue
        domain = _DOMAIN[payload.kind]
        source = vocabulary.add(payload.system, payload.code, payload.label, domain)
        same = snomed.get(payload.concept or "")
        if payload.system not in _STANDARD and same and (payload.concept, payload.system, payload.code) in exact:
            vocabulary.maps_to[source] = vocabulary.add("SNOMED", same, payload.label, domain)
        if payload.unit and payload.unit_known:
            vocabulary.add("UCUM", payload.unit, payload.unit, "Unit")
    return vocabulary


def _exact_snomed(knowledge: Knowledge) -> dict[str, str]:
    found: dict[str, str] = {}
    for code in knowledge.codes:
        if code.system == "SNOMED" and code.relation == "exact":
            found.setdefault(code.concept_key, code.code)
    return found
