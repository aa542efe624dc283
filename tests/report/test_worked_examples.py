"""The worked examples are what the program says today."""

from __future__ import annotations

from pathlib import Path

from calcinosis.report.worked_examples import CASES, COLUMNS, PAGE_FILE, render_page

ROOT = Path(__file__).parents[2]
CASES_FOLDER = ROOT / "examples" / "published_cases"


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / PAGE_FILE).read_text(encoding="utf-8") == render_page(CASES_FOLDER), "run `make docs`"


def test_no_case_of_the_held_out_half_is_shown() -> None:
    held_out = (CASES_FOLDER / "held_out.txt").read_text(encoding="utf-8").split()
    assert not set(CASES) & set(held_out)


def test_each_example_shows_review_options_and_what_could_not_be_checked() -> None:
    page = (ROOT / "docs" / PAGE_FILE).read_text(encoding="utf-8")
    reports = page.split("```text\n")[1:]
    assert len(reports) == len(CASES)
    for report in reports:
        text = report.partition("```")[0]
        assert max(map(len, text.splitlines())) <= COLUMNS
        assert all(words in text for words in ("Current treatment to review", "Treatment options evaluated so far", "not checked"))
