"""A lesion behind "from", "around", "over" is there, whatever is said not to come from it or to lie around it."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text
GRANTED = [
    ("No drainage from eschars L and R thigh, no odor.", "eschar"),
    ("No odor, no erythema surrounding dusky areas.", "violaceous_lesion"),
    ("Denies trauma to the painful black areas.", "skin_necrosis"),
    ("No evidence of DVT or vasculitis to explain the painful indurated purple plaques.", "violaceous_firm_lesion"),
    ("Unlikely cellulitis given bilateral painful dusky plaques.", "violaceous_firm_lesion"),
    ("No infection of the black, rock-hard glans.", "skin_necrosis"),
    ("No cause found for the painful necrotic leg ulcers.", "necrotic_ulcer"),
    ("Angiogram did not show a reason for the painful necrotic calf ulcers.", "necrotic_ulcer"),
    ("Never seen such painful black ulcers.", "necrotic_ulcer"),
    ("No blanching of the purple mottled tender thighs.", "livedo_reticularis"),
    ("Negative for osteomyelitis beneath the necrotic calf ulcer.", "necrotic_ulcer"),
    ("Not a candidate for debridement of thigh eschar.", "eschar"),
    ("Denies worsening of purple areas.", "violaceous_lesion"),
    ("I do not think the painful necrotic thigh plaques are cellulitis.", "skin_necrosis"),
    ("No fluctuance of dusky indurated calf.", "induration"),
    ("Possible cellulitis of the purple plaques.", "violaceous_firm_lesion"),
]
DENIED = [
    ("She does not suffer from ulcers.", "skin_ulcer"),
    ("No evidence of the rash today.", "rash"),
    ("No recurrence of the ulcers.", "skin_ulcer"),
    ("Without surrounding livedo.", "livedo_reticularis"),
    ("No pain at rest, ulcers or gangrene.", "gangrene"),
    ("No bleeding from gums or ulcers.", "skin_ulcer"),
    ("No swelling at the knees, nodules or livedo.", "nodule"),
    ("No ulcers over the knees.", "skin_ulcer"),
    ("No calcification around the joints.", "calcification"),
    ("I do not think the toe is gangrenous or has gangrene.", "gangrene"),
]


def said(text: str) -> dict[str, str]:
    return {mention.concept: mention.certainty for mention in READER.read(text, Context.NOTE).mentions}


@pytest.mark.parametrize(("text", "concept"), GRANTED)
def test_a_denial_of_something_else_leaves_the_lesion_standing(text: str, concept: str) -> None:
    assert said(text)[concept] == "affirmed"


@pytest.mark.parametrize(("text", "concept"), DENIED)
def test_what_itself_is_denied_stays_denied(text: str, concept: str) -> None:
    assert said(text)[concept] == "negated"


def test_what_was_denied_of_the_lesion_stays_denied() -> None:
    read = said("No erythema around the ulcer, no pus.")
    assert read["erythema"] == "negated"
    assert read["skin_ulcer"] == "affirmed"


def test_a_relative_who_speaks_of_the_patient_is_not_meant() -> None:
    assert said("Mother of pt reports that pt's thighs are covered with painful purple plaques.")["violaceous_firm_lesion"] == "affirmed"
