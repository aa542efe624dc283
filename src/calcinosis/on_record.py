"""What a reader checks first: the drugs that the record names, whether they are taken, and the latest measurements, as they were read."""

from __future__ import annotations

from typing import Final

import numpy as np

from calcinosis.contract import DrugOut, OnRecordOut
from calcinosis.derived import DERIVED_FROM
from calcinosis.knowledge import Knowledge
from calcinosis.leaves import entries_of
from calcinosis.numbers import Ints, concept_numbers, firsts
from calcinosis.options import Told
from calcinosis.reasoning.explain import LAB_NOW, unknown_measurements

STANDINGS: Final = ("taken", "unclear", "ended")


def on_record(told: Told, knowledge: Knowledge) -> list[OnRecordOut]:
    """To each row of ``facts.subjects`` the drugs of the record and the latest first-line measurements."""
    found = [OnRecordOut(drugs=[], labs=[], labs_unknown=[]) for _ in range(told.facts.subjects.height)]
    _add_drugs(found, told, knowledge)
    _add_labs(found, told, knowledge)
    return found


def _add_drugs(found: list[OnRecordOut], told: Told, knowledge: Knowledge) -> None:
    """Each drug once, by the strongest of its entries: what is taken before what may be, and that before what ended, each by name."""
    facts = told.facts
    mentions, names = facts.mentioned, facts.numbers.names
    is_drug = np.array([*(knowledge.concepts[key].kind == "drug" and not knowledge.concepts[key].shadow for key in names), False])
    chosen = np.flatnonzero((mentions.rows >= 0) & is_drug[mentions.concepts])
    if not len(chosen):
        return
    entries = entries_of(facts, chosen)
    goes_on = entries.called_active | entries.go_on(np.arange(len(chosen)), knowledge.setting("current_within_days"))
    standing = np.where(entries.is_open, np.where(goes_on, 0, 1), 2)
    concepts = mentions.concepts[chosen]
    place = facts.recorded_index.find(facts.key(entries.rows, concepts))
    order = np.lexsort((standing, concepts, entries.rows))
    key = facts.key(entries.rows, concepts)[order]
    for at in order[firsts(key)].tolist():
        drug = DrugOut(standing=STANDINGS[standing[at]], fact=told.fact(int(place[at])))
        found[int(entries.rows[at])].drugs.append(drug)
    for each in found:
        each.drugs.sort(key=lambda drug: (STANDINGS.index(drug.standing), drug.fact.label))


def _add_labs(found: list[OnRecordOut], told: Told, knowledge: Knowledge) -> None:
    facts = told.facts
    numbers = concept_numbers(knowledge)
    begin = int(told.table.starts[LAB_NOW])
    wanted: Ints = np.array([numbers[key] for key in knowledge.first_line_labs], dtype=np.intp)
    rows = np.repeat(np.arange(len(found)), len(wanted))
    concepts = np.tile(wanted, len(found))
    place = facts.measured_index.find(facts.key(rows, concepts))
    held = (place >= 0) & told.table.sourced[begin + np.maximum(place, 0)] if len(facts.measured) else np.zeros(len(rows), dtype=np.bool_)
    for row, at in zip(rows[held].tolist(), place[held].tolist(), strict=True):
        found[row].labs.append(told.fact(begin + at))
    for made, bases in DERIVED_FROM.items():  # a creatinine without what its filtration rate needs
        if made in knowledge.first_line_labs:
            alone = rows[~held & (concepts == numbers[made])]
            for base in bases:
                base_place = facts.measured_index.find(facts.key(alone, np.full(len(alone), numbers[base])))
                for row, at in zip(alone.tolist(), base_place.tolist(), strict=True):
                    if at >= 0 and told.table.sourced[begin + at]:
                        found[row].labs.append(told.fact(begin + at))
    lacking = np.flatnonzero(~held)
    because = unknown_measurements(told.evaluation.plan, facts, rows[lacking], concepts[lacking])
    for row, concept, why in zip(rows[lacking].tolist(), concepts[lacking].tolist(), because, strict=True):
        found[row].labs_unknown.append(told.words.unknown(facts.numbers.names[concept], why))
