"""From the fields of the entry form to FHIR R4 resources, so that the reader and the rules of every other record answer.

*Yes* is an entry, *no* is an explicit denial, and *not known* is no entry at all. Each resource names its concept by the key it has in
the knowledge, beside a code of a public system where one means exactly that.

Entered alone, everything is of today; as soon as somebody says since when, or a record stands beside it, only what was given a date has
one: the reader takes an entry without a date for the time of the lesion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any, Final

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.entry_form import FormGroup
from calcinosis.knowledge.model import Concept
from calcinosis.service.pages.form_codes import URI, exact_codes, in_unit, units_of, word_of
from calcinosis.service.pages.moments import NotRead, birth_date, moment
from calcinosis.sources.coding import CONCEPT_SYSTEM

Json = dict[str, Any]
Fields = Mapping[str, Sequence[str]]  # name -> values in the order sent

PATIENT: Final = "entered"
SEXES: Final = ("female", "male")
TAKING: Final = {"yes": "active", "past": "stopped", "no": "not-taken"}
RESULTS: Final = ("positive", "negative")
SECOND: Final = "2."  # before the names of the fields of the second lesion
MOST_DRUGS: Final = 40
_NAMES_LIKE: Final = 3
_LONGEST_NAME: Final = 40
_UCUM: Final = "http://unitsofmeasure.org"
_FLAG: Final = {"high": "H", "low": "L", "normal": "N"}
_NUMBER: Final = re.compile(r"(<=|>=|<|>|≤|≥)?\s*(\d{1,9}(?:[.,]\d{1,6})?)")
_THOUSANDS: Final = re.compile(r"\d{1,3},\d{3}")
_COMPARATOR: Final = {"≤": "<=", "≥": ">="}


@dataclass(frozen=True, slots=True)
class Question:
    """One thing the form asks. ``units`` are UCUM, the canonical one first; none: the result is positive or negative."""

    key: str
    label: str
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A group of the form, ready to be shown."""

    group: FormGroup
    questions: tuple[Question, ...]


@dataclass(slots=True)
class Entered:
    """What the fields say. ``problems``: name of a field -> what is wrong with it; a field with a problem adds nothing."""

    resources: list[Json] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def says_something(self) -> bool:
        """More than that there is a patient."""
        return len(self.resources) > 1 or bool({"gender", "birthDate"} & self.resources[0].keys())


class EntryForm:
    """The form of one version of the knowledge: what it asks, and how its fields become a record."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._codes = exact_codes(knowledge)
        self.groups = tuple(
            Asked(group, tuple(self._question(knowledge.concepts[key]) for key in group.concepts))
            for group in knowledge.entry_form.values()
        )  # fmt: skip
        self._units = {question.key: question.units for asked in self.groups for question in asked.questions}
        self._possible = {
            (key, unit): in_unit(lab.possible, unit, knowledge.concepts[key])
            for key, units in self._units.items() for unit in units
            if (lab := knowledge.concepts[key].lab) is not None and lab.possible is not None
        }  # fmt: skip
        self.placed = frozenset(q.key for asked in self.groups if asked.group.placed for q in asked.questions)
        drugs = [concept for concept in knowledge.concepts.values() if concept.kind == "drug" and (concept.synonyms or concept.patterns)]
        self.drugs = tuple(sorted(concept.label for concept in drugs))
        self._drug_keys = {
            **{phrase.casefold(): drug.key for drug in drugs for phrase in drug.synonyms if "*" not in phrase},
            **{drug.label.casefold(): drug.key for drug in drugs},
        }  # fmt: skip
        self.names = frozenset(
            {"age", "sex", "site", "since", "drug", "taking", "began", *(SECOND + name for name in ("site", "since", "shows"))}
            | {f"{kind}.{key}" for key in self._units for kind in ("q", "v", "u")}
            | {f"on.{asked.group.key}" for asked in self.groups if asked.group.kind == "results"}
        )  # fmt: skip

    def read(self, fields: Fields, today: date, *, beside: bool = False) -> Entered:
        """The record that the fields describe, as seen today; ``beside``: they add to a record that has dates of its own."""
        return _Reading(self, fields, today, beside=beside).done()

    def _question(self, concept: Concept) -> Question:
        return Question(concept.key, concept.label, units_of(concept, self._knowledge) if concept.lab else ())

    def coding(self, key: str, unit: str | None = None) -> Json:
        """The concept by its own key, and by a public code; of a measurement by the code for this unit."""
        codes = [code for code in self._codes.get(key, ()) if unit is None or code.unit == unit]
        public = [{"system": URI[code.system], "code": code.code} for code in codes[:1]]
        return {"coding": [{"system": CONCEPT_SYSTEM, "code": key}, *public]}

    def concept(self, key: str) -> Concept:
        return self._knowledge.concepts[key]

    def units(self, key: str) -> tuple[str, ...]:
        return self._units[key]

    def impossible(self, key: str, unit: str, number: float, *, lower_still: bool) -> str | None:
        """The limits in this unit, in words, if the number lies outside. ``lower_still``: it was given as a limit of detection."""
        low, high = self._possible.get((key, unit), (number, number))
        if number <= high and (number >= low or lower_still):
            return None
        return f"{_shown(low)} to {_shown(high)} {word_of(unit)}"

    def drug(self, name: str) -> str | None:
        return self._drug_keys.get(name.casefold())

    def drugs_like(self, name: str) -> list[str]:
        near = get_close_matches(name.casefold(), self._drug_keys, n=3, cutoff=0.7)
        return list(dict.fromkeys(self.concept(self._drug_keys[each]).label for each in near))

    def implied(self, key: str) -> tuple[str, ...]:
        return self._knowledge.ancestors[key]


@dataclass(frozen=True, slots=True)
class _Lesion:
    """One of the lesions: where it is, and since when. ``mark``: before the names of its fields and resources."""

    mark: str
    sites: tuple[str, ...]
    since: str | None


class _Reading:
    """One reading of the fields; the parts of :class:`Entered` grow as the groups are gone through."""

    def __init__(self, form: EntryForm, fields: Fields, today: date, *, beside: bool) -> None:
        self.form, self.fields, self.today = form, fields, today
        self.entered = Entered([{"resourceType": "Patient", "id": PATIENT}])
        self.yes: dict[str, str] = {}  # concept -> field
        self.no: dict[str, str] = {}
        self.first, self.second = self._lesion(""), self._lesion(SECOND)
        self.seen = None if beside else today.isoformat()
        self.when = None if self.first.since or self.second.since else self.seen  # of what is not the lesion itself

    def done(self) -> Entered:
        self._patient()
        for lesion in (self.first, self.second):
            self._stated(lesion)
        self._second()
        for asked in self.form.groups:
            on = self._moment(f"on.{asked.group.key}") if asked.group.kind == "results" else None
            for question in asked.questions:
                if asked.group.kind == "results":
                    self._result(question, on or self.when)
                elif asked.group.kind != "sites":
                    self._choice(question, asked.group)
            if asked.group.kind == "drugs":
                self._drugs()
        self._contradictions()
        unknown = len(self.fields.keys() - self.form.names)
        if unknown:
            self.entered.problems[""] = f"{unknown} {'field' if unknown == 1 else 'fields'} that this form does not have: left out."
        return self.entered

    def one(self, name: str) -> str:
        """The value of a field that stands once; of several the last counts, as in a browser."""
        values = self.fields.get(name) or ("",)
        return values[-1].strip()

    def problem(self, name: str, text: str) -> None:
        self.entered.problems.setdefault(name, text)

    def add(self, kind: str, key: str, name: str = "", **content: Any) -> None:
        about = {"subject": {"reference": f"Patient/{PATIENT}"}}
        if kind == "AllergyIntolerance":
            about = {"patient": about["subject"]}
        named = (name or key).replace("_", "-")[:56]
        said = {part: value for part, value in content.items() if value is not None}
        self.entered.resources.append({"resourceType": kind, "id": f"{PATIENT}-{named}", **about, **said})

    # --- the parts of the form ---------------------------------------------------------------------------

    def _patient(self) -> None:
        patient = self.entered.resources[0]
        sex, age = self.one("sex"), self.one("age")
        if sex in SEXES:
            patient["gender"] = sex
        elif sex:
            self.problem("sex", "Choose one of the answers.")
        if age:
            try:
                patient["birthDate"] = birth_date(age, self.today).isoformat()
            except NotRead as wrong:
                self.problem("age", str(wrong))

    def _moment(self, name: str, said: str | None = None) -> str | None:
        said = self.one(name) if said is None else said
        try:
            return moment(said, self.today) if said else None
        except NotRead as wrong:
            self.problem(name, str(wrong))
            return None

    def _lesion(self, mark: str) -> _Lesion:
        known = {question.key for asked in self.form.groups if asked.group.kind == "sites" for question in asked.questions}
        marked = list(dict.fromkeys(self.fields.get(f"{mark}site", ())))
        sites = tuple(site for site in marked if site in known)
        if len(sites) < len(marked):
            self.problem(f"{mark}site", "A site that the body map does not have was left out.")
        since = self._moment(f"{mark}since")
        if since and not sites and not self._shows(mark):
            self.problem(f"{mark}since", "Say what the lesion shows, or mark where it is.")
            since = None
        return _Lesion(mark, sites, since)

    def _shows(self, mark: str) -> bool:
        return bool(self.fields.get(f"{SECOND}shows")) if mark else any(self.one(f"q.{key}") == "yes" for key in self.form.placed)

    def _stated(self, lesion: _Lesion) -> None:
        """A marked site shows that something is there."""
        for asked in self.form.groups:
            if asked.group.states and lesion.sites:
                self._placed(asked.group.states, lesion)

    def _second(self) -> None:
        """What is ticked for the second lesion; what is not ticked is not known."""
        shown = list(dict.fromkeys(self.fields.get(f"{SECOND}shows", ())))
        for key in shown:
            if key in self.form.placed:
                self._placed(key, self.second)
            else:
                self.problem(f"{SECOND}shows", "Something that this form does not ask of a lesion was left out.")

    def _choice(self, question: Question, group: FormGroup) -> None:
        name = f"q.{question.key}"
        said = self.one(name)
        if said not in ("yes", "no", ""):
            self.problem(name, "Answer yes, no or not known.")
        if said not in ("yes", "no"):
            return
        (self.yes if said == "yes" else self.no)[question.key] = name
        kind = self.form.concept(question.key).kind
        if kind == "drug":
            self._drug(question.key, said)
        elif kind == "procedure":
            status = "completed" if said == "yes" else "not-done"
            self.add("Procedure", question.key, status=status, code=self.form.coding(question.key), performedDateTime=self.when)
        elif kind == "allergy":
            self.add("AllergyIntolerance", question.key, **self._verified(said, "allergyintolerance"), code=self.form.coding(question.key))
        elif group.placed and said == "yes":
            self._placed(question.key, self.first)
        else:
            self.add("Condition", question.key, **self._verified(said, "condition"), code=self.form.coding(question.key))

    def _placed(self, key: str, lesion: _Lesion) -> None:
        """Something at the sites of a lesion: as it is now, and as it began. What came before it began is no part of it."""
        came_before = self.form.concept(key).kind == "exposure"
        content = {**self._verified("yes", "condition"), "code": self.form.coding(key)}
        content["recordedDate"] = self.when if came_before else self.seen
        if lesion.sites:
            content["bodySite"] = [self.form.coding(site) for site in lesion.sites]
        name = lesion.mark.replace(".", "-") + key
        since = None if came_before else lesion.since
        if self.seen or not since:
            self.add("Condition", key, name, **content)
        if since:
            self.add("Condition", key, f"{name[:50]}.since", **{**content, "recordedDate": None}, onsetDateTime=since)

    def _verified(self, said: str, kind: str) -> Json:
        """Status and date of a condition or an allergy."""
        verification = "confirmed" if said == "yes" else "refuted"
        active = {"clinicalStatus": _status(kind, "clinical", "active")} if said == "yes" else {}
        return {**active, "verificationStatus": _status(kind, "verification", verification), "recordedDate": self.when}

    def _result(self, question: Question, when: str | None) -> None:
        name, key = f"v.{question.key}", question.key
        said = self.one(name)
        if not said:
            return None
        value: Json
        if not question.units:
            if said not in RESULTS:
                return self.problem(name, "Choose positive, negative or not known.")
            value = {"valueCodeableConcept": {"text": said}}
            return self._observation(key, None, value, when)
        if said.lower() in _FLAG:
            value = {"interpretation": [{"coding": [{"code": _FLAG[said.lower()]}]}]}
            return self._observation(key, None, value, when)
        if _THOUSANDS.fullmatch(said.lstrip("<>=≤≥ ")):
            return self.problem(name, "Is the comma a decimal sign? Write a point, and thousands without a sign.")
        match = _NUMBER.fullmatch(said)
        if match is None:
            return self.problem(name, "A number, also with < or >, or one of the words low, normal, high.")
        unit = self.one(f"u.{key}") or (question.units[0] if len(question.units) == 1 else "")
        if unit not in question.units:
            return self.problem(name, "Choose the unit." if not unit else "This unit does not measure it; choose another.")
        number = float(match[2].replace(",", "."))
        if limits := self.form.impossible(key, unit, number, lower_still=(match[1] or "").startswith(("<", "≤"))):
            return self.problem(name, f"{said} {word_of(unit)} cannot be: the form takes {limits}. Look at the number and at the unit.")
        quantity: Json = {"value": number, "unit": unit, "system": _UCUM, "code": unit}
        if match[1]:
            quantity["comparator"] = _COMPARATOR.get(match[1], match[1])
        return self._observation(key, unit, {"valueQuantity": quantity}, when)

    def _observation(self, key: str, unit: str | None, value: Json, when: str | None) -> None:
        self.add("Observation", key, status="final", code=self.form.coding(key, unit), effectiveDateTime=when, **value)

    def _drugs(self) -> None:
        names, taking, began = (self.fields.get(name, ()) for name in ("drug", "taking", "began"))
        if len(names) > MOST_DRUGS:
            self.problem("drug.0", f"More than {MOST_DRUGS} drugs.")
        misspelt = 0
        for place, name in enumerate(name.strip() for name in names[:MOST_DRUGS]):
            if not name:
                continue
            where, key = f"drug.{place}", self.form.drug(name)
            said = taking[place] if place < len(taking) else "yes"
            if key is None:
                misspelt += 1  # looking for names that are like it takes long
                like = " or ".join(self.form.drugs_like(name[:_LONGEST_NAME])) if misspelt <= _NAMES_LIKE else ""
                meant = f" Did you mean {like}?" if like else ""
                self.problem(where, f"No drug of the knowledge has this name, so no rule sees it.{meant}")
            elif said not in TAKING:
                self.problem(where, "Say whether it is taken.")
            else:
                if said != "past":
                    (self.yes if said == "yes" else self.no)[key] = where
                self._drug(key, said, f"drug-{place}")
                since = self._moment(where, began[place].strip() if place < len(began) else "")
                if since and said == "no":
                    self.problem(where, "What is not taken has no beginning.")
                elif since:
                    self._drug(key, said, f"drug-{place}.since", effectivePeriod={"start": since}, dateAsserted=None)

    def _drug(self, key: str, said: str, name: str = "", **when: Any) -> None:
        content = {"status": TAKING[said], "medicationCodeableConcept": self.form.coding(key), "dateAsserted": self.when, **when}
        self.add("MedicationStatement", key, name, **content)

    def _contradictions(self) -> None:
        """A *no* beside a *yes* that implies it is a slip of the pen; both are kept, and the form says so."""
        for key, name in self.yes.items():
            for implied in self.form.implied(key):
                if implied in self.no:
                    self.problem(self.no[implied], f"No here, but yes at “{self.form.concept(key).label}”, which is one.")
                    self.problem(name, f"Yes here, but no at “{self.form.concept(implied).label}”.")


def _shown(number: float) -> str:
    return f"{float(f'{number:.3g}'):.10g}"  # three digits, and never an exponent


def _status(kind: str, name: str, code: str) -> Json:
    """A status of HL7's own code systems."""
    system = "condition-ver-status" if (kind, name) == ("condition", "verification") else f"{kind}-{name}"
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}
