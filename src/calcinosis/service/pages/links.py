"""Addresses of the entries of the knowledge, and criteria whose parts lead to them."""

from __future__ import annotations

import re
from typing import Any, Final

from markupsafe import Markup, escape

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Criterion
from calcinosis.knowledge.wording import Namer, Outline, label_of, outline, setting_value
from calcinosis.report.evidence_summary import study_name

# table -> its name, and what one sentence says of it; the order of the pages
TABLES: Final[dict[str, tuple[str, str]]] = {
    "types": ("Types", "The types of soft-tissue calcification: what they are, what decides, what speaks for and against each."),
    "diseases": ("Diseases", "The connective tissue diseases, and what is known of calcification in each."),
    "alarms": ("Alarms", "Red flags, most urgent first, and what each asks to discuss."),
    "mimics": ("Mimics", "What looks like one of the types and is not, and what tells it apart."),
    "tests": ("Work-up", "Tests, their possible results, and what each result would mean."),
    "treatments": ("Treatments", "What they are, for what they are considered, and what speaks against them in a patient. Never an order."),
    "reviews": ("Current drugs to review", "Drugs to stop or review when they are being taken."),
    "forms": ("Clinical forms", "Clinical patterns of calcification."),
    "findings": ("Findings", "Named criteria: each is true, false or unknown for every patient."),
    "concepts": (
        "Concepts",
        "What a record may hold and the rules ask about: diseases, findings, laboratory tests, drugs, sites; with codes, units, intervals.",
    ),
    "settings": ("Settings", "Numbers on which sources disagree, and engineering choices; the other values are kept."),
    "sources": ("Sources", "Every reference, once."),
}
_OPEN, _MIDDLE, _CLOSE = "\ue000", "\ue001", "\ue002"  # private use: in no text of the knowledge
_LINK: Final = re.compile(f"{_OPEN}([^{_MIDDLE}]*){_MIDDLE}([^{_CLOSE}]*){_CLOSE}")


def href(table: str, key: str) -> str:
    """Where an entry is shown."""
    return f"/knowledge/{table}/{key}"


def title(knowledge: Knowledge, table: str, key: str) -> str:
    """The heading of an entry's page; a source without a title is called by its author and year."""
    source = knowledge.sources.get(key) if table == "sources" else None
    return (source.title or study_name(source)) if source else label(knowledge, table, key)


def label(knowledge: Knowledge, table: str, key: str) -> str:
    """How other entries name it."""
    return key if table == "sources" else label_of(knowledge, table, key)


def criterion_tree(criterion: Criterion, knowledge: Knowledge) -> Outline:
    """The criterion as lines with what stands under each, every entry a link."""
    return _linked(outline(criterion, _names(knowledge)))


def _names(knowledge: Knowledge) -> Namer:
    def name(table: str, key: str) -> str:
        if table == "hypotheses":
            table = "types" if key in knowledge.types else "mimics"
        shown = setting_value(knowledge, key) if table == "settings" else label_of(knowledge, table, key)
        return f"{_OPEN}{href(table, key)}{_MIDDLE}{shown}{_CLOSE}"

    return name


def _linked(part: Outline) -> Outline:
    line, parts = part
    return Markup(_LINK.sub(r'<a href="\1">\2</a>', str(escape(line)))), [_linked(each) for each in parts]


def byline(table: str, record: Any) -> str:
    """What is said of an entry beside its label, in a few words."""
    match table:
        case "types":
            return f"urgency {record.urgency} (1 is the most urgent)"
        case "alarms":
            return f"{record.urgency.replace('_', ' ')}, {record.id}"
        case "reviews":
            return str(record.urgency).replace("_", " ")
        case "treatments":
            return f"{record.kind}{f', {record.drug_class}' if record.drug_class else ''}"
        case "concepts":
            return str(record.kind)
        case "sources":
            return str(record.grade)
    return ""
