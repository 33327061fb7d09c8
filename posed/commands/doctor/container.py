"""What helps in a container, which has no systemd, no packages and no devices of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from posed.commands.doctor.checks import Check

_OF_A_MACHINE: Final = re.compile(
    r"\b(sudo|systemctl|journalctl|apt|pip|udevadm|timedatectl|mount -o|rpicam-hello|XDG_\w+)\b"
)
"""Commands and places that are of no use in there."""

_OF_A_PI_CAMERA: Final = re.compile(r"^(Pi camera|AI Camera)\b|\b(picamera2|imx500)\b")
"""What is found of a Pi's own camera has one of these."""

_RESTART: Final = "restart the container"

_REMEDIES: Final = {
    "configuration": "a configuration that the container's user may read, then restart the container",
    "runtime": "an image that has one",
    "edge tpu": "give the container the device (/dev/bus/usb, /dev/apex_0) and its group, then restart it",
    "ai camera": "a Pi's own camera cannot be opened in a container: install the Debian package on the Pi",
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
    if check.name.startswith("camera") and _OF_A_PI_CAMERA.search(check.found):
        return replace(check, remedy=_REMEDIES["ai camera"])
    known = (remedy for name, remedy in _REMEDIES.items() if check.name.startswith(name))
    return replace(check, remedy=next(known, _RESTART))
