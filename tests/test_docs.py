"""The documentation is complete: what the code can do has its page, and what the pages say still exists."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import calcinosis
from calcinosis.assessment import Assessment
from calcinosis.cli import app
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, REJECT_SCHEMA, UNMAPPED_SCHEMA
from calcinosis.facts import CONCEPT_FACT_SCHEMA
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.show import reference_pages
from calcinosis.labs import LAB_FACT_SCHEMA
from calcinosis.option_rows import OPTION_SCHEMA
from calcinosis.options import REVIEW_SCHEMA
from calcinosis.reasoning.explain import BECAUSE, REASON_SCHEMA

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# --- reference -------------------------------------------------------------------------------------


def test_reference_is_up_to_date(knowledge: Knowledge) -> None:
    wanted = reference_pages(knowledge)
    stale = [name for name, text in wanted.items() if not (DOCS / "reference" / name).exists() or page(f"reference/{name}") != text]
    extra = [path.name for path in (DOCS / "reference").glob("*") if path.name not in wanted]
    assert not stale + extra, f"run `make docs`; out of date: {stale + extra}"


def test_every_treatment_safety_rule_and_study_row_has_its_entry(knowledge: Knowledge) -> None:
    treatments, studies = (reference_pages(knowledge)[f"{name}.md"] for name in ("treatments", "studies"))
    wanted = {*knowledge.treatments, *(f"review_{key}" for key in knowledge.reviews)}
    wanted |= {f"{key}__{rule.key}" for key, each in knowledge.treatments.items() for rule in each.safety}
    assert not wanted - set(re.findall(r'<a id="([^"]+)">', treatments))
    assert not {row.row for row in knowledge.studies} - set(re.findall(r'<a id="([^"]+)">', studies))


def test_the_evidence_quoted_in_the_readme_is_what_the_command_says(knowledge: Knowledge) -> None:
    from calcinosis.evidence.cells import load_pooled

    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    papers = len({row.study for row in knowledge.studies})
    assert f"{len(knowledge.studies)} rows from {papers} papers on {len(knowledge.treatments)} treatments" in text
    place = ("diltiazem", "dystrophic", None, "calcification")
    [cell] = [cell for cell in load_pooled() if (cell.treatment, cell.type, cell.disease, cell.outcome) == place]
    interval = f"median {cell.estimate:.0%} with a 95 % interval from {100 * cell.low:.0f} to {cell.high:.0%}".replace("%", " %")
    assert f"{cell.events} of {cell.n} patients" in text
    assert interval.replace("95  %", "95 %") in text


# --- command line ----------------------------------------------------------------------------------


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command of the app by the words that call it."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app), "calcinosis"))


@pytest.mark.parametrize("path", COMMANDS)
def test_command_and_its_options_are_documented(path: str) -> None:
    heading = f"## `{path}"
    sections = {part.splitlines()[0]: part for part in re.split(r"^(?=## )", page("cli.md"), flags=re.MULTILINE) if part.startswith("## ")}
    section = next((text for title, text in sections.items() if re.match(re.escape(heading) + r"[ `]", title)), None)
    assert section is not None, f"docs/cli.md has no section '{heading} …'"
    for parameter in COMMANDS[path].params:
        for word in parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]:
            assert f"`{word}" in section, f"docs/cli.md: section {path!r} does not explain {word}"
    documented = set(re.findall(r"^\| `(--[a-z-]+)", section, flags=re.MULTILINE))
    existing = {word for parameter in COMMANDS[path].params for word in parameter.opts}
    assert documented <= existing, f"docs/cli.md: {path!r} has no option {sorted(documented - existing)}"


# --- contracts -------------------------------------------------------------------------------------


def test_every_json_field_is_documented() -> None:
    text = page("json_contract.md")
    schema = Assessment.model_json_schema()
    fields = {name for record in (schema, *schema["$defs"].values()) for name in record.get("properties", {})}
    missing = sorted(name for name in fields if f"`{name}`" not in text)
    assert not missing, f"docs/json_contract.md does not explain {missing}"


def test_every_column_is_documented(knowledge: Knowledge) -> None:
    from calcinosis.engines.course import COURSE_SCHEMA
    from calcinosis.engines.rows import assessment_schema

    tables: dict[str, Any] = {
        "Events": EVENT_SCHEMA, "Patients": PATIENT_SCHEMA, "Rejects": REJECT_SCHEMA, "Unmapped": UNMAPPED_SCHEMA,
        "Facts": CONCEPT_FACT_SCHEMA, "Laboratory facts": LAB_FACT_SCHEMA, "Reasons": REASON_SCHEMA, "Treatment reviews": REVIEW_SCHEMA,
        "Treatment options": OPTION_SCHEMA, "Course": COURSE_SCHEMA, "Assessments": assessment_schema(knowledge),
    }  # fmt: skip
    parts = re.split(r"^## ", page("data_contracts.md"), flags=re.MULTILINE)
    sections = {part.splitlines()[0].strip(): part for part in parts}
    wrong = []
    for title, schema in tables.items():
        listed = re.findall(r"^\| `([a-z_]+)` \| ([^|]+?) \|", sections.get(title, ""), flags=re.MULTILINE)
        wanted = [(name, type_name(dtype)) for name, dtype in schema.items()]
        wrong += [f"{title}: {name} is {kind}, or is not in the table" for name, kind in wanted if (name, kind) not in listed]
        wrong += [f"{title}: {name} no longer exists" for name, _ in listed if name not in schema]
    assert not wrong, "docs/data_contracts.md\n" + "\n".join(wrong)


def test_every_reason_for_not_knowing_is_documented() -> None:
    listed = re.findall(r"^\* `([^`]+)`", page("data_contracts.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(BECAUSE)


def type_name(dtype: Any) -> str:
    """A Polars type as the page writes it: String, Float64, Datetime, List of String."""
    name = str(dtype if not inspect.isclass(dtype) else dtype.__name__)
    inner = getattr(dtype, "inner", None)
    return f"List of {type_name(inner)}" if inner is not None else name.split("(")[0]


# --- Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", calcinosis.__all__)
def test_public_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(calcinosis, name)), f"calcinosis.{name} has no docstring"
    section = re.search(rf"^## `{name}\b", page("python_api.md"), flags=re.MULTILINE)
    assert section, f"docs/python_api.md has no section {name}"


@pytest.mark.parametrize(("name", "reader"), [("python_api.md", "read_fhir"), ("phenopackets.md", "read_phenopackets")])
def test_the_examples_of_reading_run(name: str, reader: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page(name), flags=re.MULTILINE | re.DOTALL)
    [example] = [block for block in blocks if f"{reader}(" in block]
    monkeypatch.chdir(ROOT)
    exec(compile(example, name, "exec"), {})
    assert capsys.readouterr().out


def test_every_resource_that_is_read_and_its_fields_are_named() -> None:
    from calcinosis.sources.fhir_columns import LAYOUTS

    text = page("fhir.md")
    for kind, layout in LAYOUTS.items():
        (row,) = [line for line in text.splitlines() if line.startswith("|") and f"`{kind}`" in line.split("|")[1]]
        for field in (*layout.packed, *(path.split(".")[0] for path in (*layout.start, *layout.end))):
            dates = kind.startswith("Medication") and field not in layout.packed
            told = f"`{field}" in row or any(f"`{field.startswith(stem) and stem}[x]" in row for stem in ("value", "abatement"))
            assert told or dates or field == "contained", (kind, field)


# --- links -----------------------------------------------------------------------------------------


@cache
def anchors(path: Path) -> frozenset[str]:
    """Anchors of a page: explicit ones, and those GitHub makes of headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    explicit = re.findall(r'<a id="([^"]+)">', text)
    headings = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-") for title in headings)
    return frozenset([*explicit, *slugs])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(<?([^)>\s]+)>?\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            dead.append(target)
    assert not dead, f"dead links: {sorted(set(dead))}"


def test_every_page_is_in_the_table_of_contents() -> None:
    index = page("index.md")
    lost = [path.name for path in DOCS.glob("*.md") if path.name != "index.md" and f"]({path.name}" not in index]
    lost += [f"reference/{path.name}" for path in (DOCS / "reference").glob("*.md") if f"](reference/{path.name}" not in index]
    assert not lost, f"docs/index.md does not lead to {lost}"


def test_editing_examples_are_valid_content() -> None:
    """The YAML blocks of the page on editing fit the schema that editors use."""
    import jsonschema
    import yaml

    from calcinosis.knowledge.show import content_schema

    validator = jsonschema.Draft202012Validator(content_schema())
    blocks = re.findall(r"^```yaml\n(.*?)^```", page("editing_knowledge.md"), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        validator.validate(json.loads(json.dumps(yaml.safe_load(block))))


def test_every_module_is_on_the_code_map() -> None:
    package = ROOT / "src" / "calcinosis"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"}
    listed = set(re.findall(r"^\| `([a-z_/0-9]+\.py)` \|", page("architecture.md"), flags=re.MULTILINE))
    assert modules == listed, f"docs/architecture.md: add {sorted(modules - listed)}, remove {sorted(listed - modules)}"


def test_the_case_walked_through_still_ends_that_way() -> None:
    answer = calcinosis.assess(ROOT / "examples" / "published_cases" / "bundles" / "b090.json")
    table = page("data_contracts.md").rpartition("**Assessment.**")[2]
    told = dict(re.findall(r"^\| (\w+)[^|]*\| ([a-z ]+) \|", table, flags=re.MULTILINE))
    told.pop("type")
    assert told == {each.type: each.status.value.replace("_", " ") for each in answer.types}
    assert f"age is {answer.age_years} years" in page("data_contracts.md")
    words = ["No", "One", "Two", "Three", "Four", "Five"]
    assert f"{words[len(answer.alarms)]} alarms stand above the answer" in table
