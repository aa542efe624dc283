"""The vectorised evaluation agrees with a plain evaluator on generated rules and patients."""

from __future__ import annotations

import os
from collections import Counter
from datetime import date, datetime
from typing import Any

import pytest
from hand_made import (
    INDEX,
    LABS,
    alarm_of,
    batch_of,
    concepts,
    day,
    evaluated,
    event,
    knowledge_of,
    leading_of,
    mimic_of,
    patient,
    truths,
    type_of,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference_evaluator import Case

from calcinosis.facts import build_facts

KINDS = {key: concept.kind for key, concept in concepts().items()}
PLAIN = [key for key, kind in KINDS.items() if kind not in ("site", "lab")]
SITES = [key for key, kind in KINDS.items() if kind == "site"]
ASKED_LABS = ["calcium_adjusted", "calcium_total", "phosphate", "albumin", "egfr", "haemoglobin", "ana", "calcium_phosphate_product"]
FLAGS = ["low", "normal", "high", "positive", "negative", "abnormal"]
# values lie on a grid that avoids the limits of every rule and interval unless unit and limit are the very same number
UNITS: dict[str, list[tuple[str | None, list[float]]]] = {
    "calcium_total": [
        ("mmol/L", [1.71, 2.2, 2.43, 2.6, 2.97, 3.41]),
        ("mg/dL", [7.3, 9.9, 12.7]),
        ("meq/L", [4.9, 6.1]),
        ("furlong", [2.5]),
        (None, [2.5]),
    ],
    "calcium_ionised": [("mmol/L", [0.93, 1.17, 1.43])],
    "calcium_albumin_corrected": [("mmol/L", [2.07, 2.39, 2.83])],
    "albumin": [("g/L", [17, 31, 43]), ("g/dL", [2.3, 4.1])],
    "phosphate": [("mmol/L", [0.71, 0.8, 1.21, 1.71, 2.23]), ("mg/dL", [2.1, 4.3, 7.7])],
    "creatinine": [("umol/L", [61, 143, 655]), ("mg/dL", [0.57, 1.03, 6.1])],
    "egfr": [("mL/min/{1.73_m2}", [11, 47, 60, 90])],
    "body_height": [("cm", [121]), ("m", [1.07])],
    "haemoglobin": [("g/L", [93, 125, 149])],
    "calcium_phosphate_product": [("mmol2/L2", [3.1, 6.3]), ("mg2/dL2", [51, 83])],
    "potassium": [("mmol/L", [4.1]), ("meq/L", [4.1])],
    "ana": [(None, [])],
}
LIMITS = {
    "calcium_adjusted": [("mmol/L", [2.0, 2.43, 3.0]), ("mg/dL", [9.9, 12.0])],
    "calcium_total": [("mmol/L", [2.43, 2.97]), ("mg/dL", [9.9])],
    "phosphate": [("mmol/L", [1.21, 1.5, 2.0]), ("mg/dL", [4.3])],
    "albumin": [("g/L", [31, 35])],
    "egfr": [("mL/min/{1.73_m2}", [15, 60])],
    "haemoglobin": [("g/L", [100, 125])],
    "calcium_phosphate_product": [("mg2/dL2", [51, 70]), ("mmol2/L2", [4.4])],
}

EXAMPLES = max(80, settings().max_examples if settings().max_examples > 100 else 0)  # HYPOTHESIS profile "search" asks for more
SHRINK = [Phase.shrink] if os.environ.get("SHRINK") else []  # shrinking trees this large takes minutes

# --- criteria --------------------------------------------------------------------------------------


def lab_values() -> st.SearchStrategy[dict[str, Any]]:
    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        units = st.sampled_from(LIMITS[name])
        return units.flatmap(
            lambda unit: st.builds(
                lambda low, high: {"value": name, "unit": unit[0]} | ({"at_least": low} if low else {}) | ({"below": high} if high else {}),
                st.sampled_from([None, *unit[1]]),
                st.sampled_from([None, *unit[1]]),
            )
        )

    return st.sampled_from(sorted(LIMITS)).flatmap(of)


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    concept = st.sampled_from(PLAIN)
    optional: dict[str, Any] = {
        "at": st.sampled_from(SITES),
        "days_before_onset": st.sampled_from([(0, 14), (1, 400), (-30, -1), (10, 10)]),
        "within_days": st.sampled_from([0, 3, 30]),
    }
    return st.one_of(
        st.fixed_dictionaries({"has": concept}),
        st.fixed_dictionaries({"has": concept}, optional=optional),
        st.fixed_dictionaries({"has_any": st.lists(concept, min_size=1, max_size=3)}, optional={"at": st.sampled_from(SITES)}),
        st.fixed_dictionaries(
            {"has_any": st.lists(concept, min_size=1, max_size=2), "at": st.lists(st.sampled_from(SITES), min_size=1, max_size=3)},
            optional={"without": st.lists(concept, min_size=1, max_size=2)},
        ),
        st.fixed_dictionaries({"suspected": concept}),
        st.fixed_dictionaries({"current": concept}, optional={"within_days": st.sampled_from([0, 30, 400])}),
        st.fixed_dictionaries({"over": concept}, optional={"for_days": st.sampled_from([0, 3, 30, 400])}),
        st.fixed_dictionaries({"same_site": st.tuples(concept, concept)}),
        st.fixed_dictionaries(
            {"elsewhere": st.tuples(concept, concept), "regions": st.lists(st.sampled_from(SITES), min_size=1, max_size=3, unique=True)}
        ),
        st.fixed_dictionaries(
            {"lab": st.sampled_from(ASKED_LABS), "is": st.sampled_from(["high", "low", "normal", "positive", "negative"])},
            optional={"ever": st.booleans()},
        ),
        lab_values(),
        st.fixed_dictionaries(
            {"age": st.just("years")}, optional={"at_least": st.sampled_from([1, 18, 50]), "below": st.sampled_from([13, 21, 50])}
        ),
        st.fixed_dictionaries({"sex": st.sampled_from(["female", "male"])}),
    )


def criteria(findings: list[str] = [], hypotheses: list[str] = []) -> st.SearchStrategy[dict[str, Any]]:  # noqa: B006
    named = [st.fixed_dictionaries({"finding": st.sampled_from(findings)})] if findings else []
    if hypotheses:
        statuses = st.sampled_from(["unlikely", "not_assessed", "possible", "probable", "confirmed"])
        named.append(st.fixed_dictionaries({"hypothesis": st.sampled_from(hypotheses), "at_least": statuses}))

    def compound(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        several = st.lists(parts, min_size=1, max_size=4)
        return st.one_of(
            st.fixed_dictionaries({"all": several}),
            st.fixed_dictionaries({"any": several}),
            st.fixed_dictionaries({"any_known": several}),
            st.fixed_dictionaries({"not": parts}),
            st.fixed_dictionaries({"known": parts}),
            st.fixed_dictionaries({"at_least": st.integers(1, 3), "of": several}),
        )

    return st.recursive(st.one_of(leaves(), *named), compound, max_leaves=8)


STATUSES = st.sampled_from(["excluded", "unlikely", "possible", "probable", "confirmed"])


@st.composite
def knowledge_bases(draw: st.DrawFn) -> dict[str, Any]:
    """The arguments of ``knowledge_of``."""
    findings: dict[str, Any] = {}
    for n in range(draw(st.integers(2, 6))):
        findings[f"f{n}"] = draw(criteria(list(findings)))
    types: dict[str, Any] = {}
    for key, urgency in (("one", 1), ("two", 3), ("three", 5)):
        rules = draw(st.lists(st.tuples(STATUSES, criteria(list(findings), list(types))), min_size=1, max_size=3))
        types[key] = type_of(key, *rules, urgency=urgency)
    if draw(st.booleans()):
        types["three"]["more_urgent"] = {"when": draw(criteria(list(findings))), "urgency": 0}
    rules = draw(st.lists(st.tuples(STATUSES, criteria(list(findings), list(types))), min_size=1, max_size=2))
    alarms = [alarm_of(f"alarm{n}", draw(criteria(list(findings), [*types, "mimic"]))) for n in range(2)]
    return {"findings": findings, "types": list(types.values()), "mimics": [mimic_of("mimic", *rules)], "alarms": alarms}


# --- patients --------------------------------------------------------------------------------------

TIMES = st.one_of(st.none(), st.sampled_from([-3650, -400, -95, -91, -90, -31, -10, -3, -1, 0, 0, 0, 2.5, 7, 8, 30, 90, 200]).map(day))


@st.composite
def plain_events(draw: st.DrawFn) -> dict[str, Any]:
    return event(
        draw(st.sampled_from([*PLAIN, "calcification", "skin_lesion"])),
        draw(TIMES),
        draw(st.sampled_from(["affirmed", "affirmed", "affirmed", "negated", "uncertain", "family"])),
        sites=draw(st.one_of(st.none(), st.lists(st.sampled_from(SITES), max_size=2))),
        days_before_onset=draw(st.sampled_from([None, None, None, 0.0, 7.0, 30.0])),
        end_time=draw(st.one_of(st.none(), TIMES)),
        status=draw(st.sampled_from([None, None, "active", "ended"])),
    )


@st.composite
def lab_events(draw: st.DrawFn) -> dict[str, Any]:
    concept = draw(st.sampled_from(sorted(UNITS)))
    unit, values = draw(st.sampled_from(UNITS[concept]))
    value = draw(st.sampled_from([*values, None]))
    own = draw(st.sampled_from([None, None, None, (0.9, 1.1), (None, 1.05), (0.95, None)]))  # of the value: around it, below, above
    interval = tuple(None if edge is None or value is None else round(value * edge, 3) for edge in own) if own else (None, None)
    return event(
        concept,
        draw(TIMES),
        draw(st.sampled_from(["affirmed"] * 8 + ["family", "negated"])),
        numeric_value=None if value is None else float(value),
        unit=unit if value is not None else None,
        comparator=draw(st.sampled_from([None] * 6 + ["<", "<=", ">", ">="])) if value is not None else None,
        flag=draw(st.sampled_from(FLAGS)) if value is None else draw(st.sampled_from([None, None, None, *FLAGS])),
        range_low=interval[0],
        range_high=interval[1],
    )


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    people, events = [], []
    for n in range(draw(st.integers(4, 8))):
        who = f"p{n}"
        people.append(
            patient(
                who,
                draw(st.sampled_from([None, date(1950, 3, 1), date(1990, 1, 1), date(2016, 7, 1), date(2023, 11, 1)])),
                draw(st.sampled_from([None, "female", "male"])),
            )
        )
        for made in draw(st.lists(st.one_of(plain_events(), lab_events(), lab_events()), max_size=10)):
            events.append(made | {"subject_id": who})
    for n, made in enumerate(events):
        made["source"] = f"Record/{n:03d}"  # ties are broken by source
    return people, events


# --- the property ----------------------------------------------------------------------------------


def test_vectorised_evaluation_agrees_with_the_reference_evaluator() -> None:
    compared = Counter[str]()
    said = Counter[bool | None]()

    @settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate, *SHRINK])
    @given(
        knowledge_bases(),
        cohorts(),
        st.sampled_from([None, None, INDEX]),
        st.sampled_from([frozenset[str](), frozenset({"disease", "drug"}), frozenset({"finding", "exposure", "procedure"})]),
    )
    def agree(records: dict[str, Any], cohort: tuple[Any, Any], as_of: datetime | None, closed_world: frozenset[str]) -> None:
        people, events = cohort
        knowledge = knowledge_of(**records)
        evaluation = evaluated(batch_of(events, *people), knowledge, closed_world=closed_world, as_of=as_of)
        plan = evaluation.plan
        findings = {key: truths(evaluation.columns[f"finding:{key}"]) for key in knowledge.findings}
        alarms = {c.owner: truths(evaluation.columns[c.column]) for c in plan.other if c.kind == "alarm"}
        for row, person in enumerate(people):
            mine = [e for e in events if e["subject_id"] == person["subject_id"]]
            case = Case(knowledge, person, mine, as_of, closed_world)
            for key in knowledge.findings:
                expected = case.finding(key)
                assert findings[key][row] is expected, (knowledge.findings[key].when, person, short(mine))
                said[expected] += 1
                compared["finding"] += 1
            for key in plan.hypotheses:
                status, fired = case.status(key)
                assert (evaluation.rank(key)[row], evaluation.fired(key)[row]) == (status.rank, fired), (key, person, short(mine))
                compared["status"] += 1
            assert leading_of(evaluation)[row] == case.leading()
            for key, alarm in knowledge.alarms.items():
                assert alarms[key][row] is case.truth(alarm.when, now=True), (alarm.when, person, short(mine))
                compared["alarm"] += 1

    agree()
    print(f"rule × patient pairs compared: {dict(compared)}; findings said {dict(said)}")
    assert sum(compared.values()) >= 2000
    assert min(said[True], said[False], said[None]) >= 100  # the generator reaches all three values


def short(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is not set."""
    return [{name: value for name, value in e.items() if value is not None and name not in ("source_file", "code")} for e in events]


def test_the_generator_knows_every_lab() -> None:
    assert set(UNITS) | {"calcium_adjusted"} == set(LABS)


@settings(max_examples=EXAMPLES)
@given(cohorts(), st.sampled_from([None, INDEX]))
def test_the_deciding_measurements_agree_with_the_reference(cohort: tuple[Any, Any], as_of: datetime | None) -> None:
    people, events = cohort
    knowledge = knowledge_of()
    rows = build_facts(batch_of(events, *people), knowledge, as_of).labs.to_dicts()
    found = {(row["subject_id"], row["concept"]): row for row in rows}
    expected_keys = set()
    for person in people:
        case = Case(knowledge, person, [e for e in events if e["subject_id"] == person["subject_id"]], as_of)
        for concept, measured in case.measured.items():
            expected_keys.add((person["subject_id"], concept))
            row = found[person["subject_id"], concept]
            about = (concept, person, short(case.events))
            assert row["ever"] == sorted({m.flag for m in measured if m.flag}), about
            assert row["n"] == len(measured), about
            for prefix, now in (("", False), ("now_", True)):
                decides = case.deciding(concept, now)
                assert row[prefix + "flag"] == (decides.flag if decides else None), about
                assert row[prefix + "source"] == (decides.source if decides else None), about
                sized = case.deciding(concept, now, sized=True)
                assert row[prefix + "comparator"] == (sized.comparator if sized else None), about
                assert row[prefix + "value"] == pytest.approx(sized.value if sized else None), about
    assert set(found) == expected_keys
