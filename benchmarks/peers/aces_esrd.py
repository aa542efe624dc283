"""ACES: a task over MEDS events. Run inside its own environment; prints one line of JSON."""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

start = time.perf_counter()
from aces import config, predicates, query  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

TASK = """predicates:
  esrd:
    code: {any: ["DIAGNOSIS//ICD//10//N186", "DIAGNOSIS//ICD//9//5856"]}
trigger: esrd
windows:
  record: {start: null, end: trigger, start_inclusive: true, end_inclusive: true, has: {}}
"""

ready = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    task = Path(folder) / "esrd.yaml"
    task.write_text(TASK, encoding="utf-8")
    loaded = config.TaskExtractorConfig.load(task)
shards = sorted(Path(sys.argv[1]).rglob("data/**/*.parquet"))
answer = 0
for shard in shards:
    frame = predicates.get_predicates_df(loaded, DictConfig({"path": str(shard), "standard": "meds", "ts_format": None}))
    answer += query.query(loaded, frame)["subject_id"].n_unique()
print(json.dumps({
    "answer": answer, "seconds": time.perf_counter() - ready, "start": ready - start,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))  # fmt: skip
