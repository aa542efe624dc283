"""What a search answered, and whether that is all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_NO_MATCH: Final = ("include", "outcome")  # search modes that ``total`` does not count


def entries_of(bundle: Mapping[str, Any]) -> list[Any]:
    listed = bundle.get("entry")
    return listed if isinstance(listed, list) else []


def says_failed(entry: Any) -> bool:
    """An outcome beside the matches that reports an error; warnings and remarks are common and say little."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict) or resource.get("resourceType") != "OperationOutcome":
        return False
    listed = resource.get("issue")
    issues = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return any(each.get("severity") in ("error", "fatal") for each in issues)


def next_page(bundle: Mapping[str, Any]) -> str | None:
    links = bundle.get("link")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            url: str = link["url"]
            return url
    return None


def falls_short(total: Any, entries: Iterable[Any]) -> bool:
    """Whether the server counts more matches than it sent, over all pages."""
    return type(total) is int and total > sum(_is_match(entry) for entry in entries)


def _is_match(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    search, resource = entry.get("search"), entry.get("resource")
    mode = search.get("mode") if isinstance(search, dict) else None
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    return kind is not None and kind != "OperationOutcome" and mode not in _NO_MATCH
