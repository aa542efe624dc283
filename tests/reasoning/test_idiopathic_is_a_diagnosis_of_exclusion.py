"""What was not looked for is unknown, and the unknown never makes a deposit idiopathic."""

from __future__ import annotations

import pytest
from small_records import (
    CALCIUM_AND_PHOSPHATE_NORMAL,
    CALCIUM_SHOWN,
    METABOLISM_NORMAL,
    Resource,
    ask,
    asked_for,
    biopsy,
    code,
    lab,
    says,
    status,
)

from calcinosis.knowledge.criteria import Status

NOBODY_LOOKED = {"film": [CALCIUM_SHOWN], "code": [code("ICD10CM", "L94.2")], "words": [says("calcinosis cutis of the elbow")]}
NO_SIGNS = [says("Raynaud phenomenon, muscle weakness, photosensitivity", refuted=True)]
NO_DISEASE = [says("Connective tissue disease", refuted=True)]


@pytest.mark.parametrize("shown", NOBODY_LOOKED.values(), ids=NOBODY_LOOKED)
def test_calcium_with_nothing_looked_for_stays_undetermined(shown: list[Resource]) -> None:
    answer = ask(*shown)
    assert answer.leading is None
    assert status(answer, "idiopathic") is Status.NOT_ASSESSED
    assert {"ana", "phosphate", "adjusted_calcium"} <= asked_for(answer)


@pytest.mark.parametrize("shown", NOBODY_LOOKED.values(), ids=NOBODY_LOOKED)
def test_normal_chemistry_alone_does_not_let_idiopathic_lead(shown: list[Resource]) -> None:
    answer = ask(*shown, *CALCIUM_AND_PHOSPHATE_NORMAL)
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.POSSIBLE)
    assert status(answer, "idiopathic") is Status.POSSIBLE
    assert "ana" in asked_for(answer)


def test_the_whole_chemistry_normal_does_not_make_it_probable_either() -> None:
    assert status(ask(CALCIUM_SHOWN, *METABOLISM_NORMAL), "idiopathic") is Status.POSSIBLE


@pytest.mark.parametrize(
    ("looked_for", "found"),
    [
        ([lab("ANA", "NEG")], Status.PROBABLE),
        (NO_SIGNS, Status.PROBABLE),
        (NO_DISEASE, Status.CONFIRMED),
        ([lab("ANA", "NEG"), *NO_SIGNS], Status.CONFIRMED),
        ([lab("ANA", "NEG"), lab("ENA panel", "NEG")], Status.CONFIRMED),
        ([lab("Creatine kinase", "N")], Status.POSSIBLE),
        ([says("Trauma", refuted=True)], Status.POSSIBLE),
    ],
    ids=["antinuclear antibodies", "signs", "stated absent", "antibodies and signs", "antibodies and specific antibodies", "muscle enzyme", "injury"],
)
def test_how_much_was_looked_for_decides_how_sure_it_is(looked_for: list[Resource], found: Status) -> None:
    answer = ask(CALCIUM_SHOWN, *METABOLISM_NORMAL, *looked_for)
    assert (answer.leading, status(answer, "idiopathic")) == ("idiopathic", found)


def test_a_negative_search_for_connective_tissue_disease_without_chemistry_is_no_more_than_possible() -> None:
    assert status(ask(CALCIUM_SHOWN, *NO_DISEASE), "idiopathic") is Status.POSSIBLE


@pytest.mark.parametrize(
    "words",
    [
        "scleroderma", "CREST syndrome", "antisynthetase syndrome", "SSc-ILD", "connective tissue disorder", "collagen vascular disease",
        "undifferentiated connective tissue disease", "lupus", "lupus profundus", "morphea", "overlap syndrome",
    ],
)  # fmt: skip
def test_a_connective_tissue_disease_in_words_only_is_the_cause(words: str) -> None:
    answer = ask(CALCIUM_SHOWN, says(words), *METABOLISM_NORMAL)
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.CONFIRMED)
    assert status(answer, "idiopathic") is Status.EXCLUDED


SUSPICIONS: dict[str, list[Resource]] = {
    "NXP2 alone": [lab("anti-NXP2", "POS")],
    "MDA5 alone": [lab("anti-MDA5", "POS")],
    "Raynaud and centromere": [says("Raynaud phenomenon"), lab("anti-centromere antibody", "POS")],
    "sclerodactyly and telangiectasia": [says("sclerodactyly"), says("telangiectasia")],
    "Gottron papules": [says("Gottron papules")],
    "heliotrope rash": [says("heliotrope rash")],
    "weakness and muscle enzyme": [says("proximal muscle weakness"), lab("creatine kinase", "H")],
    "dryness and Ro": [says("dry eyes and dry mouth"), lab("anti-Ro", "POS")],
    "Raynaud and RNP": [says("Raynaud phenomenon"), lab("anti-U1RNP", "POS")],
    "rash and antinuclear antibodies": [says("malar rash"), lab("ANA", "POS")],
}


@pytest.mark.parametrize("signs", SUSPICIONS.values(), ids=SUSPICIONS)
def test_a_picture_of_connective_tissue_disease_without_the_diagnosis_makes_dystrophic_probable(signs: list[Resource]) -> None:
    answer = ask(CALCIUM_SHOWN, *signs, *METABOLISM_NORMAL)
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.PROBABLE)
    assert status(answer, "idiopathic").rank <= Status.UNLIKELY.rank


@pytest.mark.parametrize("doubt", [says("systemic sclerosis", provisional=True), says("r/o scleroderma")])
def test_a_suspected_disease_without_any_sign_makes_dystrophic_possible(doubt: Resource) -> None:
    answer = ask(CALCIUM_SHOWN, doubt, *METABOLISM_NORMAL)
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.POSSIBLE)
    assert status(answer, "idiopathic").rank <= Status.UNLIKELY.rank


HINTS: dict[str, list[Resource]] = {
    "antinuclear antibodies": [lab("ANA", "POS")],
    "antinuclear antibodies, years ago": [lab("ANA", "POS", days_before=1500)],
    "antinuclear antibodies in words": [says("positive ANA")],
    "extractable antigens": [lab("ENA panel", "POS")],
    "centromere": [lab("anti-centromere antibody", "POS")],
    "Raynaud": [says("Raynaud phenomenon")],
    "sclerodactyly": [says("sclerodactyly")],
    "telangiectasia": [says("telangiectasia")],
    "nailfold": [says("abnormal nailfold capillaries")],
    "lung": [says("interstitial lung disease")],
    "muscle": [says("myositis")],
    "unnamed": [says("autoimmune disease")],
}


@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
def test_a_single_unexplained_finding_keeps_it_from_being_called_idiopathic(hint: list[Resource]) -> None:
    answer = ask(CALCIUM_SHOWN, *hint, *METABOLISM_NORMAL, lab("Myositis panel", "NEG"))
    assert (answer.leading, answer.leading_status) == ("dystrophic", Status.POSSIBLE)
    assert status(answer, "idiopathic").rank < Status.POSSIBLE.rank
    against = next(each.against for each in answer.types if each.type == "idiopathic")
    assert "A single finding of connective tissue disease that is not explained" in [reason.label for reason in against]


def test_a_clinician_who_found_no_connective_tissue_disease_explains_a_positive_antibody() -> None:
    answer = ask(CALCIUM_SHOWN, lab("ANA", "POS"), *NO_DISEASE, *METABOLISM_NORMAL)
    assert (answer.leading, answer.leading_status) == ("idiopathic", Status.CONFIRMED)


@pytest.mark.parametrize("name", ["Parathyroid hormone", "Creatinine"])
def test_an_abnormal_hormone_or_kidney_keeps_it_below_probable(name: str) -> None:
    answer = ask(CALCIUM_SHOWN, *CALCIUM_AND_PHOSPHATE_NORMAL, lab(name, "H"), *NO_DISEASE)
    assert status(answer, "idiopathic") is Status.POSSIBLE


def test_a_known_pattern_is_possible_before_any_test_and_probable_with_normal_chemistry() -> None:
    nodules = says("firm nodules", at="scrotum")
    proof = biopsy("Calcium deposits in the dermis.")
    assert status(ask(nodules, proof, sex="male"), "idiopathic") is Status.POSSIBLE
    assert status(ask(nodules, proof, *CALCIUM_AND_PHOSPHATE_NORMAL, sex="male"), "idiopathic") is Status.PROBABLE


def test_a_stated_diagnosis_is_taken_as_possible_until_its_tests_are_on_record() -> None:
    answer = ask(says("idiopathic calcinosis cutis"))
    assert (answer.leading, answer.leading_status) == ("idiopathic", Status.POSSIBLE)
    assert {"ana", "phosphate"} <= asked_for(answer)
    assert ask(says("idiopathic calcinosis cutis"), says("dermatomyositis")).leading == "dystrophic"
