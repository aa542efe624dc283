"""What is written does not depend on the process that writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CASES = sorted((Path(__file__).parents[1] / "examples" / "published_cases" / "bundles").glob("*.json"))[:6]


def test_two_processes_write_the_same_bytes() -> None:
    command = [sys.executable, "-m", "calcinosis.cli", "assess", "--json", *map(str, CASES)]
    first, second = (
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout for seed in ("1", "2")
    )
    assert first
    assert first == second
