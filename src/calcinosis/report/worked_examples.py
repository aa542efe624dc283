"""Three published cases as the terminal shows them: ``docs/worked_examples.md``.

``python -m calcinosis.report.worked_examples examples/published_cases docs`` writes the page; a test fails when it is stale. The cases are
of the half whose texts were read while the rules were written (``held_out.txt`` lists the other half, which stays unread).
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from calcinosis.api import assess
from calcinosis.contract import Assessment
from calcinosis.report.option_words import comes_last, counted
from calcinosis.report.terminal import render_assessment
from calcinosis.report.wording import headline

PAGE_FILE: Final = "worked_examples.md"
COLUMNS: Final = 100
CASES: Final = {  # case of examples/published_cases -> heading
    "a009": "Calcinosis of the hand in systemic sclerosis",
    "a018": "Juvenile dermatomyositis, a boy of nine",
    "b111": "Calciphylaxis on warfarin",
}

_INTRODUCTION: Final = """# Worked examples

Three published cases, each as `calcinosis assess --full` prints it (100 columns). The program sees only what the bundle of the case
holds: a short, coded extract. Read every “not checked” with that in mind; a real record says more.

Nothing here is a recommendation. [How it reasons](how_it_reasons.md#treatment-options) explains the order, the evidence and the verdicts.

This page is made by the program. To renew it: `make docs`.
"""


def render_page(folder: Path) -> str:
    """The page from the cases of a folder with ``truth.csv`` and ``bundles/``."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as stream:
        published = {row["id"]: row for row in csv.DictReader(stream)}
    return _INTRODUCTION + "".join(_example(folder, case, title, published[case]) for case, title in CASES.items())


def _example(folder: Path, case: str, title: str, published: dict[str, str]) -> str:
    assessment = assess(folder / "bundles" / f"{case}.json")
    where = ", ".join(part for part in (published["first_author"], published["year"], f"“{published['title']}”") if part)
    return "\n".join(
        [
            f"\n## {title}\n",
            f"Case `{case}` ({where}). The authors: {published['published_subtype'] or published['published_type']}.",
            f"The program: {headline(assessment).line}. {_summary(assessment)}\n",
            f"```console\ncalcinosis assess --full examples/published_cases/bundles/{case}.json\n```\n",
            f"```text\n{terminal_text(assessment)}```\n",
        ]
    )


def _summary(assessment: Assessment) -> str:
    options = assessment.options
    last = sum(map(comes_last, options))
    open_ = sum(any(rule.verdict == "contraindicated" for rule in option.not_checked) for option in options)
    return (
        f"Current treatment to review: {len(assessment.review)}. {counted(len(options), 'option')}; {last} contraindicated or with "
        f"evidence against; {open_} with a contraindication that this record leaves unchecked."
    )


def terminal_text(assessment: Assessment) -> str:
    """The terminal report as plain text, without trailing blanks."""
    out = io.StringIO()
    render_assessment(assessment, Console(file=out, width=COLUMNS, force_terminal=False, color_system=None, legacy_windows=False))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


if __name__ == "__main__":
    _cases, _docs = (Path(argument) for argument in sys.argv[1:3])
    (_docs / PAGE_FILE).write_text(render_page(_cases), encoding="utf-8")
    print(_docs / PAGE_FILE)
