"""The same question asked of our own facts: whoever has the concept on record. Prints one line of JSON.

    python ours.py SOURCE CONCEPT [--screen]

With ``--screen``: everything that `calcinosis screen` answers about each patient, for comparison.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

start = time.perf_counter()
from calcinosis.api import make_readers, read_batches, screen  # noqa: E402
from calcinosis.facts import build_facts  # noqa: E402

source, concept = Path(sys.argv[1]), sys.argv[2]
readers = make_readers()
ready = time.perf_counter()
if "--screen" in sys.argv:
    with tempfile.TemporaryDirectory() as out:
        answer = screen(source, out, readers=readers).summary.patients_assessed
else:
    answer = 0
    for batch in read_batches([source], readers):
        facts = build_facts(batch, readers.knowledge).concepts
        answer += facts.filter(concept=concept, present=True).height
print(json.dumps({
    "answer": answer, "seconds": time.perf_counter() - ready, "start": ready - start,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))  # fmt: skip
