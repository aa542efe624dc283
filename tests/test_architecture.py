"""The invariants of docs/architecture.md: which way imports run, how long a file may be, and that medicine stays in the knowledge."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from calcinosis.knowledge import Knowledge

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "calcinosis"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 500

COLUMNS = {"calciphylaxis_at_risk", "labelled", "lesion_present", "mineral_shown"}  # findings that are columns of assessments.parquet

# Entries of the knowledge base that code may name, and why. Anything else is medicine and belongs in the knowledge.
NAMED_IN_CODE: dict[str, tuple[str, set[str]]] = {
    "facts.py": ("the index date is the first calcification, or the first lesion", {"calcification", "skin_lesion"}),
    "derived.py": (
        "quantities that are computed from others",
        {
            "albumin", "body_height", "calcium_adjusted", "calcium_albumin_corrected", "calcium_ionised", "calcium_phosphate_product",
            "calcium_total", "creatinine", "egfr", "phosphate",
        },
    ),
    "reasoning/explain.py": (
        "a status that rests on silence shows the lesion it is about",
        {"calcification", "chalky_discharge", "skin_lesion"},
    ),
    "reasoning/workup.py": ("work-up is asked for a lesion only", {"lesion_present"}),
    "contract.py": ("the type that must not be missed has a field, columns and scores of its own", {"calciphylaxis"}),
    "assessment.py": ("an answer is provisional without it", {"calcium_shown"}),
    "engines/rows.py": ("columns of assessments.parquet", {"calcium_shown", *COLUMNS}),
    "knowledge/check.py": ("the findings that code reads, so that none is called unread", {"calcium_shown", *COLUMNS}),
    "knowledge/studies.py": ("outcomes of studies", {"calcification", "pain"}),
    "knowledge/treatments.py": ("a kind of safety rule", {"pregnancy"}),
    "report/option_words.py": ("outcomes of studies, as the rows of the evidence name them", {"calcification", "pain"}),
    "report/cohort_folder.py": ("reads the columns of assessments.parquet", {"calciphylaxis_at_risk", "lesion_present"}),
    "report/cohort_patient.py": ("reads the columns of assessments.parquet", {"calciphylaxis_at_risk"}),
    "report/people.py": ("reads the columns of assessments.parquet", {"labelled"}),
    "report/population.py": ("reads the columns of assessments.parquet", COLUMNS - {"labelled"}),
    "report/screen_summary.py": ("reads the columns of assessments.parquet", COLUMNS),
    "report/wording.py": ("the value of index_basis", {"calcification"}),
}  # fmt: skip

# What the package is about, and words of formats and of every day that are names of medicine as well.
EVERYDAY = {"calcification", "calcinosis", "calcium", "observation", "immunization", "operation", "confusion"}

# Words of medicine that a text, a name made of several words, or a page may hold, and why.
SAID_IN_CODE: dict[str, tuple[str, set[str]]] = {
    **dict.fromkeys(
        (
            "engines/rows.py", "knowledge/check.py", "report/cohort_folder.py", "report/cohort_patient.py",
            "report/fhir_out.py", "report/people.py", "report/population.py", "report/screen_summary.py", "report/terminal.py",
            "report/templates/_assessment.html.j2", "report/templates/_population.html.j2", "report/templates/validation.html.j2",
            "service/pages/templates/cohort_patient.html.j2", "service/pages/templates/cohort_patients.html.j2", "validation.py",
        ),
        ("the field, the columns and the scores that bear the name of the type that must not be missed, and their headings", {"calciphylaxis"}),
    ),
    "contract.py": ("its field, the sentence of the disclaimer about it, and a kind of safety rule", {"calciphylaxis", "pregnancy"}),
    "facts.py": ("as in NAMED_IN_CODE", {"skin_lesion"}),
    "knowledge/treatments.py": ("kinds of safety rules and roles of treatments", {"pregnancy", "trigger_removal"}),
    "reasoning/explain.py": ("as in NAMED_IN_CODE", {"chalky", "chalky_discharge", "skin_lesion"}),
    "report/option_words.py": ("roles of treatments", {"trigger_removal"}),
    "report/worked_examples.py": ("titles of published cases", {"calciphylaxis", "dermatomyositis", "warfarin"}),
    "service/pages/templates/knowledge.html.j2": ("examples of what may be searched for", {"calciphylaxis", "warfarin"}),
    "sources/fhir_events.py": ("kinds of studies that a report may describe", {"radiograph"}),
    "sources/omop_statuses.py": ("the vocabulary of OMOP", {"postoperative"}),
    "sources/words.py": ("spelling: irregular plurals, and what is short for one word only", {"hypertension", "thrombi", "thrombus", "tophi", "tophus"}),
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_run_one_way() -> None:
    # in a process of its own: Import Linter switches off the loggers of the one it runs in, and later tests read them
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(config_filename='.importlinter', no_cache=True))"
    run = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert not run.returncode, run.stdout + run.stderr


def test_the_order_of_imports_is_told_as_it_is_checked() -> None:
    rules = ConfigParser(comment_prefixes=(";",))
    rules.read(ROOT / ".importlinter", encoding="utf-8")
    checked = [set(re.findall(r"\w+", layer)) for layer in rules["importlinter:contract:layers"]["layers"].split("\n") if layer.strip()]
    [told] = re.findall(r"\*\*Imports run one way\*\*: `(.+?)`", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [set(re.findall(r"\w+", layer)) for layer in told.split("→")] == checked


def test_no_file_is_longer_than_one_sitting() -> None:
    long = {name_of(path): count for path in FILES if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST}
    assert not long, f"over {LONGEST} lines; split by meaning: {long}"


def test_every_module_is_named_after_what_it_holds() -> None:
    vague = [name_of(path) for path in FILES if path.stem in {"utils", "util", "helpers", "common", "misc"}]
    assert not vague, f"name these after what they hold: {vague}"


def test_medicine_stays_in_the_knowledge(knowledge: Knowledge) -> None:
    """No list of medical terms in code. Body parts are left out: they are everyday words (an English plural, a limb)."""
    entries = {key for key, concept in knowledge.concepts.items() if concept.kind != "site"}
    entries |= {*knowledge.findings, *knowledge.types, *knowledge.diseases, *knowledge.mimics, *knowledge.alarms}
    wrong = [f"{name} is gone: take it off NAMED_IN_CODE" for name in NAMED_IN_CODE if not (PACKAGE / name).exists()]
    for path in FILES:
        name = name_of(path)
        named = {word for text in texts(path) for word in re.split(r"[:@|&]", text)} & entries
        allowed = NAMED_IN_CODE[name][1] if name in NAMED_IN_CODE else set()
        wrong += [f"{name} names {key!r}: move it into the knowledge, or say in NAMED_IN_CODE why not" for key in sorted(named - allowed)]
        wrong += [f"{name} no longer names {key!r}: take it off NAMED_IN_CODE" for key in sorted(allowed - named)]
    assert not wrong, "\n".join(wrong)


def test_no_text_in_code_speaks_of_a_disease_a_sign_or_a_drug(knowledge: Knowledge) -> None:
    """What the test before this one cannot see: words inside a sentence, parts of a longer name, names that are no keys, and pages."""
    names = {*knowledge.treatments, *knowledge.types, *knowledge.diseases, *knowledge.mimics, *knowledge.alarms}
    for key, concept in knowledge.concepts.items():
        if concept.kind not in ("site", "lab"):
            names |= {key, concept.label.lower(), *(each.lower() for each in concept.synonyms)}
    names = {name for name in names if re.fullmatch(r"[a-z_]{5,}", name)} - EVERYDAY
    wrong = []
    for path in [*FILES, *sorted(PACKAGE.rglob("*.j2")), *sorted(PACKAGE.rglob("*.js"))]:
        name, allowed = name_of(path), SAID_IN_CODE.get(name_of(path), ("", set[str]()))[1]
        found = texts(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
        words = {word for text in found for whole in re.findall(r"[a-z_]+", text.lower()) for word in (whole, *whole.split("_"))}
        wrong += [f"{name} says {word!r}: move it into the knowledge, or say in SAID_IN_CODE why not" for word in sorted(words & names - allowed)]
        wrong += [f"{name} no longer says {word!r}: take it off SAID_IN_CODE" for word in sorted(allowed - words)]
    assert not wrong, "\n".join(wrong)


def texts(path: Path) -> list[str]:
    """Text literals of a file, docstrings apart."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in nodes if isinstance(node, documented) and node.body]
    docstrings = {id(node.value) for node in first if isinstance(node, ast.Expr)}
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docstrings]
