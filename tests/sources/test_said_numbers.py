"""Laboratory values that stand in prose: what is read of two lists written by clinicians who had not seen the reader, and how it becomes an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fhir_made import made, patient, quantity
from hypothesis import given, settings
from hypothesis import strategies as st
from omop_made import cdm, note, write_parquet

from calcinosis.api import batch_of, make_readers
from calcinosis.events import Batch
from calcinosis.knowledge.model import Context
from calcinosis.sources.omop import read_omop
from calcinosis.sources.said_numbers import number_in

HERE = Path(__file__).parent
NAMES = {
    "calcium_corrected": "calcium_albumin_corrected", "calcium_ionised": "calcium_ionised", "pth": "pth_intact", "ck": "creatine_kinase",
    "ldh": "lactate_dehydrogenase", "vitamin_d_25": "vitamin_d_25oh", "vitamin_d_1_25": "vitamin_d_125oh", "wbc": "white_cell_count",
    "ferritin": "iron_ferritin", "uric_acid": "urate", "ca_x_p_product": "calcium_phosphate_product", "ace": "angiotensin_converting_enzyme",
}  # fmt: skip
SAME = {"urea": "urea_bun"}  # the lists have one name for both


def list_of(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return items


def values_in(text: str) -> list[tuple[str, float, str]]:
    return [(one.concept, one.number, one.unit) for one in make_readers().text.read(text, Context.NOTE).values]


@pytest.mark.parametrize("name", ["prose_labs_first", "prose_labs_second"])
def test_nothing_is_read_that_a_clinician_would_not_read(name: str) -> None:
    wrong = []
    for item in list_of(name):
        said = {(NAMES.get(one["lab"], one["lab"]), float(one["value"])) for one in item["expect"]}
        others = {float(one["value"]) for one in item["expect"] if one["lab"] == "other"}  # a laboratory value without a name of the list
        for concept, number, _ in values_in(item["text"]):
            if (SAME.get(concept, concept), number) not in said and number not in others:
                wrong.append((item["text"], concept, number))
    assert wrong == []


@pytest.mark.parametrize(("name", "least"), [("prose_labs_first", 0.6), ("prose_labs_second", 0.7)])
def test_most_values_with_a_unit_are_read(name: str, least: float) -> None:
    found = asked = 0
    for item in list_of(name):
        read_here = {(SAME.get(concept, concept), number) for concept, number, _ in values_in(item["text"])}
        wanted = {(NAMES.get(one["lab"], one["lab"]), float(one["value"])) for one in item["expect"] if one["unit"] and one["lab"] != "other"}
        found, asked = found + len(read_here & wanted), asked + len(wanted)
    assert found / asked >= least


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PTH of 1,450 pg/mL (normal 15-65)", [("pth_intact", 1450.0, "pg/mL")]),
        ("Ca 2,45 mmol/l", [("calcium_total", 2.45, "mmol/l")]),
        ("Ca/P 9.4/7.2 mg/dL", [("calcium_total", 9.4, "mg/dL"), ("phosphate", 7.2, "mg/dL")]),
        ("Calcium and phosphate were 2.3 and 2.9 mmol/L respectively", [("calcium_total", 2.3, "mmol/L"), ("phosphate", 2.9, "mmol/L")]),
        ("phosphate rose from 1.9 to 3.1 mmol/L", [("phosphate", 3.1, "mmol/L")]),
        ("Severe hypercalcaemia of 3.6 mmol/L", [("calcium_total", 3.6, "mmol/L")]),
        ("INR was supratherapeutic at 5.9", [("inr", 5.9, "")]),
        ("PTH 1.450 pg/ml", []),  # a thousand and more, or less than two
        ("Ca 2.3 mmol/L on Monday, Ca 2.9 mmol/L on Friday", []),  # which holds?
        ("In 2015 calcium was 3.1 mmol/L", []),
        ("calcium 500 mg daily", []),
        ("dialysate calcium 1.25 mmol/L", []),
        ("aim for phosphate < 1.8 mmol/L", []),
        ("Mother's calcium was 3.1 mmol/L", []),
        ("normal calcium 2.2-2.6 mmol/L", []),
        ("P 88 bpm", []),
    ],
)
def test_a_value_in_prose(text: str, expected: list[tuple[str, float, str]]) -> None:
    assert values_in(text) == expected


@pytest.mark.parametrize(("written", "number"), [("1,450", 1450.0), ("2,45", 2.45), ("0,123", 0.123), ("88,000", 88000.0), ("7.9", 7.9)])
def test_a_comma_parts_thousands_or_decimals(written: str, number: float) -> None:
    assert number_in(written) == number


def read(*resources: Any) -> Batch:
    return batch_of([patient(), *resources], make_readers())


def values_of(batch: Batch) -> dict[str, tuple[float | None, str | None, str | None]]:
    rows = batch.events.select("concept", "numeric_value", "unit", "flag").iter_rows()
    return {concept: (number, unit, flag) for concept, number, unit, flag in rows}


def test_a_number_without_a_unit_is_told_and_not_guessed() -> None:
    batch = read(made("DocumentReference", description="Labs today: iPTH 1450, calcium 10.9"))
    assert batch.events.is_empty()
    assert batch.not_read == {"laboratory number without a unit in a text": 2}


def test_a_value_in_a_note_keeps_its_own_number_beside_that_of_the_observation() -> None:
    said = [{"text": "phosphate 2.9 mmol/L (0.8-1.5)"}]
    batch = read(made("Observation", code={"text": "body weight"}, valueQuantity=quantity(70, "kg"), note=said))
    assert values_of(batch) == {"body_weight": (70, "kg", None), "phosphate": (2.9, "mmol/L", None)}
    assert batch.events.select("range_low", "range_high").rows()[-1] == (0.8, 1.5)


def test_a_note_of_a_cdm_is_read_as_one_of_fhir(tmp_path: Path) -> None:
    text = "Seen today. Phosphate 2.9 mmol/L, PTH 112 pmol/L."
    made_cdm = write_parquet(tmp_path / "cdm", cdm(note=[note(text)]))
    (batch,) = read_omop(made_cdm, make_readers().index, make_readers().text)
    assert values_of(batch) == values_of(read(made("DocumentReference", description=text)))
    assert values_of(batch)["pth_intact"] == (112, "pmol/L", None)


def test_a_word_and_a_number_are_one_result() -> None:
    batch = read(made("DocumentReference", description="Calcium was normal at 2.3 mmol/L."))
    assert values_of(batch) == {"calcium_total": (2.3, "mmol/L", "normal")}


@given(st.text(alphabet="Ca PTH phosphate12,.-/<> mgdLlo()=:→", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_without_an_error_and_in_its_bounds(text: str) -> None:
    for one in make_readers().text.read(text, Context.NOTE).values:
        assert 0 <= one.start < one.end <= len(text)
        assert any(sign.isdigit() for sign in text[one.start : one.end])
