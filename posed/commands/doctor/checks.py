"""The checks of `posed doctor`: each looks at one thing, and knows what helps where it is not well."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from posed.camera import device_of
from posed.camera.imx500 import FIRMWARE, NETWORK
from posed.commands.bench.machine import throttling
from posed.commands.setup.check import CameraHangs, try_camera
from posed.commands.setup.find import find_cameras, free_cameras
from posed.config import Config, damaged_file
from posed.engine.tflite import find_runtime
from posed.errors import CameraError, EngineError, ModelError
from posed.model.catalogue import is_published
from posed.networks.pair import Pair, load_pair
from posed.paths import SERVICE_STATE, exists
from posed.people.pitch import Pitch
from posed.pipeline.device import STARTING
from posed.service.check import networks_on_their_side
from posed.service.heartbeat import heartbeat_files, silence
from posed.service.model_in_use import model_warning
from posed.service.notify import STATUS_INTERVAL_S

Status = Literal["ok", "warning", "failed", "unused"]

SYS: Final = Path("/sys")

LITTLE_DISK_MB: Final = 200
FULL_DISK_MB: Final = 20
"""With less free space the spool of events cannot grow, and other programs get into trouble, MB."""

IMPORT_S: Final = 60.0
"""Importing a Pi camera's library may take this long before it counts as hung, s."""

FIRST_FIGURES_S: Final = STATUS_INTERVAL_S + 1
"""A service that has just started may say for this long that it has no frames, s."""

ASK_AGAIN_S: Final = 0.5
"""Meanwhile systemd is asked again after this long, s."""

_RESTART: Final = "unplug the camera and plug it in again, or restart the machine"

_TIME_ERROR: Final = 5
"""adjtimex(2) returns this when the clock is not synchronised."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing.

    Args:
        name: what is checked.
        status: `unused` where there is nothing to check.
        found: what there is, one line.
        remedy: what helps; empty where nothing needs to.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """What systemd says of posed.service; all empty where there is none."""

    loaded: str = ""
    active: str = ""
    text: str = ""
    result: str = ""
    exit_status: str = ""
    restarts: str = ""
    substate: str = ""
    of_this: bool = field(default=True, kw_only=True)
    """This says whether the service runs with the configuration that is checked."""
    of_systemd: bool = field(default=True, kw_only=True)
    """This says whether systemd runs it; else only its signs of life are known."""

    @property
    def runs(self) -> bool:
        """Whether the service holds the devices."""
        works = self.active in ("active", "activating", "reloading") and not self.ends_again_and_again
        return works and not self.waits_for("the model")

    @property
    def ends_again_and_again(self) -> bool:
        """Whether systemd is about to start the service again after a failure."""
        return self.substate.startswith("auto-restart")

    def fps_of(self, camera: str, config: Config) -> float | None:
        """How many frames per second it says that it processes of a camera; None where it does not say.

        Args:
            camera: its name, which stands before the figures where there are several cameras.
            config: has the cameras.
        """
        name = f"{camera}: " if len(config.cameras) > 1 else ""
        said = re.search(rf"(?:^|, ){name}(\d+(?:\.\d+)?) fps\b", self.text.rpartition("; ")[2])
        return float(said[1]) if said else None

    @property
    def engine(self) -> str:
        """What kind of engine it says it has; empty where it does not say."""
        # Behind the people of one camera, the next camera's name may stand instead.
        said = re.search(r" fps, \d+ (?:person|people), (\w+)\b(?!:)", self.text)
        return said[1] if said else ""

    def waits_for(self, part: str) -> str:
        """Why it says that it waits for a part; empty where it does not."""
        return self.text.partition(f"waiting for {part}: ")[2].partition("; ")[0]

    def has_paused(self, camera: str) -> bool:
        """Whether it says that somebody has paused a camera."""
        return f"{camera} paused on request" in self.text.split("; ")

    def still_counts(self, config: Config) -> bool:
        """Whether a camera of which it counts no frames gives no reason for that."""
        return not self.waits_for("the engine") and any(
            self.fps_of(name, config) == 0
            and not self.waits_for(f"camera {name}")
            and not self.has_paused(name)
            for name in config.cameras
        )


def ask_systemd() -> Service:
    """The state of posed.service."""
    names = ("LoadState", "ActiveState", "StatusText", "Result", "ExecMainStatus", "NRestarts", "SubState")
    said = output_of("systemctl", "show", "posed.service", *(f"--property={name}" for name in names))
    values = dict(line.partition("=")[::2] for line in said.splitlines())
    return Service(*(values.get(name, "") for name in names))


def who_runs(service: Service, state: Path) -> Service:
    """The service; where systemd runs none, the daemon that lives with a state folder, as in a container.

    Args:
        service: what systemd said of it.
        state: the folder, by which the daemon's signs of life are found.
    """
    if service.runs or service.waits_for("the model") or silence(heartbeat_files(state)):
        return service
    return Service(active="active", of_this=False, of_systemd=False)


def wait_for_figures(service: Service, config: Config, ask: Callable[[], Service] = ask_systemd) -> Service:
    """The service once it has had time to count frames: what it says of itself is a few seconds old.

    Args:
        service: what systemd said of it.
        config: has the cameras.
        ask: asks again.
    """
    until = time.monotonic() + FIRST_FIGURES_S
    while service.runs and service.still_counts(config) and time.monotonic() < until:
        time.sleep(ASK_AGAIN_S)
        service = replace(ask(), of_this=service.of_this)
    return service


def output_of(*command: str) -> str:
    """What a command says; nothing where it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 ours
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def package_version(*names: str) -> str:
    """The version of the first of these Debian packages that is installed; empty where none is."""
    for name in names:
        said = output_of("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name)
        status, _, version = said.partition(" ")
        if status == "installed":
            return version
    return ""


def check_python() -> Check:
    """Whether the libraries have wheels for this version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Check("python", "ok" if good else "failed", version, "" if good else "Python 3.11 to 3.14")


def check_runtime() -> Check:
    """Whether there is a TFLite runtime, and whether it is fast."""
    try:
        runtime = find_runtime()
    except EngineError as error:
        return Check("runtime", "failed", str(error), "pip install ai-edge-litert")
    if runtime.slow:
        return Check(
            "runtime", "warning", f"{runtime.name}, slow on a CPU", "ai-edge-litert, on a 64-bit system"
        )
    return Check("runtime", "ok", runtime.name)


def check_numpy() -> Check:
    """Whether a Pi camera's library still fits numpy, which it no longer does once pip has replaced apt's."""
    import numpy

    found = f"numpy {numpy.__version__}"
    if importlib.util.find_spec("picamera2") is None:
        return Check("numpy", "ok", found)
    program = "import simplejpeg, picamera2"
    try:
        done = subprocess.run(  # noqa: S603 ours; a crash in there is an answer
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        why = f"importing picamera2 hangs: no result within {IMPORT_S:g} s"
        return Check("numpy", "failed", f"{found}; {why}", _RESTART)
    if done.returncode == 0:
        return Check("numpy", "ok", f"{found}, which picamera2 fits")
    why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    remedy = "apt install --reinstall python3-picamera2"
    if "numpy" in why:
        remedy = f"apt's numpy: {sys.executable} -m pip uninstall numpy simplejpeg"
    return Check("numpy", "failed", f"{found}; picamera2 cannot be imported: {why}", remedy)


def check_model(config: Config) -> tuple[Check, Pair | None]:
    """Whether the model is there and holds a network that posed knows."""
    try:
        pair = load_pair(config.model.name, input_size=config.model.input_size)
    except ModelError as error:
        status: Status = "failed"
        found, remedy = str(error), f"posed model pull {config.model.name}"
        if config.infers_in_cameras:
            status, found = "warning", f"the cameras have their own; rotated crops are left out: {error}"
        if not is_published(config.model.name):
            remedy = "model.name: a name of `posed model list`"
        elif config.model.pull and not config.infers_in_cameras:
            status, remedy = "warning", "it is downloaded when posed starts"
        return Check("model", status, found, remedy), None
    engines = " and ".join(
        name for name, file in (("CPU", pair.cpu), ("Edge TPU", pair.edgetpu)) if file is not None
    )
    found = f"{pair.name}, for {'CPUs alone, as its input has any size' if pair.model.resizable else engines}"
    if config.engine.kind == "edgetpu" and pair.model.resizable:
        remedy = "engine.kind: cpu, or another model"
        if config.infers_in_cameras:
            return Check("model", "warning", f"{found}; rotated crops are left out", remedy), pair
        return Check("model", "failed", found, remedy), pair
    if warning := model_warning(pair, [camera.kind for camera in config.cameras.values()]):
        return Check("model", "warning", f"{found}; {warning}", "model.name: coral-353x481"), pair
    return Check("model", "ok", found), pair


def in_other_hands(name: str, what: str, service: Service) -> Check:
    """A device that is left alone: it may be held by who does not say what became of this configuration.

    Args:
        name: of the check.
        what: the device.
        service: may hold it.
    """
    if not service.of_systemd:
        return Check(name, "unused", f"{what}: not tried, since it may be in use by posed, which runs here")
    found = f"{what}: not tried, since the service may be using it with another configuration"
    return Check(name, "unused", found, "sudo systemctl stop posed, and posed doctor again")


def check_cameras(config: Config, service: Service) -> Iterator[Check]:
    """Whether each camera delivers frames, to the service where that has it.

    Args:
        config: has the cameras.
        service: which may have them.
    """
    for name in config.cameras:
        yield _check_camera(name, config, service)


def _check_camera(name: str, config: Config, service: Service) -> Check:
    title, camera = f"camera {name}", config.cameras[name]
    if service.runs and service.of_this:
        return _camera_of(service, name, config)
    if service.runs and device_of(camera) is not None:
        return in_other_hands(title, camera.kind, service)
    try:
        return Check(title, "ok", try_camera(camera, name, _tell))
    except CameraHangs as error:
        return Check(title, "failed", str(error), _RESTART)
    except CameraError as error:
        return Check(title, "failed", str(error), _camera_remedy(name, config))


def _tell(news: str) -> None:
    """Say at once what takes a while."""
    sys.stderr.write(f"{news}\n")


def check_ai_camera(config: Config, files: Sequence[Path] = (NETWORK, *FIRMWARE)) -> Iterator[Check]:
    """Whether what an AI Camera takes in is there.

    Args:
        config: has the cameras.
        files: the network and the firmware.
    """
    if not any(camera.has_network for camera in config.cameras.values()):
        return
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        yield Check("ai camera", "failed", f"no {', no '.join(missing)}", "sudo apt install imx500-all")
    else:
        yield Check("ai camera", "ok", f"firmware, and {files[0].name}")
    for line in networks_on_their_side(config.cameras):
        found, _, remedy = line.partition("; ")
        yield Check("ai camera", "warning", found, remedy)


def _camera_of(service: Service, name: str, config: Config) -> Check:
    """What the service says of a camera."""
    title, fps = f"camera {name}", service.fps_of(name, config)
    if why := service.waits_for(title):
        if why == STARTING.why or why.startswith(f"{STARTING.why}: "):
            return Check(title, "warning", why, "wait, and posed doctor again")
        return Check(title, "failed", why, _camera_remedy(name, config))
    if fps is None and " fps, " in service.text:
        found = "the service does not know it: it has an earlier configuration"
        return Check(title, "warning", found, "sudo systemctl reload posed")
    found = f"{config.cameras[name].kind}: in use by the service"
    if fps:
        return Check(title, "ok", f"{found}, {fps:g} fps")
    if service.has_paused(name):
        return Check(title, "ok", f"{found}, paused on request")
    if service.waits_for("the engine"):
        return Check(title, "ok", f"{found}, which waits for its engine")
    return Check(title, "warning", f"{found}, without frames", "journalctl -u posed -e; again in a moment")


def _camera_remedy(name: str, config: Config) -> str:
    camera = config.cameras[name]
    others = [other for other_name, other in config.cameras.items() if other_name != name]
    free = ", ".join(f"{found.answer} ({found.note})" for found in free_cameras(find_cameras(), others))
    if free:
        return f"there are: {free}; sudo posed setup takes one"
    if camera.kind in {"picamera2", "imx500"}:
        return "a camera's cable and `rpicam-hello --list-cameras`; or another kind of camera"
    if "://" in camera.source:
        return "check the cable, the address, user and password, and that nothing else uses it"
    return "check the cable, and that nothing else uses it"


def check_overlay(overlay: Path, damage: str) -> Check:
    """Whether what requests changed can be used.

    Args:
        overlay: the file that keeps it.
        damage: what is wrong with it; empty where nothing is.

    Raises:
        OSError: it cannot be seen whether there is one.
    """
    aside = damaged_file(overlay)
    if damage:
        remedy = f"posed renames it to {aside.name} when it starts; set again what it held"
        return Check("kept settings", "warning", f"{overlay} is damaged: {damage}", remedy)
    if exists(aside):
        remedy = "set again what it held, then delete it"
        return Check("kept settings", "warning", f"{aside}: was damaged and is left out", remedy)
    if not exists(overlay):
        return Check("kept settings", "unused", "requests have changed nothing for good")
    return Check("kept settings", "ok", str(overlay))


def check_pitch(name: str, config: Config, file: Path) -> Check:
    """Whether a camera looks down too steeply for postures.

    Args:
        name: of the camera.
        config: may say how far it looks down.
        file: keeps what was learned.
    """
    title, pitch = f"pitch {name}", Pitch(config.cameras[name].people.pitch_deg)
    if pitch.deg is None:
        try:
            pitch.restore(json.loads(file.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return Check(title, "unused", "not learned yet: nobody was seen upright for long enough")
        except (OSError, ValueError) as error:
            remedy = f"posed learns it again; or set cameras.{name}.people.pitch_deg"
            return Check(title, "warning", f"{file}: cannot be read: {error}", remedy)
    if pitch.state == "too_steep":
        remedy = "mount it lower, or let it look more level; at 1.3 to 2.5 m, looking ahead"
        return Check(title, "warning", f"the camera {pitch.words}, and falls may be missed", remedy)
    return Check(title, "ok", f"the camera {pitch.words}")


def check_clock() -> Check:
    """Whether the time in the messages is right; by the kernel's word, whoever sets the clock."""
    # struct timex is 208 bytes at most; its `modes`, all zero, asks and changes nothing.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    if state == _TIME_ERROR:
        return Check("clock", "warning", "not synchronised", "timedatectl set-ntp true, and a network to ask")
    return Check(
        "clock", "ok" if state >= 0 else "unused", "synchronised" if state >= 0 else "cannot be asked"
    )


def check_disk(folder: Path) -> Check:
    """Whether events can be kept.

    Args:
        folder: the state folder; need not exist yet.
    """
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110 no error
    free_mb = shutil.disk_usage(there).free // 1_000_000
    found = f"{free_mb} MB free for {folder}"
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return Check(
            "disk", "failed", f"{there} is read-only", "mount -o remount,rw; a worn SD card turns read-only"
        )
    if folder != SERVICE_STATE and not (there.is_dir() and os.access(there, os.W_OK)):
        found = f"{folder} cannot be written: events and settings are kept in memory only"
        return Check("disk", "warning", found, "XDG_STATE_HOME: a folder that can be written")
    if free_mb < LITTLE_DISK_MB:
        status: Status = "failed" if free_mb < FULL_DISK_MB else "warning"
        return Check("disk", status, found, "make room: journalctl --vacuum-size=100M, apt clean")
    return Check("disk", "ok", found)


def check_power(sys_folder: Path = SYS) -> Check:
    """Whether a Raspberry Pi gets enough power and stays cool."""
    held_back = throttling(sys_folder)
    if held_back is None:
        return Check("power", "unused", "unknown: this is not a Raspberry Pi")
    if not held_back:
        return Check("power", "ok", "never throttled since the start")
    remedy = (
        "the supply that belongs to this Pi, and a short cable"
        if "volt" in " ".join(held_back)
        else "cooling"
    )
    return Check("power", "warning", ", ".join(held_back), remedy)


def check_service(service: Service) -> Check:
    """Whether systemd keeps posed running."""
    if service.loaded != "loaded":
        return Check("service", "unused", "posed.service is not installed")
    restarts = "" if service.restarts in ("", "0") else f", started again {service.restarts} times"
    if service.ends_again_and_again:
        found = f"ends again and again: {service.result}, status {service.exit_status}{restarts}"
        return Check("service", "failed", found, "journalctl -u posed -e says why")
    if service.active == "active" and re.search(r"waiting for the |not reloaded: ", service.text):
        return Check(
            "service", "warning", f"runs{restarts}: {service.text}", "what it says; journalctl -u posed -e"
        )
    if service.active == "active":
        return Check("service", "ok", f"runs{restarts}: {service.text}")
    if service.active in ("activating", "reloading"):
        return Check(
            "service", "warning", f"{service.active}{restarts}: {service.text}", "journalctl -u posed -e"
        )
    if service.active == "failed":
        found = f"failed: {service.result}, status {service.exit_status}{restarts}"
        return Check(
            "service", "failed", found, "journalctl -u posed -e says why; sudo systemctl restart posed"
        )
    return Check(
        "service", "warning", f"{service.active or 'not running'}", "sudo systemctl enable --now posed"
    )


def with_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """The credentials of the service, too, where root looks at it."""
    folder = Path("/run/credentials/posed.service")
    if "CREDENTIALS_DIRECTORY" in environment or not folder.is_dir():
        return dict(environment)
    return dict(environment) | {"CREDENTIALS_DIRECTORY": str(folder)}


def read(path: Path) -> str:
    """What a file of the kernel says; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
