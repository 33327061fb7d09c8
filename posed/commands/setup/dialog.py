"""The questions of `posed setup`: each answered by a flag, by typing, or by what there is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer

from posed.commands.report import pull_with_progress
from posed.commands.setup.answers import PASSWORD_VARIABLE, Answers, Given, resolved
from posed.commands.setup.broker import BrokerQuestion
from posed.commands.setup.camera import CameraQuestion
from posed.commands.setup.closing import Closing
from posed.commands.setup.prompt import Prompt, say
from posed.commands.setup.view import ViewQuestion
from posed.commands.setup.write import write, write_cameras
from posed.config import CameraConfig, Config, default_device, load
from posed.config.yaml_file import read_yaml
from posed.errors import ConfigError, ModelError
from posed.model.catalogue import CATALOGUE, find
from posed.networks.pair import load_pair
from posed.paths import SERVICE_CONFIG
from posed.service.model_in_use import model_warning

_STRIDE_OF_DEMO: Final = 16


def setup(path: Path | None, given: Given) -> None:
    """Ask, test each answer, and write the configuration, or add cameras to one that is there.

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
    prompt = Prompt(interactive=sys.stdin.isatty() and not given.yes, force=given.force)
    kept = _kept(path, given, prompt)
    dialog = _Dialog(given, prompt, _named_cameras(kept))
    if kept is None:
        dialog.answer_all()
        write(path, dialog.answers.settings)
    else:
        dialog.answer_cameras(kept)
        write_cameras(path, dialog.answers.cameras())
    say(f"{path}: written")
    config = load(path)
    closing = Closing(path, config, prompt, is_new=kept is None)
    closing.say_what_was_found(dialog.broker_in_words(config))
    dialog.say_what_is_missing()
    closing.say_what_is_next(is_online=dialog.is_online(config))


def _default_path() -> Path:
    writable = SERVICE_CONFIG.exists() and os.access(SERVICE_CONFIG, os.W_OK)
    return SERVICE_CONFIG if writable else Path("posed.yaml")


def _kept(path: Path, given: Given, prompt: Prompt) -> Config | None:
    """The configuration to which cameras are to be added; None where all is asked, before anything else is.

    Raises:
        ConfigError: the file is not to be replaced, or not good, or cannot be written.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError([f"{path}: must be a file in a folder that is there and writable"])
    if not path.exists() or _is_empty(path):
        return None
    if given.is_of_cameras and (given.cameras or (prompt.interactive and not given.force)):
        config = _good(path, given, prompt)
        question = "Keep it, and add or change a camera?"
        if config is not None and (given.cameras or typer.confirm(question, default=True)):
            return config
    if given.force:
        return None
    if not prompt.interactive:
        rule = "--force replaces it and keeps it as .bak, --camera alone adds one to it"
        raise ConfigError([f"{path}: exists already; {rule}"])
    typer.confirm(f"{path} exists already; replace it, and keep it as .bak?", abort=True)
    return None


def _is_empty(path: Path) -> bool:
    """Whether a file holds no settings, so that nothing is lost with it."""
    try:
        return not read_yaml(path)
    except ConfigError:
        return False


def _good(path: Path, given: Given, prompt: Prompt) -> Config | None:
    """The configuration, of whose cameras somebody is told; None where it is not good, as they are told, too.

    Raises:
        ConfigError: it is not good, nobody is there to be told, and nothing is forced.
    """
    try:
        config = load(path, {})
    except ConfigError as error:
        if not prompt.interactive and not given.force:
            raise
        for problem in error.problems:
            say(problem)
        return None
    cameras = ", ".join(_named_cameras(config))
    if cameras:
        say(f"{path} exists already, with the camera{'s' if ',' in cameras else ''} {cameras}")
    else:
        say(f"{path} exists already, without a camera: until one has a name there, posed takes the Pi camera")
    return config


def _named_cameras(config: Config | None) -> Mapping[str, CameraConfig]:
    """The cameras that a configuration names: the default one gives way to them."""
    return config.cameras if config is not None and "cameras" in config.model_fields_set else {}


class _Dialog:
    """Asks every question.

    Args:
        given: on the command line.
        prompt: asks.
        cameras: those that are there already, by name.

    Attributes:
        answers: the settings that the answers make.
    """

    def __init__(self, given: Given, prompt: Prompt, cameras: Mapping[str, CameraConfig]) -> None:
        self.answers = Answers()
        self._given = given
        self._prompt = prompt
        self._broker = BrokerQuestion(given, self.answers, self._prompt)
        self._cameras = CameraQuestion(given, self.answers, prompt, cameras)
        self._view = ViewQuestion(given, self.answers, prompt)
        self._missing: list[str] = []

    def answer_all(self) -> None:
        """Ask every question, in the order in which answers build on each other."""
        self._broker.check_flags()
        self._cameras.check_flags()
        self._view.check_flags()
        self._take_model()
        self._prompt.until_taken(self._given.broker, self._broker.ask, self._broker.take)
        self._prompt.until_taken(self._given.device, self._ask_device, self._take_device)
        self._cameras.ask_all()
        self._take_model_of_drawings()
        self._view.ask()
        self._get_model_if_missing()

    def answer_cameras(self, config: Config) -> None:
        """Ask for cameras alone.

        Args:
            config: what is kept.
        """
        self._cameras.check_flags()
        self._cameras.ask_all()
        with contextlib.suppress(ModelError):  # the daemon, which runs with it, says so
            self._warn_of_model(config.model.name)

    def say_what_is_missing(self) -> None:
        """Say what the daemon needs and setup could not provide."""
        if self.answers.needs_password_variable():
            say(f"the password is not kept: the daemon needs {PASSWORD_VARIABLE} in its environment, too")
        for line in self._missing:
            say(line)

    def broker_in_words(self, config: Config) -> str:
        """Where the broker is, and how it answered.

        Args:
            config: names it.
        """
        where, reached = f"{config.mqtt.host}:{config.mqtt.port}", self._broker.reached
        if "mqtt.host" not in self.answers.settings:  # it is that of a configuration that is kept
            return where
        return f"{where}, {'no connection yet' if reached is None else f'MQTT {reached.version}'}"

    def is_online(self, config: Config) -> bool:
        """Whether a daemon of this name is online already.

        Args:
            config: has the name.
        """
        return self._broker.reached is not None and config.device in self._broker.reached.online

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
        if self._cameras.kinds == {"synthetic"}:
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

    def _get_model_if_missing(self) -> None:
        name = self.answers.settings["model.name"]
        try:
            self._warn_of_model(name)
        except ModelError as error:
            say(str(error))
            # An AI Camera has its own, and wants another for rotated crops alone.
            if not self._pulled(name) and self._cameras.kinds != {"imx500"}:
                self._missing.append(f"first: posed model pull {name}")

    def _warn_of_model(self, name: str) -> None:
        """Say it where the cameras show what the model does not know.

        Raises:
            ModelError: there is no such model here.
        """
        if warning := model_warning(load_pair(name), self._cameras.kinds):
            self._missing.append(f"model {name}: {warning}")

    def _pulled(self, name: str) -> bool:
        if not self._prompt.interactive or not typer.confirm("Download it now?", default=True):
            return False
        try:
            pull_with_progress(name)
        except ModelError as error:
            say(str(error))
            return False
        return True
