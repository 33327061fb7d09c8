"""Runs the tests of `posed selftest` one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import typer

from posed.commands.doctor.checks import Check, Service, ask_systemd, with_credentials
from posed.commands.doctor.edgetpu import accelerators
from posed.commands.selftest.cameras import check_camera
from posed.commands.selftest.engines import BUNDLED, Bench, check_bundled, check_cpu_speed, check_edgetpu
from posed.commands.selftest.person import AtTerminal, Person
from posed.commands.selftest.report import check_new, write_report
from posed.config import Config, load
from posed.errors import CameraError, EngineError, ModelError
from posed.networks.pair import Pair, load_pair
from posed.paths import SERVICE_CONFIG

SPEED_S: Final = 10.0
"""Speed is measured for this long, s: a module gets warm."""

CAMERA_S: Final = 12.0
"""Each camera is watched for this long, s: a picture counts as frozen after ten."""

STYLES: Final = {"ok": "green", "unused": None, "warning": "yellow", "failed": "red"}

_BUSY: Final = "the service uses it: sudo systemctl stop posed, then once more"


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
        ModelError: the model is missing or damaged.
    """
    if report is not None:
        check_new(report)
    config, pair = load_tested(config_file)
    tested = list(show(run_tests(config, pair, AtTerminal(may_be_asked=unplug))))
    if report is not None:
        write_report(report, config, pair, config_file, tested)
        typer.echo(f"{report}: look through it, then attach it to your report")
    return exit_status(tested)


def load_tested(path: Path | None) -> tuple[Config, Pair]:
    """The configuration, the service's where none is named and that is there, and its model.

    Where every camera has a network of its own and the model is missing, the bundled one takes its place.

    Raises:
        ConfigError: it has problems.
        ModelError: the model is missing or damaged.
    """
    os.environ.update(with_credentials(os.environ))
    config = load(path or (SERVICE_CONFIG if SERVICE_CONFIG.exists() else None))
    model = config.model
    try:
        pair = load_pair(model.name, input_size=model.input_size, pull_missing=model.pull)
    except ModelError:
        if not config.infers_in_cameras:
            raise
        pair = load_pair(BUNDLED)
    return config, pair


def run_tests(  # noqa: PLR0913 - keywords, each with a name at the call
    config: Config,
    pair: Pair,
    person: Person,
    *,
    service: Service | None = None,
    speed_s: float = SPEED_S,
    camera_s: float = CAMERA_S,
) -> Iterator[Check]:
    """Test the CPU, the Edge TPU where there is one, and every camera.

    Args:
        config: which engine and cameras.
        pair: the model.
        person: may pull a plug.
        service: which may hold the devices; None: what systemd says.
        speed_s: how long speed is measured, s.
        camera_s: how long each camera is watched, s.
    """
    service = ask_systemd() if service is None else service
    bench = Bench(config.engine, pair, speed_s)
    yield check_bundled(config.engine.threads)
    yield check_cpu_speed(bench)
    yield from _test_edgetpu(bench, person, service)
    for number, (name, camera) in enumerate(config.cameras.items(), 1):
        title = f"camera {number}"
        if service.runs:
            yield Check(title, "unused", f"{camera.kind}: not tested", _BUSY)
        else:
            yield from check_camera(title, name, camera, camera_s, tell=partial(typer.echo, err=True))


def _test_edgetpu(bench: Bench, person: Person, service: Service) -> Iterator[Check]:
    if bench.config.kind == "cpu":
        yield Check("edge tpu heads", "unused", "engine.kind: cpu")
    elif bench.config.kind == "auto" and not accelerators():
        yield Check("edge tpu heads", "unused", "none on USB or PCIe")
    elif service.runs:
        yield Check("edge tpu heads", "unused", "not tested", _BUSY)
    else:
        yield from check_edgetpu(bench, person)


def show(checks: Iterable[Check]) -> Iterator[Check]:
    """Print each check as soon as it is made, and hand it on."""
    for check in checks:
        status = typer.style(f"{check.status:8}", fg=STYLES[check.status])
        typer.echo(f"{status} {check.name}: {check.found}")
        if check.remedy:
            typer.echo(f"{'':8} → {check.remedy}")
        yield check


def exit_status(checks: Sequence[Check]) -> int:
    """0 where nothing failed, else that of the first failure, an engine's or a camera's."""
    for check in checks:
        if check.status == "failed":
            return CameraError.exit_status if check.name.startswith("camera") else EngineError.exit_status
    return 0
