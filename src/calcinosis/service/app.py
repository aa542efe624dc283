"""The application. A router per concern; pages and SMART launch are added the same way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from calcinosis.knowledge import load_knowledge
from calcinosis.service import cds_hooks, evidence_files, operation, pages, rest, smart
from calcinosis.service.assessors import Assessors
from calcinosis.service.audit import AuditLog, silence_libraries
from calcinosis.service.cds_models import Feedback, OrderSelectCall, OrderSignCall, PatientViewCall
from calcinosis.service.cohorts import Cohorts
from calcinosis.service.fhir_client import FhirClient
from calcinosis.service.guard import Guard
from calcinosis.service.metrics import Metrics
from calcinosis.service.pages.form_record import EntryForm
from calcinosis.service.pages.shell import error_page
from calcinosis.service.problems import Problem, handle_problems
from calcinosis.service.reach import CdsCors, KnownHosts
from calcinosis.service.settings import Settings
from calcinosis.service.shield import Shield
from calcinosis.service.smart_client import SmartClient
from calcinosis.service.smart_state import Launches
from calcinosis.service.smart_visit import Visits

_log = logging.getLogger("calcinosis.service")
API_VERSION: Final = "1.0.0"
_DESCRIPTION: Final = (
    "Decision support for calcium in the skin and soft tissue in connective tissue disease. It supports a clinician's decision and "
    "never makes one. Nothing that is sent is stored."
)
_REQUEST_MODELS: Final = (PatientViewCall, OrderSelectCall, OrderSignCall, Feedback, Problem)


def make_app(settings: Settings | None = None) -> FastAPI:
    """The application with everything it needs; workers start with its lifespan."""
    settings = settings or Settings()
    silence_libraries()
    if settings.cohorts and settings.authenticates and not settings.cohort_readers:
        _log.warning("whoever may sign in may read every cohort; cohort_readers names who may")
    metrics = Metrics()
    audit = AuditLog(settings.audit_log)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        state.fhir, state.guard, state.assessors = FhirClient(settings), Guard(settings), Assessors(settings, metrics)
        state.smart, state.launches, state.visits = SmartClient(settings), Launches(settings), Visits()
        rest.warm()
        state.cohorts.warm()
        await state.assessors.start()
        try:
            yield
        finally:
            await state.assessors.stop()
            await state.fhir.close()
            await state.smart.close()
            await state.guard.close()
            audit.close()

    app = FastAPI(
        title="calcinosis", version=API_VERSION, description=_DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/api/v1/openapi.json", license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    app.state.settings, app.state.metrics, app.state.audit = settings, metrics, audit
    app.state.knowledge = load_knowledge()
    app.state.cohorts = Cohorts(settings.cohorts, app.state.knowledge)
    app.state.entry_form = EntryForm(app.state.knowledge)
    app.state.shown = cds_hooks.ShownRules.empty()
    routers = (cds_hooks.router, rest.router, evidence_files.router, operation.router, *pages.routers)
    for router in (*routers, smart.router) if settings.smart else routers:
        app.include_router(router)
    handle_problems(app, error_page)
    if settings.cors_origins:
        app.add_middleware(CdsCors, origins=settings.cors_origins)
    if (hosts := settings.known_hosts) is not None:
        app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(Shield, audit=audit, metrics=metrics, page=error_page, frame_ancestors=settings.frame_ancestors)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, with the models of bodies that the routes read themselves."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, license_info=app.license_info,
            openapi_version="3.1.0",
        )  # fmt: skip
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in _REQUEST_MODELS:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            for name, part in schema.pop("$defs", {}).items():
                schemas.setdefault(name, part)
            schemas[model.__name__] = schema
        bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        document["components"]["securitySchemes"] = {"bearer": bearer}
        document["security"] = [{"bearer": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema
