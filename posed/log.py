"""The log: lines on standard error, shorter where the journal adds time and name."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

_one_at_a_time = threading.Lock()


def start_log(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Log everything from `level` on to standard error."""
    in_journal = "JOURNAL_STREAM" in os.environ
    time = "" if in_journal else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format=f"{time}%(levelname)s %(message)s", force=True
    )


@contextmanager
def without_chatter(*beginnings: bytes) -> Iterator[None]:
    """Keep lines that C libraries write to standard error by themselves out of it.

    Args:
        beginnings: of the lines to leave out; all others come, a moment late.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as heard:
        real = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            heard.seek(0)
            for line in heard:
                if not line.startswith(beginnings):
                    os.write(2, line)
