"""Who asked which service, and when. One JSON line each, without content."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

_QUIET: Final = ("httpx", "httpx2", "httpcore", "httpcore2", "uvicorn.access")  # they log addresses, which hold patient ids


class AuditLog:
    """Appends lines to a file, or to standard error."""

    def __init__(self, path: Path | None) -> None:
        self._stream = path.open("ab", buffering=0) if path else None

    def write(self, *, who: str, service: str, method: str, status: int, milliseconds: float) -> None:
        line = {
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"), "who": who, "service": service, "method": method,
            "status": status, "ms": round(milliseconds, 1),
        }  # fmt: skip
        if self._stream:
            self._stream.write(orjson.dumps(line) + b"\n")
        else:
            sys.stderr.write(orjson.dumps(line).decode() + "\n")

    def close(self) -> None:
        if self._stream:
            self._stream.close()


def silence_libraries() -> None:
    """Libraries that log addresses or headers are told to keep them to themselves, whatever the level of the root logger."""
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def where(error: BaseException) -> str:
    """Type and place of an error. Its message is left out: it may quote the record."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(frames[-6:])}"
