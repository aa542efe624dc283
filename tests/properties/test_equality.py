"""One patient alone, in any batch, or all at once: the same assessment."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import polars as pl
from hand_made import day, event, only_patient, patient

from calcinosis.assessment import Assessment, assess_batch
from calcinosis.events import EVENT_SCHEMA, PATIENT_SCHEMA, Batch
from calcinosis.knowledge import Knowledge

UNITS = {"mmol/L": (0.3, 4.0), "mg/dL": (1.0, 16.0), "g/L": (10, 60), "umol/L": (40, 900), "furlong": (1, 9)}


def generated_patients(knowledge: Knowledge, n: int, seed: int) -> Batch:
    """Patients whose events are drawn from the whole vocabulary, lesions more often than the rest; some sources are shared on purpose."""
    draw = random.Random(seed)
    plain = [key for key, concept in knowledge.concepts.items() if concept.lab is None and concept.kind != "site"]
    lesions = [key for root in ("skin_lesion", "calcification") for key in knowledge.descendants[root]]
    sites = [key for key, concept in knowledge.concepts.items() if concept.kind == "site"]
    labs = ["calcium_total", "calcium_ionised", "albumin", "phosphate", "creatinine", "pth_intact", "egfr", "urate"]
    people, events = [], []
    for number in range(n):
        who = f"g{number}"
        people.append(patient(who, draw.choice([None, date(1955, 2, 3), date(2015, 2, 3)]), draw.choice([None, "female", "male"])))
        for place in range(draw.randrange(1, 14)):
            when = draw.choice([None, day(0), day(draw.randrange(-400, 60))])
            more: dict[str, Any] = {"who": who, "source": f"Record/{who}-{place // 2}"}
            if draw.random() < 0.35:
                unit = draw.choice(list(UNITS))
                more |= {
                    "numeric_value": round(draw.uniform(*UNITS[unit]), 2),
                    "unit": unit,
                    "flag": draw.choice([None, None, "high", "normal"]),
                }
                events.append(event(draw.choice(labs), when, **more))
            else:
                more["sites"] = draw.choice([None, [draw.choice(sites)]])
                certainty = draw.choice(["affirmed"] * 6 + ["negated", "uncertain", "family"])
                events.append(event(draw.choice(draw.choice([plain, lesions])), when, certainty, **more))
    return Batch(patients=pl.DataFrame(people, schema=PATIENT_SCHEMA), events=pl.DataFrame(events, schema=EVENT_SCHEMA))


def joined(*batches: Batch) -> Batch:
    return Batch(patients=pl.concat([b.patients for b in batches]), events=pl.concat([b.events for b in batches]))


def by_patient(answers: list[Assessment]) -> dict[str, Assessment]:
    return {answer.patient_id: answer for answer in answers}


def test_alone_in_batches_or_all_at_once_the_assessment_is_the_same(knowledge: Knowledge, published_cases: Batch) -> None:
    everyone = joined(published_cases, generated_patients(knowledge, 150, seed=1))
    subjects = everyone.patients["subject_id"].to_list()
    at_once = by_patient(assess_batch(everyone, knowledge))
    assert list(at_once) == subjects

    in_batches: dict[str, Assessment] = {}
    order = random.Random(2)
    order.shuffle(subjects)
    for start in range(0, len(subjects), 17):
        chosen = subjects[start : start + 17]
        mine = pl.col("subject_id").is_in(chosen)
        part = Batch(
            patients=everyone.patients.filter(mine).sample(fraction=1, shuffle=True, seed=start),
            events=everyone.events.filter(mine).sample(fraction=1, shuffle=True, seed=start),
        )
        in_batches |= by_patient(assess_batch(part, knowledge))

    differing = {who for who in subjects if in_batches[who] != at_once[who]}
    for who in subjects:
        (alone,) = assess_batch(only_patient(everyone, who), knowledge)
        if alone != at_once[who]:
            differing.add(who)
    assert not differing


def test_the_order_of_patients_is_kept(knowledge: Knowledge, published_cases: Batch) -> None:
    backwards = Batch(patients=published_cases.patients.reverse(), events=published_cases.events)
    assert [a.patient_id for a in assess_batch(backwards, knowledge)] == backwards.patients["subject_id"].to_list()
