"""*Knowledge*: every entry with its statements, and every statement with its sources."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import HTMLResponse

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.reference import PAGES
from calcinosis.knowledge.usage import Usage, usage_of
from calcinosis.knowledge.wording import citation, cited, interval_in_words, places_of
from calcinosis.report import evidence_summary
from calcinosis.service.guard import knowledge_reader
from calcinosis.service.pages import links
from calcinosis.service.pages.finder import Finder
from calcinosis.service.pages.shell import page, page_router
from calcinosis.service.problems import ProblemError

router = page_router(knowledge_reader)
MOST_FOUND = 60


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is worked out once of the whole knowledge."""

    usage: Usage
    finder: Finder


_making = Lock()


def catalogue(request: Request) -> Catalogue:
    """Made for the first page that needs it (a third of a second)."""
    with _making:
        found: Catalogue | None = getattr(request.app.state, "catalogue", None)
        if found is None:
            knowledge = request.app.state.knowledge
            found = request.app.state.catalogue = Catalogue(usage_of(knowledge, PAGES), Finder(knowledge))
    return found


# The pages are made in a thread: the event loop stays free for the EHR.


@router.get("/knowledge")
def index(request: Request, q: Annotated[str, Query(max_length=200)] = "") -> HTMLResponse:
    knowledge: Knowledge = request.app.state.knowledge
    asked = " ".join(q.split())
    finder = catalogue(request).finder
    found, total = finder.find(asked, MOST_FOUND) if asked else ([], 0)
    groups: dict[str, list[Any]] = {}
    for each in found:
        groups.setdefault(each.table, []).append(each)
    return page(
        request, "knowledge.html.j2", knowledge=knowledge, tables=links.TABLES, asked=asked, groups=groups, total=total, shown=len(found),
        near=finder.near(asked) if asked and not found else [], links=links,
    )  # fmt: skip


@router.get("/knowledge/{table}")
def listing(request: Request, table: Annotated[str, Path(max_length=40)]) -> HTMLResponse:
    knowledge: Knowledge = request.app.state.knowledge
    records = _table(knowledge, table)
    if table == "concepts":
        records = dict(sorted(records.items(), key=lambda item: (item[1].kind, item[1].label.casefold())))
    elif table in ("mimics", "tests", "treatments", "findings"):
        records = dict(sorted(records.items(), key=lambda item: item[1].label.casefold()))
    elif table == "sources":
        records = dict(sorted(records.items()))
    about = links.TABLES[table]
    return page(request, "table.html.j2", knowledge=knowledge, table=table, about=about, records=records, links=links, citation=citation)


@router.get("/knowledge/{table}/{key}")
def entry(request: Request, table: Annotated[str, Path(max_length=40)], key: Annotated[str, Path(max_length=100)]) -> HTMLResponse:
    knowledge: Knowledge = request.app.state.knowledge
    record = _table(knowledge, table).get(key)
    if record is None:
        raise ProblemError(404, f"no such entry in {table}")
    usage = catalogue(request).usage
    used = usage.cited_by.get(key, []) if table == "sources" else usage.read_by.get((table, key), [])
    rows = [row for row in knowledge.studies if (row.study == key if table == "sources" else key in row.treatments)]
    return page(
        request, "entry.html.j2", knowledge=knowledge, table=table, record=record, about=links.TABLES[table], links=links, usage=usage,
        used_by=_grouped([each for each in used if each[0] != "study_rows"]), rows=rows if table in ("sources", "treatments") else [],
        cited=[each for each in cited(record) if each in knowledge.sources] if table != "sources" else [], citation=citation,
        places_of=places_of, origin=knowledge.origins[type(record).__name__, key], words=evidence_summary, interval=interval_in_words,
        tree=lambda criterion: links.criterion_tree(criterion, knowledge),
    )  # fmt: skip


def _table(knowledge: Knowledge, table: str) -> dict[str, Any]:
    if table not in links.TABLES:
        raise ProblemError(404, "no such table")
    return dict(getattr(knowledge, table))


def _grouped(places: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {table: [] for table in links.TABLES}
    for table, key in places:
        groups[table].append(key)
    return {table: keys for table, keys in groups.items() if keys}
