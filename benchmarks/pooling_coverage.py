"""How often the 95 % intervals of pooled proportions hold the truth, on studies made up from a known truth.

Each run draws the number of studies, 3 to 30 patients a study, the log odds of every study from N(logit p, tau^2), and the counts.
`used` is the interval that `pool_proportions` returns; beside it stand intervals that were looked at and not taken.
Counts that are all zero or all events get the exact interval in every column, and no prediction interval.
Usage: python benchmarks/pooling_coverage.py [--runs 500] [--studies 5 10]
"""

from __future__ import annotations

import argparse
import math
import time
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from calcinosis.evidence.pooling import CHI_SQUARE_CUT, Fit, Group, Mixture, Pooled, binomial, pool_proportions

PROPORTIONS = (0.1, 0.2, 0.5, 0.8)
TAUS = (0.0, 0.4, 0.8)
INTERVALS = ("Wald z", "Wald t", "profile 3.84", "profile k-1", "used")


class Run(NamedTuple):
    held: list[bool]  # whether each of INTERVALS holds the truth
    width: float  # of the one used
    new_study: tuple[float, float] | None  # part of the new studies inside the textbook prediction interval and the one used
    rejects: bool  # the test of heterogeneity, at 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--studies", type=int, nargs=2, default=(5, 10), metavar=("FEWEST", "MOST"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(20261001)
    start = time.perf_counter()
    print(f"{arguments.studies[0]} to {arguments.studies[1]} studies, {arguments.runs} runs a scenario; per cent of truths inside")
    print("   p  tau" + "".join(f"{name:>14}" for name in INTERVALS) + "   width | new study: textbook   used | test rejects")
    scenarios, predictions = [], []
    for p in PROPORTIONS:
        for tau in TAUS:
            runs = [one_run(rng, p, tau, *arguments.studies) for _ in range(arguments.runs)]
            row = 100 * np.mean([run.held for run in runs], axis=0)
            known = [run.new_study for run in runs if run.new_study is not None]
            textbook, used = 100 * np.mean(known, axis=0) if known else (math.nan, math.nan)
            tested = 100 * float(np.mean([run.rejects for run in runs]))
            scenarios.append(row)
            predictions.append((tau, textbook, used, tested))
            figures = "".join(f"{figure:14.1f}" for figure in row) + f" {np.mean([run.width for run in runs]):7.2f}"
            print(f"{p:4.1f} {tau:4.1f}{figures} | {textbook:19.1f} {used:6.1f} | {tested:8.1f}", flush=True)
    for name, column in zip(INTERVALS, np.array(scenarios).T, strict=True):
        print(f"{name:>14}: {column.mean():.1f} on average, {column.min():.1f} to {column.max():.1f} over scenarios")
    for at, name in ((1, "textbook"), (2, "used")):
        held = [row[at] for row in predictions if row[0] > 0]  # nan for two studies: no prediction interval
        print(f"new study, {name}: {min(held):.1f} to {max(held):.1f} where tau > 0")
    same = [row[3] for row in predictions if row[0] == 0]
    print(f"test of heterogeneity rejects {min(same):.1f} to {max(same):.1f} where tau = 0")
    print(f"{time.perf_counter() - start:.0f} s. Bar: `used` holds 93 to 97 on average")


def one_run(rng: np.random.Generator, p: float, tau: float, fewest: int, most: int) -> Run:
    truth = float(special.logit(p))
    n = rng.integers(3, 31, rng.integers(fewest, most + 1))
    x = rng.binomial(n, special.expit(truth + tau * rng.standard_normal(len(n))))
    pooled = pool_proportions([Group("", int(events), int(size)) for events, size in zip(x, n, strict=True)])
    used = pooled.low <= p <= pooled.high
    if pooled.tau2 is None:
        return Run([used] * len(INTERVALS), pooled.high - pooled.low, None, False)
    studies = binomial(x.astype(float), n.astype(float))
    fit = studies.fit()
    away = abs(fit.mu - truth) / standard_error(studies, fit)
    fall = 2 * (fit.loglik - studies.profile(truth))
    t = float(stats.t.ppf(0.975, len(n) - 1))
    k = len(n)
    held = [away <= 1.96, away <= t, fall <= CHI_SQUARE_CUT, fall <= k * math.log1p(t * t / (k - 1)), used]
    rejects = pooled.heterogeneity_p is not None and pooled.heterogeneity_p < 0.05
    return Run(held, pooled.high - pooled.low, new_studies(pooled, studies, fit, truth, tau), rejects)


def new_studies(pooled: Pooled, studies: Mixture, fit: Fit, truth: float, tau: float) -> tuple[float, float] | None:
    """Part of N(truth, tau^2) inside the textbook interval mu +- t (tau^2 + se^2)^(1/2), k - 2 df, and inside the one used."""
    if pooled.prediction is None:
        return None
    reach = float(stats.t.ppf(0.975, studies.k - 2)) * math.hypot(fit.tau, standard_error(studies, fit))
    low, high = special.logit(pooled.prediction)
    ends = np.array([[fit.mu - reach, low], [fit.mu + reach, high]]) - truth
    inside = np.diff(stats.norm.cdf(ends / tau), axis=0)[0] if tau else (ends[0] < 0) & (ends[1] > 0)
    return float(inside[0]), float(inside[1])


def standard_error(studies: Mixture, fit: Fit) -> float:
    """Of mu, from the curvature of the likelihood in mu and tau."""
    d = 1e-3

    def at(mu: float, tau: float) -> float:
        return studies.loglik(fit.mu + mu * d, fit.tau + tau * d)

    of_mu = 2 * at(0, 0) - at(1, 0) - at(-1, 0)
    if fit.tau < 0.02:  # on the edge
        return d / math.sqrt(of_mu)
    of_tau = 2 * at(0, 0) - at(0, 1) - at(0, -1)
    both = (at(1, -1) + at(-1, 1) - at(1, 1) - at(-1, -1)) / 4
    return d / math.sqrt(of_mu - both**2 / of_tau)


if __name__ == "__main__":
    main()
