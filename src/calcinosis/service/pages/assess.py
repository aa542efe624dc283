"""*Assess*: a form, a record, or both in; the answer about one patient out. Nothing is stored.

Without scripts the button sends the form and the whole page comes back, filled as it was. With scripts the same fields go to
``/assess/answer``, and the answer alone comes back while somebody types. A record stays in the page and is sent again each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import orjson
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from calcinosis.service.guard import api_client
from calcinosis.service.limits import check_record
from calcinosis.service.pages import held
from calcinosis.service.pages.body_map import HEIGHT, WIDTH, shapes
from calcinosis.service.pages.form_codes import word_of
from calcinosis.service.pages.form_fields import anchor, called, filled, filled_drugs
from calcinosis.service.pages.form_record import SECOND, TAKING, EntryForm
from calcinosis.service.pages.shell import environment, page, page_router
from calcinosis.service.pages.submitted import Submitted, read_submitted
from calcinosis.service.problems import ProblemError
from calcinosis.service.work import Job

router = page_router(api_client)

IS_ANSWER: Final = {"Calcinosis-Answer": "1"}  # so that the script takes no page of a proxy for an answer
_CLEARED: Final = "Another file took the place of the record, so what was entered beside that one was cleared."
_OF_THE_FILE: Final = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is shown.

    Attributes:
        problems: name of a field -> what is wrong with it.
        held: the record as the page keeps it; empty where there is none.
        whom: whose record that is, as it says itself.
        entered: whether the form says something.
    """

    text: Markup | None = None
    problems: dict[str, str] = field(default_factory=dict)
    status: int = 200
    held: str = ""
    whom: str = ""
    entered: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the form is sent. ``visit``: the note of a launch, which the form carries along."""

    path: str = "/assess"
    visit: str = ""


@router.get("/assess")
async def blank(request: Request) -> HTMLResponse:
    return whole(request, Submitted(), Answer(), about_patient=False)


@router.post("/assess")
async def answered(request: Request) -> HTMLResponse:
    """The page again: the form as it was filled, and the answer."""
    sent = await read_submitted(request, request.app.state.settings)
    return whole(request, sent, await answer_to(request, sent))


@router.post("/assess/answer")
async def answer_only(request: Request) -> HTMLResponse:
    """The answer without the page, for the script."""
    sent = await read_submitted(request, request.app.state.settings)
    return part(request, sent, await answer_to(request, sent))


@router.post("/assess/record")
async def record(request: Request) -> Response:
    """What was entered, as a FHIR Bundle to keep."""
    return taken_along(request, await read_submitted(request, request.app.state.settings))


async def answer_page(request: Request, resources: list[dict[str, Any] | None], seal: Callable[[str], str]) -> HTMLResponse:
    """The answer about a record that was fetched elsewhere, as a page with the form beside it.

    Args:
        seal: makes the note that lets this page ask again with the record it holds.

    Raises:
        ProblemError: the record cannot be answered.
    """
    fetched = orjson.dumps(resources)
    done = await request.app.state.assessors.answer(Job(kind="page", body=fetched, fetched=b"[]"))
    packed = await run_in_threadpool(held.pack, fetched)
    answer = Answer(text=Markup(done.body.decode()), held=packed, whom=held.whom(fetched))
    return whole(request, Submitted(), answer, Place("/smart/assess", seal(packed)))


async def answer_to(request: Request, sent: Submitted) -> Answer:
    """The answer about what was sent, or what is wrong with it."""
    state = request.app.state
    body, packed = b"", ""
    cleared = _cleared(request, sent) if sent.record is not None and sent.held else {}
    try:
        if sent.record is not None:
            check_record(sent.record, state.settings)
            body, packed = sent.record, await run_in_threadpool(held.pack, sent.record)
        elif sent.held:
            body, packed = await run_in_threadpool(held.unpack, sent.held, state.settings), sent.held
            check_record(body, state.settings)
    except ProblemError as error:
        return _unread(request, sent, error)
    entered = entry_form(request).read(sent.fields, date.today(), beside=bool(body))
    entered.problems |= cleared
    if not body and not entered.says_something:
        return Answer(problems=entered.problems)
    said = entered.resources if entered.says_something else []
    try:
        done = await state.assessors.answer(Job(kind="page", body=body, fetched=orjson.dumps(said), full=sent.full))
    except ProblemError as error:
        if not body or error.status not in _OF_THE_FILE:
            raise
        return _unread(request, sent, error)
    whom = await run_in_threadpool(held.whom, body) if body else ""
    return Answer(Markup(done.body.decode()), entered.problems, 200, packed, whom, entered.says_something)


def _cleared(request: Request, sent: Submitted) -> dict[str, str]:
    """Takes away what was entered beside the record that another file replaces: this may be another patient."""
    lost = entry_form(request).read(sent.fields, date.today(), beside=True).says_something
    sent.fields.clear()
    return {"record": _CLEARED} if lost else {}


def _unread(request: Request, sent: Submitted, error: ProblemError) -> Answer:
    """A record that cannot be read is said at its field, and leaves the page."""
    problems = entry_form(request).read(sent.fields, date.today()).problems
    return Answer(problems={**problems, "record": f"This file cannot be read: {error}."}, status=error.status)


def taken_along(request: Request, sent: Submitted) -> Response:
    """What was entered as a file; of a record beside it nothing."""
    entered = entry_form(request).read(sent.fields, date.today(), beside=bool(sent.held or sent.record))
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in entered.resources]}
    headers = {"Content-Disposition": 'attachment; filename="entered-record.json"'}
    return Response(orjson.dumps(bundle, option=orjson.OPT_INDENT_2), media_type="application/fhir+json", headers=headers)


def entry_form(request: Request) -> EntryForm:
    """The form of the knowledge that this service runs with."""
    form: EntryForm = request.app.state.entry_form
    return form


def part(request: Request, sent: Submitted, answer: Answer) -> HTMLResponse:
    """The answer alone. A record that came as a file goes back once, for the page to hold."""
    back = answer.held if sent.record is not None else ""
    text = environment().get_template("_answered.html.j2").render(answer=answer, problems=_named(request, answer), held_back=back)
    return HTMLResponse(text, status_code=answer.status, headers=IS_ANSWER)


def refused(request: Request, status: int, why: str) -> HTMLResponse:
    """Said where the answer would be."""
    return part(request, Submitted(), Answer(problems={"": why}, status=status))


def whole(request: Request, sent: Submitted, answer: Answer, place: Place = Place(), *, about_patient: bool = True) -> HTMLResponse:
    form, fields = entry_form(request), sent.fields
    return page(
        request, "assess.html.j2", status=answer.status, about_patient=about_patient, form=form, answer=answer,
        problems=_named(request, answer), errors=answer.problems, value=lambda name: (fields.get(name) or [""])[-1],
        chosen=lambda name: frozenset(fields.get(name, ())), drug_rows=filled_drugs(fields), taking=TAKING, shapes=shapes, width=WIDTH,
        height=HEIGHT, unit_word=word_of, filled=filled(form, fields), place=place, held_back="",
        second=SECOND, full=sent.full,
    )  # fmt: skip


def _named(request: Request, answer: Answer) -> list[tuple[str, str, str, str]]:
    """(field, place on the page, what the field is called, what is wrong)."""
    form = entry_form(request)
    return [(name, anchor(name, form), called(name, form), text) for name, text in answer.problems.items()]
