"""Where a CDM is kept: files that DuckDB reads, a DuckDB file, or a PostgreSQL server. All are opened read-only.

A query names a table as ``{measurement}``; each kind of CDM puts its own name there. Relevant rows are copied into a database of our own.
"""

from __future__ import annotations

import csv
import gzip
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import duckdb
import polars as pl

from calcinosis.events import REJECT_SCHEMA
from calcinosis.sources.omop_tables import COUNTED, TABLES, VOCABULARY, Column, Columns, Dialect

KNOWN: Final = frozenset({*TABLES, *VOCABULARY, *COUNTED, "person"})
BUCKETS: Final = 1 << 14  # persons fall into so many parts, of which a batch takes a few
_MEMORY: Final = "1GB"
ENDINGS: Final = (".parquet", ".csv", ".csv.gz", ".tsv")
_PLACE: Final = re.compile(r"\{(\w+)\}")


def bucket_of(person: str) -> str:
    """SQL of the bucket of a person; the hash keeps ids apart that share a step."""
    return f"CAST(coalesce(hash({person}) % {BUCKETS}, 0) AS USMALLINT)"


def tables_in(folder: Path) -> dict[str, Path]:
    """The CDM tables of a folder: ``measurement.parquet``, ``MEASUREMENT.csv.gz``, or a folder ``measurement`` of Parquet files."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        ending = next((end for end in ENDINGS if path.name.lower().endswith(end)), None)
        name = path.name[: -len(ending)].lower() if ending else path.name.lower()
        is_table = (path.is_file() and ending) or (path.is_dir() and any(path.glob("*.parquet")))
        if is_table and name in KNOWN:
            found.setdefault(name, path)
    return found


def shown_address(source: Path | str) -> str:
    """A source without user, password and options, for messages and reports."""
    text = str(source)
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    place, slash, database = rest.rpartition("@")[2].split("?")[0].partition("/")
    return f"{scheme}://{place}{slash}{database}"


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
        return int(self.rows(f"SELECT count(*) FROM {{{table}}} AS counted")[0][0])

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
        parts["born"] = d.moment(there["birth_datetime"], "DATE") if "birth_datetime" in there else "CAST(NULL AS DATE)"
        text = there["gender_source_value"].sql if "gender_source_value" in there else "NULL"
        parts["gender_text"] = f"CAST({text} AS VARCHAR)"
        listed = ", ".join(f'{sql} AS "{name}"' for name, sql in parts.items())
        return self.named(f"SELECT {listed} FROM {{person}}")


class KeptCdm(Cdm):
    """A CDM whose relevant rows are copied.

    Attributes:
        con: a DuckDB database of our own, for the rows that were fetched.
    """

    def __init__(self, folder: str, memory_limit: str | None) -> None:
        self.con = duckdb.connect(str(Path(folder) / "rows.duckdb"), config={"temp_directory": folder})
        self.con.execute(f"SET memory_limit = '{memory_limit or _MEMORY}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")

    @abstractmethod
    def coming(self, name: str, query: str) -> str:
        """The rows of a query, as FROM of ``con`` names them; they can be read more than once."""

    def gone(self, name: str) -> None:
        """The rows that were coming are no longer needed."""

    def copy(self, name: str, query: str) -> None:
        """Keep the rows of a query as a table of ``con``, sorted by the new column ``bucket`` of their persons."""
        self.keep(name, self.coming(name, query))
        self.gone(name)

    def close(self) -> None:
        self.con.close()

    def fetched(self, name: str) -> list[tuple[Any, ...]]:
        """The rows that were copied of a table: concept, source concept, the words read, how many."""
        there = {str(row[0]) for row in self.con.execute(f"DESCRIBE fetched_{name}").fetchall()}
        asked = ", ".join(column if column in there else "NULL" for column in ("concept_id", "source_concept_id", "source_value"))
        return list(self.con.execute(f"SELECT {asked}, count(*) FROM fetched_{name} GROUP BY ALL").fetchall())

    def keep(self, name: str, rows: str) -> None:
        """Keep rows as ``fetched_<name>``. Whole patients become neighbours, so that a batch reads a stretch of the table."""
        bucket = bucket_of("person_id")
        self.con.execute(f"CREATE TABLE fetched_{name} AS SELECT *, {bucket} AS bucket FROM {rows} AS coming ORDER BY bucket")


class LocalCdm(KeptCdm):
    """Tables that DuckDB reads: files in a folder, or a database file."""

    def __init__(self, source: Path, folder: str, memory_limit: str | None) -> None:
        super().__init__(folder, memory_limit)
        self.dialect = Dialect(tries=True)
        self.shown = str(source)
        self._files: dict[str, Path] = {}
        self._columns: dict[str, Columns] = {}
        self._broken: list[pl.DataFrame] = []
        if source.is_dir():
            self._files = tables_in(source)
            self._places = {name: _parquet(path) for name, path in self._files.items() if _is_parquet(path)}
            self.tables = frozenset(self._files)
        else:
            self.con.execute(f"ATTACH '{_text(str(source))}' AS cdm (READ_ONLY)")
            listed = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'cdm'"
            self._places = {
                str(table).lower(): f'cdm."{schema}"."{table}"'
                for schema, table in self.fetch(listed)
                if str(table).lower() in KNOWN
            }  # fmt: skip
            self.tables = frozenset(self._places)

    def columns(self, table: str) -> Columns:
        if table not in self._columns:
            described = self.fetch(f"DESCRIBE SELECT * FROM {self.place(table)}")
            empty = self._empty(table) - {"person_id"}
            there = {str(row[0]).lower(): Column(f'"{row[0]}"', str(row[1])) for row in described}
            self._columns[table] = {name: column for name, column in there.items() if name not in empty}
        return self._columns[table]

    def _empty(self, table: str) -> set[str]:
        """Columns that hold nothing, as Parquet files themselves say: much of the CDM is optional, and costs time to read."""
        if table not in self._files or not _is_parquet(self._files[table]):
            return set()
        metadata = self.place(table).replace("read_parquet", "parquet_metadata", 1)
        said = f"SELECT path_in_schema, bool_and(coalesce(stats_null_count = num_values, false)) FROM {metadata} GROUP BY 1"
        return {str(name).lower() for name, empty in self.fetch(said) if empty}

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.con.execute(sql).fetchall())

    def coming(self, name: str, query: str) -> str:  # noqa: ARG002
        return f"({query})"

    def place(self, table: str) -> str:
        if table not in self._places:
            self._places[table] = self._load(table)
        return self._places[table]

    def file_of(self, table: str) -> str:
        return str(self._files.get(table, f"{self.shown}:{table}"))

    def rejects(self) -> pl.DataFrame:
        return pl.concat([super().rejects(), *self._broken])

    def _load(self, table: str) -> str:
        """A CSV file is parsed once: every query then sees the same rows, and a broken line is told once."""
        path = self._files[table]
        self.con.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        self.con.execute(f"CREATE TABLE csv_{table} AS SELECT * FROM {_csv(path)}")
        found = self.fetch("SELECT line, min(error_type::VARCHAR) FROM reject_errors GROUP BY line ORDER BY line")
        said = [(str(path), line, None, "error", "malformed_csv", f"the line cannot be read: {kind.lower()}") for line, kind in found]
        self._broken.append(pl.DataFrame(said, schema=REJECT_SCHEMA, orient="row"))
        return f"csv_{table}"


def _is_parquet(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith(".parquet")


def _parquet(path: Path) -> str:
    return f"read_parquet('{_text(str(path / '*.parquet' if path.is_dir() else path))}')"


def _csv(path: Path) -> str:
    """A CSV as its first line shows it; nothing is guessed from the rows. Athena's tab-separated files know no quotes."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            header = stream.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}:1: cannot be read: {error}") from None
    delimiter = max("\t,;|", key=header.count)
    quote = "" if delimiter == "\t" and not header.startswith('"') else '"'
    quoting: Any = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    names = next(csv.reader([header], delimiter=delimiter, **quoting), [])
    if not names or len({name.lower() for name in names}) < len(names):
        raise ValueError(f"{path}:1: the first line must name the columns, each once")
    columns = ", ".join(f"'{_text(name)}': 'VARCHAR'" for name in names)
    return (
        f"read_csv('{_text(str(path))}', auto_detect = false, header = true, delim = '{delimiter}', quote = '{quote}', escape = '{quote}', "
        f"columns = {{{columns}}}, store_rejects = true)"
    )


class PostgresCdm(KeptCdm):
    """Tables of a PostgreSQL server, read-only and as they are at the first query."""

    def __init__(self, address: str, folder: str, memory_limit: str | None) -> None:
        try:
            import adbc_driver_postgresql.dbapi as driver
        except ModuleNotFoundError as error:
            raise ValueError("a PostgreSQL CDM needs its driver: pip install 'calcinosis[postgres]'") from error
        super().__init__(folder, memory_limit)
        self.dialect = Dialect(tries=False)
        self.shown = shown_address(address)
        self._connection = driver.connect(address)
        self._cursor = self._connection.cursor()
        self._cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._cursor.execute("SET TimeZone = 'UTC'")
        self._connection.commit()  # everything that follows is one transaction
        found = self.fetch(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false)) "
            "ORDER BY array_position(current_schemas(false), table_schema::name) DESC"
        )
        self._names = {str(table).lower(): (str(schema), str(table)) for schema, table in found if str(table).lower() in KNOWN}
        self.tables = frozenset(self._names)

    def columns(self, table: str) -> Columns:
        schema, name = self._names[table]
        found = self.fetch(
            "SELECT column_name, data_type FROM information_schema.columns "
            f"WHERE table_schema = '{_text(schema)}' AND table_name = '{_text(name)}'"
        )
        return {str(column).lower(): Column(f'"{column}"', str(kind)) for column, kind in found}

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql)
        return list(self._cursor.fetchall())

    def coming(self, name: str, query: str) -> str:
        self._cursor.execute(query)
        self.con.register("arriving", self._cursor.fetch_record_batch())
        self.con.execute(f"CREATE TABLE arrived_{name} AS SELECT * FROM arriving")  # so that the server is asked once
        self.con.unregister("arriving")
        return f"arrived_{name}"

    def gone(self, name: str) -> None:
        self.con.execute(f"DROP TABLE arrived_{name}")

    def place(self, table: str) -> str:
        schema, name = self._names[table]
        return f'"{schema}"."{name}"'

    def file_of(self, table: str) -> str:
        return f"{self.shown}:{table}"

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()
        super().close()


@contextmanager
def open_cdm(source: Path | str, folder: str, memory_limit: str | None = None) -> Iterator[KeptCdm]:
    """Open a CDM.

    Args:
        folder: where fetched rows are kept, and where DuckDB may spill.
        memory_limit: of DuckDB ("2GB"); default: 1 GB.

    Raises:
        ValueError: the database or a file cannot be read; the message shows no password.
    """
    try:
        cdm = PostgresCdm(str(source), folder, memory_limit) if "://" in str(source) else LocalCdm(Path(source), folder, memory_limit)
        try:
            yield cdm
        finally:
            cdm.close()
    except duckdb.Error as error:
        raise ValueError(f"{shown_address(source)}: {_first_line(str(error))}") from None
    except Exception as error:
        if type(error).__module__.startswith("adbc_driver_manager"):
            raise ValueError(f"{shown_address(source)}: {_first_line(_without_password(str(error), str(source)))}") from None
        raise


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "cannot be read")


def _without_password(message: str, address: str) -> str:
    """The server and its driver may repeat the address."""
    try:
        password = urlsplit(address).password or ""
    except ValueError:
        password = address
    for secret in {address, password, unquote(password)} - {""}:
        message = message.replace(secret, "***")
    return message


def _text(value: str) -> str:
    return value.replace("'", "''")
