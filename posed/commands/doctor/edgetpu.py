"""Whether there is an Edge TPU that may be opened and works, for `posed doctor`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from posed.commands.doctor.checks import SYS, Check, Service, in_other_hands, package_version, read
from posed.config import Config
from posed.engine.compatibility import LIBRARY, Delegate, check_compatibility, library_version
from posed.engine.reported import GOOD_LIBRARY, library_report
from posed.engine.tflite import find_runtime
from posed.errors import EngineError
from posed.networks.pair import Pair
from posed.paths import cache_folder

SERVICE_USER: Final = "posed"

DEV: Final = Path("/dev")

HOT_C: Final = 85.0
"""From this temperature on the driver slows a PCIe Edge TPU down, °C. Source: Coral, PCIe parameters, trip
point 0."""

_USB_2_MBIT: Final = 480
_USB_IDS: Final = {
    ("1a6e", "089a"): "its firmware not loaded yet",
    ("18d1", "9302"): "its firmware loaded",
}
"""A Coral USB Accelerator has the first ids before libedgetpu has opened it, and the second after."""

_PCIE_IDS: Final = ("0x1ac1", "0x089a")
"""A Coral PCIe Accelerator has these ids: Global Unichip, Coral Edge TPU."""


def check_edgetpu(
    config: Config, pair: Pair | None, service: Service, *, sys_folder: Path = SYS, dev: Path = DEV
) -> list[Check]:
    """Whether there is an Edge TPU that may be opened and works.

    Args:
        config: says which engine is wanted.
        pair: the model.
        service: which may hold the device.
        sys_folder: /sys.
        dev: /dev.
    """
    if config.engine.kind == "cpu":
        return [Check("edge tpu", "unused", "engine.kind: cpu")]
    devices = accelerators(sys_folder, dev)
    if not devices:
        wanted = config.engine.kind == "edgetpu"
        failed = wanted and not config.infers_in_cameras
        instead = "the cameras infer themselves" if config.infers_in_cameras else "the CPU is used"
        if wanted and config.infers_in_cameras:
            instead = "rotated crops are left out"
        found = "none on USB or PCIe" + ("" if failed else f"; {instead}")
        remedy = "plug it in; lsusb shows 1a6e:089a or 18d1:9302, ls /dev/apex_* a PCIe one" if wanted else ""
        return [Check("edge tpu", "failed" if failed else "warning" if wanted else "unused", found, remedy)]
    return [*devices, _check_library(config, pair, service)]


def accelerators(sys_folder: Path = SYS, dev: Path = DEV) -> list[Check]:
    """The Edge TPUs of this machine, and whether each may be opened; arguments as above."""
    return _usb_accelerators(sys_folder, dev) + _pcie_accelerators(sys_folder, dev)


def _usb_accelerators(sys_folder: Path, dev: Path) -> list[Check]:
    checks = []
    for folder in sorted((sys_folder / "bus/usb/devices").glob("*")):
        state = _USB_IDS.get((read(folder / "idVendor"), read(folder / "idProduct")))
        if state is None:
            continue
        bus, number, speed = (read(folder / name) for name in ("busnum", "devnum", "speed"))
        node = dev / f"bus/usb/{int(bus or 0):03d}/{int(number or 0):03d}"
        found = f"USB Accelerator on {node}, {state}"
        if not _may_open(node):
            checks.append(
                Check("edge tpu", "failed", f"{found}: no permission", _NO_PERMISSION.format("plugdev"))
            )
        elif speed.isdecimal() and int(speed) <= _USB_2_MBIT:
            remedy = "a USB 3 port (blue), with its own cable: twice as fast"
            checks.append(Check("edge tpu", "warning", f"{found}, at USB 2 speed", remedy))
        else:
            checks.append(Check("edge tpu", "ok", found))
    return checks


_NO_PERMISSION: Final = (
    "posed's udev rules give it to the group {0}: plug it in again, or sudo udevadm trigger; "
    "for yourself sudo usermod -aG {0} $USER, then log in again"
)


def _may_open(node: Path) -> bool:
    """Whether we may read and write a device; for root, who always may, whether the service may."""
    if not os.access(node, os.R_OK | os.W_OK):
        return False
    try:
        service = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return True
    if os.geteuid() != 0:
        return True
    status = node.stat()
    if status.st_uid == service.pw_uid:
        bits = 0o600
    elif status.st_gid in os.getgrouplist(SERVICE_USER, service.pw_gid):
        bits = 0o060
    else:
        bits = 0o006
    return status.st_mode & bits == bits


def _pcie_accelerators(sys_folder: Path, dev: Path) -> list[Check]:
    checks = []
    for node in sorted(dev.glob("apex_*")):
        text = read(sys_folder / "class/apex" / node.name / "temp")
        temperature_c = int(text) / 1000 if text.isdecimal() else None
        found = f"{node}" + ("" if temperature_c is None else f", {temperature_c:.0f} °C")
        if not _may_open(node):
            checks.append(
                Check("edge tpu", "failed", f"{found}: no permission", _NO_PERMISSION.format("apex"))
            )
        elif temperature_c is not None and temperature_c >= HOT_C:
            checks.append(Check("edge tpu", "warning", f"{found}: hot", "a heat sink, or air"))
        else:
            checks.append(Check("edge tpu", "ok", found))
    return checks or _without_driver(sys_folder)


def _without_driver(sys_folder: Path) -> list[Check]:
    """PCIe accelerators that the kernel sees, and nobody drives."""
    return [
        Check("edge tpu", "failed", f"PCIe Accelerator at {place}, without a driver", _NO_DRIVER)
        for place in seated(sys_folder)
    ]


def seated(sys_folder: Path) -> list[str]:
    """Where the kernel sees PCIe accelerators, driven or not: the names of their slots."""
    return [
        folder.name
        for folder in sorted((sys_folder / "bus/pci/devices").glob("*"))
        if (read(folder / "vendor"), read(folder / "device")) == _PCIE_IDS
    ]


_NO_DRIVER: Final = "gasket-dkms, a driver that fits this kernel; then ls /dev/apex_*"


def _check_library(config: Config, pair: Pair | None, service: Service) -> Check:
    """Whether libedgetpu fits the runtime, tried in a child process."""
    package = package_version("libedgetpu1-std", "libedgetpu1-max")
    library = f"libedgetpu {package}" if package else library_version(LIBRARY) or LIBRARY
    if pair is None or pair.edgetpu is None:
        found = f"no model compiled for it, so it was not tried{_reported(package)}"
        return Check("libedgetpu", "warning", found, "a model with an _edgetpu.tflite, such as coral-353x481")
    if service.runs:
        return _library_of(service, library)
    try:
        check_compatibility(pair.edgetpu, Delegate(config.engine.device, cache_folder()))
    except EngineError as error:
        return Check("libedgetpu", "failed", str(error), GOOD_LIBRARY)
    return Check("libedgetpu", "ok", f"{library}: fits the runtime")


def _reported(package: str) -> str:
    """What others say of this version of libedgetpu with the runtime; empty where nobody does."""
    try:
        runtime = find_runtime().name
    except EngineError:
        return ""  # which is what the check of the runtime says
    report = library_report(package, runtime)
    return f"; libedgetpu {package} with {runtime} is {report.words}" if report else ""


def _library_of(service: Service, library: str) -> Check:
    """What the service says of the Edge TPU."""
    if not service.of_this:
        return in_other_hands("libedgetpu", library, service)
    if why := service.waits_for("the engine"):
        return Check("libedgetpu", "failed", why, GOOD_LIBRARY)
    if service.engine == "cpu":
        found = f"{library}: not in use, the service runs on the CPU"
        return Check("libedgetpu", "warning", found, "journalctl -u posed -e says why")
    return Check("libedgetpu", "ok", f"{library}: in use by the service")
