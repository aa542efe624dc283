"""The evidence as one self-contained web page: map, overview, gaps, and every treatment with its plots, studies and references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from calcinosis.contract import DISCLAIMER
from calcinosis.evidence.cells import Compared, compare_everything, rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.gravity import VERDICTS
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import SafetyRule, Treatment, Use
from calcinosis.report import evidence_summary as words
from calcinosis.report.evidence_figures import Forest, evidence_map, forest_figure, forests, map_figure
from calcinosis.report.patient_page import environment


@dataclass(frozen=True, slots=True)
class Chapter:
    """One treatment."""

    treatment: Treatment
    uses: list[Use]
    lines: list[words.Line]
    forests: list[tuple[Forest, Markup | None]]
    compared: list[Compared]
    studies: dict[str | None, list[Study]]
    safety: list[SafetyRule]


def render_evidence_html(knowledge: Knowledge, treatment: str | None = None, type_: str | None = None, disease: str | None = None) -> str:
    """All treatments or one, in all types or one, in all diseases or one."""
    lines = words.overview(knowledge, treatment, type_, disease)
    compared = compare_everything(knowledge, treatment)
    keys = dict.fromkeys(
        [
            *([treatment] if treatment else []),
            *sorted({line.treatment.key for line in lines}, key=lambda key: knowledge.treatments[key].label.casefold()),
        ]
    )
    chapters = [
        chapter_of(knowledge, knowledge.treatments[key], [line for line in lines if line.treatment.key == key], compared, type_, disease)
        for key in keys
    ]
    found = evidence_map(knowledge, lines, disease)
    cited = {row.row: row for chapter in chapters for rows in chapter.studies.values() for row in rows}
    asked = [knowledge.types[type_].label] if type_ else []
    asked += [knowledge.diseases[disease].label] if disease else []
    return (
        environment()
        .get_template("evidence.html.j2")
        .render(
            knowledge=knowledge,
            single=knowledge.treatments[treatment] if treatment else None,
            asked=", ".join(asked),
            nothing=words.nothing_found(knowledge, type_, disease),
            chapters=chapters,
            groups=words.by_type(lines),
            map=found,
            map_svg=Markup(map_figure(found)) if len(found.treatments) > 1 else None,  # made by us from escaped text
            gaps=words.gaps(knowledge, lines),
            everything=treatment is None and type_ is None and disease is None,
            words=words,
            references=words.references(knowledge, cited.values(), (chapter.treatment for chapter in chapters)),
            disclaimer=DISCLAIMER,
        )
    )


def chapter_of(
    knowledge: Knowledge,
    treatment: Treatment,
    lines: list[words.Line],
    compared: Sequence[Compared],
    type_: str | None,
    disease: str | None,
) -> Chapter:
    """One treatment with its plots, studies and safety."""
    rows = rows_of(knowledge, treatment.key, type_, disease)
    plots = [
        (forest, Markup(forest_figure(forest)) if worth_a_plot(forest) else None) for forest in forests(knowledge, treatment, rows, disease)
    ]
    return Chapter(
        treatment=treatment,
        uses=words.uses_of(treatment, type_, disease),
        lines=lines,
        forests=plots,
        compared=words.comparisons_of(compared, treatment.key, type_, rows),
        studies=words.studies_by_type(rows, knowledge),
        safety=sorted(treatment.safety, key=lambda rule: VERDICTS.index(rule.verdict)),
    )


def worth_a_plot(forest: Forest) -> bool:
    """One study is a row of the table, with its interval; a picture would say no more."""
    return len(forest.rows) > 1
