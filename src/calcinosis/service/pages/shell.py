"""What all pages share: templates, navigation, files, errors. A page is HTML that works without scripts, in the look of the reports."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.params import Depends
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup

from calcinosis.contract import DISCLAIMER
from calcinosis.report import patient_page
from calcinosis.service.pages.files import address

_SECTION: Final = re.compile(r'<section id="([\w-]+)"[^>]*>\s*<h2[^>]*>(.*?)</h2>')
_ENTERED: Final = re.compile(r"(?:Patient/)?entered here(?:/([a-z0-9-]{1,60}))?")
_MACHINES: Final = ("/api/", "/cds-services", "/health/", "/metrics", "/static/")  # what programs ask for gets problem+json


@dataclass(frozen=True, slots=True)
class Door:
    """One entry of the navigation."""

    path: str
    name: str
    about: str


DOORS: Final = (
    Door("/assess", "Assess", "One patient: which type, why, how sure, what is missing and urgent, and what speaks against a treatment."),
    Door("/evidence", "Evidence", "What was published on each treatment: studies, pooled responses, and the gaps."),
    Door("/knowledge", "Knowledge", "Types, diseases, mimics, alarms, work-up and treatments, each statement with its source."),
    Door("/cohort", "Cohort", "The result of screening a whole record: who has it, who is at risk, and each patient's course."),
)


def page_router(guard: Depends) -> APIRouter:
    """A router for pages, which are not part of the description of the API.

    Args:
        guard: who may read them, of :mod:`calcinosis.service.guard`.
    """
    return APIRouter(include_in_schema=False, default_response_class=HTMLResponse, dependencies=[guard])


def page(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, about_patient: bool = False,
    **context: Any,
) -> HTMLResponse:  # fmt: skip
    """The template as a response.

    It is compressed unless it is about a patient: a response that holds a secret beside something an attacker may choose must not be
    (BREACH). Nothing is cached unless ``headers`` says so.
    """
    text = (
        environment()
        .get_template(template)
        .render(
            doors=doors(request),
            here=next((door.path for door in DOORS if _under(request.url.path, door.path)), request.url.path),
            knowledge_version=request.app.state.knowledge.version,
            disclaimer=DISCLAIMER,
            opened=getattr(request.state, "opened", None),
            **context,
        )
    )
    body = text.encode()
    more = {**(headers or {}), "Vary": "Accept-Encoding"}
    if not about_patient and accepts_gzip(request):
        body = gzip.compress(body, compresslevel=6, mtime=0)
        more["Content-Encoding"] = "gzip"
    return HTMLResponse(body, status_code=status, headers=more)


def doors(request: Request) -> list[Door]:
    """The entries of the navigation whose page exists."""
    open_: set[str] | None = getattr(request.app.state, "open_paths", None)
    if open_ is None:
        from calcinosis.service.pages import routers

        open_ = request.app.state.open_paths = {getattr(route, "path", "") for router in routers for route in router.routes}
    return [door for door in DOORS if door.path in open_]


def accepts_gzip(request: Request) -> bool:
    return any(part.partition(";")[0].strip().lower() == "gzip" for part in request.headers.get("accept-encoding", "").split(","))


def error_page(request: Request, status: int, detail: str | None, headers: Mapping[str, str] | None) -> HTMLResponse | None:
    """An error for somebody at a browser; None where a program asked."""
    wanted = request.headers.get("accept", "").lower()
    if "text/html" not in wanted or request.url.path.startswith(_MACHINES):
        return None
    phrase = HTTPStatus(status).phrase
    said = None if detail == phrase else detail
    return page(request, "error.html.j2", status=status, headers=headers, code=status, phrase=phrase, detail=said)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates of the pages, then those of the reports, with the filters of the reports."""
    reports = patient_page.environment()
    env = reports.overlay(auto_reload=False)
    env.loader = ChoiceLoader([PackageLoader("calcinosis.service.pages"), *([reports.loader] if reports.loader else [])])
    env.filters, env.globals = dict(reports.filters), dict(reports.globals)  # an overlay shares them with the reports
    env.filters["sections"] = sections
    env.globals.update(
        entry_link=entry_link,
        said_at=said_at,
        static=address,
        source_href=lambda key: f"/knowledge/sources/{key}",
        treatment_href=lambda key: f"/evidence?treatment={key}",
        general_href=lambda key: f"/knowledge/treatments/{key}",
    )
    return env


def entry_link(table: str, key: str, words: str) -> Markup:
    """Words that lead to an entry of the knowledge."""
    return Markup('<a href="/knowledge/{}/{}">{}</a>').format(table, key, words)


def said_at(source: str) -> str | Markup:
    """The resource a fact comes from; what was entered in the form leads back to its question."""
    entered = _ENTERED.fullmatch(source)
    if not entered:
        return source
    return Markup('<a class="entered" href="#q-{}">entered here</a>').format(entered[1]) if entered[1] else "entered here"


def sections(body: str) -> list[tuple[str, Markup]]:
    """Id and heading of every section of a page, for a list of its contents."""
    return [(key, Markup(heading)) for key, heading in _SECTION.findall(body)]  # already escaped: it comes out of a template


def _under(path: str, door: str) -> bool:
    return path == door or path.startswith(door + "/")
