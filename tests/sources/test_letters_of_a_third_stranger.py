"""Sentences as letters write them, found by a dermatologist who did not know the program: denied, planned, ended, of others, of leaflets."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text


def said(text: str, concept: str, context: Context = Context.NOTE) -> set[str]:
    """How ``text`` says a concept: its certainty, or "ended"; nothing where it does not."""
    found = (mention for mention in READER.read(text, context).mentions if mention.concept == concept)
    return {"ended" if mention.ended else mention.certainty for mention in found}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Skin: no rash, retiform purpura with black eschar both thighs, VAS 10.", "retiform_purpura"),
        ("No fever, no DVT, retiform purpura over both thighs with black eschar, excruciating pain.", "severe_pain"),
        ("Chest clear, no oedema, livedo both thighs with firm subcutaneous plaques.", "livedo_reticularis"),
        ("Skin: no rash, ulcer R shin 4 cm", "skin_ulcer"),
        ("no murmur, skin necrosis over abdomen", "skin_necrosis"),
        ("Afebrile, no DVT, black eschar L thigh", "eschar"),
    ],
)
def test_what_is_told_at_length_behind_a_denied_item_is_there(text: str, concept: str) -> None:
    assert said(text, concept) == {"affirmed"}


def test_calcified_vessels_behind_a_denied_item_are_there() -> None:
    text = "X-ray tib/fib: no osteomyelitis, fine branching calcification of small vessels in the subcutaneous fat"
    assert said(text, "netlike_calcification", Context.IMAGING) == {"affirmed"}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("No fever, chills, rash, ulcers.", "skin_ulcer"),
        ("No rash, no ulcers, nodules or plaques over both legs.", "plaque"),
        ("No history of diabetes, coronary artery disease, chronic kidney disease.", "ckd"),
        ("no Raynaud, digital ulcers, telangiectasia, calcinosis.", "calcification"),
        ("Imp: PG. Calciphylaxis, vasculitis, ecthyma: none supported.", "calciphylaxis"),
        ("Calciphylaxis was queried by ED - no: this is CLTI.", "calciphylaxis"),
        ("Digital ulcers (current)  no", "digital_ulcer"),
        ("There is no weakness, and CK was normal, so I see nothing to suggest overlap with dermatomyositis.", "dermatomyositis"),
    ],
)
def test_what_a_list_or_an_answer_denies_is_denied(text: str, concept: str) -> None:
    assert said(text, concept) == {"negated"}


def test_what_stands_behind_a_denial_and_a_colon_is_there() -> None:
    assert said("Calciphylaxis was queried by ED - no: this is CLTI.", "peripheral_arterial_disease") == {"affirmed"}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Her sister, also on dialysis, died of calciphylaxis in 2019", "calciphylaxis"),
        ("Her sister, also on dialysis, died of calciphylaxis in 2019", "dialysis_dependence"),
        ("His mother, a diabetic, was on warfarin", "warfarin"),
        ("Her brother, also a patient here, has dermatomyositis", "dermatomyositis"),
    ],
)
def test_what_is_said_of_a_relative_in_passing_is_the_relatives(text: str, concept: str) -> None:
    assert said(text, concept) == {"family"}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Rarely calciphylaxis has been reported in patients on warfarin.", "calciphylaxis"),
        ("Rarely calciphylaxis has been reported in patients on warfarin.", "warfarin"),
        ("STS is used in calciphylaxis, a serious disease of dialysis patients", "dialysis_dependence"),
        ("This research looks at tissue from people with systemic sclerosis, calciphylaxis and other diseases", "calciphylaxis"),
        ('Education: leaflet "Calciphylaxis - what to look for: painful skin, purple net-like rash, black scab."', "eschar"),
        ("Allergies: trimethoprim rash, co-trimoxazole (neutropenia)", "rash"),
        ("[ ] calciphylaxis [ ] livedo [x] puffy fingers", "calciphylaxis"),
    ],
)
def test_what_is_said_of_others_or_offered_by_a_form_is_not_the_patients(text: str, concept: str) -> None:
    assert said(text, concept) == set()


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("We thought of calciphylaxis but the histology and the lack of pain argue against", "calciphylaxis"),
        ("We entertained calciphylaxis but dismissed it", "calciphylaxis"),
        ("We considered calciphylaxis, vasculitis and an embolism.", "vasculitis"),
        ("Warfarin-induced skin necrosis was discussed but the timing does not fit.", "warfarin_skin_necrosis"),
        ("Could this be pyoderma gangrenosum", "pyoderma_gangrenosum"),
    ],
)
def test_what_was_thought_of_is_uncertain(text: str, concept: str) -> None:
    assert said(text, concept) == {"uncertain"}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("infliximab application submitted", "infliximab"),
        ("IVIG - prior auth submitted", "immunoglobulin_iv"),
        ("Denosumab if refractory", "denosumab"),
        ("Diltiazem has been considered", "diltiazem"),
        ("iloprost to be booked", "iloprost"),
        ("dialysis if urine output <0.3", "dialysis"),
        ("parathyroidectomy not yet listed", "parathyroidectomy"),
        ("parathyroidectomy if PTH >85", "parathyroidectomy"),
    ],
)
def test_what_is_to_come_was_not_given(text: str, concept: str) -> None:
    assert said(text, concept) == set()


@pytest.mark.parametrize(
    ("text", "concept", "expected"),
    [
        ("AF on rivaroxaban (warfarin until 2017)", "rivaroxaban", "affirmed"),
        ("AF on rivaroxaban (warfarin until 2017)", "warfarin", "ended"),
        ("methotrexate 10 mg (steroids stopped 2019)", "methotrexate", "affirmed"),
        ("recurrent DVT on warfarin (Factor V Leiden heterozygote) and psoriasis in the past.", "warfarin", "affirmed"),
        ("To be switched from warfarin to apixaban next week", "warfarin", "affirmed"),
        ("HCTZ 25 mg (to be stopped today)", "thiazide_class", "affirmed"),
        ("Warfarin will be stopped.", "warfarin", "affirmed"),
        ("Her warfarin was stopped in May.", "warfarin", "ended"),
        ("MTX d/c'd 2021 (LFTs).", "methotrexate", "ended"),
        ("apixaban (previously warfarin)", "warfarin", "ended"),
        ("apixaban (replaced warfarin 2021)", "warfarin", "ended"),
        ("warfarin -> apixaban", "warfarin", "ended"),
        ("Prednisone started 60 mg, now tapered off", "prednisone", "ended"),
        ("Warfarin: NEVER AGAIN", "warfarin", "ended"),
        ("Prednisolone if needed.", "prednisolone", "affirmed"),
        ("prev DVT, warfarin 3 mg", "warfarin", "affirmed"),
        ("Aortic valve replaced 2018, warfarin since", "warfarin", "affirmed"),
        ("formerly a smoker, warfarin 3 mg daily", "warfarin", "affirmed"),
        ("prednisolone -> 10 mg", "prednisolone", "affirmed"),
        ("Methotrexate is given for her dermatomyositis.", "dermatomyositis", "affirmed"),
        ("Prednisolone course for 5 days", "prednisolone", "affirmed"),
        ("She has a family history of lupus and is on dialysis.", "dialysis_dependence", "affirmed"),
        ("She sometimes has painful ulcers.", "skin_ulcer", "affirmed"),
        ("Black eschar over both thighs, purulence none seen.", "eschar", "affirmed"),
        ("Calciphylaxis? Not sure.", "calciphylaxis", "uncertain"),
        ("Vasculitis, pyoderma and calciphylaxis were all excluded.", "vasculitis", "negated"),
    ],
)
def test_a_drug_ends_where_its_own_words_say_so_and_no_cue_takes_more_than_it_means(text: str, concept: str, expected: str) -> None:
    assert said(text, concept) == {expected}


@pytest.mark.parametrize("concept", ["dialysis", "warfarin", "connective_tissue_disease"])
def test_a_screening_form_answers_with_a_letter(concept: str) -> None:
    assert said("Dialysis? N   Warfarin? N   Steroids? N   Connective tissue disease? N", concept) == {"negated"}


def test_a_list_of_allergies_goes_on_behind_a_dash() -> None:
    text = "Drugs: lisinopril. Allergies: sulfa - rash, warfarin - skin necrosis."
    assert said(text, "warfarin") == said(text, "skin_necrosis") == set()
    assert said(text, "ace_inhibitor_class") == {"affirmed"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Calcium 3.62 mmol/L (adj), PTH 1.0 pmol/L", {"calcium_albumin_corrected": 3.62, "pth_intact": 1.0}),
        ("calcium (corrected) 2.45 mmol/L", {"calcium_albumin_corrected": 2.45}),
        ("Ca 2.31 mmol/L (corrected 2.45 mmol/L)", {"calcium_total": 2.31}),
        ("Phosphate        2.1     mmol/L     (0.8-1.5)\nPTH     88   pmol/L", {"phosphate": 2.1, "pth_intact": 88.0}),
        ("Test | Result | Unit\nPhosphate | 2.1 | mmol/L\nCalcium adj | 2.5 | mmol/L", {"phosphate": 2.1, "calcium_albumin_corrected": 2.5}),
        ("Calcium fell: 3.62 -> 3.3 -> 3.05 mmol/L", {"calcium_total": 3.05}),
        ("Phosphate 2.1\nmmol/L is the unit of this laboratory", {"phosphate": 2.1}),
    ],
)
def test_a_value_is_read_with_its_unit_in_a_column_of_its_own_and_with_what_was_done_to_it(text: str, expected: dict[str, float]) -> None:
    assert {each.concept: each.number for each in READER.read(text, Context.NOTE).values} == expected


# --- a nephrologist's notes


@pytest.mark.parametrize(
    ("text", "concept", "expected"),
    [
        ("Warfarin: ☐ Yes ☒ No", "warfarin", "negated"),
        ("Confusion [ ] yes [x] no", "confusion", "negated"),
        ("livedo N / necrosis N / purpura N", "livedo_reticularis", "negated"),
        ("Warfarin N. Confusion N.", "confusion", "negated"),
        ("Her husband (recipient) had calciphylaxis and was on haemodialysis and warfarin", "warfarin", "family"),
        ("His wife has a venous leg ulcer and is on warfarin.", "warfarin", "family"),
        ("The patient in the next bay has calciphylaxis", "calciphylaxis", "family"),
        ("Wife RIP, scleroderma.", "systemic_sclerosis", "family"),
        ("Watch for signs of infection: fever, confusion, hypotension, spreading redness.", "confusion", "uncertain"),
        ("ALL OTHER MEDICATIONS STOPPED (calcitriol, calcium carbonate, sevelamer)", "sevelamer", "ended"),
        ("All other meds stopped: calcitriol, calcium carbonate", "calcium_carbonate", "ended"),
        ("Stop warfarin, apixaban continues. Stop calcium acetate, continue sevelamer.", "apixaban", "affirmed"),
        ("Stop warfarin, apixaban continues. Stop calcium acetate, continue sevelamer.", "sevelamer", "affirmed"),
        ("Plan: stop Ca acetate + alfacalcidol -> sevelamer", "sevelamer", "affirmed"),
        ("Plan: stop Ca acetate + alfacalcidol -> sevelamer", "alfacalcidol", "ended"),
        ("Warfarin tried in 2015 for the calcinosis - no benefit.", "warfarin", "ended"),
    ],
)
def test_notes_of_a_ward_say_who_has_what_and_what_ended(text: str, concept: str, expected: str) -> None:
    assert said(text, concept) == {expected}


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Inclusion criteria for cases: calciphylaxis, dialysis.", "calciphylaxis"),
        ("Inclusion criteria for cases: dialysis > 3 months, biopsy-proven calciphylaxis, painful necrotic ulcers.", "skin_necrosis"),
        ("Exclusion: pregnancy, scleroderma, calcium > 3.0 mmol/L", "systemic_sclerosis"),
        ('Report issued under wrong patient ("47M dialysis, calciphylaxis thighs") - corrected', "calciphylaxis"),
        ("Skin check (calciphylaxis bundle): thighs NAD", "calciphylaxis"),
        ("Calciphylaxis risk assessment: low.", "calciphylaxis"),
        ("Attended calciphylaxis study day.", "calciphylaxis"),
        ("Works on the scleroderma ward.", "systemic_sclerosis"),
        ("Minocycline discussed, pt not keen", "minocycline"),
        ("Ciclosporin as second line", "ciclosporin"),
        ("Warfarin allergy: rash.", "warfarin"),
    ],
)
def test_what_a_note_only_speaks_of_is_not_the_patients(text: str, concept: str) -> None:
    assert said(text, concept) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T 38.6 C, BP 84/50 mmHg, HR 124", {("body_temperature", 38.6, "°C"), ("systolic_blood_pressure", 84.0, "mmHg")}),
        ("Temperature 102.4 F", {("body_temperature", 102.4, "°F")}),
        ("systolic 75 mm Hg", {("systolic_blood_pressure", 75.0, "mmHg")}),
        ("BP target <130/80 mmHg; T score -2.5; Vitamin C 3 mg/dL", set()),
        ("Ca 3.74 mmol/L - EDTA contaminated sample", set()),
        ("Ca(adj) 3.74 mmol/L", {("calcium_albumin_corrected", 3.74, "mmol/L")}),
        ("Calcium, adjusted 3.74 mmol/L", {("calcium_albumin_corrected", 3.74, "mmol/L")}),
    ],
)
def test_values_of_the_bedside_are_read_with_their_unit(text: str, expected: set[tuple[str, float, str]]) -> None:
    assert {(each.concept, each.number, each.unit) for each in READER.read(text, Context.NOTE).values} == expected


def test_a_temperature_and_a_pressure_without_a_unit_are_counted_and_not_guessed() -> None:
    reading = READER.read("T 38.6, BP 84/50", Context.NOTE)
    assert (reading.values, reading.without_unit) == ((), 2)
