"""What a version of schema 1, which had one camera, left on the disk and at the broker.

The files of `schema_1` are what that version wrote of a device named `hall` with a zone `left`, and of a fall
of which no broker has heard yet.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("schema_1")

RETAINED: Final[dict[str, bytes]] = {
    topic: payload.encode()
    for topic, payload in json.loads((FOLDER / "retained.json").read_text(encoding="utf-8")).items()
}
"""What the broker kept, by topic."""

FALL: Final = "01MCC5S0K4WZ417S4SWSN35D93"
"""The id of the event of the fall."""

WRITTEN_AT_S: Final = 1796050476.0
"""When the spool was written, s since 1970."""


def leave_spool(file: Path) -> list[bytes]:
    """Write a spool of that version; returns its events, oldest first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file)
    db.executescript((FOLDER / "spool.sql").read_text(encoding="utf-8"))
    payloads = [payload for (payload,) in db.execute("SELECT payload FROM events ORDER BY number")]
    db.close()
    return payloads


def leave_announced(file: Path) -> None:
    """Write that version's list of what it had announced, and of what else is retained."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / "announced.json", file)
