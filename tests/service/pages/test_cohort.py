"""*Cohort*: only named folders, any id, nothing cached, everything audited, and no page that breaks."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from made_course import HOSTILE, make_cohort
from pydantic import ValidationError

from calcinosis.knowledge import load_knowledge
from calcinosis.service.app import make_app
from calcinosis.service.cohorts import Cohorts
from calcinosis.service.pages.cohort import PER_PAGE, Door, subject_of
from calcinosis.service.settings import Settings

KNOWLEDGE = load_knowledge()
HTML = {"Accept": "text/html"}
DOOR = Door("registry")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cohort(tmp_path_factory.mktemp("cohort"))


def settings(tmp_path: Path, **more: Any) -> Settings:
    return Settings(workers=0, requests_per_second=100_000, burst=100_000, audit_log=tmp_path / "audit.jsonl", **more)


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    own = settings(tmp_path_factory.mktemp("served"), cohorts={"registry": folder, "gone": folder / "no-such"})
    with TestClient(make_app(own), headers=HTML, base_url="http://127.0.0.1") as client:
        yield client


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def links(page: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'href="([^"]+)"', page)]


# --- which folders


def test_without_a_cohort_the_page_says_how_to_make_one(client: TestClient) -> None:
    seen = words(client.get("/cohort", headers=HTML).text)
    assert "calcinosis screen" in seen and "cohorts:" in seen


def test_the_door_leads_to_every_cohort_and_says_which_cannot_be_read(served: TestClient) -> None:
    page = served.get("/cohort").text
    assert DOOR.home in links(page)
    assert "123 patients" in words(page) and "gone cannot be read now" in words(page)


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e", "..%2f..%2fetc", "registry%2f..%2f..", "%2fetc%2fpasswd", "registry%00", "REGISTRY", ""])
def test_no_address_opens_another_folder(name: str, served: TestClient) -> None:
    for path in (f"/cohort/{name}", f"/cohort/{name}/patients", f"/cohort/{name}/patients.csv", f"/cohort/{name}/patients/{'YQ'}"):
        answer = served.get(path)
        assert answer.status_code in (200, 404) and "Patients of" not in answer.text
        assert "passwd" not in answer.text
        if name:
            assert answer.status_code == 404 or answer.url.path in ("/cohort", "/", "/cohort/")


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a b", "a" * 65, "<x>", "a\n"])
def test_a_name_that_is_no_plain_word_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, cohorts={name: tmp_path})


def test_a_folder_that_is_gone_or_broken_is_503_in_words(served: TestClient, folder: Path, tmp_path: Path) -> None:
    assert served.get("/cohort/gone").status_code == 503
    shutil.copytree(folder, tmp_path / "half")
    (tmp_path / "half" / "assessments.parquet").write_bytes(b"PAR1 half written")
    (tmp_path / "half" / "reasons.parquet").write_bytes(b"")
    with TestClient(make_app(settings(tmp_path, cohorts={"half": tmp_path / "half"})), headers=HTML, base_url="http://127.0.0.1") as client:
        for path in ("", "/patients", "/patients.csv", "/patients/" + DOOR.patient("b090").rpartition("/")[2]):
            answer = client.get("/cohort/half" + path)
            assert answer.status_code == 503, path
            assert "cannot be read now" in answer.text and str(tmp_path) not in answer.text


def test_a_folder_written_anew_is_read_anew_and_kept_until_then(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    cohorts = Cohorts({"it": copy}, KNOWLEDGE)
    with cohorts.opened("it") as first, cohorts.opened("it") as second:
        assert first is second
    people = pl.read_parquet(copy / "assessments.parquet")
    people.head(7).write_parquet(copy / "assessments.parquet")
    with cohorts.opened("it") as third:
        assert third.population.patients == 7


# --- counts


def test_the_counts_are_those_of_the_report_and_every_patient_has_a_link(served: TestClient, folder: Path) -> None:
    page, report = served.get(DOOR.home).text, (folder / "report.html").read_text()
    for count in re.findall(r"<strong>([\d,]+)</strong>", report[report.index('class="figures"') :])[:5]:
        assert f"<strong>{count}</strong>" in page
    assert DOOR.list(alarm="any") in links(page) and DOOR.list(unlabelled="1") in links(page)
    assert [each for each in links(page) if each.startswith(DOOR.home + "/patients/")]
    for path in {each for each in links(page) if each.startswith("/cohort")}:
        assert served.get(path).status_code == 200, path


# --- the list


def rows(page: str) -> list[str]:
    return [subject_of(each.rpartition("/")[2]) for each in re.findall(r'<th scope="row"><a href="([^"]+)"', page)]


def test_the_form_keeps_what_was_asked_and_the_pages_hold_everybody_once(served: TestClient) -> None:
    first = served.get(DOOR.list()).text
    assert len(rows(first)) == PER_PAGE
    found: list[str] = []
    path: str | None = DOOR.list()
    while path:
        page = served.get(path).text
        found += rows(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = unescape(following[1]) if following else None
    assert len(found) == len(set(found)) == 123
    asked = served.get(DOOR.list(type="calciphylaxis", status="probable", alarm="any", unlabelled="1")).text
    assert '<option value="calciphylaxis" selected>' in asked and '<option value="probable" selected>' in asked
    assert "checked" in asked and 0 < len(rows(asked)) < 123


def test_the_csv_is_the_list(served: TestClient) -> None:
    page = served.get(DOOR.list(type="calciphylaxis")).text
    [path] = [each for each in links(page) if "patients.csv" in each]
    answer = served.get(path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="registry-patients.csv"'
    assert len(pl.read_csv(answer.content, infer_schema=False)) == len(rows(page))


@pytest.mark.parametrize("page", ["1000000", "99999999999999999999"])
def test_a_page_beyond_the_last_is_the_last(page: str, served: TestClient) -> None:
    assert "Page 3 of 3" in words(served.get(f"{DOOR.list()}?page={page}").text)


@pytest.mark.parametrize("page", ["0", "-1", "x", ""])
def test_no_page_is_422(page: str, served: TestClient) -> None:
    assert served.get(f"{DOOR.list()}?page={page}").status_code == 422


@given(st.dictionaries(st.sampled_from(["patient", "type", "status", "disease", "alarm", "missing", "review", "at_risk", "unlabelled"]), st.text(max_size=30)))
def test_no_filter_breaks_a_page_or_becomes_markup(served: TestClient, asked: dict[str, str]) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
    answer = served.get(f"{DOOR.list()}?{query}")
    assert answer.status_code == 200
    assert tags(answer.text) <= tags(served.get(DOOR.list(alarm="any")).text) | tags(served.get(DOOR.list(type="no_such")).text)


def tags(page: str) -> set[str]:
    return set(re.findall(r"<([a-zA-Z][^\s/>]*)", page))


# --- one patient


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))  # no table holds half a character
def test_any_id_comes_back_from_its_address(subject: str) -> None:
    key = DOOR.patient(subject).rpartition("/")[2]
    assert subject_of(key) == subject
    assert re.fullmatch(r"[A-Za-z0-9_-]+", key)


@pytest.mark.parametrize("who", HOSTILE)
def test_a_hostile_id_has_its_page_and_stays_text(who: str, served: TestClient) -> None:
    answer = served.get(DOOR.patient(who))
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    shown = re.search(r"<h1>Patient (.*?)</h1>", answer.text)
    assert shown and unescape(shown[1]).replace("\N{REPLACEMENT CHARACTER}", "") == re.sub(r"[\u200b-\u202e]", "", who)
    assert '<svg class="plot"' in answer.text


@pytest.mark.parametrize("key", ["x", "YQ", "..", "%2e%2e", "YQ%2F..", "!!!", "_w", "A" * 5000, "YWJj=", "Li4vLi4vZXRj"])
def test_no_such_patient_is_404(key: str, served: TestClient) -> None:
    answer = served.get(f"/cohort/registry/patients/{key}")
    assert answer.status_code == 404 or answer.url.path == "/cohort/registry"


def test_the_page_tells_alarms_first_then_the_answer_the_course_and_why(served: TestClient) -> None:
    page = served.get(DOOR.patient("course-1")).text
    order = ['id="alarms"', 'id="answer"', 'id="course"', 'id="types"', 'id="why"', 'id="workup"', 'id="references"']
    assert [page.index(each) for each in order] == sorted(page.index(each) for each in order)
    seen = words(page)
    for part in ("2 alarms", "act now", "Calciphylaxis", "confirmed", "Systemic sclerosis", "index date 2021-10-10",
                 "2.795 mmol/L, high", "Warfarin", "2020-03-01 to 2021-09-20", "end not recorded", "DiagnosticReport/made-biopsy", "11.2 mg/dL"):  # fmt: skip
        assert part in seen, part
    stored = set(re.findall(r'href="#(ref-[^"]+)"', page))
    assert stored and stored <= set(re.findall(r'id="(ref-[^"]+)"', page))


def test_every_entry_of_the_record_is_in_the_table(served: TestClient, folder: Path) -> None:
    page = served.get(DOOR.patient("course-1")).text
    table = page[page.index('class="entries-table"') :]
    sources = re.findall(r'<td class="where">([^<]*)</td>', table)
    events = pl.read_parquet(folder / "events.parquet").filter(pl.col("subject_id") == "course-1")
    assert sorted(sources) == sorted(events["source"].to_list())


def test_a_shorter_period_shows_less_and_says_how_much(served: TestClient) -> None:
    page = served.get(DOOR.patient("course-1", window="90d")).text
    assert re.search(r"\d+ entries lie outside", words(page))
    assert "Prednisone" not in page[page.index('id="course"') : page.index('id="types"')]
    assert served.get(DOOR.patient("course-1", window="<x>")).status_code == 200


def test_pages_need_neither_inline_style_nor_script_and_ids_are_their_own(served: TestClient) -> None:
    for path in ("/cohort", DOOR.home, DOOR.list(), DOOR.list(alarm="any"), DOOR.patient("course-1"), DOOR.patient("b090"), DOOR.patient("b041")):
        page = served.get(path).text
        assert not re.search(r"<style|<script|\sstyle=|\son[a-z]+=", page), path
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), path
        targets = re.findall(r'(?:href="#|aria-labelledby=")([^"]+)"', page)
        assert {each for target in targets for each in target.split()} <= set(ids), path


def test_a_patient_there_is_nothing_to_say_about_has_a_page_that_says_so(served: TestClient, folder: Path) -> None:
    explained = set(pl.read_parquet(folder / "reasons.parquet")["subject_id"])
    quiet = [who for who in pl.read_parquet(folder / "assessments.parquet")["subject_id"] if who not in explained]
    assert quiet
    for who in quiet:
        answer = served.get(DOOR.patient(who))
        assert answer.status_code == 200
        assert "keeps statuses only" in words(answer.text) and "not an all-clear" in words(answer.text)


def test_every_patient_has_a_page(served: TestClient, folder: Path) -> None:
    for who in pl.read_parquet(folder / "assessments.parquet")["subject_id"]:
        assert served.get(DOOR.patient(who)).status_code == 200, who


def test_another_version_of_the_knowledge_is_said_aloud(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    people = pl.read_parquet(copy / "assessments.parquet").with_columns(knowledge_version=pl.lit("1999.1"))
    people.write_parquet(copy / "assessments.parquet")
    with TestClient(make_app(settings(tmp_path, cohorts={"registry": copy})), headers=HTML, base_url="http://127.0.0.1") as client:
        assert "screened with knowledge 1999.1" in words(client.get(DOOR.patient("course-1")).text)


# --- personal data


def test_nothing_is_kept_by_a_browser_or_compressed(served: TestClient) -> None:
    for path in (DOOR.home, DOOR.list(), DOOR.csv(), DOOR.patient("course-1"), DOOR.patient("nobody")):
        answer = served.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["cache-control"] == "no-store", path
        if path != DOOR.patient("nobody"):
            assert "content-encoding" not in answer.headers, path


def test_the_audit_log_says_who_when_and_which_page_and_nothing_of_what_it_held(folder: Path, tmp_path: Path) -> None:
    own = settings(tmp_path, cohorts={"registry": folder})
    with TestClient(make_app(own), headers=HTML, base_url="http://127.0.0.1") as client:
        for path in (DOOR.home, DOOR.list(patient="course", alarm="any"), DOOR.csv(alarm="any"), DOOR.patient("course-1"), DOOR.patient("nobody")):
            client.get(path)
    text = (tmp_path / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["service"], line["status"]) for line in lines] == [
        ("cohort/{name}", 200), ("cohort/{name}/patients", 200), ("cohort/{name}/patients.csv", 200), ("cohort/{name}/patients/{key}", 200),
        ("cohort/{name}/patients/{key}", 404),
    ]  # fmt: skip
    assert all(line["who"] and line["when"] for line in lines)
    for secret in ("course", "registry", "any", DOOR.patient("course-1").rpartition("/")[2], "nobody"):
        assert secret not in text


def test_where_authentication_is_needed_these_pages_need_it_too(folder: Path, tmp_path: Path) -> None:
    own = settings(tmp_path, cohorts={"registry": folder}, require_authentication=True)
    with TestClient(make_app(own), headers=HTML, base_url="http://127.0.0.1") as client:
        for path in ("/cohort", DOOR.home, DOOR.list(), DOOR.csv(), DOOR.patient("course-1")):
            answer = client.get(path)
            assert answer.status_code == 401 and "course-1" not in answer.text


def test_the_log_names_the_place_of_an_error_and_no_patient(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("calcinosis.service"), "disabled", False)  # the import linter's own test turns loggers off
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    summary = orjson.loads((copy / "summary.json").read_bytes())
    del summary["records_read"]
    (copy / "summary.json").write_bytes(orjson.dumps(summary))
    with TestClient(make_app(settings(tmp_path, cohorts={"registry": copy})), headers=HTML, base_url="http://127.0.0.1") as client:
        assert client.get(DOOR.home).status_code == 503
        assert client.get(DOOR.patient("course-1")).status_code == 200, "what does not need the summary is shown"
    said = "\n".join(record.getMessage() for record in caplog.records if record.name == "calcinosis.service")
    assert "ValueError at" in said and "course-1" not in said
