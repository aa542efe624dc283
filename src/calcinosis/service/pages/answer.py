"""The answer part of *Assess*: the report of one patient, with what is still missing first. Rendered by a worker."""

from __future__ import annotations

from dataclasses import dataclass

from calcinosis.contract import Assessment, TestOut
from calcinosis.derived import DERIVED_FROM
from calcinosis.knowledge import Knowledge
from calcinosis.report import wording
from calcinosis.report.option_words import counted
from calcinosis.service.pages.brief_options import with_options_briefly
from calcinosis.service.pages.shell import environment


@dataclass(frozen=True, slots=True)
class Lacking:
    """A test that is not on record and would change something; ``asked``: the questions of the form that take its result."""

    test: TestOut
    asked: tuple[tuple[str, str], ...]  # (key, label) of concepts
    changes: tuple[tuple[str, str], ...]  # (result, what it would change)


def render_answer(assessment: Assessment, knowledge: Knowledge, *, full: bool = False) -> str:
    """HTML of one assessment, without the frame of a page.

    Args:
        full: every treatment option in detail, not only those that stand first, are being given, or are contraindicated here. All stand in
            the tables.
    """
    shown, in_detail = with_options_briefly(assessment, full=full)
    return (
        environment()
        .get_template("_answer.html.j2")
        .render(
            assessments=[shown],
            references=wording.references(wording.citations_shown(shown)),
            heading="Answer",
            lacking=[_lacking(test, assessment, knowledge) for test in assessment.workup if test.would_change],
            spoken=_spoken(assessment),
            in_detail=in_detail,
        )
    )


def _lacking(test: TestOut, assessment: Assessment, knowledge: Knowledge) -> Lacking:
    offered = {key for group in knowledge.entry_form.values() for key in group.concepts}
    read = dict.fromkeys(key for outcome in knowledge.tests[test.test].outcomes for key in (*outcome.labs, *outcome.concepts))
    asked = [key for key in _measured(read) if key in offered]
    changes = [(outcome.result, change) for outcome in test.outcomes if (change := wording.outcome_change(outcome, assessment))]
    return Lacking(test, tuple((key, knowledge.concepts[key].label) for key in asked), tuple(changes))


def _measured(keys: dict[str, None]) -> list[str]:
    """Adjusted calcium and eGFR can be computed from what is measured."""
    return list(dict.fromkeys(part for key in keys for part in (key, *DERIVED_FROM.get(key, ()))))


def _spoken(assessment: Assessment) -> str:
    """The answer in one sentence, for a screen reader and for the bar of a phone."""
    missing = sum(test.would_change for test in assessment.workup)
    return (
        f"{counted(len(assessment.alarms), 'alarm')}. {wording.headline(assessment).line}. "
        f"{counted(missing, 'missing test')} would change it."
    )
