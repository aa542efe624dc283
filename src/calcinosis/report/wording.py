"""Words that every report shares: status, headline, dates, facts in one line, and the references cited.

All text that came from a record passes through :func:`clean` before it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel

from calcinosis.contract import (
    DENIED,
    Assessment,
    Citation,
    FactOut,
    MimicAssessment,
    Missing,
    OnRecordOut,
    OutcomeOut,
    Reason,
    TestOut,
    TypeAssessment,
)
from calcinosis.knowledge.criteria import Status

STATUS_WORD: Final = {
    Status.CONFIRMED: "confirmed",
    Status.PROBABLE: "probable",
    Status.POSSIBLE: "possible",
    Status.NOT_ASSESSED: "not assessed",
    Status.UNLIKELY: "unlikely",
    Status.EXCLUDED: "excluded",
}
STATUS_SIGN: Final = {
    Status.CONFIRMED: "●",
    Status.PROBABLE: "◕",
    Status.POSSIBLE: "◑",
    Status.NOT_ASSESSED: "?",
    Status.UNLIKELY: "◔",
    Status.EXCLUDED: "○",
}
NO_ALARM: Final = "No alarm fires on what the record holds; that is not an all-clear."
URGENCY_WORD: Final = {"immediate": "act now", "same_day": "same day", "urgent": "urgent, within days"}
BASIS_WORD: Final = {
    "calcification": "first record of the calcification",
    "lesion": "first record of the lesion",
    "as_of": "the date asked for, or the last entry; no dated lesion on record",
    "unknown": "no dated record",
}
OWN_CODE: Final = "CALCINOSIS/"  # before the key of a concept that the record names by that key
UNKNOWNS_SHOWN: Final = 6  # concepts in a line; the others are counted, or folded away
UNUSABLE: Final = "on record, but not usable"
UNUSABLE_HOW: Final = "no interval for the age and sex, outside the window, a unit that could not be used, or only suspected"
BECAUSE_WORD: Final = {"source silent": "the record is silent"}

# Control characters, and the invisible ones that reorder or hide text (bidirectional overrides, zero-width joiners and spaces).
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")


def visible(text: str) -> str:
    """No control or escape characters (a terminal obeys them) and no mark that hides or reorders what is read."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def clean(text: str | None) -> str:
    """:func:`visible` text on one line."""
    return " ".join(visible(text).split()) if text else ""


def day(when: datetime | None) -> str:
    return when.date().isoformat() if when else "no date"


def person(assessment: Assessment) -> str:
    """Age and sex, or the words for what is not known; the age of today beside that of the index date where they differ by a year."""
    age, now = assessment.age_years, assessment.age_now_years
    years = "age unknown" if age is None else _age(age)
    if age is not None and now is not None and now - age >= 1:
        years = f"{_age(now)} (at the index date {_age(age)})"
    return f"{years}, {clean(assessment.sex) or 'sex unknown'}"


def _age(years: float) -> str:
    """Of an age to one decimal, cut off."""
    if years < 0.1:
        return "under 6 weeks"
    if years < 2:
        return f"about {years * 12:.0f} months"
    return f"{years:g} years" if years < 18 else f"{int(years)} years"


def index_day(assessment: Assessment) -> str:
    """The date that lab windows and age refer to, and where it comes from."""
    basis = BASIS_WORD.get(assessment.index_basis, assessment.index_basis)
    return f"{day(assessment.index_date)} ({basis})" if assessment.index_date else basis


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer in one line, and the remarks that must stand beside it."""

    answer: str
    subtype: str | None
    status: Status | None
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        status = f": {STATUS_WORD[self.status]}" if self.status else ""
        return f"{self.answer}{status}{f' · {self.subtype}' if self.subtype else ''}"


def headline(assessment: Assessment) -> Headline:
    notes: list[str] = []
    standing = [type_.label for type_ in assessment.types if type_.status.rank >= Status.PROBABLE.rank]
    if assessment.mixed:
        notes.append(f"Mixed picture: {join(standing)} stand at probable or confirmed.")
    if assessment.provisional:
        word = "Provisional: no" if assessment.leading_status in (Status.POSSIBLE, Status.PROBABLE) else "No"
        notes.append(f"{word} examination, imaging or biopsy in the record shows calcium yet.")
    if assessment.leading == "mimic":
        labels = {each.mimic: each.label for each in assessment.mimics}
        mimic = labels.get(assessment.leading_mimic or "", assessment.leading_mimic or "A mimic")
        notes.insert(0, "Something that can be taken for them leads, not one of the five types.")
        return Headline(mimic, None, assessment.leading_status, tuple(notes))
    leading = leading_type(assessment)
    if leading is None:
        notes.insert(0, "No type and no mimic reaches possible on what the record holds.")
        return Headline("Undetermined", None, None, tuple(notes))
    return Headline(leading.label, leading.subtype_label, assessment.leading_status, tuple(notes))


def in_short(assessment: Assessment) -> str:
    """The alarms and the answer in one line, for a reader who has one."""
    alarms = assessment.alarms
    urgency = URGENCY_WORD.get(alarms[0].urgency, alarms[0].urgency) if alarms else ""
    rings = f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''} ({urgency})" if alarms else "no alarm"
    provisional = ", provisional" if assessment.provisional and assessment.leading else ""
    return f"{rings} · {headline(assessment).line}{provisional}"


def leading_type(assessment: Assessment) -> TypeAssessment | None:
    return next((each for each in assessment.types if each.type == assessment.leading), None)


def decided_by(each: TypeAssessment) -> str:
    """The rule that set the status, in its own words."""
    if each.status is Status.NOT_ASSESSED:
        return f"not enough on record ({len(each.missing)} criteria unanswered)" if each.missing else "not enough on record"
    return each.reasons[0].label if each.reasons else ""


def is_standing(status: Status) -> bool:
    """At least possible: the reader must see why."""
    return status.rank >= Status.POSSIBLE.rank


@dataclass(frozen=True, slots=True)
class SetAside:
    """Mimics that the record makes unlikely or rules out for one and the same reason; a biopsy may answer for dozens."""

    reason: Reason | None
    mimics: tuple[MimicAssessment, ...]


def set_aside(mimics: Iterable[MimicAssessment]) -> list[SetAside]:
    """Those that do not stand, by the status and the reason that decided it, in the order given."""
    groups: dict[tuple[Status, str], list[MimicAssessment]] = {}
    for each in mimics:
        if not is_standing(each.status):
            groups.setdefault((each.status, each.reasons[0].model_dump_json() if each.reasons else ""), []).append(each)
    return [SetAside(group[0].reasons[0] if group[0].reasons else None, tuple(group)) for group in groups.values()]


def join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One entry of the record and everything it shows: ``labels`` are several when one entry shows several concepts."""

    labels: tuple[str, ...]
    said: str  # empty when it only repeats the label
    value: str  # empty for "present"
    time: datetime | None
    detail: str  # how many entries, first and last date; empty for a single entry
    source: str

    @property
    def what(self) -> str:
        labels = " / ".join(self.labels)
        measured = self.said[:1].isdigit() or self.said.startswith(("<", ">", "≤", "≥"))
        said = f" {self.said}" if measured else f" “{self.said}”" if self.said else ""
        return f"{labels}{said}{f' ({self.value})' if self.value else ''}"

    @property
    def when(self) -> str:
        """The date; empty for age and sex, which need none."""
        return "" if self.time is None and self.source.startswith("Patient/") else day(self.time)

    @property
    def where(self) -> str:
        return ", ".join(part for part in (self.when, self.detail, self.source) if part)

    @property
    def line(self) -> str:
        return f"{self.what}; {self.where}"


def evidence(facts: Iterable[FactOut]) -> list[Evidence]:
    """Facts as the reader sees them, one per entry of the record, in the order given."""
    groups: dict[tuple[str, str | None, str | None, datetime | None], list[FactOut]] = {}
    for fact in facts:
        groups.setdefault((fact.source, fact.said, fact.value, fact.time), []).append(fact)
    return [_evidence(group) for group in groups.values()]


def _telling(group: list[FactOut]) -> list[FactOut]:
    """Of the facts of one entry those that no other says as well: an eschar is a skin lesion, and "no lesions" denies eschars too."""
    there = {each.concept for each in group}
    if group[0].value in DENIED:
        return [each for each in group if there.isdisjoint(each.wider)]
    implied = {wider for each in group for wider in each.wider}
    return [each for each in group if each.concept not in implied]


def _evidence(group: list[FactOut]) -> Evidence:
    fact = group[0]
    telling = _telling(group)
    labels = tuple(dict.fromkeys(clean(each.label) for each in telling))
    said = clean(fact.said)
    if said.startswith(OWN_CODE):
        key = said.removeprefix(OWN_CODE)
        said = "" if any(each.concept == key for each in group) else key.replace("_", " ")
    most = max(telling, key=lambda each: each.count)
    detail = ""
    if most.count > 1:
        span = f", {day(most.first_time)} to {day(most.last_time)}" if most.first_time and most.first_time != most.last_time else ""
        detail = f"{most.count} entries{span}"
    return Evidence(
        labels=labels,
        said="" if said.casefold() in {each.casefold() for each in (*labels, fact.value or "")} else said,
        value="" if fact.value in (None, "present") else clean(fact.value),
        time=fact.time,
        detail=detail,
        source=clean(fact.source),
    )


STANDING_WORD: Final = {"taken": "Drugs taken", "unclear": "Drugs named, not known to go on", "ended": "Drugs ended"}

NO_RESULT: Final = {"never measured": "No result on record"}


def at_hand(record: OnRecordOut) -> list[tuple[str, list[str]]]:
    """What a reader checks first, line by line: (heading, entries); headings without entries are left out, but for drugs taken."""
    drugs: dict[str, list[str]] = {standing: [] for standing in STANDING_WORD}
    for drug in record.drugs:
        (entry,) = evidence([drug.fact])
        drugs[drug.standing].append(f"{entry.what} ({entry.when})")
    lines = [(word, drugs[standing]) for standing, word in STANDING_WORD.items()]
    if not record.drugs:
        lines[0] = (STANDING_WORD["taken"], ["no drug on record, which is not to say that none is taken"])
    lines.append(("Latest results", [f"{entry.what}, {entry.when}" for fact in record.labs for entry in evidence([fact])]))
    why: dict[str, list[str]] = {}
    for each in record.labs_unknown:
        why.setdefault(each.because, []).append(clean(each.label))
    lines += [(NO_RESULT.get(because, f"{because[:1].upper()}{because[1:]}"), labels) for because, labels in why.items()]
    return [(heading, entries) for heading, entries in lines if entries]


def lacking(test: TestOut) -> str:
    """The test, and whether a result of it is on record that decides nothing."""
    return f"{test.label} ({UNUSABLE})" if test.on_record else test.label


def unknowns(missing: Missing) -> list[tuple[str, list[str], list[str]]]:
    """Why a criterion cannot be answered: (reason, the first few concepts it holds for, the others)."""
    by_reason: dict[str, dict[str, None]] = {}
    for each in missing.unknown:
        by_reason.setdefault(BECAUSE_WORD.get(each.because, each.because), {})[clean(each.label)] = None
    return [(reason, list(labels)[:UNKNOWNS_SHOWN], list(labels)[UNKNOWNS_SHOWN:]) for reason, labels in by_reason.items()]


def outcome_change(outcome: OutcomeOut, assessment: Assessment) -> str:
    """What one result would change, in words; empty when it changes no status and no leading answer."""
    names = {each.type: each.label for each in assessment.types}
    changes = {key: STATUS_WORD[Status(status)] for key, status in outcome.changes.items()}
    parts: list[str] = []
    if outcome.leading != assessment.leading:
        becomes = changes.pop(outcome.leading, None) if outcome.leading else None
        who = "no type" if outcome.leading is None else names.get(outcome.leading, "a mimic")
        parts.append(f"{who} would lead{f' ({becomes})' if becomes else ''}")
    return "; ".join([*parts, *(f"{names.get(key, key)} becomes {word}" for key, word in changes.items())])


def citations_in(node: object) -> Iterator[Citation]:
    """Every citation below a record, in reading order (repeats included)."""
    if isinstance(node, Citation):
        yield node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from citations_in(getattr(node, name))
    elif isinstance(node, (list, tuple)):
        for each in node:
            yield from citations_in(each)


def citations_shown(assessment: Assessment) -> Iterator[Citation]:
    """What a page cites: of mimics that are set aside, only what decided."""
    standing = [each for each in assessment.mimics if is_standing(each.status)]
    yield from citations_in(assessment.model_copy(update={"mimics": standing}))
    yield from citations_in([group.reason for group in set_aside(assessment.mimics)])


def references(citations: Iterable[Citation]) -> list[Citation]:
    """Each reference once, by key."""
    return sorted({each.key: each for each in citations}.values(), key=lambda each: each.key)


def web_address(url: str | None) -> str | None:
    """The address if a browser may follow it: http and https only."""
    return url if url and re.match(r"https?://[^\s\"'<>]+$", url) else None
