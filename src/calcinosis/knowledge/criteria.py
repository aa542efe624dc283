"""The language of criteria: a small closed language with Kleene's three values; what each word means for a patient is in ``leaves.py``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Closed(BaseModel):
    """A frozen record that rejects keys it does not know, so a typing slip in YAML is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Status(StrEnum):
    """How strongly one type or mimic stands, from the weakest to the strongest."""

    EXCLUDED = "excluded"
    UNLIKELY = "unlikely"
    NOT_ASSESSED = "not_assessed"
    POSSIBLE = "possible"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"

    rank: int


for _rank, _status in enumerate(Status):
    _status.rank = _rank


class Has(Closed):
    """The concept is recorded for this patient. ``at``: at that body site. ``days_before_onset``: exposure lead time."""

    has: str
    at: str | None = None
    days_before_onset: tuple[float, float] | None = None
    within_days: float | None = None  # of the index date, either side; undated facts count


class Current(Closed):
    """The concept goes on now (a drug being taken, a pregnancy), seen from the as-of date.

    True: affirmed, not ended or stopped before the as-of date, and undated or recorded within ``within_days`` before it
    (default: setting ``current_within_days``, and then a drug that is listed as active counts whatever the age of its order). False:
    denied, or ended; the end of one drug does not end its class. Unknown: never recorded, or only longer ago without an end. A procedure
    is done and does not go on: it counts for ``within_days`` after it ended.
    """

    current: str
    within_days: float | None = None


class Over(Closed):
    """The concept is on record, every entry of it has ended, and the last end lies at least ``for_days`` before the as-of date.

    False while one goes on or ended later; unknown when an end has no date. ``for_days`` defaults to the setting ``ended_sign_days``. An
    entry that a later end of the same concept follows has ended with it.
    """

    over: str
    for_days: float | None = None


class HasAny(Closed):
    """Any of the concepts is recorded; ``at``: at one of these body sites. ``without``: where none of these is known to lie."""

    has_any: tuple[str, ...]
    at: str | tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        return (self.at,) if isinstance(self.at, str) else self.at or ()

    @model_validator(mode="after")
    def without_what_lies_there(self) -> HasAny:
        if self.without and not self.sites:
            raise ValueError("`without` says what does not lie at a site, so it needs `at`")
        return self


class Suspected(Closed):
    """The record only suspects the concept (provisional diagnosis, 'possible', or a broader code)."""

    suspected: str


class SameSite(Closed):
    """Both concepts are recorded at a common body site; unknown while either has no site."""

    same_site: tuple[str, str]


class Elsewhere(Closed):
    """The two concepts lie in different regions of the body: every entry of both is placed in one, and none of these holds both.

    A place in no region, and an entry without a place, may lie anywhere: unknown. A limb lies in every region that shares a place with it.
    """

    elsewhere: tuple[str, str]
    regions: tuple[str, ...] = Field(min_length=1, max_length=62)


class LabIs(Closed):
    """The deciding measurement carries this flag; ``ever`` looks at every measurement.

    The deciding measurement is the nearest to the index date within the lab window; in an alarm it is the latest one.
    """

    lab: str
    is_: Literal["high", "low", "normal", "positive", "negative"] = Field(alias="is")
    ever: bool = False


class LabValue(Closed):
    """The value of the deciding measurement, in ``unit``, lies in [at_least, below); a limit is a number or the key of a setting."""

    value: str
    unit: str
    at_least: float | str | None = None
    below: float | str | None = None


class AgeIs(Closed):
    """Age in years, in [at_least, below): at the index date; in an alarm, a use or a safety rule today's."""

    age: Literal["years"]
    at_least: float | None = None
    below: float | None = None


class SexIs(Closed):
    sex: Literal["female", "male"]


class FindingRef(Closed):
    finding: str


class HypothesisAtLeast(Closed):
    """Another type or mimic has reached at least this status."""

    hypothesis: str
    at_least: Status


class All(Closed):
    all_: tuple[Criterion, ...] = Field(alias="all", min_length=1)


class AnyOf(Closed):
    any_: tuple[Criterion, ...] = Field(alias="any", min_length=1)


class AnyKnown(Closed):
    """Several measures of one thing (creatinine clearance, eGFR): true when one says so; false when one is known and none says so."""

    any_known: tuple[Criterion, ...] = Field(min_length=1)


class Not(Closed):
    not_: Criterion = Field(alias="not")


class Known(Closed):
    """True when the criterion is known to be true, false otherwise: the only way to ask 'is it on record?'."""

    known: Criterion


class AtLeast(Closed):
    """At least ``at_least`` of the criteria hold (three-valued: unknown while the unknown ones could still decide)."""

    at_least: int = Field(ge=1)
    of: tuple[Criterion, ...] = Field(min_length=1)


_TAGS: dict[str, type[Closed]] = {
    "has": Has, "has_any": HasAny, "current": Current, "over": Over, "suspected": Suspected, "same_site": SameSite,
    "elsewhere": Elsewhere, "lab": LabIs, "value": LabValue,
    "age": AgeIs, "sex": SexIs, "finding": FindingRef, "hypothesis": HypothesisAtLeast, "all": All, "any": AnyOf,
    "any_known": AnyKnown, "not": Not, "known": Known, "of": AtLeast,
}  # fmt: skip


def _parse_criterion(value: Any) -> Any:
    if isinstance(value, Closed):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"a criterion is a mapping with one of {sorted(_TAGS)}, not {value!r}")
    tags = [tag for tag in _TAGS if tag in value]
    if len(tags) != 1:
        raise ValueError(f"a criterion names exactly one of {sorted(_TAGS)}; this one has {sorted(value)}")
    return _TAGS[tags[0]].model_validate(value)


Criterion = Annotated[
    Has
    | HasAny
    | Current
    | Over
    | Suspected
    | SameSite
    | Elsewhere
    | LabIs
    | LabValue
    | AgeIs
    | SexIs
    | FindingRef
    | HypothesisAtLeast
    | All
    | AnyOf
    | AnyKnown
    | Not
    | Known
    | AtLeast,
    BeforeValidator(_parse_criterion),
]

for _model in (All, AnyOf, AnyKnown, Not, Known, AtLeast):
    _model.model_rebuild()


def concepts_asked(criterion: object) -> tuple[str, ...]:
    """The concepts that a criterion names itself; measurements, sites and what its parts name apart."""
    match criterion:
        case Has():
            return (criterion.has,)
        case HasAny():
            return (*criterion.has_any, *criterion.without)
        case Current():
            return (criterion.current,)
        case Over():
            return (criterion.over,)
        case Suspected():
            return (criterion.suspected,)
        case SameSite():
            return criterion.same_site
        case Elsewhere():
            return criterion.elsewhere
        case _:
            return ()


def sites_named(criterion: object) -> tuple[str, ...]:
    """The sites that a criterion names itself."""
    match criterion:
        case Has():
            return (criterion.at,) if criterion.at else ()
        case HasAny():
            return criterion.sites
        case Elsewhere():
            return criterion.regions
        case _:
            return ()
