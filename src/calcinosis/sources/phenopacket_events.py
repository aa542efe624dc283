"""What each element of a phenopacket means, in the terms of the knowledge base.

Codes come first and labels second, through the same :class:`~calcinosis.sources.fhir_meaning.Interpreter` that reads FHIR.
What is particular here is exclusion: it denies a concept only when the excluded term is at least as wide as the concept.
"No Raynaud phenomenon" denies it; "no proximal muscle weakness" leaves muscle weakness unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from calcinosis.events import ENDED
from calcinosis.knowledge.model import Context
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_meaning import Draft, Interpreter, Meaning, merged, placed, union
from calcinosis.sources.fhir_values import Coded, read_answer
from calcinosis.sources.phenopacket_model import (
    Biosample,
    Disease,
    Element,
    Interpretation,
    Measurement,
    MedicalAction,
    OntologyClass,
    PhenotypicFeature,
    Procedure,
    Quantity,
    TimeElement,
    Treatment,
)
from calcinosis.sources.phenopacket_terms import answer_of, coded_of, plain_anatomy, results_in_name, unit_of
from calcinosis.sources.text import TextReader
from calcinosis.sources.words import tokenise

_SOLVED: Final = ("SOLVED", 3)  # Interpretation.ProgressStatus; protobuf JSON may write the number


class Span(NamedTuple):
    """When an element began and ended, in the record's own terms: the earliest start and the latest end count."""

    starts: tuple[TimeElement | None, ...] = ()
    ends: tuple[TimeElement | None, ...] = ()


class PhenopacketMapper:
    """Maps one element to what it means. ``owner`` is the id of the packet's subject."""

    def __init__(self, index: ConceptIndex, reader: TextReader) -> None:
        self.index = index
        self.reader = reader
        self.read = Interpreter(index, reader)

    def __call__(self, element: Element, owner: str) -> tuple[Meaning, Span]:
        meaning = Meaning()
        match element:
            case PhenotypicFeature():
                span = self._feature(element, Context.CONDITION, meaning)
            case Disease():
                span = self._disease(element, meaning)
            case Measurement():
                span = self._measurement(element, meaning)
            case MedicalAction():
                span = self._action(element, meaning)
            case Biosample():
                span = self._biosample(element, owner, meaning)
            case Interpretation():
                span = self._interpretation(element, meaning)
        if meaning.outcome != "used":
            meaning.drafts, meaning.unmapped = [], []
        meaning.drafts = merged(meaning.drafts)
        return meaning, span

    # --- one method per kind of element ----------------------------------------------------------------

    def _feature(self, feature: PhenotypicFeature, context: Context, meaning: Meaning) -> Span:
        span = Span((feature.onset,), (feature.resolution,))
        coded = coded_of(feature.type, before=feature.severity)
        if coded is None:
            _no_term("type", meaning)
            return span
        certainties = {read_answer(modifier.label).flag: modifier for modifier in feature.modifiers}
        excluded = feature.excluded or "negative" in certainties
        noted = Meaning()
        said = self.read.coded(coded, context, noted)
        result = self._result_in_name(feature.type, excluded=excluded)
        stated = _without_results(said.drafts) if excluded or result is not None else said.drafts
        drafts = [*self._of_term(stated, feature.type, coded), *([result] if result is not None else [])]
        meaning.not_read += noted.not_read
        meaning.unmapped += noted.unmapped if result is None else []
        if excluded:
            narrowed = feature.severity is not None or any(modifier is not certainties.get("negative") for modifier in feature.modifiers)
            meaning.drafts += self._denied(drafts, coded, meaning, context, narrowed=narrowed)
            meaning.not_read["description of an excluded feature"] += bool(feature.description)
            return span
        sites = union(said.sites, *(self._sites(modifier) for modifier in feature.modifiers))
        beside = self.read.text(feature.description, Context.CONDITION if context is not Context.HISTOLOGY else context, meaning)
        if "uncertain" in certainties:
            drafts = _unsure(drafts)
        named = {draft.concept for draft in drafts}
        days = said.days_before_onset if said.days_before_onset is not None else beside.days_before_onset
        shown = ", ".join([coded.text or feature.type.id, *(modifier.label for modifier in feature.modifiers if modifier.label)])
        own = [replace(draft, text_value=shown, days_before_onset=days) for draft in placed(drafts, union(sites, beside.sites))]
        meaning.drafts += [*own, *(draft for draft in beside.drafts if draft.concept not in named)]
        return span

    def _disease(self, disease: Disease, meaning: Meaning) -> Span:
        span = Span((disease.onset,), (disease.resolution,))
        stage = disease.disease_stage[0] if disease.disease_stage else None
        coded = coded_of(disease.term, after=stage)
        if coded is None:
            _no_term("term", meaning)
            return span
        said = self.read.coded(coded, Context.CONDITION, meaning)
        drafts = self._of_term(said.drafts, disease.term, coded)
        if disease.excluded:
            narrowed = stage is not None or disease.primary_site is not None
            drafts = self._denied(_without_results(drafts), coded, meaning, Context.CONDITION, narrowed=narrowed)
        meaning.drafts = placed(_labelled(drafts, coded), union(said.sites, self._sites(disease.primary_site, meaning)))
        return span

    def _interpretation(self, interpretation: Interpretation, meaning: Meaning) -> Span:
        diagnosis = interpretation.diagnosis
        coded = coded_of(diagnosis.disease) if diagnosis is not None else None
        meaning.not_read["summary of an interpretation"] += bool(interpretation.summary)
        if diagnosis is not None:
            meaning.not_read["gene or variant"] += len(diagnosis.genomic_interpretations)
        if coded is None:
            meaning.outcome, meaning.category = "ignored", "interpretation without a disease"
            return Span()
        drafts = _labelled(self.read.coded(coded, Context.CONDITION, meaning).drafts, coded)
        solved = interpretation.progress_status in _SOLVED
        status = str(interpretation.progress_status).lower() or None
        meaning.drafts = [replace(draft, status=draft.status or status) for draft in (drafts if solved else _unsure(drafts))]
        return Span()

    def _action(self, action: MedicalAction, meaning: Meaning) -> Span:
        meaning.not_read["adverse event of a treatment"] += len(action.adverse_events)
        if action.treatment is not None:
            return self._treatment(action.treatment, meaning)
        if action.procedure is not None:
            sites = self._procedure(action.procedure, meaning)
            meaning.drafts = placed(meaning.drafts, sites)
            return Span((action.procedure.performed,))
        regimen = action.therapeutic_regimen
        coded = coded_of(regimen.ontology_class) if regimen is not None else None
        if regimen is None or coded is None:
            what = "radiation therapy" if action.radiation_therapy is not None else "medical action without a name"
            meaning.outcome, meaning.category = "ignored", what
            return Span()
        status = str(regimen.regimen_status).lower() or None
        status = ENDED if status in ("completed", "discontinued") else status
        said = self.read.coded(coded, Context.PROCEDURE, meaning)
        meaning.drafts = [replace(draft, status=draft.status or status) for draft in _labelled(said.drafts, coded)]
        return Span((regimen.start_time,), (regimen.end_time,))

    def _treatment(self, treatment: Treatment, meaning: Meaning) -> Span:
        coded = coded_of(treatment.agent, after=treatment.route_of_administration)
        if coded is None:
            _no_term("treatment.agent", meaning)
            return Span()
        said = self.read.coded(coded, Context.DRUG, meaning)
        meaning.drafts = placed(_labelled(said.drafts, coded), said.sites)
        intervals = [dose.interval for dose in treatment.dose_intervals if dose.interval is not None]
        starts = tuple(TimeElement(timestamp=interval.start) for interval in intervals if interval.start)
        return Span(starts, tuple(TimeElement(timestamp=interval.end) for interval in intervals if interval.end))

    def _procedure(self, procedure: Procedure, meaning: Meaning) -> tuple[str, ...]:
        """Adds what was done to ``meaning``; gives the sites where."""
        coded = coded_of(procedure.code)
        if coded is None:
            _no_term("procedure.code", meaning)
            return ()
        said = self.read.coded(coded, Context.PROCEDURE, meaning)
        meaning.drafts += _labelled(said.drafts, coded)
        return union(said.sites, self._sites(procedure.body_site, meaning))

    def _biosample(self, sample: Biosample, owner: str, meaning: Meaning) -> Span:
        """What the microscope saw, at the site of the sampled tissue."""
        span = Span((sample.time_of_collection,))
        if sample.individual_id and sample.individual_id.strip() != owner:
            meaning.outcome, meaning.category = "ignored", "biosample of another individual"
            return span
        sites = self._sites(sample.sampled_tissue, meaning)
        if sample.procedure is not None and coded_of(sample.procedure.code) is not None:
            sites = union(sites, self._procedure(sample.procedure, meaning))
            if sample.procedure.performed is not None and sample.time_of_collection is None:
                span = Span((sample.procedure.performed,))
        for term in (sample.histological_diagnosis, *sample.diagnostic_markers):
            coded = coded_of(term)
            if coded is not None:
                said = self.read.coded(coded, Context.HISTOLOGY, meaning)
                meaning.drafts += placed(_labelled(said.drafts, coded), said.sites)
        for feature in sample.phenotypic_features:
            self._feature(feature, Context.HISTOLOGY, meaning)
        meaning.drafts += self.read.text(sample.description, Context.HISTOLOGY, meaning).drafts
        meaning.drafts = [draft if draft.sites else replace(draft, sites=sites) for draft in meaning.drafts]
        meaning.not_read["measurement of a biosample"] += len(sample.measurements)
        return span

    # --- measurements ----------------------------------------------------------------------------------

    def _measurement(self, measurement: Measurement, meaning: Meaning) -> Span:
        span = Span((measurement.time_observed,))
        procedure = measurement.procedure
        sites = self._sites(procedure.body_site, meaning) if procedure is not None else ()
        if measurement.time_observed is None and procedure is not None:
            span = Span((procedure.performed,))
        value = measurement.value
        if coded_of(measurement.assay) is None:
            _no_term("assay", meaning)
        elif value is not None and value.quantity is not None:
            meaning.drafts = self._quantity(measurement.assay, value.quantity, meaning)
        elif value is not None and coded_of(value.ontology_class) is not None and value.ontology_class is not None:
            meaning.drafts = self._answer(measurement.assay, value.ontology_class, meaning)
        elif measurement.complex_value is not None and measurement.complex_value.typed_quantities:
            parts = measurement.complex_value.typed_quantities
            meaning.drafts = [draft for part in parts for draft in self._quantity(part.type, part.quantity, meaning)]
            if meaning.drafts and meaning.outcome == "rejected":  # some of the parts have a value
                meaning.outcome, meaning.category, meaning.reason = "used", None, None
        else:
            meaning.outcome, meaning.category, meaning.reason = "rejected", "no_value", "a measurement without a value: unknown, not normal"
        meaning.drafts = placed(meaning.drafts, sites)
        return span

    def _quantity(self, assay: OntologyClass, quantity: Quantity, meaning: Meaning) -> list[Draft]:
        coded = coded_of(assay)
        if coded is None or quantity.value is None:
            meaning.outcome, meaning.category = "rejected", "no_value"
            meaning.reason = "a quantity without a number (protobuf leaves out a zero, so zero and nothing look alike)"
            return []
        said = self.read.coded(coded, Context.OBSERVATION, meaning)
        unit, interval = unit_of(quantity.unit), quantity.reference_range
        low, high = (interval.low, interval.high) if interval is not None else (None, None)
        if interval is not None and unit_of(interval.unit) not in (None, unit):
            meaning.problems.append("referenceRange: its unit is not the unit of the value; the range was not used")
            low = high = None
        elif low is not None and high is not None and low >= high:
            meaning.problems.append("referenceRange: low is not below high; the range was not used")
            low = high = None
        if not _has_lab(said.drafts):  # a score of a finding: none at zero
            none = not quantity.value
            return self._denied(said.drafts, coded, meaning, Context.OBSERVATION, asked=True) if none else _labelled(said.drafts, coded)
        number = Draft("", "affirmed", measured=True, number=quantity.value, unit=unit, range_low=low, range_high=high)
        return [replace(number, concept=draft.concept, code=draft.code) for draft in said.drafts if draft.needs_value]

    def _answer(self, assay: OntologyClass, value: OntologyClass, meaning: Meaning) -> list[Draft]:
        """A result in words: a flag of a laboratory quantity, whether a finding is there, or a finding by name."""
        coded, answered = coded_of(assay), coded_of(value)
        assert coded is not None and answered is not None  # the caller has looked
        flag, missing = answer_of(value)
        said = self.read.coded(coded, Context.OBSERVATION, meaning if flag or missing else Meaning())
        if missing:
            return []
        if _has_lab(said.drafts):
            shown = None if flag == "uncertain" else flag
            drafts = [each for draft in said.drafts for each in self.read.each_of(replace(draft, flag=shown, text_value=answered.text))]
            return drafts if flag else [*drafts, *self.read.coded(answered, Context.OBSERVATION, meaning).drafts]
        if flag in ("negative", "normal"):
            return self._denied(said.drafts, coded, meaning, Context.OBSERVATION, asked=True)
        if flag:
            return _labelled(_unsure(said.drafts) if flag == "uncertain" else said.drafts, coded)
        found = self.read.coded(answered, Context.OBSERVATION, meaning)  # "Skin examination": "Subcutaneous nodule"
        return placed(_labelled(found.drafts, answered), union(found.sites, said.sites))

    # --- parts -----------------------------------------------------------------------------------------

    def _sites(self, term: OntologyClass | None, meaning: Meaning | None = None) -> tuple[str, ...]:
        return self.read.coded(coded_of(plain_anatomy(term)), Context.SITE, meaning or Meaning()).sites if term is not None else ()

    def _result_in_name(self, term: OntologyClass, *, excluded: bool) -> Draft | None:
        """The laboratory result that a term's name states. Not raised may still be low, so only "positive" has an opposite."""
        for name, flag in results_in_name(term.label):
            lab = self.reader.name_of_lab(name)
            if lab is not None and not (excluded and flag != "positive"):
                return Draft(lab, "affirmed", code=f"text/{term.label.strip()}", flag="negative" if excluded else flag)
        return None

    def _relations(self, coded: Coded) -> dict[str, str]:
        return {concept: how for system, code, _ in coded.codings for concept, how in self.index.lookup(system, code)}

    def _of_term(self, drafts: list[Draft], term: OntologyClass, coded: Coded) -> list[Draft]:
        """Without what parts of the term's own name say, where its code is exact: a heliotrope rash is not just any rash."""
        if "exact" not in self._relations(coded).values():
            return drafts
        name = term.label.casefold()
        return [draft for draft in drafts if not draft.code.startswith("text/") or draft.code[5:].casefold() not in name]

    def _names(self, concept: str, text: str) -> bool:
        """Whether ``text`` is the concept's own name. A synonym may be narrower: colon cancer excluded is not cancer excluded."""
        names = (self.index.concepts[concept].label, concept.replace("_", " "))
        return any(tokenise(text).words == tokenise(name).words for name in names)

    def _denied(
        self, drafts: list[Draft], coded: Coded, meaning: Meaning, context: Context, *, narrowed: bool = False, asked: bool = False
    ) -> list[Draft]:
        """The concepts that excluding the term denies; a term that denies none is listed as unmapped.

        Args:
            narrowed: a severity, stage or site stands with the term: severe pain excluded is not pain excluded.
            asked: the term was a question answered with "no"; then it is enough that the whole of it was understood.
        """
        relation = self._relations(coded)
        denied: list[Draft] = []
        for draft in () if narrowed else drafts:
            if draft.flag is not None:
                denied.append(draft)
            elif draft.code.startswith("text/"):
                same = self._names(draft.concept, coded.text or "") if not asked else draft.code == f"text/{coded.text}"
                denied += [replace(draft, certainty="negated")] if same and draft.certainty == "affirmed" else []
            elif relation.get(draft.concept) == "broader" or (relation.get(draft.concept) == "exact" and draft.certainty == "affirmed"):
                denied.append(replace(draft, certainty="negated"))
        if drafts and not denied:
            system, code, label = coded.codings[0] if coded.codings else (None, None, None)
            meaning.unmapped.append((context.value, system, code, coded.text or label))
        return _labelled(denied, coded)


def _no_term(name: str, meaning: Meaning) -> None:
    meaning.outcome, meaning.category, meaning.reason = "rejected", "no_code", f"{name} has neither id nor label"


def _has_lab(drafts: Iterable[Draft]) -> bool:
    return any(draft.needs_value for draft in drafts)


def _without_results(drafts: Iterable[Draft]) -> list[Draft]:
    """An excluded "PTH raised" is no raised PTH, and says of no other value that it was found."""
    return [draft for draft in drafts if draft.flag is None]


def _labelled(drafts: Iterable[Draft], coded: Coded) -> list[Draft]:
    return [replace(draft, text_value=coded.text) for draft in drafts]


def _unsure(drafts: Iterable[Draft]) -> list[Draft]:
    """Family history stays family history; all else is only suspected."""
    return [draft if draft.certainty == "family" else replace(draft, certainty="uncertain") for draft in drafts]
