"""Reads MEDS datasets: a root with ``data/**/*.parquet`` and ``metadata/codes.parquet``, or a folder of shards.

Rows whose code means nothing to a rule are counted, not read. A shard is read in parts of whole subjects, so that memory
stays with the part and not with the shard.
MEDS: https://github.com/Medical-Event-Data-Standard/meds
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from calcinosis.events import EVENT_SCHEMA, EVENTS_PER_BATCH, PATIENT_SCHEMA, REJECT_SCHEMA, Batch, Coming, Part, Schema, made
from calcinosis.sources.coding import ConceptIndex
from calcinosis.sources.meds_events import FILE, MEDS_ROWS, ROW, MedsMapper, refusals
from calcinosis.sources.text import TextReader

NEEDED: Final = ("subject_id", "time", "code")
SPELLINGS: Final = {"ref_range_lower": "range_low", "ref_range_upper": "range_high"}  # MIMIC's names of the interval
_NO_CODES: Final[Schema] = {"code": pl.String, "description": pl.String, "parent_codes": pl.List(pl.String)}
NO_METADATA: Final = {"parents and descriptions of codes (no metadata/codes.parquet)": 1}  # under ``not_read``
_ERRORS: Final = (OSError, pa.ArrowException, pl.exceptions.PolarsError)
EXACT: Final = "value_double"  # the number as recorded, where MEDS's 32 bits are too few (see meds_write)


def is_meds(path: Path) -> bool:
    """Whether a folder is a MEDS dataset or holds its shards, or a file is a shard: by names and one Parquet footer."""
    first = next(iter(shards_of(path)), None)
    if first is None:
        return False
    try:
        return set(NEEDED) <= set(pq.read_schema(first).names)
    except _ERRORS:
        return (path / "metadata" / "codes.parquet").is_file() or (path / "metadata" / "dataset.json").is_file()


def root_of(path: Path) -> Path:
    """The dataset itself where a folder holds one among other things: without its metadata no code would be understood."""
    if path.is_dir() and not (path / "data").is_dir() and not (path / "metadata").is_dir():
        inside = [each.parent.parent for each in path.glob("*/metadata/codes.parquet")]
        return inside[0] if len(inside) == 1 else path
    return path


def shards_of(path: Path) -> list[Path]:
    """The data files of a dataset root, of a folder of shards, or the file itself."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    path = root_of(path)
    data = path / "data" if (path / "data").is_dir() else path
    return [each for each in sorted(data.rglob("*.parquet")) if "metadata" not in each.relative_to(data).parts[:-1]]


def read_codes(path: Path) -> pl.DataFrame:
    """``metadata/codes.parquet`` of a dataset, empty where there is none.

    Raises:
        ValueError: the file is there and cannot be used.
    """
    file = metadata_file(path, "codes.parquet")
    if file is None:
        return pl.DataFrame(schema=_NO_CODES)
    try:
        codes = pl.read_parquet(file)
        return codes.select(
            (pl.col(name).cast(dtype) if name in codes.columns or name == "code" else pl.lit(None, dtype=dtype)).alias(name)
            for name, dtype in _NO_CODES.items()
        ).filter(pl.col("code").is_not_null())
    except _ERRORS as error:
        raise ValueError(f"{file}: cannot be read as MEDS code metadata: {str(error).splitlines()[0]}") from None


def read_meds(
    path: Path,
    index: ConceptIndex,
    text: TextReader,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Batch]:
    """The batches of :func:`meds_parts`, made one by one."""
    return made(meds_parts(path, index, text, on_progress=on_progress))


def meds_parts(
    path: Path,
    index: ConceptIndex,
    text: TextReader,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Coming]:
    """Read a dataset, whole subjects at a time. Each batch carries the account of its own rows.

    Args:
        on_progress: called with (shards done, shards in all).

    Raises:
        ValueError: there is no shard, or the code metadata cannot be read.
    """
    shards = shards_of(path)
    if not shards:
        raise ValueError(f"{path}: no MEDS data: no Parquet file in it or in its folder data/")
    run = _Run(path, MedsMapper(index, text, read_codes(path)))
    found = []
    for shard in shards:
        subjects = run.survey(shard)
        if subjects is not None:
            found.append(subjects)
    yield run.first_batch()
    maker = run.maker()
    people = pl.concat(found) if found else pl.DataFrame(schema=_SUBJECTS)
    expected = max(1, int(people["wanted"].sum()) // EVENTS_PER_BATCH)
    divided = people.group_by("subject_id").agg(pl.len()).filter(pl.col("len") > 1)["subject_id"].implode()
    for done, shard in enumerate(shards, start=1):
        mine = people.filter((pl.col(FILE) == str(shard)) & ~pl.col("subject_id").is_in(divided))
        for part in _parts(mine):
            yield Part(maker, _Asked([shard], part), expected)
        if on_progress:
            on_progress(done, len(shards))
    apart = people.filter(pl.col("subject_id").is_in(divided))
    for part in _parts(apart.sort("subject_id", maintain_order=True)):
        yield Part(maker, _Asked([Path(each) for each in part[FILE].unique(maintain_order=True)], part, divided=True), expected)


_SUBJECTS: Final[Schema] = {"subject_id": pl.String, "wanted": pl.Int64, "first": pl.Int64, "last": pl.Int64, FILE: pl.String}


class _Run:
    """One reading of a dataset."""

    def __init__(self, root: Path, mapper: MedsMapper) -> None:
        self.mapper = mapper
        self._names = _names_of_subjects(root)
        self._wanted: dict[str, Wanted] = {}  # of each shard
        self._account = Batch(patients=pl.DataFrame(schema=PATIENT_SCHEMA), events=pl.DataFrame(schema=EVENT_SCHEMA))
        if metadata_file(root, "codes.parquet") is None:
            self._account.not_read = dict(NO_METADATA)

    def survey(self, shard: Path) -> pl.DataFrame | None:
        """The subjects of a shard in their order, with how many of their rows will be read; accounts for the other rows."""
        try:
            frame = _scan(shard)
            counts = frame.group_by("code").agg(pl.len(), pl.col("subject_id").is_null().sum().alias("nobody")).collect(engine="streaming")
            usable = pl.col("subject_id").is_not_null() & pl.col("code").is_not_null()
            asked = self.mapper.wanted(counts["code"])
            wanted = _wanted(asked, self.mapper)
            people = (
                frame.filter(usable)
                .group_by("subject_id")
                .agg(wanted.sum().cast(pl.Int64).alias("wanted"), pl.col(ROW).min().alias("first"), pl.col(ROW).max().alias("last"))
                .with_columns(pl.lit(str(shard)).alias(FILE))
                .collect(engine="streaming")
                .sort("first")
            )
            aside = frame.filter(usable & ~wanted).group_by("code").len().collect(engine="streaming")
            if counts["nobody"].sum() or counts["code"].null_count():
                refused = frame.filter(~usable).select("subject_id", "code", FILE, ROW).collect()
                self._account.rejects = pl.concat([self._account.rejects, refusals(refused)])
                self._account.records_read += refused.height
                self._account.records_rejected += refused.height
        except _ERRORS as error:
            self._unreadable(shard, error)
            return None
        self.mapper.set_aside(self._account, dict(aside.iter_rows()))
        self._wanted[str(shard)] = asked
        return people.select(list(_SUBJECTS))

    def first_batch(self) -> Batch:
        """The account of what was not read; nobody is in it."""
        return self._account

    def maker(self) -> _Maker:
        """What makes the batches, when all shards have been surveyed."""
        return _Maker(self.mapper, self._names, self._wanted)

    def _unreadable(self, shard: Path, error: BaseException) -> None:
        reason = f"the shard cannot be read: {str(error).splitlines()[0]}"
        row = (str(shard), None, None, "error", "unreadable", reason)
        self._account.rejects = pl.concat([self._account.rejects, pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row")])
        self._account.records_read += 1
        self._account.records_rejected += 1


Wanted = tuple[list[str], list[str]]
"""The codes of a shard whose rows are read, and those whose rows are read where they have a text."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Subjects, and the shards they stand in; ``divided``: in several, against the rules of MEDS."""

    shards: list[Path]
    subjects: pl.DataFrame
    divided: bool = False


@dataclass(frozen=True, slots=True)
class _Maker:
    """Reads the wanted rows of some subjects, and makes their batch."""

    mapper: MedsMapper
    names: pl.DataFrame | None
    wanted: Mapping[str, Wanted]

    def __call__(self, asked: _Asked) -> Batch:
        frames = []
        for shard in asked.shards:
            mine = asked.subjects.filter(pl.col(FILE) == str(shard))
            between = mine.select(pl.col("first").min(), pl.col("last").max()).row(0)  # the row groups of other rows are not opened
            here = pl.col("subject_id").is_in(mine["subject_id"].implode())
            wanted = _wanted(self.wanted[str(shard)], self.mapper)
            frames.append(_scan(shard, between).filter(here & wanted).collect(engine="streaming"))
        subjects = asked.subjects.select("subject_id", FILE).unique("subject_id", keep="first", maintain_order=True)
        batch = self.mapper.batch(pl.concat(frames), subjects)
        if self.names is not None:
            batch = renamed(batch, self.names)
        if asked.divided:  # read together, and said
            batch.rejects = pl.concat([batch.rejects, divided_subjects(asked.subjects)])
        return batch


def _wanted(codes: Wanted, mapper: MedsMapper) -> pl.Expr:
    every, texts = codes
    given = pl.col("concept").is_in(list(mapper.index.concepts)).fill_null(False)
    with_text = pl.col("code").is_in(texts) & pl.col("text_value").is_not_null()
    return (pl.col("code").is_in(every) | with_text | given).fill_null(False)


def _scan(shard: Path, between: tuple[int, int] | None = None) -> pl.LazyFrame:
    """The rows of a shard, or those from a first to a last (counted from 1), with the columns of ``MEDS_ROWS``."""
    frame = pl.scan_parquet(shard, row_index_name=ROW)
    schema = frame.collect_schema()
    if between:
        frame = frame.slice(between[0] - 1, between[1] - between[0] + 1)
    missing = [name for name in NEEDED if name not in schema]
    if missing:
        raise pl.exceptions.ColumnNotFoundError(f"no column {', '.join(missing)}; MEDS data has {', '.join(NEEDED)}")
    frame = frame.rename({old: new for old, new in SPELLINGS.items() if old in schema and new not in schema})
    present = frame.collect_schema()
    return frame.select(
        *(column_of(name, dtype, present) for name, dtype in MEDS_ROWS.items() if name not in (FILE, ROW)),
        pl.lit(str(shard)).alias(FILE),
        (pl.col(ROW).cast(pl.Int64) + 1).alias(ROW),
    )


def divided_subjects(subjects: pl.DataFrame) -> pl.DataFrame:
    """Warnings about subjects that stand in several shards, in the first of them."""
    return subjects.group_by("subject_id", maintain_order=True).agg(pl.col(FILE).first()).select(
        pl.col(FILE).alias("file"), pl.lit(None, dtype=pl.Int64).alias("line"),
        pl.concat_str(pl.lit("subject/"), "subject_id").alias("record"), pl.lit("warning").alias("level"),
        pl.lit("divided_subject").alias("category"),
        pl.lit("one subject in several shards; MEDS wants one; read together").alias("reason"),
    ).cast(pl.Schema(REJECT_SCHEMA))  # fmt: skip


def column_of(name: str, dtype: pl.DataType | type[pl.DataType], present: pl.Schema) -> pl.Expr:
    """A column of ``MEDS_ROWS`` from the columns that are there."""
    if name == "numeric_value":
        # the shortest decimal that has these 32 bits: 11.3, and not 11.300000190734863
        is_short = present.get(name) == pl.Float32
        short = pl.col(name).cast(pl.String).cast(pl.Float64) if is_short else pl.col(name).cast(pl.Float64) if name in present else None
        parts = [pl.col(EXACT)] if EXACT in present else []
        return pl.coalesce(*parts, *([short] if short is not None else []), pl.lit(None, dtype=pl.Float64)).alias(name)
    if name not in present:
        return pl.lit(None, dtype=dtype).alias(name)
    if isinstance(given := present[name], pl.Datetime) and given.time_zone:
        return pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(dtype)
    return pl.col(name).cast(dtype)


def _parts(subjects: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Neighbouring subjects, about ``EVENTS_PER_BATCH`` rows together. All rows of one subject stay in one part."""
    if subjects.height:
        before = subjects["wanted"].cum_sum() - subjects["wanted"]
        first = subjects.with_columns((before // EVENTS_PER_BATCH).alias("part")).with_columns(pl.col("part").first().over("subject_id"))
        for _, part in first.group_by("part", maintain_order=True):
            yield part


def metadata_file(path: Path, name: str) -> Path | None:
    """A file of the metadata, beside the data or one folder up when only data/ was named."""
    path = root_of(path)
    for root in (path, path.parent, path.parent.parent):
        if (root / "metadata" / name).is_file():
            return root / "metadata" / name
    return None


def _names_of_subjects(path: Path) -> pl.DataFrame | None:
    """The ids that subjects had before this program numbered them."""
    file = metadata_file(path, "subject_ids.parquet")
    if file is None:
        return None
    try:
        return pl.read_parquet(file).select(pl.col("subject_id").cast(pl.String), pl.col("source_subject_id").cast(pl.String))
    except _ERRORS as error:
        raise ValueError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def renamed(batch: Batch, names: pl.DataFrame) -> Batch:
    """The batch with the ids that subjects had before (``subject_id``, ``source_subject_id``)."""

    def named(frame: pl.DataFrame) -> pl.DataFrame:
        joined = frame.join(names, on="subject_id", how="left", maintain_order="left")
        return joined.with_columns(pl.coalesce("source_subject_id", "subject_id").alias("subject_id")).select(frame.columns)

    batch.patients, batch.events = named(batch.patients).sort("subject_id"), named(batch.events)
    return batch
