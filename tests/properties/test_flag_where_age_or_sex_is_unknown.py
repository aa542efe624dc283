"""Where age or sex is not known, a value has the flag that it would have at every age and sex, or none."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
from hand_made import INDEX, event, knowledge_of
from hypothesis import given, settings
from hypothesis import strategies as st

from calcinosis.events import COMPARATORS, EVENT_SCHEMA
from calcinosis.judged import judged_values
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.knowledge.model import Concept, ReferenceInterval

SHIPPED = load_knowledge()
JUDGED = sorted(key for key, concept in SHIPPED.concepts.items() if concept.lab and concept.lab.intervals)
SEXES = ("female", "male")


def flags(knowledge: Knowledge, concept: str, value: float, comparator: str | None, people: list[tuple[date | None, str | None]]) -> list[Any]:
    """The flag of one value, in the unit of the concept, in each of these people."""
    lab = knowledge.concepts[concept].lab
    assert lab is not None
    events = [event(concept, who=f"p{n}", numeric_value=value, unit=lab.unit, comparator=comparator) for n in range(len(people))]
    subjects = pl.DataFrame(
        [{"subject_id": f"p{n}", "birth_date": born, "sex": sex, "index_time": INDEX, "as_of": INDEX} for n, (born, sex) in enumerate(people)],
        schema={"subject_id": pl.String, "birth_date": pl.Date, "sex": pl.String, "index_time": pl.Datetime("us"), "as_of": pl.Datetime("us")},
    )
    return judged_values(pl.DataFrame(events, schema=EVENT_SCHEMA), subjects, knowledge)["value_flag"].to_list()


def births(intervals: tuple[ReferenceInterval, ...]) -> list[date]:
    """Someone of each age that an interval tells apart: at birth, and at each limit, two days before and two days after it."""
    limits = {limit for i in intervals for limit in (i.age_from_years, i.age_below_years) if 0 < limit < 110}
    ages = [0.0, 110.0, *(limit + off / 365.25 for limit in limits for off in (-2, 2))]
    return [INDEX.date() - timedelta(days=round(age * 365.25)) for age in ages if age >= 0]


def agreed(found: list[str | None]) -> str | None:
    return found[0] if len(set(found)) == 1 else None


def check(knowledge: Knowledge, concept: str, value: float, comparator: str | None) -> str | None:
    lab = knowledge.concepts[concept].lab
    assert lab is not None
    born = births(lab.intervals)

    def of(people: list[tuple[date | None, str | None]]) -> list[Any]:
        return flags(knowledge, concept, value, comparator, people)

    by_sex = {sex: of([(day, sex) for day in born]) for sex in SEXES}
    for sex in SEXES:
        assert of([(None, sex)]) == [agreed(by_sex[sex])]
    assert of([(day, None) for day in born]) == [agreed(list(both)) for both in zip(*by_sex.values(), strict=True)]
    [unknown] = of([(None, None)])
    assert unknown == agreed([flag for found in by_sex.values() for flag in found])
    return unknown


limits = st.floats(0, 10).map(lambda x: round(x, 1))
comparators = st.sampled_from([None, None, *COMPARATORS])


@settings(max_examples=60, deadline=None)
@given(concept=st.sampled_from(JUDGED), share=st.floats(0.2, 2.0), comparator=comparators, at=st.integers(0, 20))
def test_shipped_intervals(concept: str, share: float, comparator: str | None, at: int) -> None:
    lab = SHIPPED.concepts[concept].lab
    assert lab is not None
    edges = [edge for i in lab.intervals for edge in (i.low, i.high) if edge is not None]
    check(SHIPPED, concept, edges[at % len(edges)] * share, comparator)


@st.composite
def intervals(draw: st.DrawFn) -> ReferenceInterval:
    low, high = sorted((draw(limits), draw(limits)))
    ends = draw(st.sampled_from(["both", "low", "high"]))
    age = sorted(draw(st.lists(st.sampled_from([0.0, 1.0, 16.0, 18.0, 200.0]), min_size=2, max_size=2, unique=True)))
    return ReferenceInterval(
        unit="mmol/L", low=None if ends == "high" else low, high=None if ends == "low" else high, age_from_years=age[0],
        age_below_years=age[1], sex=draw(st.sampled_from([None, None, *SEXES])), sources=("book",),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(made=st.lists(intervals(), min_size=1, max_size=4), value=limits, comparator=comparators)
def test_any_intervals(made: list[ReferenceInterval], value: float, comparator: str | None) -> None:
    knowledge = knowledge_of()
    concept = Concept.model_validate({"key": "salt", "label": "salt", "kind": "lab", "lab": {"unit": "mmol/L", "intervals": made}})
    check(replace(knowledge, concepts={**knowledge.concepts, "salt": concept}), "salt", value, comparator)


def test_the_shipped_intervals_decide_clear_values_without_an_age() -> None:
    for concept, value, flag in (
        ("calcium_adjusted", 3.09, "high"),
        ("calcium_adjusted", 2.65, None),  # normal in a child
        ("calcium_adjusted", 2.4, "normal"),
        ("calcium_adjusted", 2.1, None),  # normal in the first weeks
        ("calcium_adjusted", 1.9, "low"),
        ("phosphate", 2.7, "high"),
        ("phosphate", 1.7, None),
        ("phosphate", 1.4, "normal"),
        ("egfr", 20.0, None),  # there is no interval below two years
    ):
        assert check(SHIPPED, concept, value, None) == flag, (concept, value)
