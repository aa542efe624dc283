"""A small vocabulary and small FHIR resources for the tests of the FHIR reader."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from calcinosis.events import Batch
from calcinosis.knowledge.model import Code, Concept, Context, Lab
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir import read_fhir, read_resources
from calcinosis.sources.text import TextReader

Resource = dict[str, Any]

SNOMED, LOINC, RXNORM = "http://snomed.info/sct", "http://loinc.org", "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM, UCUM = "http://hl7.org/fhir/sid/icd-10-cm", "http://unitsofmeasure.org"

CONCEPTS = [
    Concept(key="calcinosis_cutis", label="Calcinosis cutis", kind="disease", synonyms=("calcinosis cutis", "calcinosis")),
    Concept(key="calciphylaxis", label="Calciphylaxis", kind="disease", synonyms=("calciphylaxis",)),
    Concept(key="dermatomyositis", label="Dermatomyositis", kind="disease", synonyms=("dermatomyositis",)),
    Concept(key="dermatomyositis_juvenile", label="Juvenile dermatomyositis", kind="disease", synonyms=("juvenile dermatomyositis",)),
    Concept(key="systemic_sclerosis", label="Systemic sclerosis", kind="disease", synonyms=("systemic sclerosis", "scleroderma")),
    Concept(key="livedo_racemosa", label="Livedo racemosa", kind="finding", synonyms=("livedo racemosa",)),
    Concept(key="skin_ulcer", label="Skin ulcer", kind="finding", synonyms=("skin ulcer*", "ulcer*")),
    Concept(key="imaging_calcification", label="Calcification", kind="finding", contexts=(Context.IMAGING,), synonyms=("calcification*",)),
    Concept(key="histology_calcium", label="Calcium", kind="finding", contexts=(Context.HISTOLOGY,), synonyms=("calcium deposit*",)),
    Concept(key="mass", label="Mass", kind="finding", synonyms=("mass",)),
    Concept(key="phosphate", label="Phosphate", kind="lab", synonyms=("phosphate",), lab=Lab(unit="mmol/L", molar_mass=94.97)),
    Concept(key="ana", label="ANA", kind="lab", synonyms=("antinuclear antibodies", "ana"), lab=Lab()),
    Concept(key="warfarin", label="Warfarin", kind="drug", synonyms=("warfarin",)),
    Concept(key="calcium_gluconate", label="Calcium gluconate", kind="drug", synonyms=("calcium gluconate",)),
    Concept(key="skin_biopsy", label="Skin biopsy", kind="procedure", synonyms=("skin biopsy", "biopsy of skin")),
    Concept(key="radiograph", label="Radiograph", kind="procedure", synonyms=("radiograph*", "x ray*")),
    Concept(key="haemodialysis", label="Haemodialysis", kind="procedure", synonyms=("haemodialysis",)),
    Concept(key="injection", label="Injection", kind="exposure", synonyms=("injection*",)),
    Concept(key="penicillin_allergy", label="Penicillin allergy", kind="allergy", synonyms=("penicillin",)),
    Concept(key="pacemaker", label="Pacemaker", kind="device", synonyms=("pacemaker",)),
    Concept(key="elbow", label="Elbow", kind="site", synonyms=("elbow*",)),
    Concept(key="thigh", label="Thigh", kind="site", synonyms=("thigh*",)),
    Concept(key="hand", label="Hand", kind="site", synonyms=("hand*",)),
]


def _code(concept: str, system: Any, code: str, relation: Any = "exact") -> Code:
    return Code(concept_key=concept, system=system, code=code, relation=relation, licence_tag="test", verified_in="test")


CODES = [
    _code("calcinosis_cutis", "ICD10CM", "L94.2"),
    _code("calciphylaxis", "ICD10CM", "E83.59", "broader"),
    _code("dermatomyositis", "ICD10CM", "M33", "broader"),
    _code("dermatomyositis", "ICD10CM", "M33.1"),
    _code("dermatomyositis", "ICD9CM", "710.3"),
    _code("dermatomyositis_juvenile", "ICD10CM", "M33.0"),
    _code("systemic_sclerosis", "SNOMED", "89155008"),
    _code("phosphate", "LOINC", "2777-1"),
    _code("warfarin", "RXNORM", "11289"),
    _code("livedo_racemosa", "HPO", "HP:0000001"),
    _code("elbow", "SNOMED", "127949000"),
]
INDEX = ConceptIndex(CODES, {concept.key: concept for concept in CONCEPTS})
READER = TextReader(CONCEPTS)


# --- resources -----------------------------------------------------------------------------------------


def coded(text: str | None = None, system: str | None = None, code: str | None = None, display: str | None = None) -> Resource:
    coding = {key: value for key, value in (("system", system), ("code", code), ("display", display)) if value is not None}
    return {**({"coding": [coding]} if coding else {}), **({"text": text} if text is not None else {})}


def made(kind: str, key: str = "1", **fields: Any) -> Resource:
    """A resource about patient ``p``."""
    return {"resourceType": kind, "id": key, "subject": {"reference": "Patient/p"}, **fields}


def patient(key: str = "p", **fields: Any) -> Resource:
    return {"resourceType": "Patient", "id": key, "gender": "female", "birthDate": "1970-03-04", **fields}


def status(word: str) -> Resource:
    return {"coding": [{"code": word}]}


def quantity(value: Any, unit: str = "mg/dL", **fields: Any) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **fields}


def attached(text: str, kind: str = "text/plain") -> Resource:
    return {"contentType": kind, "data": base64.b64encode(text.encode()).decode()}


CALCINOSIS = coded("Calcinosis cutis", ICD10CM, "L94.2")
PHOSPHATE = coded("Phosphate", LOINC, "2777-1")
WARFARIN = coded("warfarin 5 MG Oral Tablet", RXNORM, "11289")


# --- reading -------------------------------------------------------------------------------------------


def read(*resources: Any) -> Batch:
    """In process, with the patient added."""
    return read_resources([patient(), *resources], INDEX, READER)


def read_paths(*paths: Path, **options: Any) -> Batch:
    """From files, as one batch."""
    return gathered(read_fhir(paths, INDEX, READER, **options))


def gathered(parts: Iterable[Batch]) -> Batch:
    """The batches of one reading of FHIR, the last of which carries the account."""
    batches = list(parts)
    last = batches[-1]
    last.patients = pl.concat([batch.patients for batch in batches])
    last.events = pl.concat([batch.events for batch in batches])
    last.not_read = dict(sum((Counter(batch.not_read) for batch in batches), Counter()))
    return last


def events(*resources: Any) -> list[dict[str, Any]]:
    """The events of these resources, without the columns that say nothing."""
    return [{key: value for key, value in row.items() if value not in (None, [])} for row in read(*resources).events.to_dicts()]


def said(*resources: Any) -> list[tuple[str, str]]:
    """(concept, certainty) of each event."""
    return [(event["concept"], event["certainty"]) for event in events(*resources)]


def only(*resources: Any) -> dict[str, Any]:
    """The one event of these resources."""
    found = events(*resources)
    assert len(found) == 1, found
    return found[0]


def problems(batch: Batch) -> list[tuple[str, str, int | None, str | None]]:
    """(level, category, line, record) of each reject."""
    return [(row["level"], row["category"], row["line"], row["record"]) for row in batch.rejects.to_dicts()]


def assert_accounted(batch: Batch) -> None:
    assert batch.records_read == batch.records_used + batch.records_ignored + batch.records_rejected
    assert min(batch.records_used, batch.records_ignored, batch.records_rejected) >= 0
    assert batch.rejects.filter(pl.col("level") == "error").height == batch.records_rejected


# --- files ---------------------------------------------------------------------------------------------


def write_bundle(path: Path, resources: Sequence[Any]) -> Path:
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}))
    return path


def write_lines(path: Path, resources: Sequence[Any], *, gzipped: bool = False) -> Path:
    """NDJSON; bytes and strings are written as they are."""
    texts = [item if isinstance(item, (bytes, str)) else json.dumps(item) for item in resources]
    data = b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts)
    path.write_bytes(gzip.compress(data) if gzipped else data)
    return path


def comparable(batch: Batch) -> tuple[Any, ...]:
    """All that does not depend on the file the resources came in."""
    rows = batch.events.drop("source_file").with_columns(pl.col("sites").list.join(","))
    return (
        sorted(rows.rows(), key=repr),
        sorted(batch.patients.drop("source_file").rows(), key=repr),
        sorted(batch.rejects.drop("file", "line", "record").rows(), key=repr),
        batch.unmapped.rows(),
        (batch.records_read, batch.records_used, batch.records_ignored, batch.records_rejected),
        batch.not_read,
    )
