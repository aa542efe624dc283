"""*Evidence*: what was published, by treatment, type and disease.

The page of everything holds the map and the overview; a treatment has its plots and studies on a page of its own. All charts are drawn
already (:mod:`calcinosis.report.drawn`).
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from calcinosis.evidence.cells import compare_everything, rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.report import evidence_summary as words
from calcinosis.report.evidence_figures import EvidenceMap, evidence_map, map_figure
from calcinosis.report.evidence_page import chapter_of
from calcinosis.service.guard import knowledge_reader
from calcinosis.service.pages.shell import page, page_router
from calcinosis.service.problems import ProblemError

router = page_router(knowledge_reader)
Asked = Annotated[str, Query(max_length=100)]


# The page is made in a thread: the event loop stays free for the EHR.
@router.get("/evidence")
def evidence(
    request: Request, treatment: Asked = "", type_: Annotated[str, Query(alias="type", max_length=100)] = "", disease: Asked = ""
) -> HTMLResponse:
    knowledge: Knowledge = request.app.state.knowledge
    for table, key in (("treatments", treatment), ("types", type_), ("diseases", disease)):
        if key and key not in getattr(knowledge, table):
            raise ProblemError(404, f"The knowledge has no such entry in {table}.")
    place = type_ or None, disease or None
    lines = words.overview(knowledge, treatment or None, *place)
    rows = rows_of(knowledge, treatment or None, *place)
    everything = not (treatment or type_ or disease)
    found = evidence_map(knowledge, lines, place[1])
    single = knowledge.treatments[treatment] if treatment else None
    chapter = chapter_of(knowledge, single, lines, compare_everything(knowledge, treatment), *place) if single else None
    asked = {name: key for name, key in (("treatment", treatment), ("type", type_), ("disease", disease)) if key}
    kept = {name: key for name, key in asked.items() if name != "treatment"}
    labels = [knowledge.types[type_].label] if type_ else []
    labels += [knowledge.diseases[disease].label] if disease else []
    treatments = sorted(((each.label, key) for key, each in knowledge.treatments.items()), key=lambda pair: pair[0].casefold())
    return page(
        request, "evidence_page.html.j2", knowledge=knowledge, words=words, single=single, chapter=chapter, rows=rows,
        groups=words.by_type(lines), gaps=words.gaps(knowledge, lines), everything=everything, map=found,
        map_svg=_map_of_everything(request, found) if everything else None, asked=asked, query=urlencode(asked),
        place=", ".join(labels),
        studies_by_type=words.studies_by_type(rows, knowledge) if not everything and not single else {},
        references=words.references(knowledge, rows, [single]) if single else [],
        treatment_href=lambda key: f"/evidence?{urlencode({'treatment': key, **kept})}",
        choices={
            "treatment": ("Treatment", "all treatments", treatments),
            "type": ("Type", "all types", [(each.label, key) for key, each in knowledge.types.items()]),
            "disease": ("Disease", "all diseases", [(each.label, key) for key, each in knowledge.diseases.items()]),
        },
    )  # fmt: skip


def _map_of_everything(request: Request, found: EvidenceMap) -> Markup:
    """The knowledge does not change while the service runs: the map is made once."""
    state = request.app.state
    if not hasattr(state, "evidence_map"):
        state.evidence_map = Markup(map_figure(found))  # made by us from escaped text
    svg: Markup = state.evidence_map
    return svg
