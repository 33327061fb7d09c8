"""What those who trained a model say of it: `card.json` beside its file, as scripts/train writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from posed.errors import one_line
from posed.paths import read_file

CARD: Final = "card.json"
"""The file of this name maps `all`, and the name of each model file it is about, to facts by name."""

PEOPLE: Final = "people"
"""This fact says what kind of people a model was trained on."""

DRAWN: Final = "drawn"
"""This value of `people` says that a model was trained on drawings only; it finds nobody else."""

_LIMIT_BYTES: Final = 1 << 16


def card_of(path: Path) -> dict[str, str]:
    """Every fact about a model file; empty where nobody wrote a card that can be read."""
    try:
        card = json.loads(read_file(path.with_name(CARD), _LIMIT_BYTES))
        return {
            one_line(name): one_line(fact)
            for part in ("all", path.name)
            for name, fact in card.get(part, {}).items()
        }
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
