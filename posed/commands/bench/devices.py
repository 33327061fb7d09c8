"""The devices that are measured: each is opened once, and is to stay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Self

from posed.commands.waiting import Hangs, within
from posed.errors import CameraError, CameraLost, CameraPreparing, EngineError, EngineLost

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.engine.base import Engine
    from posed.frame import Image
    from posed.model.outputs import Outputs


class Cameras:
    """Opens each camera once; the first that fails ends the measurement, also where others go on.

    One that gets ready is waited for.

    Args:
        openers: how each is opened, by name.
        tell: hears what a camera gets ready with.

    Attributes:
        on_failure: is called when one has failed.
        why_lost: why a camera of this name is to be opened again.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Camera]], tell: Callable[[str], object]) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self.why_lost: Callable[[str], str] = lambda _: ""
        self._openers = openers
        self._tell = tell
        self._opened: set[str] = set()
        self._told: dict[str, str] = {}
        self._failure: CameraError | None = None

    def open(self, name: str) -> Camera:
        """Open a camera; from its own thread."""
        try:
            return self._open(name)
        except CameraPreparing as why:  # it is asked again
            if str(why) != self._told.get(name):
                self._told[name] = str(why)
                self._tell(str(why))
            raise
        except CameraError as error:
            self._failure = self._failure or error
            self.on_failure()
            raise

    def _open(self, name: str) -> Camera:
        """Open a camera once: where the daemon would wait for it and try again, a measurement ends."""
        if name in self._opened:
            raise CameraError(_gone(f"camera {name}", self.why_lost(name)))
        self._opened.add(name)
        try:
            return self._openers[name]()
        except CameraPreparing:
            self._opened.remove(name)
            raise
        except CameraLost as why:
            raise CameraError(str(why)) from None

    def check(self) -> None:
        """Raises: CameraError: one has failed."""
        if self._failure is not None:
            raise self._failure


def _gone(device: str, why: str) -> str:
    return f"bench: must keep {device} while it is measured, lost it: {why}"


class KeptEngine:
    """An engine that the pipeline opens once and does not close.

    One for rotated crops alone may go: cameras that infer themselves are measured on. It does not come back.

    Args:
        engine: which is open.
        hang_s: after how long an inference counts as hanging, s.

    Attributes:
        kind, device, why: as `Engine`.
        at_work: what infers here; None where only cameras do.
        lost: why it went; empty while it is there.
    """

    def __init__(self, engine: Engine, hang_s: float) -> None:
        from posed.engine.in_camera import InCameraEngine

        self.kind, self.device, self.why = engine.kind, engine.device, engine.why
        self._engine = engine
        self._hang_s = hang_s
        self._may_go = isinstance(engine, InCameraEngine)
        self.at_work = engine.crops if isinstance(engine, InCameraEngine) else engine
        self.lost = "" if self.at_work is not None else engine.why
        self._opened = False
        self._left = threading.Event()

    def open(self) -> Self:
        """Give it to the pipeline.

        Raises:
            EngineError: it was lost.
        """
        if self._opened:
            raise EngineError(_gone("the engine", self.lost))
        self._opened = True
        return self

    def infer(self, image: Image) -> Outputs:
        """As `Engine`."""
        from posed.engine.in_camera import CropsLeftOut

        if self.lost:
            raise CropsLeftOut(self.lost)
        try:
            return self._engine.infer(image)
        except EngineError as error:
            self.lost = str(error)
            raise

    def invoke(self) -> None:
        """As `Engine`."""
        self._engine.invoke()

    def bare_invokes(self, seconds: float) -> list[float]:
        """How long bare invokes take, s; none where only cameras infer, or the engine is gone.

        Raises:
            EngineError: it went just now, and may not.
        """
        if self.at_work is None or self.lost:
            return []
        limit_s = seconds + self._hang_s
        try:
            return within(limit_s, "the engine", partial(bare_invokes, self.at_work, seconds))
        except (EngineLost, Hangs) as error:
            self.lose(str(error))
            return []

    def lose(self, why: str) -> None:
        """Do without it from here on.

        Raises:
            EngineError: it may not go.
        """
        self.lost = self.lost or why
        if not self._may_go:
            raise EngineError(why)

    def wait_until_left(self) -> None:
        """Wait until the pipeline has done with it.

        Raises:
            EngineError: it hangs, and may not.
        """
        if self._opened and not self.lost and not self._left.wait(self._hang_s):
            self.lose(f"the engine hangs: no result within {self._hang_s:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()


def bare_invokes(engine: Engine, seconds: float) -> list[float]:
    """How long each of as many invokes as fit takes when Python does nothing else, s."""
    spans = []
    engine.invoke()
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        engine.invoke()
        spans.append(time.perf_counter() - began)
    return spans
