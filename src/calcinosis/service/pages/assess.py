"""*Assess*: a form or a file in, the answer about one patient out. Nothing is stored.

Without scripts the button sends the form and the whole page comes back, filled as it was. With scripts the same fields go to
``/assess/answer``, and the answer alone comes back while somebody types.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from calcinosis.service.limits import check_record
from calcinosis.service.pages.body_map import HEIGHT, WIDTH, shapes
from calcinosis.service.pages.form_record import TAKING, Entered, EntryForm, Fields
from calcinosis.service.pages.shell import environment, page, page_router
from calcinosis.service.pages.submitted import Submitted, read_submitted
from calcinosis.service.problems import ProblemError
from calcinosis.service.work import Job

router = page_router()

_SPARE_ROWS = 3
_UNIT_WORDS = {
    "{INR}": "INR", "mL/min/{1.73_m2}": "mL/min/1.73 m²", "umol/L": "µmol/L", "ug/L": "µg/L", "10*9/L": "×10⁹/L", "10*3/uL": "×10³/µL",
}  # fmt: skip


@router.get("/assess")
async def blank(request: Request) -> HTMLResponse:
    return _page(request, {}, None, {}, about_patient=False)


@router.post("/assess")
async def answered(request: Request) -> HTMLResponse:
    """The page again: the form as it was filled, and the answer."""
    sent, answer, problems, status = await _answer(request)
    return _page(request, sent.fields, answer, problems, status=status)


@router.post("/assess/answer")
async def answer_only(request: Request) -> HTMLResponse:
    """The answer without the page, for the script."""
    _, answer, problems, status = await _answer(request)
    text = environment().get_template("_answered.html.j2").render(answer=answer, problems=_named(request, problems))
    return HTMLResponse(text, status_code=status)


@router.post("/assess/record")
async def record(request: Request) -> Response:
    """What was entered, as a FHIR Bundle to keep."""
    sent = await read_submitted(request, request.app.state.settings)
    entered = entry_form(request).read(sent.fields, date.today())
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in entered.resources]}
    headers = {"Content-Disposition": 'attachment; filename="entered-record.json"'}
    return Response(orjson.dumps(bundle, option=orjson.OPT_INDENT_2), media_type="application/fhir+json", headers=headers)


async def answer_page(request: Request, resources: list[dict[str, Any]]) -> HTMLResponse:
    """The answer about a record that was read elsewhere, as a page; the form is not filled from it.

    Raises:
        ProblemError: the record cannot be answered.
    """
    done = await request.app.state.assessors.answer(Job(kind="page", body=orjson.dumps(resources)))
    return page(request, "assess_record.html.j2", about_patient=True, answer=Markup(done.body.decode()))


def entry_form(request: Request) -> EntryForm:
    """The form of the knowledge that this service runs with."""
    form: EntryForm = request.app.state.entry_form
    return form


async def _answer(request: Request) -> tuple[Submitted, Markup | None, dict[str, str], int]:
    """What was sent, the answer if there is one, what is wrong with which field, and the status."""
    state = request.app.state
    sent = await read_submitted(request, state.settings)
    entered = entry_form(request).read(sent.fields, date.today())
    body = sent.record
    if body is None:
        if not entered.says_something:
            return sent, None, entered.problems, 200
        body = orjson.dumps(entered.resources)
    else:
        entered.problems.update(_beside_a_file(entered))
    try:
        if sent.record is not None:
            check_record(body, state.settings)
        done = await state.assessors.answer(Job(kind="page", body=body))
    except ProblemError as error:
        if sent.record is None or error.status not in (400, 413, 422):
            raise
        return sent, None, {**entered.problems, "record": f"This file cannot be read: {error}."}, error.status
    return sent, Markup(done.body.decode()), entered.problems, 200


def _beside_a_file(entered: Entered) -> dict[str, str]:
    if not entered.says_something:
        return {}
    return {"record": "The answer is about this file alone; what the form says was left out."}


def _page(
    request: Request, fields: Fields, answer: Markup | None, problems: dict[str, str], *, status: int = 200, about_patient: bool = True
) -> HTMLResponse:
    names, taking = fields.get("drug", ()), fields.get("taking", ())
    drugs = [(name, taking[place] if place < len(taking) else "yes") for place, name in enumerate(names) if name.strip()]
    form = entry_form(request)
    return page(
        request, "assess.html.j2", status=status, about_patient=about_patient, form=form, answer=answer, problems=_named(request, problems),
        errors=problems, value=lambda name: (fields.get(name) or [""])[-1], sites=frozenset(fields.get("site", ())),
        drug_rows=[*drugs, *[("", "yes")] * _SPARE_ROWS], taking=TAKING, shapes=shapes, width=WIDTH, height=HEIGHT,
        unit_word=lambda unit: _UNIT_WORDS.get(unit, unit), anchor=_anchor, filled=_filled(form, fields),
    )  # fmt: skip


def _filled(form: EntryForm, fields: Fields) -> frozenset[str]:
    """Groups in which something was answered: they stay open."""
    said = {name.partition(".")[2] for name, values in fields.items() if name[:2] in ("q.", "v.") and any(values)}
    return frozenset(asked.group.key for asked in form.groups if said & set(asked.group.concepts))


def _named(request: Request, problems: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """(field, place on the page, what the field is called, what is wrong)."""
    form = entry_form(request)
    return [(name, _anchor(name, form), _called(name, form), text) for name, text in problems.items()]


def _anchor(name: str, form: EntryForm) -> str:
    kind, _, key = name.partition(".")
    if kind == "drug":
        return f"q-drug-{key}"
    if kind == "site":
        return next(f"q-{asked.group.states}" for asked in form.groups if asked.group.states).replace("_", "-")
    return f"q-{key or kind or 'form'}".replace("_", "-")


def _called(name: str, form: EntryForm) -> str:
    kind, _, key = name.partition(".")
    match kind:
        case "q" | "v":
            return form.concept(key).label
        case "drug":
            return f"Drug {int(key) + 1}"
        case "site":
            return "Body map"
        case "record":
            return "File"
    return kind.capitalize() or "Form"
