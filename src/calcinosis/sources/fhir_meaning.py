"""What a coded or written piece of a record means: from a CodeableConcept or a text to concepts, certainty and body sites."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from calcinosis.events import ENDED
from calcinosis.knowledge.model import Context
from calcinosis.sources.coding import ConceptIndex, system_name
from calcinosis.sources.excerpt import excerpt
from calcinosis.sources.fhir_columns import MAX_TEXT
from calcinosis.sources.fhir_values import Coded, Fields
from calcinosis.sources.text import Mention, TextReader

LONG_TEXT: Final = "long free text"
WITHOUT_UNIT: Final = "laboratory number without a unit in a text"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without patient, time and number: those stand in other columns of the row."""

    concept: str
    certainty: str
    sites: tuple[str, ...] = ()
    code: str = ""
    text_value: str | None = None
    flag: str | None = None
    days_before_onset: float | None = None
    status: str | None = None
    ended_on: datetime | None = None  # the last day, where a text tells when it ended
    measured: bool = False  # takes the quantity of its row; ``number``, ``comparator`` and ``unit`` are those of its own words
    needs_value: bool = False  # a laboratory concept without number, flag or text says nothing
    number: float | None = None
    comparator: str | None = None
    unit: str | None = None
    range_low: float | None = None
    range_high: float | None = None
    range_unit: str | None = None


@dataclass(slots=True)
class Meaning:
    """All that one distinct (resource type, packed fields) says.

    ``outcome`` is "used", "ignored" or "rejected"; ``category`` and ``reason`` say why not used.
    """

    drafts: list[Draft] = field(default_factory=list)
    outcome: str = "used"
    category: str | None = None
    reason: str | None = None
    problems: list[str] = field(default_factory=list)  # fields of the wrong type: the record was used in part
    unmapped: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)  # context, system, code, text
    not_read: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Concepts:
    """What one piece means. ``drafts`` hold concept, certainty, sites and code."""

    drafts: list[Draft] = field(default_factory=list)
    sites: tuple[str, ...] = ()
    days_before_onset: float | None = None

    def __bool__(self) -> bool:
        return bool(self.drafts or self.sites)


def union(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for group in groups for item in group))


def placed(drafts: Iterable[Draft], sites: tuple[str, ...]) -> list[Draft]:
    """The drafts, these sites added to the sites of each."""
    return [replace(draft, sites=union(draft.sites, sites)) if sites else draft for draft in drafts]


_DIVIDED: Final = re.compile(r"(?:/|\bper)\s*(?:100\s*)?$")  # "neutrophils/100 leukocytes", "protein/creatinine"
_BRACKETS: Final = re.compile(r"\[[^\]]*\]")
_FROM_TEXT: Final = ("affirmed", "negated", "uncertain", "family")  # of several mentions of one concept the first of these counts


class Interpreter:
    """Finds concepts through the codes first and the words second."""

    def __init__(self, index: ConceptIndex, reader: TextReader) -> None:
        self.index = index
        self.reader = reader

    def text(self, text: str | None, context: Context, meaning: Meaning) -> Concepts:
        """The mentions of a free text; one longer than ``MAX_TEXT`` is counted, not read."""
        if not text or not text.strip():
            return Concepts()
        if len(text) > MAX_TEXT:
            meaning.not_read[LONG_TEXT] += 1
            return Concepts()
        reading = self.reader.read(text, context)
        mentions = reading.mentions
        if any(self.index.kind(mention.concept) == "lab" and _DIVIDED.search(text[: mention.start]) for mention in mentions):
            # a ratio is neither of its parts
            mentions = tuple(mention for mention in mentions if self.index.kind(mention.concept) != "lab")
        drafts = merged(self._said(mention, text) for mention in mentions)
        if reading.without_unit:
            meaning.not_read[WITHOUT_UNIT] += reading.without_unit
        if reading.results or reading.values:
            stated = {result.concept for result in reading.results} | {value.concept for value in reading.values}
            drafts = [draft for draft in drafts if draft.concept not in stated]
            for result in reading.results:
                phrase = text[result.start : result.end]
                drafts += self.each_of(Draft(result.concept, "affirmed", code=f"text/{phrase}", text_value=phrase, flag=result.flag))
            drafts += [
                Draft(
                    value.concept, "affirmed", code=f"text/{text[value.start : value.end]}", flag=value.flag, number=value.number,
                    comparator=value.comparator, unit=value.unit or None, range_low=value.range_low, range_high=value.range_high,
                )
                for value in reading.values
            ]  # fmt: skip
        sites = reading.sites
        if context is Context.OBSERVATION and not sites and len(drafts) <= 1:  # "left elbow, 3 cm", "livedo racemosa of the thigh"
            sites = self.reader.read(text, Context.SITE).sites
            drafts = [replace(draft, sites=sites) for draft in drafts]
        return Concepts(drafts, sites, reading.days_before_onset)

    def each_of(self, draft: Draft) -> list[Draft]:
        """A result, and what it says of each quantity that its name stands for: "calcium and phosphate: normal" is two results.

        "Abnormal" and "positive" may be meant of one alone.
        """
        lab = self.index.concepts[draft.concept].lab
        if lab is None or draft.flag not in ("normal", "negative", "high", "low"):
            return [draft]
        return [draft, *(replace(draft, concept=key, measured=False, number=None, comparator=None, unit=None) for key in lab.stands_for)]

    def coded(self, coded: Coded | None, context: Context, meaning: Meaning) -> Concepts:
        """The concepts of a CodeableConcept.

        A code is exact about *what*, the words beside it are exact about *whether* and *where*: "calcinosis cutis of the elbow,
        ruled out" with the code for calcinosis cutis is a negated calcinosis. A laboratory code needs no reading.
        """
        if coded is None:
            return Concepts()
        found: dict[str, Draft] = {}
        sites: tuple[str, ...] = ()
        for system, code, _ in coded.codings:
            for concept, relation in self.index.lookup(system, code):
                if self.index.kind(concept) == "site":
                    sites = union(sites, (concept,))
                elif self.index.fits(concept, context):
                    certainty = "uncertain" if relation == "broader" else "affirmed"
                    if concept not in found or (found[concept].certainty, certainty) == ("uncertain", "affirmed"):
                        found[concept] = Draft(concept, certainty, code=f"{system_name(system)}/{code}")
        for text in coded.words if not found else (coded.text,):
            for concept, _ in self.index.lookup_text(text):
                found.setdefault(concept, Draft(concept, "affirmed", code=f"text/{text}"))
        if any(self.index.kind(concept) == "lab" for concept in found):
            return Concepts([self._lab(draft) for draft in found.values()], sites)
        if context is Context.OBSERVATION and not found:
            for text in coded.words:
                lab = self.reader.name_of_lab(text)
                if lab is not None:
                    return Concepts([self._lab(Draft(lab, "affirmed", code=f"text/{text}"))])
        if context is Context.DRUG and any(map(self.reader.local_forms.is_said, coded.words)):
            found = {draft.concept: draft for draft in self.applied(found.values())}
        concepts = self._with_words(coded, context, found, sites, meaning)
        if not concepts or (context is Context.OBSERVATION and not concepts.drafts):  # a place alone is no answer
            system, code, display = coded.codings[0] if coded.codings else (None, None, None)
            meaning.unmapped.append((context.value, system, code, coded.text or display))
        return concepts

    def applied(self, drafts: Iterable[Draft]) -> list[Draft]:
        """Drugs as what they count as on the skin, in the eye or the ear."""
        return merged(
            replace(draft, concept=self.reader.local_forms.counts_as(draft.concept)) if self.index.kind(draft.concept) == "drug" else draft
            for draft in drafts
        )

    def sites(self, fields: Fields, name: str, meaning: Meaning) -> tuple[str, ...]:
        """Body sites of a field that holds one CodeableConcept or several."""
        found: tuple[str, ...] = ()
        for item in fields.objects(name):
            found = union(found, self.coded(fields.as_coded(item, name), Context.SITE, meaning).sites)
        return found

    def notes(self, fields: Fields, context: Context, meaning: Meaning) -> Concepts:
        """The annotations of a resource, read one by one."""
        return joined(self.text(fields.typed(note.get("text"), str, "note.text"), context, meaning) for note in fields.objects("note"))

    def _with_words(self, coded: Coded, context: Context, found: dict[str, Draft], sites: tuple[str, ...], meaning: Meaning) -> Concepts:
        # "MCHC [Mass/volume] by Automated count": LOINC names a property in brackets, and means no lump by it
        asked = context is Context.OBSERVATION
        read = joined(self.text(_BRACKETS.sub(" ", text) if asked else text, context, meaning) for text in coded.words)
        if asked and any(map(self.reader.lab_names.of_other_specimen, coded.words)):
            read = Concepts(self.not_of_blood(read.drafts), read.sites, read.days_before_onset)
        said: dict[str, Draft] = {}
        for draft in sorted(read.drafts, key=lambda draft: _FROM_TEXT.index(draft.certainty)):
            said.setdefault(draft.concept, draft)
        sites = union(sites, read.sites)
        drafts = []
        for concept, draft in found.items():
            words = said.pop(concept, None)
            draft = replace(draft, text_value=coded.name)
            if words is None:
                drafts.append(replace(draft, sites=sites))
            else:
                drafts.append(replace(draft, certainty=words.certainty, sites=union(words.sites, sites)))
        rest = [draft for draft in read.drafts if said.get(draft.concept) is draft]
        drafts += [replace(draft, text_value=coded.name) for draft in rest] if context is Context.DRUG else rest  # with its dose
        if sum(draft.needs_value for draft in drafts) > 1:  # one number cannot be the result of two tests
            drafts = [draft for draft in drafts if not draft.needs_value]
        return Concepts(drafts, sites, read.days_before_onset)

    def not_of_blood(self, drafts: Iterable[Draft]) -> list[Draft]:
        """Without the quantities of blood: the calcium of urine is none."""
        return [draft for draft in drafts if not self.reader.lab_names.is_of_blood(draft.concept)]

    def _said(self, mention: Mention, text: str) -> Draft:
        phrase = text if len(text) <= len(mention.phrase) + 1 else mention.phrase
        around = excerpt(text, mention.start, mention.end)
        draft = Draft(mention.concept, mention.certainty, mention.sites, code=f"text/{phrase}", text_value=around)
        return self._lab(replace(draft, status=ENDED, ended_on=mention.ended_on) if mention.ended else draft)

    def _lab(self, draft: Draft) -> Draft:
        return replace(draft, needs_value=True, text_value=None) if self.index.kind(draft.concept) == "lab" else draft


def merged(drafts: Iterable[Draft]) -> list[Draft]:
    """One draft per concept and certainty, with the sites of all; what was said of no place stays apart, since it may lie elsewhere.

    Whether a drug is taken no more, the last words about it say: a letter tells the history before the drugs of today and the plan.
    """
    found: dict[tuple[str, str, bool], Draft] = {}
    last: dict[tuple[str, str], tuple[str | None, datetime | None]] = {}
    for draft in drafts:
        last[draft.concept, draft.certainty] = draft.status, draft.ended_on
        key = (draft.concept, draft.certainty, bool(draft.sites))
        found[key] = replace(found[key], sites=union(found[key].sites, draft.sites)) if key in found else draft
    ends = ((draft, *last[draft.concept, draft.certainty]) for draft in found.values())
    return [replace(draft, status=status, ended_on=ended_on) for draft, status, ended_on in ends]


def joined(parts: Iterable[Concepts]) -> Concepts:
    """Several texts about the same thing, as one."""
    whole = Concepts()
    for part in parts:
        whole.drafts += part.drafts
        whole.sites = union(whole.sites, part.sites)
        if whole.days_before_onset is None:
            whole.days_before_onset = part.days_before_onset
    whole.drafts = merged(whole.drafts)
    return whole
