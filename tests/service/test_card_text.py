"""What a card says, rendered: no text of a record becomes markup or a link, and every reference can be read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from markdown_it import MarkdownIt
from served import PATIENT, bundle, call, case, drug, order_call, patient_of, searchsets

from calcinosis.contract import Citation
from calcinosis.knowledge import load_knowledge
from calcinosis.knowledge.wording import citation
from calcinosis.service.cards import _cited

VIEW = "/cds-services/calcinosis-patient-view"
SIGN = "/cds-services/calcinosis-order-sign"
KNOWLEDGE = load_knowledge()
HOSTILE = " [click](https://evil.example) <img src=x> **bold** `code` https://evil.example www.evil.example a@evil.example ![x](y) ~~gone~~"
BARE_LINK = re.compile(r"(?<!\\)(?:https?://|\bwww\.|@)", re.IGNORECASE)


def details(client: TestClient, path: str, body: Any) -> list[str]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return [card["detail"] for card in response.json()["cards"]]


def cited(key: str) -> tuple[str, str]:
    text, url = citation(KNOWLEDGE.sources[key])
    (said,) = _cited([Citation(key=key, text=text, url=url or None)], KNOWLEDGE)
    return said, url


def test_what_stands_in_a_record_is_neither_markup_nor_a_link(client: TestClient) -> None:
    record = case("b090")
    for entry in record["entry"]:
        resource = entry["resource"]
        for name in ("code", "medicationCodeableConcept"):
            if name in resource:
                resource[name]["text"] = resource[name].get("text", "") + HOSTILE
        if "valueQuantity" in resource:
            resource["valueQuantity"] = {"value": resource["valueQuantity"]["value"], "unit": HOSTILE}
        resource["id"] = resource["id"] if resource["resourceType"] == "Patient" else f"{resource['id']}{HOSTILE}"
    calcium = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}, "code": {"text": "Calciphylaxis"}}
    order = order_call(drug("Warfarin" + HOSTILE), {"resourceType": "Odd" + HOSTILE, "id": "x"}, prefetch={"patient": PATIENT, "c": bundle(calcium)})
    found = details(client, VIEW, call("patient-view", searchsets(record), patient_of(record))) + details(client, SIGN, order)
    assert sum("evil.example" in detail for detail in found) > 1, "the text is shown"
    for detail in found:
        page = MarkdownIt("commonmark").enable("strikethrough").render(detail)
        assert not re.search(r"<(?:img|code|s)\b|href=\"[^\"]*evil|<strong>bold", page)
        own = re.sub(r"\]\(https?://[^)]*\)", "]", detail)  # the addresses of our references
        assert not BARE_LINK.search(own), BARE_LINK.search(own)


@pytest.mark.parametrize("key", [key for key, source in KNOWLEDGE.sources.items() if citation(source)[0] == key][:10])
def test_a_source_without_author_and_title_is_cited_by_what_it_is(key: str) -> None:
    said, url = cited(key)
    assert f"[{key}]" not in said and url in said


def test_a_source_without_an_address_is_cited_too() -> None:
    said = _cited([Citation(key="x", text="Author A, 2001, A *book*", url=None)], KNOWLEDGE)
    assert said == [r"Sources: Author A, 2001, A \*book\*."]


def test_an_address_with_brackets_stays_whole() -> None:
    """DOIs of the Lancet."""
    said = _cited([Citation(key="x", text="Author", url="https://doi.org/10.1016/S0140-6736(05)12345-6)")], KNOWLEDGE)[0]
    assert 'href="https://doi.org/10.1016/S0140-6736%2805%2912345-6%29"' in MarkdownIt("commonmark").render(said)
