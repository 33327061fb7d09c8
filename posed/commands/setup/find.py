"""What answers can be offered: the brokers and cameras that are there."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from posed.camera import FIRST_AI_CAMERA, device_of
from posed.config import CameraConfig

SEARCH_S: Final = 2.0
"""Brokers are waited for this long, s. A responder answers within 0.12 s, and a lost question is repeated
after a second. Source: RFC 6762, 5.2 and 6."""

LOOKUP_S: Final = 1.0
"""One broker may take this long to tell its address, and the system to look up its name, s."""

_SERVICES: Final = {"_mqtt._tcp.local.": False, "_secure-mqtt._tcp.local.": True}
"""MQTT has these service types; the value says whether they are behind TLS. Source: IANA's service name
registry."""

_NO_CAMERA: Final = re.compile(r"bcm2835-(isp|codec)|unicam|rpi-?(vid|hevc)|pispbe|rp1-cfe")
"""Video devices of a Raspberry Pi with such names are scalers and codecs, or the raw end of what picamera2
drives."""


@dataclass(frozen=True, slots=True)
class FoundBroker:
    """A broker that announces itself, or answers on this machine.

    Args:
        host: a name that can be looked up here, else an address.
        port: TCP port.
        tls: whether the broker is announced as behind TLS.
        note: how the broker was found, for people.
    """

    host: str
    port: int
    tls: bool
    note: str


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that is there, opened or not.

    Args:
        answer: what `--camera` would say.
        note: what the camera calls itself, for people.
    """

    answer: str
    note: str

    @property
    def device(self) -> str | None:
        """The device, by the name under which it counts as in use."""
        kind, _, source = self.answer.partition(":")
        return device_of(CameraConfig.model_validate({"kind": kind, "source": source}))


def first_ai_camera(cameras: Iterable[CameraConfig]) -> str:
    """The device of the first AI Camera; looked for only where another Pi camera may be the same one."""
    devices = {device_of(camera) for camera in cameras}
    if FIRST_AI_CAMERA in devices and any(device and device.startswith("Pi camera") for device in devices):
        return _first_ai_camera(find_cameras())
    return FIRST_AI_CAMERA


def _first_ai_camera(found: Iterable[FoundCamera]) -> str:
    """The device that is the first AI Camera, by its number if it is there."""
    devices = (camera.device for camera in found if camera.answer.startswith("imx500"))
    return next(devices, None) or FIRST_AI_CAMERA


def free_cameras(found: Sequence[FoundCamera], others: Iterable[CameraConfig]) -> list[FoundCamera]:
    """Those that no other camera of a configuration has."""
    taken = {device_of(camera) for camera in others}
    if FIRST_AI_CAMERA in taken:
        taken.add(_first_ai_camera(found))
    return [camera for camera in found if camera.device not in taken]


def find_brokers(search_s: float = SEARCH_S, local_port: int = 1883) -> list[FoundBroker]:
    """The one on this machine first, then those that announce themselves by mDNS."""
    here = [FoundBroker("localhost", local_port, False, "on this machine")] if _listens(local_port) else []
    return here + _announced(search_s)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _announced(search_s: float) -> list[FoundBroker]:
    """The brokers that announce themselves by mDNS; none where there is no network for it."""
    try:
        zeroconf = Zeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)
    except (OSError, RuntimeError):
        return []
    try:
        return _browse(zeroconf, search_s)
    except (OSError, ZeroconfError):
        return []
    finally:
        zeroconf.close()


def _browse(zeroconf: Zeroconf, search_s: float) -> list[FoundBroker]:
    names: dict[str, str] = {}

    # The names of its arguments are zeroconf's, which passes them by name.
    def note(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:  # noqa: ARG001
        if state_change is ServiceStateChange.Removed:
            names.pop(name, None)
        else:
            names[name] = service_type

    browser = ServiceBrowser(zeroconf, list(_SERVICES), handlers=[note])
    time.sleep(search_s)
    browser.cancel()
    found = []
    for name, service in sorted(names.items()):
        info = zeroconf.get_service_info(service, name, timeout=round(LOOKUP_S * 1000))
        broker = None if info is None else _broker(info, service)
        if broker is not None:
            found.append(broker)
    return found


def _broker(info: ServiceInfo, service: str) -> FoundBroker | None:
    addresses = info.parsed_addresses(IPVersion.V4Only)
    if not addresses or not info.port:
        return None
    # What is announced comes from anybody in the network, and goes to a terminal.
    label = "".join(letter for letter in info.name.removesuffix("." + service) if letter.isprintable())
    server = (info.server or "").rstrip(".")
    host = server if _resolves(server, addresses) else addresses[0]
    return FoundBroker(host, info.port, _SERVICES[service], f"mDNS: {label}")


def _resolves(name: str, addresses: list[str]) -> bool:
    """Whether the system finds the host by its name; a `.local` one needs nss-mdns or systemd-resolved."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
        return False
    found: set[object] = set()

    def look_up() -> None:
        try:
            found.update(info[4][0] for info in socket.getaddrinfo(name, None, socket.AF_INET))
        except (OSError, UnicodeError):
            return

    # getaddrinfo has no timeout of its own.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(LOOKUP_S)
    return bool(found.intersection(addresses))


def find_cameras(sysfs: Path = Path("/sys/class/video4linux")) -> list[FoundCamera]:
    """AI Cameras first, which need nothing else, then other Pi cameras, then V4L2 devices.

    Args:
        sysfs: where the kernel lists V4L2 devices.
    """
    return _pi_cameras() + _v4l2_cameras(sysfs)


def _pi_cameras() -> list[FoundCamera]:
    try:
        from picamera2 import Picamera2

        cameras = Picamera2.global_camera_info()
    except (ImportError, ValueError, RuntimeError, OSError):
        # Not a Raspberry Pi, or its libraries do not fit together, of which opening the camera tells more.
        return []
    found = [
        _pi_camera(number, camera.get("Model", ""))
        # picamera2 counts by the place in this list; `Num` is libcamera's own count.
        for number, camera in enumerate(cameras)
        # libcamera lists USB cameras, too, which are V4L2 devices here.
        if "usb" not in camera["Id"]
    ]
    return sorted(found, key=lambda camera: not camera.answer.startswith("imx500"))


def _pi_camera(number: int, model: str) -> FoundCamera:
    if model == "imx500":
        return FoundCamera(f"imx500:{number}", "Raspberry Pi AI Camera, which runs PoseNet itself")
    return FoundCamera(f"picamera2:{number}", f"Pi camera {model}".rstrip())


def _v4l2_cameras(sysfs: Path) -> list[FoundCamera]:
    folders = sorted(sysfs.glob("video*"), key=lambda folder: int(folder.name.removeprefix("video")))
    return [
        FoundCamera(f"video:/dev/{folder.name}", name)
        for folder in folders
        # A camera's further nodes carry metadata.
        if _read(folder / "index") in ("0", "") and not _NO_CAMERA.match(name := _read(folder / "name"))
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
