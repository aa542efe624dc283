"""The free-text reader: probe sentences, matching, scopes, sites, lead times, laboratory names, privacy."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from calcinosis.knowledge.model import Concept, Context
from calcinosis.sources.context import _cues
from calcinosis.sources.context_rules import ContextRules, load_context_rules
from calcinosis.sources.text import Mention, Reading, TextReader
from calcinosis.sources.words import fold, tokenise

PROBES = yaml.safe_load((Path(__file__).parent / "context_probes.yaml").read_text(encoding="utf-8"))


def concept(key: str, kind: str = "finding", **more: object) -> Concept:
    return Concept.model_validate({"key": key, "label": key, "kind": kind, **more})


CONCEPTS = [
    concept("calcification", synonyms=["calcification*", "calcinosis", "calcium deposit*", "calcified"]),
    concept("subcutaneous_calcification", parents=["calcification"], synonyms=["subcutaneous calcification*"]),
    concept("vessel_calcification", parents=["calcification"], patterns=["vessel*|vascular|arter* calcif*"]),
    concept("thrombosis", synonyms=["thrombosis"]),
    concept("skin_ulcer", synonyms=["ulcer*"]),
    concept("skin_necrosis", synonyms=["skin necrosis"], patterns=["necro* skin|thigh"]),
    concept("pain", synonyms=["pain*"]),
    concept("fever", synonyms=["fever"]),
    concept("oedema", synonyms=["oedema", "swelling"]),
    concept("tumour", synonyms=["tumour"]),
    concept("palpable_pulses", synonyms=["palpable pulses"]),
    concept("absent_pulses", synonyms=["absent pulses", "pulses absent", "no palpable pulses"]),
    concept("raynaud_phenomenon", synonyms=["Raynaud", "Raynaud's phenomenon"]),
    concept("sjogren_syndrome", "disease", synonyms=["Sjögren syndrome"]),
    concept("lupus", "disease", synonyms=["lupus", "SLE"]),
    concept("discoid_lupus", "disease", synonyms=["discoid lupus"]),
    concept("calciphylaxis", "disease", synonyms=["calciphylaxis"]),
    concept("uraemia", "disease", synonyms=["uraemi*"]),
    concept("hyperparathyroidism", "disease", synonyms=["hyperparathyroidism"]),
    concept("secondary_hyperparathyroidism", "disease", parents=["hyperparathyroidism"], synonyms=["secondary hyperparathyroidism"]),
    concept("leukaemia", "disease", synonyms=["leukaemia"]),
    concept("haemodialysis", "procedure", synonyms=["haemodialysis"]),
    concept("warfarin", "drug", synonyms=["warfarin"]),
    concept("calcium_gluconate", "drug", synonyms=["calcium gluconate"]),
    concept("deposit_on_biopsy", contexts=["histology"], synonyms=["deposit*"]),
    concept("elbow", "site", synonyms=["elbow", "elbows"]),
    concept("knee", "site", synonyms=["knee"]),
    concept("thigh", "site", synonyms=["thigh"]),
    concept("toe", "site", synonyms=["toe*"]),
    concept("face", "site", synonyms=["face"]),
    concept("calcium_total", "lab", synonyms=["calcium", "total calcium", "calcium total"]),
    concept("calcium_ionised", "lab", synonyms=["ionised calcium"]),
    concept("phosphate", "lab", synonyms=["phosphate", "inorganic phosphate"]),
    concept("vitamin_d_25", "lab", synonyms=["25(OH)D", "25-hydroxyvitamin D"]),
    concept("pth_intact", "lab", synonyms=["PTH", "intact PTH", "parathyroid hormone"]),
]
READER = TextReader(CONCEPTS)


def said(text: str, context: Context = Context.NOTE) -> dict[str, str]:
    return {mention.concept: mention.certainty for mention in READER.read(text, context).mentions}


def mention(text: str, key: str, context: Context = Context.NOTE) -> Mention:
    return next(mention for mention in READER.read(text, context).mentions if mention.concept == key)


# --- the probe sentences --------------------------------------------------------------------------

PROBE_READER = TextReader(concept(key, synonyms=names) for key, names in PROBES["concepts"].items())


@pytest.mark.parametrize(
    ("context", "text", "key", "certainty"), [pytest.param(*row, id=row[1]) for rows in PROBES["probes"].values() for row in rows]
)
def test_probe(context: str, text: str, key: str, certainty: str) -> None:
    found = [mention.certainty for mention in PROBE_READER.read(text, Context(context)).mentions if mention.concept == key]
    assert found[-1:] == [certainty]


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("oedema", "edema"), ("haemodialysis", "Hemodialysis"), ("haemo-dialysis", "haemodialysis"), ("tumours", "tumor"),
        ("leukæmia", "leukaemia"), ("œdema", "edema"), ("Sjögren’s", "sjogren"), ("mineralised", "mineralized"), ("dialyzed", "dialysed"),
        ("calcifications", "calcification"), ("masses", "mass"), ("biopsies", "biopsy"), ("metastases", "metastasis"),
        ("bullae", "bulla"), ("fibres", "fiber"), ("sulphate", "sulfate"), ("leucocytoclastic", "leukocytoclastic"), ("feet", "foot"),
    ],
)  # fmt: skip
def test_spellings_of_one_word_meet(one: str, other: str) -> None:
    assert fold(one)[0] == fold(other)[0]


@pytest.mark.parametrize(("one", "other"), [("toe", "te"), ("hour", "hor"), ("non-uraemic", "uraemic"), ("mass", "mas"), ("pus", "pu")])
def test_two_words_do_not_meet(one: str, other: str) -> None:
    assert fold(one)[0] != fold(other)[0]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Lesion 1.5 cm. No pain.", 2),
        ("Calcium 2,5 mmol/l, e.g. high", 1),
        ("calciphylaxis vs. vasculitis", 1),
        ("Grown: S. aureus", 1),
        ("Lesion no. 3 is painful", 1),
        ("Pain: no. Ulcers", 2),
        ("fever;pain!ulcer", 3),
        ("fever\npain", 2),
        ("There is no radiological or clinical evidence for\ncalcification", 1),
        ("The left calf shows no\nUlcer", 1),
        ("The skin is intact, with neither\nCalcium nor necrosis", 1),
        ("Livedo of the arm\ncalcification", 2),
        ("Smoker no\nFever yes", 2),
        ("Pain: no\nUlcers: yes", 2),
        ("There is at present no radiological or clinical evidence of any\ncalcification", 1),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    marks = [word for word, _ in tokenise(text).words]
    assert len([part for part in " ".join(marks).split(" .") if part.strip()]) == sentences


# --- matching -------------------------------------------------------------------------------------


def test_words_are_matched_whole() -> None:
    assert said("non-uraemic calciphylaxis") == {"calciphylaxis": "affirmed"}
    assert said("normouraemia, hyper-uraemia") == {}
    assert said("uraemic and hyperuraemic") == {"uraemia": "affirmed"}
    assert said("tendon and temple", Context.SITE) == {}  # "toe*" must not become "te*"


def test_longest_related_phrase_wins() -> None:
    assert said("subcutaneous calcification") == {"subcutaneous_calcification": "affirmed"}
    assert said("secondary hyperparathyroidism") == {"secondary_hyperparathyroidism": "affirmed"}
    assert said("discoid lupus") == {"discoid_lupus": "affirmed"}
    assert said("discoid lupus and SLE") == {"discoid_lupus": "affirmed", "lupus": "affirmed"}


def test_a_laboratory_name_inside_a_longer_phrase_is_not_read() -> None:
    assert said("calcium deposits", Context.OBSERVATION) == {"calcification": "affirmed"}


def test_unrelated_overlap_keeps_both() -> None:
    assert said("calcium deposits", Context.HISTOLOGY) == {"calcification": "affirmed", "deposit_on_biopsy": "affirmed"}


def test_equal_spans_give_every_concept() -> None:
    reader = TextReader([concept("a", synonyms=["calcinosis"]), concept("b", synonyms=["calcinosis"])])
    assert {mention.concept for mention in reader.read("calcinosis", Context.NOTE).mentions} == {"a", "b"}


def test_only_the_concepts_of_the_context() -> None:
    assert said("warfarin", Context.DRUG) == {"warfarin": "affirmed"}
    assert said("warfarin", Context.IMAGING) == {}


def test_patterns_in_any_order_within_one_clause() -> None:
    assert said("calcification within the walls of small vessels")["vessel_calcification"] == "affirmed"
    assert said("calcifications, mainly of arteries")["vessel_calcification"] == "affirmed"
    assert said("calcification of skin, muscle and vessels")["vessel_calcification"] == "affirmed"
    assert "vessel_calcification" not in said("calcification of the skin, vascular disease")
    assert "vessel_calcification" not in said("calcification of the skin. Vessels thrombosed")
    assert "vessel_calcification" not in said("calcification of the skin but thrombosed vessels")


def test_a_pattern_replaces_the_phrase_it_contains() -> None:
    assert said("no calcification in the vessels") == {"vessel_calcification": "negated"}
    assert said("calcification without vessel involvement") == {"calcification": "affirmed", "vessel_calcification": "negated"}


def test_a_pattern_is_not_denied_by_another_finding() -> None:
    assert said("calcification without vessel thrombosis") == {"calcification": "affirmed", "thrombosis": "negated"}


def test_spared_vessels_deny_the_pattern_only() -> None:
    assert said("calcification with normal vessels") == {"calcification": "affirmed", "vessel_calcification": "negated"}


# --- scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "no intramuscular calcification, extensive subcutaneous calcification",
            {"calcification": "negated", "subcutaneous_calcification": "affirmed"},
        ),
        ("Absent pulses, ulcers on the toes", {"absent_pulses": "affirmed", "skin_ulcer": "affirmed"}),
        ("Ulcers and pulses absent", {"absent_pulses": "affirmed", "skin_ulcer": "affirmed"}),
        ("no palpable pulses, ulcers on the toes", {"absent_pulses": "affirmed", "palpable_pulses": "negated", "skin_ulcer": "affirmed"}),
        ("No family history of lupus.", {}),
        ("Family history: negative for SLE", {}),
        ("Calcification: not assessed", {}),
        ("Calcification: unknown", {}),
        ("Painful ulcers of unknown cause", {"pain": "affirmed", "skin_ulcer": "affirmed"}),
        ("ulcer, possibly due to calciphylaxis", {"skin_ulcer": "affirmed", "calciphylaxis": "uncertain"}),
        ("No fever (and no pain) or ulceration", {"fever": "negated", "pain": "negated", "skin_ulcer": "negated"}),
        ("Elbows: calcification no", {"calcification": "negated"}),
        ("swelling (no pain), fever", {"oedema": "affirmed", "pain": "negated", "fever": "affirmed"}),
        ("calciphylaxis rather than lupus", {"calciphylaxis": "affirmed", "lupus": "negated"}),
        ("Fever - no; pain - yes", {"fever": "negated", "pain": "affirmed"}),
        ("no fever, skin: ulcers", {"fever": "negated", "skin_ulcer": "affirmed"}),
        ("Not seen: calcification", {"calcification": "negated"}),
        ("SLE? no. Pain? yes", {"lupus": "negated", "pain": "affirmed"}),
        ("no new ulcers", {"skin_ulcer": "uncertain"}),
        ("Her mother has lupus and he has pain", {"lupus": "family", "pain": "affirmed"}),
        ("Lesion no. 3 is painful", {"pain": "affirmed"}),
    ],
)
def test_scope(text: str, expected: dict[str, str]) -> None:
    assert said(text) == expected


def test_reporting_words_affirm_where_a_report_concludes() -> None:
    for text in ("consistent with calciphylaxis", "probable calciphylaxis", "suggesting calciphylaxis", "likely calciphylaxis"):
        assert said(text, Context.HISTOLOGY) == said(text, Context.IMAGING) == {"calciphylaxis": "affirmed"}
        assert said(text, Context.CONDITION) == said(text, Context.NOTE) == {"calciphylaxis": "uncertain"}


# --- sites ----------------------------------------------------------------------------------------


def test_sites_stand_with_the_mentions_of_their_clause() -> None:
    text = "Calcinosis of the elbows and knees, ulcers on the toes. Pain."
    assert mention(text, "calcification").sites == ("elbow", "knee")
    assert mention(text, "skin_ulcer").sites == ("toe",)
    assert mention(text, "pain").sites == ()
    assert READER.read(text, Context.NOTE).sites == ("elbow", "knee", "toe")


def test_a_site_may_stand_first() -> None:
    assert mention("Elbows: calcinosis, ulcers", "skin_ulcer").sites == ("elbow",)


def test_denied_sites_are_left_out() -> None:
    reading = READER.read("Calcinosis of the elbows, face spared", Context.NOTE)
    assert reading.sites == reading.mentions[0].sites == ("elbow",)
    assert READER.read("calcinosis: elbows yes, knees no", Context.NOTE).sites == ("elbow",)


def test_a_denied_mention_keeps_its_site() -> None:
    reading = READER.read("no calcification of the thigh", Context.NOTE)
    assert (reading.mentions[0].sites, reading.sites) == (("thigh",), ())


def test_a_site_alone() -> None:
    assert READER.read("left thigh", Context.SITE) == Reading((), ("thigh",), None)


# --- lead times -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("7 days before", 7),
        ("7 days before, on the ward", 7),
        ("lesions 2 days after restart", 2),
        ("began one month after the first cycle", 30.4375),
        ("on the second day after", 2),
        ("on the 5th day after infusion", 5),
        ("day 3 after the infusion", 3),
        ("the day after", 1),
        ("42 years before", 15340.5),
        ("forty two years before onset", 15340.5),
        ("two weeks prior to onset", 14),
        ("a couple of weeks prior", None),
        ("3 weeks earlier", 21),
        ("10–14 days before the first lesions", 12),
        ("2 to 3 weeks before the ulcers", 17.5),
        ("1 year and 2 months before onset", 426.125),
        ("within 24 hours of the injection", 1),
        ("24h after extravasation", 1),
        ("ulcers after two weeks of warfarin", 14),
        ("ulcers 3 weeks later", 21),
        ("1.5 years before the rash", 547.875),
        ("begun after the first lesions", -1),
        ("started 3 months after the ulcers appeared", -91.3125),
        ("lesions appeared 2 days before restart", -2),
        ("10 mg loading dose without heparin cover; lesions on day 4", 4),
        ("skin lesions on the 4th day", 4),
        ("lesions on day of admission", None),
        ("seen on day 4", None),
        ("7 days before surgery", None),
        ("stopped after 2 weeks", None),
        ("warfarin 3 weeks later", None),
        ("3 years", None),
        ("1 year", None),
        ("long term", None),
        ("for many years before onset", None),
        ("since 2 years", None),
    ],
)
def test_lead_time(text: str, days: float | None) -> None:
    assert READER.read(text, Context.DRUG).days_before_onset == days


# --- laboratory names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Calcium", "calcium_total"),
        ("Serum calcium", "calcium_total"),
        ("S-Calcium", "calcium_total"),
        ("calcium, serum", "calcium_total"),
        ("Calcium, total, plasma", "calcium_total"),
        ("total calcium levels", "calcium_total"),
        ("Calcium [Mass/volume] in Serum or Plasma", "calcium_total"),
        ("Calcium (mg/dL)", "calcium_total"),
        ("Calcium (ionised)", "calcium_ionised"),
        ("Ionized calcium", "calcium_ionised"),
        ("Calcium, ionised", "calcium_ionised"),
        ("Calcium.ionized [Moles/volume] in Blood by Ion-selective membrane electrode (ISE)", "calcium_ionised"),
        ("Phosphate by molybdate method, serum", "phosphate"),
        ("plasma phosphate concentration", "phosphate"),
        ("PTH (intact), plasma", "pth_intact"),
        ("Parathyroid hormone level", "pth_intact"),
        ("25(OH)D", "vitamin_d_25"),
        ("25-hydroxy-vitamin D", None),
        ("Calcium (urine)", None),
        ("Calcium (corrected)", None),
        ("urine calcium", None),
        ("calcium gluconate", None),
        ("calcium phosphate", None),
        ("", None),
        ("serum", None),
    ],
)
def test_name_of_lab(text: str, key: str | None) -> None:
    assert READER.name_of_lab(text) == key


# --- promises -------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(
            "no",
            "not",
            "calcification",
            "subcutaneous calcification",
            "elbow",
            "ulcers",
            "vessels",
            "mother",
            "possible",
            "absent",
            "normal",
        ),
        *("(", ")", ",", ".", ";", ":", "?", "-", "/", "%", "\n", "and", "or", "but", "with", "2", "weeks", "before", "after"),
        *("œdema", "İ", "n’t", "non-"),
    ]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=12).map("".join))


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from(list(Context)))
def test_any_text_is_read_and_offsets_hold(text: str, context: Context) -> None:
    reading = READER.read(text, context)
    for found in reading.mentions:
        assert text[found.start : found.end] == found.phrase != ""
        assert found.certainty in ("affirmed", "negated", "uncertain", "family")
    assert [found.start for found in reading.mentions] == sorted(found.start for found in reading.mentions)
    assert READER.name_of_lab(text) in (None, *(one.key for one in CONCEPTS if one.kind == "lab"))


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_upper_case_changes_nothing(text: str) -> None:
    plain = text.lower()
    if plain.isascii():  # "ß".upper() is two letters
        keys = [(found.concept, found.certainty) for found in READER.read(plain, Context.NOTE).mentions]
        if "." not in plain and "\n" not in plain:  # a capital after a full stop is a sign of a sentence
            assert keys == [(found.concept, found.certainty) for found in READER.read(plain.upper(), Context.NOTE).mentions]


def test_a_long_text_is_read_in_reasonable_time_and_not_remembered() -> None:
    text = "no pain, calcification of vessels and elbow, " * 2000
    before = READER._remembered.cache_info().currsize
    assert len(READER.read(text, Context.NOTE).mentions) > 1000
    assert READER._remembered.cache_info().currsize == before


def test_nothing_is_logged_or_printed(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        READER.read("Mrs Secretname-Example: no calcification, ulcers on the thigh 2 weeks before onset?", Context.NOTE)
        READER.name_of_lab("Secretname calcium")
    output = capfd.readouterr()
    assert (caplog.text, output.out, output.err) == ("", "", "")


def test_rules_with_an_unknown_key_or_a_bare_yes_are_refused() -> None:
    rules = load_context_rules().model_dump()
    with pytest.raises(ValueError, match="negatoin"):
        ContextRules.model_validate({**rules, "negatoin": {}})
    with pytest.raises(ValueError, match="quotes"):
        ContextRules.model_validate({**rules, "openers": [True]})


# --- drugs that are named and not taken -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "allergy to warfarin", "warfarin allergy", "intolerant of warfarin", "warfarin planned", "to start warfarin", "consider warfarin",
        "patient declined warfarin", "warfarin is contraindicated", "avoid warfarin",
    ],
)  # fmt: skip
def test_a_drug_that_is_named_and_not_taken_is_no_mention(text: str) -> None:
    assert not [mention for mention in READER.read(text, Context.NOTE).mentions if mention.concept == "warfarin"]


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("warfarin stopped", True), ("warfarin was discontinued", True), ("no longer on warfarin", True), ("off warfarin", True),
        ("previously treated with warfarin", True), ("ulcers after stopping warfarin", True), ("warfarin not tolerated", True),
        ("warfarin", False), ("on warfarin", False), ("started on warfarin", False), ("warfarin was not stopped", False),
        ("ulcers stopped healing on warfarin", False),
    ],
)  # fmt: skip
def test_a_drug_that_was_stopped_was_taken_and_has_ended(text: str, ended: bool) -> None:
    found = [mention for mention in READER.read(text, Context.NOTE).mentions if mention.concept == "warfarin"]
    assert [(mention.certainty, mention.ended) for mention in found] == [("affirmed", ended)]


def test_words_about_drugs_change_no_finding() -> None:
    said = READER.read("pain stopped, avoid ulcers, calcification planned for excision", Context.NOTE).mentions
    assert {(mention.concept, mention.certainty, mention.ended) for mention in said} == {
        ("pain", "affirmed", False), ("skin_ulcer", "affirmed", False), ("calcification", "affirmed", False),
    }  # fmt: skip


@pytest.mark.parametrize("reporting_affirms", [True, False])
def test_no_cue_stands_under_two_effects(reporting_affirms: bool) -> None:
    effects: dict[str, set[str]] = {}
    for phrase, cue in _cues(load_context_rules(), reporting_affirms):
        effects.setdefault(phrase, set()).add(cue.effect)
    assert not {phrase: found for phrase, found in effects.items() if len(found) > 1}


# --- cues that mean some kinds of concept only, or one mention only --------------------------------


@pytest.mark.parametrize(
    ("text", "key", "certainty"),
    [
        ("ulcer, pain free", "pain", "negated"), ("ulcer pain free", "skin_ulcer", "affirmed"), ("calcification with free fluid", "calcification", "affirmed"),
        ("calciphylaxis prophylaxis", "calciphylaxis", None), ("warfarin prophylaxis", "warfarin", "affirmed"),
        ("lupus on thrombosis prophylaxis", "lupus", "affirmed"), ("lupus on thrombosis prophylaxis", "thrombosis", None),
        ("workup for calciphylaxis", "calciphylaxis", "uncertain"), ("workup for skin ulcer", "skin_ulcer", "affirmed"),
        ("leaflet on lupus, pain at night", "lupus", None), ("leaflet on lupus, pain at night", "pain", "affirmed"),
        ("not assessed: pain, fever", "fever", None),
        ("biopsy negative for calciphylaxis. Clinical suspicion remains high", "calciphylaxis", "uncertain"),
        ("no calciphylaxis. Seen today. Clinical suspicion remains high", "calciphylaxis", "negated"),
        ("no fever; clinical suspicion remains high", "fever", "negated"),
        ("wife has lupus", "lupus", "family"), ("haemodialysis assisted by husband", "haemodialysis", "affirmed"),
    ],
)  # fmt: skip
def test_cues_of_narrow_reach(text: str, key: str, certainty: str | None) -> None:
    assert said(text).get(key) == certainty


# --- patterns that could reach too far --------------------------------------------------------------


def _reader(*concepts: Concept) -> TextReader:
    return TextReader(concepts)


def _keys(reader: TextReader, text: str) -> dict[str, str]:
    return {mention.concept: mention.certainty for mention in reader.read(text, Context.NOTE).mentions}


def test_a_bounded_pattern_does_not_reach_further() -> None:
    reader = _reader(concept("digital_ulcer", patterns=["ulcer* finger* ~5"]))
    assert _keys(reader, "ulcer at the left finger") == {"digital_ulcer": "affirmed"}
    assert _keys(reader, "ulcer of the leg and a stiff finger") == {}


def test_a_name_of_something_else_keeps_its_words_from_patterns() -> None:
    root = concept("lesion")
    ulcer = concept("necrotic_ulcer", parents=["lesion"], patterns=["necro* ulcer*"])
    masking = concept("elsewhere", parents=["lesion"], masks=True, synonyms=["tumour necrosis factor"])
    assert "necrotic_ulcer" not in _keys(_reader(root, ulcer, masking), "tumour necrosis factor blocker for ulcerative colitis")
    assert "necrotic_ulcer" in _keys(_reader(root, ulcer, masking), "tumour necrosis factor blocker, necrosis of a leg ulcer")


def test_a_comma_between_adjectives_parts_nothing() -> None:
    reader = _reader(concept("white_papule", patterns=["white papule*"]))
    assert _keys(reader, "small, white, stony-hard papules") == {"white_papule": "affirmed"}
    assert _keys(reader, "white cells raised, papules on the elbow") == {}


def test_a_pattern_that_shares_a_word_with_its_denial_is_denied() -> None:
    reader = _reader(concept("palpable_pulses", patterns=["pulse* palpable"]))
    assert _keys(reader, "pedal pulses not palpable") == {"palpable_pulses": "negated"}
    assert _keys(reader, "pedal pulses palpable") == {"palpable_pulses": "affirmed"}


def test_siblings_under_a_finding_with_words_are_both_said() -> None:
    lesion = concept("skin_lesion", synonyms=["skin lesion*"])
    mass = concept("mass", parents=["skin_lesion"], synonyms=["mass"])
    hard = concept("hard_lesion", parents=["skin_lesion"], patterns=["hard mass"])
    assert _keys(_reader(lesion, mass, hard), "hard mass") == {"mass": "affirmed", "hard_lesion": "affirmed"}
