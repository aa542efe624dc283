"""``calcinosis knowledge show`` and ``export``: one entry as it is used, or all of it for another tool.

``python -m calcinosis.knowledge.show docs/reference`` writes the reference pages.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from calcinosis.knowledge.drug_allergies import DrugAllergy
from calcinosis.knowledge.entry_form import FormGroup
from calcinosis.knowledge.loader import Knowledge, load_knowledge
from calcinosis.knowledge.model import Alarm, CalcificationType, ClinicalForm, Concept, Disease, Finding, Mimic, Setting, Source, Test
from calcinosis.knowledge.reference import PAGES, reference_pages
from calcinosis.knowledge.simulation import Simulation
from calcinosis.knowledge.treatments import CurrentDrugReview, Treatment
from calcinosis.knowledge.usage import Usage, usage_of
from calcinosis.knowledge.wording import CRITERIA, citation, cited, in_words, reads

__all__ = ["export", "in_words", "reference_pages", "show", "write_reference"]

EXPORTS = ("codes", "schema", "docs")
CODE_COLUMNS = ("concept_key", "system", "code", "relation", "licence_tag")


# --- show ------------------------------------------------------------------------------------------


def show(key: str, knowledge: Knowledge) -> str:
    """Every entry of this key in readable, YAML-like text, with its codes, what it reads, what reads it, and its sources.

    Raises:
        KeyError: no entry has this key; the message lists those that come close.
    """
    found = [(table, getattr(knowledge, table)[key]) for table in PAGES if key in getattr(knowledge, table)]
    if not found:
        keys = sorted({each for table in PAGES for each in getattr(knowledge, table)})
        near = get_close_matches(key.strip().lower().replace(" ", "_").replace("-", "_"), keys, n=5, cutoff=0.5)
        near += [each for each in keys if key in each and each not in near][:5] if len(key) > 2 else []
        raise KeyError(f"no entry {key!r}" + (f"; did you mean {', '.join(near)}?" if near else f"; the tables are {', '.join(PAGES)}"))
    usage = usage_of(knowledge, PAGES)
    return "\n".join(_entry(table, record, knowledge, usage) for table, record in found)


def _entry(table: str, record: Any, knowledge: Knowledge, usage: Usage) -> str:
    origin = knowledge.origins[type(record).__name__, record.key]
    body = readable(record, knowledge)
    if isinstance(record, Concept):
        body["codes"] = [f"{c.system} {c.code} ({c.relation}, {c.licence_tag})" for c in knowledge.codes if c.concept_key == record.key]
        body["shows_also"] = [each for each in knowledge.ancestors[record.key] if each != record.key]
        body["shown_by"] = [each for each in knowledge.descendants[record.key] if each != record.key]
    if isinstance(record, Treatment):
        rows = [row for row in knowledge.studies if record.key in row.treatments]
        body["studies"] = [f"{row.row}: {row.design}, {row.outcome}, {row.direction}" for row in rows]
    if table != "sources":
        body["reads"] = [_at(knowledge, *target) for target in reads(record, knowledge)]
        body["cites"] = {source: " ".join(citation(knowledge.sources[source])) for source in cited(record) if source in knowledge.sources}
    if table == "sources":
        body["cited_by"] = [_at(knowledge, *place) for place in usage.cited_by.get(record.key, ())]
    else:
        body["read_by"] = [_at(knowledge, *place) for place in usage.read_by.get((table, record.key), ())]
    body = {name: value for name, value in body.items() if value not in ([], {}, None)}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110)
    return f"# {type(record).__name__} {record.key}  ({origin})\n{text}"


def readable(value: Any, knowledge: Knowledge) -> Any:
    """Plain data without defaults, every criterion in words."""
    if isinstance(value, CRITERIA):
        return in_words(value, knowledge)
    if isinstance(value, BaseModel):
        given = ((name, getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set)
        return {name.rstrip("_"): readable(each, knowledge) for name, each in given}
    if isinstance(value, tuple | list):
        return [readable(each, knowledge) for each in value]
    if isinstance(value, dict):
        return {str(name): readable(each, knowledge) for name, each in value.items()}
    return str(value) if isinstance(value, str) else value


def _at(knowledge: Knowledge, table: str, key: str) -> str:
    record = getattr(knowledge, table).get(key)
    where = knowledge.origins[type(record).__name__, key] if record is not None else "does not exist"
    return f"{table} {key} ({where})"


# --- export ----------------------------------------------------------------------------------------


def export(what: str, knowledge: Knowledge) -> str:
    """The code lists as CSV, the JSON Schema of the content files, or the reference as one Markdown document.

    Raises:
        KeyError: ``what`` is none of ``codes``, ``schema``, ``docs``.
    """
    match what:
        case "codes":
            return _codes(knowledge)
        case "schema":
            return json.dumps(content_schema(), indent=2, ensure_ascii=False) + "\n"
        case "docs":
            return _one_document(reference_pages(knowledge))
    raise KeyError(f"cannot export {what!r}; the exports are {', '.join(EXPORTS)}")


def _codes(knowledge: Knowledge) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CODE_COLUMNS)
    writer.writerows([getattr(code, column) for column in CODE_COLUMNS] for code in knowledge.codes)
    return stream.getvalue()


def content_schema() -> dict[str, Any]:
    """One JSON Schema for every YAML file under ``content/``.

    A file is valid when it fits one of the shapes. An editor that is told the shape of a folder gives better messages:
    ``#/$defs/ConceptsFile`` for ``concepts/*.yaml``, ``#/$defs/Mimic`` for ``mimics/*.yaml`` and so on.
    """
    lists: dict[str, type[BaseModel]] = {
        "sources": Source, "concepts": Concept, "findings": Finding, "alarms": Alarm, "tests": Test, "forms": ClinicalForm,
        "groups": FormGroup, "settings": Setting, "reviews": CurrentDrugReview,
    }  # fmt: skip
    singles: tuple[type[BaseModel], ...] = (CalcificationType, Disease, Mimic, Treatment, Simulation, DrugAllergy)
    _, document = models_json_schema([(model, "validation") for model in (*lists.values(), *singles)], ref_template="#/$defs/{model}")
    shapes = {
        f"{name.capitalize()}File": _file_shape(name, {"type": "array", "items": {"$ref": f"#/$defs/{model.__name__}"}})
        for name, model in lists.items()
    }
    shapes["UnitAliasesFile"] = _file_shape("aliases", {"type": "object", "additionalProperties": {"type": "string"}})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "calcinosis knowledge content",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in (*shapes, *(model.__name__ for model in singles))],
        "$defs": {**shapes, **document["$defs"]},
    }


def _file_shape(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}


def _one_document(pages: dict[str, str]) -> str:
    """The pages one after another; anchors get the name of their page, because two pages may share a key."""
    parts = []
    for file, text in pages.items():
        page = file.removesuffix(".md")
        text = re.sub(r"\]\(#([a-z0-9_]+)\)", rf"](#{page}-\1)", text)
        text = re.sub(r"\]\(([a-z]+)\.md#([a-z0-9_]+)\)", r"](#\1-\2)", text)
        parts.append(re.sub(r'<a id="([a-z0-9_]+)"></a>', rf'<a id="{page}-\1"></a>', text))
    return "\n".join(parts)


# --- the pages -------------------------------------------------------------------------------------


def write_reference(folder: Path, knowledge: Knowledge) -> list[Path]:
    """Write the reference pages and remove pages that no longer exist. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = reference_pages(knowledge)
    for stale in folder.glob("*.md"):
        if stale.name not in pages:
            stale.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in pages]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m calcinosis.knowledge.show FOLDER")
    for written in write_reference(Path(sys.argv[1]), load_knowledge()):
        print(written)
