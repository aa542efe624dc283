"""The evidence as files to take away: the rows as CSV, and everything as FHIR R5."""

from __future__ import annotations

import io

import orjson
from fastapi import APIRouter, Request, Response

from calcinosis.evidence.cells import rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.report import evidence_summary
from calcinosis.service.guard import api_client
from calcinosis.service.problems import responses
from calcinosis.service.rest import FHIR, Disease, Treatment, Type, known

router = APIRouter(prefix="/api/v1/evidence", tags=["Evidence"], dependencies=[api_client])
_REFUSED = responses(401, 404, 422, 429)

# Plain functions: they run in a thread, and the event loop stays free for the EHR.


@router.get(
    "/studies.csv", summary="Rows that state what was asked for, as CSV, each with its reference", response_class=Response,
    responses={**_REFUSED, 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def studies_as_csv(request: Request, treatment: Treatment = None, type_: Type = None, disease: Disease = None) -> Response:
    knowledge: Knowledge = request.app.state.knowledge
    known(knowledge, treatments=treatment, types=type_, diseases=disease)
    stream = io.StringIO(newline="")
    evidence_summary.write_rows(rows_of(knowledge, treatment, type_, disease), knowledge, stream)
    return _file(stream.getvalue().encode(), "text/csv; charset=utf-8", "evidence.csv")


@router.get(
    "/bundle", summary="Rows, pooled proportions and comparisons as a FHIR R5 Bundle", response_class=Response,
    responses={**_REFUSED, 200: {"content": {FHIR: {"schema": {"type": "object"}}}}},
)  # fmt: skip
def evidence_as_fhir(request: Request, treatment: Treatment = None, type_: Type = None, disease: Disease = None) -> Response:
    from calcinosis.report.evidence_fhir import to_evidence_bundle  # SciPy takes a second to start

    knowledge: Knowledge = request.app.state.knowledge
    known(knowledge, treatments=treatment, types=type_, diseases=disease)
    return _file(orjson.dumps(to_evidence_bundle(knowledge, treatment, type_, disease)), FHIR, "evidence.fhir.json")


def _file(body: bytes, kind: str, name: str) -> Response:
    return Response(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
