"""The configuration: one frozen struct per section, and the way from files to a `Config`.

Later sources win: defaults, the file, the overlay in the state
folder, the environment (`POSED_MQTT__HOST`), a command's own options.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import (
    BaseModel,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from posed.config.problems import MOST_PROBLEMS, problem_of, where_of
from posed.config.sections import (
    LIVE,
    CameraConfig,
    Config,
    DecodeConfig,
    EngineConfig,
    HomeAssistantConfig,
    LogConfig,
    ModelConfig,
    MqttConfig,
    MqttEventsConfig,
    MqttPosesConfig,
    PeopleConfig,
    PrivacyConfig,
    TlsConfig,
    WebConfig,
    ZoneConfig,
    default_device,
)
from posed.config.settings import NAMED_BY_OWNER, known_settings
from posed.config.wording import Secret, masked, nearest, printable, reason, shown
from posed.errors import ConfigError
from posed.files import replace_file

log = logging.getLogger(__name__)

ENVIRONMENT_PREFIX: Final = "POSED_"

_MOST_BYTES: Final = 64 * 1024
"""Of a YAML file: 50 zones of 50 points are 40 KB. Reading so many takes a second or two, and no more."""

_LARGEST: Final = 2**63
"""No number of ours is larger; one that is, is not even written into a message."""

_NO_VALUE: Final = (ValueError, TypeError, AttributeError, OverflowError, LookupError)
"""What PyYAML raises for what is not of the type that it claims to be (`!!timestamp abc`)."""

_UNREADABLE: Final = (yaml.YAMLError, RecursionError, *_NO_VALUE)
"""What it raises for what is no YAML."""

CREDENTIAL_STORES: Final = tuple(map(Path, ("/etc/credstore", "/run/credstore", "/usr/lib/credstore")))
"""Where systemd looks for what a service is to have, first one first."""


def load(
    path: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    overlay: Path | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
) -> Config:
    """The configuration from everything that has a say in it.

    Args:
        path: a YAML file, or None for the defaults.
        environment: variables; those that begin with POSED_ are settings.
        overlay: a YAML file of settings that were changed at run time; need not exist.
        options: settings of a command line: dotted name to flag and value; a value of None is not given.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else _read_yaml(path, problems)
    return _assembled(file, problems, environment, overlay, options or {})


def load_for_daemon(path: Path | None, overlay: Path) -> tuple[Config, list[str]]:
    """The configuration, without the overlay where that is damaged: it is set aside, with a warning.

    A worn SD card damages what a request has changed, and nobody is there to read why posed does not start.

    Args:
        path: a YAML file, or None for the defaults.
        overlay: a YAML file of settings that were changed at run time; need not exist.

    Returns:
        The configuration, and the names of the settings that come from the overlay.

    Raises:
        ConfigError: with every problem of the configuration without the overlay, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else _read_yaml(path, problems)
    try:
        return _assembled(file, problems, os.environ, overlay, {}), kept(overlay)
    except ConfigError as error:
        damage = "; ".join(error.problems)
    except OSError as error:
        damage = reason(error)
    config = _assembled(file, problems, os.environ, None, {})
    _set_aside(overlay, damage)
    return config, []


def damaged_file(overlay: Path) -> Path:
    """Where an overlay that was damaged is."""
    return overlay.with_name(f"{overlay.name}.damaged")


def _set_aside(overlay: Path, damage: str) -> None:
    """Rename an overlay that cannot be used; where the disk does not take that, it stays and is left out."""
    try:
        overlay.replace(damaged_file(overlay))
        now = f"now {damaged_file(overlay).name}"
    except OSError as error:
        now = f"cannot be renamed: {reason(error)}"
    log.warning("%s: damaged, so what requests changed is left out (%s): %s", overlay, now, damage)


def _assembled(
    file: Mapping[str, Any],
    problems: Sequence[str],
    environment: Mapping[str, str],
    overlay: Path | None,
    options: Mapping[str, tuple[str, Any]],
) -> Config:
    """The configuration from a file that was read, with these problems, and from the sources after it.

    Raises:
        ConfigError: with every problem, one line each.
        OSError: it cannot be seen whether there is an overlay.
    """
    problems = list(problems)
    tree: dict[str, Any] = copy.deepcopy(dict(file))
    origins: dict[tuple[str, ...], str] = {}
    if overlay is not None and overlay.exists():
        settings = _read_yaml(overlay, problems)
        _merge(tree, settings)
        origins.update({where: str(overlay) for where in _leaves(settings)})
    for name, where, value in _environment_settings(environment, problems):
        _merge(tree, _nest(where, value))
        origins[where] = name
    for name, (flag, value) in options.items():
        if value is not None:
            where = tuple(name.split("."))
            _merge(tree, _nest(where, value))
            origins[where] = flag
    config, details = _validated(tree)
    problems += [problem_of(detail, origins) for detail in details[:MOST_PROBLEMS]]
    if (more := len(details) - MOST_PROBLEMS) > 0:
        problems.append(f"and {more} more problems")
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _validated(tree: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    """The configuration, or everything that is wrong with it.

    Rules across fields are only looked at where the fields themselves are good, so what is wrong is taken
    out and the rest looked at again; a rule about a field that was taken out says nothing new.
    """
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tree[section] = {} if tree.get(section) is None else tree[section]
    details: list[ErrorDetails] = []
    while True:
        try:
            config = Config.model_validate(tree)
        except ValidationError as error:
            known = {where_of(detail) for detail in details}
            found = [detail for detail in error.errors() if where_of(detail) not in known]
            details += found
            if not found or not all(_take_out(tree, detail["loc"]) for detail in found):
                return None, details
        else:
            return (None if details else config), details


def _take_out(tree: Any, where: tuple[int | str, ...]) -> bool:
    """Remove what stands at a place, or the part of it that exists; False where nothing does."""
    if where[:2] == NAMED_BY_OWNER:
        where = where[:3]
    *parents, last = where
    for key in parents:
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            last = key
            break
        tree = tree[key]
    return isinstance(tree, dict) and tree.pop(last, tree) is not tree


def mqtt_password(config: MqttConfig) -> str | None:
    """The broker's password, read from its file where it has one.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    if config.password is not None:
        return config.password.get_secret_value()
    if config.password_file is None:
        return None
    return _first_line("mqtt.password_file", config.password_file)


def _first_line(where: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        # What is no whole path may be a password that stands where its file should.
        got = f"{path if path.is_absolute() else 'a relative path'} ({reason(error)})"
        raise ConfigError([f"{where}: must be a readable text file, got {got}"]) from None
    if not lines or not lines[0]:
        raise ConfigError([f"{where}: must hold a first line, got {path} (empty)"])
    return lines[0]


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML with no repeated keys, no aliases, whose expansion has no bound, and no odd numbers.

    Those are huge ones, and YAML 1.1's `1:30` for 90, of which 64 KiB take seconds.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        # Not by name: it may be a password.
        if getattr(event, "anchor", None) is not None:
            rule = "anchors and aliases are not allowed (put text that begins with & or * in quotes)"
            raise yaml.composer.ComposerError(None, None, rule, event.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE:
            # Without the reason, which shows the value.
            rule = "must be a value of its type (put text in quotes)"
            raise yaml.constructor.ConstructorError(None, None, rule, node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a setting's name must be plain text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {masked(key)!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        _refuse_colons(node)
        value = int(super().construct_yaml_int(node))
        if abs(value) >= _LARGEST:
            raise yaml.constructor.ConstructorError(
                None, None, "a number must have at most 18 digits", node.start_mark
            )
        return value

    def construct_yaml_float(self, node: Any) -> float:
        _refuse_colons(node)
        return float(super().construct_yaml_float(node))


def _refuse_colons(node: Any) -> None:
    if ":" in node.value:
        raise yaml.constructor.ConstructorError(
            None, None, "a number must have no colons (put text in quotes)", node.start_mark
        )


_NO_TAG: Final = "no such tag is known (put text that begins with ! in quotes)"


def _refuse_tag(_loader: _PlainLoader, node: Any) -> None:
    """Without its name: it may be a password that begins with an exclamation mark."""
    raise yaml.constructor.ConstructorError(None, None, _NO_TAG, node.start_mark)


_PlainLoader.add_constructor(None, _refuse_tag)
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.construct_yaml_float)


class _Loader(_PlainLoader):
    """The same with `!secret NAME`."""

    folder = Path()
    problems: list[str]
    _secrets: dict[str, Any] | ConfigError | None = None

    def secrets(self) -> dict[str, Any]:
        """What is in `secrets.yaml`, which is read once.

        Raises:
            ConfigError: it cannot be read or is no YAML.
        """
        if self._secrets is None:
            try:
                self._secrets = _read_yaml(self.folder / "secrets.yaml", None)
            except ConfigError as error:
                self._secrets = error
        if isinstance(self._secrets, ConfigError):
            raise self._secrets
        return self._secrets


def _construct_secret(loader: _Loader, node: Any) -> str:
    try:
        return Secret(_secret(str(loader.construct_scalar(node)), loader))
    except ConfigError as error:
        if len(loader.problems) >= MOST_PROBLEMS:
            return "one more secret that is missing"
        place = f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        loader.problems += [f"{loader.name}:{place}: {problem}" for problem in error.problems]
        return "a secret that is missing"


_Loader.add_constructor("!secret", _construct_secret)


def _secret(name: str, loader: _Loader) -> str:
    """A secret by name: from `secrets.yaml` beside the configuration, else a systemd credential."""
    secrets = loader.folder / "secrets.yaml"
    if secrets.exists():
        value = loader.secrets().get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            raise ConfigError([f"!secret {name}: must be text in {secrets}: put it in quotes"])
    got = "neither"
    for credential in _credentials(name):
        try:
            if credential.is_file():
                return _first_line(f"!secret {name}", credential)
        except PermissionError:
            got = f"neither; {credential.parent} only root may look into"
    raise ConfigError([f"!secret {name}: must be in {secrets} or a systemd credential, got {got}"])


def _credentials(name: str) -> Iterator[Path]:
    """Where a credential may be: what systemd gave us, else from where it would give it to the service.

    Source: systemd.exec(5), LoadCredential; posed.service loads NAME from posed.NAME.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        return
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        yield Path(given) / name
    else:
        yield from (store / f"posed.{name}" for store in CREDENTIAL_STORES)


def _read_yaml(path: Path, problems: list[str] | None) -> dict[str, Any]:
    """The settings of a file; a secret that is missing becomes one more problem.

    Args:
        path: of the file.
        problems: takes what is said of secrets; None where `!secret` is not allowed.

    Raises:
        ConfigError: the file cannot be read or is no YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: must be a readable YAML file ({reason(error)})"]) from None
    if len(content) > _MOST_BYTES:
        raise ConfigError([f"{path}: must be at most {_MOST_BYTES} bytes, got more"])
    try:
        tree = _parse(text, path, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = error.problem or error.context or ""
        if "tag handle" in problem:  # which may be a part of a password that begins with an exclamation mark
            problem = _NO_TAG
        raise ConfigError([f"{path}{place}: {problem}"]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([f"{path}: must be YAML, got {_one_line(error)}"]) from None
    except _UNREADABLE as error:
        raise ConfigError([f"{path}: must be YAML, got {type(error).__name__}"]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        # Not what it is: it may be a secret whose name was forgotten.
        what = "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError([f"{path}: must be settings as `name: value`, got {what}"])
    return tree


def _parse(text: str, path: Path, problems: list[str] | None) -> Any:
    loader: _PlainLoader
    if problems is None:
        loader = _PlainLoader(text)
    else:
        loader = _Loader(text)
        loader.folder, loader.name, loader.problems = path.parent, str(path), problems
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        # What the owner has named is one setting: a later source has all of it.
        if isinstance(value, Mapping) and key != NAMED_BY_OWNER[-1]:
            inner = tree.get(key)
            tree[key] = dict(inner) if isinstance(inner, Mapping) else {}
            _merge(tree[key], value)
        else:
            tree[key] = value


def _nest(where: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(where):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key))


def _environment_settings(
    environment: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        where = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        known = known_settings()
        if where not in known:
            names = {ENVIRONMENT_PREFIX + "__".join(setting).upper() for setting in known}
            problems.append(f"{name}: unknown setting{nearest(name, names)}")
        elif known[where]:
            yield name, where, text
        else:
            yield from _parsed(name, where, text, problems)


def _parsed(
    name: str, where: tuple[str, ...], text: str, problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    try:
        yield name, where, yaml.load(text, _PlainLoader)  # noqa: S506 a safe one
    except _UNREADABLE:
        problems.append(f"{name}: must be a YAML value, got {shown(text)}")


@functools.cache
def live_settings(section: type[BaseModel] = Config, path: str = "") -> dict[str, FieldInfo]:
    """Every setting that can be changed while the daemon runs, by its dotted name."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        if LIVE in field.metadata:
            found[path + name] = field
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= live_settings(field.annotation, f"{path}{name}.")
    return found


def live_values(config: Config) -> dict[str, Any]:
    """What these settings are, as plain data."""
    tree = config.model_dump(mode="json", exclude={"mqtt": {"password"}, "web": {"token"}})
    return {name: functools.reduce(dict.__getitem__, name.split("."), tree) for name in live_settings()}


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with other values, each as good as in the file.

    Args:
        config: what is to be changed.
        settings: values by dotted name.

    Raises:
        ConfigError: with every problem, one line each.
    """
    known = live_settings()
    if unknown := [name for name in settings if name not in known]:
        rule = "must be a setting that can be changed at run time"
        raise ConfigError([f"{printable(name)}: {rule}{nearest(name, set(known))}" for name in unknown])
    tree = config.model_dump()
    for name, value in settings.items():
        *sections, last = name.split(".")
        functools.reduce(dict.__getitem__, sections, tree)[last] = value
    wanted, details = _validated(tree)
    if wanted is None:
        raise ConfigError([problem_of(detail, {}) for detail in details])
    return wanted


def kept(overlay: Path) -> list[str]:
    """The settings in the overlay, by dotted name; none where it is missing.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    tree = _read_yaml(overlay, []) if overlay.exists() else {}
    found = []
    for name in live_settings():
        try:
            functools.reduce(dict.__getitem__, name.split("."), tree)
        except (KeyError, TypeError):
            continue
        found.append(name)
    return found


def keep(overlay: Path, config: Config, names: Collection[str]) -> None:
    """Write settings into the overlay, beside those that are there; a damaged one is set aside.

    Args:
        overlay: the file.
        config: has their values.
        names: of the settings, dotted.

    Raises:
        ConfigError: it would be too large.
        OSError: it cannot be written.
    """
    try:
        tree = _read_yaml(overlay, []) if overlay.exists() else {}
    except ConfigError as error:
        _set_aside(overlay, "; ".join(error.problems))
        tree = {}
    values = live_values(config)
    for name in names:
        _merge(tree, _nest(tuple(name.split(".")), values[name]))
    comment = "# Settings that were changed by requests. Later than the file, earlier than the environment.\n"
    text = comment + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None)
    if len(text) > _MOST_BYTES:
        raise ConfigError([f"{overlay}: must be at most {_MOST_BYTES} bytes, got {len(text)}"])
    replace_file(overlay, text)


def overriding(environment: Mapping[str, str], names: Collection[str]) -> list[str]:
    """The variables that go before what the overlay says of these settings, whose names are dotted."""
    set_there = {".".join(where): name for name, where, _ in _environment_settings(environment, [])}
    return [set_there[name] for name in names if name in set_there]


def bounds_of(setting: str, step: float) -> tuple[float, float]:
    """The least and the most that a number may be.

    Args:
        setting: dotted name.
        step: between two numbers, where the bound itself is excluded.
    """
    bounds = {
        name: value
        for rule in live_settings()[setting].metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(rule, name, None)) is not None
    }
    least = bounds["ge"] if "ge" in bounds else bounds["gt"] + step
    most = bounds["le"] if "le" in bounds else bounds["lt"] - step
    return least, most


__all__ = [
    "CameraConfig",
    "Config",
    "DecodeConfig",
    "EngineConfig",
    "HomeAssistantConfig",
    "LogConfig",
    "ModelConfig",
    "MqttConfig",
    "MqttEventsConfig",
    "MqttPosesConfig",
    "PeopleConfig",
    "PrivacyConfig",
    "TlsConfig",
    "WebConfig",
    "ZoneConfig",
    "bounds_of",
    "changed",
    "damaged_file",
    "default_device",
    "keep",
    "kept",
    "live_settings",
    "live_values",
    "load",
    "load_for_daemon",
    "mqtt_password",
    "overriding",
]
