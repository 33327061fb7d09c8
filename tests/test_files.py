"""Files that are written whole, and read with care."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posed.files import read_file, replace_file


@pytest.mark.parametrize("content", ["zwölf\n", "zwölf\n".encode()])
def test_a_file_is_replaced_by_text_or_bytes(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "folder" / "a.yaml"
    replace_file(path, "older")
    replace_file(path, content)
    assert path.read_bytes() == "zwölf\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "a", "text", tmp_path / "mine.part")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


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
