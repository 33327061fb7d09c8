"""Settings of an earlier version, which are refused with the line that takes their place."""

from __future__ import annotations

import math
from typing import Any, Final

import yaml

from posed.config.sections import CAMERA
from posed.config.wording import Secret, masked

_FORMER: Final = "camera"

_SECRET: Final = {"username", "password"}


def take_out_former(tree: dict[str, Any]) -> str | None:
    """Take an old `camera` section out of a file, and the zones of `people`; returns what to write instead.

    Args:
        tree: the settings of the file.
    """
    people = tree.get("people")
    zones = people.pop("zones", None) if isinstance(people, dict) else None
    if _FORMER not in tree and zones is None:
        return None
    camera = tree.pop(_FORMER, None)
    settings = camera if isinstance(camera, dict) else {}
    shown = {name: _harmless(name, value) for name, value in settings.items()}
    if zones is not None:
        shown["zones"] = _harmless("zones", zones)
    line = yaml.safe_dump(
        {"cameras": {CAMERA: shown}},
        default_flow_style=True,
        sort_keys=False,
        width=math.inf,
        allow_unicode=True,
    )
    name = "people.zones" if camera is None and zones is not None else _FORMER
    return f"{name}: cameras have names now, write {line.strip()[1:-1]}"


def _harmless(name: str, value: Any) -> Any:
    """A value as it may be shown: whatever stands in the wrong place may be a secret."""
    if isinstance(value, Secret) or name in _SECRET:
        return "…"
    if isinstance(value, dict):
        return {masked(str(key)): _harmless(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_harmless(name, inner) for inner in value]
    return masked(value) if isinstance(value, str) else value
