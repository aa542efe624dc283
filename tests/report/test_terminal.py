"""The terminal report: alarms first, readable without colour at 80 columns, and safe with whatever a record says."""

from __future__ import annotations

import io
import re

import pytest
from people import GOLDEN, HERE, PEOPLE, SCRIPT, assessed, frozen, golden
from rich.cells import cell_len
from rich.console import Console

from calcinosis.assessment import Assessment
from calcinosis.report.terminal import render_assessment
from calcinosis.report.wording import STATUS_WORD


def printed(assessment: Assessment, width: int = 80, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None, legacy_windows=False)
    render_assessment(assessment, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    golden(HERE / "golden" / f"{name}.txt", printed(frozen(name)))


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_fits_the_width(name: str, width: int) -> None:
    assert max(cell_len(line) for line in printed(assessed(name), width).splitlines()) <= width


def test_alarms_come_before_the_answer_worst_first() -> None:
    text = printed(frozen("dialysis"))
    order = [text.index(words) for words in ("ALARMS (", "ACT NOW", "SAME DAY", "Answer:", "Type ", "References")]
    assert order == sorted(order)


def test_no_alarm_is_said_and_is_no_all_clear() -> None:
    assert "No alarm fires on what the record holds; that is not an all-clear." in printed(frozen("nodule"))


@pytest.mark.parametrize("name", PEOPLE)
def test_colour_adds_nothing(name: str) -> None:
    """Without its colour codes the coloured report is the plain one, and every status is written out."""
    plain, coloured = printed(assessed(name)), printed(assessed(name), colour=True)
    without = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()) + "\n"
    assert without == plain
    assert all(STATUS_WORD[each.status] in plain for each in assessed(name).types)


@pytest.mark.parametrize("name", PEOPLE)
def test_every_key_cited_is_in_the_reference_list(name: str) -> None:
    known = {key for key, _ in _citations(assessed(name).model_dump())}
    text, _, listed = printed(assessed(name), 400).partition("References\n")
    cited = {key for group in re.findall(r"\[([a-z0-9_, ]+)\]", text) for key in group.split(", ")} & known
    assert cited and cited == set(re.findall(r"^\s*\[([a-z0-9_]+)\]", listed, re.M))


def _citations(node: object) -> list[tuple[str, str]]:
    if isinstance(node, dict):
        own = [(node["key"], node["text"])] if set(node) == {"key", "text", "url"} else []
        return own + [found for value in node.values() for found in _citations(value)]
    return [found for value in node for found in _citations(value)] if isinstance(node, list) else []


def test_markup_and_terminal_codes_of_a_record_are_only_text() -> None:
    assessment = assessed("hostile").model_copy(deep=True)
    assessment.alarms[0].facts[0].said = "\x1b]0;owned\x07\x1b[31mred\x9b31m \u202eesrever\u202c [/red] [link=http://x]y[/link]"
    text = printed(assessment, 400)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "[/red] [link=http://x]y[/link]" in text
    assert SCRIPT in text  # shown as it is


def test_a_terminal_without_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="strict", newline="")
    render_assessment(frozen("dialysis"), Console(file=file, width=80, force_terminal=False, legacy_windows=False))
    file.flush()
    assert b"Answer: Calciphylaxis: probable" in raw.getvalue()


def test_the_footer_names_the_knowledge_and_its_limits() -> None:
    assessment = frozen("scleroderma")
    text = " ".join(printed(assessment).split())
    assert f"Knowledge base {assessment.knowledge_version}. {assessment.disclaimer}" in text


def test_warnings_are_shown() -> None:
    assert "bananas/L" in printed(frozen("dialysis"))


def test_a_result_that_is_not_usable_is_not_called_absent() -> None:
    text = " ".join(printed(frozen("dialysis")).split())
    assert "Cryoglobulins (on record, but not usable)" in text
    assert "on record, but not usable (no interval for the age and sex, outside the window" in text
    assert "only suspected): Antinuclear antibodies" in text
    assert "Antinuclear antibodies" not in text.partition("also not on record:")[2].partition("on record, but not usable")[0]
