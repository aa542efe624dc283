"""*Cohort*: the output of ``screen`` for registries and quality teams. Counts, who fits some filters, and one patient's course."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.report.cohort_folder import AT_RISK, UNDETERMINED, CohortFolder, Filters, Stored
from calcinosis.report.cohort_patient import Retold, retell
from calcinosis.report.population import population_words
from calcinosis.report.timeline import WINDOWS, make_timeline
from calcinosis.report.wording import citations_in, citations_shown, references
from calcinosis.service.cohorts import Cohorts
from calcinosis.service.guard import cohort_reader
from calcinosis.service.pages.brief_options import with_options_briefly
from calcinosis.service.pages.shell import page, page_router
from calcinosis.service.problems import ProblemError

router = page_router(cohort_reader)

PER_PAGE: Final = 50
_Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Door:
    """Addresses inside one cohort. An id stands in them as base64url: it may hold slashes, dots or anything else."""

    cohort: str

    @property
    def home(self) -> str:
        return f"/cohort/{self.cohort}"

    def patient(self, subject: str, **query: str) -> str:
        key = base64.urlsafe_b64encode(subject.encode()).decode().rstrip("=")
        return f"{self.home}/patients/{key}" + _query(query)

    def list(self, **filters: str) -> str:
        return f"{self.home}/patients" + _query(filters)

    def csv(self, **filters: str) -> str:
        return f"{self.home}/patients.csv" + _query(filters)


def subject_of(key: str) -> str:
    """The id behind an address.

    Raises:
        ProblemError: 404.
    """
    try:
        return base64.b64decode(key.encode() + b"=" * (-len(key) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ProblemError(404, "no such patient in this cohort") from None


def filters(
    patient: _Text = "", type: _Text = "", status: _Text = "", disease: _Text = "", alarm: _Text = "", missing: _Text = "",
    review: _Text = "", at_risk: _Text = "", unlabelled: _Text = "",
) -> Filters:  # fmt: skip
    """As the form sends them."""
    return Filters(
        patient=patient.strip(), type=type, status=status, disease=disease, alarm=alarm, missing=missing, review=review, at_risk=at_risk,
        unlabelled=bool(unlabelled),
    )  # fmt: skip


_Filters = Annotated[Filters, Depends(filters)]


@router.get("/cohort")
def cohorts(request: Request) -> HTMLResponse:
    """The cohorts that the operator named, or how to name one."""
    known: Cohorts = request.app.state.cohorts
    found = []
    for name in known.names:
        try:
            with known.opened(name) as folder:
                found.append({"name": name, "door": Door(name), "summary": folder.summary, "written": _written(folder)})
        except ProblemError:
            found.append({"name": name, "door": Door(name), "summary": None, "written": None})
    return page(request, "cohorts.html.j2", cohorts=found)


@router.get("/cohort/{name}")
def overview(request: Request, name: str) -> HTMLResponse:
    """Counts, plots, what was read and how well."""
    with request.app.state.cohorts.opened(name) as folder:
        told = population_words(folder.population, folder.summary)
        return page(request, "cohort.html.j2", about_patient=True, door=Door(name), written=_written(folder), **told)


@router.get("/cohort/{name}/patients")
def patients(request: Request, name: str, asked: _Filters, number: Annotated[int, Query(alias="page", ge=1)] = 1) -> HTMLResponse:
    """Who fits the filters, the most urgent first."""
    with request.app.state.cohorts.opened(name) as folder:
        rows = folder.chosen(asked)
        pages = max(-(-len(rows) // PER_PAGE), 1)
        number = min(number, pages)
        return page(
            request, "cohort_patients.html.j2", about_patient=True, door=Door(name), asked=asked, choices=_choices(folder), total=len(rows),
            people=folder.lines(rows[(number - 1) * PER_PAGE : number * PER_PAGE]), number=number, pages=pages,
            start=(number - 1) * PER_PAGE,
        )  # fmt: skip


@router.get("/cohort/{name}/patients.csv")
def patients_csv(request: Request, name: str, asked: _Filters) -> Response:
    """The same as a file, with every column of ``assessments.parquet``."""
    with request.app.state.cohorts.opened(name) as folder:
        pieces = folder.csv(folder.chosen(asked))
        start = next(pieces)  # what cannot be read is said before a file begins
    headers = {"Content-Disposition": f'attachment; filename="{name}-patients.csv"'}

    def whole() -> Any:
        yield start
        yield from pieces

    return StreamingResponse(whole(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/cohort/{name}/patients/{key}")
def patient(request: Request, name: str, key: str, window: _Text = "", options: _Text = "") -> HTMLResponse:
    """One patient: alarms first, why, treatment options, what is missing, and the course over time."""
    subject = subject_of(key)
    with request.app.state.cohorts.opened(name) as folder:
        stored = folder.patient(subject)
        if stored is None:
            raise ProblemError(404, "no such patient in this cohort")
        retold = retell(stored, folder.knowledge)
        shown, in_detail = with_options_briefly(retold.assessment, full=options == "all")
        retold = replace(retold, assessment=shown)
        index = shown.index_date
        return page(
            request, "cohort_patient.html.j2", about_patient=True, door=Door(name), a=retold.assessment, retold=retold,
            timeline=make_timeline(stored.events, folder.knowledge, index=index, window=window, first=_first_labs(stored, folder)),
            window=window if window in WINDOWS else "", windows=WINDOWS, has_course=stored.has_course,
            has_options=stored.has_options, stored=True, in_detail=in_detail,
            all_options_href=Door(name).patient(subject, **({"window": window} if window in WINDOWS else {}), options="all"),
            references=references(_citations(retold)),
            same_knowledge=folder.knowledge.version == retold.assessment.knowledge_version,
        )  # fmt: skip


def _citations(retold: Retold) -> Any:
    yield from citations_shown(retold.assessment)
    for found in retold.risks.values():
        yield from citations_in(found)


def _first_labs(stored: Stored, folder: CohortFolder) -> list[str]:
    """Measurements that decided something, then what the first-line tests ask for."""
    told = [fact["concept"] for row in stored.reasons if row["role"] != "missing" for fact in row["facts"] or ()]
    return list(dict.fromkeys([*told, *folder.knowledge.first_line_labs]))


def _choices(folder: CohortFolder) -> dict[str, list[tuple[str, str]]]:
    """Per field of the form its values in words."""
    label = folder.label
    counted = {
        name: [(each.key, f"{each.label} ({each.n:,})") for each in folder.choices.get(column, ())]
        for name, column in {"disease": "diseases", "alarm": "alarms", "missing": "missing_tests", "review": "reviews"}.items()
    }
    types = [*((key, label.type(key)) for key in folder.knowledge.types), ("mimic", "A mimic leads"), (UNDETERMINED, "Undetermined lesion")]
    return {
        **counted,
        "type": types,
        "status": [(each.value, each.value.replace("_", " ")) for each in sorted(Status, key=lambda each: -each.rank)],
        "urgency": [(key, "") for key in ALARM_URGENCIES],
        "at_risk": list(zip(AT_RISK, ("at high risk", "at high risk, without a lesion"), strict=True)),
    }


def _written(folder: CohortFolder) -> datetime:
    return datetime.fromtimestamp((folder.path / "summary.json").stat().st_mtime, UTC)


def _query(told: dict[str, str]) -> str:
    return f"?{urlencode(told)}" if told else ""
