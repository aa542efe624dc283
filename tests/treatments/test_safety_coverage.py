"""The researched safety table is carried line by line, and each rule says what its source allows it to say."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from calcinosis.findings import leaves, references
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import Current, FindingRef, Has, LabIs, LabValue
from calcinosis.knowledge.treatments import SafetyRule

# Lines of the researched table of labels and studies (line 1 is its heading). The table itself is not part of the repository: it
# holds copied sentences. Each rule names the lines it carries in ``research_rows``.
RESEARCHED = range(2, 325)

# Lines that name no condition of the patient: harms that may befall anybody, doses, routes and tests. They are shown with every option.
ABOUT_THE_TREATMENT_ITSELF = {
    13, 16, 21, 26, 29, 54, 55, 60, 72, 73, 74, 75, 79, 81, 100, 102, 104, 110, 111, 113, 115, 117, 130, 144, 148, 149, 162, 173, 175,
    185, 187, 190, 199, 203, 209, 244, 245, 265, 268, 283, 284, 295, 316, 317, 321, 322, 323, 324,
}  # fmt: skip
NOT_CHECKABLE = {131, 179, 235, 236, 285}  # carried by a rule that says why no record, or no source, can answer it

VERDICTS_OF_KIND = {
    "contraindication": {"contraindicated", "caution"},  # caution: the source contraindicates a grade or a place that no record shows
    "caution": {"contraindicated", "caution", "monitor", "note"},  # contraindicated: the source says to avoid it
    "interaction": {"contraindicated", "caution", "monitor"},
    "pregnancy": {"contraindicated", "caution", "monitor"},
    "paediatric": {"contraindicated", "caution", "monitor", "note"},
    "dose_limit": {"caution", "monitor", "note"},
    "monitoring": {"monitor"},
}
PROHIBITS = re.compile(r"contraindicat|avoid|(?:not|never) (?:to )?be|not to|should not|must not|excludes|not indicated", re.IGNORECASE)

# Drugs that are asked for whenever they were taken, because their harm outlasts them.
TAKEN_AT_ANY_TIME = {"azathioprine/alkylating_agent", "hyperbaric_oxygen/bleomycin"}

# Being at risk of calciphylaxis is a finding of several parts, and kidney failure seldom goes away.
AT_RISK = {"warfarin_low_dose/at_risk_of_calciphylaxis", "vitamin_k_antagonist_at_high_risk"}


def rules(knowledge: Knowledge) -> Iterator[tuple[str, SafetyRule]]:
    for treatment in knowledge.treatments.values():
        for rule in treatment.safety:
            yield f"{treatment.key}/{rule.key}", rule


def how(rule: SafetyRule) -> str:
    return "executable" if rule.when is not None else "always" if rule.always else "not checkable"


def test_every_line_of_the_research_is_carried(knowledge: Knowledge) -> None:
    carried = Counter(row for _, rule in rules(knowledge) for row in rule.research_rows)
    assert set(carried) == set(RESEARCHED)


def test_every_checkable_line_is_an_executable_rule(knowledge: Knowledge) -> None:
    carried: dict[int, set[str]] = {}
    for _, rule in rules(knowledge):
        for row in rule.research_rows:
            carried.setdefault(row, set()).add(how(rule))
    by_way = Counter(min(ways, key=("executable", "always", "not checkable").index) for ways in carried.values())
    print(f"\n{dict(by_way)} lines of {len(RESEARCHED)}; {len(list(rules(knowledge)))} rules")
    assert {row for row, ways in carried.items() if ways == {"always"}} == ABOUT_THE_TREATMENT_ITSELF
    assert {row for row, ways in carried.items() if ways == {"not checkable"}} == NOT_CHECKABLE


def test_what_cannot_be_checked_says_why(knowledge: Knowledge) -> None:
    reasons = {name: rule.not_checkable for name, rule in rules(knowledge) if rule.not_checkable is not None}
    assert reasons
    assert not [name for name, reason in reasons.items() if len(reason.split()) < 4]


def test_a_verdict_fits_its_kind(knowledge: Knowledge) -> None:
    wrong = [
        f"{name}: {rule.kind} is {rule.verdict}"
        for name, rule in rules(knowledge)
        if rule.verdict not in VERDICTS_OF_KIND[rule.kind] and rule.not_checkable is None
    ]
    assert not wrong, "\n".join(wrong)


def test_a_rule_stricter_or_milder_than_its_kind_says_what_the_source_says(knowledge: Knowledge) -> None:
    """A contraindication that is only a caution here, and anything else that is contraindicated, must show the words for it."""
    wrong = []
    for name, rule in rules(knowledge):
        said = " ".join(filter(None, (rule.label, rule.why, rule.advice)))
        if rule.kind == "contraindication" and rule.verdict == "caution" and not (rule.advice or PROHIBITS.search(said)):
            wrong.append(f"{name}: contraindication, shown as caution without a reason")
        if rule.kind != "contraindication" and rule.verdict == "contraindicated" and not PROHIBITS.search(said):
            wrong.append(f"{name}: contraindicated, and no word of a source that says so")
    assert not wrong, "\n".join(wrong)


def test_a_low_grade_source_never_drives_a_rule(knowledge: Knowledge) -> None:
    def low(rule: SafetyRule) -> bool:
        return all(knowledge.sources[key].grade == "low" for key in rule.sources)

    assert not [name for name, rule in rules(knowledge) if low(rule) and rule.not_checkable is None]
    for name, rule in rules(knowledge):
        if rule.not_checkable and "low-grade" in rule.not_checkable:
            assert low(rule), f"{name}: has a better source and could be checked"


def test_a_drug_that_interacts_must_be_taken_now(knowledge: Knowledge) -> None:
    """A course that ended years ago is no interaction."""
    wrong = []
    for name, rule in rules(knowledge):
        if rule.when is not None and (rule.kind == "interaction" or name.startswith("salicylate")):
            asked = list(leaves(rule.when, knowledge))
            now = {leaf.current for leaf in asked if isinstance(leaf, Current)}
            ever = {leaf.has for leaf in asked if isinstance(leaf, Has)} - now  # ``current`` also asks whether it was ever denied
            wrong += [f"{name}: {key}" for key in ever if knowledge.concepts[key].kind == "drug" and name not in TAKEN_AT_ANY_TIME]
            if rule.kind == "interaction" and not now:
                wrong.append(f"{name}: asks for nothing that goes on now")
    assert not wrong, "\n".join(wrong)


def test_pregnancy_and_breast_feeding_are_asked_as_states_of_today(knowledge: Knowledge) -> None:
    wrong = []
    for name, rule in rules(knowledge):
        asked = list(leaves(rule.when, knowledge)) if rule.when is not None else []
        now = {leaf.current for leaf in asked if isinstance(leaf, Current)}
        wrong += [name for leaf in asked if isinstance(leaf, Has) and leaf.has in ("pregnancy", "breast_feeding") and leaf.has not in now]
    assert not wrong, "\n".join(wrong)


def test_measurements_are_those_of_today(knowledge: Knowledge) -> None:
    """A finding reads measurements near the beginning of the lesion, which may be years ago; a rule must ask for them itself."""
    rules_and_reviews = [
        *((name, rule.when) for name, rule in rules(knowledge)),
        *((key, each.when) for key, each in knowledge.reviews.items()),
    ]
    wrong = []
    for name, when in rules_and_reviews:
        for named in references(when) if when is not None else ():
            asked = leaves(named, knowledge) if isinstance(named, FindingRef) else ()
            old = [leaf for leaf in asked if isinstance(leaf, LabValue) or (isinstance(leaf, LabIs) and not leaf.ever)]
            if old and name not in AT_RISK:
                wrong.append(f"{name}: {named}")
    assert not wrong, "\n".join(wrong)


def shared_table() -> Path | None:
    """The researched table, where the project is worked on with its research beside it."""
    found = Path(__file__).parents[3] / "shared" / "research" / "safety.csv"
    return found if found.is_file() else None


# The table writes some treatments in other words than the knowledge does.
TABLE_NAMES = {
    "IVIG": "immunoglobulin_iv", "TNF inhibitors (class; golimumab page)": "tnf_inhibitor", "sodium thiosulfate": "sodium_thiosulfate_iv",
    "aluminium hydroxide": "aluminium_hydroxide", "mycophenolate mofetil": "mycophenolate", "hyperbaric oxygen": "hyperbaric_oxygen",
    "low-dose tPA": "tpa_low_dose", "CO2 laser": "co2_laser", "surgical debulking": "surgical_debulking", "vitamin K": "vitamin_k",
    "ESWL": "shock_wave_therapy", "corticosteroids (systemic)": "corticosteroid_systemic", "warfarin": "warfarin_low_dose",
    "corticosteroids (intralesional)": "corticosteroid_intralesional", "salicylate (aspirin)": "salicylate",
    "autologous HSCT": "hsct_autologous",
}  # fmt: skip


def test_each_line_is_carried_by_the_treatment_it_is_about(knowledge: Knowledge) -> None:
    table = shared_table()
    if table is None:
        pytest.skip("the researched table stands beside the repository only where the knowledge is written")
    with table.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert len(lines) == RESEARCHED[-1]
    carriers: dict[int, set[str]] = {}
    for name, rule in rules(knowledge):
        for row in rule.research_rows:
            carriers.setdefault(row, set()).add(name.split("/")[0])
    wrong = []
    for row in RESEARCHED:
        meant = TABLE_NAMES.get(lines[row - 1][0], lines[row - 1][0])
        kin = {key for key in knowledge.treatments if key.startswith("sodium_thiosulfate")} if meant == "sodium_thiosulfate_iv" else {meant}
        if not carriers[row] & kin:
            wrong.append(f"line {row} ({lines[row - 1][0]}): carried by {sorted(carriers[row])}")
    assert not wrong, "\n".join(wrong)
