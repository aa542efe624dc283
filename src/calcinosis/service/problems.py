"""Every error as ``application/problem+json`` (RFC 9457). A problem never quotes what was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"
ErrorPage = Callable[[Request, int, str | None, Mapping[str, str] | None], Response | None]  # None: a program asked


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str | None = None
    errors: list[str] | None = Field(None, description="places that do not fit the schema, and why")


class ProblemError(Exception):
    """Raised anywhere in the service; becomes a response."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: list[str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.errors = status, detail, dict(headers or {}), errors


def problem(status: int, detail: str | None, headers: Mapping[str, str] | None = None, errors: list[str] | None = None) -> Response:
    phrase = HTTPStatus(status).phrase
    body = Problem(title=phrase, status=status, detail=None if detail == phrase else detail, errors=errors)
    return Response(
        orjson.dumps(body.model_dump(exclude_none=True)), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def places(errors: list[Any]) -> list[str]:
    """Where and why, without the value: it may hold patient data."""
    return [f"{'.'.join(str(part)[:60] for part in error['loc'])}: {error['type']}" for error in errors[:20]]


def invalid(error: ValidationError) -> ProblemError:
    return ProblemError(422, "the body does not fit the schema", errors=places(error.errors(include_input=False, include_url=False)))


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def handle_problems(app: FastAPI, page: ErrorPage) -> None:
    """``page`` answers where somebody sits at a browser."""

    def answer(
        request: Request, status: int, detail: str | None, headers: Mapping[str, str] | None = None, errors: list[str] | None = None
    ) -> Response:
        return page(request, status, detail, headers) or problem(status, detail, headers, errors)

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        return answer(request, error.status, error.detail, error.headers, error.errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return answer(request, 422, "a parameter does not fit the schema", errors=places(list(error.errors())))
