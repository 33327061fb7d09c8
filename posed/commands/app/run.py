"""Runs the daemon as an app: reads its options, finds its broker, and writes the configuration of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from posed.commands.app.broker import RETRY_S, TIMEOUT_S, wait_for_broker
from posed.commands.app.options import names_broker, read_options, read_own, settings_of, with_origins
from posed.commands.run import run_again_and_again
from posed.errors import ConfigError
from posed.paths import replace_file, state_folder, with_state
from posed.service.heartbeat import Heartbeat, heartbeat_files

OPTIONS: Final = "options.json"
OWN_FILE: Final = "posed.yaml"


def run_app(data: Path, config: Path, supervisor: str, made: Path) -> None:
    """Run the daemon until it is asked to end; where it is asked to start again, options are read again.

    Args:
        data: the app's own folder, with its options; the daemon keeps its state there.
        config: the folder in which the owner may have a posed.yaml.
        supervisor: the URL of the Supervisor's API.
        made: the configuration is written here, for this run alone.

    Raises:
        BrokerError: the Supervisor does not say which broker.
        ConfigError: options, or what they lead to, cannot be used.
    """
    environment = with_state(data)
    options = read_options(data / OPTIONS)
    file = read_own(config / OWN_FILE)
    broker = None
    if options.mqtt.host is None and not names_broker(file):
        # Waiting for a device is progress, to health checks, too.
        heartbeat = Heartbeat(heartbeat_files(state_folder(environment)))
        broker = wait_for_broker(
            supervisor, environment, alive=lambda: heartbeat.beat(RETRY_S + 2 * TIMEOUT_S)
        )
    _write(made, settings_of(options, file, broker))
    try:
        run_again_and_again(made, environment)
    except ConfigError as error:
        raise ConfigError(with_origins(error.problems, options, file)) from None


def _write(path: Path, settings: dict[str, Any]) -> None:
    """Keep the settings, with passwords in them, where nobody else looks."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, yaml.safe_dump(_plain(settings), allow_unicode=True, sort_keys=False))
    except OSError as error:
        raise ConfigError([f"{path}: must be a file that can be written ({error.strerror})"]) from None


def _plain(value: Any) -> Any:
    """A value as YAML knows it: a secret of the owner's file is text there."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value
