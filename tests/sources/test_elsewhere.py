"""What lies in an inner organ, and what an operation or an angiogram shows, is no lesion of the skin; and the skin keeps its own.

Each sentence is made up after what real transcribed reports say; a denial stands beside each so that neither side is forgotten.
"""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Concept, Context
from calcinosis.sources.context_rules import load_context_rules

READERS = make_readers()
CONCEPTS = READERS.knowledge.concepts


def lineage(key: str) -> set[str]:
    return {key}.union(*(lineage(parent) for parent in CONCEPTS[key].parents if parent in CONCEPTS))


def affirmed(text: str, context: Context = Context.NOTE) -> set[str]:
    found = READERS.text.read(text, context).mentions
    return set().union(*(lineage(each.concept) for each in found if each.certainty == "affirmed"))


@pytest.mark.parametrize(
    "text",
    [
        "There is a 3 cm mass in the left upper lobe of the lung.", "The pancreas shows several nodules.",
        "Nodules and masses in both lungs.", "Some necrotic areas of the gallbladder were seen.",
        "Ulceration of the mouth since last week.", "The right internal carotid artery has an ulcerated lesion.",
        "A large ulcerative plaque in the proximal right coronary artery.", "Two cysts in the liver.",
        "The wound was irrigated and closed in layers with Vicryl.", "Wound check in ten days.",
        "He was cyanotic and pulseless.", "Poor flow to the fistula was noted.", "She had a bump in the creatinine.",
        "Growth and development are normal.", "Currently on Plaquenil 200 mg.", "She underwent a lumpectomy.",
    ],
)  # fmt: skip
def test_what_lies_elsewhere_is_no_lesion_of_the_skin(text: str) -> None:
    assert "skin_lesion" not in affirmed(text)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Patient with lung fibrosis presents with hard nodules.", "nodule"),
        ("Calcinosis of the elbows, pulmonary fibrosis, nodules of the fingers.", "nodule"),
        ("Ulcerated nodules on the scalp and lymph nodes enlarged.", "skin_ulcer"),
        ("Nodules over the carotid area of the neck.", "nodule"),
        ("Carotid endarterectomy scar with hard nodule.", "hard_lesion"),
        ("Bowel resection, ulcers of both legs.", "skin_ulcer"),
        ("Lung disease nodules of the hands.", "nodule"),
        ("Necrotic wound at the sternum after coronary bypass.", "skin_necrosis"),
        ("Penile necrosis, bladder catheter in place.", "skin_necrosis"),
        ("Her colon cancer was treated, ulcers of the legs since.", "skin_ulcer"),
        ("Leg wound irrigated and dressed.", "skin_ulcer"),
        ("The wound on her shin has not healed for 3 months.", "skin_ulcer"),
        ("Cyanotic toes since Friday.", "violaceous_lesion"),
        ("Tumour of the thigh, stony.", "mass"),
        ("Patient has thyroid disease and a calcified nodule on the elbow.", "nodule"),
        ("Large plaque of the flank, black in the middle.", "plaque"),
    ],
)
def test_a_lesion_of_the_skin_beside_the_name_of_an_organ_stays(text: str, concept: str) -> None:
    assert concept in affirmed(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is dense calcific plaque in the left anterior descending artery.",
        "CT of the lumbar spine: vascular calcification of the abdominal aorta and the iliac arteries.",
        "The left main coronary artery is a calcified vessel.",
        "X-ray of the elbow: rather extensive vascular calcification in the soft tissues.",
    ],
)
def test_a_calcified_vessel_that_nobody_saw_under_a_microscope_is_no_histology(text: str) -> None:
    assert "histology_vessel_calcification" not in affirmed(text)


def test_a_deposit_in_a_coronary_artery_is_none_of_the_soft_tissue() -> None:
    assert "calcification" not in affirmed("There is dense calcific plaque in the left anterior descending artery.")


@pytest.mark.parametrize(
    "text",
    [
        "Skin biopsy showed calcified vessels with thrombosis.",
        "Biopsy of the thigh on 3 March. The small vessels are calcified and thrombosed.",
        "Derm bx: calcified arterioles in subcutis.",
        "Histology from the ulcer edge: necrosis, and mural calcium in medium vessels.",
        "Right temporal artery was calcified on biopsy.",
    ],
)
def test_a_calcified_vessel_of_a_biopsy_is_histology_in_a_letter_too(text: str) -> None:
    assert "histology_vessel_calcification" in affirmed(text)


def test_a_report_of_the_pathologist_needs_no_word_that_says_so() -> None:
    assert "histology_vessel_calcification" in affirmed("Arteries are calcified.", Context.HISTOLOGY)


@pytest.mark.parametrize("text", ["Chest pain since Friday.", "Admitted with abdominal pain.", "A sore throat and a headache.", "RLQ pain."])
def test_pain_of_an_inner_organ_is_no_pain_of_the_lesion(text: str) -> None:
    assert "pain" not in affirmed(text)


@pytest.mark.parametrize("text", ["Leg pain since Friday.", "Pain over the abdominal wall.", "Pain of the thigh, chest pain denied."])
def test_pain_of_a_limb_or_of_the_skin_stays(text: str) -> None:
    assert "pain" in affirmed(text)


def test_risks_that_were_explained_are_not_what_happened() -> None:
    found = READERS.text.read("Risks including bleeding, infection, skin necrosis were explained.", Context.NOTE).mentions
    assert {each.certainty for each in found if each.concept == "skin_necrosis"} == {"uncertain"}


def test_a_brain_with_necrosis_is_no_skin_and_a_thigh_is() -> None:
    assert "skin_necrosis" not in affirmed("Pathology: evidence of focal necrosis (stroke), no vasculitis.")
    assert "skin_necrosis" in affirmed("HD patient, necrosis R thigh.")


def test_every_list_of_words_beside_is_named_by_a_concept() -> None:
    named = {concept.beside for concept in CONCEPTS.values() if isinstance(concept, Concept) and concept.beside}
    assert named == set(load_context_rules().beside)
