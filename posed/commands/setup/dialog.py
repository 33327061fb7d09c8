"""The questions of `posed setup`: each answered by a flag, by typing, or by what there is."""

from __future__ import annotations

import glob
import os
import shlex
import sys
from pathlib import Path
from typing import Final, get_args

import typer

from posed.camera.images import SUFFIXES
from posed.commands.report import pull_with_progress
from posed.commands.setup.answers import PASSWORD_VARIABLE, Answers, Given, resolved
from posed.commands.setup.broker import BrokerQuestion
from posed.commands.setup.check import try_camera
from posed.commands.setup.find import find_cameras
from posed.commands.setup.prompt import Prompt, say
from posed.commands.setup.write import Secret, write
from posed.config import CameraConfig, WebConfig, default_device, load
from posed.errors import CameraError, ConfigError, LoginRefused, ModelError
from posed.model.catalogue import CATALOGUE, find
from posed.networks.pair import load_pair
from posed.paths import SERVICE_CONFIG, expanded

_STRIDE_OF_DEMO: Final = 16
_KINDS: Final = get_args(CameraConfig.model_fields["kind"].annotation)


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
    path = resolved(path or _default_path())
    dialog = _Dialog(given, interactive=sys.stdin.isatty() and not given.yes)
    dialog.agree_to_replace(path)
    dialog.answer_all()
    write(path, dialog.answers.settings)
    say(f"{path}: written")
    dialog.say_what_is_missing()
    run = f"posed run --config {shlex.quote(str(path))}"
    say(f"next: {'systemctl restart posed' if path == SERVICE_CONFIG else run}")


def _default_path() -> Path:
    writable = SERVICE_CONFIG.exists() and os.access(SERVICE_CONFIG, os.W_OK)
    return SERVICE_CONFIG if writable else Path("posed.yaml")


class _Dialog:
    """Asks every question.

    Args:
        given: on the command line.
        interactive: whether somebody can be asked.

    Attributes:
        answers: the settings that the answers make.
    """

    def __init__(self, given: Given, *, interactive: bool) -> None:
        self.answers = Answers()
        self._given = given
        self._prompt = Prompt(interactive=interactive, force=given.force)
        self._broker = BrokerQuestion(given, self.answers, self._prompt)
        self._missing: list[str] = []

    def agree_to_replace(self, path: Path) -> None:
        """Ask before anything else whether a file that is there may go."""
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise ConfigError([f"{path}: must be a file in a folder that is there and writable"])
        if not path.exists() or self._given.force:
            return
        if not self._prompt.interactive:
            raise ConfigError([f"{path}: exists already; --force replaces it and keeps it as .bak"])
        typer.confirm(f"{path} exists already; replace it, and keep it as .bak?", abort=True)

    def answer_all(self) -> None:
        """Ask every question, in the order in which answers build on each other."""
        self._broker.check_flags()
        self._take_model()
        self._prompt.until_taken(self._given.broker, self._broker.ask, self._broker.take)
        self._prompt.until_taken(self._given.device, self._ask_device, self._take_device)
        self._prompt.until_taken(self._given.camera, self._ask_camera, self._take_camera)
        self._take_model_of_drawings()
        self._take_web()
        self._get_model_if_missing()

    def say_what_is_missing(self) -> None:
        """Say what the daemon needs and setup could not provide."""
        if self.answers.needs_password_variable():
            say(f"the password is not kept: the daemon needs {PASSWORD_VARIABLE} in its environment, too")
        for line in self._missing:
            say(line)
        if "web.enabled" in self.answers.settings:
            say(f"live view: http://127.0.0.1:{WebConfig().port}/ on this machine, once posed runs")

    def _take_model(self) -> None:
        self._use_model(self._given.model or load(None, {}).model.name)

    def _use_model(self, model: str) -> None:
        if find(model) is None:
            load_pair(model)
            model = str(resolved(Path(model)))
        self.answers.set("model.name", model)

    def _take_answered_model(self, text: str) -> bool:
        try:
            self._use_model(text)
        except ModelError as error:
            if not self._prompt.interactive:
                raise
            say(str(error))
            return False
        return True

    def _take_model_of_drawings(self) -> None:
        """Before drawn people, offer the models that come with posed and know them."""
        if self.answers.settings["camera.kind"] == "synthetic":
            self._prompt.until_taken(
                self._given.model, self._ask_model_of_drawings, self._take_answered_model
            )

    def _ask_model_of_drawings(self) -> str:
        bundled = sorted(
            (entry for entry in CATALOGUE if not entry.is_published),
            key=lambda entry: entry.stride != _STRIDE_OF_DEMO,
        )
        offered = [
            (entry.name, f"comes with posed, for drawn people, stride {entry.stride}") for entry in bundled
        ]
        return self._prompt.choose(
            "Model", "a name of `posed model list`, or a file", offered, with_default=True
        )

    def _take_web(self) -> None:
        """Offer the live view, which is all there is to see without a broker."""
        wanted = self._given.web
        if wanted is None and self._prompt.interactive:
            question = "Serve the live view to browsers on this machine?"
            wanted = typer.confirm(question, default=self._broker.reached is None)
        self.answers.set("web.enabled", wanted or None)

    def _ask_device(self) -> str:
        if not self._prompt.interactive:
            return default_device()
        name: str = typer.prompt("Name of this device", default=default_device())
        return name

    def _take_device(self, name: str) -> bool:
        load(None, {}, options={"device": ("", name)})
        self.answers.set("device", name)
        reached = self._broker.reached
        if reached is None or name not in reached.online:
            return True
        say(f"device {name}: is online at this broker already; names must differ (unless it is this one)")
        return not self._prompt.interactive or typer.confirm("Use it anyway?", default=False)

    def _ask_camera(self) -> str:
        found = [(camera.answer, camera.note) for camera in find_cameras()]
        if not self._prompt.interactive and not found:
            rule = "give one with --camera KIND[:SOURCE] (--camera synthetic draws people)"
            raise ConfigError([f"camera: none found; {rule}"])
        offered = [*found, ("synthetic", "drawn people, to try without a camera")]
        return self._prompt.choose("Camera", "a file, folder or URL", offered, with_default=bool(found))

    def _take_camera(self, text: str) -> bool:
        kind, source = _parse_camera(text)
        self.answers.set("camera.kind", kind)
        self._take_source(source)
        self._take_login(None, None)
        return self._try_camera()

    def _take_source(self, source: str) -> None:
        self.answers.set("camera.source", Secret("camera", source) if _is_private(source) else source)

    def _take_login(self, username: str | None, password: str | None) -> None:
        self.answers.set("camera.username", username)
        self.answers.set("camera.password", Secret("camera_password", password) if password else None)

    def _try_camera(self) -> bool:
        """Try until it gives a frame, or another camera is wanted."""
        while True:
            config = load(None, {}, options=self.answers.section("camera.")).camera
            try:
                say(try_camera(config))
            except LoginRefused as error:
                if not self._prompt.interactive:
                    return self._prompt.keep(error)
                say(str(error))
                if not self._ask_login(config.source):
                    return False
            except CameraError as error:
                return self._prompt.keep(error)
            else:
                return True

    def _ask_login(self, url: str) -> bool:
        """Ask for user and password at the camera; False for another camera."""
        username = typer.prompt("User name at the camera (empty: another camera)", default="")
        if not username:
            return False
        password = typer.prompt("Password", hide_input=True, default="", show_default=False)
        self._take_source(_without_login(url))
        self._take_login(username, password)
        return True

    def _get_model_if_missing(self) -> None:
        name = self.answers.settings["model.name"]
        try:
            load_pair(name)
        except ModelError as error:
            say(str(error))
            if not self._pulled(name):
                self._missing.append(f"first: posed model pull {name}")

    def _pulled(self, name: str) -> bool:
        if not self._prompt.interactive or not typer.confirm("Download it now?", default=True):
            return False
        try:
            pull_with_progress(name)
        except ModelError as error:
            say(str(error))
            return False
        return True


def _parse_camera(text: str) -> tuple[str, str]:
    """Kind and source; what begins with no kind is a file, folder or URL."""
    kind, _, source = text.strip().partition(":")
    if kind not in _KINDS:
        kind, source = _kind_of(text.strip()), text.strip()
    is_file = kind == "images" or (kind == "video" and not source.isdecimal() and "://" not in source)
    return kind, os.path.abspath(expanded(source)) if is_file and source else source  # noqa: PTH100 folds a/../b, which absolute() keeps


def _kind_of(source: str) -> str:
    path = expanded(source)
    pictures = path.suffix.lower() in SUFFIXES or path.is_dir() or glob.has_magic(source)
    return "images" if pictures and "://" not in source else "video"


def _without_login(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority.rpartition('@')[2]}{rest.removeprefix(authority)}"


def _is_private(source: str) -> bool:
    """Whether a camera's URL may hold a password, which must not stand in a file that others may read."""
    return "://" in source and any(mark in source for mark in "@?=")
