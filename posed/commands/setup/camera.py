"""The question for the cameras: what each is called, where its pictures come from, and whether they come."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, count
from typing import Final, get_args

import typer

from posed.camera import device_of
from posed.camera.images import SUFFIXES
from posed.commands.setup.answers import Answers, Given
from posed.commands.setup.check import try_camera
from posed.commands.setup.edit import ORDER
from posed.commands.setup.find import find_cameras, first_ai_camera, free_cameras
from posed.commands.setup.prompt import Prompt, say
from posed.commands.setup.secret import Secret
from posed.config import CAMERA, CameraConfig, load
from posed.config.problems import problem_of
from posed.config.validation import validated
from posed.errors import CameraError, ConfigError, LoginRefused
from posed.paths import expanded
from posed.service.check import shared_devices

_KINDS: Final = get_args(CameraConfig.model_fields["kind"].annotation)

_NAMED: Final = re.compile(r"([^:/.=]*)=(.*)", re.DOTALL)
"""A name stands before the first `=`, unless `:`, `/` or `.` do so, too: then that is in a URL or a file."""


class CameraQuestion:
    """Asks for cameras, and tries each.

    Args:
        given: on the command line.
        answers: where the settings go.
        prompt: asks.
        there: the cameras of a configuration that is kept, by name.

    Attributes:
        cameras: those, and what became of the answers, by name.
    """

    def __init__(
        self, given: Given, answers: Answers, prompt: Prompt, there: Mapping[str, CameraConfig]
    ) -> None:
        self._given = [_parse_given(text) for text in given.cameras]
        self._answers = answers
        self._prompt = prompt
        self.cameras = dict(there)
        self._changing = set(there)
        self._name = CAMERA

    @property
    def kinds(self) -> set[str]:
        """The kinds of all cameras."""
        return {camera.kind for camera in self.cameras.values()}

    def check_flags(self) -> None:
        """Refuse names that cannot be, before anything is asked.

        Raises:
            ConfigError: a name is against a rule, or given twice.
        """
        names = [name for name, _ in self._given if name is not None]
        for name in names:
            _check_name(name)
            if (times := names.count(name)) > 1:
                raise ConfigError([f"--camera: must name each camera once, got {name} {times} times"])

    def ask_all(self) -> None:
        """Take every camera that is given; without one, ask for one after the other.

        Raises:
            ConfigError: an answer is missing or against a rule, and nobody can be asked.
            CameraError: a camera gives no frame, and nobody can be asked for another.
        """
        if self._given:
            named = {name for name, _ in self._given if name is not None}
            for name, answer in self._given:
                self._ask(name or self._free_name(named), answer)
            return
        self._ask(None, None)
        while self._prompt.interactive and typer.confirm("Is there another camera?", default=False):
            self._ask(None, None)

    def _ask(self, name: str | None, answer: str | None) -> None:
        self._prompt.until_taken(name, self._ask_name, self._take_name)
        self._prompt.until_taken(answer, self._ask_camera, self._take_camera)

    def _free_name(self, named: Collection[str] = ()) -> str:
        """The name of the default camera, or the first of those with a number that is free."""
        names: Iterator[str] = chain([CAMERA], (f"{CAMERA}{number}" for number in count(2)))
        return next(name for name in names if name not in self.cameras and name not in named)

    def _ask_name(self) -> str:
        if not self._prompt.interactive:
            return self._free_name()
        name: str = typer.prompt("Name of this camera, such as hall", default=self._free_name())
        return name

    def _take_name(self, name: str) -> bool:
        """Take a name; that of a camera which is kept means that camera, if that is wanted."""
        _check_name(name)
        if name in self.cameras:
            if name not in self._changing:
                raise ConfigError([f"camera: must have another name, got {name} twice"])
            question = f"camera {name}: is there already ({_shown(self.cameras[name])}); change it?"
            if self._prompt.interactive and not typer.confirm(question, default=False):
                return False
        self._name = name
        return True

    def _ask_camera(self) -> str:
        others = [camera for name, camera in self.cameras.items() if name != self._name]
        found = [(camera.answer, camera.note) for camera in free_cameras(find_cameras(), others)]
        if not self._prompt.interactive and not found:
            rule = "give one with --camera KIND[:SOURCE] (--camera synthetic draws people)"
            raise ConfigError([f"camera: none found; {rule}"])
        offered = [*found, ("synthetic", "drawn people, to try without a camera")]
        return self._prompt.choose("Camera", "a file, folder or URL", offered, with_default=bool(found))

    def _take_camera(self, text: str) -> bool:
        kind, source = _parse_camera(text)
        self._set("kind", kind)
        self._take_source(source)
        self._take_login(None, None)
        cameras = self.cameras | {self._name: self._config()}
        shared = list(shared_devices(cameras, first_ai_camera(cameras.values())))
        if shared:
            raise ConfigError(shared)
        if not self._try():
            return False
        self.cameras[self._name] = self._config()
        self._changing.discard(self._name)
        return True

    def _set(self, setting: str, value: object) -> None:
        self._answers.set(f"cameras.{self._name}.{setting}", value)

    def _take_source(self, source: str) -> None:
        secret = Secret(f"camera_{self._name}_source", source)
        self._set("source", secret if _is_private(source) else source or None)

    def _take_login(self, username: str | None, password: str | None) -> None:
        secret = Secret(f"camera_{self._name}_password", password) if password else None
        self._set("username", username)
        self._set("password", secret)

    def _config(self) -> CameraConfig:
        """The camera as it is answered, and otherwise as it was."""
        options = self._answers.section(f"cameras.{self._name}.")
        answered = load(None, {}, options=options).cameras[self._name]
        before = self.cameras.get(self._name)
        if before is None:
            return answered
        return before.model_copy(update={name: getattr(answered, name) for name in ORDER})

    def _try(self) -> bool:
        """Try until it gives a frame, or another camera is wanted."""
        while True:
            config = self._config()
            try:
                say(try_camera(config, self._name, say))
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


def _check_name(name: str) -> None:
    _, details = validated({"cameras": {name: {}}})
    if details:
        raise ConfigError([problem_of(detail, {}) for detail in details])


def _shown(camera: CameraConfig) -> str:
    """The kind, and the device where it is one: any other source may be a secret."""
    return device_of(camera) or camera.kind


def _parse_given(text: str) -> tuple[str | None, str]:
    """The name, if one is given, and the rest."""
    named = _NAMED.fullmatch(text.strip())
    return (named[1], named[2]) if named else (None, text)


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
