"""Files that are whole whenever the power goes, and files from elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def replace_file(path: Path, content: str | bytes, part: Path | None = None) -> None:
    """Write a file, so that it holds the new content or the old, whenever the power goes.

    Args:
        path: of the file; its folder is made where it is missing.
        content: of the file; text is written as UTF-8.
        part: where the content is written first, beside the file; needed where several processes may write
            the file at a time.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part or path.with_suffix(".part")
    try:
        _write(part, content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path, limit_bytes: int) -> bytes:
    """All of a file from elsewhere, which may be anything: a silent pipe, or longer than memory.

    Raises:
        OSError: it cannot be read, is no file, or is longer than the limit.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no file, but a pipe or device", str(path))
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"longer than {limit_bytes} bytes", str(path))
    return content
