"""Treatment options in words, the same for the terminal, the page and FHIR: order, evidence, verdicts, and what nobody could check.

Nothing here says that an option is safe. A rule that could not be checked is counted beside those that hold, contraindications first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from calcinosis.contract import Assessment, EvidenceOut, OptionOut, PooledOut, Reason, SafetyOut, Statement, UncheckedOut
from calcinosis.report.wording import clean, join

STANCE_WORD: Final = {
    "standard": "standard of care",
    "option": "option",
    "trial_only": "in trials only, not licensed",
    "no_data": "named, without data to judge it here",
    "against": "evidence against it",
}
VERDICT_WORD: Final = {"contraindicated": "contraindicated", "caution": "caution", "monitor": "needs monitoring", "note": "note"}
ROLE_WORD: Final = {
    "deposit": "against the deposits",
    "inflammation": "against inflammation",
    "disease_control": "control of the disease",
    "local": "local treatment",
    "trigger_removal": "removal of a trigger",
    "supportive": "supportive care",
    "mineral_metabolism": "mineral metabolism",
    "prevention": "prevention",
}
DIRECTION_WORD: Final = {"benefit": "benefit", "mixed": "mixed", "no_benefit": "no benefit", "harm": "harm"}
OUTCOME_WORD: Final = {
    "calcification": "less calcification",
    "pain": "less pain",
    "inflammation": "less inflammation",
    "ulcer_healing": "ulcers healed or better",
    "disease_activity": "disease less active",
    "mortality": "died",
    "recurrence": "recurrence",
    "progression": "progression",
    "prevention": "new cases in spite of prevention",
}
NOTHING_PRESCRIBED: Final = (
    "Nothing is prescribed here. Listed is what was studied, and what speaks for and against it in this record. Equal numbers are ties. "
    "What the record does not say is unknown, never safe."
)
NO_REVIEW: Final = "No treatment recorded as current calls for review; that is not an all-clear."
REVIEW_UNKNOWN: Final = "Not checked, because the record does not say whether the patient has it"

_EFFECT: Final = {
    "benefit": "benefit reported",
    "mixed": "mixed results",
    "no_benefit": "no benefit reported",
    "harm": "harm reported",
    "not_seen": "no results seen",
}
_GRAVITIES: Final = (
    ("contraindicated", "contraindication", None), ("caution", "caution", None), ("monitor", "rule on monitoring", "rules on monitoring"),
    ("note", "note", None), ("other", "other rule", None),
)  # fmt: skip
_NAMED: Final = frozenset(verdict for verdict, _, _ in _GRAVITIES)


# --- how the options are arranged


@dataclass(frozen=True, slots=True)
class OptionList:
    """The options of one type, in the order of their places."""

    type: str
    label: str
    bundle: tuple[OptionOut, ...]  # part of care that sources agree on
    options: tuple[OptionOut, ...]
    last: tuple[OptionOut, ...]  # contraindicated here, or with evidence against it

    @property
    def count(self) -> int:
        return len(self.bundle) + len(self.options) + len(self.last)

    @property
    def all(self) -> tuple[OptionOut, ...]:
        return self.bundle + self.options + self.last


def option_lists(assessment: Assessment) -> list[OptionList]:
    """The options type by type, in the order given."""
    labels = {each.type: each.label for each in assessment.types}
    found = []
    for type_ in dict.fromkeys(option.type for option in assessment.options):
        options = [option for option in assessment.options if option.type == type_]
        standing = [option for option in options if not comes_last(option)]
        found.append(
            OptionList(
                type=type_,
                label=labels.get(type_, type_),
                bundle=tuple(option for option in standing if option.stance == "standard"),
                options=tuple(option for option in standing if option.stance != "standard"),
                last=tuple(option for option in options if comes_last(option)),
            )
        )
    return found


def comes_last(option: OptionOut) -> bool:
    """Whether an option stands under a heading of its own, behind the others."""
    return option.order.contraindicated or option.stance == "against"


def disease_names(assessment: Assessment) -> dict[str, str]:
    """This patient's diseases, key to label."""
    return {each.disease: clean(each.label) for each in assessment.diseases}


# --- order and evidence


def order_words(option: OptionOut) -> str:
    """Why the option stands where it stands, the fields of the order from first to last; no caution is never said to be safe."""
    order = option.order
    parts = ["contraindicated here"] if order.contraindicated else []
    parts += [STANCE_WORD[order.stance], *_applies(option), _level(order.level), _effect(option)]
    if order.cautions:
        parts.append(counted(order.cautions, "caution"))
    return "; ".join(parts)


def _applies(option: OptionOut) -> list[str]:
    studied = [use.studied_here for use in option.uses]
    where = (
        "studied in this disease"
        if True in studied
        else "not tied to one disease"
        if None in studied
        else "not studied in a disease on record here"
    )
    if option.speaks_for:
        return [f"{where} and something speaks for it here"] if True in studied else [where, "something speaks for it here"]
    return [where, "nothing on record speaks for it"]


def speaks_for(option: OptionOut) -> list[Reason]:
    """What speaks for it, each point once: two uses of a treatment often name the same one."""
    merged: dict[str, Reason] = {}
    for reason in option.speaks_for:
        known = merged.get(reason.label)
        if known is None:
            merged[reason.label] = reason
            continue
        facts = [*known.facts, *(each for each in reason.facts if each not in known.facts)]
        citations = [*known.citations, *(each for each in reason.citations if each not in known.citations)]
        merged[reason.label] = known.model_copy(update={"facts": facts, "citations": citations})
    return list(merged.values())


def _level(level: int | None) -> str:
    return "no level of evidence" if level is None else f"level {level}"


def _effect(option: OptionOut) -> str:
    evidence = option.evidence
    only = " in single cases only" if evidence.studies and evidence.single_cases == evidence.studies else ""
    return _EFFECT[option.order.effect] + only


def evidence_line(option: OptionOut, diseases: Mapping[str, str]) -> str:
    """The evidence in one line: studies, patients, level, directions, and what is pooled for this patient's disease or for all.

    Args:
        diseases: this patient's diseases (:func:`disease_names`).
    """
    pooled = [pooled_words(each, diseases) for each in pooled_for(option.evidence, diseases)]
    beside = option.evidence.beside
    others = [f"{counted(beside, 'further study', 'further studies')} did not measure the calcification"] if beside else []
    return "; ".join([studies_words(option.evidence), *pooled, *others])


def studies_words(evidence: EvidenceOut) -> str:
    """Studies, patients, level and directions; single cases are named as such."""
    said = [f"{evidence.directions[key]} {word}" for key, word in DIRECTION_WORD.items() if evidence.directions.get(key)]
    return short_evidence(evidence) + (f": {', '.join(said)}" if len(said) > 1 else "")


def short_evidence(evidence: EvidenceOut) -> str:
    """The same without the count of each direction."""
    if not evidence.studies:
        level = "" if evidence.level is None else f", level {evidence.level} (guidance or reviews)"
        return f"no study with patients of its own{level}"
    if evidence.single_cases == evidence.studies:
        who = f"{counted(evidence.studies, 'single case')} only"
    else:
        singles = f" ({counted(evidence.single_cases, 'single case')})" if evidence.single_cases else ""
        patients = "number of patients not given" if evidence.patients is None else counted(evidence.patients, "patient")
        who = f"{counted(evidence.studies, 'study', 'studies')}, {patients}{singles}"
    said = [word for key, word in DIRECTION_WORD.items() if evidence.directions.get(key)]
    return ", ".join([who, _level(evidence.level), *(said if len(said) == 1 else ["mixed"] if said else [])])


def pooled_for(evidence: EvidenceOut, diseases: Mapping[str, str]) -> list[PooledOut]:
    """Per outcome one pooled proportion: of this patient's disease when there is one, else of all diseases together."""
    chosen: dict[str, PooledOut] = {}
    for each in evidence.pooled:
        if each.disease in diseases or each.outcome not in chosen:
            chosen[each.outcome] = each
    return [each for each in chosen.values() if each.disease is None or each.disease in diseases]


def pooled_words(pooled: PooledOut, diseases: Mapping[str, str]) -> str:
    """“less calcification in 12 of 29 = 41 % (95 % interval 9–79)”; of several studies the median, which need not be the crude share."""
    where = f" ({disease_word(pooled.disease, diseases)})" if pooled.disease else ""
    share = "= " if pooled.studies == 1 else f"in {pooled.studies} studies, pooled "
    interval = f"(95 % interval {percent(pooled.low)}–{percent(pooled.high)})"
    return f"{outcome_word(pooled.outcome)}{where}: {pooled.events}/{pooled.patients} {share}{percent(pooled.estimate)} % {interval}"


def outcome_word(outcome: str) -> str:
    return OUTCOME_WORD.get(outcome, outcome.replace("_", " "))


def disease_word(disease: str | None, diseases: Mapping[str, str]) -> str:
    """The label of this patient's disease; of another the words of its key, which is all that an answer holds."""
    return "all diseases" if disease is None else diseases.get(disease, disease.replace("_", " "))


def studied_in(evidence: EvidenceOut, diseases: Mapping[str, str]) -> str:
    """“juvenile dermatomyositis (3), systemic sclerosis (2)”: studies by disease, most first; empty without any."""
    most = sorted(evidence.diseases.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{disease_word(disease, diseases)} ({count})" for disease, count in most)


def percent(share: float) -> str:
    """Whole per cent, halves up."""
    return str(int(100 * share + 0.5))


# --- safety


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What could not be checked, merged over all rules of one gravity."""

    verdict: str
    count: int
    missing: str
    undecidable: str  # rules that no record can answer, or that their source may not drive

    @property
    def line(self) -> str:
        kind = {"contraindicated": "contraindication", "caution": "caution"}.get(self.verdict, "other rule")
        missing = f"not on record: {self.missing}" if self.missing else ""
        undecidable = f"nothing here can decide on: {self.undecidable}" if self.undecidable else ""
        return f"{counted(self.count, kind)} not checked, {'; '.join(filter(None, (missing, undecidable)))}"


def not_checked(option: OptionOut, most: int | None = None) -> list[Unchecked]:
    """What could not be checked: contraindications first and each by name; then what is missing, each entry once.

    Args:
        most: how many missing entries to name for cautions and lesser rules; contraindications are always all named.
    """
    groups: dict[str, list[UncheckedOut]] = {"contraindicated": [], "caution": [], "other": []}
    for rule in option.not_checked:
        groups[rule.verdict if rule.verdict in groups else "other"].append(rule)
    grave = groups["contraindicated"]
    named = {clean(each).casefold() for rule in grave for each in rule.missing}
    found = []
    for verdict, rules in groups.items():
        open_ = [rule for rule in rules if not rule.because]
        missing = "; ".join(map(unchecked_words, open_)) if verdict == "contraindicated" else _missing(open_, named, most)
        undecidable = "; ".join(clean(rule.label) for rule in rules if rule.because)
        if rules:
            found.append(Unchecked(verdict, len(rules), missing, undecidable))
    return found


def not_checked_lists(option: OptionOut) -> list[tuple[str, str, list[UncheckedOut]]]:
    """The rules that could not be checked, the gravest first: (kind of the verdict, how many, the rules)."""
    found = []
    for verdict, one, many in _GRAVITIES:
        rules = [rule for rule in option.not_checked if (rule.verdict if rule.verdict in _NAMED else "other") == verdict]
        if rules:
            kind = "unchecked-grave" if verdict == "contraindicated" else "unchecked"
            found.append((kind, f"{counted(len(rules), one, many)} not checked", rules))
    return found


def unchecked_words(rule: UncheckedOut) -> str:
    """The rule, with what is missing unless its label says so already."""
    label = clean(rule.label)
    missing = [clean(each) for each in rule.missing if clean(each).casefold() not in label.casefold()]
    return f"{label} ({'; '.join(missing)})" if missing else label


def _missing(rules: Sequence[UncheckedOut], named: set[str], most: int | None) -> str:
    """“clarithromycin; itraconazole”, without what a contraindication has named already."""
    missing = list(dict.fromkeys(clean(one) for rule in rules for one in rule.missing))
    new = [each for each in missing if each.casefold() not in named] or missing
    shown = new if most is None else new[:most]
    return "; ".join(shown) + (f"; and {len(new) - len(shown)} more" if len(shown) < len(new) else "")


def safety_words(option: OptionOut, *, named: bool = False) -> list[tuple[str, str]]:
    """The verdicts as (kind, words): what holds, then what could not be checked. “unchecked” is a kind of its own, never left out.

    Args:
        named: which contraindications and cautions hold, in the words of their rules.
    """

    def labels(verdict: str) -> str:
        return f" ({'; '.join(clean(rule.label) for rule in rules_with(option.safety, verdict))})" if named else ""

    holds = {verdict: len(rules_with(option.safety, verdict)) for verdict in VERDICT_WORD}
    everybody = len(rules_with(option.always, "contraindicated", "caution"))
    grave = sum(rule.verdict == "contraindicated" for rule in option.not_checked)
    others = len(option.not_checked) - grave
    found = [
        ("contraindicated", f"contraindicated{labels('contraindicated')}", holds["contraindicated"]),
        ("caution", f"{counted(holds['caution'], 'caution')}{labels('caution')}", holds["caution"]),
        ("caution", f"{counted(everybody, 'caution')} for everybody", everybody),
        ("monitor", "needs monitoring", holds["monitor"]),
        ("note", counted(holds["note"], "note"), holds["note"]),
        ("unchecked-grave", f"{counted(grave, 'contraindication')} not checked", grave),
        ("unchecked", f"{counted(others, 'other rule' if grave else 'rule')} not checked", others),
    ]
    said = [(kind, words) for kind, words, count in found if count]
    if said:
        return said
    if option.cleared:
        return [("note", f"{counted(option.cleared, 'rule')} checked, {'it does not hold' if option.cleared == 1 else 'none holds'}")]
    return [("note", "no rule on file that a record could answer")]


def rules_with(rules: Iterable[SafetyOut], *verdicts: str) -> list[SafetyOut]:
    return [rule for rule in rules if rule.verdict in verdicts]


def reasons_against(option: OptionOut) -> list[Statement]:
    """What the knowledge says of the uses that the evidence speaks against."""
    return [use.statement for use in option.uses if use.stance == "against"]


def counted(number: int, one: str, many: str | None = None) -> str:
    """“1 study”, “2 studies”."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def tied(option: OptionOut, options: Sequence[OptionOut]) -> str:
    """The options that share its place, in words; empty when it stands alone."""
    others = [clean(each.label) for each in options if each.place == option.place and each.treatment != option.treatment]
    return join(others)
