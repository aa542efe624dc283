"""What the treatment files may say: what a treatment is, for whom it was studied, and what speaks against it in a patient.

The evidence itself is data of another shape, one row per study, treatment and group: :mod:`calcinosis.knowledge.studies`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from calcinosis.knowledge.criteria import Closed, Criterion
from calcinosis.knowledge.gravity import ReviewUrgency, Verdict
from calcinosis.knowledge.model import Statement, Weighed


class SafetyRule(Closed):
    """One thing that speaks against a treatment, or that must be watched while it is given.

    Exactly one of three: ``when`` (checked on the patient's own facts; unknown is shown as "not checked"), ``always`` (holds for
    everybody who has the treatment) or ``not_checkable`` (why no record can answer it, or why its source may drive no rule).
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="unique within the treatment")
    kind: Literal["contraindication", "caution", "interaction", "pregnancy", "paediatric", "dose_limit", "monitoring"]
    verdict: Verdict
    label: str = Field(description="the condition as a reader sees it")
    when: Criterion | None = None
    always: bool = False
    not_checkable: str | None = None
    why: str
    advice: str | None = Field(None, description="what the source says to do, with its threshold")
    sources: tuple[str, ...] = Field(min_length=1)
    research_rows: tuple[int, ...] = Field((), description="lines of the researched safety table this rule carries (the heading is line 1)")

    @model_validator(mode="after")
    def is_checked_in_one_way(self) -> SafetyRule:
        if (self.when is not None) + self.always + (self.not_checkable is not None) != 1:
            raise ValueError(f"{self.key}: give exactly one of when, always, not_checkable")
        return self


class Use(Closed):
    """A purpose for which the treatment is considered, and in whom."""

    types: tuple[str, ...] = Field(min_length=1, description="calcification types")
    diseases: tuple[str, ...] = Field((), description="diseases in which it was studied for this purpose; empty: not tied to one")
    role: Literal[
        "deposit", "inflammation", "disease_control", "local", "trigger_removal", "supportive", "mineral_metabolism", "prevention"
    ]  # fmt: skip
    stance: Literal["option", "standard", "trial_only", "against", "no_data"] = Field(
        description="standard: part of care that sources agree on; trial_only: not licensed, to be had in trials alone; "
        "against: the evidence speaks against it; no_data: named, without data that could judge it"
    )
    statement: Statement = Field(description="what it is for and how good the evidence is, in one or two sentences")
    when: Criterion | None = Field(None, description="offered only when this is not false; absent: whenever the type stands")
    favours: tuple[Weighed, ...] = Field((), description="what speaks for it in a patient")


class Treatment(Closed):
    """One treatment strategy."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    kind: Literal["drug", "procedure", "withdrawal", "supportive"]
    drug_class: str | None = None
    names: tuple[str, ...] = Field((), description="other names a user may type")
    concepts: tuple[str, ...] = Field((), description="concepts whose presence shows that the patient has it")
    what: Statement
    mechanism: tuple[Statement, ...] = ()
    dosing: tuple[Statement, ...] = Field((), description="doses as studied or labelled; never advice")
    monitoring: tuple[Statement, ...] = ()
    evidence_notes: tuple[Statement, ...] = Field((), description="contradictions and weaknesses that the numbers do not show")
    uses: tuple[Use, ...] = Field(min_length=1)
    safety: tuple[SafetyRule, ...] = ()


class CurrentDrugReview(Closed):
    """A drug to stop or review when the patient takes it and the criterion holds."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    concepts: tuple[str, ...] = Field(min_length=1, description="any of these drugs being taken")
    when: Criterion
    urgency: ReviewUrgency
    text: str = Field(description="what to discuss or check; never an order")
    sources: tuple[str, ...] = Field(min_length=1)
    covers: tuple[str, ...] = Field((), description="safety rules (treatment/rule) that say the same, not told a second time beside it")
