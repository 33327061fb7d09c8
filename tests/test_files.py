"""Files that are read with care."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posed.files import read_file


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_file(tmp_path / "a", 4)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="no file, but a pipe or device"):
        read_file(tmp_path / "a", 5)


def test_a_device_without_end_is_not_read() -> None:
    with pytest.raises(OSError, match="no file, but a pipe or device"):
        read_file(Path("/dev/zero"), 5)


def test_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 5)
