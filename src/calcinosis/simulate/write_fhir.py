"""FHIR R4 Bulk Data NDJSON: lines are assembled column-wise from fragments of each payload."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl

from calcinosis.simulate.plan import Payload, Plan
from calcinosis.simulate.statements import Block, course_end

SYSTEMS = {
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "SNOMED": "http://snomed.info/sct",
    "LOINC": "http://loinc.org",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
}
_TYPES = {
    "condition": "Condition", "drug": "MedicationRequest", "procedure": "Procedure", "report": "DiagnosticReport",
    "note": "DocumentReference", "lab": "Observation",
}  # fmt: skip
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_DATE = {
    "condition": "recordedDate", "drug": "authoredOn", "procedure": "performedDateTime", "report": "effectiveDateTime",
    "note": "date", "lab": "effectiveDateTime",
}  # fmt: skip


class FhirWriter:
    """One NDJSON file per resource type, appended block by block."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._kinds = [payload.kind for payload in plan.payloads]
        self._body = pl.Series([_body(payload, ended=False) for payload in plan.payloads])
        self._ended = pl.Series([_body(payload, ended=True) for payload in plan.payloads])
        self._unit = pl.Series([_unit(payload) for payload in plan.payloads])
        self._files: dict[str, BinaryIO] = {}
        self._folder = folder
        self.rows = 0

    def write(self, block: Block) -> None:
        self._append("Patient", _patients(block))
        frame = block.statements.with_row_index("row", offset=self.rows)
        kind = pl.Series(self._kinds, dtype=pl.Categorical).gather(frame["payload"])
        minute = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:00Z")
        stamps = frame.select(pl.col("time").unique()).with_columns(stamp=minute)  # visits share their time
        frame = frame.with_columns(kind).join(stamps, on="time", how="left", maintain_order="left")
        for name, resource in _TYPES.items():
            part = frame.filter(pl.col(kind.name) == name)
            if not part.is_empty():
                self._append(resource, part.select(self._lines(part, name, resource)))
        self.rows += len(block.statements)

    def _lines(self, part: pl.DataFrame, kind: str, resource: str) -> pl.Expr:
        body = self._body.gather(part["payload"])
        if kind == "drug":
            body = body.zip_with(~part["ended"], self._ended.gather(part["payload"]))
        end: list[Any] = ['"}']
        if kind == "lab":
            value, unit = part["value"].cast(pl.String), self._unit.gather(part["payload"])
            absent = orjson.dumps({"coding": [{"system": _ABSENT, "code": "unknown"}]}).decode()
            end = [
                pl.when(part["value"].is_null())
                .then(pl.lit(f'","dataAbsentReason":{absent}}}'))
                .otherwise(pl.concat_str(pl.lit('","valueQuantity":{"value":'), value, unit))
            ]
        elif kind == "drug":
            stop = course_end(pl.col("time")).dt.strftime('","dispenseRequest":{"validityPeriod":{"end":"%Y-%m-%d"}}}')
            end = [pl.when("ended").then(stop).otherwise(pl.lit('"}'))]
        pieces = [
            pl.lit(f'{{"resourceType":"{resource}","id":"s'), pl.col("row"),
            pl.lit('","subject":{"reference":"Patient/'), pl.col("subject"),
            body, pl.col("stamp"), *(pl.lit(piece) if isinstance(piece, str) else piece for piece in end),
        ]  # fmt: skip
        return pl.concat_str(pieces)

    def _append(self, resource: str, lines: pl.DataFrame) -> None:
        if resource not in self._files:
            self._files[resource] = (self._folder / f"{resource}.ndjson").open("wb")
        lines.write_csv(self._files[resource], include_header=False, quote_style="never", separator="\x1f")

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _patients(block: Block) -> pl.DataFrame:
    people = block.patients
    frame = pl.DataFrame({"id": block.truth["subject_id"], "birth": people.birth_day, "female": people.female, "death": people.death_day})
    sex = pl.when("female").then(pl.lit("female")).otherwise(pl.lit("male"))
    dead = pl.concat_str(pl.lit(',"deceasedDateTime":"'), pl.col("death").cast(pl.Int32).cast(pl.Date).cast(pl.String), pl.lit('"'))
    return frame.select(
        pl.concat_str(
            pl.lit('{"resourceType":"Patient","id":"'), pl.col("id"), pl.lit('","gender":"'), sex, pl.lit('","birthDate":"'),
            pl.col("birth").cast(pl.Int32).cast(pl.Date).cast(pl.String), pl.lit('"'),
            pl.when(pl.col("death") >= 0).then(dead).otherwise(pl.lit("")), pl.lit("}"),
        )
    )  # fmt: skip


def _coded(payload: Payload) -> dict[str, Any]:
    if payload.code is None or payload.system is None:
        return {"text": payload.label}
    return {"coding": [{"system": SYSTEMS[payload.system], "code": payload.code, "display": payload.label}]}


def _body(payload: Payload, *, ended: bool) -> str:
    """From the end of the subject's id to the opening quote of the date."""
    code = _coded(payload)
    fields: dict[str, Any]
    match payload.kind:
        case "condition":
            status = {"affirmed": "confirmed", "negated": "refuted", "uncertain": "provisional"}[payload.certainty]
            fields = {"verificationStatus": {"coding": [{"system": _VERIFICATION, "code": status}]}, "code": code}
            if payload.certainty != "negated":
                fields["clinicalStatus"] = {"coding": [{"system": _CLINICAL, "code": "active"}]}
        case "drug":
            fields = {"status": "completed" if ended else "active", "intent": "order", "medicationCodeableConcept": code}
        case "procedure":
            fields = {"status": "completed", "code": code}
        case "report":
            section = "RAD" if payload.study == "imaging" else "PAT"
            fields = {
                "status": "final", "category": [{"coding": [{"system": _SECTION, "code": section}]}], "code": code,
                "conclusion": payload.text,
            }  # fmt: skip
        case "note":
            data = base64.b64encode((payload.text or "").encode()).decode()
            fields = {"status": "current", "type": code, "content": [{"attachment": {"contentType": "text/plain", "data": data}}]}
        case _:
            fields = {"status": "final", "code": code}
    inside = orjson.dumps(fields).decode()[1:-1]
    return f'"}},{inside},"{_DATE[payload.kind]}":"'


def _unit(payload: Payload) -> str:
    if payload.unit is None:
        return "}}"
    quantity = {"unit": payload.unit}
    if payload.unit_known:
        quantity |= {"system": "http://unitsofmeasure.org", "code": payload.unit}
    return "," + orjson.dumps(quantity).decode()[1:] + "}"
