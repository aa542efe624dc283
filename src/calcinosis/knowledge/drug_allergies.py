"""For every drug among the treatments: the concepts of an allergy to it, and the safety rule that shows one.

What an allergy is called follows from what the drug is called, so neither is written down drug by drug. A treatment whose file has a
rule on an allergy keeps that rule; its drugs then only lend their names and codes to the allergy it asks about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from calcinosis.knowledge.criteria import All, AnyOf, Closed, Criterion, Has, HasAny, Known
from calcinosis.knowledge.model import Code, Concept, Context
from calcinosis.knowledge.treatments import SafetyRule, Treatment

TOLD = (Context.CONDITION, Context.OBSERVATION, Context.NOTE)
PREFIX = "allergy_"


class DrugAllergy(Closed):
    """The rule (``drug_allergy.yaml``), and the words by which a text says "allergy to"."""

    key: str
    label: str
    why: str
    sources: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


class Derived(NamedTuple):
    """Concepts and codes to add, and the treatments that got a rule. ``owners``: concept -> the treatment it comes from."""

    concepts: dict[str, Concept]
    codes: list[Code]
    treatments: dict[str, Treatment]
    owners: dict[str, str]


def derive(said: DrugAllergy, treatments: Mapping[str, Treatment], concepts: Mapping[str, Concept], codes: tuple[Code, ...]) -> Derived:
    """See the module. Drugs without concepts, and topical ones that share them with another treatment, get nothing."""
    found = Derived({}, [], {}, {})
    codes_of: dict[str, list[Code]] = {}
    for code in codes:
        codes_of.setdefault(code.concept_key, []).append(code)
    for treatment in treatments.values():
        drugs = [concepts[key] for key in treatment.concepts if key in concepts and concepts[key].kind == "drug"]
        if treatment.kind != "drug" or not drugs:
            continue
        asked = [key for rule in treatment.safety if rule.when for key in _asked(rule.when) if key.startswith(PREFIX)]
        target = asked[0] if asked else PREFIX + drugs[0].key
        if target not in concepts and target not in found.concepts:
            names = tuple(dict.fromkeys(name for drug in drugs for name in drug.synonyms))
            found.concepts[target] = Concept(
                key=target, label=f"Allergy to {drugs[0].label}", kind="allergy", synonyms=names, contexts=(Context.ALLERGY,)
            )
            found.owners[target] = treatment.key
        if not asked:
            rule = SafetyRule.model_validate(
                {"key": "allergy", "kind": "contraindication", "verdict": "contraindicated", "when": {"has": target}}
                | said.model_dump(include={"label", "why", "sources"})
            )
            found.treatments[treatment.key] = treatment.model_copy(update={"safety": (*treatment.safety, rule)})
        for drug in drugs:
            told = f"{PREFIX}told_{drug.key}"
            if told in found.concepts:
                continue
            named = Concept(
                key=f"{PREFIX}named_{drug.key}", label=f"Allergy to {drug.label}, by name", kind="allergy", parents=(target,),
                contexts=(Context.ALLERGY,), synonyms=drug.synonyms,
            )  # fmt: skip
            in_words = Concept(
                key=told, label=f"Allergy to {drug.label}, said in words", kind="allergy", parents=(target,), contexts=TOLD,
                synonyms=tuple(_phrases(said, drug.synonyms)),
            )  # fmt: skip
            for concept in (named, in_words) if target in concepts else (in_words,):
                found.concepts[concept.key] = concept
                found.owners[concept.key] = treatment.key
            found.codes.extend(code.model_copy(update={"concept_key": target}) for code in codes_of.get(drug.key, ()))
    return found


def _asked(criterion: Criterion) -> tuple[str, ...]:
    """The concepts that a criterion reads, whatever stands round them."""
    if isinstance(criterion, Has):
        return (criterion.has,)
    if isinstance(criterion, HasAny):
        return criterion.has_any
    if isinstance(criterion, All | AnyOf):
        return tuple(key for part in (criterion.all_ if isinstance(criterion, All) else criterion.any_) for key in _asked(part))
    return _asked(criterion.known) if isinstance(criterion, Known) else ()


def _phrases(said: DrugAllergy, names: tuple[str, ...]) -> list[str]:
    plain = [name for name in names if len(name) > 3]
    return [f"{words} {name}" for name in plain for words in said.before] + [f"{name} {words}" for name in plain for words in said.after]
