"""Ordinary sentences about drugs that a patient does not take, or takes no more; each with the one that must not change."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text


def said(text: str) -> set[tuple[str, str, bool]]:
    return {(each.concept, each.certainty, each.ended) for each in READER.read(text, Context.NOTE).mentions}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("She does not take warfarin.", "warfarin"), ("He has never taken warfarin.", "warfarin"),
        ("She does not take calcium or vitamin D.", "calcium_supplement_class"), ("He has not needed dialysis.", "dialysis"),
        ("She has never needed dialysis.", "dialysis"),
    ],
)  # fmt: skip
def test_what_a_patient_does_not_take_is_denied(text: str, concept: str) -> None:
    assert (concept, "negated", False) in said(text)
    assert (concept, "affirmed", False) not in said(text)


@pytest.mark.parametrize(
    ("text", "over", "goes_on"),
    [
        ("Warfarin was stopped in 2015.", "warfarin", None), ("Warfarin was discontinued in March.", "warfarin", None),
        ("He was on warfarin until 2019.", "warfarin", None), ("She took prednisolone until last year.", "prednisolone", None),
        ("She used to take methotrexate.", "methotrexate", None), ("Past medications: methotrexate, warfarin.", "warfarin", None),
        ("She was switched from warfarin to apixaban.", "warfarin", "apixaban"),
        ("Warfarin was replaced by apixaban.", "warfarin", "apixaban"),
        ("Stop calcium acetate and start sevelamer.", "calcium_acetate", "sevelamer"),
    ],
)  # fmt: skip
def test_a_drug_of_the_past_has_ended_and_the_next_one_has_not(text: str, over: str, goes_on: str | None) -> None:
    assert (over, "affirmed", True) in said(text)
    if goes_on:
        assert (goes_on, "affirmed", False) in said(text)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("She takes warfarin.", "warfarin"), ("He is on warfarin.", "warfarin"), ("Warfarin continues.", "warfarin"),
        ("She has a permanent pacemaker.", "cardiac_pacemaker"), ("Current medications: methotrexate, warfarin.", "warfarin"),
    ],
)  # fmt: skip
def test_a_drug_or_device_of_today_is_affirmed(text: str, concept: str) -> None:
    assert (concept, "affirmed", False) in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "She declined a pacemaker.",
        "Awaiting pacemaker implantation.",
        "Pacemaker was removed in 2019.",
        "A pacemaker is planned for next month.",
    ],
)
def test_a_device_that_is_not_there_is_not_read(text: str) -> None:
    """A pacemaker takes the danger out of diltiazem in heart block; one that was declined does not."""
    assert not [each for each in said(text) if each[0] == "cardiac_pacemaker"]


def test_a_diagnosis_considered_but_excluded_is_denied() -> None:
    assert ("calciphylaxis", "negated", False) in said("Calciphylaxis was considered but excluded by biopsy.")


def test_a_worry_of_the_patient_is_no_suspicion_of_the_clinician() -> None:
    assert not [each for each in said("The patient is worried about calciphylaxis.") if each[0] == "calciphylaxis"]
    assert ("skin_ulcer", "affirmed", False) in said("She is worried about the ulcer on her leg.")
    assert ("calciphylaxis", "uncertain", False) in said("We are worried about calciphylaxis.")


@pytest.mark.parametrize("text", ["Stress ulcer", "Ulcer of anus and rectum", "Chronic or unspecified gastrojejunal ulcer with hemorrhage"])
def test_an_ulcer_of_the_gut_is_none_of_the_skin(text: str) -> None:
    assert "skin_ulcer" not in {each.concept for each in READER.read(text, Context.CONDITION).mentions}


@pytest.mark.parametrize("text", ["His wife is pregnant.", "Partner pregnant.", "Sister is currently pregnant."])
def test_the_pregnancy_of_somebody_else_is_not_that_of_the_patient(text: str) -> None:
    assert "pregnancy" not in {each[0] for each in said(text)}
