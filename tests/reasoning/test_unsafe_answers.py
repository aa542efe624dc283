"""Unsafe answers that a specialist found by trying made-up records, and that must not come back."""

from __future__ import annotations

from typing import Any

import pytest
from small_records import Resource, ask, biopsy, drug, film, measured, procedure, says, status

from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status

DIALYSIS = (says("end-stage renal disease"), procedure("haemodialysis"))


def note(text: str) -> Resource:
    return {"resourceType": "DocumentReference", "status": "current", "date": "2024-06-01", "description": text}


def on(resource: Resource, day: str) -> dict[str, Any]:
    """The same on another day."""
    dated = {key: day for key in ("recordedDate", "effectiveDateTime", "performedDateTime") if key in resource}
    return {**resource, **dated}


@pytest.mark.parametrize(
    "words",
    ["Calcium stable on last bloods.", "Continue calcium 1200 mg daily.", "Dialysate calcium 1.25.", "Coronary calcium score 0.",
     "Calcium normal. New lumps in thighs."],
)  # fmt: skip
def test_the_calcium_of_blood_tablets_or_arteries_shows_no_deposit(words: str) -> None:
    answer = ask(says("systemic sclerosis"), note(words))
    assert answer.provisional
    assert status(answer, "dystrophic").rank <= Status.POSSIBLE.rank
    assert status(answer, "calciphylaxis") is not Status.UNLIKELY


def test_calcium_in_one_word_of_a_biopsy_is_a_deposit() -> None:
    assert not ask(biopsy("Calcium."), says("nodule of the thigh")).provisional


def test_normal_values_at_the_first_deposit_do_not_confirm_dystrophic_when_they_were_high_later() -> None:
    answer = ask(
        on(says("systemic lupus erythematosus"), "2008-01-01"), on(film("Soft tissue calcification of the forearm."), "2010-05-01"),
        on(measured("Calcium", 9.1, "mg/dL"), "2010-05-03"), on(measured("Phosphate", 3.2, "mg/dL"), "2010-05-03"),
        on(says("chronic kidney disease stage 5"), "2023-01-01"),
        on(film("Massive new periarticular tumoral calcification of the shoulder."), "2024-05-01"),
        on(measured("Calcium", 10.1, "mg/dL"), "2024-05-02"), on(measured("Phosphate", 8.2, "mg/dL"), "2024-05-02"),
    )  # fmt: skip
    assert status(answer, "dystrophic").rank <= Status.PROBABLE.rank
    assert status(answer, "metastatic").rank >= Status.POSSIBLE.rank


def test_vasculitis_at_the_edge_of_a_necrosis_on_dialysis_leaves_calciphylaxis_possible() -> None:
    answer = ask(
        *DIALYSIS, says("painful necrotic ulcers of the thighs"), biopsy("Leukocytoclastic vasculitis at the ulcer edge; subcutis not sampled.")
    )
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert answer.alarms


def test_vasculitis_in_a_biopsy_of_purpura_without_such_a_risk_is_confirmed() -> None:
    answer = ask(says("palpable purpura of the legs"), biopsy("Leukocytoclastic vasculitis."))
    assert (answer.leading, answer.leading_mimic, answer.leading_status) == ("mimic", "cutaneous_vasculitis", Status.CONFIRMED)


@pytest.mark.parametrize("lesion", ["painful ulcer of the breast", "painful induration of the breasts", "painful livedo of the thighs"])
def test_a_painful_lesion_with_a_vitamin_k_antagonist_is_possible_calciphylaxis(lesion: str) -> None:
    answer = ask(says(lesion), drug("warfarin"))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert answer.alarms


def test_small_vessel_calcification_on_a_film_with_an_ulcer_is_possible_calciphylaxis() -> None:
    answer = ask(says("painful ulcers of the leg"), film("Net-like calcification of small vessels of the subcutis."))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


@pytest.mark.parametrize("blister", ["cold sore, painful blister of the lip", "scald with a painful blister of the hand"])
def test_a_painful_blister_on_dialysis_is_not_probable_calciphylaxis(blister: str) -> None:
    assert status(ask(*DIALYSIS, says(blister)), "calciphylaxis").rank <= Status.POSSIBLE.rank


def test_a_violaceous_painful_blister_on_dialysis_is() -> None:
    assert status(ask(*DIALYSIS, says("painful violaceous bullae of the thighs")), "calciphylaxis").rank >= Status.PROBABLE.rank


def over(resource: Resource, from_day: str, to_day: str) -> dict[str, Any]:
    """A condition that the record calls resolved."""
    return {**on(resource, from_day), "clinicalStatus": {"coding": [{"code": "resolved"}]}, "abatementDateTime": to_day}


LONG_OVER = {
    "livedo": says("livedo reticularis of the legs"),
    "discoloration after a fall": says("purple discoloration of the forearm after a fall"),
    "gangrene": says("dry gangrene of a toe"),
    "painful ulcer": says("painful ulcer of the leg"),
}


@pytest.mark.parametrize("sign", LONG_OVER.values(), ids=LONG_OVER)
def test_a_sign_that_was_over_years_ago_rings_no_alarm_today(sign: Resource) -> None:
    today = [*DIALYSIS, says("pain")]
    answer = ask(over(sign, "2011-03-01", "2011-06-01"), *today)
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank
    assert not [alarm.key for alarm in answer.alarms if "calciphylaxis" in alarm.key]
    assert status(ask(sign, *today), "calciphylaxis").rank >= Status.POSSIBLE.rank  # but one of today does


@pytest.mark.parametrize("ended", ["2024-05-20", "2023-09-01"])
def test_a_sign_that_ended_lately_still_counts(ended: str) -> None:
    answer = ask(over(says("painful livedo racemosa of the thighs"), "2023-08-01", ended), *DIALYSIS)
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank


def test_a_disease_that_is_over_stays_on_record() -> None:
    answer = ask(over(says("calciphylaxis"), "2018-01-01", "2019-01-01"), *DIALYSIS)
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


PAST = over(says("calciphylaxis"), "2018-01-01", "2019-01-01")


def decided(answer: Assessment) -> str:
    return next(each.reasons[0].label for each in answer.types if each.type == "calciphylaxis")


def test_calciphylaxis_that_is_long_over_is_history_and_keeps_the_safety_advice() -> None:
    answer = ask(PAST, *DIALYSIS, drug("warfarin"), on(biopsy("Calcified small vessels of the subcutis with thrombosis"), "2018-01-10"))
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert "history" in decided(answer)
    assert "vka_with_suspected_calciphylaxis" in {alarm.key for alarm in answer.alarms}
    assert "vitamin_k_antagonist_in_calciphylaxis" in {review.key for review in answer.review}
    assert "suspected_calciphylaxis" not in {alarm.key for alarm in answer.alarms}


NOT_HISTORY = {
    "no end": [on(says("calciphylaxis"), "2018-01-01")],
    "ended lately": [over(says("calciphylaxis"), "2023-01-01", "2024-03-01")],
    "came back": [PAST, says("calciphylaxis")],
    "came back later, no end": [PAST, on(says("calciphylaxis"), "2022-01-01")],
    "a new biopsy": [PAST, biopsy("Calcified small vessels of the subcutis")],
    "a biopsy of no date": [PAST, {key: value for key, value in biopsy("Calcified small vessels with thrombosis").items() if key != "effectiveDateTime"}],
    "a new ulcer": [PAST, says("ulcer of the leg")],
    "a new necrosis": [PAST, says("necrosis of the thigh")],
    "a new livedo": [PAST, says("livedo of the thighs")],
}


@pytest.mark.parametrize("record", NOT_HISTORY.values(), ids=NOT_HISTORY)
def test_calciphylaxis_that_may_go_on_or_has_come_back_is_no_history(record: list[Resource]) -> None:
    answer = ask(*record, *DIALYSIS)
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
    assert "history" not in decided(answer)


def test_a_long_note_that_was_not_read_is_told() -> None:
    answer = ask(*DIALYSIS, note("Necrotic painful eschars on both thighs. " + "Seen on the ward round. " * 1_000))
    assert "not read: long free text (1)" in answer.warnings


def test_what_stands_at_the_end_of_a_letter_of_two_pages_is_read() -> None:
    answer = ask(*DIALYSIS, note("Seen on the ward round. " * 250 + "Necrotic painful eschars on both thighs."))
    assert answer.leading == "calciphylaxis" and answer.alarms and not answer.warnings


def test_a_conduction_block_bars_diltiazem_unless_a_pacemaker_is_recorded() -> None:
    record = [says("systemic sclerosis"), film("Subcutaneous calcification of the forearm."), says("sick sinus syndrome")]

    def verdicts(*more: Resource) -> set[str]:
        [option] = [option for option in ask(*record, *more).options if option.treatment == "diltiazem"]
        return {rule.verdict for rule in option.safety}

    assert verdicts() == {"contraindicated"}
    assert not verdicts(says("cardiac pacemaker"))


@pytest.mark.parametrize("lesion", ["Violaceous plaques on both thighs", "Purple nodules of the thighs", "Violaceous nodules on the abdomen"])
def test_violaceous_plaques_and_nodules_on_dialysis_are_possible_without_pain(lesion: str) -> None:
    answer = ask(*DIALYSIS, says(lesion))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert answer.alarms


def test_violaceous_plaques_without_such_a_risk_ring_no_alarm() -> None:
    assert not ask(says("violaceous plaques of the wrists"), says("lichen planus")).alarms


@pytest.mark.parametrize("lesion", ["Painful skin lesions", "Painful lesions of the skin of both legs"])
def test_painful_lesions_on_dialysis_that_nobody_described_may_be_calciphylaxis(lesion: str) -> None:
    answer = ask(*DIALYSIS, says(lesion), measured("Phosphate", 7.9, "mg/dL"))
    assert answer.leading == "calciphylaxis"
    assert status(answer, "calciphylaxis") is Status.POSSIBLE


def test_a_described_stony_mass_on_dialysis_does_not_need_that_rule() -> None:
    answer = ask(*DIALYSIS, says("Painful stony mass", at="shoulder"), measured("Phosphate", 7.9, "mg/dL"))
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


def test_deposits_under_the_skin_are_not_explained_by_a_calcified_artery() -> None:
    calcified = film("Multiple subcutaneous calcifications and calcification along the vessels.")
    alone = film("Calcification along the vessels.")
    standing = {each.mimic for each in ask(says("skin ulcer", at="leg"), calcified).mimics if each.status.rank >= Status.POSSIBLE.rank}
    assert "vascular_calcification" not in standing
    standing = {each.mimic for each in ask(says("nodule", at="leg"), alone).mimics if each.status.rank >= Status.POSSIBLE.rank}
    assert "vascular_calcification" in standing


@pytest.mark.parametrize(
    ("pain", "lesion"),
    [("back pain", "livedo reticularis of the legs"), ("chronic neck pain", "purple discoloration of the legs"), ("pain of the hands", "blister of the foot, purpura of the leg")],
)  # fmt: skip
def test_pain_of_another_region_makes_no_painful_lesion(pain: str, lesion: str) -> None:
    answer = ask(*DIALYSIS, says(pain), says(lesion))
    assert status(answer, "calciphylaxis").rank < Status.PROBABLE.rank
    assert "suspected_calciphylaxis" not in {alarm.key for alarm in answer.alarms}


def test_pain_of_another_region_beside_an_ulcer_on_warfarin_rings_nothing() -> None:
    assert not ask(drug("warfarin"), says("neck pain"), says("ulcer of the leg")).alarms


MAY_BE_TOGETHER = {
    "pain of no place": [says("pain"), says("livedo reticularis of the legs")],
    "lesion of no place": [says("back pain"), says("livedo reticularis")],
    "one of two pains has no place": [says("back pain"), says("pain"), says("livedo reticularis of the legs")],
    "in one note": [note("Back pain. Livedo reticularis of the legs. The lesions are painful.")],
    "one of two lesions has no place": [note("Back pain. Livedo reticularis. Livedo reticularis of the legs.")],
    "the same limb": [says("leg pain"), says("livedo reticularis of the thighs")],
    "hip and buttock": [says("hip pain"), says("livedo reticularis of the buttocks")],
    "a limb": [says("pain in the extremities"), says("livedo reticularis of the legs")],
    "both": [says("back pain"), says("painful livedo reticularis of the thighs")],
    "pain at the lesion too": [says("back pain"), says("pain", at="leg"), says("livedo reticularis", at="leg")],
}


@pytest.mark.parametrize("record", MAY_BE_TOGETHER.values(), ids=MAY_BE_TOGETHER)
def test_pain_that_may_be_of_the_lesion_keeps_the_alarm(record: list[Resource]) -> None:
    answer = ask(*DIALYSIS, *record)
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
    assert answer.alarms
