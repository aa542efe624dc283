"""The mapping from FHIR R4 resources to events, one method per resource type.

Each method sees the packed fields of one *distinct* row (see :mod:`calcinosis.sources.fhir_columns`) and says what it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from calcinosis.events import COMPARATORS, ENDED
from calcinosis.knowledge.model import Context
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_columns import COMPONENT, FIELDS, MAX_BASE64, MAX_RESULT, MEDICATION_TYPES, unpacked
from calcinosis.sources.fhir_meaning import LONG_TEXT, Concepts, Draft, Interpreter, Meaning, joined, merged, placed, union
from calcinosis.sources.fhir_values import (
    Answer,
    Coded,
    Fields,
    decode_text,
    number_of,
    quantity_unit,
    read_answer,
    read_interpretation,
    read_range,
    read_ratio,
)
from calcinosis.sources.text import TextReader

# What a status makes of everything the resource says. A status not named here leaves it as it is.
_R5: Final = "R5 writes medication.concept, which is not read"
_IGNORED: Final = {
    "Observation": {"entered-in-error", "cancelled"},
    COMPONENT: {"entered-in-error", "cancelled"},
    "DiagnosticReport": {"entered-in-error", "cancelled"},
    "DocumentReference": {"entered-in-error", "superseded"},
    "Procedure": {"entered-in-error"},
    "FamilyMemberHistory": {"entered-in-error"},
    "Device": {"entered-in-error"},
    "Immunization": {"entered-in-error", "not-done"},
    "Medication": {"entered-in-error"},
    **{kind: {"entered-in-error", "cancelled", "draft", "not-done", "declined"} for kind in MEDICATION_TYPES},
}
_NEGATED: Final = {"Procedure": {"not-done"}, "MedicationStatement": {"not-taken"}}
_UNCERTAIN: Final = {"Procedure": {"preparation"}, "MedicationStatement": {"intended"}}
_ENDED: Final = {  # of a course of treatment or a condition; a completed dispense or administration ends nothing
    "Condition": {"inactive", "remission", "resolved"},
    "MedicationRequest": {"stopped", "completed", "ended"},
    "MedicationStatement": {"stopped", "completed"},
}
_ABATEMENTS: Final = ("abatementString", "abatementAge", "abatementRange")  # it is over, and nobody wrote the day
_VERIFICATION: Final = {
    "refuted": "negated", "provisional": "uncertain", "differential": "uncertain", "unconfirmed": "uncertain",
}  # fmt: skip

# The German mark of how sure a coded diagnosis is: excluded, suspected, state after (confirmed says nothing more)
_SURENESS: Final = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
_EXCLUDED, _SUSPECTED, _STATE_AFTER = "AVZ"
_SURE: Final = {_EXCLUDED: "negated", _SUSPECTED: "uncertain"}

# Codes of HL7 table 0074 (diagnostic service sections), and words, that say what kind of study a report describes.
_SECTIONS: Final = {
    **dict.fromkeys(("PAT", "PATH", "SP", "CP", "CYP", "CYTO"), Context.HISTOLOGY),
    **dict.fromkeys(("RAD", "CT", "CTH", "NMR", "NMS", "RUS", "OUS", "VUS", "XRC", "RX", "CUS", "IMG"), Context.IMAGING),
}
_HISTOLOGY: Final = re.compile(r"patholog|biops|histolog|cytolog|dermatopath|autops", re.IGNORECASE)
_IMAGING: Final = re.compile(
    r"radiolog|radiograph|x-?ray|roentgen|imaging|ultraso|sonograph|doppler|duplex|mammogra|scintigra|bone scan|angiogra|tomogra|fluorosc"
    r"|magnetic resonance|nuclear medicine|echocardiogra|densitometr|plain film|\b(?:CT|CTA|MRI|MRA|PET|SPECT|DEXA?|NMR|US|XR)\b",
    re.IGNORECASE,
)


class FhirMapper:
    """Maps the packed fields of a row to what they mean. Pure: the same row always means the same."""

    def __init__(self, index: ConceptIndex, reader: TextReader) -> None:
        self.read = Interpreter(index, reader)
        medication = dict.fromkeys(MEDICATION_TYPES, self._medication)
        self._methods: dict[str, Callable[[Fields, str, Meaning], None]] = {
            "Condition": self._condition, "Observation": self._observation, "Procedure": self._procedure,
            "DiagnosticReport": self._report, "DocumentReference": self._document, "AllergyIntolerance": self._allergy,
            "FamilyMemberHistory": self._family, "Device": self._device, "Immunization": self._immunization,
            COMPONENT: self._observation, **medication,
        }  # fmt: skip

    def from_json(self, kind: str, packed: str) -> Meaning:
        """The meaning of packed fields as DuckDB wrote them."""
        try:
            return self(kind, unpacked(kind, packed) if kind in self._methods else {})
        except ValueError:  # DuckDB takes NaN for JSON
            return Meaning(outcome="rejected", category="malformed_json", reason="not standard JSON")

    def __call__(self, kind: str, values: dict[str, Any]) -> Meaning:
        """The meaning of packed fields."""
        meaning = Meaning()
        if kind not in self._methods:
            return meaning
        fields = Fields(values, meaning.problems)
        status = fields.string("status")
        verification = fields.code("verificationStatus")
        withdrawn = next((said for said in (verification, fields.string("docStatus")) if said == "entered-in-error"), None)
        if status in _IGNORED.get(kind, ()) or withdrawn:
            meaning.outcome, meaning.category = "ignored", f"status:{withdrawn or status}"
            return meaning
        self._methods[kind](fields, kind, meaning)
        if meaning.outcome != "used":
            meaning.drafts, meaning.unmapped = [], []
            return meaning
        shown = fields.code("clinicalStatus") or status
        over = kind == "Condition" and (
            any(fields.values.get(name) is not None for name in _ABATEMENTS) or _sureness(fields) == _STATE_AFTER
        )
        shown = ENDED if over or shown in _ENDED.get(kind, ()) else shown
        # a text may say of one drug alone that it was stopped
        meaning.drafts = merged(replace(draft, status=draft.status or shown) for draft in meaning.drafts)
        return meaning

    # --- one method per resource type ----------------------------------------------------------------

    def _condition(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        coded = fields.coded("code")
        notes = self.read.notes(fields, Context.NOTE, meaning)
        if coded is None and not notes:
            return _no_code(fields, "code", meaning)
        effect = _VERIFICATION.get(fields.code("verificationStatus") or "") or _SURE.get(_sureness(fields))
        said = self.read.coded(coded, Context.CONDITION, meaning)
        sites = union(said.sites, self.read.sites(fields, "bodySite", meaning))
        meaning.drafts = [*placed(_qualified(said.drafts, effect), sites), *notes.drafts]
        return None

    def _procedure(self, fields: Fields, kind: str, meaning: Meaning) -> None:
        coded = fields.coded("code")
        notes = self.read.notes(fields, Context.NOTE, meaning)
        if coded is None and not notes:
            return _no_code(fields, "code", meaning)
        said = self.read.coded(coded, Context.PROCEDURE, meaning)
        sites = union(said.sites, self.read.sites(fields, "bodySite", meaning), notes.sites)
        drafts = placed(_qualified(said.drafts, _effect(fields, kind)), sites)
        meaning.drafts = [*_timed(drafts, said.days_before_onset, notes.days_before_onset), *notes.drafts]
        return None

    def _device(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        coded = fields.coded("type")
        if coded is None:
            return _no_code(fields, "type", meaning)
        notes = self.read.notes(fields, Context.NOTE, meaning)
        meaning.drafts = [*self.read.coded(coded, Context.DEVICE, meaning).drafts, *notes.drafts]
        return None

    def _immunization(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        """A vaccine is a drug that was given; where it was injected says nothing of a lesion."""
        coded = fields.coded("vaccineCode")
        if coded is None:
            return _no_code(fields, "vaccineCode", meaning)
        meaning.drafts = self.read.coded(coded, Context.DRUG, meaning).drafts
        return None

    def _allergy(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        coded = fields.coded("code")
        if coded is None:
            return _no_code(fields, "code", meaning)
        effect = _VERIFICATION.get(fields.code("verificationStatus") or "")
        if fields.code("clinicalStatus") in ("inactive", "resolved"):  # no longer at risk, as somebody judged
            effect = effect or "uncertain"
        meaning.drafts = _qualified(self.read.coded(coded, Context.ALLERGY, meaning).drafts, effect)
        return None

    def _family(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        for condition in fields.objects("condition"):
            said = self.read.coded(fields.as_coded(condition.get("code"), "condition.code"), Context.CONDITION, meaning)
            meaning.drafts += said.drafts
        meaning.drafts += self.read.notes(fields, Context.NOTE, meaning).drafts
        # a relative's disease is never the patient's own; a relative who does not have it says nothing
        meaning.drafts = [replace(draft, certainty="family", sites=()) for draft in meaning.drafts if draft.certainty != "negated"]

    def _medication(self, fields: Fields, kind: str, meaning: Meaning) -> None:
        coded = fields.coded("medicationCodeableConcept") or _referenced_medication(fields)
        if coded is None:
            return _no_code(fields, f"medicationCodeableConcept, or a Medication with a code behind medicationReference ({_R5}),", meaning)
        said = self.read.coded(coded, Context.DRUG, meaning)
        notes = [self.read.notes(fields, Context.NOTE, meaning)]
        sites: tuple[str, ...] = ()
        routes: list[str] = []
        for dosage in [*fields.objects("dosageInstruction"), *fields.objects("dosage")]:
            for name in ("text", "patientInstruction"):
                notes.append(self.read.text(fields.typed(dosage.get(name), str, f"dosage.{name}"), Context.NOTE, meaning))
            site = self.read.coded(fields.as_coded(dosage.get("site"), "dosage.site"), Context.SITE, meaning)
            sites = union(sites, site.sites)
            route = fields.as_coded(dosage.get("route"), "dosage.route")
            routes += route.words[:1] if route else ()
        beside = joined(notes)
        effect = "negated" if fields.typed(fields.values.get("doNotPerform"), bool, "doNotPerform") else _effect(fields, kind)
        drafts = placed(_qualified(said.drafts, effect), union(said.sites, sites, beside.sites))
        if any(map(self.read.reader.local_forms.is_said, routes)):
            drafts = self.read.applied(drafts)
        if routes:
            drafts = [replace(draft, text_value=f"{_shown(draft)}, {routes[0]}") for draft in drafts]
        known = {draft.concept for draft in drafts}
        meaning.drafts = [
            *_timed(drafts, said.days_before_onset, beside.days_before_onset),
            *(draft for draft in beside.drafts if draft.concept not in known),  # "take warfarin at night" repeats the order
        ]
        return None

    def _report(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        coded = fields.coded("code")
        context = _study(fields, coded)
        title = Meaning()
        study = self.read.coded(coded, Context.PROCEDURE, title)
        read = [self.read.text(fields.string("conclusion"), context, meaning)]
        for item in fields.objects("conclusionCode"):
            read.append(self.read.coded(fields.as_coded(item, "conclusionCode"), context, meaning))
        read += self._attachments(fields.objects("presentedForm"), context, meaning)
        said = joined(read)
        if not said.drafts:  # of a report that was read, a title that no concept knows is no loss
            meaning.unmapped += title.unmapped
        meaning.not_read += title.not_read
        results_inside = [draft for each in fields.objects("contained") for draft in self._contained_result(each, meaning)]
        if coded is None and all(fields.values.get(name) is None for name in ("conclusion", "conclusionCode", "presentedForm")):
            return _no_code(fields, "code", meaning)
        of_organ = self.read.reader.is_of_organ if context is Context.HISTOLOGY else (lambda _concept, _sites: False)
        results = [
            draft if draft.sites else replace(draft, sites=study.sites)
            for draft in said.drafts
            if draft.sites or not of_organ(draft.concept, study.sites)  # vessels in a biopsy of the lung are none of the skin
        ]
        meaning.drafts = [*study.drafts, *results, *results_inside]
        return None

    def _contained_result(self, resource: dict[str, Any], meaning: Meaning) -> list[Draft]:
        """What an Observation inside a report says; its day is that of the report."""
        if resource.get("resourceType") != "Observation" or resource.get("status") in _IGNORED["Observation"]:
            return []
        inside = Meaning()
        values = {name: resource[name] for name in FIELDS["Observation"] if resource.get(name) is not None}
        if isinstance(values.get("specimen"), dict):
            values["specimen"] = values["specimen"].get("display")
        fields = Fields(values, inside.problems)
        self._observation(fields, "Observation", inside)
        if resource.get("component") is not None:
            inside.not_read["components of a contained result"] += 1
        meaning.unmapped += inside.unmapped
        meaning.not_read.update(inside.not_read)
        meaning.problems += inside.problems
        quantity = fields.typed(resource.get("valueQuantity"), dict, "contained.valueQuantity") or {}
        number, comparator = number_of(quantity.get("value")), quantity.get("comparator")
        found = []
        for draft in inside.drafts:
            if draft.measured and number is not None:
                comparator = comparator if comparator in COMPARATORS else None
                draft = replace(draft, number=number, comparator=comparator, unit=quantity_unit(quantity))
            if not draft.needs_value or draft.flag or draft.text_value or draft.number is not None:
                found.append(replace(draft, measured=False, needs_value=False))
        return found

    def _document(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        read = [self.read.text(fields.string("description"), Context.NOTE, meaning)]
        read += self._attachments(fields.objects("content"), Context.NOTE, meaning)
        meaning.drafts = joined(read).drafts

    def _attachments(self, attachments: Iterable[dict[str, Any]], context: Context, meaning: Meaning) -> list[Concepts]:
        read = []
        for attachment in attachments:
            if (attachment["contentType"] or "").split(";")[0].strip().lower() != "text/plain":
                meaning.not_read["attachment that is not plain text"] += 1
            elif (attachment["size"] or 0) > MAX_BASE64:
                meaning.not_read[LONG_TEXT] += 1
            elif not attachment["data"]:
                meaning.not_read["attachment without data"] += 1
            else:
                text = decode_text(attachment["data"])
                if text is None:
                    meaning.problems.append("attachment.data: not base64 of UTF-8 text")
                else:
                    read.append(self.read.text(text, context, meaning))
        return read

    # --- observations ------------------------------------------------------------------------------------

    def _observation(self, fields: Fields, _kind: str, meaning: Meaning) -> None:
        coded = fields.coded("code")
        if coded is None:
            return _no_code(fields, "code", meaning)
        said = self.read.coded(coded, Context.OBSERVATION, meaning)
        specimen = fields.typed(fields.values.get("specimen"), str, "specimen.display")
        if specimen and self.read.reader.lab_names.of_other_specimen(specimen):
            of_it = self.read.not_of_blood(said.drafts)
            if len(of_it) < len(said.drafts):
                meaning.not_read["result of another specimen than blood"] += 1
                said = Concepts(of_it, said.sites, said.days_before_onset)
        answer, words, value = self._value(fields, meaning)
        sites = union(said.sites, self.read.sites(fields, "bodySite", meaning), value.sites)
        notes = self.read.notes(fields, Context.NOTE, meaning)
        drafts: list[Draft] = []
        if not answer.missing:
            flag = read_interpretation(fields)
            if any(draft.needs_value for draft in said.drafts):
                drafts = [each for draft in said.drafts for each in self._result(draft, fields, answer, words, flag)]
            else:
                drafts = self._findings(said.drafts, answer, words, value, flag)
            named = [draft for draft in value.drafts if draft.concept not in {found.concept for found in said.drafts}]
            drafts += _under(" ; ".join(coded.words), named)
        meaning.drafts = [*placed(drafts, sites), *notes.drafts]
        return None

    def _value(self, fields: Fields, meaning: Meaning) -> tuple[Answer, str | None, Concepts]:
        """The result that is not a quantity: its answer, its words, and the concepts it names."""
        values = fields.values
        if values.get("dataAbsentReason") is not None:
            return Answer(missing=True), None, Concepts()
        flag = fields.typed(values.get("valueBoolean"), bool, "valueBoolean")
        if flag is not None:
            return Answer(flag="positive" if flag else "negative"), None, Concepts()
        number = number_of(fields.typed(values.get("valueInteger"), int, "valueInteger"))
        if number is not None:
            return Answer(number=number), None, Concepts()
        ratio = fields.object("valueRatio")
        if ratio:
            titre = read_ratio(fields, ratio)
            return (read_answer(titre) if titre else Answer()), titre, Concepts()
        text = fields.string("valueString")
        if text and text.strip():
            answer = Answer() if len(text) > MAX_RESULT else read_answer(text)
            said = self.read.text(text, Context.OBSERVATION, meaning) if answer == Answer() else Concepts()
            return answer, text.strip()[:MAX_RESULT], said
        coded = fields.coded("valueCodeableConcept")
        if coded:
            first = next(iter(coded.words), None)
            answer = read_answer(first) if first else Answer()
            return answer, first, self.read.coded(coded, Context.OBSERVATION, Meaning()) if answer == Answer() else Concepts()
        if values.get("valueRange") is not None:
            meaning.not_read["result that is a range"] += 1
        return Answer(), None, Concepts()

    def _result(self, draft: Draft, fields: Fields, answer: Answer, words: str | None, flag: str | None) -> list[Draft]:
        """A laboratory result; of a name that stands for several quantities, one for each."""
        interval = read_range(fields)
        said = None if answer.flag == "uncertain" else answer.flag
        if said == "negative" and _TOO_LITTLE.match(words or "") and self._has_lower_limit(draft.concept):
            said = "low"  # of a hormone that everybody has, "undetectable" is no "normal"
        if said == "positive" and self._is_low_titre(draft.concept, answer):
            said = None
        result = replace(
            draft, measured=True, flag=flag or said, text_value=words, number=answer.number, comparator=answer.comparator, unit=answer.unit,
            range_low=interval.low, range_high=interval.high, range_unit=interval.unit,
        )  # fmt: skip
        results = self.read.each_of(result) if said is not None and answer.number is None else [result]
        return results + self._titre(result, answer)

    def _titre(self, result: Draft, answer: Answer) -> list[Draft]:
        """What a titre says beside "positive"."""
        lab = self.read.index.concepts[result.concept].lab
        if lab is None or lab.low_titre is None or answer.titre is None or answer.flag != "positive":
            return []
        return [replace(result, concept=lab.low_titre.concept, flag="positive" if answer.titre < lab.low_titre.below else "negative")]

    def _is_low_titre(self, concept: str, answer: Answer) -> bool:
        lab = self.read.index.concepts[concept].lab
        least = lab.positive_titre if lab else None
        return least is not None and answer.titre is not None and not answer.called and answer.titre < least

    def _has_lower_limit(self, concept: str) -> bool:
        lab = self.read.index.concepts[concept].lab
        return lab is not None and any(interval.low is not None for interval in lab.intervals)

    def _findings(self, drafts: list[Draft], answer: Answer, words: str | None, value: Concepts, flag: str | None) -> list[Draft]:
        """Findings asked about by the code: present unless the value says otherwise."""
        said = {draft.concept: draft.certainty for draft in reversed(value.drafts)}
        no = "negated" if "negative" in (answer.flag, flag) or "normal" in (answer.flag, flag) or answer.number == 0 else None
        unsure = "uncertain" if answer.flag == "uncertain" or _denies_something(words, answer) else None
        found = []
        for draft in drafts:
            (asked,) = _qualified([draft], said.get(draft.concept, no or unsure))
            found.append(replace(asked, text_value=words, measured=True, number=answer.number))
        return found


# --- helpers -------------------------------------------------------------------------------------------


def _no_code(fields: Fields, name: str, meaning: Meaning) -> None:
    meaning.outcome, meaning.category = "rejected", "no_code"
    meaning.reason = "; ".join(fields.problems) or f"{name} is missing or empty"


def _shown(draft: Draft) -> str:
    """How the record names a drug."""
    return draft.text_value or (draft.code or "").removeprefix("text/")


def _effect(fields: Fields, kind: str) -> str | None:
    status = fields.string("status")
    return "negated" if status in _NEGATED.get(kind, ()) else "uncertain" if status in _UNCERTAIN.get(kind, ()) else None


def _sureness(fields: Fields) -> str:
    """The letter of ``_SURENESS`` on a coding of the diagnosis; empty where there is none."""
    code = fields.values.get("code")
    codings = fields.listed(code.get("coding"), "code.coding") if isinstance(code, dict) else []
    marks = (mark for coding in codings for mark in fields.listed(coding.get("extension"), "code.coding.extension"))
    values = (mark.get("valueCoding") for mark in marks if mark.get("url") == _SURENESS)
    return next((value["code"] for value in values if isinstance(value, dict) and isinstance(value.get("code"), str)), "")


def _qualified(drafts: Iterable[Draft], effect: str | None) -> list[Draft]:
    """The drafts under a resource-wide certainty. What was denied already is not turned round: it becomes uncertain."""
    if effect is None or effect == "affirmed":
        return list(drafts)
    changed = []
    for draft in drafts:
        certainty = draft.certainty
        if effect == "family" or certainty in ("affirmed", "uncertain"):
            certainty = "negated" if effect == "negated" else "family" if effect == "family" else "uncertain"
        elif certainty == "negated" and effect == "negated":
            certainty = "uncertain"
        changed.append(replace(draft, certainty=certainty))
    return changed


_RELATIVES: Final = re.compile(
    r"\b(?:famil(?:y|ial)|relatives?|FHx?|maternal|paternal|mother|father|sibling|brother|sister)\b", re.IGNORECASE
)
_DOUBTED: Final = re.compile(
    r"\b(?:suspected|suspicion|possible|probable|provisional|preliminary|unconfirmed|(?:working|differential) diagnosis|rule[- ]out)\b",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(
    r"^\s*(?:no|denies|without)\b|\b(?:no (?:known |family )?history|absent|absence|ruled out|excluded)\b", re.IGNORECASE
)


def _under(question: str, drafts: list[Draft]) -> list[Draft]:
    """What a value names under its question: "family history of clinical finding = scleroderma" is no scleroderma of the patient's.

    "Disease suspected = ..." is how a CDM keeps a suspected diagnosis (OHDSI/Themis#146).
    """
    relatives, denied = _RELATIVES.search(question) is not None, _DENIED.search(question) is not None
    if relatives:  # a relative who does not have it says nothing
        return [] if denied else [replace(draft, certainty="family", sites=()) for draft in drafts if draft.certainty != "negated"]
    return _qualified(drafts, "negated" if denied else "uncertain" if _DOUBTED.search(question) else None)


def _timed(drafts: Iterable[Draft], *days: float | None) -> list[Draft]:
    known = next((value for value in days if value is not None), None)
    return [replace(draft, days_before_onset=known) if known is not None else draft for draft in drafts]


_TOO_LITTLE: Final = re.compile(r"\s*(?:undetect|not detect)", re.IGNORECASE)
_DENIAL: Final = re.compile(r"\s*(?:no|not|none|nil|absent|negative|without|denie[sd])\b", re.IGNORECASE)


def _denies_something(words: str | None, answer: Answer) -> bool:
    """A sentence that opens with a denial, whose object the reader did not recognise."""
    return words is not None and answer == Answer() and _DENIAL.match(words) is not None


def _study(fields: Fields, coded: Coded | None) -> Context:
    """What kind of study a report describes: by its section code, else by the words of its category and code."""
    categories = [fields.as_coded(item, "category") for item in fields.objects("category")]
    everything = [concept for concept in (*categories, coded) if concept is not None]
    for concept in categories:
        for _, code, _ in concept.codings if concept else ():
            if code and code.upper() in _SECTIONS:
                return _SECTIONS[code.upper()]
    words = " ; ".join(word for concept in everything for word in (concept.text, *(display for *_, display in concept.codings)) if word)
    return study_context(words) or Context.OBSERVATION


def study_context(words: str) -> Context | None:
    """Histology or imaging, by the name of a report; None for any other."""
    if _HISTOLOGY.search(words):
        return Context.HISTOLOGY
    return Context.IMAGING if _IMAGING.search(words) else None


def _referenced_medication(fields: Fields) -> Coded | None:
    """A contained Medication, or at least the name that the reference shows."""
    reference = fields.object("medicationReference")
    target = reference.get("reference")
    if isinstance(target, str) and target.startswith("#"):
        for resource in fields.objects("contained"):
            if resource.get("id") == target[1:] and resource.get("resourceType") == "Medication":
                return fields.as_coded(resource.get("code"), "contained.code")
    display = reference.get("display")
    return Coded((), display.strip()) if isinstance(display, str) and display.strip() else None
