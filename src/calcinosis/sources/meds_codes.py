"""What a MEDS code stands for, before its values are seen: its parts, the codes above it, its words and its unit.

MEDS leaves the vocabulary of codes to whoever made the dataset. Known here are ``SYSTEM/CODE`` and ``SYSTEM//CODE``, and the
codes with a leading word that says what kind of thing follows (``LAB//50893//mg/dL``, as the public MIMIC-IV ETL writes them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from calcinosis.events import SEX
from calcinosis.knowledge.model import Context
from calcinosis.sources.coding import NATIONAL_ICD10, ConceptIndex, system_name
from calcinosis.sources.fhir_events import study_context
from calcinosis.sources.fhir_values import Coded

BIRTH: Final = "MEDS_BIRTH"
NATIVE: Final = "MEDS"  # the system of a whole code, for the site's code map

_HEADS: Final = {
    **dict.fromkeys(("lab", "labs", "measurement", "observation", "vital", "vitals"), Context.OBSERVATION),
    **dict.fromkeys(("diagnosis", "condition", "problem"), Context.CONDITION),
    **dict.fromkeys(("medication", "drug", "infusion_start", "infusion_end"), Context.DRUG),
    **dict.fromkeys(("procedure", "hcpcs", "cpt"), Context.PROCEDURE),
    "device": Context.DEVICE,
    "allergy": Context.ALLERGY,
}
_WRITTEN: Final = frozenset({"note", "notes", "document", "report"})  # whose text_value is the text of a document
_SYSTEMS: Final = {  # where a code stands whose system holds one kind of thing only
    "LOINC": Context.OBSERVATION, "RXNORM": Context.DRUG, "NDC": Context.DRUG, "ATC": Context.DRUG, "ICD10PCS": Context.PROCEDURE,
    "ICD9Proc": Context.PROCEDURE,
}  # fmt: skip
_KINDS: Final = {
    "lab": Context.OBSERVATION, "drug": Context.DRUG, "procedure": Context.PROCEDURE, "device": Context.DEVICE,
    "allergy": Context.ALLERGY, "site": Context.SITE,
}  # fmt: skip
_ICD: Final = {
    (Context.CONDITION, "9"): "ICD9CM", (Context.CONDITION, "10"): "ICD10CM",
    (Context.PROCEDURE, "9"): "ICD9Proc", (Context.PROCEDURE, "10"): "ICD10PCS",
}  # fmt: skip
_SAYS_NOTHING: Final = frozenset({"", "unk", "n/a", "na", "none", "null"})
_STEPS: Final = frozenset({"start", "stop", "end", "result"})
_GIVEN: Final = re.compile(
    r"(?:Delayed |Partial )?(?:Administered|Applied|Started|Restarted|Flushed)\b|Removed Existing / Applied New", re.IGNORECASE
)
_STOPPED: Final = re.compile(r"(?:Delayed )?(?:Stopped|Removed)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MedsCode:
    """A code taken apart.

    Attributes:
        context: where in a record it would stand; None when nothing tells.
        ended: the row says that a course of treatment is over.
        silent: why a row of this code says nothing about the patient ("not given"), else None.
        name: of a document, whose words stand in the row.
    """

    code: str
    coded: Coded
    context: Context | None
    unit: str | None = None
    ended: bool = False
    silent: str | None = None
    name: str | None = None


def sex_of(code: str) -> str | None:
    """ "GENDER//F", "SEX/male": the sex, "" when it says neither, None for any other code."""
    head, _, rest = code.replace("//", "/").partition("/")
    return SEX.get(rest.strip().lower(), "") if head.lower() in ("gender", "sex") else None


def take_apart(code: str, description: str | None, above: tuple[str, ...], index: ConceptIndex) -> MedsCode:
    """Read a code together with its line in ``metadata/codes.parquet``.

    Args:
        above: its parent codes and theirs.
    """
    parents = tuple(pair for parent in above if (pair := split_system(parent)))
    head, *rest = code.split("//")
    context = _HEADS.get(head.strip().lower())
    if head.strip().lower() in _WRITTEN:
        return _document(code, description, rest)
    if context is None:
        return _bare(code, description, parents, index)
    step = rest.pop(0).lower() if len(rest) > 1 and rest[0].lower() in _STEPS else ""
    own = _own(context, rest)
    name, unit, silent = None, None, None
    ended = step == "stop" or head.lower() == "infusion_end"
    if context is Context.OBSERVATION:
        if rest and rest[0].upper() == "SPECIMEN_COLLECTED":
            silent = "a specimen, not a result"
        unit = _told("//".join(rest[1 if own is None else 2 :]))
    elif context is Context.PROCEDURE and step == "end":
        silent = "the end of what its start says"
    elif context is Context.DRUG and head.lower() in ("medication", "drug") and own is None:
        name = _told(rest[0]) if rest else None
        action = rest[1] if not step and len(rest) > 2 else ""
        ended = ended or bool(_STOPPED.match(action))
        if action and not ended and not _GIVEN.match(action):
            silent = "neither given nor stopped"
    elif own is None and rest and not rest[0].isdigit():
        name = _told(rest[0])
    codings = (*parents, *((own,) if own else ()), (NATIVE, code))
    words = description if _told(description) else name
    return MedsCode(code, Coded(tuple((system, each, None) for system, each in codings), words), context, unit, ended, silent)


def _document(code: str, description: str | None, rest: list[str]) -> MedsCode:
    """A note, or the report of a study by its name; what it says stands in the row."""
    name = _told(description) or (_told(rest[-1]) if rest else None)
    return MedsCode(code, Coded((), None), study_context(name or "") or Context.NOTE, name=name)


def split_system(code: str) -> tuple[str, str] | None:
    """ "LOINC/2777-1" and "LOINC//2777-1" as system and code."""
    system, slash, rest = code.partition("/")
    return (system, rest.lstrip("/")) if slash and system and rest.lstrip("/") else None


def ancestors(code: str, parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The parents of a code, and theirs, nearest first; a circle ends."""
    found: dict[str, None] = {}
    waiting = list(parents.get(code, ()))
    while waiting:
        each = waiting.pop(0)
        if each not in found and each != code:
            found[each] = None
            waiting += parents.get(each, ())
    return tuple(found)


def _bare(code: str, description: str | None, parents: tuple[tuple[str, str], ...], index: ConceptIndex) -> MedsCode:
    """A code whose first part is no known word: a coding system, or a site's own."""
    own = split_system(code)
    unit = None
    if own and "//" in own[1]:
        plain, _, last = own[1].partition("//")
        own, unit = (own[0], plain), _told(last)
    if own and own[0] == "text":  # words, as this program writes what has no code
        return MedsCode(code, Coded((), own[1]), _CONTEXT_OF_WORDS, None)
    codings = (*parents, *((own,) if own else ()), (NATIVE, code))
    context = next((_SYSTEMS[name] for system, _ in codings if (name := _spelled(system)) in _SYSTEMS), None)
    concept = next((match for system, each in codings for match, _ in index.lookup(system, each)), None)
    if concept is not None:
        context = _KINDS.get(index.kind(concept), context or Context.CONDITION)
    return MedsCode(code, Coded(tuple((system, each, None) for system, each in codings), _told(description)), context, unit)


_CONTEXT_OF_WORDS: Final = Context.NOTE


def _spelled(system: str) -> str:
    name = system_name(system)
    return name if name in _SYSTEMS else system.upper() if system.upper() in _SYSTEMS else name


def _own(context: Context, rest: list[str]) -> tuple[str, str] | None:
    """The coding inside a code with a leading word: "ICD//10//N186", "LOINC//2777-1"; None when it has no system."""
    if len(rest) >= 3 and rest[0].upper() == "ICD" and (context, rest[1]) in _ICD:
        return _ICD[context, rest[1]], rest[2]
    systems = {"SNOMED", "ICD10CM", "ICD9CM", "ICD10", "OMOP", *NATIONAL_ICD10}
    if len(rest) >= 2 and (_spelled(rest[0]) in _SYSTEMS or system_name(rest[0]) in systems):
        return rest[0], rest[1]
    return None


def _told(text: str | None) -> str | None:
    return None if text is None or text.strip().lower() in _SAYS_NOTHING else text.strip()
