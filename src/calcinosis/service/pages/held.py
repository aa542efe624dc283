"""A record that stays in the page: the browser sends it again with every change, so the service need not keep it.

Compressed, so that a page with a record of megabytes stays a page. It is as trusted as an upload, that is, not at all.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib

import orjson

from calcinosis.service.problems import ProblemError
from calcinosis.service.settings import Settings
from calcinosis.service.smart_record import banner


def pack(record: bytes) -> str:
    """As the value of a hidden field: gzip, in base64."""
    return base64.b64encode(gzip.compress(record, compresslevel=6, mtime=0)).decode("ascii")


def unpack(held: str, settings: Settings) -> bytes:
    """The record again.

    Raises:
        ProblemError: 400 or 413.
    """
    inflate = zlib.decompressobj(wbits=31)
    try:
        record = inflate.decompress(base64.b64decode(held, validate=True), settings.max_body_bytes + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise ProblemError(400, "the record in this page is broken; choose the file again") from None
    if len(record) > settings.max_body_bytes:
        raise ProblemError(413, f"the record is larger than {settings.max_body_bytes} bytes")
    if not inflate.eof or inflate.unused_data:
        raise ProblemError(400, "the record in this page is broken; choose the file again")
    return record


def whom(record: bytes) -> str:
    """Name, birth date and sex as a FHIR record gives them, so that nobody adds to the wrong one; else empty."""
    document = orjson.loads(record)
    entries = document.get("entry") if isinstance(document, dict) else document
    for each in entries if isinstance(entries, list) else ():
        resource = each.get("resource", each) if isinstance(each, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
            return banner(resource)
    return ""
