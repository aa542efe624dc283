"""The JSON contract as documents: ``docs/assessment.schema.json`` and ``docs/json_contract.md``, both rendered from the models.

``python -m calcinosis.report.contract docs`` writes them; a test fails when they differ from what the code says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calcinosis.contract import Assessment

SCHEMA_FILE = "assessment.schema.json"
PAGE_FILE = "json_contract.md"

_INTRODUCTION = f"""# The JSON contract

What `calcinosis assess --json` prints for each patient: one `Assessment`.
The machine-readable form is [`{SCHEMA_FILE}`]({SCHEMA_FILE}) (JSON Schema 2020-12).
Records are closed: no key other than those listed here appears, and every listed key is always present.
Times are UTC without an offset. Unknown is `null`, never an empty string or zero.

This page is rendered from the models in `src/calcinosis/contract.py`. To renew it:

```console
python -m calcinosis.report.contract docs
```
"""


def render_schema() -> str:
    """The JSON Schema of :class:`Assessment` as it is written (serialised), with its dialect named."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Assessment.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def render_page() -> str:
    """One section per record, ``Assessment`` first, each with a table of its keys."""
    schema: dict[str, Any] = Assessment.model_json_schema(mode="serialization")
    sections = [("Assessment", schema), *sorted(schema.get("$defs", {}).items())]
    return _INTRODUCTION + "".join(line + "\n" for name, model in sections for line in _section(name, model))


def _section(name: str, model: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {name}\n"
    if description := model.get("description"):
        yield f"{' '.join(description.split())}\n"
    if "enum" in model:
        yield f"One of: {', '.join(f'`{value}`' for value in model['enum'])}."
        return
    yield "| key | type | meaning |"
    yield "|---|---|---|"
    for key, field in model.get("properties", {}).items():
        yield f"| `{key}` | {_type(field)} | {_meaning(field)} |"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if isinstance(values := field.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    if field.get("format") == "date-time":
        return "date-time"
    return str(field.get("type", "any"))


def _meaning(field: dict[str, Any]) -> str:
    text = " ".join(str(field.get("description", "")).split())
    if isinstance(constant := field.get("default"), str):
        text = f"{text} Always: “{constant}”".strip()
    return text.replace("|", "\\|")


def write(folder: Path) -> list[Path]:
    """Write both documents and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / SCHEMA_FILE, folder / PAGE_FILE]
    for path, text in zip(written, (render_schema(), render_page()), strict=True):
        path.write_text(text, encoding="utf-8")
    return written


if __name__ == "__main__":
    for _path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(_path)
