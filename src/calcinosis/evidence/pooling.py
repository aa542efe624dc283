"""Pools small studies: the proportion that responded, and the odds and risk ratios of two arms.

Estimand. Each study has an effect of its own (log odds of response, log odds ratio or log risk ratio). These effects are drawn from a
normal distribution N(mu, tau^2). The estimate is mu turned back: the *median* over studies. Half of all studies lie below it.
It is not the mean over studies and not the proportion over all patients.

Likelihood. Always that of the counts: nothing is added to a zero, nothing is taken as normal.
- Proportion: binomial-normal model, a logistic regression with a random intercept (Stijnen, Hamza & Ozdemir 2010, Stat Med 29:3046).
- Odds ratio: hypergeometric-normal model, exact given the margins of each table (van Houwelingen, Zwinderman & Stijnen 1993,
  Stat Med 12:2273; Stijnen 2010). A study without any event, or with nothing but events, says nothing and drops out.
- Risk ratio: no exact conditional likelihood exists. Each study gives the profile likelihood of its two binomials (the proportion of
  the control arm at its maximum), mixed over N(mu, tau^2) as above. For rare events this is Stijnen's conditional Poisson-normal model.
The mixture is a sum over evenly spaced effects (trapezoid rule), good to about eight digits wherever the likelihood is not negligible.
Fits are maximum likelihood.

95 % interval. Profile likelihood (Hardy & Thompson 1996, Stat Med 15:619), cut off at (v + 1) log(1 + t^2 / v), where t is Student's 97.5 %
point with v = (k - 1) / share degrees of freedom, and share is the part of the variance that lies between studies. Both ends are exact for
normal effects: share 0 is the usual 3.84, share 1 is the t interval of k effects known without error. The rule in between is ours;
it is kept because it was measured.

Measured by `benchmarks/pooling_coverage.py` (5 to 10 studies of 3 to 30 patients, true proportion 0.1 to 0.8, tau 0 to 0.8, 500 runs each
in 12 scenarios; last column with `--runs 300 --studies 3 3`). Per cent of truths inside, on average (least and most of the scenarios):
    interval                                     5 to 10 studies      3 studies
    Wald, normal quantile                        93.3 (90.2-96.4)     91.8 (82.0-97.3)
    Wald, t quantile, k - 1 df                   97.4 (95.0-99.4)     99.6 (98.0-100)
    profile likelihood, 3.84                     94.8 (92.6-96.4)     95.4 (89.7-98.0)
    profile likelihood, t cut-off, k - 1 df      97.2 (95.4-99.0)     99.8 (98.7-100)
    profile likelihood, t cut-off, v df: used    95.1 (93.0-96.8)     95.5 (90.0-98.0)
With 2 or 3 studies that differ much, no interval of useful width is safe: the one used then holds 90 to 96 %.

Prediction interval. The textbook formula (Higgins, Thompson & Spiegelhalter 2009, J R Stat Soc A 172:137) takes tau as known. In the same
runs it held 85 to 93 % of new studies where studies differ; Nagashima 2019 (Stat Methods Med Res 28:1689) found it short too. Used instead:
mu and tau averaged over their likelihood, with a half-normal(1) weight on tau (after Roever 2021, Res Synth Methods 12:448). It held 95 to
99 %. It is never shown narrower than the 95 % interval.

Why own code. PyMARE 0.0.13 and statsmodels pool estimates with normal errors. pimeta 1.1 ports metafor's binomial models, but has Wald
intervals only and no exact conditional model, and needs matplotlib. scipy has the single-study intervals; they are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, optimize, special, stats

Floats = NDArray[np.float64]
Count = Floats | float
Curves = Callable[[Floats], Floats]
"""Log-likelihood of each study's own effect: effects (any number) in, one column per study out."""

FAR = 15.0  # no log odds or log ratio is looked for beyond this
TAU_MAX = 3.0  # on the logit scale: 95 % of studies between 0.3 % and 99.7 %; counts cannot tell more than that
CHI_SQUARE_CUT = float(stats.chi2.ppf(0.95, 1))


@dataclass(frozen=True)
class Group:
    """One arm or case series: how many of n responded."""

    label: str
    events: int
    n: int


@dataclass(frozen=True)
class Pooled:
    """A pooled proportion. What counts cannot tell is None: tau2 and the test for one study or no variation, prediction for k < 3."""

    k: int
    events: int
    n: int
    estimate: float
    low: float
    high: float
    tau2: float | None  # variance between studies, logit scale
    prediction: tuple[float, float] | None  # where the true proportion of a new study lies
    heterogeneity_p: float | None
    method: str


@dataclass(frozen=True)
class Pair:
    """One two-arm study."""

    label: str
    treated_events: int
    treated_n: int
    control_events: int
    control_n: int


@dataclass(frozen=True)
class Ratio:
    """A pooled ratio, treated over control. Infinite where no control had an event; estimate None where no study says anything."""

    k: int  # studies that say something about this ratio
    estimate: float | None
    low: float
    high: float
    tau2: float | None  # variance between studies, log scale
    method: str


@dataclass(frozen=True)
class Comparison:
    """Two-arm studies: what went in, and both ratios."""

    k: int
    treated_events: int
    treated_n: int
    control_events: int
    control_n: int
    odds_ratio: Ratio
    risk_ratio: Ratio


def pool_proportions(groups: Sequence[Group]) -> Pooled:
    """The median proportion over studies (see the module), with its 95 % interval.

    One study: exact interval (Clopper & Pearson 1934, Biometrika 26:404). No event anywhere, or nothing but events: the same for the counts
    added up, because such data cannot tell how far studies differ. The test of heterogeneity is the likelihood ratio against one
    proportion per study (chi-square, k - 1 df); with 3 to 30 patients a study it rejects 7 to 8 % of homogeneous data at 0.05.
    """
    if not groups:
        raise ValueError("pool_proportions needs at least one group")
    for group in groups:
        _check(group.label, group.events, group.n)
    k, events, n = len(groups), sum(g.events for g in groups), sum(g.n for g in groups)
    if k == 1 or events in (0, n):
        exact = stats.binomtest(events, n).proportion_ci(0.95, method="exact")
        counts = "One study" if k == 1 else f"{'No event' if events == 0 else 'Nothing but events'} in {k} studies, counts added up"
        method = f"{counts}: exact (Clopper-Pearson) interval; differences between studies cannot be estimated"
        return Pooled(k, events, n, events / n, float(exact.low), float(exact.high), None, None, None, method)

    x, size = np.array(sorted((g.events, g.n) for g in groups), dtype=float).T  # sorted: the order of studies changes no digit
    studies = binomial(x, size)
    fit = studies.fit()
    low, high = (float(special.expit(limit)) for limit in studies.interval(fit))
    prediction = None
    if k >= 3:
        ends = special.expit(studies.predict())
        prediction = (min(low, float(ends[0])), max(high, float(ends[1])))
    saturated = float(np.sum(special.xlogy(x, x / size) + special.xlogy(size - x, 1 - x / size)))
    p = float(stats.chi2.sf(2 * (saturated - fit.common), k - 1))
    method = "Median over studies, random effects (binomial-normal model, maximum likelihood); 95 % interval by profile likelihood"
    return Pooled(k, events, n, float(special.expit(fit.mu)), low, high, fit.tau**2, prediction, p, method)


def compare(pairs: Sequence[Pair]) -> Comparison:
    """Odds ratio and risk ratio of two-arm studies, medians over studies (see the module), with 95 % intervals.

    One study: exact conditional interval of the odds ratio (Fisher 1935, J R Stat Soc 98:39) and score interval of the risk ratio
    (Koopman 1984, Biometrics 40:513). No event in one arm of every study: the ratio is 0 or infinite, with a one-sided limit.
    """
    if not pairs:
        raise ValueError("compare needs at least one pair")
    for pair in pairs:
        _check(f"{pair.label}, treated", pair.treated_events, pair.treated_n)
        _check(f"{pair.label}, control", pair.control_events, pair.control_n)
    tables = np.array(sorted((p.treated_events, p.treated_n, p.control_events, p.control_n) for p in pairs))
    x1, n1, x0, n0 = (int(total) for total in tables.sum(axis=0))
    return Comparison(len(pairs), x1, n1, x0, n0, _odds_ratio(tables), _risk_ratio(tables))


def _check(label: str, events: int, n: int) -> None:
    if n < 1 or not 0 <= events <= n:
        raise ValueError(f"{label}: {events} events of {n}; give 0 to n events, n at least 1")


def _odds_ratio(tables: NDArray[np.int64]) -> Ratio:
    x1, n1, x0, n0 = tables[(tables[:, [0, 2]].sum(axis=1) > 0) & (tables[:, [0, 2]] < tables[:, [1, 3]]).any(axis=1)].T
    k = len(x1)
    if k == 0:
        return Ratio(0, None, 0.0, math.inf, None, "Not estimable: no study has both events and non-events")
    if k == 1:
        exact = stats.contingency.odds_ratio([[x1[0], n1[0] - x1[0]], [x0[0], n0[0] - x0[0]]])
        limits = exact.confidence_interval(0.95)
        method = "One informative study: exact conditional interval"
        return Ratio(1, float(exact.statistic), float(limits.low), float(limits.high), None, method)
    studies = hypergeometric(*(column.astype(float) for column in (x1, n1, x0, n0)))
    least, most = np.maximum(0, x1 + x0 - n0), np.minimum(x1 + x0, n1)
    if (x1 == least).all() or (x1 == most).all():
        # The probability of these very tables, 2.5 % at the limit: the exact interval under one odds ratio.
        return _one_sided(studies, math.log(0.025), "exact conditional interval under one odds ratio", zero=bool((x1 == least).all()))
    return _random_effects(studies, "hypergeometric-normal model, exact given the margins")


def _risk_ratio(tables: NDArray[np.int64]) -> Ratio:
    x1, n1, x0, n0 = (column.astype(float) for column in tables[tables[:, [0, 2]].sum(axis=1) > 0].T)
    if len(x1) == 0:
        return Ratio(0, None, 0.0, math.inf, None, "Not estimable: no study has an event")
    if len(x1) == 1:
        return _koopman(*(float(column[0]) for column in (x1, n1, x0, n0)))
    studies = two_binomials(x1, n1, x0, n0)
    if not x1.any() or not x0.any():
        return _one_sided(studies, -CHI_SQUARE_CUT / 2, "likelihood interval under one risk ratio", zero=not x1.any())
    return _random_effects(studies, "profile likelihood of two binomials, mixed over studies")


def _random_effects(studies: Mixture, model: str) -> Ratio:
    fit = studies.fit()
    low, high = (math.exp(limit) for limit in studies.interval(fit))
    method = f"Median over studies, random effects ({model}; maximum likelihood); 95 % interval by profile likelihood"
    return Ratio(studies.k, math.exp(fit.mu), low, high, fit.tau**2, method)


def _one_sided(studies: Mixture, cut: float, interval: str, *, zero: bool) -> Ratio:
    """Every study at the same extreme: the ratio is 0 or infinite, tau cannot be estimated and is left out."""
    start, end = (-FAR, FAR) if zero else (FAR, -FAR)
    limit = math.exp(_limit(lambda mu: cut - studies.loglik(mu, 0.0), start, end))
    method = f"Every study at the same extreme: {interval}; differences between studies cannot be estimated"
    return Ratio(studies.k, 0.0 if zero else math.inf, 0.0 if zero else limit, limit if zero else math.inf, None, method)


def _koopman(x1: float, n1: float, x0: float, n0: float) -> Ratio:
    def excess(log_ratio: float) -> float:
        total = 0.0
        for x, n, p in zip((x1, x0), (n1, n0), _proportions_at(np.array([log_ratio]), x1, n1, x0, n0), strict=True):
            total += (x - n * p.item()) ** 2 / max(n * p.item() * (1 - p.item()), 1e-300)
        return total - CHI_SQUARE_CUT

    estimate = math.inf if x0 == 0 else x1 / n1 / (x0 / n0)
    middle = FAR if x0 == 0 else -FAR if x1 == 0 else math.log(estimate)
    low = 0.0 if x1 == 0 else math.exp(_limit(excess, middle, -FAR))
    high = math.inf if x0 == 0 else math.exp(_limit(excess, middle, FAR))
    return Ratio(1, estimate, low, high, None, "One informative study: score interval (Koopman)")


def _limit(excess: Callable[[float], float], start: float, end: float) -> float:
    """Where `excess` turns positive on the way from start to end; infinite if it does not."""
    if excess(end) <= 0:
        return math.copysign(math.inf, end)
    return float(optimize.brentq(excess, start, end, xtol=1e-5))


# ---- the mixture over studies


@dataclass(frozen=True)
class Fit:
    """Maximum likelihood: mu, tau, the log-likelihood there, and the greatest one with tau = 0."""

    mu: float
    tau: float
    loglik: float
    common: float


@dataclass(frozen=True)
class Mixture:
    """k studies whose effects are drawn from N(mu, tau^2)."""

    curves: Curves
    k: int
    step: float  # no wider than the narrowest likelihood of a study

    def loglik(self, mu: float, tau: float) -> float:
        tau = min(abs(tau), TAU_MAX)
        z, weights = _normal_rule(max(2, math.ceil(14 * tau / self.step / 16)))
        values = self.curves(mu + tau * z)
        top = values.max(axis=0)
        return float(np.sum(np.log(weights @ np.exp(values - top)) + top))

    def fit(self) -> Fit:
        common = optimize.minimize_scalar(lambda mu: -self.loglik(mu, 0.0), bracket=(-0.5, 0.5))
        start = [[common.x, 0.2], [common.x + 0.3, 0.6], [common.x - 0.3, 0.6]]
        settings = {"initial_simplex": start, "xatol": 1e-5, "fatol": 1e-9}
        best = optimize.minimize(lambda at: -self.loglik(at[0], at[1]), start[0], method="Nelder-Mead", options=settings)
        if best.fun >= common.fun - 1e-8:
            return Fit(float(common.x), 0.0, -float(common.fun), -float(common.fun))
        return Fit(float(best.x[0]), min(abs(float(best.x[1])), TAU_MAX), -float(best.fun), -float(common.fun))

    def profile(self, mu: float) -> float:
        """Log-likelihood of mu, at the tau that suits it best."""
        best = optimize.minimize_scalar(lambda tau: -self.loglik(mu, tau), bounds=(0.0, TAU_MAX), method="bounded", options={"xatol": 1e-3})
        return max(-float(best.fun), self.loglik(mu, 0.0))

    def share(self, fit: Fit) -> float:
        """Part of the variance of mu that comes from differences between studies."""
        nearby = self.curves(fit.mu + np.array([-0.02, 0.0, 0.02]))
        information = np.maximum(2 * nearby[1] - nearby[0] - nearby[2], 1e-12) / 0.02**2
        return 1.0 - float(np.sum(information / (1 + fit.tau**2 * information)) / np.sum(information))

    def cut(self, fit: Fit) -> float:
        """How far twice the log-likelihood may fall inside the 95 % interval (see the module)."""
        freedom = (self.k - 1) / max(self.share(fit), 1e-6)
        return float((freedom + 1) * np.log1p(stats.t.ppf(0.975, freedom) ** 2 / freedom))

    def interval(self, fit: Fit) -> tuple[float, float]:
        cut = self.cut(fit)

        def excess(mu: float) -> float:
            return 2 * (fit.loglik - self.profile(mu)) - cut

        return _limit(excess, fit.mu, -FAR), _limit(excess, fit.mu, FAR)

    def predict(self) -> Floats:
        """Between these lie 95 % of new studies, over all mu (equal weight) and tau (half-normal) by their likelihood."""
        effects, taus, densities, below = _prediction_grid()
        values = self.curves(effects)
        likelihood = np.exp(values - values.max(axis=0))
        weights = np.log(np.maximum(densities @ likelihood, 1e-300)).sum(axis=2) - taus[:, None] ** 2 / 2
        weights = np.exp(weights - weights.max())
        new_study = np.tensordot(weights / weights.sum(), below)
        return np.interp([0.025, 0.975], new_study, effects)


@cache
def _normal_rule(sixteens: int) -> tuple[Floats, Floats]:
    z = np.linspace(-7, 7, 16 * sixteens + 1)
    weights = np.exp(-z * z / 2)
    return z, weights / weights.sum()


@cache
def _prediction_grid() -> tuple[Floats, Floats, Floats, Floats]:
    """Effects, taus, and for each tau and mu the density and the distribution function of N(mu, tau^2) at the effects."""
    effects, mus, taus = np.linspace(-FAR, FAR, 501), np.linspace(-12, 12, 121), np.arange(0.1, TAU_MAX, 0.2)
    z = (effects - mus[:, None]) / taus[:, None, None]
    return effects, taus, np.exp(-z * z / 2) / taus[:, None, None], special.ndtr(z)


# ---- what one study says about its own effect


def binomial(x: Floats, n: Floats) -> Mixture:
    """Effect: log odds of an event."""
    narrowest = 1 / np.sqrt(np.max((x + 0.5) * (n - x + 0.5) / (n + 1)))
    return Mixture(lambda effect: x * effect[:, None] - n * np.logaddexp(0, effect)[:, None], len(x), 0.7 * float(narrowest))


def hypergeometric(x1: Floats, n1: Floats, x0: Floats, n0: Floats) -> Mixture:
    """Effect: log odds ratio, given the margins. Read off a spline, because every value is a sum over all tables with these margins."""
    narrowest = float(np.sqrt(np.min(1 / (x1 + 0.5) + 1 / (n1 - x1 + 0.5) + 1 / (x0 + 0.5) + 1 / (n0 - x0 + 0.5))))
    grid = np.linspace(-FAR, FAR, math.ceil(2 * FAR / min(0.05, narrowest / 4)))
    columns = []
    for a, na, total, nb in zip(x1, n1, x1 + x0, n0, strict=True):
        u = np.arange(max(0, total - nb), min(na, total) + 1)
        log_ways = _log_choose(na, u) + _log_choose(nb, total - u)
        columns.append(log_ways[u == a] + a * grid - special.logsumexp(log_ways + np.outer(grid, u), axis=1))
    spline = interpolate.CubicSpline(grid, np.column_stack(columns))
    return Mixture(lambda effect: np.asarray(spline(np.clip(effect, -FAR, FAR))), len(x1), 0.7 * narrowest)


def two_binomials(x1: Floats, n1: Floats, x0: Floats, n0: Floats) -> Mixture:
    """Effect: log risk ratio, the control proportion at its maximum. Zero at the study's own estimate."""
    narrowest = np.sqrt(np.min(1 / (x1 + 0.5) - 1 / (n1 + 0.6) + 1 / (x0 + 0.5) - 1 / (n0 + 0.6)))
    peak = _log_binomial(x1, n1, x1 / n1) + _log_binomial(x0, n0, x0 / n0)

    def curves(effect: Floats) -> Floats:
        p1, p0 = _proportions_at(np.clip(effect, -FAR, FAR)[:, None], x1, n1, x0, n0)
        return _log_binomial(x1, n1, p1) + _log_binomial(x0, n0, p0) - peak

    return Mixture(curves, len(x1), max(0.7 * float(narrowest), 0.005))


def _proportions_at(log_ratio: Floats, x1: Count, n1: Count, x0: Count, n0: Count) -> tuple[Floats, Floats]:
    """Likeliest proportions of both arms for a given log risk ratio (Koopman 1984): the smaller root of a quadratic."""
    ratio = np.exp(log_ratio)
    b = ratio * (n1 + x0) + x1 + n0
    p0 = 2 * (x1 + x0) / (b + np.sqrt(np.maximum(b * b - 4 * (n1 + n0) * ratio * (x1 + x0), 0)))
    return np.minimum(ratio * p0, 1), np.minimum(p0, 1)


def _log_binomial(x: Floats, n: Floats, p: Floats) -> Floats:
    return np.asarray(special.xlogy(x, p) + special.xlog1py(n - x, -p))


def _log_choose(n: Floats, k: Floats) -> Floats:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))
