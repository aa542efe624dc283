"""The Python API: assess one record, screen a whole source."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from calcinosis.assessment import assess_batch
from calcinosis.contract import Assessment
from calcinosis.engines.cohort import Cohort, replaced_when_complete, write_summary
from calcinosis.engines.local import screen_batches
from calcinosis.events import Batch, Coming, made
from calcinosis.facts import last_moment
from calcinosis.knowledge import Knowledge, load_knowledge
from calcinosis.loading import uncollected
from calcinosis.reasoning.explain import reason_texts
from calcinosis.reasoning.plan import make_plan
from calcinosis.sources.coding import ConceptIndex, system_name
from calcinosis.sources.fhir import fhir_parts, read_resources
from calcinosis.sources.left_aside import ReadAs, left_aside
from calcinosis.sources.meds import is_meds, meds_parts
from calcinosis.sources.omop import is_omop, omop_parts
from calcinosis.sources.omop_database import shown_address
from calcinosis.sources.phenopacket import is_phenopacket, read_phenopacket, read_phenopackets
from calcinosis.sources.site_files import check_code_map
from calcinosis.sources.text import TextReader

CLOSABLE = ("disease", "drug", "procedure", "finding", "exposure", "device", "allergy")  # kinds of concepts; never laboratory values
FORMATS = ("auto", "fhir", "phenopacket", "omop", "meds")
ENGINES = ("local", "spark")
_SIZE = re.compile(r"(?=.*[1-9])(\d+(?:\.\d+)?)\s*([KMGT]i?)?B", re.IGNORECASE)
_LIMITED = frozenset({"fhir", "omop"})  # formats that are read with tables of our own, which a memory limit bounds
_LEAST_MEMORY = 128  # MB; with less, DuckDB cannot hold the buffers that it reads with
_PROBE_BYTES = 16_000_000  # a larger JSON file is never a phenopacket
_PROBES = 20  # files of a folder that are asked what they are


@dataclass(frozen=True)
class Readers:
    """What every source needs to turn codes and words into concepts."""

    knowledge: Knowledge
    index: ConceptIndex
    text: TextReader


@lru_cache(maxsize=4)
def make_readers(knowledge_folder: Path | None = None, code_map: Path | None = None, rxterms: Path | None = None) -> Readers:
    """Load the knowledge and build the readers (cached).

    Args:
        code_map: the site's own codes and texts (CSV: system,code,text,concept_key).
        rxterms: NLM's RxTermsIngredients file, to roll clinical drugs up to ingredients.

    Raises:
        KnowledgeError, ValueError: naming file and line.
    """
    with uncollected():
        knowledge = load_knowledge(knowledge_folder)
        index = ConceptIndex(knowledge.codes, knowledge.concepts, code_map=code_map, rxterms=rxterms)
        plan = make_plan(knowledge)  # compile the rules, load the unit registry and look up the words now, not with the first patient
        plan.questions.warm()
        reason_texts(plan)
        if code_map:
            check_code_map(code_map, {key for key, concept in knowledge.concepts.items() if concept.kind == "lab"}, system_name)
        return Readers(knowledge=knowledge, index=index, text=TextReader(knowledge.concepts.values()))


def assess(
    patient: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    as_of: date | None = None,
    closed_world: frozenset[str] = frozenset(),
    readers: Readers | None = None,
) -> Assessment:
    """Assess one patient.

    Args:
        patient: a file (FHIR Bundle, resource, NDJSON or phenopacket), a parsed Bundle or phenopacket, or a list of FHIR resources.
        as_of: look at nothing that happened later: after that day (a date), or after that moment (a datetime; without a zone: UTC).
            Default: the patient's last entry.
        closed_world: kinds of concepts whose silence means absence, of ``CLOSABLE``. Default: none.

    Raises:
        ValueError: the record holds no patient (with what could not be read), or more than one (use :func:`read_batches` and
            ``assess_batch`` for several); an unknown kind in ``closed_world``.
        TypeError: ``patient`` or ``as_of`` is none of the above; JSON as a text; one kind of ``closed_world`` as a text.
    """
    until = _until(as_of)
    if not isinstance(patient, str | Path | Mapping | Sequence):
        raise TypeError(f"patient is a path, a parsed record or a list of resources, not {type(patient).__name__}")
    if isinstance(patient, str) and patient.lstrip().startswith(("{", "[")):
        raise TypeError("a text is read as the path of a file; give the record itself parsed: json.loads(text)")
    check_closed_world(closed_world)
    readers = readers or make_readers()
    batches = read_batches([Path(patient)], readers) if isinstance(patient, str | Path) else iter([batch_of(patient, readers)])
    answers: list[Assessment] = []
    refused: list[str] = []
    for batch in batches:
        answers += assess_batch(batch, readers.knowledge, as_of=until, closed_world=closed_world)
        refused += [f"{row['file'] or 'record'}:{row['line'] or ''} {row['reason']}" for row in batch.rejects.head(3).to_dicts()]
    if len(answers) != 1:
        why = f": {'; '.join(refused[:3])}" if refused and not answers else ""
        raise ValueError(f"expected one patient, the record holds {len(answers)}{why}")
    return answers[0]


def batch_of(record: Mapping[str, Any] | Sequence[Mapping[str, Any]], readers: Readers) -> Batch:
    """Read a parsed Bundle or phenopacket, or a list of FHIR resources."""
    if not isinstance(record, Mapping):
        return read_resources(list(cast("Sequence[dict[str, Any]]", record)), readers.index, readers.text)
    if is_phenopacket(dict(record)):
        return read_phenopacket(dict(record), readers.index, readers.text)
    return read_resources([dict(record)], readers.index, readers.text)


def read_batches(
    paths: Sequence[Path | str],
    readers: Readers,
    *,
    source_format: str = "auto",
    memory_limit: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Batch]:
    """Read files or folders of any supported format, whole patients at a time.

    Args:
        paths: files and folders; of an OMOP CDM also the address of its database (``postgresql://...``).
        source_format: "auto" knows an OMOP CDM by its tables and MEDS by its columns, and tells phenopackets from FHIR file by file;
            a folder of JSON is judged by its first file.
        memory_limit: as of :func:`screen`.
        on_progress: called with how much was read and how much there is: files of FHIR, tables of an OMOP CDM, shards of MEDS.

    Raises:
        ValueError, FileNotFoundError: with the first batch; an unknown format, a memory limit that no source would heed, a source that is
            not there.
    """
    return made(_read_parts(paths, readers, source_format, memory_limit, on_progress))


def _until(as_of: date | None) -> datetime | None:
    """Raises: TypeError: neither a date nor a datetime."""
    if as_of is not None and not isinstance(as_of, date):
        raise TypeError(f"as_of is a datetime or a date, not {type(as_of).__name__}")
    return last_moment(as_of)


def check_closed_world(kinds: Iterable[str]) -> None:
    """Raises: ValueError: silence about this kind of concept never means absence; TypeError: one kind as a text, not several."""
    if isinstance(kinds, str):
        raise TypeError(f"closed_world is a set of kinds, such as {{{kinds!r}}}, not a text")
    for kind in kinds:
        if kind not in CLOSABLE:
            raise ValueError(f"closed world {kind!r} is not one of {', '.join(CLOSABLE)}")


def _check_format(source_format: str) -> None:
    if source_format not in FORMATS:
        raise ValueError(f"unknown format {source_format!r}; the formats are {', '.join(FORMATS)}")


def check_memory_limit(limit: str | None) -> None:
    """Raises: ValueError: not a size, or less than reading needs."""
    if limit is None:
        return
    size = _SIZE.fullmatch(limit.strip())
    if not size:
        raise ValueError(f"memory limit {limit!r}: write a number and a unit, such as 2GB")
    if float(size[1]) * 1000.0 ** " KMGT".index((size[2] or " ")[0].upper()) < _LEAST_MEMORY * 1e6:
        raise ValueError(f"memory limit {limit!r} is less than reading needs; give at least {_LEAST_MEMORY}MB")


def _read_parts(
    paths: Sequence[Path | str],
    readers: Readers,
    source_format: str,
    memory_limit: str | None,
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[Coming]:
    _check_format(source_format)
    check_memory_limit(memory_limit)
    for source in paths:
        if "://" not in str(source) and not Path(source).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    reading = readers.index, readers.text
    formats = [_format_of(source, source_format) for source in paths]
    if memory_limit is not None and formats and _LIMITED.isdisjoint(formats):
        raise ValueError("a memory limit is for the tables that FHIR and OMOP are read with; MEDS and phenopackets are read without")
    for source, its_format in zip(paths, formats, strict=True):
        if its_format == "omop":
            yield from _left_aside(Path(source), its_format)
            yield from omop_parts(source, *reading, memory_limit=memory_limit, on_progress=on_progress)
        elif its_format == "meds":
            yield from _left_aside(Path(source), its_format)
            yield from meds_parts(Path(source), *reading, on_progress=on_progress)
    phenopackets, fhir = ([Path(each) for each, its in zip(paths, formats, strict=True) if its == kind] for kind in ("phenopacket", "fhir"))
    for path in phenopackets:
        yield from _left_aside(path, "phenopacket")
    if phenopackets:
        yield from read_phenopackets(phenopackets, *reading)
    if fhir:
        yield from fhir_parts(fhir, *reading, memory_limit=memory_limit, on_progress=on_progress)


def _left_aside(path: Path, read_as: ReadAs) -> Iterator[Batch]:
    """What the folder holds beside this format, where there is anything."""
    aside = left_aside(path, read_as)
    if aside.rejects.height:
        yield aside


def _holds_phenopackets(path: Path) -> bool:
    for probe in sorted(path.rglob("*.json"))[:_PROBES] if path.is_dir() else [path]:
        if probe.suffix not in {".json", ".phenopacket"} or not probe.is_file():
            continue
        try:
            record = orjson.loads(probe.read_bytes()) if probe.stat().st_size <= _PROBE_BYTES else None
        except (orjson.JSONDecodeError, OSError):
            continue
        if isinstance(record, dict) and (is_phenopacket(record) or "resourceType" in record):  # the first that says what it is
            return is_phenopacket(record)
    return False


def screen(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    source_format: str = "auto",
    as_of: date | None = None,
    closed_world: frozenset[str] = frozenset(),
    memory_limit: str | None = None,
    readers: Readers | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_patients: Callable[[int], None] | None = None,
    workers: int = 1,
    engine: str = "local",
    master: str | None = None,
) -> Cohort:
    """Assess a whole population and write the results to ``out``.

    Writes ``assessments.parquet``, ``reasons.parquet``, ``treatment_reviews.parquet``, ``treatment_options.parquet``,
    ``events.parquet``, ``rejects.parquet``,
    ``unmapped.csv``, ``summary.json`` and ``report.html``.

    Args:
        source: a folder or files: FHIR Bundles, Bulk Data NDJSON (optionally gzip), phenopackets; an OMOP CDM (folder, DuckDB file or
            address of a PostgreSQL database); a MEDS dataset.
        as_of: as of :func:`assess`.
        memory_limit: for the tables that FHIR and OMOP are read with, e.g. "2GB"; default: 600 MB and more for many cores (FHIR), 1 GB
            (OMOP). MEDS and phenopackets are read without such tables.
        on_progress: as of :func:`read_batches`.
        on_patients: called with the number of patients assessed so far, after each batch.
        workers: processes that assess a large source, each with 0.5 to 1.2 GB. They start as new Pythons, which do not run the calling
            script. The answers are the same.
        engine: "local" (this machine, memory bounded) or "spark" (the session that is running, or a new one; docs/spark.md). Spark
            reports no progress and sets its own memory.
        master: of a new Spark session, e.g. "local[4]" or "spark://host:7077".

    Raises:
        ValueError: an unknown engine or format, an option that the engine or the format would not heed, Spark could not finish, or nothing
            could be read and ``out`` holds earlier results, which stay; ``out`` is the source, or one holds the other.

    Returns:
        The folder, the summary and accessors to the tables.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; the engines are {', '.join(ENGINES)}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    _check_engine_options(engine, workers, memory_limit, master)
    check_closed_world(closed_world)
    readers = readers or make_readers()
    paths = [source] if isinstance(source, str | Path) else list(source)
    _check_apart(paths, Path(out))
    asked: dict[str, Any] = {"as_of": _until(as_of), "closed_world": closed_world}
    with replaced_when_complete(Path(out)) as folder:
        if engine == "spark":
            cohort = _screen_on_spark([str(each) for each in paths], folder, source_format, readers, master, **asked)
        else:
            cohort = screen_batches(
                _read_parts(paths, readers, source_format, memory_limit, on_progress),
                folder,
                readers.knowledge,
                source=", ".join(shown_address(p) for p in paths),
                on_patients=on_patients,
                workers=workers,
                **asked,
            )
        if not cohort.summary.records_used + cohort.summary.records_ignored and (Path(out) / "summary.json").exists():
            raise ValueError(f"nothing could be read; the earlier results in {out} stay (the reasons are written to a new --out)")
        _write_report(cohort)
    return Cohort(Path(out), cohort.summary)


def _check_apart(sources: Iterable[str | Path], out: Path) -> None:
    """Raises: ValueError: tables would be written among the data, where the next run would read them."""
    folder = out.resolve()
    for source in sources:
        if "://" in str(source):
            continue
        path = Path(source).resolve()
        if path == folder or path in folder.parents:
            raise ValueError(f"{out} is the source or lies in it: results would stand among the data; give them a folder of their own")
        if folder in path.parents:
            raise ValueError(f"{out} holds the source {source}: results would stand among the data; give them a folder of their own")


def _check_engine_options(engine: str, workers: int, memory_limit: str | None, master: str | None) -> None:
    """Raises: ValueError: an option that this engine would not heed."""
    if engine != "spark" and master is not None:
        raise ValueError(f"a master ({master}) is for the Spark engine: ask for engine spark, or leave the master out")
    if engine == "spark" and workers > 1:
        raise ValueError("workers are for the local engine; on Spark the master says how many there are, such as local[4]")
    if engine == "spark" and memory_limit is not None:
        raise ValueError("a memory limit is for the local engine; Spark's own settings rule its memory")


def _write_report(cohort: Cohort) -> None:
    from calcinosis.report.population import render_population_html

    start = time.perf_counter()
    (cohort.folder / "report.html").write_text(render_population_html(cohort.folder), encoding="utf-8")
    cohort.summary.seconds["report"] = round(time.perf_counter() - start, 3)
    write_summary(cohort.summary, cohort.folder)


def _screen_on_spark(sources: Sequence[str], out: Path, source_format: str, readers: Readers, master: str | None, **asked: Any) -> Cohort:
    from calcinosis.engines.spark import ROWS_PER_BUCKET, STAGING, screen_rows, spark_session
    from calcinosis.sources.fhir_many import ManyPatients
    from calcinosis.sources.spark_fhir import SparkFhir
    from calcinosis.sources.spark_meds import SparkMeds
    from calcinosis.sources.spark_omop import SparkOmop

    _check_format(source_format)
    formats = [_format_of(each, source_format) for each in sources]
    if "phenopacket" in formats:
        raise ValueError("the Spark engine does not read phenopackets; use the local engine")
    if len(sources) > 1 and set(formats) != {"fhir"}:
        raise ValueError("the Spark engine screens one OMOP CDM or MEDS dataset at a time")
    reader = ManyPatients(readers.index, readers.text)
    with spark_session(master) as spark:
        staging = str((out / STAGING / "fhir").absolute())
        rows: SparkFhir | SparkMeds | SparkOmop
        match its_format := formats[0]:
            case "omop":
                rows = SparkOmop(spark, sources[0], readers.index, readers.text, ROWS_PER_BUCKET)
            case "meds":
                rows = SparkMeds(spark, sources[0], readers.index, readers.text, ROWS_PER_BUCKET)
            case _:
                rows = SparkFhir(spark, sources, reader, staging, ROWS_PER_BUCKET)
        aside = None if its_format == "fhir" else left_aside(Path(sources[0]), its_format)
        return screen_rows(spark, rows, out, readers.knowledge, source=", ".join(sources), aside=aside, **asked)


def _format_of(source: str | Path, source_format: str) -> Literal["fhir", "phenopacket", "omop", "meds"]:
    """The format asked for; with "auto", the one that the source shows."""
    if source_format != "auto":
        return cast('Literal["fhir", "phenopacket", "omop", "meds"]', source_format)
    if is_omop(source):
        return "omop"
    path = Path(source)
    return "meds" if is_meds(path) else "phenopacket" if _holds_phenopackets(path) else "fhir"
