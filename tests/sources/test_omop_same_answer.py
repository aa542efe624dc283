"""Published cases as FHIR and as a CDM: the same patient gets the same assessment.

A CDM has no place for these, so both sides go without: the body site of a condition, the status of a drug, and notes beside drugs and
procedures. A flag beside a number travels as value_as_concept_id; whether a condition was refuted, suspected or is over as its status.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hand_made import CASES
from omop_made import Row, cdm, write_parquet

from calcinosis.api import make_readers, screen
from calcinosis.events import ENDED
from calcinosis.sources.coding import system_name

VOCABULARY = {"SNOMED": "SNOMED", "LOINC": "LOINC", "RXNORM": "RxNorm", "ICD10CM": "ICD10CM"}
NOT_CARRIED = {
    "Condition": ("bodySite",), "MedicationStatement": ("status", "note"), "Procedure": ("status", "note"),
}  # fmt: skip
# What FHIR and a CDM say of a condition, in turn. OMOP has no concept for refuted, so that an ETL can leave only the word.
STATUSES: list[tuple[Row, Row]] = [
    ({"verificationStatus": "confirmed"}, {"concept_id": 32893}),
    ({"verificationStatus": "provisional"}, {"concept_id": 32899, "source_value": "P"}),
    ({}, {"concept_id": 32902}),
    ({"verificationStatus": "refuted"}, {"source_value": "refuted"}),
    ({"clinicalStatus": "resolved"}, {"concept_id": 32906}),
    ({"verificationStatus": "differential"}, {"concept_id": 0, "source_value": "Differential"}),
    ({"verificationStatus": "unconfirmed"}, {"concept_id": 32892}),
    ({"verificationStatus": "entered-in-error"}, {"source_value": "entered-in-error"}),
    ({"clinicalStatus": "remission", "verificationStatus": "confirmed"}, {"source_value": "remission"}),
    ({}, {}),
]


class Concepts:
    """A concept id for every code and name, as a vocabulary would have it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], int] = {}

    def number(self, coded: dict[str, Any] | None) -> int:
        """0 where there is no code of a vocabulary that OMOP has."""
        for coding in (coded or {}).get("coding", ()):
            vocabulary = VOCABULARY.get(system_name(coding.get("system")))
            if vocabulary:
                assert coded is not None
                return self.of(vocabulary, coding["code"], coded.get("text") or coding.get("display"))
        return 0

    def of(self, vocabulary: str, code: str, name: str) -> int:
        return self.rows.setdefault((vocabulary, code, name), 5000 + len(self.rows))


def carried(resource: Row) -> Row | None:
    """A resource without what a CDM cannot hold."""
    codings = resource.get("code", resource.get("medicationCodeableConcept", {})).get("coding", ())
    if len(codings) > 1 or any(system_name(coding.get("system")) not in VOCABULARY for coding in codings):
        return None
    return {key: value for key, value in resource.items() if key not in NOT_CARRIED.get(resource["resourceType"], ())}


def as_published(resource: Row) -> tuple[Row, Row]:
    """The resource, and the columns that say its status: confirmed or refuted."""
    [coding] = resource["verificationStatus"]["coding"]
    return resource, next(row for fhir, row in STATUSES if fhir == {"verificationStatus": coding["code"]})


def dealt(resource: Row, turn: int) -> tuple[Row, Row]:
    """The resource with another status, and the columns that say it."""
    fhir, row = STATUSES[turn % len(STATUSES)]
    rest = {name: value for name, value in resource.items() if name not in ("verificationStatus", "clinicalStatus")}
    return rest | {name: {"coding": [{"code": code}]} for name, code in fhir.items()}, row


def as_rows(person: int, resource: Row, concepts: Concepts, tables: dict[str, list[Row]], status: Row) -> None:
    """Add the rows that say what a resource says.

    Args:
        status: of a condition; the end of a column's name -> its value.
    """
    code = resource.get("code") or resource.get("medicationCodeableConcept")
    number, text = concepts.number(code), (code or {}).get("text")
    told = {"person_id": person}
    match resource["resourceType"]:
        case "Patient":
            parts = [int(part) for part in resource.get("birthDate", "").split("-") if part]
            born = dict(zip(("year_of_birth", "month_of_birth", "day_of_birth"), parts, strict=False))
            tables["person"].append({**told, **born, "gender_source_value": resource.get("gender")})
        case "Condition":
            when = day(resource.get("onsetDateTime") or resource.get("recordedDate"))
            tables["condition_occurrence"].append(
                {**told, "condition_concept_id": number, "condition_source_value": text, "condition_start_date": when}
                | {f"condition_status_{name}": value for name, value in status.items()}
            )
        case "MedicationStatement":
            when = day(resource.get("effectiveDateTime") or resource.get("dateAsserted"))
            tables["drug_exposure"].append({**told, "drug_concept_id": number, "drug_source_value": text, "drug_exposure_start_date": when})
        case "Procedure":
            tables["procedure_occurrence"].append(
                {**told, "procedure_concept_id": number, "procedure_source_value": text, "procedure_date": day(resource.get("performedDateTime"))}
            )
        case "Observation":
            quantity = resource.get("valueQuantity", {})
            flag = next((item.get("text") for item in resource.get("interpretation", ())), None)
            tables["measurement"].append({
                **told, "measurement_concept_id": number, "measurement_source_value": text, "measurement_date": day(resource.get("effectiveDateTime")),
                "value_as_number": quantity.get("value"), "unit_source_value": quantity.get("unit"), "value_source_value": resource.get("valueString"),
                "value_as_concept_id": concepts.of("SNOMED", f"flag {flag}", flag) if flag else None,
                "operator_concept_id": {"<": 4171756, ">": 4172704}.get(quantity.get("comparator", "")),
            })  # fmt: skip
        case "DiagnosticReport":
            kind = next(item.get("text") or item["coding"][0]["display"] for item in resource["category"])
            tables["note"].append({
                **told, "note_class_concept_id": concepts.of("Note Type", kind, kind), "note_title": text,
                "note_date": day(resource.get("effectiveDateTime")), "note_text": resource["conclusion"],
            })  # fmt: skip


def day(text: str | None) -> str | None:
    return text + {4: "-01-01", 7: "-01"}.get(len(text), "") if text else None


@pytest.mark.parametrize("first", [None, 0, 3, 7], ids=["as published", "dealt from 0", "dealt from 3", "dealt from 7"])
def test_a_case_as_fhir_and_as_a_cdm_gets_the_same_assessment(tmp_path: Path, first: int | None) -> None:
    """With the statuses of its conditions as published, and with others, dealt out from the first one on."""
    concepts = Concepts()
    names = ("person", "condition_occurrence", "drug_exposure", "procedure_occurrence", "measurement", "note")
    tables: dict[str, list[Row]] = {name: [] for name in names}
    (tmp_path / "fhir").mkdir()
    left_out = kept = n_conditions = 0
    for person, path in enumerate(sorted((CASES / "bundles").glob("*.json")), start=1):
        entries = []
        for entry in json.loads(path.read_text(encoding="utf-8"))["entry"]:
            resource = carried(entry["resource"])
            if resource is None:
                left_out += 1
                continue
            kept += 1
            status: Row = {}
            if resource["resourceType"] == "Condition":
                resource, status = as_published(resource) if first is None else dealt(resource, first + n_conditions)
                n_conditions += 1
            as_rows(person, resource, concepts, tables, status)
            named = {"id": str(person)} if resource["resourceType"] == "Patient" else {"subject": {"reference": f"Patient/{person}"}}
            entries.append({"resource": {**resource, **named}})
        (tmp_path / "fhir" / path.name).write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    assert person > 100
    assert kept > 10 * left_out
    made = cdm(**tables)
    made["concept"] = [
        {"concept_id": number, "vocabulary_id": vocabulary, "concept_code": code, "concept_name": name}
        for (vocabulary, code, name), number in concepts.rows.items()
    ]
    readers = make_readers()
    answers, events = [], []
    for source in (tmp_path / "fhir", write_parquet(tmp_path / "omop", made)):
        cohort = screen(source, tmp_path / f"{source.name}-out", readers=readers)
        answers.append(pl.read_parquet(cohort.folder / "assessments.parquet").drop("n_warnings").sort("subject_id"))
        of_conditions = pl.col("source").str.to_lowercase().str.starts_with("condition")
        events.append(cohort.events.filter(of_conditions).select("subject_id", "concept", "certainty", "status", "time"))
    fhir, omop = answers
    assert sorted(events[0].rows(), key=repr) == sorted(events[1].rows(), key=repr)
    if first is None:
        assert fhir["leading_status"].is_in(["confirmed", "probable"]).sum() > 50
    else:
        assert {"affirmed", "uncertain", "negated"} <= set(events[1]["certainty"])
        assert ENDED in set(events[1]["status"])
    differ = {
        column: [(a, b) for a, b in zip(fhir.select("subject_id", column).rows(), omop.select("subject_id", column).rows(), strict=True) if a != b]
        for column in fhir.columns[1:]
    }  # fmt: skip
    differ = {column: rows for column, rows in differ.items() if rows}
    assert not differ, differ


@pytest.mark.parametrize("case", ["b090"])
def test_every_kind_of_row_takes_part(case: str) -> None:
    kinds = {entry["resource"]["resourceType"] for entry in json.loads((CASES / "bundles" / f"{case}.json").read_text())["entry"]}
    assert {"Patient", "Condition", "Observation", "Procedure", "DiagnosticReport"} <= kinds
