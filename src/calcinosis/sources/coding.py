"""From a code in a record to the concepts it stands for.

Coding systems come spelled as URIs, OIDs or names; :func:`system_name` gives each one name (that of ``codes.csv``).
A site's own codes and texts are added by a *code map*, a CSV file with the columns ``system,code,text,concept_key``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from calcinosis.knowledge.model import Code, Concept, Context
from calcinosis.sources.rxnorm import load_rxterms
from calcinosis.sources.site_files import csv_table

CONCEPT_SYSTEM: Final = "urn:calcinosis:concept"
Relation = Literal["exact", "narrower", "broader"]
Match = tuple[str, Relation]  # (concept key, what the code means against the concept)

# How each system is written in the wild. Keys are lower case, without "urn:oid:", "https" and a trailing slash.
_SPELLINGS: Final[dict[str, str]] = {
    "http://snomed.info/sct": "SNOMED", "2.16.840.1.113883.6.96": "SNOMED", "snomedct": "SNOMED", "snomed-ct": "SNOMED", "sct": "SNOMED",
    "http://loinc.org": "LOINC", "2.16.840.1.113883.6.1": "LOINC", "ln": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RXNORM", "2.16.840.1.113883.6.88": "RXNORM",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM", "2.16.840.1.113883.6.90": "ICD10CM", "icd-10-cm": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM", "http://hl7.org/fhir/sid/icd-9-cm/diagnosis": "ICD9CM",
    "2.16.840.1.113883.6.103": "ICD9CM", "icd-9-cm": "ICD9CM",
    "http://hl7.org/fhir/sid/icd-10": "ICD10", "2.16.840.1.113883.6.3": "ICD10", "icd-10": "ICD10",
    "http://fhir.de/codesystem/bfarm/icd-10-gm": "ICD10GM", "http://fhir.de/codesystem/dimdi/icd-10-gm": "ICD10GM", "icd-10-gm": "ICD10GM",
    "http://hl7.org/fhir/sid/icd-10-am": "ICD10AM", "2.16.840.1.113883.6.135": "ICD10AM", "icd-10-am": "ICD10AM",
    "http://hl7.org/fhir/sid/icd-10-ca": "ICD10CA", "icd-10-ca": "ICD10CA",
    "http://hl7.org/fhir/sid/icd-10-nl": "ICD10NL", "2.16.840.1.113883.6.3.2": "ICD10NL", "icd-10-nl": "ICD10NL",
    "http://hl7.org/fhir/sid/icd-10-se": "ICD10SE", "icd-10-se": "ICD10SE",
    "http://hl7.org/fhir/sid/icd-10-uk": "ICD10UK", "icd-10-uk": "ICD10UK",
    "http://human-phenotype-ontology.org": "HPO", "http://purl.obolibrary.org/obo/hp.owl": "HPO",
    "http://purl.obolibrary.org/obo/hp": "HPO", "hp": "HPO",
    "http://purl.obolibrary.org/obo/mondo.owl": "MONDO", "http://purl.obolibrary.org/obo/mondo": "MONDO",
    "urn:calcinosis:concept": "CALCINOSIS",  # the concepts of the knowledge by their own keys
}  # fmt: skip
_NAMES: Final = frozenset({*_SPELLINGS.values(), "OMOP"})
NATIONAL_ICD10: Final = frozenset({"ICD10AM", "ICD10CA", "ICD10GM", "ICD10NL", "ICD10SE", "ICD10UK"})  # WHO ICD-10 with more detail
_DOTTED: Final = frozenset({"ICD10CM", "ICD9CM", "ICD10", *NATIONAL_ICD10})  # dots are optional, and a category covers what starts with it
_SHORTEST_CATEGORY: Final = 3
_LONGEST_SHARED_ICD10: Final = 4  # WHO ICD-10 and ICD-10-CM share categories of up to four characters (M331), not their refinements
_ANOTHER_IN_WHO: Final = frozenset({"R652"})  # severe sepsis in ICD-10-CM, in WHO ICD-10 an inflammatory response without infection


def system_name(system: str | None) -> str:
    """The short name of a coding system ("SNOMED"); an unknown system keeps its own spelling."""
    if not system:
        return ""
    key = system.strip().lower().removeprefix("urn:oid:").removeprefix("oid:").replace("https://", "http://", 1).rstrip("/")
    if key.upper() in _NAMES:
        return key.upper()
    if key.startswith("http://snomed.info/sct/"):  # an edition or version of SNOMED CT
        return "SNOMED"
    return _SPELLINGS.get(key, system.strip())


def _plain(system: str, code: str) -> str:
    code = code.strip()
    return code.upper().replace(".", "") if system in _DOTTED else code


class ConceptIndex:
    """Finds the concepts behind a code or a site's own text.

    Args:
        codes: rows of ``codes.csv``.
        concepts: concept key -> concept.
        code_map: the site's own table (``system,code,text,concept_key``); a row gives a code, a text, or both.
        rxterms: NLM's RxTermsIngredients file, which rolls clinical drugs up to their ingredients.

    Raises:
        ValueError: naming file and line, when the code map or the RxTerms file cannot be used.
    """

    def __init__(
        self,
        codes: Iterable[Code],
        concepts: Mapping[str, Concept],
        *,
        code_map: Path | None = None,
        rxterms: Path | None = None,
    ) -> None:
        self.concepts = concepts
        self._by_code: dict[tuple[str, str], list[Match]] = {}
        self._by_text: dict[str, list[Match]] = {}
        self._ingredients: Mapping[str, tuple[str, ...]] = load_rxterms(rxterms) if rxterms else {}
        self._found: dict[tuple[str, str], tuple[Match, ...]] = {}
        for row in codes:
            if row.concept_key in concepts:
                self._by_code.setdefault((row.system, _plain(row.system, row.code)), []).append((row.concept_key, row.relation))
        for key in concepts:
            self._by_code["CALCINOSIS", key] = [(key, "exact")]
        if code_map:
            self._add_code_map(code_map)

    def lookup(self, system: str | None, code: str | None) -> tuple[Match, ...]:
        """Concepts of a code, most specific row first; nothing for an unknown code.

        ICD-9-CM and ICD-10-CM codes also match the rows of their categories (M33.10 is covered by M33.1).
        A WHO ICD-10 code is looked up among the ICD-10-CM rows, but only by the same text and up to four characters:
        the two classifications share their categories and part ways below them. A code of a national ICD-10 is its WHO category of
        four characters with more detail (ICD-10-GM M10.07 is a gout of M10.0).
        """
        if not system or not code:
            return ()
        key = (system, code)
        if key not in self._found:
            self._found[key] = self._lookup(system_name(system), code)
        return self._found[key]

    def lookup_text(self, text: str | None) -> tuple[Match, ...]:
        """Concepts that the site's code map gives to this exact text (case and outer spaces apart)."""
        return tuple(self._by_text.get(text.strip().casefold(), ())) if text and self._by_text else ()

    def kind(self, concept: str) -> str:
        return self.concepts[concept].kind

    def fits(self, concept: str, context: Context) -> bool:
        """Whether a *code* for this concept means the concept itself where it stands.

        The RxNorm code of a drug in an allergy list is not a drug the patient takes; a laboratory code in a report
        header is not a result.
        """
        kind = self.concepts[concept].kind
        if context is Context.ALLERGY or kind == "allergy":
            return kind == "allergy" and context in self.concepts[concept].reads_in
        if kind in ("lab", "drug", "site"):
            return context in self.concepts[concept].reads_in
        return context not in (Context.DRUG, Context.SITE) or context in self.concepts[concept].reads_in

    def _lookup(self, system: str, code: str) -> tuple[Match, ...]:
        plain = _plain(system, code)
        found = dict(self._by_code.get((system, plain), ()))
        if system in ("ICD10CM", "ICD9CM"):
            for length in range(len(plain) - 1, _SHORTEST_CATEGORY - 1, -1):
                for concept, relation in self._by_code.get((system, plain[:length]), ()):
                    found.setdefault(concept, "broader" if relation == "broader" else "narrower")
        elif system == "ICD10" and len(plain) <= _LONGEST_SHARED_ICD10 and plain not in _ANOTHER_IN_WHO:
            for concept, relation in self._by_code.get(("ICD10CM", plain), ()):
                found.setdefault(concept, relation)
        elif system in NATIONAL_ICD10:
            shared = plain[:_LONGEST_SHARED_ICD10]
            for concept, relation in self._lookup("ICD10", shared):
                found.setdefault(concept, relation if shared == plain or relation == "broader" else "narrower")
        elif system == "RXNORM" and not found:
            for ingredient in self._ingredients.get(plain, ()):
                for concept, relation in self._by_code.get((system, ingredient), ()):
                    found.setdefault(concept, "broader" if relation == "broader" else "narrower")
        return tuple(found.items())

    def _add_code_map(self, path: Path) -> None:
        names, rows = csv_table(path)
        if not {"system", "code", "text", "concept_key"} <= set(names):
            raise ValueError(f"{path}:1: a code map has the columns system,code,text,concept_key; found {','.join(names)}")
        for line, row in rows:
            system, code, text, concept = ((row.get(name) or "").strip() for name in ("system", "code", "text", "concept_key"))
            if concept not in self.concepts:
                near = get_close_matches(concept, self.concepts, n=3)
                raise ValueError(f"{path}:{line}: no concept {concept!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
            if code and not system:
                raise ValueError(f"{path}:{line}: a code needs its system")
            if not code and not text:
                raise ValueError(f"{path}:{line}: give a code (with its system) or a text")
            name = system_name(system)
            if code:
                self._by_code.setdefault((name, _plain(name, code)), []).insert(0, (concept, "exact"))
            if text:
                self._by_text.setdefault(text.casefold(), []).append((concept, "exact"))
