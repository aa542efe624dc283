"""What the knowledge files may say: typed, frozen, and closed to unknown keys.

Every clinical statement carries ``sources``: keys of ``sources/*.yaml``. The model knows the *shape* of
medicine (a concept, a criterion, a status rule); the medicine itself lives in ``content/``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from calcinosis.knowledge.criteria import Closed, Criterion, Status
from calcinosis.knowledge.gravity import AlarmUrgency


class Context(StrEnum):
    """Where in a record a text or code stands. The same words mean different things in different places."""

    CONDITION = "condition"
    OBSERVATION = "observation"
    DRUG = "drug"
    PROCEDURE = "procedure"
    IMAGING = "imaging"
    HISTOLOGY = "histology"
    NOTE = "note"
    ALLERGY = "allergy"
    SITE = "site"
    DEVICE = "device"


Kind = Literal["disease", "finding", "lab", "drug", "procedure", "exposure", "site", "device", "allergy"]

NARRATIVE = (Context.CONDITION, Context.OBSERVATION, Context.IMAGING, Context.HISTOLOGY, Context.NOTE, Context.PROCEDURE)

DEFAULT_CONTEXTS: dict[str, tuple[Context, ...]] = {
    "disease": NARRATIVE,
    "finding": NARRATIVE,
    "lab": (Context.OBSERVATION,),
    "drug": (Context.DRUG, Context.PROCEDURE, Context.NOTE, Context.CONDITION),
    "procedure": (Context.PROCEDURE, Context.NOTE, Context.CONDITION),
    "exposure": (Context.PROCEDURE, Context.NOTE, Context.CONDITION, Context.DRUG, Context.OBSERVATION),
    "site": (Context.SITE, Context.CONDITION, Context.IMAGING, Context.HISTOLOGY, Context.NOTE, Context.PROCEDURE, Context.DRUG),
    "device": (Context.DEVICE, Context.PROCEDURE, Context.CONDITION, Context.NOTE),
    "allergy": (Context.ALLERGY, Context.CONDITION),
}


# --- sources ---------------------------------------------------------------------------------------


class Source(Closed):
    """One reference. ``grade: low`` (lay page, AI answer site) may be shown but never drives a rule."""

    key: str
    title: str | None = None
    authors: str | None = None
    year: int | None = None
    journal: str | None = None
    pmid: str | None = None
    pmcid: str | None = None
    doi: str | None = None
    url: str | None = None
    grade: Literal["primary", "review", "guideline", "reference", "low"]
    note: str | None = None

    @model_validator(mode="after")
    def resolves_somewhere(self) -> Source:
        if not (self.pmid or self.pmcid or self.doi or self.url):
            raise ValueError(f"source {self.key}: needs a pmid, pmcid, doi or url")
        return self


# --- concepts --------------------------------------------------------------------------------------


class ReferenceInterval(Closed):
    """Fallback interval, used only when the laboratory sent neither interval nor flag."""

    unit: str
    low: float | None = None
    high: float | None = None
    age_from_years: float = 0.0
    age_below_years: float = 200.0
    sex: Literal["female", "male"] | None = None
    sources: tuple[str, ...]
    note: str | None = None


class LowTitre(Closed):
    """A titre of less than 1 in ``below`` also says that ``concept`` is positive, one that is not lower that it is negative."""

    concept: str
    below: int


class Lab(Closed):
    """What makes a concept a laboratory quantity. ``unit`` is UCUM and canonical for every rule."""

    unit: str | None = None
    molar_mass: float | None = Field(None, description="g/mol; lets mass and molar concentrations convert")
    valence: int | None = Field(None, description="charge of the ion; needed to read mEq/L")
    # an engineering choice without a source: what lies outside no patient reaches, so the unit or a digit is wrong
    possible: tuple[float, float] | None = Field(None, description="lowest and highest number taken for possible, in ``unit``")
    intervals: tuple[ReferenceInterval, ...] = ()
    positive_titre: int | None = None  # of an antibody: a stated dilution of less than 1 in this many is not taken for positive
    low_titre: LowTitre | None = None
    stands_for: tuple[str, ...] = ()  # quantities named together: what is said of all is said of each

    @model_validator(mode="after")
    def possible_numbers_have_a_unit(self) -> Lab:
        if self.possible is not None and (self.unit is None or self.possible[0] >= self.possible[1]):
            raise ValueError("possible numbers need a unit, and the lowest below the highest")
        return self


class Concept(Closed):
    """One thing the rules can ask about.

    ``synonyms`` are phrases; a trailing ``*`` on a word matches any ending (``calcif*``); spelling variants and plurals need no entry.
    ``patterns`` are words that must all stand in one clause, in any order (``vessel* calcif*``); ``a|b`` offers a choice.
    ``parents``: whatever shows this concept shows its parents; a negated parent negates this concept.
    ``shadow``: its names only keep a longer name from being read as what it contains, and say nothing of the patient ("insulin level").
    ``masks``: the phrases name something else ("peptic ulcer"), so no pattern of a concept with the same root reads their words.
    ``beside``: in a note the concept is read only near one of these words (a list of ``context_rules.yaml``): "calcified vessels" of a
    biopsy, not of an angiogram.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    kind: Kind
    parents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()  # names too short to be read inside a text ("RA"): they count as a whole item of a list
    contexts: tuple[Context, ...] = ()
    lab: Lab | None = None
    masks: bool = False
    shadow: bool = False
    beside: Literal["biopsy", "skin"] | None = None
    sources: tuple[str, ...] = ()
    note: str | None = None

    @property
    def reads_in(self) -> tuple[Context, ...]:
        return self.contexts or DEFAULT_CONTEXTS[self.kind]


class Code(Closed):
    """One row of ``codes.csv``. ``broader`` codes never establish a concept; they only raise the suspicion."""

    concept_key: str
    system: Literal["ICD10CM", "ICD9CM", "RXNORM", "HPO", "MONDO", "LOINC", "SNOMED", "OMOP"]
    code: str
    relation: Literal["exact", "narrower", "broader"]
    unit: str | None = None
    licence_tag: str
    verified_in: str


# --- rules -----------------------------------------------------------------------------------------


class Finding(Closed):
    """A named criterion: true, false or unknown for every patient."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    when: Criterion
    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class StatusRule(Closed):
    """The first rule that is *true* sets the status; an unknown rule never fires."""

    status: Status
    label: str
    when: Criterion
    sources: tuple[str, ...] = Field(min_length=1)


class Weighed(Closed):
    """A criterion that speaks for or against a hypothesis and is shown with it, whichever rule decided."""

    label: str
    when: Criterion
    sources: tuple[str, ...] = Field(min_length=1)


class Subtype(Closed):
    key: str
    label: str
    when: Criterion
    sources: tuple[str, ...] = Field(min_length=1)


class Effect(Closed):
    """An effect size as printed, with the population it was measured in."""

    measure: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    population: str
    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class RiskFactor(Closed):
    key: str
    label: str
    when: Criterion | None = Field(None, description="absent: shown as knowledge, not evaluated")
    weight: Literal["major", "minor"] | None = None
    effects: tuple[Effect, ...] = ()
    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class Statement(Closed):
    """One fact for the reader. ``verified: false`` is shown marked and drives nothing."""

    text: str
    sources: tuple[str, ...] = Field(min_length=1)
    verified: bool = True


class Hypothesis(Closed):
    """A type or a mimic: something that could explain the lesion."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    definition: Statement
    facts: tuple[Statement, ...] = ()
    rules: tuple[StatusRule, ...] = Field(min_length=1)
    supports: tuple[Weighed, ...] = ()
    against: tuple[Weighed, ...] = ()
    subtypes: tuple[Subtype, ...] = ()


class MoreUrgent(Closed):
    when: Criterion
    urgency: int


class CalcificationType(Hypothesis):
    """One of the five types. ``urgency`` orders equals (1 is the most urgent)."""

    urgency: int
    more_urgent: MoreUrgent | None = None
    risk_factors: tuple[RiskFactor, ...] = ()


class Mimic(Hypothesis):
    tells_apart: tuple[Statement, ...] = Field(min_length=1)
    mimics_type: tuple[str, ...] = Field((), description="types it is most often mistaken for")


class Prevalence(Closed):
    """A rate as printed: numerator and denominator where the source gives them."""

    text: str
    numerator: int | None = None
    denominator: int | None = None
    percent: float | None = None
    population: str
    sources: tuple[str, ...] = Field(min_length=1)


class Disease(Closed):
    """One autoimmune disease and what is known of calcification in it."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    established: Criterion
    suspected: Criterion | None = None
    suspected_sources: tuple[str, ...] = ()
    more_specific_than: tuple[str, ...] = Field((), description="diseases this one replaces in the display")
    prevalence: tuple[Prevalence, ...] = ()
    onset: tuple[Statement, ...] = ()
    sites: tuple[Statement, ...] = ()
    antibodies: tuple[Statement, ...] = ()
    complications: tuple[Statement, ...] = ()
    facts: tuple[Statement, ...] = ()
    risk_factors: tuple[RiskFactor, ...] = ()
    sources: tuple[str, ...] = Field(min_length=1)


class ClinicalForm(Closed):
    key: str
    label: str
    description: Statement
    when: Criterion | None = None


class Action(Closed):
    text: str
    sources: tuple[str, ...] = Field(min_length=1)


class Alarm(Closed):
    """A red flag. ``id`` is the R-number of the research; ``urgency`` orders them on the page."""

    key: str
    id: str
    label: str
    urgency: AlarmUrgency
    when: Criterion
    actions: tuple[Action, ...] = Field(min_length=1)
    sources: tuple[str, ...] = Field(min_length=1)


class Outcome(Closed):
    """A result a test could have, written as the facts it would add (``lab: flag`` or ``concept: true|false``)."""

    label: str
    labs: dict[str, Literal["high", "low", "normal", "positive", "negative"]] = Field({})
    concepts: dict[str, bool] = Field({})
    meaning: str
    sources: tuple[str, ...] = Field(min_length=1)


class Test(Closed):
    """A piece of work-up. It is *missing* while every fact its outcomes would add is unknown."""

    key: str
    label: str
    outcomes: tuple[Outcome, ...] = Field(min_length=1)
    when: Criterion | None = Field(None, description="ask only when this is true or unknown")
    without_lesion: bool = Field(False, description="asked for also where no lesion is on record, as soon as ``when`` is true")
    first: bool = Field(False, description="named before the others, whatever it would change: it costs nothing and comes before them")
    sources: tuple[str, ...] = Field(min_length=1)
    note: str | None = None


class Setting(Closed):
    """A number on which sources disagree, or an engineering choice, kept where it can be changed."""

    key: str
    value: float | str | bool
    unit: str | None = None
    label: str
    alternatives: str | None = None
    sources: tuple[str, ...] = ()
