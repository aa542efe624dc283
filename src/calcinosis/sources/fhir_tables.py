"""The DuckDB side of the FHIR reader: a table of flat rows, a table of what they say, and the questions asked of both.

Many rows say the same, so each distinct saying is stored once, and a row keeps its hash (``h``) instead of its text (``k``). Letters
stay with their rows: a hospital has millions, and to look for equal ones would take longer than to read them.
Rows of every kind of input arrive through the same projection (:func:`~calcinosis.sources.fhir_columns.projection`).
Text that follows is SQL without medicine; what a row *means* is decided in :mod:`calcinosis.sources.fhir_events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from calcinosis.sources.believable import DAYS_AHEAD, EARLIEST
from calcinosis.sources.fhir_columns import (
    COMPONENT,
    COMPONENT_K,
    DATE_PATTERN,
    MEDICATION_TYPES,
    NUMBER_PATTERN,
    READ_TYPES,
    columns_sql,
    projection,
    quoted,
    unpacked,
)

_MAX_OBJECT: Final = 32 * 1024 * 1024  # bytes of one line that DuckDB reads; a file with a longer one is read line by line instead
_USUAL_OBJECT: Final = 4 * 1024 * 1024  # the same at first: buffers grow with it, and small ones stay in the processor's cache
_MEMORY: Final = 600  # megabytes for the tables; what is more moves to the temporary folder
_OFTEN: Final = 4  # times that a letter is told on average, from which letters are shared like other sayings
_BUFFERS: Final = 8  # and for each thread that reads, this many times the longest line

_SETUP: Final = """
SET TimeZone = 'UTC';
SET preserve_insertion_order = false;
SET enable_progress_bar = false;

-- FHIR dates may be a year or a month; a date outside what a record can hold is no date
CREATE MACRO moment(x) AS (CASE WHEN regexp_matches(x, {date}) THEN make_timestamp(epoch_us(try_cast(
    CASE length(x) WHEN 4 THEN x || '-01-01' WHEN 7 THEN x || '-01' ELSE x END AS TIMESTAMPTZ))) END);
CREATE MACRO believable(x) AS (
    CASE WHEN x BETWEEN TIMESTAMP '{earliest}' AND timezone('UTC', now()) + INTERVAL {days} DAY THEN x END);
CREATE MACRO birth(x) AS (CASE WHEN regexp_matches(x, {date}) THEN try_cast(
    CASE length(x) WHEN 4 THEN x || '-07-01' WHEN 7 THEN x || '-15' ELSE x[:10] END AS DATE) END);
CREATE MACRO born(x) AS (CASE WHEN x BETWEEN DATE '{earliest}' AND current_date THEN x END);
-- DuckDB's own hash of text lets two small changes cancel out where they stand a multiple of 16 bytes apart (seen in 2.0.1); MD5 does not
CREATE MACRO hash_of(rt, k) AS (hash(rt, md5(k)));
CREATE MACRO quantity(x) AS (CASE WHEN regexp_matches(x, {number}) THEN try_cast(x AS DOUBLE) END);

CREATE TABLE incoming (
    file INTEGER, pos BIGINT, rt VARCHAR, id VARCHAR, sid VARCHAR, t VARCHAR, e VARCHAR, v VARCHAR, k VARCHAR, letter VARCHAR,
    updated VARCHAR,
    components STRUCT(code JSON, "valueInteger" JSON, "valueString" JSON, "valueCodeableConcept" JSON, "valueBoolean" JSON,
        "valueRatio" JSON, "valueRange" JSON, interpretation JSON, "dataAbsentReason" JSON, "referenceRange" JSON, "valueQuantity" JSON)[]);
CREATE TABLE flat AS SELECT * EXCLUDE (k), NULL::UBIGINT AS h FROM incoming;
CREATE TABLE saying (mid BIGINT, h UBIGINT, rt VARCHAR, k VARCHAR);
CREATE TABLE kept (mid BIGINT);
""".format(date=quoted(DATE_PATTERN), number=quoted(NUMBER_PATTERN), earliest=EARLIEST.date(), days=DAYS_AHEAD)

_KEYS: Final = "{resourceType: 'VARCHAR', id: 'VARCHAR'}"  # (one column alone would be read by a slower path)
_QUANTITY: Final = """'{"value": "VARCHAR", "comparator": "VARCHAR", "unit": "VARCHAR", "system": "VARCHAR", "code": "VARCHAR"}'"""
# The columns of a row that the event needs beside its meaning. ``bad_*``: which of them could not be read.
_TYPED: Final = """file, pos, rt, id, sid, believable(moment(t)) AS time, believable(moment(e)) AS end_time,
    CASE WHEN isfinite(quantity(q."value")) THEN quantity(q."value") END AS number,
    CASE WHEN q.comparator IN ('<', '<=', '>', '>=') THEN q.comparator END AS comparator,
    CASE WHEN q.system = 'http://unitsofmeasure.org' THEN coalesce(q.code, q.unit) ELSE coalesce(q.unit, q.code) END AS unit,
    q.code AS unit_code, q.unit AS unit_text,
    t IS NOT NULL AND believable(moment(t)) IS NULL AS bad_time, e IS NOT NULL AND believable(moment(e)) IS NULL AS bad_end,
    v IS NOT NULL AND v <> 'null' AND NOT coalesce(isfinite(quantity(q."value")), false) AS bad_value"""

_NEW_SAYINGS: Final = """INSERT INTO saying SELECT (SELECT count(*) FROM saying) + row_number() OVER () - 1, hash_of(rt, k), rt, k
    FROM (SELECT DISTINCT rt, {told} AS k FROM {source} WHERE k IS NOT NULL) ANTI JOIN saying USING (rt, k)"""
_STORED: Final = """INSERT INTO flat BY NAME
    SELECT * EXCLUDE (k, letter), CASE WHEN k IS NOT NULL THEN hash_of(rt, {told}) END AS h, {letter} AS letter FROM incoming"""
_COMPONENTS: Final = f"""SELECT file, pos, '{COMPONENT}' AS rt, id, sid, t, e, {COMPONENT_K} AS k, c."valueQuantity" AS v
    FROM (SELECT file, pos, id, sid, t, e, split_part(saying.k, chr(31), 1) AS status, unnest(components) AS c
          FROM flat JOIN saying USING (h) WHERE components IS NOT NULL AND sid IS NOT NULL)"""
# Medications by reference: the field for the medication's code stands last, and is empty.
_MEDICATIONS: Final = f"""CREATE OR REPLACE TEMP TABLE named AS SELECT saying.h AS unnamed, rt, k || drug.code AS k
    FROM saying JOIN (SELECT id, any_value(split_part(saying.k, chr(31), 2)) AS code FROM flat JOIN saying USING (h)
                      WHERE flat.rt = 'Medication' AND split_part(saying.k, chr(31), 2) NOT IN ('', 'null') GROUP BY id) AS drug
    ON regexp_extract(json_extract_string(nullif(split_part(k, chr(31), 2), ''), '$.reference'),
                      '([^/:#]+)(?:/_history/[^/]*)?$', 1) = drug.id
    WHERE rt IN ({", ".join(quoted(kind) for kind in MEDICATION_TYPES)}) AND ends_with(k, chr(31))"""

_COUNTS: Final = "SELECT rt, count(*), count(id), count(*) - count(sid), count(components) FROM flat GROUP BY rt"
_SUBJECTS: Final = """
    SELECT sid AS subject_id, born(birth(t)) AS birth_date, 'Patient/' || id AS source, file, pos, true AS found,
        CASE saying.k WHEN '"female"' THEN 'female' WHEN '"male"' THEN 'male' END AS sex,
        t IS NOT NULL AND born(birth(t)) IS NULL AS bad_birth
    FROM flat JOIN saying USING (h) WHERE flat.rt = 'Patient'
    UNION ALL
    SELECT DISTINCT sid, NULL, NULL, NULL, NULL, false, NULL, false
    FROM flat ANTI JOIN (SELECT sid FROM flat WHERE rt = 'Patient') USING (sid) WHERE sid IS NOT NULL AND h IS NOT NULL"""
_SAID: Final = """
    SELECT file, pos, rt, id, sid, t, e, v, mid, letter
    FROM flat JOIN (SELECT saying.mid, h, kept.mid IS NOT NULL AS needed FROM saying LEFT JOIN kept USING (mid)) USING (h)
    WHERE needed OR letter IS NOT NULL"""
_LETTERS: Final = """
    SELECT coalesce(sum(strlen(letter)), 0)::BIGINT, coalesce(approx_count_distinct(letter) * avg(strlen(letter)), 0)::BIGINT
    FROM flat WHERE letter IS NOT NULL"""
_CONTAINED: Final = "SELECT DISTINCT sid, saying.rt, saying.k FROM flat JOIN saying USING (h) WHERE contains(sid, '#')"
_READ: Final = "(" + ", ".join(quoted(kind) for kind in READ_TYPES) + ")"
WITHOUT_ID: Final = f"id IS NULL AND rt IN {_READ}"  # of the types that are read


class FhirTables:
    """A DuckDB database with the flat rows of one run (``folder``: where it may spill)."""

    def __init__(self, folder: Path, memory_limit: str | None = None) -> None:
        self.con = duckdb.connect(config={"temp_directory": str(folder)})
        self._memory_limit = memory_limit
        self._longest = 0
        self._threads = int(self.rows("SELECT current_setting('threads')")[0][0])
        self._allow_lines(_USUAL_OBJECT)
        self.con.execute(_SETUP)
        self._told = 0  # how many sayings new_sayings has named

    def close(self) -> None:
        self.con.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.con.execute(sql).fetchall())

    def frame(self, sql: str) -> pl.DataFrame:
        frame: pl.DataFrame = self.con.sql(sql).pl()
        return frame

    # --- filling -------------------------------------------------------------------------------------------

    def read_lines(self, files: Sequence[tuple[int, Path]], gzipped: bool, kind: str | None = None, *, strict: bool = False) -> None:
        """Read NDJSON files; with ``kind``, only the columns of that resource type.

        A line that is not a JSON object becomes a row without ``rt``. With ``strict`` it is an error, and so is a long line; that
        reads faster.
        """
        source = self._source([path for _, path in files], columns_sql(kind=kind), gzipped=gzipped, strict=strict)
        self._add(f"SELECT {projection(_numbers(files), 'NULL', kind)} FROM {source}")

    def count_kinds(self, files: Sequence[tuple[int, Path]], gzipped: bool) -> list[tuple[int, str | None, int]]:
        """(file, resource type, lines) of NDJSON files; a line that is not a JSON object is an error."""
        source = self._source([path for _, path in files], _KEYS, gzipped=gzipped, strict=True)
        return self.rows(f"SELECT {_numbers(files)} AS file, resourceType, count(*) FROM {source} GROUP BY ALL")

    def store_sayings(self) -> None:
        """Store the rows that came, and what they say, each saying once.

        Letters stay with their rows, unless they are the same again and again.
        """
        ((count, distinct),) = self.rows("SELECT count(letter), approx_count_distinct(letter) FROM incoming")
        shared = count > _OFTEN * distinct
        told = "coalesce(letter, k)" if shared else "k"
        self._number_sayings("incoming", told)
        self.con.execute(_STORED.format(told=told, letter="NULL" if shared else "letter"))
        self.con.execute("TRUNCATE incoming")

    def new_sayings(self, most: int) -> list[tuple[str, str]]:
        """(type, packed fields) of sayings that came since the last call, or some of them."""
        first, self._told = self._told, int(self.rows("SELECT count(*) FROM saying")[0][0])
        return self.rows(f"SELECT rt, k FROM saying WHERE mid >= {first} AND rt <> 'Patient' ORDER BY mid LIMIT {most}")

    def strays(self, files: Sequence[tuple[int, Path]], kind: str) -> list[int]:
        """The files that hold other resource types too."""
        numbers = ", ".join(str(number) for number, _ in files)
        return [file for (file,) in self.rows(f"SELECT DISTINCT file FROM incoming WHERE rt <> {quoted(kind)} AND file IN ({numbers})")]

    def forget(self, file: int) -> None:
        self.con.execute(f"DELETE FROM incoming WHERE file = {file}")

    def read_spool(self, path: Path, longest: int) -> None:
        """Read lines that carry their own file and place."""
        source = self._source([path], columns_sql(own=True, meta=True), longest=max(longest, _MAX_OBJECT))
        self._add(f"SELECT {projection('_file', '_pos', meta=True)} FROM {source}")

    def odd_lines(self, path: Path, gzipped: bool) -> list[int]:
        """Which records of a file (counting lines that are not blank) are no resource, or a whole Bundle."""
        return [
            number
            for (number,) in self._in_order(
                f"SELECT n FROM (SELECT row_number() OVER () AS n, resourceType AS rt FROM {self._source([path], _KEYS, gzipped=gzipped)})"
                " WHERE rt IS NULL OR rt = 'Bundle'"
            )
        ]

    def places(self, path: Path, gzipped: bool, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(type, id) -> its first record in a file."""
        self.con.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT unnest($1::VARCHAR[]) AS rt, unnest($2::VARCHAR[]) AS id",
                         [[kind for kind, _ in keys], [key for _, key in keys]])  # fmt: skip
        records = f"SELECT row_number() OVER () AS n, resourceType AS rt, id FROM {self._source([path], _KEYS, gzipped=gzipped)}"
        found = self._in_order(f"SELECT min(n), rt, id FROM ({records}) JOIN wanted USING (rt, id) GROUP BY rt, id")
        return {(kind, key): number for number, kind, key in found}

    def number_rows(self, file: int, path: Path, gzipped: bool, condition: str) -> None:
        """Give some rows of a file their places in it, which reading in parallel does not, by reading them again in order."""
        source = self._source([path], columns_sql(meta=True), gzipped=gzipped)
        self.con.execute(f"DELETE FROM flat WHERE file = {file} AND pos IS NULL AND ({condition})")
        self.con.execute("SET preserve_insertion_order = true")
        numbered = f"SELECT {projection(str(file), 'n', meta=True)} FROM (SELECT *, row_number() OVER () AS n FROM {source})"
        self._add(f"SELECT * FROM ({numbered}) WHERE {condition}")
        self.store_sayings()
        self.con.execute("SET preserve_insertion_order = false")

    # --- asking --------------------------------------------------------------------------------------------

    def counts(self) -> list[tuple[Any, ...]]:
        """Per resource type: rows, rows with an id, rows without a subject, rows with components."""
        return self.rows(_COUNTS)

    def may_have_duplicates(self) -> bool:
        """Whether an id occurs twice; rarely, two ids with the same hash."""
        # groups move to disk where they are too many for the memory; a count of distinct values does not
        ids = f"SELECT hash(rt, id) AS h FROM flat WHERE rt IN {_READ} AND id IS NOT NULL"
        return bool(self.rows(f"SELECT count(*) FROM (SELECT h FROM ({ids}) GROUP BY h HAVING count(*) > 1)")[0][0])

    def find_duplicates(self) -> None:
        """Collect the ids that occur twice."""
        self.con.execute(
            f"CREATE OR REPLACE TABLE duplicate AS SELECT rt, id FROM flat WHERE rt IN {_READ} AND id IS NOT NULL"
            " GROUP BY rt, id HAVING count(*) > 1"
        )

    def unplaced_files(self, condition: str) -> list[int]:
        """The files with such rows that have no place yet."""
        return [file for (file,) in self.rows(f"SELECT DISTINCT file FROM flat WHERE pos IS NULL AND ({condition})")]

    def take(self, condition: str) -> pl.DataFrame:
        """Remove rows, and say which they were."""
        taken = self.frame(f"SELECT file, pos, rt, id FROM flat WHERE {condition} ORDER BY ALL")
        self.con.execute(f"DELETE FROM flat WHERE {condition}")
        return taken

    def take_duplicates(self) -> pl.DataFrame:
        """Remove all but the newest version of each duplicate id; of equally new ones the first stays."""
        newest_first = "believable(moment(updated)) DESC NULLS LAST, file, pos"
        return self.take(
            f"rowid IN (SELECT rowid FROM (SELECT rowid, row_number() OVER (PARTITION BY rt, id ORDER BY {newest_first}) AS n"
            " FROM flat WHERE (rt, id) IN (FROM duplicate)) WHERE n > 1)"
        )

    def add_components(self) -> None:
        self._add(_COMPONENTS)
        self.store_sayings()

    def name_medications(self) -> None:
        """Put the code of a referenced Medication beside the reference."""
        self.con.execute(_MEDICATIONS)
        self._number_sayings("named", "k")
        self.con.execute("UPDATE flat SET h = hash_of(named.rt, named.k) FROM named WHERE flat.h = named.unnamed")

    def count_sayings(self) -> int:
        """Count the rows of each saying; returns how many sayings there are."""
        self.con.execute(
            "CREATE OR REPLACE TABLE said AS SELECT h, count(*) AS n FROM flat WHERE h IS NOT NULL AND rt <> 'Patient' GROUP BY h"
        )
        return int(self.rows("SELECT count(*) FROM saying")[0][0])

    def sayings(self, first: int, count: int) -> list[tuple[int, str, str, int]]:
        """(number, type, packed fields, rows) of a page of them, by number: rows meet their meaning by its place."""
        page = f"mid BETWEEN {first} AND {first + count - 1}"
        return self.rows(f"SELECT mid, rt, k, n FROM saying JOIN said USING (h) WHERE {page} ORDER BY mid")

    def letters(self) -> tuple[int, int]:
        """Bytes of all letters, and about how many without those that are repeated word for word."""
        ((size, distinct),) = self.rows(_LETTERS)
        return size, distinct

    def keep(self, numbers: Sequence[int]) -> None:
        """Mark the sayings whose rows are needed."""
        self.con.execute("INSERT INTO kept SELECT unnest($1::BIGINT[])", [list(numbers)])

    def spread(self, parts: int) -> None:
        """Lay the rows of kept sayings and the subjects into parts of whole patients, and forget the flat rows.

        One pass for all: looking through every row once for each part would cost a population its square.
        """
        self.con.execute(f"CREATE TABLE said_row AS SELECT *, hash(sid) % {parts} AS part FROM ({_SAID}) ORDER BY part")
        self.con.execute(f"CREATE TABLE subject AS SELECT *, hash(subject_id) % {parts} AS part FROM ({_SUBJECTS}) ORDER BY part")
        self.con.execute(f"CREATE TABLE contained AS {_CONTAINED}; DROP TABLE flat")

    def kept_rows(self, part: int) -> pl.DataFrame:
        """The rows of kept sayings of a part, ready to become events, and those with a ``letter``."""
        rows = f"SELECT *, json_transform(v, {_QUANTITY}) AS q FROM said_row WHERE part = {part}"
        return self.frame(f"SELECT {_TYPED}, mid, letter FROM ({rows})")

    def patients(self, part: int) -> pl.DataFrame:
        """Every subject of a part; one without a Patient resource has ``found`` false."""
        return self.frame(f"SELECT * EXCLUDE (part) FROM subject WHERE part = {part}")

    def contained_subjects(self) -> list[tuple[str, Any]]:
        """(subject id, contained resources) of resources that carry their patient inside."""
        found = self.rows("FROM contained")
        subjects = []
        for subject, kind, packed in found:
            try:
                subjects.append((subject, unpacked(kind, packed).get("contained")))
            except ValueError:  # not standard JSON (NaN): the record itself is rejected where its meaning is read
                continue
        return subjects

    # --- helpers -------------------------------------------------------------------------------------------

    def _allow_lines(self, longest: int) -> None:
        """Bound DuckDB's memory to what the tables and lines of this length need, unless the caller has set a limit."""
        if longest > self._longest:  # what was read from a long line stays in the tables: the limit never falls
            self._longest = longest
            limit = self._memory_limit or f"{_MEMORY + self._threads * _BUFFERS * longest // 2**20}MB"
            self.con.execute(f"SET memory_limit = {quoted(limit)}")

    def _add(self, rows: str) -> None:
        self.con.execute(f"INSERT INTO incoming BY NAME {rows}")

    def _number_sayings(self, source: str, told: str) -> None:
        self.con.execute(_NEW_SAYINGS.format(source=source, told=told))
        if self.rows("SELECT count(*) > count(DISTINCT h) FROM saying")[0][0]:
            raise RuntimeError("two sayings with the same hash")

    def _source(
        self, paths: Sequence[Path], columns: str, *, gzipped: bool = False, strict: bool = False, longest: int = _MAX_OBJECT
    ) -> str:
        longest = _USUAL_OBJECT if strict else longest
        self._allow_lines(longest)
        files = ", ".join(quoted(str(path)) for path in paths)
        return (
            f"read_ndjson([{files}], columns = {columns}, ignore_errors = {not strict}, maximum_object_size = {longest},"
            f" compression = '{'gzip' if gzipped else 'none'}')"
        )

    def _in_order(self, sql: str) -> list[tuple[Any, ...]]:
        """The answer of a question that counts lines."""
        self.con.execute("SET preserve_insertion_order = true")
        try:
            return self.rows(sql)
        finally:
            self.con.execute("SET preserve_insertion_order = false")


def _numbers(files: Sequence[tuple[int, Path]]) -> str:
    """Our number of the file that DuckDB is reading."""
    return "[" + ", ".join(str(number) for number, _ in files) + "][(file_index + 1)::BIGINT]"
