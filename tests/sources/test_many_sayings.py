"""A hospital says many thousand different things: each row must meet what it says, whatever the order the database hands them out in."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from calcinosis.api import make_readers, read_batches
from calcinosis.sources.fhir_tables import FhirTables

SIGNS = ["livedo racemosa", "skin ulcer", "eschar", "gangrene", "nodule", "plaque", "induration"]


def test_every_row_keeps_what_it_says(tmp_path: Path) -> None:
    said = {f"c{n}": SIGNS[n % len(SIGNS)] for n in range(20_000)}
    with (tmp_path / "Condition.ndjson").open("w") as lines:
        for n, (key, sign) in enumerate(said.items()):
            note = [{"text": f"Number {n}, seen on the ward. " * 4}]
            record = {"resourceType": "Condition", "id": key, "subject": {"reference": f"Patient/p{n % 500}"}, "code": {"text": sign}, "note": note}
            lines.write(json.dumps(record) + "\n")
    (tmp_path / "Patient.ndjson").write_text("".join(json.dumps({"resourceType": "Patient", "id": f"p{n}"}) + "\n" for n in range(500)))
    found: dict[str, str] = {}
    for batch in read_batches([tmp_path], make_readers()):
        found |= {row["source"].removeprefix("Condition/"): row["code"].removeprefix("text/") for row in batch.events.to_dicts()}
    assert found == said


def test_two_texts_whose_changes_cancel_out_are_two_sayings(tmp_path: Path) -> None:
    """DuckDB's own hash takes these two texts for one."""
    texts = ["x" * 7 + first + "-" * 95 + second + "y" * 40 for first, second in (("7", "8"), ("8", "7"))]
    assert duckdb.execute("SELECT hash($1) = hash($2)", texts).fetchall() == [(True,)]
    tables = FhirTables(tmp_path)
    tables.con.execute("INSERT INTO incoming BY NAME SELECT 'Condition' AS rt, unnest($1) AS k", [texts])
    tables.store_sayings()
    assert tables.rows("SELECT count(DISTINCT h) FROM flat") == [(2,)]
    tables.close()
