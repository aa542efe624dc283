"""Reads ``content/`` into one frozen :class:`Knowledge`, and says file and line when it cannot."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from calcinosis.knowledge.drug_allergies import DrugAllergy, derive
from calcinosis.knowledge.entry_form import FormGroup
from calcinosis.knowledge.model import (
    Alarm,
    CalcificationType,
    ClinicalForm,
    Code,
    Concept,
    Disease,
    Finding,
    Mimic,
    Setting,
    Source,
    Test,
)
from calcinosis.knowledge.simulation import Simulation
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import CurrentDrugReview, Treatment

CONTENT = Path(__file__).parent / "content"

# folder or file -> (model, key of the list in the file; None when the file is the record itself)
_LAYOUT: dict[str, tuple[type[BaseModel], str | None]] = {
    "sources": (Source, "sources"),
    "concepts": (Concept, "concepts"),
    "findings": (Finding, "findings"),
    "types": (CalcificationType, None),
    "diseases": (Disease, None),
    "mimics": (Mimic, None),
    "alarms": (Alarm, "alarms"),
    "workup": (Test, "tests"),
    "treatments": (Treatment, None),
    "drug_allergy.yaml": (DrugAllergy, None),
    "current_drugs.yaml": (CurrentDrugReview, "reviews"),
    "forms.yaml": (ClinicalForm, "forms"),
    "form.yaml": (FormGroup, "groups"),
    "settings.yaml": (Setting, "settings"),
    "simulation.yaml": (Simulation, None),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the content a record stands (``line`` counts from 1)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect of the content. ``level`` is ``error`` (the check fails) or ``warning``."""

    origin: Origin
    category: str
    message: str
    level: str = "error"

    def __str__(self) -> str:
        return f"{self.origin}: {self.level}: {self.message} [{self.category}]"


class KnowledgeError(Exception):
    """The content cannot be used; ``problems`` lists every defect found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True)
class Knowledge:
    """Everything the rules know. Mappings keep the order of the files."""

    version: str
    sources: Mapping[str, Source]
    concepts: Mapping[str, Concept]
    codes: tuple[Code, ...]
    findings: Mapping[str, Finding]
    types: Mapping[str, CalcificationType]
    diseases: Mapping[str, Disease]
    mimics: Mapping[str, Mimic]
    alarms: Mapping[str, Alarm]
    tests: Mapping[str, Test]
    treatments: Mapping[str, Treatment]
    reviews: Mapping[str, CurrentDrugReview]
    studies: tuple[Study, ...]
    forms: Mapping[str, ClinicalForm]
    entry_form: Mapping[str, FormGroup]
    settings: Mapping[str, Setting]
    simulations: Mapping[str, Simulation]
    origins: Mapping[tuple[str, str], Origin]

    @cached_property
    def ancestors(self) -> dict[str, tuple[str, ...]]:
        """Concept key -> itself and every concept it implies when present."""
        closure: dict[str, tuple[str, ...]] = {}

        def climb(key: str, path: tuple[str, ...]) -> tuple[str, ...]:
            if key in path:
                raise ValueError(f"concept parents form a circle: {' -> '.join((*path, key))}")
            if key not in closure:
                seen = {key: None}
                for parent in self.concepts[key].parents:
                    if parent in self.concepts:
                        seen.update(dict.fromkeys(climb(parent, (*path, key))))
                closure[key] = tuple(seen)
            return closure[key]

        for key in self.concepts:
            climb(key, ())
        return closure

    @cached_property
    def descendants(self) -> dict[str, tuple[str, ...]]:
        """Concept key -> itself and every concept that implies it."""
        below: dict[str, list[str]] = {key: [] for key in self.concepts}
        for key, ancestors in self.ancestors.items():
            for ancestor in ancestors:
                below[ancestor].append(key)
        return {key: tuple(keys) for key, keys in below.items()}

    @cached_property
    def study_rows(self) -> dict[str, Study]:
        """The rows of the evidence by their key."""
        return {study.row: study for study in self.studies}

    @cached_property
    def first_line_labs(self) -> tuple[str, ...]:
        """The measurements that first-line tests ask for."""
        tests = (test for test in self.tests.values() if test.when is None)
        return tuple(dict.fromkeys(lab for test in tests for outcome in test.outcomes for lab in outcome.labs))

    def setting(self, key: str) -> float:
        """A numeric setting; an unknown key lists the valid ones."""
        if key not in self.settings:
            raise KeyError(f"no setting {key!r}; the settings are {', '.join(self.settings)}")
        return float(self.settings[key].value)

    def number(self, limit: float | str) -> float:
        """A number, or the setting that a key names."""
        return self.setting(limit) if isinstance(limit, str) else limit


def load_knowledge(folder: Path | None = None) -> Knowledge:
    """Load and validate the knowledge base (``folder`` defaults to the content shipped with the package).

    Raises:
        KnowledgeError: with file and line of every record that does not fit the model, or the content changed while it was read.
    """
    return _load(folder or CONTENT)


@lru_cache(maxsize=4)
def _load(content: Path) -> Knowledge:
    version = _version(content)
    problems: list[Problem] = []
    origins: dict[tuple[str, str], Origin] = {}
    tables: dict[str, dict[str, Any]] = {name: {} for name in _LAYOUT}
    for name, (model, list_key) in _LAYOUT.items():
        for path in _files(content / name):
            for record, origin in _records(path, content, model, list_key, problems):
                previous = origins.get((model.__name__, record.key))
                if previous:
                    problems.append(Problem(origin, "duplicate_key", f"{model.__name__} {record.key!r} already stands at {previous}"))
                    continue
                origins[model.__name__, record.key] = origin
                tables[name][record.key] = record
    codes = _codes(content / "concepts" / "codes.csv", content, origins, problems)
    studies = _studies(content, origins, problems)
    if _version(content) != version:  # everything built from the knowledge is kept by its version
        problems.append(Problem(Origin("VERSION", 1), "changed", "the content was changed while it was read; load it again"))
    for said in tables["drug_allergy.yaml"].values():
        derived = derive(said, tables["treatments"], tables["concepts"], codes)
        tables["concepts"] |= derived.concepts
        tables["treatments"] |= derived.treatments
        codes = (*codes, *derived.codes)
        origins |= {("Concept", key): origins["Treatment", owner] for key, owner in derived.owners.items()}
        origins |= {("Code", f"{code.concept_key} {code.system} {code.code}"): origins["DrugAllergy", said.key] for code in derived.codes}
    if problems:
        raise KnowledgeError(problems)
    return Knowledge(
        version=version,
        sources=tables["sources"],
        concepts=tables["concepts"],
        codes=codes,
        findings=tables["findings"],
        types=dict(sorted(tables["types"].items(), key=lambda item: item[1].urgency)),
        diseases=tables["diseases"],
        mimics=tables["mimics"],
        alarms=tables["alarms"],
        tests=tables["workup"],
        treatments=tables["treatments"],
        reviews=tables["current_drugs.yaml"],
        studies=studies,
        forms=tables["forms.yaml"],
        entry_form=tables["form.yaml"],
        settings=tables["settings.yaml"],
        simulations=tables["simulation.yaml"],
        origins=origins,
    )


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path] if path.exists() else []


def _version(content: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(content.rglob("*")):
        if path.suffix in {".yaml", ".csv"}:
            digest.update(path.relative_to(content).as_posix().encode())
            digest.update(path.read_bytes())
    declared = (content / "VERSION").read_text().strip()
    return f"{declared}+{digest.hexdigest()[:12]}"


def _records(
    path: Path, content: Path, model: type[BaseModel], list_key: str | None, problems: list[Problem]
) -> Iterator[tuple[Any, Origin]]:
    file = path.relative_to(content).as_posix()
    try:
        with path.open(encoding="utf-8") as stream:
            root = yaml.compose(stream, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problems.append(Problem(Origin(file, mark.line + 1 if mark else 1), "yaml", str(getattr(error, "problem", error))))
        return
    nodes = None if root is None else [root] if list_key is None else _list_under(root, list_key)
    if nodes is None:
        problems.append(
            Problem(Origin(file, 1), "layout", f"expected a top-level list named {list_key!r}" if list_key else "the file is empty")
        )
        return
    for node in nodes:
        origin = Origin(file, node.start_mark.line + 1)
        try:
            yield model.model_validate(_plain(node)), origin
        except ValidationError as error:
            for detail in error.errors():
                where = Origin(file, _line_of(node, detail["loc"]))
                at = ".".join(str(part) for part in detail["loc"]) or "record"
                problems.append(Problem(where, "schema", f"{at}: {detail['msg']}"))


def _list_under(root: yaml.Node, key: str) -> list[yaml.Node] | None:
    if isinstance(root, yaml.MappingNode):
        for name, value in root.value:
            if name.value == key and isinstance(value, yaml.SequenceNode):
                return list(value.value)
    return None


def _plain(node: yaml.Node) -> Any:
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_document(node)


def _line_of(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """The line of the deepest node that the error location still names."""
    for part in location:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for name, value in node.value if name.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
        if child is not None:
            node = child
    return int(node.start_mark.line) + 1


def _rows(path: Path, content: Path, model: type[BaseModel], problems: list[Problem]) -> Iterator[tuple[Any, Origin]]:
    """The rows of a CSV file as records; an empty cell is None."""
    if not path.exists():
        return
    file = path.relative_to(content).as_posix()
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            origin = Origin(file, reader.line_num)
            try:
                yield model.model_validate({key: value for key, value in row.items() if value != ""}), origin
            except ValidationError as error:
                for detail in error.errors():
                    at = ".".join(str(part) for part in detail["loc"]) or "row"
                    problems.append(Problem(origin, "schema", f"{at}: {detail['msg']}"))


def _codes(path: Path, content: Path, origins: dict[tuple[str, str], Origin], problems: list[Problem]) -> tuple[Code, ...]:
    codes = []
    for code, origin in _rows(path, content, Code, problems):
        name = f"{code.concept_key} {code.system} {code.code}"
        if ("Code", name) in origins:
            problems.append(Problem(origin, "duplicate_code", f"{name} already stands at {origins['Code', name]}"))
            continue
        origins["Code", name] = origin
        codes.append(code)
    return tuple(codes)


def _studies(content: Path, origins: dict[tuple[str, str], Origin], problems: list[Problem]) -> tuple[Study, ...]:
    studies = []
    for path in sorted((content / "evidence").glob("*.csv")):
        for study, origin in _rows(path, content, Study, problems):
            if ("Study", study.row) in origins:
                previous = origins["Study", study.row]
                problems.append(Problem(origin, "duplicate_key", f"study row {study.row!r} already stands at {previous}"))
                continue
            origins["Study", study.row] = origin
            studies.append(study)
    return tuple(studies)
