"""Names that users type, counts in words, gaps, and the rows as a file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.studies import Study
from calcinosis.report import evidence_summary as summary
from calcinosis.report.evidence_figures import evidence_map


@pytest.mark.parametrize("name", ["diltiazem", "Diltiazem", "CARDIZEM", " tildiem "])
def test_a_treatment_is_found_by_key_label_and_other_names(name: str, knowledge: Knowledge) -> None:
    assert summary.find_treatment(name, knowledge).key == "diltiazem"


def test_every_key_label_and_unique_name_finds_its_treatment(knowledge: Knowledge) -> None:
    for key, each in knowledge.treatments.items():
        assert summary.find_treatment(key, knowledge) is each
        assert summary.find_treatment(each.label, knowledge) is each


def test_an_unknown_treatment_names_the_nearest(knowledge: Knowledge) -> None:
    with pytest.raises(KeyError, match="did you mean diltiazem"):
        summary.find_treatment("dilitazem", knowledge)
    with pytest.raises(KeyError, match="sodium_thiosulfate_iv"):
        summary.find_treatment("thiosulfate", knowledge)
    with pytest.raises(KeyError, match="no treatment 'xyzzy'"):
        summary.find_treatment("xyzzy", knowledge)


def test_an_unknown_type_or_disease_lists_the_valid_ones(knowledge: Knowledge) -> None:
    assert summary.find_type("Dystrophic calcification", knowledge) == "dystrophic"
    assert summary.find_disease("juvenile dermatomyositis", knowledge) == "dermatomyositis_juvenile"
    assert summary.find_type(None, knowledge) is None
    with pytest.raises(KeyError, match="valid: calciphylaxis, iatrogenic"):
        summary.find_type("calcific", knowledge)
    with pytest.raises(KeyError, match="did you mean systemic_sclerosis"):
        summary.find_disease("systemic sclerosys", knowledge)


@pytest.mark.parametrize("name", ["SSc", "scleroderma", "Systemic Sclerosis", "systemic-sclerosis"])
def test_a_disease_is_found_by_its_synonyms(name: str, knowledge: Knowledge) -> None:
    assert summary.find_disease(name, knowledge) == "systemic_sclerosis"


def test_the_patients_of_one_disease_are_those_of_the_map(knowledge: Knowledge) -> None:
    lines = summary.overview(knowledge, type_="dystrophic", disease="systemic_sclerosis")
    cells = {cell.treatment.key: cell for cell in evidence_map(knowledge, lines, "systemic_sclerosis").cells}
    assert len(cells) > 5
    for line in lines:
        if (cell := cells.get(line.treatment.key)) is not None:
            assert (line.evidence.studies, line.evidence.evaluated) == (cell.studies, cell.patients), line.treatment.key


def test_counts_in_words(knowledge: Knowledge) -> None:
    rows = {row.row: row for row in knowledge.studies}
    assert summary.counts_in_words(rows["bal12_diltiazem"]) == "calcification: 9 of 17 (9 partial)"
    assert summary.counts_in_words(rows["bottomley1996_co2"]).startswith("calcification: 17 of 21 lesions (12 complete")
    assert summary.counts_in_words(rows["obialo2017_sts"]) == "mortality: 6 of 23 deaths"
    for row in rows.values():
        said = summary.counts_in_words(row)
        assert said and "None" not in said


def test_gaps_name_what_nobody_measured(knowledge: Knowledge) -> None:
    lines = summary.overview(knowledge)
    found = summary.gaps(knowledge, lines)
    assert all(not line.evidence.studies for line in found.without_data)
    assert all(line.evidence.studies == line.evidence.single_cases > 0 for line in found.single_cases_only)
    assert found.diseases_without_rows == [key for key in knowledge.diseases if not any(key in row.diseases for row in knowledge.studies)]
    for treatment, diseases in found.empty_diseases:
        assert not any(disease in row.diseases for row in knowledge.studies if treatment.key in row.treatments and row.calcification_type
                       for disease in diseases)  # fmt: skip


def test_csv_holds_every_row_again(knowledge: Knowledge, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert summary.write_csv(knowledge.studies, knowledge, path) == len(knowledge.studies)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [*Study.model_fields, *summary.SOURCE_COLUMNS]
    for read, row in zip(rows, knowledge.studies, strict=True):
        own = {name: read[name] for name in Study.model_fields if read[name] != ""}
        assert Study.model_validate(own) == row
        assert read["source_pmid"] == (knowledge.sources[row.study].pmid or "")
        assert read["source_url"].startswith("http")
