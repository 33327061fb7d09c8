"""Runs every check of `posed doctor`, and prints what was found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posed import __version__
from posed.commands.doctor.broker import check_broker
from posed.commands.doctor.checks import (
    Check,
    ask_systemd,
    check_ai_camera,
    check_cameras,
    check_clock,
    check_disk,
    check_model,
    check_numpy,
    check_overlay,
    check_pitch,
    check_power,
    check_python,
    check_runtime,
    check_service,
    wait_for_figures,
    who_runs,
    with_credentials,
)
from posed.commands.doctor.container import for_container
from posed.commands.doctor.driver import check_driver
from posed.commands.doctor.edgetpu import check_edgetpu
from posed.commands.setup.find import first_ai_camera
from posed.config import Config, load
from posed.errors import ConfigError
from posed.paths import SERVICE_CONFIG, SERVICE_STATE, exists, overlay_file, pitch_file, state_folder
from posed.service.check import shared_devices
from posed.service.container import container_problems, in_container

_EXIT: Final = {"ok": 0, "unused": 0, "warning": 1, "failed": 2}
_STYLE: Final = {"ok": "green", "unused": "dim", "warning": "yellow", "failed": "bold red"}


def examine(path: Path | None, state: Path | None = None) -> Iterator[Check]:
    """Check one thing after the other; what needs a configuration is left out where that is not good.

    Args:
        path: the configuration's file; None for the service's where it has one, else the defaults.
        state: the daemon's state folder; None for the service's where it is the one, else the user's.
    """
    checks = _examine(path, state)
    return map(for_container, checks) if in_container() else checks


def _examine(path: Path | None, state: Path | None) -> Iterator[Check]:
    os.environ.update(with_credentials(os.environ))
    service = ask_systemd()
    yield check_python()
    yield check_runtime()
    yield check_numpy()
    config: Config | None = None
    try:
        path = path or (SERVICE_CONFIG if exists(SERVICE_CONFIG) else None)
        is_service = path is not None and path.resolve() == SERVICE_CONFIG.resolve()
        service = replace(service, of_this=is_service)
        kept_in = state or (SERVICE_STATE if is_service else state_folder())
        overlay = kept_in / overlay_file().name
        config, damage = _loaded(path, overlay)
        kept = check_overlay(overlay, damage)
    except PermissionError as error:
        yield Check("configuration", "failed", f"{error.filename}: {error.strerror}", "sudo posed doctor")
    except ConfigError as error:
        remedy = f"posed check --config {path}"
        if "systemd credential" in str(error) and "CREDENTIALS_DIRECTORY" not in os.environ:
            remedy += "; an encrypted credential can be read only while the service runs"
        yield Check("configuration", "failed", "; ".join(error.problems), remedy)
    else:
        yield _check_configuration(path, config)
        yield kept
    if config is not None:
        model, pair = check_model(config)
        yield model
        yield from check_driver(config)
        holder = who_runs(service, kept_in)
        yield from check_edgetpu(config, pair, holder)
        yield from check_ai_camera(config)
        yield from check_cameras(config, wait_for_figures(holder, config))
        for name in config.cameras:
            yield check_pitch(name, config, kept_in / pitch_file(name).name)
        yield check_broker(config)
    yield check_clock()
    yield check_disk(state or (SERVICE_STATE if SERVICE_STATE.is_dir() else state_folder()))
    yield check_power()
    yield check_service(service)


def _check_configuration(path: Path | None, config: Config) -> Check:
    """Whether a configuration that could be loaded fits its place, and has no two cameras with one device."""
    if in_container() and (problems := list(container_problems(config))):
        return Check(
            "configuration", "failed", "; ".join(problems), "what it says, then restart the container"
        )
    if shared := list(shared_devices(config.cameras, first_ai_camera(config.cameras.values()))):
        return Check("configuration", "failed", "; ".join(shared), "another source for one of them")
    return Check("configuration", "ok", str(path or "the defaults"))


def _loaded(path: Path | None, overlay: Path) -> tuple[Config, str]:
    """The configuration, and what is wrong with an overlay that is damaged, without which it is then.

    Raises:
        ConfigError: the configuration without the overlay has problems.
        PermissionError: it cannot be seen whether there is an overlay.
    """
    try:
        return load(path, overlay=overlay if exists(overlay) else None), ""
    except ConfigError as error:
        return load(path), "; ".join(error.problems)


def show(checks: Sequence[Check], *, as_json: bool) -> int:
    """Print the checks: a table, or one JSON object.

    Returns:
        0 all is well, 1 there are warnings, 2 something failed.
    """
    worst = max((check.status for check in checks), key=lambda status: _EXIT[status])
    if as_json:
        found = [
            {"name": check.name, "status": check.status, "found": check.found, "remedy": check.remedy}
            for check in checks
        ]
        print(json.dumps({"schema": 1, "version": __version__, "status": worst, "checks": found}))  # noqa: T201
    else:
        table = Table("check", "", box=None, pad_edge=False)
        table.add_column("found, and → what helps", overflow="fold")
        for check in checks:
            said = check.found + (f"\n→ {check.remedy}" if check.remedy else "")
            table.add_row(check.name, Text(check.status, _STYLE[check.status]), Text(said))
        Console(highlight=False).print(table)
    return _EXIT[worst]
