"""Words of records that were read wrongly or not at all, with the words that look like them and mean something else."""

from __future__ import annotations

import pytest
from small_records import _readers, ask, code, says, status

from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.model import Context

CONDITION, NOTE, IMAGING, HISTOLOGY = Context.CONDITION, Context.NOTE, Context.IMAGING, Context.HISTOLOGY


def read(text: str, context: Context = NOTE) -> dict[str, str]:
    return {mention.concept: mention.certainty for mention in _readers().text.read(text, context).mentions}


BLACK = {"skin_necrosis", "necrotic_ulcer", "eschar", "gangrene"}


@pytest.mark.parametrize(
    "text",
    [
        "Painful black ulcers of the shins", "ulcers with black base", "Blackened fingertips, severe pain", "Penile pain and blackening of prepuce",
        "Non-healing lesion left calf, black centre", "Blistering then black skin of shins", "black discoloration of the toes",
        "blackish discolouration of both feet", "ulcers are black", "black, non-healing ulcers of the thighs", "both big toes are black",
    ],
)  # fmt: skip
def test_skin_that_turned_black_is_necrosis(text: str) -> None:
    found = read(text, CONDITION)
    assert BLACK & found.keys()
    assert "violaceous_lesion" not in found


@pytest.mark.parametrize(
    "text",
    [
        "black stools", "black patient with ulcers", "Black woman with painful leg ulcers", "blackout", "drinks black tea", "black toenail", "black nodule of heel",
        "duodenal ulcer with black base", "black discoloration of teeth", "blackened nails", "vision went black", "black stools, painful ulcers",
        "stool turned black", "toenail turned black", "everything went black",
    ],
)  # fmt: skip
def test_other_black_things_are_no_necrosis(text: str) -> None:
    assert not BLACK & read(text).keys()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Mottled, cold, painful skin over both thighs", "livedo_reticularis"), ("marbled skin", "livedo_reticularis"),
        ("firm purple plaques of thighs, agonising", "severe_pain"), ("agonizing plaques", "severe_pain"), ("Calves too sore to touch", "severe_pain"),
        ("purple buttocks, can't bear clothing on it", "severe_pain"), ("pain on light touch", "severe_pain"),
        ("Skin breakdown of both breasts", "skin_ulcer"), ("Purpuric rash with skin sloughing", "skin_ulcer"),
        ("hard skin of both thighs", "induration"), ("rubbery-hard calves", "induration"), ("Calves feel like wood", "induration"),
        ("Calcifying panniculitis of thighs", "subcutaneous_calcification"),
        ("discharging nodule", "sinus_tract"), ("draining lesion of elbow", "sinus_tract"),
    ],
)  # fmt: skip
def test_words_of_lesions_and_pain(text: str, key: str) -> None:
    lineage = _readers().text._lineage
    assert any(key in lineage[found] and how == "affirmed" for found, how in read(text).items())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("mottled calcification", "livedo_reticularis"), ("hard skin on the soles", "induration"), ("discharged home with nodules", "discharging_nodule"),
        ("skin breakdown prevention", "skin_ulcer"),
    ],
)  # fmt: skip
def test_words_that_look_like_them(text: str, key: str) -> None:
    assert key not in read(text)


def test_a_discharging_nodule_stays_a_nodule() -> None:
    assert "nodule" in _readers().text._lineage["discharging_nodule"]


@pytest.mark.parametrize(
    ("text", "certainty"),
    [
        ("biopsy neg for calciphylaxis", "negated"), ("Doubt calciphylaxis", "uncertain"), ("doubtful calciphylaxis", "uncertain"),
        ("workup for calciphylaxis", "uncertain"), ("calciphylaxis work-up pending", "uncertain"), ("worked up for calciphylaxis", "uncertain"),
        ("calciphylaxis remains on the differential", "uncertain"), ("calciphylaxis is high on our differential", "uncertain"),
        ("calciphylaxis has not been ruled out", "uncertain"), ("Calciphylaxis has not yet been excluded.", "uncertain"),
        ("calciphylaxis needs to be excluded", "uncertain"), ("cannot confidently exclude calciphylaxis", "uncertain"),
        ("biopsy negative for calciphylaxis; clinical suspicion remains high", "uncertain"),
        ("Biopsy negative for calciphylaxis x2. Clinical suspicion remains high.", "uncertain"),
        ("information leaflet on calciphylaxis given", None), ("calciphylaxis prophylaxis", None), ("prophylaxis of calciphylaxis", None),
        ("no longer has calciphylaxis", "negated"), ("Wife has calciphylaxis", "family"), ("husband with calciphylaxis", "family"),
        ("partner has calciphylaxis", "family"), ("Wife: calciphylaxis", "family"),
        ("husband noticed calciphylaxis", "affirmed"), ("Lives with his wife, has calciphylaxis", "affirmed"),
        ("calciphylaxis without doubt", "affirmed"), ("calciphylaxis on PJP prophylaxis", "affirmed"),
        ("biopsy negative for calciphylaxis; suspicion was low", "negated"),
    ],
)  # fmt: skip
def test_doubt_denial_and_other_people(text: str, certainty: str | None) -> None:
    assert read(text).get("calciphylaxis") == certainty


def test_a_report_that_cannot_exclude_leaves_it_open() -> None:
    assert read("Cannot exclude calciphylaxis", HISTOLOGY) == {"histology_calciphylaxis": "uncertain"}


@pytest.mark.parametrize(
    ("text", "key", "certainty"),
    [
        ("No ulcers on the legs; clinical suspicion remains high", "skin_ulcer", "negated"),  # only a disease is suspected
        ("No vasculitis; clinical suspicion remains high for calciphylaxis", "vasculitis", "negated"),
        ("dermatomyositis on pneumocystis prophylaxis", "dermatomyositis", "affirmed"),
        ("leaflet about calcinosis, ulcers dressed", "skin_ulcer", "affirmed"),
        ("ulcers of doubtful significance", "skin_ulcer", "affirmed"),
        ("husband has noticed painful ulcers", "skin_ulcer", "affirmed"),
        ("husband helps with haemodialysis", "haemodialysis", "affirmed"),
        ("Violaceous patch, pain free", "pain", "negated"), ("Violaceous patch, pain-free", "pain", "negated"),
        ("swelling with free fluid", "swelling", "affirmed"),
        ("ulcers no longer present", "skin_ulcer", "negated"),
        ("Admitted for workup of painful ulcers", "skin_ulcer", "affirmed"), ("ulcers, work-up pending", "skin_ulcer", "affirmed"),
        ("workup for leg ulcers", "skin_ulcer", "affirmed"), ("heparin prophylaxis", "heparin", "affirmed"),
        ("Pt doubts benefit of dialysis", "dialysis", "affirmed"), ("In the differential are vasculitis, calciphylaxis and lupus", "calciphylaxis", "uncertain"),
        ("SSc registry patient", "systemic_sclerosis", "affirmed"), ("husband on call, ulcers dressed", "skin_ulcer", "affirmed"),
    ],
)  # fmt: skip
def test_cues_reach_no_further_than_they_mean(text: str, key: str, certainty: str) -> None:
    assert read(text)[key] == certainty


def test_painless_affirms_no_pain() -> None:
    assert "pain" not in read("Violaceous patch, painless")


@pytest.mark.parametrize(
    "text",
    ["heating pad", "ulcers of finger pads", "heel pad pain", "fat pad", "foot pad", "calcinosis of the toe pads", "Soft tissue calcification in the pad of the thumb"],
)  # fmt: skip
def test_a_pad_is_no_arterial_disease(text: str) -> None:
    assert "peripheral_arterial_disease" not in read(text)


@pytest.mark.parametrize("text", ["PAD", "PAD, uses a heating pad", "diabetic PAD", "diabetic foot PAD", "PAD with gangrene of toes"])
def test_pad_is_still_arterial_disease(text: str) -> None:
    lineage = _readers().text._lineage
    assert any("peripheral_arterial_disease" in lineage[found] and how == "affirmed" for found, how in read(text).items())


@pytest.mark.parametrize(
    "text",
    [
        "Fat necrosis of breast", "Subcutaneous fat necrosis of newborn after cooling", "necrotic tooth pulp", "gangrene of gallbladder", "gangrenous appendix",
        "gangrenous cholecystitis", "gangrenous bowel", "gangrene of the bowel", "Bilateral inguinal hernia, with gangrene",
        "Acute appendicitis with localized peritonitis and gangrene", "necrotic umbilical stump", "necrotic lymph node",
    ],
)  # fmt: skip
def test_dead_tissue_elsewhere_is_no_skin_necrosis(text: str) -> None:
    found = read(text, CONDITION)
    assert "word_of_lesion_elsewhere" in found
    assert not BLACK & found.keys()


@pytest.mark.parametrize(
    "text", ["fat necrosis with skin necrosis", "gangrene of foot after bowel surgery", "finger pulp necrosis", "pulp necrosis of the finger", "Fournier gangrene of scrotum"]
)
def test_dead_skin_beside_such_words_is_still_read(text: str) -> None:
    assert BLACK & read(text, CONDITION).keys() or "fournier_gangrene" in read(text, CONDITION)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("SSc-ILD", {"systemic_sclerosis", "interstitial_lung_disease_ctd"}), ("SSc-PAH", {"systemic_sclerosis", "pulmonary_hypertension_ctd"}),
        ("myositis-associated ILD", {"inflammatory_myopathy"}), ("Parry-Romberg", {"morphea"}), ("juvenile dermato-myositis", {"dermatomyositis_juvenile"}),
        ("Secondary Sjögren's, RA", {"sjogren_syndrome", "rheumatoid_arthritis"}), ("RA with secondary Sjögren's", {"sjogren_syndrome", "rheumatoid_arthritis"}),
        ("Dermatopolymyositis", {"inflammatory_myopathy"}),
    ],
)  # fmt: skip
def test_diseases_named_in_part(text: str, keys: set[str]) -> None:
    lineage = _readers().text._lineage
    assert keys <= {above for found in read(text, CONDITION) for above in lineage[found]}


def test_ra_alone_is_not_read() -> None:
    assert "rheumatoid_arthritis" not in read("SpO2 97% RA")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("phosphate (KPhos) infusion extravasated", "phosphate_infusion"), ("phosphate (KPhos) infusion extravasated", "extravasation"),
        ("calcium gluconate infusion extravasated", "calcium_extravasation"), ("IgA deficiency with anti-IgA antibodies", "anti_iga_positive"),
        ("IgA deficiency with anti-IgA antibodies", "iga_deficiency"),
    ],
)  # fmt: skip
def test_exposures_and_antibodies(text: str, key: str) -> None:
    assert read(text, CONDITION)[key] == "affirmed"


@pytest.mark.parametrize(
    ("text", "key"),
    [("K-Phos neutral tablets", "phosphate_infusion"), ("anti-IgA antibodies negative", "anti_iga_positive"), ("extravasated contrast", "extravasation")],
)  # fmt: skip
def test_oral_phosphate_and_absent_antibodies_are_not(text: str, key: str) -> None:
    assert key not in read(text)


@pytest.mark.parametrize(
    "text",
    [
        "Medial calcification of subcutaneous arterioles with intimal fibroplasia", "medial calcification of arterioles",
        "Intimal hyperplasia and medial calcification of small arteries",
    ],
)  # fmt: skip
def test_medial_calcification_on_a_section_is_of_small_vessels(text: str) -> None:
    found = read(text, HISTOLOGY)
    assert "histology_vessel_calcification" in found
    assert "tram_track_calcification" not in found


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("Small-vessel calcification of the thigh", True), ("calcified small arteries", True), ("Calcification of the femoral artery", False),
        ("Small pleural effusion with calcified vessel walls", False), ("Medial calcification of the arteries", False),
    ],
)  # fmt: skip
def test_small_vessels_on_a_film_are_kept_apart_from_arteries(text: str, small: bool) -> None:
    found = read(text, IMAGING)
    assert ("netlike_calcification" in found, "imaging_vascular_calcification" in found) == (small, not small)


def test_medial_calcification_on_a_film_is_still_a_tram_line() -> None:
    lineage = _readers().text._lineage
    assert any("tram_track_calcification" in lineage[found] for found in read("Medial calcification of the arteries", IMAGING))


def test_black_ulcers_on_dialysis_raise_calciphylaxis() -> None:
    on_dialysis = code("ICD10CM", "N18.6"), code("ICD10CM", "Z99.2")
    assert status(ask(*on_dialysis, says("Painful black ulcers of the shins")), "calciphylaxis") in (Status.POSSIBLE, Status.PROBABLE)
    assert status(ask(*on_dialysis, says("black stools")), "calciphylaxis") not in (Status.POSSIBLE, Status.PROBABLE)


@pytest.mark.parametrize(
    ("text", "zonal"),
    [
        ("Lesion calcified at its periphery and not in the centre.", True), ("Mass with peripheral calcification sparing the centre", True),
        ("calcification at the rim, no central calcification", True), ("Peripheral calcification. No mass in the centre of the pelvis", False),
        ("central calcification, none at the periphery", False),
    ],
)  # fmt: skip
def test_mineral_at_the_edge_and_not_in_the_centre_is_zonal(text: str, *, zonal: bool) -> None:
    assert (read(text, IMAGING).get("zonal_ossification") == "affirmed") is zonal


@pytest.mark.parametrize(
    ("text", "key", "certainty"),
    [
        ("wife on dialysis", "dialysis_dependence", "family"), ("His wife is on dialysis", "dialysis_dependence", "family"),
        ("wife: on dialysis", "dialysis_dependence", "family"), ("husband on warfarin", "warfarin", "family"),
        ("husband takes warfarin", "warfarin", "family"), ("mother with lupus", "lupus_erythematosus", "family"),
        ("wife on dialysis and warfarin", "warfarin", "family"),
        ("Wife on dialysis, painful ulcers of his thighs", "skin_ulcer", "affirmed"),  # the rest is the patient's
        ("wife has diabetes, ulcers of both legs", "skin_ulcer", "affirmed"), ("wife on warfarin and has painful ulcers", "skin_ulcer", "affirmed"),
        ("Lives with wife, on dialysis", "dialysis_dependence", "affirmed"), ("brought in by husband on dialysis day", "dialysis_dependence", "affirmed"),
        ("husband on the ward, ulcers dressed", "skin_ulcer", "affirmed"),
        ("partner on dialysis helps with his painful necrotic ulcers", "necrotic_ulcer", "affirmed"),
    ],
)  # fmt: skip
def test_what_somebody_at_home_has_is_not_the_patients(text: str, key: str, certainty: str) -> None:
    assert read(text)[key] == certainty


@pytest.mark.parametrize(
    "text",
    ["no longer painful", "lesions no longer painful or tender", "pain has resolved", "pain has now completely resolved", "pain subsided", "pain is gone",
     "tenderness has settled", "pain free", "pain-free", "painfree"],
)  # fmt: skip
def test_pain_that_is_over_is_not_affirmed(text: str) -> None:
    assert "affirmed" not in {read(text).get(key) for key in ("pain", "severe_pain", "tenderness")}


@pytest.mark.parametrize(
    "text",
    ["pain has not resolved", "pain has not yet settled", "pain never resolved", "pain unresolved", "continue opioids until pain has resolved",
     "no resolution of pain", "painful ulcers; pain has resolved since dialysis", "pain has improved", "pain resolved after morphine",
     "intermittent pain settled with paracetamol", "pain has resolved but recurred", "pain resolved on dependency"],
)  # fmt: skip
def test_pain_that_is_not_over_stays(text: str) -> None:
    assert read(text).get("pain") == "affirmed"


@pytest.mark.parametrize("context", [NOTE, CONDITION, IMAGING])
@pytest.mark.parametrize(
    "text",
    ["workup for leg ulcers: calciphylaxis?", "In the differential, calciphylaxis", "Differential, calciphylaxis", "In the differential diagnosis, vasculitis, calciphylaxis and lupus",
     "differential diagnosis includes calciphylaxis", "biopsy to rule out calciphylaxis", "evaluation for calciphylaxis"],
)  # fmt: skip
def test_what_is_only_thought_of_is_suspected(text: str, context: Context) -> None:
    assert read(text, context)["calciphylaxis"] == "uncertain"


def test_the_ulcers_that_are_worked_up_are_there() -> None:
    assert read("workup for leg ulcers: calciphylaxis?")["skin_ulcer"] == "affirmed"
    assert read("ulcers, calciphylaxis?")["skin_ulcer"] == "affirmed"


@pytest.mark.parametrize(
    "text",
    ["radiation necrosis of the brain", "cerebral radiation necrosis", "brain metastases with radiation necrosis", "avascular necrosis of the femoral head",
     "papillary necrosis", "renal papillary necrosis", "pulp necrosis", "dental pulp necrosis", "caseating necrosis", "cortical necrosis of the kidney"],
)  # fmt: skip
def test_necrosis_of_organs_is_none_of_the_skin_nor_of_a_biopsy(text: str) -> None:
    lineage = _readers().text._lineage
    shown = {key for found, how in read(text).items() if how == "affirmed" for key in lineage[found]}
    assert not shown & {"skin_necrosis", "skin_lesion", "histology_ischaemic_necrosis"}


@pytest.mark.parametrize(("text", "key"), [("avascular necrosis of the hip; skin necrosis of the thigh", "skin_necrosis"), ("biopsy: fat necrosis", "histology_ischaemic_necrosis"),
                                           ("digital pulp necrosis", "skin_necrosis"), ("radiation necrosis of the skin", "radiation_ulcer")])  # fmt: skip
def test_necrosis_of_the_skin_is_read_beside_it(text: str, key: str) -> None:
    assert read(text)[key] == "affirmed"


ORGANS = [
    "breast calcifications", "mammographic parenchymal calcification", "parenchymal calcification of the breast", "psoas calcification",
    "calcification of the psoas muscle", "psoas muscle calcification", "vascular calcification", "prostatic calcifications", "pancreatic calcification",
    "calcification of the pancreas", "renal calcification", "valvular calcification", "mitral annular calcification", "pericardial calcification",
]  # fmt: skip


@pytest.mark.parametrize("context", [IMAGING, CONDITION, NOTE])
@pytest.mark.parametrize("text", ORGANS)
def test_calcification_of_an_organ_is_none_of_skin_or_soft_tissue(text: str, context: Context) -> None:
    lineage = _readers().text._lineage
    assert not any("calcification" in lineage[found] for found in read(text, context))


@pytest.mark.parametrize("context", [IMAGING, CONDITION, NOTE])
@pytest.mark.parametrize(
    "text",
    ["skin calcification of the breast", "subcutaneous calcifications of both breasts", "soft tissue calcification of the breast",
     "calcification in the skin of the breast", "scattered subcutaneous calcifications in the breast", "soft tissue calcification of the psoas"],
)  # fmt: skip
def test_calcification_of_the_skin_over_an_organ_is(text: str, context: Context) -> None:
    lineage = _readers().text._lineage
    assert any("calcification" in lineage[found] for found, how in read(text, context).items() if how == "affirmed")


@pytest.mark.parametrize(
    ("text", "context", "key"),
    [
        ("Episodes of pain, pallor-cyanosis and redness", CONDITION, "raynaud_phenomenon"), ("Hardening of the skin", CONDITION, "skin_thickening"),
        ("Spotty radiopaque areas in the scar", IMAGING, "imaging_calcification"), ("increase in volume of both elbows", CONDITION, "swelling"),
        ("calcific tumours", CONDITION, "calcification"), ("atrophic pearly-white scars", CONDITION, "scar"),
    ],
)  # fmt: skip
def test_words_of_translated_records(text: str, context: Context, key: str) -> None:
    assert read(text, context).get(key) == "affirmed"


@pytest.mark.parametrize("text", ["pale skin, blue sclerae, red eyes", "white blood cells, red blood cells and blue staining"])
def test_three_colours_are_not_yet_raynaud(text: str) -> None:
    assert "raynaud_phenomenon" not in read(text, CONDITION)


@pytest.mark.parametrize(
    ("text", "ulcer"),
    [("Non-healing tissue loss", "affirmed"), ("minor tissue loss of the toes", "affirmed"), ("no tissue loss", "negated"), ("loss of substance", "affirmed"),
     ("periodontal tissue loss", None), ("breast tissue loss after radiotherapy", None)],
)  # fmt: skip
def test_loss_of_tissue_is_an_ulcer_of_the_skin_unless_it_is_of_something_else(text: str, ulcer: str | None) -> None:
    assert read(text, CONDITION).get("skin_ulcer") == ulcer
