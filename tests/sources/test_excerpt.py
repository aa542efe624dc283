"""What is quoted of a text: the statement in which something was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from small_records import ask, letter

from calcinosis.sources.excerpt import LONGEST, excerpt

LETTER = "Seen with her daughter. New tender plaques over both thighs for 3 weeks, no fever. Warfarin continues."


def _around(text: str, phrase: str) -> str:
    return excerpt(text, text.index(phrase), text.index(phrase) + len(phrase))


def test_the_statement_is_quoted_and_not_its_neighbours() -> None:
    assert _around(LETTER, "plaques") == "New tender plaques over both thighs for 3 weeks, no fever"


def test_lines_and_cells_of_a_table_end_a_statement() -> None:
    assert _around("Skin: livedo reticularis\nJoints: normal", "livedo") == "Skin: livedo reticularis"
    assert _around("Test | calcium | 2.3 mmol/L", "calcium") == "calcium"


def test_a_number_or_a_question_within_a_statement_does_not_end_it() -> None:
    assert _around("Ulcer of 3.5 cm, ?calciphylaxis. Refer.", "Ulcer") == "Ulcer of 3.5 cm, ?calciphylaxis"


def test_a_long_statement_is_cut_at_words_and_marked() -> None:
    text = "the patient tells that " + "very " * 30 + "painful ulcers " + "remain " * 30
    quoted = _around(text, "painful ulcers")
    assert "painful ulcers" in quoted
    assert quoted.startswith("… very") and quoted.endswith("remain …")


@given(st.text(alphabet="ab .;?!\n|,"), st.text(alphabet="xy", min_size=1, max_size=120), st.text(alphabet="ab .;?!\n|,"))
def test_what_was_read_is_always_in_the_quotation_and_the_quotation_is_short(before: str, phrase: str, after: str) -> None:
    quoted = excerpt(before + phrase + after, len(before), len(before) + len(phrase))
    assert phrase in quoted
    assert len(quoted) <= max(LONGEST, len(phrase)) + len("…  …")
    assert "\n" not in quoted


def test_a_report_shows_the_sentence_behind_a_finding_of_a_letter() -> None:
    answer = ask(letter("Dear colleague. She has tender plaques with livedo on both thighs since May. On haemodialysis since 2019."))
    said = {fact.said for alarm in answer.alarms for fact in alarm.facts}
    assert "She has tender plaques with livedo on both thighs since May" in said
