"""One patient of a screened folder, from the stored rows back to an assessment in words.

The folder may have been written with another version of the knowledge: whatever this one does not know is shown by its key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from calcinosis.ages import shown_age
from calcinosis.contract import (
    AlarmOut,
    Assessment,
    DiseaseOut,
    FormOut,
    MimicAssessment,
    Missing,
    OutcomeOut,
    Reason,
    RiskOut,
    TestOut,
    TypeAssessment,
)
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.gravity import ALARM_URGENCIES
from calcinosis.options import reviews_in_words
from calcinosis.report.cohort_folder import Stored
from calcinosis.report.cohort_options import options_in_words
from calcinosis.words import Words

Rows = list[dict[str, Any]]
_FOR: Final = ("decides", "supports")


@dataclass(frozen=True, slots=True)
class Retold:
    """What the folder holds of one patient, in words.

    Attributes:
        assessment: without what a missing test would change, and what each unchecked safety rule lacks: neither is stored.
        risks: label of a type -> its risk factors on record.
        at_risk: high risk of the type that must not be missed; None: unknown.
        explained: reasons were stored; they are for patients there is something to say about.
    """

    assessment: Assessment
    risks: dict[str, list[RiskOut]]
    at_risk: bool | None
    explained: bool


def retell(stored: Stored, knowledge: Knowledge) -> Retold:
    return _Teller(stored, knowledge).whole()


class _Teller(Words):
    def __init__(self, stored: Stored, knowledge: Knowledge) -> None:
        super().__init__(knowledge)
        self.stored, self.person = stored, stored.person
        self.unusable = frozenset(self.person.get("unusable_tests") or ())  # a folder of an earlier version does not tell
        self.by_owner: dict[tuple[str, str], Rows] = {}
        for row in stored.reasons:
            self.by_owner.setdefault((row["kind"], row["owner"]), []).append(row)

    def whole(self) -> Retold:
        person = self.person
        review, not_checked = reviews_in_words(self.stored.reviews, self)
        types = [name.removeprefix("status_") for name in person if name.startswith("status_")]
        assessment = Assessment(
            patient_id=person["subject_id"],
            alarms=self._alarms(),
            leading=person["leading"],
            leading_status=_status(person["leading_status"]),
            leading_mimic=person["leading_mimic"],
            provisional=bool(person["provisional"]),
            mixed=bool(person["mixed"]),
            types=[self._type(key) for key in types],
            mimics=self._mimics(),
            diseases=self._diseases(),
            forms=self._forms(),
            calciphylaxis_risk=[],
            workup=[self._test(key) for key in person["missing_tests"] or ()],
            review=review,
            review_not_checked=not_checked,
            options=options_in_words(self.stored.options, self.knowledge, self),
            index_date=person["index_time"],
            index_basis=person["index_basis"] or "unknown",
            age_years=shown_age(person["age_years"]),
            sex=person["sex"],
            warnings=[f"{row['record'] or row['file']}: {row['reason']}" for row in self.stored.rejects],
            knowledge_version=person["knowledge_version"] or "unknown",
        )
        risks = {self._hypothesis(owner): self._risks(kind, owner) for kind, owner in self.by_owner if kind == "type"}
        return Retold(
            assessment=assessment,
            risks={label: found for label, found in risks.items() if found},
            at_risk=person["calciphylaxis_at_risk"],
            explained=bool(self.stored.reasons),
        )

    # --- small parts

    def _reasons(self, rows: Rows, roles: Iterable[str]) -> list[Reason]:
        return [
            Reason(label=row["label"], facts=self.facts(row["facts"]), citations=self.citations(row["sources"]))
            for role in roles for row in rows if row["role"] == role
        ]  # fmt: skip

    def _hypothesis(self, key: str) -> str:
        found = self.knowledge.types.get(key) or self.knowledge.mimics.get(key)
        return found.label if found else key

    # --- the parts of an assessment

    def _alarms(self) -> list[AlarmOut]:
        fired = []
        for key in self.person["alarms"] or ():
            alarm, rows = self.knowledge.alarms.get(key), self.by_owner.get(("alarm", key), [])
            facts, sources = (rows[0]["facts"], rows[0]["sources"]) if rows else ([], [])
            fired.append(
                AlarmOut(
                    id=alarm.id if alarm else key, key=key, label=alarm.label if alarm else key,
                    urgency=alarm.urgency if alarm else ALARM_URGENCIES[-1],
                    actions=[self.statement(each) for each in alarm.actions] if alarm else [],
                    facts=self.telling_first(self.facts(facts)), citations=self.citations(alarm.sources if alarm else sources),
                )
            )  # fmt: skip
        return sorted(fired, key=lambda alarm: ALARM_URGENCIES.index(alarm.urgency))

    def _type(self, key: str) -> TypeAssessment:
        rows = self.by_owner.get(("type", key), [])
        subtype = self.person.get(f"subtype_{key}")
        label = next((row["label"] for row in rows if row["role"] == "subtype" and row["detail"] == subtype), subtype)
        missing = [
            Missing(
                label=row["label"],
                unknown=[self.unknown(each["concept"], each["because"]) for each in row["unknown"] or ()],
                citations=self.citations(row["sources"]),
            )
            for row in rows
            if row["role"] == "missing"
        ]
        return TypeAssessment(
            type=key, label=self._hypothesis(key), status=_status(self.person[f"status_{key}"]) or Status.NOT_ASSESSED, subtype=subtype,
            subtype_label=label, reasons=self._reasons(rows, _FOR), against=self._reasons(rows, ("against",)), missing=missing,
        )  # fmt: skip

    def _mimics(self) -> list[MimicAssessment]:
        """As told where reasons are stored, else those that are at least possible."""
        listed = dict(each.rpartition(":")[::2] for each in self.person["mimics"] or ())
        for (kind, owner), rows in self.by_owner.items():
            decides = next((row["status"] for row in rows if row["role"] == "decides"), None)
            if kind == "mimic" and decides not in (None, Status.NOT_ASSESSED.value):
                listed.setdefault(owner, decides)
        found = []
        for key, status in listed.items():
            rows, known = self.by_owner.get(("mimic", key), []), self.knowledge.mimics.get(key)
            found.append(
                MimicAssessment(
                    mimic=key, label=self._hypothesis(key), status=_status(status) or Status.POSSIBLE, reasons=self._reasons(rows, _FOR),
                    against=self._reasons(rows, ("against",)),
                    tells_apart=[self.statement(each) for each in known.tells_apart] if known else [],
                )
            )  # fmt: skip
        return sorted(found, key=lambda each: -each.status.rank)

    def _diseases(self) -> list[DiseaseOut]:
        """The established diseases, and suspected ones that are narrower than all of these."""
        established, suspected = self.person["diseases"] or (), self.person["diseases_suspected"] or ()
        known = self.knowledge.diseases
        narrower = [key for key in suspected if key in known and not set(established) - {key, *known[key].more_specific_than}]
        shown = [(key, "established") for key in established] + [(key, "suspected") for key in narrower if key not in established]
        return [self._disease(key, status) for key, status in shown]

    def _disease(self, key: str, status: str) -> DiseaseOut:
        rows, disease = self.by_owner.get(("disease", key), []), self.knowledge.diseases.get(key)
        row = next((row for row in rows if row["role"] == status), None)
        sources = (row["sources"] if row else None) or (disease.sources if disease else ())
        return DiseaseOut(
            disease=key, label=disease.label if disease else key, status=status, facts=self.facts(row["facts"] if row else ()),
            citations=self.citations(sources), known=[], risk_factors=self._risks("disease", key),
        )  # fmt: skip

    def _risks(self, kind: str, owner: str) -> list[RiskOut]:
        record = (self.knowledge.types if kind == "type" else self.knowledge.diseases).get(owner)
        weights = {factor.key: factor.weight for factor in record.risk_factors} if record else {}
        return [
            RiskOut(
                key=row["detail"] or "", label=row["label"], weight=weights.get(row["detail"]), effects=[], facts=self.facts(row["facts"]),
                citations=self.citations(row["sources"]),
            )
            for row in self.by_owner.get((kind, owner), [])
            if row["role"] == "risk"
        ]  # fmt: skip

    def _forms(self) -> list[FormOut]:
        keys = {owner for kind, owner in self.by_owner if kind == "form"}
        return [FormOut(form=key, label=form.label, description=self.statement(form.description))
                for key, form in self.knowledge.forms.items() if key in keys]  # fmt: skip

    def _test(self, key: str) -> TestOut:
        test = self.knowledge.tests.get(key)
        outcomes = [
            OutcomeOut(result=each.label, meaning=each.meaning, leading=None, changes={}, citations=self.citations(each.sources))
            for each in (test.outcomes if test else ())
        ]
        return TestOut(
            test=key, label=test.label if test else key, would_change=False, on_record=key in self.unusable, outcomes=outcomes,
            note=test.note if test else None, citations=self.citations(test.sources if test else ()),
        )  # fmt: skip


def _status(word: str | None) -> Status | None:
    """None also for a word of another version."""
    return Status(word) if word in set(Status) else None
