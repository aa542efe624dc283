"""Small knowledge bases, patients and events, made by hand for the tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from calcinosis.assessment import evaluate_batch
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch
from calcinosis.facts import Facts, build_facts
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.knowledge.criteria import Criterion, Status
from calcinosis.knowledge.model import Alarm, CalcificationType, Concept, Disease, Finding, Mimic, Setting, Source
from calcinosis.knowledge.model import (
    Test as WorkupTest,
)
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import CurrentDrugReview, Treatment
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.truth import Truth

CASES = Path(__file__).parents[1] / "examples" / "published_cases"
INDEX = datetime(2024, 6, 1)
_versions = itertools.count()

# --- knowledge -------------------------------------------------------------------------------------

CONCEPTS: list[dict[str, Any]] = [
    {"key": "skin_lesion", "kind": "finding"},
    {"key": "nodule", "kind": "finding", "parents": ["skin_lesion"]},
    {"key": "skin_ulcer", "kind": "finding", "parents": ["skin_lesion"]},
    {"key": "digital_ulcer", "kind": "finding", "parents": ["skin_ulcer"]},
    {"key": "calcification", "kind": "finding"},
    {"key": "calcinosis_cutis", "kind": "finding", "parents": ["calcification", "skin_lesion"]},
    {"key": "pain", "kind": "finding"},
    {"key": "ctd", "kind": "disease"},
    {"key": "systemic_sclerosis", "kind": "disease", "parents": ["ctd"]},
    {"key": "ckd", "kind": "disease"},
    {"key": "kidney_failure", "kind": "disease", "parents": ["ckd"]},
    {"key": "esrd", "kind": "disease", "parents": ["kidney_failure"]},
    {"key": "warfarin", "kind": "drug"},
    {"key": "biopsy", "kind": "procedure"},
    {"key": "injection", "kind": "exposure"},
    {"key": "limb", "kind": "site"},
    {"key": "arm", "kind": "site", "parents": ["limb"]},
    {"key": "hand", "kind": "site", "parents": ["arm"]},
    {"key": "leg", "kind": "site", "parents": ["limb"]},
    {"key": "thigh", "kind": "site", "parents": ["leg"]},
    {"key": "abdomen", "kind": "site"},
]


def _adult(unit: str, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    return {"unit": unit, "low": low, "high": high, "sources": ["book"]} | more


CALCIUM: dict[str, Any] = {"unit": "mmol/L", "molar_mass": 40.078, "valence": 2}
LABS: dict[str, dict[str, Any]] = {
    "calcium_total": {**CALCIUM, "intervals": [_adult("mmol/L", 2.2, 2.6, age_from_years=18)]},
    "calcium_ionised": {**CALCIUM, "intervals": [_adult("mmol/L", 1.1, 1.3, age_from_years=18)]},
    "calcium_albumin_corrected": {**CALCIUM, "intervals": [_adult("mmol/L", 2.2, 2.6, age_from_years=18)]},
    "calcium_adjusted": {**CALCIUM, "intervals": [_adult("mmol/L", 2.2, 2.6, age_from_years=18)]},
    "albumin": {"unit": "g/L", "intervals": [_adult("g/L", 35, 50)]},
    "phosphate": {
        "unit": "mmol/L",
        "molar_mass": 30.974,
        "intervals": [
            _adult("mmol/L", 1.3, 2.4, age_below_years=1),
            _adult("mmol/L", 0.9, 1.8, age_from_years=1, age_below_years=16),
            _adult("mmol/L", 0.8, 1.5, age_from_years=16),
        ],
    },
    "calcium_phosphate_product": {"unit": "mmol2/L2", "molar_mass": 1241.376},
    "creatinine": {"unit": "umol/L", "molar_mass": 113.12},
    "egfr": {"unit": "mL/min/{1.73_m2}", "intervals": [_adult("mL/min/{1.73_m2}", 60, None, age_from_years=2)]},
    "body_height": {"unit": "cm"},
    "haemoglobin": {
        "unit": "g/L",
        "intervals": [_adult("g/L", 130, 170, sex="male"), _adult("g/L", 120, 150, sex="female")],
    },
    "potassium": {"unit": "mmol/L", "molar_mass": 39.098},  # no valence on purpose
    "ana": {},
}

SETTINGS: dict[str, float] = {
    "lab_window_days": 90,
    "same_sample_days": 7,
    "current_within_days": 180,
    "ended_sign_days": 365,
    "mimic_urgency": 4,
    "calcium_adjustment_per_g_per_l": 0.02,
    "albumin_reference": 40,
    **{key: float(setting.value) for key, setting in load_knowledge().settings.items() if key.startswith(("ckd_epi", "schwartz"))},
}


def concepts() -> dict[str, Concept]:
    plain = [{"label": each["key"].replace("_", " ")} | each for each in CONCEPTS]
    labs = [{"key": key, "label": key.replace("_", " "), "kind": "lab", "lab": lab} for key, lab in LABS.items()]
    return {each["key"]: Concept.model_validate(each) for each in [*plain, *labs]}


def _by_key(model: type[Any], records: Iterable[Any]) -> dict[str, Any]:
    made = [each if isinstance(each, model) else model.model_validate(each) for each in records]
    return {each.key: each for each in made}


def knowledge_of(
    *,
    findings: dict[str, Any] | None = None,
    types: Iterable[Any] = (),
    mimics: Iterable[Any] = (),
    alarms: Iterable[Any] = (),
    diseases: Iterable[Any] = (),
    tests: Iterable[Any] = (),
    treatments: Iterable[Any] = (),
    reviews: Iterable[Any] = (),
    studies: Iterable[Study] = (),
    settings: dict[str, float] | None = None,
) -> Knowledge:
    """A knowledge base over ``CONCEPTS`` and ``LABS``; each call has a version of its own, because plans are cached by version."""
    findings = dict(findings or {})
    if "mineral_shown" in findings:
        findings.setdefault("calcium_shown", {"finding": "mineral_shown"})  # read by the mechanism itself
    return Knowledge(
        version=f"by hand {next(_versions)}",
        sources={"book": Source(key="book", title="A book", grade="review", doi="10.1000/1")},
        concepts=concepts(),
        codes=(),
        findings={key: Finding(key=key, label=key, when=when, sources=("book",)) for key, when in findings.items()},
        types=_by_key(CalcificationType, list(types) or [type_of("dystrophic", ("confirmed", {"has": "calcinosis_cutis"}))]),
        diseases=_by_key(Disease, diseases),
        mimics=_by_key(Mimic, mimics),
        alarms=_by_key(Alarm, alarms),
        tests=_by_key(WorkupTest, tests),
        treatments=_by_key(Treatment, treatments),
        reviews=_by_key(CurrentDrugReview, reviews),
        studies=tuple(studies),
        forms={},
        entry_form={},
        simulations={},
        settings={key: Setting(key=key, value=value, label=key) for key, value in (SETTINGS | (settings or {})).items()},
        origins={},
    )


def type_of(key: str, *rules: tuple[str, Any], urgency: int = 1, **more: Any) -> dict[str, Any]:
    """A type whose rules are pairs of status and criterion."""
    return {
        "key": key,
        "label": key,
        "urgency": urgency,
        "definition": {"text": f"what {key} is", "sources": ["book"]},
        "rules": [
            {"status": status, "label": f"{key} {status} {n}", "when": when, "sources": ["book"]} for n, (status, when) in enumerate(rules)
        ],
    } | more


def mimic_of(key: str, *rules: tuple[str, Any], **more: Any) -> dict[str, Any]:
    record = type_of(key, *rules, **more) | {"tells_apart": [{"text": "how it differs", "sources": ["book"]}]}
    return {name: value for name, value in record.items() if name != "urgency"}


def weighed(label: str, when: Any) -> dict[str, Any]:
    return {"label": label, "when": when, "sources": ["book"]}


def alarm_of(key: str, when: Any, urgency: str = "urgent") -> dict[str, Any]:
    action = {"text": f"act on {key}", "sources": ["book"]}
    return {"key": key, "id": key, "label": key, "urgency": urgency, "when": when, "actions": [action], "sources": ["book"]}


def workup_of(key: str, *outcomes: dict[str, Any], **more: Any) -> dict[str, Any]:
    filled = [{"label": f"outcome {n}", "meaning": "what it means", "sources": ["book"]} | each for n, each in enumerate(outcomes)]
    return {"key": key, "label": key, "outcomes": filled, "sources": ["book"]} | more


# --- patients and events ---------------------------------------------------------------------------

_numbers = itertools.count(1)


def day(offset: float) -> datetime:
    """So many days after the index date (negative: before)."""
    return INDEX + timedelta(days=offset)


def event(concept: str, time: datetime | None = INDEX, certainty: str = "affirmed", *, who: str = "p", **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(EVENT_SCHEMA)
    row |= {"subject_id": who, "time": time, "code": f"text/{concept}", "concept": concept, "certainty": certainty}
    row |= {"source": f"Record/{next(_numbers)}", "source_file": "by hand"}
    return row | more


def lab(
    concept: str,
    value: float | None = None,
    unit: str | None = None,
    time: datetime | None = INDEX,
    *,
    interval: tuple[float | None, float | None] = (None, None),
    **more: Any,
) -> dict[str, Any]:
    return event(concept, time, numeric_value=value, unit=unit, range_low=interval[0], range_high=interval[1], **more)


def patient(who: str = "p", born: date | None = date(1974, 6, 1), sex: str | None = "female") -> dict[str, Any]:
    return {"subject_id": who, "birth_date": born, "sex": sex, "source": f"Patient/{who}", "source_file": "by hand"}


def batch_of(events: Iterable[dict[str, Any]], *patients: dict[str, Any]) -> Batch:
    rows = list(events)
    return Batch(
        patients=pl.DataFrame(list(patients) or [patient()], schema=PATIENT_SCHEMA),
        events=pl.DataFrame(rows, schema=EVENT_SCHEMA),
        records_read=len(rows),
        records_used=len(rows),
    )


def only_patient(batch: Batch, who: str) -> Batch:
    """The part of a batch that belongs to one patient."""
    mine = pl.col("subject_id") == who
    return Batch(patients=batch.patients.filter(mine), events=batch.events.filter(mine))


# --- asking ----------------------------------------------------------------------------------------


def facts_of(
    events: Iterable[dict[str, Any]], *patients: dict[str, Any], knowledge: Knowledge | None = None, as_of: datetime | None = None
) -> Facts:
    return build_facts(batch_of(events, *patients), knowledge or knowledge_of(), as_of)


def lab_fact(concept: str, events: Iterable[dict[str, Any]], *patients: dict[str, Any], **more: Any) -> dict[str, Any] | None:
    """The lab fact of the only patient about one analyte."""
    found = facts_of(events, *patients, **more).labs.filter(pl.col("concept") == concept).to_dicts()
    return found[0] if found else None


def concept_fact(concept: str, events: Iterable[dict[str, Any]], *patients: dict[str, Any], **more: Any) -> dict[str, Any] | None:
    found = facts_of(events, *patients, **more).concepts.filter(pl.col("concept") == concept).to_dicts()
    return found[0] if found else None


def answers(
    criterion: Any,
    events: Iterable[dict[str, Any]],
    *patients: dict[str, Any],
    closed_world: frozenset[str] = frozenset(),
    as_of: datetime | None = None,
) -> list[bool | None]:
    """What the vectorised evaluation says of one criterion, per patient."""
    knowledge = knowledge_of(findings={"asked": criterion})
    return truths(evaluated(batch_of(events, *patients), knowledge, closed_world=closed_world, as_of=as_of).columns["finding:asked"])


def answer(criterion: Any, events: Iterable[dict[str, Any]], *patients: dict[str, Any], **more: Any) -> bool | None:
    (only,) = answers(criterion, events, *patients, **more)
    return only


def evaluated(
    batch: Batch, knowledge: Knowledge, *, closed_world: frozenset[str] = frozenset(), as_of: datetime | None = None
) -> Evaluation:
    return evaluate_batch(batch, knowledge, closed_world=closed_world, as_of=as_of).evaluation


def truths(column: Truth) -> list[bool | None]:
    """A truth column as True, False and None (unknown)."""
    return [(False, None, True)[value] for value in column.tolist()]


def status_of(hypothesis: str, evaluation: Evaluation) -> list[str]:
    return [list(Status)[rank].value for rank in evaluation.rank(hypothesis)]


def leading_of(evaluation: Evaluation) -> list[str | None]:
    return [evaluation.plan.hypotheses[place] if place >= 0 else None for place in evaluation.leading]


def parsed(criterion: Any) -> Criterion:
    return Finding(key="asked", label="asked", when=criterion, sources=("book",)).when
