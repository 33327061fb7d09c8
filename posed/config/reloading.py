"""A configuration that was changed while the daemon runs: what of it applies at once, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from posed.config.live import live_settings, live_values, where_of_setting
from posed.config.sections import CAMERA, Config
from posed.config.settings import CAMERAS, ZONES
from posed.config.tree import merge, nest
from posed.config.validation import validated

PRIVACY: Final = "privacy"


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What comes of a new configuration.

    Args:
        config: the configuration to go on with.
        applied: names of settings that are new in it.
        waiting: names of settings that wait for a restart.
    """

    config: Config
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def reload(running: Config, wanted: Config) -> Reloaded:
    """Take over what applies at once: what can be changed at run time, cameras, and what pictures show.

    Cameras wait for a restart where an engine is needed from then on, or no longer.

    Args:
        running: the configuration that the daemon works with.
        wanted: the configuration as it is now, which was found good.
    """
    differing = tuple(_differing(_written(running), _written(wanted)))
    same_engine = running.infers_in_cameras == wanted.infers_in_cameras
    taken = (CAMERAS, PRIVACY) if same_engine else (PRIVACY,)
    applied = tuple(name for name in differing if name in live_settings() or name.partition(".")[0] in taken)
    tree, written = (config.model_dump(exclude_unset=True) for config in (running, wanted))
    tree |= {section: written.get(section) for section in taken}
    for name, value in live_values(wanted).items():
        merge(tree, nest(where_of_setting(name, None), value))
    config, _ = validated(tree)
    assert config is not None  # each part of it is good, and no rule is about two of them
    return Reloaded(
        config=config, applied=applied, waiting=tuple(name for name in differing if name not in applied)
    )


def _written(config: Config) -> dict[str, Any]:
    """A configuration as plain values: of cameras what is their own, of all else everything."""
    own = config.model_dump(exclude_unset=True, include={CAMERAS}).get(CAMERAS, {CAMERA: {}})
    return config.model_dump() | {CAMERAS: own}


def _differing(running: Mapping[str, Any], wanted: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Dotted names of the settings that are not the same; never their values, which may be secret."""
    for name in {**running, **wanted}:
        before, after = running.get(name), wanted.get(name)
        if isinstance(before, dict) and isinstance(after, dict) and name != ZONES:
            yield from _differing(before, after, f"{path}{name}.")
        elif before != after:
            yield path + name
