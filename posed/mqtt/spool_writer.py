"""Brings the spool's file to what the spool holds, and tries a bad disk again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from posed.mqtt.spool_contents import SpoolContents, Transaction
from posed.mqtt.store import Contents, Moment, Store, StoreError
from posed.timing import Backoff, NotBefore

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 5.0
"""A disk, or a broker that refuses, is tried again after at most `RETRY_MIN_S`, then at longer intervals of
at most `RETRY_MAX_S`, s."""

_SLOW_S: Final = 5.0
"""A disk that takes longer to write is reported as not durable, s."""


class SpoolWriter:
    """Writes what the file lacks: one transaction, one fsync, during which nobody holds the spool's lock.

    All but `why` is for one thread: the one that starts the spool, and from then on the spool's own.

    Args:
        store: the file.
        contents: what the spool holds.
        now: the present.
    """

    def __init__(self, store: Store, contents: SpoolContents, now: Callable[[], Moment]) -> None:
        self._store = store
        self._contents = contents
        self._now = now
        self._rewrites = False
        self._why: str | None = f"{store.file}: not open yet"
        self._began: Moment | None = None
        self._backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S, random.random)
        self._next = NotBefore()

    @property
    def is_open(self) -> bool:
        """Whether the file can be written, as far as is known."""
        return self._store.is_open

    @property
    def why(self) -> str | None:
        """Why events may not outlive a power cut now, in one line; None if they do. From any thread."""
        why, began = self._why, self._began
        if why is None and began is not None and began.age_s(self._now()) > _SLOW_S:
            return f"writing takes longer than {_SLOW_S:g} s"
        return why

    def write(self) -> None:
        """Write what the file lacks, if it can be written now."""
        if not self._open():
            return
        with self._contents.changed:
            transaction = self._contents.unwritten()
        if self._why is None and transaction.is_empty:
            return
        self._began = self._now()
        try:
            self._store.write(
                [event.stored for event in transaction.events],
                transaction.removed,
                transaction.falls,
                transaction.scenes,
                afresh=self._rewrites,
            )
        except StoreError as error:
            self._fail(error.why)
            return
        finally:
            self._began = None
        self._succeed(transaction)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def _open(self) -> bool:
        """Open the file if it is time to; True where it is open."""
        if self._store.is_open or not self._next.is_due:
            return self._store.is_open
        self._began = self._now()
        try:
            self._load(self._store.open(), on_disk=True)
        except StoreError as error:
            self._load(error.contents, on_disk=False)
            self._fail(error.why)
        finally:
            self._began = None
        return self._store.is_open

    def _load(self, contents: Contents | None, *, on_disk: bool) -> None:
        if contents is not None:
            with self._contents.changed:
                self._contents.load(contents, on_disk=on_disk)

    def _succeed(self, transaction: Transaction) -> None:
        with self._contents.changed:
            self._rewrites = False
            if self._why is not None and self._next.is_set:
                log.info("event spool: durable again, %d events waiting", len(self._contents.events))
            self._why = None
            self._next.reset()
            self._backoff.reset()
            self._contents.note_written(transaction)

    def _fail(self, why: str) -> None:
        """Keep everything in memory, and write all of it once the disk can be written again."""
        if self._why != why:
            log.warning("event spool: %s; events are kept in memory only", why)
        with self._contents.changed:
            self._why = why
            self._rewrites = self._contents.loaded
            self._contents.note_unwritable()
        self._next.put_off(self._backoff.next_s())
