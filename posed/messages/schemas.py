"""JSON Schemas of every message, made from the structs that the messages are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from posed.messages.structs import (
    VERBS,
    CameraState,
    EventMessage,
    FallMessage,
    Poses,
    RecordingLine,
    Response,
    State,
    ZoneMessage,
)

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_KINDS: Final[Mapping[str, Any]] = {
    "state": State,
    "events": EventMessage,
    "camera/poses": Poses,
    "camera/state": CameraState,
    "camera/zones": ZoneMessage,
    "camera/fall": FallMessage,
    "camera/recording": RecordingLine,
    **{f"request/{verb}": request for verb, (request, _) in VERBS.items()},
    **{f"response/{verb}": Response[data] for verb, (_, data) in VERBS.items()},  # type: ignore[valid-type] # at run time
}

NAMES: Final = tuple(_KINDS)
"""Schemas have these names: topics below the device's, with `camera` for a camera's name, `zones` without the
zone."""


def schema(name: str) -> dict[str, Any]:
    """The schema of the messages of a topic.

    Args:
        name: one of `NAMES`.
    """
    made = msgspec.json.schema(_KINDS[name])
    for struct in made["$defs"].values():
        # What has a default is not required by itself, but the version of the messages always comes.
        if "schema" in struct.get("properties", {}):
            struct["required"] = ["schema", *struct["required"]]
    return {"$schema": DIALECT, "title": name, **made}
