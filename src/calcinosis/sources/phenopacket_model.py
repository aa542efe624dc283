"""The elements of a GA4GH Phenopacket v2 as typed records, the fields that are not read included.

Schema: https://phenopacket-schema.readthedocs.io (v2.0). As the protobuf JSON mapping wants, field names may be written
``timeObserved`` or ``time_observed``, null means absent, and fields of default value may be left out. A field typed ``Any``
is known and not read. A field that the schema does not have is kept, so that it can be named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

_SHOWN_PROBLEMS = 3
_LONGEST_NAME = 40


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number, not a boolean")
    return value


Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]


class Part(BaseModel):
    """Any message of the schema."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel, populate_by_name=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


# --- the small parts -----------------------------------------------------------------------------------


class OntologyClass(Part):
    id: StrictStr = ""
    label: StrictStr = ""


class Age(Part):
    iso8601duration: StrictStr


class AgeRange(Part):
    start: Age
    end: Age


class TimeInterval(Part):
    start: StrictStr | None = None
    end: StrictStr | None = None


class TimeElement(Part):
    """A time in one of six ways; a gestational age and an onset class ("Adult onset") give no date and are not read."""

    age: Age | None = None
    age_range: AgeRange | None = None
    timestamp: StrictStr | None = None
    interval: TimeInterval | None = None
    gestational_age: Any = None
    ontology_class: Any = None


class Procedure(Part):
    code: OntologyClass
    body_site: OntologyClass | None = None
    performed: TimeElement | None = None


class ReferenceRange(Part):
    unit: OntologyClass | None = None
    low: Number | None = None
    high: Number | None = None


class Quantity(Part):
    unit: OntologyClass | None = None
    value: Number | None = None
    reference_range: ReferenceRange | None = None


class Value(Part):
    quantity: Quantity | None = None
    ontology_class: OntologyClass | None = None


class TypedQuantity(Part):
    type: OntologyClass
    quantity: Quantity


class ComplexValue(Part):
    typed_quantities: list[TypedQuantity] = []


class DoseInterval(Part):
    interval: TimeInterval | None = None
    quantity: Any = None
    schedule_frequency: Any = None


class Treatment(Part):
    agent: OntologyClass
    route_of_administration: OntologyClass | None = None
    dose_intervals: list[DoseInterval] = []
    drug_type: Any = None
    cumulative_dose: Any = None


class Regimen(Part):
    ontology_class: OntologyClass | None = None
    external_reference: Any = None
    start_time: TimeElement | None = None
    end_time: TimeElement | None = None
    regimen_status: StrictStr | int = ""


class Diagnosis(Part):
    disease: OntologyClass | None = None
    genomic_interpretations: list[Any] = []


# --- one record each -----------------------------------------------------------------------------------


class Individual(Part):
    id: StrictStr
    sex: StrictStr | int = ""
    date_of_birth: StrictStr | None = None
    time_at_last_encounter: TimeElement | None = None
    alternate_ids: Any = None
    vital_status: Any = None
    karyotypic_sex: Any = None
    gender: Any = None
    taxonomy: Any = None


class PhenotypicFeature(Part):
    type: OntologyClass
    excluded: StrictBool = False
    description: StrictStr = ""
    severity: OntologyClass | None = None
    modifiers: list[OntologyClass] = []
    onset: TimeElement | None = None
    resolution: TimeElement | None = None
    evidence: Any = None

    @model_validator(mode="before")
    @classmethod
    def _of_version_2(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("negated") is not None:
            raise ValueError("'negated' is a field of Phenopackets version 1; version 2 says 'excluded'")
        return data


class Disease(Part):
    term: OntologyClass
    excluded: StrictBool = False
    onset: TimeElement | None = None
    resolution: TimeElement | None = None
    disease_stage: list[OntologyClass] = []
    primary_site: OntologyClass | None = None
    clinical_tnm_finding: Any = None
    laterality: Any = None


class Measurement(Part):
    assay: OntologyClass
    value: Value | None = None
    complex_value: ComplexValue | None = None
    time_observed: TimeElement | None = None
    procedure: Procedure | None = None
    description: Any = None


class MedicalAction(Part):
    treatment: Treatment | None = None
    procedure: Procedure | None = None
    therapeutic_regimen: Regimen | None = None
    radiation_therapy: Any = None
    adverse_events: list[Any] = []
    treatment_target: Any = None
    treatment_intent: Any = None
    response_to_treatment: Any = None
    treatment_termination_reason: Any = None


class Biosample(Part):
    individual_id: StrictStr = ""
    description: StrictStr = ""
    sampled_tissue: OntologyClass | None = None
    phenotypic_features: list[PhenotypicFeature] = []
    measurements: list[Any] = []
    time_of_collection: TimeElement | None = None
    histological_diagnosis: OntologyClass | None = None
    diagnostic_markers: list[OntologyClass] = []
    procedure: Procedure | None = None
    id: Any = None
    derived_from_id: Any = None
    sample_type: Any = None
    taxonomy: Any = None
    tumor_progression: Any = None
    tumor_grade: Any = None
    pathological_stage: Any = None
    pathological_tnm_finding: Any = None
    files: Any = None
    material_sample: Any = None
    sample_processing: Any = None
    sample_storage: Any = None


class Interpretation(Part):
    progress_status: StrictStr | int = ""
    diagnosis: Diagnosis | None = None
    id: Any = None
    summary: Any = None


Element = PhenotypicFeature | Disease | Measurement | MedicalAction | Biosample | Interpretation

SECTIONS: dict[str, type[Element]] = {
    "phenotypicFeatures": PhenotypicFeature, "diseases": Disease, "measurements": Measurement, "medicalActions": MedicalAction,
    "biosamples": Biosample, "interpretations": Interpretation,
}  # fmt: skip
PACKET_FIELDS = frozenset({*SECTIONS, "id", "subject", "files", "metaData"})
FAMILY_FIELDS = frozenset({"id", "proband", "relatives", "consanguinousParents", "pedigree", "files", "metaData"})
COHORT_FIELDS = frozenset({"id", "description", "members", "files", "metaData"})


# --- what is wrong with a record -----------------------------------------------------------------------


def unknown_fields(part: Part, path: str = "") -> Iterator[str]:
    """Paths of the fields that the schema does not have."""
    for name in part.model_extra or ():
        yield f"{path}{name[:_LONGEST_NAME]}"
    for name in sorted(part.model_fields_set & type(part).model_fields.keys()):
        value = getattr(part, name)
        if isinstance(value, Part):
            yield from unknown_fields(value, f"{path}{to_camel(name)}.")
        elif isinstance(value, list):
            for n, item in enumerate(value):
                if isinstance(item, Part):
                    yield from unknown_fields(item, f"{path}{to_camel(name)}[{n}].")


def problems_of(error: ValidationError) -> str:
    """The first problems of a record, by field; never the record's own words."""
    details = error.errors(include_input=False, include_url=False)
    shown = [f"{'.'.join(str(part)[:_LONGEST_NAME] for part in detail['loc']) or 'record'}: {detail['msg']}" for detail in details]
    more = len(shown) - _SHOWN_PROBLEMS
    return "; ".join(shown[:_SHOWN_PROBLEMS]) + (f"; {more} more" if more > 0 else "")
