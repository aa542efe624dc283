"""Small parts of the terminal report: titles, hanging indents, and text that remembers what it cites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from calcinosis.contract import Citation, Statement
from calcinosis.report.wording import clean


class Ink:
    """Writes text with its citations and collects them, so that the reference list holds exactly what is on the screen."""

    def __init__(self) -> None:
        self.cited: list[Citation] = []

    def statement(self, statement: Statement, *, sign: str, depth: int = 2, before: str = "") -> RenderableType:
        unverified = "" if statement.verified else " (not verified)"
        return self.said(f"{before}{statement.text}{unverified}", statement.citations, sign=sign, depth=depth)

    def said(self, text: str, citations: Iterable[Citation], *, sign: str = "·", depth: int = 2, style: str = "") -> RenderableType:
        keys = list(citations)
        self.cited.extend(keys)
        cited = f" [{', '.join(each.key for each in keys)}]" if keys else ""
        return item(Text.assemble((clean(text), style), (cited, "dim")), sign=sign, depth=depth if sign or depth != 2 else 0)


def show(parts: Iterable[RenderableType], console: Console, likenesses: Mapping[int, int]) -> None:
    """Print parts; a terminal that cannot show the signs gets their ASCII likenesses (of code points), never a traceback."""
    if not console.options.ascii_only:
        for part in parts:
            console.print(part)
        return
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    console.file.write(captured.get().translate(likenesses).encode("ascii", "replace").decode("ascii"))


def title(text: str) -> RenderableType:
    return Text(f"\n{clean(text)}", style="bold underline")


def item(text: Text, *, sign: str = "·", depth: int = 2) -> RenderableType:
    """A hanging indent: the sign stands alone, the text wraps to its right."""
    if not sign:
        return Padding(text, (0, 0, 0, depth))
    row = grid()
    row.add_row(Text(sign), text)
    return Padding(row, (0, 0, 0, depth))


def grid() -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # an address is broken, never cut
    return table


def left_off(count: int, what: str) -> Iterator[RenderableType]:
    if count > 0:
        yield item(Text(f"and {count} {what}", style="dim"), sign="·")
