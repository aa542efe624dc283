"""Records that a nephrologist and wound specialist, who did not know the program, wrote to find where it is silent and where it cries wolf."""

from __future__ import annotations

import pytest
from small_records import ask, biopsy, drug, film, letter, measured, says, status

from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status

DIALYSIS = says("End stage renal disease on haemodialysis")


def alarms(answer: Assessment) -> set[str]:
    return {alarm.id for alarm in answer.alarms}


@pytest.mark.parametrize(
    "note",
    [
        "HD RN note: No drainage from eschars L and R thigh, no odor. Pain 9/10 b/l thighs.",
        "Denies trauma to the painful black areas on her lower abdomen.",
        "There is no evidence of DVT or vasculitis to explain the painful indurated purple plaques of both calves.",
        "Return if the black areas on your thighs spread.",
        "Mother of pt reports that pt's thighs are covered with purple, hard, very painful plaques.",
        "Patient's sister called: patient's legs are mottled, rock hard and excruciating to touch.",
        "Tip of the tongue looks dead - grey-black.",
        "R ear helix and nasal tip black and very painful.",
        "Started like purple veins on the thigh, then went hard and now the middle is black and smells.",
        "Skin of the thighs burns like fire, marble-like pattern, blotchy purple.",
    ],
)
def test_calciphylaxis_on_dialysis_is_never_passed_over_in_silence(note: str) -> None:
    answer = ask(DIALYSIS, letter(note))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert "R1" in alarms(answer)


@pytest.mark.parametrize("words", ["ICHD via tunnelled line", "hemo 3x/wk", "dialyses at the unit in town", "on the kidney machine at home"])
def test_dialysis_is_known_by_the_words_of_those_who_live_with_it(words: str) -> None:
    assert "R1" in alarms(ask(letter(f"{words}. Thigh wound, black and painful.")))


@pytest.mark.parametrize("word", ["calciphlyaxis", "calsiphylaxis", "calcific phylaxis", "calcyphilaxis"])
def test_the_name_is_known_however_it_is_spelled(word: str) -> None:
    assert status(ask(says(word)), "calciphylaxis").rank >= Status.PROBABLE.rank


def test_calcium_with_thrombi_in_kidney_failure_is_not_metastatic_alone() -> None:
    answer = ask(
        DIALYSIS, measured("Parathyroid hormone", 900, "pg/mL"), says("painful nodule", at="thigh"),
        biopsy("Perieccrine calcium, fibrin thrombi in dermal vessels."),
    )  # fmt: skip
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank
    assert "R1" in alarms(answer)


def test_calcium_of_vessels_in_a_section_is_read_in_its_short_forms() -> None:
    answer = ask(DIALYSIS, says("painful purple plaque", at="thigh"), biopsy("Focal vascular Ca++ deposition. Epidermal infarct."))
    assert status(answer, "calciphylaxis") == Status.CONFIRMED


def test_net_like_calcium_and_pain_on_dialysis_ask_for_a_look_at_the_skin() -> None:
    answer = ask(DIALYSIS, letter("Painful thighs for a month."), film("Fine reticular calcification of the subcutaneous arterioles of both thighs."))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


def test_thiosulfate_on_dialysis_tells_what_nobody_wrote() -> None:
    answer = ask(DIALYSIS, drug("sodium thiosulfate 25 g IV"), says("leg lesions"))
    assert status(answer, "calciphylaxis").rank >= Status.POSSIBLE.rank


def test_a_very_painful_ulcer_in_liver_disease_is_possible_without_kidney_disease() -> None:
    answer = ask(
        says("Alcoholic liver cirrhosis"), measured("Albumin", 18, "g/L"), letter("Bilateral calf ulcers with slough, pain 9/10, ankle pulses palpable."),
    )  # fmt: skip
    assert status(answer, "calciphylaxis") == Status.POSSIBLE


def test_the_name_of_the_disease_is_no_biopsy() -> None:
    answer = ask(DIALYSIS, letter("Painful wounds of both legs due to calcific uremic arteriolopathy, no biopsy done."))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
    assert not any("on biopsy" in reason.label for each in answer.types for reason in each.reasons)


def test_a_biopsy_that_is_only_planned_shows_nothing() -> None:
    answer = ask(DIALYSIS, letter("Purple plaque of the thigh with central necrosis. Punch bx pending."))
    assert not any("on biopsy" in reason.label for each in answer.types for reason in each.reasons)


def test_a_drug_stopped_in_two_letters_is_not_taken() -> None:
    answer = ask(DIALYSIS, letter("D/C warfarin. D/C calcitriol."))
    assert answer.on_record is not None
    assert {drug.standing for drug in answer.on_record.drugs} == {"ended"}


def test_drugs_at_discharge_are_taken() -> None:
    answer = ask(letter("D/C meds: warfarin 3 mg daily."))
    assert answer.on_record is not None
    assert [drug.standing for drug in answer.on_record.drugs] != ["ended"]


@pytest.mark.parametrize(
    "note",
    [
        "Skin check (calciphylaxis screen): painful lesions no; livedo no; ulcers no",
        "Told to report painful skin lumps or black spots. Skin clear today.",
        "Calciphylaxis screening done, skin intact.",
        "Old leg ulcers healed in 2012. Knee pain.",
    ],
)
def test_what_was_only_looked_for_or_is_long_healed_rings_nothing(note: str) -> None:
    assert not ask(DIALYSIS, letter(note)).alarms


def test_who_queried_a_disease_did_not_diagnose_it() -> None:
    answer = ask(DIALYSIS, letter("Outside hospital queried calciphylaxis."))
    assert status(answer, "calciphylaxis") == Status.POSSIBLE


def test_a_toe_lost_to_gangrene_years_ago_is_no_emergency_of_today() -> None:
    assert not ask(DIALYSIS, letter("Toe amputated for gangrene in 2015, stump healed.")).alarms


def test_a_wound_of_the_thigh_of_which_no_pain_is_known_is_urgent_and_not_immediate() -> None:
    answer = ask(DIALYSIS, letter("Wound of thigh."))
    assert alarms(answer) == {"R1"}
    assert "R2" in alarms(ask(DIALYSIS, letter("Very painful wound of thigh.")))


def test_a_fasciitis_of_the_past_is_no_emergency() -> None:
    assert "R4" not in alarms(ask(says("diabetes"), letter("Necrotizing fasciitis of the thigh in 2018, healed.")))
    assert "R4" in alarms(ask(says("diabetes"), letter("Necrotizing fasciitis of the thigh.")))


def test_low_pressure_during_dialysis_is_no_sepsis() -> None:
    assert "R3" not in alarms(ask(DIALYSIS, letter("Leg ulcer dressed. Hypotensive during treatment, UF reduced.")))
    assert "R3" in alarms(ask(DIALYSIS, letter("Leg ulcer dressed. Hypotensive and confused.")))


def test_an_inflamed_joint_of_gout_is_no_early_change_of_the_skin() -> None:
    assert not ask(DIALYSIS, letter("L 1st MTP red, hot, exquisitely tender for a day. History of gout.")).alarms
    assert "R1" in alarms(ask(DIALYSIS, letter("Calf red, hot, exquisitely tender for a day.")))


def test_a_dusky_stoma_and_a_healed_past_are_no_skin_of_today() -> None:
    assert not ask(drug("warfarin"), letter("POD2 dusky stoma, tender abdomen, revised.")).alarms
    healed = ask(DIALYSIS, letter("Calciphylaxis of thighs 2019-2020, fully healed by Nov 2020, scars only."))
    assert status(healed, "calciphylaxis") == Status.POSSIBLE
