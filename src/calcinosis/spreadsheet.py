"""Texts of records in files that people open in a spreadsheet."""

from __future__ import annotations

from typing import Final

import polars as pl

_FORMULA: Final = r"^[=+\-@\t\r]"  # how a spreadsheet recognises one
MARK: Final = "'"


def no_formula(column: str) -> pl.Expr:
    """The texts of a column; one that a spreadsheet would run as a formula gets an apostrophe in front."""
    return pl.when(pl.col(column).str.contains(_FORMULA)).then(MARK + pl.col(column)).otherwise(column).alias(column)


def as_sent(text: str) -> str:
    """Without the apostrophe of :func:`no_formula`."""
    return text[1:] if text[:1] == MARK and text[1:2] in ("=", "+", "-", "@", "\t", "\r") else text
