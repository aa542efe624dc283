"""*Knowledge*: every entry has its page, every link leads somewhere, and what a reader types is found."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.wording import cited
from calcinosis.service.pages.finder import Finder
from calcinosis.service.pages.links import TABLES, criterion_tree, href

LARGE = ("concepts", "sources")  # a part of these is enough


def entries(knowledge: Knowledge) -> list[tuple[str, str]]:
    found = []
    for table in TABLES:
        keys = list(getattr(knowledge, table))
        found += [(table, key) for key in (keys[::12] if table in LARGE else keys)]
    return found


@pytest.fixture(scope="module")
def pages(client: TestClient, knowledge: Knowledge) -> dict[tuple[str, str], str]:
    found = {}
    for table, key in entries(knowledge):
        response = client.get(href(table, key))
        assert response.status_code == 200, (table, key)
        found[table, key] = response.text
    return found


@pytest.fixture(scope="module")
def finder(knowledge: Knowledge) -> Finder:
    return Finder(knowledge)


def test_every_entry_shows_each_source_it_cites_with_a_way_to_read_it(pages: dict[tuple[str, str], str], knowledge: Knowledge) -> None:
    for (table, key), text in pages.items():
        if table == "sources":
            continue
        sources = cited(getattr(knowledge, table)[key])
        assert all(f'id="source-{source}"' in text for source in sources), (table, key)
        assert text.count('rel="noreferrer external"') >= len(sources), (table, key)


def test_every_statement_is_on_its_page(pages: dict[tuple[str, str], str], knowledge: Knowledge) -> None:
    for table, fields in {
        "types": ("facts",), "mimics": ("facts", "tells_apart"), "diseases": ("onset", "sites", "antibodies", "complications", "facts", "prevalence"),
        "alarms": ("actions",), "treatments": ("mechanism", "dosing", "monitoring", "evidence_notes"),
    }.items():  # fmt: skip
        for key, record in getattr(knowledge, table).items():
            for each in (each for field in fields for each in getattr(record, field)):
                assert html.escape(each.text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in pages[table, key], (table, key, each.text)


def test_what_is_not_verified_says_so(client: TestClient, knowledge: Knowledge) -> None:
    marked = 0
    for table in ("types", "mimics", "diseases", "treatments"):
        for key, record in getattr(knowledge, table).items():
            listed = [each for field in type(record).model_fields for each in _statements(getattr(record, field))]
            unverified = [each for each in listed if not each.verified]
            text = client.get(href(table, key)).text
            assert text.count("(not verified; drives no rule)") == len(unverified), (table, key)
            marked += len(unverified)
    assert marked > 0


def _statements(value: Any) -> list[Any]:
    items = value if isinstance(value, tuple) else (value,)
    inner = [each.statement if hasattr(each, "statement") else each for each in items]
    return [each for each in inner if hasattr(each, "verified")]


def test_every_link_within_leads_somewhere(pages: dict[tuple[str, str], str], client: TestClient, knowledge: Knowledge) -> None:
    lists = {f"/knowledge/{table}": client.get(f"/knowledge/{table}").text for table in TABLES}
    for place, text in [*pages.items(), *lists.items(), ("index", client.get("/knowledge").text)]:
        ids = set(re.findall(r'\bid="([^"]+)"', text))
        assert len(ids) == len(re.findall(r'\bid="([^"]+)"', text)), f"{place}: an id twice"
        for link in re.findall(r'href="([/#][^"]*)"', text):
            path, _, part = html.unescape(link).partition("#")
            assert not part or path or part in ids, (place, link)
            match path.strip("/").split("/"):
                case ["knowledge", table, key]:
                    assert key in getattr(knowledge, table), (place, link)
                case ["knowledge", table]:
                    assert table in TABLES, (place, link)


def test_no_page_has_a_script_or_a_style_of_its_own(pages: dict[tuple[str, str], str]) -> None:
    for place, text in pages.items():
        assert not re.search(r"<style|<script|\sstyle=|\son[a-z]+=", text), place


def test_a_criterion_is_a_tree_of_links_and_escapes_the_rest(knowledge: Knowledge) -> None:
    line, parts = criterion_tree(knowledge.findings["lesion_present"].when, knowledge)
    everything = str((line, parts))
    assert 'href="/knowledge/concepts/' in everything and "\ue000" not in everything


def test_a_source_tells_who_cites_it_and_what_it_adds_to_the_evidence(client: TestClient, knowledge: Knowledge) -> None:
    row = next(row for row in knowledge.studies if row.harms)
    text = client.get(f"/knowledge/sources/{row.study}").text
    assert f'id="row-{row.row}"' in text and 'id="used-by"' in text
    for key in row.treatments:
        assert f'href="/evidence?treatment={key}"' in text


# --- search ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("calciphylaxis", ("types", "calciphylaxis")), ("Systemic sclerosis", ("diseases", "systemic_sclerosis")),
        ("diltiazem", ("treatments", "diltiazem")), ("hemodialysis", ("concepts", "haemodialysis")),
        ("gouty tophi", ("mimics", "gouty_tophus")), ("2777-1", ("concepts", "phosphate")),
    ],
)  # fmt: skip
def test_what_is_asked_for_comes_first(finder: Finder, asked: str, first: tuple[str, str]) -> None:
    found, total = finder.find(asked)
    assert total >= 1
    assert (found[0].table, found[0].key) == first, [(each.table, each.key) for each in found[:5]]


def test_every_entry_is_found_by_its_own_label(finder: Finder, knowledge: Knowledge) -> None:
    for table in ("types", "diseases", "mimics", "alarms", "tests", "treatments", "findings"):
        for key, record in getattr(knowledge, table).items():
            assert (table, key) in {(each.table, each.key) for each in finder.find(record.label)[0]}, record.label


def test_a_code_finds_its_concepts(finder: Finder, knowledge: Knowledge) -> None:
    for code in knowledge.codes[::25]:
        assert ("concepts", code.concept_key) in {(each.table, each.key) for each in finder.find(code.code)[0]}, code


def test_a_slip_is_answered_with_words_that_exist(finder: Finder) -> None:
    assert finder.find("diltiazen") == ([], 0) and "diltiazem" in finder.near("diltiazen")
    assert finder.find("") == finder.find("???") == ([], 0)


def test_a_search_is_shown_as_text(client: TestClient) -> None:
    text = client.get("/knowledge", params={"q": "<script>alert(1)</script>"}).text
    assert "<script" not in text and "&lt;script&gt;" in text
