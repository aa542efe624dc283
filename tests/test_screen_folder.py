"""What `screen` leaves in its folder, and what it says about what it could not read or write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from calcinosis.api import assess, make_readers, read_batches, screen
from calcinosis.sources.meds_write import write_meds

EXAMPLES = Path(__file__).parents[1] / "examples"
CASES = sorted((EXAMPLES / "published_cases" / "bundles").glob("*.json"))
PHENOPACKETS = EXAMPLES / "phenopackets"


def command(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "calcinosis.cli", *map(str, arguments)], capture_output=True, text=True, env=os.environ | env, timeout=120
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_that_fails_leaves_older_results_as_they_were(tmp_path: Path) -> None:
    screen(CASES[:2], tmp_path / "out")
    before = content(tmp_path / "out")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen(CASES[2:6], tmp_path / "out", on_patients=stop)
    assert content(tmp_path / "out") == before
    cohort = screen(CASES[2:6], tmp_path / "out")
    assert cohort.assessments.height == json.loads((tmp_path / "out" / "summary.json").read_text())["patients_assessed"] == 4
    assert set(content(tmp_path / "out")) == set(before)


def test_a_run_that_fails_leaves_no_new_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no MEDS data"):
        screen(CASES[:1], tmp_path / "new" / "out", source_format="meds")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("out", ["a_file", "a_file/below"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, out: str) -> None:
    (tmp_path / "a_file").write_text("x")
    done = command("screen", CASES[0], "--out", tmp_path / out)
    assert done.returncode == 2
    assert done.stderr.startswith("calcinosis: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("limit", ["nonsense", "-3GB", "0", "5", "0GB"])
def test_a_memory_limit_that_is_no_size_is_refused_for_every_format(tmp_path: Path, limit: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        screen(CASES[:1], tmp_path / "out", memory_limit=limit)


@pytest.mark.parametrize("limit", ["0.5GB", "2 GiB", "500MB"])
def test_a_memory_limit_that_is_a_size_is_taken(tmp_path: Path, limit: str) -> None:
    assert screen(CASES[:1], tmp_path / "out", memory_limit=limit).summary.patients_assessed == 1


def test_mistakes_of_a_caller_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        screen(tmp_path / "nothere", tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        assess(tmp_path / "nothere.json")
    with pytest.raises(ValueError, match="workers"):
        screen(CASES[:1], tmp_path / "out", workers=0)
    with pytest.raises(ValueError, match="closed world"):
        screen(CASES[:1], tmp_path / "out", closed_world=frozenset({"lab"}), as_of=datetime(2024, 1, 1))
    for call in (lambda kinds: screen(CASES[:1], tmp_path / "out", closed_world=kinds), lambda kinds: assess(CASES[0], closed_world=kinds)):
        with pytest.raises(TypeError, match=r"closed_world is a set of kinds, such as \{'drug'\}, not a text"):
            call("drug")
    with pytest.raises(TypeError, match="a text is read as the path of a file"):
        assess(CASES[0].read_text(encoding="utf-8"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["data", "data/results", ".", "data/../data/deep/er"])
def test_results_are_never_written_among_the_data(tmp_path: Path, out: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(CASES[0], data)
    with pytest.raises(ValueError, match="results would stand among the data"):
        screen(data, tmp_path / out)
    assert [path.name for path in data.iterdir()] == [CASES[0].name]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--master", "local[2]"], "is for the Spark engine"),
        (["--engine", "spark", "--workers", "2"], "workers are for the local engine"),
        (["--engine", "spark", "--limit-memory", "2GB"], "a memory limit is for the local engine"),
    ],
)
def test_an_option_of_the_other_engine_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    done = command("screen", CASES[0], "--out", tmp_path / "out", "--quiet", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source_format", ["meds", "phenopacket"])
def test_a_memory_limit_for_a_format_that_would_not_heed_it_is_refused(tmp_path: Path, source_format: str) -> None:
    source = tmp_path / "source"
    if source_format == "meds":
        write_meds(read_batches(CASES[:1], make_readers()), source, make_readers().knowledge.concepts, name="one")
    else:
        source = PHENOPACKETS
    done = command("screen", source, "--out", tmp_path / "out", "--quiet", "--limit-memory", "2GB")
    assert done.returncode == 2
    assert done.stderr == (
        "calcinosis: a memory limit is for the tables that FHIR and OMOP are read with; MEDS and phenopackets are read without\n"
    )
    assert not (tmp_path / "out").exists()
    beside = screen([source, CASES[0]], tmp_path / "out", memory_limit="2GB")
    assert beside.summary.patients_assessed > 1, "beside FHIR, which heeds it, the limit is taken"


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    source = tmp_path / "unreadable"
    source.mkdir()
    (source / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    return source


def test_screen_says_where_the_reasons_are_when_nothing_could_be_read(tmp_path: Path, unreadable: Path) -> None:
    done = command("screen", unreadable, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 2
    assert done.stderr == f"calcinosis: nothing could be read; the reasons are in {tmp_path / 'out' / 'rejects.parquet'}\n"
    assert pl.read_parquet(tmp_path / "out" / "rejects.parquet")["category"].to_list() == ["malformed_json"]


def test_screen_of_an_empty_folder_promises_no_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = command("screen", tmp_path / "empty", "--out", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stderr) == (2, "calcinosis: nothing could be read\n")


def test_convert_of_nothing_readable_tells_the_reasons_and_leaves_no_folder(tmp_path: Path, unreadable: Path) -> None:
    out = tmp_path / "new" / "dataset"
    done = command("convert", unreadable, "--out", out)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(f"{unreadable / 'broken.json'}:1: error: not JSON")
    assert done.stderr.splitlines()[-1] == f"calcinosis: nothing could be read; {out} was not written"
    assert not (tmp_path / "new").exists()


def test_convert_that_fails_leaves_an_empty_folder_empty(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    done = command("convert", CASES[0], "--out", tmp_path / "dataset", "--format", "omop")
    assert done.returncode == 2
    assert list((tmp_path / "dataset").iterdir()) == []
    done = command("convert", CASES[0], "--out", tmp_path / "dataset")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dataset" / "metadata" / "rejects.parquet").exists()


def test_linked_folders_are_read_once_and_broken_links_are_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inside").mkdir(parents=True)
    shutil.copy(CASES[0], source / "inside")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(CASES[1], tmp_path / "elsewhere")
    (source / "link").symlink_to(tmp_path / "elsewhere")
    (source / "back").symlink_to(source)
    (source / "broken.json").symlink_to(tmp_path / "gone.json")
    os.mkfifo(source / "pipe.json")  # nobody writes to it: opening it would wait for ever
    cohort = screen(source, tmp_path / "out")
    assert cohort.summary.patients_assessed == 2
    assert cohort.rejects.filter(category="unreadable")["file"].to_list() == [str(source / "broken.json")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into every folder")
def test_a_folder_that_cannot_be_looked_into_is_rejected(tmp_path: Path) -> None:
    locked = tmp_path / "source" / "locked"
    locked.mkdir(parents=True)
    shutil.copy(CASES[0], tmp_path / "source")
    locked.chmod(0)
    cohort = screen(tmp_path / "source", tmp_path / "out")
    assert cohort.rejects.filter(category="unreadable")["file"].to_list() == [str(locked)]


def test_phenopackets_are_known_although_the_first_file_is_something_else(tmp_path: Path) -> None:
    packets = Path(__file__).parents[1] / "examples" / "phenopackets"
    shutil.copytree(packets, tmp_path / "packets")
    (tmp_path / "packets" / "0_manifest.json").write_text('{"note": "export manifest"}')
    (tmp_path / "packets" / "1_empty.json").write_text("")
    cohort = screen(tmp_path / "packets", tmp_path / "out")
    assert cohort.summary.patients_assessed == len(list(packets.glob("*.json")))
