"""Words of the blind set u, each with a look-alike."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text


def said(text: str, context: Context) -> dict[str, str]:
    return {mention.concept: mention.certainty for mention in READER.read(text, context).mentions}


@pytest.mark.parametrize("text", ["Calcified deposits are not mentioned in the radiology report.", "Calcification is not commented on."])
def test_what_a_report_does_not_mention_is_neither_there_nor_absent(text: str) -> None:
    assert said(text, Context.NOTE) == {}


def test_calcium_of_a_bone_is_none_of_soft_tissue() -> None:
    assert "imaging_calcification" not in said("Expanding bone lesion with calcification at its edge.", Context.IMAGING)
    assert said("Soft tissue lesion with calcification at its edge.", Context.IMAGING)["imaging_calcification"] == "affirmed"


def test_what_a_mass_is_separate_from_is_not_where_it_lies() -> None:
    reading = READER.read("Lobulated calcified mass on the extensor side, separate from bone and joint.", Context.IMAGING)
    assert all("joint" not in mention.sites for mention in reading.mentions)


def test_a_worm_that_came_out_of_the_leg_is_a_guinea_worm() -> None:
    assert said("thread-like worm coming out of the leg in childhood", Context.CONDITION) == {"dracunculiasis": "affirmed"}


def test_a_sinus_that_discharges_milky_fluid_discharges_chalk() -> None:
    assert said("sinus discharging milky white fluid", Context.CONDITION)["chalky_discharge"] == "affirmed"
    assert "chalky_discharge" not in said("sinus discharging clear fluid", Context.CONDITION)


def test_sickled_cells_of_a_smear_are_sickle_cell_disease() -> None:
    assert said("high number of sickle-shaped red cells", Context.OBSERVATION) == {"sickle_cell_disease": "affirmed"}
    assert "affirmed" not in said("no sickle-shaped red cells", Context.OBSERVATION).values()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Calcium peaked at 3.62 mmol/L in May, 2.41 mmol/L today.", 2.41),
        ("Ca 3.6 mmol/L last year, now 2.4 mmol/L.", 2.4),
        ("PTH 1450 pg/mL two years ago, 320 pg/mL now", 320.0),
        ("Phosphate 2.3 mmol/L (previously 1.8 mmol/L)", 2.3),
        ("Calcium 3.6 mmol/L today, 2.4 mmol/L in May.", 3.6),
        ("Calcium 3.6 mmol/L now, 2.4 mmol/L last year.", 3.6),
        ("Ca 3.6 mmol/L last year now 2.4 mmol/L.", 2.4),
        ("Calcium: 15.1 [8.5-10.5] mg/dL", 15.1),
    ],
)
def test_the_value_of_today_is_read(text: str, value: float) -> None:
    assert [each.number for each in READER.read(text, Context.NOTE).values] == [value]


@pytest.mark.parametrize("text", ["Calcium 3.6 mmol/L last year.", "eGFR 55 mL/min/1.73m2 5 years ago", "PTH 1450 pg/mL six months ago."])
def test_a_value_of_another_year_is_none_of_today(text: str) -> None:
    assert READER.read(text, Context.NOTE).values == ()


def test_an_interval_before_the_unit_belongs_to_the_value() -> None:
    (value,) = READER.read("Calcium: 15.1 [8.5-10.5] mg/dL", Context.NOTE).values
    assert (value.unit, value.range_low, value.range_high) == ("mg/dL", 8.5, 10.5)


@pytest.mark.parametrize(
    "text",
    ["Transplanted in 2021, off dialysis since.", "Dialysis was stopped after the transplant.", "On haemodialysis until the transplant."],
)
def test_dialysis_that_ended_is_no_dialysis(text: str) -> None:
    concepts = said(text, Context.NOTE)
    assert concepts["former_dialysis"] == "affirmed"
    assert concepts.keys().isdisjoint({"dialysis", "dialysis_dependence"})


@pytest.mark.parametrize("text", ["Warfarin - not taking.", "Hydroxychloroquine: patient not taking."])
def test_a_drug_that_is_not_taken_is_not_there(text: str) -> None:
    assert said(text, Context.NOTE) == {}


def test_a_diagnosis_that_was_considered_and_discounted_is_denied() -> None:
    assert said("Calciphylaxis was considered but discounted.", Context.NOTE) == {"calciphylaxis": "negated"}


def test_a_wound_that_was_sutured_is_no_ulcer() -> None:
    assert "skin_ulcer" not in said("Suture open wound", Context.PROCEDURE)
    assert said("Debridement of open wound", Context.PROCEDURE)["skin_ulcer"] == "affirmed"
