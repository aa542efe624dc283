"""Where a CDM is kept: files that DuckDB reads, a DuckDB file, or a PostgreSQL server. All are opened read-only.

A query names a table as ``{measurement}``; each kind of CDM puts its own name there.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from calcinosis.events import REJECT_SCHEMA
from calcinosis.sources.omop_tables import COUNTED, TABLES, VOCABULARY, Columns, Dialect

KNOWN: Final = frozenset({*TABLES, *VOCABULARY, *COUNTED, "person"})
_ENDINGS: Final = (".parquet", ".csv", ".csv.gz", ".tsv")
_PLACE: Final = re.compile(r"\{(\w+)\}")


def tables_in(folder: Path) -> dict[str, Path]:
    """The CDM tables of a folder: ``measurement.parquet``, ``MEASUREMENT.csv.gz``, or a folder ``measurement`` of Parquet files."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((end for end in _ENDINGS if path.name.lower().endswith(end)), None)
        name = path.name[: -len(ending)].lower() if ending else path.name.lower()
        is_table = (path.is_file() and ending) or (path.is_dir() and any(path.glob("*.parquet")))
        if is_table and name in KNOWN:
            found.setdefault(name, path)
    return found


class Cdm(ABC):
    """A CDM that can be asked.

    Attributes:
        tables: the tables of ``KNOWN`` that are there.
        shown: what messages call it.
    """

    dialect: Dialect
    tables: frozenset[str]
    shown: str

    @abstractmethod
    def columns(self, table: str) -> Columns: ...

    @abstractmethod
    def fetch(self, sql: str) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def copy_into(self, con: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
        """Store the rows of a query as a table of another DuckDB database."""

    @abstractmethod
    def place(self, table: str) -> str:
        """A table as FROM names it."""

    @abstractmethod
    def file_of(self, table: str) -> str:
        """What ``source_file`` shows."""

    def rejects(self) -> pl.DataFrame:
        """Rows that a file could not give (``REJECT_SCHEMA``)."""
        return pl.DataFrame(schema=REJECT_SCHEMA)

    def named(self, sql: str) -> str:
        return _PLACE.sub(lambda match: self.place(match[1]), sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.fetch(self.named(sql))

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} AS counted")[0][0])

    def many(self, column: str, numbers: Iterable[int]) -> str:
        """A condition that a column is one of some numbers."""
        listed = ", ".join(str(number) for number in sorted(numbers))
        return f"{column} IN ({listed})" if listed else "false"

    def person_query(self) -> str:
        """All persons (``omop_events.PERSON``)."""
        there, d = self.columns("person"), self.dialect
        whole = {"person_id": "person_id", "year": "year_of_birth", "month": "month_of_birth", "day": "day_of_birth",
                 "gender_concept_id": "gender_concept_id"}  # fmt: skip
        parts = {name: f"CAST({d.whole(there[column]) if column in there else 'NULL'} AS BIGINT)" for name, column in whole.items()}
        parts["born"] = d.cast(there["birth_datetime"], "DATE") if "birth_datetime" in there else "CAST(NULL AS DATE)"
        text = there.get("gender_source_value", "NULL")
        parts["gender_text"] = f"CAST({text} AS VARCHAR)"
        listed = ", ".join(f'{sql} AS "{name}"' for name, sql in parts.items())
        return self.named(f"SELECT {listed} FROM {{person}}")


class LocalCdm(Cdm):
    """Tables that DuckDB reads: files in a folder, or a database file."""

    def __init__(self, source: Path, folder: str) -> None:
        self.dialect = Dialect(tries=True)
        self.shown = str(source)
        self._con = duckdb.connect(config={"temp_directory": folder})
        self._con.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        if source.is_dir():
            self._files = tables_in(source)
            self._places = {name: _reader(path) for name, path in self._files.items()}
        else:
            self._files = {}
            self._con.execute(f"ATTACH '{_text(str(source))}' AS cdm (READ_ONLY)")
            listed = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'cdm'"
            self._places = {
                str(table).lower(): f'cdm."{schema}"."{table}"'
                for schema, table in self._con.execute(listed).fetchall()
                if str(table).lower() in KNOWN
            }
        self.tables = frozenset(self._places)

    def columns(self, table: str) -> Columns:
        return _columns(self, table)

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._con.execute(sql).fetchall())

    def copy_into(self, con: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
        con.register("coming", self._con.sql(query).to_arrow_reader())
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM coming")
        con.unregister("coming")

    def place(self, table: str) -> str:
        return self._places[table]

    def file_of(self, table: str) -> str:
        return str(self._files.get(table, f"{self.shown}:{table}"))

    def rejects(self) -> pl.DataFrame:
        """Lines of CSV files that do not have the columns of their table."""
        known = self.fetch("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'")[0][0]
        if not known:
            return super().rejects()
        found = self.fetch(
            "SELECT DISTINCT scans.file_path, errors.line, errors.error_type FROM reject_errors AS errors "
            "JOIN reject_scans AS scans USING (scan_id, file_id) ORDER BY ALL"
        )
        rows = [(file, line, None, "error", "malformed_csv", f"the line cannot be read: {str(kind).lower()}") for file, line, kind in found]
        return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row").unique(["file", "line"], maintain_order=True)

    def close(self) -> None:
        self._con.close()


def _reader(path: Path) -> str:
    shown = _text(str(path / "*.parquet" if path.is_dir() else path))
    if path.is_dir() or path.suffix == ".parquet":
        return f"read_parquet('{shown}')"
    return f"read_csv('{shown}', header = true, all_varchar = true, store_rejects = true)"


@lru_cache(maxsize=256)
def _columns(cdm: LocalCdm, table: str) -> Columns:
    described = cdm.fetch(f"DESCRIBE SELECT * FROM {cdm.place(table)}")
    return {str(row[0]).lower(): f'"{row[0]}"' for row in described}


class PostgresCdm(Cdm):
    """Tables of a PostgreSQL server, read in one read-only transaction."""

    def __init__(self, address: str) -> None:
        try:
            import adbc_driver_postgresql.dbapi as driver
        except ModuleNotFoundError as error:
            raise ValueError("a PostgreSQL CDM needs its driver: pip install 'calcinosis[postgres]'") from error
        self.dialect = Dialect(tries=False)
        self.shown = re.sub(r"//[^@/]*@", "//", address).split("?")[0]  # no user and no password in messages
        self._connection = driver.connect(address)
        self._cursor = self._connection.cursor()
        self._cursor.execute("SET default_transaction_read_only = on")
        self._connection.commit()
        found = self.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))"
        )
        self._places = {str(table).lower(): f'"{schema}"."{table}"' for schema, table in found if str(table).lower() in KNOWN}
        self.tables = frozenset(self._places)

    def columns(self, table: str) -> Columns:
        schema, name = (part.strip('"') for part in self._places[table].split("."))
        found = self.fetch(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{_text(schema)}' AND table_name = '{_text(name)}'"
        )
        return {str(column).lower(): f'"{column}"' for (column,) in found}

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql)
        return list(self._cursor.fetchall())

    def copy_into(self, con: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
        self._cursor.execute(query)
        con.register("coming", self._cursor.fetch_record_batch())
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM coming")
        con.unregister("coming")

    def place(self, table: str) -> str:
        return self._places[table]

    def file_of(self, table: str) -> str:
        return f"{self.shown}:{table}"

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()


@contextmanager
def open_cdm(source: Path | str, folder: str) -> Iterator[Cdm]:
    """Open a CDM (``folder``: where DuckDB may spill)."""
    cdm = PostgresCdm(str(source)) if "://" in str(source) else LocalCdm(Path(source), folder)
    try:
        yield cdm
    finally:
        cdm.close()


def _text(value: str) -> str:
    return value.replace("'", "''")
