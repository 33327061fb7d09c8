"""Whether the driver of a PCIe Edge TPU fits the kernel, for `posed doctor`; one on USB needs none."""

from __future__ import annotations

import platform
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from posed.commands.doctor.checks import SYS, Check, package_version, read
from posed.commands.doctor.edgetpu import DEV, seated
from posed.config import Config
from posed.engine.reported import GOOD_DRIVER, NEWEST_KERNEL, driver_report

PACKAGE: Final = "gasket-dkms"

LARGEST_PAGE: Final = 4096
"""The driver works with memory pages of this size only, bytes. Source: raspberry-pi-pcie-devices issue 44."""

_PAGES: Final = "kernel=kernel8.img in /boot/firmware/config.txt, whose pages have 4 kB"
_NO_INTERRUPTS: Final = "dmesg | grep apex says why; on a Pi 5 dtoverlay=pciex1-compat-pi5,no-mip"
_NOT_LOADED: Final = "modprobe apex; dkms status says whether it was built for this kernel"
_NO_DRIVER_FITS: Final = f"a kernel up to {NEWEST_KERNEL}, with {GOOD_DRIVER}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """What runs here: a kernel's release, its memory page's size, bytes, and the installed driver package."""

    release: str = field(default_factory=platform.release)
    page_bytes: int = field(default_factory=resource.getpagesize)
    package: str = field(default_factory=lambda: package_version(PACKAGE))


def check_driver(
    config: Config, *, sys_folder: Path = SYS, dev: Path = DEV, kernel: Kernel | None = None
) -> list[Check]:
    """Whether the driver fits the kernel; nothing where no PCIe Edge TPU is there, nor expected.

    Args:
        config: says which Edge TPU is wanted.
        sys_folder: /sys.
        dev: /dev.
        kernel: what runs here; None: what this machine says.
    """
    is_there = bool(seated(sys_folder)) or any(dev.glob("apex_*"))
    if config.engine.kind == "cpu" or not (is_there or config.engine.device.startswith("pci")):
        return []
    kernel = kernel or Kernel()
    loaded = read(sys_folder / "module/gasket/version")
    package = f"{PACKAGE} {kernel.package}" if kernel.package else f"no {PACKAGE}"
    found = f"kernel {kernel.release}, {package}, {f'gasket {loaded} loaded' if loaded else 'not loaded'}"
    if kernel.page_bytes > LARGEST_PAGE:
        pages = f"its memory pages of {kernel.page_bytes // 1024} kB are too large for the driver"
        return [Check("driver", "failed", f"{found}; {pages}", _PAGES)]
    if any(dev.glob("apex_*")):
        return [Check("driver", "ok", found)]
    if loaded:
        return [Check("driver", "failed", f"{found}, but it finds no Edge TPU", _NO_INTERRUPTS)]
    return [_not_loaded(found, kernel)]


def _not_loaded(found: str, kernel: Kernel) -> Check:
    """What is known of the driver that is installed, or else of the one to take, with this kernel."""
    installed = driver_report(kernel.package, kernel.release)
    good = driver_report(GOOD_DRIVER.split()[-1], kernel.release)
    if installed is not None and installed.works:
        return Check("driver", "failed", f"{found}; {installed.words}", _NOT_LOADED)
    if good is not None and good.works:
        said = f"; {installed.words}" if installed else ""
        return Check("driver", "failed", f"{found}{said}", f"{GOOD_DRIVER}: {good.words}")
    known = installed or good
    said = known.words if known else "nobody has reported a driver for this kernel to work or to fail"
    return Check("driver", "failed", f"{found}; {said}", _NO_DRIVER_FITS)
