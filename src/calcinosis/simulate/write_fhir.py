"""FHIR R4 Bulk Data NDJSON: lines are assembled column-wise from fragments of each payload."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import Executor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from calcinosis.ahead import cores, in_order
from calcinosis.simulate.direct_file import DirectFile
from calcinosis.simulate.plan import Payload, Plan
from calcinosis.simulate.population import RECORD_ENDS
from calcinosis.simulate.statements import FIRST_DAY, Block, course_end

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
_SLICE = 20_000  # rows put into words at once: about 7 MB of text
_MINUTES_A_DAY = 1440
_DAYS_BEFORE = (FIRST_DAY - date(1970, 1, 1)).days
_DAYS = pl.date_range(FIRST_DAY, RECORD_ENDS, eager=True).dt.strftime("%Y-%m-%dT")
_CLOCK = pl.Series([f"{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(_MINUTES_A_DAY)])
_NO_VALUE = orjson.dumps({"coding": [{"system": _ABSENT, "code": "unknown"}]}).decode()
_MEASURED = pl.concat([_CLOCK + '","valueQuantity":{"value":', _CLOCK + f'","dataAbsentReason":{_NO_VALUE}}}\n'])


class FhirWriter:
    """One NDJSON file per resource type, appended block by block: slices are put into words on every core and written in order."""

    def __init__(self, plan: Plan, folder: Path, pool: Executor) -> None:
        self._pool = pool
        self._kinds = np.array([list(_TYPES).index(payload.kind) for payload in plan.payloads], np.int8)
        self._body = pl.Series([_body(payload, ended=False) for payload in plan.payloads])
        self._ended = pl.Series([_body(payload, ended=True) for payload in plan.payloads])
        self._unit = pl.Series([*(_unit(payload) for payload in plan.payloads), ""])  # the last: of no value
        self._files: dict[str, DirectFile] = {}
        self._folder = folder
        self.rows = 0

    def write(self, block: Block) -> None:
        self._append("Patient", _joined(_patients(block)))
        subject = pl.concat_str(pl.lit('","subject":{"reference":"Patient/'), block.truth["subject_id"])
        subjects, first = pl.select(subject).to_series(), block.patients.first_id

        def lines(part: tuple[str, pl.DataFrame]) -> memoryview:
            kind, said = part
            return _joined(said.select(self._line(kind, said, subjects.gather(said["subject"] - first))))

        slices = list(self._slices(block.statements))
        for (kind, _), text in zip(slices, in_order(self._pool, lines, slices, 2 * cores()), strict=True):
            self._append(_TYPES[kind], text)
        self.rows += len(block.statements)

    def _slices(self, said: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        said = said.with_row_index("row", offset=self.rows)
        numbers = self._kinds[said["payload"].to_numpy()]
        for number, kind in enumerate(_TYPES):
            for part in said.filter(numbers == number).iter_slices(_SLICE):
                yield kind, part

    def _line(self, kind: str, said: pl.DataFrame, subject: pl.Series) -> pl.Expr:
        payload = said["payload"]
        minute = said["time"].dt.epoch("s").to_numpy() // 60
        clock = minute % _MINUTES_A_DAY
        body = self._body.gather(payload)
        end: list[pl.Series | pl.Expr]
        match kind:
            case "lab":  # few pieces and no branches: each costs as much as a tenth of the line
                absent = said["value"].is_null()
                unit = self._unit.gather(payload.zip_with(~absent, pl.Series([len(self._unit) - 1], dtype=pl.Int32)))
                end = [_MEASURED.gather(clock + _MINUTES_A_DAY * absent.to_numpy()), said["value"].cast(pl.String).fill_null(""), unit]
            case "drug":
                body = body.zip_with(~said["ended"], self._ended.gather(payload))
                stop = course_end(pl.col("time")).dt.strftime('","dispenseRequest":{"validityPeriod":{"end":"%Y-%m-%d"}}}\n')
                end = [_CLOCK.gather(clock), pl.when("ended").then(stop).otherwise(pl.lit('"}\n'))]
            case _:
                end = [_CLOCK.gather(clock), pl.lit('"}\n')]
        day = _DAYS.gather(minute // _MINUTES_A_DAY - _DAYS_BEFORE)
        return pl.concat_str(pl.lit(f'{{"resourceType":"{_TYPES[kind]}","id":"s'), pl.col("row"), subject, body, day, *end)

    def _append(self, resource: str, lines: memoryview) -> None:
        if resource not in self._files:
            self._files[resource] = DirectFile(self._folder / f"{resource}.ndjson")
        self._files[resource].write(lines)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _joined(lines: pl.DataFrame) -> memoryview:
    """The bytes of one column of text, which Arrow keeps one after the other."""
    column = lines.to_series().to_arrow()
    if column.null_count:
        raise ValueError("a line lacks a part")
    _, offsets, text = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset :][[0, len(column)]]
    return memoryview(text)[ends[0] : ends[1]]


def _patients(block: Block) -> pl.DataFrame:
    people = block.patients
    frame = pl.DataFrame({"id": block.truth["subject_id"], "birth": people.birth_day, "female": people.female, "death": people.death_day})
    sex = pl.when("female").then(pl.lit("female")).otherwise(pl.lit("male"))
    dead = pl.concat_str(pl.lit(',"deceasedDateTime":"'), pl.col("death").cast(pl.Int32).cast(pl.Date).cast(pl.String), pl.lit('"'))
    return frame.select(
        pl.concat_str(
            pl.lit('{"resourceType":"Patient","id":"'), pl.col("id"), pl.lit('","gender":"'), sex, pl.lit('","birthDate":"'),
            pl.col("birth").cast(pl.Int32).cast(pl.Date).cast(pl.String), pl.lit('"'),
            pl.when(pl.col("death") >= 0).then(dead).otherwise(pl.lit("")), pl.lit("}\n"),
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
        return "}}\n"
    quantity = {"unit": payload.unit}
    if payload.unit_known:
        quantity |= {"system": "http://unitsofmeasure.org", "code": payload.unit}
    return "," + orjson.dumps(quantity).decode()[1:] + "}\n"
