"""The short answer in the terminal: on a screen or two, and without leaving out what could harm."""

from __future__ import annotations

import io
import re

import pytest
from people import GOLDEN, HERE, PEOPLE, assessed, frozen, golden
from rich.cells import cell_len
from rich.console import Console
from test_terminal import _citations, printed

from calcinosis.assessment import Assessment
from calcinosis.report.terminal_brief import THE_REST, render_brief
from calcinosis.report.wording import clean


def brief(assessment: Assessment, width: int = 80) -> str:
    out = io.StringIO()
    render_brief(assessment, Console(file=out, width=width, force_terminal=False, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def flowing(text: str) -> str:
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    golden(HERE / "golden" / f"{name}_brief.txt", brief(frozen(name)))


@pytest.mark.parametrize("name", PEOPLE)
def test_nothing_that_could_harm_is_left_out(name: str) -> None:
    assessment, text = assessed(name), flowing(brief(assessed(name), 400))
    for alarm in assessment.alarms:
        assert clean(alarm.label) in text
        assert all(flowing(clean(action.text)) in text for action in alarm.actions)
    assert all(clean(each.label) in text and flowing(clean(each.text)) in text for each in assessment.review)
    assert all(flowing(clean(each)) in text for each in (*assessment.warnings, *assessment.not_understood))
    assert all(clean(option.label) in text for option in assessment.options if option.order.contraindicated)
    assert all(clean(each.label) in text for each in assessment.types)


@pytest.mark.parametrize("name", PEOPLE)
def test_it_is_much_shorter_and_says_where_the_rest_is(name: str) -> None:
    assert len(brief(assessed(name)).splitlines()) < max(0.5 * len(printed(assessed(name)).splitlines()), 80)
    assert THE_REST in flowing(brief(assessed(name)))


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_fits_the_width(name: str, width: int) -> None:
    assert max(cell_len(line) for line in brief(assessed(name), width).splitlines()) <= width


@pytest.mark.parametrize("name", PEOPLE)
def test_every_key_cited_is_in_the_reference_list(name: str) -> None:
    known = {key for key, _ in _citations(assessed(name).model_dump())}
    text, _, listed = brief(assessed(name), 400).partition("References\n")
    cited = {key for group in re.findall(r"\[([a-z0-9_, ]+)\]", text) for key in group.split(", ")} & known
    assert cited == set(re.findall(r"^\s*\[([a-z0-9_]+)\]", listed, re.M))
