"""Runs the daemon as it is, watches every frame, and says what it cost.

Nothing heavy is imported before its turn, so that memory can be told apart.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from posed import __version__
from posed.commands.bench import machine, sink
from posed.commands.bench.verdict import verdict
from posed.commands.bench.watch import Watch
from posed.errors import CameraError, CameraLost, CameraPreparing, EngineError, EngineLost

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.config import Config
    from posed.engine.base import Engine
    from posed.frame import Image
    from posed.model.outputs import Outputs
    from posed.service.model_in_use import ModelInUse

T = TypeVar("T")

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
    from posed.pipeline.hang_detector import HANG_S
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
        cameras = _Cameras(_openers(config, used.size, fps))
        memory.note("cameras")
        watch = Watch(list(config.cameras), seconds * (1 - 2 * BARE_SHARE))
        kept = _Kept(engine)
        daemon = Daemon(
            _kept_local(config, port),
            open_camera=cameras.open,
            open_engine=_once(lambda: kept, EngineLost, EngineError),
            on_processed=watch.note,
            environment={"STATE_DIRECTORY": state},
        )
        watch.on_enough = cameras.on_failure = daemon.stop
        bare = _bare_invokes(engine, seconds * BARE_SHARE)
        daemon.run()
        cameras.check()
        kept.left.wait(HANG_S)  # the daemon does not wait for an inference that takes longer than it may stop
        memory.note("frames at work")
        bare += _bare_invokes(engine, seconds * BARE_SHARE)
        figures = {
            "version": __version__,
            "machine": machine.processor(),
            "runtime": runtime,
            **_engine_facts(config, engine, used),
            "decoder": used.describe(config.decode),
            **watch.figures(bare),
            "cameras": {
                name: {
                    "kind": "drawn" if fps is not None else config.cameras[name].kind,
                    **watch.figures_of(name),
                    "dropped": feed.counts.dropped,
                }
                for name, feed in daemon.pipeline.feeds.items()
            },
            "dropped": {
                "frames": sum(feed.counts.dropped for feed in daemon.pipeline.feeds.values()),
                "messages": daemon.mqtt.dropped,
            },
            "memory_mb": {"total": memory.total_mb, **memory.parts_mb},
            "temperature_c": processor_c(),
            "throttling": machine.throttling(),
        }
    return figures | {"verdict": verdict(figures, machine.cores())}


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


def _at_work(engine: Engine) -> Engine | None:
    """What infers; None where only cameras do."""
    from posed.engine.in_camera import InCameraEngine

    return engine.crops if isinstance(engine, InCameraEngine) else engine


def _bare_invokes(engine: Engine, seconds: float) -> list[float]:
    """How long bare invokes take, s; none where only cameras infer."""
    at_work = _at_work(engine)
    return [] if at_work is None else bare_invokes(at_work, seconds)


def _engine_facts(config: Config, engine: Engine, used: ModelInUse) -> dict[str, Any]:
    """What infers: `engine` and `model` are those of posed, `in_camera` is the network of cameras.

    `crops` says of what is inferred there is of rotated crops alone, and of what there is not, why.
    """
    at_work = _at_work(engine)
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

    return {name: partial(open_camera, settings, size) for name, settings in config.cameras.items()}


class _Cameras:
    """Opens each camera once; the first that fails ends the measurement, also where others go on.

    Args:
        openers: how each is opened, by name.

    Attributes:
        on_failure: is called when one has failed.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Camera]]) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self._openers = {name: _once(opener, CameraLost, CameraError) for name, opener in openers.items()}
        self._failure: CameraError | None = None

    def open(self, name: str) -> Camera:
        """Open a camera; from its own thread."""
        try:
            return self._openers[name]()
        except CameraPreparing:  # it is asked again
            raise
        except CameraError as error:
            self._failure = self._failure or error
            self.on_failure()
            raise

    def check(self) -> None:
        """Raises: CameraError: one has failed."""
        if self._failure is not None:
            raise self._failure


def _once(
    open_it: Callable[[], T], lost: type[CameraLost | EngineLost], error: type[CameraError | EngineError]
) -> Callable[[], T]:
    """Opens a device once: where the daemon would wait for it and try again, a measurement ends.

    One that gets ready is waited for.
    """
    opened = False

    def open_once() -> T:
        nonlocal opened
        if opened:
            raise error("bench: must keep its devices, got one that was lost while it was measured")
        opened = True
        try:
            return open_it()
        except CameraPreparing:
            opened = False
            raise
        except lost as why:
            raise error(str(why)) from None

    return open_once


class _Kept:
    """An engine that the pipeline does not close.

    Attributes:
        left: is set once the pipeline has done with the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self.kind, self.device, self.why = engine.kind, engine.device, engine.why
        self.infer: Callable[[Image], Outputs] = engine.infer
        self.invoke: Callable[[], None] = engine.invoke
        self.left = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.left.set()


def bare_invokes(engine: Engine, seconds: float) -> list[float]:
    """How long each of as many invokes as fit takes when Python does nothing else, s."""
    spans = []
    engine.invoke()
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        engine.invoke()
        spans.append(time.perf_counter() - began)
    return spans
