"""Shared by all tests: Hypothesis settings, the shipped knowledge and the published cases, each read once."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # hand_made and reference_evaluator, also with importlib import mode

from hand_made import CASES

from calcinosis.events import Batch
from calcinosis.knowledge import Knowledge, load_knowledge

settings.register_profile(
    "default", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("search", parent=settings.get_profile("default"), derandomize=False, max_examples=1000)
settings.load_profile("default")


@lru_cache(maxsize=1)
def read_published_cases() -> Batch:
    """All published cases in one batch."""
    import polars as pl

    from calcinosis.api import make_readers, read_batches

    batches = list(read_batches([CASES / "bundles"], make_readers()))
    return Batch(
        patients=pl.concat([b.patients for b in batches]),
        events=pl.concat([b.events for b in batches]),
        rejects=pl.concat([b.rejects for b in batches]),
        unmapped=pl.concat([b.unmapped for b in batches]),
        records_read=sum(b.records_read for b in batches),
        records_used=sum(b.records_used for b in batches),
        records_ignored=sum(b.records_ignored for b in batches),
        records_rejected=sum(b.records_rejected for b in batches),
    )


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="session")
def published_cases() -> Batch:
    return read_published_cases()
