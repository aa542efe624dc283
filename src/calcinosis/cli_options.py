"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer


def read_moment(text: str) -> datetime | None:
    """The end of a day, or a moment. Raises: typer.BadParameter: neither."""
    from calcinosis.facts import last_moment

    try:
        return last_moment(date.fromisoformat(text) if len(text) <= len("2024-05-01") else datetime.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a day such as 2024-05-01 nor a moment such as 2024-05-01T14:30:00") from None


AsOf = Annotated[
    datetime | None,
    typer.Option(
        help="Look at nothing that happened after this day (UTC), or moment (2024-05-01T14:30:00). Default: each patient's last entry.",
        parser=read_moment,
        metavar="DATE",
    ),
]
ClosedWorld = Annotated[
    list[str] | None,
    typer.Option(
        help="Kind of concept whose silence means absence: disease, drug, procedure, finding, exposure, device or allergy (repeatable)."
    ),
]
CodeMap = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="The site's own codes and texts: CSV with system,code,text,concept_key.")
]
RxTerms = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="NLM RxTermsIngredients file; rolls clinical drugs up to ingredients.")
]
Format = Annotated[str, typer.Option("--format", help="Format of the source: auto, fhir, phenopacket, omop or meds.")]
