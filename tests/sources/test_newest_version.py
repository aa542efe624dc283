"""Of two versions of one resource the newest is read, in whatever file it stands: a second export holds what changed since the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from calcinosis.api import batch_of, make_readers, read_batches

READERS = make_readers()
PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}
OLD, NEW = "2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00Z"  # an hour later


def condition(text: str, updated: Any, standing: str = "confirmed") -> dict[str, Any]:
    return {
        "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "code": {"text": text},
        "verificationStatus": {"coding": [{"code": standing}]}, **({"meta": {"lastUpdated": updated}} if updated else {}),
    }  # fmt: skip


def read(folder: Path, files: dict[str, list[dict[str, Any]]], *, as_bundle: bool) -> tuple[set[tuple[str, str]], pl.DataFrame]:
    for name, resources in files.items():
        if as_bundle:
            bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
            (folder / f"{name}.json").write_text(json.dumps(bundle), encoding="utf-8")
        else:
            (folder / f"{name}.ndjson").write_text("".join(json.dumps(each) + "\n" for each in resources), encoding="utf-8")
    batches = list(read_batches([folder], READERS))
    events = pl.concat([batch.events for batch in batches])
    rejects = pl.concat([batch.rejects for batch in batches])
    assert sum(batch.records_read for batch in batches) == sum(
        batch.records_used + batch.records_ignored + batch.records_rejected for batch in batches
    )
    return set(events.select("concept", "certainty").iter_rows()), rejects


@pytest.mark.parametrize("as_bundle", [False, True])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_newest_version_is_read_whatever_its_file(as_bundle: bool, order: str, tmp_path: Path) -> None:
    first, second = order
    files = {
        first: [PATIENT, condition("calciphylaxis", OLD)],
        second: [{**PATIENT, "meta": {"lastUpdated": NEW}}, condition("calciphylaxis", NEW, "refuted")],
    }
    events, rejects = read(tmp_path, files, as_bundle=as_bundle)
    assert ("calciphylaxis", "negated") in events and ("calciphylaxis", "affirmed") not in events
    assert rejects["category"].to_list() == ["duplicate_id", "duplicate_id"]
    assert {Path(file).stem for file in rejects["file"]} == {first}


@pytest.mark.parametrize("as_bundle", [False, True])
@pytest.mark.parametrize("updated", [(None, None), (NEW, NEW), ("yesterday", None), (7, {"x": 1})])
def test_of_versions_that_nothing_tells_apart_the_first_is_read(as_bundle: bool, updated: tuple[Any, Any], tmp_path: Path) -> None:
    files = {"a": [PATIENT, condition("calciphylaxis", updated[0])], "b": [condition("calciphylaxis", updated[1], "refuted")]}
    events, _ = read(tmp_path, files, as_bundle=as_bundle)
    assert ("calciphylaxis", "affirmed") in events and ("calciphylaxis", "negated") not in events


def test_a_version_with_a_moment_is_newer_than_one_without(tmp_path: Path) -> None:
    events, _ = read(
        tmp_path, {"a": [PATIENT, condition("calciphylaxis", None)], "b": [condition("calciphylaxis", NEW, "refuted")]}, as_bundle=False
    )
    assert ("calciphylaxis", "negated") in events


@pytest.mark.parametrize("turned", [False, True])
def test_in_process_the_newest_is_read_too(turned: bool) -> None:
    versions = [condition("calciphylaxis", OLD), condition("calciphylaxis", NEW, "refuted")]
    batch = batch_of([PATIENT, *(reversed(versions) if turned else versions)], READERS)
    assert set(batch.events.filter(pl.col("concept") == "calciphylaxis")["certainty"]) == {"negated"}
    assert batch.rejects["category"].to_list() == ["duplicate_id"]


@pytest.mark.parametrize("meta", ["text", 7, [], [{"lastUpdated": NEW}], None, {"lastUpdated": None}])
def test_a_meta_of_the_wrong_type_loses_no_record(meta: Any, tmp_path: Path) -> None:
    events, rejects = read(tmp_path, {"a": [PATIENT, {**condition("calciphylaxis", None), "meta": meta}]}, as_bundle=True)
    assert ("calciphylaxis", "affirmed") in events and rejects.is_empty()
