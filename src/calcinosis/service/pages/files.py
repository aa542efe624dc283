"""The files of the pages: style, icon, scripts. Their names carry a digest of what they hold, so a browser may keep them for good."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Request, Response

from calcinosis.service.problems import ProblemError

router = APIRouter(include_in_schema=False)  # open: they say nothing about anybody

_FOLDERS: Final = (("calcinosis.report", "templates", (".css",)), ("calcinosis.service.pages", "static", (".css", ".js", ".svg")))


@dataclass(frozen=True, slots=True)
class File:
    address: str
    kind: str
    body: bytes
    compressed: bytes


@cache
def _held() -> dict[str, File]:
    """File name -> file, read once."""
    found = {}
    for package, folder, endings in _FOLDERS:
        for each in resources.files(package).joinpath(folder).iterdir():
            stem, dot, ending = each.name.rpartition(".")
            if dot + ending in endings:
                body = each.read_bytes()
                name = f"{stem}-{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
                kind = mimetypes.guess_type(each.name)[0] or "application/octet-stream"
                found[each.name] = File(f"/static/{name}", kind, body, gzip.compress(body, mtime=0))
    return found


def address(name: str) -> str:
    """Where a file is served.

    Raises:
        KeyError: there is no such file.
    """
    return _held()[name].address


@router.get("/static/{name}")
async def static_file(name: str, request: Request) -> Response:
    file = next((each for each in _held().values() if each.address == f"/static/{name}"), None)
    if file is None:
        raise ProblemError(404, "no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, media_type=file.kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(file.body, media_type=file.kind, headers=headers)
