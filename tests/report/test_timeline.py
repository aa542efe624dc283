"""Where things stand on the time axis, and what is said of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.engines.course import COURSE_SCHEMA
from calcinosis.knowledge import load_knowledge
from calcinosis.report.timeline import ENTRIES, HEIGHT, MARGIN, WINDOWS, make_timeline, number
from calcinosis.report.timeline_axis import make_axis

KNOWLEDGE = load_knowledge()
INDEX = datetime(2021, 10, 10)


def row(concept: str, time: datetime | None, **more: Any) -> dict[str, Any]:
    return dict.fromkeys(COURSE_SCHEMA) | {"subject_id": "p", "concept": concept, "time": time, "certainty": "affirmed", "source": "R/1"} | more


def phosphate(time: datetime, value: float | None, **more: Any) -> dict[str, Any]:
    known = {"value": value, "value_unit": "mmol/L", "value_low": 0.8, "value_high": 1.5, "numeric_value": value, "unit": "mmol/L"}
    return row("phosphate", time, **(known | more))


def lay_out(*events: dict[str, Any], **more: Any) -> Any:
    return make_timeline(list(events), KNOWLEDGE, **({"index": INDEX} | more))


# --- the axis


@given(st.datetimes(), st.datetimes(), st.datetimes())
def test_any_record_has_an_axis_with_few_labels_and_everything_inside(a: datetime, b: datetime, index: datetime) -> None:
    first, last = sorted((a, b))
    axis = make_axis(first, last, index)
    assert 0 < axis.x(first) <= axis.x(last) < 100
    assert len(axis.ticks) <= 7
    assert all(axis.start <= axis.end and 0 < tick.x < 100 for tick in axis.ticks)
    assert [tick.x for tick in axis.ticks] == sorted(tick.x for tick in axis.ticks)
    assert (axis.index is not None) == (first <= index <= last or axis.start <= index <= axis.end)


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        (datetime(2018, 3, 5), datetime(2022, 4, 1), ["2019", "2020", "2021", "2022"]),
        (datetime(2020, 1, 5), datetime(2020, 4, 8), ["2020-02", "2020-03", "2020-04"]),
        (datetime(1950, 1, 5), datetime(2021, 4, 8), ["1960", "1980", "2000", "2020"]),
    ],
)
def test_labels_are_round_dates(first: datetime, last: datetime, labels: list[str]) -> None:
    assert [tick.label for tick in make_axis(first, last, None).ticks] == labels


def test_a_single_day_gets_room_around_it() -> None:
    axis = make_axis(INDEX, INDEX, INDEX)
    assert axis.index is not None and axis.index.x == 50
    assert (axis.end - axis.start).days == 30


def test_a_label_near_an_edge_grows_inwards() -> None:
    axis = make_axis(datetime(2020, 1, 1), datetime(2022, 1, 1), datetime(2021, 12, 1))
    assert axis.index is not None and axis.index.anchor == "end"
    assert axis.ticks[0].anchor == "start"


# --- measurements


def test_a_measurement_stands_where_its_day_and_value_say_and_the_band_is_its_interval() -> None:
    lane = lay_out(phosphate(datetime(2020, 1, 1), 0.8), phosphate(datetime(2021, 10, 10), 2.2, value_flag="high")).labs[0]
    low, high = lane.points
    assert (low.x, high.x) == (2.5, 97.5)
    assert (low.y, high.y) == (HEIGHT - MARGIN, MARGIN)
    [band] = lane.bands
    assert (band.x, band.width) == (0, 100)
    assert band.y + band.height == low.y, "the band begins at its lower limit"
    assert band.y == pytest.approx(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (1.5 - 0.8) / (2.2 - 0.8), abs=0.06)
    assert (lane.top, lane.bottom) == ("2.2", "0.8")
    assert lane.latest == "2.2 mmol/L, high, 2021-10-10"
    assert lane.interval == "0.8 to 1.5 mmol/L"
    assert "2 values" in lane.described and "0.8 mmol/L on 2020-01-01" in lane.described


def test_another_interval_begins_another_band() -> None:
    lane = lay_out(
        phosphate(datetime(2020, 1, 1), 1), phosphate(datetime(2020, 6, 1), 1), phosphate(datetime(2021, 1, 1), 1, value_high=1.9)
    ).labs[0]
    first, second = lane.bands
    assert first.x == 0 and second.x == pytest.approx(first.width) == lane.points[2].x
    assert second.height > first.height


def test_an_interval_open_to_one_side_reaches_the_edge() -> None:
    [band] = lay_out(phosphate(INDEX, 1.0, value_low=None)).labs[0].bands
    assert band.y + band.height == HEIGHT


def test_no_interval_is_no_band() -> None:
    lane = lay_out(phosphate(INDEX, 1.0, value_low=None, value_high=None)).labs[0]
    assert (lane.bands, lane.interval) == ([], "")


@pytest.mark.parametrize(
    ("flag", "shape"), [("high", "high"), ("low", "low"), ("normal", "normal"), ("positive", "odd"), ("negative", "none"), (None, "plain")]
)
def test_a_flag_has_a_shape_of_its_own(flag: str | None, shape: str) -> None:
    assert lay_out(phosphate(INDEX, 1.0, value_flag=flag)).labs[0].points[0].shape == shape


def test_a_flag_without_a_number_stands_at_the_edge_it_points_to() -> None:
    lane = lay_out(phosphate(INDEX, None, value_flag="high"), phosphate(INDEX, 1.0)).labs[0]
    assert lane.points[0].y == MARGIN and lane.points[0].said == "high on 2021-10-10"
    assert lane.lines == [], "one number is no course"


def test_below_a_limit_is_shown_as_beyond() -> None:
    point = lay_out(phosphate(INDEX, 0.3, comparator="<")).labs[0].points[0]
    assert point.beyond and point.said == "<0.3 mmol/L on 2021-10-10"


def test_what_could_not_be_converted_is_in_the_table_only() -> None:
    timeline = lay_out(row("phosphate", INDEX, numeric_value=4.0, unit="furlong"), phosphate(INDEX, 1.0))
    assert len(timeline.labs[0].points) == 1
    assert [each.read_as for each in timeline.rows] == ["unit not usable", "1 mmol/L"]


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_breaks_the_picture(value: float, other: float) -> None:
    for lane in lay_out(phosphate(INDEX, value), phosphate(datetime(2020, 1, 1), other)).labs:
        assert all(0 <= point.y <= HEIGHT for point in lane.points)
        assert all(0 <= band.y <= HEIGHT for band in lane.bands)


def test_measurements_that_decided_stand_first() -> None:
    events = (row("crp", INDEX, value=1.0), phosphate(INDEX, 1.0), row("creatinine", INDEX, value=90.0))
    first = lay_out(*events, first=["creatinine", "phosphate"]).labs
    assert [lane.label for lane in first] == [KNOWLEDGE.concepts[key].label for key in ("creatinine", "phosphate", "crp")]


@pytest.mark.parametrize(("value", "words"), [(2.81944, "2.819"), (13200, "13,200"), (0.00042, "0.00042"), (0, "0"), (1e12, "1e+12"), (-3, "-3")])
def test_numbers_are_short(value: float, words: str) -> None:
    assert number(value) == words


# --- everything else


def lane_of(*events: dict[str, Any]) -> Any:
    [(_, [lane])] = lay_out(*events).groups
    return lane


def test_a_drug_is_a_bar_from_start_to_end() -> None:
    lane = lane_of(row("warfarin", datetime(2020, 3, 1), end_time=datetime(2021, 9, 20), status="ended"))
    [mark] = lane.marks
    assert mark.end > mark.x and not mark.open
    assert lane.detail == "2020-03-01 to 2021-09-20"


def test_a_drug_without_an_end_says_so_and_one_that_ended_does_not() -> None:
    running, ended = (lane_of(row("warfarin", INDEX, status=status)) for status in ("active", "ended"))
    assert running.marks[0].open and "end not recorded" in running.detail
    assert not ended.marks[0].open and "end not recorded" not in ended.detail


def test_what_is_denied_or_uncertain_is_told_and_a_relatives_disease_is_not_drawn() -> None:
    assert "denied" in lane_of(row("pain", INDEX, certainty="negated")).detail
    timeline = lay_out(row("pain", INDEX, certainty="family"))
    assert timeline.groups == []
    assert timeline.rows[0].read_as == "in a relative"


def test_entries_stand_in_groups_by_kind() -> None:
    titles = [title for title, _ in lay_out(row("pain", INDEX), row("warfarin", INDEX), row("esrd", INDEX), row("of_tomorrow", INDEX)).groups]
    assert titles == ["Drugs", "Diseases", "Findings", "Other entries"]


def test_without_any_date_there_is_no_axis_and_nothing_is_lost() -> None:
    timeline = lay_out(row("warfarin", None, text_value="Marcumar"), index=None)
    assert timeline.axis is None
    assert timeline.undated == [f"{KNOWLEDGE.concepts['warfarin'].label}, “Marcumar”"]
    assert len(timeline.rows) == 1


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_keeps_what_touches_it_and_counts_the_rest(window: str) -> None:
    old = row("warfarin", datetime(2001, 1, 1), end_time=datetime(2001, 2, 1))
    through = row("warfarin", datetime(2001, 1, 1), end_time=datetime(2023, 2, 1))
    timeline = lay_out(old, through, phosphate(INDEX, 1.0), row("pain", None), window=window)
    assert timeline.outside == 1
    assert [lane.marks[0].x for lane in timeline.groups[0][1]] == [2.5], "what began before stands at the edge"
    assert len(timeline.undated) == 1
    assert timeline.axis.index.x == 50


def test_an_end_in_the_future_does_not_squeeze_what_happened() -> None:
    timeline = lay_out(row("warfarin", datetime(2020, 1, 1), end_time=datetime(2099, 1, 1)), phosphate(INDEX, 1.0))
    assert timeline.axis.end == INDEX
    assert timeline.groups[0][1][0].marks[0].end == 97.5


def test_a_long_table_is_cut_and_says_so() -> None:
    timeline = lay_out(*(phosphate(INDEX, 1.0) for _ in range(ENTRIES + 7)))
    assert (len(timeline.rows), timeline.more) == (ENTRIES, 7)


def test_marks_that_hide_or_reorder_text_are_shown() -> None:
    assert "\u202e" not in lay_out(row("pain", INDEX, text_value="a\u202eb")).rows[0].said
