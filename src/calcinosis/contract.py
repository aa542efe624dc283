"""The JSON contract: what an assessment says about one patient.

``calcinosis assess --json`` prints one :class:`Assessment` per line; the schema is ``Assessment.model_json_schema()``.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from calcinosis.knowledge.model import Status

DISCLAIMER = (
    "Supports a clinician's decision and never makes one. It reads only what the record holds; what is not recorded is unknown, "
    "not normal. Normal calcium, phosphate, PTH or kidney function never rules out calciphylaxis."
)


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FactOut(Record):
    """One fact of this patient."""

    concept: str = Field(description="concept key of the knowledge base; empty for age and sex")
    label: str
    said: str | None = Field(description="the record's own words, code or value of the deciding entry")
    value: str | None = Field(description="present, absent, suspected, or the flag of a measurement")
    time: datetime | None = Field(description="time of the deciding entry (UTC)")
    first_time: datetime | None = None
    last_time: datetime | None = None
    count: int = Field(description="entries that say so")
    source: str = Field(description="resource or row of the deciding entry")


class Citation(Record):
    key: str
    text: str
    url: str | None = None


class Reason(Record):
    """A criterion that is true for this patient, with its facts and sources."""

    label: str
    facts: list[FactOut]
    citations: list[Citation]


class UnknownFact(Record):
    concept: str
    label: str
    because: str = Field(description="never measured; measured outside the window; unit not convertible; only suspected; source silent")


class Missing(Record):
    """A criterion that nobody can answer from this record, and why."""

    label: str
    unknown: list[UnknownFact]
    citations: list[Citation]


class TypeAssessment(Record):
    type: str
    label: str
    status: Status
    subtype: str | None
    subtype_label: str | None
    reasons: list[Reason] = Field(description="the rule that decided first, then what supports it")
    against: list[Reason]
    missing: list[Missing]


class MimicAssessment(Record):
    mimic: str
    label: str
    status: Status
    reasons: list[Reason]
    against: list[Reason]
    tells_apart: list[Statement]


class Statement(Record):
    text: str
    citations: list[Citation]
    verified: bool = True


class AlarmOut(Record):
    id: str
    key: str
    label: str
    urgency: str = Field(description="immediate, same_day or urgent")
    actions: list[Statement]
    facts: list[FactOut]
    citations: list[Citation]


class RiskOut(Record):
    key: str
    label: str
    weight: str | None
    effects: list[str]
    facts: list[FactOut]
    citations: list[Citation]


class DiseaseOut(Record):
    disease: str
    label: str
    status: str = Field(description="established or suspected")
    facts: list[FactOut]
    citations: list[Citation]
    known: list[Statement] = Field(description="prevalence, onset, sites and complications of calcification in this disease")
    risk_factors: list[RiskOut] = Field(description="risk factors of calcification that this patient has")


class OutcomeOut(Record):
    result: str
    meaning: str
    leading: str | None = Field(description="what would lead after this result")
    changes: dict[str, str] = Field(description="type -> status after this result, where it changes")
    citations: list[Citation]


class TestOut(Record):
    test: str
    label: str
    would_change: bool = Field(description="some result changes a status or the leading answer")
    outcomes: list[OutcomeOut]
    citations: list[Citation]


class FormOut(Record):
    form: str
    label: str
    description: Statement


class Assessment(Record):
    """The answer for one patient. Order matters: alarms first."""

    patient_id: str
    alarms: list[AlarmOut]
    leading: str | None = Field(description="one of the five types, 'mimic', or null when undetermined")
    leading_status: Status | None
    leading_mimic: str | None = Field(description="which mimic, when leading is 'mimic'")
    provisional: bool = Field(description="no examination, imaging or biopsy in the record shows calcium yet")
    mixed: bool = Field(description="more than one type stands at probable or confirmed")
    types: list[TypeAssessment]
    mimics: list[MimicAssessment]
    diseases: list[DiseaseOut]
    forms: list[FormOut]
    calciphylaxis_risk: list[RiskOut]
    workup: list[TestOut] = Field(description="missing tests, those that would change most first")
    index_date: datetime | None
    index_basis: str = Field(description="calcification, lesion, as_of or unknown")
    age_years: float | None
    sex: str | None
    warnings: list[str] = Field(description="records of this patient that could not be used in full")
    knowledge_version: str
    disclaimer: str = DISCLAIMER


for _model in (MimicAssessment, AlarmOut, DiseaseOut, FormOut):
    _model.model_rebuild()
