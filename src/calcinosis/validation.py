"""Scores answers against published diagnoses, and says whether the targets are met.

Scoring is pure: two tables in, one :class:`Score` out. Rates carry a 95 % Wilson interval (source ``wilson27``), because with a
hundred cases a percentage alone claims more than it knows. An answer counts as *agreement* when it is the published type or one that
``also_acceptable`` allows; sensitivity, predictive value and mimic recognition are stricter and count the published type only.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from calcinosis.assessment import assess_batch
from calcinosis.contract import MUST_NOT_MISS
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch
from calcinosis.knowledge.criteria import Status

if TYPE_CHECKING:
    from rich.console import Console

    from calcinosis.api import Readers
    from calcinosis.contract import Assessment

MIMIC: Final = "mimic"
UNDETERMINED: Final = "undetermined"
TRUTH_COLUMNS: Final = ("id", "published_type", "also_acceptable", "basis", "difficulty", "complete")
_YES_NO: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TruthError(ValueError):
    """The truth table cannot be scored against; ``problems`` lists every defect with its line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rate(Record):
    """``hits`` of ``n`` with the 95 % Wilson score interval; all null when there was nothing to count."""

    hits: int
    n: int
    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "no case"
        return f"{self.hits}/{self.n} = {self.value:.1%} ({self.low * 100:.1f}–{self.high * 100:.1f})"


class TypeScore(Record):
    type: str
    sensitivity: Rate = Field(description="of the cases published as this type, those answered so")
    predictive_value: Rate = Field(description="of the cases answered as this type, those published so")


class Part(Record):
    """The scores of one set of cases."""

    split: str = Field(description="all, complete, basis or difficulty")
    name: str
    agreement: Rate
    undetermined: Rate
    mimics: Rate
    urgent_sensitivity: Rate = Field(description="calciphylaxis leads")
    urgent_not_missed: Rate = Field(description="calciphylaxis at least possible, or one of its alarms fired")
    urgent_excluded: int = Field(description="published calciphylaxis, yet its status is excluded")
    types: tuple[TypeScore, ...] = Field(description="the types, then mimic")
    confusion: dict[str, dict[str, int]] = Field(description="published -> answered -> cases; the full grid, zeros included")

    @property
    def title(self) -> str:
        return self.name if self.split in (self.name, "complete") else f"{self.split}: {self.name}"


class Target(Record):
    label: str
    wanted: str
    measured: str
    met: bool | None = Field(description="null: no case to judge it by")


class Disagreement(Record):
    id: str
    published: str
    also_acceptable: str
    answered: str
    status: str | None = Field(description="status given to the published type")
    complete: bool | None
    basis: str
    difficulty: str


class Score(Record):
    parts: tuple[Part, ...] = Field(description="the first is all cases")
    targets: tuple[Target, ...]
    disagreements: tuple[Disagreement, ...]
    without_answer: dict[str, str] = Field(description="in the truth, not answered, and why: scored as undetermined")
    without_truth: tuple[str, ...] = Field(description="answered, not in the truth: not scored")
    notes: tuple[str, ...] = Field((), description="what a reader should know of the cases before believing the score")

    @property
    def all(self) -> Part:
        return self.parts[0]

    @property
    def complete(self) -> Part | None:
        return next((part for part in self.parts if (part.split, part.name) == ("complete", "complete")), None)


def rate(hits: int, n: int) -> Rate:
    if n == 0:
        return Rate(hits=hits, n=n, value=None, low=None, high=None)
    from scipy.stats import binomtest  # half a second, and only validation needs it

    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Rate(hits=hits, n=n, value=hits / n, low=float(interval.low), high=float(interval.high))


def read_truth(path: Path) -> pl.DataFrame:
    """Read ``truth.csv`` as text, with the line of each row, so that :func:`score` can point at a defect.

    Raises:
        TruthError: when the file is missing, is not UTF-8 text, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            absent = [name for name in TRUTH_COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise TruthError([f"{path}:1: no column {', '.join(absent)}; needed are {', '.join(TRUTH_COLUMNS)}"])
            rows = [{name: (row[name] or "").strip() for name in TRUTH_COLUMNS} | {"line": reader.line_num} for row in reader]
    except OSError as error:
        raise TruthError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TruthError([f"{path}: is not a UTF-8 CSV file: {error}"]) from error
    return pl.DataFrame(rows, schema=dict.fromkeys(TRUTH_COLUMNS, pl.String) | {"line": pl.Int64})


def predictions(assessed: Mapping[str, Assessment], types: Sequence[str]) -> pl.DataFrame:
    """The table :func:`score` reads, from case id -> assessment."""
    rows = [
        {"id": case, "leading": answer.leading, "alarms": [alarm.key for alarm in answer.alarms]}
        | {f"status_{each.type}": each.status.value for each in answer.types}
        for case, answer in assessed.items()
    ]
    texts = dict.fromkeys(("id", "leading", *(f"status_{each}" for each in types)), pl.String())
    return pl.DataFrame(rows, schema={**texts, "alarms": pl.List(pl.String)})


def validate_folder(folder: Path, readers: Readers | None = None) -> Score:
    """Assess every record of ``folder/bundles`` and score it against ``folder/truth.csv``; the file name is the case id.

    ``folder/held_out.txt``, where present, lists the cases to score apart as held out.

    Raises:
        TruthError: when there is nothing sound to score against, or no file to score.
    """
    from calcinosis.api import make_readers
    from calcinosis.sources.fhir import read_resources

    truth = read_truth(folder / "truth.csv")
    files = sorted((folder / "bundles").glob("*.json"))
    if not files:
        missing = "holds no .json file" if (folder / "bundles").is_dir() else "no such folder"
        raise TruthError([f"{folder / 'bundles'}: {missing}; needed is one FHIR Bundle for each case"])
    readers = readers or make_readers()
    patients, events = [], []
    failures: dict[str, str] = {}
    files_of: dict[str, list[str]] = {}
    for path in files:
        try:
            record = orjson.loads(path.read_bytes())
            if not isinstance(record, dict):
                raise ValueError("is not a JSON object")
            batch = read_resources([record], readers.index, readers.text, source_file=str(path))
            if batch.patients.height != 1:
                raise ValueError(f"holds {batch.patients.height} patients, expected one")
        except (ValueError, OSError) as error:
            failures[path.stem] = str(error)
            continue
        files_of.setdefault(batch.patients["subject_id"][0], []).append(path.name)
        case = pl.lit(path.stem).alias("subject_id")  # files may repeat a patient id; each file is a case of its own
        patients.append(batch.patients.with_columns(case))
        events.append(batch.events.with_columns(case))
    together = Batch(
        patients=pl.concat([pl.DataFrame(schema=PATIENT_SCHEMA), *patients]), events=pl.concat([pl.DataFrame(schema=EVENT_SCHEMA), *events])
    )
    answers = {answer.patient_id: answer for answer in assess_batch(together, readers.knowledge)}
    listed = folder / "held_out.txt"
    held_out = frozenset(listed.read_text(encoding="utf-8").split()) if listed.exists() else frozenset[str]()
    result = score(predictions(answers, tuple(readers.knowledge.types)), truth, held_out=held_out)
    why = {case: failures.get(case, f"no file bundles/{case}.json") for case in result.without_answer}
    repeated = [
        f"{', '.join(names)} hold the same patient id {who!r}; each file is scored as a case of its own"
        for who, names in files_of.items()
        if len(names) > 1
    ]
    return result.model_copy(update={"without_answer": why, "notes": (*result.notes, *repeated)})


def score(predictions: pl.DataFrame, truth: pl.DataFrame, *, held_out: frozenset[str] = frozenset()) -> Score:
    """Compare answers with published diagnoses.

    Args:
        predictions: ``id, leading, status_<type>...`` (null ``leading`` = undetermined) and, if known, ``alarms`` (alarm keys; those of
            calciphylaxis carry its name).
        truth: the columns ``TRUTH_COLUMNS`` as text, as :func:`read_truth` gives them.
        held_out: cases whose text nobody read while rules and vocabulary were written; scored apart (complete cases only).

    Raises:
        TruthError: with the line of every row whose id is missing or double, or whose type is unknown.
    """
    types = [name.removeprefix("status_") for name in predictions.columns if name.startswith("status_")]
    answers = (*types, MIMIC)
    checked = _checked(truth, answers)
    if "alarms" not in predictions.columns:
        predictions = predictions.with_columns(alarms=pl.lit([], dtype=pl.List(pl.String)))
    repeated = predictions.filter(pl.col("id").is_duplicated())["id"].unique(maintain_order=True).to_list()
    if repeated:
        raise ValueError(f"more than one answer for {', '.join(map(str, repeated))}")
    strange = set(predictions["leading"].drop_nulls()) - set(answers)
    if strange:
        raise ValueError(f"unknown answer {', '.join(sorted(strange))}; known are {', '.join(answers)}")
    alarmed = pl.col("alarms").list.eval(pl.element().str.contains(MUST_NOT_MISS, literal=True)).list.any().fill_null(False)
    status = pl.col(f"status_{MUST_NOT_MISS}") if MUST_NOT_MISS in types else pl.lit(None, dtype=pl.String)
    stands = [each.value for each in Status if each.rank >= Status.POSSIBLE.rank]
    own_status = pl.coalesce(pl.when(pl.col("published") == each).then(f"status_{each}") for each in types)
    cases = checked.join(predictions, on="id", how="left", maintain_order="left").with_columns(
        pl.col("leading").fill_null(UNDETERMINED).alias("answered"),
        own_status.alias("status"),
        (status.is_in(stands).fill_null(False) | alarmed).alias("noticed"),
        (status == Status.EXCLUDED.value).fill_null(False).alias("ruled_out"),
    )
    agrees = (pl.col("answered") == pl.col("published")) | pl.col("acceptable").list.contains(pl.col("answered"))
    cases = cases.with_columns((agrees & pl.col("id").is_in(predictions["id"].to_list())).alias("agrees"))  # no answer agrees with nothing
    sets = [("all", "all", cases)]
    for split, column in (("complete", "completeness"), ("basis", "basis"), ("difficulty", "difficulty")):
        sets += [(split, name, cases.filter(pl.col(column) == name)) for name in cases[column].unique().sort()]
    if held_out:
        whole, unread = cases.filter(pl.col("completeness") == "complete"), pl.col("id").is_in(list(held_out))
        sets += [("reading", "held out", whole.filter(unread)), ("reading", "read while writing", whole.filter(~unread))]
    parts = tuple(_part(split, name, rows, answers) for split, name, rows in sets)
    unstated = checked.filter(pl.col("complete").is_null()).height
    differing = cases.filter(~pl.col("agrees")).select(list(Disagreement.model_fields))
    return Score(
        parts=parts,
        targets=_targets(parts),
        disagreements=tuple(Disagreement(**row) for row in differing.to_dicts()),
        without_answer=dict.fromkeys(checked.join(predictions, on="id", how="anti", maintain_order="left")["id"], "no answer was given"),
        without_truth=tuple(predictions.join(checked, on="id", how="anti", maintain_order="left")["id"]),
        notes=(
            f"{unstated} of {checked.height} cases leave complete empty: they count among all, not among the complete cases of the targets",
        )
        if unstated
        else (),
    )


def _checked(truth: pl.DataFrame, answers: tuple[str, ...]) -> pl.DataFrame:
    """Typed truth rows: published, acceptable (list), complete (bool or null), basis and difficulty never null."""
    problems, rows, seen = [], [], dict[str, int]()
    for number, row in enumerate(truth.to_dicts(), start=2):
        at = f"truth.csv:{row.get('line') or number}"
        case, published = row.get("id") or "", row.get("published_type") or ""
        acceptable = [each.strip() for each in (row.get("also_acceptable") or "").split("|") if each.strip()]
        complete = row.get("complete")
        word = "" if complete is None else str(complete).strip().lower()
        if not case:
            problems.append(f"{at}: the id is missing")
        elif case.endswith(".json"):
            problems.append(f"{at}: id {case!r} must be the file name without .json")
        elif case in seen:
            problems.append(f"{at}: id {case!r} already stands on line {seen[case]}")
        if published not in answers:
            problems.append(f"{at}: unknown published_type {published!r}; known are {', '.join(answers)}")
        strange = [each for each in acceptable if each not in (*answers, UNDETERMINED)]
        problems += [f"{at}: unknown also_acceptable {each!r}; known are {', '.join(answers)}, {UNDETERMINED}" for each in strange]
        if word and word not in _YES_NO:
            problems.append(f"{at}: complete must be true or false, not {complete!r}")
        seen.setdefault(case, row.get("line") or number)
        known = _YES_NO.get(word)
        rows.append(
            {
                "id": case, "published": published, "acceptable": acceptable, "also_acceptable": " | ".join(acceptable), "complete": known,
                "completeness": {True: "complete", False: "incomplete", None: "not stated"}[known],
                "basis": row.get("basis") or "not stated", "difficulty": row.get("difficulty") or "not stated",
            }
        )  # fmt: skip
    if problems:
        raise TruthError(problems)
    if not rows:
        raise TruthError(["truth.csv: holds no case"])
    return pl.DataFrame(rows, schema_overrides={"acceptable": pl.List(pl.String), "complete": pl.Boolean}, infer_schema_length=None)


def _part(split: str, name: str, cases: pl.DataFrame, answers: tuple[str, ...]) -> Part:
    def share(hit: pl.Expr, among: pl.Expr | None = None) -> Rate:
        rows = cases if among is None else cases.filter(among)
        return rate(int(rows.select(hit.sum()).item() or 0), rows.height)

    published, answered = pl.col("published"), pl.col("answered")
    counted = {(row[0], row[1]): row[2] for row in cases.group_by("published", "answered").len().iter_rows()}
    return Part(
        split=split,
        name=name,
        agreement=share(pl.col("agrees")),
        undetermined=share(answered == UNDETERMINED),
        mimics=share(answered == MIMIC, published == MIMIC),
        urgent_sensitivity=share(answered == MUST_NOT_MISS, published == MUST_NOT_MISS),
        urgent_not_missed=share(pl.col("noticed"), published == MUST_NOT_MISS),
        urgent_excluded=share(pl.col("ruled_out"), published == MUST_NOT_MISS).hits,
        types=tuple(
            TypeScore(type=t, sensitivity=share(answered == t, published == t), predictive_value=share(published == t, answered == t))
            for t in answers
        ),
        confusion={row: {column: counted.get((row, column), 0) for column in (*answers, UNDETERMINED)} for row in answers},
    )


def _targets(parts: tuple[Part, ...]) -> tuple[Target, ...]:
    """The project's own targets, asked of the complete cases; that no calciphylaxis is excluded is asked of all."""
    everything = parts[0]
    complete = next((part for part in parts if (part.split, part.name) == ("complete", "complete")), None)
    nothing = rate(0, 0)
    agreement = complete.agreement if complete else nothing
    urgent = complete.urgent_sensitivity if complete else nothing
    mimics, undetermined = (complete.mimics, complete.undetermined) if complete else (nothing, nothing)

    def at_least(label: str, measured: Rate, percent: int) -> Target:
        met = None if measured.n == 0 else measured.hits * 100 >= percent * measured.n
        return Target(label=label, wanted=f"at least {percent} %", measured=str(measured), met=met)

    excluded = everything.urgent_excluded
    none_excluded = None if everything.urgent_sensitivity.n == 0 else excluded == 0
    few = None if undetermined.n == 0 else undetermined.hits * 100 <= 8 * undetermined.n
    return (
        at_least("Agreement, complete cases", agreement, 90),
        at_least("Calciphylaxis sensitivity, complete cases", urgent, 96),
        Target(label="Calciphylaxis with status excluded, all cases", wanted="none", measured=str(excluded), met=none_excluded),
        at_least("Mimics recognised, complete cases", mimics, 80),
        Target(label="Undetermined, complete cases", wanted="at most 8 %", measured=str(undetermined), met=few),
    )


def print_score(score: Score, console: Console) -> None:
    """Targets, splits, types, confusion and disagreements as terminal tables."""
    from rich.table import Table  # the scorer itself needs no terminal
    from rich.text import Text

    def show(title: str, header: tuple[str, ...], rows: Sequence[tuple[str | Text, ...]], *, numbers: bool = False) -> None:
        table = Table(title=title, title_justify="left")
        for position, name in enumerate(header):
            table.add_column(name, overflow="fold", no_wrap=position == 0, justify="right" if numbers and position else "left")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        console.print(table)

    verdict = {True: Text("met", "green"), False: Text("NOT MET", "bold red"), None: Text("no case to judge", "yellow")}
    targets: list[tuple[str | Text, ...]] = [(t.label, t.wanted, t.measured, verdict[t.met]) for t in score.targets]
    show("Targets", ("target", "wanted", "measured (95 % interval)", ""), targets)
    rows = [(p.title, *map(str, (p.agreement, p.undetermined, p.mimics))) for p in score.parts]
    show("By set of cases", ("cases", "agreement", "undetermined", "mimics recognised"), rows)
    rows = [(p.title, *map(str, (p.urgent_sensitivity, p.urgent_not_missed, p.urgent_excluded))) for p in score.parts]
    show("Calciphylaxis by set of cases", ("cases", "leads", "not missed", "excluded"), rows)
    rows = [(t.type, str(t.sensitivity), str(t.predictive_value)) for t in score.all.types]
    show("By type, all cases", ("type", "sensitivity", "positive predictive value"), rows)
    grid = score.all.confusion
    counts = [(row, *(str(n or "·") for n in cells.values())) for row, cells in grid.items()]
    show("Published (down) and answered (across), all cases", ("published", *next(iter(grid.values()))), counts, numbers=True)
    if score.disagreements:
        header = ("id", "published", "its status", "answered", "complete", "basis", "difficulty")
        words = {None: "not stated", True: "yes", False: "no"}
        each = []
        for d in score.disagreements:
            published, status = " or ".join(filter(None, (d.published, d.also_acceptable))), (d.status or "–").replace("_", " ")
            each.append((d.id, published, status, d.answered, words[d.complete], d.basis, d.difficulty))
        show("Disagreements", header, each)
    for case, why in score.without_answer.items():
        console.print(f"{case}: scored as undetermined: {why}", markup=False, highlight=False, style="yellow")
    for note in score.notes:
        console.print(note, markup=False, highlight=False, style="yellow")
    if score.without_truth:
        console.print(f"Not in truth.csv, not scored: {', '.join(score.without_truth)}", markup=False, highlight=False, style="yellow")
