"""Waiting for a device only so long: a driver that hangs must not hang its test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


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

    thread = threading.Thread(target=attempt, name="selftest", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome.done():
        raise Hangs(f"{what} hangs: no result within {limit_s:g} s")
    return outcome.result()
