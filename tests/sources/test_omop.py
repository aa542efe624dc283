"""OMOP CDMs: every kind of store, concepts through the vocabulary, values, persons, and the account of rows."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import omop_made as m
import polars as pl
import pytest
from fhir_made import CODES, CONCEPTS, INDEX, READER, assert_accounted
from hypothesis import given, settings
from hypothesis import strategies as st
from omop_made import (
    Row,
    cdm,
    comparable_cdm,
    condition,
    drug,
    events_of,
    measured,
    note,
    observed,
    read_cdm,
    write_csv,
    write_duckdb,
    write_parquet,
)

from calcinosis.api import make_readers, screen
from calcinosis.events import ENDED, Batch
from calcinosis.sources import omop, omop_store
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop import is_omop, read_omop
from calcinosis.sources.omop_database import open_cdm
from calcinosis.sources.omop_statuses import NAMES, NOT_UNDERSTOOD
from calcinosis.sources.omop_store import store_rows


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Write a CDM as Parquet and read it."""

    def _read(index: ConceptIndex = INDEX, **tables: Any) -> Any:
        return read_cdm(write_parquet(tmp_path / "cdm", cdm(**tables)), index)

    return _read


def concepts(batch: Any) -> list[tuple[str, str]]:
    return [(event["concept"], event["certainty"]) for event in events_of(batch)]


MIXED: dict[str, Any] = {
    "people": 3,
    "relations": [(m.SSC_ICD, m.SSC, "Maps to"), (m.WARFARIN_TABLET, m.WARFARIN, "RxNorm has ing")],
    "ancestors": [(m.SSC, m.SSC_LUNG)],
    "condition_occurrence": [
        condition(m.SSC), condition(m.SSC_LUNG, person_id=2), condition(m.SSC_ICD, person_id=3, condition_end_date="2020-03-01"),
        condition(m.FLU), condition(0, condition_source_value="systemic sclerosis, limited", person_id=2), condition(0, person_id=9),
        condition(0, condition_source_value="unheard of"),
        condition(m.SSC, condition_status_concept_id=m.PRELIMINARY, condition_status_source_value="PRELIM"),
        condition(m.SSC, condition_status_concept_id=m.LOCAL_STATUS), condition(m.SSC, condition_status_source_value="refuted", person_id=2),
    ],
    "drug_exposure": [drug(m.WARFARIN_TABLET, drug_exposure_end_date="2020-02-01")],
    "measurement": [
        measured(m.PHOSPHATE, value_as_number=5.25, unit_concept_id=m.MG_DL, range_low=2.5, range_high=4.5, operator_concept_id=4172704),
        measured(m.PHOSPHATE, person_id=2), measured(m.ANA, value_as_concept_id=m.POSITIVE, person_id=2),
        measured(m.ANA, value_source_value="negative", person_id=3), measured(m.FLU, value_as_number=2),
    ],
    "observation": [observed(m.FAMILY, value_as_concept_id=m.SSC), observed(m.FLU, value_as_string="calcinosis of the elbow")],
    "note": [note("Calcinosis of the left elbow, \"hard\",\nno skin ulcer.")],
    "death": [{"person_id": 3, "death_date": "2021-01-01", "cause_concept_id": m.SSC}],
    "observation_period": [{}, {}],
}  # fmt: skip


# --- stores --------------------------------------------------------------------------------------------


def of_rows(batch: Batch) -> dict[str, int]:
    """What of the rows was not read; the small CDMs of these tests lack most tables, which is told too."""
    return {what: n for what, n in batch.not_read.items() if "table " not in what}



def test_every_kind_of_file_gives_the_same_answer(tmp_path: Path) -> None:
    tables = cdm(**MIXED)
    wanted = comparable_cdm(read_cdm(write_parquet(tmp_path / "parquet", tables)))
    assert wanted[0] and wanted[4] == (25, 19, 6, 0)
    stores = [
        write_parquet(tmp_path / "parts", tables, parts=True), write_duckdb(tmp_path / "cdm.duckdb", tables),
        write_csv(tmp_path / "csv", tables), write_csv(tmp_path / "upper", tables, upper=True),
        write_csv(tmp_path / "gz", tables, upper=True, gzipped=True),
    ]  # fmt: skip
    for store in stores:
        assert is_omop(store)
        assert comparable_cdm(read_cdm(store)) == wanted, store


def test_vocabulary_as_athena_ships_it(tmp_path: Path) -> None:
    """Tab-separated, without quotes, in upper-case files; a name may hold a quote."""
    tables = cdm(condition_occurrence=[condition(m.SSC)])
    tables["concept"].insert(0, {"concept_id": 1, "vocabulary_id": "SNOMED", "concept_code": "x", "concept_name": '5" nail'})
    vocabulary = {name: tables.pop(name) for name in list(tables) if name.startswith("concept")}
    folder = write_csv(write_csv(tmp_path, tables), vocabulary, upper=True, delimiter="\t")
    assert concepts(read_cdm(folder)) == [("systemic_sclerosis", "affirmed")]


def test_a_folder_of_something_else_is_no_cdm(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text("{}")
    assert not is_omop(tmp_path)
    assert not is_omop(tmp_path / "Patient.ndjson")
    assert is_omop("postgresql://somewhere/cdm")


@pytest.mark.parametrize(
    ("name", "content"),
    [("measurement.parquet", b"PAR1 no"), ("measurement.csv", b""), ("measurement.csv.gz", b"not gzip"), ("measurement.csv", b"a,A\n1,2\n")],
)
def test_an_unreadable_table_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    write_parquet(tmp_path, cdm())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"measurement"):
        read_cdm(tmp_path)


def test_a_file_that_is_no_duckdb_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "cdm.duckdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(ValueError, match=r"cdm\.duckdb"):
        read_cdm(tmp_path / "cdm.duckdb")


def test_an_older_cdm_without_some_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path, cdm())
    pl.DataFrame({"person_id": [1.0], "measurement_concept_id": [float(m.PHOSPHATE)], "value_as_number": [5.0]}).write_parquet(tmp_path / "measurement.parquet")
    [event] = events_of(read_cdm(tmp_path))
    assert (event["concept"], event["numeric_value"], event["source"]) == ("phosphate", 5.0, "measurement/?")
    assert "time" not in event


# --- vocabulary ------------------------------------------------------------------------------------------


def test_a_missing_vocabulary_says_what_to_do(tmp_path: Path) -> None:
    tables = cdm(condition_occurrence=[condition(m.SSC)])
    del tables["concept"]
    with pytest.raises(ValueError, match=r"no table concept.*athena\.ohdsi\.org"):
        read_cdm(write_parquet(tmp_path, tables))


def test_a_foreign_vocabulary_stops_the_run(tmp_path: Path) -> None:
    tables = cdm(condition_occurrence=[condition(m.SSC)])
    tables["concept"] = [{**row, "concept_id": row["concept_id"] + 5000} for row in tables["concept"]]
    with pytest.raises(ValueError, match="knows none of the concepts"):
        read_cdm(write_parquet(tmp_path, tables))


def test_a_cdm_without_persons_lists_what_it_has(tmp_path: Path) -> None:
    tables = cdm(condition_occurrence=[condition(m.SSC)])
    del tables["person"]
    with pytest.raises(ValueError, match=r"no table person; the tables found are concept, .*condition_occurrence"):
        read_cdm(write_parquet(tmp_path, tables))


def test_what_is_unknown_for_want_of_a_table_is_told_once(tmp_path: Path) -> None:
    made = cdm(people=3, condition_occurrence=[condition(m.SSC)], measurement=[], relations=[(m.SSC_LUNG, m.SSC, "Is a")])
    del made["concept_ancestor"]
    cohort = screen(write_parquet(tmp_path / "cdm", made), tmp_path / "out")
    assert cohort.summary.not_read == {
        "laboratory values (table measurement is empty)": 1,
        "drugs (no table drug_exposure, no table drug_era)": 2,
        "procedures (no table procedure_occurrence)": 1,
        "observations (no table observation)": 1,
        "kinds of a disease, drug or test beyond four steps (no table concept_ancestor)": 1,
    }
    assert "laboratory values (table measurement is empty) (1)" in (tmp_path / "out" / "report.html").read_text()


def test_a_cdm_without_relations_says_that_drugs_do_not_roll_up(tmp_path: Path) -> None:
    made = cdm(**{name: [row] for name, row in FULL.items()})
    del made["concept_relationship"], made["concept_ancestor"]
    batch = read_cdm(write_parquet(tmp_path / "without", made))
    assert batch.not_read == {
        "what codes map to, ingredients of drugs (no table concept_relationship)": 1,
        "kinds of a disease, drug or test (no table concept_ancestor)": 1,
    }
    made = cdm(**{name: [row] for name, row in FULL.items()}, relations=[(1, 2, "Is a")], ancestors=[(1, 2)])
    assert read_cdm(write_parquet(tmp_path / "with", made)).not_read == {}


FULL = {
    "condition_occurrence": condition(m.SSC), "drug_era": {"drug_concept_id": m.WARFARIN, "drug_era_start_date": "2020-01-02"},
    "procedure_occurrence": {"procedure_concept_id": m.FLU, "procedure_date": "2020-01-02"}, "measurement": measured(m.PHOSPHATE),
    "observation": observed(m.FLU),
}  # fmt: skip


@pytest.mark.parametrize("broken", ["measurement", "condition_occurrence"])
def test_a_table_without_person_id_is_named(tmp_path: Path, broken: str) -> None:
    folder = write_parquet(tmp_path, cdm(**{name: [row] for name, row in FULL.items()}))
    pl.read_parquet(folder / f"{broken}.parquet").drop("person_id").write_parquet(folder / f"{broken}.parquet")
    with pytest.raises(ValueError, match=rf"{broken}.parquet: no column person_id"):
        read_cdm(folder)


def test_without_relations_own_codes_still_count(read: Any) -> None:
    assert concepts(read(condition_occurrence=[condition(m.SSC), condition(m.SSC_LUNG)])) == [("systemic_sclerosis", "affirmed")]


def test_a_descendant_is_found_through_its_ancestors(read: Any) -> None:
    assert concepts(read(ancestors=[(m.SSC, m.SSC_LUNG)], condition_occurrence=[condition(m.SSC_LUNG)])) == [("systemic_sclerosis", "affirmed")]


def test_a_descendant_is_found_through_is_a_where_no_ancestors_are_listed(read: Any) -> None:
    batch = read(relations=[(m.SSC_LUNG, m.FLU, "Is a"), (m.FLU, m.SSC, "Is a")], condition_occurrence=[condition(m.SSC_LUNG)])
    assert concepts(batch) == [("systemic_sclerosis", "affirmed")]


def test_subsumes_is_not_is_a(read: Any) -> None:
    assert concepts(read(relations=[(m.FLU, m.SSC, "Subsumes")], condition_occurrence=[condition(m.FLU)])) == []


def test_an_ancestor_with_a_broader_code_proves_nothing(tmp_path: Path) -> None:
    code = CODES[1].model_copy(update={"system": "SNOMED", "code": "2"})
    assert code.relation == "broader"
    index = ConceptIndex([code], {concept.key: concept for concept in CONCEPTS})
    rows = [condition(m.E8359_SNOMED), condition(m.BELOW_BROADER)]
    batch = read_cdm(write_parquet(tmp_path, cdm(ancestors=[(m.E8359_SNOMED, m.BELOW_BROADER)], condition_occurrence=rows)), index)
    assert [(e["source"], e["certainty"]) for e in events_of(batch)] == [("condition_occurrence/1", "uncertain")]


def test_an_icd_source_concept_is_read_by_its_own_code(read: Any) -> None:
    [event] = events_of(read(condition_occurrence=[condition(m.FLU, condition_source_concept_id=m.CUTIS_ICD)]))
    assert (event["concept"], event["code"]) == ("calcinosis_cutis", "ICD10CM/L94.2")


def test_an_icd_source_concept_is_read_by_what_it_maps_to(read: Any) -> None:
    rows = [condition(0, condition_source_concept_id=m.SSC_ICD)]
    assert concepts(read(relations=[(m.SSC_ICD, m.SSC, "Maps to")], condition_occurrence=rows)) == [("systemic_sclerosis", "affirmed")]


def test_a_mapping_and_an_ancestor_may_follow_each_other(read: Any) -> None:
    made = {"relations": [(m.LUNG_ICD, m.SSC_LUNG, "Maps to")], "ancestors": [(m.SSC, m.SSC_LUNG)]}
    assert concepts(read(**made, condition_occurrence=[condition(0, condition_source_concept_id=m.LUNG_ICD)])) == [("systemic_sclerosis", "affirmed")]


BRANDED = [(m.COUMADIN_TABLET, m.WARFARIN_TABLET, "Tradename of"), (m.WARFARIN_TABLET, m.WARFARIN, "RxNorm has ing")]


@pytest.mark.parametrize("concept", [m.WARFARIN, m.WARFARIN_TABLET, m.COUMADIN_TABLET])
@pytest.mark.parametrize(
    "made", [{"relations": BRANDED}, {"ancestors": [(m.WARFARIN, m.WARFARIN_TABLET), (m.WARFARIN, m.COUMADIN_TABLET)]}], ids=["relations", "ancestors"]
)  # fmt: skip
def test_a_clinical_or_branded_drug_is_its_ingredient(read: Any, concept: int, made: Any) -> None:
    assert concepts(read(**made, drug_exposure=[drug(concept)])) == [("warfarin", "affirmed")]


def test_a_drug_of_two_ingredients_is_both(tmp_path: Path) -> None:
    gluconate = next(code for code in CODES if code.concept_key == "warfarin").model_copy(update={"concept_key": "calcium_gluconate", "code": "1908"})
    index = ConceptIndex([*CODES, gluconate], {concept.key: concept for concept in CONCEPTS})
    both = [(m.COMBINED, m.WARFARIN, "RxNorm has ing"), (m.COMBINED, m.GLUCONATE, "RxNorm has ing")]
    batch = read_cdm(write_parquet(tmp_path, cdm(relations=both, drug_exposure=[drug(m.COMBINED)])), index)
    assert sorted(concepts(batch)) == [("calcium_gluconate", "affirmed"), ("warfarin", "affirmed")]


@pytest.mark.parametrize("ids", [{}, {"condition_source_concept_id": 2_000_000_001}, {"condition_concept_id": 2_000_000_002}])
def test_the_source_value_is_read_where_no_concept_is_known(read: Any, ids: Any) -> None:
    batch = read(condition_occurrence=[condition(**{"condition_concept_id": 0, "condition_source_value": "Systemic sclerosis", **ids}), condition(m.FLU)])
    assert concepts(batch) == [("systemic_sclerosis", "affirmed")]


def test_the_source_value_is_not_read_beside_a_known_concept(read: Any) -> None:
    assert concepts(read(condition_occurrence=[condition(m.FLU, condition_source_value="systemic sclerosis")])) == []


def test_a_code_map_teaches_local_words_and_ids(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("system,code,text,concept_key\n,,SKL-7,systemic_sclerosis\nOMOP,2000000005,,phosphate\n")
    index = ConceptIndex(CODES, {concept.key: concept for concept in CONCEPTS}, code_map=tmp_path / "map.csv")
    rows = {
        "condition_occurrence": [condition(0, condition_source_value="SKL-7"), condition(m.FLU)],
        "measurement": [measured(2_000_000_005, value_as_number=5, unit_source_value="mg/dL")],
    }
    assert [name for name, _ in concepts(read_cdm(write_parquet(tmp_path / "cdm", cdm(**rows)), index))] == ["systemic_sclerosis", "phosphate"]


def test_eras_are_read_only_without_exposures(read: Any, tmp_path: Path) -> None:
    era = {"drug_concept_id": m.WARFARIN, "drug_era_start_date": "2019-01-01", "drug_era_end_date": "2019-03-01"}
    [event] = events_of(read(drug_era=[era]))
    assert (event["concept"], event["source"], event["end_time"]) == ("warfarin", "drug_era/1", datetime(2019, 3, 1))
    batch = read_cdm(write_parquet(tmp_path / "both", cdm(drug_era=[era], drug_exposure=[drug(m.FLU)])))
    assert events_of(batch) == []
    assert (batch.records_read, batch.records_ignored) == (3, 2)
    assert_accounted(batch)


# --- the status of a condition ---------------------------------------------------------------------------


def told(said: Row) -> dict[str, Any]:
    """The status columns that say something, by the short names of the tests."""
    return {f"condition_status_{name}": value for name, value in said.items()}


@pytest.mark.parametrize("known", [True, False], ids=["own vocabulary", "vocabulary without statuses"])
@pytest.mark.parametrize(
    ("number", "certainty", "status"),
    [
        (32899, "uncertain", None), (32892, "uncertain", None), (4033240, "uncertain", None), (32893, "affirmed", None),
        (32906, "affirmed", ENDED), (32890, "affirmed", None), (32896, "affirmed", None), (32902, "affirmed", None),
        (4203942, "affirmed", None), (4230359, "affirmed", None), (0, "affirmed", None), (None, "affirmed", None),
    ],
)  # fmt: skip
def test_the_status_of_a_condition_says_how_sure_it_is(tmp_path: Path, number: int | None, certainty: str, status: str | None, known: bool) -> None:
    made = cdm(condition_occurrence=[condition(m.SSC, **told({"concept_id": number}))])
    made["concept"] = [row for row in made["concept"] if row["vocabulary_id"] != "Condition Status"]
    if known:
        made["concept"] += [{"concept_id": each, "vocabulary_id": "Condition Status", "concept_code": str(each), "concept_name": name} for each, name in NAMES.items()]
    batch = read_cdm(write_parquet(tmp_path, made))
    [event] = events_of(batch)
    assert (event["concept"], event["certainty"], event.get("status")) == ("systemic_sclerosis", certainty, status)
    assert of_rows(batch) == {}


@pytest.mark.parametrize(
    ("said", "certainty", "n_not_understood"),
    [
        ({"concept_id": m.LOCAL_DOUBT}, "uncertain", 0), ({"concept_id": m.LOCAL_STATUS}, "affirmed", 1), ({"concept_id": 2_000_000_999}, "affirmed", 1),
        ({"source_value": "Provisional"}, "uncertain", 0), ({"source_value": "Rule-out diagnosis"}, "uncertain", 0),
        ({"source_value": "refuted"}, "negated", 0), ({"concept_id": 0, "source_value": "DIFFERENTIAL"}, "uncertain", 0),
        ({"source_value": "confirmed"}, "affirmed", 0), ({"source_value": "H1"}, "affirmed", 1), ({"source_value": " "}, "affirmed", 0),
        ({"concept_id": 32902, "source_value": "provisional"}, "affirmed", 0),
    ],
)  # fmt: skip
def test_a_status_of_a_site_is_read_by_what_it_maps_to_or_by_its_words(read: Any, said: Row, certainty: str, n_not_understood: int) -> None:
    batch = read(relations=[(m.LOCAL_DOUBT, m.PRELIMINARY, "Maps to")], condition_occurrence=[condition(m.SSC, **told(said))])
    assert concepts(batch) == [("systemic_sclerosis", certainty)]
    assert of_rows(batch) == ({NOT_UNDERSTOOD: n_not_understood} if n_not_understood else {})
    assert_accounted(batch)


def test_statuses_that_are_not_understood_are_counted_by_row(read: Any) -> None:
    rows = [condition(m.SSC, **told({"concept_id": m.LOCAL_STATUS}))] * 3 + [condition(m.SSC), condition(m.FLU, **told({"concept_id": m.LOCAL_STATUS}))]
    batch = read(condition_occurrence=rows)
    assert concepts(batch) == [("systemic_sclerosis", "affirmed")] * 4
    assert of_rows(batch) == {NOT_UNDERSTOOD: 3}


def test_a_condition_entered_in_error_is_ignored(read: Any) -> None:
    batch = read(condition_occurrence=[condition(m.SSC, **told({"source_value": "entered-in-error"}))])
    assert events_of(batch) == []
    assert (batch.records_read, batch.records_ignored) == (2, 1)
    assert_accounted(batch)


def test_a_status_alone_does_not_stand_for_a_vocabulary(tmp_path: Path) -> None:
    """Nor does its absence stop a run: trimmed vocabularies lack the statuses."""
    made = cdm(condition_occurrence=[condition(999, **told({"concept_id": m.PRELIMINARY}))])
    with pytest.raises(ValueError, match="knows none of the concepts"):
        read_cdm(write_parquet(tmp_path / "foreign", made))
    words = condition(0, condition_source_value="systemic sclerosis", **told({"concept_id": 32899}))
    made = cdm(condition_occurrence=[words])
    made["concept"] = [row for row in made["concept"] if row["vocabulary_id"] == "UCUM"]
    assert concepts(read_cdm(write_parquet(tmp_path / "trimmed", made))) == [("systemic_sclerosis", "uncertain")]


def test_ids_of_statuses_follow_the_alphabet() -> None:
    """As the script of OHDSI numbered them; a slip of a digit would fall out of order."""
    names = [name for number, name in sorted(NAMES.items()) if number < 100_000]
    assert names == sorted(names)


# --- values ------------------------------------------------------------------------------------------


def test_a_measurement_with_its_unit_operator_and_interval(read: Any) -> None:
    row = measured(m.PHOSPHATE, value_as_number=5.25, unit_concept_id=m.MG_DL, unit_source_value="milligrams", range_low=2.5, range_high=4.5)
    [event] = events_of(read(measurement=[{**row, "operator_concept_id": 4172704, "value_source_value": "5.25"}]))
    assert event == {
        "subject_id": "1", "time": datetime(2020, 1, 2), "code": "LOINC/2777-1", "concept": "phosphate", "certainty": "affirmed",
        "numeric_value": 5.25, "comparator": ">", "unit": "mg/dL", "range_low": 2.5, "range_high": 4.5, "source": "measurement/1",
    }  # fmt: skip


@pytest.mark.parametrize(("operator", "sign"), [(4171756, "<"), (4171754, "<="), (4171755, ">="), (4172704, ">"), (4172703, None), (0, None)])
def test_operators(read: Any, operator: int, sign: str | None) -> None:
    [event] = events_of(read(measurement=[measured(m.PHOSPHATE, value_as_number=5, unit_concept_id=m.MG_DL, operator_concept_id=operator)]))
    assert event.get("comparator") == sign


@pytest.mark.parametrize(
    ("unit", "read_as"),
    [
        ({"unit_concept_id": m.PER_LITRE}, "mmol/L"), ({"unit_source_value": "mmol/L"}, "mmol/L"),
        ({"unit_concept_id": 0, "unit_source_value": "furlongs"}, "furlongs"), ({"unit_concept_id": m.SNOMED_UNIT}, "some unit"),
        ({"unit_concept_id": m.SNOMED_UNIT, "unit_source_value": "mmol/L"}, "mmol/L"), ({"unit_concept_id": 8840}, "OMOP concept 8840"), ({}, None),
    ],
)  # fmt: skip
def test_units(read: Any, unit: Any, read_as: str | None) -> None:
    [event] = events_of(read(measurement=[measured(m.PHOSPHATE, value_as_number=1.2, **unit)]))
    assert event.get("unit") == read_as


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        ({"value_as_concept_id": m.POSITIVE}, "positive"), ({"value_as_concept_id": m.NEGATIVE}, "negative"),
        ({"value_as_concept_id": m.WITHIN_NORMAL}, "normal"), ({"value_source_value": "Negative"}, "negative"),
        ({"value_source_value": "1:640"}, "positive"),
    ],
)  # fmt: skip
def test_a_result_in_words(read: Any, value: Any, flag: str) -> None:
    [event] = events_of(read(measurement=[measured(m.ANA, **value)]))
    assert (event["concept"], event["flag"]) == ("ana", flag)


@pytest.mark.parametrize("value", [{}, {"range_low": 2.5, "range_high": 4.5}, {"value_source_value": "not done"}, {"value_source_value": "  "}, {"unit_concept_id": m.MG_DL}])
def test_a_measurement_without_a_value_is_unknown(read: Any, value: Any) -> None:
    batch = read(measurement=[measured(m.PHOSPHATE, **value)])
    assert events_of(batch) == []
    assert_accounted(batch)


def test_a_number_written_as_text_beside_it_is_read_once(read: Any) -> None:
    [event] = events_of(read(measurement=[measured(m.PHOSPHATE, value_as_number=5, unit_concept_id=m.MG_DL, value_source_value="high")]))
    assert (event["numeric_value"], "flag" in event, "text_value" in event) == (5, False, False)


def test_an_unknown_unit_is_rejected_aloud(tmp_path: Path) -> None:
    row = measured(m.PHOSPHATE, value_as_number=5, unit_source_value="furlongs")
    cohort = screen(write_parquet(tmp_path / "cdm", cdm(measurement=[row])), tmp_path / "out", readers=make_readers())
    [reject] = pl.read_parquet(cohort.folder / "rejects.parquet").to_dicts()
    assert (reject["category"], reject["record"], reject["file"]) == ("unknown_unit", "measurement/1", str(tmp_path / "cdm" / "measurement.parquet"))
    assert "furlongs" in reject["reason"]
    assert "phosphate" not in cohort.summary.lab_coverage


@pytest.mark.parametrize(
    ("question", "certainty"), [(m.FAMILY, "family"), (m.NO_HISTORY, "negated"), (m.HISTORY, "affirmed"), (m.SUSPECTED, "uncertain")]
)  # fmt: skip
def test_a_disease_under_a_question_is_what_the_question_makes_of_it(read: Any, question: int, certainty: str) -> None:
    assert concepts(read(observation=[observed(question, value_as_concept_id=m.SSC)])) == [("systemic_sclerosis", certainty)]


def test_an_answer_in_words_is_read_whatever_was_asked(read: Any) -> None:
    assert concepts(read(observation=[observed(m.FLU, value_as_string="livedo racemosa of the thigh")])) == [("livedo_racemosa", "affirmed")]


# --- notes and deaths ------------------------------------------------------------------------------------


def test_a_note_is_read_with_its_negations(read: Any) -> None:
    assert sorted(concepts(read(note=[note("Dermatomyositis. No skin ulcers.")]))) == [("dermatomyositis", "affirmed"), ("skin_ulcer", "negated")]


@pytest.mark.parametrize(
    ("said", "text", "concept"),
    [
        ({"note_class_concept_id": m.RADIOLOGY}, "Calcifications at the left elbow.", "imaging_calcification"),
        ({"note_title": "X-ray of both hands"}, "Calcifications.", "imaging_calcification"),
        ({"note_class_concept_id": m.PATHOLOGY}, "Calcium deposits in the dermis.", "histology_calcium"),
        ({"note_title": "Skin biopsy"}, "Calcium deposits.", "histology_calcium"),
    ],
)
def test_a_radiology_or_pathology_note_is_a_report(read: Any, said: Any, text: str, concept: str) -> None:
    assert (concept, "affirmed") in concepts(read(note=[note(text, **said)]))


def test_the_words_of_a_report_mean_nothing_of_the_kind_in_any_other_note(read: Any) -> None:
    assert not {"imaging_calcification", "histology_calcium"} & {name for name, _ in concepts(read(note=[note("Calcifications, calcium deposits.")]))}


def test_a_long_note_is_counted_and_an_empty_one_ignored(read: Any) -> None:
    batch = read(note=[note("Calcinosis. " * 2_000), note(None), note("  ")])
    assert events_of(batch) == []
    assert of_rows(batch) == {"long free text": 1}
    assert (batch.records_read, batch.records_used, batch.records_ignored) == (4, 2, 2)


def test_a_death_counts_by_its_cause(read: Any) -> None:
    rows = [{"death_date": "2021-01-01", "cause_concept_id": m.SSC}, {"person_id": 2, "death_date": "2021-01-01"}]
    batch = read(people=2, death=rows)
    [event] = events_of(batch)
    assert (event["concept"], event["time"], event["source"]) == ("systemic_sclerosis", datetime(2021, 1, 1), "death/1")
    assert batch.records_ignored == 1


# --- persons -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "birth_date"),
    [
        ({"year_of_birth": 1970}, date(1970, 7, 1)), ({"year_of_birth": 1970, "month_of_birth": 2}, date(1970, 2, 15)),
        ({"year_of_birth": 1970, "month_of_birth": 2, "day_of_birth": 3}, date(1970, 2, 3)),
        ({"birth_datetime": "1970-02-03 04:05:06"}, date(1970, 2, 3)), ({"year_of_birth": 1700}, None), ({"year_of_birth": 2900}, None),
        ({"year_of_birth": 1970, "month_of_birth": 2, "day_of_birth": 30}, None), ({"year_of_birth": 60}, None),
        ({"year_of_birth": 1970, "month_of_birth": 13}, None), ({"birth_datetime": "1066-10-14 00:00:00"}, None), ({}, None),
        ({"year_of_birth": 60, "birth_datetime": "1960-02-03 04:05:06"}, date(1960, 2, 3)),
    ],
)  # fmt: skip
def test_birth_dates(read: Any, born: Any, birth_date: date | None) -> None:
    batch = read(person=[born])
    assert batch.patients["birth_date"].to_list() == [birth_date]
    told = [("warning", "impossible_date", "person/1")] if born and birth_date is None else []
    assert batch.rejects.select("level", "category", "record").rows() == told
    assert_accounted(batch)


@pytest.mark.parametrize(
    ("gender", "sex"),
    [
        ({"gender_concept_id": 8532}, "female"), ({"gender_concept_id": 8507}, "male"), ({"gender_concept_id": 0}, None),
        ({"gender_concept_id": 0, "gender_source_value": " F"}, "female"), ({"gender_concept_id": 8521, "gender_source_value": "other"}, None),
    ],
)  # fmt: skip
def test_genders(read: Any, gender: Any, sex: str | None) -> None:
    assert read(person=[gender]).patients["sex"].to_list() == [sex]


def test_a_person_without_rows_is_handed_over(read: Any) -> None:
    assert read(people=3).patients["subject_id"].to_list() == ["1", "2", "3"]


def test_a_person_whom_only_other_tables_name_is_handed_over_with_a_warning(read: Any) -> None:
    batch = read(condition_occurrence=[condition(m.SSC, person_id=7)])
    assert batch.patients["subject_id"].to_list() == ["1", "7"]
    assert batch.rejects.select("level", "category", "record").rows() == [("warning", "missing_patient", "person/7")]


def test_ids_beyond_what_a_float_can_tell_apart(tmp_path: Path) -> None:
    big = 2**53
    tables = cdm(person=[{"person_id": big}, {"person_id": big + 1}], condition_occurrence=[condition(m.SSC, person_id=big + 1)])
    for store in (write_parquet(tmp_path / "p", tables), write_csv(tmp_path / "c", tables)):
        batch = read_cdm(store)
        assert batch.patients["subject_id"].to_list() == [str(big), str(big + 1)]
        assert batch.events["subject_id"].to_list() == [str(big + 1)]


# --- the account -------------------------------------------------------------------------------------


def test_rows_of_nobody_and_repeated_keys_are_rejected(read: Any, tmp_path: Path) -> None:
    rows = [condition(m.SSC), condition(m.SSC, condition_occurrence_id=1), condition(m.SSC, person_id=None)]
    batch = read(person=[{}, {}, {"person_id": None}], condition_occurrence=rows)
    assert batch.rejects.select("level", "category", "record").sort("category", "record").rows() == [
        ("error", "duplicate_id", "condition_occurrence/1"), ("error", "duplicate_id", "person/1"),
        ("error", "no_subject", "condition_occurrence/3"), ("error", "no_subject", "person/?"),
    ]  # fmt: skip
    assert set(batch.rejects["file"]) == {str(tmp_path / "cdm" / f"{name}.parquet") for name in ("person", "condition_occurrence")}
    assert (batch.records_read, batch.records_used, batch.records_rejected) == (6, 2, 4)
    assert batch.patients["subject_id"].to_list() == ["1"]
    assert_accounted(batch)


def test_impossible_dates_cost_only_the_date(read: Any) -> None:
    batch = read(condition_occurrence=[condition(m.SSC, condition_start_date="1066-10-14"), condition(m.SSC, condition_end_date="2999-01-01")])
    assert [event.get("time") for event in events_of(batch)] == [None, datetime(2020, 1, 2)]
    assert all("end_time" not in event for event in events_of(batch))
    assert batch.rejects.select("level", "category", "record").rows() == [
        ("warning", "impossible_date", "condition_occurrence/1"), ("warning", "impossible_date", "condition_occurrence/2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "read"),
    [("20220514", "2022-05-14"), ("2022-05-14", "2022-05-14"), ("14052022", None), ("05142022", None), ("14/05/2022", None), ("20221332", None)],
)
def test_a_date_of_eight_digits_in_a_csv_begins_with_the_year(written: str, read: str | None, tmp_path: Path) -> None:
    batch = read_cdm(write_csv(tmp_path, cdm(measurement=[measured(m.PHOSPHATE, measurement_date=written, value_as_number=4, unit_source_value="mg/dL")])))
    (event,) = [each for each in events_of(batch) if each["concept"] == "phosphate"]
    assert ("time" in event and event["time"].date().isoformat()) == (read or False)
    assert batch.rejects["category"].to_list() == ([] if read else ["impossible_date"])


def test_words_in_the_number_columns_of_a_csv(tmp_path: Path) -> None:
    rows = [
        measured(m.PHOSPHATE, value_as_number="five", unit_source_value="mg/dL"), measured(m.PHOSPHATE, value_as_number="NaN", unit_source_value="mg/dL"),
        measured(m.PHOSPHATE, value_as_number="inf"), measured("none", person_id="x", value_as_number=1), measured(m.PHOSPHATE, measurement_date="soon", value_as_number=4),
    ]  # fmt: skip
    batch = read_cdm(write_csv(tmp_path, cdm(measurement=rows)))
    assert [event["numeric_value"] for event in events_of(batch)] == [4]
    said = [(row["category"], row["record"]) for row in batch.rejects.sort("record", "category").to_dicts()]
    assert said == [("wrong_type", "measurement/1"), ("wrong_type", "measurement/2"), ("wrong_type", "measurement/3"), ("impossible_date", "measurement/5")]
    assert_accounted(batch)
    assert batch.records_read == 6


def test_broken_lines_of_a_csv_are_named_by_line(tmp_path: Path) -> None:
    rows = [measured(m.PHOSPHATE, value_as_number=5, unit_source_value="mg/dL")]
    folder = write_csv(tmp_path, cdm(measurement=rows), tail="7,1,301\n8" + ",x" * 40 + "\n")
    with (folder / "measurement.csv").open("ab") as stream:
        stream.write(b"9,1,301,2020-01-01,,5,,,,,,,\xff\xfe,\n10,1,301,2020-01-01,,6,,,,,,,mg/dL,\n")
    batch = read_cdm(folder)
    assert [event["numeric_value"] for event in events_of(batch)] == [5, 6]
    broken = batch.rejects.filter(pl.col("category") == "malformed_csv")
    assert broken.select("file", "line", "level").rows() == [(str(folder / "measurement.csv"), line, "error") for line in (3, 4, 5)]
    assert batch.records_read == 1 + 5
    assert_accounted(batch)


def test_what_nobody_knows_is_counted(read: Any) -> None:
    rows = [condition(m.FLU), condition(m.FLU), condition(m.SSC), condition(0, condition_source_value="unheard of"), condition(0)]
    batch = read(condition_occurrence=rows)
    assert sorted(batch.unmapped.rows(), key=repr) == [("condition", "SNOMED", "6142004", "Influenza", 2), ("condition", None, None, "unheard of", 1)]
    assert_accounted(batch)


def test_only_rows_that_matter_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: dict[str, int] = {}
    real = omop.store_rows

    def counted(con: Any, name: str, *more: Any) -> Any:
        found = real(con, name, *more)
        assert found
        fetched[name] = int(found[1].counts.sum())
        return found

    monkeypatch.setattr(omop, "store_rows", counted)
    read_cdm(write_parquet(tmp_path, cdm(condition_occurrence=[condition(m.FLU)] * 5 + [condition(m.SSC)], measurement=[measured(m.FLU, value_as_number=1)])))
    assert fetched == {"condition_occurrence": 1, "measurement": 0}


def test_a_table_that_says_too_many_things_is_read_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_parquet(tmp_path, cdm(**MIXED))
    wanted = comparable_cdm(read_cdm(store))
    for most in (0, 1, 2, 3):
        monkeypatch.setattr(omop_store, "MOST_SAYINGS", most)
        assert comparable_cdm(read_cdm(store)) == wanted, most


def test_columns_that_hold_nothing_are_not_asked_for(tmp_path: Path) -> None:
    write_parquet(tmp_path, cdm(measurement=[measured(m.PHOSPHATE, value_as_number=5, unit_concept_id=m.MG_DL)]))
    with open_cdm(tmp_path, str(tmp_path)) as there:
        assert {"value_as_number", "person_id", "measurement_concept_id"} <= set(there.columns("measurement"))
        assert not {"range_low", "value_as_concept_id", "operator_concept_id"} & set(there.columns("measurement"))
    assert concepts(read_cdm(tmp_path)) == [("phosphate", "affirmed")]


def test_a_column_that_only_one_of_two_files_fills_is_read(tmp_path: Path) -> None:
    rows = [measured(m.PHOSPHATE, value_as_number=5, unit_concept_id=m.MG_DL), measured(m.PHOSPHATE, value_as_number=6, unit_source_value="mmol/L")]
    batch = read_cdm(write_parquet(tmp_path, cdm(measurement=rows), parts=True))
    assert sorted((event["numeric_value"], event["unit"]) for event in events_of(batch)) == [(5.0, "mg/dL"), (6.0, "mmol/L")]


def test_a_date_without_end_is_no_date(tmp_path: Path) -> None:
    write_parquet(tmp_path, cdm(condition_occurrence=[condition(m.SSC), condition(m.SSC), condition(m.SSC)]))
    path = tmp_path / "condition_occurrence.parquet"
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE made AS SELECT * REPLACE ([NULL, '-infinity', 'infinity'][condition_occurrence_id]::TIMESTAMP AS condition_start_datetime, NULL::DATE AS condition_start_date) FROM '{path}'")
        con.execute(f"COPY made TO '{path}'")
    batch = read_cdm(tmp_path)
    assert batch.events["time"].to_list() == [None, None, None]
    assert batch.rejects.select("category", "record").rows() == [("impossible_date", f"condition_occurrence/{n}") for n in (2, 3)]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_the_size_of_batches_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rows = [condition(m.SSC, person_id=n % 7) for n in range(40)] + [condition(m.SSC, person_id=n, condition_occurrence_id=3) for n in range(5)]
    store = write_parquet(tmp_path, cdm(people=20, condition_occurrence=rows, note=[note("Calcinosis.", person_id=n) for n in range(1, 9)]))
    wanted = comparable_cdm(read_cdm(store))
    monkeypatch.setattr(omop, "EVENTS_PER_BATCH", size)
    batches = list(read_omop(store, INDEX, READER))
    assert len(batches) > 1 or size == 1000
    subjects = [name for batch in batches for name in batch.patients["subject_id"]]
    assert len(subjects) == len(set(subjects))
    assert comparable_cdm(read_cdm(store)) == wanted


# --- any CDM -----------------------------------------------------------------------------------------

IDS = st.sampled_from([0, None, m.SSC, m.SSC_LUNG, m.SSC_ICD, m.FLU, m.PHOSPHATE, m.ANA, m.WARFARIN_TABLET, m.POSITIVE, m.MG_DL, m.PRELIMINARY, 2_000_000_009])
WORDS = st.sampled_from([None, "", "systemic sclerosis", "negative", "5 mg/dL", "it's", 'a "b", c', "calcinosis\nof the elbow", "mg/dL", "Refuted", "x"])
DATES = st.sampled_from([None, "2020-01-01", "1066-01-01", "2999-12-31"])
WHO = st.sampled_from([1, 2, 3, 77, None])
KEYS = st.sampled_from([*range(1, 30), None])
NUMBERS = st.sampled_from([None, 0, 1.5, 99999])


@st.composite
def any_cdm(draw: st.DrawFn) -> dict[str, Any]:
    tables: dict[str, Any] = {
        "relations": [(m.SSC_ICD, m.SSC, "Maps to"), (m.WARFARIN_TABLET, m.WARFARIN, "RxNorm has ing")], "ancestors": [(m.SSC, m.SSC_LUNG)],
    }  # fmt: skip
    for name in draw(st.sets(st.sampled_from(["person", "condition_occurrence", "drug_exposure", "drug_era", "measurement", "observation", "note", "death", "observation_period", "device_exposure"]))):
        kinds = {
            column: KEYS if column == f"{name}_id" else WHO if column == "person_id" else DATES if kind in ("DATE", "TIMESTAMP")
            else IDS if column.endswith("concept_id") else WORDS if kind == "VARCHAR" else NUMBERS if kind.startswith("NUMERIC") else st.integers(0, 2100)
            for column, kind in m.columns_of_cdm(name).items()
        }  # fmt: skip
        tables[name] = draw(st.lists(st.fixed_dictionaries(kinds), max_size=6))
    return tables


@settings(max_examples=60)
@given(made=any_cdm())
def test_every_row_is_accounted_for_in_any_cdm_and_store(made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    tables = cdm(**made)
    try:
        batch = read_cdm(write_parquet(folder / "parquet", tables))
    except ValueError as error:  # every id drawn was one that the vocabulary does not hold
        assert "knows none of the concepts" in str(error)
        return
    assert batch.records_read == sum(len(rows) for name, rows in tables.items() if not name.startswith("concept"))
    assert_accounted(batch)
    assert set(batch.events["subject_id"]) <= set(batch.patients["subject_id"])
    assert comparable_cdm(read_cdm(write_csv(folder / "csv", tables))) == comparable_cdm(batch)
    with pytest.MonkeyPatch.context() as patch:  # as a table that says too many different things
        patch.setattr(omop_store, "MOST_SAYINGS", 0)
        assert comparable_cdm(read_cdm(folder / "parquet")) == comparable_cdm(batch)


def test_notes_without_any_column_of_words_are_kept_all_the_same(tmp_path: Path) -> None:
    """A CDM may leave out every column that a note could say something with; DuckDB hashes nothing only as NULL."""
    stored = store_rows(duckdb.connect(), "note", "(SELECT 1::BIGINT AS person_id)", tmp_path)
    assert stored is not None and stored[0].height == 1
