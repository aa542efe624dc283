"""Treatment options on a page of the service: this patient's part of each, and in detail only those that matter most."""

from __future__ import annotations

from typing import Final, TypeVar

from calcinosis.contract import Assessment, OptionOut, Reason, SafetyOut, Statement
from calcinosis.report.option_words import option_lists, rules_with

_Cited = TypeVar("_Cited", Statement, SafetyOut, Reason)
_FIRST: Final = 6  # options of each list in detail from the start


def with_options_briefly(assessment: Assessment, *, full: bool = False) -> tuple[Assessment, set[tuple[str, str]]]:
    """The assessment with what its options say of this patient, and (type, treatment) of those to show in detail.

    In detail stand the first of each list, what the patient has now, and what is contraindicated here; with ``full`` all.
    """
    in_detail = {
        (option.type, option.treatment)
        for listed in option_lists(assessment) for place, option in enumerate(listed.all)
        if full or place < _FIRST or option.current or option.order.contraindicated
    }  # fmt: skip
    return assessment.model_copy(update={"options": [_about_this_patient(option, in_detail) for option in assessment.options]}), in_detail


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
