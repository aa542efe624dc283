"""A text says when a drug was stopped: the event ends on that day, whatever format the text came in."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omop_made import cdm, note, read_cdm, write_parquet
from small_records import ask, letter, says

from calcinosis.api import batch_of, make_readers, read_batches
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.model import Context
from calcinosis.sources.fhir_frames import until_said

READER = make_readers().text


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Warfarin was stopped in 2019 after a bleed.", date(2019, 12, 31)),
        ("Warfarin stopped in March 2019, apixaban since 2020.", date(2019, 3, 31)),
        ("Took warfarin from 2015 to 2019.", date(2019, 12, 31)),
        ("Warfarin 2015-2019, then apixaban.", date(2019, 12, 31)),
        ("Rivaroxaban (warfarin until 2017).", date(2017, 12, 31)),
        ("In 2019 warfarin was discontinued.", date(2019, 12, 31)),
        ("Warfarin until February 2020.", date(2020, 2, 29)),
        ("Stopped warfarin in March 2019.", date(2019, 3, 31)),
        ("In 2019, warfarin was stopped.", date(2019, 12, 31)),
        ("Warfarin was stopped.", None),
        ("Warfarin was stopped last week for a bleed like the one in 2015.", None),  # the year of something else
        ("Warfarin was stopped, 2019 stroke.", None),
        ("Warfarin was stopped, dialysis since 2019.", None),
    ],
)
def test_the_day_on_which_a_drug_ended_is_read(text: str, day: date | None) -> None:
    (warfarin,) = [mention for mention in READER.read(text, Context.NOTE).mentions if mention.concept == "warfarin"]
    assert warfarin.ended
    assert (warfarin.ended_on and warfarin.ended_on.date()) == day


@pytest.mark.parametrize("text", ["Warfarin since 2019.", "Started on warfarin in 2019.", "INR 2.5 on warfarin in 2019."])
def test_a_year_alone_ends_nothing(text: str) -> None:
    (warfarin,) = [mention for mention in READER.read(text, Context.NOTE).mentions if mention.concept == "warfarin"]
    assert not warfarin.ended


LETTER_2024 = {**letter("Warfarin was stopped in 2019 after a bleed."), "date": "2024-06-01T09:00:00Z"}
LETTER, EARLIER, LATER = datetime(2024, 6, 1), datetime(2019, 12, 31), datetime(2025, 1, 1)


@pytest.mark.parametrize(
    ("time", "end", "said", "expected"),
    [
        (LETTER, None, EARLIER, (EARLIER, EARLIER)),
        (LETTER, None, None, (LETTER, None)),
        (LETTER, None, LATER, (LETTER, None)),
        (LETTER, LATER, EARLIER, (LETTER, LATER)),
        (None, None, EARLIER, (None, EARLIER)),
    ],
)
def test_an_end_that_a_text_tells_stands_where_the_record_has_none(
    time: datetime | None, end: datetime | None, said: datetime | None, expected: tuple[datetime | None, datetime | None]
) -> None:
    assert until_said(time, end, said) == expected


def _alarms(text: str) -> set[str]:
    return {alarm.key for alarm in ask(says("End stage renal disease"), says("Painful necrotic ulcer", at="thigh"), letter(text)).alarms}


def test_warfarin_that_ended_years_ago_rings_no_alarm_and_lately_stopped_warfarin_does() -> None:
    until_lately = "vka_until_lately_with_suspected_calciphylaxis"
    assert until_lately not in _alarms("Warfarin was stopped in 2019 after a bleed.")
    assert until_lately in _alarms("Warfarin was stopped in May 2024 after a bleed.")
    assert until_lately in _alarms("Warfarin was stopped after a bleed.")


def test_a_note_of_omop_ends_a_drug_on_the_same_day(tmp_path: Path) -> None:
    source = write_parquet(tmp_path, cdm(note=[note("Warfarin was stopped in 2019 after a bleed.", note_date="2024-06-01")]))
    (warfarin,) = read_cdm(source).events.filter(pl.col("concept") == "warfarin").to_dicts()
    assert (warfarin["status"], warfarin["time"], warfarin["end_time"]) == ("ended", EARLIER, EARLIER)


@pytest.mark.parametrize("text", ["Calciphylaxis has healed.", "Calciphylaxis 2019, fully healed.", "Calciphylaxis resolved in 2020."])
def test_a_disease_that_healed_is_over(text: str) -> None:
    (mention,) = READER.read(text, Context.NOTE).mentions
    assert (mention.certainty, mention.ended) == ("affirmed", True)


@pytest.mark.parametrize("text", ["Calciphylaxis healed in 2020, recurred last month.", "Calciphylaxis resolved in 2019 and recurred in 2024.", "Calciphylaxis has not healed.", "Calciphylaxis, not healed.", "Calciphylaxis is healing."])
def test_a_disease_that_has_not_healed_goes_on(text: str) -> None:
    (mention,) = READER.read(text, Context.NOTE).mentions
    assert not mention.ended


def test_calciphylaxis_that_healed_years_ago_rings_no_alarm_of_the_same_day_and_is_not_forgotten() -> None:
    answer = ask(says("End stage renal disease"), letter("Calciphylaxis resolved in 2019. Seen for his fistula."))
    assert "suspected_calciphylaxis" not in {alarm.key for alarm in answer.alarms}
    assert next(each for each in answer.types if each.type == "calciphylaxis").status.rank >= Status.POSSIBLE.rank
    open_ulcer = ask(says("End stage renal disease"), says("Necrotic ulcer", at="thigh"), letter("Calciphylaxis resolved in 2019."))
    assert "suspected_calciphylaxis" in {alarm.key for alarm in open_ulcer.alarms}


def test_letters_of_many_patients_end_a_drug_on_the_same_day_as_that_of_one(tmp_path: Path) -> None:
    def record(name: str) -> list[dict[str, Any]]:
        return [{"resourceType": "Patient", "id": name}, {**LETTER_2024, "id": f"n{name}", "subject": {"reference": f"Patient/{name}"}}]

    lines = [json.dumps(resource) for name in "ab" for resource in record(name)]
    (tmp_path / "export.ndjson").write_text("\n".join(lines))
    readers = make_readers()
    many = pl.concat([batch.events for batch in read_batches([tmp_path], readers)]).filter(pl.col("concept") == "warfarin")
    one = batch_of(record("a"), readers).events.filter(pl.col("concept") == "warfarin")
    told = [tuple(row) for row in pl.concat([many, one]).select("status", "time", "end_time").iter_rows()]
    assert told == [("ended", EARLIER, EARLIER)] * 3
