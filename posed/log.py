"""The log: lines on standard error, shorter where the journal adds time and name."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal


def start_log(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Log everything from `level` on to standard error."""
    in_journal = "JOURNAL_STREAM" in os.environ
    time = "" if in_journal else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format=f"{time}%(levelname)s %(message)s", force=True
    )
