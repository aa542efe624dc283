"""Sentences of one who tested how denial, the past, advice and other people are read, each beside one that must stay as it is."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text

THERE = [
    ("No warfarin as she has calciphylaxis.", "calciphylaxis"),
    ("Not for escalation given severe calciphylaxis.", "calciphylaxis"),
    ("No vitamin D in view of calciphylaxis.", "calciphylaxis"),
    ("No sepsis from calciphylaxis.", "calciphylaxis"),
    ("Do not debride the eschar on her thigh.", "eschar"),
    ("No abx given for eschar L thigh, afebrile.", "eschar"),
    ("The GP could not explain the black eschar on the thigh.", "eschar"),
    ("Presented without fever with painful necrotic ulcers of the thighs.", "necrotic_ulcer"),
    ("Denies trauma O/E black eschar L thigh", "eschar"),
    ("No vasculitis, calciphylaxis confirmed.", "calciphylaxis"),
    ("It is not vasculitis, it is calciphylaxis.", "calciphylaxis"),
    ("Calciphylaxis not present at admission, developed in hospital.", "calciphylaxis"),
    ("Ulcer on left calf unlikely to heal.", "skin_ulcer"),
    ("No bleeding on warfarin.", "warfarin"),
    ("Warfarin cannot be stopped because of a mechanical valve.", "warfarin"),
    ("Warfarin was held for 2 days, then resumed.", "warfarin"),
    ("No cramps on HD.", "dialysis_dependence"),
    ("Did not attend dialysis Monday.", "dialysis_dependence"),
    ("Continue dressings until the ulcer has healed.", "skin_ulcer"),
    ("Ulcer of the calf not yet healed.", "skin_ulcer"),
    ("No fever, black eschar on left thigh.", "eschar"),
    ("No rash, retiform purpura over both thighs.", "retiform_purpura"),
    ("(+) eschar on thigh (-) livedo", "eschar"),
]
NOT_THERE = [
    ("Denies fever, ulcers, black toes.", "skin_necrosis"),
    ("No rash, painful ulcers, or black eschar.", "eschar"),
    ("Skin check: no ulcers, painful nodules or purple plaques.", "violaceous_firm_lesion"),
    ("Negative for fever, black skin, leg ulcers.", "skin_ulcer"),
    ("Denies:\n- ulcers\n- eschar", "eschar"),
    ("No evidence of: skin ulcers, eschar", "eschar"),
    ("Pertinent negatives: ulcers, eschar, livedo", "livedo_reticularis"),
    ("Leg ulcers: No   Livedo: No   Eschar: No", "skin_ulcer"),
    ("Skin ulcers: 0, Eschar: 0", "skin_ulcer"),
    ("Eschar: ___", "eschar"),
    ("Skin ulcers: N/A", "skin_ulcer"),
    ("(+) eschar on thigh (-) livedo", "livedo_reticularis"),
    ("When to call: new ulcers, skin turning black.", "skin_ulcer"),
    ("Call us if you notice: ulcers or black skin", "skin_ulcer"),
    ("Complications discussed: infection, skin necrosis, ulcers.", "skin_necrosis"),
    ("Another patient in the bay has calciphylaxis.", "calciphylaxis"),
    ("This argues against calciphylaxis.", "calciphylaxis"),
    ("Never on dialysis.", "dialysis_dependence"),
    ("Not currently on warfarin.", "warfarin"),
    ("No history of dialysis.", "dialysis_dependence"),
]
OVER = [
    ("Calciphylaxis in remission since 2020.", "calciphylaxis"),
    ("H/o calciphylaxis 2014, resolved, no recurrence.", "calciphylaxis"),
    ("HOLD warfarin", "warfarin"),
    ("Discontinued medications: warfarin", "warfarin"),
    ("Right BKA 2016 because of gangrene of the foot.", "gangrene"),
]


def said(text: str, concept: str) -> set[tuple[str, bool]]:
    return {(mention.certainty, mention.ended) for mention in READER.read(text, Context.NOTE).mentions if mention.concept == concept}


@pytest.mark.parametrize(("text", "concept"), THERE)
def test_what_a_sentence_takes_for_granted_or_says_is_there(text: str, concept: str) -> None:
    assert ("affirmed", False) in said(text, concept)


@pytest.mark.parametrize(("text", "concept"), NOT_THERE)
def test_what_is_denied_asked_or_of_somebody_else_is_not_there(text: str, concept: str) -> None:
    assert ("affirmed", False) not in said(text, concept)


@pytest.mark.parametrize(("text", "concept"), OVER)
def test_what_is_over_is_read_and_over(text: str, concept: str) -> None:
    assert said(text, concept) == {("affirmed", True)}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("No fever, painful black ulcers on left calf or shin.", "necrotic_ulcer"),
        ("No fever, tender black plaques of thigh or buttock.", "eschar"),
        ("Patient with no prior skin disease developed skin necrosis of the thighs.", "skin_necrosis"),
        ("Attends the warfarin clinic.", "warfarin"),
    ],
)
def test_what_stands_behind_a_denied_neighbour_is_there(text: str, concept: str) -> None:
    assert ("affirmed", False) in said(text, concept)


def test_what_has_not_developed_is_not_there() -> None:
    assert said("She has not yet developed ulcers.", "skin_ulcer") == {("negated", False)}


@pytest.mark.parametrize(
    ("text", "concept", "certainty"),
    [
        ("I was asked to look at the black areas on this lady's thighs.", "skin_necrosis", "affirmed"),
        ("Seen by another resident: black eschar on thigh.", "eschar", "affirmed"),
        ("Discuss warfarin with haematology.", "warfarin", "affirmed"),
        ("Necrotic ulcer at the stoma.", "necrotic_ulcer", "affirmed"),
        ("Sent for histology: vascular calcification.", "histology_vessel_calcification", "affirmed"),
        ("Not keen on dialysis, conservative care.", "dialysis_dependence", "negated"),
        ("Not dependent on dialysis.", "dialysis_dependence", "negated"),
        ("Ulcers not thought to be from calciphylaxis.", "calciphylaxis", "negated"),
    ],
)
def test_what_only_looks_like_advice_or_like_a_treatment_that_goes_on(text: str, concept: str, certainty: str) -> None:
    assert said(text, concept) == {(certainty, False)}
