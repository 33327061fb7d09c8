"""How hot the processor and an Edge TPU are: modules on PCIe say, the USB stick has no way to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from posed.timing import NotBefore

SYS: Final = Path("/sys")

APEX: Final = SYS / "class/apex"
"""The driver shows each module in this folder. Source: https://www.coral.ai/docs/pcie-parameters/."""

INTERVAL_S: Final = 10.0
"""The temperature is read at most this often, s: reading asks the chip."""


class Thermometer:
    """Reads the temperature now and then.

    Args:
        folder: of the driver.
        clock: monotonic time, s.
    """

    def __init__(self, folder: Path = APEX, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._next = NotBefore(clock)
        self._device = ""
        self._celsius: float | None = None

    def read(self, kind: str, device: str) -> float | None:
        """Of an engine, °C, at most `INTERVAL_S` old; None where it cannot be read.

        Args:
            kind: of the engine.
            device: `pci`, `pci:1`, …; where it may be any, a module that is there is taken for it.
        """
        if kind != "edgetpu" or device.startswith("usb"):
            return None
        if device != self._device or self._next.is_due:
            self._device, self._celsius = device, self._measure(device)
            self._next.put_off(INTERVAL_S)
        return self._celsius

    def _measure(self, device: str) -> float | None:
        number = device.partition(":")[2] or "0"
        try:
            text = (self._folder / f"apex_{number}" / "temp").read_text(encoding="ascii")
            return int(text) / 1000
        except (OSError, ValueError):
            return None


def processor_c(sys: Path = SYS) -> float | None:
    """Of the processor, °C; None where the kernel does not say."""
    for zone in sorted((sys / "class/thermal").glob("thermal_zone*")):
        with contextlib.suppress(OSError, ValueError):
            if (zone / "type").read_text(encoding="ascii").startswith(("cpu", "soc", "x86_pkg")):
                return int((zone / "temp").read_text(encoding="ascii")) / 1000
    return None
