"""From the fields of the entry form to FHIR R4 resources, so that the reader and the rules of every other record answer.

*Yes* is an entry, *no* is an explicit denial, and *not known* is no entry at all. Each resource names its concept by the key it has in
the knowledge, beside a code of a public system where one means exactly that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any, Final

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.entry_form import FormGroup
from calcinosis.knowledge.model import Concept
from calcinosis.sources.coding import CONCEPT_SYSTEM
from calcinosis.units import UnknownUnit, canonical_factor

Json = dict[str, Any]
Fields = Mapping[str, Sequence[str]]  # name -> values in the order sent

PATIENT: Final = "entered"
SEXES: Final = ("female", "male")
TAKING: Final = {"yes": "active", "past": "stopped", "no": "not-taken"}
RESULTS: Final = ("positive", "negative")
OLDEST: Final = 130
MOST_DRUGS: Final = 40
_NAMES_LIKE: Final = 3
_LONGEST_NAME: Final = 40
_UCUM: Final = "http://unitsofmeasure.org"
_URI: Final = {
    "SNOMED": "http://snomed.info/sct", "LOINC": "http://loinc.org", "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm", "HPO": "http://human-phenotype-ontology.org",
    "MONDO": "http://purl.obolibrary.org/obo/mondo.owl",
}  # fmt: skip
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
        self._codes = _exact_codes(knowledge)
        self.groups = tuple(
            Asked(group, tuple(self._question(knowledge.concepts[key]) for key in group.concepts))
            for group in knowledge.entry_form.values()
        )  # fmt: skip
        self._units = {question.key: question.units for asked in self.groups for question in asked.questions}
        drugs = [concept for concept in knowledge.concepts.values() if concept.kind == "drug" and (concept.synonyms or concept.patterns)]
        self.drugs = tuple(sorted(concept.label for concept in drugs))
        self._drug_keys = {
            **{phrase.casefold(): drug.key for drug in drugs for phrase in drug.synonyms if "*" not in phrase},
            **{drug.label.casefold(): drug.key for drug in drugs},
        }  # fmt: skip
        self.names = frozenset(
            {"age", "sex", "site", "drug", "taking"}
            | {f"{kind}.{key}" for key in self._units for kind in ("q", "v", "u")}
        )  # fmt: skip

    def read(self, fields: Fields, today: date) -> Entered:
        """The record that the fields describe, as seen today."""
        return _Reading(self, fields, today).done()

    def _question(self, concept: Concept) -> Question:
        return Question(concept.key, concept.label, _units(concept, self._knowledge) if concept.lab else ())

    def coding(self, key: str, unit: str | None = None) -> Json:
        """The concept by its own key, and by a public code; of a measurement by the code for this unit."""
        codes = [code for code in self._codes.get(key, ()) if unit is None or code.unit == unit]
        public = [{"system": _URI[code.system], "code": code.code} for code in codes[:1]]
        return {"coding": [{"system": CONCEPT_SYSTEM, "code": key}, *public]}

    def concept(self, key: str) -> Concept:
        return self._knowledge.concepts[key]

    def units(self, key: str) -> tuple[str, ...]:
        return self._units[key]

    def drug(self, name: str) -> str | None:
        return self._drug_keys.get(name.casefold())

    def drugs_like(self, name: str) -> list[str]:
        near = get_close_matches(name.casefold(), self._drug_keys, n=3, cutoff=0.7)
        return list(dict.fromkeys(self.concept(self._drug_keys[each]).label for each in near))

    def implied(self, key: str) -> tuple[str, ...]:
        return self._knowledge.ancestors[key]


class _Reading:
    """One reading of the fields; the parts of :class:`Entered` grow as the groups are gone through."""

    def __init__(self, form: EntryForm, fields: Fields, today: date) -> None:
        self.form, self.fields, self.today = form, fields, today
        self.entered = Entered([{"resourceType": "Patient", "id": PATIENT}])
        self.yes: dict[str, str] = {}  # concept -> field
        self.no: dict[str, str] = {}
        self.sites: list[str] = []

    def done(self) -> Entered:
        self._patient()
        for asked in self.form.groups:
            if asked.group.kind == "sites":
                self._sites(asked)
        for asked in self.form.groups:
            for question in asked.questions:
                if asked.group.kind == "results":
                    self._result(question)
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
        named = (name or key).replace("_", "-")[:50]
        self.entered.resources.append({"resourceType": kind, "id": f"{PATIENT}-{named}", **about, **content})

    # --- the parts of the form ---------------------------------------------------------------------------

    def _patient(self) -> None:
        patient = self.entered.resources[0]
        sex, age = self.one("sex"), self.one("age")
        if sex in SEXES:
            patient["gender"] = sex
        elif sex:
            self.problem("sex", "Choose one of the answers.")
        if age:
            years = _plain_number(age)
            if years is None or years > OLDEST:
                self.problem("age", f"Age in years: a number from 0 to {OLDEST}.")
            else:
                patient["birthDate"] = _born(self.today, years).isoformat()

    def _sites(self, asked: Asked) -> None:
        known = {question.key for question in asked.questions}
        marked = list(dict.fromkeys(self.fields.get("site", ())))
        self.sites = [site for site in marked if site in known]
        if len(self.sites) < len(marked):
            self.problem("site", "A site that the body map does not have was left out.")
        if self.sites and asked.group.states:
            self._condition(asked.group.states, "yes", placed=True)

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
            when = self.today.isoformat()
            self.add("Procedure", question.key, status=status, code=self.form.coding(question.key), performedDateTime=when)
        elif kind == "allergy":
            self.add("AllergyIntolerance", question.key, **self._verified(said, "allergyintolerance"), code=self.form.coding(question.key))
        else:
            self._condition(question.key, said, placed=group.placed and said == "yes")

    def _condition(self, key: str, said: str, *, placed: bool) -> None:
        content = self._verified(said, "condition")
        if placed and self.sites:
            content["bodySite"] = [self.form.coding(site) for site in self.sites]
        self.add("Condition", key, **content, code=self.form.coding(key))

    def _verified(self, said: str, kind: str) -> Json:
        """Status and date of a condition or an allergy."""
        verification = "confirmed" if said == "yes" else "refuted"
        active = {"clinicalStatus": _status(kind, "clinical", "active")} if said == "yes" else {}
        return {**active, "verificationStatus": _status(kind, "verification", verification), "recordedDate": self.today.isoformat()}

    def _result(self, question: Question) -> None:
        name, key = f"v.{question.key}", question.key
        said = self.one(name)
        if not said:
            return None
        value: Json
        if not question.units:
            if said not in RESULTS:
                return self.problem(name, "Choose positive, negative or not known.")
            value = {"valueCodeableConcept": {"text": said}}
            return self._observation(key, None, value)
        if said.lower() in _FLAG:
            value = {"interpretation": [{"coding": [{"code": _FLAG[said.lower()]}]}]}
            return self._observation(key, None, value)
        if _THOUSANDS.fullmatch(said.lstrip("<>=≤≥ ")):
            return self.problem(name, "Is the comma a decimal sign? Write a point, and thousands without a sign.")
        match = _NUMBER.fullmatch(said)
        if match is None:
            return self.problem(name, "A number, also with < or >, or one of the words low, normal, high.")
        unit = self.one(f"u.{key}") or (question.units[0] if len(question.units) == 1 else "")
        if unit not in question.units:
            return self.problem(name, "Choose the unit." if not unit else "This unit does not measure it; choose another.")
        quantity: Json = {"value": float(match[2].replace(",", ".")), "unit": unit, "system": _UCUM, "code": unit}
        if match[1]:
            quantity["comparator"] = _COMPARATOR.get(match[1], match[1])
        return self._observation(key, unit, {"valueQuantity": quantity})

    def _observation(self, key: str, unit: str | None, value: Json) -> None:
        when = self.today.isoformat()
        self.add("Observation", key, status="final", code=self.form.coding(key, unit), effectiveDateTime=when, **value)

    def _drugs(self) -> None:
        names, taking = self.fields.get("drug", ()), self.fields.get("taking", ())
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

    def _drug(self, key: str, said: str, name: str = "") -> None:
        when = self.today.isoformat()
        content = {"status": TAKING[said], "medicationCodeableConcept": self.form.coding(key), "dateAsserted": when}
        self.add("MedicationStatement", key, name, **content)

    def _contradictions(self) -> None:
        """A *no* beside a *yes* that implies it is a slip of the pen; both are kept, and the form says so."""
        for key, name in self.yes.items():
            for implied in self.form.implied(key):
                if implied in self.no:
                    self.problem(self.no[implied], f"No here, but yes at “{self.form.concept(key).label}”, which is one.")
                    self.problem(name, f"Yes here, but no at “{self.form.concept(implied).label}”.")


def _status(kind: str, name: str, code: str) -> Json:
    """A status of HL7's own code systems."""
    system = "condition-ver-status" if (kind, name) == ("condition", "verification") else f"{kind}-{name}"
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def _exact_codes(knowledge: Knowledge) -> dict[str, list[Any]]:
    """Concept -> codes that mean it, and nothing else in the knowledge."""
    meanings: dict[tuple[str, str], int] = {}
    for code in knowledge.codes:
        meanings[code.system, code.code] = meanings.get((code.system, code.code), 0) + 1
    found: dict[str, list[Any]] = {}
    for code in knowledge.codes:
        if code.relation == "exact" and code.system in _URI and meanings[code.system, code.code] == 1:
            found.setdefault(code.concept_key, []).append(code)
    return found


def _units(concept: Concept, knowledge: Knowledge) -> tuple[str, ...]:
    """The canonical unit and those that laboratories send for it; where none is known, those of tests with the same canonical unit."""
    assert concept.lab is not None
    if concept.lab.unit is None:
        return ()
    own = tuple(_convertible(concept, (code.unit for code in knowledge.codes if code.concept_key == concept.key)))
    if len(own) > 1:
        return own
    alike = {key for key, each in knowledge.concepts.items() if each.lab and each.lab.unit == concept.lab.unit}
    return tuple(_convertible(concept, (code.unit for code in knowledge.codes if code.concept_key in alike)))


def _convertible(concept: Concept, units: Iterator[str | None]) -> Iterator[str]:
    assert concept.lab is not None and concept.lab.unit is not None
    for unit in dict.fromkeys((concept.lab.unit, *units)):
        if unit:
            try:
                canonical_factor(unit, concept.lab)
            except UnknownUnit:
                continue
            yield unit


def _plain_number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    return float(match[2].replace(",", ".")) if match and not match[1] else None


def _born(today: date, years: float) -> date:
    """The birth date of somebody who is this old today, to the day."""
    whole = int(years)
    day = today.replace(year=today.year - whole, day=28 if (today.month, today.day) == (2, 29) else today.day)
    return day - timedelta(days=round((years - whole) * 365.25))
