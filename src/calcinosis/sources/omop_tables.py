"""Which tables and columns of an OMOP CDM (5.3.1, 5.4) are read, and the SQL that brings them into one shape.

The SQL is plain enough for DuckDB and PostgreSQL. OMOP CDM 5.4: https://ohdsi.github.io/CommonDataModel/cdm54.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl


@dataclass(frozen=True, slots=True)
class Table:
    """A table of clinical events.

    Attributes:
        kind: the FHIR resource type whose meaning its rows have.
        concept, source_concept, source_value: columns that say what was recorded.
        start, end: columns with dates, the best first.
        told: columns beside the concept that take few distinct values and decide what a row means; our name -> column.
        number, operator: the measured value.
    """

    name: str
    kind: str
    concept: str
    source_concept: str
    source_value: str
    start: tuple[str, ...]
    end: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    number: str | None = None
    operator: str | None = None
    key: str = ""  # primary key; default: <name>_id

    @property
    def id(self) -> str:
        return self.key or f"{self.name}_id"


def _usual(name: str, kind: str, stem: str, **more: object) -> Table:
    start = more.pop("start", (f"{stem}_start_datetime", f"{stem}_start_date"))
    end = more.pop("end", (f"{stem}_end_datetime", f"{stem}_end_date"))
    return Table(name, kind, f"{stem}_concept_id", f"{stem}_source_concept_id", f"{stem}_source_value", start, end, **more)  # type: ignore[arg-type]


_VALUE: Final = {"value_concept_id": "value_as_concept_id", "unit_concept_id": "unit_concept_id", "unit_text": "unit_source_value"}
TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        _usual("condition_occurrence", "Condition", "condition",
               told={"status_concept_id": "condition_status_concept_id", "status_text": "condition_status_source_value"}),
        _usual("drug_exposure", "MedicationStatement", "drug", start=("drug_exposure_start_datetime", "drug_exposure_start_date"),
               end=("drug_exposure_end_datetime", "drug_exposure_end_date", "verbatim_end_date")),
        _usual("drug_era", "MedicationStatement", "drug", start=("drug_era_start_date",), end=("drug_era_end_date",)),
        _usual("procedure_occurrence", "Procedure", "procedure", start=("procedure_datetime", "procedure_date"),
               end=("procedure_end_datetime", "procedure_end_date")),
        _usual("measurement", "Observation", "measurement", start=("measurement_datetime", "measurement_date"), end=(),
               told={**_VALUE, "value_text": "value_source_value", "range_low": "range_low", "range_high": "range_high"},
               number="value_as_number", operator="operator_concept_id"),
        _usual("observation", "Observation", "observation", start=("observation_datetime", "observation_date"), end=(),
               told={**_VALUE, "value_text": "value_as_string"}, number="value_as_number"),
        _usual("device_exposure", "Device", "device", start=("device_exposure_start_datetime", "device_exposure_start_date"),
               end=("device_exposure_end_datetime", "device_exposure_end_date")),
        Table("death", "Condition", "cause_concept_id", "cause_source_concept_id", "cause_source_value", ("death_datetime", "death_date"),
              key="person_id"),
        Table("note", "DocumentReference", "note_class_concept_id", "note_class_source_concept_id", "note_title",
              ("note_datetime", "note_date"), told={"value_text": "note_text"}),
    )
}  # fmt: skip
COUNTED: Final = ("observation_period",)  # read by no rule; counted as ignored, and so are eras beside exposures
VOCABULARY: Final = ("concept", "concept_relationship", "concept_ancestor")

# The standard concepts of the operator and gender domains (Athena; OMOP CDM 5.4, MEASUREMENT and PERSON).
OPERATORS: Final[dict[int, str]] = {4171756: "<", 4171754: "<=", 4171755: ">=", 4172704: ">"}
GENDERS: Final[dict[int, str]] = {8532: "female", 8507: "male"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database spells it, and its type there."""

    sql: str
    type: str

    @property
    def is_whole(self) -> bool:
        return self.type.lower() in _WHOLE_TYPES


Columns = Mapping[str, Column]  # by lower-case name
_TEXT_TYPES: Final = frozenset({"varchar", "string", "text"})
_WHOLE_TYPES: Final = frozenset({"tinyint", "smallint", "int", "integer", "bigint"})

_TEXTS: Final = ("source_value", "value_text", "unit_text", "status_text")
_WHOLE: Final = ("concept_id", "source_concept_id", "value_concept_id", "unit_concept_id", "status_concept_id")
RAW: Final[dict[str, pl.DataType | type[pl.DataType]]] = {  # one shape for the rows of all tables
    "id": pl.Int64, "person_id": pl.Int64, "start": pl.Datetime("us"), "end": pl.Datetime("us"), "bad_start": pl.Boolean,
    "bad_end": pl.Boolean, "number": pl.Float64, "bad_number": pl.Boolean, "operator_id": pl.Int64, "concept_id": pl.Int64,
    "source_concept_id": pl.Int64, "source_value": pl.String, "value_concept_id": pl.Int64, "value_text": pl.String,
    "unit_concept_id": pl.Int64, "unit_text": pl.String, "range_low": pl.Float64, "range_high": pl.Float64,
    "status_concept_id": pl.Int64, "status_text": pl.String,
}  # fmt: skip
SAID: Final = (
    "concept_id", "source_concept_id", "source_value", "value_concept_id", "value_text", "range_low", "range_high", "status_concept_id",
    "status_text",
)  # fmt: skip
"""The columns of ``RAW`` that decide what a row means; its number and unit are the row's own."""


class Dialect:
    """How a database casts what it cannot be sure of."""

    def __init__(self, *, tries: bool) -> None:
        self._tries = tries
        self._cast = "TRY_CAST" if tries else "CAST"  # a CSV holds texts, and a text may be no number; a server's columns have types

    def cast(self, column: Column, kind: str) -> str:
        return f"{self._cast}({column.sql} AS {kind})"

    def moment(self, column: Column, kind: str = "TIMESTAMP") -> str:
        """A date or moment; in a text also 20220514, as vocabularies write it. The other orders of eight digits have no such month."""
        if not self._tries or column.type.lower() not in _TEXT_TYPES:
            return self.cast(column, kind)
        text = column.sql
        dashed = f"substr({text}, 1, 4) || '-' || substr({text}, 5, 2) || '-' || substr({text}, 7, 2)"
        eight = f"length({text}) = 8 AND {self.cast(column, 'BIGINT')} IS NOT NULL"
        return f"{self._cast}(CASE WHEN {eight} THEN {dashed} ELSE {text} END AS {kind})"

    def whole(self, column: Column) -> str:
        """An id: some exports keep it as a float or write 7.0."""
        return column.sql if column.is_whole else self.cast(column, "BIGINT")


def columns_of(table: Table, there: Columns, dialect: Dialect) -> dict[str, str]:
    """``RAW`` name -> SQL expression; what a table or an older CDM lacks is NULL."""
    told = {**table.told, "concept_id": table.concept, "source_concept_id": table.source_concept, "source_value": table.source_value}
    found = {name: there[column] for name, column in told.items() if column in there}
    start, end = _first(table.start, there, dialect), _first(table.end, there, dialect)
    number = there.get(table.number or "")
    written = {
        "id": dialect.whole(there[table.id]) if table.id in there else "NULL",
        "person_id": dialect.whole(there["person_id"]),
        "start": start,
        "end": end,
        "bad_start": _bad(table.start, there, start),
        "bad_end": _bad(table.end, there, end),
        "number": dialect.cast(number, "DOUBLE PRECISION") if number else "NULL",
        "bad_number": f"({number.sql} IS NOT NULL AND {dialect.cast(number, 'DOUBLE PRECISION')} IS NULL)" if number else "NULL",
        "operator_id": dialect.whole(there[table.operator]) if table.operator and table.operator in there else "NULL",
    }
    for name, column in found.items():
        written[name] = (
            f"nullif({dialect.whole(column)}, 0)" if name in _WHOLE
            else f"nullif(trim(CAST({column.sql} AS VARCHAR)), '')" if name in _TEXTS
            else dialect.cast(column, "DOUBLE PRECISION")
        )  # fmt: skip
    if number and "value_text" in written:  # a number is often written as text beside it
        written["value_text"] = f"CASE WHEN {number.sql} IS NULL THEN {written['value_text']} END"
    if "status_concept_id" in written and "status_text" in written:  # the words of a status are read where no concept says it
        written["status_text"] = f"CASE WHEN {written['status_concept_id']} IS NULL THEN {written['status_text']} END"
    return {name: written.get(name, "NULL") for name in RAW}


def projection(expressions: Mapping[str, str]) -> str:
    """The SELECT list that gives ``RAW``, without the columns that are always null."""
    there = {name: sql for name, sql in expressions.items() if sql != "NULL"}
    return ", ".join(f'CAST({sql} AS {_SQL_TYPES[str(RAW[name])]}) AS "{name}"' for name, sql in there.items())


_SQL_TYPES: Final = {
    str(pl.Int64()): "BIGINT", str(pl.Float64()): "DOUBLE PRECISION", str(pl.String()): "VARCHAR", str(pl.Boolean()): "BOOLEAN",
    str(pl.Datetime("us")): "TIMESTAMP",
}  # fmt: skip


def _first(columns: Iterable[str], there: Columns, dialect: Dialect) -> str:
    found = [dialect.moment(there[column]) for column in columns if column in there]
    return f"coalesce({', '.join(found)})" if found else "NULL"


def _bad(columns: Iterable[str], there: Columns, read: str) -> str:
    """Something stands there, and it is no date."""
    found = [f"{there[column].sql} IS NOT NULL" for column in columns if column in there]
    return f"(({' OR '.join(found)}) AND {read} IS NULL)" if found else "NULL"
