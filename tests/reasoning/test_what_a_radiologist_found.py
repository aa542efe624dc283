"""Records whose answer stands in a report, found by a radiologist and pathologist who did not know the program."""

from __future__ import annotations

from small_records import ask, biopsy, drug, measured, says, status

from calcinosis.knowledge.criteria import Status


def test_monckeberg_of_one_artery_confirms_no_calciphylaxis() -> None:
    answer = ask(
        says("End stage renal disease"),
        says("Painful leg ulcer", at="lower leg"),
        biopsy(
            "Dense neutrophilic infiltrate. One medium calibre artery (0.9 mm) in the deep fat shows medial calcification of Monckeberg type, "
            "lumen patent. Arterioles and capillaries are free of calcium. No fibrin thrombi. Pyoderma gangrenosum."
        ),
    )
    assert status(answer, "calciphylaxis") in (Status.POSSIBLE, Status.UNLIKELY)
    assert answer.leading != "calciphylaxis"
    assert any(alarm.key.endswith("calciphylaxis") for alarm in answer.alarms)  # kidney failure and a painful ulcer stay a warning


def test_malignant_tissue_leads_over_the_benign_bone_that_is_denied() -> None:
    answer = ask(
        says("Mass of the thigh", at="thigh"),
        biopsy("Lace-like malignant osteoid (reverse zonation). High-grade extraskeletal osteosarcoma. Not myositis ossificans."),
    )
    assert answer.leading_mimic == "soft_tissue_sarcoma"
    assert "suspected_sarcoma" in {alarm.key for alarm in answer.alarms}


def test_nodules_of_a_calcium_salt_make_no_metastatic_calcification() -> None:
    answer = ask(
        says("Kidney transplant recipient"),
        says("Secondary hyperparathyroidism"),
        drug("Nadroparin calcium SC"),
        measured("Phosphate", 1.9, "mmol/L"),
        says("Indurated tender nodules at the injection sites", at="abdominal injection site"),
        biopsy("Calcium deposits in the dermis. Vessel walls are free of calcium. Calcinosis cutis due to nadroparin."),
    )
    assert answer.leading == "iatrogenic"
    assert status(answer, "metastatic").rank <= Status.POSSIBLE.rank
    assert "suspected_calciphylaxis" not in {alarm.key for alarm in answer.alarms}


def test_kidney_failure_with_tender_plaques_still_rings_without_a_biopsy() -> None:
    answer = ask(
        says("End stage renal disease"), drug("Nadroparin calcium SC"), says("Indurated tender plaques at the injection sites of nadroparin", at="abdomen"),
    )  # fmt: skip
    assert "suspected_calciphylaxis" in {alarm.key for alarm in answer.alarms}


def test_closing_drugs_takes_nothing_from_calcium_at_the_exposed_site() -> None:
    record = (says("Calcinosis cutis"), says("Firm nodule of the left forearm"), says("Extravasation of calcium gluconate at the left forearm"))
    open_world = ask(*record)
    closed = ask(*record, closed_world=frozenset({"drug", "exposure"}))
    assert status(closed, "iatrogenic").rank >= status(open_world, "iatrogenic").rank


def test_myositis_without_a_name_is_a_disease_of_its_own_and_juvenile_myositis_is_counted_once() -> None:
    diseases = [{each.disease for each in ask(says(name), says("Calcinosis cutis")).diseases} for name in (
        "Immune-mediated necrotising myopathy", "Antisynthetase syndrome", "Connective tissue disease", "Juvenile dermatomyositis",
    )]  # fmt: skip
    assert diseases == [
        {"other_inflammatory_myopathy"}, {"other_inflammatory_myopathy"}, {"other_connective_tissue_disease"}, {"dermatomyositis_juvenile"},
    ]  # fmt: skip


def test_a_suspected_disease_shows_beside_a_connective_tissue_disease_without_a_name() -> None:
    answer = ask(says("Connective tissue disease"), says("Heliotrope rash"), says("Gottron papules"))
    assert {"other_connective_tissue_disease", "dermatomyositis"} <= {each.disease for each in answer.diseases}
