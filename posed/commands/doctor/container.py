"""What helps in a container, which has no systemd, no packages and no devices of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from posed.commands.doctor.checks import Check

_OF_A_MACHINE: Final = re.compile(
    r"\b(sudo|systemctl|journalctl|apt|pip|udevadm|timedatectl|mount -o|XDG_\w+)\b"
)
"""Commands and places that are of no use in there."""

_RESTART: Final = "restart the container"

_REMEDIES: Final = {
    "configuration": "a configuration that the container's user may read, then restart the container",
    "runtime": "an image that has one",
    "edge tpu": "give the container the device (/dev/bus/usb, /dev/apex_0) and its group, then restart it",
    "camera": "give the container the device (/dev/video0) and its group, then restart it",
    "broker": "user and password in POSED_MQTT__USERNAME and POSED_MQTT__PASSWORD, or in the configuration",
    "clock": "the clock is the host's: let that ask for the time",
    "disk": "make room on the host, or give the container a volume for its state that its user may write",
}
"""By the first words of a check's name."""


def for_container(check: Check) -> Check:
    """The check, with a remedy that can be had in a container."""
    if not _OF_A_MACHINE.search(check.remedy):
        return check
    known = (remedy for name, remedy in _REMEDIES.items() if check.name.startswith(name))
    return replace(check, remedy=next(known, _RESTART))
