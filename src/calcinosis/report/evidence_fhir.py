"""The evidence as a FHIR R5 ``Bundle`` of type ``collection``.

Why R5: the ``Evidence`` of R4 has no statistic; R5's has type, quantity, sample size and interval. Three kinds of ``Evidence``: one per
study row, one per pooled proportion (derived from its rows), one per comparison with a control group. ``EvidenceVariable`` carries the
treatments, the calcification types and the outcomes; ``Citation`` the references. ``ArtifactAssessment`` is not used: nobody's
judgement of a paper is recorded beyond the level, and the level has a place in ``Evidence.certainty``.

Codes come from the specification's own systems (HL7/fhir, ``source/evidence``); where none fits, as for the OCEBM levels, the words
stand in ``text``. Nothing is ``active``: no guideline body has reviewed it. Ids follow from the knowledge, so the same knowledge gives
the same bundle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any, Final
from uuid import UUID, uuid5

from calcinosis.contract import DISCLAIMER
from calcinosis.evidence.cells import Compared, PooledCell, compare_everything, counted, exact_interval, load_pooled, rows_of
from calcinosis.evidence.pooling import Ratio
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Source
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.wording import citation
from calcinosis.report import evidence_summary as words

SYSTEM: Final = "urn:calcinosis"
_NAMESPACE: Final = UUID("0b6f3e6a-4b0c-5d0e-9a43-6f5f7f1f2c55")
_HL7: Final = "http://terminology.hl7.org/CodeSystem"

# system, code, display, as the specification writes them
_STATISTIC: Final = {
    "proportion": ("C44256", "Proportion"), "RR": ("C93152", "Relative Risk"), "OR": ("C16932", "Odds Ratio"),
    "HR": ("C93150", "Hazard Ratio"), "MD": ("0000457", "Mean Difference"),
}  # fmt: skip
_ATTRIBUTE: Final = {
    "interval": ("C53324", "Confidence interval"), "tau": ("0000421", "Tau squared"), "p": ("C44185", "P-value"),
}  # fmt: skip
_ROLE: Final = {
    "population": "population", "exposure": "exposure", "referenceExposure": "reference exposure", "measuredVariable": "measured variable",
}  # fmt: skip
_DESIGN: Final = {
    "rct": ("SEVCO:01003", "randomized assignment"), "case_series": ("SEVCO:01016", "Uncontrolled cohort design"),
    "case_report": ("SEVCO:01017", "Case report"),
}  # fmt: skip

Json = dict[str, Any]


def to_evidence_bundle(knowledge: Knowledge, treatment: str | None = None, type_: str | None = None, disease: str | None = None) -> Json:
    """The chosen rows, what was pooled or compared of them, and everything these refer to."""
    rows = rows_of(knowledge, treatment, type_, disease)
    writer = _Writer(knowledge)
    known = {row.row for row in rows}
    pooled = [
        cell
        for cell in load_pooled()
        if treatment in (None, cell.treatment) and cell.disease in (disease, *(knowledge.diseases if disease is None else ()))
        if known.issuperset(cell.rows)
    ]
    compared = words.comparisons_of(compare_everything(knowledge, treatment), treatment, type_, rows)
    evidence = [*map(writer.row, rows), *map(writer.pooled, pooled), *map(writer.comparison, compared)]
    entries = [*writer.variables.values(), *writer.citations.values(), *evidence]
    return {"resourceType": "Bundle", "type": "collection"} | ({"entry": [_entry(each) for each in entries]} if entries else {})


class _Writer:
    """Collects the variables and citations that the evidence refers to."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.rows = {row.row: row for row in knowledge.studies}
        self.variables: dict[str, Json] = {}
        self.citations: dict[str, Json] = {}

    def row(self, row: Study) -> Json:
        """One study, group and outcome."""
        name = words.study_name(self.knowledge.sources[row.study])
        treatments = " with ".join(self.knowledge.treatments[key].label for key in row.treatments)
        found = f"{words.counts_in_words(row)}: {words.DIRECTION_WORD[row.direction]}"
        role = "referenceExposure" if row.arm == "comparator" else "exposure"
        notes = [
            words.pooling_in_words(row),
            f"seen: {words.SEEN_WORD[row.seen]}",
            row.note,
            row.harms and f"harms: {row.harms}",
            words.given(row),
        ]
        resource = self.start("row", row.row, f"{treatments}: {name}", found, [each for each in notes if each])
        described = f"{row.population} ({words.size(row)})"
        types = [self.variable("type", row.calcification_type)] if row.calcification_type else []
        resource["variableDefinition"] = [
            *self.role("population", types, described),
            *self.role(role, [self.variable("treatment", key) for key in row.treatments]),
            *self.role("measuredVariable", [self.variable("outcome", row.outcome)], row.response_definition),
        ]
        resource["relatedArtifact"] = [self.source(row.study)]
        resource["synthesisType"] = _synthesis(1)
        resource["studyDesign"] = [_design(row)]
        if statistics := [*_counts(row), *_printed(row)]:
            resource["statistic"] = statistics
        return resource | self.level(row.level)

    def pooled(self, cell: PooledCell) -> Json:
        treatment = self.knowledge.treatments[cell.treatment].label
        who = self.knowledge.diseases[cell.disease].label if cell.disease else "all diseases"
        title = f"{treatment}, {words.type_label(self.knowledge, cell.type)}, {who}: pooled {words.outcome(cell.outcome)}"
        key = f"{cell.treatment}|{cell.type}|{cell.disease or ''}|{cell.outcome}"
        resource = self.start("pooled", key, title, words.pooled_in_words(cell), [cell.method])
        resource["variableDefinition"] = [
            *self.role("population", [self.variable("type", cell.type)], who),
            *self.role("exposure", [self.variable("treatment", cell.treatment)]),
            *self.role("measuredVariable", [self.variable("outcome", cell.outcome)]),
        ]
        resource["relatedArtifact"] = [_derived("Evidence", "row", row) for row in cell.rows]
        resource["synthesisType"] = _synthesis(cell.k)
        statistic = _proportion(cell.estimate, cell.events, cell.n, (cell.low, cell.high)) | {"description": cell.method}
        statistic["sampleSize"]["numberOfStudies"] = cell.k
        if cell.prediction_low is not None and cell.prediction_high is not None:
            reach = {"type": {"text": "prediction interval"}, "level": 0.95, "range": _range(cell.prediction_low, cell.prediction_high)}
            statistic["attributeEstimate"].append(reach)
        for name, value in (("tau", cell.tau2), ("p", cell.heterogeneity_p)):
            if value is not None:
                about = "logit scale" if name == "tau" else "likelihood ratio test that the studies are alike"
                estimate = {
                    "description": about,
                    "type": _coded("attribute-estimate-type", *_ATTRIBUTE[name]),
                    "quantity": {"value": value},
                }
                statistic["attributeEstimate"].append(estimate)
        if cell.tau2 is not None:
            statistic["modelCharacteristic"] = [{"code": _coded("statistic-model-code", "glmmLogit", "GLMM with logit link")}]
        resource["statistic"] = [statistic]
        return resource

    def comparison(self, each: Compared) -> Json:
        c = each.comparison
        label = words.compared_label(each, self.knowledge)
        said = f"{c.treated_events} of {c.treated_n} against {c.control_events} of {c.control_n}"
        place = words.type_label(self.knowledge, each.type)
        title = f"{label} against a control group, {place}: {words.outcome(each.outcome)}"
        methods = list(dict.fromkeys([c.risk_ratio.method, c.odds_ratio.method]))
        resource = self.start("comparison", f"{each.treatment}|{each.type}|{each.outcome}", title, said, methods)
        controls = dict.fromkeys(
            key for row in each.rows for key in self.rows[self.rows[row].comparator_row or row].treatments if self.rows[row].comparator_row
        )
        resource["variableDefinition"] = [
            *self.role("population", [self.variable("type", each.type)]),
            *self.role("exposure", [self.variable("treatment", key) for key in each.treatment.split(" + ")]),
            *self.role("referenceExposure", [self.variable("treatment", key) for key in controls]),
            *self.role("measuredVariable", [self.variable("outcome", each.outcome)]),
        ]
        resource["relatedArtifact"] = [_derived("Evidence", "row", row) for row in each.rows]
        resource["synthesisType"] = _synthesis(c.k)
        people = c.treated_n + c.control_n
        resource["statistic"] = [_ratio(name, ratio, c.k, people) for name, ratio in (("RR", c.risk_ratio), ("OR", c.odds_ratio))]
        return resource

    # --- what the evidence refers to

    def variable(self, kind: str, key: str) -> Json:
        """A reference to the variable; the variable itself is kept for the bundle."""
        label = {
            "treatment": lambda: self.knowledge.treatments[key].label,
            "type": lambda: self.knowledge.types[key].label,
            "outcome": lambda: words.outcome(key),
        }[kind]()
        about = {"treatment": lambda: self.knowledge.treatments[key].what.text, "type": lambda: self.knowledge.types[key].definition.text}
        name = f"{kind}/{key}"
        if name not in self.variables:
            resource = self.frame("EvidenceVariable", name, [label]) | {
                "identifier": [{"system": f"{SYSTEM}:{kind}", "value": key}], "title": label, "status": "draft",
            }  # fmt: skip
            if kind in about:
                resource["description"] = about[kind]()
            if kind == "outcome":
                resource["handling"] = "dichotomous"
            else:
                resource["characteristic"] = [{"definitionCodeableConcept": {"text": label}}]
            self.variables[name] = resource
        return {"reference": f"urn:uuid:{_id('EvidenceVariable', name)}", "display": label}

    def source(self, key: str) -> Json:
        self.citations.setdefault(key, self.cited(self.knowledge.sources[key]))
        return _derived("Citation", "source", key)

    def cited(self, source: Source) -> Json:
        text, url = citation(source)
        named = (("http://www.ncbi.nlm.nih.gov/pubmed", source.pmid), ("https://doi.org", source.doi))
        artifact: Json = {"title": [{"text": source.title or text}]}
        if identifiers := [{"system": system, "value": value} for system, value in named if value]:
            artifact["identifier"] = identifiers
        if url:
            artifact["webLocation"] = [{"url": url}]
        resource = self.frame("Citation", f"source/{source.key}", [f"{text}. {url}"])
        return resource | {
            "identifier": [{"system": f"{SYSTEM}:source", "value": source.key}], "title": text, "status": "draft",
            "citedArtifact": artifact,
        }  # fmt: skip

    def role(self, role: str, observed: Iterable[Json], description: str | None = None) -> Iterable[Json]:
        """One entry per variable; a description alone when there is none."""
        base: Json = {"variableRole": _coded("variable-role", role, _ROLE[role])} | ({"description": description} if description else {})
        found = [base | {"observed": each} for each in observed]
        return found or ([base] if description else [])

    def start(self, kind: str, key: str, title: str, description: str, notes: Iterable[str]) -> Json:
        listed = [*notes, DISCLAIMER]
        return self.frame("Evidence", f"{kind}/{key}", [title, description, *listed]) | {
            "identifier": [{"system": f"{SYSTEM}:{kind}", "value": key}], "title": title, "status": "draft", "description": description,
            "note": [{"text": each} for each in listed],
        }  # fmt: skip

    def frame(self, resource: str, name: str, narrative: Iterable[str]) -> Json:
        paragraphs = "".join(f"<p>{escape(line)}</p>" for line in narrative)
        return {
            "resourceType": resource,
            "id": _id(resource, name),
            "meta": {"tag": [{"system": f"{SYSTEM}:knowledge-version", "code": self.knowledge.version}]},
            "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml" lang="en">{paragraphs}</div>'},
        }

    def level(self, level: int | None) -> Json:
        if level is None:
            return {}
        return {
            "certainty": [
                {"type": _coded("certainty-type", "Overall", "Overall certainty"), "rating": {"text": f"OCEBM 2011 level {level}"}},
            ]
        }


def _counts(row: Study) -> Iterable[Json]:
    """The proportion of patients; lesions and limbs are counted, but no proportion of patients is made of them."""
    if not words.has_counts(row) or not row.n_evaluable:
        return
    n = row.n_evaluable
    if row.unit == "patients":
        limits = exact_interval(counted(row), n) if row.design != "case_report" else None
        statistic = _proportion(counted(row) / n, counted(row), n, limits)
        statistic["sampleSize"] |= {"numberOfParticipants": row.n_patients} if row.n_patients is not None else {}
        yield statistic | {"description": words.counts_in_words(row)}
    else:
        yield {
            "description": words.counts_in_words(row), "statisticType": _coded("statistic-type", *_STATISTIC["proportion"]),
            "category": {"text": f"of {row.unit}, not of patients"}, "quantity": {"value": counted(row) / n},
            "numberOfEvents": counted(row),
            "sampleSize": {"description": f"{n} {row.unit}"},
        }  # fmt: skip


def _printed(row: Study) -> Iterable[Json]:
    """The authors' own ratio or difference; the level of its interval is not in the content."""
    if row.effect is None or row.effect_measure is None:
        return
    known = _STATISTIC.get(row.effect_measure)
    statistic: Json = {
        "description": words.effect_in_words(row),
        "statisticType": _coded("statistic-type", *known) if known else {"text": row.effect_measure},
        "quantity": {"value": row.effect},
    }
    if row.effect_low is not None and row.effect_high is not None:
        statistic["attributeEstimate"] = [_interval(row.effect_low, row.effect_high)]
    yield statistic


def _proportion(value: float, events: int, n: int, limits: tuple[float, float] | None) -> Json:
    statistic: Json = {
        "statisticType": _coded("statistic-type", *_STATISTIC["proportion"]), "quantity": {"value": value}, "numberAffected": events,
        "sampleSize": {"knownDataCount": n},
    }  # fmt: skip
    if limits is not None:
        statistic["attributeEstimate"] = [_interval(*limits, level=0.95)]
    return statistic


def _ratio(name: str, ratio: Ratio, k: int, people: int) -> Json:
    statistic: Json = {
        "description": ratio.method, "statisticType": _coded("statistic-type", *_STATISTIC[name]),
        "sampleSize": {"numberOfStudies": k, "knownDataCount": people},
        "attributeEstimate": [_interval(ratio.low, ratio.high, level=0.95)],
    }  # fmt: skip
    if ratio.estimate is not None and math.isfinite(ratio.estimate):
        statistic["quantity"] = {"value": ratio.estimate}
    return statistic


def _design(row: Study) -> Json:
    text = words.design(row)
    if row.design not in _DESIGN:
        return {"text": text}
    code, display = _DESIGN[row.design]
    return {"coding": [{"system": "http://hl7.org/fhir/study-design", "code": code, "display": display}], "text": text}


def _synthesis(studies: int) -> Json:
    """What was done with so many studies: one is told as it is."""
    what = ("NotApplicable", "not applicable") if studies == 1 else ("std-MA", "summary data meta-analysis")
    return _coded("synthesis-type", *what)


def _interval(low: float, high: float, *, level: float | None = None) -> Json:
    kind = {"type": _coded("attribute-estimate-type", *_ATTRIBUTE["interval"])}
    return kind | ({} if level is None else {"level": level}) | {"range": _range(low, high)}


def _range(low: float, high: float) -> Json:
    """An infinite limit is left out."""
    return {"low": {"value": low}} | ({"high": {"value": high}} if math.isfinite(high) else {})


def _coded(system: str, code: str, display: str) -> Json:
    return {"coding": [{"system": f"{_HL7}/{system}", "code": code, "display": display}]}


def _derived(resource: str, kind: str, key: str) -> Json:
    return {"type": "derived-from", "resourceReference": {"reference": f"urn:uuid:{_id(resource, f'{kind}/{key}')}", "display": key}}


def _id(resource: str, name: str) -> str:
    return str(uuid5(_NAMESPACE, f"{resource}/{name}"))


def _entry(resource: Json) -> Json:
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
