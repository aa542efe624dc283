"""Treatment options of a patient: what was evaluated for the types that stand, and what speaks for and against each here.

Every strategy of the knowledge base is listed, those with evidence against them too; safety rules are evaluated on the patient's own
facts, and a rule that cannot be checked is shown as such. The order is explained field by field (:class:`~calcinosis.contract.OrderOut`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from calcinosis.contract import (
    EvidenceOut,
    FactOut,
    OptionOut,
    OrderOut,
    PooledOut,
    Reason,
    ReviewOut,
    SafetyOut,
    UncheckedOut,
    UseOut,
)
from calcinosis.events import Schema
from calcinosis.evidence.cells import Evidence, evidence_for
from calcinosis.facts import Facts
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import REVIEW_URGENCIES, VERDICTS
from calcinosis.knowledge.treatments import SafetyRule, Treatment
from calcinosis.per_version import once_per_version
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.explain import REASON_SCHEMA, FactTable, facts_behind, facts_by_number_behind
from calcinosis.reasoning.plan import Plan, PlannedCriterion, PlannedTreatment, PlannedUse
from calcinosis.truth import FALSE, TRUE, UNKNOWN
from calcinosis.words import Words

STANCES: Final = ("standard", "option", "trial_only", "no_data", "against")
EFFECTS: Final = ("benefit", "mixed", "not_seen", "no_benefit", "harm")
GOES_ON: Final = frozenset({"drug"})  # kinds of treatment; a procedure is done, it does not go on
KINDS: Final = ("review", "unsafe", "not_checked")
UNSAFE: Final = ("contraindicated", "caution")  # verdicts that make a current treatment worth a second look
NO_LEVEL: Final = 6
_YES, _UNKNOWN, _NO = int(TRUE), int(UNKNOWN), int(FALSE)  # to compare with single truths

REVIEW_SCHEMA: Final[Schema] = {
    "subject_id": pl.String,
    "kind": pl.String,  # one of KINDS
    "key": pl.String,  # of the review, or of the safety rule
    "treatment": pl.String,  # of an unsafe one
    "verdict": pl.String,
    "urgency": pl.String,  # of a review
    "label": pl.String,
    "text": pl.String,
    "sources": pl.List(pl.String),
    "facts": REASON_SCHEMA["facts"],
}
_SAID: Final = ("key", "treatment", "verdict", "urgency", "label", "text", "sources")
_ORDERS: Final = (("kind", KINDS), ("urgency", REVIEW_URGENCIES), ("verdict", VERDICTS))


class Told:
    """The facts of some evaluated patients in words, each written once however many reasons name it."""

    def __init__(self, evaluation: Evaluation, facts: Facts, words: Words) -> None:
        self.evaluation, self.facts, self.words = evaluation, facts, words
        self.table = FactTable(facts)
        self._written: dict[int, FactOut] = {}

    def fact(self, number: int) -> FactOut:
        """A fact by its number in the table."""
        if number not in self._written:
            self._written[number] = self.words.fact(self.table.row(number))
        return self._written[number]

    def behind(self, who: npt.NDArray[np.intp], criteria: npt.NDArray[np.intp]) -> list[list[FactOut]]:
        """The facts that argue for each true criterion of a patient (rows of the evaluation and of ``plan.criteria``)."""
        if not len(who):
            return []
        return [[self.fact(number) for number in found] for found in facts_by_number_behind(self.evaluation, self.table, who, criteria)]


def chosen_types(plan: Plan, status: Mapping[str, Status], leading: str | None) -> list[str]:
    """The leading type, and every type that is probable or confirmed."""
    return [key for key in plan.knowledge.types if key == leading or status[key].rank >= Status.PROBABLE.rank]


_unchanging: dict[tuple[str, str, str], dict[str, Any]] = {}  # knowledge version, treatment, type -> what an option always says


class OptionWriter:
    """Writes the options of the patients of one evaluation."""

    def __init__(self, told: Told, types: Sequence[Sequence[str]]) -> None:
        """``types``: per patient, the types to write options for."""
        evaluation = told.evaluation
        self._plan, self._words = evaluation.plan, told.words
        self._types = types
        self._labels = _labels_of_questions(self._plan)
        self._places = _places_of_criteria(self._plan)
        matrix = evaluation.columns.matrix
        self._columns = [matrix[:, row].tobytes() if types[row] else b"" for row in range(evaluation.subjects.height)]  # truths: 0, 1, 2
        shown = [(row, c.id) for row in range(evaluation.subjects.height) for c in self._shown(row)]
        who, criteria = (np.array(numbers, dtype=np.intp) for numbers in (zip(*shown, strict=True) if shown else ((), ())))
        self._facts = dict(zip(shown, told.behind(who, criteria), strict=True))

    # --- truth of one patient

    def _truth(self, criterion: PlannedCriterion, row: int) -> int:
        truth: int = self._columns[row][self._places[criterion.id]]
        return truth

    def _shown(self, row: int) -> Iterable[PlannedCriterion]:
        """The true criteria of a patient whose facts will be shown."""
        for each in self._plan.treatments:
            if any(set(use.use.types) & set(self._types[row]) for use in each.uses):
                yield from (c for _, c in each.safety if self._truth(c, row) == _YES)
                yield from (c for use in each.uses for c in use.favours if self._truth(c, row) == _YES)

    def _facts_of(self, criterion: PlannedCriterion, row: int) -> list[FactOut]:
        return self._facts.get((row, criterion.id), [])

    # --- options

    def options(self, row: int, diseases: frozenset[str]) -> list[OptionOut]:
        """Options of one patient, type by type (in the order of urgency), best place first.

        Args:
            diseases: the patient's established and suspected diseases.
        """
        written: list[OptionOut] = []
        for type_ in self._types[row]:
            made = [option for each in self._plan.treatments if (option := self._option(each, type_, row, diseases)) is not None]
            keys = sorted({_order_key(option.order) for option in made})
            for option in made:
                option.place = keys.index(_order_key(option.order)) + 1
            written += sorted(made, key=lambda option: (option.place, option.label))
        return written

    def _option(self, each: PlannedTreatment, type_: str, row: int, diseases: frozenset[str]) -> OptionOut | None:
        treatment = each.treatment
        uses = [use for use in each.uses if type_ in use.use.types and (use.when is None or self._truth(use.when, row) != _NO)]
        if not uses:
            return None
        evidence = evidence_of(self._plan.knowledge, treatment.key, type_)
        favours = {c.label: c for use in uses for c in use.favours if self._truth(c, row) == _YES}.values()
        speaks_for = [Reason(label=c.label, facts=self._facts_of(c, row), citations=self._words.citations(c.sources)) for c in favours]
        studied = [not use.use.diseases or bool(diseases & set(use.use.diseases)) for use in uses]
        stance = _stance(uses, studied)
        safety, not_checked, cleared = self._safety(each, row)
        return OptionOut(
            **unchanging(self._plan.knowledge, treatment, type_, self._words),
            place=0,
            current=None if each.current is None else (False, None, True)[self._truth(each.current, row)],
            stance=stance,
            uses=[
                UseOut(
                    role=use.use.role,
                    stance=use.use.stance,
                    studied_here=here if use.use.diseases else None,
                    statement=self._words.statement(use.use.statement),
                )
                for use, here in zip(uses, studied, strict=True)
            ],
            speaks_for=speaks_for,
            safety=safety,
            not_checked=not_checked,
            cleared=cleared,
            order=order_of(stance, speaks_for, safety, evidence, studied=any(studied)),
        )

    def _safety(self, each: PlannedTreatment, row: int) -> tuple[list[SafetyOut], list[UncheckedOut], int]:
        holds, not_checked, cleared = [], [], 0
        for rule, criterion in each.safety:
            truth = self._truth(criterion, row)
            if truth == _YES:
                holds.append(safety_out(rule, self._facts_of(criterion, row), self._words))
            elif truth == _UNKNOWN:
                not_checked.append(_unchecked(*_names(rule), self._missing(criterion, row), None))
            else:
                cleared += 1
        not_checked += [_unchecked(*_names(rule), (), rule.not_checkable) for rule in each.treatment.safety if rule.not_checkable]
        return (
            sorted(holds, key=lambda each: VERDICTS.index(each.verdict)),
            sorted(not_checked, key=lambda each: VERDICTS.index(each.verdict)),
            cleared,
        )

    def _missing(self, criterion: PlannedCriterion, row: int) -> tuple[str, ...]:
        column = self._columns[row]
        return tuple(dict.fromkeys(label for leaf, label in self._labels[criterion.id] if column[leaf] == _UNKNOWN))


def _stance(uses: Sequence[PlannedUse], studied: Sequence[bool]) -> str:
    """The best stance of the uses that were studied in this patient's disease, or are tied to none."""
    mine = [use for use, here in zip(uses, studied, strict=True) if here] or uses  # a use in another disease says nothing of this one
    stance = min((use.use.stance for use in mine), key=STANCES.index)
    if not any(studied) and stance != "against":
        return "no_data"  # of this disease, whatever it is worth where it was studied
    return stance


def unchanging(knowledge: Knowledge, treatment: Treatment, type_: str, words: Words) -> dict[str, Any]:
    """What an option says whoever the patient is; built once per knowledge version."""
    place = knowledge.version, treatment.key, type_
    if place not in _unchanging:
        statements = {name: getattr(treatment, name) for name in ("mechanism", "dosing", "monitoring")}
        _unchanging[place] = {
            "type": type_,
            "treatment": treatment.key,
            "label": treatment.label,
            "kind": treatment.kind,
            "drug_class": treatment.drug_class,
            "what": words.statement(treatment.what),
            "always": [safety_out(rule, [], words) for rule in treatment.safety if rule.always],
            "evidence": _evidence_out(evidence_of(knowledge, treatment.key, type_), words),
            "notes": [words.statement(each) for each in treatment.evidence_notes],
            **{name: [words.statement(each) for each in said] for name, said in statements.items()},
        }
    return _unchanging[place]


def safety_out(rule: SafetyRule, facts: list[FactOut], words: Words) -> SafetyOut:
    return SafetyOut(
        rule=rule.key, kind=rule.kind, verdict=rule.verdict, label=rule.label, why=rule.why, advice=rule.advice,
        facts=facts, citations=words.citations(rule.sources),
    )  # fmt: skip


def _evidence_out(evidence: Evidence, words: Words) -> EvidenceOut:
    return EvidenceOut(
        studies=evidence.studies,
        patients=evidence.evaluated,
        beside=evidence.beside,
        single_cases=evidence.single_cases,
        level=evidence.level,
        directions=evidence.directions,
        diseases=evidence.diseases,
        pooled=[
            PooledOut(
                outcome=cell.outcome, disease=cell.disease, studies=cell.k, patients=cell.n, events=cell.events,
                estimate=cell.estimate, low=cell.low, high=cell.high,
                prediction_low=cell.prediction_low, prediction_high=cell.prediction_high,
            )
            for cell in evidence.pooled
        ],
        citations=words.citations(dict.fromkeys(study.study for study in evidence.rows)),
    )  # fmt: skip


# --- what the patient has now ------------------------------------------------------------------------


def review_rows(evaluation: Evaluation, facts: Facts, kinds: frozenset[str] = GOES_ON) -> pl.DataFrame:
    """Current treatment that deserves a second look, of all patients at once (``REVIEW_SCHEMA``), the most urgent first.

    Args:
        kinds: of treatment. A drug goes on; a procedure is done, so it is looked at only while it is being ordered.

    "review": a drug that feeds the disease is being taken. "unsafe": a contraindication or caution of a current treatment holds.
    "not_checked": a drug would need review, and nobody knows whether it is taken.
    """
    found = _reviews(evaluation, kinds)
    if not found:
        return pl.DataFrame(schema=REVIEW_SCHEMA)
    who = np.concatenate([rows for rows, _, _ in found])
    criteria = np.concatenate([np.full(len(rows), criterion.id, dtype=np.intp) for rows, criterion, _ in found])
    sayings = _what_reviews_say(evaluation.plan)
    said = [sayings[id_] for id_ in criteria.tolist()]
    listed = pl.DataFrame(
        {
            "subject_id": evaluation.subjects["subject_id"].gather(who),
            "kind": [kind for rows, _, kind in found for _ in range(len(rows))],
            **{name: pl.Series([row[name] for row in said], dtype=REVIEW_SCHEMA[name]) for name in _SAID},
            "facts": facts_behind(evaluation, facts, who, criteria),
        }
    )
    order = [
        pl.col(name).replace_strict({word: place for place, word in enumerate(words)}, default=len(words), return_dtype=pl.Int8)
        for name, words in _ORDERS
    ]
    return listed.sort("subject_id", *order, "label").select([pl.col(name).cast(dtype) for name, dtype in REVIEW_SCHEMA.items()])


def reviews_by_patient(told: Told) -> dict[int, tuple[list[ReviewOut], list[str]]]:
    """The same as records: row of the patient -> what to review, and the labels of what could not be checked."""
    evaluation, words = told.evaluation, told.words
    sayings = _what_reviews_say(evaluation.plan)
    entries = [
        (row, criterion.id, sayings[criterion.id] | {"kind": kind})
        for rows, criterion, kind in _reviews(evaluation, GOES_ON)
        for row in rows.tolist()
    ]
    entries.sort(key=lambda entry: (entry[0], *(_place(entry[2][name], order) for name, order in _ORDERS), entry[2]["label"]))
    who, criteria = (np.array([entry[place] for entry in entries], dtype=np.intp) for place in (0, 1))
    people: dict[int, tuple[list[ReviewOut], list[str]]] = {}
    for (row, _, said), facts in zip(entries, told.behind(who, criteria), strict=True):
        found, not_checked = people.setdefault(row, ([], []))
        if said["kind"] == "not_checked":
            not_checked.append(said["label"])
        else:
            found.append(_review(said, facts, words))
    return people


def reviews_in_words(rows: Sequence[Mapping[str, Any]], words: Words) -> tuple[list[ReviewOut], list[str]]:
    """The rows of one patient (``REVIEW_SCHEMA``) as records, and the labels of those that could not be checked."""
    found = [_review(row, words.facts(row["facts"]), words) for row in rows if row["kind"] != "not_checked"]
    return found, [row["label"] for row in rows if row["kind"] == "not_checked"]


def _review(row: Mapping[str, Any], facts: list[FactOut], words: Words) -> ReviewOut:
    said = {name: row[name] for name in ("key", "kind", "treatment", "verdict", "urgency", "label", "text")}
    return ReviewOut(**said, facts=facts, citations=words.citations(row["sources"]))


def _reviews(evaluation: Evaluation, kinds: frozenset[str]) -> list[tuple[npt.NDArray[np.intp], PlannedCriterion, str]]:
    """(rows of the patients, criterion, kind) of every review and rule that concerns somebody."""
    plan, columns = evaluation.plan, evaluation.columns
    found: list[tuple[npt.NDArray[np.intp], PlannedCriterion, str]] = []
    said: dict[str, npt.NDArray[np.bool_]] = {}  # safety rule -> who was told the same by a review
    for each in plan.reviews:
        taken, holds = columns[each.taken.column], columns[each.when.column] == TRUE
        if holds.any():
            for name in each.review.covers if kinds == GOES_ON else ():  # an order is judged by every rule
                said[name] = said.get(name, False) | (holds & (taken == TRUE))
            found += [
                (np.flatnonzero(holds & (taken == truth)), each.taken, kind) for kind, truth in (("review", TRUE), ("not_checked", UNKNOWN))
            ]
    for planned in plan.treatments:
        if planned.current is None or planned.treatment.kind not in kinds:
            continue
        has_it = columns[planned.current.column] == TRUE
        for rule, criterion in planned.safety if has_it.any() else ():
            if rule.verdict in UNSAFE:
                told = said.get(f"{planned.treatment.key}/{rule.key}")
                new = has_it if told is None else has_it & ~told
                found.append((np.flatnonzero(new & (columns[criterion.column] == TRUE)), criterion, "unsafe"))
    return [entry for entry in found if len(entry[0])]


def _place(word: str | None, order: Sequence[str]) -> int:
    return order.index(word) if word in order else len(order)


@once_per_version
def _what_reviews_say(plan: Plan) -> dict[int, dict[str, Any]]:
    """id of the criterion -> what the entry says, whoever the patient is."""
    said: dict[int, dict[str, Any]] = {
        each.taken.id: {
            "key": each.review.key, "treatment": None, "verdict": None, "urgency": each.review.urgency,
            "label": each.review.label, "text": each.review.text, "sources": list(each.review.sources),
        }
        for each in plan.reviews
    }  # fmt: skip
    for planned in plan.treatments:
        for rule, criterion in planned.safety:
            said[criterion.id] = {
                "key": rule.key, "treatment": planned.treatment.key, "verdict": rule.verdict, "urgency": None,
                "label": f"{planned.treatment.label}: {rule.label}", "text": " ".join(filter(None, (rule.why, rule.advice))),
                "sources": list(rule.sources),
            }  # fmt: skip
    return said


@once_per_version
def _labels_of_questions(plan: Plan) -> dict[int, tuple[tuple[int, str], ...]]:
    """Criterion -> the leaves it may lack, each with its label."""
    words = Words(plan.knowledge)
    return {id_: tuple((leaf, words.label(concept)) for leaf, concept in questions) for id_, questions in plan.open_questions.items()}


@once_per_version
def _places_of_criteria(plan: Plan) -> list[int]:
    """Row of the matrix of each criterion."""
    return [plan.program.names[f"criterion:{id_}"] for id_ in range(plan.criteria.height)]


def _names(rule: SafetyRule) -> tuple[str, str, str, str]:
    return rule.key, rule.kind, rule.verdict, rule.label


@lru_cache(maxsize=50_000)
def _unchecked(rule: str, kind: str, verdict: str, label: str, missing: tuple[str, ...], because: str | None) -> UncheckedOut:
    """The same rule lacks the same in many patients."""
    return UncheckedOut(rule=rule, kind=kind, verdict=verdict, label=label, missing=list(missing), because=because)


def order_of(stance: str, speaks_for: Sequence[Reason], safety: Sequence[SafetyOut], evidence: Evidence, *, studied: bool) -> OrderOut:
    """Why an option stands where it stands.

    Args:
        studied: some use was studied in a disease on record, or is tied to none.
    """
    return OrderOut(
        contraindicated=any(rule.verdict == "contraindicated" for rule in safety),
        stance=stance,
        applicability=2 - studied - bool(speaks_for),
        level=evidence.level,
        effect=effect_of(evidence.directions),
        cautions=sum(rule.verdict == "caution" for rule in safety),
    )


def _order_key(order: OrderOut) -> tuple[int, ...]:
    return (
        order.contraindicated,
        STANCES.index(order.stance),
        order.applicability,
        NO_LEVEL if order.level is None else order.level,
        EFFECTS.index(order.effect),
        min(order.cautions, 1),
    )


def effect_of(directions: Mapping[str, int]) -> str:
    """What the studies together say: one direction if they agree, "mixed" if not, "not_seen" without any."""
    said = {direction for direction, studies in directions.items() if studies}
    return said.pop() if len(said) == 1 else "mixed" if said else "not_seen"


_evidence_cache: dict[tuple[str, str, str], Evidence] = {}


def evidence_of(knowledge: Knowledge, treatment: str, type_: str) -> Evidence:
    """What was published on a treatment of a type; looked up once per knowledge version."""
    place = knowledge.version, treatment, type_
    if place not in _evidence_cache:
        _evidence_cache[place] = evidence_for(knowledge, treatment, type_)
    return _evidence_cache[place]
