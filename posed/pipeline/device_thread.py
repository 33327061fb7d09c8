"""A thread that opens a device and uses it."""

from __future__ import annotations

import threading
import time
from typing import Final

from posed.errors import CameraLost, CameraPreparing, EngineLost
from posed.pipeline.device import DeviceMonitor
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.slots import Slots, T

POLL_S: Final = 0.1
"""How long a thread waits at most before it checks whether it is to stop, s."""


class DeviceThread:
    """A thread that uses one device, and opens it again with backoff when it is absent or lost.

    The device belongs to the thread: nobody else opens, calls or closes it. The main loop calls the public
    methods, and reads the attributes, which the thread replaces as a whole; so there is no lock.

    Args:
        name: of the thread.
        device: how the device does.

    Attributes:
        device: how the device does.
        failure: what ended the thread, for the main loop to raise; None while it works, or was just stopped.
    """

    def __init__(self, name: str, device: DeviceMonitor) -> None:
        self.device = device
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Open the device, in the background."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the thread close the device and end; returns at once."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; False if that takes longer than `timeout_s`: the device hangs."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Keep what ends the thread: nothing dies silently."""
        try:
            while not self._stopping.is_set():
                self._attempt()
        except BaseException as error:  # noqa: BLE001 handed on, not swallowed
            self.failure = error
        finally:
            self.device.end_call()

    def _attempt(self) -> None:
        """Use the device until it is lost, or the thread is to stop."""
        self.device.begin_opening()
        try:
            self._use_device()
        except CameraPreparing as why:
            self._wait(self.device.prepares(why))
            if self._stopping.is_set() or not self._may_open():
                why.give_up()
        except (CameraLost, EngineLost) as error:
            self._wait(self.device.lost(error))

    def _use_device(self) -> None:
        """Open the device, and use it until the thread is to stop.

        Raises:
            CameraLost, EngineLost: opening it again may help.
        """
        raise NotImplementedError

    def _may_open(self) -> bool:
        """Whether the device may be opened now."""
        return True

    def _wait(self, delay_s: float) -> None:
        """Wait before the next attempt."""
        until = time.monotonic() + delay_s
        while not self._stopping.wait(min(POLL_S, delay_s)) and time.monotonic() < until:
            if not self._may_open():
                return

    def _put_when_free(self, slots: Slots[FrameSource, T], source: FrameSource, item: T) -> None:
        """Hand an item over once the one before is taken, unless the thread is to stop."""
        while not slots.put_if_free(source, item, POLL_S) and not self._stopping.is_set():
            pass
