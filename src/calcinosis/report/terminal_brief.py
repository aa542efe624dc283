"""One assessment on a screen or two: what a clinician reads first, with its reasons, and where the rest is.

Nothing that could harm is left out: every alarm with every action, every review of what the patient takes, every record that was not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from calcinosis.contract import DENIED, AlarmOut, Assessment, MimicAssessment, TypeAssessment
from calcinosis.report.option_words import NOTHING_PRESCRIBED, OptionList, counted, option_lists
from calcinosis.report.terminal import LIKENESSES, Page
from calcinosis.report.terminal_parts import item, left_off, show, title
from calcinosis.report.wording import STATUS_WORD, clean, evidence, is_standing, lacking, leading_type, outcome_change, unknowns

FACTS = 4  # of an alarm
REASONS = 4
UNKNOWN = 2
TESTS = 3
OPTIONS = 5  # beside those that sources agree on
THE_REST = "Shortened: every reason, test, option and study stands in --full, in a page (--html FILE) and in --json."


def render_brief(assessment: Assessment, console: Console) -> None:
    """Print the short answer; readable at 80 columns and without colours."""
    show(_Brief(assessment).parts(), console, LIKENESSES)


class _Brief(Page):
    """The short report, part by part from top to bottom."""

    def parts(self) -> Iterator[RenderableType]:
        a = self.assessment
        yield from self.opening()
        if (led := self._led()) is not None:
            yield from self._why(led)
        others = [f"{each.label} ({STATUS_WORD[each.status]})" for each in a.mimics if is_standing(each.status) and each is not led]
        yield from self._section("Looks like it, and to be told apart", [item(Text(clean("; ".join(others))))] if others else [])
        diseases = [self.ink.said(f"{each.label}: {each.status}", each.citations, sign="+") for each in a.diseases]
        yield from self._section("Connective tissue disease", diseases)
        yield from self._next_tests()
        for each in option_lists(a):
            yield from self._options(each)
        yield from self.foot()
        yield Text(THE_REST, style="bold")

    def _led(self) -> TypeAssessment | MimicAssessment | None:
        a = self.assessment
        if a.leading_mimic is not None:
            return next(each for each in a.mimics if each.mimic == a.leading_mimic)
        return leading_type(a)

    def _alarm_facts(self, alarm: AlarmOut, shown: set[str]) -> Iterator[RenderableType]:
        found = [each for each in evidence(alarm.facts) if each.line not in shown and each.value not in DENIED]
        shown.update(each.line for each in found[:FACTS])  # one that was only named may be what the next alarm is about
        for each in found[:FACTS]:
            yield item(Text(f"on record: {each.line}"), sign="-", depth=2)
        if found[FACTS:]:
            yield item(Text(f"and, with dates in --full: {'; '.join(each.labels[0] for each in found[FACTS:])}"), sign="-", depth=2)

    def _why(self, each: TypeAssessment | MimicAssessment) -> Iterator[RenderableType]:
        yield title(f"Why {each.label} is {STATUS_WORD[each.status]}")
        for reason in each.reasons[:REASONS]:
            facts = evidence(reason.facts)
            said = f": {facts[0].line}" if facts else ""
            more = f" (and {counted(len(facts) - 1, 'more entry', 'more entries')})" if len(facts) > 1 else ""
            yield self.ink.said(f"{reason.label}{said}{more}", reason.citations, sign="+")
        yield from left_off(len(each.reasons) - REASONS, "more that speak for it")
        for reason in each.against:
            yield self.ink.said(f"against: {reason.label}", reason.citations, sign="-")
        if isinstance(each, TypeAssessment):
            for missing in each.missing[:UNKNOWN]:
                why = "; ".join(reason for reason, _, _ in unknowns(missing))
                yield item(Text(clean(f"not known: {missing.label}{f' ({why})' if why else ''}")), sign="?")
            yield from left_off(len(each.missing) - UNKNOWN, "more criteria that the record cannot answer")

    def _next_tests(self) -> Iterator[RenderableType]:
        deciding = [test for test in self.assessment.workup if test.would_change]
        if not deciding:
            return
        yield title("Missing work-up that would change most (nothing is ordered)")
        for number, test in enumerate(deciding[:TESTS], 1):
            changes = dict.fromkeys(outcome_change(outcome, self.assessment) for outcome in test.outcomes)
            yield self.ink.said(f"{lacking(test)}: {clean('; '.join(each for each in changes if each))}", test.citations, sign=f"{number}.")
            if test.note:
                yield item(Text(clean(test.note), style="bold"), sign="!", depth=5)
        yield from left_off(len(self.assessment.workup) - min(TESTS, len(deciding)), "more missing tests")

    def _options(self, options: OptionList) -> Iterator[RenderableType]:
        yield title(f"Treatment options evaluated so far: {options.label} ({options.count})")
        yield item(Text(NOTHING_PRESCRIBED), sign="")
        shown = [*options.bundle, *options.options[:OPTIONS]]
        for option in shown:
            yield self.treatment.line(option)
        yield from left_off(options.count - len(shown) - len(options.last), "more options")
        if options.last:
            names = "; ".join(option.label for option in options.last)
            yield item(Text(clean(f"Contraindicated here, or with evidence against it: {names}")), sign="×")
