"""Figures of the evidence page: one forest plot per treatment, type and outcome, and the map of treatments and diseases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from calcinosis.evidence.cells import PooledCell, counted, evidence_for, exact_interval, own_reports, patients_followed
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import Treatment
from calcinosis.report import evidence_summary as words
from calcinosis.report.svg import BLUE, INK, QUIET, VERMILION, draw, in_house_style, to_svg

# One hue, darker for the better level (ColorBrewer Blues); the table beside the map says the level in a number.
LEVEL_COLOUR: Final = {1: "#08306b", 2: "#08519c", 3: "#4292c6", 4: "#9ecae1", 5: "#d0d7de"}


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One study of a plot."""

    name: str
    row: Study
    events: int
    n: int
    low: float
    high: float
    pooled: bool
    note: str


@dataclass(frozen=True, slots=True)
class Forest:
    """The studies of one treatment, type and outcome with counts of patients; ``apart`` is never drawn on the same scale."""

    type: str
    outcome: str
    rows: tuple[ForestRow, ...]
    pooled: PooledCell | None
    apart: tuple[Study, ...]  # single cases, and counts of lesions or limbs

    @property
    def title(self) -> str:
        counts = words.what_is_counted(self.outcome)
        what = words.outcome(self.outcome).capitalize() + ("" if counts == words.outcome(self.outcome) else f", {counts}")
        if self.pooled is None:
            return f"{what}: {'one study' if len(self.rows) == 1 else f'{len(self.rows)} studies'}, not pooled"
        cell = self.pooled
        return f"{what}: {words.percent(cell.estimate)} ({words.how_pooled(cell)}; 95 % interval {words.span(cell.low, cell.high)})"


def forests(knowledge: Knowledge, treatment: Treatment, rows: Sequence[Study], disease: str | None = None) -> list[Forest]:
    """What can be drawn or listed of a treatment's rows, in the order of the types."""
    places: dict[tuple[str, str], list[Study]] = {}
    for row in sorted(rows, key=lambda row: list(knowledge.types).index(row.calcification_type or "") if row.calcification_type else 0):
        if row.calcification_type and row.arm == "treated" and words.has_counts(row) and own_reports([row]):
            places.setdefault((row.calcification_type, row.outcome), []).append(row)
    found = []
    for (type_, outcome), here in places.items():
        cells = [
            cell for cell in evidence_for(knowledge, treatment.key, type_).pooled if (cell.disease, cell.outcome) == (disease, outcome)
        ]
        pooled = cells[0] if cells else None
        drawn = [row for row in here if row.design != "case_report" and row.unit == "patients"]
        apart = tuple(row for row in here if row not in drawn)
        found.append(Forest(type_, outcome, _named(drawn, pooled, knowledge), pooled, apart))
    return found


def _named(rows: Sequence[Study], pooled: PooledCell | None, knowledge: Knowledge) -> tuple[ForestRow, ...]:
    names = [words.study_name(knowledge.sources[row.study]) for row in rows]
    entries = []
    for row, name in zip(rows, names, strict=True):
        n = row.n_evaluable or 0
        low, high = exact_interval(counted(row), n)
        unique = name if names.count(name) == 1 else f"{name} ({row.row.removeprefix(row.study).strip('_').replace('_', ' ')})"
        in_pool = pooled is not None and row.row in pooled.rows
        entries.append(ForestRow(unique, row, counted(row), n, low, high, in_pool, "pooled" if in_pool else words.pooling_in_words(row)))
    return tuple(sorted(entries, key=lambda each: (not each.pooled, -each.n)))


def forest_figure(forest: Forest) -> str:
    """Each study with its exact interval, hollow when not pooled; below them the pooled median and where a new study would lie."""
    rows: list[dict[str, Any]] = [
        {
            "name": each.name, "value": each.events / each.n, "low": each.low, "high": each.high, "n": each.n,
            "label": f"{each.events}/{each.n}", "kind": "pooled" if each.pooled else "apart",
        }
        for each in forest.rows
    ]  # fmt: skip
    said = [f"{each.name}: {each.events} of {each.n}, {words.span(each.low, each.high)}, {each.note}" for each in forest.rows]
    cell = forest.pooled
    if cell is not None and cell.k > 1:
        name = words.how_pooled(cell).capitalize()
        median = {"name": name, "value": cell.estimate, "low": cell.low, "high": cell.high, "label": f"{cell.events}/{cell.n}"}
        rows.append(median | {"kind": "median", "from": cell.prediction_low, "to": cell.prediction_high})
        said.append(f"{name}: {words.percent(cell.estimate)}, {words.span(cell.low, cell.high)}; {words.heterogeneity(cell)}")
    shown = [row["name"] for row in rows]
    drawing = deepcopy(_forest_drawing())
    drawing["data"] = {"values": rows}
    drawing["height"] = 30 * len(shown)
    drawing["title"] |= {"text": forest.title, "subtitle": _reading(forest)}
    for layer in drawing["layer"]:
        layer["encoding"]["y"] |= {"sort": shown, "scale": {"domain": shown}}
    return draw(drawing, forest.title, ". ".join(said))


@cache
def _forest_drawing() -> dict[str, Any]:
    """The drawing without its studies. Made once: as Altair objects thirty plots take five times as long as the drawing itself."""
    import altair as alt

    base = alt.Chart().encode(y=alt.Y("name:N", axis=alt.Axis(title=None, labelLimit=230, offset=14, ticks=False, domain=False)))
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=True)
    scale = alt.Scale(domain=[0, 1], nice=False)
    span = {"x": alt.X("low:Q", scale=scale, axis=axis, title=None), "x2": alt.X2("high:Q")}
    area = alt.Size("n:Q", scale=alt.Scale(type="sqrt", domain=[0, 100], range=[40, 420], clamp=True), legend=None)
    place, at_edge = alt.X("value:Q", scale=scale), {"x": alt.value(430), "text": alt.Text("label:N")}
    study, median = base.transform_filter("datum.kind != 'median'"), base.transform_filter("datum.kind == 'median'")
    reach = median.transform_filter("isValid(datum.from)").mark_rule(strokeWidth=2, strokeDash=[3, 3], color=VERMILION)
    layers = [
        study.mark_rule(strokeWidth=2, color=BLUE).encode(**span),
        study.transform_filter("datum.kind == 'pooled'").mark_square(color=BLUE, opacity=1).encode(x=place, size=area),
        study.transform_filter("datum.kind == 'apart'")
        .mark_square(fill="white", stroke=BLUE, strokeWidth=2, opacity=1)
        .encode(x=place, size=area),
        reach.encode(x=alt.X("from:Q", scale=scale), x2="to:Q"),
        median.mark_rule(strokeWidth=5, color=VERMILION).encode(**span),
        median.mark_point(shape="diamond", size=240, filled=True, opacity=1, color=VERMILION).encode(x=place),
        base.mark_text(align="left", dx=16, fontSize=13, color=INK).encode(**at_edge),
    ]
    chart = alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=430, height=30)
    return in_house_style(chart, "title", "subtitle")


def _reading(forest: Forest) -> list[str]:
    """How to read the plot, in one or two lines."""
    lines = [
        "Square: one study with its exact 95 % interval" + ("" if all(each.pooled for each in forest.rows) else "; hollow: not pooled")
    ]
    if forest.pooled is not None and forest.pooled.k > 1:
        reach = "; dashed: where a new study would lie" if forest.pooled.prediction_low is not None else ""
        lines.append(f"Diamond: {words.how_pooled(forest.pooled)}, with its 95 % interval{reach}")
    return lines


# --- the map ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MapCell:
    """One treatment in one column of the map."""

    treatment: Treatment
    column: str
    studies: int
    patients: int | None  # followed, in studies of this disease alone
    level: int | None
    mixed: bool  # only within a population of several diseases, whose patients cannot be split


@dataclass(frozen=True, slots=True)
class EvidenceMap:
    """The columns by label: diseases, then whole types."""

    columns: tuple[str, ...]
    cells: tuple[MapCell, ...]
    treatments: tuple[Treatment, ...]


def evidence_map(knowledge: Knowledge, lines: Sequence[words.Line], disease: str | None = None) -> EvidenceMap:
    """Treatments against diseases, in the type in which studies name diseases, and against the other types as a whole."""
    split = _type_by_disease(lines)
    rest = f"{knowledge.types[split].label}, no disease named" if split else ""
    places: dict[str | None, str] = {key: _short(knowledge.diseases[key].label) for key in knowledge.diseases if disease in (None, key)}
    named = {key for line in lines if line.type == split for row in line.evidence.rows for key in row.diseases}
    columns = [label for key, label in places.items() if key in named]
    if split and disease is None:
        places[None] = rest
        columns.append(rest)
    cells: list[MapCell] = []
    for line in lines:
        if line.type == split:
            cells += _cells_by_disease(line, places)
            continue
        label, found = knowledge.types[line.type].label, line.evidence
        columns.append(label)
        if found.studies:
            cells.append(MapCell(line.treatment, label, found.studies, found.evaluated, found.level, mixed=False))
    seen = {cell.treatment.key: cell.treatment for cell in cells}
    order = sorted(seen.values(), key=lambda each: (-sum(cell.patients or 0 for cell in cells if cell.treatment is each), each.label))
    return EvidenceMap(tuple(dict.fromkeys(columns)), tuple(cells), tuple(order))


def _type_by_disease(lines: Sequence[words.Line]) -> str | None:
    """The type whose rows name diseases most often."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line.type] += sum(len(row.diseases) for row in line.evidence.rows)
    return max((type_ for type_ in sorted(counts) if counts[type_]), key=counts.__getitem__, default=None)


def _cells_by_disease(line: words.Line, places: Mapping[str | None, str]) -> Iterator[MapCell]:
    """One treatment in each disease (None: in none that is named)."""
    for key, label in places.items():
        rows = [row for row in line.evidence.rows if (key in row.diseases if key else not row.diseases)]
        reports = own_reports(rows)
        if reports:
            alone = [row for row in rows if len(row.diseases) <= 1]
            level = min((row.level for report in reports.values() for row in report if row.level), default=None)
            yield MapCell(line.treatment, label, len(reports), patients_followed(alone), level, mixed=not own_reports(alone))


def _short(label: str) -> str:
    """Without what stands in brackets."""
    return label.partition(" (")[0]


def map_figure(found: EvidenceMap) -> str:
    """Bubble: patients followed; colour: best level; hollow diamond: only within a mixed population."""
    import altair as alt

    rows = [
        {
            "treatment": _short(cell.treatment.label), "column": cell.column, "patients": cell.patients or 1,
            "level": f"level {cell.level}" if cell.level else "no level", "mixed": cell.mixed,
        }
        for cell in found.cells
    ]  # fmt: skip
    order = [_short(each.label) for each in found.treatments]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "column:N", sort=list(found.columns), scale=alt.Scale(domain=list(found.columns)),
            axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=260, title=None, grid=True, domain=False, ticks=False),
        ),
        y=alt.Y("treatment:N", sort=order, axis=alt.Axis(title=None, labelLimit=300, grid=True, domain=False, ticks=False)),
    )  # fmt: skip
    levels = [f"level {level}" for level in LEVEL_COLOUR if any(row["level"] == f"level {level}" for row in rows)]
    colour = alt.Scale(domain=levels, range=[LEVEL_COLOUR[int(level.removeprefix("level "))] for level in levels])
    size = alt.Scale(domain=[0, 100], range=[28, 640], clamp=True)  # the area grows with the number
    bubbles = base.transform_filter("!datum.mixed").mark_circle(opacity=1, stroke=INK, strokeWidth=0.6)
    bubbles = bubbles.encode(
        size=alt.Size(
            "patients:Q", scale=size, legend=alt.Legend(title="patients followed", values=[1, 10, 50, 100], symbolFillColor="#d0d7de")
        ),
        color=alt.Color("level:N", scale=colour, sort=levels, legend=alt.Legend(title="best level")),
    )
    mixed = base.transform_filter("datum.mixed").mark_point(
        shape="diamond", filled=False, size=60, stroke=QUIET, strokeWidth=1.5, opacity=1
    )
    possible = len(found.treatments) * len(found.columns)
    title = f"{len(found.cells)} of {possible} combinations have any patient studied"
    subtitle = "Bubble: patients followed. Darker: better level. Hollow diamond: only within a population of several diseases"
    chart = alt.layer(bubbles, mixed).properties(width=44 * len(found.columns), height=21 * len(order))
    described = f"{len(found.treatments)} treatments against {len(found.columns)} diseases and types; the table below holds every number"
    return to_svg(chart, title, subtitle, described)
