"""``calcinosis knowledge check``: every defect of the content with file and line.

Checked here, after the loader has checked the shape of each record: source keys that do not resolve, concepts that do not exist,
code checksums (SNOMED CT Verhoeff, LOINC mod 10), units that do not convert, rules that rest on low-grade sources only,
findings nothing reads, code systems that may not be shipped, and circles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from calcinosis.knowledge.criteria import Closed, FindingRef, HypothesisAtLeast, LabIs, LabValue, concepts_asked, sites_named
from calcinosis.knowledge.loader import CONTENT, Knowledge, KnowledgeError, Origin, Problem, load_knowledge
from calcinosis.knowledge.model import Concept, Disease, Finding, Hypothesis, Outcome, Statement
from calcinosis.knowledge.simulation_check import check_simulation
from calcinosis.knowledge.wording import CRITERIA, walk
from calcinosis.units import UnknownUnit, canonical_factor, conversion_factor

SHIPPABLE_LICENCES = frozenset(
    {"US-PUBLIC-DOMAIN", "NLM-PUBLIC-DOMAIN", "HPO-NOTICE", "CC-BY-4.0", "LOINC-NOTICE", "SNOMED-GPS-CC-BY-4.0", "OHDSI-CONCEPT-ID"}
)
# LOINC 5895-7 (INR) is a real, deprecated code whose check digit does not compute (research/codes.md, section 1)
_LOINC_WITHOUT_CHECK_DIGIT = frozenset({"5895-7"})
# read by the mechanism itself: what makes a patient interesting, what makes an answer provisional, who is at risk
FINDINGS_READ_BY_CODE = frozenset({"lesion_present", "mineral_shown", "calcium_shown", "labelled", "calciphylaxis_at_risk"})
_ASKED_AS = {"lab": "results", "site": "sites", "drug": "drugs"}


def check(folder: Path | None = None) -> list[Problem]:
    """All problems of the content; an empty list means that it may be used."""
    try:
        knowledge = load_knowledge(folder)
    except KnowledgeError as error:
        return error.problems
    circles = list(_circles(knowledge))
    reach = [] if circles else _reach(knowledge)  # which walks the tree
    named = [*_sources(knowledge), *_references(knowledge), *_treatments(knowledge), *_studies(knowledge), *_entry_form(knowledge)]
    return [*named, *_codes(knowledge), *_units(knowledge), *check_simulation(knowledge), *circles, *reach]


def _records(knowledge: Knowledge) -> Iterator[tuple[Closed, Origin]]:
    for table in (
        knowledge.concepts, knowledge.findings, knowledge.types, knowledge.diseases, knowledge.mimics,
        knowledge.alarms, knowledge.tests, knowledge.forms, knowledge.settings, knowledge.treatments, knowledge.reviews,
        knowledge.simulations,
    ):  # fmt: skip
        for key, record in table.items():
            yield record, knowledge.origins[type(record).__name__, key]


def _sources(knowledge: Knowledge) -> Iterator[Problem]:
    used: set[str] = set()
    for record, origin in _records(knowledge):
        for part in walk(record):
            keys: tuple[str, ...] = getattr(part, "sources", ()) or ()
            used.update(keys)
            for key in keys:
                if key not in knowledge.sources:
                    yield Problem(origin, "unknown_source", f"source {key!r} does not resolve")
            drives = isinstance(part, Outcome | Disease) or getattr(part, "when", None) is not None or getattr(part, "always", False)
            grades = {knowledge.sources[key].grade for key in keys if key in knowledge.sources}
            low = [key for key in keys if key in knowledge.sources and knowledge.sources[key].grade == "low"]
            if drives and low:
                what = getattr(part, "label", record)
                yield Problem(origin, "low_grade_rule", f"{what!s}: a low-grade source drives no rule ({', '.join(low)})")
            if isinstance(part, Statement) and part.verified and grades == {"low"}:
                yield Problem(origin, "low_grade_statement", f"{part.text[:60]!r} rests on low-grade sources only; mark it verified: false")
    for study in knowledge.studies:
        used.add(study.study)
        if study.study not in knowledge.sources:
            yield Problem(knowledge.origins["Study", study.row], "unknown_source", f"source {study.study!r} does not resolve")
    for key in knowledge.sources:
        if key not in used:
            yield Problem(knowledge.origins["Source", key], "unused_source", f"source {key!r} is cited nowhere", level="warning")


def _references(knowledge: Knowledge) -> Iterator[Problem]:
    for record, origin in _records(knowledge):
        if getattr(record, "without_lesion", False) and getattr(record, "when", None) is None:
            yield Problem(origin, "no_ground", "a test asked for without a lesion needs a `when`")
        for concept in getattr(record, "parents", ()):
            if concept not in knowledge.concepts:
                yield Problem(origin, "unknown_concept", f"parent {concept!r} does not exist")
        if isinstance(record, Concept) and record.lab is not None:
            told_by = (record.lab.low_titre.concept,) if record.lab.low_titre else ()
            for lab in (*record.lab.stands_for, *told_by):
                yield from _known_lab(knowledge, lab, origin)
        if isinstance(record, Disease):
            for disease in record.more_specific_than:
                if disease not in knowledge.diseases:
                    yield Problem(origin, "unknown_disease", f"disease {disease!r} does not exist")
        for part in walk(record):
            if isinstance(part, Outcome):
                for lab in part.labs:
                    yield from _known_lab(knowledge, lab, origin)
                for concept in part.concepts:
                    yield from _known_concept(knowledge, concept, origin)
            elif isinstance(part, CRITERIA):
                yield from _criterion(knowledge, part, origin)


def _entry_form(knowledge: Knowledge) -> Iterator[Problem]:
    """Each concept is asked for once, in a way that fits what it is."""
    asked: dict[str, str] = {}
    for group in knowledge.entry_form.values():
        origin = knowledge.origins["FormGroup", group.key]
        if group.states is not None:
            yield from _known_concept(knowledge, group.states, origin)
        for key in group.concepts:
            if key not in knowledge.concepts:
                yield from _known_concept(knowledge, key, origin)
                continue
            fits = _ASKED_AS.get(knowledge.concepts[key].kind, "choices")
            if fits != group.kind:
                yield Problem(origin, "form_kind", f"{key!r} is asked for as {group.kind}; it belongs to {fits}")
            if key in asked:
                yield Problem(origin, "duplicate_key", f"{key!r} is asked for twice, in {asked[key]} and {group.key}")
            asked[key] = group.key


def _treatments(knowledge: Knowledge) -> Iterator[Problem]:
    """Names that treatments give to types, diseases and concepts, and reviews to safety rules."""
    for treatment in knowledge.treatments.values():
        origin = knowledge.origins["Treatment", treatment.key]
        keys = [rule.key for rule in treatment.safety]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            yield Problem(origin, "duplicate_key", f"{treatment.key}: safety rule {key!r} stands twice")
        for concept in treatment.concepts:
            yield from _known_concept(knowledge, concept, origin)
        for use in treatment.uses:
            yield from _known_types(knowledge, use.types, origin)
            yield from _known_diseases(knowledge, use.diseases, origin)
    rules = {f"{key}/{rule.key}" for key, treatment in knowledge.treatments.items() for rule in treatment.safety}
    for review in knowledge.reviews.values():
        origin = knowledge.origins["CurrentDrugReview", review.key]
        for concept in review.concepts:
            yield from _known_concept(knowledge, concept, origin)
        for name in set(review.covers) - rules:
            yield Problem(origin, "unknown_rule", f"safety rule {name!r} does not exist")


def _studies(knowledge: Knowledge) -> Iterator[Problem]:
    """Names that rows of the evidence give to treatments, types, diseases and each other; treatments that no row names."""
    rows = {study.row: study for study in knowledge.studies}
    for study in knowledge.studies:
        origin = knowledge.origins["Study", study.row]
        for key in study.treatments:
            if key not in knowledge.treatments:
                yield Problem(origin, "unknown_treatment", f"treatment {key!r} does not exist")
        yield from _known_types(knowledge, filter(None, (study.calcification_type,)), origin)
        yield from _known_diseases(knowledge, study.diseases, origin)
        other = rows.get(study.comparator_row or "")
        if study.comparator_row and (other is None or other.arm != "comparator"):
            yield Problem(origin, "unknown_row", f"comparator row {study.comparator_row!r} is no comparator row of this file")
        elif other is not None and other.unit != study.unit:
            yield Problem(origin, "unit_of_analysis", f"{study.unit} are compared with {other.unit}")
    yield from _overlaps(knowledge)
    studied = {key for study in knowledge.studies for key in study.treatments}
    for key, treatment in knowledge.treatments.items():
        if key not in studied and any(use.stance != "no_data" for use in treatment.uses):
            origin = knowledge.origins["Treatment", key]
            yield Problem(origin, "unstudied_treatment", f"treatment {key!r} has no row in evidence/, and its uses do not say no_data")


def _known_types(knowledge: Knowledge, keys: Iterable[str], origin: Origin) -> Iterator[Problem]:
    yield from (Problem(origin, "unknown_type", f"type {key!r} does not exist") for key in keys if key not in knowledge.types)


def _known_diseases(knowledge: Knowledge, keys: Iterable[str], origin: Origin) -> Iterator[Problem]:
    yield from (Problem(origin, "unknown_disease", f"disease {key!r} does not exist") for key in keys if key not in knowledge.diseases)


def _overlaps(knowledge: Knowledge) -> Iterator[Problem]:
    """Patients reported twice may be pooled once."""
    pooled: dict[tuple[str, tuple[str, ...], str], str] = {}
    for study in knowledge.studies:
        if study.pool and study.overlap:
            place = study.overlap, study.treatments, study.outcome
            if place in pooled:
                yield Problem(
                    knowledge.origins["Study", study.row], "overlap",
                    f"{study.row} and {pooled[place]} describe the same patients (overlap {study.overlap!r}); pool one of them",
                )  # fmt: skip
            pooled[place] = study.row


def _circles(knowledge: Knowledge) -> Iterator[Problem]:
    """Concepts that are their own ancestors, and findings or hypotheses that rest on themselves."""
    below: dict[tuple[str, str], list[tuple[str, str]]] = {
        ("Concept", key): [("Concept", parent) for parent in concept.parents] for key, concept in knowledge.concepts.items()
    }
    rules: list[tuple[str, Finding | Hypothesis]] = [*knowledge.findings.items(), *knowledge.types.items(), *knowledge.mimics.items()]
    for key, record in rules:
        parts = [record.when] if isinstance(record, Finding) else [rule.when for rule in record.rules]
        below[type(record).__name__, key] = [
            ("Finding", part.finding) if isinstance(part, FindingRef) else (_hypothesis_kind(knowledge, part.hypothesis), part.hypothesis)
            for when in parts
            for part in walk(when)
            if isinstance(part, FindingRef | HypothesisAtLeast)
        ]
    done: set[tuple[str, str]] = set()
    for start in below:
        if start in done:
            continue
        path, stack = [start], [(start, iter(below[start]))]
        while stack:
            node, rest = stack[-1]
            step = next((each for each in rest if each in below and each not in done), None)
            if step is None:
                done.add(node)
                stack.pop()
                path.pop()
            elif step in path:
                names = " -> ".join(key for _, key in [*path[path.index(step) :], step])
                yield Problem(knowledge.origins[step], "circle", f"{step[0].lower()}s rest on themselves: {names}")
                done.add(step)
            else:
                stack.append((step, iter(below[step])))
                path.append(step)


def _hypothesis_kind(knowledge: Knowledge, key: str) -> str:
    return "CalcificationType" if key in knowledge.types else "Mimic"


def _criterion(knowledge: Knowledge, part: Any, origin: Origin) -> Iterator[Problem]:
    for concept in concepts_asked(part):
        yield from _known_concept(knowledge, concept, origin)
    for site in sites_named(part):
        yield from _known_site(knowledge, site, origin)
    match part:
        case LabIs():
            yield from _known_lab(knowledge, part.lab, origin)
        case LabValue():
            yield from _known_lab(knowledge, part.value, origin)
            asked = knowledge.concepts.get(part.value)
            if asked and asked.lab:
                if asked.lab.unit is None:
                    yield Problem(origin, "no_unit", f"{part.value} has no canonical unit, so no value of it can be compared")
                else:
                    yield from _thresholds(knowledge, part, origin)
                    try:
                        conversion_factor(part.unit, asked.lab.unit, asked.lab.molar_mass, asked.lab.valence)
                    except UnknownUnit as error:
                        yield Problem(origin, "unit", f"{part.value}: {error}")
        case FindingRef():
            if part.finding not in knowledge.findings:
                yield Problem(origin, "unknown_finding", f"finding {part.finding!r} does not exist")
        case HypothesisAtLeast():
            if part.hypothesis not in knowledge.types and part.hypothesis not in knowledge.mimics:
                yield Problem(origin, "unknown_hypothesis", f"hypothesis {part.hypothesis!r} is neither a type nor a mimic")


def _thresholds(knowledge: Knowledge, part: LabValue, origin: Origin) -> Iterator[Problem]:
    for limit in (part.at_least, part.below):
        if isinstance(limit, str):
            setting = knowledge.settings.get(limit)
            if setting is None:
                yield Problem(origin, "unknown_setting", f"setting {limit!r} does not exist")
            elif setting.unit != part.unit:
                yield Problem(origin, "unit", f"setting {limit!r} is in {setting.unit}, the criterion in {part.unit}")


def _known_concept(knowledge: Knowledge, key: str, origin: Origin) -> Iterator[Problem]:
    if key not in knowledge.concepts:
        yield Problem(origin, "unknown_concept", f"concept {key!r} does not exist")
    elif knowledge.concepts[key].lab is not None:
        yield Problem(origin, "lab_as_concept", f"{key!r} is a measurement; ask for it with lab: or value:")


def _known_lab(knowledge: Knowledge, key: str, origin: Origin) -> Iterator[Problem]:
    if key not in knowledge.concepts:
        yield Problem(origin, "unknown_concept", f"lab {key!r} does not exist")
    elif knowledge.concepts[key].lab is None:
        yield Problem(origin, "not_a_lab", f"{key!r} is not a measurement; ask for it with has:")


def _known_site(knowledge: Knowledge, key: str, origin: Origin) -> Iterator[Problem]:
    if key not in knowledge.concepts or knowledge.concepts[key].kind != "site":
        yield Problem(origin, "unknown_site", f"site {key!r} does not exist")


def _codes(knowledge: Knowledge) -> Iterator[Problem]:
    for code in knowledge.codes:
        origin = knowledge.origins["Code", f"{code.concept_key} {code.system} {code.code}"]
        if code.concept_key not in knowledge.concepts:
            yield Problem(origin, "unknown_concept", f"concept {code.concept_key!r} does not exist")
        if code.licence_tag not in SHIPPABLE_LICENCES:
            yield Problem(
                origin, "licence", f"{code.system} {code.code}: licence {code.licence_tag} may not be shipped (codes.md, section 4)"
            )
        if code.system == "SNOMED" and not verhoeff_valid(code.code):
            yield Problem(origin, "checksum", f"SNOMED CT {code.code} fails its Verhoeff check digit")
        if code.system == "LOINC" and code.code not in _LOINC_WITHOUT_CHECK_DIGIT and not loinc_valid(code.code):
            yield Problem(origin, "checksum", f"LOINC {code.code} fails its mod-10 check digit")


def _units(knowledge: Knowledge) -> Iterator[Problem]:
    for key, concept in knowledge.concepts.items():
        origin = knowledge.origins["Concept", key]
        for interval in concept.lab.intervals if concept.lab else ():
            try:
                canonical_factor(interval.unit, concept.lab)  # type: ignore[arg-type]
            except UnknownUnit as error:
                yield Problem(origin, "unit", f"{key}: {error}")
    for code in knowledge.codes:
        lab = knowledge.concepts[code.concept_key].lab if code.concept_key in knowledge.concepts else None
        if code.unit and lab and lab.unit:
            try:
                canonical_factor(code.unit, lab)
            except UnknownUnit as error:
                origin = knowledge.origins["Code", f"{code.concept_key} {code.system} {code.code}"]
                yield Problem(origin, "unit", f"{code.concept_key} {code.code}: {error}", level="warning")


def _reach(knowledge: Knowledge) -> Iterator[Problem]:
    """Findings that no rule reads, and concepts that no code, word or child can ever show."""
    read = {part.finding for record, _ in _records(knowledge) for part in walk(record) if isinstance(part, FindingRef)}
    for key in knowledge.findings:
        if key not in read | FINDINGS_READ_BY_CODE:
            yield Problem(knowledge.origins["Finding", key], "unreachable_finding", f"finding {key!r} is read by no rule")
    coded = {code.concept_key for code in knowledge.codes if code.relation != "broader"}
    for key, concept in knowledge.concepts.items():
        if concept.lab is not None or concept.synonyms or concept.patterns or concept.alone or key in coded:
            continue
        if len(knowledge.descendants[key]) == 1:
            yield Problem(
                knowledge.origins["Concept", key], "unreachable_concept", f"concept {key!r} has no code, no words and no children"
            )


def problems_as_lines(problems: Iterable[Problem], folder: Path | None = None) -> list[str]:
    """Errors first, each with the path a reader can open. ``folder``: what was checked; default: the content shipped."""
    return [
        f"{(folder or CONTENT) / problem.origin.file}:{problem.origin.line}: {problem.level}: {problem.message} [{problem.category}]"
        for problem in sorted(problems, key=lambda p: p.level)
    ]


# --- check digits ----------------------------------------------------------------------------------

_MULTIPLY = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6), (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1), (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4), (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_PERMUTE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2), (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1), (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def verhoeff_valid(digits: str) -> bool:
    """SNOMED CT identifiers end in a Verhoeff (dihedral group) check digit: SNOMED CT Technical Implementation Guide, SCTID."""
    if not digits.isdigit():
        return False
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _MULTIPLY[check][_PERMUTE[place % 8][int(digit)]]
    return check == 0


def loinc_valid(code: str) -> bool:
    """LOINC codes end in a mod-10 (Luhn) check digit: LOINC Users' Guide, appendix on check digits."""
    body, _, digit = code.partition("-")
    if not (body.isdigit() and digit.isdigit() and len(digit) == 1):
        return False
    total = 0
    for place, each in enumerate(reversed(body)):
        value = int(each) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return (10 - total % 10) % 10 == int(digit)
