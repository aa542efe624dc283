"""Pooling against figures that others published, against truths that were made up, and against what must hold for any counts.

data/published_meta_analyses.yaml has the published counts and figures, each with the place where it was seen.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from calcinosis.evidence.pooling import (
    Fit,
    Group,
    Mixture,
    Pair,
    Ratio,
    binomial,
    compare,
    hypergeometric,
    pool_proportions,
    two_binomials,
)

PUBLISHED = yaml.safe_load((Path(__file__).parent / "data" / "published_meta_analyses.yaml").read_text(encoding="utf-8"))
PRINTED = 1e-4  # published figures have four decimals
WALD = 1.96


def groups(counts: list[tuple[int, int]]) -> list[Group]:
    return [Group(f"study {i}", events, n) for i, (events, n) in enumerate(counts)]


def pairs(counts: list[tuple[int, int, int, int]]) -> list[Pair]:
    return [Pair(f"study {i}", *row) for i, row in enumerate(counts)]


def columns(counts: list[list[int]]) -> list[np.ndarray]:
    return list(np.array(counts, dtype=float).T)


def standard_error(studies: Mixture, fit: Fit) -> float:
    """Of mu, from the curvature of the likelihood in mu and tau, as metafor has it."""
    d = 1e-3
    at = {(i, j): studies.loglik(fit.mu + i * d, fit.tau + j * d) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    mu, tau = (2 * at[0, 0] - at[step] - at[-step[0], -step[1]] for step in ((1, 0), (0, 1)))
    both = (at[1, -1] + at[-1, 1] - at[1, 1] - at[-1, -1]) / 4
    return d / math.sqrt(mu - both**2 / tau)


# ---- published figures


def published_proportions(exact: bool) -> list[str]:
    return [name for name, case in PUBLISHED["proportions"].items() if ("quadrature_nodes" not in case) == exact]


@pytest.mark.parametrize("name", published_proportions(exact=True))
def test_a_pooled_proportion_is_what_metafor_prints(name: str) -> None:
    case = PUBLISHED["proportions"][name]
    pooled = pool_proportions(groups(case["counts"]))
    studies = binomial(*columns(case["counts"]))
    fit = studies.fit()
    se = standard_error(studies, fit)
    assert pooled.estimate == pytest.approx(case["estimate"], abs=PRINTED)
    assert special.expit([fit.mu - WALD * se, fit.mu + WALD * se]) == pytest.approx(case["wald"], abs=PRINTED)
    if "mu" in case:
        assert (fit.mu, se) == pytest.approx((case["mu"], case["se"]), abs=PRINTED)
        assert pooled.tau2 == pytest.approx(case["tau2"], rel=5e-4)
    if "predicted" in case:  # checks tau: the textbook interval, not the one we show
        reach = WALD * math.hypot(fit.tau, se)
        assert special.expit([fit.mu - reach, fit.mu + reach]) == pytest.approx(case["predicted"], abs=PRINTED)
    if "deviance_from_one_proportion" in case:
        p = stats.chi2.sf(case["deviance_from_one_proportion"], len(case["counts"]) - 1)
        assert pooled.heterogeneity_p == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("name", published_proportions(exact=False))
def test_where_the_published_fit_has_few_quadrature_nodes_we_differ_by_just_that(name: str) -> None:
    """The published figures come back to all digits with their 7 nodes, and ours differ in the fourth."""
    case = PUBLISHED["proportions"][name]
    x, n = columns(case["counts"])
    z, weights = np.polynomial.hermite_e.hermegauss(case["quadrature_nodes"])

    def minus_loglik(at: np.ndarray) -> float:
        mu, tau = at
        centre = np.zeros(len(x))
        for _ in range(50):  # the likeliest effect of each study, in units of tau
            p = special.expit(mu + tau * centre)
            information = tau**2 * n * p * (1 - p) + 1
            centre = centre + (tau * (x - n * p) - centre) / information
        nodes = centre[:, None] + z / np.sqrt(information)[:, None]
        values = x[:, None] * (mu + tau * nodes) - n[:, None] * np.logaddexp(0, mu + tau * nodes) - nodes**2 / 2 + z**2 / 2
        return -float(np.sum(np.log(np.exp(values) @ weights / np.sqrt(information))))

    mu, tau = optimize.minimize(minus_loglik, [-4, 1], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
    assert (mu, tau**2) == pytest.approx((case["mu"], case["tau2"]), abs=PRINTED)
    studies = binomial(x, n)
    fit = studies.fit()
    assert (fit.mu, standard_error(studies, fit)) == pytest.approx((case["mu"], case["se"]), abs=5e-4)
    assert fit.tau**2 == pytest.approx(case["tau2"], rel=2e-3)
    assert pool_proportions(groups(case["counts"])).estimate == pytest.approx(case["estimate"], abs=PRINTED)


@pytest.mark.parametrize("name", PUBLISHED["odds_ratios"])
def test_a_pooled_odds_ratio_is_what_the_exact_conditional_model_prints(name: str) -> None:
    case = PUBLISHED["odds_ratios"][name]
    pooled = compare(pairs(case["counts"])).odds_ratio
    informative = [row for row in case["counts"] if 0 < row[0] + row[2] < row[1] + row[3]]
    studies = hypergeometric(*columns(informative))
    fit = studies.fit()
    se = standard_error(studies, fit)
    assert pooled.k == len(informative)
    assert pooled.estimate is not None
    assert (math.log(pooled.estimate), se, pooled.tau2) == pytest.approx((case["mu"], case["se"], case["tau2"]), abs=1.5 * PRINTED)
    wald = np.array([fit.mu - WALD * se, fit.mu + WALD * se])
    if "wald" in case:
        assert np.exp(wald) == pytest.approx(case["wald"], abs=2 * PRINTED)
    if "wald_log" in case:
        assert wald == pytest.approx(case["wald_log"], abs=2 * PRINTED)
    if "loglik" in case:
        assert (fit.loglik, fit.common) == pytest.approx((case["loglik"], case["loglik_without_heterogeneity"]), abs=PRINTED)


def test_a_pooled_risk_ratio_of_rare_events_is_the_published_poisson_normal_one() -> None:
    case = PUBLISHED["risk_ratios"]["catheter_days"]
    rare = [[x1, n1 * 1000, x0, n0 * 1000] for x1, n1, x0, n0 in case["counts"]]
    pooled = compare(pairs(rare)).risk_ratio
    studies = two_binomials(*columns(rare))
    fit = studies.fit()
    assert pooled.estimate is not None and pooled.tau2 is not None
    found = (math.log(pooled.estimate), standard_error(studies, fit), math.sqrt(pooled.tau2))
    assert found == pytest.approx((case["mu"], case["se"], case["tau"]), abs=PRINTED)


def test_the_risk_ratio_without_heterogeneity_fits_as_well_as_published() -> None:
    case = PUBLISHED["risk_ratios"]["bcg_vaccine"]
    assert -2 * two_binomials(*columns(case["counts"])).fit().common == pytest.approx(case["deviance_from_one_ratio"], abs=2 * PRINTED)


def test_the_risk_ratio_of_large_trials_is_near_that_of_normal_errors() -> None:
    """13 trials, most of them large: the published REML fit on normal errors must lie close by. (Ours is ML: a smaller tau.)"""
    case = PUBLISHED["risk_ratios"]["bcg_vaccine"]
    pooled = compare(pairs(case["counts"])).risk_ratio
    assert pooled.estimate is not None and pooled.tau2 is not None
    assert math.log(pooled.estimate) == pytest.approx(case["normal_normal_reml"]["mu"], abs=0.02)
    assert pooled.tau2 * 13 / 12 == pytest.approx(case["normal_normal_reml"]["tau2"], rel=0.02)


def test_one_study_gives_the_published_single_study_intervals() -> None:
    case: dict[str, Any] = PUBLISHED["one_study"]
    proportion = pool_proportions(groups([tuple(case["proportion"]["counts"])]))
    assert (proportion.low, proportion.high) == pytest.approx(case["proportion"]["interval"], rel=1e-6)
    assert "Clopper-Pearson" in proportion.method
    risk = compare(pairs([tuple(case["risk_ratio"]["counts"])])).risk_ratio
    assert risk.estimate == pytest.approx(case["risk_ratio"]["estimate"])
    assert (risk.low, risk.high) == pytest.approx(case["risk_ratio"]["interval"], rel=1e-5)
    odds = compare(pairs([tuple(case["odds_ratio"]["counts"])])).odds_ratio
    assert odds.estimate == pytest.approx(case["odds_ratio"]["estimate"], rel=1e-5)
    assert odds.low == pytest.approx(case["odds_ratio"]["interval"][0], rel=1e-4)
    # R looks for 1 / upper between 0 and 1 to 4 decimals, so its upper limit (621.9) is coarse. Ours leaves 2.5 % below 4 of 4:
    assert odds.high == pytest.approx(case["odds_ratio"]["interval"][1], rel=0.01)
    assert stats.nchypergeom_fisher.cdf(3, 8, 4, 4, odds.high) == pytest.approx(0.025, rel=1e-6)


# ---- zeros and other edges


def test_no_event_anywhere_gives_the_exact_interval_of_all_patients() -> None:
    pooled = pool_proportions(groups([(0, 10), (0, 12), (0, 4)]))
    assert (pooled.estimate, pooled.low) == (0, 0)
    assert pooled.high == pytest.approx(1 - 0.025 ** (1 / 26))
    assert (pooled.tau2, pooled.prediction, pooled.heterogeneity_p) == (None, None, None)
    assert "cannot be estimated" in pooled.method


def test_nothing_but_events_mirrors_no_event() -> None:
    pooled = pool_proportions(groups([(5, 5), (7, 7)]))
    assert (pooled.estimate, pooled.high) == (1, 1)
    assert pooled.low == pytest.approx(0.025 ** (1 / 12))


def test_a_prediction_interval_needs_three_studies() -> None:
    assert pool_proportions(groups([(1, 10), (4, 12)])).prediction is None
    assert pool_proportions(groups([(1, 10), (4, 12), (2, 9)])).prediction is not None


def test_studies_that_contradict_each_other_leave_nearly_everything_open() -> None:
    pooled = pool_proportions(groups([(0, 20), (20, 20)]))
    assert pooled.estimate == pytest.approx(0.5)
    assert pooled.low < 0.01 and pooled.high > 0.99


def test_no_event_among_controls_gives_an_infinite_ratio_with_a_lower_limit() -> None:
    both = compare(pairs([(4, 10, 0, 10), (3, 9, 0, 12)]))
    for ratio in (both.odds_ratio, both.risk_ratio):
        assert (ratio.estimate, ratio.high, ratio.tau2) == (math.inf, math.inf, None)
        assert 1 < ratio.low < 10
    one = compare(pairs([(4, 10, 0, 10)])).risk_ratio
    assert (one.estimate, one.high) == (math.inf, math.inf)
    assert 1 < one.low < both.risk_ratio.low


def test_the_limit_at_the_edge_is_exact() -> None:
    """At the lower limit of the odds ratio, tables as extreme as these come up in 2.5 %."""
    low = compare(pairs([(4, 10, 0, 10), (3, 9, 0, 12)])).odds_ratio.low
    tables = [stats.nchypergeom_fisher.pmf(4, 20, 10, 4, low), stats.nchypergeom_fisher.pmf(3, 21, 9, 3, low)]
    assert math.prod(tables) == pytest.approx(0.025, rel=1e-3)


def test_studies_without_any_event_say_nothing() -> None:
    both = compare(pairs([(0, 10, 0, 12), (0, 5, 0, 5)]))
    for ratio in (both.odds_ratio, both.risk_ratio):
        assert (ratio.k, ratio.estimate, ratio.low, ratio.high) == (0, None, 0, math.inf)
        assert "Not estimable" in ratio.method


def test_a_study_without_any_event_changes_nothing() -> None:
    some = [(4, 10, 1, 10), (3, 9, 2, 12)]
    alone, more = compare(pairs(some)), compare(pairs([*some, (0, 30, 0, 30)]))
    assert (alone.odds_ratio, alone.risk_ratio) == (more.odds_ratio, more.risk_ratio)
    assert (alone.k, more.k) == (2, 3)


@pytest.mark.parametrize(("events", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_named(events: int, n: int) -> None:
    with pytest.raises(ValueError, match="balin"):
        pool_proportions([Group("balin", events, n)])
    with pytest.raises(ValueError, match="balin, control"):
        compare([Pair("balin", 1, 2, events, n)])


def test_nothing_to_pool_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one group"):
        pool_proportions([])
    with pytest.raises(ValueError, match="at least one pair"):
        compare([])


# ---- truths that were made up


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """A short run of benchmarks/pooling_coverage.py: 12 scenarios, 30 runs each."""
    rng = np.random.default_rng(1)
    held = []
    for p in (0.1, 0.2, 0.5, 0.8):
        for tau in (0.0, 0.4, 0.8):
            for _ in range(30):
                n = rng.integers(3, 31, rng.integers(5, 11))
                x = rng.binomial(n, special.expit(special.logit(p) + tau * rng.standard_normal(len(n))))
                pooled = pool_proportions(groups([(int(a), int(b)) for a, b in zip(x, n, strict=True)]))
                held.append(pooled.low <= p <= pooled.high)
    assert 0.92 <= np.mean(held) <= 0.98


def test_studies_without_error_give_the_t_interval() -> None:
    """One end of the cut-off: very large studies, so only differences between studies count."""
    n = 20_000
    x = [4000, 9000, 6000, 12_000, 5000]
    logits = special.logit(np.array(x) / n)
    reach = stats.t.ppf(0.975, 4) * logits.std(ddof=1) / math.sqrt(5)
    pooled = pool_proportions(groups([(events, n) for events in x]))
    assert pooled.estimate == pytest.approx(special.expit(logits.mean()), rel=1e-3)
    assert (pooled.low, pooled.high) == pytest.approx(special.expit([logits.mean() - reach, logits.mean() + reach]), rel=5e-3)


def test_equal_studies_give_the_likelihood_interval_of_one_proportion() -> None:
    """The other end: no differences, the usual cut-off."""
    pooled = pool_proportions(groups([(8, 20)] * 10))
    assert pooled.tau2 == 0
    for limit in (pooled.low, pooled.high):
        fall = 2 * (special.xlogy(80, 0.4 / limit) + special.xlogy(120, 0.6 / (1 - limit)))
        assert fall == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-3)


def test_sixty_cells_are_pooled_in_five_seconds() -> None:
    rng = np.random.default_rng(2)
    start = time.process_time()
    for _ in range(60):
        n = rng.integers(3, 31, rng.integers(2, 21))
        pool_proportions(groups([(int(x), int(size)) for x, size in zip(rng.binomial(n, 0.3), n, strict=True)]))
    assert time.process_time() - start < 5


# ---- what must hold for any counts


@st.composite
def arms(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 40))
    return draw(st.integers(0, n)), n


case_series = st.lists(arms(), min_size=1, max_size=8)
two_arms = st.lists(st.tuples(arms(), arms()).map(lambda pair: (*pair[0], *pair[1])), min_size=1, max_size=5)
few = settings(max_examples=40)


@few
@given(case_series)
def test_a_pooled_proportion_lies_inside_its_interval(counts: list[tuple[int, int]]) -> None:
    pooled = pool_proportions(groups(counts))
    assert 0 <= pooled.low <= pooled.estimate <= pooled.high <= 1
    assert pooled.low < pooled.high
    assert (pooled.k, pooled.events, pooled.n) == (len(counts), sum(c[0] for c in counts), sum(c[1] for c in counts))
    if pooled.prediction:
        assert 0 <= pooled.prediction[0] <= pooled.low < pooled.high <= pooled.prediction[1] <= 1
    if pooled.heterogeneity_p is not None:
        assert 0 <= pooled.heterogeneity_p <= 1


@few
@given(case_series, st.randoms(use_true_random=False))
def test_the_order_of_studies_does_not_matter(counts: list[tuple[int, int]], random: Any) -> None:
    shuffled = random.sample(counts, len(counts))
    assert pool_proportions(groups(shuffled)) == pool_proportions(groups(counts))


@few
@given(case_series)
def test_counting_failures_mirrors_the_result(counts: list[tuple[int, int]]) -> None:
    pooled, mirrored = pool_proportions(groups(counts)), pool_proportions(groups([(n - x, n) for x, n in counts]))
    found = (mirrored.estimate, mirrored.low, mirrored.high)
    assert found == pytest.approx((1 - pooled.estimate, 1 - pooled.high, 1 - pooled.low), abs=2e-3)


@few
@given(case_series)
def test_without_differences_between_studies_the_estimate_is_that_of_all_patients(counts: list[tuple[int, int]]) -> None:
    pooled = pool_proportions(groups(counts))
    assume(not pooled.tau2)
    assert pooled.estimate == pytest.approx(pooled.events / pooled.n, abs=1e-5)


@few
@given(case_series, st.floats(-4, 4), st.floats(0, 3))
def test_no_other_mu_and_tau_fit_better(counts: list[tuple[int, int]], mu: float, tau: float) -> None:
    assume(len(counts) > 1 and pool_proportions(groups(counts)).tau2 is not None)
    studies = binomial(*columns([list(row) for row in counts]))
    assert studies.fit().loglik >= studies.loglik(mu, tau) - 1e-6


@few
@given(two_arms)
def test_a_pooled_ratio_lies_inside_its_interval(counts: list[tuple[int, int, int, int]]) -> None:
    comparison = compare(pairs(counts))
    for ratio in (comparison.odds_ratio, comparison.risk_ratio):
        assert 0 <= ratio.low < ratio.high
        assert ratio.estimate is None or ratio.low <= ratio.estimate <= ratio.high


@few
@given(two_arms)
def test_swapping_the_arms_inverts_both_ratios(counts: list[tuple[int, int, int, int]]) -> None:
    there, back = compare(pairs(counts)), compare(pairs([(x0, n0, x1, n1) for x1, n1, x0, n0 in counts]))
    for ratio, inverse in ((there.odds_ratio, back.odds_ratio), (there.risk_ratio, back.risk_ratio)):
        assert (ratio.k, ratio.estimate is None) == (inverse.k, inverse.estimate is None)
        assert on_log_scale(ratio) == pytest.approx([-value for value in reversed(on_log_scale(inverse))], abs=5e-3)


def on_log_scale(ratio: Ratio) -> list[float]:
    """Low, estimate and high; a ratio beyond anything of interest counts as infinite."""
    logs = [
        math.log(value) if value > 0 else -math.inf for value in (ratio.low, 1.0 if ratio.estimate is None else ratio.estimate, ratio.high)
    ]
    return [math.copysign(math.inf, value) if abs(value) > 10 else value for value in logs]
