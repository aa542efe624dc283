"""Keys and rows in words: labels, citations, statements and facts of an answer.

An answer is written for a patient who was just evaluated, or for one whose rows were stored. These may come from another version of the
knowledge: what this one does not know is shown by its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from calcinosis.contract import DENIED, Citation, FactOut, Statement, UnknownFact
from calcinosis.events import as_recorded
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.wording import citation

_TELLING: Final = ("finding", "drug", "exposure", "procedure", "device", "disease", "lab")  # kinds of concepts


class Words:
    """The words of one knowledge base; what was written once is at hand for the next patient."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self._citations: dict[str, Citation] = {}
        self._statements: dict[int, tuple[Any, Statement]] = {}
        self._unknown: dict[tuple[str, str], UnknownFact] = {}

    def label(self, concept: str) -> str:
        found = self.knowledge.concepts.get(concept)
        return found.label if found else concept or "Age and sex"

    def citation(self, key: str) -> Citation:
        if key not in self._citations:
            source = self.knowledge.sources.get(key)
            text, url = citation(source) if source else (key, "")
            self._citations[key] = Citation(key=key, text=text, url=url or None)
        return self._citations[key]

    def citations(self, keys: Iterable[str] | None) -> list[Citation]:
        return [self.citation(key) for key in keys or ()]

    def statement(self, statement: Any) -> Statement:
        """Of a record of the knowledge with a text and sources."""
        if id(statement) not in self._statements:
            verified = getattr(statement, "verified", True)
            out = Statement(text=statement.text, citations=self.citations(statement.sources), verified=verified)
            self._statements[id(statement)] = statement, out  # kept together: while it lives, no other has its id
        return self._statements[id(statement)][1]

    def fact(self, row: Mapping[str, Any]) -> FactOut:
        return FactOut(
            concept=row["concept"], label=self.label(row["concept"]), said=row["said"], value=row["value"], time=row["time"],
            first_time=row["first_time"], last_time=row["last_time"], count=row["n"] or 1, source=as_recorded(row["source"]),
        ).implying(self.knowledge.ancestors.get(row["concept"], ())[1:])  # fmt: skip

    def facts(self, rows: Iterable[Mapping[str, Any]] | None) -> list[FactOut]:
        return [self.fact(row) for row in rows or ()]

    def telling_first(self, facts: Iterable[FactOut]) -> list[FactOut]:
        """What is there before what is not, and what is seen or taken before diseases, results and age."""
        return sorted(facts, key=self._place)

    def _place(self, fact: FactOut) -> tuple[bool, int]:
        concept = self.knowledge.concepts.get(fact.concept)
        kind = concept.kind if concept else ""
        return fact.value in DENIED, _TELLING.index(kind) if kind in _TELLING else len(_TELLING)

    def unknown(self, concept: str, because: str) -> UnknownFact:
        if (concept, because) not in self._unknown:
            self._unknown[concept, because] = UnknownFact(concept=concept, label=self.label(concept), because=because)
        return self._unknown[concept, because]
