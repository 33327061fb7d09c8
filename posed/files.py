"""Files that are whole whenever the power goes, and files from elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Write a file, so that it holds the new content or the old, whenever the power goes.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
