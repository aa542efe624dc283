"""The knowledge check: every kind of defect is found and named with file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from calcinosis.knowledge import loader
from calcinosis.knowledge.check import check, loinc_valid, verhoeff_valid
from calcinosis.knowledge.loader import KnowledgeError, load_knowledge

CONTENT = {
    "VERSION": "1.0\n",
    "sources/all.yaml": """\
sources:
  - {key: book, title: A book, grade: review, doi: 10.1000/1}
""",
    "concepts/all.yaml": """\
concepts:
  - {key: skin_lesion, label: Lesion, kind: finding, synonyms: [lesion]}
  - {key: nodule, label: Nodule, kind: finding, parents: [skin_lesion], synonyms: [nodule]}
  - {key: ulcer, label: Ulcer, kind: finding}
  - {key: hand, label: Hand, kind: site, synonyms: [hand]}
  - key: phosphate
    label: Phosphate
    kind: lab
    lab: {unit: mmol/L, molar_mass: 30.974, intervals: [{unit: mmol/L, low: 0.8, high: 1.5, sources: [book]}]}
  - {key: ana, label: Antinuclear antibodies, kind: lab, lab: {}}
""",
    "concepts/codes.csv": """\
concept_key,system,code,relation,unit,licence_tag,verified_in
ulcer,SNOMED,22298006,exact,,SNOMED-GPS-CC-BY-4.0,book
phosphate,LOINC,2777-1,exact,mg/dL,LOINC-NOTICE,book
""",
    "findings/all.yaml": """\
findings:
  - key: lesion_present
    label: A lesion
    when: {has_any: [skin_lesion, ulcer]}
    sources: [book]
  - key: phosphate_high
    label: Phosphate high
    when: {value: phosphate, unit: mg/dL, at_least: limit}
    sources: [book]
""",
    "types/dystrophic.yaml": """\
key: dystrophic
label: Dystrophic
urgency: 3
definition: {text: Calcium in damaged tissue, sources: [book]}
rules:
  - status: probable
    label: A nodule of the hand
    when: {all: [{has: nodule, at: hand}, {finding: phosphate_high}, {not: {lab: ana, is: negative}}]}
    sources: [book]
""",
    "mimics/gout.yaml": """\
key: gout
label: Gout
definition: {text: Urate, sources: [book]}
rules:
  - {status: possible, label: Dystrophic stands, when: {hypothesis: dystrophic, at_least: probable}, sources: [book]}
tells_apart:
  - {text: Negatively birefringent, sources: [book]}
""",
    "diseases/sclerosis.yaml": """\
key: sclerosis
label: Sclerosis
established: {has: skin_lesion}
sources: [book]
""",
    "workup/labs.yaml": """\
tests:
  - key: measure_phosphate
    label: Phosphate
    outcomes:
      - {label: high, labs: {phosphate: high}, meaning: Metastatic calcification, sources: [book]}
      - {label: no ulcer, concepts: {ulcer: false}, meaning: Nothing, sources: [book]}
    sources: [book]
""",
    "form.yaml": """\
groups:
  - {key: lesion, label: Lesion, kind: choices, concepts: [nodule, ulcer]}
  - {key: labs, label: Labs, kind: results, concepts: [phosphate]}
  - {key: place, label: Place, kind: sites, states: skin_lesion, concepts: [hand]}
""",
    "settings.yaml": """\
settings:
  - {key: limit, value: 5.0, unit: mg/dL, label: A limit, sources: [book]}
""",
}

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Write the sound content with one piece of one file replaced (an empty piece: appended)."""

    def write(file: str = "", old: str = "", new: str = "") -> Path:
        for name, text in (CONTENT if file in CONTENT or not file else CONTENT | {file: ""}).items():
            if name == file:
                assert not old or text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
                text = text.replace(old, new) if old else text + new
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_sound_content_has_no_problem(edited: Edit) -> None:
    assert check(edited("", "", "")) == []


LOW = "sources/all.yaml", "", "  - {key: leaflet, grade: low, url: https://example.org}\n"
STUDY = "evidence/all.csv", "", (
    "row,study,treatments,arm,design,population,diseases,calcification_type,outcome,direction,seen,pool,pool_note\n"
    "one,book,balm,treated,case_report,one woman,sclerodermia,dystrofic,calcification,benefit,abstract,false,a single case\n"
)  # fmt: skip
DEFECTS = [
    # category, file, old, new, place, words of the message
    ("yaml", "types/dystrophic.yaml", "label: Dystrophic", "label: [Dystrophic", "types/dystrophic.yaml:3", ""),
    ("layout", "findings/all.yaml", "findings:", "finding:", "findings/all.yaml:1", "findings"),
    ("schema", "findings/all.yaml", "label: Phosphate high", "lable: Phosphate high", "findings/all.yaml:", "lable"),
    ("schema", "types/dystrophic.yaml", "status: probable", "status: likely", "types/dystrophic.yaml:6", "status"),
    ("schema", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{has: nodule, lab: ana}", "types/dystrophic.yaml:8", "exactly one"),
    ("schema", "types/dystrophic.yaml", "    sources: [book]\n", "    sources: []\n", "types/dystrophic.yaml:9", "sources"),
    ("schema", "sources/all.yaml", ", doi: 10.1000/1", "", "sources/all.yaml:2", "needs a pmid, pmcid, doi or url"),
    ("no_ground", "workup/labs.yaml", "    label: Phosphate\n", "    label: Phosphate\n    without_lesion: true\n", "workup/labs.yaml:2", "needs a `when`"),
    ("schema", "concepts/codes.csv", "LOINC-NOTICE,book", "LOINC-NOTICE,", "concepts/codes.csv:3", "verified_in"),
    ("duplicate_key", "concepts/all.yaml", "{key: ulcer,", "{key: nodule,", "concepts/all.yaml:4", "concepts/all.yaml:3"),
    ("duplicate_code", "concepts/codes.csv", "", "phosphate,LOINC,2777-1,exact,,LOINC-NOTICE,book\n", "concepts/codes.csv:4", ""),
    ("unknown_source", "findings/all.yaml", "limit}\n    sources: [book]", "limit}\n    sources: [bok]", "findings/all.yaml:6", "bok"),
    ("unused_source", *LOW, "sources/all.yaml:3", "leaflet"),
    ("unknown_concept", "types/dystrophic.yaml", "has: nodule", "has: nodul", "types/dystrophic.yaml:1", "nodul"),
    ("unknown_concept", "findings/all.yaml", "[skin_lesion, ulcer]", "[skin_lesion, wound]", "findings/all.yaml:2", "wound"),
    ("unknown_concept", "concepts/all.yaml", "parents: [skin_lesion]", "parents: [lesion_of]", "concepts/all.yaml:3", "lesion_of"),
    ("unknown_concept", "concepts/codes.csv", "ulcer,SNOMED", "wound,SNOMED", "concepts/codes.csv:2", "wound"),
    ("unknown_concept", "workup/labs.yaml", "ulcer: false", "wound: false", "workup/labs.yaml:2", "wound"),
    ("unknown_concept", "workup/labs.yaml", "phosphate: high", "phosphat: high", "workup/labs.yaml:2", "phosphat"),
    ("lab_as_concept", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{has: phosphate}", "types/dystrophic.yaml:1", "lab: or value:"),
    ("not_a_lab", "types/dystrophic.yaml", "{lab: ana, is: negative}", "{lab: ulcer, is: high}", "types/dystrophic.yaml:1", "has:"),
    ("unknown_site", "types/dystrophic.yaml", "at: hand", "at: hnad", "types/dystrophic.yaml:1", "hnad"),
    ("unknown_site", "types/dystrophic.yaml", "at: hand", "at: ulcer", "types/dystrophic.yaml:1", "ulcer"),
    ("unknown_site", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{has_any: [nodule], at: [hand, hnad]}", "types/dystrophic.yaml:1", "hnad"),
    ("unknown_concept", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{has_any: [nodule], at: hand, without: [nodlue]}", "types/dystrophic.yaml:1", "nodlue"),
    ("unknown_site", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{elsewhere: [nodule, ulcer], regions: [hnad]}", "types/dystrophic.yaml:1", "hnad"),
    ("unknown_concept", "types/dystrophic.yaml", "{has: nodule, at: hand}", "{elsewhere: [nodule, ulcre], regions: [hand]}", "types/dystrophic.yaml:1", "ulcre"),
    ("unknown_finding", "types/dystrophic.yaml", "finding: phosphate_high", "finding: phosphat", "types/dystrophic.yaml:1", "phosphat"),
    ("unknown_hypothesis", "mimics/gout.yaml", "hypothesis: dystrophic", "hypothesis: dystrofic", "mimics/gout.yaml:1", "dystrofic"),
    ("unknown_rule", "current_drugs.yaml", "", "reviews:\n  - {key: r, label: R, concepts: [ulcer], when: {has: ulcer}, urgency: routine, text: T, "
     "sources: [book], covers: [gout/none]}\n", "current_drugs.yaml:2", "gout/none"),
    ("unknown_disease", "diseases/sclerosis.yaml", "", "more_specific_than: [sclerodermia]\n", "diseases/sclerosis.yaml:1", "sclerodermia"),
    ("unknown_treatment", *STUDY, "evidence/all.csv:2", "balm"),
    ("unknown_type", *STUDY, "evidence/all.csv:2", "dystrofic"),
    ("unknown_disease", *STUDY, "evidence/all.csv:2", "sclerodermia"),
    ("unknown_setting", "findings/all.yaml", "at_least: limit", "at_least: lmit", "findings/all.yaml:6", "lmit"),
    ("unit", "settings.yaml", "unit: mg/dL", "unit: mmol/L", "findings/all.yaml:6", "mmol/L"),
    ("unit", "findings/all.yaml", "unit: mg/dL, at_least: limit", "unit: furlong, at_least: 5", "findings/all.yaml:6", "furlong"),
    ("unit", "concepts/all.yaml", "[{unit: mmol/L, low", "[{unit: mm, low", "concepts/all.yaml:6", "mm"),
    ("unit", "concepts/codes.csv", "exact,mg/dL", "exact,furlong", "concepts/codes.csv:3", "furlong"),
    ("unknown_concept", "form.yaml", "[nodule, ulcer]", "[nodul, ulcer]", "form.yaml:2", "nodul"),
    ("unknown_concept", "form.yaml", "states: skin_lesion", "states: lesion", "form.yaml:4", "lesion"),
    ("form_kind", "form.yaml", "[nodule, ulcer]", "[nodule, phosphate]", "form.yaml:2", "results"),
    ("form_kind", "form.yaml", "[phosphate]", "[phosphate, hand]", "form.yaml:3", "sites"),
    ("duplicate_key", "form.yaml", "[nodule, ulcer]", "[nodule, nodule]", "form.yaml:2", "twice"),
    ("schema", "form.yaml", ", states: skin_lesion", "", "form.yaml:4", "states"),
    ("schema", "concepts/all.yaml", "kind: lab, lab: {}", "kind: lab, lab: {possible: [0, 1]}", "concepts/all.yaml:10", "need a unit"),
    ("schema", "concepts/all.yaml", "molar_mass: 30.974", "molar_mass: 30.974, possible: [2, 1]", "concepts/all.yaml:9", "below the highest"),
    ("no_unit", "types/dystrophic.yaml", "{lab: ana, is: negative}", "{value: ana, unit: g/L, below: 1}", "types/dystrophic.yaml:1", "ana"),
    ("licence", "concepts/codes.csv", "SNOMED-GPS-CC-BY-4.0", "SNOMED-AFFILIATE", "concepts/codes.csv:2", "SNOMED-AFFILIATE"),
    ("checksum", "concepts/codes.csv", "22298006", "22298007", "concepts/codes.csv:2", "Verhoeff"),
    ("checksum", "concepts/codes.csv", "2777-1", "2777-2", "concepts/codes.csv:3", "mod-10"),
    ("unreachable_finding", "types/dystrophic.yaml", "{finding: phosphate_high}", "{has: ulcer}", "findings/all.yaml:6", "phosphate_high"),
    ("unreachable_concept", "concepts/all.yaml", ", synonyms: [hand]", "", "concepts/all.yaml:5", "hand"),
]  # fmt: skip


@pytest.mark.parametrize(("category", "file", "old", "new", "place", "words"), DEFECTS, ids=[f"{d[0]}-{n}" for n, d in enumerate(DEFECTS)])
def test_a_defect_is_named_with_file_and_line(edited: Edit, category: str, file: str, old: str, new: str, place: str, words: str) -> None:
    problems = check(edited(file, old, new))
    found = [problem for problem in problems if problem.category == category]
    assert found, f"nothing of category {category} in {[str(p) for p in problems]}"
    assert any(str(problem).startswith(place) and words in problem.message for problem in found), [str(p) for p in found]


@pytest.mark.parametrize(
    ("category", "file", "old", "new", "place"),
    [
        ("low_grade_rule", "types/dystrophic.yaml", "    sources: [book]\n", "    sources: [leaflet]\n", "types/dystrophic.yaml:1"),
        (
            "low_grade_rule",
            "findings/all.yaml",
            "at_least: limit}\n    sources: [book]",
            "at_least: limit}\n    sources: [leaflet]",
            "findings/all.yaml:6",
        ),
        ("low_grade_rule", "workup/labs.yaml", "calcification, sources: [book]", "calcification, sources: [leaflet]", "workup/labs.yaml:2"),
        (
            "low_grade_statement",
            "types/dystrophic.yaml",
            "tissue, sources: [book]",
            "tissue, sources: [leaflet]",
            "types/dystrophic.yaml:1",
        ),
    ],
)
def test_a_low_grade_source_never_drives_a_rule(edited: Edit, category: str, file: str, old: str, new: str, place: str) -> None:
    edited(file, old, new)
    folder = edited_source(edited, file, old, new)
    assert [str(p).startswith(place) for p in check(folder) if p.category == category] == [True]


def edited_source(edited: Edit, file: str, old: str, new: str) -> Path:
    """The edit, and a low-grade source to cite."""
    folder = edited(file, old, new)
    (folder / "sources/all.yaml").write_text(CONTENT["sources/all.yaml"] + LOW[2], encoding="utf-8")
    return folder


def test_a_low_grade_source_drives_no_rule_even_beside_a_better_one(edited: Edit) -> None:
    folder = edited_source(edited, "types/dystrophic.yaml", "    sources: [book]\n", "    sources: [leaflet, book]\n")
    assert {problem.category for problem in check(folder)} == {"low_grade_rule"}


def test_an_unverified_statement_may_rest_on_a_low_grade_source(edited: Edit) -> None:
    folder = edited_source(edited, "types/dystrophic.yaml", "tissue, sources: [book]", "tissue, verified: false, sources: [leaflet]")
    assert check(folder) == []


def test_a_disease_is_never_established_on_low_grade_sources_alone(edited: Edit) -> None:
    folder = edited_source(edited, "diseases/sclerosis.yaml", "sources: [book]", "sources: [leaflet]")
    assert [p for p in check(folder) if p.category == "low_grade_rule"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("concepts/all.yaml", "kind: finding, synonyms: [lesion]", "kind: finding, parents: [nodule], synonyms: [lesion]"),
        ("concepts/all.yaml", "kind: finding, synonyms: [lesion]", "kind: finding, parents: [nodule]"),
        (
            "findings/all.yaml",
            "when: {value: phosphate, unit: mg/dL, at_least: limit}",
            "when: {not: {finding: phosphate_high}}",
        ),
        (
            "types/dystrophic.yaml",
            "{finding: phosphate_high}",
            "{hypothesis: gout, at_least: possible}, {finding: phosphate_high}",
        ),
    ],
    ids=["concepts", "concepts without words", "findings", "hypotheses"],
)
def test_a_circle_is_a_problem_and_no_crash(edited: Edit, file: str, old: str, new: str) -> None:
    assert "circle" in {p.category for p in check(edited(file, old, new)) if p.level == "error"}


def test_all_defects_are_reported_at_once(edited: Edit) -> None:
    folder = edited("types/dystrophic.yaml", "status: probable", "status: likely")
    (folder / "sources/all.yaml").write_text("sources:\n  - {key: book, grade: review}\n", encoding="utf-8")
    (folder / "findings" / "more.yaml").write_text("findings: [{key: A B}]\n", encoding="utf-8")
    with pytest.raises(KnowledgeError) as raised:
        load_knowledge(folder)
    files = {problem.origin.file for problem in raised.value.problems}
    assert files == {"types/dystrophic.yaml", "sources/all.yaml", "findings/more.yaml"}
    assert "sources/all.yaml:2: error:" in str(raised.value)


def test_the_version_changes_with_the_content(edited: Edit) -> None:
    first = load_knowledge(edited("", "", "")).version
    assert first.startswith("1.0+")
    loader._load.cache_clear()
    assert load_knowledge(edited("settings.yaml", "5.0", "5.5")).version != first
    loader._load.cache_clear()


@pytest.mark.parametrize(
    ("code", "valid"), [("22298006", True), ("22298007", False), ("22289006", False), ("", False), ("2229800x", False)]
)
def test_verhoeff_catches_wrong_digits_and_swaps(code: str, valid: bool) -> None:
    assert verhoeff_valid(code) is valid


@pytest.mark.parametrize(
    ("code", "valid"), [("2777-1", True), ("17861-6", True), ("2777-2", False), ("7277-1", False), ("2777", False), ("x-1", False)]
)
def test_loinc_check_digit(code: str, valid: bool) -> None:
    assert loinc_valid(code) is valid


def test_the_shipped_content_has_no_error() -> None:
    assert [str(problem) for problem in check() if problem.level == "error"] == []
