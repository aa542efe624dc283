"""For whoever runs the service: is it alive, is it ready, what does it do."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from calcinosis.service.guard import metrics_client
from calcinosis.service.problems import ProblemError, responses

router = APIRouter(tags=["Operation"])


class Health(BaseModel):
    status: Literal["alive", "ready"]
    knowledge_version: str | None = None


@router.get("/health/live", summary="The process answers")
async def live() -> Health:
    return Health(status="alive")


@router.get("/health/ready", responses=responses(503), summary="Records can be assessed")
async def ready(request: Request) -> Health:
    if not request.app.state.assessors.ready:
        raise ProblemError(503, "the workers are not ready")
    return Health(status="ready", knowledge_version=request.app.state.knowledge.version)


@router.get(
    "/metrics", dependencies=[metrics_client], response_class=Response, summary="Figures for Prometheus",
    responses={**responses(401, 429), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
