"""Which parts of a FHIR R4 resource are read, and the one projection that every kind of input goes through.

A resource becomes one flat row. Everything that takes few distinct values (codes, statuses, interpretations, and texts,
each of which must be read once anyway) is packed as JSON into the column ``k``, so that it is interpreted once per
distinct string and not once per row; numbers and dates have columns of their own. A row with a letter has both: ``k`` with a
blank in place of the letter, which says all that can be said without reading it, and ``letter``, the same fields whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

MEDICATION_TYPES: Final = ("MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense")
VALUES: Final = ("valueInteger", "valueString", "valueCodeableConcept", "valueBoolean", "valueRatio", "valueRange")
RESULT: Final = ("code", *VALUES, "interpretation", "dataAbsentReason", "referenceRange")


class Layout(NamedTuple):
    """What is read of a resource type."""

    packed: tuple[str, ...]  # fields interpreted once per distinct value
    start: tuple[str, ...] = ()  # dates, the best first
    end: tuple[str, ...] = ()
    told: tuple[str, ...] = ()  # of the packed fields those that may hold a letter


# medicationCodeableConcept stands last, so that the code of a referenced Medication can be put there
_MEDICATION: Final = (
    "status", "medicationReference", "contained", "dosageInstruction", "dosage", "note", "doNotPerform", "medicationCodeableConcept",
)  # fmt: skip
_EFFECTIVE: Final = ("effectiveDateTime", "effectivePeriod.start")

# Resources that some rule reads. Every other resource of FHIR R4 is counted as ignored.
LAYOUTS: Final[dict[str, Layout]] = {
    "Patient": Layout(("gender",), ("birthDate",)),
    "Condition": Layout(
        (
            "code",
            "verificationStatus",
            "clinicalStatus",
            "abatementString",
            "abatementAge",
            "abatementRange",
            "bodySite",
            "note",
            "contained",
        ),
        ("onsetDateTime", "onsetPeriod.start", "recordedDate"),
        ("abatementDateTime", "abatementPeriod.end", "abatementPeriod.start"),
    ),
    "Observation": Layout(
        ("status", *RESULT, "bodySite", "specimen", "note", "contained"),
        (*_EFFECTIVE, "effectiveInstant", "issued"),
        ("effectivePeriod.end",),
        ("valueString",),
    ),
    "Procedure": Layout(
        ("status", "code", "bodySite", "note", "contained"), ("performedDateTime", "performedPeriod.start"), ("performedPeriod.end",)
    ),
    "DiagnosticReport": Layout(
        ("status", "code", "category", "conclusion", "conclusionCode", "presentedForm", "contained"),
        (*_EFFECTIVE, "issued"),
        ("effectivePeriod.end",),
        ("conclusion", "presentedForm"),
    ),
    "DocumentReference": Layout(("status", "docStatus", "description", "content", "contained"), ("date",), told=("content",)),
    "AllergyIntolerance": Layout(
        ("code", "verificationStatus", "clinicalStatus", "note", "contained"), ("onsetDateTime", "onsetPeriod.start", "recordedDate")
    ),
    "FamilyMemberHistory": Layout(("status", "condition", "note", "contained"), ("date",)),
    "Device": Layout(("status", "type", "note", "contained")),
    "Immunization": Layout(("status", "vaccineCode", "contained"), ("occurrenceDateTime",)),
    "Medication": Layout(("status", "code")),
    "MedicationRequest": Layout(_MEDICATION, ("authoredOn",), ("dispenseRequest.validityPeriod.end",)),
    "MedicationStatement": Layout(_MEDICATION, (*_EFFECTIVE, "dateAsserted"), ("effectivePeriod.end",)),
    "MedicationAdministration": Layout(_MEDICATION, _EFFECTIVE, ("effectivePeriod.end",)),
    "MedicationDispense": Layout(_MEDICATION, ("whenHandedOver", "whenPrepared")),
}
COMPONENT: Final = "Component"  # our name for a part of an Observation that has a result of its own
FIELDS: Final[dict[str, tuple[str, ...]]] = {**{kind: layout.packed for kind, layout in LAYOUTS.items()}, COMPONENT: ("status", *RESULT)}
SEPARATOR: Final = "\x1f"  # between packed fields; JSON writes control characters in another way
READ_TYPES: Final = tuple(LAYOUTS)
NEEDS_NO_SUBJECT: Final = frozenset({"Medication", "Device"})

# The resource types of R4 (4.0.1) and R4B (4.3.0).
_TYPES: Final = """
    Account ActivityDefinition AdministrableProductDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent
    Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem
    ChargeItemDefinition Citation Claim ClaimResponse ClinicalImpression ClinicalUseDefinition CodeSystem Communication CommunicationRequest
    CompartmentDefinition Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse
    DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference
    EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceReport
    EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse
    HealthcareService ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide Ingredient
    InsurancePlan Invoice Library Linkage List Location ManufacturedItemDefinition Measure MeasureReport Media Medication
    MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement MedicinalProduct
    MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductDefinition MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem
    NutritionOrder NutritionProduct Observation ObservationDefinition OperationDefinition OperationOutcome Organization
    OrganizationAffiliation PackagedProductDefinition Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition
    Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RegulatedAuthorization RelatedPerson RequestGroup
    ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment RiskEvidenceSynthesis Schedule
    SearchParameter ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription SubscriptionStatus
    SubscriptionTopic Substance SubstanceDefinition SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
    SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport TestScript
    ValueSet VerificationResult VisionPrescription
"""
RESOURCE_TYPES: Final = frozenset(_TYPES.split())

MAX_TEXT: Final = 20_000  # characters of one free text that are read; longer texts are counted, not read
MAX_BASE64: Final = 30_000  # the same as base64, with room for accented letters
MAX_RESULT: Final = 1000  # characters of a result in words
LETTER: Final = 400  # bytes from which a text is a letter: read with its patient, since hardly two are alike

_TEXT = "VARCHAR"
_RAW = "JSON"  # kept as sent, so that a field of the wrong type can be named later
_REFERENCE = {"reference": _TEXT}
_PERIOD = {"start": _TEXT, "end": _TEXT}
_ATTACHMENT = {"contentType": _TEXT, "data": _TEXT, "url": _TEXT}

# A FHIR date, dateTime or instant (R4 datatypes), of a year, a month, a day or a moment.
DATE_PATTERN: Final = (
    r"^[0-9]{4}(-(0[1-9]|1[0-2])(-[0-3][0-9](T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"
    r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))?)?)?)?$"
)
NUMBER_PATTERN: Final = r"^-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$"

Shape = str | Mapping[str, "Shape"] | Sequence["Shape"]

_SHAPES: Final[dict[str, Shape]] = {  # of the fields that are not kept as sent
    "resourceType": _TEXT, "id": _TEXT, "subject": _REFERENCE, "patient": _REFERENCE,
    "component": [dict.fromkeys((*RESULT, "valueQuantity"), _RAW)],
    "content": [{"attachment": _ATTACHMENT}], "presentedForm": [_ATTACHMENT],
    "dispenseRequest": {"validityPeriod": _PERIOD},
}  # fmt: skip


def _columns_of(kind: str) -> dict[str, Shape]:
    layout = LAYOUTS[kind]
    dates = {path.split(".")[0]: _PERIOD if "." in path else _TEXT for path in (*layout.start, *layout.end)}
    names = ["resourceType", "id", "subject", "patient", *layout.packed, *(("valueQuantity", "component") if kind == "Observation" else ())]
    return {name: _SHAPES.get(name, dates.get(name, _RAW)) for name in (*names, *dates)}


COLUMNS: Final[dict[str, Shape]] = {name: shape for kind in LAYOUTS for name, shape in _columns_of(kind).items()}
_OWN_COLUMNS: Final[dict[str, Shape]] = {"_file": "INTEGER", "_pos": "BIGINT"}  # added by us to what we spool
_META: Final[dict[str, Shape]] = {"meta": _RAW}  # read where two versions of a resource may meet
SPOOLED: Final = frozenset((*COLUMNS, *_META))


def _sql_type(shape: Shape) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, Mapping):
        return "STRUCT(" + ", ".join(f'"{name}" {_sql_type(inner)}' for name, inner in shape.items()) + ")"
    return f"{_sql_type(shape[0])}[]"


def columns_sql(*, own: bool = False, meta: bool = False, kind: str | None = None) -> str:
    """The ``columns`` argument of ``read_ndjson``; of one resource type, if only that is expected."""
    shapes = {**(COLUMNS if kind is None else _columns_of(kind)), **(_OWN_COLUMNS if own else {}), **(_META if meta else {})}
    return "{" + ", ".join(f"'{name}': '{_sql_type(shape)}'" for name, shape in shapes.items()) + "}"


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _pack(parts: Sequence[str]) -> str:
    return "concat(" + f", {quoted(SEPARATOR)}, ".join(parts) + ")"


_INNER: Final = {"content": ".attachment", "presentedForm": ""}  # field -> where in each of its items the attachment stands


def _attachments(name: str, data: str = "", size: str = "") -> str:
    """Type and size of each attachment, and its data when it is short; or ``data`` of ``size`` in its place (SQL)."""
    x = f"x{_INNER[name]}"
    data = data or f"CASE WHEN strlen({x}.data) <= {MAX_BASE64} THEN {x}.data END"
    fields = f"{{'contentType': {x}.contentType, 'url': {x}.url, 'size': {size or f'strlen({x}.data)'}, 'data': {data}}}"
    return f"to_json(list_transform({name}, lambda x: {fields}))"


def _is_letter(name: str) -> str:
    """Whether a field holds one long text that can be read, so that nothing but its words is left to be told of it."""
    if name not in _INNER:
        return f"coalesce(strlen({name}) > {LETTER} AND starts_with({name}::VARCHAR, '\"'), false)"
    x = f"{name}[1]{_INNER[name]}"
    plain = f"lower(trim(split_part({x}.contentType, ';', 1))) = 'text/plain'"
    long = f"strlen({x}.data) > {LETTER} AND strlen({x}.data) <= {MAX_BASE64}"
    return f"coalesce(len({name}) = 1 AND {plain} AND {long} AND TRY(decode(from_base64({x}.data))) IS NOT NULL, false)"


def _without_letter(name: str) -> str:
    """The same field with a blank text in place of its letter."""
    blank = _attachments(name, "'IA=='", "4") if name in _INNER else "'\" \"'"
    return f"CASE WHEN {_is_letter(name)} THEN {blank} ELSE {_SPECIAL.get(name, name)} END"


_ID: Final = "CASE WHEN id[1] NOT IN ('{', '[') THEN id END"  # an object or list is no id
_REF: Final = "coalesce(subject.reference, patient.reference)"

# Fields that would make many distinct values without saying more, and are packed only when they do.
_CONTAINED: Final = f"CASE WHEN contained IS NOT NULL AND {_REF}[1] = '#' THEN contained END"
_CONTAINED_DRUG: Final = f"""CASE WHEN contained IS NOT NULL
    AND ({_REF}[1] = '#' OR json_extract_string(medicationReference, '$.reference')[1] = '#') THEN contained END"""
# A report may carry its results inside
_CONTAINED_RESULTS: Final = f"""CASE WHEN contained IS NOT NULL
    AND ({_REF}[1] = '#' OR list_contains(json_extract_string(contained, '$[*].resourceType'), 'Observation')) THEN contained END"""
_SPECIAL: Final = {
    **{name: _attachments(name) for name in _INNER},
    "specimen": "json_extract(specimen, '$.display')",  # its reference is another one in each row
}
COMPONENT_K: Final = _pack(["status", *(f'c."{name}"' for name in RESULT)])

# A reference to a Patient, down to the id. Anything else ("Group/1") gives NULL.
_SUBJECT_ID: Final = f"""CASE
    WHEN starts_with({_REF}, 'Patient/') AND NOT contains({_REF}, '/_history/') THEN nullif(substr({_REF}, 9), '')
    WHEN resourceType = 'Patient' THEN {_ID}
    WHEN {_REF}[1] IN ('{{', '[') THEN NULL
    WHEN {_REF}[1] = '#' THEN concat(resourceType, '/', {_ID}, {_REF})
    WHEN starts_with({_REF}, 'urn:') THEN nullif(split_part({_REF}, ':', -1), '')
    WHEN contains({_REF}, '?') THEN CASE WHEN regexp_matches({_REF}, '(^|/)Patient[?]') THEN nullif(split_part({_REF}, '?', 2), '') END
    WHEN regexp_matches({_REF}, '(^|/)[A-Z][A-Za-z]+/[^/]+(/_history/[^/]*)?$')
        THEN nullif(regexp_extract({_REF}, '(?:^|/)Patient/([^/]+)(?:/_history/[^/]*)?$', 1), '')
    ELSE nullif(split_part({_REF}, '/', -1), '') END"""


def unpacked(kind: str, packed: str) -> dict[str, Any]:
    """The fields of ``k`` that are there.

    Raises:
        ValueError: for what DuckDB takes for JSON and the standard does not (NaN).
    """
    return {name: orjson.loads(text) for name, text in zip(FIELDS[kind], packed.split(SEPARATOR), strict=True) if text}


def _first(paths: Sequence[str]) -> str:
    return "coalesce(" + ", ".join(".".join(f'"{name}"' for name in path.split(".")) for path in paths) + ")" if paths else "NULL"


def _packed_sql(kind: str, *, letters: bool) -> str:
    contained = _CONTAINED_DRUG if kind in MEDICATION_TYPES else _CONTAINED_RESULTS if kind == "DiagnosticReport" else _CONTAINED
    fields = {**_SPECIAL, "contained": contained}
    if not letters:
        fields |= {name: _without_letter(name) for name in LAYOUTS[kind].told}
    return _pack([fields.get(name, name) for name in LAYOUTS[kind].packed])


def _letter_sql(kind: str) -> str:
    told = LAYOUTS[kind].told
    return f"CASE WHEN {' OR '.join(map(_is_letter, told))} THEN {_packed_sql(kind, letters=True)} END" if told else "NULL"


def _by_kind(expression: Callable[[str], str]) -> str:
    arms: dict[str, list[str]] = {}
    for kind in LAYOUTS:
        arms.setdefault(expression(kind), []).append(quoted(kind))
    return "CASE " + " ".join(f"WHEN resourceType IN ({', '.join(kinds)}) THEN {sql}" for sql, kinds in arms.items()) + " END"


def projection(file: str, pos: str, kind: str | None = None, *, meta: bool = False) -> str:
    """The SELECT list from the columns (of one resource type, or of all) to the flat table; ``meta``: the moment of the version as well."""
    pick = _by_kind if kind is None else lambda expression: expression(kind)
    v, components = ("valueQuantity", "component") if kind in (None, "Observation") else ("NULL", "NULL")
    updated = ", json_extract_string(meta, '$.lastUpdated') AS updated" if meta else ""
    return f"""{file} AS file, {pos} AS pos, resourceType AS rt, {_ID} AS id, {_SUBJECT_ID} AS sid,
        {pick(lambda each: _first(LAYOUTS[each].start))} AS t, {pick(lambda each: _first(LAYOUTS[each].end))} AS e,
        {pick(lambda each: _packed_sql(each, letters=False))} AS k, {pick(_letter_sql)} AS letter, {v} AS v,
        CASE WHEN resourceType = 'Observation' THEN {components} END AS components{updated}"""
