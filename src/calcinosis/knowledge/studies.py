"""The evidence base: one row per study, treatment and group (``content/evidence/*.csv``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from calcinosis.knowledge.criteria import Closed

Design = Literal[
    "meta_analysis", "systematic_review", "rct", "prospective", "retrospective_cohort", "case_series", "case_report", "guideline",
    "narrative_review", "protocol",
]  # fmt: skip

# Oxford Centre for Evidence-Based Medicine 2011, question "Does this intervention help?" (ocebm2011): the level a design starts from
LEVEL_OF_DESIGN: dict[str, int | None] = {
    "meta_analysis": None, "systematic_review": None, "rct": 2, "prospective": 3, "retrospective_cohort": 3, "case_series": 4,
    "case_report": 4, "guideline": 5, "narrative_review": 5, "protocol": None,
}  # fmt: skip
POOLED_DESIGNS = ("rct", "prospective", "retrospective_cohort", "case_series")  # single cases are listed, never pooled with cohorts


class Study(Closed):
    """One row. Empty cells are None and mean "not seen", never zero.

    ``n_*`` count ``unit``s and are integers as printed, or derived when a printed percentage fits exactly one integer (say so in ``note``).
    """

    row: str = Field(pattern=r"^[a-z0-9_]+$", description="unique: the study key and a suffix")
    study: str = Field(description="key of sources/*.yaml")
    treatments: tuple[str, ...] = Field(min_length=1, description="treatment keys given together in this group")
    arm: Literal["treated", "comparator"]
    comparator_row: str | None = Field(None, description="row with the control group")
    design: Design
    population: str
    diseases: tuple[str, ...] = ()
    calcification_type: str | None = Field(None, description="key of a type; empty: not told apart")
    age_group: Literal["adult", "juvenile", "mixed"] | None = None
    n_patients: int | None = Field(None, ge=0)
    unit: Literal["patients", "lesions", "limbs", "studies"] = "patients"
    outcome: Literal[
        "calcification", "pain", "inflammation", "ulcer_healing", "recurrence", "mortality", "progression", "prevention",
        "disease_activity", "none_seen",
    ]  # fmt: skip
    n_evaluable: int | None = Field(None, ge=0)
    n_complete: int | None = Field(None, ge=0)
    n_partial: int | None = Field(None, ge=0)
    n_none: int | None = Field(None, ge=0)
    n_worse: int | None = Field(None, ge=0)
    n_events: int | None = Field(None, ge=0, description="for outcomes that are events: deaths, recurrences, new calcinosis")
    response_definition: str | None = None
    effect_measure: Literal["RR", "OR", "HR", "MD", "percent"] | None = None
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    direction: Literal["benefit", "no_benefit", "mixed", "harm", "not_seen"]
    route: str | None = None
    dose: str | None = None
    duration: str | None = None
    follow_up: str | None = None
    harms: str | None = None
    n_deaths: int | None = Field(None, ge=0)
    level: int | None = Field(None, ge=1, le=5, description="OCEBM 2011")
    level_note: str | None = Field(None, description="why it differs from the level of the design, or a level as printed by the authors")
    seen: Literal["full_text", "abstract", "excerpt", "secondary", "news", "registry"]
    overlap: str | None = Field(None, description="rows with the same value describe the same patients; they count once")
    pool: bool = Field(description="may enter a pooled response proportion")
    pool_note: str | None = Field(None, description="why it may not")
    note: str | None = None

    @field_validator("treatments", "diseases", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(";") if part.strip()) if isinstance(value, str) else value or ()

    @property
    def key(self) -> str:
        return self.row

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.study,)

    @property
    def n_response(self) -> int | None:
        """Complete and partial responses together; None when neither was seen."""
        if self.n_complete is None and self.n_partial is None:
            return None
        return (self.n_complete or 0) + (self.n_partial or 0)

    @model_validator(mode="after")
    def counts_add_up(self) -> Study:
        if self.n_evaluable is None:
            if self.n_response is not None:
                raise ValueError(f"{self.row}: responses without a number evaluable")
            return self
        counted = [n for n in (self.n_complete, self.n_partial, self.n_none, self.n_worse) if n is not None]
        if counted and self.outcome != "recurrence" and sum(counted) > self.n_evaluable:
            raise ValueError(f"{self.row}: outcomes add up to {sum(counted)} of {self.n_evaluable}")
        if self.n_events is not None and self.n_events > self.n_evaluable:
            raise ValueError(f"{self.row}: {self.n_events} events among {self.n_evaluable}")
        if self.unit == "patients" and self.n_patients is not None and self.n_evaluable > self.n_patients:
            raise ValueError(f"{self.row}: {self.n_evaluable} evaluable of {self.n_patients} patients")
        return self

    @model_validator(mode="after")
    def is_pooled_or_says_why_not(self) -> Study:
        if self.pool:
            if self.n_evaluable is None or (self.n_response is None and self.n_events is None):
                raise ValueError(f"{self.row}: marked for pooling but without counts")
            if self.unit != "patients":
                raise ValueError(f"{self.row}: only patients are pooled, not {self.unit}")
            if self.arm == "comparator" or self.design not in POOLED_DESIGNS:
                raise ValueError(f"{self.row}: a {self.arm} row of design {self.design} is listed, never pooled")
        elif self.pool_note is None:
            raise ValueError(f"{self.row}: say in pool_note why it is not pooled")
        return self

    @model_validator(mode="after")
    def effect_lies_in_its_interval(self) -> Study:
        if self.effect is not None and self.effect_measure is None:
            raise ValueError(f"{self.row}: an effect needs its measure")
        low, high = self.effect_low, self.effect_high
        if self.effect is not None and low is not None and high is not None and not low <= self.effect <= high:
            raise ValueError(f"{self.row}: the effect lies outside its interval")
        return self

    @model_validator(mode="after")
    def level_is_that_of_the_design_or_explained(self) -> Study:
        expected = LEVEL_OF_DESIGN[self.design]
        if expected is not None and self.level is not None and self.level != expected and not self.level_note:
            raise ValueError(f"{self.row}: level {self.level} for a {self.design} needs a level_note")
        return self
