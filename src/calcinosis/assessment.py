"""Assessment: per patient, the status of each type with its reasons, what is missing, what is urgent.

The records it returns are the JSON contract (:mod:`calcinosis.contract`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from calcinosis.ages import shown_age
from calcinosis.contract import (
    MUST_NOT_MISS,
    AlarmOut,
    Assessment,
    DiseaseOut,
    FormOut,
    MimicAssessment,
    Missing,
    OnRecordOut,
    OutcomeOut,
    Reason,
    ReviewOut,
    RiskOut,
    Statement,
    TestOut,
    TypeAssessment,
)
from calcinosis.events import Batch, stacked
from calcinosis.facts import Facts, build_facts
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.leaves import ask
from calcinosis.on_record import on_record
from calcinosis.options import OptionWriter, Told, chosen_types, reviews_by_patient
from calcinosis.per_version import once_per_version
from calcinosis.reasoning.evaluate import Evaluation, evaluate
from calcinosis.reasoning.explain import BECAUSE, reason_texts, reasons_of
from calcinosis.reasoning.plan import Plan, make_plan
from calcinosis.reasoning.workup import Change, changes_by_patient, missing_tests, unusable_tests
from calcinosis.words import Words

__all__ = ["Assessment", "Evaluated", "Writer", "assess_batch", "assess_together", "evaluate_batch", "in_words"]


_STATUS: Final = list(Status)
_LONGEST_SHOWN: Final = 120  # characters of a text that was not understood


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All patients of a batch, evaluated but not yet put into words."""

    facts: Facts
    evaluation: Evaluation


def evaluate_batch(
    batch: Batch, knowledge: Knowledge, *, as_of: datetime | None = None, closed_world: frozenset[str] = frozenset()
) -> Evaluated:
    """Events in, statuses out; the one path for one patient and for millions.

    Args:
        closed_world: kinds of concepts whose silence means absence, of :data:`calcinosis.api.CLOSABLE`; labs are never closed.
    """
    plan = make_plan(knowledge)
    facts = build_facts(batch, knowledge, as_of)
    return Evaluated(facts=facts, evaluation=evaluate(ask(facts, plan.questions, closed_world), plan))


def assess_batch(
    batch: Batch, knowledge: Knowledge, *, as_of: datetime | None = None, closed_world: frozenset[str] = frozenset()
) -> list[Assessment]:
    """Assess and explain every patient of a batch, in the order of ``batch.patients``."""
    evaluated = evaluate_batch(batch, knowledge, as_of=as_of, closed_world=closed_world)
    return in_words(evaluated, batch)


def in_words(evaluated: Evaluated, batch: Batch | None = None, *, brief: bool = False) -> list[Assessment]:
    """Turn evaluated patients into :class:`Assessment` records.

    Args:
        batch: whose account goes into the warnings, when it is that of one patient.
        brief: leave ``options`` and each type's ``missing`` empty, for a caller that shows neither: they are most of the work.
    """
    evaluation, facts, plan = evaluated.evaluation, evaluated.facts, evaluated.evaluation.plan
    writer = Writer.of(plan)
    told = Told(evaluation, facts, writer)
    reasons = _rows_by_patient(told, with_missing=not brief)
    changed = changes_by_patient(evaluation)
    unusable = {test: set(rows.tolist()) for test, rows in unusable_tests(plan, facts, missing_tests(evaluation)).items()}
    warnings = _warnings(facts, batch)
    alone = batch if batch is not None and facts.subjects.height == 1 else None
    people = {row["subject_id"]: row for row in facts.subjects.to_dicts()}
    shown = evaluation.true("calcium_shown")
    ranks = evaluation.columns.matrix[plan.rank_rows]
    reviews = reviews_by_patient(told)
    statuses = [{key: _STATUS[rank] for key, rank in zip(plan.hypotheses, column, strict=True)} for column in ranks.T.tolist()]
    leaders = [plan.hypotheses[place] if place >= 0 else None for place in evaluation.leading.tolist()]
    chosen = [[] if brief else chosen_types(plan, *pair) for pair in zip(statuses, leaders, strict=True)]
    options = OptionWriter(told, chosen)
    at_hand = on_record(told, plan.knowledge)
    answers = []
    for row, subject in enumerate(evaluation.subjects["subject_id"].to_list()):
        answers.append(
            writer.assessment(
                people[subject],
                statuses[row],
                leaders[row],
                options=options,
                row=row,
                on_record=at_hand[facts.row_of[subject]],
                reviews=reviews.get(row, ([], [])),
                provisional=not shown[row],
                reasons=reasons[facts.row_of[subject]],
                changed=changed.get(row, []),
                unusable={test for test, rows in unusable.items() if row in rows},
                warnings=warnings.get(subject, []),
                not_understood=_not_understood(alone) if alone else [],
            )
        )
    return answers


def _rows_by_patient(told: Told, *, with_missing: bool) -> list[list[dict[str, Any]]]:
    """Per row of ``facts.subjects`` the reasons in order: what each says, with its facts and what is unknown as records."""
    evaluation, facts = told.evaluation, told.facts
    found = reasons_of(evaluation, told.table, with_missing=with_missing)
    texts, writer = reason_texts(evaluation.plan), Writer.of(evaluation.plan)
    names = [*facts.numbers.names, ""]
    rows: list[dict[str, Any]] = [
        {**texts.rows[criterion], "role": "missing"} if missing else dict(texts.rows[criterion])
        for criterion, missing in zip(found.criteria.tolist(), found.missing.tolist(), strict=True)
    ]
    for row in rows:
        row["facts"], row["unknown"] = [], []
    for place, fact in zip(found.fact_of.tolist(), found.fact.tolist(), strict=True):
        rows[place]["facts"].append(told.fact(fact))
    for place, concept, because in zip(found.unknown_of.tolist(), found.concept.tolist(), found.because.tolist(), strict=True):
        rows[place]["unknown"].append(writer.unknown(names[concept], BECAUSE[because]))
    people: list[list[dict[str, Any]]] = [[] for _ in range(facts.subjects.height)]
    for row, who in zip(rows, found.rows.tolist(), strict=True):
        people[who].append(row)
    return people


def assess_together(batches: Sequence[Batch], knowledge: Knowledge, *, brief: bool = False) -> list[Assessment]:
    """Assess several one-patient batches as one table: the same answers as one by one, in a fraction of the time.

    Args:
        brief: as of :func:`in_words`.

    Raises:
        ValueError: a batch does not hold exactly one patient.
    """
    for batch in batches:
        if batch.patients.height != 1:
            raise ValueError(f"expected one patient, the record holds {batch.patients.height}")
    if len(batches) == 1:  # the usual case needs no second names
        return in_words(evaluate_batch(batches[0], knowledge), batches[0], brief=brief)
    answers = in_words(evaluate_batch(stacked(batches), knowledge), brief=brief)
    return [
        answer.model_copy(
            update={
                "patient_id": batch.patients["subject_id"][0],
                "warnings": answer.warnings + _account_of_one(batch),
                "not_understood": _not_understood(batch),
            }
        )
        for answer, batch in zip(answers, batches, strict=True)
    ]


def _in_lines(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['record'] or row['file']}: {row['reason']}" for row in rows]


def _account_of_one(batch: Batch) -> list[str]:
    """What the record of one patient holds and was not used or not read."""
    return _in_lines(batch.rejects.to_dicts()) + [f"not read: {what} ({n})" for what, n in sorted(batch.not_read.items())]


def _not_understood(batch: Batch) -> list[str]:
    """Codes and texts of a lone patient that no concept was found for: "condition: cystic fibrosis"."""
    rows = batch.unmapped.unique(["context", "system", "code", "text"], maintain_order=True).to_dicts() if batch.unmapped.height else []
    told = []
    for row in rows:
        code = " ".join(part for part in (row["system"], row["code"]) if part)
        text = (row["text"] or "").strip()
        shown = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
        told.append(f"{row['context']}: {shown} ({code})" if shown and code else f"{row['context']}: {shown or code}")
    return told


def _warnings(facts: Facts, batch: Batch | None) -> dict[str, list[str]]:
    """Per patient, the measurements whose unit could not be used; of a lone patient also what the reader could not use or did not read."""
    warnings: dict[str, list[str]] = {}
    for row in facts.rejects.sort("record", "reason").to_dicts() if facts.rejects.height else []:
        warnings.setdefault(row["subject_id"], []).extend(_in_lines([row]))
    if batch is not None and facts.subjects.height == 1:
        warnings.setdefault(facts.subjects["subject_id"][0], []).extend(_account_of_one(batch))
    return warnings


class Writer(Words):
    """Puts the rows of evaluated patients into words."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.knowledge)
        self._place_of_test = {key: place for place, key in enumerate(self.knowledge.tests)}

    @staticmethod
    @once_per_version
    def of(plan: Plan) -> Writer:
        """The writer of a plan; what it wrote for one patient it has at hand for the next."""
        return Writer(plan)

    def reason(self, row: dict[str, Any]) -> Reason:
        return Reason(label=row["label"], facts=row["facts"], citations=self.citations(row["sources"]))

    def assessment(
        self,
        person: dict[str, Any],
        status: dict[str, Status],
        leading: str | None,
        *,
        options: OptionWriter,
        row: int,
        on_record: OnRecordOut,
        reviews: tuple[list[ReviewOut], list[str]],
        provisional: bool,
        reasons: list[dict[str, Any]],
        changed: list[Change],
        unusable: set[str],
        warnings: list[str],
        not_understood: list[str],
    ) -> Assessment:
        by_owner: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for reason in reasons:
            by_owner.setdefault((reason["kind"], reason["owner"]), []).append(reason)
        is_mimic = leading in self.knowledge.mimics
        standing = [key for key in self.knowledge.types if status[key].rank >= Status.PROBABLE.rank]
        diseases = frozenset(owner for (kind, owner), found in by_owner.items() if kind == "disease" and _holds(found))
        return Assessment(
            patient_id=person["subject_id"],
            alarms=self._alarms(by_owner),
            leading="mimic" if is_mimic else leading,
            leading_status=status[leading] if leading else None,
            leading_mimic=leading if is_mimic else None,
            provisional=provisional,
            mixed=len(standing) > 1,
            types=[self._type(key, status[key], by_owner.get(("type", key), [])) for key in self.knowledge.types],
            mimics=self._mimics(status, by_owner),
            diseases=self._diseases(by_owner),
            forms=self._forms(by_owner),
            calciphylaxis_risk=self._risks("type", MUST_NOT_MISS, by_owner),
            workup=self._workup(leading, status, changed, unusable),
            on_record=on_record,
            review=reviews[0],
            review_not_checked=reviews[1],
            options=options.options(row, diseases),
            index_date=person["index_time"],
            index_basis=person["index_basis"],
            age_years=shown_age(person["age_years"]),
            age_now_years=shown_age(person["age_now"]),
            sex=person["sex"],
            warnings=warnings,
            not_understood=not_understood,
            knowledge_version=self.knowledge.version,
        )

    def _type(self, key: str, status: Status, rows: list[dict[str, Any]]) -> TypeAssessment:
        subtype = next((row for row in rows if row["role"] == "subtype"), None) if status.rank >= Status.POSSIBLE.rank else None
        return TypeAssessment(
            type=key,
            label=self.knowledge.types[key].label,
            status=status,
            subtype=subtype["detail"] if subtype else None,
            subtype_label=subtype["label"] if subtype else None,
            reasons=[self.reason(row) for role in ("decides", "supports") for row in rows if row["role"] == role],
            against=[self.reason(row) for row in rows if row["role"] == "against"],
            missing=[
                Missing(
                    label=row["label"],
                    unknown=row["unknown"],
                    citations=self.citations(row["sources"]),
                )
                for row in rows
                if row["role"] == "missing"
            ],
        )

    def _mimics(self, status: dict[str, Status], by_owner: dict[tuple[str, str], list[dict[str, Any]]]) -> list[MimicAssessment]:
        listed = [key for key in self.knowledge.mimics if status[key] is not Status.NOT_ASSESSED and ("mimic", key) in by_owner]
        listed.sort(key=lambda key: -status[key].rank)
        return [
            MimicAssessment(
                mimic=key,
                label=self.knowledge.mimics[key].label,
                status=status[key],
                reasons=[self.reason(row) for role in ("decides", "supports") for row in by_owner["mimic", key] if row["role"] == role],
                against=[self.reason(row) for row in by_owner["mimic", key] if row["role"] == "against"],
                tells_apart=[self.statement(each) for each in self.knowledge.mimics[key].tells_apart],
            )
            for key in listed
        ]

    def _alarms(self, by_owner: dict[tuple[str, str], list[dict[str, Any]]]) -> list[AlarmOut]:
        fired = [(self.knowledge.alarms[owner], rows[0]) for (kind, owner), rows in by_owner.items() if kind == "alarm"]
        return [
            AlarmOut(
                id=alarm.id, key=alarm.key, label=alarm.label, urgency=alarm.urgency,
                actions=[self.statement(action) for action in alarm.actions],
                facts=self.telling_first(row["facts"]), citations=self.citations(alarm.sources),
            )
            for alarm, row in sorted(fired, key=lambda pair: ALARM_URGENCIES.index(pair[0].urgency))
        ]  # fmt: skip

    def _risks(self, kind: str, owner: str, by_owner: dict[tuple[str, str], list[dict[str, Any]]]) -> list[RiskOut]:
        record = self.knowledge.types[owner] if kind == "type" else self.knowledge.diseases[owner]
        known = {factor.key: factor for factor in record.risk_factors}
        return [
            RiskOut(
                key=row["detail"], label=row["label"], weight=known[row["detail"]].weight,
                effects=[_effect_text(effect) for effect in known[row["detail"]].effects],
                facts=row["facts"], citations=self.citations(row["sources"]),
            )
            for row in by_owner.get((kind, owner), [])
            if row["role"] == "risk"
        ]  # fmt: skip

    def _diseases(self, by_owner: dict[tuple[str, str], list[dict[str, Any]]]) -> list[DiseaseOut]:
        held: dict[str, dict[str, Any]] = {}
        for key in self.knowledge.diseases:
            rows = {row["role"]: row for row in by_owner.get(("disease", key), [])}
            if "established" in rows or "suspected" in rows:
                held[key] = rows.get("established") or rows["suspected"]
        replaced = {
            less for key, row in held.items() if row["role"] == "established" for less in self.knowledge.diseases[key].more_specific_than
        }
        established = {key for key, row in held.items() if row["role"] == "established"} - replaced
        out = []
        for key, row in held.items():
            wider = set(self.knowledge.diseases[key].more_specific_than)
            if key in replaced or (row["role"] == "suspected" and established - wider):
                continue
            disease = self.knowledge.diseases[key]
            known = [Statement(text=f"{p.text} ({p.population})", citations=self.citations(p.sources)) for p in disease.prevalence]
            known += [
                self.statement(s) for s in (*disease.onset, *disease.sites, *disease.antibodies, *disease.complications, *disease.facts)
            ]
            out.append(
                DiseaseOut(
                    disease=key, label=disease.label, status=row["role"], facts=row["facts"],
                    citations=self.citations(row["sources"] or disease.sources), known=known,
                    risk_factors=self._risks("disease", key, by_owner),
                )
            )  # fmt: skip
        return out

    def _forms(self, by_owner: dict[tuple[str, str], list[dict[str, Any]]]) -> list[FormOut]:
        keys = [owner for kind, owner in by_owner if kind == "form"]
        return [
            FormOut(form=key, label=self.knowledge.forms[key].label, description=self.statement(self.knowledge.forms[key].description))
            for key in self.knowledge.forms
            if key in keys
        ]

    def _workup(self, leading: str | None, status: dict[str, Status], changed: list[Change], unusable: set[str]) -> list[TestOut]:
        by_test: dict[str, list[Change]] = {}
        for change in changed:
            by_test.setdefault(change.test, []).append(change)
        ranked = []
        for key, rows in by_test.items():
            test = self.knowledge.tests[key]
            outcomes, weight = [], 0
            for row in rows:
                outcome = test.outcomes[row.outcome]
                moved = {t: rank for t, rank in row.ranks.items() if rank != status[t].rank}
                leads = "mimic" if row.leading in self.knowledge.mimics else row.leading
                weight += 10 * (row.leading != leading) + sum(abs(rank - status[t].rank) for t, rank in moved.items())
                outcomes.append(
                    OutcomeOut(
                        result=outcome.label, meaning=outcome.meaning, leading=leads,
                        changes={t: _STATUS[rank].value for t, rank in moved.items()}, citations=self.citations(outcome.sources),
                    )
                )  # fmt: skip
            out = TestOut(
                test=key, label=test.label, would_change=weight > 0, on_record=key in unusable, outcomes=outcomes, note=test.note,
                citations=self.citations(test.sources),
            )  # fmt: skip
            ranked.append((not test.first, -weight / len(rows), self._place_of_test[key], out))
        return [out for *_, out in sorted(ranked, key=lambda item: item[:3])]


def _holds(rows: list[dict[str, Any]]) -> bool:
    """A disease that is established or suspected, not one of which only a risk factor is known."""
    return any(row["role"] in ("established", "suspected") for row in rows)


def _effect_text(effect: Any) -> str:
    interval = f" ({effect.low:g}–{effect.high:g})" if effect.low is not None and effect.high is not None else ""
    value = f" {effect.value:g}" if effect.value is not None else ""
    return f"{effect.measure}{value}{interval}; {effect.population}"
