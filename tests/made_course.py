"""Made patients with a course over years, as FHIR: published cases hold one moment, a registry's patients hold many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from hand_made import CASES

from calcinosis.api import screen

Json = dict[str, Any]
LABS = {  # key -> LOINC code, unit, values by date; None: not measured then
    "calcium": ("17861-6", "mg/dL", {"2019-02-11": 9.4, "2020-01-20": 9.9, "2020-09-14": 10.4, "2021-03-02": 10.9, "2021-10-18": 11.2, "2022-04-04": 9.8}),
    "phosphate": ("2777-1", "mg/dL", {"2019-02-11": 3.9, "2020-01-20": 5.2, "2020-09-14": 6.1, "2021-03-02": 6.6, "2021-10-18": 7.1, "2022-04-04": 4.9}),
    "pth": ("2731-8", "pg/mL", {"2020-01-20": 210.0, "2021-03-02": 540.0, "2021-10-18": 610.0}),
    "creatinine": ("2160-0", "mg/dL", {"2019-02-11": 1.8, "2020-01-20": 3.9, "2020-09-14": 6.8, "2021-10-18": 7.2}),
    "albumin": ("1751-7", "g/dL", {"2019-02-11": 4.0, "2020-09-14": 3.4, "2021-10-18": 3.1}),
}
DRUGS = {  # RxNorm -> name, start, end, status
    "11289": ("warfarin", "2020-03-01", "2021-09-20", "completed"),
    "1399": ("calcitriol", "2020-10-01", None, "active"),
    "8640": ("prednisone", "2018-06-01", "2019-12-31", "completed"),
}
CONDITIONS = {
    "ssc": ("Systemic sclerosis", "http://hl7.org/fhir/sid/icd-10-cm", "M34.9", "2017-05-01"),
    "esrd": ("End stage renal disease", "http://hl7.org/fhir/sid/icd-10-cm", "N18.6", "2020-08-15"),
    "ulcer": ("Painful skin ulcer of the thigh with livedo", None, None, "2021-10-10"),
    "gangrene": ("Necrotic eschar of the thigh", None, None, "2021-10-16"),
}


def course(patient: str = "course-1", name: str = "made") -> Json:
    """Systemic sclerosis, then dialysis, warfarin, and a necrotic ulcer in October 2021."""
    subject = {"reference": f"Patient/{patient}"}
    resources: list[Json] = [{"resourceType": "Patient", "id": patient, "gender": "female", "birthDate": "1961-03-04"}]
    for key, (text, system, code, onset) in CONDITIONS.items():
        coding = {"coding": [{"system": system, "code": code}]} if code else {}
        resources.append({
            "resourceType": "Condition", "id": f"{name}-{key}", "subject": subject, "onsetDateTime": onset, "code": {"text": text} | coding,
            "verificationStatus": {"coding": [{"code": "confirmed"}]},
        })  # fmt: skip
    for key, (loinc, unit, values) in LABS.items():
        for number, (day, value) in enumerate(values.items()):
            resources.append({
                "resourceType": "Observation", "id": f"{name}-{key}-{number}", "status": "final", "subject": subject, "effectiveDateTime": day,
                "code": {"coding": [{"system": "http://loinc.org", "code": loinc}], "text": key},
                "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
            })  # fmt: skip
    for code, (text, start, end, status) in DRUGS.items():
        resources.append({
            "resourceType": "MedicationStatement", "id": f"{name}-{text}", "status": status, "subject": subject,
            "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code}], "text": text},
            "effectivePeriod": {"start": start} | ({"end": end} if end else {}),
        })  # fmt: skip
    resources.append({
        "resourceType": "Procedure", "id": f"{name}-dialysis", "status": "in-progress", "subject": subject, "code": {"text": "Hemodialysis"},
        "performedPeriod": {"start": "2020-09-01"},
    })  # fmt: skip
    resources.append({
        "resourceType": "DiagnosticReport", "id": f"{name}-biopsy", "status": "final", "subject": subject, "effectiveDateTime": "2021-10-20",
        "code": {"text": "Skin biopsy, thigh"}, "conclusion": "Calcification of small vessels with thrombosis.",
    })  # fmt: skip
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}


HOSTILE = ("../../etc/passwd", "..", "<script>alert(1)</script>", "zoë/岡村 №7", "a/b?c=d#e%2f&f", '=HYPERLINK("http://x")', "' OR 1=1 --", "​‮txt")


def make_cohort(folder: Path) -> Path:
    """The published cases and a made course, screened; as many cases as there are hostile names bear those."""
    source = folder / "source"
    shutil.copytree(CASES / "bundles", source)
    (source / "course.json").write_text(json.dumps(course()))
    screen(source, folder / "screened")
    rename(folder / "screened")
    return folder / "screened"


def rename(screened: Path) -> None:
    """Give the first patients with an alarm hostile names, in every table."""
    people = pl.read_parquet(screened / "assessments.parquet")
    old = people.filter(pl.col("alarms").list.len() > 0, pl.col("subject_id") != "course-1")["subject_id"].head(len(HOSTILE)).to_list()
    for table in ("assessments", "reasons", "treatment_reviews", "treatment_options", "events"):
        path = screened / f"{table}.parquet"
        pl.read_parquet(path).with_columns(pl.col("subject_id").replace(old, list(HOSTILE))).write_parquet(path)
