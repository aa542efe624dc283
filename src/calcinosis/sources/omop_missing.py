"""What a CDM cannot tell because a table is missing or empty: said once, because nobody misses what was never asked for."""

from __future__ import annotations

from typing import Final

from calcinosis.sources.omop_database import Cdm

_TOLD: Final = {  # tables, any of which would do -> what they tell
    ("measurement",): "laboratory values",
    ("condition_occurrence",): "diagnoses",
    ("drug_exposure", "drug_era"): "drugs",
    ("procedure_occurrence",): "procedures",
    ("observation",): "observations",
}
_RELATIONS: Final = "concept_relationship"
_ANCESTORS: Final = "concept_ancestor"


def missing_tables(cdm: Cdm) -> dict[str, int]:
    """What is not read for want of a table (as under ``Batch.not_read``), and how many tables lack."""
    lacking = {name: why for name in (*(name for names in _TOLD for name in names), _RELATIONS, _ANCESTORS) if (why := _why(cdm, name))}
    found = {
        f"{what} ({', '.join(lacking[name] for name in names)})": len(names)
        for names, what in _TOLD.items()
        if all(name in lacking for name in names)
    }
    if _RELATIONS in lacking:
        what = "what codes map to, ingredients of drugs" if _ANCESTORS in lacking else "what codes map to"
        found[f"{what} ({lacking[_RELATIONS]})"] = 1
    if _ANCESTORS in lacking:
        what = "kinds of a disease, drug or test" if _RELATIONS in lacking else "kinds of a disease, drug or test beyond four steps"
        found[f"{what} ({lacking[_ANCESTORS]})"] = 1
    return found


def _why(cdm: Cdm, table: str) -> str | None:
    if table not in cdm.tables:
        return f"no table {table}"
    return None if cdm.rows(f"SELECT 1 FROM {{{table}}} AS asked LIMIT 1") else f"table {table} is empty"
