"""Dead and ischaemic skin, and calcium in vessels, in the words of two lists that were written by somebody who had not seen the knowledge.

First run: of 64 descriptions of dead skin 28 were read as such, of 50 of calcium in small vessels 40.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from calcinosis.api import assess, batch_of, make_readers

HERE = Path(__file__).parent
PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960"}


def below(*concepts: str) -> set[str]:
    return set().union(*({concept, *make_readers().knowledge.descendants.get(concept, ())} for concept in concepts))


def affirmed(resource: dict[str, Any]) -> set[str]:
    events = batch_of([PATIENT, {"id": "1", "subject": {"reference": "Patient/p"}, **resource}], make_readers()).events
    return {row["concept"] for row in events.iter_rows(named=True) if row["certainty"] == "affirmed" and row["status"] != "ended"}


def condition(text: str, site: str | None = None) -> dict[str, Any]:
    return {"resourceType": "Condition", "code": {"text": text}, **({"bodySite": [{"text": site}]} if site else {})}


def biopsy(text: str) -> dict[str, Any]:
    return {"resourceType": "DiagnosticReport", "code": {"text": "skin biopsy"}, "category": [{"text": "pathology"}], "conclusion": text}


def shares(name: str, is_right: Any) -> dict[str, float]:
    right, asked = Counter[str](), Counter[str]()
    for item in yaml.safe_load((HERE / name).read_text(encoding="utf-8")):
        asked[item["says"]] += 1
        right[item["says"]] += is_right(item)
    return {label: right[label] / asked[label] for label in asked}


def test_dead_skin_is_read_in_most_words_and_seldom_where_there_is_none() -> None:
    dead, ischaemic = below("skin_necrosis", "eschar", "gangrene"), below("ischaemic_skin_lesion")
    early = ischaemic | below("violaceous_lesion", "livedo_reticularis", "induration", "plaque", "nodule", "purpura", "ecchymosis", "erythema")
    early |= below("subcutaneous_nodule", "indurated_plaque", "mass", "bulla")

    def is_right(item: dict[str, Any]) -> bool:
        said = affirmed(condition(item["text"], item.get("site")))
        match item["says"]:
            case "dead_skin":
                return bool(said & dead)
            case "ischaemic_not_dead" | "early_change":
                return bool(said & early)
            case "none":
                return not said & ischaemic
        return True

    found = shares("dead_skin.yaml", is_right)
    assert found["dead_skin"] >= 0.9
    assert found["ischaemic_not_dead"] >= 0.9
    assert found["early_change"] >= 0.9
    assert found["none"] >= 0.88


def test_calcium_in_small_vessels_is_read_and_its_absence_too() -> None:
    vessel = below("histology_vessel_calcification")
    tissue = below("histology_calcium_deposit", "histology_calcification_unspecified") | {"histology_elastic_fibre_calcium"}

    def is_right(item: dict[str, Any]) -> bool:
        said = affirmed(biopsy(item["text"]))
        match item["says"]:
            case "vessel_calcium":
                return bool(said & vessel)
            case "tissue_calcium":
                return bool(said & tissue) and not said & vessel
            case "no_calcium":
                return not said & (vessel | tissue)
        return not said & vessel

    found = shares("vessel_calcium.yaml", is_right)
    assert found["vessel_calcium"] >= 0.95
    assert found["tissue_calcium"] >= 0.9
    assert found["no_calcium"] >= 0.86
    assert found["uncertain"] >= 0.88


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("dry black tip, agonising", "glans penis"), ("black, leathery and insensate", "left thigh"), ("skin of the belly has died", None),
        ("mummified tip", "right middle finger"), ("devitalised, sloughing to fat", "hips"), ("wound bed 90% black", None),
    ],
)  # fmt: skip
def test_dead_skin_on_dialysis_rings_whatever_it_is_called(text: str, site: str | None) -> None:
    dialysis = {"resourceType": "Procedure", "status": "completed", "code": {"text": "haemodialysis"}, "performedDateTime": "2024-01-01"}
    lesion = {**condition(text, site), "onsetDateTime": "2024-02-01"}
    resources = [{"id": str(place), "subject": {"reference": "Patient/p"}, **each} for place, each in enumerate((dialysis, lesion))]
    answer = assess([PATIENT, *resources])
    assert {"R1", "R2"} & {alarm.id for alarm in answer.alarms}
    assert answer.leading == "calciphylaxis"


@pytest.mark.parametrize("text", ["Black woman with ulcers of the legs", "black stools, leg ulcer", "black compression stockings on both legs", "black foam dressing on the wound"])
def test_black_of_something_else_is_no_dead_skin(text: str) -> None:
    assert not affirmed(condition(text)) & below("skin_necrosis", "eschar", "gangrene", "necrotic_ulcer")


@pytest.mark.parametrize("text", ["Vessels free from calcification.", "Calcium stain: no calcium.", "No thrombi are identified, no mural calcium.", "Von Kossa negative."])
def test_a_biopsy_without_calcium_shows_none(text: str) -> None:
    assert not affirmed(biopsy(text)) & below("histology_vessel_calcification", "histology_calcium_deposit", "histology_calcification_unspecified")


def test_what_stands_behind_a_finished_denial_is_not_denied() -> None:
    said = affirmed(biopsy("Although no thrombi are identified, mural calcium is seen in small vessels of the hypodermis."))
    assert "histology_vessel_calcification" in said
