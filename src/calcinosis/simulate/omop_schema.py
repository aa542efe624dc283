"""Columns of the OMOP CDM 5.4 tables that are written, in the order of the specification.

I: integer, F: float, D: date, T: timestamp, S: string.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

_TYPES: Final = {"I": pa.int32(), "F": pa.float64(), "D": pa.date32(), "T": pa.timestamp("us"), "S": pa.string()}
_TABLES: Final = {
    "person": "person_id:I gender_concept_id:I year_of_birth:I month_of_birth:I day_of_birth:I birth_datetime:T race_concept_id:I "
    "ethnicity_concept_id:I location_id:I provider_id:I care_site_id:I person_source_value:S gender_source_value:S "
    "gender_source_concept_id:I race_source_value:S race_source_concept_id:I ethnicity_source_value:S ethnicity_source_concept_id:I",
    "observation_period": "observation_period_id:I person_id:I observation_period_start_date:D observation_period_end_date:D "
    "period_type_concept_id:I",
    "visit_occurrence": "visit_occurrence_id:I person_id:I visit_concept_id:I visit_start_date:D visit_start_datetime:T visit_end_date:D "
    "visit_end_datetime:T visit_type_concept_id:I provider_id:I care_site_id:I visit_source_value:S visit_source_concept_id:I "
    "admitted_from_concept_id:I admitted_from_source_value:S discharged_to_concept_id:I discharged_to_source_value:S "
    "preceding_visit_occurrence_id:I",
    "condition_occurrence": "condition_occurrence_id:I person_id:I condition_concept_id:I condition_start_date:D "
    "condition_start_datetime:T condition_end_date:D condition_end_datetime:T condition_type_concept_id:I condition_status_concept_id:I "
    "stop_reason:S provider_id:I visit_occurrence_id:I visit_detail_id:I condition_source_value:S condition_source_concept_id:I "
    "condition_status_source_value:S",
    "drug_exposure": "drug_exposure_id:I person_id:I drug_concept_id:I drug_exposure_start_date:D drug_exposure_start_datetime:T "
    "drug_exposure_end_date:D drug_exposure_end_datetime:T verbatim_end_date:D drug_type_concept_id:I stop_reason:S refills:I quantity:F "
    "days_supply:I sig:S route_concept_id:I lot_number:S provider_id:I visit_occurrence_id:I visit_detail_id:I drug_source_value:S "
    "drug_source_concept_id:I route_source_value:S dose_unit_source_value:S",
    "measurement": "measurement_id:I person_id:I measurement_concept_id:I measurement_date:D measurement_datetime:T measurement_time:S "
    "measurement_type_concept_id:I operator_concept_id:I value_as_number:F value_as_concept_id:I unit_concept_id:I range_low:F "
    "range_high:F provider_id:I visit_occurrence_id:I visit_detail_id:I measurement_source_value:S measurement_source_concept_id:I "
    "unit_source_value:S unit_source_concept_id:I value_source_value:S measurement_event_id:I meas_event_field_concept_id:I",
    "procedure_occurrence": "procedure_occurrence_id:I person_id:I procedure_concept_id:I procedure_date:D procedure_datetime:T "
    "procedure_end_date:D procedure_end_datetime:T procedure_type_concept_id:I modifier_concept_id:I quantity:I provider_id:I "
    "visit_occurrence_id:I visit_detail_id:I procedure_source_value:S procedure_source_concept_id:I modifier_source_value:S",
    "observation": "observation_id:I person_id:I observation_concept_id:I observation_date:D observation_datetime:T "
    "observation_type_concept_id:I value_as_number:F value_as_string:S value_as_concept_id:I qualifier_concept_id:I unit_concept_id:I "
    "provider_id:I visit_occurrence_id:I visit_detail_id:I observation_source_value:S observation_source_concept_id:I unit_source_value:S "
    "qualifier_source_value:S value_source_value:S observation_event_id:I obs_event_field_concept_id:I",
    "note": "note_id:I person_id:I note_date:D note_datetime:T note_type_concept_id:I note_class_concept_id:I note_title:S note_text:S "
    "encoding_concept_id:I language_concept_id:I provider_id:I visit_occurrence_id:I visit_detail_id:I note_source_value:S note_event_id:I "
    "note_event_field_concept_id:I",
    "death": "person_id:I death_date:D death_datetime:T death_type_concept_id:I cause_concept_id:I cause_source_value:S "
    "cause_source_concept_id:I",
    "concept": "concept_id:I concept_name:S domain_id:S vocabulary_id:S concept_class_id:S standard_concept:S concept_code:S "
    "valid_start_date:D valid_end_date:D invalid_reason:S",
    "concept_relationship": "concept_id_1:I concept_id_2:I relationship_id:S valid_start_date:D valid_end_date:D invalid_reason:S",
    "concept_ancestor": "ancestor_concept_id:I descendant_concept_id:I min_levels_of_separation:I max_levels_of_separation:I",
    "vocabulary": "vocabulary_id:S vocabulary_name:S vocabulary_reference:S vocabulary_version:S vocabulary_concept_id:I",
}


def _schema(columns: str) -> pa.Schema:
    return pa.schema([(name, _TYPES[kind]) for name, kind in (column.split(":") for column in columns.split())])


SCHEMAS: Final[dict[str, pa.Schema]] = {table: _schema(columns) for table, columns in _TABLES.items()}
EVENT_TABLES: Final = {
    "condition": "condition_occurrence", "drug": "drug_exposure", "procedure": "procedure_occurrence", "lab": "measurement",
}  # fmt: skip
