"""Waiting for a device: only so long where its driver hangs, and for longer while it gets ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from posed.errors import CameraPreparing

T = TypeVar("T")

WAIT_S: Final = 1.0
"""A camera that gets ready is asked again after this long, s."""


class Hangs(Exception):
    """Something did not return in time; a thread is left behind in it."""


def within(limit_s: float, what: str, function: Callable[[], T]) -> T:
    """What a function gives, in a thread of its own.

    Raises:
        Hangs: it did not return within `limit_s`.
        Exception: its own.
    """
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 whoever waits gets it
            outcome.set_exception(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome.done():
        raise Hangs(f"{what} hangs: no result within {limit_s:g} s")
    return outcome.result()


def once_ready(function: Callable[[], T], tell: Callable[[str], object], wait_s: float) -> T:
    """What a function gives that opens a camera, as soon as the camera is ready.

    Args:
        function: is called again for as long as it raises CameraPreparing.
        tell: hears each time what the camera gets ready with.
        wait_s: before it is called again, s.
    """
    told = ""
    while True:
        try:
            return function()
        except CameraPreparing as why:
            if str(why) != told:
                tell(told := str(why))
            time.sleep(wait_s)
