"""Says whether the daemon makes progress; called every few seconds, so nothing slow is imported here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from posed.errors import ConfigError
from posed.paths import state_folder, with_state
from posed.service.heartbeat import heartbeat_files, silence


def show_health(state: Path | None) -> int:
    """Print whether the daemon of a state folder makes progress.

    Args:
        state: the folder; None for the one that the environment names.

    Returns:
        0 where it does, 1 otherwise.

    Raises:
        ConfigError: the folder's name cannot be used.
    """
    why = silence(heartbeat_files(state_folder(with_state(state))))
    print(f"unhealthy: {why}" if why else "healthy")  # noqa: T201 the command's own output
    return 1 if why else 0


def answer_at_once(arguments: Sequence[str]) -> None:
    """End the process with the answer, where these arguments of `posed health` can be read here."""
    match list(arguments):
        case []:
            state = None
        case ["--state", folder]:
            state = Path(folder)
        case _:
            return
    try:
        status = show_health(state)
    except ConfigError:
        return  # which is told as in every command
    sys.exit(status)
