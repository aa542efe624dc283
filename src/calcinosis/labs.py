"""Measurements: canonical units, flags, derived quantities, and the one measurement that decides.

* Unit conversion per distinct (concept, unit), through UCUM (:mod:`calcinosis.units`).
* Flag: as the laboratory reported it; else against the interval the laboratory sent; else against the interval for age and sex.
* Derived: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y).
* Deciding measurement: nearest to the index date within ``lab_window_days``; the latest one counts for alarms.
"""

from __future__ import annotations

import math
from typing import Final

import polars as pl

from calcinosis.ages import years_between
from calcinosis.events import REJECT_SCHEMA, Schema
from calcinosis.knowledge import Knowledge
from calcinosis.plans import run
from calcinosis.units import UnknownUnit, canonical_factor

LAB_FACT_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "concept": pl.String,
    "value": pl.Float64,  # canonical unit; null when only a flag was sent
    "comparator": pl.String,
    "flag": pl.String,
    "flag_from": pl.String,  # "reported", "reported_interval", "reference_interval"
    "time": pl.Datetime("us"),
    "source": pl.String,
    "said": pl.String,  # value and unit as sent
    "now_value": pl.Float64,
    "now_comparator": pl.String,
    "now_flag": pl.String,
    "now_time": pl.Datetime("us"),
    "now_source": pl.String,
    "now_said": pl.String,
    "ever": pl.List(pl.String),  # every flag ever seen
    "n": pl.UInt32,
    "first_time": pl.Datetime("us"),
    "last_time": pl.Datetime("us"),
}

_SAME_SAMPLE_DAYS = 7  # how far apart two analytes of one derived quantity may lie
_SAME_SAMPLE = f"{_SAME_SAMPLE_DAYS}d"
_UNDATED = pl.datetime(1, 1, 1)
_LAB_REJECTS = {**REJECT_SCHEMA, "subject_id": pl.String, "concept": pl.String}
DERIVED_FROM = {
    "calcium_adjusted": ("calcium_total", "calcium_ionised", "calcium_albumin_corrected"),
    "calcium_phosphate_product": ("calcium_total", "calcium_albumin_corrected", "phosphate"),
    "egfr": ("creatinine",),
}
FLAG_DECIDES = {"calcium_ionised": "calcium_adjusted"}  # the flag of the first is the flag of the second
MG_DL_PER_UMOL_L_CREATININE = 113.12 / 10_000  # chemistry: molar mass of creatinine

_MEASURED = [
    "subject_id", "concept", "time", "value", "comparator", "flag", "flag_from", "range_low", "range_high", "source", "said", "rank",
    "sex", "age", "index_time", "as_of",
]  # fmt: skip


def lab_facts(events: pl.DataFrame, subjects: pl.DataFrame, knowledge: Knowledge) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reduce lab events to one row per patient and analyte.

    Returns:
        The facts (``LAB_FACT_SCHEMA``) and the rejects (unknown units: ``events.REJECT_SCHEMA``, subject_id and concept).
    """
    if events.is_empty():
        return pl.DataFrame(schema=LAB_FACT_SCHEMA), pl.DataFrame(schema=_LAB_REJECTS)
    factors, rejects = _conversions(events, knowledge)
    intervals = _intervals(knowledge)
    measured = _with_person(_canonical(events.lazy(), factors.lazy()), subjects.lazy())
    # Collected between the steps, as each is read several times by the next (and row numbers must not change in between).
    measured = run(measured).lazy()
    measured = run(_flagged(measured, intervals)).lazy()
    derived = run(pl.concat([_adjusted_calcium(measured, knowledge), _egfr(measured)])).lazy()
    derived = run(pl.concat([derived, _product(derived, measured)])).lazy()
    everything = pl.concat([measured, _flagged(derived, intervals)])
    return run(_deciding(everything, knowledge.setting("lab_window_days"))), rejects


def _conversions(events: pl.DataFrame, knowledge: Knowledge) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The factor of every distinct (concept, unit), and the measurements that have none."""
    factors, failures = [], []
    for concept, unit in set(events.filter(pl.col("numeric_value").is_not_null()).select("concept", "unit").iter_rows()):
        lab = knowledge.concepts[concept].lab
        assert lab is not None
        try:
            factors.append((concept, unit, canonical_factor(unit, lab)))
        except UnknownUnit as error:
            failures.append((concept, unit, f"{concept}: {error}"))
    names = {"concept": pl.String, "unit": pl.String}
    factor = pl.DataFrame(factors, schema=names | {"factor": pl.Float64}, orient="row")
    if not failures:
        return factor, pl.DataFrame(schema=_LAB_REJECTS)
    failed = pl.DataFrame(failures, schema=names | {"reason": pl.String}, orient="row")
    rejects = (
        events.filter(pl.col("numeric_value").is_not_null())
        .join(failed, on=["concept", "unit"], nulls_equal=True)
        .select(
            pl.col("source_file").alias("file"),
            pl.lit(None, dtype=pl.Int64).alias("line"),
            pl.col("source").alias("record"),
            pl.lit("warning").alias("level"),
            pl.lit("unknown_unit").alias("category"),
            "reason",
            "subject_id",
            "concept",
        )
    )
    return factor, rejects


def _canonical(events: pl.LazyFrame, factors: pl.LazyFrame) -> pl.LazyFrame:
    number = pl.col("numeric_value").round_sig_figs(6).cast(pl.String).str.strip_suffix(".0")
    written = pl.concat_str(pl.col("comparator").fill_null(""), number, pl.lit(" "), pl.col("unit").fill_null("(no unit)"))
    return (
        events.join(factors, on=["concept", "unit"], how="left", nulls_equal=True)
        .select(
            "subject_id", "concept", "time", "comparator", "flag", "source",
            (pl.col("numeric_value") * pl.col("factor")).alias("value"),
            (pl.col("range_low") * pl.col("factor")).alias("range_low"),
            (pl.col("range_high") * pl.col("factor")).alias("range_high"),
            pl.when(pl.col("numeric_value").is_not_null()).then(written).otherwise(pl.coalesce("text_value", "flag")).alias("said"),
            pl.lit(0, dtype=pl.Int8).alias("rank"),
        )
        .filter(pl.col("value").is_not_null() | pl.col("flag").is_not_null())
    )  # fmt: skip


def _with_person(measured: pl.LazyFrame, subjects: pl.LazyFrame) -> pl.LazyFrame:
    return (
        measured.join(subjects.select("subject_id", "sex", "birth_date", "index_time", "as_of"), on="subject_id")
        .with_columns(pl.coalesce("time", "index_time").alias("_at"))
        .with_columns(years_between("birth_date", "_at").alias("age"), pl.lit(None, dtype=pl.String).alias("flag_from"))
        .select(_MEASURED)
    )


_interval_tables: dict[str, pl.LazyFrame] = {}


def _intervals(knowledge: Knowledge) -> pl.LazyFrame:
    """concept, age_from, age_below, for_sex, low, high in the canonical unit; one table per knowledge version."""
    if knowledge.version not in _interval_tables:
        rows = [
            (
                key,
                i.age_from_years,
                i.age_below_years,
                i.sex,
                *(None if x is None else x * canonical_factor(i.unit, concept.lab) for x in (i.low, i.high)),
            )
            for key, concept in knowledge.concepts.items()
            if concept.lab is not None
            for i in concept.lab.intervals
        ]
        schema = {
            "concept": pl.String,
            "age_from": pl.Float64,
            "age_below": pl.Float64,
            "for_sex": pl.String,
            "low": pl.Float64,
            "high": pl.Float64,
        }
        _interval_tables[knowledge.version] = pl.DataFrame(rows, schema=schema, orient="row").lazy()
    return _interval_tables[knowledge.version]


def _flagged(measured: pl.LazyFrame, intervals: pl.LazyFrame) -> pl.LazyFrame:
    """Fill ``flag`` and ``flag_from`` (reported > reported interval > interval for age and sex).

    An interval without an age limit applies at any age, known or not; one for a sex only where the sex is known.
    """
    by_age = pl.col("age").is_between("age_from", "age_below", closed="left") | ((pl.col("age_from") <= 0) & (pl.col("age_below") >= 200))
    by_sex = pl.col("for_sex").is_null() | (pl.col("for_sex") == pl.col("sex"))
    numbered = measured.with_row_index("_row")
    fitting = (
        numbered.select("_row", "concept", "age", "sex")
        .join(intervals, on="concept")
        .filter(by_age & by_sex)
        .group_by("_row")
        .agg(pl.col("low").last(), pl.col("high").last())
    )
    own = pl.col("range_low").is_not_null() | pl.col("range_high").is_not_null()
    low = pl.when(own).then("range_low").otherwise("low")
    high = pl.when(own).then("range_high").otherwise("high")
    value, comparator = pl.col("value"), pl.col("comparator").fill_null("=")
    # "< 5" means anywhere below 5: a flag is given only when the whole range lies on one side
    smallest = pl.when(comparator.is_in(["<", "<="])).then(-math.inf).otherwise(value)
    largest = pl.when(comparator.is_in([">", ">="])).then(math.inf).otherwise(value)
    by_interval = (
        pl.when((smallest > high) | ((comparator == ">") & (smallest == high))).then(pl.lit("high"))
        .when((largest < low) | ((comparator == "<") & (largest == low))).then(pl.lit("low"))
        .when(low.is_null() & high.is_null()).then(None)
        .when((low.is_null() | (smallest >= low)) & (high.is_null() | (largest <= high))).then(pl.lit("normal"))
    )  # fmt: skip
    from_interval = pl.when(own).then(pl.lit("reported_interval")).otherwise(pl.lit("reference_interval"))
    return (
        numbered.join(fitting, on="_row", how="left")
        .with_columns(by_interval.alias("_judged"))
        .with_columns(
            pl.coalesce("flag", "_judged").alias("flag"),
            pl.when(pl.col("flag").is_not_null())
            .then(pl.coalesce("flag_from", pl.lit("reported")))
            .when(pl.col("_judged").is_not_null())
            .then(from_interval)
            .alias("flag_from"),
        )
        .select(_MEASURED)
    )


def _pick(measured: pl.LazyFrame, concept: str) -> pl.LazyFrame:
    return measured.filter(pl.col("concept") == concept)


def _nearest_sample(left: pl.LazyFrame, right: pl.LazyFrame, suffix: str) -> pl.LazyFrame:
    """Join to each row of ``left`` the row of ``right`` of the same patient taken nearest in time, if within 7 days."""
    keyed = pl.coalesce("time", _UNDATED).alias("_at")
    exact = pl.when(pl.col("comparator").is_null()).then("value")  # "< 20" is no number to compute with
    renamed = right.select(
        "subject_id", keyed, exact.alias("value" + suffix), pl.col("flag").alias("flag" + suffix), pl.col("source").alias("source" + suffix)
    )
    return (
        left.with_columns(keyed)
        .sort("_at", "source", "value")
        .join_asof(
            renamed.sort("_at", "source" + suffix, "value" + suffix),
            on="_at",
            by="subject_id",
            strategy="nearest",
            tolerance=_SAME_SAMPLE,
            check_sortedness=False,
        )
        .drop("_at")
    )


def _derived(concept: str, value: pl.Expr, said: pl.Expr, *, source: pl.Expr | None = None, rank: int = 1) -> list[pl.Expr]:
    """Columns of a computed measurement: it has no flag or interval of its own yet."""
    return [
        pl.lit(concept).alias("concept"),
        value.alias("value"),
        said.alias("said"),
        (source if source is not None else pl.col("source")).alias("source"),
        pl.lit(None, dtype=pl.String).alias("flag"),
        pl.lit(None, dtype=pl.String).alias("flag_from"),
        pl.lit(None, dtype=pl.Float64).alias("range_low"),
        pl.lit(None, dtype=pl.Float64).alias("range_high"),
        pl.lit(rank, dtype=pl.Int8).alias("rank"),
    ]


def _adjusted_calcium(measured: pl.LazyFrame, knowledge: Knowledge) -> pl.LazyFrame:
    """``calcium_adjusted``: ionised flag > reported corrected value > total adjusted for albumin > total calcium.

    adjusted (mmol/L) = total + 0.02 × (40 − albumin g/L) is the conventional 0.8 × (4.0 − albumin g/dL) in SI units
    (source ``spr_ca``: Springer chapter, doi 10.1007/978-1-4757-2945-0_29). Unreliable at extreme albumin; ionised calcium is preferred.
    """
    ionised = (
        _pick(measured, "calcium_ionised")
        .filter(pl.col("flag").is_not_null())
        .with_columns(pl.lit(None, dtype=pl.Float64).alias("value"), pl.lit(0, dtype=pl.Int8).alias("rank"))
    )
    corrected = _pick(measured, "calcium_albumin_corrected").with_columns(pl.lit(1, dtype=pl.Int8).alias("rank"))
    per_gram, reference = knowledge.setting("calcium_adjustment_per_g_per_l"), knowledge.setting("albumin_reference")
    adjusted = pl.col("value") + per_gram * (reference - pl.col("value_albumin"))
    computed = adjusted.is_not_null() & pl.col("comparator").is_null()
    # low albumin of unknown size: the true value lies at or above the total, so "low" and "normal" are not known
    hidden = (pl.col("flag_albumin") == "low").fill_null(False) & ~computed & pl.col("flag").is_in(["low", "normal"])
    below = pl.col("comparator").is_in(["<", "<="]).fill_null(False)
    floor = hidden & pl.col("value").is_not_null() & pl.col("comparator").is_null()
    total = (
        _nearest_sample(_pick(measured, "calcium_total"), _pick(measured, "albumin"), "_albumin")
        .with_columns(
            pl.when(computed).then(adjusted).when(~(hidden.fill_null(False) & below)).then("value").alias("value"),
            pl.when(floor).then(pl.lit(">=")).otherwise("comparator").alias("comparator"),
            pl.when(computed | hidden).then(None).otherwise("flag").alias("flag"),
            pl.when(computed | hidden).then(None).otherwise("flag_from").alias("flag_from"),
            pl.when(computed).then(pl.concat_str("said", pl.lit(", adjusted for albumin"))).otherwise("said").alias("said"),
            pl.when(computed).then(pl.concat_str("source", pl.lit(" + "), "source_albumin")).otherwise("source").alias("source"),
            pl.when(computed).then(2).otherwise(3).cast(pl.Int8).alias("rank"),
        )
        .filter(pl.col("value").is_not_null() | pl.col("flag").is_not_null())
        .select(_MEASURED)
    )
    return pl.concat([ionised, corrected, total]).with_columns(pl.lit("calcium_adjusted").alias("concept"))


def _product(derived: pl.LazyFrame, measured: pl.LazyFrame) -> pl.LazyFrame:
    """Calcium × phosphate, mmol²/L², where both have a value."""
    exact = pl.col("value").is_not_null() & pl.col("comparator").is_null()
    calcium = _pick(derived, "calcium_adjusted").filter(exact)
    phosphate = _pick(measured, "phosphate").filter(exact)
    return (
        _nearest_sample(calcium, phosphate, "_phosphate")
        .filter(pl.col("value_phosphate").is_not_null())
        .with_columns(
            _derived(
                "calcium_phosphate_product",
                pl.col("value") * pl.col("value_phosphate"),
                pl.lit("computed from calcium and phosphate"),
                source=pl.concat_str("source", pl.lit(" + "), "source_phosphate"),
            )
        )
        .select(_MEASURED)
    )


def _egfr(measured: pl.LazyFrame) -> pl.LazyFrame:
    """CKD-EPI 2021 (Inker, NEJM 2021;385:1737) from 18 y; bedside Schwartz (JASN 2009;20:629) from 1 y, where a height is on file."""
    creatinine = _pick(measured, "creatinine").filter(pl.col("value").is_not_null() & pl.col("comparator").is_null())
    mg_dl = pl.col("value") * MG_DL_PER_UMOL_L_CREATININE
    female = pl.col("sex") == "female"
    kappa = pl.when(female).then(0.7).when(pl.col("sex") == "male").then(0.9)
    alpha = pl.when(female).then(-0.241).otherwise(-0.302)
    ratio = mg_dl / kappa
    adult = (
        142
        * pl.min_horizontal(ratio, pl.lit(1.0)).pow(alpha)
        * pl.max_horizontal(ratio, pl.lit(1.0)).pow(-1.2)
        * pl.lit(0.9938).pow(pl.col("age"))
        * pl.when(female).then(1.012).otherwise(1.0)
    )
    child = 0.413 * pl.col("value_height") / mg_dl
    value = (
        pl.when((pl.col("age") >= 18) & kappa.is_not_null()).then(adult).when(pl.col("age").is_between(1, 18, closed="left")).then(child)
    )
    return (
        _nearest_sample(creatinine, _pick(measured, "body_height"), "_height")
        .with_columns(_derived("egfr", value, pl.concat_str(pl.lit("computed from creatinine "), "said")))
        .filter(pl.col("value").is_not_null())
        .select(_MEASURED)
    )


def _deciding(measured: pl.LazyFrame, window_days: float) -> pl.LazyFrame:
    """One row per patient and analyte: the measurement at the index date, the latest one, and what was ever seen."""
    from_index = (pl.col("time") - pl.col("index_time")).dt.total_days().abs()
    from_now = (pl.col("as_of") - pl.col("time")).dt.total_days()
    row = ["flag", "flag_from", "time", "source", "said"]
    size = ["value", "comparator"]  # an ionised flag has none: then of the best measurement of the same week that has one
    at_index, recent = pl.col("_from_index") <= window_days, pl.col("_from_now") <= window_days
    sized = pl.col("value").is_not_null()

    def first(name: str, chosen: pl.Expr, distance: str) -> pl.Expr:
        return pl.col(name).filter(chosen).sort_by(pl.col(distance).filter(chosen), maintain_order=True).first()

    def sized_near(chosen: pl.Expr, distance: str) -> pl.Expr:
        return chosen & sized & (pl.col(distance) <= pl.col(distance).filter(chosen).min() + _SAME_SAMPLE_DAYS)

    return (
        measured.with_columns(from_index.fill_null(0).alias("_from_index"), from_now.fill_null(0).alias("_from_now"))
        .sort("rank", "source", "value", "said", "time")
        .group_by("subject_id", "concept")
        .agg(
            *(first(name, at_index, "_from_index") for name in row),
            *(first(name, sized_near(at_index, "_from_index"), "_from_index") for name in size),
            *(first(name, recent, "_from_now").alias("now_" + name) for name in row if name != "flag_from"),
            *(first(name, sized_near(recent, "_from_now"), "_from_now").alias("now_" + name) for name in size),
            pl.col("flag").drop_nulls().unique().sort().alias("ever"),
            pl.len().cast(pl.UInt32).alias("n"),
            pl.col("time").min().alias("first_time"),
            pl.col("time").max().alias("last_time"),
        )
        .select(list(LAB_FACT_SCHEMA))
    )
