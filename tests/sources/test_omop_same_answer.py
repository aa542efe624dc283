"""Published cases as FHIR and as a CDM: the same patient gets the same assessment.

A CDM has no place for these, so both sides go without: the body site of a condition, whether a condition was refuted or suspected
(such conditions are left out), the status of a drug, and notes beside drugs and procedures. A flag beside a number travels as
value_as_concept_id.
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
from calcinosis.sources.coding import system_name

VOCABULARY = {"SNOMED": "SNOMED", "LOINC": "LOINC", "RXNORM": "RxNorm", "ICD10CM": "ICD10CM"}
NOT_CARRIED = {
    "Condition": ("bodySite", "verificationStatus"), "MedicationStatement": ("status", "note"), "Procedure": ("status", "note"),
}  # fmt: skip
UNCERTAIN = {"refuted", "provisional", "differential", "unconfirmed", "entered-in-error"}


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
    verification = {coding["code"] for coding in resource.get("verificationStatus", {}).get("coding", ())}
    codings = resource.get("code", resource.get("medicationCodeableConcept", {})).get("coding", ())
    if verification & UNCERTAIN or len(codings) > 1 or any(system_name(coding.get("system")) not in VOCABULARY for coding in codings):
        return None
    return {key: value for key, value in resource.items() if key not in NOT_CARRIED.get(resource["resourceType"], ())}


def as_rows(person: int, resource: Row, concepts: Concepts, tables: dict[str, list[Row]]) -> None:
    """Add the rows that say what a resource says."""
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


def test_a_case_as_fhir_and_as_a_cdm_gets_the_same_assessment(tmp_path: Path) -> None:
    concepts = Concepts()
    names = ("person", "condition_occurrence", "drug_exposure", "procedure_occurrence", "measurement", "note")
    tables: dict[str, list[Row]] = {name: [] for name in names}
    (tmp_path / "fhir").mkdir()
    left_out = kept = 0
    for person, path in enumerate(sorted((CASES / "bundles").glob("*.json")), start=1):
        entries = []
        for entry in json.loads(path.read_text(encoding="utf-8"))["entry"]:
            resource = carried(entry["resource"])
            if resource is None:
                left_out += 1
                continue
            kept += 1
            as_rows(person, resource, concepts, tables)
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
    answers = []
    for source in (tmp_path / "fhir", write_parquet(tmp_path / "omop", made)):
        cohort = screen(source, tmp_path / f"{source.name}-out", readers=readers)
        answers.append(pl.read_parquet(cohort.folder / "assessments.parquet").drop("n_warnings").sort("subject_id"))
    fhir, omop = answers
    assert fhir["leading_status"].is_in(["confirmed", "probable"]).sum() > 50
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
