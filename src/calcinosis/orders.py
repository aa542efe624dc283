"""Orders: what speaks against a treatment that is about to be ordered, in this patient.

A draft order is looked at as if the patient already had it. The record with all drafts is compared with the record without one of
them: what appears only with the order is because of it, whichever side the rule is written on (colchicine ordered under diltiazem, or
diltiazem under colchicine). What is about the ordered treatment itself belongs to the order even where the patient has it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from calcinosis.assessment import Writer, evaluate_batch
from calcinosis.contract import ReviewOut
from calcinosis.events import Batch, renamed, stacked
from calcinosis.knowledge import Knowledge
from calcinosis.options import UNSAFE, review_rows, reviews_in_words
from calcinosis.reasoning.evaluate import Evaluation
from calcinosis.reasoning.plan import make_plan
from calcinosis.truth import UNKNOWN

KINDS: Final = frozenset({"drug", "procedure"})
_Key = tuple[str, str, str | None]  # kind, key, treatment


@dataclass(frozen=True, slots=True)
class CheckedOrder:
    """What speaks against one order, and which contraindications nobody can check from this record.

    Attributes:
        labels: what is ordered, as the knowledge base calls it; empty when it knows nothing of it.
        issues: the gravest first; :class:`~calcinosis.contract.ReviewOut` names the rule and its facts.
    """

    labels: tuple[str, ...]
    issues: tuple[ReviewOut, ...]
    not_checked: tuple[str, ...]


def check_orders(record: Batch, orders: Mapping[str, Batch], selected: Sequence[str], knowledge: Knowledge) -> dict[str, CheckedOrder]:
    """Check the selected orders; the others count as being ordered too.

    Args:
        record: one patient.
        orders: name -> events of the order as if it were carried out, undated.
        selected: names of the orders to check.
    """
    plan = make_plan(knowledge)
    known = [name for name in selected if orders[name].events.height]
    if not known:
        return {name: CheckedOrder((), (), ()) for name in selected}
    variants = [_with(record, orders.values())]
    variants += [_with(record, (batch for other, batch in orders.items() if other != name)) for name in known]
    evaluated = evaluate_batch(stacked(variants), knowledge)
    rows = review_rows(evaluated.evaluation, evaluated.facts, KINDS).partition_by("subject_id", as_dict=True)
    words = Writer.of(plan)
    patient = record.patients["subject_id"][0]
    with_all = _rows(rows, renamed(0, patient))
    checked = {name: CheckedOrder((), (), ()) for name in selected}
    for place, name in enumerate(known, start=1):
        concepts = _concepts(orders[name], knowledge)
        about = _about(concepts, knowledge)
        without = {_key(row) for row in _rows(rows, renamed(place, patient))}
        caused = [row for row in with_all if row["kind"] != "not_checked" and (_key(row) not in without or _about_row(row) in about)]
        issues = _once(reviews_in_words(caused, words)[0])
        recorded = dict.fromkeys(orders[name].events["concept"].drop_nulls().to_list())
        checked[name] = CheckedOrder(
            labels=tuple(knowledge.concepts[concept].label for concept in recorded if concept in knowledge.concepts),
            issues=tuple(issues),
            not_checked=tuple(_not_checked(evaluated.evaluation, about)),
        )
    return checked


def _once(issues: Iterable[ReviewOut]) -> list[ReviewOut]:
    """A drug and its unnamed class may carry the same rule; the first one is told."""
    told: dict[tuple[object, ...], ReviewOut] = {}
    for issue in issues:
        told.setdefault((issue.kind, issue.key, issue.verdict, *((fact.concept, fact.source) for fact in issue.facts)), issue)
    return list(told.values())


def _with(record: Batch, orders: Iterable[Batch]) -> Batch:
    subject = pl.lit(record.patients["subject_id"][0]).alias("subject_id")
    return Batch(patients=record.patients, events=pl.concat([record.events, *(b.events.with_columns(subject) for b in orders)]))


def _rows(rows: Mapping[Any, pl.DataFrame], name: str) -> list[dict[str, Any]]:
    found = rows.get((name,))
    return [] if found is None else found.to_dicts()


def _key(row: Mapping[str, Any]) -> _Key:
    return row["kind"], row["key"], row["treatment"]


def _about_row(row: Mapping[str, Any]) -> tuple[str, str]:
    return ("treatment", row["treatment"]) if row["treatment"] else ("review", row["key"])


def _concepts(order: Batch, knowledge: Knowledge) -> frozenset[str]:
    """What is ordered, with every class it belongs to."""
    ordered = order.events.filter(pl.col("certainty") == "affirmed")["concept"].drop_nulls()
    return frozenset(above for concept in ordered for above in knowledge.ancestors.get(concept, (concept,)))


def _about(concepts: frozenset[str], knowledge: Knowledge) -> frozenset[tuple[str, str]]:
    """The treatments and reviews that are about the concepts."""
    treatments = {("treatment", key) for key, each in knowledge.treatments.items() if concepts & set(each.concepts)}
    return frozenset(treatments | {("review", key) for key, each in knowledge.reviews.items() if concepts & set(each.concepts)})


def _not_checked(evaluation: Evaluation, about: frozenset[tuple[str, str]]) -> list[str]:
    """Contraindications of the ordered treatments that are neither shown nor ruled out (in the variant with all orders)."""
    return list(
        dict.fromkeys(
            rule.label
            for planned in evaluation.plan.treatments
            if ("treatment", planned.treatment.key) in about
            for rule, criterion in planned.safety
            if rule.verdict == UNSAFE[0] and evaluation.columns[criterion.column][0] == UNKNOWN
        )
    )
