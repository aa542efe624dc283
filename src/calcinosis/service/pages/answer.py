"""The answer part of *Assess*: the report of one patient, with what is still missing first. Rendered by a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from calcinosis.contract import Assessment, OptionOut, Reason, SafetyOut, Statement, TestOut
from calcinosis.derived import DERIVED_FROM
from calcinosis.knowledge import Knowledge
from calcinosis.report import wording
from calcinosis.report.option_words import option_lists, rules_with
from calcinosis.service.pages.shell import environment

_Cited = TypeVar("_Cited", Statement, SafetyOut, Reason)
_FIRST: Final = 6  # options of each list in detail from the start


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
    in_detail = {
        (option.type, option.treatment)
        for listed in option_lists(assessment) for place, option in enumerate(listed.all)
        if full or place < _FIRST or option.current or option.order.contraindicated
    }  # fmt: skip
    shown = assessment.model_copy(update={"options": [_about_this_patient(option, in_detail) for option in assessment.options]})
    return (
        environment()
        .get_template("_answer.html.j2")
        .render(
            assessments=[shown],
            references=wording.references(wording.citations_in([shown])),
            heading="Answer",
            lacking=[_lacking(test, assessment, knowledge) for test in assessment.workup if test.would_change],
            spoken=_spoken(assessment),
            in_detail=in_detail,
        )
    )


def _about_this_patient(option: OptionOut, in_detail: set[tuple[str, str]]) -> OptionOut:
    """Without what is the same for everybody: that stands once, on the page of the treatment, and the option leads there.

    Of an option that is not shown in detail nothing is cited.
    """
    briefly = (option.type, option.treatment) not in in_detail
    always = rules_with(option.always, "contraindicated", "caution")
    return option.model_copy(
        update={
            "what": _uncited(option.what),
            "uses": [use.model_copy(update={"statement": _uncited(use.statement)}) for use in option.uses],
            "always": [_uncited(rule) for rule in always] if briefly else always,
            "safety": [_uncited(rule) for rule in option.safety] if briefly else option.safety,
            "speaks_for": [_uncited(reason) for reason in option.speaks_for] if briefly else option.speaks_for,
            "evidence": option.evidence.model_copy(update={"citations": []}),
            "notes": [], "mechanism": [], "monitoring": [], "dosing": [],
        }
    )  # fmt: skip


def _uncited(said: _Cited) -> _Cited:
    return said.model_copy(update={"citations": []})


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
    alarms = len(assessment.alarms)
    missing = sum(test.would_change for test in assessment.workup)
    return (
        f"{alarms} {'alarm' if alarms == 1 else 'alarms'}. {wording.headline(assessment).line}. "
        f"{missing} missing {'test' if missing == 1 else 'tests'} would change it."
    )
