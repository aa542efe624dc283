"""The validation report as one self-contained page: targets, figures, the same numbers as tables, and every disagreement."""

from __future__ import annotations

from markupsafe import Markup

from calcinosis.knowledge import load_knowledge
from calcinosis.report.figures import confusion_figure, rates_figure, splits_figure
from calcinosis.report.patient_page import environment
from calcinosis.validation import UNDETERMINED, Score


def render_validation_html(score: Score) -> str:
    """Render a score; the figures are inline SVG."""
    knowledge = load_knowledge()
    figures = (confusion_figure(score.all), rates_figure(score.all), splits_figure(score))
    return (
        environment()
        .get_template("validation.html.j2")
        .render(
            score=score,
            figures=[Markup(figure) for figure in figures],  # made by us from escaped text
            undetermined=UNDETERMINED,
            interval_source=knowledge.sources["wilson27"],
            knowledge_version=knowledge.version,
        )
    )
