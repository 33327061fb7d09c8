"""What a shell offers when somebody presses Tab; nothing where that cannot be known, and no complaint."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from posed.errors import PosedError

_ENGINES: Final = ("auto", "edgetpu", "cpu")


def models(incomplete: str) -> list[str]:
    """Known models; the shell itself offers files where there are none of that beginning."""
    from posed.model.catalogue import CATALOGUE

    return [entry.name for entry in CATALOGUE if entry.name.startswith(incomplete)]


def downloads(incomplete: str) -> list[str]:
    """Models and weights that `posed model pull` downloads."""
    from posed.model.catalogue import CATALOGUE, WEIGHTS

    names = [entry.name for entry in CATALOGUE if entry.is_published]
    names += [weights.name for weights in WEIGHTS if weights.files]
    return [name for name in names if name.startswith(incomplete)]


def weights(incomplete: str) -> list[str]:
    """Known weights, of which `posed model export` makes models."""
    from posed.model.catalogue import WEIGHTS

    return [known.name for known in WEIGHTS if known.name.startswith(incomplete)]


def views(incomplete: str) -> list[str]:
    """Who may open the live view."""
    return [word for word in ("local", "network", "off") if word.startswith(incomplete)]


def pictures(incomplete: str) -> list[str]:
    """What pictures may show."""
    return [word for word in ("off", "skeleton", "blurred", "full") if word.startswith(incomplete)]


def engines(incomplete: str) -> list[str]:
    """Kinds of engines."""
    return [kind for kind in _ENGINES if kind.startswith(incomplete)]


def cameras(context: typer.Context, incomplete: str) -> list[str]:
    """The cameras of the configuration that --config names before."""
    from posed.config import load

    named = context.params.get("config")
    try:
        names = list(load(named and Path(named)).cameras)  # typer 0.26 has the word alone
    except PosedError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def schemas(incomplete: str) -> list[str]:
    """Names of messages."""
    from posed.messages.schemas import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]
