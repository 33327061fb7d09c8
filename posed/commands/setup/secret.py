"""A secret among the settings, and how a value of a setting is written in YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that goes to `secrets.yaml`.

    Args:
        name: what `!secret` calls the value.
        value: the secret itself, which must not be seen.
    """

    name: str
    value: str


def scalar(value: Any) -> str:
    """The value as YAML in one line, which may stand anywhere in it."""
    if isinstance(value, Secret):
        return f"!secret {value.name}"
    # In brackets, where a comma would end the value, so that it is put in quotes.
    text: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.strip()[1:-1]
