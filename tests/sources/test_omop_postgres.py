"""A CDM on a real PostgreSQL server: the same answers, filtered by the server, read-only. Skipped where the server is not installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import omop_made as m
import polars as pl
import pytest
from omop_made import as_sql, cdm, columns_of_cdm, comparable_cdm, condition, read_cdm, write_parquet
from test_omop import MIXED
from typer.testing import CliRunner

from calcinosis.api import make_readers, screen
from calcinosis.cli import app
from calcinosis.sources.omop_database import KNOWN, open_cdm, shown_address
from calcinosis.sources.omop_selection import select

SYNTHEA = Path(__file__).parents[3] / "shared" / "data" / "omop-synthea27nj"
PASSWORD = "p@ss/w:rd%"  # every character of it means something in an address
ESCAPED = "p%40ss%2Fw%3Ard%25"


def _server_programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


PROGRAMS = _server_programs()
driver = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="the driver of the extra 'postgres' is not installed")
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL server (Debian: apt-get install postgresql)")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an empty server, without a database's name."""
    assert PROGRAMS is not None
    folder = Path(tempfile.mkdtemp(prefix="calcinosis-pg-"))  # not below pytest's folder, which only its owner may enter
    data, secret = folder / "data", folder / "secret"
    secret.write_text(PASSWORD)
    become: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        subprocess.run(["chown", "-R", "postgres", str(folder)], check=True)
        become = [shutil.which("runuser", path=f"{os.defpath}:/usr/sbin:/sbin") or "runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*words: str) -> None:
        done = subprocess.run([*become, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()

    run(str(PROGRAMS / "initdb"), "-D", str(data), "-U", "tester", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c timezone=Asia/Tokyo"
    run(str(PROGRAMS / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://tester:{ESCAPED}@127.0.0.1:{port}"
    finally:
        run(str(PROGRAMS / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def _execute(address: str, *statements: str) -> None:
    with driver.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _load(address: str, con: duckdb.DuckDBPyConnection, tables: dict[str, dict[str, str]], schema: str = "public") -> None:
    """Copy tables of DuckDB to the server, with the types of the CDM's own definition."""
    with driver.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name, columns in tables.items():
            cursor.execute(f"CREATE TABLE {schema}.{name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})")
            rows = con.sql(f"SELECT * FROM {name}").to_arrow_table()
            if rows.num_rows:
                cursor.adbc_ingest("arriving", rows, mode="create", temporary=True)
                cursor.execute(f"INSERT INTO {schema}.{name} SELECT {', '.join(f'CAST({c} AS {k})' for c, k in columns.items())} FROM pg_temp.arriving")
                cursor.execute("DROP TABLE pg_temp.arriving")
        connection.commit()


def _plan(address: str, query: str) -> str:
    with driver.connect(address) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})  # COPY takes no EXPLAIN
        cursor.execute(f"EXPLAIN {query}")
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.fixture(scope="module")
def made(server: str) -> str:
    """The made CDM in a schema of its own."""
    _execute(f"{server}/postgres", "CREATE DATABASE made")
    con = duckdb.connect()
    tables = cdm(**MIXED)
    as_sql(con, tables)
    _load(f"{server}/made", con, {name: columns_of_cdm(name) for name in tables}, schema="cdm")
    return f"{server}/made?options=-csearch_path%3Dcdm"


@pytest.fixture(scope="module")
def synthea(server: str) -> str:
    if not SYNTHEA.exists():
        pytest.skip("../shared/data with the public samples is absent")
    _execute(f"{server}/postgres", "CREATE DATABASE synthea")
    con, tables = duckdb.connect(), {}
    for path in sorted(SYNTHEA.glob("*.parquet")):
        if path.stem not in KNOWN:
            continue
        con.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM '{path}'")
        columns = {row[0]: row[1] for row in con.sql(f"DESCRIBE {path.stem}").fetchall()}
        tables[path.stem] = columns
    _load(f"{server}/synthea", con, tables)
    indexed = ("measurement", "observation", "condition_occurrence")  # the indexes that the CDM's own scripts make
    stems = {"measurement": "measurement", "observation": "observation", "condition_occurrence": "condition"}
    _execute(f"{server}/synthea", *(f"CREATE INDEX ON {name} ({stems[name]}_concept_id)" for name in indexed), "ANALYZE")
    return f"{server}/synthea"


def test_a_made_cdm_gives_the_same_answer_from_the_server_as_from_files(made: str, tmp_path: Path) -> None:
    wanted = comparable_cdm(read_cdm(write_parquet(tmp_path, cdm(**MIXED))))
    assert wanted[0]
    assert comparable_cdm(read_cdm(made)) == wanted


def test_a_sample_gives_the_same_events_and_answers(synthea: str, tmp_path: Path) -> None:
    readers = make_readers()
    from_files, from_server = (screen(source, tmp_path / name, readers=readers) for source, name in ((SYNTHEA, "files"), (synthea, "server")))
    for name in ("assessments", "reasons", "treatment_reviews", "treatment_options"):
        left, right = (pl.read_parquet(cohort.folder / f"{name}.parquet") for cohort in (from_files, from_server))
        by = [column for column in ("subject_id", "kind", "owner", "role", "order") if column in left.columns]
        assert (left.height and left.sort(by).equals(right.sort(by))) or left.height == right.height == 0, name
    same = ("records_read", "records_used", "records_ignored", "records_rejected", "patients_assessed", "lab_coverage")
    summaries = [json.loads((cohort.folder / "summary.json").read_text()) for cohort in (from_files, from_server)]
    assert [summaries[0][key] for key in same] == [summaries[1][key] for key in same]
    assert comparable_cdm(read_cdm(synthea, readers.index, readers.text)) == comparable_cdm(read_cdm(SYNTHEA, readers.index, readers.text))


def test_the_server_filters(synthea: str, tmp_path: Path) -> None:
    """Its plan holds the condition, and only the rows that matter travel."""
    readers = make_readers()
    with open_cdm(synthea, str(tmp_path)) as there:
        queries = select(there, readers.index, readers.text).queries
        for name in ("measurement", "observation", "condition_occurrence"):
            plan = _plan(synthea, queries[name])
            assert "Filter: " in plan or "Index Cond: " in plan, plan
            there.copy(name, queries[name])
            [(travelled,)] = there.con.execute(f"SELECT count(*) FROM fetched_{name}").fetchall()
            assert 0 < travelled < there.count(name)
        one = there.named(f"SELECT * FROM {{measurement}} WHERE {there.many('measurement_concept_id', [3006906])}")
        assert "Index Cond" in _plan(synthea, one)


def test_the_connection_cannot_write(made: str, tmp_path: Path) -> None:
    for statement in ("DELETE FROM cdm.person", "CREATE TABLE cdm.mine (a int)", "UPDATE cdm.person SET person_id = 5"):
        with pytest.raises(ValueError, match=r"read-only transaction"), open_cdm(made, str(tmp_path)) as there:
            there.fetch(statement)
        (tmp_path / "rows.duckdb").unlink()


def test_the_answer_is_that_of_one_moment(made: str, tmp_path: Path) -> None:
    """A row that arrives while the CDM is being read is not seen by half of the queries."""
    with open_cdm(made, str(tmp_path)) as there:
        before = there.count("observation_period")
        _execute(made, "INSERT INTO observation_period VALUES (99, 1)")
        try:
            assert there.count("observation_period") == before
        finally:
            _execute(made, "DELETE FROM observation_period WHERE observation_period_id = 99")


def test_time_zones_of_the_server_do_not_move_a_date(server: str) -> None:
    _execute(f"{server}/postgres", "CREATE DATABASE zones")
    con = duckdb.connect()
    tables = cdm(condition_occurrence=[condition(m.SSC)])
    as_sql(con, tables)
    kinds = {name: columns_of_cdm(name) for name in tables}
    kinds["condition_occurrence"] = {**kinds["condition_occurrence"], "condition_start_datetime": "TIMESTAMPTZ"}
    _load(f"{server}/zones", con, kinds)
    _execute(f"{server}/zones", "UPDATE condition_occurrence SET condition_start_datetime = '2020-01-02 01:00:00+00'")
    assert str(read_cdm(f"{server}/zones").events["time"][0]) == "2020-01-02 01:00:00"


@pytest.mark.parametrize("broken", ["/nowhere", "/made?options=-csearch_path%3Dempty", "/made?sslmode=nonsense"])
def test_errors_say_what_is_wrong_without_the_password(server: str, made: str, broken: str) -> None:
    assert made
    with pytest.raises(ValueError) as error:
        read_cdm(server + broken)
    assert "127.0.0.1" in str(error.value)
    assert not any(secret in str(error.value) for secret in (PASSWORD, ESCAPED, "tester"))
    wrong = server.replace(ESCAPED, "not-the-word")
    with pytest.raises(ValueError, match="password authentication failed") as error:
        read_cdm(wrong + "/made")
    assert "not-the-word" not in str(error.value)


def test_the_command_line_screens_a_server_and_writes_no_password(made: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["screen", made, "--out", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 0, result.output
    written = [result.output, *((tmp_path / "out" / name).read_text() for name in ("summary.json", "report.html", "unmapped.csv"))]
    written.append(str(pl.read_parquet(tmp_path / "out" / "rejects.parquet").to_dicts()))
    assert not any(secret in text for text in written for secret in (PASSWORD, ESCAPED, "tester"))
    summary: dict[str, Any] = json.loads(written[1])
    assert summary["source"].endswith("/made")
    assert summary["patients_assessed"] == 3


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@host:5432/db?password=x", "postgresql://host:5432/db"), ("postgres://host/db", "postgres://host/db"),
        ("postgresql://u:p@ss/w@rd@host/db", "postgresql://host/db"), ("folder/of@files", "folder/of@files"), ("postgresql:///db?host=/tmp", "postgresql:///db"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert shown_address(address) == shown

