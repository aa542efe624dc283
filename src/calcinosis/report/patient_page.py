"""One self-contained web page for one or more assessments: no script, no request to anywhere, readable on paper.

Every value passes Jinja's autoescape and :func:`calcinosis.report.wording.visible`; a content security policy in the page
forbids scripts should both ever fail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from calcinosis.contract import DISCLAIMER, Assessment, TestOut
from calcinosis.report import option_words, wording


def render_patient_html(assessments: Sequence[Assessment]) -> str:
    """All assessments as one page, in the order given; with several, a list of patients comes first."""
    return (
        environment()
        .get_template("patient.html.j2")
        .render(
            assessments=assessments,
            references=wording.references(found for each in assessments for found in wording.citations_shown(each)),
            knowledge_versions=list(dict.fromkeys(each.knowledge_version for each in assessments)),
            disclaimer=assessments[0].disclaimer if assessments else DISCLAIMER,
        )
    )


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates with autoescape on and unknown names as errors; other pages may extend ``base.html.j2`` through it."""
    env = Environment(
        loader=PackageLoader("calcinosis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    env.filters.update(
        decided_by=wording.decided_by,
        evidence=wording.evidence,
        not_checked_lists=option_words.not_checked_lists,
        host=lambda address: urlsplit(address).netloc.removeprefix("www."),
        lacking=wording.lacking,
        order_words=option_words.order_words,
        outcome_word=option_words.outcome_word,
        percent=option_words.percent,
        safety_words=option_words.safety_words,
        set_aside=wording.set_aside,
        short_evidence=option_words.short_evidence,
        slug=_slug,
        speaks_for=option_words.speaks_for,
        studies_words=option_words.studies_words,
        unchecked_words=option_words.unchecked_words,
        unknowns=wording.unknowns,
        web_address=wording.web_address,
    )
    env.globals.update(
        at_hand=wording.at_hand,
        counted=option_words.counted,
        disease_names=option_words.disease_names,
        disease_word=option_words.disease_word,
        general_href=lambda treatment: None,  # noqa: ARG005  the pages of the service say once, elsewhere, what is the same for everybody
        entry_link=lambda table, key, words: words,  # noqa: ARG005  the pages of the service make a link of it
        headline=wording.headline,
        in_short=wording.in_short,
        index_day=wording.index_day,
        is_standing=wording.is_standing,
        no_alarm=wording.NO_ALARM,
        no_review=option_words.NO_REVIEW,
        nothing_prescribed=option_words.NOTHING_PRESCRIBED,
        option_lists=option_words.option_lists,
        outcome_change=wording.outcome_change,
        person=wording.person,
        review_unknown=option_words.REVIEW_UNKNOWN,
        said_at=lambda source: source,
        role_word=option_words.ROLE_WORD,
        source_href=lambda key: f"#ref-{_slug(key)}",
        stance_word=option_words.STANCE_WORD,
        status_sign=wording.STATUS_SIGN,
        status_word=wording.STATUS_WORD,
        studied_in=option_words.studied_in,
        tied=option_words.tied,
        treatment_href=lambda key: f"#t-{key}",
        unusable_how=wording.UNUSABLE_HOW,
        urgency_word=wording.URGENCY_WORD,
        verdict_word=option_words.VERDICT_WORD,
        work_up=_work_up,
    )
    return env


def _visible(value: Any) -> Any:
    """Jinja's last look at a value: plain text loses control and reordering characters; markup made by a macro stays."""
    return wording.visible(value) if type(value) is str else value


def _slug(text: str) -> str:
    """A part of an element id."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def _work_up(assessment: Assessment) -> tuple[list[TestOut], list[TestOut]]:
    """The missing tests that would change something, and the others."""
    deciding = [test for test in assessment.workup if test.would_change]
    return deciding, [test for test in assessment.workup if not test.would_change]
