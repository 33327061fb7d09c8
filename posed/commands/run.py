"""Runs the daemon: from its configuration to its end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from posed import daemon
from posed.config import Config, load_for_daemon
from posed.errors import ConfigError
from posed.log import set_level
from posed.paths import overlay_file, state_folder
from posed.service.container import container_problems, in_container
from posed.service.first_signals import hear_first_signals, hold_signals
from posed.service.state_lock import lock_state

log = logging.getLogger(__name__)


def run_again_and_again(path: Path | None, environment: Mapping[str, str]) -> None:
    """Run the daemon as `run` does, and start it again whenever it was asked for that."""
    hear_first_signals()  # until the daemon takes over
    if run(path, environment):
        _start_again()


def _start_again() -> None:
    """Become a new process of the same command, so that nothing of the old one is left; its id stays."""
    logging.shutdown()
    if not sys.stdin.isatty():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the new process inherits
    hold_signals()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 no shell is wanted


def run(path: Path | None, environment: Mapping[str, str]) -> bool:
    """Run the daemon in the foreground until it is asked to end, or a recording has ended.

    The state folder is locked before anything of it is read: an overlay that is damaged is set aside.

    Args:
        path: the configuration file; None for the defaults.
        environment: says where the state folder is, and where systemd listens.

    Returns:
        Whether it is to be started again.

    Raises:
        ConfigError: the configuration cannot be used.
        StateInUse: another daemon has the state folder.
    """
    overlay = overlay_file(environment)

    def read_config() -> Config:
        return load_for_daemon(path, overlay)[0]

    with lock_state(state_folder(environment)) as sign:
        config, names = load_for_daemon(path, overlay)
        if in_container() and (problems := list(container_problems(config))):
            raise ConfigError(problems)
        sign(config.device)
        set_level(config.log.level)
        if names:
            log.info("%s, changed by requests, overrides the file: %s", overlay, ", ".join(names))
        return daemon.run(config, read_config, environment)
