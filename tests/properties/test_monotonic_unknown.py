"""Taking a fact away changes a status only if that fact was named: what supports may not hide, what speaks against may not hide.

Every event of every published case is removed on its own, and all events of every concept together; each of these records is assessed as
a patient of its own. When the status of a type rises, the removed fact must have stood in what spoke against the type, or in the rule
that held it down. When it falls, it must have stood among the type's own reasons.

Removing an event can also move the index date, and with it every window; such records are counted but not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl
import pytest

from calcinosis.assessment import Assessment, assess_batch, evaluate_batch
from calcinosis.derived import DERIVED_FROM
from calcinosis.events import Batch
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Status


@dataclass(frozen=True)
class Removal:
    """A record without one event, or without all events of a concept."""

    case: str
    name: str
    rows: tuple[int, ...]  # of the event table


@dataclass(frozen=True)
class Violation:
    removal: Removal
    type: str
    before: str
    after: str
    concepts: frozenset[str]

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.type, f"{self.before} -> {self.after}", self.removal.name.split("#")[0]

    def __str__(self) -> str:
        change = f"{self.type} {self.before} -> {self.after}"
        return f"{self.removal.case}: without {self.removal.name}, {change}; not named: {sorted(self.concepts)}"


def removals(events: pl.DataFrame) -> Iterator[Removal]:
    numbered = events.with_row_index("row").select("row", "subject_id", "concept", "source")
    for (case,), mine in numbered.partition_by("subject_id", as_dict=True, maintain_order=True).items():
        for row, _, concept, source in mine.iter_rows():
            yield Removal(case, f"{concept}#{source}", (row,))
        for (concept,), same in mine.partition_by("concept", as_dict=True, maintain_order=True).items():
            if same.height > 1:
                yield Removal(case, f"{concept}#all {same.height}", tuple(same["row"]))


def without(batch: Batch, chosen: list[Removal]) -> Batch:
    """Each removal as a patient of its own, named by its place in the list."""
    events = batch.events.with_row_index("row")
    copies = pl.DataFrame({"copy": [str(n) for n in range(len(chosen))], "subject_id": [r.case for r in chosen]})
    gone = pl.DataFrame(
        [(str(n), row) for n, r in enumerate(chosen) for row in r.rows],
        schema={"copy": pl.String, "row": events.schema["row"]},
        orient="row",
    )
    kept = copies.join(events, on="subject_id", maintain_order="left").join(gone, on=["copy", "row"], how="anti")
    people = copies.join(batch.patients, on="subject_id", maintain_order="left")
    return Batch(
        patients=people.drop("subject_id").rename({"copy": "subject_id"}).select(batch.patients.columns),
        events=kept.drop("subject_id", "row").rename({"copy": "subject_id"}).select(batch.events.columns),
    )


def shown_by(concepts: Iterable[tuple[str, str]], knowledge: Knowledge) -> frozenset[str]:
    """Every concept about which events of the given (concept, certainty) say something."""
    said: set[str] = set()
    for concept, certainty in concepts:
        said.update(knowledge.descendants[concept] if certainty == "negated" else knowledge.ancestors[concept])
        for _ in range(2):  # albumin -> adjusted calcium -> product
            said.update(made for made, bases in DERIVED_FROM.items() if said & {*bases})
        if concept in ("albumin", "body_height"):
            said.update(("calcium_adjusted", "calcium_phosphate_product") if concept == "albumin" else ("egfr",))
    return frozenset(said)


def named(answer: Assessment, type_key: str, *, rises: bool) -> set[str]:
    """The concepts of all facts that may explain why the type stands higher (lower) without them."""
    mine = next(t for t in answer.types if t.type == type_key)
    reasons = [*mine.reasons[:1], *mine.against] if rises else mine.reasons  # the first reason is the rule that decided
    return {fact.concept for reason in reasons for fact in reason.facts}


@pytest.fixture(scope="module")
def judged(knowledge: Knowledge, published_cases: Batch) -> tuple[list[Violation], Counter[str]]:
    before = {a.patient_id: a for a in assess_batch(published_cases, knowledge)}
    events = published_cases.events
    chosen = list(removals(events))
    evaluated = evaluate_batch(without(published_cases, chosen), knowledge)
    index = dict(evaluated.facts.subjects.select("subject_id", "index_time").iter_rows())
    rows = {subject: row for row, subject in enumerate(evaluated.evaluation.subjects["subject_id"])}
    ranks = {key: evaluated.evaluation.rank(key) for key in knowledge.types}
    said = events.select("concept", "certainty").rows()
    violations, counted = [], Counter[str]()
    for n, removal in enumerate(chosen):
        counted["removals"] += 1
        base = before[removal.case]
        if index[str(n)] != base.index_date:
            counted["index date moved"] += 1
            continue
        concepts = shown_by([said[row] for row in removal.rows], knowledge)
        for each in base.types:
            now = list(Status)[ranks[each.type][rows[str(n)]]]
            if now is each.status:
                continue
            rises = now.rank > each.status.rank
            counted["rises" if rises else "falls"] += 1
            if not concepts & named(base, each.type, rises=rises):
                violations.append(Violation(removal, each.type, each.status.value, now.value, concepts))
    return violations, counted


def test_the_records_without_a_fact_cover_every_event(published_cases: Batch) -> None:
    single = [r for r in removals(published_cases.events) if len(r.rows) == 1]
    assert len(single) >= published_cases.events.height


def test_a_status_changes_only_with_a_fact_that_was_named(judged: tuple[list[Violation], Counter[str]]) -> None:
    violations, counted = judged
    print(dict(counted), f"{len(violations)} violations")
    summary = Counter(violation.kind for violation in violations)
    report = [f"{n:3} {kind}" for kind, n in summary.most_common()] + [str(v) for v in violations]
    assert not violations, "\n".join(report)
