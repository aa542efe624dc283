"""Treatment in the terminal: what the patient has now and should be reviewed, and the options that were evaluated.

The first options stand in full, the others in one line each; contraindicated ones and those with evidence against them come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from calcinosis.contract import Assessment, FactOut, OptionOut, ReviewOut, SafetyOut
from calcinosis.report.option_words import (
    NO_REVIEW,
    NOTHING_PRESCRIBED,
    REVIEW_UNKNOWN,
    STANCE_WORD,
    VERDICT_WORD,
    OptionList,
    counted,
    disease_names,
    evidence_line,
    not_checked,
    option_lists,
    order_words,
    reasons_against,
    rules_with,
    safety_words,
    short_evidence,
    speaks_for,
)
from calcinosis.report.terminal_parts import Ink, item, title
from calcinosis.report.wording import URGENCY_WORD, clean, evidence

IN_FULL = 8  # options shown in full, and those tied with the last of them; the bundle always is
FACTS_SHOWN = 2
MISSING_SHOWN = 6


class TreatmentPart:
    """The parts of one report that are about treatment."""

    def __init__(self, assessment: Assessment, ink: Ink) -> None:
        self.assessment = assessment
        self.ink = ink
        self.diseases = disease_names(assessment)

    # --- what the patient has now

    def review(self) -> Iterator[RenderableType]:
        found, unknown = self.assessment.review, self.assessment.review_not_checked
        if not found and not unknown:
            return
        yield title("Current treatment to review")
        for each in found:
            yield from self._review(each)
        if not found:
            yield item(Text(NO_REVIEW), sign="·")
        if unknown:
            yield item(Text(clean(f"{REVIEW_UNKNOWN}: {'; '.join(unknown)}")), sign="?")

    def _review(self, each: ReviewOut) -> Iterator[RenderableType]:
        urgency = URGENCY_WORD.get(each.urgency or "", each.urgency or "")
        gravity = VERDICT_WORD.get(each.verdict or "", each.verdict or "")
        yield self.ink.said(f"{(urgency or gravity).upper()}: {each.label}", each.citations, sign="!", style="bold")
        yield item(Text(clean(each.text)), sign="", depth=4)
        yield from _facts(each.facts, depth=4)

    # --- what was evaluated

    def options(self) -> Iterator[RenderableType]:
        for number, each in enumerate(option_lists(self.assessment)):
            yield title(f"Treatment options evaluated so far: {each.label} ({each.count})")
            if number == 0:
                yield item(Text(NOTHING_PRESCRIBED), sign="")
                yield item(Text("Doses as studied, and the studies themselves, stand only in the page and the JSON."), sign="")
            yield from self._list(each)

    def _list(self, options: OptionList) -> Iterator[RenderableType]:
        if options.bundle:
            yield _heading("Part of care that sources agree on")
        for option in options.bundle:
            yield from self._full(option)
        shown = _first(options.options)
        if shown:
            yield _heading("Options")
        for option in shown:
            yield from self._full(option)
        others = options.options[len(shown) :]
        if others:
            yield _heading(f"and {len(others)} more, in full in the page and the JSON")
        for option in others:
            yield self.line(option)
        if options.last:
            yield _heading("Contraindicated here, or with evidence against it")
        for option in options.last:
            yield from self._last(option)

    def _full(self, option: OptionOut) -> Iterator[RenderableType]:
        yield Text("")
        now = " (on record as current)" if option.current else ""
        yield item(Text(clean(f"{option.label}{now}"), style="bold"), sign=f"{option.place}.")
        yield item(Text(clean(order_words(option)), style="dim"), sign="", depth=5)
        yield _detail("evidence", evidence_line(option, self.diseases))
        for use in option.uses:
            yield self.ink.statement(use.statement, sign="·", depth=5)
        if option.stance == "standard":
            for note in option.notes:
                yield self.ink.statement(note, sign="·", depth=5, before="note: ")
        for reason in speaks_for(option):
            yield self.ink.said(f"speaks for it: {reason.label}{_said(reason.facts)}", reason.citations, sign="+", depth=5)
        yield from self._safety(option)

    def _safety(self, option: OptionOut) -> Iterator[RenderableType]:
        for rule in rules_with(option.safety, "contraindicated", "caution"):
            yield from self._rule(rule)
        for rule in rules_with(option.always, "contraindicated", "caution"):
            yield from self._rule(rule, "for everybody: ")
        watched = [clean(rule.label) for rule in rules_with([*option.safety, *option.always], "monitor")]
        if watched:
            yield _detail("needs monitoring", "; ".join(watched), sign="~")
        for unchecked in not_checked(option, MISSING_SHOWN):
            style = "bold" if unchecked.verdict == "contraindicated" else ""
            yield item(Text(clean(unchecked.line), style=style), sign="?", depth=5)

    def _rule(self, rule: SafetyOut, whom: str = "") -> Iterator[RenderableType]:
        grave = rule.verdict == "contraindicated"
        word = VERDICT_WORD[rule.verdict].upper() if grave else VERDICT_WORD[rule.verdict]
        text = f"{word}: {whom}{rule.label}. {rule.why}"
        yield self.ink.said(text, rule.citations, sign="×" if grave else "!", depth=5, style="bold" if grave else "")
        yield from _facts(rule.facts, depth=7)

    def line(self, option: OptionOut) -> RenderableType:
        """An option in one line: its place, how good the evidence is, and what speaks against it here."""
        parts = [STANCE_WORD[option.stance], short_evidence(option.evidence), *(words for _, words in safety_words(option, named=True))]
        return item(Text(clean(f"{option.label}: {'; '.join(parts)}")), sign=f"{option.place}.")

    def _last(self, option: OptionOut) -> Iterator[RenderableType]:
        yield self.line(option)
        for statement in reasons_against(option):
            yield self.ink.statement(statement, sign="-", depth=5, before="against: ")
        for rule in rules_with(option.safety, "contraindicated"):
            yield from self._rule(rule)
        for unchecked in not_checked(option):
            if unchecked.verdict == "contraindicated":
                yield item(Text(clean(unchecked.line)), sign="?", depth=5)


def _first(options: Sequence[OptionOut]) -> Sequence[OptionOut]:
    """The first few, and those that share the place of the last of them: a tie is not cut in two."""
    if len(options) <= IN_FULL:
        return options
    return [option for option in options if option.place <= options[IN_FULL - 1].place]


def _facts(facts: Iterable[FactOut], *, depth: int) -> Iterator[RenderableType]:
    found = evidence(facts)
    for each in found[:FACTS_SHOWN]:
        yield item(Text(f"on record: {each.line}", style="dim"), sign="", depth=depth)
    if len(found) > FACTS_SHOWN:
        yield item(Text(f"and {counted(len(found) - FACTS_SHOWN, 'more entry', 'more entries')}", style="dim"), sign="", depth=depth)


def _said(facts: Iterable[FactOut]) -> str:
    """The first entry behind a point, in brackets."""
    found = evidence(facts)
    more = f"; and {counted(len(found) - 1, 'more entry', 'more entries')}" if len(found) > 1 else ""
    return f" ({found[0].line}{more})" if found else ""


def _heading(text: str) -> RenderableType:
    return Text(f"\n  {text}", style="bold")


def _detail(what: str, text: str, sign: str = "·") -> RenderableType:
    return item(Text(clean(f"{what}: {text}")), sign=sign, depth=5)
