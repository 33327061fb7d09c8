"""Runs the tests of `posed selftest` one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import typer

from posed.commands.doctor.checks import (
    Check,
    Service,
    ask_systemd,
    who_runs,
    with_credentials,
)
from posed.commands.doctor.edgetpu import accelerators
from posed.commands.selftest.cameras import check_camera
from posed.commands.selftest.engines import BUNDLED, Bench, check_bundled, check_cpu_speed, check_edgetpu
from posed.commands.selftest.person import AtTerminal, Person
from posed.commands.selftest.report import check_new, write_report
from posed.config import Config, load
from posed.errors import CameraError, ConfigError, EngineError, ModelError
from posed.networks.pair import Pair, load_pair
from posed.paths import SERVICE_CONFIG, SERVICE_STATE, exists, state_folder

SPEED_S: Final = 10.0
"""Speed is measured for this long, s: a module gets warm."""

CAMERA_S: Final = 12.0
"""Each camera is watched for this long, s: a picture counts as frozen after ten."""

STYLES: Final = {"ok": "green", "unused": None, "warning": "yellow", "failed": "red"}

_BUSY: Final = "the service uses it: sudo systemctl stop posed, then once more"
_BUSY_HERE: Final = "the posed that runs here may use it: stop it, then once more"


def run_selftest(config_file: Path | None, report: Path | None, *, unplug: bool) -> int:
    """Run and show every test, and write a report where one is wanted.

    Args:
        config_file: None for the service's where that is there, else the defaults.
        report: a file that is not there yet.
        unplug: whether somebody may be asked to pull a plug.

    Returns:
        The exit status.

    Raises:
        ConfigError: the configuration has problems, or the report cannot be written.
    """
    if report is not None:
        check_new(report)
    config, pair = load_tested(config_file)
    service = who_runs(ask_systemd(), _state_of(config_file))
    tests = run_tests(config, pair, AtTerminal(may_be_asked=unplug), service=service)
    tested = list(show(tests))
    if report is not None:
        write_report(report, config, pair, config_file, tested)
        typer.echo(f"{report}: look through it, then attach it to your report")
    return exit_status(tested)


def load_tested(path: Path | None) -> tuple[Config, Pair | ModelError]:
    """The configuration, the service's where none is named and that is there, and its model.

    Where the model is missing or damaged, what is wrong with it takes its place; the bundled one does where
    every camera has a network of its own.

    Raises:
        ConfigError: it has problems.
    """
    os.environ.update(with_credentials(os.environ))
    config = load(path or _service_config())
    model = config.model
    try:
        return config, load_pair(model.name, input_size=model.input_size, pull_missing=model.pull)
    except ModelError as error:
        return config, load_pair(BUNDLED) if config.infers_in_cameras else error


def _service_config() -> Path | None:
    """The service's configuration; None where it has none.

    Raises:
        ConfigError: that cannot be seen.
    """
    try:
        return SERVICE_CONFIG if exists(SERVICE_CONFIG) else None
    except OSError as error:
        raise ConfigError([f"{SERVICE_CONFIG}: {error.strerror}: take sudo posed selftest"]) from None


def _state_of(config_file: Path | None) -> Path:
    """Where the daemon of a configuration keeps its state."""
    path = config_file or _service_config()
    is_service = path is not None and path.resolve() == SERVICE_CONFIG.resolve()
    return SERVICE_STATE if is_service else state_folder()


def run_tests(  # noqa: PLR0913 - keywords, each with a name at the call
    config: Config,
    pair: Pair | ModelError,
    person: Person,
    *,
    service: Service,
    speed_s: float = SPEED_S,
    camera_s: float = CAMERA_S,
) -> Iterator[Check]:
    """Test the CPU, the Edge TPU where there is one, and every camera.

    Args:
        config: which engine and cameras.
        pair: the model, or what is wrong with it.
        person: may pull a plug.
        service: which may hold the devices.
        speed_s: how long speed is measured, s.
        camera_s: how long each camera is watched, s.
    """
    yield check_bundled(config.engine.threads)
    if isinstance(pair, ModelError):
        yield Check("model", "failed", f"{pair}; its tests are left out", "posed doctor")
    else:
        bench = Bench(config.engine, pair, speed_s)
        yield check_cpu_speed(bench)
        yield from _test_edgetpu(bench, person, service)
    for number, (name, camera) in enumerate(config.cameras.items(), 1):
        title = f"camera {number}"
        if service.runs:
            yield Check(title, "unused", f"{camera.kind}: not tested", _busy(service))
        else:
            yield from check_camera(title, name, camera, camera_s, tell=partial(typer.echo, err=True))


def _test_edgetpu(bench: Bench, person: Person, service: Service) -> Iterator[Check]:
    if bench.config.kind == "cpu":
        yield Check("edge tpu heads", "unused", "engine.kind: cpu")
    elif bench.config.kind == "auto" and not accelerators():
        yield Check("edge tpu heads", "unused", "none on USB or PCIe")
    elif service.runs:
        yield Check("edge tpu heads", "unused", "not tested", _busy(service))
    else:
        yield from check_edgetpu(bench, person)


def _busy(service: Service) -> str:
    """What helps against who holds the devices."""
    return _BUSY if service.of_systemd else _BUSY_HERE


def show(checks: Iterable[Check]) -> Iterator[Check]:
    """Print each check as soon as it is made, and hand it on."""
    for check in checks:
        status = typer.style(f"{check.status:8}", fg=STYLES[check.status])
        typer.echo(f"{status} {check.name}: {check.found}")
        if check.remedy:
            typer.echo(f"{'':8} → {check.remedy}")
        yield check


def exit_status(checks: Sequence[Check]) -> int:
    """0 where nothing failed, else that of the first failure, an engine's, the model's or a camera's."""
    for check in checks:
        if check.status == "failed" and check.name == "model":
            return ModelError.exit_status
        if check.status == "failed":
            return CameraError.exit_status if check.name.startswith("camera") else EngineError.exit_status
    return 0
