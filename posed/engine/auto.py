"""The engine that `auto` chose while the Edge TPU was away: the CPU, until the device is back."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Final, Self

from posed.engine.base import Engine
from posed.errors import EngineError, EngineLost
from posed.frame import Image
from posed.model.outputs import Outputs
from posed.timing import Backoff

log = logging.getLogger(__name__)

FIRST_SEARCH_S: Final = 4.0
LONGEST_SEARCH_S: Final = 6.0
"""The device is searched for again after `FIRST_SEARCH_S` at most, and in the long run after this at most,
s."""

CLOSE_S: Final = 0.2
"""Closing waits this long for a search that is under way, s; one that hangs in the library is left behind."""


class FallbackEngine:
    """Infers on the CPU, and searches for the Edge TPU beside it; between two frames that takes over.

    Args:
        cpu: opened.
        open_edgetpu: opens the Edge TPU, or raises EngineLost while it is away.
        backoff: between two searches.

    Attributes:
        kind, device, why: of the one that infers, as `Engine`.
    """

    def __init__(
        self, cpu: Engine, open_edgetpu: Callable[[], Engine], backoff: Backoff | None = None
    ) -> None:
        self._use(cpu)
        self._open_edgetpu = open_edgetpu
        self._backoff = backoff or Backoff(FIRST_SEARCH_S, LONGEST_SEARCH_S, random.random)
        self._lock = threading.Lock()
        self._found: Engine | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._search, name="edgetpu", daemon=True)
        self._thread.start()

    def infer(self, image: Image) -> Outputs:
        """Run the network.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Raises:
            EngineLost: the Edge TPU had taken over and failed; opening it again may help.
        """
        self._change_over()
        return self._engine.infer(image)

    def invoke(self) -> None:
        """Run the network on the input that is there.

        Raises:
            EngineLost: as `infer`.
        """
        self._engine.invoke()

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self.kind, self.device, self.why = engine.kind, engine.device, engine.why

    def _change_over(self) -> None:
        with self._lock:
            found, self._found = self._found, None
        if found is not None:
            self._engine.__exit__(None, None, None)
            self._use(found)
            log.info("engine: %s, %s (%s)", found.kind, found.device, found.why)

    def _search(self) -> None:
        """Search for the Edge TPU until it is found, or can never be."""
        while not self._closing.wait(self._backoff.next_s()):
            try:
                found = self._open_edgetpu()
            except EngineLost:
                continue
            except EngineError as error:
                log.warning("no longer searching for the Edge TPU: %s", error)
                return
            with self._lock:
                if not self._closing.is_set():
                    self._found = found
                    return
            found.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of every device."""
        self._closing.set()
        self._thread.join(CLOSE_S)
        with self._lock:
            found, self._found = self._found, None
        for engine in (found, self._engine):
            if engine is not None:
                engine.__exit__(None, None, None)
