"""The frame and the start page, as somebody at a browser meets them."""

from __future__ import annotations

from browsing import Visits, bytes_of_first_load, look_at
from playwright.sync_api import expect


def test_the_start_page_looks_right_everywhere(visits: Visits) -> None:
    look_at(visits, "/", "home")


def test_every_door_opens(visits: Visits) -> None:
    page = visits.open("/")
    links = page.locator("nav.doors a")
    paths = [str(links.nth(place).get_attribute("href")) for place in range(links.count())]
    assert paths
    for path in paths:
        answer = page.goto(path)
        assert answer is not None and answer.status == 200
        expect(page.locator(f"nav.doors a[href='{path}']")).to_have_attribute("aria-current", "true")


def test_the_keyboard_reaches_the_content_and_shows_where_it_is(visits: Visits) -> None:
    page = visits.open("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert focused.evaluate("e => parseFloat(getComputedStyle(e).outlineWidth)") >= 2
    skip.focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_wrong_address_says_so_in_the_same_look(visits: Visits) -> None:
    page = visits.open("/no-such-page")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page does not exist")
    page.get_by_role("link", name="Start page").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Calcium")
    assert all("404" in said for said in visits.complaints)  # the browser's own remark
    visits.complaints.clear()


def test_the_first_load_is_small(visits: Visits) -> None:
    assert 2_000 < bytes_of_first_load(visits, "/") <= 200_000
