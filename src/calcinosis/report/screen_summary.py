"""What ``calcinosis screen`` prints when it is done: alarms first, then who has what, then what was not used."""

from __future__ import annotations

import polars as pl
from rich.console import Console
from rich.table import Table

from calcinosis.engines.cohort import Cohort
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.report.people import STANDING


def print_summary(cohort: Cohort, console: Console) -> None:
    """Print counts of one screening to a terminal; patient ids stay in the files."""
    summary, people = cohort.summary, cohort.assessments.lazy()
    types = [name.removeprefix("status_") for name in cohort.assessments.columns if name.startswith("status_")]
    counts = people.select(
        pl.len().alias("patients"),
        pl.col("lesion_present").fill_null(False).sum().alias("lesion"),
        pl.col("mineral_shown").fill_null(False).sum().alias("mineral"),
        (pl.col("mineral_shown").fill_null(False) & ~pl.col("labelled")).sum().alias("unlabelled"),
        pl.col("calciphylaxis_at_risk").fill_null(False).sum().alias("at_risk"),
        *((pl.col("alarm_urgency") == word).sum().alias(word) for word in ALARM_URGENCIES),
        *((pl.col(f"status_{key}") == status.value).sum().alias(f"{key} {status.value}") for key in types for status in STANDING),
        *((pl.col("leading") == key).sum().alias(f"{key} leads") for key in (*types, "mimic")),
    ).collect().to_dicts()[0]  # fmt: skip
    console.print(
        f"[bold]Alarms[/]: {counts['immediate']:,} immediate · {counts['same_day']:,} same day · {counts['urgent']:,} urgent",
        highlight=False,
    )
    table = Table(title="Who has it, as far as the record shows", title_justify="left")
    for name in ("type", "leads", *(status.value for status in STANDING)):
        table.add_column(name, justify="left" if name == "type" else "right")
    for key in types:
        table.add_row(key, f"{counts[f'{key} leads']:,}", *(f"{counts[f'{key} {status.value}']:,}" for status in STANDING))
    table.add_row("mimic", f"{counts['mimic leads']:,}", "", "", "")
    console.print(table)
    console.print(
        f"{counts['patients']:,} patients: {counts['lesion']:,} with a recorded lesion, {counts['mineral']:,} with calcium shown "
        f"({counts['unlabelled']:,} of them without a diagnosis on record), {counts['at_risk']:,} at high risk of calciphylaxis.",
        highlight=False,
    )
    reviews = cohort.treatment_reviews.filter(pl.col("kind") != "not_checked")
    console.print(f"Current treatment to review: {reviews['subject_id'].n_unique():,} patients.", highlight=False)
    console.print(
        f"Records read {summary.records_read:,} = used {summary.records_used:,} + of types no rule reads {summary.records_ignored:,} "
        f"+ rejected {summary.records_rejected:,}.",
        highlight=False,
    )
    in_part = cohort.rejects.filter(pl.col("level") == "warning").height
    if in_part:
        console.print(f"Used in part, for a date, unit or type that could not be read: {in_part:,} in rejects.parquet.", highlight=False)
    for what, n in summary.not_read.items():
        console.print(f"Not read: {what}: {n:,}", highlight=False)
    seconds = " · ".join(f"{name} {value:.1f} s" for name, value in summary.seconds.items())
    console.print(f"[dim]{seconds}[/]", highlight=False)
    console.print(f"Report: {cohort.folder / 'report.html'}", highlight=False)
