"""The JSON contract: what an assessment says about one patient.

``calcinosis assess --json`` prints one :class:`Assessment` per line; the schema is ``Assessment.model_json_schema()``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from calcinosis.knowledge.criteria import Status

# The type that must not be missed. A field of the answer and columns of the tables bear its name: what it is, the knowledge says.
MUST_NOT_MISS: Final = "calciphylaxis"
DENIED: Final = frozenset({"absent", "normal", "negative"})  # values of a fact that says what is not there
# The last sentence rests on bra17 and nuc24, quoted in knowledge/content/types/calciphylaxis.yaml.
DISCLAIMER: Final = (
    "Supports a clinician's decision and never makes one. It reads only what the record holds; what is not recorded is unknown, "
    "not normal. Normal calcium, phosphate, PTH or kidney function never rules out calciphylaxis."
)


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FactOut(Record):
    """One fact of this patient."""

    concept: str = Field(description="concept key of the knowledge base; empty for age and sex")
    label: str
    said: str | None = Field(
        description="the deciding entry in the record's own words (of a text the statement around what was read, at most some 90 "
        "characters), its code or value"
    )
    value: str | None = Field(description="present, absent, suspected, or the flag of a measurement")
    time: datetime | None = Field(description="time of the deciding entry (UTC)")
    first_time: datetime | None = None
    last_time: datetime | None = None
    count: int = Field(description="entries that say so")
    source: str = Field(description="resource or row of the deciding entry")
    _wider: tuple[str, ...] = PrivateAttr(default=())  # concepts that it implies when it is there; not part of the contract

    def __eq__(self, other: object) -> bool:
        """By what the contract holds: a fact that was read back says the same."""
        return isinstance(other, FactOut) and self.__dict__ == other.__dict__

    @property
    def wider(self) -> tuple[str, ...]:
        return self._wider

    def implying(self, wider: tuple[str, ...]) -> FactOut:
        self._wider = wider
        return self


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
    because: str = Field(
        description="never measured; measured outside the window; no interval for age and sex; unit not convertible; "
        "computed from what is on record only in part; only suspected; source silent"
    )


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
    on_record: bool = Field(
        description="a result is on record and decides nothing: no interval for the age and sex, outside the window, "
        "a unit that could not be used, or only suspected; false: none is on record"
    )
    outcomes: list[OutcomeOut]
    note: str | None = Field(None, description="a warning or caution that belongs to the test, from the sources cited")
    citations: list[Citation]


class FormOut(Record):
    form: str
    label: str
    description: Statement


class PooledOut(Record):
    """A pooled proportion: the median over studies, from the counts themselves (binomial-normal model)."""

    outcome: str
    disease: str | None = Field(description="null: all diseases together")
    studies: int
    patients: int
    events: int = Field(description="patients who responded, or had the event that the outcome names")
    estimate: float
    low: float = Field(description="95 % interval")
    high: float
    prediction_low: float | None = Field(description="where a new study would lie; null with fewer than three studies")
    prediction_high: float | None


class EvidenceOut(Record):
    """What was studied of one treatment in one type, in whom, and how well."""

    studies: int = Field(description="with patients of their own; patients reported twice count once")
    patients: int | None = Field(description="followed under this treatment, by the largest number of each study")
    beside: int = Field(description="further studies that measured something else only, such as the activity of the disease")
    single_cases: int = Field(description="reports of single patients among the studies; never pooled")
    level: int | None = Field(description="best level of evidence, OCEBM 2011: 1 is the best, 5 the weakest")
    directions: dict[str, int] = Field(description="benefit, mixed, no_benefit, harm -> studies")
    diseases: dict[str, int] = Field(description="disease -> studies")
    pooled: list[PooledOut]
    citations: list[Citation]


class SafetyOut(Record):
    """A safety rule that holds for this patient, or for everybody who has the treatment."""

    rule: str
    kind: str = Field(description="contraindication, caution, interaction, pregnancy, paediatric, dose_limit or monitoring")
    verdict: str = Field(description="contraindicated, caution, monitor or note")
    label: str
    why: str
    advice: str | None
    facts: list[FactOut]
    citations: list[Citation]


class UncheckedOut(Record):
    """A safety rule that could not be checked: unknown is shown, never passed over."""

    rule: str
    kind: str
    verdict: str
    label: str
    missing: list[str] = Field(description="what the record does not say")
    because: str | None = Field(description="why no record can answer it")


class UseOut(Record):
    role: str
    stance: str = Field(description="standard, option, trial_only (not licensed), no_data (none here), or against (evidence against it)")
    studied_here: bool | None = Field(description="studied in this patient's disease; null when the use is not tied to a disease")
    statement: Statement


class OrderOut(Record):
    """Why an option stands where it stands, the first difference deciding; equal in all is a tie."""

    contraindicated: bool
    stance: str
    applicability: int = Field(description="0: studied in this disease and something speaks for it here; 1: one of the two; 2: neither")
    level: int | None
    effect: str = Field(description="benefit, mixed, not_seen, no_benefit or harm: what the studies together say")
    cautions: int = Field(description="cautions and interactions that hold for this patient")


class OptionOut(Record):
    """A treatment strategy that was evaluated for a type that stands, with what speaks for and against it in this patient."""

    type: str
    place: int = Field(description="1 is first; equal places are ties")
    treatment: str
    label: str
    kind: str
    drug_class: str | None
    current: bool | None = Field(description="the patient has it now; null: unknown")
    stance: str
    what: Statement
    uses: list[UseOut]
    speaks_for: list[Reason]
    safety: list[SafetyOut] = Field(description="rules that hold for this patient, the gravest first")
    always: list[SafetyOut] = Field(description="what holds for everybody who has it: monitoring and limits")
    not_checked: list[UncheckedOut]
    cleared: int = Field(description="rules checked on known facts that do not hold")
    evidence: EvidenceOut
    notes: list[Statement] = Field(description="contradictions and weaknesses of the evidence")
    mechanism: list[Statement]
    dosing: list[Statement] = Field(description="doses as studied or labelled; never advice")
    monitoring: list[Statement]
    order: OrderOut


class ReviewOut(Record):
    """Something the patient has now that deserves a second look."""

    key: str
    kind: str = Field(description="review (a drug that feeds the disease) or unsafe (a safety rule of a current treatment holds)")
    treatment: str | None
    verdict: str | None
    urgency: str | None
    label: str
    text: str
    facts: list[FactOut]
    citations: list[Citation]


class DrugOut(Record):
    """A drug that the record names, and whether the patient takes it."""

    standing: str = Field(description="taken, ended, or unclear: an entry too old to say that it goes on")
    fact: FactOut


class OnRecordOut(Record):
    """What a reader checks first: the drugs and the latest measurements as they were read."""

    drugs: list[DrugOut] = Field(description="those taken first")
    labs: list[FactOut] = Field(description="the latest result of each measurement that first-line tests ask for")
    labs_unknown: list[UnknownFact] = Field(description="those of which no recent result could be used")


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
    on_record: OnRecordOut | None = Field(default=None, description="null when the answer is retold from stored tables")
    review: list[ReviewOut] = Field(description="current treatment to stop or review, the most urgent first")
    review_not_checked: list[str] = Field(description="drugs that would need review, and nobody knows whether the patient takes them")
    options: list[OptionOut] = Field(description="for the leading type and every type that is probable or confirmed")
    index_date: datetime | None
    index_basis: str = Field(description="calcification, lesion, as_of or unknown")
    age_years: float | None = Field(description="at the index date")
    age_now_years: float | None = Field(
        default=None, description="at the last entry, or at the moment asked for; null also when the answer is retold from stored tables"
    )
    sex: str | None
    warnings: list[str] = Field(description="records of this patient that could not be used in full")
    not_understood: list[str] = Field(
        default_factory=list,
        description="codes and texts without a known meaning, of which nothing was used; only when the patient is read alone",
    )
    knowledge_version: str
    disclaimer: str = DISCLAIMER


for _model in (MimicAssessment, AlarmOut, DiseaseOut, FormOut):
    _model.model_rebuild()
