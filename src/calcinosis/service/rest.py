"""The REST API, version 1: assess a record, look up the knowledge, look up the evidence."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from calcinosis.contract import Assessment, Citation
from calcinosis.evidence.cells import evidence_for, load_pooled, select
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.show import readable
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.wording import citation, cited
from calcinosis.service.guard import api_client
from calcinosis.service.limits import JSON_TYPES, check_record, read_body
from calcinosis.service.problems import ProblemError, responses
from calcinosis.service.work import Job

router = APIRouter(prefix="/api/v1", dependencies=[api_client])

FHIR: Final = "application/fhir+json"
_LOOKED_UP: Final = responses(401, 404, 422, 429)
_ASSESSED: Final = responses(400, 401, 406, 408, 413, 415, 422, 429, 503)


class Table(StrEnum):
    TYPES = "types"
    DISEASES = "diseases"
    MIMICS = "mimics"
    ALARMS = "alarms"
    TESTS = "tests"
    FINDINGS = "findings"
    CONCEPTS = "concepts"
    TREATMENTS = "treatments"
    REVIEWS = "reviews"
    SETTINGS = "settings"
    SOURCES = "sources"


class Listed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str
    label: str


class Listing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: Table
    knowledge_version: str
    entries: list[Listed]


class Entry(BaseModel):
    """One entry as the knowledge base holds it, criteria in words, with the sources it cites."""

    model_config = ConfigDict(extra="forbid")

    table: Table
    key: str
    label: str
    knowledge_version: str
    content: dict[str, Any]
    citations: list[Citation]


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    total: int
    offset: int
    items: list[Study]


class Cell(BaseModel):
    """What is known of one treatment in one type."""

    model_config = ConfigDict(extra="forbid")

    treatment: str
    type: str
    studies: int
    patients: int | None
    single_cases: int
    level: int | None
    directions: dict[str, int]
    diseases: dict[str, int]
    pooled: list[Pooled]
    rows: list[str]


class Pooled(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: str
    disease: str | None
    k: int
    n: int
    events: int
    estimate: float
    low: float
    high: float
    prediction_low: float | None
    prediction_high: float | None
    method: str


Cell.model_rebuild()

# --- assess ------------------------------------------------------------------------------------------

_BUNDLE: Final = {
    "type": "object",
    "title": "FHIR R4 Bundle",
    "required": ["resourceType"],
    "properties": {"resourceType": {"const": "Bundle"}, "entry": {"type": "array", "items": {"type": "object"}}},
}
_RESOURCES: Final = {
    "type": "array",
    "title": "FHIR R4 resources of one patient",
    "items": {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}},
}
_PHENOPACKET: Final = {
    "type": "object",
    "title": "GA4GH phenopacket",
    "required": ["subject", "metaData"],
    "properties": {"subject": {"type": "object"}, "metaData": {"type": "object"}},
}
_PATIENT: Final = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1960-05-01"}
_DIAGNOSIS: Final = {
    "resourceType": "Condition",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "L94.2"}], "text": "Calcinosis cutis"},
}
_EXAMPLES: Final = {
    "bundle": {
        "summary": "A FHIR Bundle",
        "value": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": _PATIENT}, {"resource": _DIAGNOSIS}]},
    },
    "resources": {"summary": "A list of FHIR resources", "value": [_PATIENT, _DIAGNOSIS]},
    "phenopacket": {
        "summary": "A phenopacket",
        "value": {
            "id": "p1",
            "subject": {"id": "p1", "sex": "FEMALE"},
            "phenotypicFeatures": [{"type": {"id": "HP:0025520", "label": "Calcinosis cutis"}}],
            "metaData": {"created": "2026-01-01T00:00:00Z", "createdBy": "example", "phenopacketSchemaVersion": "2.0"},
        },
    },
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"anyOf": [_BUNDLE, _RESOURCES, _PHENOPACKET]}, "examples": _EXAMPLES} for kind in JSON_TYPES},
    }
}


@router.post(
    "/assess", tags=["Assess"], response_model=Assessment, openapi_extra=_BODY, summary="Assess one patient",
    responses={**_ASSESSED, 200: {"content": {FHIR: {"schema": {"type": "object"}}}}},
)  # fmt: skip
async def assess(request: Request) -> Response:
    """Alarms, types with reasons, missing work-up and options of one patient. Nothing is stored.

    The answer is the JSON contract, or a FHIR R4 Bundle when ``Accept`` asks for ``application/fhir+json``.
    """
    state = request.app.state
    kind = _wanted(request.headers.get("accept", "*/*"))
    body = await read_body(request, state.settings)
    check_record(body, state.settings)
    done = await state.assessors.answer(Job(kind="fhir" if kind == FHIR else "json", body=body))
    return Response(done.body, media_type=kind)


def _wanted(accept: str) -> str:
    """The first acceptable of the two media types; weights decide, then the order of the header."""
    ranked = []
    for place, part in enumerate(accept.lower().split(",")):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            ranked.append((-float(weight), place, name))
        except ValueError:
            continue
    for negative, _, name in sorted(ranked):
        if negative and name == FHIR:
            return FHIR
        if negative and name in ("application/json", "application/*", "*/*"):
            return "application/json"
    raise ProblemError(406, f"this service answers in application/json or {FHIR}")


# --- knowledge ---------------------------------------------------------------------------------------

Key = Annotated[str, Path(max_length=100)]


def _knowledge(request: Request) -> Knowledge:
    knowledge: Knowledge = request.app.state.knowledge
    return knowledge


def _label(record: Any) -> str:
    return str(getattr(record, "label", None) or getattr(record, "title", None) or record.key)


@router.get("/knowledge/{table}", tags=["Knowledge"], responses=_LOOKED_UP, summary="All entries of one table")
async def listing(table: Table, request: Request) -> Listing:
    knowledge = _knowledge(request)
    entries = [Listed(key=key, label=_label(record)) for key, record in getattr(knowledge, table.value).items()]
    return Listing(table=table, knowledge_version=knowledge.version, entries=entries)


@router.get("/knowledge/{table}/{key}", tags=["Knowledge"], responses=_LOOKED_UP, summary="One entry, with its sources")
async def entry(table: Table, key: Key, request: Request) -> Entry:
    knowledge = _knowledge(request)
    record = getattr(knowledge, table.value).get(key)
    if record is None:
        raise ProblemError(404, f"no such entry in {table.value}")
    keys = dict.fromkeys(each for each in cited(record) if each in knowledge.sources) if table is not Table.SOURCES else {key: None}
    return Entry(
        table=table, key=key, label=_label(record), knowledge_version=knowledge.version, content=readable(record, knowledge),
        citations=[_citation(knowledge, each) for each in keys],
    )  # fmt: skip


def _citation(knowledge: Knowledge, key: str) -> Citation:
    text, url = citation(knowledge.sources[key])
    return Citation(key=key, text=text, url=url or None)


# --- evidence ----------------------------------------------------------------------------------------

Treatment = Annotated[str | None, Query(description="key of a treatment", max_length=100)]
Type = Annotated[str | None, Query(alias="type", description="key of a type", max_length=100)]
Disease = Annotated[str | None, Query(description="key of a disease", max_length=100)]


def known(knowledge: Knowledge, **keys: str | None) -> None:
    for table, key in keys.items():
        if key is not None and key not in getattr(knowledge, table):
            raise ProblemError(404, f"no such entry in {table}")


@router.get("/evidence/studies", tags=["Evidence"], responses=_LOOKED_UP, summary="Rows of the evidence: one study, treatment and group")
async def studies(
    request: Request, treatment: Treatment = None, type_: Type = None, disease: Disease = None,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Page:  # fmt: skip
    knowledge = _knowledge(request)
    known(knowledge, treatments=treatment, types=type_, diseases=disease)
    rows = select(knowledge, treatment, type_, disease)
    return Page(total=len(rows), offset=offset, items=list(rows[offset : offset + limit]))


@router.get("/evidence/cells", tags=["Evidence"], responses=_LOOKED_UP, summary="What is known of each treatment in each type")
async def cells(request: Request, treatment: Treatment = None, type_: Type = None) -> list[Cell]:
    knowledge = _knowledge(request)
    known(knowledge, treatments=treatment, types=type_)
    pairs = [
        (one, kind)
        for one in ([treatment] if treatment else knowledge.treatments)
        for kind in ([type_] if type_ else knowledge.types)
    ]  # fmt: skip
    found = (evidence_for(knowledge, one, kind) for one, kind in pairs)
    names = list(Pooled.model_fields)
    return [
        Cell(
            treatment=each.treatment, type=each.type, studies=each.studies, patients=each.patients, single_cases=each.single_cases,
            level=each.level, directions=each.directions, diseases=each.diseases, rows=[row.row for row in each.rows],
            pooled=[Pooled(**{name: getattr(cell, name) for name in names}) for cell in each.pooled],
        )
        for each in found if each.rows
    ]  # fmt: skip


def warm() -> None:
    """Read the pooled figures before the first request."""
    load_pooled()
