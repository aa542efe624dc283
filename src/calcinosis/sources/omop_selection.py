"""Which rows of a CDM matter: every distinct pair of concepts is counted by the database and interpreted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from calcinosis.events import UNMAPPED_SCHEMA
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_database import Cdm
from calcinosis.sources.omop_events import OmopMapper
from calcinosis.sources.omop_missing import missing_tables
from calcinosis.sources.omop_tables import COUNTED, TABLES, Table, columns_of, projection
from calcinosis.sources.omop_vocabulary import read_vocabulary
from calcinosis.sources.text import TextReader

Pair = tuple[int | None, int | None, str | None]  # concept, source concept, and the source's own words where neither is known


@dataclass
class _Uses:
    """What a table uses: rows by (concept, source concept), and the concepts of its values, units and statuses."""

    rows: Counter[tuple[int | None, int | None]] = field(default_factory=Counter)
    values: set[int] = field(default_factory=set)
    units: set[int] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)

    @property
    def concepts(self) -> set[int]:
        return {number for pair in self.rows for number in pair if number} | self.values | self.units


@dataclass(frozen=True)
class Selection:
    """What to fetch.

    Attributes:
        queries: table -> SELECT of the relevant rows (``RAW``).
        not_read: what the CDM cannot tell for want of a table.
    """

    mapper: OmopMapper
    queries: Mapping[str, str]
    not_read: Mapping[str, int]
    _counts: Mapping[str, Mapping[Pair, int]]
    _counted: int

    def left(self, fetched: Callable[[str], Iterable[tuple[Any, ...]]]) -> tuple[int, pl.DataFrame]:
        """How many rows are not fetched, because no rule reads what they say, and the codes of those that nobody knows.

        Args:
            fetched: table -> the rows fetched of it (concept, source concept, the words read, how many).
        """
        ignored = self._counted
        unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
        for name, counts in self._counts.items():
            there: Counter[Pair] = Counter()
            for concept, source, text, n in fetched(name):
                there[(concept, source, text)] += n
            if name == "note":  # those without a text
                ignored += sum(counts.values()) - sum(there.values())
                continue
            for pair, n in counts.items():
                rest = n - there[pair]
                ignored += rest
                for entry in self.mapper.meaning(TABLES[name], _said(pair)).unmapped if rest else ():
                    unmapped[entry] += rest
        rows = [(*key, n) for key, n in unmapped.most_common()]
        return ignored, pl.DataFrame(rows, schema=UNMAPPED_SCHEMA, orient="row")


def select(cdm: Cdm, index: ConceptIndex, reader: TextReader) -> Selection:
    """Count and interpret the distinct pairs of concepts of every table.

    Raises:
        ValueError: see :func:`calcinosis.sources.omop.omop_parts`.
    """
    if "person" not in cdm.tables:
        raise ValueError(f"{cdm.shown}: no table person; the tables found are {', '.join(sorted(cdm.tables)) or 'none'}")
    uses = {name: _uses(cdm, table) for name, table in TABLES.items() if name in cdm.tables and name != "drug_era"}
    counted = sum(cdm.count(name) for name in COUNTED if name in cdm.tables)
    if "drug_era" in cdm.tables:  # eras are made from exposures
        if "drug_exposure" in uses and uses["drug_exposure"].rows:
            counted += cdm.count("drug_era")
        else:
            uses["drug_era"] = _uses(cdm, TABLES["drug_era"])
    used, statuses = ({number for each in uses.values() for number in getattr(each, name)} for name in ("concepts", "statuses"))
    vocabulary = read_vocabulary(used, statuses, cdm.tables, cdm.rows, cdm.many)
    mapper = OmopMapper(index, reader, vocabulary, {name: cdm.file_of(name) for name in ("person", *cdm.tables)})
    queries: dict[str, str] = {}
    counts: dict[str, Mapping[Pair, int]] = {}
    for name, each in uses.items():
        table = TABLES[name]
        known: dict[Pair, int] = {(*pair, None): n for pair, n in each.rows.items() if name == "note" or vocabulary.knows(*pair)}
        unknown = {pair for pair in each.rows if (*pair, None) not in known}
        words = _Words(cdm, table, {number for pair in unknown for number in pair if number}, bool(unknown))
        counts[name] = {**known, **(words.counts() if unknown and name != "note" else {})}
        kept = _Kept.of(
            (pair for pair in counts[name] if mapper.meaning(table, _said(pair)).drafts),
            (value for value in each.values if mapper.meaning(table, {"source_value": "?", "value_concept_id": value}).drafts),
        )
        queries[name] = _query(cdm, table, kept, words)
    return Selection(mapper, queries, missing_tables(cdm), counts, counted)


@dataclass(frozen=True)
class _Kept:
    """Whose rows are fetched: all that share a concept with a pair that matters, so that the condition stays short; a value that says
    something whatever was asked ("history of event" = scleroderma)."""

    concepts: frozenset[int]
    sources: frozenset[int]
    texts: frozenset[str]
    values: frozenset[int]

    @classmethod
    def of(cls, pairs: Iterable[Pair], values: Iterable[int]) -> _Kept:
        listed = list(pairs)
        return cls(
            frozenset(concept for concept, _, text in listed if concept and not text),
            frozenset(source for concept, source, text in listed if source and not concept and not text),
            frozenset(text for _, _, text in listed if text),
            frozenset(values),
        )


@dataclass(frozen=True)
class _Words:
    """The source's own words of the rows whose concepts nobody knows."""

    cdm: Cdm
    table: Table
    unknown: set[int]  # ids that the vocabulary does not hold
    any: bool

    def column(self, words: str) -> str:
        """The words where they are read."""
        return words if self.table.name == "note" else f"CASE WHEN {self.condition()} THEN {words} END" if self.any else "NULL"

    def condition(self) -> str:
        there, whole = self.cdm.columns(self.table.name), self.cdm.dialect.whole
        asked = [f"coalesce({whole(there[name])}, 0)" for name in (self.table.concept, self.table.source_concept) if name in there]
        return " AND ".join(self.cdm.many(number, {0, *self.unknown}) for number in asked) or "true"

    def counts(self) -> dict[Pair, int]:
        columns = columns_of(self.table, self.cdm.columns(self.table.name), self.cdm.dialect)
        asked = ", ".join(columns[name] for name in ("concept_id", "source_concept_id", "source_value"))
        found = self.cdm.rows(f"SELECT {asked}, count(*) FROM {{{self.table.name}}} WHERE {self.condition()} GROUP BY 1, 2, 3")
        return {(concept, source, text): int(n) for concept, source, text, n in found}


def _said(pair: Pair) -> dict[str, object]:
    return dict(zip(("concept_id", "source_concept_id", "source_value"), pair, strict=True))


def _uses(cdm: Cdm, table: Table) -> _Uses:
    if "person_id" not in cdm.columns(table.name):
        raise ValueError(f"{cdm.file_of(table.name)}: no column person_id")
    columns = columns_of(table, cdm.columns(table.name), cdm.dialect)
    asked = ("concept_id", "source_concept_id", "value_concept_id", "unit_concept_id", "status_concept_id")
    listed = ", ".join(columns[name] for name in asked)
    uses = _Uses()
    for concept, source, value, unit, status, n in cdm.rows(f"SELECT {listed}, count(*) FROM {{{table.name}}} GROUP BY 1, 2, 3, 4, 5"):
        uses.rows[(concept, source)] += int(n)
        uses.values |= {value} - {None}
        uses.units |= {unit} - {None}
        uses.statuses |= {status} - {None}
    return uses


def _query(cdm: Cdm, table: Table, kept: _Kept, words: _Words) -> str:
    """The relevant rows of a table. An answer in words is read whatever was asked."""
    there, dialect = cdm.columns(table.name), cdm.dialect
    columns = columns_of(table, there, dialect)
    # the column itself and nothing round it, so that an index or the statistics of a file can be used
    wanted = ((table.concept, kept.concepts), (table.source_concept, kept.sources), (table.told.get("value_concept_id", ""), kept.values))
    either = [cdm.many(dialect.whole(there[column]), numbers) for column, numbers in wanted if column in there and numbers]
    if kept.texts:
        listed = ", ".join("'" + text.replace("'", "''") + "'" for text in sorted(kept.texts))
        either.append(f"({words.condition()} AND {columns['source_value']} IN ({listed}))")
    if columns["value_text"] != "NULL":
        either.append(f"({columns['value_text']}) IS NOT NULL")
    columns = {**columns, "source_value": words.column(columns["source_value"])}
    return cdm.named(f"SELECT {projection(columns)} FROM {{{table.name}}} WHERE {' OR '.join(either) or 'false'}")
