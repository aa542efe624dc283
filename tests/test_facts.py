"""Facts: presence climbs, negation descends, and what is not said is unknown."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hand_made import INDEX, answer, batch_of, concept_fact, day, event, facts_of, knowledge_of, lab, patient

from calcinosis.facts import CONCEPT_FACT_SCHEMA, build_facts


def test_negation_descends_presence_climbs() -> None:
    present = [event("kidney_failure")]
    assert concept_fact("ckd", present)["present"] is True  # type: ignore[index]
    assert concept_fact("kidney_failure", present)["present"] is True  # type: ignore[index]
    assert concept_fact("esrd", present) is None
    absent = [event("kidney_failure", certainty="negated")]
    assert concept_fact("esrd", absent)["present"] is False  # type: ignore[index]
    assert concept_fact("kidney_failure", absent)["present"] is False  # type: ignore[index]
    assert concept_fact("ckd", absent) is None


def test_affirmed_beats_negated_elsewhere() -> None:
    events = [event("skin_ulcer", sites=["hand"]), event("skin_ulcer", certainty="negated", sites=["thigh"]), event("skin_ulcer", day(3))]
    fact = concept_fact("skin_ulcer", events)
    assert fact is not None
    assert (fact["present"], fact["n"], fact["n_conflicting"]) == (True, 2, 1)


def test_uncertain_is_not_present() -> None:
    fact = concept_fact("systemic_sclerosis", [event("systemic_sclerosis", certainty="uncertain")])
    assert fact is not None
    assert (fact["present"], fact["suspected"]) == (None, True)
    assert answer({"has": "systemic_sclerosis"}, [event("systemic_sclerosis", certainty="uncertain")]) is None
    assert answer({"suspected": "systemic_sclerosis"}, [event("systemic_sclerosis", certainty="uncertain")]) is True


def test_a_suspicion_ends_when_the_answer_is_known() -> None:
    unsure = event("systemic_sclerosis", certainty="uncertain")
    assert answer({"suspected": "systemic_sclerosis"}, [unsure, event("systemic_sclerosis")]) is False
    assert answer({"suspected": "systemic_sclerosis"}, [unsure, event("systemic_sclerosis", certainty="negated")]) is False
    assert answer({"suspected": "systemic_sclerosis"}, []) is None


def test_family_history_is_never_the_patients() -> None:
    events = [event("systemic_sclerosis", certainty="family"), lab("phosphate", 9.0, "mmol/L", certainty="family")]
    facts = facts_of(events)
    assert facts.concepts.is_empty()
    assert facts.labs.is_empty()
    assert not len(facts.mentioned.event)
    assert answer({"any": [{"has": "ctd"}, {"suspected": "ctd"}]}, events) is None
    assert answer({"lab": "phosphate", "is": "high"}, events) is None


def test_only_an_affirmed_laboratory_entry_is_a_measurement() -> None:
    for certainty in ("negated", "uncertain"):
        assert answer({"lab": "phosphate", "is": "high"}, [lab("phosphate", 9.0, "mmol/L", certainty=certainty)]) is None


def test_the_deciding_event_is_the_one_nearest_the_index_date() -> None:
    events = [event("calcification", INDEX), event("pain", day(-300), text_value="old pain"), event("pain", day(2), text_value="new pain")]
    fact = concept_fact("pain", events)
    assert fact is not None
    assert (fact["said"], fact["first_time"], fact["last_time"]) == ("new pain", day(-300), day(2))


def test_the_index_date_is_the_first_mineral_then_the_first_lesion_then_now() -> None:
    def index(*events: dict[str, object]) -> tuple[object, str]:
        row = facts_of(events).subjects.to_dicts()[0]
        return row["index_time"], row["index_basis"]

    assert index(event("nodule", day(-9)), event("calcification", day(5)), event("calcification", day(2))) == (day(2), "calcification")
    assert index(event("nodule", day(-9)), event("skin_ulcer", day(-20)), event("pain", day(4))) == (day(-20), "lesion")
    assert index(event("pain", day(-1)), event("ckd", day(4))) == (day(4), "as_of")
    assert index(event("pain", None)) == (None, "unknown")
    assert index(event("calcification", day(-3), "negated"), event("calcification", day(-2), "uncertain"), event("pain", day(0))) == (
        day(0),
        "as_of",
    )


def test_nothing_after_as_of_is_looked_at() -> None:
    events = [event("ckd", day(10)), event("pain", None), event("calcification", day(-1)), lab("phosphate", 3, "mmol/L", day(1))]
    facts = build_facts(batch_of(events), knowledge_of(), as_of=INDEX)
    assert set(facts.concepts["concept"]) == {"pain", "calcification"}
    assert facts.labs.is_empty()
    assert facts.subjects["as_of"].to_list() == [INDEX]


def test_as_of_may_carry_a_time_zone() -> None:
    events = [event("ckd", day(0.25)), event("pain", day(0))]
    morning_in_vienna = datetime(2024, 6, 1, 7, 59, tzinfo=timezone(timedelta(hours=2)))  # 05:59 UTC
    assert set(build_facts(batch_of(events), knowledge_of(), as_of=morning_in_vienna).concepts["concept"]) == {"pain"}


def test_age_is_counted_at_the_index_date() -> None:
    events = [event("calcification", INDEX)]
    assert facts_of(events, patient(born=date(2014, 6, 1))).subjects["age_years"][0] == pytest.approx(10, abs=0.01)
    assert facts_of(events, patient(born=None)).subjects["age_years"][0] is None
    assert (
        facts_of(events, patient(born=date(2025, 6, 1))).subjects["age_years"][0] is None
    )  # born after the calcification: wrong, so unknown


def test_a_patient_without_events_is_kept() -> None:
    facts = facts_of([], patient("a"), patient("b"))
    assert facts.subjects["subject_id"].to_list() == ["a", "b"]
    assert facts.concepts.schema == CONCEPT_FACT_SCHEMA


def test_events_of_one_patient_never_reach_another() -> None:
    facts = facts_of([event("ckd", who="a"), lab("phosphate", 3, "mmol/L", who="b")], patient("a"), patient("b"))
    assert set(facts.concepts["subject_id"]) == {"a"}
    assert set(facts.labs["subject_id"]) == {"b"}


def test_the_order_of_the_events_changes_no_fact() -> None:
    same = "Condition/1"
    events = [event("pain", source=same, text_value=words) for words in ("sharp", "dull", "burning")]
    events += [lab("phosphate", value, "mmol/L", source="Observation/1") for value in (1.1, 2.2, 3.3)]
    events += [lab("albumin", value, "g/L", source="Observation/2") for value in (25, 45, 35)]
    events += [lab("calcium_total", value, "mmol/L", source="Observation/3") for value in (2.1, 2.9)]
    there, back = facts_of(events), facts_of(events[::-1])
    keys = ["subject_id", "concept"]
    assert there.concepts.sort(keys).equals(back.concepts.sort(keys))
    assert there.labs.sort(keys).equals(back.labs.sort(keys))
