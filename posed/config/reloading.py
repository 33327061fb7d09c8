"""A configuration that was changed while the daemon runs: what of it applies at once, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from posed.config.live import changed, live_settings, live_values
from posed.config.sections import Config


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
    """Take over what applies at once.

    Args:
        running: the configuration that the daemon works with.
        wanted: the configuration as it is now, which was found good.
    """
    differing = tuple(_differing(running, wanted))
    applied = tuple(name for name in differing if name in live_settings())
    values = live_values(wanted)
    return Reloaded(
        config=changed(running, {name: values[name] for name in applied}),
        applied=applied,
        waiting=tuple(name for name in differing if name not in applied),
    )


def _differing(running: BaseModel, wanted: BaseModel, section: str = "") -> Iterator[str]:
    """Dotted names of the settings that are not the same; never their values, which may be secret."""
    for name in type(running).model_fields:
        before, after = getattr(running, name), getattr(wanted, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _differing(before, after, f"{section}{name}.")
        elif before != after:
            yield section + name
