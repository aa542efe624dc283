"""The patient page: well-formed, accessible, self-contained, and no record can put markup into it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest
from people import GOLDEN, HERE, PEOPLE, SCRIPT, assessed, frozen, golden

from calcinosis.report.patient_page import render_patient_html
from calcinosis.report.wording import STATUS_WORD

VOID = {"meta", "br", "img", "hr", "input", "link"}
STYLE = files("calcinosis.report").joinpath("templates/style.css").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what the tests ask about and fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"attribute given twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return " ".join("".join(data for _, data in self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for each, attrs in self.tags if each == tag]


@pytest.fixture(scope="module", params=[*PEOPLE, "everybody", "nobody"])
def page(request: pytest.FixtureRequest) -> Page:
    names = {"everybody": list(PEOPLE), "nobody": []}.get(request.param, [request.param])
    return Page(render_patient_html([assessed(name) for name in names]))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    html = render_patient_html([frozen(name)])
    golden(HERE / "golden" / f"{name}.html", re.sub(r"<style>.*?</style>", "<style>…</style>", html, flags=re.S))


def test_landmarks_and_language(page: Page) -> None:
    assert page.html.startswith("<!DOCTYPE html>")
    assert page.of("html") == [{"lang": "en"}]
    assert [len(page.of(tag)) for tag in ("header", "main", "footer", "h1", "title")] == [1] * 5
    assert page.of("a")[0]["href"] == "#content"  # the skip link is the first thing a keyboard reaches


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


def test_ids_are_unique_and_every_inner_link_and_label_resolves(page: Page) -> None:
    ids = Counter(page.attributes("id"))
    assert max(ids.values()) == 1, ids.most_common(3)
    wanted = [href[1:] for href in page.attributes("href") if href.startswith("#")] + page.attributes("aria-labelledby")
    assert set(wanted) <= set(ids)


@pytest.mark.parametrize("name", PEOPLE)
def test_no_two_landmarks_of_a_patient_have_one_name(name: str) -> None:
    page = Page(render_patient_html([assessed(name)]))
    landmarks = [attrs for tag, attrs in page.tags if tag == "section" or attrs.get("role") == "region"]
    named = [attrs.get("aria-label") or attrs.get("aria-labelledby") for attrs in landmarks]
    assert max(Counter(named).values()) == 1, Counter(named).most_common(3)


def test_tables_have_scoped_headers_and_sections_names(page: Page) -> None:
    assert all(attrs.get("scope") in {"col", "row", "rowgroup"} for attrs in page.of("th"))
    assert all("aria-labelledby" in attrs for tag in ("section", "nav", "article") for attrs in page.of(tag))
    assert len(page.of("summary")) == len(page.of("details"))


def test_nothing_runs_and_nothing_is_fetched(page: Page) -> None:
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "img", "object", "embed", "form", "base", "use", "image", "foreignobject"}
    assert all(not re.search("[^MHv0-9. ]", attrs["d"] or "") for attrs in page.of("path"))
    assert not any(name.startswith("on") or name in {"src", "srcset", "style", "action"} for _, attrs in page.tags for name in attrs)
    assert not re.search(r"@import|url\(", STYLE)
    policy = [attrs["content"] for attrs in page.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert all(re.match(r"#|https?://", href) for href in page.attributes("href"))


def test_status_and_urgency_are_words(page: Page) -> None:
    """A chip holds its status as text; the sign beside it is hidden from screen readers."""
    chips = [attrs for attrs in page.of("span") if (attrs.get("class") or "").startswith("chip ")]
    words = re.findall(r'<span class="chip is-\w+"><span class="sign" aria-hidden="true">.</span>([a-z ]+)</span>', page.html)
    assert len(words) == len(chips)
    assert set(words) <= set(STATUS_WORD.values())
    assert page.html.count('class="urgency"') == len(re.findall(r'<span class="urgency">[a-z ,]+</span>', page.html))


def test_text_of_a_record_is_never_markup() -> None:
    page = Page(render_patient_html([assessed("hostile")]))
    assert "<script" not in page.html
    assert SCRIPT in page.text
    assert SCRIPT in "".join(data for tag, data in page.texts if tag == "h2")


def test_hidden_characters_and_unsafe_addresses_do_not_reach_the_reader() -> None:
    assessment = frozen("dialysis")
    assessment.alarms[0].facts[0].said = "\x00\x1b[31m\u202eevil"
    assessment.alarms[0].citations[0].url = "javascript:alert(1)"
    assessment.warnings.append("line\x00 \u202e")
    page = Page(render_patient_html([assessment]))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page.html)
    assert not any(href.startswith("javascript") for href in page.attributes("href"))


def test_alarms_come_first_worst_first() -> None:
    text = Page(render_patient_html([frozen("dialysis")])).text
    order = [
        text.index(words)
        for words in ("Patient dialysis-1 64", "3 alarms", "act now", "same day", "Answer Calciphylaxis", "The five types")
    ]
    assert order == sorted(order)


def test_reasons_of_what_stands_are_open_and_the_others_closed() -> None:
    assessment = frozen("dialysis")
    details = {attrs["id"]: "open" in attrs for attrs in Page(render_patient_html([assessment])).of("details") if "id" in attrs}
    assert details["p1-type-calciphylaxis"] and not details["p1-type-dystrophic"]


def test_every_fact_shows_value_date_and_source() -> None:
    text = Page(render_patient_html([frozen("dialysis")])).text
    assert "2.4 mmol/L (high) 2025-02-04, Observation/dialysis-1-9" in text
    assert "bananas/L" in text


def test_styles_exist_for_paper_dark_mode_focus_and_forced_colours() -> None:
    for feature in ("@media print", "prefers-color-scheme: dark", ":focus-visible", "forced-colors: active", "prefers-reduced-motion"):
        assert feature in STYLE


PAIRS = [
    ("ink", "paper"), ("ink", "panel"), ("soft", "paper"), ("soft", "panel"), ("soft", "alarm-paper"), ("ink", "alarm-paper"),
    ("link", "paper"), ("link", "panel"), ("alarm", "paper"), ("alarm", "alarm-paper"), ("on-alarm", "alarm"),
    ("on-confirmed", "confirmed"), ("on-probable", "probable"), ("on-possible", "possible"),
]  # fmt: skip


@pytest.mark.parametrize("block", range(3), ids=["light", "dark", "print"])
def test_contrast_is_wcag_aa(block: int) -> None:
    """4.5 : 1 for text (WCAG 2.2, 1.4.3), in every colour scheme."""
    colours: dict[str, str] = {}
    for found in (
        re.findall(r":root \{(.*?)\}", STYLE, re.S)[: block + 1] if block < 2 else re.findall(r":root \{(.*?)\}", STYLE, re.S)[::2]
    ):
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", found))
    low = {pair: ratio for pair in PAIRS if (ratio := _contrast(colours[pair[0]], colours[pair[1]])) < 4.5}
    assert not low


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
