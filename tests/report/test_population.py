from __future__ import annotations

import re
from datetime import datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from calcinosis.engines.rows import assessment_schema
from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA
from calcinosis.knowledge import load_knowledge
from calcinosis.reasoning.explain import REASON_SCHEMA
from calcinosis.report.population import MOST, render_population_html

KNOWLEDGE = load_knowledge()
TYPES = tuple(KNOWLEDGE.types)


def person(subject: str, **known: Any) -> dict[str, Any]:
    """A patient about whom nothing is known, except what is given."""
    nothing = {f"status_{each}": "not_assessed" for each in TYPES} | {f"subtype_{each}": None for each in TYPES}
    lists = {name: [] for name in ("mimics", "diseases", "diseases_suspected", "alarms", "missing_tests", "unusable_tests")}
    return {
        "subject_id": subject, "sex": None, "age_years": None, "index_time": None, "index_basis": "unknown", "lesion_present": None,
        "mineral_shown": None, "labelled": False, "leading": None, "leading_mimic": None, "leading_status": None, "provisional": True,
        "mixed": False, **nothing, **lists, "alarm_urgency": None, "calciphylaxis_major": 0, "calciphylaxis_minor": 0,
        "calciphylaxis_at_risk": None, "n_warnings": 0, "knowledge_version": "test",
    } | known  # fmt: skip


def write(
    folder: Path,
    people: list[dict[str, Any]],
    *,
    rejects: list[dict[str, Any]] | None = None,
    unmapped: list[dict[str, Any]] | None = None,
    factors: list[tuple[str, str]] | None = None,
    **summary: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(people, schema=assessment_schema(KNOWLEDGE)).write_parquet(folder / "assessments.parquet")
    pl.DataFrame(rejects or [], schema=REJECT_SCHEMA).write_parquet(folder / "rejects.parquet")
    pl.DataFrame(unmapped or [], schema=UNMAPPED_SCHEMA).write_csv(folder / "unmapped.csv")
    reasons = [{"subject_id": who, "kind": "type", "owner": "calciphylaxis", "role": "risk", "label": what} for who, what in factors or []]
    pl.DataFrame([dict.fromkeys(REASON_SCHEMA) | row for row in reasons], schema=REASON_SCHEMA).write_parquet(folder / "reasons.parquet")
    counted = {"records_read": 0, "records_used": 0, "records_ignored": 0, "records_rejected": 0}
    read = {"patients_read": len(people), "patients_assessed": len(people), "not_read": {}, "lab_coverage": {}, "seconds": {}}
    versions = {"source": "test", "knowledge_version": "2026.1+test", "calcinosis_version": "0.1.0", "closed_world": [], "as_of": None}
    (folder / "summary.json").write_bytes(orjson.dumps(counted | read | versions | summary))
    return folder


def words(page: str) -> str:
    """What a reader sees, on one line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Structure(HTMLParser):
    """Collects what accessibility hangs on."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.landmarks: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        if known.get("id"):
            self.ids.append(str(known["id"]))
        self.refers += str(known.get("aria-labelledby") or "").split()
        if tag == "section" or known.get("role") == "region":
            self.landmarks.append(str(known.get("aria-labelledby") or known.get("aria-label")))
        if tag == "a" and str(known.get("href")).startswith("#"):
            self.refers.append(str(known["href"])[1:])


def sample() -> list[dict[str, Any]]:
    lesion = {"lesion_present": True, "mineral_shown": True, "provisional": False}
    return [
        person(
            "calm", **lesion, sex="female", age_years=51.7, labelled=True, leading="dystrophic", leading_status="confirmed",
            status_dystrophic="confirmed", diseases=["systemic_sclerosis"], missing_tests=["phosphate"],
        ),
        person(
            "worst", **lesion, sex="male", age_years=66.0, leading="calciphylaxis", leading_status="probable",
            status_calciphylaxis="probable", status_dystrophic="unlikely",
            alarms=["suspected_sepsis", "suspected_calciphylaxis"], alarm_urgency="immediate",
            missing_tests=["phosphate", "pth"], unusable_tests=["phosphate"], calciphylaxis_at_risk=True, calciphylaxis_major=3,
        ),
        person("later", alarms=["hypercalcaemia_prompt"], alarm_urgency="urgent", calciphylaxis_at_risk=False),
        person(
            "gout", **lesion, leading="mimic", leading_mimic="gouty_tophus", leading_status="confirmed", mimics=["gouty_tophus:confirmed"]
        ),
        person("at-risk", calciphylaxis_at_risk=True, calciphylaxis_major=2, calciphylaxis_minor=5),
        person("quiet"),
    ]  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> str:
    rejects = [
        {"file": "a.ndjson", "line": 7, "record": "Observation/9", "level": "error", "category": "unknown_unit", "reason": "no such unit"},
        {"file": "a.ndjson", "level": "warning", "category": "bad_date", "reason": "<script>alert(1)</script>"},
    ]
    unmapped = [{"context": "lab", "system": "LOINC", "code": "1-8", "text": "odd | thing", "n": 1234}]
    factors = [("at-risk", "Warfarin"), ("at-risk", "Warfarin"), ("worst", "Obesity")]
    folder = write(
        tmp_path, sample(), rejects=rejects, unmapped=unmapped, factors=factors,
        records_read=2000, records_used=1500, records_ignored=499, records_rejected=1, not_read={"long free text": 3},
        lab_coverage={"phosphate": {"patients_with": 2}}, closed_world=["disease"],
    )  # fmt: skip
    return render_population_html(folder)


def test_it_says_what_was_read_and_that_the_account_adds_up(page: str) -> None:
    seen = words(page)
    for part in (
        "Read 2,000 100 %",
        "= used 1,500 75.0 %",
        "no rule reads 499",
        "could not be read 1 < 0.1 %",
        "long free text (3)",
    ):
        assert part in seen
    assert "does not add up" not in seen


def test_an_account_that_does_not_add_up_is_said_aloud(tmp_path: Path) -> None:
    assert "does not add up" in words(render_population_html(write(tmp_path, sample(), records_read=2)))


def test_the_most_urgent_patient_stands_first_with_the_worst_alarm_first(page: str) -> None:
    seen = words(page)
    urgent = seen[seen.index("The most urgent patients first") :]
    assert urgent.index("worst") < urgent.index("later")
    labels = [KNOWLEDGE.alarms[key].label for key in ("suspected_sepsis", "suspected_calciphylaxis")]
    positions = [page.index(label) for label in labels]
    assert positions == sorted(positions)
    assert "2 patients with a red alarm: 1 act now, 1 urgent" in seen


def test_unlabelled_cases_leave_out_the_labelled_and_the_mimics(page: str) -> None:
    seen = words(page)
    block = seen[seen.index("Likely cases without a diagnosis on record") : seen.index("At risk of calciphylaxis, without a lesion")]
    assert "worst" in block
    assert "calm" not in block
    assert "gout" not in block


def test_risk_is_about_patients_without_a_lesion_and_unknown_is_not_safe(page: str) -> None:
    seen = words(page)
    assert "1 patient without a recorded lesion is at high risk; 1 more at high risk already has a lesion" in seen
    assert "For 3 patients (50.0 %) the record does not say enough" in seen
    assert "Warfarin 1" in seen  # counted once per patient
    assert "Obesity" not in seen
    assert "2 major · · · 1" in seen


def test_missing_tests_are_shares_of_the_patients_with_a_lesion(page: str) -> None:
    seen = words(page)
    assert f"{KNOWLEDGE.tests['phosphate'].label} 2 66.7 % 1 1" in seen  # of the two, one has nothing and one a result that is not usable
    assert f"{KNOWLEDGE.tests['pth'].label} 1 33.3 % 1 0" in seen


def test_a_folder_of_an_earlier_version_does_not_tell_what_is_on_record(tmp_path: Path) -> None:
    folder = write(tmp_path, sample())
    people = pl.read_parquet(folder / "assessments.parquet").drop("unusable_tests")
    people.write_parquet(folder / "assessments.parquet")
    assert f"{KNOWLEDGE.tests['phosphate'].label} 2 66.7 % – –" in words(render_population_html(folder))


def test_a_type_at_least_probable_by_disease_has_an_interval(page: str) -> None:
    seen = words(page)
    table = seen[seen.index("Of them at least probable") :]
    assert f"{KNOWLEDGE.diseases['systemic_sclerosis'].label} 0/1 0 % (0.0–97.5)" in table  # calciphylaxis, the first type
    assert "1/1 100 % (2.5–100.0)" in table  # dystrophic
    assert "No autoimmune disease on record 1/5 20.0 % (0.5–71.6)" in table


def test_a_lab_never_measured_is_unknown_not_normal(page: str) -> None:
    seen = words(page)
    assert "unknown, not normal" in seen
    phosphate, pth = (KNOWLEDGE.concepts[key].label for key in ("phosphate", "pth_intact"))
    assert f"{phosphate} 2 (33.3 %) 4 (66.7 %)" in seen
    assert f"{pth} 0 (0 %) 6 (100 %)" in seen


def test_types_diseases_mimics_rejects_and_method_are_shown(page: str) -> None:
    seen = words(page)
    for part in (
        KNOWLEDGE.types["dystrophic"].label, KNOWLEDGE.diseases["systemic_sclerosis"].label, "No autoimmune disease on record",
        KNOWLEDGE.mimics["gouty_tophus"].label, "unknown unit not used 1", "a.ndjson:7 Observation/9", "bad date used in part 1",
        "odd | thing 1,234", "Silence was taken as absence for: disease", "2026.1+test", "Supports a clinician's decision",
    ):  # fmt: skip
        assert part in seen


def test_the_page_is_inert_and_every_reference_resolves(page: str) -> None:
    structure = Structure(page)
    assert "script" not in structure.tags
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert len(structure.ids) == len(set(structure.ids))
    assert set(structure.refers) <= set(structure.ids)
    assert len(structure.landmarks) == len(set(structure.landmarks))


def test_a_long_list_is_cut_and_says_where_the_others_are(tmp_path: Path) -> None:
    many = [person(f"p{n:04d}", alarms=["hypercalcaemia_prompt"], alarm_urgency="urgent") for n in range(MOST + 300)]
    many.append(person("z-last", alarms=["suspected_sepsis"], alarm_urgency="immediate"))
    page = render_population_html(write(tmp_path, many))
    assert "301 patients more are in assessments.parquet" in words(page)
    assert page.index("z-last") < page.index("p0000")
    assert "p0450" not in page


def test_nobody_with_a_lesion_is_not_evidence_of_absence(tmp_path: Path) -> None:
    seen = words(render_population_html(write(tmp_path, [person("a"), person("b")])))
    assert "Nobody among 2 patients in this source has a recorded lesion" in seen
    assert "this is not evidence of absence" in seen
    assert "not an all-clear" in seen


def test_an_empty_source_is_a_sensible_page(tmp_path: Path) -> None:
    seen = words(render_population_html(write(tmp_path, [], records_read=3, records_rejected=3)))
    assert "No patient could be assessed from this source" in seen
    assert "could not be read 3 100 %" in seen


def test_labs_that_were_not_counted_are_not_zero(tmp_path: Path) -> None:
    folder = write(tmp_path, sample())
    summary = orjson.loads((folder / "summary.json").read_bytes())
    del summary["lab_coverage"]
    (folder / "summary.json").write_bytes(orjson.dumps(summary))
    assert f"{KNOWLEDGE.concepts['phosphate'].label} not counted not counted" in words(render_population_html(folder))


def test_keys_the_knowledge_does_not_know_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = person(
        "x", lesion_present=True, alarms=["from_the_future"], alarm_urgency="urgent", diseases=["new_disease"], missing_tests=["new_test"]
    )
    odd |= {"index_time": datetime(2020, 1, 1), "mimics": ["new_mimic:possible"]}
    seen = words(render_population_html(write(tmp_path, [odd])))
    for part in ("from_the_future", "new_disease", "new_test", "new_mimic"):
        assert part in seen
