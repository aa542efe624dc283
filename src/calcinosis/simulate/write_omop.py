"""OMOP CDM 5.4 as one Parquet file per table, a row group per block."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from calcinosis.simulate.omop_schema import EVENT_TABLES, SCHEMAS
from calcinosis.simulate.omop_vocabulary import NO_CONCEPT, make_vocabulary
from calcinosis.simulate.plan import Plan
from calcinosis.simulate.population import RECORD_ENDS
from calcinosis.simulate.statements import Block, course_end

# Ids of the standard that every CDM uses (gender; outpatient visit) and that are no codes of a terminology.
_FEMALE, _MALE, _OUTPATIENT = 8532, 8507, 9202
_NAMES: Final = {  # statement kind -> prefix of the columns of its table
    "condition": ("condition", "condition_start", "condition_occurrence_id"),
    "drug": ("drug", "drug_exposure_start", "drug_exposure_id"),
    "procedure": ("procedure", "procedure", "procedure_occurrence_id"),
    "lab": ("measurement", "measurement", "measurement_id"),
}


class OmopWriter:
    """Refuted and suspected diagnoses are left out: a CDM has no place where every site would look for them."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._vocabulary = make_vocabulary(plan)
        payloads = plan.payloads
        coded = [payload if payload.code else None for payload in payloads]
        self._look_up = pl.DataFrame(
            {
                "payload": range(len(payloads)),
                "kind": [payload.kind for payload in payloads],
                "standard": [self._vocabulary.standard_id(p) if p else NO_CONCEPT for p in coded],
                "source": [self._vocabulary.source_id(p) if p else NO_CONCEPT for p in coded],
                "code": [payload.code for payload in payloads],
                "label": [payload.label for payload in payloads],
                "text": [payload.text for payload in payloads],
                "unit": [payload.unit for payload in payloads],
                "unit_id": [self._vocabulary.unit_id(payload) if payload.unit else None for payload in payloads],
                "affirmed": [payload.certainty == "affirmed" for payload in payloads],
            },
            schema_overrides={"payload": pl.Int32, "standard": pl.Int32, "source": pl.Int32, "unit_id": pl.Int32},
        )
        self._next = dict.fromkeys((*EVENT_TABLES.values(), "note", "visit_occurrence"), 1)
        self.rows = 0
        for table in SCHEMAS:
            words = [each.name for each in SCHEMAS[table] if each.type == "string" or each.name.endswith("concept_id")]
            # ids and values repeat too seldom for a dictionary to pay
            self._writers[table] = pq.ParquetWriter(folder / f"{table}.parquet", SCHEMAS[table], compression="snappy", use_dictionary=words)

    def write(self, block: Block) -> None:
        first_visit = self._next["visit_occurrence"]
        self._write_people(block)
        kinds = self._look_up["kind"].cast(pl.Categorical)
        said = block.statements
        kind = kinds.gather(said["payload"])
        for name, table in EVENT_TABLES.items():
            part = said.filter((kind == name) & self._look_up["affirmed"].gather(said["payload"]))
            self._append(table, self._events(part, name, table, first_visit))
        self._append("note", self._notes(said.filter(kind.is_in(["report", "note"])), first_visit))

    def _events(self, part: pl.DataFrame, kind: str, table: str, first_visit: int) -> dict[str, pl.Series]:
        concept, start, identifier = _NAMES[kind]
        index, ids = part["payload"], self._ids(table, len(part))
        columns = {
            identifier: ids, "person_id": part["subject"], f"{concept}_concept_id": self._of("standard", index),
            f"{start}_date": part["time"].dt.date(), f"{start}_datetime": part["time"],
            f"{concept}_type_concept_id": self._constant(NO_CONCEPT, len(part)), "visit_occurrence_id": part["visit"] + first_visit,
            f"{concept}_source_value": self._of("code", index), f"{concept}_source_concept_id": self._of("source", index),
        }  # fmt: skip
        if kind == "drug":  # the CDM wants an end of every course
            over = pl.when("ended").then(course_end(pl.col("time")).dt.date()).otherwise(pl.lit(RECORD_ENDS))
            columns["drug_exposure_end_date"] = part.select(over.alias("end"))["end"]
        if kind == "lab":
            columns |= {"value_as_number": part["value"], "unit_concept_id": self._of("unit_id", index)}
            columns["unit_source_value"] = self._of("unit", index)
        return columns

    def _notes(self, part: pl.DataFrame, first_visit: int) -> dict[str, pl.Series]:
        none = self._constant(NO_CONCEPT, len(part))
        index = part["payload"]
        return {
            "note_id": self._ids("note", len(part)), "person_id": part["subject"], "note_date": part["time"].dt.date(),
            "note_datetime": part["time"], "note_type_concept_id": none, "note_class_concept_id": none,
            "note_title": self._of("label", index), "note_text": self._of("text", index), "encoding_concept_id": none,
            "language_concept_id": none, "visit_occurrence_id": part["visit"] + first_visit,
        }  # fmt: skip

    def _write_people(self, block: Block) -> None:
        people, n = block.patients, block.patients.n
        person = pl.Series(range(people.first_id, people.first_id + n), dtype=pl.Int32)
        none, female = self._constant(NO_CONCEPT, n), pl.Series(people.female)
        birth, death = (pl.Series(days).cast(pl.Int32).cast(pl.Date) for days in (people.birth_day, people.death_day))
        sex = pl.select(pl.when(female).then(pl.lit(_FEMALE)).otherwise(pl.lit(_MALE)))
        self._append("person", {
            "person_id": person, "gender_concept_id": sex.to_series(), "year_of_birth": birth.dt.year(), "month_of_birth": birth.dt.month(),
            "day_of_birth": birth.dt.day(), "birth_datetime": birth.cast(pl.Datetime("us")), "race_concept_id": none,
            "ethnicity_concept_id": none, "person_source_value": block.truth["subject_id"],
            "gender_source_value": pl.select(pl.when(female).then(pl.lit("F")).otherwise(pl.lit("M"))).to_series(),
        })  # fmt: skip
        day = block.visits["time"].dt.date()
        first = day.gather(people.visit_offset[:-1])
        dead = pl.Series(people.death_day >= 0)
        end = death.zip_with(dead, pl.Series([RECORD_ENDS]).new_from_index(0, n))
        self._append("observation_period", {
            "observation_period_id": person, "person_id": person, "observation_period_start_date": first,
            "observation_period_end_date": end, "period_type_concept_id": none,
        })  # fmt: skip
        visits = len(day)
        self._append("visit_occurrence", {
            "visit_occurrence_id": self._ids("visit_occurrence", visits), "person_id": block.visits["subject"],
            "visit_concept_id": self._constant(_OUTPATIENT, visits), "visit_start_date": day, "visit_start_datetime": block.visits["time"],
            "visit_end_date": day, "visit_type_concept_id": self._constant(NO_CONCEPT, visits),
        })  # fmt: skip
        died = person.filter(dead)
        self._append("death", {
            "person_id": died, "death_date": death.filter(dead), "death_type_concept_id": self._constant(NO_CONCEPT, len(died)),
        })  # fmt: skip

    def _of(self, column: str, index: pl.Series) -> pl.Series:
        return self._look_up[column].gather(index)

    def _ids(self, table: str, n: int) -> pl.Series:
        first = self._next[table]
        self._next[table] = first + n
        return pl.int_range(first, first + n, dtype=pl.Int32, eager=True)

    def _constant(self, value: int, n: int) -> pl.Series:
        return pl.Series([value], dtype=pl.Int32).new_from_index(0, n)

    def _append(self, table: str, columns: dict[str, pl.Series]) -> None:
        schema = SCHEMAS[table]
        unknown = set(columns) - set(schema.names)
        if unknown:
            raise KeyError(f"{table} has no column {', '.join(sorted(unknown))}")
        n = len(next(iter(columns.values())))
        arrays = [columns[field.name].to_arrow().cast(field.type) if field.name in columns else pa.nulls(n, field.type) for field in schema]
        self._writers[table].write_table(pa.table(arrays, schema=schema))
        self.rows += n

    def close(self) -> None:
        tables = {
            "concept": self._vocabulary.rows, "concept_relationship": self._vocabulary.relationships(),
            "concept_ancestor": self._vocabulary.ancestors(), "vocabulary": self._vocabulary.vocabularies(),
        }  # fmt: skip
        for table, rows in tables.items():
            schema = SCHEMAS[table]
            arrays = [pa.array(column, each.type) for column, each in zip(zip(*rows, strict=True), schema, strict=True)]
            self._writers[table].write_table(pa.table(arrays, schema=schema))
        for writer in self._writers.values():
            writer.close()
