"""The file that an owner attaches to a report: Markdown, without pictures, and without what is private.

What may be in a line is chosen, not what must not: of doctor's checks only those are quoted that speak of the
machine. What is private is taken out of every line all the same, since errors quote what they are about.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from posed import __version__
from posed.commands.bench.machine import processor
from posed.commands.doctor.checks import Check, package_version
from posed.commands.doctor.driver import PACKAGE, Kernel
from posed.commands.doctor.examine import examine
from posed.config import Config
from posed.engine.compatibility import LIBRARY, library_version
from posed.engine.tflite import find_runtime
from posed.errors import ConfigError, EngineError, ModelError
from posed.model.catalogue import is_published
from posed.networks.pair import Pair

OF_THE_MACHINE: Final = frozenset(
    {"python", "runtime", "numpy", "driver", "edge tpu", "libedgetpu", "clock", "power"}
)
"""Only these of doctor's checks are quoted; of the others, whether they are well."""

LIBRARIES: Final = ("numpy", "opencv-python-headless", "av", "picamera2")

AI_CAMERA: Final = ("imx500-models", "imx500-firmware")
"""The packages of what an AI Camera takes in."""

_LEFT_OUT: Final = "[left out]"
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|[01]?\d?\d)"
_PRIVATE: Final = re.compile(
    r"\w+://\S+"  # a URL
    r"|\S+@\S+"
    r"|\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b"  # MAC
    r"|\[?(?<![\w:])(?=:*[0-9a-f])(?=[0-9a-f:]*::)[0-9a-f:]+(?:\.\d+)*(?:%\w+)?\]?"  # IPv6
    r"|\[?(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}\b(?:%\w+)?\]?"  # IPv6 without ::
    rf"|(?<!\d)(?<!\d\.)(?<!\bv){_OCTET}(?:\.{_OCTET}){{3}}(?!\w|\.\d)(?::\d+)?"  # IPv4
    r"|/(?:home|root|media|mnt|srv|Users)\b[^\s:;,)]*"
    # A device's file says nothing of anybody, but by its serial number.
    r"|(?<!\w)(?:~[\w-]*/|/(?!dev/(?:bus/usb/\d+/\d+|\w+)(?![\w/-]))[^\s:;,)/]+/)[^\s:;,)]*",
    re.IGNORECASE,
)
"""A version of four parts that could be an address is left out like one, unless it says `v` before."""
_PLAIN: Final = frozenset({"", "camera", "localhost", "posed", "mqtt"})
"""These say nothing of anybody, and stand in sentences of ours."""

_HEAD: Final = """\
# posed selftest

Made by `posed selftest --report`. Pictures, names, addresses, folders, passwords and serial numbers are
left out; look through it before you attach it all the same.
"""


@dataclass(frozen=True, slots=True)
class Private:
    """Words that are nobody else's business.

    Args:
        words: longest first.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, config: Config) -> Private:
        """What somebody has written into the configuration that could name them, and the machine's own."""
        mqtt = config.mqtt
        words: set[Any] = {config.device, mqtt.host, mqtt.username, mqtt.topic, config.web.token}
        words |= {mqtt.password, *config.web.names, str(config.web.host)}
        words |= {socket.gethostname(), _user(), os.environ.get("SUDO_USER")}
        words.add(os.path.expanduser("~"))  # noqa: PTH111 no error where nobody has a home
        if not is_published(config.model.name):
            words.add(config.model.name)
        for name, camera in config.cameras.items():
            words |= {name, camera.source, camera.username, camera.password, *camera.zones}
            if "://" in camera.source:
                url = urlsplit(camera.source)
                parts = {part for part in (url.hostname, url.username, url.password) if part}
                words |= parts | {unquote(part) for part in parts}
        texts = {_shown(word) for word in words if word is not None}
        telling = {text for text in texts if len(text) > 1 and text.lower() not in _PLAIN}
        return cls(tuple(sorted(telling, key=len, reverse=True)))

    def without(self, text: str) -> str:
        """The text without what looks like an address or somebody's folder, and without these words."""
        return self.without_words(_PRIVATE.sub(_LEFT_OUT, text))

    def without_words(self, text: str) -> str:
        """The text without these words; versions, which look like addresses, stay."""
        for word in self.words:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", _LEFT_OUT, text, flags=re.IGNORECASE)
        return text


def _user() -> str:
    """Who we are; empty where this user has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _shown(word: Any) -> str:
    return str(word.get_secret_value() if isinstance(word, SecretStr) else word)


def write_report(
    path: Path, config: Config, pair: Pair | ModelError, config_file: Path | None, tested: Sequence[Check]
) -> None:
    """Write the file.

    Args:
        path: of a file that is not there yet.
        config: its words are left out.
        pair: the model, or what is wrong with it.
        config_file: what `posed doctor` looks at; None for the service's, or the defaults.
        tested: what the self-test found.

    Raises:
        ConfigError: the file is there already, or cannot be written.
    """
    private = Private.of(config)
    lines = [
        *(_HEAD, "| what | which |", "|---|---|"),
        *_rows((name, private.without_words(what)) for name, what in _facts(config, pair)),
        *("", "## Tested", "", "| test | result | found |", "|---|---|---|"),
        *_rows((check.name, check.status, private.without(check.found)) for check in tested),
        *("", "## posed doctor", "", "| check | result | found |", "|---|---|---|"),
        *_rows(_quoted(examine(config_file), config, private)),
    ]
    text = "\n".join([*lines, ""])
    check_new(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError([f"--report {path}: cannot be written ({error.strerror})"]) from None


def check_new(path: Path) -> None:
    """Look whether a report may be written to a file, before an owner waits for it.

    Raises:
        ConfigError: it is there already, or its folder is not, or takes no file.
    """
    if os.path.lexists(path):  # a link that leads nowhere, too
        raise ConfigError([f"--report {path}: must be a new file, got one that is there"])
    if not os.path.isdir(path.parent):  # noqa: PTH112 no error
        raise ConfigError([f"--report {path}: must be in a folder that is there, got {path.parent}"])
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError([f"--report {path}: must be in a folder that can be written, got {path.parent}"])


def _facts(config: Config, pair: Pair | ModelError) -> Iterator[tuple[str, str]]:
    kernel = Kernel()
    yield "posed", __version__
    yield "machine", processor()
    yield "system", _system()
    yield "kernel", f"{kernel.release}, memory pages of {kernel.page_bytes // 1024} kB"
    yield "Python", platform.python_version()
    yield "runtime", _runtime()
    for name in LIBRARIES:
        yield name, _installed(name)
    package = package_version("libedgetpu1-std", "libedgetpu1-max")
    yield "libedgetpu", package or library_version(LIBRARY) or "not there"
    yield PACKAGE, kernel.package or "no package"
    if any(camera.has_network for camera in config.cameras.values()):
        for name in AI_CAMERA:
            yield name, package_version(name) or "no package"
    yield "model", "cannot be used: see below" if isinstance(pair, ModelError) else _model(pair)
    yield "engine", f"kind {config.engine.kind}, device {config.engine.device or 'any'}"
    yield "cameras", ", ".join(camera.kind for camera in config.cameras.values())


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _model(pair: Pair) -> str:
    files = [name for name, file in (("CPU", pair.cpu), ("Edge TPU", pair.edgetpu)) if file is not None]
    name, (width, height) = pair.name if pair.entry else "a file of one's own", pair.model.size
    return f"{name}, {height}×{width} px, stride {pair.network.stride}, for {' and '.join(files)}"


def _runtime() -> str:
    try:
        return find_runtime().name
    except EngineError as error:
        return str(error)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _quoted(checks: Iterable[Check], config: Config, private: Private) -> Iterator[tuple[str, str, str]]:
    """Doctor's checks, a camera's by its number."""
    numbers = {name: str(number) for number, name in enumerate(config.cameras, 1)}
    for check in checks:
        what, _, camera = check.name.rpartition(" ")
        name = (
            f"{what} {numbers[camera]}" if what in ("camera", "pitch") and camera in numbers else check.name
        )
        yield name, check.status, private.without(check.found) if check.name in OF_THE_MACHINE else ""


def _rows(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in rows:
        safe = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
        yield f"| {' | '.join(safe)} |"
