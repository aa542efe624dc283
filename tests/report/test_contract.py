"""The committed JSON contract is what the models say, and what the program prints keeps to it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from people import PEOPLE, assessed

from calcinosis.report.contract import PAGE_FILE, SCHEMA_FILE, render_page, render_schema, write

DOCS = Path(__file__).parents[2] / "docs"
RENEW = "run `python -m calcinosis.report.contract docs`"


def test_the_committed_schema_is_current() -> None:
    assert (DOCS / SCHEMA_FILE).read_text(encoding="utf-8") == render_schema(), RENEW


def test_the_committed_page_is_current() -> None:
    assert (DOCS / PAGE_FILE).read_text(encoding="utf-8") == render_page(), RENEW


def test_every_record_has_its_section() -> None:
    for name in json.loads(render_schema())["$defs"]:
        assert f"\n## {name}\n" in render_page()


@pytest.mark.parametrize("name", PEOPLE)
def test_what_is_printed_keeps_to_the_schema(name: str) -> None:
    schema = json.loads(render_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(assessed(name).model_dump_json()), schema, jsonschema.Draft202012Validator)


def test_write(tmp_path: Path) -> None:
    assert [path.name for path in write(tmp_path / "docs")] == [SCHEMA_FILE, PAGE_FILE]
