"""What a call brings and what is fetched for it: from listed servers only, with bounds, and never at the cost of the call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import PATIENT, bundle, call, case, drug, patient_of, searchsets, stub

from calcinosis.service.app import make_app
from calcinosis.service.fhir_client import FhirClient
from calcinosis.service.prefetch import TEMPLATES, absent, provided, queries
from calcinosis.service.settings import Settings

VIEW = "/cds-services/calcinosis-patient-view"
TOKEN = "some-opaque-fhir-access-token"
AUTHORIZATION = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read", "subject": "cds-service4"}


def capable(version: Any) -> dict[str, Any]:
    return {"resourceType": "CapabilityStatement", "fhirVersion": version}


class Server:
    """A FHIR server on loopback with the record of one patient; a test may change its answer."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record, self.asked, self.tokens = searchsets(record), [], set()  # type: ignore[var-annotated]
        self.answer: Callable[[str], Any] | None = None
        self.metadata: Any = 200, capable("4.0.1")

    def __call__(self, path: str, headers: dict[str, str]) -> Any:
        self.asked.append(path)
        self.tokens.add(headers.get("authorization"))
        if path == "/fhir/metadata":
            return self.metadata
        if self.answer and (said := self.answer(path)) is not None:
            return said
        wanted = path.removeprefix("/fhir/").split("?")[0].split("/")[0]
        key = next((key for key, query in TEMPLATES.items() if query.startswith(wanted) and key in self.record), None)
        return (200, self.record[key]) if key else (404, {"resourceType": "OperationOutcome"})


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, str, Server]]:
    server = Server(case("b090"))
    with stub(server) as url:
        settings = Settings(workers=0, fhir_servers=[url + "/fhir"], fhir_seconds=2, fhir_pages=3, burst=10_000, fhir_bytes=300_000)
        with TestClient(make_app(settings), base_url="http://127.0.0.1") as client:
            yield client, url + "/fhir", server


@pytest.fixture(autouse=True)
def fresh(served: tuple[TestClient, str, Server]) -> None:
    served[2].asked.clear()
    served[2].tokens.clear()
    served[2].answer = None
    served[2].metadata = 200, capable("4.0.1")
    served[0].app.state.fhir._versions.clear()  # type: ignore[attr-defined]


def ask(client: TestClient, server: str | None, prefetch: Any = None, patient: str | None = None, **parts: Any) -> Any:
    body = call("patient-view", prefetch, patient or patient_of(case("b090")))
    return client.post(VIEW, json=body | ({"fhirServer": server, "fhirAuthorization": AUTHORIZATION} if server else {}) | parts)


def test_everything_is_fetched_when_nothing_was_prefetched(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    fetched = ask(client, url)
    assert fetched.status_code == 200 and server.tokens == {f"Bearer {TOKEN}", None} and len(server.asked) == len(TEMPLATES) + 1
    prefetched = ask(client, None, searchsets(case("b090")))
    assert [card["summary"] for card in fetched.json()["cards"]] == [card["summary"] for card in prefetched.json()["cards"]] != []


def test_only_what_is_missing_is_fetched(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    record = searchsets(case("b090"))
    del record["conditions"]
    record["procedures"] = None
    assert ask(client, url, record).status_code == 200
    assert {path.split("?")[0].removeprefix("/fhir/") for path in server.asked} >= {"Condition", "Procedure"}
    assert not any(path.startswith("/fhir/Patient") for path in server.asked)


def test_a_complete_prefetch_asks_nobody(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    everything = {key: {"resourceType": "Bundle", "type": "searchset"} for key in TEMPLATES} | searchsets(case("b090"))
    assert ask(client, url, everything).status_code == 200
    assert server.asked == []


@pytest.mark.parametrize("shape", ["other port", "other path", "prefix", "http", "userinfo", "file", "nonsense"])
def test_a_server_that_is_not_on_the_list_is_never_asked(served: tuple[TestClient, str, Server], shape: str) -> None:
    client, url, server = served
    address = {
        "other port": "http://127.0.0.1:1/fhir", "other path": url.removesuffix("/fhir") + "/other", "prefix": url + ".evil.example",
        "http": "http://fhir.example.org/fhir", "userinfo": url.replace("http://", "http://listed@"), "file": "file:///etc/passwd",
        "nonsense": "http://[",
    }[shape]  # fmt: skip
    assert ask(client, address, {"patient": PATIENT}, "p1").status_code == 200
    assert ask(client, address).status_code == 412
    assert server.asked == []


def pages(count: int, more: str | None = None) -> Callable[[str], Any]:
    def answer(path: str) -> Any:
        if "/Condition" not in path:
            return None
        page = int(path.partition("page=")[2] or 0)
        link = [{"relation": "next", "url": more or f"Condition?patient=x&page={page + 1}"}] if page + 1 < count else []
        condition = {"resourceType": "Condition", "id": f"c{page}", "subject": {"reference": "Patient/b090"}, "code": {"text": "Calciphylaxis"}}
        return 200, bundle(condition) | {"link": link}

    return answer


def conditions_known(response: Any) -> bool:
    assert response.status_code == 200
    return all("diagnoses" not in card["detail"].partition("Not available to this service")[2] for card in response.json()["cards"])


def test_pages_are_followed_within_bounds(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    server.answer = pages(3)
    assert conditions_known(ask(client, url))
    assert sum("/Condition" in path for path in server.asked) == 3
    server.asked.clear()
    server.answer = pages(1_000)
    assert not conditions_known(ask(client, url)), "half a list is not a list"
    assert sum("/Condition" in path for path in server.asked) == 3


def test_the_token_goes_to_no_other_server(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    heard: list[str] = []
    with stub(lambda path, _: (heard.append(path), (200, bundle()))[1]) as other:
        server.answer = pages(2, other + "/steal")
        assert not conditions_known(ask(client, url))
        server.answer = lambda path: (302, other + "/steal") if "/Condition" in path else None
        assert not conditions_known(ask(client, url))
    assert heard == []


@pytest.mark.parametrize(
    "said",
    [(500, {}), (401, {"resourceType": "OperationOutcome"}), (200, {"resourceType": "OperationOutcome"}), b"<html>", b"\xff\xfe", (200, [1]), b"[" * 100_000,
     (200, "text"), (200, bundle(*[{"resourceType": "Condition", "id": str(n), "note": "x" * 1000} for n in range(400)]))],
    ids=["500", "401", "outcome", "HTML", "not UTF-8", "list", "deep", "text", "too large"],
)  # fmt: skip
def test_a_search_that_fails_leaves_its_data_unknown(served: tuple[TestClient, str, Server], said: Any) -> None:
    client, url, server = served
    server.answer = lambda path: said if "/Condition" in path else None
    assert not conditions_known(ask(client, url))


def test_a_slow_server_does_not_hold_up_the_answer(served: tuple[TestClient, str, Server]) -> None:
    import time

    client, url, server = served
    server.answer = lambda _: time.sleep(4)
    start = time.perf_counter()
    assert ask(client, url, {"patient": PATIENT}, "p1").status_code == 200
    assert time.perf_counter() - start < 3.5


def test_one_slow_search_does_not_take_the_others_with_it(served: tuple[TestClient, str, Server]) -> None:
    import time

    client, url, server = served
    server.answer = lambda path: time.sleep(4) if "/Procedure" in path else None
    answer = ask(client, url)
    assert conditions_known(answer)
    details = [card["detail"] for card in answer.json()["cards"]]
    assert details and all("procedures" in each.partition("Not available to this service")[2] for each in details)


@pytest.mark.parametrize("severity", ["error", "fatal"])
def test_a_list_that_the_server_calls_incomplete_is_unknown(served: tuple[TestClient, str, Server], severity: str) -> None:
    client, url, server = served
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "incomplete"}]}
    whole = server.record["conditions"]
    server.answer = lambda path: (200, whole | {"entry": [*whole["entry"], {"resource": outcome}]}) if "/Condition" in path else None
    assert not conditions_known(ask(client, url))


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "schlüssel", "x\x00"])
def test_a_token_that_would_break_the_header_is_not_sent(served: tuple[TestClient, str, Server], token: str) -> None:
    client, url, server = served
    response = ask(client, url, {"patient": PATIENT}, "p1", fhirAuthorization=AUTHORIZATION | {"access_token": token})
    assert response.status_code == 200 and server.asked == []


def test_hosts_are_compared_whole() -> None:
    client = FhirClient(Settings(fhir_servers=["https://fhir.example.org/r4"]))
    assert client.allows("https://fhir.example.org/r4/")
    for wrong in ("https://fhir.example.org/r4x", "https://fhir.example.org", "https://fhir.example.org.evil/r4", "HTTPS://evil/r4"):
        assert not client.allows(wrong)


# --- what counts as an answer ------------------------------------------------------------------------


def test_null_and_errors_are_no_answer() -> None:
    prefetch = {"patient": PATIENT, "conditions": None, "laboratory": {"resourceType": "OperationOutcome"}, "allergies": bundle(), "devices": 3}
    assert provided(prefetch) == {"patient", "allergies"}
    assert set(queries("p1", provided(prefetch))) == set(TEMPLATES) - {"patient", "allergies"}
    assert all("{{" not in query for query in queries("p1", frozenset()).values())


def test_one_of_the_two_lists_of_drugs_is_enough() -> None:
    assert "prescriptions" in absent(frozenset(TEMPLATES) - {"medicationRequests", "medicationStatements"})
    assert absent(frozenset(TEMPLATES) - {"medicationRequests"}) == ()
    assert absent(frozenset(TEMPLATES)) == ()


def test_a_patient_summary_as_one_bundle_is_read(served: tuple[TestClient, str, Server]) -> None:
    record = case("b090")
    summary = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"resourceType": "Composition"}}, *record["entry"]]}
    found = ask(served[0], None, {"summary": json.loads(json.dumps(summary))})
    assert found.json()["cards"] and "Not available" not in found.json()["cards"][0]["detail"]


def test_a_drug_in_both_lists_is_read_once(served: tuple[TestClient, str, Server]) -> None:
    twice = drug("Colchicine", "m1", status="active")
    response = ask(served[0], None, {"patient": PATIENT, "medicationRequests": bundle(twice), "x": bundle(twice)}, "p1")
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("total", "whole"), [(1, True), (0, True), (2, False), (None, True), ("2", True)], ids=["as many", "fewer", "more", "none", "no number"]
)
def test_fewer_matches_than_the_server_counts_are_no_answer(served: tuple[TestClient, str, Server], total: Any, whole: bool) -> None:
    """Some servers cut a list short and give no link to the rest; what is included, and remarks, count for nothing."""
    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/b090"}, "code": {"text": "Calciphylaxis"}}
    extra = [
        {"resource": {"resourceType": "Medication", "id": "m"}, "search": {"mode": "include"}},
        {"resource": {"resourceType": "OperationOutcome", "issue": []}, "search": {"mode": "outcome"}},
    ]
    listed = {"resourceType": "Bundle", "type": "searchset", "total": total, "entry": [{"resource": condition}, *extra]}
    assert ("conditions" in provided({"conditions": listed})) == whole
    client, url, server = served
    server.answer = lambda path: (200, listed) if "/Condition" in path else None
    assert conditions_known(ask(client, url)) == whole


def test_the_count_is_over_all_pages(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    server.answer = lambda path: (200, pages(3)(path)[1] | {"total": 3}) if "/Condition" in path else None
    assert conditions_known(ask(client, url))


# --- which FHIR --------------------------------------------------------------------------------------


def test_the_version_is_asked_once_and_without_the_token(served: tuple[TestClient, str, Server]) -> None:
    client, url, server = served
    ask(client, url)
    ask(client, url)
    assert server.asked.count("/fhir/metadata") == 1


@pytest.mark.parametrize("version", ["5.0.0", "3.0.2", "1.0.2", "6.0.0-ballot3"])
def test_a_server_of_another_fhir_is_refused_aloud(served: tuple[TestClient, str, Server], version: str) -> None:
    """Read as R4, the drugs of R5 and the orders of DSTU2 would look as if there were none."""
    client, url, server = served
    server.metadata = 200, capable(version)
    refused = ask(client, url)
    assert refused.status_code == 412 and f"FHIR {version}" in refused.json()["detail"]
    record = searchsets(case("b090"))
    del record["procedures"]
    said = [card["detail"].replace("\\", "") for card in ask(client, url, record).json()["cards"]]
    assert said and all(f"The server speaks FHIR {version}" in each and "procedures" in each for each in said)


@pytest.mark.parametrize(
    ("answer", "words"),
    [((200, capable("4.3.0")), "R4B"), ((404, {}), "does not say"), ((200, capable(None)), "does not say"),
     ((200, capable("[x](https://evil.example)")), "does not say"), (b"<html>", "does not say")],
    ids=["R4B", "no metadata", "no version", "nonsense", "HTML"],
)  # fmt: skip
def test_what_is_not_surely_r4_is_read_and_told(served: tuple[TestClient, str, Server], answer: Any, words: str) -> None:
    client, url, server = served
    server.metadata = answer
    found = ask(client, url).json()["cards"]
    assert found and all(words in card["detail"] and "evil" not in card["detail"] for card in found)


def test_nothing_is_said_of_a_server_of_r4(served: tuple[TestClient, str, Server]) -> None:
    assert all("The server" not in card["detail"] for card in ask(served[0], served[1]).json()["cards"])
