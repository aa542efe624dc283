"""Who names whom: which entries cite a source, and which read a concept, a finding or a setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from calcinosis.knowledge.loader import Knowledge
from calcinosis.knowledge.model import Code
from calcinosis.knowledge.wording import cited, reads

Place = tuple[str, str]  # (table, key)


@dataclass(frozen=True, slots=True)
class Usage:
    """Each list is in the order of the content and names an entry once.

    Attributes:
        cited_by: source -> the entries that cite it.
        read_by: (table, key) -> the entries whose criteria or outcomes name it.
        codes: concept -> its codes.
        children: concept -> the concepts that show it.
    """

    cited_by: dict[str, list[Place]]
    read_by: dict[Place, list[Place]]
    codes: dict[str, list[Code]]
    children: dict[str, list[str]]


def usage_of(knowledge: Knowledge, tables: Iterable[str]) -> Usage:
    """Looks at every entry of the tables."""
    cited_by: dict[str, list[Place]] = {}
    read_by: dict[Place, list[Place]] = {}
    codes: dict[str, list[Code]] = {}
    children: dict[str, list[str]] = {}
    for table in tables:
        for key, record in getattr(knowledge, table).items():
            for source in cited(record):
                cited_by.setdefault(source, []).append((table, key))
            for target in reads(record, knowledge):
                read_by.setdefault(target, []).append((table, key))
    for code in knowledge.codes:
        codes.setdefault(code.concept_key, []).append(code)
    for key, concept in knowledge.concepts.items():
        for parent in concept.parents:
            children.setdefault(parent, []).append(key)
    return Usage(cited_by, read_by, codes, children)
