"""The entry form: since when, dates of results and drugs, and a second lesion; each changes what the rules see."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.api import assess, make_readers
from calcinosis.knowledge import load_knowledge
from calcinosis.service.pages.form_record import EntryForm
from calcinosis.service.pages.moments import NotRead, birth_date, moment
from calcinosis.sources.fhir import read_resources

FORM = EntryForm(load_knowledge())
TODAY = date(2026, 11, 27)


def read(*, beside: bool = False, **fields: str | list[str]) -> Any:
    """``__`` for the dot, ``second_`` for the second lesion."""
    named = {name.replace("second_", "2.").replace("__", "."): [said] if isinstance(said, str) else said for name, said in fields.items()}
    return FORM.read(named, TODAY, beside=beside)


def events(entered: Any) -> list[dict[str, Any]]:
    readers = make_readers()
    batch = read_resources(entered.resources, readers.index, readers.text)
    assert batch.rejects.height == 0
    rows: list[dict[str, Any]] = batch.events.to_dicts()
    return rows


def dates(rows: list[dict[str, Any]], concept: str) -> list[str | None]:
    return sorted((row["time"].date().isoformat() if row["time"] else None for row in rows if row["concept"] == concept), key=str)


# --- moments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "moment_"),
    [
        ("2024-05-31", "2024-05-31"), ("2024-5-3", "2024-05-03"), ("2024-05", "2024-05"), ("2024", "2024"), (" today ", "2026-11-27"),
        ("3 weeks ago", "2026-11-06"), ("3 weeks", "2026-11-06"), ("10 d", "2026-11-17"), ("1 day", "2026-11-26"), ("2 months ago", "2026-09"),
        ("11 months", "2025-12"), ("2 years ago", "2024-11"), ("1y", "2025-11"), ("0 days", "2026-11-27"), ("18 Months", "2025-05"),
    ],
)  # fmt: skip
def test_a_moment_is_read_as_precisely_as_it_is_written(written: str, moment_: str) -> None:
    assert moment(written, TODAY) == moment_


@pytest.mark.parametrize("written", ["", "soon", "03.04.2024", "3/4/2024", "2024-13", "2024-02-30", "0000", "2027", "2026-12", "2026-11-28", "9999 years", "1800", "ago", "-3 days", "1.5 years"])
def test_what_is_no_moment_is_said(written: str) -> None:
    with pytest.raises(NotRead):
        moment(written, TODAY)


@given(st.text(max_size=20) | st.from_regex(r"\d{1,4}(-\d{1,2}){0,2}", fullmatch=True) | st.from_regex(r"\d{1,4} ?(days|weeks|months|years)( ago)?", fullmatch=True))
def test_a_moment_lies_in_the_past_or_is_refused(written: str) -> None:
    try:
        found = moment(written, TODAY)
    except NotRead:
        return
    first = date.fromisoformat(found + "-01-01"[len(found) - 4 :])
    assert TODAY - timedelta(days=131 * 366) <= first <= TODAY


def test_an_age_on_a_leap_day_has_a_birth_date() -> None:
    assert birth_date("1", date(2024, 2, 29)) == date(2023, 2, 28)


# --- since when ------------------------------------------------------------------------------------------


def test_since_when_moves_the_index_date_to_the_onset_and_leaves_today_today() -> None:
    fields: dict[str, Any] = {"age": "56", "q__calcinosis_cutis": "yes", "site": ["elbow"], "q__systemic_sclerosis_limited": "yes"}
    now, then = (assess(read(**fields, **more).resources) for more in ({}, {"since": "2020-06-15"}))
    assert now.index_date is not None and then.index_date is not None
    assert (now.index_date.date(), then.index_date.date()) == (TODAY, date(2020, 6, 15)) and then.index_basis == "calcification"
    assert then.age_years == pytest.approx(56 - 6.45, abs=0.05)
    assert now.leading == then.leading == "dystrophic"


def test_since_when_belongs_to_the_lesion_and_to_nothing_that_came_before() -> None:
    rows = events(read(since="2026-05", site=["thigh"], q__nodule="yes", q__pain="no", q__injection="yes", q__ckd="yes", v__phosphate="2", u__phosphate="mmol/L"))
    assert dates(rows, "nodule") == dates(rows, "skin_lesion") == ["2026-05-01", "2026-11-27"]
    assert dates(rows, "injection") == dates(rows, "ckd") == dates(rows, "phosphate") == dates(rows, "pain") == [None]


def test_beside_a_record_only_what_was_given_a_date_has_one() -> None:
    rows = events(read(beside=True, since="2026-05", q__nodule="yes", q__ckd="yes", v__phosphate="2", u__phosphate="mmol/L", on__mineral="2026-06", drug="Warfarin"))
    assert (dates(rows, "nodule"), dates(rows, "ckd"), dates(rows, "phosphate"), dates(rows, "warfarin")) == (["2026-05-01"], [None], ["2026-06-01"], [None])


def test_since_when_of_nothing_is_said() -> None:
    entered = read(since="2020")
    assert list(entered.problems) == ["since"] and not entered.says_something
    assert list(read(second_since="2020", q__nodule="yes").problems) == ["2.since"]


def test_a_group_of_results_has_its_date() -> None:
    rows = events(read(v__phosphate="2", u__phosphate="mmol/L", v__crp="5", u__crp="mg/L", on__mineral="2 weeks ago"))
    assert (dates(rows, "phosphate"), dates(rows, "crp")) == (["2026-11-13"], ["2026-11-27"])
    wrong = read(v__phosphate="2", u__phosphate="mmol/L", on__mineral="next week")
    assert list(wrong.problems) == ["on.mineral"] and dates(events(wrong), "phosphate") == ["2026-11-27"]


@pytest.mark.parametrize(("began", "said"), [("2026-11-10", "probable"), ("2026-02", "unlikely"), ("", "possible")])
def test_when_an_anticoagulant_began_tells_warfarin_necrosis(began: str, said: str) -> None:
    """Three to ten days before the lesion is its time, long before is not; without a date it is possible."""
    found = assess(read(age="56", since="2026-11-15", q__skin_necrosis="yes", q__pain="yes", site=["thigh"], drug="Warfarin", began=began).resources)
    assert [str(each.status.value) for each in found.mimics if each.mimic == "warfarin_necrosis"] == [said]
    assert "Vitamin K antagonist" in " ".join(each.label for each in (*found.alarms, *found.review))  # it is being taken now


def test_what_is_not_taken_did_not_begin() -> None:
    assert "drug.0" in read(drug="Warfarin", taking="no", began="2024").problems
    assert "drug.0" in read(drug="Warfarin", taking="yes", began="soon").problems


# --- a second lesion -------------------------------------------------------------------------------------


def test_each_lesion_keeps_its_own_sites_and_its_own_beginning() -> None:
    rows = events(read(site=["elbow"], q__nodule="yes", since="2020", second_site=["thigh", "calf"], second_shows=["skin_ulcer", "pain"], second_since="3 weeks"))
    at = {(row["concept"], tuple(sorted(row["sites"])), row["time"].date().isoformat()) for row in rows}
    assert {("nodule", ("elbow",), "2020-01-01"), ("skin_ulcer", ("calf", "thigh"), "2026-11-06"), ("skin_lesion", ("calf", "thigh"), "2026-11-06")} <= at
    assert not [each for each in at if each[0] == "skin_ulcer" and "elbow" in each[1]]


def test_unlike_lesions_are_not_mixed_by_the_rules() -> None:
    """Necrosis of a finger beside a nodule of the thigh is not necrosis over fat."""
    both: dict[str, Any] = {"age": "56", "since": "2026-11-15", "drug": "Warfarin", "began": "2026-11-10", "q__haemodialysis": "yes"}
    mixed = assess(read(**both, q__nodule="yes", q__skin_necrosis="yes", site=["thigh", "finger"]).resources)
    apart = assess(read(**both, q__nodule="yes", site=["thigh"], second_since="2026-11-15", second_shows=["skin_necrosis"], second_site=["finger"]).resources)
    found = [next(each.status.value for each in answer.mimics if each.mimic == "warfarin_necrosis") for answer in (mixed, apart)]
    assert found == ["probable", "possible"]


def test_what_is_not_ticked_of_the_second_lesion_is_not_known() -> None:
    rows = events(read(second_site=["thigh"]))
    assert {(row["concept"], row["certainty"]) for row in rows} == {("skin_lesion", "affirmed")}


def test_nonsense_about_the_second_lesion_is_named() -> None:
    assert list(read(second_site=["moon"]).problems) == ["2.site"] and list(read(second_shows=["phosphate"]).problems) == ["2.shows"]


def test_the_page_stays_filled_and_every_problem_has_its_place(client: TestClient) -> None:
    fields = {
        "since": "never", "2.since": "never", "2.site": "moon", "2.shows": "moon", "on.mineral": "never", "on.antibodies": "2024", "drug": "Warfarin", "taking": "yes",
        "began": "2 weeks ago", "site": "thigh",
    }  # fmt: skip
    text = client.post("/assess", data=fields, headers={"Accept": "text/html"}).text
    for name, place in [("since", "q-since"), ("2.since", "q-2-since"), ("2.site", "q-2-skin-lesion"), ("2.shows", "q-2-shows"), ("on.mineral", "q-on-mineral")]:
        assert f'data-field="{name}"><a href="#{place}"' in text and text.count(f'id="{place}"') == 1 and f'data-for="{name}">' in text
    assert 'name="began" value="2 weeks ago"' in text and 'name="on.antibodies" value="2024"' in text and 'id="second-box" open' in text


def test_no_element_has_the_id_of_another(client: TestClient) -> None:
    ids = re.findall(r'\bid="([^"]+)"', client.post("/assess", data={"q.skin_necrosis": "yes", "2.shows": "nodule"}, headers={"Accept": "text/html"}).text)
    assert len(ids) == len(set(ids))
