"""Mimics that the biopsy or the circumstances decide, and what makes calciphylaxis stay possible beside them."""

from __future__ import annotations

from typing import Any

import pytest

from calcinosis.api import assess, make_readers
from calcinosis.assessment import Assessment

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1950"}


def answer(*resources: dict[str, Any]) -> Assessment:
    return assess([PATIENT, *({"id": str(place), "subject": {"reference": "Patient/p"}, **each} for place, each in enumerate(resources))])


def condition(text: str, *sites: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "code": {"text": text},
        "onsetDateTime": "2024-03-01",
        "bodySite": [{"text": site} for site in sites],
    }


def biopsy(text: str) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport", "status": "final", "code": {"text": "skin biopsy"}, "effectiveDateTime": "2024-03-05",
        "category": [{"text": "pathology"}], "conclusion": text,
    }  # fmt: skip


def drug(text: str) -> dict[str, Any]:
    return {"resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": text}}


def lab(name: str, value: float, unit: str, flag: str | None = None) -> dict[str, Any]:
    marked = {"interpretation": [{"text": flag}]} if flag else {}
    return {
        "resourceType": "Observation", "status": "final", "code": {"text": name}, "effectiveDateTime": "2024-03-02",
        "valueQuantity": {"value": value, "unit": unit}, **marked,
    }  # fmt: skip


CASES: dict[str, tuple[dict[str, Any], ...]] = {
    "vasopressor_gangrene": (condition("black fingertips and toes", "fingers", "toes"), condition("septic shock"), drug("noradrenaline")),
    "intravascular_lymphoma": (
        condition("retiform purpura", "thighs"), biopsy("Vessels of the deep dermis packed with large atypical lymphoid cells, CD20 positive."),
    ),
    "invasive_fungal_infection": (condition("necrotic ulcer", "arm"), biopsy("Broad nonseptate hyphae invading vessel walls; infarction.")),
    "cutaneous_amyloidosis": (condition("waxy nodules", "shins"), biopsy("Amorphous deposits, Congo red positive with apple-green birefringence.")),
    "erythema_induratum": (condition("tender nodules", "calves"), biopsy("Lobular panniculitis with granulomas of the fat.")),
    "subcutaneous_sarcoidosis": (condition("firm subcutaneous nodules", "forearms"), biopsy("Non-caseating granulomas of the subcutis.")),
    "mycobacterial_skin_infection": (condition("nodules", "hand"), biopsy("Suppurative granulomas with acid-fast bacilli.")),
    "tenosynovial_giant_cell_tumour": (condition("firm nodule", "index finger"), biopsy("Histiocytes, foam cells and osteoclast-like giant cells.")),
    "multicentric_reticulohistiocytosis": (condition("papules", "fingers"), biopsy("Multinucleate histiocytes with ground-glass cytoplasm.")),
    "perforating_dermatosis": (
        condition("haemodialysis"), condition("itchy papules with a hard central plug", "shins"),
        biopsy("Cup-shaped invagination with a keratin plug; collagen bundles crossing the epidermis."),
    ),
    "septic_emboli": (
        condition("infective endocarditis"), condition("purpura", "feet"), biopsy("Septic thrombus with Gram-positive cocci in dermal vessels."),
    ),
    "necrobiosis_lipoidica": (
        condition("type 1 diabetes"), condition("yellow plaques", "shins"), biopsy("Palisaded granulomas in layers with altered collagen."),
    ),
    "soft_tissue_chondroma": (condition("hard lump", "finger"), biopsy("Lobules of hyaline cartilage without atypia.")),
    "lipodermatosclerosis": (condition("varicose veins"), condition("tender red-brown induration", "lower leg")),
    "xylazine_wound": (condition("opioid use disorder"), condition("xylazine exposure"), condition("ulcers with dark eschar", "forearms")),
    "purpura_fulminans_dic": (
        condition("retiform purpura with necrosis", "hands", "feet"), lab("platelets", 14, "10*9/L", "low"), lab("D-dimer", 38, "mg/L", "high"),
        lab("fibrinogen", 0.6, "g/L", "low"),
    ),
    "alpha1_antitrypsin_panniculitis": (
        condition("painful nodules that ulcerate", "thighs", "buttocks"), lab("alpha-1 antitrypsin", 0.2, "g/L", "low"),
        biopsy("Neutrophilic lobular panniculitis; vessels patent."),
    ),
    "paroxysmal_nocturnal_haemoglobinuria_skin": (
        condition("paroxysmal nocturnal haemoglobinuria"), condition("haemorrhagic plaques with necrosis", "abdomen"),
        biopsy("Fibrin thrombi in dermal vessels, little inflammation."),
    ),
    "foreign_body_filler": (
        condition("laceration through a windscreen", "forearm"), condition("hard lumps", "forearm"),
        biopsy("Glass fragments in granulation tissue with giant cells. Von Kossa negative."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mimic", CASES)
def test_the_mimic_leads(mimic: str) -> None:
    found = answer(*CASES[mimic])
    assert (found.leading, found.leading_mimic) == ("mimic", mimic)


ISCHAEMIC = [key for key in CASES if "calciphylaxis" in make_readers().knowledge.mimics[key].mimics_type]


@pytest.mark.parametrize("mimic", ISCHAEMIC)
def test_calcified_small_vessels_in_an_ischaemic_lesion_undo_it(mimic: str) -> None:
    found = answer(
        *CASES[mimic], condition("skin necrosis, very painful", "thighs"), biopsy("Calcified small vessels of the subcutis with thrombi.")
    )
    assert found.leading == "calciphylaxis"


@pytest.mark.parametrize(
    "mimic",
    ["vasopressor_gangrene", "xylazine_wound", "purpura_fulminans_dic", "septic_emboli", "paroxysmal_nocturnal_haemoglobinuria_skin"],
)
def test_calciphylaxis_stays_possible_beside_it(mimic: str) -> None:
    beside = condition("end-stage renal disease"), condition("black toe", "toe")
    (found,) = (each for each in answer(*CASES[mimic], *beside).types if each.type == "calciphylaxis")
    assert found.status.value in ("possible", "probable", "confirmed")


def test_osteoclast_like_giant_cells_around_calcium_are_no_tumour_of_the_tendon_sheath() -> None:
    found = answer(condition("large mass", "hip"), biopsy("Cysts with calcareous paste and osteoclast-like giant cells."))
    assert found.leading_mimic != "tenosynovial_giant_cell_tumour"


def test_needle_clefts_in_fat_cells_are_no_urate() -> None:
    found = answer(condition("hard plaques", "back"), biopsy("Lobular panniculitis, needle-shaped clefts in adipocytes and giant cells."))
    assert found.leading_mimic != "gouty_tophus"


def test_an_ana_titre_below_1_80_is_not_positive() -> None:
    low, high = (answer({**lab("ANA", 0, ""), "valueQuantity": None, "valueString": titre}) for titre in ("1:40", "1:160"))
    assert low != high


def test_a_calcified_muscle_may_lie_where_the_injury_was() -> None:
    found = answer(condition("crush injury", "left leg"), condition("hard mass", "left leg"), biopsy("Dead muscle with calcium deposits."))
    (dystrophic,) = (each for each in found.types if each.type == "dystrophic")
    assert dystrophic.status.value in ("probable", "confirmed")
