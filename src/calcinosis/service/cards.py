"""From an assessment to CDS Hooks cards. Silence is a feature: no card without something to act on, and one card per matter.

Each card names the rule that fired, the entries of the record it rests on, and a source that can be opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from calcinosis.contract import AlarmOut, Assessment, Citation, FactOut, ReviewOut, TestOut
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.orders import CheckedOrder
from calcinosis.report.option_words import counted
from calcinosis.report.wording import URGENCY_WORD, clean, day, evidence, headline, lacking, leading_type, outcome_change, web_address
from calcinosis.service.drafts import NotChecked

Json = dict[str, Any]

SYSTEM: Final = "urn:calcinosis"
_SUMMARY: Final = 139  # the specification asks for fewer than 140 characters
_LABEL: Final = 90
_TESTS: Final = 3
_FACTS: Final = 6
_SAID: Final = 60
_WARNINGS: Final = 3
_WARNING: Final = 160
_INDICATORS: Final = ("critical", "warning", "info")
_OF_URGENCY: Final = {"immediate": "critical", "same_day": "critical", "urgent": "warning", "routine": "info"}
_OF_VERDICT: Final = {"contraindicated": "critical", "caution": "warning"}
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@-]|:(?=//)|(?<=\bwww)\.)", re.IGNORECASE)
OVERRIDE_REASONS: Final = (
    ("known", "Known, and dealt with"),
    ("benefit-outweighs", "The benefit outweighs the risk in this patient"),
    ("record-wrong", "The record is wrong or out of date"),
    ("not-relevant", "Not relevant to this patient"),
    ("later", "Will be dealt with later"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """What the cards of one call share."""

    hook_instance: str
    patient_id: str
    encounter_id: str | None = None
    absent: tuple[str, ...] = ()  # kinds of data that nobody could provide
    remark: str | None = None  # about the server that was asked
    app_url: str | None = None
    smart_launch_url: str | None = None


@dataclass(slots=True)
class Cards:
    """The cards of a call; ``rules`` tells for each uuid which rule it is about, so that feedback can be counted."""

    call: Call
    knowledge: Knowledge
    not_used: Sequence[str] = ()  # of the record, what could not be used in full and why
    cards: list[Json] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)

    def add(
        self, kind: str, key: str, indicator: str, summary: str, lines: Iterable[str], citations: Sequence[Citation], *, display: str,
        suggestions: Sequence[Json] = (), within: str = "",
    ) -> None:  # fmt: skip
        """``key`` names the rule; ``within`` tells several cards about one rule apart."""
        name = str(uuid5(NAMESPACE_URL, f"{self.call.hook_instance}/{kind}/{key}/{within}"))
        self.rules[name] = f"{kind}:{key}"
        told = [*lines, *_cited(citations, self.knowledge)]
        told += _in_short("Could not be used in full", self.not_used)
        if self.call.absent:
            told.append(f"Not available to this service, so unknown: {', '.join(self.call.absent)}.")
        if self.call.remark:
            told.append(escaped(self.call.remark))
        told.append(f"Supports a decision, never makes one. Knowledge base {self.knowledge.version}.")
        card: Json = {
            "uuid": name,
            "summary": shortened(summary, _SUMMARY),
            "detail": "\n\n".join(told),
            "indicator": indicator,
            "source": self._source(kind, key, citations, display),
            "overrideReasons": [{"code": c, "system": f"{SYSTEM}:override-reason", "display": d} for c, d in OVERRIDE_REASONS],
        }
        if suggestions:
            card |= {"suggestions": list(suggestions), "selectionBehavior": "any"}
        if links := self._links(f"{kind}:{key}"):
            card["links"] = links
        self.cards.append(card)

    def _source(self, kind: str, key: str, citations: Sequence[Citation], display: str) -> Json:
        source: Json = {"label": f"calcinosis knowledge base {self.knowledge.version}"}
        for citation in sorted(citations, key=lambda each: each.text == each.key):  # one with a title first
            if url := web_address(citation.url):
                source = {"label": shortened(_readable(citation, self.knowledge), _LABEL), "url": url}
                break
        return source | {"topic": {"system": f"{SYSTEM}:{kind}", "code": key, "display": shortened(display, _LABEL)}}

    def _links(self, rule: str) -> list[Json]:
        """The EHR hands ``appContext`` to the launched app, which then knows what the card was about; it says nothing of the patient."""
        links = []
        if self.call.smart_launch_url:
            links.append({"label": "Open the assessment", "url": self.call.smart_launch_url, "type": "smart", "appContext": rule})
        if self.call.app_url:
            links.append({"label": "Types, alarms and treatments with their sources", "url": self.call.app_url, "type": "absolute"})
        return links

    def suggestion(self, key: str, label: str, action: Json) -> Json:
        name = str(uuid5(NAMESPACE_URL, f"{self.call.hook_instance}/suggestion/{key}"))
        return {"label": shortened(label, 80), "uuid": name, "actions": [action]}

    def sorted(self) -> list[Json]:
        return sorted(self.cards, key=lambda card: _INDICATORS.index(card["indicator"]))


# --- patient-view ------------------------------------------------------------------------------------


def patient_cards(answer: Assessment, knowledge: Knowledge, call: Call) -> Cards:
    """Alarms, the leading type with the work-up that could change it, and current treatment to review."""
    cards = Cards(call, knowledge, answer.warnings)
    for alarm in answer.alarms:
        _alarm(cards, alarm)
    _leading(cards, answer)
    _reviews(cards, answer)
    return cards


def _alarm(cards: Cards, alarm: AlarmOut) -> None:
    urgency = URGENCY_WORD.get(alarm.urgency, alarm.urgency)
    lines = [
        f"**Rule {escaped(alarm.id)}:** {escaped(alarm.label)} ({urgency}).",
        *_listed("On record", _facts(alarm.facts)),
        *_listed("To consider", [escaped(action.text) for action in alarm.actions]),
    ]
    summary = f"{urgency.capitalize()}: {alarm.label}"
    cards.add("alarm", alarm.key, _OF_URGENCY[alarm.urgency], summary, lines, alarm.citations, display=alarm.label)


def _leading(cards: Cards, answer: Assessment) -> None:
    """The answer so far, when a missing test could change it. An answer that nothing can change asks for no action."""
    tests = [test for test in answer.workup if test.would_change][:_TESTS]
    if not tests:
        return
    found = headline(answer)
    type_ = leading_type(answer)
    mimic = next((each for each in answer.mimics if each.mimic == answer.leading_mimic), None)
    shown = type_ or mimic
    reasons = shown.reasons if shown else []
    lines = [f"**{escaped(found.line)}.** {' '.join(escaped(note) for note in found.notes)}".strip()]
    if reasons:
        lines.append(f"**Rule:** {escaped(reasons[0].label)}.")
        lines += _listed("On record", _facts([fact for reason in reasons for fact in reason.facts]))
    lines += _listed("Missing, and it could change the answer", [_what_it_changes(test, answer) for test in tests])
    key = answer.leading_mimic or answer.leading or "undetermined"
    urgencies = {each.key: each.urgency for each in cards.knowledge.types.values()}
    pressing = type_ is not None and urgencies[type_.type] == min(urgencies.values()) and type_.status.rank >= Status.POSSIBLE.rank
    missing = counted(len(tests), "missing test")
    cards.add(
        "leading", key, "warning" if pressing else "info", f"{found.answer}{_status(answer)}; {missing} could change this", lines,
        reasons[0].citations if reasons else tests[0].citations, display=found.answer,
        suggestions=[_order_test(cards, test) for test in tests],
    )  # fmt: skip


def _status(answer: Assessment) -> str:
    return f": {answer.leading_status.value.replace('_', ' ')}" if answer.leading_status else ""


def _what_it_changes(test: TestOut, answer: Assessment) -> str:
    changes = [f"{escaped(each.result)}: {escaped(change)}" for each in test.outcomes if (change := outcome_change(each, answer))]
    note = f". {escaped(test.note)}" if test.note else ""
    return f"{escaped(lacking(test))} ({'; '.join(changes)}){note}"


def _order_test(cards: Cards, test: TestOut) -> Json:
    call = cards.call
    request: Json = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {
            "coding": [*_loinc(cards.knowledge, test.test), {"system": f"{SYSTEM}:test", "code": test.test, "display": test.label}],
            "text": test.label,
        },
        "subject": {"reference": f"Patient/{call.patient_id}"},
    }
    if test.note:
        request["note"] = [{"text": test.note}]
    if call.encounter_id:
        request["encounter"] = {"reference": f"Encounter/{call.encounter_id}"}
    action = {"type": "create", "description": f"Order: {test.label}", "resource": request}
    return cards.suggestion(test.test, f"Order: {test.label}", action)


def _loinc(knowledge: Knowledge, key: str) -> list[Json]:
    """The code of a test that measures one quantity; a panel or an image has none of its own."""
    measured = {lab for outcome in knowledge.tests[key].outcomes for lab in outcome.labs}
    if len(measured) != 1 or any(outcome.concepts for outcome in knowledge.tests[key].outcomes):
        return []
    (lab,) = measured
    codes = [code.code for code in knowledge.codes if code.concept_key == lab and code.system == "LOINC" and code.relation == "exact"]
    return [{"system": "http://loinc.org", "code": codes[0], "display": knowledge.concepts[lab].label}] if codes else []


def _reviews(cards: Cards, answer: Assessment) -> None:
    """One card for all current treatment that deserves a second look.

    That a safety rule of some drug holds is this service's business only where calcification is in question; a drug that feeds the
    disease always is.
    """
    asked = [each for each in answer.review if each.kind == "review" or answer.leading is not None]
    if not asked:
        return
    indicator = min((_indicator(each) for each in asked), key=_INDICATORS.index)
    first = asked[0]
    more = f" (and {len(asked) - 1} more)" if len(asked) > 1 else ""
    lines = [line for each in asked for line in _issue(each)]
    if answer.review_not_checked:
        lines += _listed("Nobody knows whether the patient takes", [escaped(label) for label in answer.review_not_checked])
    cards.add(
        "review", first.key, indicator, f"Review current treatment: {first.label}{more}", lines, first.citations, display=first.label
    )  # fmt: skip


# --- order-select and order-sign ---------------------------------------------------------------------


def order_cards(
    checked: Mapping[str, CheckedOrder], not_checked: Sequence[NotChecked], references: Mapping[str, str | None], knowledge: Knowledge,
    call: Call, not_used: Callable[[], Sequence[str]],
) -> Cards:  # fmt: skip
    """One card for each order that something speaks against, and one for all about which nothing can be said.

    Args:
        references: how the client calls each order, where that names one order alone.
        not_used: what of the record could not be used in full; asked for where there is a card to say it on.
    """
    told = bool(not_checked) or any(order.issues for order in checked.values())
    cards = Cards(call, knowledge, not_used() if told else ())
    for name, order in checked.items():
        if order.issues:
            _order(cards, name, order, references.get(name))
    if not_checked:
        _not_checked(cards, not_checked)
    return cards


def _order(cards: Cards, name: str, order: CheckedOrder, reference: str | None) -> None:
    issues = sorted(order.issues, key=lambda each: _INDICATORS.index(_indicator(each)))
    first = issues[0]
    what = ", ".join(order.labels) or "This order"
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    lines = [line for each in issues for line in _issue(each)]
    lines += _listed("Contraindications that this record cannot answer", [escaped(label) for label in order.not_checked])
    remove = {"type": "delete", "description": f"Remove the draft order: {what}", "resourceId": reference}
    cards.add(
        "order", first.key, _indicator(first), f"{what}: {first.label}{more}", lines, first.citations, display=first.label,
        suggestions=[cards.suggestion(name, f"Remove the order: {what}", remove)] if reference else [],
        within=f"{first.treatment or first.kind}.{name}",
    )  # fmt: skip


def _not_checked(cards: Cards, orders: Sequence[NotChecked]) -> None:
    count = counted(len(orders), "order was", "orders were")
    shown = [
        escaped(f"{shortened(each.name, _SAID)}{f' ({shortened(each.shown, _SAID)})' if each.shown else ''}: {each.why}") for each in orders
    ]
    lines = [*_listed("Not checked", shown), "Nothing is said for or against these orders."]
    cards.add("order", "not_checked", "info", f"{count} not checked", lines, (), display="Orders that could not be checked")


def _indicator(each: ReviewOut) -> str:
    return _OF_VERDICT.get(each.verdict or "") or _OF_URGENCY.get(each.urgency or "", "info")


def _issue(each: ReviewOut) -> list[str]:
    grade = (each.verdict or each.urgency or "").replace("_", " ")
    rule = f"**Rule {escaped(each.key)}** ({grade}): {escaped(each.label)}. {escaped(each.text)}"
    return [rule, *_listed("On record", _facts(each.facts))]


# --- words -------------------------------------------------------------------------------------------


def _facts(facts: Iterable[FactOut]) -> list[str]:
    """Entries of the record in as few words as will do: label, value, day and where to find it."""
    told = []
    for each in evidence(facts):
        measured = each.said[:1].isdigit() or each.said.startswith(("<", ">"))
        value = " ".join(part for part in (shortened(each.said, _SAID) if measured else "", each.value) if part)
        told.append(escaped(", ".join(part for part in (each.labels[0], value, day(each.time), each.source) if part)))
    return told[:_FACTS] + ([f"and {len(told) - _FACTS} more entries"] if len(told) > _FACTS else [])


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return ["\n".join([f"{title}:", "", *(f"* {item}" for item in items)])] if items else []


def _in_short(title: str, items: Sequence[str]) -> list[str]:
    shown = [escaped(shortened(item, _WARNING)) for item in items[:_WARNINGS]]
    return _listed(title, shown + ([f"and {len(items) - _WARNINGS} more"] if len(items) > _WARNINGS else []))


def _cited(citations: Sequence[Citation], knowledge: Knowledge) -> list[str]:
    shown = []
    for each in citations:
        text, url = escaped(shortened(_readable(each, knowledge), _LABEL)), web_address(each.url)
        shown.append(f"[{text}]({_in_brackets(url)})" if url else text)
    return [f"Sources: {'; '.join(shown)}."] if shown else []


def _readable(citation: Citation, knowledge: Knowledge) -> str:
    """The reference; of a page without author, year and title, which would be cited by its key, what it is and where it stands."""
    source = knowledge.sources.get(citation.key)
    if citation.text != citation.key or source is None:
        return citation.text
    host = urlsplit(citation.url or "").hostname
    return " at ".join(part for part in (source.note, host) if part) or citation.key


def _in_brackets(url: str) -> str:
    """An address as Markdown takes it between round brackets; DOIs may hold such themselves."""
    return url.replace("(", "%28").replace(")", "%29")


def escaped(text: str) -> str:
    """Plain text inside GitHub Flavored Markdown: what stood in a record never becomes a link or an image, bare addresses neither."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def shortened(text: str, most: int) -> str:
    text = clean(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
