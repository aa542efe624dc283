"""Staged rows of many whole patients in memory to a batch: the counterpart of :class:`~calcinosis.sources.fhir_tables.FhirTables`.

The same meanings, the same account and the same last step; a test holds both to the same answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
import pyarrow as pa

from calcinosis.events import Batch, Schema
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.fhir_account import Account, Numbering
from calcinosis.sources.fhir_columns import MEDICATION_TYPES, NEEDS_NO_SUBJECT, RESOURCE_TYPES
from calcinosis.sources.fhir_events import FhirMapper
from calcinosis.sources.fhir_frames import PATIENT_ROWS, ROWS, Drafts, events_frame, patients_frame
from calcinosis.sources.fhir_one import Remembered
from calcinosis.sources.fhir_staged import IGNORED, REJECT, ROW, STAGED
from calcinosis.sources.spool import Reject
from calcinosis.sources.text import TextReader

# What the engine adds to staged rows once it sees them all.
GATHERED: Final[Schema] = {
    **STAGED,
    "at": pl.Int64,  # place of the file among all files
    "again": pl.Boolean,  # another record of this type and id is newer, or stands before it
    "code": pl.String,  # of the Medication it needs, as JSON
}
_NO_SUBJECT: Final = pl.col("sid").is_null()


class ManyPatients:
    """Reads staged rows of whole patients. Can be pickled."""

    def __init__(self, index: ConceptIndex, reader: TextReader) -> None:
        self._remembered = Remembered(FhirMapper(index, reader))

    def __call__(self, table: pa.Table) -> Batch:
        """The batch of a table with the columns ``GATHERED``; ``pos`` counts from the start of the file."""
        frame = pl.DataFrame(pl.from_arrow(table)).cast({name: kind for name, kind in GATHERED.items() if name in table.column_names})
        account = Account()
        rows = _numbered(frame, account)
        kept = _settled(rows, account)
        typed, drafts = _typed(kept, self._remembered, account)
        account.add_row_problems(typed)
        patients = account.patients(_patients(kept), lambda: _contained(kept))
        batch = Batch(patients=patients_frame(patients, account.paths), events=events_frame(typed, drafts.frame(), account.paths))
        account.close(batch, None)
        return batch


def _numbered(frame: pl.DataFrame, account: Account) -> pl.DataFrame:
    """The rows in the order in which they stand in the files, ``file`` being a number; what never became a row is accounted for."""
    files = frame.select("at", "file", "by_line").unique().sort("at", "file", "by_line")
    for file, by_line in files.select("file", "by_line").iter_rows():
        account.add_file(Path(file), Numbering.LINE if by_line else Numbering.ENTRY, shown=file)
    numbers = files.select("file", "by_line").with_row_index("of").with_columns(pl.col("of").cast(pl.Int32))
    frame = frame.join(numbers, on=["file", "by_line"], how="left", maintain_order="left")
    account.add_ignored(int(frame.filter(pl.col("what") == IGNORED)["n"].sum()))
    for row in frame.filter(pl.col("what") == REJECT).sort("of", "block", "seq").iter_rows(named=True):
        account.add_reject(row["of"], Reject(row["category"], row["reason"], row["pos"], row["record"], row["level"]))
    rows = frame.filter(pl.col("what") == ROW).drop("file").rename({"of": "file"})
    return rows.sort("file", "block", "seq", "component", maintain_order=True)


def _settled(rows: pl.DataFrame, account: Account) -> pl.DataFrame:
    """The rows that can be used; the counterpart of :meth:`Account.settle`."""
    records = pl.col("component").not_()
    account.read += rows.filter(records).height
    patient, no_need = pl.col("rt") == "Patient", list(NEEDS_NO_SUBJECT)
    for category, condition in (
        ("unknown_resource_type", pl.col("rt").is_in(list(RESOURCE_TYPES)).not_() & records),
        ("duplicate_id", pl.col("again").fill_null(False)),
        ("no_id", patient & _NO_SUBJECT),
        ("no_subject", _NO_SUBJECT & pl.col("rt").is_in(no_need).not_()),
    ):
        refused = rows.filter(condition)
        if refused.height:
            account.reject_rows(refused.filter(records), category)
            rows = rows.filter(condition.not_())
    shelved = rows.filter((pl.col("rt") == "Device") & _NO_SUBJECT).height
    account.ignored += shelved
    return rows.filter(((pl.col("rt") == "Device") & _NO_SUBJECT).not_()) if shelved else rows


def _typed(rows: pl.DataFrame, remembered: Remembered, account: Account) -> tuple[pl.DataFrame, Drafts]:
    """The rows that say something, numbered by what they mean."""
    code = pl.when(pl.col("rt").is_in(list(MEDICATION_TYPES))).then("code").fill_null("").alias("code")
    rows = rows.filter(pl.col("rt") != "Patient").with_columns(code)
    sayings = rows.group_by("rt", "k", "code", maintain_order=True).len()
    drafts, kept = Drafts(), []
    for number, (kind, packed, drug, count) in enumerate(sayings.iter_rows()):
        parts = orjson.loads(packed)
        if drug:
            parts["medicationCodeableConcept"] = orjson.loads(drug)
        meaning = remembered(kind, orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))
        if account.add_meaning(number, kind, meaning, count) or meaning.drafts:
            kept.append(number)
            drafts.add(number, meaning)
    numbered = sayings.drop("len").with_row_index("mid").with_columns(pl.col("mid").cast(pl.Int64))
    typed = rows.join(numbered[kept], on=["rt", "k", "code"], how="inner", maintain_order="left")
    return typed.select(pl.col(name).cast(kind) for name, kind in ROWS.items()), drafts


def _patients(rows: pl.DataFrame) -> pl.DataFrame:
    """The patients, and the subjects without a Patient resource (``PATIENT_ROWS``)."""
    found = rows.filter(pl.col("rt") == "Patient").select(
        pl.col("sid").alias("subject_id"), pl.col("born").alias("birth_date"), pl.concat_str(pl.lit("Patient/"), "id").alias("source"),
        "file", "pos", pl.lit(True).alias("found"), "sex", pl.col("bad_time").alias("bad_birth"),
    )  # fmt: skip
    others = rows.select(pl.col("sid").alias("subject_id")).drop_nulls().unique(maintain_order=True)
    others = others.join(found.select("subject_id"), on="subject_id", how="anti", maintain_order="left")
    others = others.with_columns(pl.lit(False).alias("found"), pl.lit(False).alias("bad_birth"))
    everyone = pl.concat([found, others], how="diagonal")
    return everyone.select(pl.col(name).cast(kind) for name, kind in PATIENT_ROWS.items())


def _contained(rows: pl.DataFrame) -> list[tuple[str, Any]]:
    inside = rows.filter(pl.col("sid").str.contains("#", literal=True)).select("sid", "k")
    return [(subject, orjson.loads(packed).get("contained")) for subject, packed in inside.iter_rows()]
