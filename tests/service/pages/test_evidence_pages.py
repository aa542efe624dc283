"""*Evidence*: the filters show what they say, nothing is drawn while somebody waits, and what is shown can be taken away."""

from __future__ import annotations

import csv
import io
import re
from itertools import product
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from fastapi.testclient import TestClient

from calcinosis.evidence.cells import rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.report import svg
from calcinosis.report.evidence_fhir import to_evidence_bundle

CAPTION = r'<caption id="studies-[^"]+">[^<]*: (\d+) rows?</caption>'


@pytest.fixture
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import version

    drawn_with = orjson.loads(svg.DRAWN_FILE.read_bytes())["altair"]
    if drawn_with != version("altair"):
        pytest.skip(f"drawn with Altair {drawn_with}; another release may say the same chart in other words")

    def live(_: Any) -> str:
        raise AssertionError("a chart is drawn while somebody waits: run `make pooled`")

    monkeypatch.setattr(svg, "render", live)


@pytest.mark.usefixtures("nothing_is_drawn")
def test_everything_has_the_map_the_overview_and_a_way_to_each_treatment(client: TestClient, knowledge: Knowledge) -> None:
    text = client.get("/evidence").text
    assert '<figure class="map"' in text and 'role="img"' in text
    assert set(re.findall(r'href="/evidence\?treatment=([a-z0-9_]+)"', text)) == set(knowledge.treatments)
    assert not re.search(CAPTION, text)  # studies stand with their treatment


@pytest.mark.usefixtures("nothing_is_drawn")
def test_every_treatment_shows_all_its_rows_and_references(client: TestClient, knowledge: Knowledge) -> None:
    for key in knowledge.treatments:
        text = client.get("/evidence", params={"treatment": key}).text
        rows = rows_of(knowledge, key)
        assert sum(int(n) for n in re.findall(CAPTION, text)) == len(rows), key
        for row in rows:
            assert f'href="/knowledge/sources/{row.study}"' in text and f'id="ref-{row.study}"' in text
        assert not re.search(r"<style|<script|\sstyle=", text), key
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), key


@pytest.mark.usefixtures("nothing_is_drawn")
def test_no_filter_of_treatment_and_disease_waits_for_a_drawing(client: TestClient, knowledge: Knowledge) -> None:
    for treatment, disease in product(knowledge.treatments, knowledge.diseases):
        if rows_of(knowledge, treatment, None, disease):
            assert client.get("/evidence", params={"treatment": treatment, "disease": disease}).status_code == 200


@pytest.mark.usefixtures("nothing_is_drawn")
def test_no_filter_of_type_and_disease_waits_for_a_drawing(client: TestClient, knowledge: Knowledge) -> None:
    for type_, disease in product(["", *knowledge.types], ["", *knowledge.diseases]):
        asked = {"type": type_, "disease": disease}
        text = client.get("/evidence", params=asked).text
        rows = rows_of(knowledge, None, type_ or None, disease or None)
        wanted = len(rows) if type_ or disease else 0
        assert sum(int(n) for n in re.findall(CAPTION, text)) == wanted, asked


def test_a_treatment_keeps_the_other_filters(client: TestClient) -> None:
    text = client.get("/evidence", params={"disease": "systemic_sclerosis", "type": "dystrophic"}).text
    assert 'href="/evidence?treatment=diltiazem&amp;type=dystrophic&amp;disease=systemic_sclerosis"' in text
    assert '<option value="systemic_sclerosis" selected>' in text


@pytest.mark.parametrize("asked", [{}, {"treatment": "diltiazem"}, {"type": "calciphylaxis"}, {"disease": "systemic_sclerosis", "treatment": "diltiazem"}])
def test_what_is_shown_can_be_taken_away(client: TestClient, knowledge: Knowledge, asked: dict[str, str]) -> None:
    text = client.get("/evidence", params=asked).text
    query = ("?" + urlencode(asked)).replace("&", "&amp;") if asked else ""
    assert all(f'href="/api/v1/evidence/{file}' in text for file in ("studies.csv", "bundle"))
    if len(asked) <= 1:
        assert f'href="/api/v1/evidence/studies.csv{query}"' in text
    rows = rows_of(knowledge, asked.get("treatment"), asked.get("type"), asked.get("disease"))
    taken = client.get("/api/v1/evidence/studies.csv", params=asked)
    assert taken.headers["content-type"].startswith("text/csv") and "attachment" in taken.headers["content-disposition"]
    assert [row["row"] for row in csv.DictReader(io.StringIO(taken.text))] == [row.row for row in rows]
    bundle = client.get("/api/v1/evidence/bundle", params=asked)
    assert bundle.headers["content-type"] == "application/fhir+json"
    wanted = to_evidence_bundle(knowledge, asked.get("treatment"), asked.get("type"), asked.get("disease"))
    assert bundle.json() == orjson.loads(orjson.dumps(wanted))


@pytest.mark.parametrize("file", ["studies.csv", "bundle"])
def test_files_of_what_does_not_exist_are_refused(client: TestClient, file: str) -> None:
    assert client.get(f"/api/v1/evidence/{file}", params={"treatment": "nothing"}).status_code == 404
