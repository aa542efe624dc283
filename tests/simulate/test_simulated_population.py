"""The drawn population follows the content file, and the seed alone decides it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from calcinosis.knowledge import Knowledge
from calcinosis.simulate.plan import Plan, make_plan
from calcinosis.simulate.population import Patients, draw_patients, whom
from calcinosis.simulate.statements import Block, draw_block

N = 20_000
UNLIKELY = 1e-5  # of a correct simulator failing one comparison; there are about fifty


@pytest.fixture(scope="module")
def plan(knowledge: Knowledge) -> Plan:
    return make_plan(knowledge)


@pytest.fixture(scope="module")
def patients(plan: Plan) -> Patients:
    return draw_patients(plan, np.random.default_rng(7), N, 1)


@pytest.fixture(scope="module")
def block(plan: Plan) -> Block:
    return draw_block(plan, 7, 0, N, 1)


def test_traits_have_the_share_of_the_file_among_those_they_name(plan: Plan, patients: Patients) -> None:
    keys = [trait.key for trait, _ in plan.traits]
    for trait, share in plan.traits:
        alone = [other for other, _ in plan.traits if other.key == trait.key and other is not trait]
        named = whom(trait, patients.traits, N)
        for other in alone:
            named &= ~whom(other, patients.traits, N)
        if named.any():
            test = binomtest(int(patients.traits[trait.key][named].sum()), int(named.sum()), share)
            assert test.pvalue > UNLIKELY, f"{trait.key}: {test.statistic:.4f}, the file says {share:.4f}"
    assert len(set(keys)) == len(patients.traits)


def test_nobody_has_two_types_and_no_trait_stands_outside_its_condition(plan: Plan, block: Block) -> None:
    traits = block.patients.traits
    types = np.sum([traits[key] for key, role in plan.trait_roles.items() if role == "type"], axis=0)
    assert types.max() == 1
    for key in plan.trait_roles:
        allowed = np.logical_or.reduce([whom(trait, traits, N) for trait, _ in plan.traits if trait.key == key])
        assert not (traits[key] & ~allowed).any(), key


def test_sex_and_age_follow_the_traits(patients: Patients) -> None:
    end = 20_088  # 2024-12-31
    years = (end - patients.birth_day) / 365.25
    assert (years[patients.traits["child"]] < 18.01).all()
    assert (years[~patients.traits["child"]] >= 18).all()
    lupus = patients.traits["systemic_lupus_erythematosus"] & ~patients.traits["rheumatoid_arthritis"]
    assert patients.female[lupus].mean() > 0.7


def test_the_same_seed_and_block_give_the_same_statements_and_another_gives_others(plan: Plan, block: Block) -> None:
    again = draw_block(plan, 7, 0, N, 1)
    assert again.statements.equals(block.statements)
    assert again.truth.equals(block.truth)
    assert not draw_block(plan, 8, 0, N, 1).statements.equals(block.statements)
    assert not draw_block(plan, 7, 1, N, 1).truth.equals(block.truth)


def test_statements_are_sorted_and_lie_after_birth_and_before_death(block: Block) -> None:
    said, people = block.statements, block.patients
    assert said.equals(said.sort("subject", "time", maintain_order=True))
    row = said["subject"].to_numpy() - 1
    day = said["time"].dt.epoch("d").to_numpy()
    assert (day > people.birth_day[row]).all()
    dead = people.death_day[row] >= 0
    assert (day[dead] < people.death_day[row][dead]).all()


def test_truth_says_what_was_written(plan: Plan, block: Block) -> None:
    truth, said = block.truth, block.statements
    assert truth.height == N
    assert truth.filter(pl.col("type").is_null() & pl.col("mimic").is_null())["coded"].sum() == 0
    words = {i for planned in plan.entries if planned.shows_answer for i in planned.payloads}
    shown = {str(i) for i in said.filter(pl.col("payload").is_in(sorted(words)))["subject"]}
    assert shown == set(truth.filter("shown_in_text")["subject_id"])
    label = [i for i, payload in enumerate(plan.payloads) if payload.code in {"L94.2", "E83.59"} and payload.certainty == "affirmed"]
    coded = {str(i) for i in said.filter(pl.col("payload").is_in(label))["subject"]}
    assert coded == set(truth.filter("coded", pl.col("type").is_not_null())["subject_id"])


def test_some_results_are_missing_some_units_unknown_and_some_entries_sent_twice(plan: Plan, block: Block) -> None:
    said = block.statements
    labs = [i for i, payload in enumerate(plan.payloads) if payload.kind == "lab"]
    measured = said.filter(pl.col("payload").is_in(labs))
    share = plan.number(plan.simulation.value_missing)
    assert measured["value"].null_count() / measured.height == pytest.approx(share, rel=0.05)
    assert block.truth["unknown_units"].sum() > 0
    assert said.filter(~pl.col("payload").is_in(labs)).is_duplicated().sum() > 0


def test_values_sent_in_different_units_mean_the_same(plan: Plan, block: Block) -> None:
    calcium = {p.unit: i for i, p in enumerate(plan.payloads) if p.concept == "calcium_total" and p.unit_known}
    healthy = block.statements.filter(pl.col("value").is_not_null())
    middle = {unit: healthy.filter(pl.col("payload") == i)["value"].median() for unit, i in calcium.items()}
    assert middle["mmol/L"] == pytest.approx(2.4, abs=0.05)
    assert middle["mg/dL"] == pytest.approx(2.4 * 4.008, abs=0.2)
    assert middle["meq/L"] == pytest.approx(4.8, abs=0.15)
