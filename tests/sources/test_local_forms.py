"""A drug on the skin, in the eye or the ear is not the drug that a rule about the whole body asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from calcinosis.api import Readers, batch_of, make_readers
from calcinosis.knowledge.model import Context

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@lru_cache(maxsize=1)
def readers() -> Readers:
    return make_readers()


def drugs(text: str, *, codes: list[dict[str, str]] | None = None, route: str | None = None) -> set[str]:
    order: dict[str, Any] = {
        "resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order", "subject": {"reference": "Patient/p"},
        "authoredOn": "2024-01-01", "medicationCodeableConcept": {"text": text, "coding": codes or []},
        **({"dosageInstruction": [{"route": {"text": route}}]} if route else {}),
    }  # fmt: skip
    return set(batch_of([{"resourceType": "Patient", "id": "p"}, order], readers()).events["concept"].to_list())


def said(text: str) -> set[str]:
    return {mention.concept for mention in readers().text.read(text, Context.NOTE).mentions}


@pytest.mark.parametrize(
    ("name", "concept"),
    [
        ("Tacrolimus 0.1 % Topical Ointment", "local_drug"),
        ("cyclosporine 0.05 % ophthalmic emulsion", "local_drug"),
        ("ketoconazole 2% shampoo", "local_drug"),
        ("ruxolitinib 1.5% cream", "local_drug"),
        ("Prednisolone acetate 1% eye drops", "local_corticosteroid"),
        ("sodium thiosulfate 10% ointment", "sodium_thiosulfate_on_skin"),
        ("nitroglycerin 2% ointment", "nitrate_class"),
    ],
)
def test_a_product_counts_as_what_it_is_where_it_is_applied(name: str, concept: str) -> None:
    assert drugs(name) == {concept}


@pytest.mark.parametrize(
    ("name", "concept"),
    [("tacrolimus 1 mg capsule", "tacrolimus"), ("ibuprofen 200 mg soft gel capsule", "ibuprofen"), ("Estradiol gel", "oestrogen_class")],
)
def test_what_is_swallowed_or_reaches_the_blood_stays_the_drug(name: str, concept: str) -> None:
    assert drugs(name) == {concept}


def test_the_code_of_an_ingredient_yields_to_the_name_of_the_product() -> None:
    ingredient = {"system": "urn:calcinosis:concept", "code": "tacrolimus"}
    assert drugs("Protopic 0.1% ointment", codes=[ingredient]) == {"local_drug"}
    assert drugs("Prograf 1 mg", codes=[ingredient]) == {"tacrolimus"}


def test_the_route_of_an_order_is_heeded() -> None:
    assert drugs("Tacrolimus", route="Topical route") == {"local_drug"}
    assert drugs("Tacrolimus", route="Oral route") == {"tacrolimus"}
    assert drugs("Heparin", route="Subcutaneous route") == {"heparin"}


def test_one_list_may_hold_both() -> None:
    assert drugs("prednisolone tablets and dexamethasone eye drops") == {"prednisolone", "local_corticosteroid"}
    assert said("On oral tacrolimus, methotrexate and a steroid cream.") == {"tacrolimus", "methotrexate", "local_corticosteroid"}
    assert said("Topical tacrolimus beside oral ciclosporin.") == {"local_drug", "cyclosporine"}
