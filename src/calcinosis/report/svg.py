"""Altair charts as inline SVG in the house style, without a browser or the network.

The charts of the evidence as shipped are drawn already (``drawn.json``, by what they say): a chart that says something else is not found
there and is drawn now. ``make pooled`` renews the file.

Measured here: the first chart costs 1 to 3 s (import of Altair 0.5 s, the rest the start of the vl-convert engine) and 180 MB, each
further chart 0.05 s. That suits ``validate`` and ``evidence``; ``screen`` has neither the time nor the memory, so the population page
draws its plain bars as SVG in its own template. Both libraries are imported when the first chart is drawn.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    import altair as alt

    Drawing = alt.LayerChart | alt.HConcatChart | alt.FacetChart

# Okabe and Ito's colours, told apart with every common colour vision; shape and position repeat what colour says.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
INK: Final = "#1b1f24"
QUIET: Final = "#57606a"
DRAWN_FILE: Final = Path(__file__).parent / "drawn.json"
_numbers = count(1)


def to_svg(chart: Drawing, title: str, subtitle: str, described: str) -> str:
    """Render a chart in the house style, with a text alternative."""
    return draw(in_house_style(chart, title, subtitle), title, described)


def in_house_style(chart: Drawing, title: str, subtitle: str) -> dict[str, Any]:
    """The chart as a Vega-Lite specification. Not validated again: that would take longer than the drawing."""
    import altair as alt

    styled = (
        chart.properties(title=alt.TitleParams(title, subtitle=subtitle, anchor="start", offset=14), background="white", padding=8)
        .configure(font="Helvetica, Arial, sans-serif")
        .configure_title(fontSize=17, subtitleFontSize=13, color=INK, subtitleColor=QUIET, subtitlePadding=6)
        .configure_axis(labelFontSize=13, titleFontSize=13, labelColor=INK, titleColor=QUIET, titleFontWeight=400, gridColor="#e5e8eb")
        .configure_view(stroke=None)
    )
    return dict(styled.to_dict(validate=False))


def name_of(specification: dict[str, Any]) -> str:
    """What a chart says, in short; not by which release of Altair it was said."""
    said = {key: value for key, value in specification.items() if key != "$schema"}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


@cache
def drawn() -> dict[str, str]:
    """Name of a chart -> its picture."""
    pictures: dict[str, str] = orjson.loads(DRAWN_FILE.read_bytes())["pictures"]
    return pictures


def render(specification: dict[str, Any]) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification))


def draw(specification: dict[str, Any], title: str, described: str) -> str:
    """Render, and give the picture a role, a title, a description and ids of its own."""
    svg = drawn().get(name_of(specification)) or render(specification)
    prefix = f"figure{next(_numbers)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r"\s(role|aria-label|aria-roledescription|aria-hidden)=\"[^\"]*\"", "", svg)  # the text alternative below says it all
    names = f'<title id="{prefix}title">{escape(title)}</title><desc id="{prefix}desc">{escape(described)}</desc>'
    svg = svg.replace("<svg ", f'<svg role="img" aria-labelledby="{prefix}title {prefix}desc" ', 1)
    head, _, rest = svg.partition(">")
    return f"{head}>{names}{rest}"
