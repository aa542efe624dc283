"""The evidence in the terminal: all treatments as a table, or everything about one.

Every flag is a word; colour only repeats it. Readable at 80 columns and without colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from calcinosis.contract import DISCLAIMER
from calcinosis.evidence.cells import Compared, compare_everything, rows_of
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.gravity import VERDICTS
from calcinosis.knowledge.model import Statement
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import SafetyRule, Treatment, Use
from calcinosis.report import evidence_summary as words
from calcinosis.report.evidence_summary import Line
from calcinosis.report.terminal_parts import grid, item, show, title

WIDE = 110  # columns from which the pooled proportion has a column of its own
_STANCE_STYLE = {"standard": "bold green", "option": "cyan", "trial_only": "magenta", "no_data": "dim", "against": "bold red"}
_COMPARED = "Against a control group (below 1: fewer under the treatment)"
_DIRECTIONS = ("benefit", "mixed", "no_benefit", "harm")
_LIKENESSES = str.maketrans("·–—×≥≤≠∞“”’", '---x><#~""\'')


def print_overview(
    lines: Sequence[Line], knowledge: Knowledge, console: Console, type_: str | None = None, disease: str | None = None
) -> None:
    """One table per type, or that nothing names the type and disease asked for."""
    nothing = [Text(words.nothing_found(knowledge, type_, disease))]
    show(_overview(lines, knowledge, wide=console.width >= WIDE) if lines else nothing, console, _LIKENESSES)


def print_treatment(
    treatment: Treatment, knowledge: Knowledge, console: Console, type_: str | None = None, disease: str | None = None
) -> None:
    """Everything about one treatment, or what concerns one type or disease."""
    show(_Page(treatment, knowledge, type_, disease).parts(), console, _LIKENESSES)


# --- all treatments --------------------------------------------------------------------------------


def _overview(lines: Sequence[Line], knowledge: Knowledge, *, wide: bool) -> Iterator[RenderableType]:
    for type_, found in words.by_type(lines).items():
        studied = sum(line.evidence.studies > 0 for line in found)
        yield Text(f"\n{knowledge.types[type_].label}: {len(found)} treatments, {studied} with patients studied", style="bold underline")
        yield _wide(found) if wide else _narrow(found)
        pooled = [(line, cell) for line in found for cell in line.pooled]
        if pooled and not wide:
            yield Text("Pooled proportions (95 % interval)", style="bold")
            yield from (item(Text.assemble((line.treatment.label, "bold"), f", {words.pooled_in_words(cell)}")) for line, cell in pooled)
    yield from _legend(knowledge, wide=wide, mixed=any(line.evidence.mixed for line in lines))


def _wide(lines: Sequence[Line]) -> Table:
    table = _table(("Treatment", 5), ("Stance", 0), ("Studies", -1), ("single", -1), ("Patients", -1), ("Level", -1))
    for heading in ("Benefit", "Mixed", "No benefit", "Harm"):
        table.add_column(heading, justify="right")
    table.add_column("Pooled proportion (95 % interval)", ratio=6)
    for line in lines:
        e = line.evidence
        numbers = [str(e.studies or "–"), str(e.single_cases or "–"), line.patients, str(e.level or "–")]
        directions = [str(e.directions.get(each) or "–") for each in _DIRECTIONS]
        pooled = Text("\n").join(Text(words.pooled_in_words(cell)) for cell in line.pooled)
        table.add_row(*_name_and_stance(line), *(Text(each) for each in (*numbers, *directions)), pooled)
    return table


def _narrow(lines: Sequence[Line]) -> Table:
    table = _table(("Treatment", 1), ("Stance", 0), ("Studies", -1), ("Patients", -1), ("Level", -1), ("B/M/N/H", -1))
    for line in lines:
        e = line.evidence
        studies = f"{e.studies} ({e.single_cases})" if e.single_cases else str(e.studies or "–")
        directions = "/".join(str(e.directions.get(each, 0)) for each in _DIRECTIONS) if e.directions else "–"
        table.add_row(*_name_and_stance(line), *(Text(each) for each in (studies, line.patients, str(e.level or "–"), directions)))
    return table


def _table(*columns: tuple[str, int]) -> Table:
    """Heading and share of the width; 0 is never broken, -1 is a number."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    for heading, share in columns:
        table.add_column(heading, ratio=share if share > 0 else None, no_wrap=share <= 0, justify="right" if share < 0 else "left")
    return table


def _name_and_stance(line: Line) -> tuple[Text, Text]:
    flags = [Text(flag, style="bold red" if flag == "evidence against" else "yellow") for flag in line.flags if flag != line.stance]
    name = Text("\n").join([Text(line.treatment.label, style="bold"), *flags])
    return name, Text(line.stance, style=_STANCE_STYLE[line.stances[0]] if line.stances else "dim")


def _legend(knowledge: Knowledge, *, wide: bool, mixed: bool) -> Iterator[RenderableType]:
    yield Text("")
    single = "“single”" if wide else "in brackets"
    found = "Benefit to harm" if wide else "B/M/N/H: benefit, mixed, no benefit, harm"
    for said in (
        f"Studies: with patients of their own; {single}: reports of one patient. "
        f"Patients: followed under the treatment, of all in the studies.{f' {words.MIXED_MEANS}' if mixed else ''}",
        f"Level: the best, OCEBM 2011 (1 to 5). {found}: studies by what they found.",
        words.POOLING,
        "Stances: " + "; ".join(f"{words.STANCE_WORD[key]}: {text}" for key, text in words.STANCE_MEANS.items()) + ".",
        "One treatment in full: calcinosis evidence NAME.",
    ):
        yield Text(said, style="dim")
    yield from _footer(knowledge)


def _footer(knowledge: Knowledge) -> Iterator[RenderableType]:
    yield Text(f"\nKnowledge base {knowledge.version}. {DISCLAIMER}", style="dim")


# --- one treatment ---------------------------------------------------------------------------------


class _Page:
    def __init__(self, treatment: Treatment, knowledge: Knowledge, type_: str | None, disease: str | None) -> None:
        self.treatment, self.knowledge = treatment, knowledge
        self.uses = words.uses_of(treatment, type_, disease)
        self.lines = words.overview(knowledge, treatment.key, type_, disease)
        self.rows = rows_of(knowledge, treatment.key, type_, disease)
        self.compared = words.comparisons_of(compare_everything(knowledge, treatment.key), treatment.key, type_, self.rows)

    def parts(self) -> Iterator[RenderableType]:
        t = self.treatment
        about = "; ".join(part for part in (words.KIND_WORD.get(t.kind, t.kind), t.drug_class) if part)
        yield Text.assemble((t.label, "bold"), f"  ({about})", (f"; also called {', '.join(t.names)}" if t.names else "", "dim"))
        yield self.said(t.what)
        yield from self.section("Used for", (self.use(each) for each in self.uses))
        yield from self.section("How it may work", (item(self.said(each)) for each in t.mechanism))
        yield from self.numbers()
        yield from self.section("Pooled proportions", self.pooled())
        yield from self.section(_COMPARED, (self.comparison(each) for each in self.compared))
        yield from self.studies()
        yield from self.section("Contradictions and weaknesses", (item(self.said(each)) for each in t.evidence_notes))
        yield from self.section("Doses as studied or labelled; never advice", (item(self.said(each)) for each in t.dosing))
        yield from self.section("What is watched", (item(self.said(each)) for each in t.monitoring))
        yield from self.section("Safety in short (checked in a patient by `calcinosis assess`)", self.safety())
        yield from self.section("References", [self.references()])
        yield from _footer(self.knowledge)

    def use(self, use: Use) -> RenderableType:
        types = ", ".join(self.knowledge.types[key].label for key in use.types)
        diseases = f" in {words.disease_labels(self.knowledge, use.diseases)}" if use.diseases else ""
        title = (f"{words.STANCE_WORD[use.stance]}: ", _STANCE_STYLE[use.stance]), (f"{types}{diseases}", "bold")
        return item(Text.assemble(*title, f" ({use.role.replace('_', ' ')}). ", self.said(use.statement)))

    def numbers(self) -> Iterator[RenderableType]:
        if not self.lines:
            return
        yield title("The evidence in numbers")
        for line in self.lines:
            e = line.evidence
            found = ", ".join(f"{n} {words.DIRECTION_WORD[each]}" for each in words.DIRECTION_WORD if (n := e.directions.get(each)))
            single = f" ({e.single_cases} of them single cases)" if e.single_cases else ""
            followed = f", {line.patients} patients followed" if e.studies and line.patients != words.MIXED else ""
            followed += f", {e.mixed} of several diseases, whose patients are not counted here" if e.mixed else ""
            flags = "".join(f"; {flag}" for flag in line.flags)
            level = f"; best level {e.level}" if e.level else ""
            said = f": {e.studies} studies{single}{followed}{level}{f'; {found}' if found else ''}{flags}"
            yield item(Text.assemble((self.knowledge.types[line.type].label, "bold"), said.replace(": 1 studies", ": 1 study")))

    def pooled(self) -> Iterator[RenderableType]:
        for line in self.lines:
            for cell in line.evidence.pooled:
                who = self.knowledge.diseases[cell.disease].label if cell.disease else "all diseases"
                more = words.heterogeneity(cell)
                head = (f"{self.knowledge.types[line.type].label}, {who}: ", "bold")
                yield item(Text.assemble(head, words.pooled_in_words(cell), (f". {more[0].upper()}{more[1:]}" if more else "", "dim")))
        if any(line.evidence.pooled for line in self.lines):
            yield item(Text(words.POOLING, style="dim"), sign="")

    def comparison(self, each: Compared) -> RenderableType:
        c = each.comparison
        counts = f"{c.treated_events} of {c.treated_n} against {c.control_events} of {c.control_n}"
        ratios = "; ".join(
            f"{name} {words.ratio(found.estimate)} ({words.ratio(found.low)} to {words.ratio(found.high)})"
            for name, found in (("RR", c.risk_ratio), ("OR", c.odds_ratio))
        )
        head = f"{words.compared_label(each, self.knowledge)}, {words.outcome(each.outcome)} ({words.what_is_counted(each.outcome)}): "
        return item(Text.assemble((head, "bold"), f"{counts}; {ratios}", (f" [{', '.join(each.rows)}]", "dim")))

    def studies(self) -> Iterator[RenderableType]:
        for type_, rows in words.studies_by_type(self.rows, self.knowledge).items():
            yield title(
                f"Studies, {words.type_label(self.knowledge, type_).lower()} ({'1 row' if len(rows) == 1 else f'{len(rows)} rows'})"
            )
            for row in rows:
                yield from self.study(row)

    def study(self, row: Study) -> Iterator[RenderableType]:
        source = self.knowledge.sources[row.study]
        level = f"level {row.level}" if row.level else row.level_note or "no level"
        arm = ", control group" if row.arm == "comparator" else ""
        others = [self.knowledge.treatments[key].label for key in row.treatments if key != self.treatment.key]
        head = (words.study_name(source), "bold"), f": {words.design(row)}{arm}, {level}, {words.size(row)}: {row.population}"
        yield item(Text.assemble(*head, (f" [{row.study}]", "dim")))
        style = {"benefit": "green", "harm": "bold red"}.get(row.direction, "")
        result = "; ".join(part for part in (words.counts_in_words(row), words.effect_in_words(row)) if part)
        defined = f" ({row.response_definition})" if row.response_definition else ""
        yield item(Text.assemble(f"{result}{defined}: ", (words.DIRECTION_WORD[row.direction], style)), sign="", depth=4)
        more = [
            f"together with {', '.join(others)}" if others else "",
            words.given(row),
            f"harms: {row.harms}" if row.harms else "",
            row.note or "",
            f"seen: {words.SEEN_WORD[row.seen]}",
            words.pooling_in_words(row),
        ]
        yield item(Text("; ".join(part for part in more if part), style="dim"), sign="", depth=4)

    def safety(self) -> Iterator[RenderableType]:
        rules = sorted(self.treatment.safety, key=lambda rule: VERDICTS.index(rule.verdict))
        yield from (item(self.rule(rule)) for rule in rules)

    def rule(self, rule: SafetyRule) -> Text:
        style = {"contraindicated": "bold red", "caution": "yellow"}.get(rule.verdict, "")
        how = " (no record can answer this)" if rule.not_checkable else ""
        return Text.assemble((f"{rule.verdict}: ", style), rule.label, f"{how}. {rule.why}", (f" [{', '.join(rule.sources)}]", "dim"))

    def references(self) -> RenderableType:
        table = grid()
        for key, text, url in words.references(self.knowledge, self.rows, [self.treatment]):
            found = words.identifiers(self.knowledge.sources[key])
            table.add_row(
                Text(f"[{key}]"), Text(". ".join(part for part in (text if text != key else "", found, url) if part), style="dim")
            )
        return Padding(table, (0, 0, 0, 2))

    def said(self, statement: Statement) -> Text:
        mark = "" if statement.verified else " (not verified)"
        return Text.assemble(statement.text, mark, (f" [{', '.join(statement.sources)}]", "dim"))

    def section(self, heading: str, items: Iterable[RenderableType]) -> Iterator[RenderableType]:
        listed = list(items)
        if listed:
            yield title(heading)
            yield from listed
