"""Whole reports and letters: what is read of them, and what is wrongly taken for true. A figure here may only get better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

HERE = Path(__file__).parent
READER = make_readers().text
KNOWLEDGE = make_readers().knowledge
# (list, context) -> (named as present and read, at least; named as absent and affirmed, at most)
REACHED = {
    ("first", "histology"): (73, 4), ("first", "imaging"): (55, 7), ("first", "note"): (161, 8),
    ("second", "histology"): (20, 0), ("second", "imaging"): (16, 0), ("second", "note"): (66, 2),
    ("third", "histology"): (41, 3), ("third", "imaging"): (39, 4), ("third", "note"): (224, 25),
    ("fourth", "histology"): (48, 8), ("fourth", "imaging"): (24, 1), ("fourth", "note"): (249, 28),
}  # fmt: skip


def lineage(key: str) -> set[str]:
    return {key}.union(*(lineage(parent) for parent in KNOWLEDGE.concepts[key].parents if parent in KNOWLEDGE.concepts))


def texts(name: str, context: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load((HERE / f"long_texts_{name}.yaml").read_text(encoding="utf-8")) if each["context"] == context]


@pytest.mark.parametrize(("name", "context"), REACHED)
def test_long_texts_are_read_as_well_as_before(name: str, context: str) -> None:
    read = wrong = 0
    for each in texts(name, context):
        found = READER.read(each["text"], Context(context)).mentions
        affirmed: set[str] = set().union(*(lineage(mention.concept) for mention in found if mention.certainty == "affirmed"))
        read += len(affirmed.intersection(each["present"]))
        wrong += len(affirmed.intersection(each["absent"]))
    assert (read >= REACHED[name, context][0], wrong <= REACHED[name, context][1]) == (True, True), (read, wrong)


def test_a_denial_reaches_over_a_line_that_was_wrapped_and_indented() -> None:
    text = "3. Medium sized and small vessels are unremarkable; specifically no\n   calcification of vessel walls and no thrombi."
    found = [(each.concept, each.certainty) for each in READER.read(text, Context.HISTOLOGY).mentions]
    assert ("histology_vessel_calcification", "negated") in found and ("histology_vessel_calcification", "affirmed") not in found


@pytest.mark.parametrize(
    "text",
    [
        "She had read on the internet about calciphylaxis.", "Most patients on warfarin never get calciphylaxis.",
        "Calciphylaxis is a rare cause of painful lumps.", "Calciphylaxis was raised by the registrar.", "Calciphylaxis is neither confirmed nor ruled out.",
        "ER precautions: fever, spreading redness, calciphylaxis.", "NOT known to have calciphylaxis.", "Calciphylaxis isn't seen.",
        "Mum with calciphylaxis on dialysis.", "Please eval for calciphylaxis.",
    ],
)  # fmt: skip
def test_what_is_only_talked_about_is_not_affirmed(text: str) -> None:
    assert not [each for each in READER.read(text, Context.NOTE).mentions if each.concept == "calciphylaxis" and each.certainty == "affirmed"]


@pytest.mark.parametrize(
    "text",
    [
        "That entity requires calcification of the vessels, which is not seen here.",
        "A von Kossa stain is negative for calcium, both in the vessel walls and in the stroma.",
    ],
)
def test_vessels_without_calcium(text: str) -> None:
    certain = {each.certainty for each in READER.read(text, Context.HISTOLOGY).mentions if each.concept == "histology_vessel_calcification"}
    assert certain == {"negated"}


@pytest.mark.parametrize(
    "text",
    [
        "One of the nurses wondered about calciphylaxis.", "She was worried about calciphylaxis because of the pain.", "Her GP asked about calciphylaxis.",
        "You asked whether the calcium makes this calciphylaxis.", "Calciphylaxis            | no      | never had it", "He negates calciphylaxis.",
    ],
)  # fmt: skip
def test_a_disease_that_somebody_asks_about_is_not_affirmed(text: str) -> None:
    found = {each.certainty for each in READER.read(text, Context.NOTE).mentions if each.concept == "calciphylaxis"}
    assert "affirmed" not in found


@pytest.mark.parametrize(
    "text",
    [
        "The family asked about warfarin.", "We discussed warfarin.", "We spoke about warfarin.", "Warfarin asked about by the family.", "Warfarin: turned down by the panel.",
        "Warfarin would be the next choice.", "We applied for funding for warfarin.", "She hopes to have warfarin.", "We decided against warfarin.",
        "Warfarin | never | not needed", "Warfarin was never collected.",
    ],
)  # fmt: skip
def test_a_drug_that_is_only_talked_about_is_not_taken(text: str) -> None:
    found = {each.certainty for each in READER.read(text, Context.NOTE).mentions if each.concept == "warfarin"}
    assert "affirmed" not in found


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("She asked about her diabetes, which is well controlled.", "diabetes_mellitus"), ("She is worried about the ulcer on her leg.", "skin_ulcer"),
        ("He asked whether he could stop warfarin.", "warfarin"), ("We discussed her warfarin, which continues.", "warfarin"),
        ("Discussed with nephrology, on haemodialysis three times a week.", "dialysis_dependence"), ("I asked about pain: severe at night.", "pain"),
        ("Case discussed, prednisolone continued at 10 mg.", "prednisolone"), ("We advised against stopping prednisolone.", "prednisolone"),
        ("I spoke to her about her haemodialysis; she attends thrice weekly.", "haemodialysis"), ("We discussed the biopsy, which shows calciphylaxis.", "calciphylaxis"),
        ("Funding for sodium thiosulfate was approved and it was started on Monday.", "sodium_thiosulfate"),
        ("The next step was haemodialysis, which began in March.", "haemodialysis"), ("Warfarin | current | INR 2.5", "warfarin"),
        ("Prednisolone 5 mg if needed.", "prednisolone"), ("CKD | DM | AF", "atrial_fibrillation"),
    ],
)  # fmt: skip
def test_talk_about_what_the_patient_has_takes_nothing_away(text: str, concept: str) -> None:
    assert (concept, "affirmed") in {(each.concept, each.certainty) for each in READER.read(text, Context.NOTE).mentions}


def test_the_dose_of_dialysis_is_no_transplant() -> None:
    assert "kidney_transplant" not in {each.concept for each in READER.read("spKt/V 1.42, HD three times a week", Context.NOTE).mentions}


@pytest.mark.parametrize("text", ["patient with calciphylaxis", "Patients mother reports she has calciphylaxis.", "seen on the ward with calciphylaxis", "Mum reports calciphylaxis."])
def test_what_is_said_of_this_patient_stays(text: str) -> None:
    assert ("calciphylaxis", "affirmed") in [(each.concept, each.certainty) for each in READER.read(text, Context.NOTE).mentions]


@pytest.mark.parametrize(
    "text",
    [
        "Her mother, who came from the Azores, had calciphylaxis and later a lymphoma.", "Her mother, as you know, has calciphylaxis.",
        "Was calciphylaxis seen on the ward?", "Has she had calciphylaxis?", "[-] calciphylaxis", "Calciphylaxis - ruled out.", "Possibilities include calciphylaxis, fat necrosis.",
        "Acral necrosis has a large differential, including vasculitis and calciphylaxis.", "One of our juniors labelled it calciphylaxis.",
        "There is no ulcer and nothing to suggest\nCalciphylaxis at present.", "Breast calciphylaxis is a consideration.",
    ],
)  # fmt: skip
def test_what_is_asked_or_a_relatives_or_denied_is_not_affirmed(text: str) -> None:
    assert "affirmed" not in {each.certainty for each in READER.read(text, Context.NOTE).mentions if each.concept == "calciphylaxis"}


@pytest.mark.parametrize(
    "text",
    [
        "Her mother, who drove her here, reports no fever. She has calciphylaxis.", "[+] calciphylaxis", "[+] fatigue\n[+] calciphylaxis\n[-] fever",
        "Was seen on the ward with calciphylaxis.", "Has calciphylaxis on both thighs. Analgesia?", "Fever no\nCalciphylaxis yes",
    ],
)  # fmt: skip
def test_what_looks_like_a_question_or_a_denial_stays(text: str) -> None:
    assert ("calciphylaxis", "affirmed") in [(each.concept, each.certainty) for each in READER.read(text, Context.NOTE).mentions]


@pytest.mark.parametrize(
    "text",
    [
        "Diltiazem - not offered", "Diltiazem - never commenced", "Nifedipine to be replaced by diltiazem once she has had an ECG.", "IV diltiazem to be discussed with pharmacy",
        "Diltiazem therefore has no place here.", "If confirmed start diltiazem.",
    ],
)  # fmt: skip
def test_a_drug_that_nobody_gave_is_not_taken(text: str) -> None:
    assert "affirmed" not in {each.certainty for each in READER.read(text, Context.NOTE).mentions if each.concept == "diltiazem"}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Warfarin taken for atrial fibrillation.", "atrial_fibrillation"), ("Medication list includes warfarin.", "warfarin"),
        ("Problem list includes SLE and ESRD.", "esrd"), ("Pain tends to be worse at night.", "pain"), ("INR review regarding warfarin.", "warfarin"),
        ("Calcinosis as a part of her systemic sclerosis.", "systemic_sclerosis"), ("Started on the calciphylaxis pathway.", "calciphylaxis"),
        ("Has painful ulcers of both thighs, infected?", "skin_ulcer"), ("Patient information:\nESRD, warfarin", "warfarin"),
        ("General note:\nBlack eschar of the thigh", "eschar"),
    ],
)  # fmt: skip
def test_a_cue_takes_nothing_that_is_true(text: str, concept: str) -> None:
    """Each was lost for a while to a cue that had been made too wide."""
    assert (concept, "affirmed") in [(each.concept, each.certainty) for each in READER.read(text, Context.NOTE).mentions]
