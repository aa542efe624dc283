"""Assessments as a FHIR R4 ``Bundle`` of type ``collection``: resources to read and file, never a transaction and never an order.

Why these resources:

* ``RiskAssessment`` carries the answer: R4 foresees a program as its performer, a method, several outcomes each with a
  qualitative grade and a rationale, and the data it is based on. ``ClinicalImpression`` states what a practitioner concluded, and
  ``Condition`` would put a diagnosis into the problem list; this program does neither.
* ``DetectedIssue`` carries an alarm, with the entries of the record as evidence. What the sources advise stands in ``detail``:
  R4 defines ``mitigation`` as action *taken or committed to*, and nobody has acted yet.
* ``DetectedIssue`` also carries current treatment to review: a drug that feeds the disease, or a contraindication or caution that holds.
  The entries of medication behind it are ``implicated``, all entries are ``evidence``.
* ``GuidanceResponse`` with status ``data-requested`` carries the missing work-up as ``dataRequirement``.
  A ``ServiceRequest`` would be an order. Drugs to review of which nobody knows whether the patient has them are asked for the same way.

Treatment options are not in the bundle. ``CarePlan``, ``RequestGroup`` and ``MedicationRequest`` are plans and requests even with the
intent ``proposal`` or ``option``, and a system that receives one may act on it; ``EffectEvidenceSynthesis`` speaks of no patient.
The options are in the JSON and on the page.

Nothing is ever ``final``: status is ``preliminary``, because no clinician has confirmed it. Ids follow from the assessment (UUID 5), so
the same assessment gives the same bundle. The codes of types, statuses, alarms and tests are this project's own (``SYSTEM``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from uuid import UUID, uuid5

from calcinosis.contract import AlarmOut, Assessment, Citation, FactOut, MimicAssessment, ReviewOut, TestOut, TypeAssessment
from calcinosis.report.option_words import REVIEW_UNKNOWN, VERDICT_WORD
from calcinosis.report.wording import STATUS_WORD, URGENCY_WORD, clean, evidence, headline, is_standing, lacking, outcome_change

SYSTEM: Final = "urn:calcinosis"
_NAMESPACE: Final = UUID("6f0d2c1e-6a53-5c1f-9d2e-0c9d8a4f7b11")
_SEVERITY: Final = {"immediate": "high", "same_day": "high", "urgent": "moderate", "routine": "low"}
_SEVERITY_OF_VERDICT: Final = {"contraindicated": "high", "caution": "moderate"}
_READ: Final = (
    "AllergyIntolerance|Condition|Device|DeviceUseStatement|DiagnosticReport|DocumentReference|Encounter|FamilyMemberHistory|ImagingStudy|"
    "Immunization|MedicationAdministration|MedicationDispense|MedicationRequest|MedicationStatement|Observation|Patient|Procedure|Specimen"
)
_FHIR_REFERENCE: Final = re.compile(rf"^(?:{_READ})/[A-Za-z0-9\-.]{{1,64}}$")
_MEDICATION: Final = re.compile(r"^Medication(?:Administration|Dispense|Request|Statement)/")
_FHIR_ID: Final = re.compile(r"^[A-Za-z0-9\-.]{1,64}$")

Json = dict[str, Any]


def to_fhir_bundle(assessments: Sequence[Assessment], *, at: datetime | None = None) -> Json:
    """One bundle for all assessments; an assessment given twice appears once.

    Args:
        at: when the assessment was made (naive means UTC); left out of the resources when not given.
    """
    distinct = {each.model_dump_json(): each for each in assessments}
    versions = dict.fromkeys(each.knowledge_version for each in distinct.values())
    entries = [_entry(_device(version)) for version in versions]
    for content, assessment in distinct.items():
        entries += [_entry(resource) for resource in _Writer(assessment, uuid5(_NAMESPACE, content), at).resources()]
    bundle: Json = {"resourceType": "Bundle", "type": "collection"}
    if at is not None:
        bundle["timestamp"] = _instant(at)
    return bundle | ({"entry": entries} if entries else {})


class _Writer:
    """The resources of one assessment."""

    def __init__(self, assessment: Assessment, base: UUID, at: datetime | None) -> None:
        self.assessment = assessment
        self.base = base
        self.at = at
        self.subject = _patient(assessment.patient_id)
        self.device = {"reference": f"urn:uuid:{_device_id(assessment.knowledge_version)}", "display": "calcinosis"}

    def resources(self) -> Iterable[Json]:
        yield from (self._issue(alarm) for alarm in self.assessment.alarms)
        yield from (self._review(each) for each in self.assessment.review)
        yield self._risk_assessment()
        if self.assessment.workup or self.assessment.review_not_checked:
            yield self._guidance(self.assessment.workup, self.assessment.review_not_checked)

    def _start(self, kind: str, key: str, narrative: Sequence[str]) -> Json:
        return {
            "resourceType": kind,
            "id": str(uuid5(self.base, f"{kind}/{key}")),
            "meta": _meta(self.assessment.knowledge_version),
            "text": _narrative([*narrative, self.assessment.disclaimer, f"Knowledge base {self.assessment.knowledge_version}."]),
        }

    def _risk_assessment(self) -> Json:
        a = self.assessment
        found = headline(a)
        shown: list[TypeAssessment | MimicAssessment] = [*a.types, *(each for each in a.mimics if is_standing(each.status))]
        decisive = [fact for each in shown if is_standing(each.status) for reason in each.reasons for fact in reason.facts]
        lines = [found.line, *found.notes, *(f"{each.label}: {STATUS_WORD[each.status]}. {_rationale(each)}" for each in shown)]
        actions = [f"{alarm.label}: {clean(action.text)}" for alarm in a.alarms for action in alarm.actions]
        risks = [f"Risk factor of calciphylaxis on record: {risk.label}" for risk in a.calciphylaxis_risk]
        diseases = [f"{each.label}: {each.status}" for each in a.diseases]
        notes = [*found.notes, *diseases, *risks, *(f"Not used in full: {clean(each)}" for each in a.warnings), a.disclaimer]
        resource = self._start("RiskAssessment", "types", lines) | {
            "status": "preliminary",
            "method": _concept("method", "rules", f"Rules of the calcinosis knowledge base {a.knowledge_version}"),
            "code": _concept("question", "type-of-soft-tissue-calcification", "Type of soft-tissue calcification"),
            "subject": self.subject,
            "performer": self.device,
            "prediction": [self._prediction(each) for each in shown],
            "note": [{"text": note} for note in [found.line, *notes]],
        }
        if self.at is not None:
            resource["occurrenceDateTime"] = _instant(self.at)
        if basis := _references(decisive):
            resource["basis"] = basis
        if actions:
            resource["mitigation"] = " ".join(f"To consider: {each}" for each in actions)  # "steps that might be taken"
        return resource

    def _prediction(self, each: TypeAssessment | MimicAssessment) -> Json:
        kind, key = ("type", each.type) if isinstance(each, TypeAssessment) else ("mimic", each.mimic)
        label = each.label
        if isinstance(each, TypeAssessment) and each.subtype_label:
            label = f"{label}: {each.subtype_label}"
        prediction: Json = {
            "outcome": _concept(kind, key, each.label, text=label),
            "qualitativeRisk": _concept("status", each.status.value.replace("_", "-"), STATUS_WORD[each.status]),
        }
        return prediction | ({"rationale": rationale} if (rationale := _rationale(each)) else {})

    def _issue(self, alarm: AlarmOut) -> Json:
        urgency = URGENCY_WORD.get(alarm.urgency, alarm.urgency)
        lines = [f"{urgency}: {alarm.label}", *_considered(alarm.facts, [action.text for action in alarm.actions])]
        code = _concept("alarm", alarm.key, alarm.label)
        return self._detected(alarm.key, code, _SEVERITY.get(alarm.urgency, "high"), lines, alarm.facts, alarm.citations)

    def _review(self, each: ReviewOut) -> Json:
        """Current treatment to review: by its urgency, or by the gravity of the safety rule that holds."""
        word = URGENCY_WORD.get(each.urgency or "", each.urgency) or VERDICT_WORD.get(each.verdict or "", each.verdict) or ""
        lines = [f"{word}: {each.label}", *_considered(each.facts, [each.text])]
        by_verdict = _SEVERITY_OF_VERDICT.get(each.verdict or "", "high")
        severity = _SEVERITY.get(each.urgency, "high") if each.urgency else by_verdict
        kind, key = ("review", each.key) if each.treatment is None else ("safety", f"{each.treatment}.{each.key}")
        resource = self._detected(f"{kind}/{key}", _concept(kind, key, each.label), severity, lines, each.facts, each.citations)
        implicated = [found for found in _references(each.facts) if _MEDICATION.match(found.get("reference", ""))]
        return resource | ({"implicated": implicated} if implicated else {})

    def _detected(
        self, key: str, code: Json, severity: str, lines: Sequence[str], facts: Sequence[FactOut], citations: Sequence[Citation]
    ) -> Json:
        resource = self._start("DetectedIssue", key, lines) | {
            "status": "preliminary",
            "code": code,
            "severity": severity,
            "patient": self.subject,
            "author": self.device,
            "detail": " ".join(lines),
        }
        if self.at is not None:
            resource["identifiedDateTime"] = _instant(self.at)
        if details := _references(facts):
            resource["evidence"] = [{"detail": details}]
        address = next((each.url for each in citations if each.url), None)
        return resource | ({"reference": address} if address else {})

    def _guidance(self, tests: Sequence[TestOut], drugs: Sequence[str]) -> Json:
        described = [f"{lacking(test)}: {'; '.join(self._outcomes(test))}" for test in tests]
        described += [f"{REVIEW_UNKNOWN}: {clean(drug)}" for drug in drugs]
        asked = [self._asked("Observation", [_coding("test", test.test, test.label)]) for test in tests]
        if drugs:
            asked.append(self._asked("MedicationStatement", []))
        resource = self._start("GuidanceResponse", "work-up", ["Missing; nothing is ordered.", *described]) | {
            "moduleUri": f"{SYSTEM}:knowledge:{self.assessment.knowledge_version}",
            "status": "data-requested",
            "subject": self.subject,
            "performer": self.device,
            "note": [{"text": each} for each in described],
            "dataRequirement": asked,
        }
        return resource | ({"occurrenceDateTime": _instant(self.at)} if self.at is not None else {})

    def _asked(self, kind: str, codes: Sequence[Json]) -> Json:
        patient = {"coding": [{"system": "http://hl7.org/fhir/resource-types", "code": "Patient", "display": "Patient"}]}
        wanted: Json = {"type": kind, "subjectCodeableConcept": patient}
        return wanted | ({"codeFilter": [{"path": "code", "code": list(codes)}]} if codes else {})

    def _outcomes(self, test: TestOut) -> list[str]:
        return [f"{each.result}: {outcome_change(each, self.assessment) or 'no status changes'}" for each in test.outcomes]


# --- parts of resources


def _device(knowledge_version: str) -> Json:
    program = _program_version()
    return {
        "resourceType": "Device",
        "id": _device_id(knowledge_version),
        "meta": _meta(knowledge_version),
        "text": _narrative([f"The program calcinosis {program} with knowledge base {knowledge_version}."]),
        "status": "active",
        "deviceName": [{"name": "calcinosis", "type": "model-name"}],
        "version": [{"value": program}, {"value": knowledge_version}],
    }


def _device_id(knowledge_version: str) -> str:
    return str(uuid5(_NAMESPACE, f"Device/{_program_version()}/{knowledge_version}"))


def _program_version() -> str:
    try:
        return version("calcinosis")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "uninstalled"


def _entry(resource: Json) -> Json:
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}


def _meta(version: str) -> Json:
    return {"tag": [{"system": f"{SYSTEM}:knowledge-version", "code": version}]}


def _narrative(lines: Sequence[str]) -> Json:
    paragraphs = "".join(f"<p>{escape(clean(line))}</p>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml" lang="en">{paragraphs}</div>'}


def _coding(kind: str, code: str, display: str) -> Json:
    return {"system": f"{SYSTEM}:{kind}", "code": code, "display": display}


def _concept(kind: str, code: str, display: str, *, text: str | None = None) -> Json:
    return {"coding": [_coding(kind, code, display)], "text": text or display}


def _patient(patient_id: str) -> Json:
    """A reference when the id is one FHIR allows; otherwise a logical reference by identifier."""
    if _FHIR_ID.match(patient_id):
        return {"reference": f"Patient/{patient_id}"}
    return {"type": "Patient", "identifier": {"value": clean(patient_id) or "unknown"}, "display": clean(patient_id) or "unknown"}


def _considered(facts: Iterable[FactOut], advice: Iterable[str]) -> list[str]:
    """What is on record, and what the sources ask to consider."""
    return [*(f"On record: {each.line}" for each in evidence(facts)), *(f"To consider: {clean(text)}" for text in advice)]


def _references(facts: Iterable[FactOut]) -> list[Json]:
    """The entries of the record behind the facts, each once; what is no FHIR reference is named by ``display``."""
    references: dict[str, Json] = {}
    for fact in facts:
        said = clean(fact.said)
        display = f"{clean(fact.label)}: {said}" if said else clean(fact.label)
        for source in clean(fact.source).split(" + "):  # a derived quantity names every measurement it came from
            is_reference = _FHIR_REFERENCE.match(source)
            references.setdefault(
                source, {"reference": source, "display": display} if is_reference else {"display": f"{source} ({display})"}
            )
    return list(references.values())


def _rationale(each: TypeAssessment | MimicAssessment) -> str:
    parts = [*(clean(reason.label) for reason in each.reasons), *(f"against: {clean(reason.label)}" for reason in each.against)]
    return "; ".join(parts)


def _instant(at: datetime) -> str:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat(timespec="seconds")
