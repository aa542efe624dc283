"""From a criterion to patients: FHIR records that make it true, false, or leave it open, whatever the criterion is about.

:func:`ways` finds what a record must say (atoms) for a criterion to have a truth value; :func:`record` says it as FHIR resources, with the
first words that the knowledge gives the concept. Nothing here knows a rule, a drug or a disease.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

from calcinosis.derived import DERIVED_FROM
from calcinosis.findings import expand
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import (
    AgeIs,
    All,
    AnyKnown,
    AnyOf,
    AtLeast,
    Criterion,
    Current,
    FindingRef,
    Has,
    HypothesisAtLeast,
    Known,
    LabIs,
    LabValue,
    Not,
    SexIs,
    Suspected,
)
from calcinosis.knowledge.model import Concept, Context
from calcinosis.units import conversion_factor

TODAY = date(2024, 6, 1)
AS_OF = datetime(2024, 6, 1, 12)
AGE, SEX = 45.0, "female"  # of a patient whose age and sex do not matter
Resource = dict[str, Any]
CODE_SYSTEMS = {"RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm", "SNOMED": "http://snomed.info/sct", "LOINC": "http://loinc.org"}


# --- atoms: what a record must say -------------------------------------------------------------------


@dataclass(frozen=True)
class Says:
    """Of a concept: "present", "now", "suspected", "absent" or "over"."""

    concept: str
    how: str
    at: str | None = None
    days_ago: int = 40


@dataclass(frozen=True)
class Measured:
    leaf: LabIs | LabValue
    truth: bool
    exactly: float | None = None  # this value, in the unit of the leaf


@dataclass(frozen=True)
class Person:
    leaf: AgeIs | SexIs
    truth: bool
    exactly: float | None = None


@dataclass(frozen=True)
class Picture:
    """A clinical picture that makes a hypothesis stand, or that lets it be judged and fall."""

    hypothesis: str
    stands: bool = True


EXPLAINED_BY = {"calciphylaxis": "dystrophic"}  # a calcified lesion of systemic sclerosis without anything ischaemic

Atom = Says | Measured | Person | Picture
Way = tuple[Atom, ...]


def ways(criterion: Criterion, truth: bool, knowledge: Knowledge) -> list[Way]:
    """The ways to give a criterion a truth value, each a set of atoms; none when explicit facts cannot do it.

    Every alternative of an ``any`` is a way of its own. A hypothesis is never unknown and is false while nothing is said.
    """
    criterion = expand(criterion)
    match criterion:
        case FindingRef():
            return ways(knowledge.findings[criterion.finding].when, truth, knowledge)
        case Not():
            return ways(criterion.not_, not truth, knowledge)
        case Known():
            return ways(criterion.known, truth, knowledge) or ([] if truth else [()])
        case AnyOf(any_=parts):
            return _each(parts, truth, knowledge) if truth else _together(parts, truth, knowledge)
        case AnyKnown(any_known=parts):
            return _each(parts, truth, knowledge)
        case All(all_=parts):
            return _together(parts, truth, knowledge) if truth else _one_fails(parts, knowledge)
        case AtLeast(at_least=n, of=parts):
            if not truth:
                return _together(parts, truth, knowledge)
            return [way for start in range(len(parts)) for way in _together((parts[start:] + parts[:start])[:n], truth, knowledge)]
        case Has():
            return [(Says(criterion.has, "present" if truth else "absent", criterion.at, days_ago=0),)]
        case Current() if not truth and not ends_by_itself(criterion.current, knowledge):
            return [(Says(criterion.current, "absent"),)]
        case Current():
            return [(Says(criterion.current, "now" if truth else "over", days_ago=_recent(criterion.within_days)),)]
        case Suspected():
            return [(Says(criterion.suspected, "suspected" if truth else "absent"),)]
        case LabIs():
            return [] if criterion.ever and not truth else [(Measured(criterion, truth),)]
        case LabValue():
            return [(Measured(criterion, truth),)]
        case AgeIs() | SexIs():
            return [(Person(criterion, truth),)]
        case HypothesisAtLeast():
            return [(Picture(criterion.hypothesis, stands=truth),)] if truth or criterion.hypothesis in EXPLAINED_BY else [()]
    return []  # same_site: no safety rule asks it directly


def ends_by_itself(concept: str, knowledge: Knowledge) -> bool:
    """The end of one statin says nothing of the others, and a procedure is done and does not go on."""
    alone = len(knowledge.ancestors[concept]) == 1 and len(knowledge.descendants[concept]) == 1
    return alone and knowledge.concepts[concept].kind != "procedure"


def _recent(within_days: float | None) -> int:
    """Some days ago, well inside the window of a criterion."""
    return 40 if within_days is None else min(40, int(within_days / 2))


def _each(parts: Sequence[Criterion], truth: bool, knowledge: Knowledge) -> list[Way]:
    return list(dict.fromkeys(way for part in parts for way in ways(part, truth, knowledge)))


def _together(parts: Sequence[Criterion], truth: bool, knowledge: Knowledge) -> list[Way]:
    """All parts at once: each way of each part, with the first way of the others that agrees with it."""
    possible = [ways(part, truth, knowledge) for part in parts]
    if not all(possible):
        return []
    found = []
    for place, mine in enumerate(possible):
        for way in mine:
            chosen = {place: way}
            for other, others in enumerate(possible):
                if other != place:
                    said = tuple(atom for each in chosen.values() for atom in each)
                    chosen[other] = next((each for each in others if _agrees((*said, *each))), others[0])
            found.append(tuple(dict.fromkeys(atom for each in sorted(chosen) for atom in chosen[each])))
    return [way for way in dict.fromkeys(found) if _agrees(way)]


def _one_fails(parts: Sequence[Criterion], knowledge: Knowledge) -> list[Way]:
    """One part is false, the others are true where they can be; then, for what else a record must say, one part false and no more."""
    found, alone = [], []
    speaking = [place for place, part in enumerate(parts) if not isinstance(part, HypothesisAtLeast)]
    for place, part in enumerate(parts):
        if speaking and place not in speaking:
            continue  # the other parts (an eschar) may themselves make the hypothesis stand
        others = [ways(other, True, knowledge)[:1] for at, other in enumerate(parts) if at != place]
        for way in ways(part, False, knowledge):
            found.append(tuple(dict.fromkeys([*way, *(atom for each in others for chosen in each for atom in chosen)])))
            alone.append(way)
    return [way for way in dict.fromkeys([*found, *alone]) if _agrees(way)]


def _agrees(way: Way) -> bool:
    """One patient has one sex, and nothing that is there and not there."""
    said = {how: {(atom.concept, atom.at) for atom in way if isinstance(atom, Says) and atom.how == how} for how in ("present", "absent")}
    if said["present"] & said["absent"]:
        return False
    sexes = {(atom.leaf.sex, atom.truth) for atom in way if isinstance(atom, Person) and isinstance(atom.leaf, SexIs)}
    return len({sex if truth else {"female": "male", "male": "female"}[sex] for sex, truth in sexes}) < 2



def measures(way: Way) -> Iterator[Measured | Person]:
    """The atoms with a numeric limit."""
    for atom in way:
        if (isinstance(atom, Measured) and isinstance(atom.leaf, LabValue)) or (isinstance(atom, Person) and isinstance(atom.leaf, AgeIs)):
            yield atom


# --- records -----------------------------------------------------------------------------------------


@dataclass
class Patients:
    """Records under construction, one patient each."""

    knowledge: Knowledge
    resources: list[Resource] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=count)

    def add(self, name: str, way: Iterable[Atom], *, born: bool = True) -> str:
        """A patient of whom the record says just this. ``born=False``: not even age and sex, unless the way asks for them."""
        who = f"s{len(self.names):06d}"  # subjects come sorted
        self.names.append(name)
        atoms = list(dict.fromkeys(way))
        age, sex = _age(atoms, default=born), _sex(atoms, default=born)
        patient: Resource = {"resourceType": "Patient", "id": who}
        if age is not None:
            patient["birthDate"] = _birth_date(age).isoformat()
        if sex is not None:
            patient["gender"] = sex
        self.resources.append(patient)
        for resource in record(atoms, age, sex, self.knowledge):
            subject = "patient" if resource["resourceType"] in ("AllergyIntolerance", "Device") else "subject"
            self.resources.append({**resource, "id": f"{who}-{next(self._ids)}", subject: {"reference": f"Patient/{who}"}})
        return who


def record(atoms: Sequence[Atom], age: float | None, sex: str | None, knowledge: Knowledge) -> Iterator[Resource]:
    measured: dict[str, list[Measured]] = {}
    for atom in atoms:
        if isinstance(atom, Says):
            yield from said(atom, knowledge)
        elif isinstance(atom, Picture):
            yield from picture(atom, knowledge)
        elif isinstance(atom, Measured):
            measured.setdefault(atom.leaf.lab if isinstance(atom.leaf, LabIs) else atom.leaf.value, []).append(atom)
    for lab, wanted in measured.items():
        yield measurement(lab, wanted, age, sex, knowledge)


def picture(atom: Picture, knowledge: Knowledge) -> Iterator[Resource]:
    """The fixed clinical pictures in which a type stands at "possible" or more, or is judged and falls below."""
    said_as = {
        "calciphylaxis": [("calciphylaxis", "suspected")],
        "metastatic": [("hyperphosphataemia", "present"), ("calcinosis_cutis", "present")],
        "dystrophic": [("systemic_sclerosis", "present"), ("calcinosis_cutis", "present")],
        "iatrogenic": [("calcium_infusion", "present"), ("calcinosis_cutis", "present")],
        "warfarin_necrosis": [("warfarin_skin_necrosis", "present")],
    }[atom.hypothesis if atom.stands else EXPLAINED_BY[atom.hypothesis]]
    for concept, how in said_as:
        yield from said(Says(concept, how, days_ago=0), knowledge)


# --- words -------------------------------------------------------------------------------------------


def phrases(concept: Concept) -> list[str]:
    """How a record may write the concept: its synonyms, and its patterns with the first choice of each word."""
    plain = [phrase.replace("*", "") for phrase in concept.synonyms]
    plain += [" ".join(word.split("|")[0] for word in pattern.split()).replace("*", "") for pattern in concept.patterns]
    return plain


def words_of(key: str, knowledge: Knowledge) -> tuple[Concept, str]:
    """A concept that shows ``key`` and its first phrase: itself if it has words, else something below it."""
    for each in (key, *sorted(set(knowledge.descendants[key]) - {key})):
        concept = knowledge.concepts[each]
        if phrases(concept):
            return concept, phrases(concept)[0]
    raise LookupError(f"{key}: nothing in the knowledge says how a record writes it")


def said(atom: Says, knowledge: Knowledge) -> Iterator[Resource]:
    concept, phrase = words_of(atom.concept, knowledge)
    yield stated(concept, phrase, atom.how, at=atom.at, days_ago=atom.days_ago)


def stated(
    concept: Concept, phrase: str, how: str, *, at: str | None = None, days_ago: int = 40, context: Context | None = None
) -> Resource:
    """One resource that says it, where such a thing usually stands (or in ``context``)."""
    text = {"text": phrase}
    before, ended = ((TODAY - timedelta(days=days)).isoformat() for days in (days_ago, max(days_ago // 4, 1)))
    site = {"bodySite": [{"text": at}]} if at else {}
    match context or usual_context(concept):
        case Context.DRUG:
            status = {"present": "active", "now": "active", "suspected": "intended", "absent": "not-taken", "over": "stopped"}[how]
            period = {"start": before} | ({"end": ended} if how == "over" else {})
            return {"resourceType": "MedicationStatement", "status": status, "medicationCodeableConcept": text, "effectivePeriod": period}
        case Context.PROCEDURE:
            status = {"now": "in-progress", "suspected": "preparation", "absent": "not-done"}.get(how, "completed")
            period = {"start": before} | ({"end": ended} if how == "over" else {})
            return {"resourceType": "Procedure", "status": status, "code": text, "performedPeriod": period, **site}
        case Context.CONDITION:
            verified = {"suspected": "provisional", "absent": "refuted"}.get(how, "confirmed")
            resource: Resource = {"resourceType": "Condition", "code": text, "recordedDate": before, **site}
            resource["verificationStatus"] = {"coding": [{"code": verified}]}
            if verified != "refuted":
                resource["clinicalStatus"] = {"coding": [{"code": "resolved" if how == "over" else "active"}]}
            return resource | ({"abatementDateTime": ended} if how == "over" else {})
        case Context.ALLERGY:
            verified = {"suspected": "unconfirmed", "absent": "refuted"}.get(how, "confirmed")
            return {"resourceType": "AllergyIntolerance", "code": text, "verificationStatus": {"coding": [{"code": verified}]}}
        case Context.DEVICE if how in ("present", "now"):
            return {"resourceType": "Device", "status": "active", "type": text}
        case Context.OBSERVATION:
            answer = how in ("present", "now")
            return {"resourceType": "Observation", "status": "final", "code": text, "valueBoolean": answer, "effectiveDateTime": before}
        case kind:
            sentence = {"absent": f"No {phrase}.", "over": f"No {phrase}.", "suspected": f"Suspected {phrase}."}.get(how, f"{phrase}.")
            if kind in (Context.IMAGING, Context.HISTOLOGY):
                section = "RAD" if kind is Context.IMAGING else "PAT"
                return {
                    "resourceType": "DiagnosticReport", "status": "final", "category": [{"coding": [{"code": section}]}],
                    "code": {"text": "Report"}, "conclusion": sentence, "effectiveDateTime": before,
                }  # fmt: skip
            return {"resourceType": "DocumentReference", "status": "current", "description": sentence, "date": f"{before}T08:00:00Z"}


_USUAL: dict[str, tuple[Context, ...]] = {
    "drug": (Context.DRUG,),
    "procedure": (Context.PROCEDURE,),
    "exposure": (Context.PROCEDURE, Context.CONDITION, Context.DRUG),
    "device": (Context.PROCEDURE, Context.CONDITION),
    "allergy": (Context.ALLERGY,),
    "disease": (Context.CONDITION, Context.OBSERVATION),
    "finding": (Context.CONDITION, Context.OBSERVATION),
}


def usual_context(concept: Concept) -> Context:
    return next((context for context in _USUAL.get(concept.kind, ()) if context in concept.reads_in), concept.reads_in[0])


# --- measurements, age and sex -----------------------------------------------------------------------


def measurement(lab: str, wanted: Sequence[Measured], age: float | None, sex: str | None, knowledge: Knowledge) -> Resource:
    """One result that satisfies everything wanted of this quantity."""
    concept = _measurable(lab, knowledge)
    code: Resource = {"text": phrases(concept)[0]} if phrases(concept) else _coded(concept.key, knowledge)
    resource: Resource = {"resourceType": "Observation", "status": "final", "code": code, "effectiveDateTime": TODAY.isoformat()}
    flag = next((_flag(atom) for atom in wanted if isinstance(atom.leaf, LabIs)), None)
    limits = [atom for atom in wanted if isinstance(atom.leaf, LabValue)]
    if limits:
        value, unit = _value_within(limits, knowledge)
        resource["valueQuantity"] = _quantity(value, unit)
        if flag is not None:
            resource["interpretation"] = [{"coding": [{"code": _HL7[flag]}]}]
        return resource
    if flag in ("positive", "negative"):
        return resource | {"valueString": flag}
    assert flag is not None
    canonical = (concept.lab.unit if concept.lab else None) or "1"
    interval = _interval(concept, age, sex)
    if interval is None:  # the knowledge prints no interval: the laboratory sends its own
        resource["referenceRange"] = [{"low": _quantity(10.0, canonical), "high": _quantity(20.0, canonical)}]
    return resource | {"valueQuantity": _quantity(_outside(interval or (10.0, 20.0), flag), canonical)}


_HL7 = {"high": "H", "low": "L", "normal": "N", "positive": "POS", "negative": "NEG"}


def _flag(atom: Measured) -> str:
    assert isinstance(atom.leaf, LabIs)
    opposite = {"high": "normal", "low": "normal", "normal": "high", "positive": "negative", "negative": "positive"}
    return atom.leaf.is_ if atom.truth else opposite[atom.leaf.is_]


def _measurable(lab: str, knowledge: Knowledge) -> Concept:
    """The quantity itself, or for a computed one the reported quantity it is taken from."""
    concept = knowledge.concepts[lab]
    if phrases(concept) or any(code.concept_key == lab for code in knowledge.codes):
        return concept
    return knowledge.concepts[next(base for base in DERIVED_FROM[lab] if base.endswith("corrected") or lab != "calcium_adjusted")]


def _coded(key: str, knowledge: Knowledge) -> Resource:
    code = next(code for code in knowledge.codes if code.concept_key == key and code.system in CODE_SYSTEMS)
    return {"coding": [{"system": CODE_SYSTEMS[code.system], "code": code.code}]}


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def limits_of(leaf: LabValue | AgeIs, knowledge: Knowledge) -> tuple[float | None, float | None]:
    low, high = (
        None if limit is None else knowledge.number(limit) if isinstance(limit, str) else limit for limit in (leaf.at_least, leaf.below)
    )
    return low, high


def inside(value: float, leaf: LabValue | AgeIs, knowledge: Knowledge) -> bool:
    low, high = limits_of(leaf, knowledge)
    return (low is None or value >= low) and (high is None or value < high)


def _value_within(wanted: Sequence[Measured], knowledge: Knowledge) -> tuple[float, str]:
    first = wanted[0].leaf
    assert isinstance(first, LabValue)
    if wanted[0].exactly is not None:
        return wanted[0].exactly, first.unit
    lab = knowledge.concepts[first.value].lab
    assert lab is not None
    assert lab.unit is not None
    asked: list[tuple[LabValue, bool, float]] = []
    for atom in wanted:
        assert isinstance(atom.leaf, LabValue)
        asked.append((atom.leaf, atom.truth, conversion_factor(first.unit, atom.leaf.unit, lab.molar_mass, lab.valence)))
    edges = [limit / factor for leaf, _, factor in asked for limit in limits_of(leaf, knowledge) if limit is not None]
    candidates = [edge * times for edge in edges for times in (0.3, 0.7, 0.9, 1.1, 1.4)]
    for value in candidates:
        if all(inside(value * factor, leaf, knowledge) is truth for leaf, truth, factor in asked):
            return round(value, 4), first.unit
    raise LookupError(f"no value of {first.value} satisfies {wanted}")


def _interval(concept: Concept, age: float | None, sex: str | None) -> tuple[float | None, float | None] | None:
    fitting = [
        interval
        for interval in (concept.lab.intervals if concept.lab else ())
        if (age is None or interval.age_from_years <= age < interval.age_below_years) and interval.sex in (None, sex)
    ]
    if not fitting:
        return None
    last = fitting[-1]
    assert concept.lab is not None
    assert concept.lab.unit is not None
    factor = conversion_factor(last.unit, concept.lab.unit, concept.lab.molar_mass, concept.lab.valence)
    low, high = (None if limit is None else limit * factor for limit in (last.low, last.high))
    return low, high


def _outside(interval: tuple[float | None, float | None], flag: str) -> float:
    low, high = interval
    if flag == "high":
        assert high is not None
        return round(high * 1.5, 4)
    if flag == "low":
        assert low is not None
        return round(low * 0.6, 4)
    return round((low + high) / 2 if low is not None and high is not None else high * 0.7 if high is not None else (low or 1) * 1.2, 4)


def _age(atoms: Sequence[Atom], *, default: bool) -> float | None:
    asked = [(atom.leaf, atom) for atom in atoms if isinstance(atom, Person) and isinstance(atom.leaf, AgeIs)]
    if not asked:
        return AGE if default else None
    if asked[0][1].exactly is not None:
        return asked[0][1].exactly
    edges = [limit for leaf, _ in asked for limit in (leaf.at_least, leaf.below) if limit is not None]
    for age in [AGE, *(edge + step for edge in edges for step in (-0.5, 0.5, 1.5)), *(edge / 2 for edge in edges)]:
        if age > 0 and all(_age_inside(age, leaf) is atom.truth for leaf, atom in asked):
            return age
    raise LookupError(f"no age satisfies {asked}")


def _age_inside(age: float, leaf: AgeIs) -> bool:
    return (leaf.at_least is None or age >= leaf.at_least) and (leaf.below is None or age < leaf.below)


def _birth_date(age: float) -> date:
    """Whole years to the day; the rest in days."""
    years = int(age)
    birthday = TODAY.replace(year=TODAY.year - years)
    return birthday - timedelta(days=round((age - years) * 365.25))


def _sex(atoms: Sequence[Atom], *, default: bool) -> str | None:
    asked = [atom for atom in atoms if isinstance(atom, Person) and isinstance(atom.leaf, SexIs)]
    if not asked:
        return SEX if default else None
    other = {"female": "male", "male": "female"}
    (wanted,) = {atom.leaf.sex if atom.truth else other[atom.leaf.sex] for atom in asked if isinstance(atom.leaf, SexIs)}
    return wanted
