"""No reader waits for a page about no patient."""

from __future__ import annotations

import time

import pytest
from fastapi.testclient import TestClient

PATHS = (
    "/", "/knowledge", "/knowledge?q=warfarin", "/knowledge/types/calciphylaxis", "/knowledge/concepts", "/knowledge/sources",
    "/evidence", "/evidence?treatment=sodium_thiosulfate_iv", "/evidence?type=dystrophic", "/evidence?disease=systemic_sclerosis",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_page_comes_quickly_once_warm(client: TestClient, path: str) -> None:
    """Wanted: below 100 ms. The processor's time, the best of three."""
    spent = []
    for _ in range(3):
        start = time.process_time()
        assert client.get(path).status_code == 200
        spent.append(time.process_time() - start)
    assert min(spent) < 0.1, f"{min(spent):.3f} s"
