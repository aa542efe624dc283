"""What the tests of the service share: records, calls, a stub server on loopback, and signed tokens."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"
Json = dict[str, Any]
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def case(name: str) -> Json:
    found: Json = json.loads((CASES / f"{name}.json").read_bytes())
    return found


def patient_of(bundle: Json) -> str:
    return next(str(e["resource"]["id"]) for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")


def searchsets(bundle: Json) -> Json:
    """The record as a client would prefetch it: one searchset per template."""
    kinds = {
        "Condition": "conditions", "Observation": "laboratory", "DiagnosticReport": "imaging", "Procedure": "procedures",
        "MedicationRequest": "medicationRequests", "MedicationStatement": "medicationStatements", "AllergyIntolerance": "allergies",
        "MedicationAdministration": "medicationStatements",
    }  # fmt: skip
    found: Json = {key: {"resourceType": "Bundle", "type": "searchset", "entry": []} for key in kinds.values()}
    found["pathology"] = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            found["patient"] = resource
        elif resource["resourceType"] in kinds:
            found[kinds[resource["resourceType"]]]["entry"].append({"resource": resource})
    return found


def drug(text: str, key: str = "draft-1", *, code: str | None = None, patient: str = "p1", status: str = "draft") -> Json:
    concept: Json = {"text": text} | ({"coding": [{"system": RXNORM, "code": code}]} if code else {})
    return {
        "resourceType": "MedicationRequest", "id": key, "status": status, "intent": "order", "authoredOn": "2026-01-10",
        "medicationCodeableConcept": concept, "subject": {"reference": f"Patient/{patient}"},
    }  # fmt: skip


def bundle(*resources: Json, kind: str = "searchset") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources]}


def egfr(value: float, patient: str = "p1") -> Json:
    return {
        "resourceType": "Observation", "id": "egfr", "status": "final", "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "33914-3"}], "text": "eGFR"}, "effectiveDateTime": "2026-01-05",
        "valueQuantity": {"value": value, "unit": "mL/min/{1.73_m2}", "system": "http://unitsofmeasure.org", "code": "mL/min/{1.73_m2}"},
    }  # fmt: skip


PATIENT: Json = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1961-03-04"}


def call(hook: str, prefetch: Json | None, patient: str = "p1", **context: Any) -> Json:
    """The shape of the request in https://cds-hooks.hl7.org/2.0/#http-request_1."""
    body: Json = {
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "hook": hook,
        "context": {"userId": "Practitioner/example", "patientId": patient, "encounterId": "89284", **context},
    }
    return body | ({"prefetch": prefetch} if prefetch is not None else {})


def order_call(*drafts: Json, prefetch: Json, hook: str = "order-sign", patient: str = "p1", **context: Any) -> Json:
    return call(hook, prefetch, patient, draftOrders=bundle(*drafts, kind="collection"), **context)


# --- a server on loopback ----------------------------------------------------------------------------

Answer = tuple[int, Any]


@contextmanager
def stub(answer: Callable[[str, dict[str, str]], Answer | bytes]) -> Iterator[str]:
    """Serves ``answer(path, headers)`` as JSON; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            status, body = (200, said) if isinstance(said, bytes) else (said[0], json.dumps(said[1]).encode())
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            if 300 <= status < 400:
                self.send_header("Location", str(said[1]))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client hung up
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- tokens ------------------------------------------------------------------------------------------

ISSUER = "https://fhir-ehr.example.com/"
BASE = "https://cds.example.org"


def ec_key(kid: str = "example-kid", curve: str = "P-384") -> ECKey:
    return ECKey.generate_key(curve, parameters={"kid": kid, "use": "sig"})


def rsa_key(kid: str = "example-rsa") -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig"})


def key_set(*keys: Any) -> Json:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def token(key: Any, *, header: Json | None = None, drop: tuple[str, ...] = (), path: str = "/cds-services", **claims: Any) -> str:
    """The header and payload of https://cds-hooks.hl7.org/2.0/#trusting-cds-clients, with what a test changes."""
    now = int(time.time())
    head = {"alg": "ES384", "typ": "JWT", "kid": key.kid, **(header or {})}
    body = {"iss": ISSUER, "aud": BASE + path, "exp": now + 240, "iat": now, "jti": str(uuid4()), **claims}
    head = {name: value for name, value in head.items() if name not in drop and value is not None}
    body = {name: value for name, value in body.items() if name not in drop}
    algorithms = [head.get("alg", "ES384")]
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    return jws.serialize_compact(head, json.dumps(body), key, algorithms=algorithms, registry=registry)
