"""The command line. Everything heavy is imported inside the command that needs it, so that ``--help`` is quick."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calcinosis.cli_options import AsOf, ClosedWorld, CodeMap, Format, RxTerms
from calcinosis.loading import uncollected

if TYPE_CHECKING:
    from calcinosis.api import Readers
    from calcinosis.contract import Assessment

app = typer.Typer(
    help="Which type of soft-tissue calcification, in which connective tissue disease, why, how sure, and what is urgent. "
    "Supports a clinician's decision; never makes one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)
knowledge_app = typer.Typer(help="Check, show and export the knowledge base.", no_args_is_help=True)
app.add_typer(knowledge_app, name="knowledge")
_REJECTS_SHOWN = 50


def _fail(message: str) -> typer.Exit:
    typer.echo(f"calcinosis: {message}", err=True)
    return typer.Exit(2)


def _closed(kinds: list[str] | None) -> frozenset[str]:
    if kinds:
        from calcinosis.api import check_closed_world

        try:
            check_closed_world(kinds)
        except ValueError as error:
            raise _fail(str(error)) from None
    return frozenset(kinds or ())


def _readers(code_map: Path | None, rxterms: Path | None) -> Readers:
    with uncollected():
        from calcinosis.api import make_readers
        from calcinosis.knowledge import KnowledgeError

        try:
            return make_readers(None, code_map, rxterms)
        except (KnowledgeError, ValueError) as error:
            raise _fail(str(error)) from None


def _sources(names: list[str]) -> list[Path | str]:
    """What to read: addresses of databases as they are, and the paths that exist."""
    paths = [Path(name) for name in names if "://" not in name]
    return [*(name for name in names if "://" in name), *(_existing(paths) if paths else ())]


def _existing(paths: list[Path]) -> list[Path]:
    """Paths that exist; each missing one is named, and the rest goes on."""
    for path in paths:
        if not path.exists():
            typer.echo(f"calcinosis: {path}: no such file or folder", err=True)
    found = [path for path in paths if path.exists()]
    if not found:
        raise _fail("nothing could be read")
    return found


@app.callback()
def program(
    version: Annotated[bool, typer.Option("--version", help="Print the versions of the program and its knowledge.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"calcinosis {installed('calcinosis')}, knowledge base {_readers(None, None).knowledge.version}")
        raise typer.Exit


@app.command()
def assess(
    files: Annotated[list[Path], typer.Argument(help="FHIR Bundles, resources, NDJSON or phenopackets; folders are read whole.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and patient.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    fhir: Annotated[bool, typer.Option("--fhir", help="Print a FHIR R4 Bundle.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Print every reason, test, option and reference, not the short answer.")] = False,
    as_of: AsOf = None,
    closed_world: ClosedWorld = None,
    code_map: CodeMap = None,
    rxterms: RxTerms = None,
    source_format: Format = "auto",
) -> None:
    """Assess patients and explain the answer, alarms first."""
    if as_json and fhir:
        raise _fail("--json and --fhir would be written into one another; ask for one of them")
    closed = _closed(closed_world)
    readers = _readers(code_map, rxterms)
    from calcinosis.api import read_batches
    from calcinosis.assessment import assess_batch

    answers, rejected, read, not_understood = [], [], 0, 0
    not_read = Counter[str]()
    try:
        for batch in read_batches(_existing(files), readers, source_format=source_format):
            read += batch.records_used + batch.records_ignored
            rejected += batch.rejects.to_dicts()
            if batch.patients.height != 1:  # a lone patient's stands in the answer
                not_read.update(batch.not_read)
                not_understood += batch.unmapped.height
            answers += assess_batch(batch, readers.knowledge, as_of=as_of, closed_world=closed)
    except ValueError as error:
        raise _fail(str(error)) from None
    _print_rejects(rejected)
    _print_not_read(not_read)
    if not_understood:
        typer.echo(
            f"calcinosis: not understood: {not_understood} codes and texts (`calcinosis screen` lists them in unmapped.csv)",
            err=True,
        )
    _show_answers(answers, as_json=as_json, html=html, fhir=fhir, full=full)
    if not answers and not read:
        raise _fail("nothing could be read" if rejected else "nothing could be read: no record in what was given")


def _show_answers(answers: list[Assessment], *, as_json: bool, html: Path | None, fhir: bool, full: bool) -> None:
    """In the terminal, unless something else was asked for."""
    if as_json:
        for answer in answers:
            typer.echo(answer.model_dump_json())
    if fhir:
        import orjson

        from calcinosis.report.fhir_out import to_fhir_bundle

        typer.echo(orjson.dumps(to_fhir_bundle(answers), option=orjson.OPT_INDENT_2).decode())
    if html:
        from calcinosis.report.patient_page import render_patient_html

        html.write_text(render_patient_html(answers), encoding="utf-8")
        typer.echo(f"calcinosis: wrote {html}", err=True)
    if not (as_json or fhir or html):
        from rich.console import Console

        from calcinosis.report.terminal import render_assessment
        from calcinosis.report.terminal_brief import render_brief

        console, render = Console(), render_assessment if full else render_brief
        for answer in answers:
            render(answer, console)


def _print_rejects(rejects: list[dict[str, Any]]) -> None:
    for row in rejects[:_REJECTS_SHOWN]:
        where = f"{row['file']}:{row['line']}" if row["line"] else row["file"]
        record = f" {row['record']}" if row["record"] else ""
        typer.echo(f"{where}: {row['level']}:{record} {row['reason']} [{row['category']}]", err=True)
    if len(rejects) > _REJECTS_SHOWN:
        typer.echo(f"calcinosis: {len(rejects) - _REJECTS_SHOWN} more records could not be used in full", err=True)


def _print_not_read(not_read: Mapping[str, int]) -> None:
    for what, n in not_read.items():
        typer.echo(f"calcinosis: not read: {what}: {n}", err=True)


@app.command()
def screen(
    source: Annotated[
        list[str],
        typer.Argument(
            help="Folder or files: FHIR Bundles, Bulk Data NDJSON (optionally gzip), phenopackets; an OMOP CDM as a folder of Parquet or "
            "CSV, a DuckDB file, or postgresql://…; a MEDS dataset"
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if absent.")],
    as_of: AsOf = None,
    closed_world: ClosedWorld = None,
    limit_memory: Annotated[str | None, typer.Option(help="Memory for the tables of the reader, of FHIR and OMOP, e.g. 2GB.")] = None,
    code_map: CodeMap = None,
    rxterms: RxTerms = None,
    source_format: Format = "auto",
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for a large source, 0.5 to 1.2 GB each; default: one for every core.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or spark (needs the extra of that name).")] = "local",
    master: Annotated[str | None, typer.Option(help="Spark master, e.g. local[4] or spark://host:7077.")] = None,
) -> None:
    """Screen a whole population: who has it, who is at risk, what is urgent, what is missing."""
    closed = _closed(closed_world)
    readers = _readers(code_map, rxterms)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    from calcinosis.ahead import cores
    from calcinosis.api import screen as run

    console = Console(stderr=True)
    paths = source if engine == "spark" and any("://" in each for each in source) else _sources(source)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[patients]:,} patients"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("screening", total=None, patients=0)
        try:
            cohort = run(
                paths, out, source_format=source_format, as_of=as_of, closed_world=closed, memory_limit=limit_memory, readers=readers,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
                on_patients=lambda n: progress.update(task, patients=n), workers=workers or (1 if engine == "spark" else cores()),
                engine=engine, master=master,
            )  # fmt: skip
        except ValueError as error:
            raise _fail(str(error)) from None
    from calcinosis.report.screen_summary import print_summary

    print_summary(cohort, Console())
    if cohort.summary.records_used + cohort.summary.records_ignored == 0:
        why = f"; the reasons are in {cohort.folder / 'rejects.parquet'}" if cohort.rejects.height else ""
        raise _fail(f"nothing could be read{why}")


@app.command()
def convert(
    source: Annotated[list[str], typer.Argument(help="Folder, files or address: what `screen` reads.")],
    out: Annotated[Path, typer.Option(help="New folder for the MEDS dataset.")],
    code_map: CodeMap = None,
    rxterms: RxTerms = None,
    source_format: Format = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no account of the records when all went well.")] = False,
) -> None:
    """Write what was read as a MEDS dataset, for tools that read MEDS."""
    from calcinosis.api import read_batches
    from calcinosis.sources.meds_write import NothingReadError, write_meds

    readers = _readers(code_map, rxterms)
    paths = _sources(source)
    name = ", ".join(path.name if isinstance(path, Path) else "database" for path in paths)  # an address may hold a password
    try:
        batches = read_batches(paths, readers, source_format=source_format)
        done = write_meds(batches, out, readers.knowledge.concepts, name=name)
    except NothingReadError as error:
        _print_rejects(error.rejects.to_dicts())
        raise _fail(f"{error}; {out} was not written") from None
    except (OSError, ValueError) as error:
        raise _fail(str(error)) from None
    if quiet:
        return
    typer.echo(
        f"calcinosis: wrote {done.events} events of {done.patients} patients to {out}; records read {done.records_read} = "
        f"used {done.records_used} + of types no rule reads {done.records_ignored} + rejected {done.records_rejected} "
        "(metadata/rejects.parquet)", err=True,
    )  # fmt: skip
    _print_not_read(done.not_read)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the records, truth.parquet and a README; made if absent.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 1000,
    data_format: Annotated[str, typer.Option("--format", help="Format of the records: fhir, omop or meds.")] = "fhir",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
) -> None:
    """Make up a population for load and recovery tests; never evidence of medical accuracy."""
    from rich.console import Console
    from rich.progress import Progress

    with uncollected():
        from calcinosis.simulate import simulate as run

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("simulating", total=patients)
        try:
            made = run(patients, out, data_format=data_format, seed=seed, on_progress=lambda done: progress.update(task, completed=done))
        except (ValueError, OSError) as error:
            raise _fail(str(error)) from None
    typer.echo(f"{made.patients} made-up patients, {made.rows} rows in {made.folder}; the truth is in {made.truth}")


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with truth.csv and bundles/.")],
    html: Annotated[Path | None, typer.Option(help="Write the figures as a self-contained HTML page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the score as JSON.")] = False,
) -> None:
    """Score the published cases against their authors' diagnoses."""
    from rich.console import Console

    from calcinosis.validation import print_score, validate_folder

    try:
        score = validate_folder(folder, _readers(None, None))
    except ValueError as error:
        raise _fail(str(error)) from None
    if as_json:
        typer.echo(score.model_dump_json())
    else:
        print_score(score, Console())
    if html:
        from calcinosis.report.validation_page import render_validation_html

        html.write_text(render_validation_html(score), encoding="utf-8")
        typer.echo(f"calcinosis: wrote {html}", err=True)


@app.command()
def evidence(
    treatment: Annotated[str | None, typer.Argument(help="Key, label or other name of a treatment. Default: all of them.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this calcification type.")] = None,
    disease: Annotated[str | None, typer.Option(help="Only what names this connective tissue disease.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page with plots.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the study rows with their references.")] = None,
    pooled: Annotated[Path | None, typer.Option(help="Write the pooled proportions as CSV.")] = None,
    fhir: Annotated[Path | None, typer.Option(help="Write a FHIR R5 Bundle of Evidence resources.")] = None,
) -> None:
    """What was published on each treatment, by type and disease: studies, pooled proportions, gaps."""
    from calcinosis.evidence.cells import rows_of
    from calcinosis.knowledge import load_knowledge
    from calcinosis.report import evidence_summary as summary

    knowledge = load_knowledge()
    try:
        chosen = summary.find_treatment(treatment, knowledge) if treatment else None
        place, named = summary.find_type(type_, knowledge), summary.find_disease(disease, knowledge)
    except KeyError as error:
        raise _fail(str(error.args[0])) from None
    asked = (chosen.key if chosen else None, place, named)
    if csv:
        count = summary.write_csv(rows_of(knowledge, *asked), knowledge, csv)
        typer.echo(f"calcinosis: wrote {count} rows to {csv}", err=True)
    if pooled:
        from calcinosis.evidence.cells import write_pooled

        cells = [cell for line in summary.overview(knowledge, *asked) for cell in line.evidence.pooled]
        write_pooled(cells, pooled)
        typer.echo(f"calcinosis: wrote {len(cells)} pooled proportions to {pooled}", err=True)
    if fhir:
        import orjson

        from calcinosis.report.evidence_fhir import to_evidence_bundle

        fhir.write_bytes(orjson.dumps(to_evidence_bundle(knowledge, *asked), option=orjson.OPT_INDENT_2))
        typer.echo(f"calcinosis: wrote {fhir}", err=True)
    if html:
        from calcinosis.report.evidence_page import render_evidence_html

        html.write_text(render_evidence_html(knowledge, *asked), encoding="utf-8")
        typer.echo(f"calcinosis: wrote {html}", err=True)
    if not (csv or pooled or fhir or html):
        from rich.console import Console

        from calcinosis.report.evidence_terminal import print_overview, print_treatment

        if chosen is None:
            print_overview(summary.overview(knowledge, *asked), knowledge, Console(), place, named)
        else:
            print_treatment(chosen, knowledge, Console(), place, named)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind to. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: 8000.")] = None,
    settings: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="YAML or JSON file with settings; see docs/service.md.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that assess. Default: 1.")] = None,
    public_url: Annotated[str | None, typer.Option(help="Address that clients use, behind a reverse proxy.")] = None,
    code_map: CodeMap = None,
    rxterms: RxTerms = None,
) -> None:
    """Serve CDS Hooks, web pages, SMART launch and the REST API. Beyond loopback only with authentication."""
    from calcinosis.knowledge import KnowledgeError

    given = {
        "host": host, "port": port, "workers": workers, "public_url": public_url, "code_map": code_map, "rxterms": rxterms,
    }  # fmt: skip
    try:
        from calcinosis.service.server import run
    except ModuleNotFoundError as error:
        raise _fail(f"the service needs {error.name}: pip install -e '.[service]' in the folder of the project") from None
    try:
        run(settings, {name: value for name, value in given.items() if value is not None})
    except (KnowledgeError, OSError, ValueError) as error:
        raise _fail(str(error)) from None


@knowledge_app.command("check")
def knowledge_check(
    folder: Annotated[Path | None, typer.Argument(exists=True, file_okay=False, help="Content folder. Default: the one shipped.")] = None,
    warnings: Annotated[bool, typer.Option(help="Also list warnings.")] = False,
) -> None:
    """Name every defect of the knowledge base with file and line."""
    from calcinosis.knowledge.check import check, problems_as_lines

    problems = check(folder)
    errors = [problem for problem in problems if problem.level == "error"]
    for line in problems_as_lines(problems if warnings else errors, folder):
        typer.echo(line)
    typer.echo(f"{len(errors)} errors, {len(problems) - len(errors)} warnings")
    if errors:
        raise typer.Exit(1)


@knowledge_app.command("show")
def knowledge_show(
    key: Annotated[
        str,
        typer.Argument(
            help="Key of a concept, finding, type, form, disease, mimic, alarm, test, setting, treatment, drug review, study row or source."
        ),
    ],
) -> None:
    """Show one entry of the knowledge base as it is used."""
    from calcinosis.knowledge.show import show

    try:
        typer.echo(show(key, _readers(None, None).knowledge))
    except KeyError as error:
        raise _fail(str(error.args[0])) from None


@knowledge_app.command("export")
def knowledge_export(
    what: Annotated[
        str, typer.Argument(help="codes (CSV), schema (JSON Schema of the content files) or docs (the reference in Markdown).")
    ],
    out: Annotated[Path | None, typer.Option(help="Write to this file; default: standard output.")] = None,
) -> None:
    """Export the code lists, the JSON Schema for editors, or the reference as one document."""
    from calcinosis.knowledge.show import export

    try:
        text = export(what, _readers(None, None).knowledge)
    except KeyError as error:
        raise _fail(str(error.args[0])) from None
    if out:
        out.write_text(text, encoding="utf-8")
    else:
        typer.echo(text, nl=False)


def main() -> None:
    """Entry point of the ``calcinosis`` command."""
    for name in ("SIGTERM", "SIGHUP"):  # what ends a job in a cluster or a container: leave no temporary files behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        if "interrupted" not in str(error).lower():  # what DuckDB makes of Ctrl-C
            raise
        sys.exit(130)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        typer.echo(f"calcinosis: {error.strerror or error}{where}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
