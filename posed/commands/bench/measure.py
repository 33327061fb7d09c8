"""Runs the daemon as it is, watches every frame, and says what it cost.

Nothing heavy is imported before its turn, so that memory can be told apart.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from posed import __version__
from posed.commands.bench import machine, sink
from posed.commands.bench.devices import Cameras, KeptEngine
from posed.commands.bench.verdict import verdict
from posed.commands.bench.watch import Dropped, Watch
from posed.errors import EngineError

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.config import Config
    from posed.daemon import Daemon
    from posed.engine.base import Engine
    from posed.service.model_in_use import ModelInUse

BARE_SHARE: Final = 0.15
"""Bare invokes are measured for this part of the time, before and after."""


def measure(
    config: Config, camera: str | None, memory: machine.Memory, seconds: float, fps: float | None
) -> dict[str, Any]:
    """Measure the whole way of the frames, and the engine alone before and after.

    Args:
        config: its broker is not used, nor its live view.
        camera: the name of the camera that is measured alone; None: all cameras work at once.
        memory: the memory taken by what is loaded so far.
        seconds: how long to measure, s.
        fps: the rate of drawn people instead of each camera, 0 for as fast as the engine; None: the cameras
            as configured.

    Returns:
        The figures, as `--json` prints them.

    Raises:
        ModelError, CameraError, EngineError: something cannot be used, or was lost meanwhile.
        ConfigError: there is no such camera.
    """
    if camera is not None:
        name = config.chosen(camera)
        config = config.model_copy(update={"cameras": {name: config.cameras[name]}})
    if fps is not None:
        config = _drawn(config)
    import cv2  # noqa: F401 its turn

    memory.note("numpy and OpenCV")
    from posed.daemon import Daemon
    from posed.pipeline.opening import opener_of

    memory.note("posed and MQTT")
    runtime = _runtime(config)
    memory.note("TFLite runtime")
    from posed.engine.temperature import processor_c

    used = _model(config)
    with (
        opener_of(config, used.pair, used.why_none)() as engine,
        sink.running() as port,
        tempfile.TemporaryDirectory(prefix="posed-bench-") as state,
    ):
        memory.note("model and engine")
        cameras = Cameras(_openers(config, used.size, fps), _tell)
        memory.note("cameras")
        watch = Watch(list(config.cameras), seconds * (1 - 2 * BARE_SHARE))
        kept, bare = _tried(engine, seconds * BARE_SHARE)
        facts = _engine_facts(config, kept, used)
        daemon = Daemon(
            _kept_local(config, port),
            open_camera=cameras.open,
            open_engine=kept.open,
            on_processed=watch.note,
            environment={"STATE_DIRECTORY": state},
        )
        watch.on_enough = cameras.on_failure = daemon.stop
        watch.count_dropped = partial(_dropped, daemon)
        cameras.why_lost = partial(_why_lost, daemon)
        try:
            daemon.run()
        except EngineError as error:  # it hung for long
            kept.lose(str(error))
        cameras.check()
        kept.wait_until_left()  # the daemon does not wait for an inference that takes longer than it may stop
        memory.note("frames at work")
        bare += kept.bare_invokes(seconds * BARE_SHARE)
        if facts["engine"] is not None:
            facts["engine"]["lost"] = kept.lost or None
        figures = {
            "version": __version__,
            "machine": machine.processor(),
            "runtime": runtime,
            **facts,
            "decoder": used.describe(config.decode),
            **watch.figures(bare),
            "cameras": {
                name: {
                    "kind": "drawn" if fps is not None else config.cameras[name].kind,
                    **watch.figures_of(name),
                }
                for name in config.cameras
            },
            "memory_mb": {"total": memory.total_mb, **memory.parts_mb},
            "temperature_c": processor_c(),
            "throttling": machine.throttling(),
        }
    return figures | {"verdict": verdict(figures, machine.cores())}


def _tell(news: str) -> None:
    """Say at once what takes a while."""
    sys.stderr.write(f"{news}\n")


def _tried(engine: Engine, seconds: float) -> tuple[KeptEngine, list[float]]:
    """The engine, and its bare invokes; one for rotated crops alone that goes at them was never there.

    Raises:
        EngineError: it went, and may not.
    """
    from posed.engine.in_camera import InCameraEngine
    from posed.pipeline.hang_detector import HANG_S

    kept = KeptEngine(engine, HANG_S)
    bare = kept.bare_invokes(seconds)
    if kept.at_work is not None and kept.lost:
        kept = KeptEngine(InCameraEngine(None, kept.lost), HANG_S)
    return kept, bare


def _dropped(daemon: Daemon) -> Dropped:
    """What a daemon has dropped since its start."""
    frames = {name: feed.counts.dropped for name, feed in daemon.pipeline.feeds.items()}
    return Dropped(frames, daemon.mqtt.dropped)


def _why_lost(daemon: Daemon, camera: str) -> str:
    """Why a camera is opened again; in the place of one that hangs, another thread has just started."""
    from posed.pipeline.device import STARTING

    status = daemon.pipeline.feeds[camera].capture.device.status
    return "it hangs" if status == STARTING else status.why


def _drawn(config: Config) -> Config:
    """The configuration with drawn people before each camera."""
    cameras = {
        name: camera.model_copy(update={"kind": "synthetic"}) for name, camera in config.cameras.items()
    }
    return config.model_copy(update={"cameras": cameras})


def _runtime(config: Config) -> str | None:
    """The name of the TFLite runtime; None where there is none, and cameras do without.

    Raises:
        EngineError: there is none.
    """
    from posed.engine.tflite import find_runtime

    try:
        return find_runtime().name
    except EngineError:
        if config.infers_in_cameras:
            return None
        raise


def _model(config: Config) -> ModelInUse:
    """The engine's, which is downloaded where that is allowed, unless it is for rotated crops alone."""
    from posed.networks.pair import load_pair
    from posed.service.model_in_use import ModelInUse, model_for_crops

    if config.infers_in_cameras:
        return model_for_crops(config)
    model = config.model
    return ModelInUse(load_pair(model.name, input_size=model.input_size, pull_missing=model.pull))


def _engine_facts(config: Config, engine: KeptEngine, used: ModelInUse) -> dict[str, Any]:
    """What infers: `engine` and `model` are those of posed, `in_camera` is the network of cameras.

    `crops` says of what is inferred there is of rotated crops alone, and of what there is not, why.
    """
    at_work = engine.at_work
    facts: dict[str, Any] = {
        "engine": None,
        "model": None,
        "in_camera": _facts_in_camera(config),
        "crops": engine.why if used.in_cameras else None,
    }
    if at_work is not None and used.pair is not None:
        model = used.pair.edgetpu if at_work.kind == "edgetpu" else used.pair.cpu
        assert model is not None
        (width, height), threads = model.size, config.engine.threads
        facts["engine"] = {"kind": at_work.kind, "device": at_work.device, "threads": threads}
        facts["model"] = {"name": used.pair.name, "file": model.path.name, "width": width, "height": height,
                          "stride": used.pair.network.stride, "type": model.input.dtype}  # fmt: skip
    return facts


def _facts_in_camera(config: Config) -> dict[str, Any] | None:
    """The network of cameras that infer themselves; None where none does."""
    if not any(camera.has_network for camera in config.cameras.values()):
        return None
    from posed.camera.imx500 import NETWORK, STRIDE
    from posed.camera.imx500_view import INPUT

    return {"name": NETWORK.stem, "file": NETWORK.name, "width": INPUT[0], "height": INPUT[1],
            "stride": STRIDE}  # fmt: skip


_LOCAL: Final = {"host": "127.0.0.1", "protocol": "5", "tls": None, "username": None, "password": None,
                 "password_file": None}  # fmt: skip


def _kept_local(config: Config, port: int) -> Config:
    """The configuration of a daemon that publishes to a port of this machine alone, and has no live view."""
    local = {
        "mqtt": config.mqtt.model_copy(update=_LOCAL | {"port": port}),
        "web": config.web.model_copy(update={"enabled": False}),
    }
    return config.model_copy(update=local)


def _openers(config: Config, size: tuple[int, int], fps: float | None) -> dict[str, Callable[[], Camera]]:
    """How each camera is opened."""
    if fps is not None:
        from posed.commands.bench.camera import DrawnCamera

        # Drawn now, not while the engine is measured.
        drawn = {name: DrawnCamera(fps) for name in config.cameras}
        return {name: partial(drawn.__getitem__, name) for name in drawn}
    from posed.camera import open_camera

    return {name: partial(open_camera, settings, size, name) for name, settings in config.cameras.items()}
