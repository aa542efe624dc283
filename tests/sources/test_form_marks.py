"""Forms in a text: an empty box, a choice that nobody made and a leader of dots say nothing by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcinosis.sources.form_marks import without_form_marks


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[ ] calciphylaxis [ ] livedo [x] puffy fingers", "puffy fingers"),
        ("livedo [ ]  gangrene [x]  ulcer [ ]", "gangrene"),
        ("Calcinosis: Yes [ ] No [x]", "Calcinosis: No"),
        ("☐ calciphylaxis ☒ calcinosis", "calcinosis"),
        ("Calciphylaxis: [   ]   tick if ever diagnosed", ""),
        ("Black eschar of the thigh. Photo taken [ ]. Livedo present", "Black eschar of the thigh. . Livedo present"),
        ("Black eschar of the thigh [ ] photo taken", "Black eschar of the thigh"),
        ("Black eschar of the thigh, pain Y/N", "Black eschar of the thigh,"),
        ("Fever [ ] yes [ ] no", ""),
        ("Calcinosis: Y / N", ""),
        ("Calcinosis (circle): yes / NO", ""),
        ("Raynaud present. Calcinosis: Y/N", "Raynaud present."),
        ("Calcinosis ....... absent", "Calcinosis: absent"),
        ("+ pain, + fatigue, - fever", "+ pain, + fatigue,no fever"),
        ("Dialysis? N   Warfarin? N", "Dialysis:no Warfarin:no"),
        ("Fever [ ] yes [x] no   Chills [ ] yes [x] no", "Fever : no Chills : no"),
        ("warfarin [ ] taking [x] not taking; Sensipar [x] taking", "warfarin : no Sensipar : taking"),
        ("Warfarin N (had 6/12 in 1998)", "Warfarin:Ø (had 6/12 in 1998)"),
        ("Warfarin? N / Dialysis: N", "Warfarin:no / Dialysis:no"),
    ],
)
def test_only_what_was_ticked_or_said_is_left(text: str, left: str) -> None:
    assert " ".join(without_form_marks(text).replace(";", " ").split()) == left


@pytest.mark.parametrize("text", ["She waited ... nothing came.", "Fever - none. Pain - yes.", "ulcers on right/left leg, 25 mg/day"])
def test_plain_text_is_left_as_it_is(text: str) -> None:
    assert without_form_marks(text) == text


@given(st.text(alphabet="ab [x]☐☒:;,.-+/yn\n", max_size=80))
def test_every_character_keeps_its_place(text: str) -> None:
    told = without_form_marks(text)
    assert len(told) == len(text)
    assert [at for at, char in enumerate(told) if char == "\n"] == [at for at, char in enumerate(text) if char == "\n"]
