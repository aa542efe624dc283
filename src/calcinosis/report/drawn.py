"""Draws every chart of the evidence as shipped once, so that its page does not wait for them: ``python -m calcinosis.report.drawn``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import orjson

from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.report import svg
from calcinosis.report.evidence_page import render_evidence_html


def draw_evidence(knowledge: Knowledge) -> dict[str, str]:
    """Name of each chart of the whole evidence page -> its picture."""
    pictures: dict[str, str] = {}

    def record(specification: dict[str, Any]) -> str:
        pictures[svg.name_of(specification)] = rendered = live(specification)
        return rendered

    live, shipped = svg.render, svg.drawn
    svg.render, svg.drawn = record, dict  # type: ignore[assignment]  # for the time of one page: nothing counts as drawn
    try:
        render_evidence_html(knowledge, None, None, None)
    finally:
        svg.render, svg.drawn = live, shipped
    return pictures


if __name__ == "__main__":
    written = {"altair": version("altair"), "pictures": draw_evidence(load_knowledge())}
    svg.DRAWN_FILE.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
