"""Findings as clinicians, radiologists and pathologists word them: phrases that were not read at first, and phrases that look like them."""

from __future__ import annotations

from functools import lru_cache

import pytest

from calcinosis.api import Readers, make_readers
from calcinosis.knowledge.model import Context

NOTE, CONDITION, IMAGING, HISTOLOGY = Context.NOTE, Context.CONDITION, Context.IMAGING, Context.HISTOLOGY


@lru_cache
def _readers() -> Readers:
    return make_readers()


def shown(text: str, context: Context) -> set[str]:
    """What ``text`` affirms, with all that this implies."""
    readers = _readers()
    affirmed = {mention.concept for mention in readers.text.read(text, context).mentions if mention.certainty == "affirmed"}
    return {above for key in affirmed for above in readers.knowledge.ancestors[key]}


FINDINGS = {
    (NOTE, "calcification"): [
        "calcium concretions beneath the skin of the elbows", "lime-like deposits in the skin of the hands", "intradermal calcium", "Ca deposits on fingers",
        "precipitation of calcium in the soft tissues of the hand", "mineralised plaques on the shins", "calcinotic plaques of the buttocks",
    ],
    (NOTE, "chalky_discharge"): [
        "expelled calcium fragments", "passes bits of white stone from the wound", "plaster-like material extruded from sinus", "granular calcified discharge",
        "discharge of a white, chalk-like substance", "extrudes yellow-white, cheese-like material",
    ],
    (NOTE, "hard_lesion"): ["bony hard swelling", "gritty subcutaneous nodules", "hard as stone", "hard, immobile nodule", "hard, ill-circumscribed nodule"],
    (NOTE, "mass"): ["hard painless mass of the ear"],
    (NOTE, "papule"): ["hard papules", "maculopapular lesions on the trunk", "papulonodular lesions"],
    (NOTE, "nodule"): ["knobbly lesions on the elbow"],
    (NOTE, "milia_like_papule"): ["multiple small, white, firm papules", "pearl-like papules on the scrotum"],
    (NOTE, "subcutaneous_nodule"): ["SC nodules", "lumps beneath the skin of the thighs", "subdermal nodules"],
    (NOTE, "indurated_plaque"): ["firm plaques", "sclerotic plaques", "hard plaque on the thigh"],
    (NOTE, "induration"): ["indurated area on the abdomen", "hardened area"],
    (NOTE, "periarticular_mass"): ["mass around the hip joint", "swellings around both elbows", "lump close to the hip joint"],
    (NOTE, "sinus_tract"): ["multiple non-healing sinuses", "fistulous tract"],
    (NOTE, "necrotic_ulcer"): [
        "ulcer with necrotic base", "ulcers covered with black eschar", "ulceronecrotic plaques", "ulcers topped by eschars", "necrotic, foul-smelling ulcers",
    ],
    (NOTE, "digital_ulcer"): ["ulcer at the tip of the index finger", "ulcerated fingertips", "ulcerations of the finger pulps"],
    (NOTE, "eschar"): ["thick black scab", "dark crust overlying", "blackish crust"],
    (NOTE, "skin_necrosis"): ["infarcted skin", "infarction of the overlying skin"],
    (NOTE, "livedo_reticularis"): ["lace-like violaceous pattern", "purplish reticulated pattern on the thighs", "livedoid purpura"],
    (NOTE, "haemorrhagic_bulla"): ["bloody bullae", "hemorrhagic bullous lesion"],
    (NOTE, "violaceous_firm_lesion"): ["violaceous, tender subcutaneous nodules"],
    (NOTE, "severe_pain"): ["intolerable pain", "pain 10/10", "pain requiring opioids", "very painful lesions"],
    (NOTE, "limited_range_of_motion"): ["limited ROM", "unable to fully extend the elbow", "extension deficit of the elbow", "elbow movements were limited"],
    (NOTE, "absent_pulses"): ["pulses not palpable", "dorsalis pedis pulses are not palpable", "no palpable pulses"],
    (NOTE, "sclerodactyly"): ["sclerosis of the fingers", "tight skin of the fingers"],
    (CONDITION, "calciphylaxis"): ["calcifying panniculitis of dialysis patient", "calcific uraemic arteriopathy", "uremic small-artery disease with medial calcification"],
    (CONDITION, "calcific_tendinopathy"): ["longus colli tendinitis with calcification", "Milwaukee shoulder"],
    (CONDITION, "heterotopic_ossification"): ["ectopic bone formation around the elbow", "Brooker grade III ossification"],
    (CONDITION, "myositis_ossificans"): ["traumatic myositis ossificans of quadriceps", "ossifying haematoma of the thigh"],
    (IMAGING, "imaging_calcification"): [
        "calcium-dense foci in the subcutis", "calcific flecks along the ulnar forearm", "tiny calcific specks in the pulp space",
        "hyperechogenic foci casting a dense shadow within the subcutis", "innumerable radio-opaque flecks in the thighs",
    ],
    (IMAGING, "sheet_like_calcification"): ["armour-like calcification of the trunk", "plate-like calcification encasing the torso", "armor-like sheets of calcium"],
    (IMAGING, "linear_calcification"): ["streaks of calcium along the forearm", "streaky calcification of the soft tissues"],
    (IMAGING, "fluid_calcium_level"): ["dependent layering of calcium in the loculated mass", "layering of milk of calcium within the cystic mass"],
    (IMAGING, "chondrocalcinosis"): ["calcification of the hyaline cartilage of the knee", "TFCC calcification"],
    (IMAGING, "soft_tissue_gas"): ["air in the subcutaneous tissue"],
    (HISTOLOGY, "histology_vessel_calcification"): [
        "calcification of subcutaneous capillaries", "luminal narrowing by mural calcium", "luminal occlusion by calcium thrombi", "vessel calcium deposits",
    ],
    (HISTOLOGY, "histology_calcium_deposit"): ["granular basophilic mineral", "VK+ deposits", "deep purple deposits on H&E"],
    (HISTOLOGY, "histology_intimal_proliferation"): ["subintimal fibrosis", "fibrointimal proliferation", "obliterative intimal fibroplasia"],
    (HISTOLOGY, "histology_extravascular_calcium_only"): ["calcium deposits without involvement of blood vessels", "extravascular calcification only"],
    (HISTOLOGY, "histology_calciphylaxis"): ["histologically confirmed CUA"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "context", "key"), [(text, context, key) for (context, key), texts in FINDINGS.items() for text in texts]
)
def test_the_words_of_a_finding_are_read(text: str, context: Context, key: str) -> None:
    assert key in shown(text, context)


LOOK_ALIKES = {
    (NOTE, "chalky_discharge"): [
        "calcium was normal at discharge", "patient was discharged on calcium and vitamin D", "cheesy white vaginal discharge", "chalky white teeth",
        "chalky stools", "white paste dressing applied", "passed a calcium stone", "white cells and granular casts in the urine", "milky discharge from the nipple",
    ],
    (NOTE, "calcification"): ["calcium normal, nodule on the arm", "nodule and serum calcium normal", "stone composed of calcium oxalate", "bone mineral density low"],
    (NOTE, "milia_like_papule"): ["white woman with multiple papules"],
    (NOTE, "hard_lesion"): ["hard stools and lump in breast", "hard exudates on fundoscopy"],
    (NOTE, "periarticular_mass"): ["muscle mass around the hip reduced", "swelling of the joint"],
    (NOTE, "necrotic_ulcer"): [
        "tumour necrosis factor inhibitor for ulcerative colitis", "Black woman with leg ulcers", "necrotic lymph node and duodenal ulcer", "no necrotic ulcers",
    ],
    (NOTE, "digital_ulcer"): ["oral ulcers and puffy fingers", "mouth ulcers and finger swelling", "ulcer of the leg and Raynaud of the fingers"],
    (NOTE, "eschar"): ["escharotomy after burns", "black woman with crusts on the scalp"],
    (NOTE, "palpable_purpura"): ["purpura with palpable pulses"],
    (NOTE, "sclerodactyly"): ["systemic sclerosis with finger ulcers"],
    (NOTE, "systemic_sclerosis"): ["scleroderma-like skin changes"],
    (NOTE, "local_infection"): ["urinary tract infection and leg ulcer"],
    (NOTE, "severe_pain"): ["severe skin thickening and pain", "no severe pain"],
    (NOTE, "pain"): ["painless", "painter by profession"],
    (NOTE, "limited_range_of_motion"): ["limited systemic sclerosis", "full range of motion", "range of motion not limited"],
    (NOTE, "palpable_pulses"): ["pulses not palpable", "no palpable pulses"],
    (NOTE, "histology_vessel_calcification"): ["dilated nailfold capillaries and calcinosis"],
    (NOTE, "imaging_vascular_calcification"): ["calcium channel blocker for pulmonary arterial hypertension"],
    (NOTE, "calciphylaxis"): ["calciphylaxis remains a possibility", "calcifying lupus panniculitis"],
    (NOTE, "histology_bone"): ["bone marrow aspiration"],
    (CONDITION, "calcific_periarthritis"): ["Calcified mass of the subacromial bursa"],
    (IMAGING, "imaging_calcification"): ["bone mineral density of the lumbar spine is low", "plate-like atelectasis", "laryngeal cartilage calcification"],
    (IMAGING, "intratendinous_calcification"): ["subcutaneous calcification over the ischial tuberosity"],
    (HISTOLOGY, "histology_calcium_deposit"): [
        "amorphous eosinophilic material", "Congo red positive amorphous deposits", "amorphous mucinous material Alcian blue positive", "von Kossa negative granular deposits",
    ],
    (HISTOLOGY, "histology_extravascular_calcium_only"): ["calcified vessels with extravascular calcium", "extravascular calcification is also seen"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "context", "key"), [(text, context, key) for (context, key), texts in LOOK_ALIKES.items() for text in texts]
)
def test_what_looks_like_a_finding_is_not_read_as_one(text: str, context: Context, key: str) -> None:
    assert key not in shown(text, context)
