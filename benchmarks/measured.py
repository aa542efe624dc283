"""A figure taken in a process of its own, with the memory of that process and of all that it started."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def in_a_process(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script that prints one JSON object as its last line; returns it with ``peak_mib``.

    The peak is the resident memory, added up twice a second from /proc; pages that processes share count in each. (What the kernel
    tells of children that have ended counts what the parent held when it started them.)
    """
    command: Sequence[str] = [sys.executable, script, *arguments]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while True:
        peak = max(peak, _resident(run.pid))
        try:
            out, errors = run.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            continue
    if run.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{errors[-3000:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    own = found.pop("own_peak_mib")
    return {**found, "peak_mib": max(peak / 2**20, own)}


def told(result: dict[str, Any]) -> None:
    """Print a result for :func:`in_a_process`, with this process's own peak, which is exact."""
    peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({**result, "own_peak_mib": int(peak) / 1024}))


def _resident(pid: int) -> int:
    """Bytes that a process and all that it started have in memory; 0 for one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        below = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize() + sum(map(_resident, below))
