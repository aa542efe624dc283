"""Figures of the validation page: where answers go, how each type fares, which records are harder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calcinosis.report.svg import BLUE, INK, QUIET, VERMILION, to_svg
from calcinosis.validation import UNDETERMINED, Part, Rate, Score

if TYPE_CHECKING:
    import altair as alt


def confusion_figure(part: Part) -> str:
    """Published (rows) against answered (columns), shaded by the share of the row, every cell with its count."""
    import altair as alt

    order = list(part.confusion)
    rows = [
        {
            "published": published, "answered": answered, "n": n, "text": str(n) if n else "", "same": published == answered,
            "share": n / total if (total := sum(cells.values())) else 0.0,
        }
        for published, cells in part.confusion.items()
        for answered, n in cells.items()
    ]  # fmt: skip
    same = sum(cells[published] for published, cells in part.confusion.items())
    cells = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("answered:N", sort=[*order, UNDETERMINED], title="answered", axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("published:N", sort=order, title="published"),
    )
    tint = alt.Scale(domain=[0, 1], range=["#ffffff", "#0a4a75"], interpolate="rgb")
    shade = cells.mark_rect(stroke="#d0d7de").encode(color=alt.Color("share:Q", scale=tint, legend=None))
    outline = cells.transform_filter("datum.same").mark_rect(fill=None, stroke=VERMILION, strokeWidth=2.5)
    readable = alt.condition("datum.share > 0.5", alt.value("white"), alt.value(INK))
    numbers = cells.mark_text(fontSize=15, fontWeight=600).encode(text="text:N", color=readable)
    title = f"{same} of {part.agreement.n} answers are the published type (outlined)"
    described = "; ".join(
        f"published {published}: " + ", ".join(f"{n} answered {answered}" for answered, n in counts.items() if n)
        for published, counts in part.confusion.items()
        if any(counts.values())
    )
    chart = (shade + outline + numbers).properties(width=92 * (len(order) + 1), height=44 * len(order))
    return to_svg(chart, title, "Darker: a larger share of the row", described)


def rates_figure(part: Part) -> str:
    """Sensitivity and positive predictive value of every type, with 95 % intervals."""
    panels = {"Sensitivity": "sensitivity", "Positive predictive value": "predictive_value"}
    rows = [_row(each.type, getattr(each, field), panel) for panel, field in panels.items() for each in part.types]
    known = [row for row in rows if row["value"] is not None]
    low = min(known, key=lambda row: row["value"], default=None)
    title = f"Weakest point: {low['panel'].lower()} of {low['name']}, {low['value']:.0%}" if low else "No case to measure"
    return _intervals(rows, title, "Dot: measured share. Line: 95 % Wilson interval", list(panels))


def splits_figure(score: Score) -> str:
    """Agreement in every set of cases, with 95 % intervals."""
    rows = [_row(part.title, part.agreement, "Agreement") for part in score.parts]
    wanted = score.complete or score.all
    share = "" if wanted.agreement.value is None else f", {wanted.agreement.value:.0%}"
    title = f"Agreement with the published type in {wanted.title} cases: {wanted.agreement.hits} of {wanted.agreement.n}{share}"
    return _intervals(
        rows, title, "Dot: measured share. Line: 95 % Wilson interval. Dashed: the target for complete cases (90 %)", ["Agreement"], 0.9
    )


def _row(name: str, rate: Rate, panel: str) -> dict[str, Any]:
    label = f"{rate.hits}/{rate.n}" if rate.n else "no case"
    return {"name": name, "panel": panel, "value": rate.value, "low": rate.low, "high": rate.high, "label": label}


def _intervals(rows: Sequence[dict[str, Any]], title: str, subtitle: str, panels: list[str], target: float | None = None) -> str:
    """One dot and line per row, panel beside panel on the same scale; hits/n stand at the right edge."""
    import altair as alt

    names = list(dict.fromkeys(row["name"] for row in rows))
    width = 700 // len(panels) - 20
    parts = []
    for position, panel in enumerate(panels):
        values = [row for row in rows if row["panel"] == panel]
        named = alt.Axis(title=None, labelLimit=260) if position == 0 else None
        base = alt.Chart(alt.InlineData(values=values)).encode(y=alt.Y("name:N", sort=names, axis=named))
        x_axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=True)
        scale = alt.Scale(domain=[0, 1], nice=False)
        line = base.mark_rule(strokeWidth=2.5, color=BLUE).encode(x=alt.X("low:Q", scale=scale, axis=x_axis, title=panel), x2="high:Q")
        dot = base.mark_point(size=90, filled=True, opacity=1, color=BLUE).encode(x=alt.X("value:Q", scale=scale))
        text = base.mark_text(align="left", dx=8, fontSize=13, color=QUIET).encode(x=alt.value(width), text="label:N")
        layers: list[alt.Chart] = [line, dot, text]
        if target is not None:
            mark = alt.Chart(alt.InlineData(values=[{"target": target}])).mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color=VERMILION)
            layers.insert(0, mark.encode(x=alt.X("target:Q", scale=scale)))
        parts.append(alt.layer(*layers).properties(width=width, height=34 * len(names)))
    described = "; ".join(
        f"{row['panel']} {row['name']}: "
        + (row["label"] if row["value"] is None else f"{row['label']}, {row['value']:.0%} ({row['low']:.0%} to {row['high']:.0%})")
        for row in rows
    )
    return to_svg(alt.hconcat(*parts, spacing=70), title, subtitle, described)
