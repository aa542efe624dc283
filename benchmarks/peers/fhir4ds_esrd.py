"""fhir4ds-v2: CQL over FHIR NDJSON. Run inside its own environment; prints one line of JSON."""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

start = time.perf_counter()
import fhir4ds  # noqa: E402
from fhir4ds.cql import FHIRDataLoader  # noqa: E402

CQL = """library Esrd version '1.0.0'
using FHIR version '4.0.1'
codesystem "SNOMEDCT": 'http://snomed.info/sct'
code "ESRD": '46177005' from "SNOMEDCT"
context Patient
define "Has ESRD": exists ([Condition: "ESRD"])
"""

connection = fhir4ds.create_connection()
loader = FHIRDataLoader(connection)
ready = time.perf_counter()
for path in sorted(Path(sys.argv[1]).glob("*.ndjson")):
    loader.load_ndjson(str(path))
with tempfile.TemporaryDirectory() as folder:
    library = Path(folder) / "esrd.cql"
    library.write_text(CQL, encoding="utf-8")
    rows = fhir4ds.evaluate_measure(library, connection, output_columns={"esrd": "Has ESRD"})["esrd"].tolist()
print(json.dumps({
    "answer": sum(map(bool, rows)), "seconds": time.perf_counter() - ready, "start": ready - start,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))  # fmt: skip
