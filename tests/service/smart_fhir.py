"""The FHIR R4 side of the EHR for the tests of the SMART launch: bearer tokens, scopes, one patient, strict searches, pages."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Json = dict[str, Any]

RESOURCE_SCOPE = re.compile(r"(patient|user)/(\*|[A-Z][A-Za-z]+)\.(c?r?u?d?s?|read|write|\*)(\?\S+)?")
LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}


class Broken(Exception):
    """A request breaks a rule."""

    def __init__(self, error: str, rule: str, status: int = 400) -> None:
        super().__init__(rule)
        self.error, self.rule, self.status = error, rule, status


class FhirSide:
    """Reads and searches within the patient of a token. What it needs of the authorization side stands in its attributes."""

    base: str
    page: int
    faults: Any
    records: dict[str, list[Json]]
    tokens: dict[str, Json]
    pages: dict[str, tuple[str, list[Json], int]]
    broken: list[str]
    searched: list[str]

    @property
    def fhir(self) -> str:
        return f"{self.base}/fhir"

    async def fhir_read(self, request: Request) -> Response:
        kind, key = request.path_params["kind"], request.path_params["key"]
        self.searched.append(f"{kind}/{key}")
        try:
            token = self._bearer(request)
            self._permitted(token, kind, "r")
        except Broken as broken:
            return self._noted(broken)
        if (said := self.faults.search(kind, {})) is not None:
            return said
        found = [each for each in self.records[token["patient"]] if each["resourceType"] == kind and each["id"] == key]
        if not found:
            return _outcome(Broken("not-found", "no such resource for this patient", 404))
        return JSONResponse(found[0], media_type="application/fhir+json")

    async def fhir_search(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        self.searched.append(f"{kind}?{request.url.query}")
        try:
            token = self._bearer(request)
            query = once(request.query_params.multi_items())
            constraint = self._permitted(token, kind, "s")
            found = self._search(kind, query, token["patient"])
            if constraint is not None:
                found = [each for each in found if _in_category(each, constraint)]
        except Broken as broken:
            return self._noted(broken)
        if (said := self.faults.search(kind, query)) is not None:
            return said
        size = min(self.page, int(query.get("_count", self.page)))
        bundle = self._bundle(kind, str(request.url), found, 0, size, request.headers["authorization"])
        return JSONResponse(self.faults.bundle(kind, bundle), media_type="application/fhir+json")

    def _search(self, kind: str, query: dict[str, str], patient: str) -> list[Json]:
        known = {"patient", "category", "code", "intent", "_include", "_count"}
        if unknown := set(query) - known:
            raise Broken("not-supported", f"search parameter {sorted(unknown)[0]} is not supported")
        if query.get("patient", "").removeprefix("Patient/") != patient:
            raise Broken("forbidden", "a search outside the patient of the launch", 403)
        found = [each for each in self.records[patient] if each["resourceType"] == kind]
        if "category" in query:
            found = [each for each in found if _in_category(each, query["category"])]
        if "code" in query:
            found = [each for each in found if _matches([each.get("code", {})], query["code"])]
        if "intent" in query:
            found = [each for each in found if each.get("intent") == query["intent"]]
        return found

    def _bundle(self, kind: str, address: str, found: list[Json], start: int, size: int, bearer: str) -> Json:
        """One page, with an opaque link to the next one."""
        here = found[start : start + size]
        links = [{"relation": "self", "url": address}]
        if start + size < len(found):
            token = secrets.token_urlsafe(12)
            self.pages[token] = (bearer, found, start + size)
            links.append({"relation": "next", "url": f"{self.base}/page/{token}?size={size}&kind={kind}"})
        entries = [
            {"fullUrl": f"{self.fhir}/{each['resourceType']}/{each['id']}", "resource": each, "search": {"mode": "match"}} for each in here
        ]
        return {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links, "entry": entries}

    async def next_page(self, request: Request) -> Response:
        try:
            self._bearer(request)
            bearer, found, start = self.pages[request.path_params["token"]]
            if bearer != request.headers["authorization"]:
                raise Broken("forbidden", "a page of somebody else's search", 403)
        except Broken as broken:
            return self._noted(broken)
        kind, size = request.query_params["kind"], int(request.query_params["size"])
        bundle = self._bundle(kind, str(request.url), found, start, size, bearer)
        return JSONResponse(self.faults.bundle(kind, bundle), media_type="application/fhir+json")

    def _bearer(self, request: Request) -> Json:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.tokens.get(value)
        if scheme != "Bearer" or token is None:
            raise Broken("login", "no valid bearer token", 401)
        if token["until"] < time.time():
            raise Broken("expired", "the token has expired", 401)
        if "access_token" in request.query_params:
            raise Broken("security", "a token in an address", 400)
        return token

    def _permitted(self, token: Json, kind: str, letter: str) -> str | None:
        """None, or the category that the scope is narrowed to."""
        narrowed: str | None = None
        for scope in token["scope"].split():
            match = RESOURCE_SCOPE.fullmatch(scope)
            if match and match[2] in ("*", kind) and letter in LETTERS.get(match[3], match[3]):
                if match[4] is None:
                    return None
                narrowed = match[4].removeprefix("?category=")
        if narrowed is None:
            raise Broken("forbidden", f"no scope for {kind}", 403)
        return narrowed

    def _noted(self, broken: Broken) -> Response:
        self.broken.append(broken.rule)
        return _outcome(broken)


def once(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Parameters that each stand once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Broken("invalid_request", "a parameter stands twice")
    return found


def _outcome(broken: Broken) -> Response:
    issue = {"severity": "error", "code": broken.error, "diagnostics": broken.rule}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status_code=broken.status, media_type="application/fhir+json")


def _in_category(resource: Json, token: str) -> bool:
    return _matches(resource.get("category", []), token)


def _matches(concepts: list[Json], tokens: str) -> bool:
    """Token search: ``system|code`` or ``code``, alternatives apart by commas."""
    codings = [coding for concept in concepts for coding in concept.get("coding", [])]
    for token in tokens.split(","):
        system, bar, code = token.rpartition("|")
        if any(coding.get("code") == code and (not bar or coding.get("system") == system) for coding in codings):
            return True
    return False
