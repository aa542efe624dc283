"""One assessment for the terminal: alarms first, then the answer, its reasons, and what would change it.

Every status is a word; colour only repeats it. Text from records is never read as markup or as terminal codes.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from calcinosis.contract import (
    AlarmOut,
    Assessment,
    DiseaseOut,
    FactOut,
    MimicAssessment,
    Reason,
    RiskOut,
    TestOut,
    TypeAssessment,
)
from calcinosis.knowledge.criteria import Status
from calcinosis.report.terminal_options import TreatmentPart
from calcinosis.report.terminal_parts import Ink, grid, item, left_off, show, title
from calcinosis.report.wording import (
    NO_ALARM,
    STATUS_SIGN,
    STATUS_WORD,
    UNUSABLE,
    UNUSABLE_HOW,
    URGENCY_WORD,
    Evidence,
    SetAside,
    at_hand,
    clean,
    decided_by,
    evidence,
    headline,
    in_short,
    index_day,
    is_standing,
    lacking,
    outcome_change,
    person,
    references,
    set_aside,
    unknowns,
)

TESTS_SHOWN = 5
KNOWN_SHOWN = 5
MISSING_SHOWN = 6

_STYLE = {
    Status.CONFIRMED: "bold green",
    Status.PROBABLE: "bold cyan",
    Status.POSSIBLE: "yellow",
    Status.NOT_ASSESSED: "dim",
    Status.UNLIKELY: "dim",
    Status.EXCLUDED: "dim",
}
LIKENESSES = str.maketrans("●◕◑◔○→≠·“”–—×’≥≤", '*+~-x>#-""--x\'><')


def render_assessment(assessment: Assessment, console: Console) -> None:
    """Print one assessment in full; readable at 80 columns and without colours."""
    show(Page(assessment).parts(), console, LIKENESSES)


class Page:
    """The report, part by part from top to bottom."""

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.ink = Ink()
        self.treatment = TreatmentPart(assessment, self.ink)

    def parts(self) -> Iterator[RenderableType]:
        a = self.assessment
        yield from self.opening()
        for each in a.types:
            if is_standing(each.status):
                yield from self._reasons(each)
                yield from self._missing(each)
        yield from self._mimics()
        yield from self._diseases()
        yield from self._section("Risk factors of calciphylaxis recorded", [self._risk(each) for each in a.calciphylaxis_risk])
        forms = [self.ink.said(f"{each.label}: {each.description.text}", each.description.citations) for each in a.forms]
        yield from self._section("Clinical form", forms)
        yield from self._workup()
        yield from self.treatment.options()
        yield from self.foot()

    # --- parts of the page

    def opening(self) -> Iterator[RenderableType]:
        """What stands above everything else, in the short answer too."""
        yield from self._head()
        yield from self._at_hand()
        yield from self.treatment.review()
        yield self._table_of_types()

    def _head(self) -> Iterator[RenderableType]:
        """Whose answer it is, the alarms, and the answer."""
        a = self.assessment
        yield Text(f"Patient {clean(a.patient_id)}: {person(a)}; index date: {index_day(a)}", style="bold")
        yield Text(clean(f"In short: {in_short(a)}"))
        if a.alarms:
            yield Panel(
                Group(*self._alarms()),
                title=Text(f"ALARM{'S' if len(a.alarms) > 1 else ''} ({len(a.alarms)})", style="bold red"),
                border_style="red",
                title_align="left",
            )
        else:
            yield Text(NO_ALARM)
        yield from self._answer()

    def _at_hand(self) -> Iterator[RenderableType]:
        """The drugs and the latest results as they were read: what a reader checks before anything else."""
        if self.assessment.on_record is not None:
            yield title("Read from the record")
            for heading, entries in at_hand(self.assessment.on_record):
                yield item(Text.assemble((f"{heading}: ", "bold"), "; ".join(entries)))

    def foot(self) -> Iterator[RenderableType]:
        """What of the record was not used, what is cited above, and whose knowledge it is."""
        a = self.assessment
        yield from self._section("Not used in full", [item(Text(clean(each)), sign="!") for each in a.warnings])
        yield from self._section("Not understood: nothing of it was used", [item(Text(clean(each)), sign="?") for each in a.not_understood])
        yield from self._references()
        yield Text(f"\nKnowledge base {a.knowledge_version}. {a.disclaimer}", style="dim")

    def _alarms(self) -> Iterator[RenderableType]:
        shown: set[str] = set()
        for number, alarm in enumerate(self.assessment.alarms):
            if number:
                yield Text("")
            yield from self._alarm(alarm, shown)

    def _alarm(self, alarm: AlarmOut, shown: set[str]) -> Iterator[RenderableType]:
        urgency = URGENCY_WORD.get(alarm.urgency, alarm.urgency)
        yield self.ink.said(f"{urgency.upper()}: {alarm.label} ({alarm.id})", alarm.citations, style="bold red", sign="")
        yield from self._alarm_facts(alarm, shown)
        for action in alarm.actions:
            yield self.ink.statement(action, sign="→", depth=2)

    def _alarm_facts(self, alarm: AlarmOut, shown: set[str]) -> Iterator[RenderableType]:
        new, again = _told_apart(alarm.facts, shown)
        for each in new:
            yield item(Text(f"on record: {each.line}"), sign="-", depth=2)
        if again:
            yield item(Text(f"on record, see above: {again}"), sign="-", depth=2)

    def _answer(self) -> Iterator[RenderableType]:
        found = headline(self.assessment)
        style = _STYLE[found.status] if found.status else "bold yellow"
        yield Text("")
        yield item(Text(found.line, style=style), sign="Answer:")
        for note in found.notes:
            yield item(Text(note), sign="", depth=10)

    def _table_of_types(self) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="bold", pad_edge=False)
        table.add_column("Type", ratio=3)
        table.add_column("Status", no_wrap=True)
        table.add_column("Decided by", ratio=5)
        for each in self.assessment.types:
            status = Text(f"{STATUS_SIGN[each.status]} {STATUS_WORD[each.status]}", style=_STYLE[each.status])
            table.add_row(Text(each.label), status, Text(clean(decided_by(each))))
        return Padding(table, (1, 0, 0, 0))

    def _reasons(self, each: TypeAssessment | MimicAssessment) -> Iterator[RenderableType]:
        yield title(f"Why {each.label} is {STATUS_WORD[each.status]}")
        shown: set[str] = set()
        for sign, reasons in (("+", each.reasons), ("-", each.against)):
            for reason in reasons:
                yield from self._reason(reason, sign, shown)

    def _reason(self, reason: Reason, sign: str, shown: set[str]) -> Iterator[RenderableType]:
        """A criterion with its facts; an entry already printed under this heading is only named."""
        yield self.ink.said(reason.label if sign == "+" else f"against: {reason.label}", reason.citations, sign=sign)
        new, again = _told_apart(reason.facts, shown)
        for each in new:
            yield item(Text(each.line, style="dim"), sign="", depth=4)
        if again:
            yield item(Text(f"see above: {again}", style="dim"), sign="", depth=4)

    def _missing(self, each: TypeAssessment) -> Iterator[RenderableType]:
        for missing in each.missing[:MISSING_SHOWN]:
            why = "; ".join(
                f"{reason}: {', '.join(few)}{f' and {len(others)} more' if others else ''}" for reason, few, others in unknowns(missing)
            )
            yield item(Text(clean(f"not known: {missing.label} ({why})" if why else f"not known: {missing.label}")), sign="?")
        yield from left_off(len(each.missing) - MISSING_SHOWN, "more criteria that the record cannot answer")

    def _mimics(self) -> Iterator[RenderableType]:
        for each in self.assessment.mimics:
            if is_standing(each.status):
                yield from self._reasons(each)
                for statement in each.tells_apart:
                    yield self.ink.statement(statement, sign="≠")
        yield from self._section("Looked at and set aside", [self._set_aside(each) for each in set_aside(self.assessment.mimics)])

    def _set_aside(self, group: SetAside) -> RenderableType:
        status, names = STATUS_WORD[group.mimics[0].status], "; ".join(each.label for each in group.mimics)
        because = f". {group.reason.label}" if group.reason else ""
        return self.ink.said(f"{status}: {names}{because}", group.reason.citations if group.reason else ())

    def _diseases(self) -> Iterator[RenderableType]:
        if self.assessment.diseases:
            yield title("Connective tissue disease")
        for each in self.assessment.diseases:
            yield from self._disease(each)

    def _disease(self, disease: DiseaseOut) -> Iterator[RenderableType]:
        yield self.ink.said(f"{disease.label}: {disease.status}", disease.citations, sign="+", style="bold")
        for fact in evidence(disease.facts):
            yield item(Text(fact.line, style="dim"), sign="", depth=4)
        for risk in disease.risk_factors:
            yield self._risk(risk)
        for statement in disease.known[:KNOWN_SHOWN]:
            yield self.ink.statement(statement, sign="·")
        yield from left_off(len(disease.known) - KNOWN_SHOWN, "more statements on this disease in the page and the JSON")

    def _risk(self, risk: RiskOut) -> RenderableType:
        weight = f" ({risk.weight})" if risk.weight else ""
        facts = "; ".join(each.line for each in evidence(risk.facts))
        effects = f" [{'; '.join(risk.effects)}]" if risk.effects else ""
        return self.ink.said(f"risk factor{weight}: {risk.label}{effects}{': ' if facts else ''}{facts}", risk.citations, sign="!")

    def _workup(self) -> Iterator[RenderableType]:
        tests = self.assessment.workup
        if not tests:
            return
        yield title("Missing work-up, in the order of what it would change (nothing is ordered)")
        deciding = [test for test in tests if test.would_change]
        for number, test in enumerate(deciding[:TESTS_SHOWN], 1):
            yield from self._test(test, number)
        rest = [*deciding[TESTS_SHOWN:], *(test for test in tests if not test.would_change)]
        for words, on_record in (("also not on record", False), (f"{UNUSABLE} ({UNUSABLE_HOW})", True)):
            if names := [test.label for test in rest if test.on_record is on_record]:
                yield item(Text(f"{words}: {'; '.join(names)}"), sign="·")

    def _test(self, test: TestOut, number: int) -> Iterator[RenderableType]:
        yield self.ink.said(lacking(test), test.citations, sign=f"{number}.", style="bold")
        by_change: dict[str, list[str]] = {}
        for outcome in test.outcomes:
            by_change.setdefault(outcome_change(outcome, self.assessment) or "no status changes", []).append(outcome.result)
        if test.note:
            yield item(Text(clean(test.note), style="bold"), sign="!", depth=5)
        for change, results in by_change.items():
            yield item(Text(clean(f"{' / '.join(results)} → {change}")), sign="", depth=5)

    def _references(self) -> Iterator[RenderableType]:
        found = references(self.ink.cited)
        if not found:
            return
        yield title("References")
        table = grid()
        for each in found:
            table.add_row(Text(f"[{each.key}]"), Text(f"{each.text} {each.url or ''}".strip(), style="dim"))
        yield Padding(table, (0, 0, 0, 2))

    # --- small parts

    def _section(self, heading: str, items: list[RenderableType]) -> Iterator[RenderableType]:
        if items:
            yield title(heading)
            yield from items


def _told_apart(facts: list[FactOut], shown: set[str]) -> tuple[list[Evidence], str]:
    """The entries not printed yet, which from here on count as printed, and the names of those that were."""
    found = evidence(facts)
    new, again = ([each for each in found if (each.line in shown) is before] for before in (False, True))
    shown.update(each.line for each in new)
    return new, "; ".join(each.what for each in again)
