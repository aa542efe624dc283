"""The shapes of CDS Hooks 2.0 (https://cds-hooks.hl7.org/2.0/), for validation and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

FhirId = Annotated[str, Field(pattern=r"^[A-Za-z0-9\-.]{1,64}$")]
Reference = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}$")]
Text = Annotated[str, Field(min_length=1)]
_Reason = Annotated[str, Field(max_length=4000)]


class Open(BaseModel):
    """A client may send more than is read (the specification reserves ``extension``)."""

    model_config = ConfigDict(extra="ignore")


# --- request -----------------------------------------------------------------------------------------


class FhirAuthorization(Open):
    access_token: Text
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str
    subject: str
    patient: str | None = None


class PatientContext(Open):
    userId: Reference  # noqa: N815
    patientId: FhirId  # noqa: N815
    encounterId: FhirId | None = None  # noqa: N815


class DraftBundle(Open):
    resourceType: Literal["Bundle"]  # noqa: N815
    entry: list[Any] = []


class OrderSignContext(PatientContext):
    draftOrders: DraftBundle  # noqa: N815


class OrderSelectContext(OrderSignContext):
    selections: list[Text]


class HookCall(Open):
    hookInstance: UUID  # noqa: N815
    fhirServer: str | None = None  # noqa: N815
    fhirAuthorization: FhirAuthorization | None = None  # noqa: N815
    prefetch: dict[str, Any] | None = None

    @model_validator(mode="after")
    def names_its_server(self) -> HookCall:
        if self.fhirAuthorization is not None and not self.fhirServer:
            raise ValueError("fhirAuthorization needs fhirServer")
        return self


class PatientViewCall(HookCall):
    hook: Literal["patient-view"]
    context: PatientContext


class OrderSelectCall(HookCall):
    hook: Literal["order-select"]
    context: OrderSelectContext


class OrderSignCall(HookCall):
    hook: Literal["order-sign"]
    context: OrderSignContext


# --- feedback ----------------------------------------------------------------------------------------


class ReasonCoding(Open):
    code: Text
    system: str | None = None
    display: str | None = None


class OverrideReason(Open):
    reason: ReasonCoding | None = None
    userComment: _Reason | None = None  # noqa: N815


class AcceptedSuggestion(Open):
    id: Text


class FeedbackItem(Open):
    card: Text
    outcome: Literal["accepted", "overridden"]
    acceptedSuggestions: list[AcceptedSuggestion] | None = None  # noqa: N815
    overrideReason: OverrideReason | None = None  # noqa: N815
    outcomeTimestamp: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$")]  # noqa: N815


class Feedback(Open):
    feedback: Annotated[list[FeedbackItem], Field(max_length=1000)]


# --- response ----------------------------------------------------------------------------------------


class Shown(BaseModel):
    """What this service sends is exactly what the specification names."""

    model_config = ConfigDict(extra="forbid")


class Service(Shown):
    hook: str
    title: str
    description: str
    id: str
    prefetch: dict[str, str]
    usageRequirements: str  # noqa: N815


class Discovery(Shown):
    services: list[Service]


class Coding(Shown):
    code: str
    system: str
    display: str


class Source(Shown):
    label: Text
    url: str | None = None
    topic: Coding | None = None


class Action(Shown):
    type: Literal["create", "update", "delete"]
    description: Text
    resource: dict[str, Any] | None = None
    resourceId: str | None = None  # noqa: N815


class Suggestion(Shown):
    label: Text
    uuid: str
    actions: list[Action]


class Link(Shown):
    label: Text
    url: str
    type: Literal["absolute", "smart"]
    appContext: str | None = None  # noqa: N815


class Card(Shown):
    uuid: str
    summary: Annotated[str, Field(min_length=1, max_length=139)]
    detail: str
    indicator: Literal["info", "warning", "critical"]
    source: Source
    suggestions: list[Suggestion] | None = None
    selectionBehavior: Literal["at-most-one", "any"] | None = None  # noqa: N815
    overrideReasons: list[Coding]  # noqa: N815
    links: list[Link] | None = None


class CardResponse(Shown):
    cards: list[Card]
