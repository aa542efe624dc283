"""A file that is written past the page cache, where the system can.

Gigabytes that nobody reads at once need no copy in memory: on a virtual disk the cache's own work took ten times the processor time of the
writing (``benchmarks/simulate.py``).
"""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path
from typing import Final

_BUFFER: Final = 1 << 22  # bytes; whole blocks of any disk
_BLOCK: Final = 4096  # bytes: what direct writing must come in
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class DirectFile:
    """Collects what is appended in whole buffers. A file system without direct writing gets the same bytes by the usual way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._usual = False  # direct writing was refused
        try:
            self._file = os.open(path, _NEW | _DIRECT, 0o666)
        except OSError:  # a file system without it; what else is wrong is said by the second try
            self._file = os.open(path, _NEW, 0o666)
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER)).cast("B")  # begins at a page, as direct writing wants
        self._held = 0

    def write(self, data: memoryview) -> None:
        data = data.cast("B")
        while len(data):
            taken = min(len(data), _BUFFER - self._held)
            self._buffer[self._held : self._held + taken] = data[:taken]
            self._held += taken
            data = data[taken:]
            if self._held == _BUFFER:
                self._put(_BUFFER)
                self._held = 0

    def close(self) -> None:
        whole = self._held - self._held % _BLOCK
        self._put(whole)
        os.close(self._file)
        with self._path.open("ab") as rest:  # less than a block, by the usual way
            rest.write(self._buffer[whole : self._held])

    def _put(self, end: int) -> None:
        """Write the beginning of the buffer."""
        start = 0
        while start < end:
            try:
                start += os.write(self._file, self._buffer[start:end])
            except OSError as error:
                if error.errno != errno.EINVAL or self._usual:
                    raise
                os.close(self._file)  # a disk with larger blocks, or a short write before this one
                self._file, self._usual = os.open(self._path, _NEW & ~os.O_TRUNC | os.O_APPEND), True
