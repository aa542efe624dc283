"""Draws every chart of the evidence as shipped once, so that no page waits for them: ``python -m calcinosis.report.drawn``.

The map and each treatment's forest plots, over all diseases and for each disease alone. A plot of one type is the same in either case.
"""

from __future__ import annotations

from importlib.metadata import version
from itertools import product
from typing import Any

import orjson

from calcinosis.evidence.cells import rows_of
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.report import svg
from calcinosis.report.evidence_figures import forest_figure, forests
from calcinosis.report.evidence_page import render_evidence_html, worth_a_plot


def draw_evidence(knowledge: Knowledge) -> dict[str, str]:
    """Name of each chart of the evidence pages -> its picture."""
    pictures: dict[str, str] = {}

    def record(specification: dict[str, Any]) -> str:
        pictures[svg.name_of(specification)] = rendered = live(specification)
        return rendered

    live, shipped = svg.render, svg.drawn
    svg.render, svg.drawn = record, dict  # type: ignore[assignment]  # for the time of one page: nothing counts as drawn
    try:
        render_evidence_html(knowledge, None, None, None)
        for treatment, disease in product(knowledge.treatments.values(), knowledge.diseases):
            for forest in forests(knowledge, treatment, rows_of(knowledge, treatment.key, None, disease), disease):
                if worth_a_plot(forest):
                    forest_figure(forest)
    finally:
        svg.render, svg.drawn = live, shipped
    return pictures


if __name__ == "__main__":
    written = {"altair": version("altair"), "pictures": draw_evidence(load_knowledge())}
    svg.DRAWN_FILE.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
