"""What the simulation file may say: a made-up population, every number with its origin.

Nothing here drives a rule. The figures exist to load-test the readers and to see what is recovered; see docs/simulation.md.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from calcinosis.knowledge.criteria import Closed


class Figure(Closed):
    """One number and where it comes from: a prevalence of the knowledge, sources, or an assumption with its reason.

    ``derived_from`` is ``disease#i``: the i-th prevalence of a disease file (numerator over denominator).
    An assumption may name sources too, when it chooses within what they print.
    """

    value: float | None = None
    derived_from: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*#[0-9]+$")
    sources: tuple[str, ...] = ()
    assumption: bool = False
    reason: str | None = None

    @model_validator(mode="after")
    def has_an_origin(self) -> Figure:
        if (self.value is None) == (self.derived_from is None):
            raise ValueError("give either value or derived_from")
        if self.assumption and (not self.reason or self.derived_from):
            raise ValueError("an assumption needs a value and a reason")
        if not (self.derived_from or self.sources or self.assumption):
            raise ValueError("a number needs derived_from, sources, or assumption: true with a reason")
        return self


class Condition(Closed):
    """Who is meant: all of ``given``, at least one of ``given_any`` and none of ``unless`` (trait keys)."""

    given: tuple[str, ...] = ()
    given_any: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Trait(Condition):
    """Something true of a patient, drawn in the order of the file for those whom its condition names."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    role: Literal["disease", "type", "mimic", "background", "recording"]
    share: Figure
    subtype: str | None = None
    female: Figure | None = Field(None, description="share of women among those with the trait")
    age_from: Figure | None = None
    age_below: Figure | None = None


class Entry(Condition):
    """One kind of record that such patients have.

    ``codes`` are ``SYSTEM/code``; without them the words of ``texts`` are all there is. ``repeat`` is the mean number of further copies
    at other visits. ``ended`` is the share of courses that are over.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Literal["condition", "drug", "procedure", "report", "note"]
    label: str
    concept: str | None = Field(None, description="none: no rule reads it")
    codes: tuple[str, ...] = ()
    codes_verified_in: str | None = Field(None, description="where codes of no concept were looked up")
    texts: tuple[str, ...] = ()
    study: Literal["imaging", "pathology"] | None = None
    certainty: Literal["affirmed", "negated", "uncertain"] = "affirmed"
    share: Figure
    repeat: Figure | None = None
    ended: Figure | None = None
    at: Literal["first", "lesion", "any"] = "any"

    @model_validator(mode="after")
    def says_something(self) -> Entry:
        if not self.codes and not self.texts:
            raise ValueError(f"entry {self.key}: needs codes or texts")
        if (self.kind in {"report", "note"}) != bool(self.texts):
            raise ValueError(f"entry {self.key}: reports and notes have texts, the others have codes")
        return self


class Spelling(Closed):
    """One way a laboratory sends a quantity. ``known: false``: a unit that must be rejected aloud."""

    code: str
    unit: str
    share: Figure
    known: bool = True


class Shift(Condition):
    """Other values in some patients; the last shift that applies wins."""

    mean: Figure
    sd: Figure


class Measured(Closed):
    """A quantity of a panel. ``mean`` and ``sd`` are in ``unit``; values below ``floor`` are set to it."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    concept: str | None = None
    unit: str
    from_interval: bool = Field(False, description="mean and sd of the knowledge's adult interval: its middle and a quarter of its width")
    mean: Figure | None = None
    sd: Figure | None = None
    floor: Figure
    spellings: tuple[Spelling, ...] = Field(min_length=1)
    codes_verified_in: str | None = None
    shifts: tuple[Shift, ...] = ()

    @model_validator(mode="after")
    def has_values(self) -> Measured:
        if self.from_interval == bool(self.mean and self.sd) or (self.from_interval and not self.concept):
            raise ValueError(f"{self.key}: give mean and sd, or from_interval with a concept")
        return self


class Panel(Condition):
    """Quantities measured together at a visit."""

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    share: Figure = Field(description="of visits")
    at_lesion: Figure = Field(description="of visits for a lesion")
    tests: tuple[Measured, ...] = Field(min_length=1)


class Simulation(Closed):
    """The whole population."""

    key: str
    label: str
    age_from: Figure
    age_below: Figure
    female: Figure
    visits: Figure = Field(description="mean number of visits beyond the first")
    years: Figure = Field(description="length of the record")
    death: Figure
    duplicate: Figure = Field(description="share of entries sent twice")
    value_missing: Figure = Field(description="share of measurements without a result")
    traits: tuple[Trait, ...]
    entries: tuple[Entry, ...]
    panels: tuple[Panel, ...]
