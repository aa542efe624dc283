"""Whatever way the system lets us write, the same bytes are in the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcinosis.simulate import direct_file
from calcinosis.simulate.direct_file import DirectFile

SIZES = [1, 4095, 4096, 4097, 3_000_000, direct_file._BUFFER - 1, direct_file._BUFFER, 2 * direct_file._BUFFER + 17]


def written(path: Path, sizes: list[int]) -> bytes:
    pieces = [bytes([65 + place % 26]) * size for place, size in enumerate(sizes)]
    file = DirectFile(path)
    for piece in pieces:
        file.write(memoryview(piece))
    file.close()
    return b"".join(pieces)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(SIZES), max_size=6))
def test_every_byte_arrives_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("direct") / "file"
    assert written(path, sizes) == path.read_bytes()


def test_a_file_system_that_cannot_is_written_the_usual_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.open

    def refuses(path: Any, flags: int, *mode: Any) -> int:
        if flags & direct_file._DIRECT:
            raise OSError(errno.EINVAL, "no direct writing here")
        return usual(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuses)
    assert written(tmp_path / "file", SIZES) == (tmp_path / "file").read_bytes()


def test_a_disk_that_refuses_a_block_is_written_the_usual_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, asked = os.write, []

    def refuses_the_second(file: int, data: Any) -> int:
        asked.append(len(data))
        if len(asked) == 2:
            raise OSError(errno.EINVAL, "not aligned")
        return usual(file, data)

    monkeypatch.setattr(os, "write", refuses_the_second)
    assert written(tmp_path / "file", [direct_file._BUFFER * 3, 5]) == (tmp_path / "file").read_bytes()


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path / "file", [direct_file._BUFFER])
