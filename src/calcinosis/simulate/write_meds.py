"""MEDS: a shard per block, and the metadata that leads from a code to its parents."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl

from calcinosis.simulate.plan import Payload, Plan
from calcinosis.simulate.population import Ints
from calcinosis.simulate.statements import Block

_PREFIX = {"condition": "DIAGNOSIS", "drug": "MEDICATION", "procedure": "PROCEDURE", "lab": "LAB", "report": "REPORT", "note": "NOTE"}
_BIRTH, _DEATH, _VISIT = "MEDS_BIRTH", "MEDS_DEATH", "VISIT"  # the first two are names of the standard
_GENDERS = ("GENDER//F", "GENDER//M")


def meds_code(payload: Payload) -> str:
    """A hospital's own code; ``metadata/codes.parquet`` says which terminology's code is its parent."""
    if payload.kind == "lab":
        return f"LAB//{payload.code}//{payload.unit}"
    if payload.code:
        return f"{_PREFIX[payload.kind]}//{payload.system}//{payload.code}"
    return f"{_PREFIX[payload.kind]}//{payload.label}"


class MedsWriter:
    """``data/train/N.parquet``; a subject stands in one shard only, sorted by time."""

    def __init__(self, plan: Plan, folder: Path, seed: int) -> None:
        self._folder, self._plan, self._seed = folder, plan, seed
        (folder / "data" / "train").mkdir(parents=True, exist_ok=True)
        (folder / "metadata").mkdir(exist_ok=True)
        self._code = pl.Series([meds_code(payload) for payload in plan.payloads])
        self._unit = pl.Series([payload.unit for payload in plan.payloads], dtype=pl.String)
        self._text = pl.Series([payload.text for payload in plan.payloads], dtype=pl.String)
        self._certain = pl.Series([payload.certainty == "affirmed" for payload in plan.payloads])
        self._shard = 0
        self.rows = 0

    def write(self, block: Block) -> None:
        said = block.statements.filter(self._certain.gather(block.statements["payload"]))
        index = said["payload"]
        events = pl.DataFrame(
            {
                "subject_id": said["subject"], "time": said["time"], "code": self._code.gather(index),
                "numeric_value": said["value"].cast(pl.Float32), "text_value": self._text.gather(index), "unit": self._unit.gather(index),
            }
        )  # fmt: skip
        people = block.patients
        subject = pl.Series("subject_id", range(people.first_id, people.first_id + people.n), dtype=pl.Int64)
        gender = pl.Series(people.female).cast(pl.Int8)
        static = pl.DataFrame({"subject_id": subject, "code": pl.Series(_GENDERS[::-1]).gather(gender)})
        birth = pl.DataFrame({"subject_id": subject, "time": _days(people.birth_day), "code": [_BIRTH] * people.n})
        death = pl.DataFrame({"subject_id": subject, "time": _days(people.death_day), "code": [_DEATH] * people.n})
        death = death.filter(pl.Series(people.death_day >= 0))
        visits = block.visits.select(subject_id="subject", time="time", code=pl.lit(_VISIT))
        table = pl.concat([static, birth, visits, events, death], how="diagonal_relaxed").select(events.columns)
        table = table.sort("subject_id", "time", nulls_last=False, maintain_order=True)
        table.write_parquet(self._folder / "data" / "train" / f"{self._shard}.parquet", compression="zstd")
        self._shard += 1
        self.rows += len(table)

    def close(self) -> None:
        rows: dict[str, tuple[list[str], str]] = {code: ([], code.replace("//", " ")) for code in (_BIRTH, _DEATH, _VISIT, *_GENDERS)}
        for payload in self._plan.payloads:
            parents = [f"{payload.system}/{payload.code}"] if payload.code else []
            rows.setdefault(meds_code(payload), (parents, payload.label))
        codes = pl.DataFrame(
            {
                "code": list(rows), "description": [label for _, label in rows.values()],
                "parent_codes": [parents for parents, _ in rows.values()],
            },
            schema={"code": pl.String, "description": pl.String, "parent_codes": pl.List(pl.String)},
        )  # fmt: skip
        metadata = self._folder / "metadata"
        codes.write_parquet(metadata / "codes.parquet")
        description = {
            "dataset_name": "calcinosis-simulated", "dataset_version": f"seed {self._seed}, knowledge {self._plan.knowledge.version}",
            "etl_name": "calcinosis simulate", "etl_version": "1", "meds_version": "0.4.1",
            "created_at": datetime(2025, 1, 1, tzinfo=UTC).isoformat(),  # fixed: the same seed gives the same bytes
        }  # fmt: skip
        (metadata / "dataset.json").write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2))


def _days(days: Ints) -> pl.Series:
    return pl.Series(days).cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("us"))
