"""What a worker does with the records it is handed: read, assess together, and write the response.

It runs in a process of its own, so that neither parsing nor rules hold up the event loop; nothing here knows of HTTP.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from calcinosis.api import Readers, batch_of, make_readers
from calcinosis.assessment import assess_together
from calcinosis.contract import Assessment
from calcinosis.events import Batch
from calcinosis.orders import CheckedOrder, check_orders
from calcinosis.report.fhir_out import to_fhir_bundle
from calcinosis.service.audit import silence_libraries, where
from calcinosis.service.cards import Call, Cards, order_cards, patient_cards
from calcinosis.service.drafts import NotChecked, not_understood, read_drafts, selected
from calcinosis.service.prefetch import OtherPatient, entries, only
from calcinosis.sources.fhir import read_resources

_log = logging.getLogger("calcinosis.service")


@dataclass(frozen=True, slots=True)
class Job:
    """One record to answer.

    Attributes:
        body: the request as it came; ``fetched`` holds what was fetched in addition, as JSON of key -> resource. Of a page: the record,
            empty where there is none, and as ``fetched`` what was entered beside it, a JSON list of resources.
    """

    kind: Literal["json", "fhir", "page", "patient", "orders"]
    body: bytes
    fetched: bytes = b"{}"
    call: Call | None = None
    max_orders: int = 50
    full: bool = False  # of a page: every treatment option in detail


@dataclass(frozen=True, slots=True)
class Done:
    """The response, or why there is none (``status`` 4xx or 5xx, and ``detail``)."""

    body: bytes
    status: int = 200
    detail: str = ""
    rules: tuple[tuple[str, str], ...] = ()  # uuid of a card -> rule
    indicators: tuple[str, ...] = ()


class Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


_readers: Readers | None = None


def load(code_map: Path | None, rxterms: Path | None) -> None:
    """Load the knowledge once per worker, and run one record so that the first patient does not wait."""
    global _readers
    silence_libraries()
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    _readers = make_readers(None, code_map, rxterms)
    nobody = read_resources([{"resourceType": "Patient", "id": "nobody"}], _readers.index, _readers.text)
    _written(_assess([nobody], brief=False)[0], Job("page", b""))
    if multiprocessing.parent_process() is not None:
        settle_memory()


def settle_memory() -> None:
    """Tell the garbage collector to leave the knowledge alone: walking it again and again was a fifth of the time of a record."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def answer(jobs: Sequence[Job]) -> list[Done]:
    """Answer the jobs; one that cannot be answered does not disturb the others."""
    done: list[Done | None] = [None] * len(jobs)
    read: list[tuple[int, Batch]] = []
    for place, job in enumerate(jobs):
        try:
            if job.kind == "orders":
                done[place] = _orders(job)
            else:
                read.append((place, _read(job)))
        except Exception as error:
            done[place] = _failed(error)
    for brief in (True, False):
        group = [(place, batch) for place, batch in read if (jobs[place].kind == "patient") == brief]
        for place, found in zip([place for place, _ in group], _assess_all([batch for _, batch in group], brief=brief), strict=True):
            done[place] = found if isinstance(found, Done) else _guarded(found, jobs[place])
    return [each if each is not None else Done(b"", 500, "internal error") for each in done]


def _guarded(found: Assessment, job: Job) -> Done:
    try:
        return _written(found, job)
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> Done:
    if isinstance(error, Refused):
        return Done(b"", error.status, error.detail)
    _log.error("a record could not be answered: %s", where(error))
    return Done(b"", 500, "internal error")


def _ready() -> Readers:
    if _readers is None:
        raise RuntimeError("load() was not called")
    return _readers


def _read(job: Job) -> Batch:
    from calcinosis.service.pages.beside import with_entered  # the pages import this module

    readers = _ready()
    if job.kind == "page" and not job.body:
        return with_entered(None, job.fetched, readers)
    document = orjson.loads(job.body)
    if job.call is not None:
        return _of_the_patient(entries(_prefetch(document, job)), job.call, readers)
    batch = batch_of(document, readers)
    if batch.patients.height != 1:
        raise Refused(422, f"expected one patient, the record holds {batch.patients.height}")
    return with_entered(batch, job.fetched, readers) if job.kind == "page" else batch


def _of_the_patient(resources: Sequence[dict[str, Any] | None], call: Call, readers: Readers) -> Batch:
    try:
        return only(read_resources(resources, readers.index, readers.text), call.patient_id)
    except OtherPatient:
        raise Refused(412, "the FHIR data are about another patient than context.patientId") from None


def _prefetch(document: Any, job: Job) -> dict[str, Any]:
    brought = document.get("prefetch") or {}
    return {**brought, **orjson.loads(job.fetched)}


def _assess(batches: Sequence[Batch], *, brief: bool) -> list[Assessment]:
    return assess_together(batches, _ready().knowledge, brief=brief)


def _assess_all(batches: Sequence[Batch], *, brief: bool) -> list[Assessment | Done]:
    """Together; if that fails, one by one, so that the culprit fails alone."""
    if not batches:
        return []
    try:
        return list(_assess(batches, brief=brief))
    except Exception as error:
        if len(batches) == 1:
            return [_failed(error)]
        return [each for batch in batches for each in _assess_all([batch], brief=brief)]


def _written(found: Assessment, job: Job) -> Done:
    if job.call is not None:
        return _cards(patient_cards(found, _ready().knowledge, job.call))
    if job.kind == "fhir":
        return Done(orjson.dumps(to_fhir_bundle([found], at=datetime.now(UTC))))
    if job.kind == "page":
        from calcinosis.service.pages.answer import render_answer  # the pages import this module

        return Done(render_answer(found, _ready().knowledge, full=job.full).encode())
    return Done(found.model_dump_json().encode())


def _orders(job: Job) -> Done:
    if job.call is None:
        raise Refused(422, "orders need a patient")
    readers = _ready()
    document = orjson.loads(job.body)
    context = document["context"]
    sent = entries(_prefetch(document, job))
    drafts = read_drafts(context["draftOrders"], job.call.patient_id, sent)
    if len(drafts) > job.max_orders:
        raise Refused(413, f"more than {job.max_orders} draft orders")
    chosen, lost = drafts, list[NotChecked]()
    if isinstance(selections := context.get("selections"), list):
        chosen, lost = selected(drafts, context["draftOrders"], selections)
    record = _of_the_patient(sent, job.call, readers)
    orders = {draft.name: read_resources(draft.resources, readers.index, readers.text) for draft in drafts}
    checked: dict[str, CheckedOrder] = check_orders(record, orders, [draft.name for draft in chosen], readers.knowledge)
    lost += [NotChecked(each.name, each.shown, why) for each in chosen if (why := not_understood(each, orders[each.name]))]
    references = {draft.name: draft.reference for draft in chosen}
    return _cards(order_cards(checked, lost, references, readers.knowledge, job.call, lambda: _assess([record], brief=True)[0].warnings))


def _cards(cards: Cards) -> Done:
    shown = cards.sorted()
    return Done(orjson.dumps({"cards": shown}), rules=tuple(cards.rules.items()), indicators=tuple(card["indicator"] for card in shown))
