"""The stored treatment options of one patient (``OPTION_SCHEMA``), back in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calcinosis.contract import OptionOut, Reason, UncheckedOut, UseOut
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.gravity import VERDICTS
from calcinosis.knowledge.treatments import Treatment
from calcinosis.options import evidence_of, order_of, safety_out, unchanging
from calcinosis.words import Words


def options_in_words(rows: Iterable[Mapping[str, Any]], knowledge: Knowledge, words: Words) -> list[OptionOut]:
    """The rows of one patient as records. A treatment that this version of the knowledge does not have is left out.

    What each unchecked rule lacks is not stored, so ``missing`` is empty.
    """
    known = knowledge.treatments
    return [_option(row, known[row["treatment"]], knowledge, words) for row in rows if row["treatment"] in known]


def _option(row: Mapping[str, Any], treatment: Treatment, knowledge: Knowledge, words: Words) -> OptionOut:
    rules = {rule.key: rule for rule in treatment.safety}
    evidence = evidence_of(knowledge, treatment.key, row["type"])
    uses = [use for use in row["uses"] if use["use"] < len(treatment.uses)]
    safety = [safety_out(rules[each["rule"]], words.facts(each["facts"]), words) for each in row["safety"] if each["rule"] in rules]
    speaks_for = [
        Reason(label=each["label"], facts=words.facts(each["facts"]), citations=words.citations(each["sources"]))
        for each in row["speaks_for"]
    ]
    return OptionOut(
        **unchanging(knowledge, treatment, row["type"], words),
        place=row["place"],
        current=row["current"],
        stance=row["stance"],
        uses=[
            UseOut(
                role=use["role"], stance=use["stance"], studied_here=use["studied_here"],
                statement=words.statement(treatment.uses[use["use"]].statement),
            )
            for use in uses
        ],
        speaks_for=speaks_for,
        safety=safety,
        not_checked=_not_checked(row["not_checked"], treatment),
        cleared=row["cleared"],
        order=order_of(
            row["stance"], speaks_for, safety, evidence, studied=any(use["studied_here"] is not False for use in uses)
        ),
    )  # fmt: skip


def _not_checked(keys: Sequence[str], treatment: Treatment) -> list[UncheckedOut]:
    found = [rule for rule in treatment.safety if rule.key in keys or rule.not_checkable]
    return [
        UncheckedOut(rule=rule.key, kind=rule.kind, verdict=rule.verdict, label=rule.label, missing=[], because=rule.not_checkable)
        for rule in sorted(found, key=lambda rule: (VERDICTS.index(rule.verdict), bool(rule.not_checkable)))
    ]
