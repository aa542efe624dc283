"""The population report: who has it, who is urgent, who is at risk, what is missing, and how much of the source was read.

Reads the folder that ``screen`` wrote, whichever engine it used. All counting is one lazy Polars query per table, so that
ten patients and ten million cost the same page; a list of patients shows at most ``MOST`` and says where the others are. Bars are
drawn in the template: a chart library would cost more time and memory than the whole run (see ``report/svg.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from calcinosis.contract import DISCLAIMER, MUST_NOT_MISS
from calcinosis.evidence.cells import exact_interval
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.report.patient_page import environment
from calcinosis.report.people import SHOWN, STANDING, Labels, as_shown, likely_unlabelled, most_urgent_first, patients_by_entry

MOST: Final = 200  # patients listed per table
FIRST: Final = 12  # of them visible at once; the others unfold
TOP: Final = 30  # unmapped codes and texts listed
_GRAVITIES: Final = (*ALARM_URGENCIES, "contraindicated", "routine", "caution")  # urgent reviews, then contraindications, then the rest


class Share(NamedTuple):
    """``hits`` of ``n`` patients, and the exact 95 % interval of the proportion."""

    hits: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Table:
    """Patients to show, the most urgent first, and how many there are in all."""

    rows: list[dict[str, Any]]
    total: int

    @property
    def more(self) -> int:
        return self.total - len(self.rows)


@dataclass(frozen=True, slots=True)
class Population:
    """Everything the template shows: counts and short lists only."""

    patients: int
    lesion: dict[str, int]  # present, absent, unknown
    shown: int  # calcium shown or stated
    leading: list[tuple[str, int]]
    by_type: list[tuple[str, dict[Status, int]]]
    by_disease: tuple[list[str], list[tuple[str, list[int], int]]]  # type labels; disease label, counts per type, patients
    probable_by_disease: list[tuple[str, list[Share]]]  # disease label; per type those in whom it is at least probable
    mixed: int
    reviews: list[dict[str, Any]]  # current treatment to review: label, text, urgency or verdict, patients, and how many are unknown
    reviewed: Table
    mimics: list[tuple[str, dict[Status, int]]]
    alarms: list[dict[str, Any]]
    urgencies: list[tuple[str, int]]  # patients by their worst alarm
    urgent: Table
    unlabelled: Table
    at_risk: Table
    risk: dict[str, int]  # at_risk, not_at_risk, unknown, with_lesion
    factors: dict[tuple[int, int], int]  # (major, minor) -> patients without a lesion
    common_factors: list[tuple[str, int]]
    missing: list[tuple[str, int, int | None]]  # test, patients without a usable result, and those with one on record; null: not told
    to_clarify: list[tuple[str, int, int | None]]  # asked for although no lesion is on record
    rejects: list[dict[str, Any]]
    errors: int
    warnings: int
    patients_with_warnings: int
    unmapped: list[dict[str, Any]]
    unmapped_total: int
    labs: list[tuple[str, int | None]]  # those the first-line tests ask for; null: not counted
    other_labs: list[tuple[str, int]]


def render_population_html(out_dir: Path) -> str:
    """Render the results of a screen as one self-contained page, with the labels of the knowledge shipped; an unknown key stays as it is.

    Args:
        out_dir: the folder with ``assessments.parquet``, ``reasons.parquet``, ``rejects.parquet``, ``unmapped.csv`` and ``summary.json``.
    """
    summary: dict[str, Any] = orjson.loads((out_dir / "summary.json").read_bytes())
    told = population_words(count_population(out_dir, load_knowledge(), summary), summary)
    return environment().get_template("population.html.j2").render(**told, door=None, disclaimer=DISCLAIMER)


def population_words(population: Population, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the template needs."""
    counted = {field.name: getattr(population, field.name) for field in fields(population)}
    return {**counted, "summary": summary, "standing": STANDING, "longest": _longest, "most": MOST, "first": FIRST, "top": TOP}


def count_population(out_dir: Path, knowledge: Knowledge, summary: Mapping[str, Any]) -> Population:
    """Count everything the page shows."""
    people = pl.scan_parquet(out_dir / "assessments.parquet")
    types = list(knowledge.types)
    label = Labels(knowledge)
    lesion = pl.col("lesion_present").fill_null(False)
    at_risk = pl.col("calciphylaxis_at_risk")
    counts = _totals(people)
    rejects = _rejects(out_dir / "rejects.parquet")
    unmapped, unmapped_total = _unmapped(out_dir / "unmapped.csv")
    labs, other_labs = _labs(knowledge, summary, label)
    return Population(
        patients=counts["patients"],
        lesion={"present": counts["present"], "absent": counts["absent"], "unknown": counts["unknown"]},
        shown=counts["shown"],
        leading=[
            *((label.type(key), n) for key, n in _counted(people, pl.col("leading"), (*types, "mimic"))),
            ("Undetermined, with a lesion", counts["undetermined"]),
        ],
        by_type=[(label.type(key), _statuses(people.select(pl.col(f"status_{key}").alias("status")))) for key in types],
        by_disease=([label.type(key) for key in types], _by_disease(people, types, label, STANDING)),
        probable_by_disease=[
            (disease, [Share(count, n, *exact_interval(count, n)) for count in counts])
            for disease, counts, n in _by_disease(people, types, label, (Status.CONFIRMED, Status.PROBABLE))
        ],
        mixed=counts["mixed"],
        reviews=_reviews(out_dir / "treatment_reviews.parquet"),
        reviewed=_reviewed(out_dir / "treatment_reviews.parquet"),
        mimics=_mimics(people, label),
        alarms=_alarms(people, label),
        urgencies=_counted(people, pl.col("alarm_urgency"), ALARM_URGENCIES),
        urgent=_patients(people.filter(pl.col("alarm_urgency").is_not_null()), label),
        unlabelled=_patients(people.filter(likely_unlabelled(types)), label),
        at_risk=_patients(people.filter(at_risk.fill_null(False) & ~lesion), label),
        risk={
            "at_risk": counts["at_risk"],
            "with_lesion": counts["with_lesion"],
            "not_at_risk": counts["not_at_risk"],
            "unknown": counts["unknown_risk"],
        },
        factors=_factors(people.filter(~lesion)),
        common_factors=_common_factors(out_dir / "reasons.parquet", people.filter(at_risk.fill_null(False) & ~lesion)),
        missing=_missing(people.filter(lesion), label),
        to_clarify=_missing(people.filter(~lesion), label),
        rejects=rejects,
        errors=sum(row["n"] for row in rejects if row["level"] == "error"),
        warnings=sum(row["n"] for row in rejects if row["level"] != "error"),
        patients_with_warnings=counts["warned"],
        unmapped=unmapped,
        unmapped_total=unmapped_total,
        labs=labs,
        other_labs=other_labs,
    )


def _totals(people: pl.LazyFrame) -> dict[str, int]:
    """How many patients there are in all, and of each kind that is counted on the row of a patient alone."""
    lesion = pl.col("lesion_present").fill_null(False)
    at_risk = pl.col("calciphylaxis_at_risk")
    counts = people.select(
        patients=pl.len(),
        present=lesion.sum(),
        absent=(~pl.col("lesion_present")).fill_null(False).sum(),
        unknown=pl.col("lesion_present").is_null().sum(),
        shown=pl.col("mineral_shown").fill_null(False).sum(),
        mixed=pl.col("mixed").fill_null(False).sum(),
        undetermined=(lesion & pl.col("leading").is_null()).sum(),
        at_risk=(at_risk.fill_null(False) & ~lesion).sum(),
        with_lesion=(at_risk.fill_null(False) & lesion).sum(),
        not_at_risk=(~at_risk).fill_null(False).sum(),
        unknown_risk=at_risk.is_null().sum(),
        warned=(pl.col("n_warnings") > 0).sum(),
    )
    return {name: value or 0 for name, value in counts.collect().row(0, named=True).items()}


def _counted(people: pl.LazyFrame, key: pl.Expr, keys: Iterable[str]) -> list[tuple[str, int]]:
    counts = dict(people.group_by(key.alias("key")).len().collect().iter_rows())
    return [(each, counts.get(each, 0)) for each in keys]


def _missing(people: pl.LazyFrame, label: Labels) -> list[tuple[str, int, int | None]]:
    """Missing tests, most frequent first; a folder of an earlier version does not tell which have a result on record."""
    told = "unusable_tests" in people.collect_schema()
    unusable = dict(patients_by_entry(people, "unusable_tests")) if told else {}
    return [(label.test(key), n, unusable.get(key, 0) if told else None) for key, n in patients_by_entry(people, "missing_tests")]


def _statuses(frame: pl.LazyFrame) -> dict[Status, int]:
    counts = dict(frame.group_by("status").len().collect().iter_rows())
    return {status: counts.get(status.value, 0) for status in sorted(Status, key=lambda each: -each.rank)}


def _by_disease(people: pl.LazyFrame, types: list[str], label: Labels, statuses: Iterable[Status]) -> list[tuple[str, list[int], int]]:
    """Disease, among its patients those in whom each type has one of the statuses, and how many they are."""
    wanted = [status.value for status in statuses]
    counted = (
        people.select("diseases", *(pl.col(f"status_{key}").is_in(wanted).fill_null(False).alias(key) for key in types))
        .explode("diseases", empty_as_null=True)
        .group_by(pl.col("diseases").alias("disease"))
        .agg(*(pl.col(key).sum() for key in types), pl.len().alias("patients"))
        .collect()
    )
    rows = sorted(counted.iter_rows(), key=lambda row: (row[0] is None, -row[-1], row[0]))
    return [(label.disease(row[0]) if row[0] else "No autoimmune disease on record", list(row[1:-1]), row[-1]) for row in rows]


def _reviews(path: Path) -> list[dict[str, Any]]:
    """Every review and safety rule of a current treatment that concerns somebody, the most urgent first."""
    if not path.exists():
        return []
    unknown = pl.col("kind") == "not_checked"
    counted = (
        pl.scan_parquet(path)
        .group_by("key", "treatment", "verdict", "urgency", "label", "text")
        .agg((~unknown).sum().alias("n"), unknown.sum().alias("unknown"))
        .collect()
    )
    return sorted(counted.to_dicts(), key=lambda row: (_gravity(row), -row["n"], -row["unknown"], row["label"]))


def _reviewed(path: Path) -> Table:
    """The patients whose current treatment should be reviewed, those with the gravest entry first."""
    if not path.exists():
        return Table([], 0)
    places = {word: place for place, word in enumerate(_GRAVITIES)}
    gravity = pl.coalesce("urgency", "verdict").replace_strict(places, default=len(places), return_dtype=pl.Int8)
    found = pl.scan_parquet(path).filter(pl.col("kind") != "not_checked")
    people = found.select("subject_id", gravity.alias("gravest")).group_by("subject_id").agg(pl.col("gravest").min(), pl.len())
    gravest = people.sort("gravest", "len", "subject_id", descending=[False, True, False]).head(MOST)
    first, total = pl.collect_all([gravest, people.select(pl.len())])
    rows = found.select("subject_id", "label", "urgency", "verdict").filter(pl.col("subject_id").is_in(first["subject_id"].implode()))
    entries: dict[str, list[dict[str, Any]]] = {who: [] for who in first["subject_id"]}
    for row in sorted(rows.collect().to_dicts(), key=_gravity):
        entries[row["subject_id"]].append(row)
    return Table([{"id": who, "entries": rows} for who, rows in entries.items()], total.item())


def _gravity(row: Mapping[str, Any]) -> int:
    word = row["urgency"] or row["verdict"]
    return _GRAVITIES.index(word) if word in _GRAVITIES else len(_GRAVITIES)


def _mimics(people: pl.LazyFrame, label: Labels) -> list[tuple[str, dict[Status, int]]]:
    found: dict[str, dict[Status, int]] = {}
    for entry, n in patients_by_entry(people, "mimics"):
        key, _, status = entry.rpartition(":")
        found.setdefault(key, dict.fromkeys(STANDING, 0))[Status(status)] = n
    ordered = sorted(found.items(), key=lambda item: [-item[1][status] for status in STANDING])
    return [(label.mimic(key), counts) for key, counts in ordered]


def _alarms(people: pl.LazyFrame, label: Labels) -> list[dict[str, Any]]:
    rows = []
    for key, n in patients_by_entry(people, "alarms"):
        known = label.knowledge.alarms.get(key)
        shown = {"id": known.id, "urgency": known.urgency} if known else {"id": "", "urgency": "urgent"}
        rows.append({"key": key, "label": label.alarm(key), "n": n, **shown})
    return sorted(rows, key=lambda row: (ALARM_URGENCIES.index(row["urgency"]), -row["n"]))


def _patients(chosen: pl.LazyFrame, label: Labels) -> Table:
    """The most urgent patients."""
    shown = chosen.select(SHOWN).sort(**most_urgent_first()).head(MOST)
    rows, total = pl.collect_all([shown, chosen.select(pl.len())])
    return Table([as_shown(row, label) for row in rows.to_dicts()], total.item())


def _factors(people: pl.LazyFrame) -> dict[tuple[int, int], int]:
    """How many patients have how many (major, minor) factors; three stands for three or more."""
    capped = [pl.col(f"calciphylaxis_{weight}").fill_null(0).clip(0, 3).alias(weight) for weight in ("major", "minor")]
    counted = people.select(capped).group_by("major", "minor").len().collect()
    found = {(major, minor): n for major, minor, n in counted.iter_rows()}
    return {(major, minor): found.get((major, minor), 0) for major in range(4) for minor in range(4)}


def _common_factors(path: Path, at_risk: pl.LazyFrame) -> list[tuple[str, int]]:
    """The recorded factors of the patients at risk, most frequent first (reasons are written for every patient at risk)."""
    if not path.exists():
        return []
    of_interest = (pl.col("kind") == "type") & (pl.col("owner") == MUST_NOT_MISS) & (pl.col("role") == "risk")
    named = pl.scan_parquet(path).filter(of_interest).select("subject_id", "label")
    named = named.join(at_risk.select("subject_id"), on="subject_id", how="semi")
    counted = named.unique().group_by("label").len().sort(["len", "label"], descending=[True, False])
    return list(counted.collect().iter_rows())


def _rejects(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    example = pl.concat_str("file", pl.concat_str(pl.lit(":"), "line").fill_null(""), pl.lit(" "), pl.col("record").fill_null(""))
    counted = (
        pl.scan_parquet(path)
        .group_by("level", "category")
        .agg(pl.len().alias("n"), example.first().alias("example"), pl.col("reason").first().alias("reason"))
        .sort(["level", "n", "category"], descending=[False, True, False])
    )
    return counted.collect().to_dicts()


def _unmapped(path: Path) -> tuple[list[dict[str, Any]], int]:
    if not path.exists() or path.stat().st_size == 0:
        return [], 0
    table = pl.scan_csv(path, infer_schema=False)
    top, total = pl.collect_all([table.head(TOP), table.select(pl.len())])
    return [{name: value or "" for name, value in row.items()} for row in top.to_dicts()], total.item()


def _labs(knowledge: Knowledge, summary: Mapping[str, Any], label: Labels) -> tuple[list[tuple[str, int | None]], list[tuple[str, int]]]:
    """Patients in whom each quantity was ever measured: what the first-line tests ask for, then the others."""
    coverage: Mapping[str, Mapping[str, int]] | None = summary.get("lab_coverage")
    asked = knowledge.first_line_labs
    wanted = [(label.concept(lab), None if coverage is None else coverage.get(lab, {}).get("patients_with", 0)) for lab in asked]
    others = [(label.concept(lab), counts.get("patients_with", 0)) for lab, counts in (coverage or {}).items() if lab not in asked]
    return wanted, sorted(others, key=lambda item: (-item[1], item[0]))


def _longest(rows: Iterable[tuple[str, Mapping[Status, int]]]) -> int:
    """The scale of stacked bars: most patients at possible or more in one row."""
    return max((sum(counts[status] for status in STANDING) for _, counts in rows), default=0)
