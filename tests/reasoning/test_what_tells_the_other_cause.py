"""Disorders beside calcinosis are told by their own signs, time and place; a bare name takes nothing from calciphylaxis."""

from __future__ import annotations

import pytest
from small_records import Resource, ask, drug, says, status

from calcinosis.knowledge.criteria import Status

ON_DIALYSIS = says("end-stage renal disease on haemodialysis")
DEAD_LEGS = (says("necrotic ulcers", at="legs"), says("pain", at="legs"))


def dated(resource: Resource, day: str) -> Resource:
    return {**resource, "recordedDate": day, "onsetDateTime": day}


@pytest.mark.parametrize("setting", [ON_DIALYSIS, drug("warfarin")])
@pytest.mark.parametrize("infection", ["necrotizing fasciitis", "necrotising soft tissue infection"])
def test_the_name_of_necrotising_fasciitis_alone_takes_nothing_from_calciphylaxis_in_its_setting(infection: str, setting: Resource) -> None:
    before, answer = ask(*DEAD_LEGS, setting), ask(*DEAD_LEGS, setting, says(infection))
    assert answer.leading == "calciphylaxis"
    assert status(answer, "calciphylaxis") is status(before, "calciphylaxis")
    assert {"necrotising_infection", "suspected_calciphylaxis"} <= {each.key for each in answer.alarms}


def test_a_necrotising_fasciitis_of_months_ago_explains_no_dying_skin_of_today_on_dialysis() -> None:
    old = (dated(says("necrotizing fasciitis"), "2024-02-01"), dated(says("septic shock"), "2024-02-01"))
    answer = ask(*DEAD_LEGS, ON_DIALYSIS, *old)
    assert (answer.leading, status(answer, "calciphylaxis")) == ("calciphylaxis", Status.PROBABLE)


def test_necrotising_fasciitis_of_today_with_its_signs_leads_and_calciphylaxis_stays_possible_on_dialysis() -> None:
    answer = ask(*DEAD_LEGS, ON_DIALYSIS, says("necrotizing fasciitis"), says("septic shock"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "necrotising_fasciitis")
    assert status(answer, "calciphylaxis") is Status.POSSIBLE
    assert {"necrotising_infection", "suspected_calciphylaxis"} <= {each.key for each in answer.alarms}


def test_necrotising_fasciitis_without_kidney_failure_or_vitamin_k_antagonist_leads_as_before() -> None:
    answer = ask(*DEAD_LEGS, says("diabetes mellitus"), says("necrotizing fasciitis"))
    assert (answer.leading, answer.leading_mimic) == ("mimic", "necrotising_fasciitis")
