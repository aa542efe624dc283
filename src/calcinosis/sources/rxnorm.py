"""RxNorm clinical drugs to their ingredients, from a file the user downloads.

The file is NLM's *RxTermsIngredientsYYYYMM.txt* (public domain, no licence, https://lhncbc.nlm.nih.gov/MOR/RxTerms):
``RXCUI|INGREDIENT|ING_RXCUI`` with a header row, one line per ingredient of each drug. It is not shipped with the package.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Final

from calcinosis.sources.site_files import utf8_text

_HEADER: Final = ("RXCUI", "INGREDIENT", "ING_RXCUI")


def load_rxterms(path: Path) -> dict[str, tuple[str, ...]]:
    """RXCUI of a clinical or branded drug -> RXCUIs of its ingredients.

    Raises:
        ValueError: naming file and line, when the file has another shape or is not UTF-8.
    """
    drugs: dict[str, tuple[str, ...]] = {}
    with StringIO(utf8_text(path)) as stream:
        header = tuple(name.strip().upper() for name in stream.readline().split("|"))
        if header[:3] != _HEADER:
            raise ValueError(f"{path}:1: expected the header {'|'.join(_HEADER)}")
        for line, text in enumerate(stream, start=2):
            if not text.strip():
                continue
            cells = [cell.strip() for cell in text.split("|")]
            if len(cells) < len(_HEADER):
                raise ValueError(f"{path}:{line}: expected {len(_HEADER)} columns, found {len(cells)}")
            if cells[0] and cells[2]:
                drugs[cells[0]] = (*drugs.get(cells[0], ()), cells[2])
    return drugs
