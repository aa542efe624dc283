"""Words of reports that a radiologist and a pathologist would not have misread, and look-alikes that must still be read."""

from __future__ import annotations

import base64

import pytest

from calcinosis.api import assess, make_readers
from calcinosis.knowledge.model import Context

READERS = make_readers()
READER = READERS.text
CONCEPTS = READERS.knowledge.concepts
CODES = {Context.IMAGING: "18748-4", Context.HISTOLOGY: "11526-1"}


def lineage(key: str) -> set[str]:
    return {key}.union(*(lineage(parent) for parent in CONCEPTS[key].parents))


def shown(text: str, context: Context = Context.IMAGING) -> set[str]:
    """What a report affirms, with all that it shows."""
    found = READER.read(text, context).mentions
    return set().union(*(lineage(mention.concept) for mention in found if mention.certainty == "affirmed"))


def certainty(text: str, concept: str, context: Context = Context.IMAGING) -> set[str]:
    return {mention.certainty for mention in READER.read(text, context).mentions if mention.concept == concept}


def mimics(report: str, context: Context, birth: str = "1960-01-01") -> dict[str, str]:
    """Which mimics are possible at least, for a patient of whom one report is all that is known."""
    attached = {"contentType": "text/plain", "data": base64.b64encode(report.encode()).decode()}
    code = {"coding": [{"system": "http://loinc.org", "code": CODES[context]}]}
    category = [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD" if context == Context.IMAGING else "SP"}]}
    ]
    document = {
        "resourceType": "DiagnosticReport", "id": "r", "status": "final", "subject": {"reference": "Patient/p"}, "category": category,
        "code": code, "effectiveDateTime": "2024-06-01", "presentedForm": [attached],
    }  # fmt: skip
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": birth}
    found = assess([patient, document], readers=READERS).mimics
    return {each.mimic: str(each.status) for each in found if str(each.status) in ("possible", "probable", "confirmed")}


# --- vessels, valves and inner organs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [Context.IMAGING, Context.NOTE])
@pytest.mark.parametrize(
    "text",
    [
        "Extensive cardiovascular calcification.", "Mitral annular calcification.", "Severe coronary, aortic and mitral annular calcification.",
        "LAD calcification.", "RCA calcification.", "LCx calcification.", "Calcified SFA.", "Tramline calcification of both SFA.",
        "Tracheobronchial calcification.", "Ligamentum flavum calcification.", "Calcification of the posterior longitudinal ligament of the cervical spine.",
        "Calcified stylohyoid ligament.", "Calcified hepatic cyst.", "Hepatic cyst with rim calcification.", "Calcification in the thyroid.",
        "Prostatic calcification.", "Seminal vesicle calcification.", "Calcified vasa deferentia.", "Calcified spleen.",
        "Calcification in the left adrenal gland.", "Calcification throughout the pancreas.", "Gallbladder wall calcification.",
        "Calcification in the left kidney.", "Pineal calcification.", "Calcification of the choroid plexus.", "Falx calcification.",
        "Tentorial calcification.", "Lens calcification.", "Calcified drusen.", "Calcified intervertebral discs of the lumbar spine.",
        "Calcified loose body in the knee joint.", "Calcified uterine fibroids.", "Benign breast microcalcifications.",
        "L breast: scattered benign coarse popcorn calcification (involuting fibroadenoma), arterial calcification and a rim-calcified oil cyst.",
        "Rounded popcorn calcification 6 cm in the pelvis in keeping with calcified uterine fibroids.",
    ],
)  # fmt: skip
def test_mineral_of_vessels_and_inner_organs_is_none_of_the_soft_tissue(text: str, context: Context) -> None:
    assert not {"calcification", "popcorn_calcification", "skin_lesion"} & shown(text, context)


@pytest.mark.parametrize(
    "text",
    [
        "Calcification of the skin of the breast.", "Subcutaneous calcification of the left breast.",
        "Dystrophic calcification in the subcutis of the right breast.", "Calcified oil cyst in the subcutaneous fat of the thigh.",
        "Popcorn calcification of the buttock.", "Calcification around the hip joint.", "Periarticular calcification of the shoulder.",
        "Calcification adjacent to the greater trochanter.", "Calcification in the subcutaneous tissue over the left kidney.",
        "Calcified splenic artery. Calcified mass of the thigh.", "Paraspinal calcification of the cervical spine.",
        "Plaque-like calcification in the subcutaneous tissue of the thigh.", "Reticular subcutaneous calcification.",
    ],
)  # fmt: skip
def test_mineral_of_skin_and_soft_tissue_is_read(text: str) -> None:
    assert "calcification" in shown(text)


def test_mineral_in_a_tendon_keeps_its_own_name() -> None:
    assert "intratendinous_calcification" in shown("Calcification in the supraspinatus tendon.")


@pytest.mark.parametrize(
    "text", ["Enthesopathic calcification quadriceps insertion.", "Calcified enthesophytes of the Achilles insertion."]
)
def test_a_spur_at_an_insertion_is_no_deposit_in_a_tendon(text: str) -> None:
    assert not {"intratendinous_calcification", "calcification"} & shown(text)


# --- names and appearances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("Primary synovial (osteo)chondromatosis.", "synovial_chondromatosis"),
        ("Extraskeletal (osteo)sarcoma.", "soft_tissue_sarcoma"),
        ("Fibro-osseous pseudotumour of digit.", "heterotopic_ossification"),
        ("Suprapatellar distension by innumerable nodules of similar size 4-9 mm.", "loose_bodies"),
        ("Joint with innumerable nodules of similar size with ring-and-arc calcification.", "loose_bodies"),
        ("Calcified loose bodies of the knee.", "loose_bodies"),
    ],
)
def test_names_and_appearances_that_reports_use_are_read(text: str, concept: str) -> None:
    assert concept in shown(text)


def test_a_fibro_osseous_pseudotumour_is_no_osteoma_of_the_skin() -> None:
    found = mimics(
        "CLINICAL: Swelling of the ring finger\nMICRO: Proliferating fibroblasts without atypia in myxoid stroma, with trabeculae of woven bone. "
        "USP6 rearrangement detected.",
        Context.HISTOLOGY,
    )
    assert "osteoma_cutis" not in found
    assert found["heterotopic_ossification"] == "possible"


def test_bone_in_a_nodule_of_the_skin_is_still_an_osteoma() -> None:
    assert (
        mimics("CLINICAL: hard papule of the cheek\nMICRO: lamellar bone in the dermis.", Context.HISTOLOGY)["osteoma_cutis"] == "confirmed"
    )


def test_bone_in_a_pilomatricoma_is_that_of_the_pilomatricoma() -> None:
    found = mimics(
        "CLIN: 10F hard nodule R cheek\nMACRO: Firm nodule 13mm, chalky\nMICRO: extensive calcification and focal ossification.\nDX: Pilomatricoma, completely excised.",
        Context.HISTOLOGY,
        birth="2014-01-01",
    )
    assert "pilomatricoma" in found
    assert not {"osteoma_cutis", "progressive_osseous_heteroplasia"} & set(found)


# --- what a pathologist's word does not say -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Elastic van Gieson - perieccrine calcification also noted.", "Calcium encrusting collagen and elastic fibres.",
        "Verhoeff elastic stain and von Kossa: calcium in the dermis.",
    ],
)  # fmt: skip
def test_a_stain_or_collagen_beside_them_makes_no_calcified_elastic_fibres(text: str) -> None:
    assert "histology_elastic_fibre_calcium" not in shown(text, Context.HISTOLOGY)


@pytest.mark.parametrize(
    "text",
    [
        "Fragmented, calcified elastic fibres in the mid-dermis.", "EVG: fragmented, swollen elastic fibres with calcium.", "Calcification of elastic fibres.",
        "Clumped elastic fibres in the reticular dermis.", "Elastic van Gieson stain: clumped and fragmented elastic fibres in the mid dermis.",
    ],
)  # fmt: skip
def test_broken_clumped_or_calcified_elastic_fibres_are_read(text: str) -> None:
    assert "histology_elastic_fibre_calcium" in shown(text, Context.HISTOLOGY)


@pytest.mark.parametrize(
    "text",
    [
        "Chalky cut surface.", "Cut surface chalky white, gritty.", "MACRO: Firm nodule 13mm, chalky", "25 mm chalky white tissue.",
        "Verrucous epidermis with transepidermal elimination.",
    ],
)  # fmt: skip
def test_the_look_of_a_specimen_is_no_discharge(text: str) -> None:
    assert "chalky_discharge" not in shown(text, Context.HISTOLOGY)


@pytest.mark.parametrize(
    "text", ["Chalky discharge from the nodule.", "Chalky nodule of the finger.", "Transepidermal elimination of calcium."]
)
def test_what_a_lesion_lets_out_is_read(text: str) -> None:
    assert "chalky_discharge" in shown(text, Context.NOTE)


# --- what a radiologist's word does not say -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["Juxta-articular punched-out erosions with sclerotic margins and overhanging edges.", "Bone erosion with an overhanging margin."],
)
@pytest.mark.parametrize("context", [Context.IMAGING, Context.NOTE])
def test_an_erosion_of_bone_is_no_undermined_ulcer(text: str, context: Context) -> None:
    assert "skin_ulcer" not in shown(text, context)
    assert "overhanging_edge_erosion" in shown(text, context)


def test_an_ulcer_with_an_overhanging_edge_is_undermined() -> None:
    assert "undermined_ulcer_border" in shown("Ulcer with an overhanging violaceous edge.", Context.NOTE)


@pytest.mark.parametrize(
    "text",
    ["Subcutaneous stranding with overlying skin thickening.", "Skin thickening and oedema of the thigh.", "Diffuse skin thickening."],
)
def test_thick_skin_on_a_scan_is_no_sign_of_scleroderma(text: str) -> None:
    assert "skin_thickening" not in shown(text)


def test_thick_skin_of_a_letter_is_read_unless_it_lies_over_a_lesion() -> None:
    assert "skin_thickening" in shown("Skin thickening of the forearms.", Context.NOTE)
    assert "skin_thickening" not in shown("CT showed stranding with overlying skin thickening.", Context.NOTE)


@pytest.mark.parametrize(
    "text",
    [
        "Aorto-iliac calcified plaque.", "Calcified plaque of the carotid.", "Calcified plaque at the carotid bifurcation.",
        "Plaque-like calcification in the soft tissues of the forearm.", "Plaque-like and reticular calcifications.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("context", [Context.IMAGING, Context.NOTE])
def test_a_plaque_of_an_artery_and_the_shape_of_a_shadow_are_no_plaque_of_the_skin(text: str, context: Context) -> None:
    assert "plaque" not in shown(text, context)


@pytest.mark.parametrize(
    "text",
    ["Calcified plaque on the shin.", "Plaque-like induration of the calf.", "Vascular surgery review: calcified plaque over the shin."],
)
def test_a_plaque_of_the_skin_is_read(text: str) -> None:
    assert "plaque" in shown(text, Context.NOTE)


@pytest.mark.parametrize(
    "text",
    [
        "Multiple pelvic phleboliths, of no significance.", "Incidental phleboliths / nodal calcification, nil significance.",
        "Phleboliths in the pelvis.", "Phleboliths of no significance.",
    ],
)  # fmt: skip
def test_vein_stones_of_the_pelvis_are_no_malformation(text: str) -> None:
    assert "phlebolith" not in shown(text)


@pytest.mark.parametrize("text", ["Several phleboliths in the forearm.", "Phleboliths in the pelvic wall haemangioma."])
def test_vein_stones_of_a_limb_or_a_malformation_are_read(text: str) -> None:
    assert "phlebolith" in shown(text)


@pytest.mark.parametrize("context", [Context.IMAGING, Context.NOTE])
def test_a_net_of_mineral_is_no_livedo(context: Context) -> None:
    found = shown("Reticular calcification of the thigh with overlying erythema.", context)
    assert "livedo_reticularis" not in found
    assert "linear_calcification" in found


@pytest.mark.parametrize(
    "text", ["Reticular purple pattern on the thighs.", "Reticular erythema.", "Reticulate purple discoloration beside calcified nodules."]
)
def test_a_net_of_colour_is_a_livedo(text: str) -> None:
    assert "livedo_reticularis" in shown(text, Context.NOTE)


# --- sarcoma ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Sarcoma cannot be excluded.",
        "Cannot exclude sarcoma.",
        "? sarcoma",
        "Mineralised mass. Ddx: synovial sarcoma, myositis ossificans.",
    ],
)
def test_a_sarcoma_that_is_not_excluded_is_suspected(text: str) -> None:
    assert certainty(text, "soft_tissue_sarcoma") == {"uncertain"}


@pytest.mark.parametrize("text", ["No features of sarcoma.", "Sarcoma no longer a consideration.", "No evidence of sarcoma."])
def test_a_sarcoma_that_is_denied_is_denied(text: str) -> None:
    assert certainty(text, "soft_tissue_sarcoma") == {"negated"}


@pytest.mark.parametrize(
    "text", ["Urgent sarcoma MDT.", "Refer to the sarcoma unit.", "Ewing sarcoma of the femur 1990.", "Kaposi's sarcoma."]
)
def test_a_meeting_and_another_sarcoma_are_no_sarcoma_of_the_soft_tissue(text: str) -> None:
    assert not certainty(text, "soft_tissue_sarcoma")


@pytest.mark.parametrize(
    "opinion",
    ["Sarcoma cannot be excluded.", "Urgent sarcoma MDT.", "Ddx: synovial sarcoma, extraskeletal osteosarcoma, myositis ossificans."],
)
def test_a_mass_that_may_be_a_sarcoma_is_possibly_one(opinion: str) -> None:
    found = mimics(f"FINDINGS: Calcified mass in vastus.\nIMPRESSION: Mineralised mass. {opinion}", Context.IMAGING)
    assert found["soft_tissue_sarcoma"] == "possible"


def test_malignancy_that_is_not_excluded_is_suspected() -> None:
    assert certainty("Soft tissue mass, malignancy cannot be excluded.", "malignancy") == {"uncertain"}
