"""The reference pages: every entry of the knowledge base in readable words, generated so that they cannot fall behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from calcinosis.knowledge.criteria import Criterion
from calcinosis.knowledge.loader import Knowledge
from calcinosis.knowledge.model import (
    Alarm,
    CalcificationType,
    ClinicalForm,
    Code,
    Concept,
    Disease,
    Finding,
    Hypothesis,
    Mimic,
    RiskFactor,
    Setting,
    Source,
    Statement,
    Test,
)
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import CurrentDrugReview, SafetyRule, Treatment, Use
from calcinosis.knowledge.usage import usage_of
from calcinosis.knowledge.wording import Outline, citation, interval_in_words, label_of, outline, places_of, setting_value

# table of Knowledge -> (page, prefix of its anchors: two tables of one page may share keys)
PAGES = {
    "types": ("types", ""), "forms": ("types", "form_"), "diseases": ("diseases", ""), "mimics": ("mimics", ""), "alarms": ("alarms", ""),
    "tests": ("workup", ""), "concepts": ("concepts", ""), "findings": ("findings", ""), "settings": ("settings", ""),
    "treatments": ("treatments", ""), "reviews": ("treatments", "review_"), "study_rows": ("studies", ""), "sources": ("sources", ""),
}  # fmt: skip
_INTRODUCTIONS = {
    "types": "The five types of soft-tissue calcification and the clinical forms. "
    "The first status rule that is true sets the status; a rule that is unknown never fires.",
    "diseases": "The connective tissue diseases: when one counts as established or suspected, and what is known of calcification in it.",
    "mimics": "What looks like one of the five types and is not. Rules are read as on the page of the types.",
    "alarms": "Red flags. A measurement that an alarm names itself is the latest one; inside a finding it is the one at the index date. "
    "Each action is something to discuss or consider.",
    "workup": "Tests, their possible results, and what each result would mean. A test is offered while every fact it would add is unknown.",
    "concepts": "Everything the rules can ask about. Whatever shows a concept shows its parents too; a denied parent denies the concept. "
    "In synonyms a trailing `*` matches any ending; the words of a pattern may stand in any order within one clause.",
    "findings": "Named criteria: each is true, false or unknown for every patient.",
    "settings": "Numbers on which sources disagree, and engineering choices. The other values are kept.",
    "treatments": "Treatment strategies: what they are, for what they are considered, what speaks against them in a patient, and what to "
    "review when a drug is already being taken. Doses are as studied or labelled; nothing here is an order. "
    "How the evidence is made and read: [Evidence](../evidence.md).",
    "studies": "Every row of the evidence: one study, treatment, group and outcome. An empty field was not seen; it is never zero. "
    "How rows are made, pooled and corrected: [Evidence](../evidence.md).",
    "sources": "Every reference, once. A low grade source is shown where it is cited and drives no rule.",
}
_TITLES = {
    "types": "Types and forms", "diseases": "Diseases", "mimics": "Mimics", "alarms": "Alarms", "workup": "Work-up", "concepts": "Concepts",
    "findings": "Findings", "settings": "Settings", "treatments": "Treatments", "studies": "Studies", "sources": "Sources",
}  # fmt: skip
_GENERATED = "<!-- Written by `make docs`: edit the knowledge, not this page. -->"
_READING = (
    "How to read a criterion: *on record* is false where the record is silent; *not on record* is true where it is silent; "
    "*shown not to hold* needs the record to say so. Everything else stays unknown where the record is silent."
)


def reference_pages(knowledge: Knowledge) -> dict[str, str]:
    """File name -> Markdown, for ``docs/reference``."""
    return _Reference(knowledge).pages()


class _Reference:
    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.usage = usage_of(knowledge, PAGES)

    def pages(self) -> dict[str, str]:
        writers: dict[str, Callable[[Any], Iterator[str]]] = {
            "types": self.hypothesis, "forms": self.form, "diseases": self.disease, "mimics": self.hypothesis, "alarms": self.alarm,
            "tests": self.test, "concepts": self.concept, "findings": self.finding, "settings": self.setting, "sources": self.source,
            "treatments": self.treatment, "reviews": self.review, "study_rows": self.study,
        }  # fmt: skip
        lines: dict[str, list[str]] = {}
        for table, (page, prefix) in PAGES.items():
            body = lines.setdefault(page, self.head(page))
            for key, record in self.in_order(table):
                body += ["", f'<a id="{prefix}{key}"></a>', "", f"## {_safe(getattr(record, 'label', None) or key)}", ""]
                body += [self.byline(record), "", *writers[table](record)]
        return {f"{page}.md": re.sub(r"\n{3,}", "\n\n", "\n".join(body)).rstrip() + "\n" for page, body in lines.items()}

    def head(self, page: str) -> list[str]:
        lines = [f"# {_TITLES[page]}", "", _GENERATED, "", _INTRODUCTIONS[page]]
        if page not in ("sources", "settings", "concepts", "studies"):
            lines += ["", _READING]
        if page == "concepts":
            kinds = dict.fromkeys(concept.kind for _, concept in self.in_order("concepts"))
            first = {kind: next(key for key, c in self.in_order("concepts") if c.kind == kind) for kind in kinds}
            lines += ["", "Kinds: " + ", ".join(f"[{kind}](#{first[kind]})" for kind in kinds) + "."]
        return lines

    def in_order(self, table: str) -> list[tuple[str, Any]]:
        items = list(getattr(self.knowledge, table).items())
        if table == "concepts":
            return sorted(items, key=lambda item: (item[1].kind, item[0]))
        return sorted(items) if table == "sources" else items

    def byline(self, record: Any) -> str:
        file = self.knowledge.origins[type(record).__name__, record.key].file
        about = (
            f"{record.kind}; " if isinstance(record, Concept)
            else f"urgency {record.urgency}; " if isinstance(record, CalcificationType)
            else f"{record.id}; {record.urgency.replace('_', ' ')}; " if isinstance(record, Alarm)
            else "clinical form; " if isinstance(record, ClinicalForm)
            else f"{record.kind}; {f'{record.drug_class}; ' if record.drug_class else ''}" if isinstance(record, Treatment)
            else f"review of a current drug; {record.urgency.replace('_', ' ')}; " if isinstance(record, CurrentDrugReview)
            else ""
        )  # fmt: skip
        return f"`{record.key}`; {about}`{file}`"

    # --- links

    def link(self, table: str, key: str) -> str:
        page, prefix = PAGES[table]
        label = key if table in ("sources", "study_rows") else label_of(self.knowledge, table, key)
        return f"[{_safe(label)}]({page}.md#{prefix}{key})"

    def name(self, table: str, key: str) -> str:
        if table == "hypotheses":
            table = "types" if key in self.knowledge.types else "mimics"
        if table == "settings":
            return f"[{setting_value(self.knowledge, key)}](settings.md#{key})"
        return self.link(table, key)

    def cite(self, keys: Iterable[str]) -> str:
        return "(" + ", ".join(self.link("sources", key) for key in keys) + ")"

    # --- parts of an entry

    def criterion(self, criterion: Criterion, depth: int = 0) -> Iterator[str]:
        yield from _bullets(outline(criterion, self.name), depth)

    def said(self, statement: Statement) -> str:
        mark = "" if getattr(statement, "verified", True) else " *Not verified; drives no rule.*"
        return f"{_safe(statement.text)} {self.cite(statement.sources)}{mark}"

    def statements(self, title: str, statements: Iterable[Any]) -> Iterator[str]:
        listed = list(statements)
        if listed:
            yield from (f"**{title}**", "", *(f"- {self.said(each)}" for each in listed), "")

    def criteria(self, title: str, items: Iterable[Any]) -> Iterator[str]:
        """Labelled criteria: status rules, supports, points against, subtypes."""
        listed = list(items)
        if not listed:
            return
        yield from (f"**{title}**", "")
        for item in listed:
            status = getattr(item, "status", None)
            yield f"- {f'**{status.value}**: ' if status else ''}{_safe(item.label)} {self.cite(item.sources)}"
            yield from self.criterion(item.when, 1)
        yield ""

    def risk_factors(self, factors: tuple[RiskFactor, ...]) -> Iterator[str]:
        if not factors:
            return
        yield from ("**Risk factors**", "")
        for factor in factors:
            yield f"- {_safe(factor.label)}{f' ({factor.weight})' if factor.weight else ''} {self.cite(factor.sources)}"
            for effect in factor.effects:
                limits = f" ({effect.low:g} to {effect.high:g})" if effect.low is not None and effect.high is not None else ""
                value = f" {effect.value:g}" if effect.value is not None else ""
                note = f" {_safe(effect.note)}" if effect.note else ""
                yield f"  - {_safe(effect.measure)}{value}{limits}; {_safe(effect.population)} {self.cite(effect.sources)}{note}"
            if factor.when is None:
                yield "  - not evaluated, shown as knowledge"
            else:
                yield from self.criterion(factor.when, 1)
            if factor.note:
                yield f"  - {_safe(factor.note)}"
        yield ""

    def notes(self, record: Any) -> Iterator[str]:
        if getattr(record, "note", None):
            yield from (f"Note: {_safe(record.note)}", "")

    # --- one entry per kind

    def hypothesis(self, each: Hypothesis) -> Iterator[str]:
        yield from (self.said(each.definition), "")
        if isinstance(each, Mimic):
            if each.mimics_type:
                yield from ("Most often mistaken for: " + ", ".join(self.link("types", key) for key in each.mimics_type) + ".", "")
            yield from self.statements("What tells it apart", each.tells_apart)
        if isinstance(each, CalcificationType) and each.more_urgent:
            yield from (f"**Urgency {each.more_urgent.urgency} when**", "", *self.criterion(each.more_urgent.when), "")
        yield from self.statements("Facts", each.facts)
        yield from self.criteria("Status rules, in order", each.rules)
        yield from self.criteria("Speaks for it", each.supports)
        yield from self.criteria("Speaks against it", each.against)
        yield from self.criteria("Subtypes, the first that is true", each.subtypes)
        if isinstance(each, CalcificationType):
            yield from self.risk_factors(each.risk_factors)

    def form(self, form: ClinicalForm) -> Iterator[str]:
        yield from (self.said(form.description), "")
        if form.when is not None:
            yield from ("**Recognised when**", "", *self.criterion(form.when), "")

    def disease(self, disease: Disease) -> Iterator[str]:
        yield from (f"**Established when** {self.cite(disease.sources)}", "", *self.criterion(disease.established), "")
        if disease.suspected is not None:
            yield from (f"**Suspected when** {self.cite(disease.suspected_sources)}", "", *self.criterion(disease.suspected), "")
        if disease.more_specific_than:
            yield from ("Shown instead of: " + ", ".join(self.link("diseases", key) for key in disease.more_specific_than) + ".", "")
        if disease.prevalence:
            lines = (f"- {_safe(each.text)}; {_safe(each.population)} {self.cite(each.sources)}" for each in disease.prevalence)
            yield from ("**Calcification: how often**", "", *lines, "")
        for field in ("onset", "sites", "antibodies", "complications", "facts"):
            yield from self.statements(field.capitalize(), getattr(disease, field))
        yield from self.risk_factors(disease.risk_factors)

    def alarm(self, alarm: Alarm) -> Iterator[str]:
        yield from (f"**Raised when** {self.cite(alarm.sources)}", "", *self.criterion(alarm.when), "")
        yield from self.statements("Actions to discuss", alarm.actions)

    def test(self, test: Test) -> Iterator[str]:
        yield from (f"Sources: {self.cite(test.sources)}", "")
        if test.when is not None:
            asked = "true, also where no lesion is on record" if test.without_lesion else "true or unknown"
            yield from (f"**Asked for while this is {asked}**", "", *self.criterion(test.when), "")
        if test.first:
            yield from ("Named before the other tests.", "")
        yield from ("**Possible results**", "")
        for outcome in test.outcomes:
            adds = [f"{self.link('concepts', key)} {flag}" for key, flag in outcome.labs.items()]
            adds += [f"{self.link('concepts', key)} {'present' if present else 'absent'}" for key, present in outcome.concepts.items()]
            yield f"- **{_safe(outcome.label)}**: {_safe(outcome.meaning)} {self.cite(outcome.sources)}"
            yield f"  - adds: {', '.join(adds) or 'nothing that a rule reads'}"
        yield ""
        yield from self.notes(test)

    def finding(self, finding: Finding) -> Iterator[str]:
        yield from (f"**True when** {self.cite(finding.sources)}", "", *self.criterion(finding.when), "")
        yield from self.used("findings", finding.key)
        yield from self.notes(finding)

    def used(self, table: str, key: str) -> Iterator[str]:
        users = self.usage.read_by.get((table, key))
        if users:
            yield from (f"Read by: {', '.join(self.link(*each) for each in users)}.", "")

    def concept(self, concept: Concept) -> Iterator[str]:
        yield from self.used("concepts", concept.key)
        lines = []
        for title, keys in (("Shows also", concept.parents), ("Shown by", self.usage.children.get(concept.key, ()))):
            if keys:
                lines.append(f"- {title}: {', '.join(self.link('concepts', key) for key in keys)}")
        for title, words in (("Synonyms", concept.synonyms), ("Names read alone", concept.alone), ("Patterns", concept.patterns)):
            if words:
                lines.append(f"- {title}: {', '.join(f'`{word}`' for word in words)}")
        if concept.contexts:
            lines.append(f"- Read only in: {', '.join(concept.contexts)}")
        if concept.lab is not None and concept.lab.unit:
            mass = f"; molar mass {concept.lab.molar_mass:g} g/mol" if concept.lab.molar_mass else ""
            lines.append(f"- Unit: `{concept.lab.unit}`{mass}" + (f"; valence {concept.lab.valence}" if concept.lab.valence else ""))
        if concept.lab is not None and concept.lab.stands_for:
            lines.append(f"- Said of all, said of each: {', '.join(self.link('concepts', key) for key in concept.lab.stands_for)}")
        for each in concept.lab.intervals if concept.lab else ():
            lines.append(f"- Interval: {interval_in_words(each)} {self.cite(each.sources)}")
        if concept.key in self.usage.codes:
            lines.append("- Codes: " + ", ".join(_code(code) for code in self.usage.codes[concept.key]))
        if concept.sources:
            lines.append(f"- Sources: {self.cite(concept.sources)}")
        yield from (*lines, *([""] if lines else []))
        yield from self.notes(concept)

    def setting(self, setting: Setting) -> Iterator[str]:
        yield from (f"Value: **{setting_value(self.knowledge, setting.key)}**" + (f" `{setting.unit}`" if setting.unit else ""), "")
        if setting.alternatives:
            yield from (f"Other values: {_safe(setting.alternatives)}", "")
        if setting.sources:
            yield from (f"Sources: {self.cite(setting.sources)}", "")
        yield from self.used("settings", setting.key)

    def treatment(self, treatment: Treatment) -> Iterator[str]:
        yield from (self.said(treatment.what), "")
        if treatment.names:
            yield from (f"Also called: {', '.join(treatment.names)}.", "")
        if treatment.concepts:
            yield from ("Shown by: " + ", ".join(self.link("concepts", key) for key in treatment.concepts) + ".", "")
        yield from ("**Considered for**", "")
        for use in treatment.uses:
            yield from self.use(use)
        yield ""
        for title, field in (
            ("How it may work", "mechanism"), ("Contradictions and weaknesses of the evidence", "evidence_notes"),
            ("Doses as studied or labelled; never advice", "dosing"), ("What is watched", "monitoring"),
        ):  # fmt: skip
            yield from self.statements(title, getattr(treatment, field))
        rows = [self.link("study_rows", row.row) for row in self.knowledge.studies if treatment.key in row.treatments]
        yield from (f"**Studies** ({len(rows)} rows): {', '.join(rows)}." if rows else "No row of the evidence names it.", "")
        if treatment.safety:
            yield from ("**Safety**", "")
            for rule in treatment.safety:
                yield from self.safety_rule(treatment, rule)
            yield ""

    def use(self, use: Use) -> Iterator[str]:
        types = ", ".join(self.link("types", key) for key in use.types)
        diseases = ", ".join(self.link("diseases", key) for key in use.diseases)
        where = f"{types} in {diseases}" if diseases else types
        yield f"- **{use.stance.replace('_', ' ')}**, {use.role.replace('_', ' ')}: {where}. {self.said(use.statement)}"
        if use.when is not None:
            yield from ("  - offered unless this is false", *self.criterion(use.when, 2))
        for each in use.favours:
            yield from (f"  - speaks for it: {_safe(each.label)} {self.cite(each.sources)}", *self.criterion(each.when, 2))

    def safety_rule(self, treatment: Treatment, rule: SafetyRule) -> Iterator[str]:
        anchor = f'<a id="{treatment.key}__{rule.key}"></a>'
        kind = "" if rule.kind == rule.verdict else f", {rule.kind.replace('_', ' ')}"
        yield f"- {anchor}**{rule.verdict}**{kind}: {_safe(rule.label)}. {_safe(rule.why)} {self.cite(rule.sources)}"
        if rule.advice:
            yield f"  - {_safe(rule.advice)}"
        if rule.not_checkable is not None:
            yield f"  - cannot be checked: {_safe(rule.not_checkable)}"
        elif rule.when is None:
            yield "  - holds for everybody who has it"
        else:
            yield from self.criterion(rule.when, 1)

    def review(self, review: CurrentDrugReview) -> Iterator[str]:
        yield from (f"{_safe(review.text)} {self.cite(review.sources)}", "")
        yield from ("Any of these being taken: " + ", ".join(self.link("concepts", key) for key in review.concepts) + ".", "")
        yield from ("**And when**", "", *self.criterion(review.when), "")
        if review.covers:
            links = dict.fromkeys(self.link("treatments", name.split("/")[0]) for name in review.covers)
            yield from (f"Says also what a safety rule says of: {', '.join(links)}.", "")

    def study(self, row: Study) -> Iterator[str]:
        treatments = ", ".join(self.link("treatments", key) for key in row.treatments)
        yield f"- {treatments}; {self.cite(row.sources)}"
        skipped = {"row", "study", "treatments", "diseases", "calcification_type", "comparator_row", "pool"}
        if row.calcification_type:
            yield f"- Type: {self.link('types', row.calcification_type)}"
        if row.diseases:
            yield "- Diseases: " + ", ".join(self.link("diseases", key) for key in row.diseases)
        if row.comparator_row:
            yield f"- Control group: {self.link('study_rows', row.comparator_row)}"
        given = [(name, getattr(row, name)) for name in Study.model_fields if name not in skipped]
        said = (f"{name.replace('_', ' ')}: {_safe(str(value).replace('_', ' '))}" for name, value in given if value is not None)
        yield "- " + "; ".join(said)
        yield f"- {'May be pooled' if row.pool else 'Not pooled'}"
        yield ""

    def source(self, source: Source) -> Iterator[str]:
        text, _ = citation(source)
        yield from (*([_safe(text), ""] if text != source.key else []), f"- Grade: {source.grade}")
        yield "- Read at: " + ", ".join(f"[{name} {value}](<{url}>)" for name, value, url in places_of(source))
        users = self.usage.cited_by.get(source.key, ())
        yield f"- Cited by: {', '.join(self.link(*each) for each in users) or 'nothing yet'}"
        if source.note:
            yield f"- Note: {_safe(source.note)}"
        yield ""


def _bullets(part: Outline, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}- {part[0]}"
    for each in part[1]:
        yield from _bullets(each, depth + 1)


def _code(code: Code) -> str:
    return f"{code.system} `{code.code}`" + ("" if code.relation == "exact" else f" ({code.relation})")


def _safe(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return " ".join(text.replace("<", "&lt;").replace("*", "\\*").split())
