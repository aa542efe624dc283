"""SMART App Launch: from the EHR, or standalone, to the answer about the patient of the launch.

Nothing is stored. The browser carries an encrypted note from the authorization request to the callback; the token lives while the callback
reads the record. The page then holds the record, and sends it back with what is entered beside it.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from calcinosis.knowledge import Knowledge
from calcinosis.service.jwt import Rejected
from calcinosis.service.pages.assess import Place, answer_page, answer_to, part, refused, taken_along, whole
from calcinosis.service.pages.shell import page
from calcinosis.service.pages.submitted import Submitted, read_submitted
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import SmartServer
from calcinosis.service.smart_client import Failed, SmartClient
from calcinosis.service.smart_record import KINDS, NoPatient, NotR4, banner, fetch_record
from calcinosis.service.smart_state import Launches
from calcinosis.service.smart_visit import Opened

router = APIRouter(prefix="/smart", include_in_schema=False, default_response_class=HTMLResponse)

_LONGEST: Final = 4_096
_REFUSALS: Final = {  # RFC 6749, 4.1.2.1 and OpenID Connect Core, 3.1.2.6
    "access_denied": "Access was declined.",
    "unauthorized_client": "The server does not let this service ask for a code.",
    "invalid_scope": "The server does not grant the access that was asked for.",
    "invalid_request": "The server calls the request malformed.",
    "unsupported_response_type": "The server does not give codes.",
    "server_error": "The server reports an error of its own.",
    "temporarily_unavailable": "The server is not available at the moment.",
    "login_required": "The server wants you to sign in first.",
    "consent_required": "The server wants you to consent first.",
    "interaction_required": "The server wants to ask you something first.",
}


class Stopped(Exception):
    """The launch ends here, with a page that says why."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


@router.get("/launch")
async def launch(request: Request) -> Response:
    """Where an EHR sends the browser, with ``iss`` and ``launch``."""
    request.app.state.guard.visit(request)
    try:
        asked = _single(request, "iss", "launch")
        if not asked["iss"] or not asked["launch"]:
            raise Stopped(400, "This launch is incomplete", "A launch from an EHR names its server (iss) and the launch.")
        return await _authorize(request, asked["iss"], asked["launch"])
    except Stopped as stopped:
        return _stopped(request, stopped)


@router.get("/standalone")
async def standalone(request: Request) -> Response:
    """The servers to choose from; with ``iss``, off to that one."""
    request.app.state.guard.visit(request)
    try:
        issuer = _single(request, "iss")["iss"]
        if issuer is not None:
            return await _authorize(request, issuer, None)
        return page(request, "smart_standalone.html.j2", servers=request.app.state.settings.smart)
    except Stopped as stopped:
        return _stopped(request, stopped)


@router.get("/jwks.json")
async def jwks(request: Request) -> Response:
    """Our public keys, for servers where the registration is by private_key_jwt."""
    from fastapi.responses import JSONResponse

    return JSONResponse(request.app.state.smart.public_keys(), headers={"Cache-Control": "public, max-age=300"})


@router.get("/callback")
async def callback(request: Request) -> Response:
    """Where the server sends the browser back, with a code for a token."""
    request.app.state.guard.visit(request)
    launches: Launches = request.app.state.launches
    state = None
    try:
        asked = _single(request, "state", "code", "error", "iss")
        state = asked["state"]
        if not state:
            raise Stopped(400, "This launch cannot be continued", "The answer of the server names no launch (state).")
        response = await _continued(request, state, asked)
    except Stopped as stopped:
        response = _stopped(request, stopped)
    if state:
        response.headers.append("Set-Cookie", launches.forget(state))
    return response


@router.post("/assess")
async def assess(request: Request) -> Response:
    """The page of a launch again, with what was entered beside the record."""
    try:
        sent = await _revisited(request)
    except Rejected as rejected:
        return _stopped(request, Stopped(403, "This page cannot go on", f"{str(rejected).capitalize()}. Open it again from the EHR."))
    return whole(request, sent, await answer_to(request, sent), Place("/smart/assess", sent.visit))


@router.post("/assess/answer")
async def answer(request: Request) -> Response:
    """The answer alone, for the script."""
    try:
        sent = await _revisited(request)
    except Rejected as rejected:
        return refused(request, 403, f"{str(rejected).capitalize()}. Open it again from the EHR.")
    return part(request, sent, await answer_to(request, sent))


@router.post("/assess/record")
async def entered(request: Request) -> Response:
    """What was entered beside the record, as a FHIR Bundle to keep."""
    try:
        return taken_along(request, await _revisited(request))
    except Rejected as rejected:
        raise ProblemError(403, str(rejected)) from None


async def _revisited(request: Request) -> Submitted:
    """What the page of a launch sent.

    Raises:
        Rejected: it does not carry the record that the launch put there.
        ProblemError: 400, 413, 415 or 429.
    """
    state = request.app.state
    state.guard.visit(request)
    sent = await read_submitted(request, state.settings)
    request.state.opened, request.state.client = state.visits.open(sent.visit, sent.held)
    if sent.record is not None:
        raise ProblemError(400, "this page is about the patient of the launch; open a file on the empty form")
    return sent


async def _authorize(request: Request, issuer: str, token: str | None) -> Response:
    client: SmartClient = request.app.state.smart
    launches: Launches = request.app.state.launches
    server = client.server(issuer)
    if server is None:
        detail = "Only servers on the list of this service may launch it; the name of the server must be the same to the letter."
        raise Stopped(403, "This server is not known here", detail)
    try:
        told = await client.configuration(server)
    except Failed as failed:
        raise _unavailable(server, failed) from None
    version = await request.app.state.fhir.version(server.issuer)
    if not version.is_read:
        raise _not_r4(server, version.remark)
    begun = launches.begin(issuer, client.scopes(server, told, KINDS, standalone=token is None), standalone=token is None)
    response = RedirectResponse(client.authorization_url(server, told, begun, token), status_code=303)
    response.headers.append("Set-Cookie", launches.cookie(begun))
    return response


async def _continued(request: Request, state: str, asked: dict[str, str | None]) -> Response:
    client: SmartClient = request.app.state.smart
    settings = request.app.state.settings
    try:
        begun = request.app.state.launches.open(request.cookies, state)
    except Rejected as rejected:
        raise Stopped(400, "This launch cannot be continued", f"Refused: {rejected}.") from None
    server = client.server(begun.issuer)
    assert server is not None  # the cookie is ours
    try:
        told = await client.configuration(server)
        client.check_sender(server, told, asked["iss"])
        if asked["error"] is not None:
            detail = _REFUSALS.get(asked["error"], "The server refused and gave no known reason.")
            raise Stopped(403, f"{server.label} did not let this service in", detail)
        if not asked["code"]:
            raise Stopped(400, "This launch cannot be continued", "The server's answer holds no code.")
        granted = await client.exchange(server, told, begun, asked["code"])
    except Failed as failed:
        raise _unavailable(server, failed) from None
    except Rejected as rejected:
        raise Stopped(403, f"The answer of {server.label} is not accepted", f"Refused: {rejected}.") from None
    request.state.client = f"smart:{server.label}:{granted.user or 'unnamed'}"
    try:
        record = await fetch_record(
            request.app.state.fhir, server.issuer, granted.token, granted.patient, granted.scopes, settings.seconds_per_request
        )
    except NotR4 as other:
        raise _not_r4(server, str(other)) from None
    except NoPatient:
        detail = "The record of the patient of the launch cannot be read."
        raise Stopped(502, f"{server.label} does not give this patient", detail) from None
    opened = request.state.opened = Opened(
        banner(record.patient), granted.patient, server.label, _about(granted.app_context, request.app.state.knowledge), record.lacking,
        record.others, record.remark,
    )  # fmt: skip
    return await answer_page(request, record.resources, lambda held: request.app.state.visits.seal(opened, request.state.client, held))


def _about(context: str | None, knowledge: Knowledge) -> str | None:
    """What the card was about that led here, as far as the knowledge has a word for it. Anything else is no concern of ours."""
    kind, _, key = (context or "").partition(":")
    if kind == "alarm":
        return knowledge.alarms[key].label if key in knowledge.alarms else None
    if kind == "leading":
        found = knowledge.types.get(key) or knowledge.mimics.get(key)
        return found.label if found else None
    if kind in ("review", "order"):
        labels = {rule.key: rule.label for each in knowledge.treatments.values() for rule in each.safety}
        return (labels | {each.key: each.label for each in knowledge.reviews.values()}).get(key)
    return None


def _single(request: Request, *names: str) -> dict[str, str | None]:
    """Parameters that may stand once.

    Raises:
        Stopped: one of them stands twice or is too long.
    """
    found: dict[str, str | None] = {}
    for name in names:
        values = request.query_params.getlist(name)
        if len(values) > 1 or any(len(value) > _LONGEST for value in values):
            raise Stopped(400, "This launch cannot be read", f"{name} must stand once, and not be longer than {_LONGEST} letters.")
        found[name] = values[0] if values else None
    return found


def _unavailable(server: SmartServer, failed: Failed) -> Stopped:
    return Stopped(502, f"{server.label} did not complete the launch", str(failed))


def _not_r4(server: SmartServer, why: str) -> Stopped:
    return Stopped(502, f"{server.label} does not speak the FHIR that this service reads", why)


def _stopped(request: Request, stopped: Stopped) -> Response:
    return page(
        request, "smart_failed.html.j2", status=stopped.status, title=stopped.title, detail=stopped.detail,
        servers=request.app.state.settings.smart,
    )  # fmt: skip
