"""What a record says is text in a spreadsheet, and is read back as it was."""

from __future__ import annotations

import polars as pl
import pytest

from calcinosis.spreadsheet import as_sent, no_formula


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-2", "calcinosis", "'quoted'", ""])
def test_no_text_is_a_formula_and_none_changes(text: str) -> None:
    written = pl.DataFrame({"text": [text]}).select(no_formula("text"))["text"][0]
    assert written[:1] not in ("=", "@", "+", "-") and as_sent(written) == text
