"""What a browser sent with the entry form, read within the limits of the service and in memory only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from calcinosis.service.limits import JSON_TYPES, read_body
from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings

_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_MOST_FIELDS: Final = 2_000
_LONGEST: Final = 200


@dataclass(slots=True)
class Submitted:
    """What a browser sent.

    Attributes:
        fields: in the order sent.
        record: the file that was uploaded, if any.
        held: a record that the page holds already (:mod:`~calcinosis.service.pages.held`).
        full: whether every treatment option is asked for in detail.
        visit: from a launch, what shows which record of whom this service put into the page.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    record: bytes | None = None
    held: str = ""
    visit: str = ""
    full: bool = False

    def add(self, name: str, value: str) -> None:
        if name == "held":
            self.held = value  # bounded as the whole body is
        elif name == "visit":
            self.visit = value
        elif name == "full":
            self.full = bool(value)
        elif len(name) > _LONGEST or len(value) > _LONGEST:
            raise ProblemError(413, f"a field is longer than {_LONGEST} characters")
        else:
            self.fields.setdefault(name, []).append(value)


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # nothing of a patient goes to a temporary file; the size was bounded before


async def read_submitted(request: Request, settings: Settings) -> Submitted:
    """The fields of a form, or a record alone (JSON).

    Raises:
        ProblemError: 400, 413 or 415.
    """
    body = await read_body(request, settings, (_URLENCODED, _MULTIPART, *JSON_TYPES))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in JSON_TYPES:
        return Submitted(record=body)
    return await _multipart(request, body, settings) if kind == _MULTIPART else _urlencoded(body)


def _urlencoded(body: bytes) -> Submitted:
    found = Submitted()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise ProblemError(400, "the form is malformed, or has too many fields") from None
    for name, value in pairs:
        found.add(name, value)
    return found


async def _multipart(request: Request, body: bytes, settings: Settings) -> Submitted:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    found = Submitted()
    parser = _InMemory(request.headers, once(), max_files=1, max_fields=_MOST_FIELDS, max_part_size=settings.max_body_bytes)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError):
        raise ProblemError(400, "the form is malformed, or has too many fields") from None
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            found.add(name, value)
        elif name == "record" and (content := await value.read()):
            found.record = content
    return found
