"""The model of ``context_rules.yaml``: the words by which a text denies, doubts, plans, or speaks of somebody else or something else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Annotated, Final, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

Direction = Literal["before", "after", "before_or_after", "after_or_before", "list", "list_after", "around", "touching", "near"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
Effect = Literal[
    "negated", "spared", "uncertain", "family", "family_list", "companion", "silent", "not_taken", "taken_no_more",
    "still_suspected", "looked_for", "topic", "prevented", "removed", "resolved", "taken_out", "planned", "asked_about", "considered",
    "allergy_list", "elsewhere", "none",
]  # fmt: skip


def _expand(phrases: Sequence[object]) -> tuple[str, ...]:
    """``a|b c`` -> ``a c``, ``b c``."""
    words_of = [phrase for phrase in phrases if isinstance(phrase, str)]
    if len(words_of) != len(phrases):
        raise ValueError("a cue is text; YAML reads a bare yes, no, on or off as true or false, so put it in quotes")
    return tuple(" ".join(words) for phrase in words_of for words in product(*(word.split("|") for word in phrase.split(" "))))


Phrases = Annotated[tuple[str, ...], BeforeValidator(_expand)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cues(_Closed):
    before: Phrases = ()
    after: Phrases = ()
    before_or_after: Phrases = ()
    after_or_before: Phrases = ()
    list: Phrases = ()
    list_after: Phrases = ()
    around: Phrases = ()
    touching: Phrases = ()
    near: Phrases = ()


class RelativeTime(_Closed):
    """Words that place an exposure before or after the lesion."""

    before: tuple[str, ...]
    earlier: tuple[str, ...]
    after: tuple[str, ...]
    later: tuple[str, ...]
    lesion: tuple[str, ...]
    between: tuple[str, ...]
    pointing_back: tuple[str, ...]
    numbers: dict[str, float]
    days_per_unit: dict[str, float]


class PresupposedWords(_Closed):
    """The words behind which a lesion is taken for granted."""

    prepositions: Phrases
    unless_after: tuple[str, ...]
    phrases: Phrases  # that need no look at the word before them
    diseases: tuple[str, ...]  # concepts taken for granted as lesions are
    treatments: tuple[str, ...]  # concepts, with all that are narrower, that go on as drugs do
    going_on: Phrases  # the same for drugs that are taken and for dialysis
    not_between: tuple[str, ...]


class LabNames(_Closed):
    """What may be left off the name of a laboratory quantity, and what may not."""

    leading: tuple[str, ...]
    trailing: tuple[str, ...]
    other_quantity: tuple[str, ...]
    other_specimen: tuple[str, ...]
    spelled_out: dict[str, str]
    trailing_of_antibodies: tuple[str, ...]


class Alone(_Closed):
    """What may stand around a short name that is read only where nothing else stands."""

    leading: tuple[str, ...]
    trailing: tuple[str, ...]
    trailing_of_drugs: tuple[str, ...]


class SaidResults(_Closed):
    """How a text states a result, and what may stand around it."""

    words: dict[str, Phrases]
    between: tuple[str, ...]
    before: tuple[str, ...]
    behind: tuple[str, ...]
    units: tuple[str, ...]
    past: tuple[str, ...]
    short_names: tuple[str, ...]
    in_one_word: dict[str, dict[str, tuple[str, ...]]]  # concept -> flag -> words
    denials: tuple[str, ...]


class SaidNumbers(_Closed):
    """What may stand between a laboratory name and its number, and what makes the number no result."""

    between: tuple[str, ...]
    before: tuple[str, ...]
    names: dict[str, tuple[str, ...]]  # concept -> names that are one only with a number
    comparators: dict[str, Phrases]  # one of ``events.COMPARATORS`` -> words
    not_measured: tuple[str, ...]
    change: tuple[str, ...]
    somebody_else: tuple[str, ...]
    other_specimen: tuple[str, ...]
    of_blood: tuple[str, ...]
    another_day: Phrases  # behind a number: it is not of the day of the text
    now: tuple[str, ...]  # beside a later number of the same name: that one is


class Headings(_Closed):
    """Headings that change what the lines below them say, by what they make of them; and those that end such a section."""

    family: Phrases
    allergies: Phrases
    not_taken: Phrases
    uncertain: Phrases
    taken_no_more: Phrases
    negated: Phrases
    planned: Phrases
    topic: Phrases
    others: Phrases
    nothing: Phrases  # lines after which a list holds nothing more
    of_the_patient: tuple[str, ...]  # a line that opens so is no item of a list


class ReportHeadings(_Closed):
    """Headings of reports: what the request told (in one of these words, without marks), and what the study showed."""

    clinical: Phrases
    others: Phrases


class ElsewhereOf(_Closed):
    """What the name of an inner organ takes from the skin: concepts below these roots, and these concepts; what makes the name no
    place; which sites are no skin."""

    roots: tuple[str, ...]
    concepts: tuple[str, ...]
    no_places: tuple[str, ...]
    inner_sites: tuple[str, ...]
    biopsied: tuple[str, ...]


class LocalForms(_Closed):
    """How a text says that a drug acts where it is applied, and as what it then counts (:mod:`calcinosis.sources.local_forms`)."""

    forms: Phrases  # behind the drug, or alone in the name of a product
    no_forms: Phrases  # longer words for something swallowed
    routes: Phrases  # directly before the drug, behind it, or as the route of an order
    between: tuple[str, ...]  # may stand between the drug and its form, as numbers may
    counts_as: str  # concept of a drug that has no local form of its own
    own: dict[str, str]  # concept -> concept of its local form, also for what lies below it


class EndingDates(_Closed):
    """How a text tells the day on which something ended (:mod:`calcinosis.sources.ending_dates`)."""

    months: dict[str, int]  # name -> number
    between: tuple[str, ...]
    before_year: tuple[str, ...]


class Instead(_Closed):
    """What some concepts are where one of these words, and none of ``unless``, stands between the same commas."""

    concepts: tuple[str, ...]
    becomes: str
    words: Phrases
    unless: Phrases


class ContextRules(_Closed):
    """The whole of ``context_rules.yaml``; an unknown key is an error."""

    negation: Cues
    pseudo_negation: Phrases
    spared: Cues
    uncertainty: Cues
    reporting: Cues
    still_suspected: Cues
    looked_for: Cues
    asked_about: Cues
    considered: Cues
    hypothetical: Cues
    family: Cues
    companion: Cues
    pseudo_family: Phrases
    historical: Phrases
    silent: Cues
    topic: Cues
    prevented: Cues
    removed: Cues
    resolved: Cues
    pseudo_removed: Phrases
    taken_out: Cues
    not_taken: Cues
    allergy_list: Cues
    planned: Cues
    not_yet_beside: Phrases
    beside: dict[str, tuple[str, ...]]
    instead: tuple[Instead, ...]
    elsewhere_of: ElsewhereOf
    elsewhere: Cues
    linking: Phrases
    taken_no_more: Cues
    ending_dates: EndingDates
    clause_breaks: Phrases
    presupposed: PresupposedWords
    terminators: Phrases
    family_terminators: Phrases
    companion_terminators: Phrases
    next_drug: Phrases
    openers: Phrases
    weak_openers: Phrases
    denying: tuple[str, ...]
    list_heads: tuple[str, ...]
    not_over_yet: tuple[str, ...]
    taken_up_again: tuple[str, ...]
    confirming: tuple[str, ...]
    concluding: tuple[str, ...]
    specifics: tuple[str, ...]
    placing: tuple[str, ...]
    colours: tuple[str, ...]
    going_on: tuple[str, ...]
    continuers: Phrases
    adjectives: Phrases
    affirming: Phrases
    relative_time: RelativeTime
    lab_names: LabNames
    said_results: SaidResults
    said_numbers: SaidNumbers
    alone: Alone
    headings: Headings
    report_headings: ReportHeadings
    local_forms: LocalForms


_FILE: Final = ("content", "language", "context_rules.yaml")  # beside the rest of the content, so that the knowledge version covers it


@cache
def load_context_rules() -> ContextRules:
    return ContextRules.model_validate(yaml.safe_load(files("calcinosis.knowledge").joinpath(*_FILE).read_text(encoding="utf-8")))
