"""Options: everything evaluated is listed, unknown is shown, and the order can be retraced."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hand_made import CASES, INDEX, batch_of, day, event, knowledge_of, lab, patient, type_of
from safety_records import AS_OF, Patients, Picture, Says

from calcinosis.api import Readers, assess, make_readers
from calcinosis.assessment import assess_batch, evaluate_batch
from calcinosis.contract import Assessment, OptionOut
from calcinosis.derived import DERIVED_FROM
from calcinosis.events import Batch
from calcinosis.findings import references
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import HypothesisAtLeast, Status
from calcinosis.options import STANCES
from calcinosis.sources.fhir import read_resources
from calcinosis.truth import FALSE

# --- a small world -----------------------------------------------------------------------------------

SAID = {"text": "what it is", "sources": ["book"]}


def use(stance: str = "option", **more: Any) -> dict[str, Any]:
    return {"types": ["dystrophic"], "role": "deposit", "stance": stance, "statement": SAID} | more


def rule(key: str, verdict: str, when: Any = None, **more: Any) -> dict[str, Any]:
    record = {"key": key, "kind": "caution", "verdict": verdict, "label": key, "why": "why", "sources": ["book"]} | more
    return record | ({"when": when} if when is not None else {})


def treatment(key: str, *safety: dict[str, Any], uses: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"key": key, "label": key, "kind": "drug", "what": SAID, "uses": uses or [use()], "safety": list(safety)} | more


def world(*treatments: dict[str, Any], **more: Any) -> Knowledge:
    dystrophic = type_of("dystrophic", ("probable", {"has": "calcinosis_cutis"}), ("possible", {"has": "nodule"}))
    metastatic = type_of("metastatic", ("probable", {"has": "ckd"}), urgency=2)
    calciphylaxis = type_of("calciphylaxis", ("possible", {"has": "digital_ulcer"}), urgency=3)
    return knowledge_of(types=[dystrophic, metastatic, calciphylaxis], treatments=treatments, findings=FINDINGS, **more)


FINDINGS = {"mineral_shown": {"has": "calcification"}, "lesion_present": {"has": "skin_lesion"}}
LESION = event("calcinosis_cutis")


def assessed(knowledge: Knowledge, *events: dict[str, Any]) -> Assessment:
    (answer,) = assess_batch(batch_of(events, patient()), knowledge)
    return answer


def options(knowledge: Knowledge, *events: dict[str, Any]) -> dict[str, OptionOut]:
    return {option.treatment: option for option in assessed(knowledge, LESION, *events).options}


# --- what is shown -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "place"),
    [
        ([event("warfarin", day(-5))], "holds"),
        ([event("warfarin", day(-5), "negated")], "cleared"),
        ([event("warfarin", day(-30), end_time=day(-5))], "cleared"),
        ([event("warfarin", day(-5), "uncertain")], "not checked"),
        ([event("warfarin", day(-900))], "not checked"),
        ([], "not checked"),
    ],
)
def test_a_rule_holds_or_is_cleared_by_facts_and_silence_is_shown(entries: list[dict[str, Any]], place: str) -> None:
    option = options(world(treatment("a", rule("warfarin", "caution", {"current": "warfarin"}))), *entries)["a"]
    assert [each.rule for each in option.safety] == (["warfarin"] if place == "holds" else [])
    assert [(each.rule, each.missing) for each in option.not_checked] == ([("warfarin", ["warfarin"])] if place == "not checked" else [])
    assert option.cleared == (place == "cleared")


def test_a_rule_that_no_record_can_answer_is_shown_with_the_reason() -> None:
    option = options(world(treatment("a", rule("focus", "caution", not_checkable="nobody writes it down"))))["a"]
    assert [(each.rule, each.because) for each in option.not_checked] == [("focus", "nobody writes it down")]


def test_what_holds_for_everybody_is_no_rule_of_this_patient() -> None:
    option = options(world(treatment("a", rule("count", "monitor", always=True, kind="monitoring"))))["a"]
    assert [each.rule for each in option.always] == ["count"]
    assert not option.safety
    assert not option.order.cautions


def test_only_what_could_decide_is_called_missing() -> None:
    either = {"any": [{"current": "warfarin"}, {"lab": "phosphate", "is": "high"}]}
    option = options(world(treatment("a", rule("either", "caution", either))), lab("phosphate", 1.0, "mmol/L"))["a"]
    assert option.not_checked[0].missing == ["warfarin"]


def test_evidence_against_is_listed_and_comes_last() -> None:
    listed = options(world(*(treatment(stance, uses=[use(stance)]) for stance in reversed(STANCES))))
    assert list(listed) == ["standard", "option", "trial_only", "no_data", "against"]
    assert [option.place for option in listed.values()] == [1, 2, 3, 4, 5]


def test_equals_share_a_place_and_the_next_place_follows() -> None:
    listed = options(world(treatment("b"), treatment("a"), treatment("c", uses=[use("no_data")])))
    assert [(option.treatment, option.place) for option in listed.values()] == [("a", 1), ("b", 1), ("c", 2)]


def test_what_is_contraindicated_here_comes_after_everything_else() -> None:
    barred = treatment("barred", rule("pain", "contraindicated", {"has": "pain"}), uses=[use("standard")])
    listed = options(world(barred, treatment("unwanted", uses=[use("against")])), event("pain"))
    assert list(listed) == ["unwanted", "barred"]
    assert listed["barred"].order.contraindicated
    assert list(options(world(barred, treatment("unwanted", uses=[use("against")])))) == ["barred", "unwanted"]  # unknown bars nothing


def test_a_use_whose_condition_is_false_is_not_offered_and_an_unknown_one_is() -> None:
    knowledge = world(treatment("a", uses=[use(when={"has": "ckd"})]))
    assert not options(knowledge, event("ckd", certainty="negated"))
    assert list(options(knowledge)) == ["a"]


def test_options_come_for_the_leading_type_and_for_every_type_that_is_probable() -> None:
    knowledge = world(treatment("a"), treatment("b", uses=[use(types=["metastatic"])]))
    assert {option.type for option in assessed(knowledge, event("nodule")).options} == {"dystrophic"}  # possible, and leads
    assert {option.type for option in assessed(knowledge, event("nodule"), event("ckd")).options} == {
        "metastatic"
    }  # possible, led by another
    assert {option.type for option in assessed(knowledge, LESION, event("ckd")).options} == {"dystrophic", "metastatic"}


def test_there_are_no_options_while_no_type_stands() -> None:
    knowledge = world(treatment("a"))
    assert not assessed(knowledge, event("pain")).options
    assert not assessed(knowledge).options


def test_a_treatment_that_is_taken_although_a_rule_bars_it_deserves_a_second_look() -> None:
    barred = treatment("warfarin", rule("pain", "contraindicated", {"has": "pain"}), concepts=["warfarin"])
    assert [each.kind for each in assessed(world(barred), event("pain"), event("warfarin", INDEX)).review] == ["unsafe"]  # without any type
    assert not assessed(world(barred), event("pain"), event("warfarin", day(-9), end_time=day(-3))).review


# --- the content: published cases --------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(knowledge: Knowledge, published_cases: Batch) -> list[Assessment]:
    return assess_batch(published_cases, knowledge)


def test_every_rule_of_an_option_is_shown_or_cleared(published: list[Assessment], knowledge: Knowledge) -> None:
    for answer in published:
        for option in answer.options:
            known = knowledge.treatments[option.treatment].safety
            shown = [*(each.rule for each in (*option.safety, *option.always)), *(each.rule for each in option.not_checked)]
            assert len(shown) + option.cleared == len(known)
            assert len(set(shown)) == len(shown)


def test_options_are_written_for_the_types_that_stand(published: list[Assessment]) -> None:
    for answer in published:
        standing = {each.type for each in answer.types if each.status.rank >= Status.PROBABLE.rank or each.type == answer.leading}
        assert {option.type for option in answer.options} == standing


def test_every_option_has_a_citation_and_a_contraindication_shows_its_fact(published: list[Assessment]) -> None:
    wrong = []
    for answer in published:
        for option in answer.options:
            if not option.what.citations or not all(use.statement.citations for use in option.uses):
                wrong.append(f"{answer.patient_id} {option.treatment}: no citation")
            wrong += [f"{answer.patient_id} {option.treatment}: {rule.rule} without a fact" for rule in option.safety if not rule.facts]
    assert not wrong, "\n".join(wrong)


def test_the_order_of_published_cases_can_be_retraced(published: list[Assessment]) -> None:
    for answer in published:
        for type_ in {option.type for option in answer.options}:
            mine = [option for option in answer.options if option.type == type_]
            assert [option.place for option in mine] == sorted(option.place for option in mine)
            assert {option.place for option in mine} == set(range(1, max(option.place for option in mine) + 1))
            barred = [option.order.contraindicated for option in mine]
            assert barred == sorted(barred)
            for one, other in pairwise(mine):
                if one.place == other.place:
                    assert one.order.model_dump(exclude={"cautions"}) == other.order.model_dump(exclude={"cautions"})


def test_options_do_not_know_the_published_answer(published: list[Assessment], tmp_path: Path) -> None:
    """A bundle that stands alone gives the same options as in its folder beside ``truth.csv``."""
    by_case = {answer.patient_id: answer for answer in published}
    for case in sorted(by_case)[::12]:
        shutil.copy(CASES / "bundles" / f"{case}.json", tmp_path / "patient.json")
        alone = assess(tmp_path / "patient.json")
        assert alone.options == by_case[case].options


# --- taking facts away -------------------------------------------------------------------------------


def removals(events: pl.DataFrame) -> Iterator[tuple[str, int]]:
    yield from events.with_row_index("row").select("subject_id", "row").iter_rows()


def kin(concept: str, knowledge: Knowledge) -> set[str]:
    """Concepts whose events speak about the same thing."""
    near = {*knowledge.ancestors[concept], *knowledge.descendants[concept]}
    near |= {"calcium_adjusted"} if concept == "albumin" else set()  # without it the total calcium decides
    near |= {made for made, bases in DERIVED_FROM.items() if {*bases} & near}
    return near | {base for made in near for base in DERIVED_FROM.get(made, ())}


def test_taking_a_fact_away_never_clears_a_rule(knowledge: Knowledge, published_cases: Batch) -> None:
    """A rule may only become "cleared" when another entry about the same thing remains, which then decides.

    Removing a fact can move the index date, and with it the age; such records are not judged. A hypothesis always has a status, so
    rules that ask for one are left out.
    """
    events = published_cases.events
    chosen = list(removals(events))[::2]
    before = evaluate_batch(published_cases, knowledge)
    copies = pl.DataFrame({"copy": [f"{n:06d}" for n in range(len(chosen))], "subject_id": [case for case, _ in chosen]})
    gone = pl.DataFrame(
        {"copy": copies["copy"], "row": pl.Series([row for _, row in chosen], dtype=pl.UInt32)}, schema_overrides={"row": pl.UInt32}
    )
    kept = copies.join(events.with_row_index("row"), on="subject_id", maintain_order="left").join(gone, on=["copy", "row"], how="anti")
    people = copies.join(published_cases.patients, on="subject_id", maintain_order="left")
    batch = Batch(
        patients=people.drop("subject_id").rename({"copy": "subject_id"}).select(published_cases.patients.columns),
        events=kept.drop("subject_id", "row").rename({"copy": "subject_id"}).select(events.columns),
    )
    after = evaluate_batch(batch, knowledge)
    index = dict(before.facts.subjects.select("subject_id", "index_time").iter_rows())
    moved = {row[0]: row[1] for row in after.facts.subjects.select("subject_id", "index_time").iter_rows()}
    now = dict(before.facts.subjects.select("subject_id", "as_of").iter_rows())
    later = dict(after.facts.subjects.select("subject_id", "as_of").iter_rows())
    place = {subject: row for row, subject in enumerate(before.evaluation.subjects["subject_id"])}
    concepts = {subject: frame["concept"].to_list() for (subject,), frame in events.partition_by("subject_id", as_dict=True).items()}
    criteria = [
        (f"{each.treatment.key}/{rule.key}", c.column)
        for each in after.evaluation.plan.treatments
        for rule, c in each.safety
        if rule.when is not None and not any(isinstance(named, HypothesisAtLeast) for named in references(rule.when))
    ]
    wrong, judged = [], 0
    was = np.stack([before.evaluation.columns[column] for _, column in criteria])
    is_ = np.stack([after.evaluation.columns[column] for _, column in criteria])
    for n, subject in enumerate(after.evaluation.subjects["subject_id"]):
        case, row = chosen[int(subject)]
        if moved[subject] != index[case] or later[subject] != now[case]:
            continue
        judged += 1
        concept = events["concept"][row]
        rest = list(concepts[case])
        rest.remove(concept)
        if kin(concept, knowledge) & set(rest):
            continue
        wrong += [
            f"{case} without {concept}: {criteria[c][0]} is cleared"
            for c in np.flatnonzero((is_[:, n] == FALSE) & (was[:, place[case]] != FALSE))
        ]
    assert judged > 500
    assert not wrong, "\n".join(wrong)


# --- drugs to stop or review in suspected calciphylaxis ----------------------------------------------

SUSPECTED = Picture("calciphylaxis")
STOP_LIST = {
    "vitamin_k_antagonist_in_calciphylaxis": "warfarin",
    "calcium_in_calciphylaxis": "calcium_carbonate",
    "vitamin_d_in_calciphylaxis": "calcitriol",
    "parenteral_iron_in_calciphylaxis": "iron_sucrose",
}


@pytest.fixture(scope="module")
def readers() -> Readers:
    return make_readers()


def with_suspected_calciphylaxis(readers: Readers, *says: Says) -> Assessment:
    patients = Patients(readers.knowledge)
    patients.add("p", (SUSPECTED, *says))
    (answer,) = assess_batch(read_resources(patients.resources, readers.index, readers.text), readers.knowledge, as_of=AS_OF)
    assert next(each.status for each in answer.types if each.type == "calciphylaxis").rank >= Status.POSSIBLE.rank
    return answer


def medication(text: str, status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "MedicationStatement", "id": "m", "status": status, "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": {"text": text}, "effectivePeriod": {"start": "2024-05-01"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "review"),
    [
        ("Warfarin 3 mg tablets", "vitamin_k_antagonist_in_calciphylaxis"),
        ("phenprocoumon", "vitamin_k_antagonist_in_calciphylaxis"),
        ("calcium carbonate 1250 mg with meals", "calcium_in_calciphylaxis"),
        ("calcium acetate (phosphate binder)", "calcium_in_calciphylaxis"),
        ("calcium gluconate 10 % intravenous", "calcium_in_calciphylaxis"),
        ("cholecalciferol 1000 IU", "vitamin_d_in_calciphylaxis"),
        ("alfacalcidol 0.5 micrograms", "vitamin_d_in_calciphylaxis"),
        ("calcitriol", "vitamin_d_in_calciphylaxis"),
        ("iron sucrose 100 mg IV", "parenteral_iron_in_calciphylaxis"),
        ("ferric carboxymaltose", "parenteral_iron_in_calciphylaxis"),
    ],
)
def test_the_stop_list_of_suspected_calciphylaxis(readers: Readers, text: str, review: str) -> None:
    suspected = {
        "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "code": {"text": "Calciphylaxis"},
        "verificationStatus": {"coding": [{"code": "provisional"}]}, "recordedDate": "2024-05-20",
    }  # fmt: skip
    somebody = {"resourceType": "Patient", "id": "p"}

    def reviewed(*medicines: dict[str, Any]) -> Assessment:
        batch = read_resources([somebody, suspected, *medicines], readers.index, readers.text)
        (answer,) = assess_batch(batch, readers.knowledge, as_of=AS_OF)
        return answer

    label = readers.knowledge.reviews[review].label
    taken, ended, silent = reviewed(medication(text)), reviewed(medication(text, "stopped")), reviewed()
    (found,) = [each for each in taken.review if each.key == review]
    assert found.urgency in ("same_day", "urgent")
    assert [fact.said for fact in found.facts]
    assert found.citations
    assert review not in [each.key for each in ended.review]
    assert review not in [each.key for each in silent.review]
    assert label in silent.review_not_checked
    assert label not in taken.review_not_checked


def test_without_suspicion_nothing_is_asked_about_these_drugs(readers: Readers) -> None:
    patients = Patients(readers.knowledge)
    patients.add("p", [Says(drug, "now") for drug in STOP_LIST.values()])
    (answer,) = assess_batch(read_resources(patients.resources, readers.index, readers.text), readers.knowledge, as_of=AS_OF)
    assert not {each.key for each in answer.review} & set(STOP_LIST)
    assert not answer.review_not_checked


def test_the_most_urgent_review_comes_first(readers: Readers) -> None:
    answer = with_suspected_calciphylaxis(readers, *(Says(drug, "now") for drug in STOP_LIST.values()))
    assert set(STOP_LIST) <= {each.key for each in answer.review}
    order = ["immediate", "same_day", "urgent", "routine"]
    urgencies = [order.index(each.urgency) for each in answer.review if each.urgency]
    assert urgencies == sorted(urgencies)


# --- what the criteria cannot say yet ----------------------------------------------------------------


def only_option(*events: dict[str, Any], when: Any, born: date = date(1974, 6, 1)) -> OptionOut:
    knowledge = world(treatment("a", rule("asked", "caution", when), uses=[use(types=["dystrophic", "metastatic"])]))
    (answer,) = assess_batch(batch_of(events, patient(born=born)), knowledge)
    (option,) = answer.options
    return option


def test_the_age_of_a_safety_rule_is_the_age_of_today() -> None:
    entries = [event("calcinosis_cutis", day(-20 * 365)), event("pain", INDEX)]
    assert not only_option(*entries, when={"age": "years", "below": 18}, born=date(1994, 6, 1)).safety
    assert only_option(*entries, when={"age": "years", "at_least": 65}, born=date(1954, 6, 1)).safety


def test_an_operation_three_days_ago_is_recent_although_it_ended_that_day() -> None:
    operation = event("biopsy", day(-3), end_time=day(-3))
    assert only_option(LESION, operation, event("pain", INDEX), when={"current": "biopsy", "within_days": 10}).safety


def test_the_end_of_one_drug_does_not_clear_its_class() -> None:
    ended = event("nodule", day(-30), end_time=day(-5))
    option = only_option(event("ckd"), ended, when={"current": "skin_lesion"})
    assert not option.cleared


def test_a_hypothesis_that_was_never_assessed_clears_nothing() -> None:
    assert not only_option(LESION, when={"hypothesis": "calciphylaxis", "at_least": "possible"}).cleared
