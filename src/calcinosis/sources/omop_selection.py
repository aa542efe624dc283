"""Which rows of a CDM matter: every distinct pair of concepts is counted by the database and interpreted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from calcinosis.events import UNMAPPED_SCHEMA
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop_database import Cdm
from calcinosis.sources.omop_events import OmopMapper
from calcinosis.sources.omop_tables import COUNTED, TABLES, Table, columns_of, projection
from calcinosis.sources.omop_vocabulary import read_vocabulary
from calcinosis.sources.text import TextReader

Pair = tuple[int | None, int | None, str | None]  # concept, source concept, and the source's own words where neither is known


@dataclass(frozen=True)
class Selection:
    """What to fetch, and the account of what is left.

    Attributes:
        queries: table -> SELECT of the relevant rows (``RAW``); ``person``: SELECT of all persons (``PERSON``).
        expected, persons: rows to expect.
        ignored: rows that are not fetched, because no rule reads what they say.
        unmapped: the codes of those that nobody knows (``UNMAPPED_SCHEMA``).
    """

    mapper: OmopMapper
    person: str
    queries: Mapping[str, str]
    expected: int
    persons: int
    ignored: int
    unmapped: pl.DataFrame


def select(cdm: Cdm, index: ConceptIndex, reader: TextReader) -> Selection:
    """Count and interpret the distinct pairs of concepts of every table.

    Raises:
        ValueError: see :func:`calcinosis.sources.omop.read_omop`.
    """
    if "person" not in cdm.tables:
        raise ValueError(f"{cdm.shown}: no table person; the tables found are {', '.join(sorted(cdm.tables)) or 'none'}")
    read = [table for name, table in TABLES.items() if name in cdm.tables and not (name == "drug_era" and "drug_exposure" in cdm.tables)]
    pairs = {table.name: _pairs(cdm, table) for table in read}
    used = {number for counts in pairs.values() for concept, source, _ in counts for number in (concept, source) if number}
    told = {number for table in read for number in _told_concepts(cdm, table)}
    vocabulary = read_vocabulary(used | told, frozenset(cdm.tables), cdm.rows, cdm.many)
    mapper = OmopMapper(index, reader, vocabulary, {name: cdm.file_of(name) for name in ("person", *cdm.tables)})
    queries: dict[str, str] = {}
    expected, ignored = 0, sum(cdm.count(f"{{{name}}}") for name in COUNTED if name in cdm.tables)
    unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
    for table in read:
        kept = _Kept.of(pair for pair in pairs[table.name] if _matters(mapper, table, pair))
        queries[table.name] = _query(cdm, table, kept)
        for pair, (n, answered) in pairs[table.name].items():
            fetched = n if pair in kept else answered
            expected += fetched
            ignored += n - fetched
            for entry in mapper.meaning(table, _said(pair)).unmapped if n > fetched else ():
                unmapped[entry] += n - fetched
    rows = [(*key, n) for key, n in unmapped.most_common()]
    return Selection(
        mapper=mapper,
        person=cdm.person_query(),
        queries=queries,
        expected=expected,
        persons=cdm.count("{person}"),
        ignored=ignored,
        unmapped=pl.DataFrame(rows, schema=UNMAPPED_SCHEMA, orient="row"),
    )


@dataclass(frozen=True)
class _Kept:
    """The pairs whose rows are fetched: all that share a concept with one that matters, so that the condition stays short."""

    concepts: frozenset[int]
    sources: frozenset[int]
    texts: frozenset[str]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> _Kept:
        listed = list(pairs)
        return cls(
            frozenset(concept for concept, _, _ in listed if concept),
            frozenset(source for concept, source, _ in listed if source and not concept),
            frozenset(text for _, _, text in listed if text),
        )

    def __contains__(self, pair: Pair) -> bool:
        concept, source, text = pair
        return concept in self.concepts or source in self.sources or text in self.texts


def _said(pair: Pair) -> dict[str, object]:
    return dict(zip(("concept_id", "source_concept_id", "source_value"), pair, strict=True))


def _matters(mapper: OmopMapper, table: Table, pair: Pair) -> bool:
    return table.name == "note" or bool(mapper.meaning(table, _said(pair)).drafts)


def _pairs(cdm: Cdm, table: Table) -> dict[Pair, tuple[int, int]]:
    """Each distinct pair with its rows, and how many of them answer in words; the source's own words only where no concept is given."""
    columns = columns_of(table, cdm.columns(table.name), cdm.dialect)
    concept, source = columns["concept_id"], columns["source_concept_id"]
    words = f"CASE WHEN coalesce({concept}, {source}) IS NULL THEN {columns['source_value']} END"
    if table.name == "note":
        concept, source, words = (f"CAST(NULL AS {kind})" for kind in ("BIGINT", "BIGINT", "VARCHAR"))
    counts = f"count(*), count({columns['value_text']})"
    found = cdm.rows(f"SELECT {concept}, {source}, {words}, {counts} FROM {{{table.name}}} GROUP BY 1, 2, 3")
    return {(concept_id, source_id, text): (int(n), int(answered)) for concept_id, source_id, text, n, answered in found}


def _told_concepts(cdm: Cdm, table: Table) -> set[int]:
    """The concepts of values, units and notes."""
    columns = columns_of(table, cdm.columns(table.name), cdm.dialect)
    names = ("concept_id",) if table.name == "note" else ("value_concept_id", "unit_concept_id")
    asked = [columns[name] for name in names if columns[name] != "NULL"]
    found = cdm.rows(f"SELECT DISTINCT {', '.join(asked)} FROM {{{table.name}}}") if asked else []
    return {int(number) for row in found for number in row if number}


def _query(cdm: Cdm, table: Table, kept: _Kept) -> str:
    """The relevant rows of a table. An answer in words is read whatever was asked."""
    columns = columns_of(table, cdm.columns(table.name), cdm.dialect)
    either = [cdm.many(columns["concept_id"], kept.concepts), cdm.many(columns["source_concept_id"], kept.sources)]
    if kept.texts:
        listed = ", ".join("'" + text.replace("'", "''") + "'" for text in sorted(kept.texts))
        nothing = f"coalesce({columns['concept_id']}, {columns['source_concept_id']}) IS NULL"
        either.append(f"({nothing} AND {columns['source_value']} IN ({listed}))")
    if columns["value_text"] != "NULL":
        either.append(f"{columns['value_text']} IS NOT NULL")
    return cdm.named(f"SELECT {projection(columns)} FROM {{{table.name}}} WHERE {' OR '.join(either)}")
