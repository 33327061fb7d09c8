"""Configurations for tests: files to load, their problems, and the names of all settings."""

from __future__ import annotations

from pathlib import Path
from typing import get_origin

import pytest
from pydantic import BaseModel

from posed.config import load
from posed.errors import ConfigError

ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def write(folder: Path, text: str, name: str = "posed.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(path, environment or {})
    return list(raised.value.problems)


def names_of(section: type[BaseModel], path: str = "") -> set[str]:
    names = set()
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        # Cameras and zones have names of their owner's.
        below = f"{path}{name}.name." if get_origin(field.annotation) is dict else f"{path}{name}."
        names |= names_of(inner[0], below) if inner else {f"{path}{name}"}
    return names
