"""The questions of `posed setup`: each answered by a flag, by typing, or by what there is."""

from __future__ import annotations

import glob
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit

import typer

from posed.commands.report import pull_with_progress
from posed.commands.setup.check import Reached, try_broker, try_camera
from posed.commands.setup.find import find_brokers, find_cameras
from posed.commands.setup.write import Secret, write
from posed.config import CameraConfig, MqttConfig, TlsConfig, default_device, load, mqtt_password
from posed.errors import BrokerError, CameraError, ConfigError, ModelError, PosedError
from posed.model.catalogue import find
from posed.model.pair import load_pair
from posed.mqtt.attempt import tls_context
from posed.mqtt.broker_session import NotReached, Remedy

_SERVICE_FILE: Final = Path("/etc/posed/posed.yaml")
_PASSWORD_VARIABLE: Final = "POSED_MQTT__PASSWORD"  # noqa: S105 - a name
_KINDS: Final = get_args(CameraConfig.model_fields["kind"].annotation)
_PICTURES: Final = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line answers; None or False where it does not.

    Args:
        device: the device's name.
        broker: HOST, HOST:PORT, mqtt://… or mqtts://….
        username: the user at the broker.
        password_file: a file whose first line is the password.
        tls: whether the broker is behind TLS.
        ca: PEM file of the authority to trust.
        camera: KIND, KIND:SOURCE, a file or a URL.
        model: a known name or a file.
        yes: ask nothing.
        force: replace a file, and keep answers that fail their test.
    """

    device: str | None = None
    broker: str | None = None
    username: str | None = None
    password_file: Path | None = None
    tls: bool | None = None
    ca: Path | None = None
    camera: str | None = None
    model: str | None = None
    yes: bool = False
    force: bool = False


def setup(path: Path | None, given: Given) -> None:
    """Ask, test each answer, and write the configuration.

    Args:
        path: of the configuration; None for the service's where there is one to be written, else
            `posed.yaml` in the current folder.
        given: what needs no asking.

    Raises:
        ConfigError: an answer is missing or against a rule, or the file is not to be replaced.
        BrokerError, CameraError: the test of an answer failed, and nobody can be asked for another.
        ModelError: there is no such model.
    """
    path = _resolve(path or _default_path())
    dialog = _Dialog(given, interactive=sys.stdin.isatty() and not given.yes)
    dialog.agree_to_replace(path)
    dialog.answer_all()
    write(path, dialog.settings)
    _say(f"{path}: written")
    dialog.tell_what_is_missing()
    run = f"posed run --config {shlex.quote(str(path))}"
    _say(f"next: {'systemctl restart posed' if path == _SERVICE_FILE else run}")


def _default_path() -> Path:
    writable = _SERVICE_FILE.exists() and os.access(_SERVICE_FILE, os.W_OK)
    return _SERVICE_FILE if writable else Path("posed.yaml")


def _resolve(path: Path) -> Path:
    return path.expanduser().resolve()


class _Dialog:
    """The answers as they come in.

    Args:
        given: on the command line.
        interactive: whether somebody can be asked.

    Attributes:
        settings: the configuration's settings, by dotted name.
    """

    def __init__(self, given: Given, *, interactive: bool) -> None:
        self.settings: dict[str, Any] = {}
        self._given = given
        self._interactive = interactive
        self._reached: Reached | None = None
        self._missing: list[str] = []

    def agree_to_replace(self, path: Path) -> None:
        """Ask before anything else whether a file that is there may go."""
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise ConfigError([f"{path}: must be a file in a folder that is there and writable"])
        if not path.exists() or self._given.force:
            return
        if not self._interactive:
            raise ConfigError([f"{path}: exists already; --force replaces it and keeps it as .bak"])
        typer.confirm(f"{path} exists already; replace it, and keep it as .bak?", abort=True)

    def answer_all(self) -> None:
        """Ask every question, in the order in which answers build on each other."""
        self._check_flags()
        self._until_taken(self._given.broker, self._ask_broker, self._take_broker)
        self._until_taken(self._given.device, self._ask_device, self._take_device)
        self._until_taken(self._given.camera, self._ask_camera, self._take_camera)
        self._get_model_if_missing()

    def tell_what_is_missing(self) -> None:
        """Say what the daemon needs and setup could not provide."""
        kept = {"mqtt.password", "mqtt.password_file"} & self.settings.keys()
        if "mqtt.username" in self.settings and not kept and _PASSWORD_VARIABLE in os.environ:
            _say(f"the password is not kept: the daemon needs {_PASSWORD_VARIABLE} in its environment, too")
        for line in self._missing:
            _say(line)

    def _check_flags(self) -> None:
        """Refuse flags that no other answer at the prompt could make good."""
        given = self._given
        if given.tls is False and given.ca is not None:
            raise ConfigError([f"--ca: must not stand beside --no-tls, got {given.ca}"])
        if given.ca is not None:
            tls_context(TlsConfig(ca=given.ca))
        self._take_login_flags()
        mqtt_password(self._mqtt_config())
        model = given.model or load(None, {}).model.name
        if find(model) is None:
            load_pair(model)
            model = str(_resolve(Path(model)))
        self._set("model.name", model)

    def _until_taken(self, answer: str | None, ask: Callable[[], str], take: Callable[[str], bool]) -> None:
        while True:
            try:
                if take(ask() if answer is None else answer):
                    return
            except ConfigError as error:
                if not self._interactive:
                    raise
                _say(str(error))
            answer = None

    def _keep(self, error: PosedError) -> bool:
        """Whether an answer that failed its test is taken all the same."""
        if not self._interactive and not self._given.force:
            raise error
        _say(str(error))
        if self._interactive:
            return typer.confirm("Keep it anyway?", default=False)
        _say("kept anyway (--force)")
        return True

    # The broker

    def _ask_broker(self) -> str:
        if self._interactive:
            _say("Looking for brokers …")
        found = [
            (f"{'mqtts' if broker.tls else 'mqtt'}://{broker.host}:{broker.port}", broker.note)
            for broker in find_brokers()
        ]
        if found or self._interactive:
            return self._choose("Broker", "HOST[:PORT], or mqtts://HOST[:PORT] for TLS", found, bool(found))
        raise ConfigError(
            ["broker: none found by mDNS or on this machine; give one with --broker HOST[:PORT]"]
        )

    def _take_broker(self, text: str) -> bool:
        host, port, tls = _parse_broker(text)
        if self._given.tls is not None:
            tls = self._given.tls
        tls = tls or self._given.ca is not None
        self._set("mqtt.tls", self._tls_settings(self._given.ca) if tls else None)
        self._set("mqtt.host", host)
        self._set("mqtt.port", port or (8883 if tls else 1883))
        self._take_login_flags()
        if self._given.username and self._interactive and self._password() is None:
            self._ask_password()
        return self._connect()

    def _take_login_flags(self) -> None:
        file = self._given.password_file
        self._set("mqtt.username", self._given.username)
        self._set("mqtt.password_file", None if file is None else str(_resolve(file)))
        self._set("mqtt.password", None)

    def _connect(self) -> bool:
        """Try until it connects, or another broker is wanted."""
        while True:
            config = self._mqtt_config()
            try:
                self._reached = try_broker(config, self._password())
            except NotReached as error:
                if self._interactive and error.remedy is not None:
                    _say(str(error))
                    if self._helped(error.remedy):
                        continue
                    return False
                return self._keep(_with_hint(error))
            _say(f"mqtt {config.host}:{config.port}: connected with MQTT {self._reached.version}")
            return True

    def _helped(self, remedy: Remedy) -> bool:
        """Ask for what the broker seems to want; False for another broker."""
        match remedy:
            case "login":
                question = "User name at the broker (empty: another broker)"
                user = typer.prompt(question, default=self.settings.get("mqtt.username", ""))
                if not user:
                    return False
                self._set("mqtt.username", user)
                self._ask_password()
            case "authority":
                file = typer.prompt("PEM file of the authority to trust (empty: another broker)", default="")
                if not file:
                    return False
                self._take_authority(Path(file))
            case "tls":
                if not typer.confirm("Try with TLS?", default=True):
                    return False
                self._set("mqtt.tls", {})
        return True

    def _take_authority(self, file: Path) -> None:
        settings = self._tls_settings(file)
        try:
            tls_context(TlsConfig(ca=_resolve(file)))
        except ConfigError as error:
            _say(str(error))
        else:
            self._set("mqtt.tls", settings)

    def _ask_password(self) -> None:
        self._set("mqtt.password_file", None)
        password = typer.prompt("Password", hide_input=True, default="", show_default=False)
        self._set("mqtt.password", Secret("mqtt", password) if password else None)

    def _password(self) -> str | None:
        typed = self.settings.get("mqtt.password")
        if isinstance(typed, Secret):
            return typed.value
        password = mqtt_password(self._mqtt_config())
        if password is None and "mqtt.username" in self.settings:
            password = os.environ.get(_PASSWORD_VARIABLE)
        return password

    def _mqtt_config(self) -> MqttConfig:
        return load(None, {}, options=self._plain("mqtt.")).mqtt

    def _tls_settings(self, ca: Path | None) -> dict[str, str]:
        return {} if ca is None else {"ca": str(_resolve(ca))}

    # The device's name

    def _ask_device(self) -> str:
        if not self._interactive:
            return default_device()
        name: str = typer.prompt("Name of this device", default=default_device())
        return name

    def _take_device(self, name: str) -> bool:
        load(None, {}, options={"device": ("", name)})
        self._set("device", name)
        if self._reached is None or name not in self._reached.online:
            return True
        _say(f"device {name}: is online at this broker already; names must differ (unless it is this one)")
        return not self._interactive or typer.confirm("Use it anyway?", default=False)

    # The camera

    def _ask_camera(self) -> str:
        found = [(camera.answer, camera.note) for camera in find_cameras()]
        if not self._interactive and not found:
            rule = "give one with --camera KIND[:SOURCE] (--camera synthetic draws people)"
            raise ConfigError([f"camera: none found; {rule}"])
        drawn = ("synthetic", "drawn people, to try without a camera")
        return self._choose("Camera", "a file, folder or URL", [*found, drawn], bool(found))

    def _take_camera(self, text: str) -> bool:
        kind, source = _parse_camera(text)
        self._set("camera.kind", kind)
        self._set("camera.source", Secret("camera", source) if _is_private(source) else source)
        config = load(None, {}, options=self._plain("camera.")).camera
        try:
            _say(try_camera(config))
        except CameraError as error:
            return self._keep(error)
        return True

    # The model

    def _get_model_if_missing(self) -> None:
        name = self.settings["model.name"]
        try:
            load_pair(name)
        except ModelError as error:
            _say(str(error))
            if not self._pulled(name):
                self._missing.append(f"first: posed model pull {name}")

    def _pulled(self, name: str) -> bool:
        if not self._interactive or not typer.confirm("Download it now?", default=True):
            return False
        try:
            pull_with_progress(name)
        except ModelError as error:
            _say(str(error))
            return False
        return True

    # What all questions share

    def _choose(self, what: str, else_: str, found: Sequence[tuple[str, str]], with_default: bool) -> str:
        """One of the found answers by its number, or a typed one; the first where nobody can be asked."""
        if not self._interactive:
            answer, note = found[0]
            _say(f"{what.lower()}: {answer} ({note})")
            return answer
        for number, (answer, note) in enumerate(found, start=1):
            _say(f"  {number}  {answer}  ({note})")
        question = f"{what}: {'number, ' if found else ''}{else_}"
        text: str = typer.prompt(question, default="1" if with_default else None)
        chosen = int(text) if text.isdecimal() else 0
        if found and chosen > len(found):
            raise ConfigError([f"{what.lower()}: must be a number from 1 to {len(found)}, got {text}"])
        return found[chosen - 1][0] if 1 <= chosen <= len(found) else text

    def _set(self, name: str, value: Any) -> None:
        """A setting's value; None for its default."""
        if value is None:
            self.settings.pop(name, None)
        else:
            self.settings[name] = value

    def _plain(self, section: str) -> dict[str, tuple[str, Any]]:
        """The settings of a section as `load` takes them, secrets in the clear."""
        return {
            name: ("", value.value if isinstance(value, Secret) else value)
            for name, value in self.settings.items()
            if name.startswith(section)
        }


def _parse_broker(text: str) -> tuple[str, int | None, bool]:
    """Host, port if given, and whether TLS was asked for."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "mqtt", scheme
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    whole = host and rest.rstrip("/").lower() in (host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}")
    if scheme not in ("mqtt", "mqtts") or not host or not whole or port == 0:
        rule = "must be HOST, HOST:PORT, or either behind mqtts:// for TLS"
        # Somebody may have put a password before the @.
        raise ConfigError([f"broker: {rule}, got {'something with @' if '@' in text else repr(text)}"])
    return host, port, scheme == "mqtts" or port == 8883


def _parse_camera(text: str) -> tuple[str, str]:
    """Kind and source; what begins with no kind is a file, folder or URL."""
    kind, _, source = text.strip().partition(":")
    if kind not in _KINDS:
        kind, source = _kind_of(text.strip()), text.strip()
    is_file = kind == "images" or (kind == "video" and not source.isdecimal() and "://" not in source)
    return kind, os.path.abspath(Path(source).expanduser()) if is_file and source else source  # noqa: PTH100 folds a/../b, which absolute() keeps


def _kind_of(source: str) -> str:
    path = Path(source).expanduser()
    pictures = path.suffix.lower() in _PICTURES or path.is_dir() or glob.has_magic(source)
    return "images" if pictures and "://" not in source else "video"


def _is_private(source: str) -> bool:
    """Whether a camera's URL may hold a password, which must not stand in a file that others may read."""
    return "://" in source and any(mark in source for mark in "@?=")


def _with_hint(error: NotReached) -> BrokerError:
    """Which flag may help, where nobody can be asked."""
    flags = {"login": "--username and --password-file", "authority": "--ca", "tls": "--tls"}
    return error if error.remedy is None else BrokerError(f"{error} (see {flags[error.remedy]})")


def _say(text: str) -> None:
    typer.echo(text)
