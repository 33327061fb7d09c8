"""What those who trained a model say of it: `card.json` beside its file, as scripts/train writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from posed.errors import one_line
from posed.files import read_file

CARD: Final = "card.json"
"""Maps `all`, and the name of each file it is about, to facts by name."""

PEOPLE: Final = "people"
"""The fact that says what kind of people a model was trained on."""

DRAWN: Final = "drawn"
"""Of `people`: only drawings; the model finds nobody else."""

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
