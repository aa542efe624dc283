"""``knowledge show`` and ``export``, and criteria in words."""

from __future__ import annotations

import csv
import io
import json
import re

import jsonschema
import pytest
import yaml

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import All
from calcinosis.knowledge.loader import CONTENT
from calcinosis.knowledge.show import export, in_words, show


def test_show_says_what_it_is_where_it_stands_and_who_reads_it(knowledge: Knowledge) -> None:
    text = show("painful", knowledge)
    assert text.startswith("# Finding painful  (findings/")
    shown = yaml.safe_load(text)
    assert "Pain" in shown["when"]
    assert any(user.startswith("findings ischaemic_picture (findings/") for user in shown["read_by"])
    assert shown["cites"]["jim15"].endswith("https://pubmed.ncbi.nlm.nih.gov/26394755/")


def test_show_gives_every_entry_of_a_shared_key(knowledge: Knowledge) -> None:
    text = show("calciphylaxis", knowledge)
    assert "# CalcificationType calciphylaxis" in text and "# Concept calciphylaxis" in text


def test_every_entry_can_be_shown(knowledge: Knowledge) -> None:
    for name in ("types", "diseases", "mimics", "alarms", "tests", "forms", "settings"):
        for key in getattr(knowledge, name):
            assert f" {key}  (" in show(key, knowledge)


def test_unknown_key_lists_close_ones(knowledge: Knowledge) -> None:
    with pytest.raises(KeyError, match=r"no entry 'calcifilaxis'; did you mean .*calciphylaxis"):
        show("calcifilaxis", knowledge)
    with pytest.raises(KeyError, match="the exports are codes, schema, docs"):
        export("everything", knowledge)


def test_codes_export_holds_every_row(knowledge: Knowledge) -> None:
    rows = list(csv.DictReader(io.StringIO(export("codes", knowledge))))
    assert len(rows) == len(knowledge.codes)
    assert list(rows[0]) == ["concept_key", "system", "code", "relation", "licence_tag"]


def test_schema_accepts_the_content_and_rejects_a_slip() -> None:
    schema = json.loads(export("schema", None))  # type: ignore[arg-type]  # the schema depends on the model only
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    entries = [path for path in sorted(CONTENT.rglob("*.yaml")) if path.parent.name != "language"]  # that has a model of its own, in sources
    for path in entries:
        assert validator.is_valid(yaml.safe_load(path.read_text(encoding="utf-8"))), path
    finding = {"key": "x", "label": "X", "sources": ["a"], "when": {"has": "pain"}}
    assert validator.is_valid({"findings": [finding]})
    assert not validator.is_valid({"findings": [finding | {"when": {"hass": "pain"}}]})
    assert not validator.is_valid({"findings": [finding | {"sources": []}]})


def test_export_of_the_reference_has_no_dead_anchor(knowledge: Knowledge) -> None:
    text = export("docs", knowledge)
    anchors = re.findall(r'<a id="([^"]+)">', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)
    assert ".md#" not in text


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        ({"has": "pain"}, "Pain is recorded"),
        ({"not": {"known": {"has": "pain"}}}, "not on record: Pain is recorded"),
        ({"not": {"has": "pain"}}, "shown not to hold: Pain is recorded"),
        ({"known": {"age": "years", "at_least": 13, "below": 18}}, "on record: age from 13 to below 18 years"),
        ({"sex": "female"}, "sex is female"),
        ({"any": [{"sex": "male"}, {"finding": "painful"}]}, "any of (sex is male; “Pain or tenderness is recorded, and not only in another region than every lesion”)"),
        ({"has_any": ["pain", "burn"], "at": ["thigh", "foot"]}, "recorded is any of: Pain, Burn; at one of these sites: Thigh, Foot"),
        ({"has_any": ["pain"], "at": "thigh", "without": ["burn"]}, "recorded is any of: Pain; at this site: Thigh; and not on record there: Burn"),
        (
            {"elsewhere": ["pain", "burn"], "regions": ["trunk", "head"]},
            "each record of Pain and Burn names a place, and they lie in different regions (Trunk, Head)",
        ),
        ({"over": "burn"}, "Burn is on record and ended at least 365 (setting ended_sign_days) days ago"),
        ({"over": "burn", "for_days": 30}, "Burn is on record and ended at least 30 days ago"),
        ({"at_least": 1, "of": [{"sex": "male"}]}, "at least 1 of (sex is male)"),
        ({"has": "injection", "days_before_onset": [0, 90]}, "Injection (not of a filler) is recorded, 0 to 90 days before onset"),
        ({"hypothesis": "calciphylaxis", "at_least": "probable"}, "Calciphylaxis is at least probable"),
    ],
)
def test_criteria_in_words(criterion: dict[str, object], words: str, knowledge: Knowledge) -> None:
    part = All.model_validate({"all": [criterion]}).all_[0]
    assert in_words(part, knowledge) == words


def test_every_criterion_has_words(knowledge: Knowledge) -> None:
    for finding in knowledge.findings.values():
        assert in_words(finding.when, knowledge)
