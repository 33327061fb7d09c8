"""The journal of one camera's scene, kept in the spool."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from posed.mqtt.spool import Spool
from posed.mqtt.store import StoreError
from posed.pipeline.journal import JournalError, State
from posed.pipeline.occurrence import Occurrence

log = logging.getLogger(__name__)


class SceneJournal:
    """Hands a scene's events and its state to the spool, which writes both in one transaction.

    It is for the scene's thread.

    Args:
        spool: keeps events and states.
        camera: name of the scene's camera.
    """

    def __init__(self, spool: Spool, camera: str) -> None:
        self._spool = spool
        self._camera = camera
        self._added: dict[str, Occurrence] = {}

    def read(self) -> State | None:
        """Return the state that was committed last; None if none ever was. The spool must have been started.

        Raises:
            JournalError: it is damaged, or the spool's file cannot be read.
        """
        try:
            text = self._spool.scene_state(self._camera)
            state: State | None = None if text is None else json.loads(text)
        except (StoreError, ValueError, RecursionError) as error:
            raise JournalError(str(error)) from None
        return state

    def add(self, occurrence: Occurrence) -> str:
        """Make an event part of the next commit; returns its id."""
        event_id = self._spool.new_id(occurrence.time_s)
        self._added[event_id] = replace(occurrence, camera=self._camera)
        return event_id

    def commit(self, state: State | None = None) -> None:
        """Hand over the events that were added, and the state, if it is given."""
        events, self._added = self._added, {}
        if events or state is not None:
            self._spool.commit(events, {} if state is None else {self._camera: json.dumps(state)})


def delete_old_falls(folder: Path) -> None:
    """Delete `falls.json`, in which an earlier version kept who is down.

    Args:
        folder: the state folder; need not exist.
    """
    file = folder / "falls.json"
    try:
        if file.is_file():
            file.unlink()
            log.info("%s: deleted: who is down is now kept in spool.sqlite", file)
    except OSError as error:
        log.warning("%s: no longer used, but cannot be deleted: %s", file, error.strerror)
