"""`posed mqtt forget`: takes back what a broker keeps of a device whose daemon does not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from posed.config import Config
from posed.mqtt.forget import forget
from posed.paths import announced_file, state_folder
from posed.service.state_lock import lock_state


def forget_device(config: Config, environment: Mapping[str, str], *, force: bool) -> Sequence[str]:
    """Empty every retained topic of a device, while no daemon has the state folder that knows some of them.

    Args:
        config: names the broker and the device.
        environment: says where the state folder is, which knows what the daemon announced.
        force: whether it is done even while a daemon runs.

    Returns:
        The topics that were emptied.

    Raises:
        StateInUse: a daemon has the state folder.
        BrokerError: the broker cannot be reached, or the device is online.
        ConfigError: the configuration cannot be used.
    """
    folder = state_folder(environment)
    with nullcontext() if force else lock_state(folder, config.device):
        return forget(config, announced_file(environment), force=force)
