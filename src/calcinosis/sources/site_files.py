"""The files that a site writes itself, read strictly: what cannot be read is said with its line, for half a file read is no file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from pathlib import Path

from calcinosis.spreadsheet import as_sent


def utf8_text(path: Path) -> str:
    """The text of a file, line ends as they stand.

    Raises:
        ValueError: naming file and line, when it is not UTF-8.
    """
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    wrong, found = data.find(b"\0"), "a zero byte, as in UTF-16"
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        wrong, found = error.start, f"byte 0x{data[error.start]:02x}"
    if wrong < 0:
        return text
    lines = data.count(b"\n", 0, wrong)
    raise ValueError(f"{path}:{lines + 1}: not UTF-8 ({found}); save the file as UTF-8")


def csv_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns of a CSV file, and its rows with the line that each begins on; lines without anything are left out.

    Raises:
        ValueError: naming file and line, when it is not UTF-8 or a quote is not closed.
    """
    reader = csv.reader(io.StringIO(utf8_text(path), newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for cells in reader:
            if cells:
                rows.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        unclosed = "unexpected end of data" in str(error)
        raise ValueError(f"{path}:{begins}: {'a quote is opened and not closed' if unclosed else error}") from None
    names = rows[0][1] if rows else []
    return names, [(line, dict(zip(names, map(as_sent, cells), strict=False))) for line, cells in rows[1:]]


def check_code_map(path: Path, labs: Collection[str], system_name: Callable[[str], str]) -> None:
    """What can be wrong with a code map whose rows are each sound.

    Args:
        labs: concepts that are measured.
        system_name: gives the spellings of a coding system one name.

    Raises:
        ValueError: naming file and line, when it has no row, or one code or text is two measurements: each value would be read as both.
    """
    _, rows = csv_table(path)
    if not rows:
        raise ValueError(f"{path}:1: holds no row below the header, so no code of the site is mapped")
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for line, row in rows:
        system, code, text, concept = ((row.get(name) or "").strip() for name in ("system", "code", "text", "concept_key"))
        for told in [(system_name(system), code)] * bool(code) + [("", text.casefold())] * bool(text):
            if concept in labs and first.setdefault(told, (line, concept))[1] != concept:
                before, other = first[told]
                raise ValueError(f"{path}:{line}: {told[1]!r} is {concept} here and {other} on line {before}; one code measures one thing")
