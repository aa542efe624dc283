"""Small OMOP CDMs in memory, written as every kind of store."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from fhir_made import INDEX, READER

from calcinosis.events import Batch
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.omop import read_omop
from calcinosis.sources.text import TextReader

Row = dict[str, Any]
Tables = dict[str, list[Row]]

# Concepts of a made vocabulary. Ids are ours; codes are those of fhir_made.CODES.
SSC, SSC_LUNG, SSC_ICD, LUNG_ICD, CUTIS_ICD, E8359_ICD, E8359_SNOMED, BELOW_BROADER = 101, 102, 103, 104, 105, 106, 107, 108
WARFARIN, WARFARIN_TABLET, COUMADIN_TABLET, GLUCONATE, COMBINED = 201, 202, 203, 204, 205
PHOSPHATE, ANA, POSITIVE, NEGATIVE, MG_DL, PER_LITRE, SNOMED_UNIT = 301, 302, 303, 304, 305, 306, 307
FAMILY, NO_HISTORY, HISTORY, RADIOLOGY, PATHOLOGY, FLU, WITHIN_NORMAL, SUSPECTED = 401, 402, 403, 404, 405, 406, 407, 408
PRELIMINARY, LOCAL_DOUBT, LOCAL_STATUS = 32899, 2_000_000_101, 2_000_000_102
CONCEPTS: list[tuple[int, str, str, str]] = [
    (SSC, "SNOMED", "89155008", "Systemic sclerosis"),
    (SSC_LUNG, "SNOMED", "1", "Disorder of lung in PSS"),
    (SSC_ICD, "ICD10CM", "Z1", "Local name"),
    (LUNG_ICD, "ICD10CM", "Z2", "Another local name"),
    (CUTIS_ICD, "ICD10CM", "L94.2", "Local name of L94.2"),
    (E8359_ICD, "ICD10CM", "E83.59", "Other disorders of mineral metabolism"),
    (E8359_SNOMED, "SNOMED", "2", "Mineral disorder"),
    (BELOW_BROADER, "SNOMED", "3", "A mineral disorder of another kind"),
    (WARFARIN, "RxNorm", "11289", "W-ingredient"),
    (WARFARIN_TABLET, "RxNorm", "855332", "W 5 MG Oral Tablet"),
    (COUMADIN_TABLET, "RxNorm", "855334", "W 5 MG Oral Tablet [C]"),
    (GLUCONATE, "RxNorm", "1908", "G-ingredient"),
    (COMBINED, "RxNorm", "4", "W and G Oral Tablet"),
    (PHOSPHATE, "LOINC", "2777-1", "Phosphate [Mass/volume] in Serum or Plasma"),
    (ANA, "LOINC", "8061-4", "Antinuclear antibodies"),
    (POSITIVE, "SNOMED", "10828004", "Positive"),
    (NEGATIVE, "SNOMED", "260385009", "Negative"),
    (MG_DL, "UCUM", "mg/dL", "milligram per deciliter"),
    (PER_LITRE, "UCUM", "mmol/L", "millimole per liter"),
    (SNOMED_UNIT, "SNOMED", "258797006", "some unit"),
    (FAMILY, "SNOMED", "416471007", "Family history of clinical finding"),
    (NO_HISTORY, "SNOMED", "443508001", "No history of clinical finding in subject"),
    (HISTORY, "OMOP Extension", "OMOP5165859", "History of event"),
    (RADIOLOGY, "Note Type", "R", "Radiology report"),
    (PATHOLOGY, "Note Type", "P", "Pathology report"),
    (FLU, "SNOMED", "6142004", "Influenza"),
    (WITHIN_NORMAL, "SNOMED", "5", "Normal"),
    (SUSPECTED, "SNOMED", "6", "Disease suspected"),
    (PRELIMINARY, "Condition Status", "s1", "Preliminary diagnosis"),
    (LOCAL_DOUBT, "Hospital", "V", "Verdacht"),
    (LOCAL_STATUS, "Hospital", "H", "Hauptdiagnose"),
]

_COLUMNS: dict[str, dict[str, str]] = {
    "person": {
        "person_id": "BIGINT", "gender_concept_id": "INTEGER", "year_of_birth": "INTEGER", "month_of_birth": "INTEGER",
        "day_of_birth": "INTEGER", "birth_datetime": "TIMESTAMP", "gender_source_value": "VARCHAR",
    },
    "condition_occurrence": {
        "condition_occurrence_id": "BIGINT", "person_id": "BIGINT", "condition_concept_id": "INTEGER", "condition_start_date": "DATE",
        "condition_start_datetime": "TIMESTAMP", "condition_end_date": "DATE", "condition_source_value": "VARCHAR",
        "condition_source_concept_id": "INTEGER", "condition_status_concept_id": "INTEGER", "condition_status_source_value": "VARCHAR",
    },
    "drug_exposure": {
        "drug_exposure_id": "BIGINT", "person_id": "BIGINT", "drug_concept_id": "INTEGER", "drug_exposure_start_date": "DATE",
        "drug_exposure_end_date": "DATE", "drug_source_value": "VARCHAR", "drug_source_concept_id": "INTEGER",
    },
    "drug_era": {
        "drug_era_id": "BIGINT", "person_id": "BIGINT", "drug_concept_id": "INTEGER", "drug_era_start_date": "DATE", "drug_era_end_date": "DATE",
    },
    "procedure_occurrence": {
        "procedure_occurrence_id": "BIGINT", "person_id": "BIGINT", "procedure_concept_id": "INTEGER", "procedure_date": "DATE",
        "procedure_source_value": "VARCHAR", "procedure_source_concept_id": "INTEGER",
    },
    "measurement": {
        "measurement_id": "BIGINT", "person_id": "BIGINT", "measurement_concept_id": "INTEGER", "measurement_date": "DATE",
        "operator_concept_id": "INTEGER", "value_as_number": "NUMERIC(18,3)", "value_as_concept_id": "INTEGER", "unit_concept_id": "INTEGER",
        "range_low": "NUMERIC(18,3)", "range_high": "NUMERIC(18,3)", "measurement_source_value": "VARCHAR",
        "measurement_source_concept_id": "INTEGER", "unit_source_value": "VARCHAR", "value_source_value": "VARCHAR",
    },
    "observation": {
        "observation_id": "BIGINT", "person_id": "BIGINT", "observation_concept_id": "INTEGER", "observation_date": "DATE",
        "value_as_number": "NUMERIC(18,3)", "value_as_string": "VARCHAR", "value_as_concept_id": "INTEGER", "unit_concept_id": "INTEGER",
        "observation_source_value": "VARCHAR", "observation_source_concept_id": "INTEGER", "unit_source_value": "VARCHAR",
    },
    "device_exposure": {
        "device_exposure_id": "BIGINT", "person_id": "BIGINT", "device_concept_id": "INTEGER", "device_exposure_start_date": "DATE",
        "device_source_value": "VARCHAR", "device_source_concept_id": "INTEGER",
    },
    "death": {
        "person_id": "BIGINT", "death_date": "DATE", "cause_concept_id": "INTEGER", "cause_source_value": "VARCHAR",
        "cause_source_concept_id": "INTEGER",
    },
    "note": {
        "note_id": "BIGINT", "person_id": "BIGINT", "note_date": "DATE", "note_class_concept_id": "INTEGER", "note_title": "VARCHAR",
        "note_text": "VARCHAR",
    },
    "observation_period": {"observation_period_id": "BIGINT", "person_id": "BIGINT"},
    "concept": {"concept_id": "INTEGER", "concept_name": "VARCHAR", "vocabulary_id": "VARCHAR", "concept_code": "VARCHAR"},
    "concept_relationship": {"concept_id_1": "INTEGER", "concept_id_2": "INTEGER", "relationship_id": "VARCHAR"},
    "concept_ancestor": {
        "ancestor_concept_id": "INTEGER", "descendant_concept_id": "INTEGER", "min_levels_of_separation": "INTEGER",
    },
}  # fmt: skip


def columns_of_cdm(table: str) -> dict[str, str]:
    """Column -> SQL type, as the CDM's own definition has it."""
    return _COLUMNS[table]


def cdm(
    *, relations: Sequence[tuple[int, int, str]] = (), ancestors: Sequence[tuple[int, int]] = (), people: int = 1, **tables: list[Row]
) -> Tables:
    """A CDM with its vocabulary; ``people`` persons 1, 2, ...; rows get the keys that are left out and person 1.

    Args:
        relations: (concept, concept, relationship).
        ancestors: (ancestor, descendant), all one level apart.
    """
    made: Tables = {
        "person": [{"person_id": n, "gender_concept_id": 8532, "year_of_birth": 1970} for n in range(1, people + 1)],
        "concept": [
            {"concept_id": n, "vocabulary_id": vocabulary, "concept_code": code, "concept_name": name}
            for n, vocabulary, code, name in CONCEPTS
        ],
        "concept_relationship": [{"concept_id_1": a, "concept_id_2": b, "relationship_id": name} for a, b, name in relations],
        "concept_ancestor": [
            {"ancestor_concept_id": a, "descendant_concept_id": d, "min_levels_of_separation": 1} for a, d in ancestors
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        key = {} if name in ("person", "death") or name.startswith("concept") else {f"{name}_id": None}
        made[name] = [{**(dict.fromkeys(key, place)), "person_id": 1, **row} for place, row in enumerate(rows, start=1)]
    return made


def condition(concept: int = 0, **more: Any) -> Row:
    return {"condition_concept_id": concept, "condition_start_date": "2020-01-02", **more}


def drug(concept: int = 0, **more: Any) -> Row:
    return {"drug_concept_id": concept, "drug_exposure_start_date": "2020-01-02", **more}


def measured(concept: int = 0, **more: Any) -> Row:
    return {"measurement_concept_id": concept, "measurement_date": "2020-01-02", **more}


def observed(concept: int = 0, **more: Any) -> Row:
    return {"observation_concept_id": concept, "observation_date": "2020-01-02", **more}


def note(text: str | None, **more: Any) -> Row:
    return {"note_text": text, "note_date": "2020-01-02", **more}


# --- writing -------------------------------------------------------------------------------------------


def as_sql(con: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    """Make the tables in a DuckDB database, with the types of the CDM."""
    for name, rows in tables.items():
        columns = _COLUMNS[name]
        con.execute(f"CREATE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})")
        if rows:
            listed = [[row.get(column) for column in columns] for row in rows]
            con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", listed)


def write_duckdb(path: Path, tables: Tables) -> Path:
    with duckdb.connect(str(path)) as con:
        as_sql(con, tables)
    return path


def write_parquet(folder: Path, tables: Tables, *, parts: bool = False) -> Path:
    """One file a table, or a folder of two parts a table."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        as_sql(con, tables)
        for name in tables:
            if not parts:
                con.execute(f"COPY {name} TO '{folder / name}.parquet'")
                continue
            (folder / name).mkdir()
            for part in (0, 1):
                con.execute(f"COPY (SELECT * FROM {name} WHERE rowid % 2 = {part}) TO '{folder / name}/part-{part}.parquet'")
    return folder


def write_csv(
    folder: Path, tables: Mapping[str, list[Row]], *, upper: bool = False, gzipped: bool = False, delimiter: str = ",", tail: str = ""
) -> Path:
    """CSV files; ``tail`` is written at the end of ``measurement`` as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        stream = io.StringIO()
        columns = list(_COLUMNS[name])
        quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=quoting, quotechar='"' if delimiter == "," else None)
        writer.writerow([column.upper() if upper else column for column in columns])
        writer.writerows([row.get(column) for column in columns] for row in rows)
        data = (stream.getvalue() + (tail if name == "measurement" else "")).encode()
        file = f"{name.upper() if upper else name}.csv{'.gz' if gzipped else ''}"
        (folder / file).write_bytes(gzip.compress(data) if gzipped else data)
    return folder


# --- reading -------------------------------------------------------------------------------------------


def read_cdm(source: Path | str, index: ConceptIndex = INDEX, reader: TextReader = READER) -> Batch:
    """As one batch."""
    batches = list(read_omop(source, index, reader))
    names = ("records_read", "records_used", "records_ignored", "records_rejected")
    not_read = {what for batch in batches for what in batch.not_read}
    return Batch(
        **{name: pl.concat([getattr(batch, name) for batch in batches]) for name in ("patients", "events", "rejects", "unmapped")},
        **{name: sum(getattr(batch, name) for batch in batches) for name in names},
        not_read={what: sum(batch.not_read.get(what, 0) for batch in batches) for what in not_read},
    )


def events_of(batch: Batch) -> list[Row]:
    """The events without the columns that say nothing, and without the file."""
    return [{key: value for key, value in row.items() if value not in (None, []) and key != "source_file"} for row in batch.events.to_dicts()]


def comparable_cdm(batch: Batch) -> tuple[Any, ...]:
    """All that depends neither on the store nor on the size of batches."""
    unmapped = batch.unmapped.group_by("context", "system", "code", "text").agg(pl.col("n").sum())
    return (
        sorted(batch.events.drop("source_file").with_columns(pl.col("sites").list.join(",")).rows(), key=repr),
        sorted(batch.patients.drop("source_file").rows(), key=repr),
        sorted(batch.rejects.drop("file", "line").rows(), key=repr),
        sorted(unmapped.rows(), key=repr),
        (batch.records_read, batch.records_used, batch.records_ignored, batch.records_rejected),
        batch.not_read,
    )
