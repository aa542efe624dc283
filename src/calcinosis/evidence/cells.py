"""The evidence base by treatment, calcification type and disease: who was studied, what was seen, and what may be pooled.

Pooling takes seconds and needs the knowledge only, so its result is a file of the package (``pooled.csv``): ``make pooled`` renews it,
and a test compares the two.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.knowledge.studies import Study

if TYPE_CHECKING:  # SciPy takes a second to start; whoever only reads the pooled file does without
    from calcinosis.evidence.pooling import Comparison

POOLED_FILE: Final = Path(__file__).parent / "pooled.csv"
OWN_PATIENTS: Final = frozenset({"rct", "prospective", "retrospective_cohort", "case_series", "case_report"})  # designs
EVENTS: Final = frozenset({"recurrence", "mortality", "prevention", "progression"})  # outcomes counted as events, not responses

BESIDE: Final = frozenset({"disease_activity", "none_seen"})  # outcomes that say nothing of the calcification


@dataclass(frozen=True, slots=True)
class PooledCell:
    """One pooled proportion: what responded, or for an outcome of ``EVENTS`` what had the event.

    ``estimate``, ``low`` and ``high`` (95 %) are proportions; the prediction interval needs three studies; ``tau2`` is on the logit scale.
    """

    treatment: str
    type: str
    disease: str | None  # all diseases together
    outcome: str
    k: int
    n: int
    events: int
    estimate: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    tau2: float | None
    heterogeneity_p: float | None
    method: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two-arm studies of one treatment, type and outcome."""

    treatment: str
    type: str
    outcome: str
    comparison: Comparison
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a treatment in one type.

    Attributes:
        rows: its studies, guidelines and reviews included.
        studies: with patients of their own; patients reported twice count once.
        patients: in those studies, whatever they were given; None when no study gives a number.
        evaluated: of them, followed under this treatment; the largest number of each study, so a lower bound.
        mixed: of one disease: studies of several, whose patients cannot be split and count in neither number; 0 for all diseases.
        beside: further studies that measured something else only (the activity of the disease); they count in nothing else here.
        single_cases: reports of single patients among the studies.
        level: best OCEBM level of the rows, comparator arms and outcomes beside the calcification apart; None without any.
        directions: direction -> studies with patients of their own.
        diseases: disease -> studies.
    """

    treatment: str
    type: str
    rows: tuple[Study, ...]
    studies: int
    patients: int | None
    evaluated: int | None
    mixed: int
    beside: int
    single_cases: int
    level: int | None
    directions: dict[str, int]
    diseases: dict[str, int]
    pooled: tuple[PooledCell, ...]


def rows_of(knowledge: Knowledge, treatment: str | None = None, type_: str | None = None, disease: str | None = None) -> list[Study]:
    """The rows that state what was asked for; every row where nothing was asked."""
    return [
        row
        for row in knowledge.studies
        if (treatment is None or treatment in row.treatments)
        and type_ in (None, row.calcification_type)
        and (disease is None or disease in row.diseases)
    ]


def select(knowledge: Knowledge, treatment: str | None = None, type_: str | None = None, disease: str | None = None) -> tuple[Study, ...]:
    """Rows about a treatment, a type and a disease; a row without a type or disease is about none in particular and stays."""
    return tuple(
        study
        for study in knowledge.studies
        if (treatment is None or treatment in study.treatments)
        and (type_ is None or study.calcification_type in (None, type_))
        and (disease is None or not study.diseases or disease in study.diseases)
    )


def evidence_for(knowledge: Knowledge, treatment: str, type_: str, disease: str | None = None) -> Evidence:
    """Everything about one treatment in one type; with a disease, only what names it."""
    rows = tuple(rows_of(knowledge, treatment, type_, disease))
    reports = own_reports(rows)
    alone = rows if disease is None else tuple(row for row in rows if len(row.diseases) == 1)
    reports_alone = own_reports(alone)
    judged = [row for row in rows if row.direction != "not_seen" and row.arm == "treated" and row.outcome not in BESIDE]
    levels = [row.level for row in judged if row.level is not None]
    return Evidence(
        treatment=treatment,
        type=type_,
        rows=rows,
        studies=len(reports),
        patients=_total([row.n_patients for row in report] for report in reports_alone.values()),
        evaluated=patients_followed(alone),
        mixed=len(set(reports) - set(reports_alone)),
        beside=len({row.overlap or row.study for row in rows if row.design in OWN_PATIENTS and row.arm == "treated"} - set(reports)),
        single_cases=sum(all(row.design == "case_report" for row in report) for report in reports.values()),
        level=min(levels, default=None),
        directions=dict(Counter(_direction(report) for report in reports.values())),
        diseases=dict(Counter(chain.from_iterable(sorted({d for row in report for d in row.diseases}) for report in reports.values()))),
        pooled=tuple(
            cell
            for cell in load_pooled()
            if (cell.treatment, cell.type) == (treatment, type_) and (disease is None or cell.disease == disease)
        ),
    )


def own_reports(rows: Iterable[Study]) -> dict[str, list[Study]]:
    """Rows with patients of their own and a result about the calcification, by study; studies of the same patients are one."""
    reports: dict[str, list[Study]] = {}
    for row in rows:
        if row.design in OWN_PATIENTS and row.arm == "treated" and row.direction != "not_seen" and row.outcome not in BESIDE:
            reports.setdefault(row.overlap or row.study, []).append(row)
    return reports


def patients_followed(rows: Iterable[Study]) -> int | None:
    """Patients in whom an outcome was looked for under the treatment; lesions and limbs are not patients."""
    return _total([row.n_evaluable for row in report if row.unit == "patients"] for report in own_reports(rows).values())


def _total(reports: Iterable[Iterable[int | None]]) -> int | None:
    """The largest number of each report, added up; None when no report gives one."""
    largest = [max(known) for report in reports if (known := [n for n in report if n is not None])]
    return sum(largest) if largest else None


def _direction(report: Sequence[Study]) -> str:
    """Of a study with several rows: what they agree on, else mixed."""
    said = {row.direction for row in report}
    return said.pop() if len(said) == 1 else "mixed"


def exact_interval(events: int, n: int) -> tuple[float, float]:
    """95 % interval of one study's proportion (Clopper-Pearson), from the beta distribution."""
    from scipy.special import betaincinv

    low = float(betaincinv(events, n - events + 1, 0.025)) if events else 0.0
    high = float(betaincinv(events + 1, n - events, 0.975)) if events < n else 1.0
    return low, high


# --- pooling ---------------------------------------------------------------------------------------


def pool_everything(knowledge: Knowledge) -> list[PooledCell]:
    """Every treatment, type and outcome with pooled rows: all diseases together, and each disease that has rows of its own."""
    cells: dict[tuple[str, str, str | None, str], list[Study]] = {}
    for row in knowledge.studies:
        if row.pool and len(row.treatments) == 1 and row.calcification_type:
            place = row.treatments[0], row.calcification_type
            cells.setdefault((*place, None, row.outcome), []).append(row)
            if len(row.diseases) == 1:  # a mixed population cannot be split
                cells.setdefault((*place, row.diseases[0], row.outcome), []).append(row)
    return [_pooled(place, rows) for place, rows in sorted(cells.items(), key=lambda item: [part or "" for part in item[0]])]


def _pooled(place: tuple[str, str, str | None, str], rows: Sequence[Study]) -> PooledCell:
    from calcinosis.evidence.pooling import Group, pool_proportions

    result = pool_proportions([Group(row.row, counted(row), row.n_evaluable or 0) for row in rows])
    prediction = result.prediction or (None, None)
    return PooledCell(
        *place, k=result.k, n=result.n, events=result.events, estimate=result.estimate, low=result.low, high=result.high,
        prediction_low=prediction[0], prediction_high=prediction[1], tau2=result.tau2, heterogeneity_p=result.heterogeneity_p,
        method=result.method, rows=tuple(row.row for row in rows),
    )  # fmt: skip


def counted(row: Study) -> int:
    """What the outcome of a row counts: events, or complete and partial responses."""
    number = row.n_events if row.outcome in EVENTS else row.n_response
    return number if number is not None else row.n_events or 0


def compare_everything(knowledge: Knowledge, treatment: str | None = None) -> list[Compared]:
    """Every treatment, type and outcome with control groups; with a treatment, those it is part of."""
    rows = {row.row: row for row in knowledge.studies}
    places: dict[tuple[str, str, str], list[tuple[Study, Study]]] = {}
    for row in knowledge.studies:
        other = rows.get(row.comparator_row or "")
        if other is None or row.calcification_type is None or treatment not in (None, *row.treatments):
            continue
        if all(each.n_evaluable and (each.n_events, each.n_response) != (None, None) for each in (row, other)):
            places.setdefault((" + ".join(row.treatments), row.calcification_type, row.outcome), []).append((row, other))
    return [
        Compared(*place, comparison=_compared(found), rows=tuple(row.row for row, _ in found)) for place, found in sorted(places.items())
    ]


def _compared(arms: Iterable[tuple[Study, Study]]) -> Comparison:
    from calcinosis.evidence.pooling import Pair, compare

    return compare([Pair(row.row, counted(row), row.n_evaluable or 0, counted(other), other.n_evaluable or 0) for row, other in arms])


# --- the file --------------------------------------------------------------------------------------


@cache
def load_pooled() -> tuple[PooledCell, ...]:
    """The pooled proportions that the package ships."""
    cell = TypeAdapter(PooledCell)
    with POOLED_FILE.open(encoding="utf-8", newline="") as stream:
        rows = [{name: text or None for name, text in row.items()} | {"rows": row["rows"].split(";")} for row in csv.DictReader(stream)]
    return tuple(map(cell.validate_python, rows))


def write_pooled(cells: Iterable[PooledCell], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(PooledCell)], lineterminator="\n")
        writer.writeheader()
        for cell in cells:
            values = asdict(cell) | {"rows": ";".join(cell.rows)}
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else "" if v is None else v for k, v in values.items()})


if __name__ == "__main__":
    write_pooled(pool_everything(load_knowledge()), POOLED_FILE)
