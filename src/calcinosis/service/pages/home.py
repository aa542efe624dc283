"""The start page: what this is, for whom, and the ways in."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse

from calcinosis.service.guard import api_client
from calcinosis.service.pages.shell import page, page_router

router = page_router(api_client)


@router.get("/")
async def home(request: Request) -> HTMLResponse:
    knowledge = request.app.state.knowledge
    papers = len({row.study for row in knowledge.studies})
    return page(request, "home.html.j2", knowledge=knowledge, papers=papers, servers=request.app.state.settings.smart)
