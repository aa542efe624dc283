"""Files of FHIR JSON: finding them, telling documents from lines, and handing their resources on one by one.

Lines (Bulk NDJSON) are read by DuckDB directly. Documents (a Bundle, a single resource, a list) and lines that DuckDB cannot
use come through here: each resource becomes one line of a temporary file, marked with its file and its place in it.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import orjson

from calcinosis.sources.fhir_columns import SPOOLED

MAX_LINE: Final = 100 * 1024 * 1024  # bytes of one resource
MAX_DOCUMENT: Final = 512 * 1024 * 1024  # bytes of one Bundle; larger ones belong into NDJSON
HEAD: Final = 256 * 1024
_JSON_NAME: Final = re.compile(r"\.(?:json|ndjson|jsonl)(?:\.gz)?$", re.IGNORECASE)
_BUNDLE: Final = re.compile(rb'"resourceType"\s*:\s*"Bundle"')
_KIND: Final = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]+)"')
GZIP: Final = b"\x1f\x8b"
_BOMS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DEEPEST_BUNDLE: Final = 5
READ_ERRORS: Final = (OSError, EOFError, zlib.error)

Shape = Literal["lines", "document", "empty", "other"]


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was not used, before it reached a table. ``level`` "warning": nothing was lost."""

    category: str
    reason: str
    line: int | None = None
    record: str | None = None
    level: str = "error"


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource and its place: the line it stands on, or its number in the document (both from 1)."""

    place: int
    resource: dict[str, Any]


def unreadable(error: BaseException) -> Reject:
    """A file that ended in one of ``READ_ERRORS``."""
    return Reject("unreadable", f"the file cannot be read: {getattr(error, 'strerror', None) or error}")


def find_files(paths: Sequence[Path]) -> tuple[list[Path], list[OSError]]:
    """The files given, and those below the folders given (through links, too), once each; hidden files in folders are left out.

    Returns:
        The files, and the folders that cannot be looked into.
    """
    found: dict[Path, None] = {}
    closed: list[OSError] = []
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        inside: list[Path] = []
        seen: set[str] = set()
        for folder, below, names in os.walk(path, onerror=closed.append, followlinks=True):
            seen.add(os.path.realpath(folder))
            below[:] = sorted(name for name in below if os.path.realpath(Path(folder, name)) not in seen)  # a link may lead back
            named = (Path(folder, name) for name in names if not name.startswith("."))
            inside += [file for file in named if file.is_file() or not file.exists()]  # no pipe, which would wait; but a broken link
        found.update(dict.fromkeys(sorted(inside)))
    return list(found), closed


def is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == GZIP


def open_file(path: Path, gzipped: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if gzipped else path.open("rb")


def shape_of(path: Path, gzipped: bool) -> tuple[Shape, str | None]:
    """Whether DuckDB can read the file line by line, or it is one document; and the resource type that stands first.

    "other" is a file that is not JSON, and not named as such.
    """
    with open_file(path, gzipped) as stream:
        text = stream.read(HEAD).lstrip()
    kind = _KIND.search(text.partition(b"\n")[0])
    return shape_of_head(text, path.name), kind[1].decode() if kind else None


_FOREIGN: Final = (  # how files of other formats begin, and the way in
    (rb"<\?xml|<!DOCTYPE|<[A-Za-z][\w:]*[\s>]", "it looks like XML; of FHIR the JSON form is read"),
    (rb"(MSH|FHS|BHS)\|", "it looks like HL7 version 2; convert it to FHIR R4 first"),
    (rb"\{\\rtf|%PDF|PK\x03\x04", "it looks like a document; its text can be read from a FHIR DocumentReference (docs/fhir.md)"),
    (rb"PAR1|\"?\w+\"?([,;\t|]\"?\w+\"?)+\r?\n", "it looks like a table; OMOP and MEDS are read as whole folders (docs/omop.md)"),
    (rb"[\x09\x0a\x0d\x20-\x7e\x80-\xff]{20}", "a letter as plain text is read from a FHIR DocumentReference (docs/fhir.md)"),
)


def not_json(text: bytes) -> str:
    """The refusal of a file that is not JSON, with the way in where its beginning tells what it is."""
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "; ".join(["the file is not JSON", *(hint for pattern, hint in _FOREIGN if re.match(pattern, text))][:2])


def shape_of_head(text: bytes, name: str) -> Shape:
    """The shape of a file that begins like this (``HEAD`` bytes, without the white space before them)."""
    if not text:
        return "empty"
    if text[:3] in _BOMS or text[:2] in _BOMS:
        return "document"
    if text[:1] not in (b"{", b"["):
        return "lines" if _JSON_NAME.search(name) else "other"
    first, newline, rest = text.partition(b"\n")
    if not newline or (_is_json(first) and not rest.strip()):  # all on one line
        return "document" if _BUNDLE.search(first) or first[:1] == b"[" else "lines"
    if _is_json(first):
        return "lines"
    if first[:1] == b"[":
        return "document"
    if rest.lstrip()[:1] != b"{":
        return "document"  # indented
    return "document" if _goes_on(text, rest) else "lines"


def _goes_on(text: bytes, rest: bytes) -> bool:
    """Whether a first line that is no JSON by itself goes on in the next ones, which begin as objects do: a Bundle with an entry a line.

    Else it is one broken line of many.
    """
    head = text.decode("utf-8", "ignore")  # the last character may be cut
    try:
        orjson.loads(head)
    except orjson.JSONDecodeError as error:
        if error.pos == len(head):  # nothing is wrong up to where the head is cut
            return not _is_json(rest)
    else:
        return True
    lines = [line.strip() for line in rest.split(b"\n")]
    entries = sum(line.strip(b",") != line and _is_json(line.strip(b",")) for line in lines)
    return entries > sum(map(_is_json, lines))


def document_entries(path: Path, gzipped: bool) -> Iterator[Entry | Reject]:
    """The resources of a Bundle, of a list, or of a single-resource file."""
    with open_file(path, gzipped) as stream:
        yield from entries_of(stream.read(MAX_DOCUMENT + 1))


def entries_of(data: bytes) -> Iterator[Entry | Reject]:
    """The resources of a document in memory."""
    if len(data) > MAX_DOCUMENT:
        yield Reject("too_large", f"one JSON document of more than {MAX_DOCUMENT // 2**20} MB; use NDJSON")
        return
    encoding = _BOMS.get(data[:3]) or _BOMS.get(data[:2])
    try:
        document = orjson.loads(data.decode(encoding) if encoding else data)
    except UnicodeDecodeError:
        yield Reject("malformed_json", "not valid text in the encoding that its first bytes announce")
    except orjson.JSONDecodeError as error:
        text = data.decode(encoding).encode() if encoding else data
        first, newline, rest = text.partition(b"\n")
        if newline and rest.strip() and (encoding or _is_json(first)):  # NDJSON with a byte order mark, or with a Bundle a line
            lines = text.split(b"\n")
            yield from line_entries((number, number, line) for number, line in enumerate(lines, start=1))
        else:
            yield Reject("malformed_json", _reason(error), line=error.lineno)
    else:
        yield from resources_of(document)


def line_entries(lines: Iterable[tuple[int, int, bytes]]) -> Iterator[Entry | Reject]:
    """The resources of (place, line number, line); blank lines are nothing."""
    for place, number, line in lines:
        if is_blank(line):
            continue
        if len(line) > MAX_LINE:
            yield Reject("too_large", f"one resource of more than {MAX_LINE // 2**20} MB", line=number)
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Reject("malformed_json", _reason(error), line=number)
            continue
        if isinstance(value, dict) and value.get("resourceType") == "Bundle":
            for item in resources_of(value, line=number):
                yield Entry(place, item.resource) if isinstance(item, Entry) else item
        else:
            yield _checked(value, place, number, None)


def resources_of(document: Any, *, line: int | None = None) -> Iterator[Entry | Reject]:
    """The resources in a parsed document, numbered from 1, with the references inside a Bundle resolved.

    A list may hold resources or entries of a Bundle (``{"fullUrl": ..., "resource": ...}``).
    """
    for place, (where, value) in enumerate(_unpacked(document, "", _DEEPEST_BUNDLE), start=1):
        yield replace(value, line=line, record=where) if isinstance(value, Reject) else _checked(value, place, line, where)


def is_blank(line: bytes) -> bool:
    return not line.strip(b" \t\r\n\f\v")


def numbered_lines(path: Path, gzipped: bool, ordinals: Iterable[int]) -> Iterator[tuple[int, int, bytes]]:
    """(ordinal, line number, line) of the wanted records: DuckDB counts the lines that are not blank, an editor counts all."""
    wanted = set(ordinals)
    ordinal = 0
    with open_file(path, gzipped) as stream:
        for number, line in enumerate(stream, start=1):
            if is_blank(line):
                continue
            ordinal += 1
            if ordinal in wanted:
                yield ordinal, number, line
                wanted.discard(ordinal)
                if not wanted:
                    return


def to_line(entry: Entry, file: int) -> bytes | Reject:
    """The entry as a line of the spool, with the fields that are read."""
    try:
        body = orjson.dumps({name: value for name, value in entry.resource.items() if name in SPOOLED})
    except (TypeError, ValueError, RecursionError):
        return Reject("malformed_json", "cannot be written as JSON", record=_name(entry.resource))
    return b'{"_file":%d,"_pos":%d,' % (file, entry.place) + body[1:]


def _reason(error: orjson.JSONDecodeError) -> str:
    return f"not JSON: {error.msg} at column {error.colno}"  # the message never quotes the text


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _name(resource: Mapping[str, Any]) -> str | None:
    kind, key = resource.get("resourceType"), resource.get("id")
    return f"{kind}/{key}" if isinstance(kind, str) and isinstance(key, str) else None


def _checked(value: Any, place: int, line: int | None, where: str | None) -> Entry | Reject:
    if not isinstance(value, dict):
        return Reject("not_an_object", "a resource is a JSON object", line, where)
    if not isinstance(value.get("resourceType"), str):
        return Reject("no_resource_type", "no resourceType", line, where)
    return Entry(place, value)


def _unpacked(value: Any, where: str, depth: int) -> Iterator[tuple[str | None, Any]]:
    """(path, resource or Reject) of everything in a resource, a Bundle or a list."""
    is_bundle = isinstance(value, dict) and value.get("resourceType") == "Bundle"
    if not is_bundle and not isinstance(value, list):
        yield where or None, value
        return
    entries = value.get("entry") if is_bundle else [item if _is_entry(item) else {"resource": item} for item in value]
    if depth == 0:
        yield where, Reject("nested_bundle", f"Bundles or lists nested deeper than {_DEEPEST_BUNDLE}")
    elif entries is None:
        yield where or None, Reject("empty_bundle", "a Bundle without entries", level="warning")
    elif not isinstance(entries, list):
        yield where or None, Reject("malformed_bundle", "entry is not a list")
    else:
        names = _names(entries)
        for number, entry in enumerate(entries):
            at = f"{where}{'.' if where and is_bundle else ''}{'entry' if is_bundle else ''}[{number}]"
            if not isinstance(entry, dict) or entry.get("resource") is None:
                yield at, Reject("no_resource", "an entry without a resource")
            elif isinstance(entry["resource"], dict) and entry["resource"].get("resourceType") != "Bundle":
                yield at, _resolved(entry["resource"], entry.get("fullUrl"), names)
            else:
                yield from _unpacked(entry["resource"], at, depth - 1)


def _is_entry(item: Any) -> bool:
    return isinstance(item, dict) and "resourceType" not in item and "resource" in item


def _names(entries: list[Any]) -> dict[str, str]:
    """fullUrl -> "Type/id" of the entries of a Bundle."""
    names = {}
    for entry in entries:
        resource, url = (entry.get("resource"), entry.get("fullUrl")) if isinstance(entry, dict) else (None, None)
        if isinstance(resource, dict) and isinstance(url, str):
            names[url] = f"{resource.get('resourceType')}/{resource.get('id') or _tail(url)}"
    return names


def _tail(url: str) -> str:
    return re.split(r"[/:]", url)[-1]


def _resolved(resource: dict[str, Any], url: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """The resource with its own id, and with the references that we follow as "Type/id"."""
    changed: dict[str, Any] = {}
    if resource.get("id") is None and isinstance(url, str) and url:
        changed["id"] = _tail(url)
    for name in ("subject", "patient", "medicationReference"):
        reference = resource.get(name)
        if isinstance(reference, dict) and isinstance(reference.get("reference"), str) and reference["reference"] in names:
            changed[name] = {**reference, "reference": names[reference["reference"]]}
    return {**resource, **changed} if changed else resource
