"""Treatment in the reports: what was evaluated, what speaks for and against it, and above all what could not be checked."""

from __future__ import annotations

import re

import pytest
from people import anticoagulated, assessed, frozen
from test_patient_page import Page
from test_terminal import printed

from calcinosis.assessment import Assessment
from calcinosis.contract import EvidenceOut, OptionOut, PooledOut, SafetyOut, UncheckedOut
from calcinosis.report.option_words import (
    evidence_line,
    not_checked,
    option_lists,
    order_words,
    pooled_for,
    pooled_words,
    safety_words,
    speaks_for,
    studies_words,
)
from calcinosis.report.patient_page import render_patient_html
from calcinosis.report.terminal_options import IN_FULL

WITH_OPTIONS = ("dialysis", "scleroderma")


def one_line(assessment: Assessment) -> str:
    return " ".join(printed(assessment).split())


def terminal_block(assessment: Assessment, option: OptionOut) -> str:
    """What the terminal prints of one option, on one line."""
    listed = one_line(assessment).partition("Treatment options evaluated so far")[2]
    start = listed.index(f"{option.place}. {option.label}")
    following = re.search(r" \d+\. [A-Z]| (Contraindicated here|References|Not used in full|and \d+ more, in full)", listed[start + 5 :])
    return listed[start : start + 5 + following.start()] if following else listed[start:]


def page_block(assessment: Assessment, option: OptionOut) -> str:
    html = render_patient_html([assessment])
    entry = html.partition(f'id="p1-option-{option.type}-{option.treatment}"')[2].partition("</details>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", entry).split())


def grave(option: OptionOut) -> list[UncheckedOut]:
    return [rule for rule in option.not_checked if rule.verdict == "contraindicated"]


# --- unknown is never safe


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_a_contraindication_that_could_not_be_checked_is_shown_at_the_option(name: str) -> None:
    assessment = frozen(name)
    options = [option for option in assessment.options if grave(option)]
    assert options
    for option in options:
        said = terminal_block(assessment, option)
        for rule in grave(option):
            assert rule.label in said
        assert f"{len(grave(option))} contraindication" in said and "not checked" in said
        shown = page_block(assessment, option)
        summary = shown.partition("What it is")[0]
        assert f"{len(grave(option))} contraindication" in summary and "not checked" in summary
        assert all(" ".join(rule.label.split()) in shown.replace("&#39;", "'").replace("&#34;", '"') for rule in grave(option))


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_what_could_not_be_checked_is_in_the_line_of_an_option_that_is_not_shown_in_full(name: str) -> None:
    assessment = assessed(name)
    for each in option_lists(assessment):
        for option in each.options[IN_FULL:]:
            if option.not_checked:
                assert "not checked" in terminal_block(assessment, option), option.treatment


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_no_option_is_called_safe(name: str) -> None:
    """In the words of the program; a quoted study may speak of safety."""
    for option in assessed(name).options:
        words = [order_words(option), *(words for _, words in safety_words(option))]
        assert words[1:] and not any(re.search(r"\bsafe|\bno (caution|contraindication)", each) for each in words)
    assert "What the record does not say is unknown, never safe." in one_line(assessed(name))


def test_nothing_unchecked_disappears_from_the_verdicts() -> None:
    for option in assessed("scleroderma").options:
        counted = sum(int(words.split()[0]) for kind, words in safety_words(option) if kind.startswith("unchecked"))
        assert counted == len(option.not_checked)
        assert sum(each.count for each in not_checked(option)) == len(option.not_checked)


def test_a_rule_that_holds_is_never_left_out_of_the_verdicts() -> None:
    option = frozen("dialysis").options[0]
    watched = option.model_copy(update={"safety": [_rule("monitor")], "not_checked": [], "always": [], "cleared": 1})
    assert safety_words(watched) == [("monitor", "needs monitoring")]
    assert safety_words(watched.model_copy(update={"safety": []})) == [("note", "1 rule checked, it does not hold")]
    assert "no rule on file" in safety_words(watched.model_copy(update={"safety": [], "cleared": 0}))[0][1]
    everybody = watched.model_copy(update={"safety": [_rule("contraindicated")], "always": [_rule("caution")]})
    assert safety_words(everybody) == [("contraindicated", "contraindicated"), ("caution", "1 caution for everybody")]


def _rule(verdict: str) -> SafetyOut:
    return SafetyOut(rule="r", kind="caution", verdict=verdict, label="Rule", why="Because.", advice=None, facts=[], citations=[])


def test_contraindications_are_named_first_and_what_is_missing_once() -> None:
    option = (
        frozen("dialysis")
        .options[0]
        .model_copy(
            update={
                "not_checked": [
                    _unchecked("Antibiotic being taken", "caution", ["Clarithromycin", "Itraconazole"]),
                    _unchecked("Azole being taken", "caution", ["Itraconazole", "Bosentan"]),
                    _unchecked("Low calcium", "contraindicated", ["Hypocalcaemia, diagnosed"]),
                    _unchecked("Bosentan being taken", "contraindicated", ["Bosentan"]),
                ]
            }
        )
    )
    assert [each.line for each in not_checked(option)] == [
        "2 contraindications not checked, not on record: Low calcium (Hypocalcaemia, diagnosed); Bosentan being taken",
        "2 cautions not checked, not on record: Clarithromycin; Itraconazole",
    ]
    assert not_checked(option, 1)[1].line.endswith("Clarithromycin; and 1 more")


def _unchecked(label: str, verdict: str, missing: list[str]) -> UncheckedOut:
    return UncheckedOut(rule="r", kind="interaction", verdict=verdict, label=label, missing=missing, because=None)


# --- order


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_ties_share_a_place(name: str) -> None:
    assessment = frozen(name)
    tied = [option for option in assessment.options if sum(each.place == option.place for each in assessment.options) > 1]
    assert len(tied) > 1
    text = one_line(assessment)
    for option in tied:
        assert f"{option.place}. {option.label}" in text
        assert f"shares place {option.place} with" in page_block(assessment, option)


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_a_tie_is_not_cut_in_two(name: str) -> None:
    assessment = assessed(name)
    for each in option_lists(assessment):
        full = [option for option in each.options if "evidence: " in terminal_block(assessment, option)]
        assert len(full) >= IN_FULL
        assert not {option.place for option in full} & {option.place for option in each.options[len(full) :]}


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_evidence_against_is_shown_as_such(name: str) -> None:
    assessment = frozen(name)
    [option] = [option for option in assessment.options if option.stance == "against"]
    reason = next(use.statement.text for use in option.uses if use.stance == "against")
    said = terminal_block(assessment, option)
    assert "evidence against it" in said and f"against: {reason}" in said
    assert "evidence against it" in page_block(assessment, option).partition("What it is")[0]
    text = one_line(assessment)
    assert text.index("Contraindicated here, or with evidence against it") < text.index(f"{option.place}. {option.label}")


def test_contraindicated_options_come_last_with_the_facts_of_the_patient() -> None:
    assessment = frozen("dialysis")
    [option] = [option for option in assessment.options if option.order.contraindicated]
    rule = next(rule for rule in option.safety if rule.verdict == "contraindicated")
    said = terminal_block(assessment, option)
    assert f"CONTRAINDICATED: {rule.label}" in said and rule.facts[0].source in said
    assert option in option_lists(assessment)[0].last


def test_the_bundle_comes_first_with_what_its_evidence_is_worth() -> None:
    assessment = assessed("dialysis")
    [listed] = [each for each in option_lists(assessment) if each.type == "calciphylaxis"]
    assert listed.bundle == listed.all[: len(listed.bundle)]
    for option in listed.bundle:
        said = terminal_block(assessment, option)
        assert all(" ".join(each.text.split()) in said for each in [*(use.statement for use in option.uses), *option.notes])


def test_order_in_words() -> None:
    option = frozen("scleroderma").options[1]
    assert order_words(option) == "option; studied in this disease and something speaks for it here; level 3; benefit reported; 1 caution"
    elsewhere = option.model_copy(
        update={"speaks_for": [], "uses": [use.model_copy(update={"studied_here": False}) for use in option.uses]}
    )
    assert "not studied in a disease on record here; nothing on record speaks for it" in order_words(elsewhere)
    contraindicated = option.model_copy(update={"order": option.order.model_copy(update={"contraindicated": True})})
    assert order_words(contraindicated).startswith("contraindicated here; option")


def test_what_speaks_for_it_is_said_once() -> None:
    option = next(option for option in frozen("scleroderma").options if option.speaks_for)
    twice = option.model_copy(update={"speaks_for": option.speaks_for * 2})
    assert speaks_for(twice) == option.speaks_for


# --- evidence


def _evidence(**more: object) -> EvidenceOut:
    base = {"studies": 9, "patients": 152, "beside": 0, "single_cases": 3, "level": 3, "diseases": {}, "pooled": [], "citations": []}
    return EvidenceOut.model_validate(base | {"directions": {"no_benefit": 4, "benefit": 3, "mixed": 2}} | more)


def _pooled(disease: str | None, studies: int, events: int, patients: int) -> PooledOut:
    return PooledOut(
        outcome="calcification", disease=disease, studies=studies, patients=patients, events=events, estimate=0.405, low=0.09, high=0.79,
        prediction_low=None, prediction_high=None,
    )  # fmt: skip


def test_evidence_in_one_line() -> None:
    option = frozen("scleroderma").options[1].model_copy(update={"evidence": _evidence(pooled=[_pooled(None, 2, 12, 29)])})
    assert evidence_line(option, {}) == (
        "9 studies, 152 patients (3 single cases), level 3, mixed: 3 benefit, 2 mixed, 4 no benefit; "
        "less calcification: 12/29 in 2 studies, pooled 41 % (95 % interval 9–79)"
    )


def test_single_cases_are_named_as_such() -> None:
    assert studies_words(_evidence(studies=3, single_cases=3, directions={"benefit": 3})) == "3 single cases only, level 3, benefit"
    nothing = _evidence(studies=0, patients=None, single_cases=0, level=5, directions={})
    assert studies_words(nothing) == "no study with patients of its own, level 5 (guidance or reviews)"
    assert "number of patients not given" in studies_words(_evidence(patients=None))


def test_the_pooled_share_of_the_patients_own_disease_goes_first() -> None:
    own, all_, other = _pooled("a", 1, 3, 12), _pooled(None, 2, 12, 29), _pooled("b", 1, 9, 17)
    found = _evidence(pooled=[all_, own, other])
    assert pooled_for(found, {"a": "Disease A"}) == [own]
    assert pooled_for(found, {}) == [all_]
    assert pooled_words(own, {"a": "Disease A"}) == "less calcification (Disease A): 3/12 = 41 % (95 % interval 9–79)"


# --- what the patient has now


def test_review_comes_before_options() -> None:
    assessment = anticoagulated()
    assert assessment.review
    text = printed(assessment)
    order = [text.index(words) for words in ("ALARMS (", "Answer:", "Current treatment to review", "Treatment options evaluated so far")]
    assert order == sorted(order)
    page = Page(render_patient_html([assessment])).text
    alarms, answer = f"{len(assessment.alarms)} alarms", "Answer Calciphylaxis"
    order = [page.index(words) for words in (alarms, "Current treatment to review", answer, "Treatment options evaluated so far")]
    assert order == sorted(order)


def test_the_most_urgent_review_comes_first_with_its_facts() -> None:
    assessment = anticoagulated()
    said = one_line(assessment).partition("Current treatment to review")[2]
    first = assessment.review[0]
    assert said.startswith(f" ! SAME DAY: {first.label}")
    assert first.facts[0].source in said
    assert "CONTRAINDICATED: " in said


def test_a_review_that_could_not_be_checked_is_no_all_clear() -> None:
    assessment = frozen("dialysis")
    assert not assessment.review and assessment.review_not_checked
    for text in (one_line(assessment), Page(render_patient_html([assessment])).text):
        assert "that is not an all-clear" in text
        assert all(label in text for label in assessment.review_not_checked)


# --- nothing is prescribed


def test_nothing_is_prescribed_and_doses_stand_only_in_the_page() -> None:
    assessment = frozen("dialysis")
    dose = next(each.text for option in assessment.options for each in option.dosing)
    assert "Nothing is prescribed" in one_line(assessment)
    assert dose not in one_line(assessment)
    page = Page(render_patient_html([assessment])).text
    assert "Nothing is prescribed" in page
    assert " ".join(dose.split()) in page and "Doses as studied or labelled; no advice" in page


# --- the page


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_every_option_has_a_row_and_an_entry(name: str) -> None:
    assessment = assessed(name)
    page = Page(render_patient_html([assessment]))
    ids = {attrs.get("id") for attrs in page.of("details")}
    wanted = {f"p1-option-{option.type}-{option.treatment}" for option in assessment.options}
    assert wanted <= ids
    assert {f"#{each}" for each in wanted} <= {attrs.get("href") for attrs in page.of("a")}


def test_the_interval_plot_says_in_words_what_it_draws() -> None:
    assessment = frozen("dialysis")
    pooled = [each for option in assessment.options for each in option.evidence.pooled]
    plots = Page(render_patient_html([assessment])).of("svg")
    assert pooled and len(plots) == len(pooled)
    assert all(attrs["role"] == "img" and re.fullmatch(r"\d+ % \(\d+–\d+\)", attrs["aria-label"] or "") for attrs in plots)
