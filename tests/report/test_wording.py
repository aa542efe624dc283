"""The words the reports share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from people import PEOPLE, frozen

from calcinosis.api import assess
from calcinosis.contract import FactOut, MimicAssessment, OutcomeOut
from calcinosis.knowledge import load_knowledge
from calcinosis.knowledge.criteria import Status
from calcinosis.report.wording import clean, evidence, headline, is_standing, outcome_change, person, set_aside, web_address

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"


def fact(label: str, said: str | None, value: str | None = "present", source: str = "Condition/1", count: int = 1) -> FactOut:
    day = datetime(2024, 5, 6)
    return FactOut(
        concept=label.lower(), label=label, said=said, value=value, time=day, first_time=day, last_time=day, count=count, source=source
    )


def test_headline_of_a_type_names_status_and_subtype() -> None:
    found = headline(frozen("scleroderma"))
    assert found.line == "Dystrophic calcification: confirmed · In systemic sclerosis"
    assert found.notes == ()


def test_headline_undetermined() -> None:
    found = headline(frozen("nodule"))
    assert found.line == "Undetermined"
    assert found.status is None
    assert len(found.notes) == 2  # nothing reaches possible; no calcium shown yet


def test_headline_of_a_mimic_and_of_a_mixed_picture() -> None:
    gout = MimicAssessment(mimic="gouty_tophus", label="Gouty tophus", status=Status.PROBABLE, reasons=[], against=[], tells_apart=[])
    assessment = frozen("nodule").model_copy(
        update={"leading": "mimic", "leading_mimic": "gouty_tophus", "leading_status": Status.PROBABLE, "mimics": [gout]}
    )
    assert headline(assessment).line == "Gouty tophus: probable"
    assert "not one of the five types" in headline(assessment).notes[0]
    mixed = frozen("dialysis").model_copy(update={"mixed": True})
    mixed.types[2].status = Status.PROBABLE
    assert headline(mixed).notes[0] == (
        "Mixed picture: Calciphylaxis and Metastatic calcification stand at probable or confirmed."
    )


def test_facts_of_one_entry_become_one_line() -> None:
    found = evidence(
        [fact("Pain", "excruciating pain"), fact("Tenderness", "excruciating pain"), fact("Fever", "fever", source="Condition/2")]
    )
    assert [each.line for each in found] == [
        "Pain / Tenderness “excruciating pain”; 2024-05-06, Condition/1",
        "Fever; 2024-05-06, Condition/2",
    ]


def test_measurements_show_value_and_flag_and_absence_is_said() -> None:
    assert evidence([fact("Phosphate", "2.4 mmol/L", "high")])[0].what == "Phosphate 2.4 mmol/L (high)"
    assert evidence([fact("Fever", None, "absent")])[0].what == "Fever (absent)"
    assert evidence([fact("Fever", None, count=3)])[0].where == "2024-05-06, 3 entries, Condition/1"


def test_outcome_change_says_who_would_lead() -> None:
    assessment = frozen("scleroderma")
    outcome = OutcomeOut(
        result="High", meaning="", leading="metastatic", changes={"metastatic": "probable", "dystrophic": "possible"}, citations=[]
    )
    assert outcome_change(outcome, assessment) == (
        "Metastatic calcification would lead (probable); Dystrophic calcification becomes possible"
    )
    same = outcome.model_copy(update={"leading": "dystrophic", "changes": {}})
    assert outcome_change(same, assessment) == ""
    assert outcome_change(same.model_copy(update={"leading": None}), assessment) == "no type would lead"


@pytest.mark.parametrize(("age", "words"), [(None, "age unknown"), (0.4, "about 5 months"), (17.5, "17.5 years"), (64.9, "64 years")])
def test_age(age: float | None, words: str) -> None:
    assert person(frozen("nodule").model_copy(update={"age_years": age})) == f"{words}, sex unknown"


@pytest.mark.parametrize(
    ("index", "now", "words"),
    [
        (0.0, 0.1, "under 6 weeks, female"), (0.7, 0.9, "about 8 months, female"), (8.4, 8.9, "8.4 years, female"),
        (8.4, 15.2, "15.2 years (at the index date 8.4 years), female"), (44.4, None, "44 years, female"),
    ],
)  # fmt: skip
def test_a_child_is_as_old_as_today(index: float, now: float | None, words: str) -> None:
    assessment = assess(CASES / "a049.json").model_copy(update={"age_years": index, "age_now_years": now, "sex": "female"})
    assert person(assessment) == words


def test_clean_keeps_letters_of_every_script_and_drops_what_cannot_be_seen() -> None:
    assert clean("Jiménez-Gallo 钙 ×2\n\tnext") == "Jiménez-Gallo 钙 ×2 next"
    assert clean("a\u202eb\x1b[0m\u200bc") == "a\ufffdb\ufffd[0m\ufffdc"
    assert clean(None) == ""


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "https://a b", 'https://a"onclick=', None, ""])
def test_unsafe_addresses(url: str | None) -> None:
    assert web_address(url) is None


def test_the_people_are_built_of_concepts_that_exist() -> None:
    assert not [key for batch in PEOPLE.values() for key in batch().events["concept"] if key not in load_knowledge().concepts]


def test_mimics_set_aside_for_one_reason_are_told_together() -> None:
    mimics = assess(CASES / "b090.json").mimics
    groups = set_aside(mimics)
    assert sorted(each.mimic for group in groups for each in group.mimics) == sorted(each.mimic for each in mimics if not is_standing(each.status))
    assert len(groups) < 4 < len(groups[0].mimics)
    for group in groups:
        assert all(each.reasons[0] == group.reason and each.status is group.mimics[0].status for each in group.mimics)
