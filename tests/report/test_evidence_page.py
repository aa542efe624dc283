"""The evidence page: well-formed, self-contained, every plot with its numbers beside it, of a reasonable size and quick."""

from __future__ import annotations

import re
import time
from collections import Counter
from importlib.metadata import version
from itertools import pairwise

import orjson
import pytest
from test_patient_page import Page

from calcinosis.contract import DISCLAIMER
from calcinosis.evidence.cells import load_pooled, rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.report import evidence_summary as summary
from calcinosis.report import svg
from calcinosis.report.evidence_figures import evidence_map, forests
from calcinosis.report.evidence_page import render_evidence_html

ASKED = {
    "everything": {},
    "one": {"treatment": "surgical_excision"},
    "nothing studied": {"treatment": "carbon_dioxide_insufflation"},
    "one disease": {"type_": "dystrophic", "disease": "systemic_sclerosis"},
    "nothing": {"type_": "iatrogenic", "disease": "sjogren_syndrome"},
}


@pytest.fixture(scope="module")
def spent() -> dict[str, float]:
    return {}


@pytest.fixture(scope="module")
def pages(knowledge: Knowledge, spent: dict[str, float]) -> dict[str, Page]:
    made = {}
    for name, asked in ASKED.items():
        start = time.process_time()
        html = render_evidence_html(knowledge, **asked)
        spent[name] = time.process_time() - start
        made[name] = Page(html)
    return made


@pytest.fixture(params=ASKED)
def page(request: pytest.FixtureRequest, pages: dict[str, Page]) -> Page:
    return pages[request.param]


def test_landmarks_and_headings(page: Page) -> None:
    assert page.html.startswith("<!DOCTYPE html>")
    outside_svg = [tag for tag, _ in page.tags]
    assert [outside_svg.count(tag) for tag in ("header", "main", "footer", "h1")] == [1] * 4
    levels = [int(tag[1]) for tag in outside_svg if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


def test_ids_are_unique_and_every_inner_link_and_label_resolves(page: Page) -> None:
    ids = Counter(page.attributes("id"))
    assert max(ids.values()) == 1, ids.most_common(3)
    labels = [each for named in page.attributes("aria-labelledby") for each in named.split()]
    wanted = [href[1:] for href in page.attributes("href") if href.startswith("#")] + labels
    assert set(wanted) <= set(ids), sorted(set(wanted) - set(ids))[:5]


def test_tables_have_captions_and_scoped_headers(page: Page) -> None:
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.of("th"))
    assert len(page.of("summary")) == len(page.of("details"))


def test_every_picture_has_title_description_and_numbers(page: Page) -> None:
    pictures = page.of("svg")
    assert all(attrs.get("role") == "img" and len((attrs.get("aria-labelledby") or "").split()) == 2 for attrs in pictures)
    assert len(page.of("desc")) == len(pictures) == len(page.of("figure"))
    assert len(re.findall(r'<table>\s*<caption id="plot-', page.html)) >= len(pictures) - page.html.count('<figure class="map"')


def test_nothing_runs_and_nothing_is_fetched(page: Page) -> None:
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "form", "base", "image", "use", "foreignobject"}
    assert not any(name.startswith("on") or name in {"src", "srcset", "action", "xlink:href"} for _, attrs in page.tags for name in attrs)
    assert all(re.match(r"#|https?://", href) for href in page.attributes("href"))
    policy = [attrs["content"] for attrs in page.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_disclaimer_stands_at_the_end(page: Page) -> None:
    assert DISCLAIMER in page.text[-600:]


def test_every_treatment_row_and_reference_is_on_the_page(knowledge: Knowledge, pages: dict[str, Page]) -> None:
    page = pages["everything"]
    ids = set(page.attributes("id"))
    assert {f"t-{key}" for key in knowledge.treatments} <= ids
    assert {f"ref-{row.study}" for row in knowledge.studies} <= ids
    wanted = sum(len(row.treatments) for row in knowledge.studies)
    assert sum(int(n) for n in re.findall(r'<caption id="studies-[^"]+">[^<]*: (\d+) rows?</caption>', page.html)) == wanted


def test_everything_pooled_has_a_plot(pages: dict[str, Page]) -> None:
    for cell in load_pooled():
        if cell.disease is None:
            assert f'id="plot-{cell.treatment}-{cell.type}-{cell.outcome}"' in pages["everything"].html


def test_a_plot_holds_cohorts_only_and_marks_what_is_not_pooled(knowledge: Knowledge) -> None:
    for key, treatment in knowledge.treatments.items():
        for forest in forests(knowledge, treatment, rows_of(knowledge, key)):
            assert all(each.row.design != "case_report" and each.row.unit == "patients" for each in forest.rows)
            assert all(row.design == "case_report" or row.unit != "patients" for row in forest.apart)
            assert {each.row.row for each in forest.rows if each.pooled} == set(forest.pooled.rows if forest.pooled else ())
            assert all(each.low <= each.events / each.n <= each.high for each in forest.rows)
            assert len({each.name for each in forest.rows}) == len(forest.rows)


def test_the_map_counts_patients_of_one_disease_only(knowledge: Knowledge) -> None:
    found = evidence_map(knowledge, summary.overview(knowledge))
    assert len({(cell.treatment.key, cell.column) for cell in found.cells}) == len(found.cells)
    assert all(cell.patients is None for cell in found.cells if cell.mixed)
    assert all(cell.studies > 0 and cell.column in found.columns for cell in found.cells)
    [cell] = [cell for cell in found.cells if cell.treatment.key == "diltiazem" and cell.column == "Rheumatoid arthritis"]
    assert cell.mixed  # one of the 78 patients of a cohort


def test_size_and_time(pages: dict[str, Page], spent: dict[str, float]) -> None:
    """Wanted: below 3 MB and 10 s for everything, 1.5 s for one treatment. The processor's time, with room for slow machines."""
    assert len(pages["everything"].html.encode()) < 3_000_000
    assert spent["everything"] < 20
    assert spent["one"] < 4


def test_every_chart_of_the_shipped_evidence_is_drawn_already(knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_with = orjson.loads(svg.DRAWN_FILE.read_bytes())["altair"]
    if drawn_with != version("altair"):
        pytest.skip(f"drawn with Altair {drawn_with}; another release may say the same chart in other words")
    missed: list[str] = []

    def live(specification: dict[str, object]) -> str:
        missed.append(svg.name_of(specification))
        return "<svg></svg>"

    monkeypatch.setattr(svg, "render", live)
    render_evidence_html(knowledge, None, None, None)
    assert not missed, "run `make pooled`"


def test_a_chart_that_says_something_else_is_drawn_now() -> None:
    bar = {"mark": "bar", "data": {"values": [{"a": 1}]}, "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    assert svg.name_of(bar) not in svg.drawn()
    assert svg.draw(bar, "One bar", "a is 1").startswith("<svg ")
