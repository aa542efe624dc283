"""The account of a reading: every record read was used, ignored or rejected, and what was lost has a file, a line and a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import polars as pl

from calcinosis.events import REJECT_SCHEMA, UNMAPPED_SCHEMA, Batch
from calcinosis.sources.believable import EARLIEST
from calcinosis.sources.fhir_columns import COMPONENT, NEEDS_NO_SUBJECT, READ_TYPES, RESOURCE_TYPES, quoted
from calcinosis.sources.fhir_frames import ROWS, TypedRow
from calcinosis.sources.fhir_meaning import Meaning
from calcinosis.sources.fhir_tables import WITHOUT_ID, FhirTables
from calcinosis.sources.fhir_values import read_birth_date, read_sex
from calcinosis.sources.spool import READ_ERRORS, Reject, numbered_lines

LISTED_WARNINGS: Final = 100_000  # of one category; more are counted in one line. Errors are all listed
TABLE_FILES: Final = "Parquet, CSV or DuckDB files beside FHIR"  # under ``not_read``
_TABLE: Final = re.compile(r"\.(?:parquet|csv|csv\.gz|tsv|duckdb|ddb)$", re.IGNORECASE)
_PENDING: Final = pl.Schema({
    "file": pl.Int32, "pos": pl.Int64, "rt": pl.String, "id": pl.String, "level": pl.String, "category": pl.String, "reason": pl.String,
})  # fmt: skip
_REASONS: Final = {
    "malformed_json": "DuckDB cannot read it as JSON",
    "unknown_resource_type": "resourceType is not a resource of FHIR R4",
    "duplicate_id": "another resource of this type and id is newer, or was read first",
    "no_id": "a Patient without id",
    "no_subject": "no reference to a Patient",
}
_BAD_DATE: Final = f"a date that is no date, before {EARLIEST.year} or in the future; left out"


class Numbering(Enum):
    """What the places of a file count."""

    ENTRY = "entries of a document"
    LINE = "lines"
    ORDINAL = "lines that are not blank (DuckDB's count)"


@dataclass(slots=True)
class File:
    path: Path
    gzipped: bool
    numbering: Numbering
    shown: str
    kind: str | None = None  # the resource type of its first line


class Account:
    """Collects what happened to the records of one reading."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.read = self.ignored = self.rejected = 0
        self._direct: list[dict[str, Any]] = []  # rejects that have their line already
        self._pending: list[pl.DataFrame] = []  # rows whose line is still to be found
        self._warned: Counter[str] = Counter()
        self._unmapped: Counter[tuple[str, str | None, str | None, str | None]] = Counter()
        self._not_read: Counter[str] = Counter()
        self._by_meaning: list[tuple[int, str, str, str]] = []  # meaning, level, category, reason

    @property
    def paths(self) -> list[str]:
        return [file.shown for file in self.files]

    def add_file(
        self, path: Path, numbering: Numbering, *, gzipped: bool = False, shown: str | None = None, kind: str | None = None
    ) -> int:
        self.files.append(File(path, gzipped, numbering, str(path) if shown is None else shown, kind))
        return len(self.files) - 1

    def add_ignored(self, rows: int) -> None:
        """Records of a type that no rule reads."""
        self.read += rows
        self.ignored += rows

    def add_reject(self, file: int, reject: Reject) -> None:
        """A record (or a whole file, which counts as one) that never became a row."""
        if reject.level == "error":
            self.read += 1
            self.rejected += 1
        elif reject.category == "not_fhir" and _TABLE.search(self.files[file].shown):
            self._not_read[TABLE_FILES] += 1
        self._direct.append({
            "file": self.files[file].shown, "line": reject.line, "record": reject.record, "level": reject.level,
            "category": reject.category, "reason": reject.reason,
        })  # fmt: skip

    def add_row_reject(self, file: int, place: int, kind: str, key: str | None, category: str) -> None:
        """A resource of a document that cannot be used."""
        name = (kind if kind in RESOURCE_TYPES else "unknown type") + f"/{key}"
        record = f"entry[{place - 1}]" if key is None else name
        self.add_reject(file, Reject(category, _REASONS[category], record=record))

    # --- rows ----------------------------------------------------------------------------------------------

    def settle(self, tables: FhirTables) -> None:
        """Take out the rows that cannot be used, complete the others."""
        counts = tables.counts()
        self.read += sum(rows for _, rows, *_ in counts)
        read = [row for row in counts if row[0] in READ_TYPES]
        unknown = [kind for kind, *_ in counts if kind not in RESOURCE_TYPES]
        if None in unknown:  # a spooled line that DuckDB could not parse
            self.reject_rows(tables.take("rt IS NULL"), "malformed_json")
        if named := [kind for kind in unknown if kind is not None]:  # of which one may be empty
            condition = "rt IN (" + ", ".join(quoted(kind) for kind in named) + ")"
            self._number(tables, condition)
            self.reject_rows(tables.take(condition), "unknown_resource_type")
        self.ignored += sum(rows for kind, rows, *_ in counts if kind not in READ_TYPES and kind not in unknown)
        if any(rows > ids for _, rows, ids, *_ in read):
            self._number(tables, WITHOUT_ID)
        if tables.may_have_duplicates():
            tables.find_duplicates()
            self._number(tables, "(rt, id) IN (FROM duplicate)")
            self.reject_rows(tables.take_duplicates(), "duplicate_id")
        if any(missing for kind, _, _, missing, _ in read if kind not in NEEDS_NO_SUBJECT):
            self.reject_rows(tables.take("rt = 'Patient' AND sid IS NULL"), "no_id")
            kinds = ", ".join(quoted(kind) for kind in READ_TYPES if kind not in NEEDS_NO_SUBJECT)
            self.reject_rows(tables.take(f"sid IS NULL AND rt IN ({kinds})"), "no_subject")
        if any(missing for kind, _, _, missing, _ in read if kind == "Device"):
            self.ignored += tables.take("sid IS NULL AND rt = 'Device'").height  # a device on the shelf
        if any(components for *_, components in read):
            tables.add_components()
        if any(kind == "Medication" for kind, *_ in read):
            tables.name_medications()

    def _number(self, tables: FhirTables, condition: str) -> None:
        for number in tables.unplaced_files(condition):
            file = self.files[number]
            if file.numbering is Numbering.ORDINAL:
                tables.number_rows(number, file.path, file.gzipped, condition)

    def reject_rows(self, rows: pl.DataFrame, category: str) -> None:
        """Rows (``file``, ``pos``, ``rt``, ``id``) that cannot be used; they were counted as read."""
        self.rejected += rows.height
        self._wait(rows, "error", category, pl.lit(_REASONS[category]))

    def _wait(self, rows: pl.DataFrame, level: str, category: str, reason: pl.Expr) -> None:
        if level == "warning":
            room = max(0, LISTED_WARNINGS - self._warned[category])
            self._warned[category] += rows.height
            rows = rows.head(room)
        if rows.height:
            added = rows.with_columns(pl.lit(level).alias("level"), pl.lit(category).alias("category"), reason.alias("reason"))
            self._pending.append(added.select(_PENDING.names()).cast(_PENDING))

    # --- meanings ------------------------------------------------------------------------------------------

    def add_meaning(self, number: int, kind: str, meaning: Meaning, rows: int) -> bool:
        """Count what a distinct saying did; true when its rows are needed for a reject or warning."""
        known = len(self._by_meaning)
        for key in meaning.unmapped:
            self._unmapped[key] += rows
        for name, count in meaning.not_read.items():
            self._not_read[name] += count * rows
        if meaning.outcome == "rejected" and kind == COMPONENT:
            self._by_meaning.append((number, "warning", meaning.category or "", f"component: {meaning.reason}"))
        elif meaning.outcome == "rejected":
            self.rejected += rows
            self._by_meaning.append((number, "error", meaning.category or "", meaning.reason or ""))
        elif meaning.outcome == "ignored":
            self.ignored += 0 if kind == COMPONENT else rows
        if meaning.outcome == "used" and meaning.problems:
            self._by_meaning.append((number, "warning", "wrong_type", "; ".join(meaning.problems)))
        return len(self._by_meaning) > known

    def add_row_problems(self, rows: pl.DataFrame | list[TypedRow]) -> None:
        """What was wrong with the rows of these meanings (``fhir_frames.ROWS``)."""
        if isinstance(rows, list):
            if not self._by_meaning and not any(row.bad_time or row.bad_end or row.bad_value for row in rows):
                return
            rows = pl.DataFrame(rows, schema=ROWS, orient="row")
        if self._by_meaning:
            schema = {"mid": pl.Int64, "level": pl.String, "category": pl.String, "reason": pl.String}
            problems = pl.DataFrame(self._by_meaning, schema=schema, orient="row")
            for (level, category), found in rows.join(problems, on="mid").group_by("level", "category", maintain_order=True):
                self._wait(found, str(level), str(category), pl.col("reason"))
        if rows["bad_time"].any() or rows["bad_end"].any():
            self._wait(rows.filter(pl.col("bad_time") | pl.col("bad_end")), "warning", "impossible_date", pl.lit(_BAD_DATE))
        if rows["bad_value"].any():
            self._wait(rows.filter("bad_value"), "warning", "wrong_type", pl.lit("valueQuantity has no usable number"))

    def patients(self, patients: pl.DataFrame, contained: Callable[[], list[tuple[str, Any]]]) -> pl.DataFrame:
        """Complete the patients: those carried inside another resource, and those that are only referred to."""
        if not patients["found"].all():
            if patients["subject_id"].str.contains("#", literal=True).any():
                patients = patients.update(_contained(contained()), on="subject_id", how="left")
            missing = patients.filter(~pl.col("found"))
            self._wait(_as_rows(missing), "warning", "missing_patient", pl.lit("no Patient resource; age and sex are unknown"))
        if patients["bad_birth"].any():
            self._wait(_as_rows(patients.filter("bad_birth")), "warning", "impossible_date", pl.lit(f"birthDate: {_BAD_DATE}"))
        return patients

    # --- the end -------------------------------------------------------------------------------------------

    def close(self, batch: Batch, tables: FhirTables | None) -> None:
        """Write the account into the batch. ``tables``: where to look up the lines of files that DuckDB read in parallel."""
        if self._direct or self._pending:
            direct = pl.DataFrame(self._direct, schema=REJECT_SCHEMA)
            batch.rejects = pl.concat([direct, *self._resolved(tables), *self._overflow()])
        if self._unmapped:
            ordered = sorted(self._unmapped.items(), key=lambda item: (-item[1], [part or "" for part in item[0]]))
            batch.unmapped = pl.DataFrame([(*key, rows) for key, rows in ordered], schema=UNMAPPED_SCHEMA, orient="row")
        batch.not_read = dict(self._not_read + Counter(batch.not_read))  # what was not read of its letters is told already
        batch.records_read, batch.records_ignored, batch.records_rejected = self.read, self.ignored, self.rejected
        batch.records_used = self.read - self.ignored - self.rejected

    def _overflow(self) -> Iterable[pl.DataFrame]:
        more = {category: count - LISTED_WARNINGS for category, count in self._warned.items() if count > LISTED_WARNINGS}
        for category, count in more.items():
            yield pl.DataFrame([(None, None, None, "warning", category, f"and {count} more")], schema=REJECT_SCHEMA, orient="row")

    def _resolved(self, tables: FhirTables | None) -> Iterable[pl.DataFrame]:
        if not self._pending:
            return
        pending = pl.concat(self._pending)
        is_warning = pl.col("level") == "warning"  # one record may give the same warning twice; every error is a record of its own
        pending = pl.concat([pending.filter(~is_warning), pending.filter(is_warning).unique(maintain_order=True)])
        for (number,), rows in pending.group_by("file", maintain_order=True):
            file = None if number is None else self.files[int(str(number))]
            placed = rows.with_columns(pl.lit(None, dtype=pl.Int64).alias("line"))
            if file is not None and file.numbering is Numbering.LINE:
                placed = rows.with_columns(pl.col("pos").alias("line"))
            elif file is not None and file.numbering is Numbering.ORDINAL and tables is not None:
                placed = _with_lines(rows, file, tables)
            entry = pl.concat_str(pl.lit("entry["), pl.col("pos") - 1, pl.lit("]"))
            kind = pl.col("rt").replace(COMPONENT, "Observation")
            name = pl.when(pl.col("rt").is_in(RESOURCE_TYPES) | (pl.col("rt") == COMPONENT)).then(kind).otherwise(pl.lit("unknown type"))
            record = pl.concat_str(name, pl.lit("/"), "id")
            if file is not None and file.numbering is Numbering.ENTRY:
                record = pl.coalesce(record, entry)
            yield placed.select(
                pl.lit(None if file is None else file.shown, dtype=pl.String).alias("file"), "line", record.alias("record"),
                "level", "category", "reason",
            )  # fmt: skip


def _with_lines(rows: pl.DataFrame, file: File, tables: FhirTables) -> pl.DataFrame:
    """Find the line of each row, first as DuckDB counts, then as an editor does."""
    unplaced = rows.filter(pl.col("pos").is_null() & pl.col("id").is_not_null()).select("rt", "id").unique()
    try:
        if unplaced.height:
            keys = [(str(kind).replace(COMPONENT, "Observation"), str(key)) for kind, key in unplaced.rows()]
            found = tables.places(file.path, file.gzipped, keys)
            schema = {"_rt": pl.String, "id": pl.String, "_pos": pl.Int64}
            places = pl.DataFrame([(kind, key, place) for (kind, key), place in found.items()], schema=schema, orient="row")
            rows = rows.with_columns(pl.col("rt").replace(COMPONENT, "Observation").alias("_rt"))
            rows = rows.join(places, on=["_rt", "id"], how="left", maintain_order="left").with_columns(
                pl.coalesce("pos", "_pos").alias("pos")
            )
        lines = [(ordinal, line) for ordinal, line, _ in numbered_lines(file.path, file.gzipped, rows["pos"].drop_nulls().to_list())]
    except READ_ERRORS:
        lines = []  # the file has gone meanwhile: the records are still named
    numbers = pl.DataFrame(lines, schema={"pos": pl.Int64, "line": pl.Int64}, orient="row")
    return rows.join(numbers, on="pos", how="left", maintain_order="left")


def _as_rows(patients: pl.DataFrame) -> pl.DataFrame:
    return patients.select("file", "pos", pl.lit("Patient").alias("rt"), pl.col("subject_id").alias("id"))


def _contained(subjects: list[tuple[str, Any]]) -> pl.DataFrame:
    """Birth date and sex of patients carried inside another resource."""
    found = []
    for subject, contained in subjects:
        for resource in contained if isinstance(contained, list) else []:
            if isinstance(resource, dict) and resource.get("resourceType") == "Patient" and subject.endswith(f"#{resource.get('id')}"):
                birth_date = resource.get("birthDate")
                born = read_birth_date(birth_date) if isinstance(birth_date, str) else None
                found.append((subject, born, read_sex(resource.get("gender")), True))
    schema = {"subject_id": pl.String, "birth_date": pl.Date, "sex": pl.String, "found": pl.Boolean}
    return pl.DataFrame(found, schema=schema, orient="row").unique("subject_id", keep="first", maintain_order=True)
