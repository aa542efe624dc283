"""Hostile and broken bodies: a 4xx as problem+json, no 5xx, and nothing of the body in any log."""

from __future__ import annotations

import gzip
import io
import json
import logging
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import PATIENT, bundle, call

from calcinosis.service.limits import depth_of

ASSESS, VIEW = "/api/v1/assess", "/cds-services/calcinosis-patient-view"
JSON = {"Content-Type": "application/json"}
NAME = "Hildegard-Geheimnis-4711"


def deep(levels: int) -> bytes:
    return b'{"resourceType":"Bundle","entry":' + b"[" * levels + b"]" * levels + b"}"


def bomb(size: int) -> bytes:
    """A few kilobytes that inflate to ``size``."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9) as packed:
        packed.write(b'{"resourceType":"Bundle","entry":[')
        for _ in range(size // 1_000_000):
            packed.write(b" " * 1_000_000)
        packed.write(b"]}")
    return stream.getvalue()


GZIP = {**JSON, "Content-Encoding": "gzip"}
HOSTILE: dict[str, tuple[bytes, dict[str, str], set[int]]] = {
    "empty": (b"", JSON, {400}),
    "broken JSON": (b'{"resourceType": "Bundle", "' + NAME.encode(), JSON, {400}),
    "two documents": (b"{}{}", JSON, {400}),
    "not UTF-8": (b'{"resourceType":"\xff\xfe"}', JSON, {400}),
    "UTF-16": ('{"resourceType":"Bundle"}'.encode("utf-16"), JSON, {400}),
    "lone surrogate": (b'{"resourceType":"\\ud800"}', JSON, {400, 422}),
    "NaN": (b'{"resourceType":NaN}', JSON, {400}),
    "huge number": (b'{"resourceType":' + b"9" * 5000 + b"}", JSON, {400, 422}),
    "null byte": (b"\x00", JSON, {400}),
    "nested 100": (deep(100), JSON, {400}),
    "nested 100,000": (deep(100_000), JSON, {400}),
    "nested objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, JSON, {400}),
    "depth hidden behind quotes": (b'{"a":"\\"}","b":' + b"[" * 200 + b"]" * 200 + b"}", JSON, {400}),
    "100 MB": (b" " * 100_000_000, JSON, {413}),
    "3 MB of text": (json.dumps({"resourceType": "Bundle", "x": "y" * 3_000_000}).encode(), JSON, {413}),
    "gzip bomb of 500 MB": (bomb(500_000_000), GZIP, {413}),
    "gzip within gzip": (gzip.compress(bomb(1_000_000)), GZIP, {400}),
    "gzip that is none": (b"{}", GZIP, {400}),
    "gzip cut short": (gzip.compress(json.dumps(PATIENT).encode())[:-9], GZIP, {400}),
    "gzip with a tail": (gzip.compress(b"{}") + b"tail", GZIP, {400}),
    "deflate": (zlib.compress(b"{}"), {**JSON, "Content-Encoding": "deflate"}, {415}),
    "several encodings": (b"{}", {**JSON, "Content-Encoding": "gzip, gzip"}, {415}),
    "form": (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, {415}),
    "no content type": (b"{}", {"Content-Type": ""}, {415}),
    "XML": (b"<Bundle/>", {"Content-Type": "application/fhir+xml"}, {415}),
    "number": (b"7", JSON, {422}),
    "null": (b"null", JSON, {422}),
    "text": (b'"x"', JSON, {422}),
    "empty object": (b"{}", JSON, {422}),
    "empty list": (b"[]", JSON, {422}),
    "list of wrong types": (b'[1,null,"x",[],{},{"resourceType":7}]', JSON, {422}),
    "wrong types": (b'{"resourceType":["Bundle"],"entry":{"a":1}}', JSON, {422}),
    "entries of wrong types": (b'{"resourceType":"Bundle","entry":[1,null,"x",[],{"resource":5},{"resource":{"resourceType":7}}]}', JSON, {422}),
    "6,000 entries": (json.dumps({"resourceType": "Bundle", "entry": [{}] * 6_000}).encode(), JSON, {413}),
}  # fmt: skip


@pytest.mark.parametrize("path", [ASSESS, VIEW])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bodies_are_refused(client: TestClient, caplog: pytest.LogCaptureFixture, path: str, case: str) -> None:
    caplog.set_level(logging.DEBUG)
    body, headers, wanted = HOSTILE[case]
    response = client.post(path, content=body, headers=headers)
    wanted = wanted | {422} if path == VIEW else wanted  # there the shape of the call is checked first
    assert response.status_code in wanted, (case, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    assert NAME not in response.text and NAME not in caplog.text


def test_a_gzip_bomb_is_never_inflated(client: TestClient) -> None:
    import resource

    body = bomb(1_000_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert client.post(ASSESS, content=body, headers=GZIP).status_code == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_body_sent_in_pieces_without_length_is_bounded(client: TestClient) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    assert client.post(ASSESS, content=pieces(), headers=JSON).status_code == 413


def test_gzip_is_accepted(client: TestClient) -> None:
    body = gzip.compress(json.dumps(bundle(PATIENT)).encode())
    assert client.post(ASSESS, content=body, headers=GZIP).status_code == 200


@pytest.mark.parametrize(
    ("text", "depth"), [("", 0), ("1", 0), ("{}", 1), ('{"a":[{}]}', 3), ('{"[[[[":"]]]]"}', 1), ('["\\"[[["]', 1), ('["\\\\",[[]]]', 3), ('{"a":"\\\\\\"[["}', 1)]
)  # fmt: skip
def test_depth_is_found_without_parsing(text: str, depth: int) -> None:
    assert depth_of(text.encode()) == depth


# --- no patient data in logs -------------------------------------------------------------------------


def secret_records() -> Iterator[tuple[str, Any]]:
    person = {"resourceType": "Patient", "id": NAME, "name": [{"family": NAME}], "birthDate": "1950-01-01"}
    condition = {"resourceType": "Condition", "id": NAME, "subject": {"reference": f"Patient/{NAME}"}, "code": {"text": NAME}}
    strange = {"resourceType": "Observation", "id": NAME, "subject": {"reference": f"Patient/{NAME}"}, "code": {"text": f"{NAME} calcium"},
               "valueQuantity": {"value": NAME, "unit": NAME}}  # fmt: skip
    yield ASSESS, bundle(person, condition, strange)
    yield ASSESS, bundle(person | {"birthDate": NAME, "gender": [NAME]})
    yield ASSESS, {"resourceType": NAME}
    yield ASSESS, bundle(person, person | {"id": NAME + "2"})
    yield VIEW, call("patient-view", {"patient": person, "conditions": bundle(condition, strange)}, NAME)
    yield VIEW, call("patient-view", {NAME: NAME}, NAME)
    yield VIEW, call(NAME, {"patient": person}, NAME)
    yield VIEW, call("patient-view", {"patient": person}, NAME + "/x") | {"fhirServer": NAME}
    yield f"/api/v1/knowledge/types/{NAME}", None
    yield f"/{NAME}?{NAME}={NAME}", None


@pytest.mark.parametrize("number", range(10))
def test_no_patient_data_reaches_a_log(
    client: TestClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").propagate = False  # the test client itself; the service silences its own below
    path, body = list(secret_records())[number]
    response = client.get(path) if body is None else client.post(path, json=body)
    logging.getLogger("httpx2").propagate = True
    assert response.status_code < 500
    captured = capfd.readouterr()
    audit = client.app.state.settings.audit_log.read_text()  # type: ignore[attr-defined]
    for text in (caplog.text, captured.out, captured.err, audit):
        assert NAME not in text


def test_an_error_inside_is_told_by_type_and_place_only(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError(f"cannot read {NAME}")

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("calcinosis.service.work.batch_of", fail)
    response = client.post(ASSESS, json=bundle(PATIENT))
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    monkeypatch.setattr("calcinosis.service.limits.parse", fail)
    response = client.post(ASSESS, json=bundle(PATIENT))
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "ValueError at" in caplog.text and NAME not in caplog.text + response.text


@pytest.mark.usefixtures("client")  # loads the worker
def test_one_broken_record_does_not_disturb_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from calcinosis.service import work

    real = work.assess_together

    def choosy(batches: Any, *args: Any, **kwargs: Any) -> Any:
        if any(batch.patients["subject_id"][0] == "poison" for batch in batches):
            raise RuntimeError
        return real(batches, *args, **kwargs)

    monkeypatch.setattr(work, "assess_together", choosy)
    jobs = [work.Job("json", json.dumps(bundle(PATIENT | {"id": key})).encode()) for key in ("a", "poison", "b")]
    assert [done.status for done in work.answer(jobs)] == [200, 500, 200]
