"""The fields of the entry form as the page shows them: where each stands, what it is called, how it was filled."""

from __future__ import annotations

from typing import Final

from calcinosis.service.pages.form_record import SECOND, EntryForm, Fields

_SPARE_ROWS: Final = 3


def filled(form: EntryForm, fields: Fields) -> frozenset[str]:
    """Groups in which something was answered, and ``second``: they stay open."""
    said = {name.partition(".")[2] for name, values in fields.items() if name[:2] in ("q.", "v.") and any(values)}
    groups = {asked.group.key for asked in form.groups if said & set(asked.group.concepts)}
    return frozenset(groups | ({SECOND} if any(any(fields[name]) for name in fields if name.startswith(SECOND)) else set()))


def filled_drugs(fields: Fields) -> list[tuple[str, str, str]]:
    """(name, whether it is taken, since when) of the drugs that were named, and some empty rows."""
    names, taking, began = (fields.get(name, ()) for name in ("drug", "taking", "began"))
    named = [place for place, name in enumerate(names) if name.strip()]
    rows = [
        (names[place], taking[place] if place < len(taking) else "yes", began[place] if place < len(began) else "")
        for place in range(max(named, default=-1) + 1)
    ]
    return rows + [("", "yes", "")] * _SPARE_ROWS


def anchor(name: str, form: EntryForm) -> str:
    """The id of the element of a field."""
    mark, name = (SECOND, name.removeprefix(SECOND)) if name.startswith(SECOND) else ("", name)
    kind, _, key = name.partition(".")
    if kind == "drug":
        return f"q-drug-{key}"
    if kind == "on":
        return f"q-on-{key}".replace("_", "-")
    if kind == "site":
        key = next(asked.group.states for asked in form.groups if asked.group.states) or ""
    return f"q-{mark}{key or kind or 'form'}".replace("_", "-").replace(".", "-")


def called(name: str, form: EntryForm) -> str:
    """What a field is called."""
    if name.startswith(SECOND):
        return f"Second lesion, {called(name.removeprefix(SECOND), form).lower()}"
    kind, _, key = name.partition(".")
    match kind:
        case "q" | "v":
            return form.concept(key).label
        case "on":
            return f"{next(asked.group.label for asked in form.groups if asked.group.key == key)}, date"
        case "drug":
            return f"Drug {int(key) + 1}"
        case "site":
            return "Body map"
        case "since":
            return "Since when"
        case "record":
            return "File"
    return kind.capitalize() or "Form"
