"""What the concept ids of a CDM stand for, by its own vocabulary tables.

A concept is known by its vocabulary and code. One that our code list does not hold is looked for through what it maps to, the
ingredients of a drug, and its ancestors; what is left is read by its name. Picklable: a cluster hands it to its workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from calcinosis.sources.coding import ConceptIndex

MAPS: Final = ("Maps to", "RxNorm has ing", "Consists of", "Tradename of", "Has precise ing")  # OMOP relationship_id
IS_A: Final = ("Is a",)
_STEPS: Final = 4  # from a branded pack to its ingredients; from a finding to the ones it is a kind of, where no ancestors are listed

Named = tuple[str, str, str]  # vocabulary_id, concept_code, concept_name
Rows = Callable[[str], Iterable[tuple[Any, ...]]]  # runs a query


@dataclass(frozen=True)
class OmopVocabulary:
    """The concepts that a CDM uses, and those they lead to.

    Attributes:
        names: concept_id -> vocabulary, code, name.
        leads_to: concept_id -> concepts that say the same or less: targets of mappings, ingredients, ancestors; the nearest first.
    """

    names: Mapping[int, Named]
    leads_to: Mapping[int, tuple[int, ...]]

    def name(self, concept_id: int | None) -> str | None:
        return self.names[concept_id][2] if concept_id is not None and concept_id in self.names else None

    def names_of(self, concept_id: int) -> list[str]:
        """Its name and those of what it leads to, the nearest first."""
        return [self.names[each][2] for each in (concept_id, *self.leads_to.get(concept_id, ())) if each in self.names]

    def unit(self, concept_id: int) -> str:
        """The UCUM code of a unit; for any other concept words that no unit conversion takes for a unit."""
        vocabulary, code, name = self.names.get(concept_id, ("", "", f"OMOP concept {concept_id}"))
        return code if vocabulary == "UCUM" else name

    def is_ucum(self, concept_id: int) -> bool:
        return concept_id in self.names and self.names[concept_id][0] == "UCUM"

    def knows(self, *concept_ids: int | None) -> bool:
        return any(concept_id in self.names for concept_id in concept_ids)

    def codings(self, concept_ids: Iterable[int | None], index: ConceptIndex) -> list[dict[str, str | None]]:
        """The concepts as FHIR codings; what they lead to only if their own codes say nothing, and then without a name to read."""
        own = [concept_id for concept_id in dict.fromkeys(concept_ids) if concept_id]
        codings = [coding for concept_id in own for coding in self._codings(concept_id, named=True)]
        if any(index.lookup(coding["system"], coding["code"]) for coding in codings):
            return codings
        for concept_id in own:
            for other in self.leads_to.get(concept_id, ()):
                found = self._codings(other, named=False)
                matches = [match for coding in found for match in index.lookup(coding["system"], coding["code"])]
                # a code broader than its concept says even less of what lies below it
                if any(relation != "broader" for _, relation in matches):
                    codings += found
                    if not any(index.kind(concept) == "drug" for concept, _ in matches):  # a drug may have several ingredients
                        break
        return codings

    def _codings(self, concept_id: int, *, named: bool) -> list[dict[str, str | None]]:
        omop: dict[str, str | None] = {"system": "OMOP", "code": str(concept_id), "display": None}
        if concept_id not in self.names:
            return [omop]
        vocabulary, code, name = self.names[concept_id]
        return [{"system": vocabulary, "code": code, "display": name if named else None}, omop]


def read_vocabulary(
    used: Iterable[int], statuses: Iterable[int], tables: frozenset[str], rows: Rows, many: Callable[[str, Iterable[int]], str]
) -> OmopVocabulary:
    """Read what is needed of ``concept``, ``concept_relationship`` and ``concept_ancestor``.

    Args:
        used: the concept ids found in the data.
        statuses: ids of statuses among them, which a vocabulary may lack.
        tables: which tables there are.
        many: a condition that a column is one of some numbers.

    Raises:
        ValueError: there is no ``concept`` table, or it knows none of the concepts.
    """
    if "concept" not in tables:
        raise ValueError(
            "the CDM has no table concept: without its vocabulary no concept id can be read. Download the vocabularies "
            "(SNOMED, LOINC, RxNorm, ICD10CM, UCUM) from https://athena.ohdsi.org and put concept, concept_relationship and "
            "concept_ancestor beside the other tables"
        )
    said = {number for number in used if number}
    wanted = said | set(statuses)
    leads: dict[int, dict[int, None]] = {}
    reached = set(wanted)
    if "concept_relationship" in tables:
        reached |= _follow(MAPS, wanted, leads, rows, many)
    ancestors = _ancestors(reached, rows, many) if "concept_ancestor" in tables else {}
    if not ancestors and "concept_relationship" in tables:
        reached |= _follow(IS_A, reached, leads, rows, many)
    for concept_id, above in ancestors.items():
        leads.setdefault(concept_id, {}).update(dict.fromkeys(above))
        reached.update(above)
    names = {
        int(number): (str(vocabulary), str(code), str(name))
        for number, vocabulary, code, name in rows(
            f"SELECT concept_id, vocabulary_id, concept_code, concept_name FROM {{concept}} WHERE {many('concept_id', reached)}"
        )
    }
    if said and not any(number in names for number in said):
        raise ValueError("the table concept knows none of the concepts that the data use: it is empty, or belongs to another CDM")
    return OmopVocabulary(names, {concept_id: tuple(_closure(concept_id, leads)) for concept_id in wanted if concept_id in leads})


def _follow(
    relations: tuple[str, ...], start: set[int], leads: dict[int, dict[int, None]], rows: Rows, many: Callable[[str, Iterable[int]], str]
) -> set[int]:
    """Walk some relationships step by step; returns the concepts that were reached."""
    named = ", ".join(f"'{relation}'" for relation in relations)
    reached: set[int] = set()
    step = start
    for _ in range(_STEPS):
        if not step:
            break
        found = rows(
            f"SELECT concept_id_1, concept_id_2 FROM {{concept_relationship}} WHERE relationship_id IN ({named}) "
            f"AND concept_id_1 <> concept_id_2 AND {many('concept_id_1', step)} ORDER BY 1, 2"
        )
        following: set[int] = set()
        for source, target in found:
            leads.setdefault(int(source), {})[int(target)] = None
            following.add(int(target))
        step = following - reached - start
        reached |= following
    return reached


def _ancestors(below: set[int], rows: Rows, many: Callable[[str, Iterable[int]], str]) -> dict[int, list[int]]:
    found = rows(
        "SELECT descendant_concept_id, ancestor_concept_id FROM {concept_ancestor} WHERE ancestor_concept_id <> descendant_concept_id "
        f"AND {many('descendant_concept_id', below)} ORDER BY 1, min_levels_of_separation, 2"
    )
    ancestors: dict[int, list[int]] = {}
    for descendant, ancestor in found:
        ancestors.setdefault(int(descendant), []).append(int(ancestor))
    return ancestors


def _closure(start: int, leads: Mapping[int, Mapping[int, None]]) -> Iterable[int]:
    """Everything a concept leads to, breadth first."""
    seen, level = {start}, [start]
    while level:
        following = [target for source in level for target in leads.get(source, ()) if target not in seen]
        level = list(dict.fromkeys(following))
        seen.update(level)
        yield from level
