"""CDS Hooks 2.0: discovery, ``patient-view``, ``order-select``, ``order-sign`` and feedback."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from calcinosis.service.cards import OVERRIDE_REASONS, Call
from calcinosis.service.cds_models import (
    CardResponse,
    Discovery,
    Feedback,
    OrderSelectCall,
    OrderSignCall,
    PatientContext,
    PatientViewCall,
    Service,
)
from calcinosis.service.fhir_client import Fetched
from calcinosis.service.guard import cds_client
from calcinosis.service.limits import parse, read_body
from calcinosis.service.prefetch import TEMPLATES, absent, entries, provided, queries
from calcinosis.service.problems import ProblemError, invalid, responses
from calcinosis.service.work import Job

router = APIRouter(prefix="/cds-services", tags=["CDS Hooks"], dependencies=[cds_client])

PATIENT_VIEW: Final = "calcinosis-patient-view"
ORDER_SELECT: Final = "calcinosis-order-select"
ORDER_SIGN: Final = "calcinosis-order-sign"
_USAGE: Final = "Every template may be left out; what is missing is fetched when fhirAuthorization is given, and stays unknown otherwise."
_REMEMBERED: Final = 20_000
_OTHER: Final = "other"

SERVICES: Final = (
    Service(
        id=PATIENT_VIEW,
        hook="patient-view",
        title="Calcium in the skin: alarms, type and missing work-up",
        description="In a patient with calcification of skin or soft tissue: what is urgent, which type it is and why, which missing "
        "test would change the answer, and which current treatment deserves a second look. Silent in everybody else.",
        prefetch=TEMPLATES,
        usageRequirements=_USAGE,
    ),
    Service(
        id=ORDER_SELECT,
        hook="order-select",
        title="Calcium in the skin: is the selected order safe here?",
        description="What speaks against the selected drug or procedure in this patient, by which rule and source.",
        prefetch=TEMPLATES,
        usageRequirements=_USAGE,
    ),
    Service(
        id=ORDER_SIGN,
        hook="order-sign",
        title="Calcium in the skin: are the orders to be signed safe here?",
        description="What speaks against each drug or procedure about to be signed for this patient, by which rule and source.",
        prefetch=TEMPLATES,
        usageRequirements=_USAGE,
    ),
)
_IDS: Final = frozenset(service.id for service in SERVICES)
_PROBLEMS: Final = responses(400, 401, 408, 412, 413, 415, 422, 429, 503)


@dataclass(slots=True)
class ShownRules:
    """Which rule a card was about, so that feedback can be counted; neither patient nor content. The last ones are remembered."""

    rules: OrderedDict[str, str]

    @classmethod
    def empty(cls) -> ShownRules:
        return cls(OrderedDict())

    def remember(self, found: tuple[tuple[str, str], ...]) -> None:
        self.rules.update(found)
        while len(self.rules) > _REMEMBERED:
            self.rules.popitem(last=False)


def _body(model: type[Any], example: dict[str, Any]) -> dict[str, Any]:
    """The request body of a route that reads its body itself, within its limits."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


_EXAMPLE: Final = {
    "hook": "patient-view",
    "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "context": {"userId": "Practitioner/example", "patientId": "1288992"},
    "prefetch": {"patient": {"resourceType": "Patient", "id": "1288992", "gender": "female", "birthDate": "1960-05-01"}},
}
_ORDER: Final = {
    "resourceType": "MedicationRequest",
    "id": "draft-1",
    "status": "draft",
    "intent": "order",
    "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "11289"}]},
    "subject": {"reference": "Patient/1288992"},
}
_SIGN_CONTEXT: Final = {**_EXAMPLE["context"], "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": _ORDER}]}}  # type: ignore[dict-item]
_SIGN_EXAMPLE: Final = {**_EXAMPLE, "hook": "order-sign", "context": _SIGN_CONTEXT}
_SELECT_EXAMPLE: Final = {
    **_EXAMPLE, "hook": "order-select", "context": {**_SIGN_CONTEXT, "selections": ["MedicationRequest/draft-1"]},
}  # fmt: skip
_FEEDBACK_EXAMPLE: Final = {
    "feedback": [
        {"card": "4e0a3a1e-3283-4575-ab82-028d55fe2719", "outcome": "overridden", "outcomeTimestamp": "2026-01-11T00:00:00Z",
         "overrideReason": {"reason": {"code": OVERRIDE_REASONS[0][0], "system": "urn:calcinosis:override-reason"}}}
    ]
}  # fmt: skip


@router.get("", response_model=Discovery, responses=responses(401, 429), summary="The services and their prefetch templates")
async def discovery() -> Discovery:
    return Discovery(services=list(SERVICES))


@router.post(
    f"/{PATIENT_VIEW}", response_model=CardResponse, responses=_PROBLEMS, openapi_extra=_body(PatientViewCall, _EXAMPLE),
    summary="Cards when a chart is opened",
)  # fmt: skip
async def patient_view(request: Request) -> Response:
    return await _cards(request, PATIENT_VIEW, PatientViewCall)


@router.post(
    f"/{ORDER_SELECT}", response_model=CardResponse, responses=_PROBLEMS, openapi_extra=_body(OrderSelectCall, _SELECT_EXAMPLE),
    summary="Cards on the orders just selected",
)  # fmt: skip
async def order_select(request: Request) -> Response:
    return await _cards(request, ORDER_SELECT, OrderSelectCall)


@router.post(
    f"/{ORDER_SIGN}", response_model=CardResponse, responses=_PROBLEMS, openapi_extra=_body(OrderSignCall, _SIGN_EXAMPLE),
    summary="Cards on the orders to be signed",
)  # fmt: skip
async def order_sign(request: Request) -> Response:
    return await _cards(request, ORDER_SIGN, OrderSignCall)


@router.post(
    "/{service_id}/feedback", status_code=200, openapi_extra=_body(Feedback, _FEEDBACK_EXAMPLE),
    responses={**responses(400, 401, 404, 408, 413, 415, 422, 429), 200: {"description": "Counted"}}, summary="What became of a card",
)  # fmt: skip
async def feedback(service_id: str, request: Request) -> Response:
    """Counted by rule and outcome. Comments are not kept."""
    state = request.app.state
    document = parse(await read_body(request, state.settings), state.settings)
    if service_id not in _IDS:
        raise ProblemError(404, "no such service")
    for item in _validated(Feedback, document).feedback:
        state.metrics.feedback.labels(service_id, state.shown.rules.get(item.card, _OTHER), item.outcome).inc()
    return Response(status_code=200)


_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], document: Any) -> _Model:
    try:
        return model.model_validate(document, strict=False)
    except ValidationError as error:
        raise invalid(error) from None


async def _cards(request: Request, service: str, model: type[PatientViewCall] | type[OrderSelectCall] | type[OrderSignCall]) -> Response:
    state = request.app.state
    settings = state.settings
    body = await read_body(request, settings)
    document = parse(body, settings)
    call: PatientViewCall | OrderSelectCall | OrderSignCall = _validated(model, document)
    context: PatientContext = call.context
    prefetch = dict(call.prefetch or {})
    if len(listed := entries(prefetch)) > settings.max_entries:
        raise ProblemError(413, f"more than {settings.max_entries} resources")
    brought = provided(prefetch)
    fetched = Fetched({})
    if call.fhirAuthorization is not None and call.fhirServer and (asked := queries(context.patientId, brought)):
        fetched = await state.fhir.fetch(call.fhirServer, call.fhirAuthorization.access_token, asked)
        brought |= provided(fetched.found)
    spoken = fetched.version
    if all(each is None for each in listed) and not fetched.found:
        why = spoken.remark if spoken and not spoken.is_read else None
        raise ProblemError(412, why or "no FHIR data: neither prefetch nor a FHIR server that this service may ask brought any")
    lacking = () if brought.isdisjoint(TEMPLATES) else absent(brought)  # a patient summary under its own key may hold everything
    done = await state.assessors.answer(
        Job(
            kind="patient" if service == PATIENT_VIEW else "orders",
            body=body,
            fetched=orjson.dumps(fetched.found),
            call=Call(
                hook_instance=str(call.hookInstance), patient_id=context.patientId, encounter_id=context.encounterId, absent=lacking,
                remark=spoken.remark if spoken else None,
                app_url=settings.app_url, smart_launch_url=settings.launch_url,
            ),
            max_orders=settings.max_orders,
        )
    )  # fmt: skip
    state.shown.remember(done.rules)
    for indicator in done.indicators:
        state.metrics.cards.labels(service, indicator).inc()
    return Response(done.body, media_type="application/json")
