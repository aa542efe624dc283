"""Four people built by hand, event by event; the reports are tested on what the reasoning says about them."""

from __future__ import annotations

import os
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from calcinosis.assessment import Assessment, assess_batch
from calcinosis.contract import OptionOut
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch
from calcinosis.knowledge import load_knowledge

HERE = Path(__file__).parent
ASSESSMENTS = HERE / "assessments"
GOLDEN = ("dialysis", "scleroderma", "nodule")
SCRIPT = "<script>alert('x')</script> \"&"


def _event(subject: str, number: int, concept: str, day: str | None, **more: Any) -> dict[str, Any]:
    resource = "Observation" if "numeric_value" in more else "Condition"
    row: dict[str, Any] = dict.fromkeys(EVENT_SCHEMA)
    row |= {
        "subject_id": subject,
        "time": datetime.fromisoformat(day) if day else None,
        "code": f"text/{concept.replace('_', ' ')}",
        "concept": concept,
        "certainty": "affirmed",
        "source": f"{resource}/{subject}-{number}",
        "source_file": "by hand",
    }
    return row | more


def _lab(subject: str, number: int, concept: str, day: str, value: float, unit: str, low: float, high: float) -> dict[str, Any]:
    return _event(subject, number, concept, day, numeric_value=value, unit=unit, range_low=low, range_high=high)


def _batch(subject: str, born: date | None, sex: str | None, events: list[dict[str, Any]]) -> Batch:
    patient = {"subject_id": subject, "birth_date": born, "sex": sex, "source": f"Patient/{subject}", "source_file": "by hand"}
    return Batch(
        patients=pl.DataFrame([patient], schema=PATIENT_SCHEMA),
        events=pl.DataFrame(events, schema=EVENT_SCHEMA),
        records_read=len(events) + 1,
        records_used=len(events) + 1,
    )


def dialysis() -> Batch:
    """On haemodialysis and warfarin, painful retiform purpura of the thigh; a potassium with a unit nobody can read."""
    who = "dialysis-1"
    return _batch(
        who,
        date(1960, 3, 2),
        "female",
        [
            _event(who, 1, "haemodialysis", "2019-05-01"),
            _event(who, 2, "esrd", "2019-04-01"),
            _event(who, 3, "warfarin", "2024-01-10", status="active"),
            _event(who, 4, "retiform_purpura", "2025-02-03", sites=["thigh"], text_value="retiform purpura of both thighs"),
            _event(who, 5, "skin_necrosis", "2025-02-10", sites=["thigh"], text_value="black eschar, necrotic ulcer"),
            _event(who, 6, "pain", "2025-02-03", text_value="excruciating pain"),
            _event(who, 7, "diabetes_mellitus", "2010-01-01"),
            _lab(who, 8, "calcium_total", "2025-02-04", 2.31, "mmol/L", 2.15, 2.55),
            _lab(who, 9, "phosphate", "2025-02-04", 2.4, "mmol/L", 0.8, 1.5),
            _lab(who, 10, "pth_intact", "2025-02-04", 620.0, "pg/mL", 15.0, 65.0),
            _lab(who, 11, "albumin", "2025-02-04", 30.0, "bananas/L", 35.0, 50.0),
        ],
    )


def scleroderma() -> Batch:
    """Limited systemic sclerosis with calcified finger nodules, normal calcium and phosphate."""
    who = "scleroderma-1"
    return _batch(
        who,
        date(1968, 7, 1),
        "female",
        [
            _event(who, 1, "systemic_sclerosis", "2008-01-01", text_value="limited cutaneous systemic sclerosis"),
            _event(
                who, 2, "imaging_calcification", "2021-06-01", sites=["finger"], text_value="subcutaneous calcifications of the fingertips"
            ),
            _event(who, 3, "raynaud_phenomenon", "2004-01-01"),
            _event(who, 4, "digital_ulcer", "2021-05-01", sites=["fingertip"]),
            _event(who, 5, "anti_centromere", "2008-01-01", flag="positive"),
            _lab(who, 6, "calcium_total", "2021-06-03", 2.4, "mmol/L", 2.15, 2.55),
            _lab(who, 7, "phosphate", "2021-06-03", 1.1, "mmol/L", 0.8, 1.5),
            _lab(who, 8, "creatinine", "2021-06-03", 68.0, "umol/L", 45.0, 84.0),
        ],
    )


def nodule() -> Batch:
    """An adult with one undated nodule and nothing else on record."""
    who = "nodule-1"
    return _batch(who, None, None, [_event(who, 1, "subcutaneous_nodule", None)])


def hostile() -> Batch:
    """Text that would be markup if anything forgot to escape it, in every place a record can put text."""
    who = f"evil-{SCRIPT}"
    return _batch(
        who,
        date(1970, 1, 1),
        "male",
        [
            _event(who, 1, "calcinosis_cutis", "2024-01-01", text_value=SCRIPT, sites=["elbow"]),
            _event(who, 2, "dermatomyositis", "2020-01-01", text_value=f"[bold]{SCRIPT}[/bold] [/red]"),
            _event(who, 3, "fever", "2024-01-02", text_value=SCRIPT),
            _event(who, 4, "skin_ulcer", "2024-01-02", text_value=SCRIPT),
        ],
    )


PEOPLE = {"dialysis": dialysis, "scleroderma": scleroderma, "nodule": nodule, "hostile": hostile}


@cache
def assessed(name: str) -> Assessment:
    """What the shipped knowledge says about this person today."""
    return assess_batch(PEOPLE[name](), load_knowledge())[0]


@cache
def anticoagulated() -> Assessment:
    """The person on dialysis, with the anticoagulant given in the week of the lesion: current treatment to review."""
    batch = dialysis()
    given = pl.col("concept") == "warfarin"
    batch.events = batch.events.with_columns(
        time=pl.when(given).then(datetime(2025, 2, 9)).otherwise("time"),
        source=pl.when(given).then(pl.lit("MedicationStatement/dialysis-1-3")).otherwise("source"),
    )
    return assess_batch(batch, load_knowledge())[0]


def frozen(name: str) -> Assessment:
    """The same person as assessed when the file was written: wording and layout are tested on it, whatever the knowledge says now."""
    return Assessment.model_validate_json((ASSESSMENTS / f"{name}.json").read_text(encoding="utf-8"))


def golden(path: Path, rendered: str) -> None:
    """Compare with the file; with CALCINOSIS_UPDATE_GOLDEN=1 write it instead."""
    if os.environ.get("CALCINOSIS_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(rendered, encoding="utf-8")
    assert rendered == path.read_text(encoding="utf-8"), (
        f"{path.name} differs; look at the change, then run with CALCINOSIS_UPDATE_GOLDEN=1"
    )


def few_options(assessment: Assessment) -> list[OptionOut]:
    """One of each stance, a tie, and one that is contraindicated, with the longest lists cut: layout needs no more."""
    bundle = [each for each in assessment.options if each.stance == "standard"][:1]
    options = [each for each in assessment.options if each.stance == "option" and not each.order.contraindicated][:3]
    last = [each for each in assessment.options if each.order.contraindicated][:1]
    against = [each for each in assessment.options if each.stance == "against" and not each.order.contraindicated][:1]
    short = {"not_checked": 6, "notes": 2, "dosing": 1, "monitoring": 1, "mechanism": 1}
    return [
        each.model_copy(
            update={
                **{name: getattr(each, name)[:most] for name, most in short.items()},
                "evidence": each.evidence.model_copy(update={"citations": each.evidence.citations[:3]}),
            }
        )
        for each in [*bundle, *options, *against, *last]
    ]


def freeze() -> None:
    """Write the frozen assessments anew, shortened where length adds nothing: ``python tests/report/people.py``."""
    ASSESSMENTS.mkdir(exist_ok=True)
    for name in GOLDEN:
        assessment = assessed(name)
        short = assessment.model_copy(
            update={
                "types": [each.model_copy(update={"missing": each.missing[:8]}) for each in assessment.types],
                "diseases": [each.model_copy(update={"known": each.known[:7]}) for each in assessment.diseases],
                "workup": [
                    *[t for t in assessment.workup if t.would_change][:6],
                    *[t for t in assessment.workup if not t.would_change][:3],
                ],
                "options": few_options(assessment),
            }
        )
        (ASSESSMENTS / f"{name}.json").write_text(short.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    freeze()
