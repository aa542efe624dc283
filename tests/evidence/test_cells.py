"""What counts as a study, as a patient, and what may be pooled; and that the shipped file is what pooling gives."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from scipy import stats

from calcinosis.evidence import cells
from calcinosis.evidence.cells import compare_everything, evidence_for, exact_interval, load_pooled, pool_everything, select
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.studies import POOLED_DESIGNS, Study


def row(key: str, **values: Any) -> Study:
    """A row of an invented series of diltiazem; ``pool`` unless it says why not."""
    given: dict[str, Any] = {
        "row": key, "study": key, "treatments": "diltiazem", "arm": "treated", "design": "case_series", "population": "invented",
        "calcification_type": "dystrophic", "outcome": "calcification", "direction": "benefit", "level": 4, "seen": "full_text",
        "n_patients": 10, "n_evaluable": 10, "n_partial": 5, "pool": "pool_note" not in values,
    }  # fmt: skip
    return Study.model_validate(given | values)


def base(knowledge: Knowledge, *rows: Study) -> Knowledge:
    return dataclasses.replace(knowledge, studies=rows)


def about(knowledge: Knowledge, *rows: Study, disease: str | None = None) -> cells.Evidence:
    return evidence_for(base(knowledge, *rows), "diltiazem", "dystrophic", disease)


# --- counting --------------------------------------------------------------------------------------


def test_patients_reported_twice_count_once(knowledge: Knowledge) -> None:
    found = about(knowledge, row("one", overlap="same"), row("two", overlap="same", n_patients=14, n_evaluable=12), row("three"))
    assert (found.studies, found.patients, found.evaluated) == (2, 24, 22)


def test_several_outcomes_of_a_study_are_one_study_and_disagreement_is_mixed(knowledge: Knowledge) -> None:
    found = about(knowledge, row("one", study="s"), row("two", study="s", outcome="pain", direction="no_benefit"))
    assert (found.studies, found.patients, found.directions) == (1, 10, {"mixed": 1})


def test_patients_of_the_study_are_not_patients_of_the_treatment(knowledge: Knowledge) -> None:
    found = about(knowledge, row("cohort", n_patients=78, n_evaluable=17))
    assert (found.patients, found.evaluated) == (78, 17)


def test_lesions_are_no_patients(knowledge: Knowledge) -> None:
    found = about(knowledge, row("lesions", unit="lesions", n_patients=6, n_evaluable=21, n_partial=12, pool_note="lesions"))
    assert (found.patients, found.evaluated) == (6, None)


def test_reviews_results_not_seen_and_comparator_arms_are_no_studies_of_the_treatment(knowledge: Knowledge) -> None:
    found = about(
        knowledge,
        row("review", design="narrative_review", level=5, pool_note="review"),
        row("unseen", direction="not_seen", level=3, level_note="x"),
        row("placebo", arm="comparator", design="rct", level=2, pool_note="comparator arm"),
    )
    assert (found.studies, found.patients, found.directions) == (0, None, {})
    assert found.level == 5  # a placebo arm makes no treatment 'level 2'
    assert len(found.rows) == 3


def test_single_cases_are_counted_apart(knowledge: Knowledge) -> None:
    found = about(knowledge, row("case", design="case_report", n_patients=1, n_evaluable=1, n_partial=1, pool_note="single case"), row("series"))
    assert (found.studies, found.single_cases) == (2, 1)


def test_a_disease_selects_rows_that_name_it(knowledge: Knowledge) -> None:
    rows = row("ssc", diseases="systemic_sclerosis"), row("both", diseases="systemic_sclerosis;dermatomyositis"), row("none_named")
    found = about(knowledge, *rows, disease="systemic_sclerosis")
    assert [each.row for each in found.rows] == ["ssc", "both"]
    assert [each.row for each in select(base(knowledge, *rows), "diltiazem", None, "dermatomyositis")] == ["both", "none_named"]


def test_patients_of_a_mixed_population_count_for_no_disease_of_it(knowledge: Knowledge) -> None:
    ssc, both = row("ssc", diseases="systemic_sclerosis"), row("both", diseases="systemic_sclerosis;dermatomyositis", n_patients=78)
    found = about(knowledge, ssc, both, disease="systemic_sclerosis")
    assert (found.studies, found.patients, found.evaluated, found.mixed) == (2, 10, 10, 1)
    found = about(knowledge, ssc, both, disease="dermatomyositis")
    assert (found.studies, found.patients, found.evaluated, found.mixed) == (1, None, None, 1)
    found = about(knowledge, ssc, both)
    assert (found.studies, found.patients, found.evaluated, found.mixed) == (2, 88, 20, 0)


# --- pooling ---------------------------------------------------------------------------------------


def test_only_patients_of_one_treatment_and_type_are_pooled(knowledge: Knowledge) -> None:
    kept = row("kept"), row("kept_too", n_partial=3)
    left = (
        row("case", design="case_report", n_patients=1, n_evaluable=1, n_partial=1, pool_note="single case"),
        row("lesions", unit="lesions", pool_note="lesions"),
        row("combination", treatments="diltiazem;pamidronate"),
        row("untyped", calcification_type=None),
    )
    [cell] = pool_everything(base(knowledge, *kept, *left))
    assert (cell.rows, cell.events, cell.n) == (("kept", "kept_too"), 8, 20)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"design": "case_report"}, "never pooled"),
        ({"unit": "lesions"}, "only patients are pooled"),
        ({"unit": "limbs"}, "only patients are pooled"),
        ({"arm": "comparator"}, "never pooled"),
        ({"design": "systematic_review", "level": None}, "never pooled"),
        ({"n_evaluable": None, "n_partial": None}, "without counts"),
    ],
)
def test_the_model_refuses_to_pool_what_may_not_be(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        row("wrong", pool=True, **values)


def test_a_disease_has_a_cell_of_its_own_but_a_mixed_population_is_not_split(knowledge: Knowledge) -> None:
    found = pool_everything(base(knowledge, row("a", diseases="dermatomyositis"), row("b", diseases="dermatomyositis;systemic_sclerosis")))
    assert {cell.disease: cell.rows for cell in found} == {None: ("a", "b"), "dermatomyositis": ("a",)}


def test_exact_interval_is_clopper_pearson() -> None:
    for events, n in ((0, 6), (6, 6), (3, 12), (1, 1), (34, 78)):
        exact = stats.binomtest(events, n).proportion_ci(0.95, method="exact")
        assert exact_interval(events, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


# --- the shipped evidence --------------------------------------------------------------------------


def test_pooled_file_is_what_pooling_gives(knowledge: Knowledge) -> None:
    fresh = {(cell.treatment, cell.type, cell.disease, cell.outcome): cell for cell in pool_everything(knowledge)}
    shipped = {(cell.treatment, cell.type, cell.disease, cell.outcome): cell for cell in load_pooled()}
    assert fresh.keys() == shipped.keys(), "run `make pooled`"
    for place, cell in fresh.items():
        other = shipped[place]
        assert (cell.k, cell.n, cell.events, cell.rows, cell.method) == (other.k, other.n, other.events, other.rows, other.method), place
        for name in ("estimate", "low", "high", "prediction_low", "prediction_high", "heterogeneity_p"):
            assert getattr(cell, name) == pytest.approx(getattr(other, name), abs=1e-4), f"{place} {name}: run `make pooled`"
        assert (cell.tau2 is None) == (other.tau2 is None), place
        assert cell.tau2 == pytest.approx(other.tau2, **({} if other.tau2 is None else {"rel": 1e-3, "abs": 1e-4})), f"{place} tau2: run `make pooled`"


def test_nothing_shipped_pools_single_cases_lesions_or_combinations(knowledge: Knowledge) -> None:
    rows = {each.row: each for each in knowledge.studies}
    for cell in load_pooled():
        for each in (rows[key] for key in cell.rows):
            assert each.design in POOLED_DESIGNS and each.unit == "patients" and each.arm == "treated"
            assert each.treatments == (cell.treatment,)
            assert each.calcification_type == cell.type
            assert cell.disease in (None, *each.diseases)


def test_patients_behind_a_pooled_proportion_are_counted_once(knowledge: Knowledge) -> None:
    rows = {each.row: each for each in knowledge.studies}
    for cell in load_pooled():
        same = [rows[key].overlap or key for key in cell.rows]
        assert len(set(same)) == len(same), cell


def test_every_control_group_is_a_comparator_row_of_the_same_study_and_outcome(knowledge: Knowledge) -> None:
    rows = {each.row: each for each in knowledge.studies}
    for each in knowledge.studies:
        if each.comparator_row:
            other = rows[each.comparator_row]
            assert other.arm == "comparator", f"{each.row}: {other.row} is a {other.arm} row"
            assert (other.study, other.outcome) == (each.study, each.outcome), each.row


def test_comparisons_have_counts_on_both_sides(knowledge: Knowledge) -> None:
    found = compare_everything(knowledge)
    assert found
    for each in found:
        assert each.comparison.treated_n and each.comparison.control_n
    one = found[0].treatment.split(" + ")[0]
    assert compare_everything(knowledge, one) == [each for each in found if one in each.treatment.split(" + ")]


def test_every_treatment_has_a_row_or_says_that_there_is_no_data(knowledge: Knowledge) -> None:
    named = {key for each in knowledge.studies for key in each.treatments}
    silent = [key for key, each in knowledge.treatments.items() if key not in named and {use.stance for use in each.uses} != {"no_data"}]
    assert not silent
