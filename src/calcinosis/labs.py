"""Measurements: canonical units, flags, derived quantities, and the one measurement that decides.

* Unit conversion per distinct (concept, unit), through UCUM (:mod:`calcinosis.units`).
* Flag: as the laboratory reported it; else against the interval the laboratory sent; else against the interval for age and sex.
* Derived: albumin-adjusted calcium, calcium × phosphate product, eGFR (CKD-EPI 2021; bedside Schwartz 2009 below 18 y).
* Deciding measurement: nearest to the index date within ``lab_window_days``; the latest one counts for alarms.
"""

from __future__ import annotations

import polars as pl

from calcinosis.events import REJECT_SCHEMA
from calcinosis.knowledge import Knowledge
from calcinosis.units import UnknownUnit, canonical_factor

LAB_FACT_SCHEMA = {
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

_SAME_SAMPLE = pl.duration(days=7)  # how far apart two analytes of one derived quantity may lie
_UNDATED = pl.datetime(1, 1, 1)
MG_DL_PER_UMOL_L_CREATININE = 113.12 / 10_000  # chemistry: molar mass of creatinine


def lab_facts(events: pl.DataFrame, subjects: pl.DataFrame, knowledge: Knowledge) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reduce lab events to one row per patient and analyte.

    Returns:
        The facts (``LAB_FACT_SCHEMA``) and the rejects (unknown units, ``events.REJECT_SCHEMA``).
    """
    if events.is_empty():
        return pl.DataFrame(schema=LAB_FACT_SCHEMA), pl.DataFrame(schema=REJECT_SCHEMA)
    measured, rejects = _canonical(events, knowledge)
    measured = measured.join(subjects.select("subject_id", "sex", "birth_date", "index_time", "as_of"), on="subject_id")
    measured = measured.with_columns(
        ((pl.coalesce("time", "index_time") - pl.col("birth_date").cast(pl.Datetime("us"))).dt.total_days() / 365.25).alias("age")
    )
    measured = _flagged(measured, knowledge)
    derived = [frame for frame in (_adjusted_calcium(measured, knowledge), _egfr(measured, knowledge)) if frame is not None]
    if derived:
        measured = pl.concat([measured, *(_flagged(frame, knowledge) for frame in derived)], how="diagonal")
    product = _product(measured)
    if product is not None:
        measured = pl.concat([measured, _flagged(product, knowledge)], how="diagonal")
    return _deciding(measured, knowledge.setting("lab_window_days")), rejects


def _canonical(events: pl.DataFrame, knowledge: Knowledge) -> tuple[pl.DataFrame, pl.DataFrame]:
    pairs = events.filter(pl.col("numeric_value").is_not_null()).select("concept", "unit").unique()
    factors, failures = [], []
    for concept, unit in pairs.iter_rows():
        lab = knowledge.concepts[concept].lab
        assert lab is not None
        try:
            factors.append((concept, unit, canonical_factor(unit, lab)))
        except UnknownUnit as error:
            failures.append((concept, unit, f"{concept}: {error}"))
    names = {"concept": pl.String, "unit": pl.String}
    factor = pl.DataFrame(factors, schema=names | {"factor": pl.Float64}, orient="row")
    measured = (
        events.join(factor, on=["concept", "unit"], how="left", nulls_equal=True)
        .with_columns(
            (pl.col("numeric_value") * pl.col("factor")).alias("value"),
            (pl.col("range_low") * pl.col("factor")).alias("range_low"),
            (pl.col("range_high") * pl.col("factor")).alias("range_high"),
            pl.when(pl.col("numeric_value").is_not_null())
            .then(
                pl.concat_str(
                    pl.col("comparator").fill_null(""),
                    pl.col("numeric_value").round_sig_figs(6).cast(pl.String).str.strip_suffix(".0"),
                    pl.lit(" ") + pl.col("unit").fill_null("(no unit)"),
                )
            )
            .otherwise(pl.coalesce("text_value", "flag"))
            .alias("said"),
            pl.lit(0, dtype=pl.Int8).alias("rank"),
        )
        .filter(pl.col("value").is_not_null() | pl.col("flag").is_not_null())
        .select(
            "subject_id", "concept", "time", "value", "comparator", "flag", "range_low", "range_high", "source", "said", "rank"
        )
    )
    if not failures:
        return measured, pl.DataFrame(schema=REJECT_SCHEMA)
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
        )
    )
    return measured, rejects


def _flagged(measured: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame:
    """Fill ``flag`` and ``flag_from`` (reported > reported interval > interval for age and sex)."""
    concepts = measured["concept"].unique().to_list()
    low, high = pl.lit(None, dtype=pl.Float64), pl.lit(None, dtype=pl.Float64)
    for concept in concepts:
        lab = knowledge.concepts[concept].lab
        for interval in lab.intervals if lab else ():
            factor = canonical_factor(interval.unit, lab) if lab else 1.0
            applies = pl.col("concept") == concept
            if interval.age_from_years > 0:
                applies &= pl.col("age") >= interval.age_from_years
            if interval.age_below_years < 200:
                applies &= pl.col("age") < interval.age_below_years
            if interval.sex:
                applies &= pl.col("sex") == interval.sex
            if interval.low is not None:
                low = pl.when(applies).then(interval.low * factor).otherwise(low)
            if interval.high is not None:
                high = pl.when(applies).then(interval.high * factor).otherwise(high)
    own = pl.col("range_low").is_not_null() | pl.col("range_high").is_not_null()
    measured = measured.with_columns(
        pl.when(own).then("range_low").otherwise(low).alias("_low"), pl.when(own).then("range_high").otherwise(high).alias("_high")
    )
    at_most = pl.col("comparator").is_in(["<", "<="]).fill_null(False)
    at_least = pl.col("comparator").is_in([">", ">="]).fill_null(False)
    known = pl.col("_low").is_not_null() | pl.col("_high").is_not_null()
    by_interval = (
        pl.when(pl.col("value").is_null() | ~known)
        .then(None)
        .when((pl.col("value") > pl.col("_high")) & ~at_most)
        .then(pl.lit("high"))
        .when((pl.col("value") < pl.col("_low")) & ~at_least)
        .then(pl.lit("low"))
        .when((pl.col("comparator") == "<") & (pl.col("value") <= pl.col("_low")))
        .then(pl.lit("low"))
        .when((pl.col("comparator") == ">") & (pl.col("value") >= pl.col("_high")))
        .then(pl.lit("high"))
        .when(at_most & pl.col("_low").is_null() & (pl.col("value") <= pl.col("_high")))
        .then(pl.lit("normal"))  # "< 5" where 10 is the only limit
        .when(at_least & pl.col("_high").is_null() & (pl.col("value") >= pl.col("_low")))
        .then(pl.lit("normal"))  # an eGFR "> 90"
        .when(at_most | at_least)
        .then(None)
        .otherwise(pl.lit("normal"))
    )
    from_interval = pl.when(own).then(pl.lit("reported_interval")).otherwise(pl.lit("reference_interval"))
    return measured.with_columns(
        pl.coalesce("flag", by_interval).alias("flag"),
        pl.when(pl.col("flag").is_not_null())
        .then(pl.lit("reported"))
        .when(by_interval.is_not_null())
        .then(from_interval)
        .alias("flag_from"),
    ).drop("_low", "_high")


def _pick(measured: pl.DataFrame, concept: str) -> pl.DataFrame:
    return measured.filter(pl.col("concept") == concept)


def _nearest_sample(left: pl.DataFrame, right: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """Join to each row of ``left`` the row of ``right`` of the same patient taken nearest in time, if within 7 days.

    Of two rows equally near the later counts; of two of one time the one of lower rank, then by source (the join takes the last).
    """
    keyed = pl.coalesce("time", _UNDATED).alias("_at")
    columns = ["subject_id", "_at", "value", "flag", "source"]
    right = right.with_columns(keyed).sort("_at", "rank", "source", "value", "flag", descending=[False, True, True, True, True])
    renamed = right.select(columns).rename({name: name + suffix for name in ("value", "flag", "source")})
    return (
        left.with_columns(keyed)
        .sort("_at")
        .join_asof(renamed, on="_at", by="subject_id", strategy="nearest", tolerance="7d", check_sortedness=False)
        .drop("_at")
    )


def _adjusted_calcium(measured: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame | None:
    """``calcium_adjusted``: ionised flag > reported corrected value > total adjusted for albumin > total calcium.

    adjusted (mmol/L) = total + 0.02 × (40 − albumin g/L) is the conventional 0.8 × (4.0 − albumin g/dL) in SI units
    (source ``spr_ca``: Springer chapter, doi 10.1007/978-1-4757-2945-0_29). Unreliable at extreme albumin; ionised calcium is preferred.
    """
    frames = []
    corrected = _pick(measured, "calcium_albumin_corrected")
    if not corrected.is_empty():
        frames.append(corrected.with_columns(pl.lit(1, dtype=pl.Int8).alias("rank")))
    total = _pick(measured, "calcium_total")
    if not total.is_empty():
        albumin = _pick(measured, "albumin").with_columns(pl.when(pl.col("comparator").is_null()).then("value").alias("value"))
        paired = _nearest_sample(total, albumin, "_albumin")
        per_gram, reference = knowledge.setting("calcium_adjustment_per_g_per_l"), knowledge.setting("albumin_reference")
        adjusted = pl.col("value") + per_gram * (reference - pl.col("value_albumin"))
        computed = adjusted.is_not_null() & pl.col("comparator").is_null()
        albumin_hides = (pl.col("flag_albumin") == "low").fill_null(False) & ~computed & pl.col("flag").is_in(["low", "normal"])
        frames.append(
            paired.with_columns(
                pl.when(computed).then(adjusted).when(~albumin_hides.fill_null(False)).then("value").alias("value"),
                pl.when(computed | albumin_hides).then(None).otherwise("flag").alias("flag"),
                pl.when(computed).then(pl.concat_str("said", pl.lit(", adjusted for albumin"))).otherwise("said").alias("said"),
                pl.when(computed).then(pl.concat_str("source", pl.lit(" + "), "source_albumin")).otherwise("source").alias("source"),
                pl.when(computed).then(2).otherwise(3).cast(pl.Int8).alias("rank"),
            )
            .filter(pl.col("value").is_not_null() | pl.col("flag").is_not_null())
            .select(measured.columns)
        )
    ionised = _pick(measured, "calcium_ionised").filter(pl.col("flag").is_not_null())
    if not ionised.is_empty():  # its flag counts; the size comes from the total or corrected calcium of the same sample
        sized = [frame.filter(pl.col("value").is_not_null() & pl.col("comparator").is_null()) for frame in frames] or [ionised.clear()]
        frames.append(
            _nearest_sample(ionised, pl.concat(sized, how="diagonal"), "_size")
            .with_columns(
                pl.col("value_size").alias("value"),
                pl.lit(None, dtype=pl.String).alias("comparator"),
                pl.concat_str("said", pl.lit(" (ionised)")).alias("said"),
                pl.concat_str("source", pl.when(pl.col("value_size").is_not_null()).then(pl.lit(" + ") + pl.col("source_size")), ignore_nulls=True)
                .alias("source"),
                pl.lit(0, dtype=pl.Int8).alias("rank"),
            )
            .select(measured.columns)
        )  # fmt: skip
    if not frames:
        return None
    return pl.concat(frames, how="diagonal").with_columns(pl.lit("calcium_adjusted").alias("concept"))


def _product(measured: pl.DataFrame) -> pl.DataFrame | None:
    calcium = _pick(measured, "calcium_adjusted").filter(pl.col("value").is_not_null())
    phosphate = _pick(measured, "phosphate").filter(pl.col("value").is_not_null() & pl.col("comparator").is_null())
    if calcium.is_empty() or phosphate.is_empty():
        return None
    return (
        _nearest_sample(calcium, phosphate, "_phosphate")
        .filter(pl.col("value_phosphate").is_not_null())
        .with_columns(
            pl.lit("calcium_phosphate_product").alias("concept"),
            (pl.col("value") * pl.col("value_phosphate")).alias("value"),
            pl.concat_str("source", pl.lit(" + "), "source_phosphate").alias("source"),
            pl.lit("computed from calcium and phosphate").alias("said"),
            pl.lit(None, dtype=pl.String).alias("flag"),
            pl.lit(None, dtype=pl.Float64).alias("range_low"),
            pl.lit(None, dtype=pl.Float64).alias("range_high"),
            pl.lit(1, dtype=pl.Int8).alias("rank"),
        )
        .select(measured.columns)
    )


def _egfr(measured: pl.DataFrame, knowledge: Knowledge) -> pl.DataFrame | None:
    """CKD-EPI 2021 (Inker, NEJM 2021;385:1737) from 18 y; bedside Schwartz (JASN 2009;20:629) below, where a height is on file."""
    creatinine = _pick(measured, "creatinine").filter(pl.col("value").is_not_null() & pl.col("comparator").is_null())
    if creatinine.is_empty():
        return None
    height = _pick(measured, "body_height") if "body_height" in knowledge.concepts else measured.clear()
    paired = _nearest_sample(creatinine, height, "_height")
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
    return (
        paired.with_columns(
            pl.lit("egfr").alias("concept"),
            pl.when((pl.col("age") >= 18) & kappa.is_not_null()).then(adult).when(pl.col("age").is_between(1, 18, closed="left")).then(child).alias("value"),
            pl.concat_str(pl.lit("computed from creatinine "), "said").alias("said"),
            pl.lit(None, dtype=pl.String).alias("flag"),
            pl.lit(None, dtype=pl.Float64).alias("range_low"),
            pl.lit(None, dtype=pl.Float64).alias("range_high"),
            pl.lit(1, dtype=pl.Int8).alias("rank"),
        )
        .filter(pl.col("value").is_not_null())
        .select(measured.columns)
    )


def _deciding(measured: pl.DataFrame, window_days: float) -> pl.DataFrame:
    window = pl.duration(days=window_days)
    from_index = (pl.col("time") - pl.col("index_time")).abs()
    from_now = pl.col("as_of") - pl.col("time")
    measured = measured.with_columns(
        from_index.dt.total_days().fill_null(0).alias("_from_index"),
        from_now.dt.total_days().fill_null(0).alias("_from_now"),
        (pl.col("time").is_null() | pl.col("index_time").is_null() | (from_index <= window)).alias("_in_window"),
        (pl.col("time").is_null() | pl.col("as_of").is_null() | (from_now <= window)).alias("_recent"),
    )
    ties = ["rank", "source", "said", "value", "flag"]
    shown = ["value", "comparator", "flag", "flag_from", "time", "source", "said"]
    by_index = measured.filter("_in_window").sort("_from_index", *ties).group_by("subject_id", "concept").agg(pl.col(shown).first())
    now = ["value", "comparator", "flag", "time", "source", "said"]
    latest = (
        measured.filter("_recent")
        .sort("_from_now", *ties)
        .group_by("subject_id", "concept")
        .agg(pl.col(now).first())
        .rename({name: "now_" + name for name in now})
    )
    overall = measured.group_by("subject_id", "concept").agg(
        pl.col("flag").drop_nulls().unique().sort().alias("ever"),
        pl.len().cast(pl.UInt32).alias("n"),
        pl.col("time").min().alias("first_time"),
        pl.col("time").max().alias("last_time"),
    )
    return (
        overall.join(by_index, on=["subject_id", "concept"], how="left")
        .join(latest, on=["subject_id", "concept"], how="left")
        .select(list(LAB_FACT_SCHEMA))
    )
