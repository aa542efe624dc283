"""ohdsi-circepy: a cohort definition over OMOP tables, through Ibis and DuckDB. Run inside its own environment; prints one line of JSON."""

import json
import resource
import sys
import time
from pathlib import Path

start = time.perf_counter()
import circe  # noqa: E402
import ibis  # noqa: E402

CONCEPT = {"CONCEPT_ID": 80809, "CONCEPT_NAME": "Rheumatoid arthritis", "DOMAIN_ID": "Condition", "VOCABULARY_ID": "SNOMED",
           "CONCEPT_CODE": "69896004", "CONCEPT_CLASS_ID": "Clinical Finding", "STANDARD_CONCEPT": "S", "INVALID_REASON": "V"}  # fmt: skip
COHORT = {
    "ConceptSets": [{"id": 0, "name": "RA", "expression": {"items": [{"concept": CONCEPT, "includeDescendants": False}]}}],
    "PrimaryCriteria": {
        "CriteriaList": [{"ConditionOccurrence": {"CodesetId": 0}}],
        "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
        "PrimaryCriteriaLimit": {"Type": "First"},
    },
    "QualifiedLimit": {"Type": "First"}, "ExpressionLimit": {"Type": "First"}, "InclusionRules": [], "CensoringCriteria": [],
    "CollapseSettings": {"CollapseType": "ERA", "EraPad": 0}, "CensorWindow": {},
}  # fmt: skip

backend = ibis.duckdb.connect()
ready = time.perf_counter()
for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
    backend.raw_sql(f"CREATE VIEW {path.stem} AS SELECT * FROM '{path}'")
cohort = circe.build_cohort(circe.cohort_expression_from_json(json.dumps(COHORT)), backend=backend, cdm_schema="main")
answer = int(cohort.select("person_id").distinct().count().execute())
print(json.dumps({
    "answer": answer, "seconds": time.perf_counter() - ready, "start": ready - start,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))  # fmt: skip
