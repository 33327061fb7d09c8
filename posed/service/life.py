"""The life of the daemon's process: when it is ready, how it does, when it reloads, and why it ends."""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Final, Protocol

from posed.config import Config, LiveConfig, reload
from posed.errors import ConfigError
from posed.pipeline.device import STARTING
from posed.pipeline.pipeline import Pipeline
from posed.service.check import check
from posed.service.first_signals import end_at_once, status_after
from posed.service.notify import Notifier, Watch
from posed.service.self_watch import SelfWatch

log = logging.getLogger(__name__)

READY_WITHIN_S: Final = 10.0
"""A device that is neither opened nor refused after this long is being waited for: booting goes on, s."""


class Life:
    """Tells systemd how the daemon does, and takes what ends or changes the process.

    Args:
        environment: says where systemd listens.
        live: the configuration of now.
        read_config: reads the configuration again; None where it never changes.
        watch: hears of progress, as systemd does.

    Attributes:
        systemd: the way to it.
        ends: why the daemon is to end; None while it goes on.
        restarting: whether it ends in order to be started again.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        live: LiveConfig,
        read_config: Callable[[], Config] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.systemd = Notifier(environment, watch=watch)
        self._live = live
        self._read_config = read_config
        self._began_at = time.monotonic()
        self._ready = False
        self._refused: tuple[str, ...] = ()
        """What was wrong with a changed configuration, for as long as nothing better came."""
        # Plain values, since signal handlers set them: one that interrupts another would wait for its lock.
        self.ends: str | None = None
        self.restarting = False
        self._reloading = False
        self._failure: BaseException | None = None

    def stop(self, why: str) -> None:
        """Make the daemon end, and say why; safe in a signal handler."""
        self.ends = why

    def restart(self, why: str) -> None:
        """Make the daemon end in order to be started again."""
        self.restarting = True
        self.stop(why)

    def ask_reload(self) -> None:
        """Make `reload_if_asked` read the configuration again; safe in a signal handler."""
        self._reloading = True

    def begin(self) -> None:
        """Give the devices their time from now on, and let a bug in any thread end the daemon."""
        self._began_at = time.monotonic()
        threading.excepthook = self._on_thread_failure

    def _on_thread_failure(self, failed: threading.ExceptHookArgs) -> None:
        self._failure = failed.exc_value

    def raise_failure(self) -> None:
        """Raise what a thread ended with, if one has."""
        if self._failure is not None:
            raise self._failure

    def report(self, pipeline: Pipeline, broker: str | None, line: Callable[[], str]) -> None:
        """Tell systemd that the daemon is ready, once each device is opened or waited for; and how it does.

        Args:
            pipeline: has the devices.
            broker: what the broker is being waited for; None where it is not.
            line: makes the line of how the daemon does.
        """
        if not self.systemd.listens:
            return
        cameras = {name: feed.status for name, feed in pipeline.feeds.items()}
        starting = STARTING in (*cameras.values(), pipeline.engine)
        if not self._ready and (not starting or time.monotonic() - self._began_at > READY_WITHIN_S):
            self._ready = True
            self.systemd.ready()
        waiting = [*((f"camera {name}", camera.why) for name, camera in cameras.items())]
        waiting += [("the engine", pipeline.engine.why), ("the broker", broker or "")]
        conditions = [f"waiting for {part}: {why}" for part, why in waiting if why]
        conditions += [f"{name} paused on request" for name, feed in pipeline.feeds.items() if feed.paused]
        self.systemd.status("; ".join([*self._refused, *conditions]), line)

    def reload_if_asked(self) -> None:
        """Take over what applies at once; a configuration that is not good changes nothing."""
        if not self._reloading:
            return
        self._reloading = False
        if self._read_config is None:
            return
        self.systemd.reloading()
        try:
            wanted = self._read_config()
            check(wanted)
        except ConfigError as error:
            self._refuse(error.problems)
        except Exception as error:  # noqa: BLE001 whatever it is, people are still seen
            # Without its words, unless they are the system's: they may hold what was in the file.
            why = (isinstance(error, OSError) and error.strerror) or "a fault inside posed"
            where = traceback.format_tb(error.__traceback__)
            log.error("%s at:\n%s", type(error).__name__, "".join(where).rstrip())  # noqa: TRY400
            self._refuse([f"{type(error).__name__}: {why}"])
        else:
            self._take_over(wanted)
        self.systemd.ready()

    def _take_over(self, wanted: Config) -> None:
        self._refused = ()
        done = reload(self._live.config, self._live.filled(wanted))
        self._live.take_over(done.config)
        log.info("reloaded: %s", ", ".join(done.applied) or "nothing new that applies at once")
        if done.waiting:
            log.warning("needs a restart: %s", ", ".join(done.waiting))

    def _refuse(self, problems: Sequence[str]) -> None:
        for problem in (*problems, "not reloaded: the configuration stays as it was"):
            log.error("%s", problem)
        self._refused = (f"not reloaded: {', '.join(problems)}",)

    def end(self) -> None:
        """Tell systemd that the daemon ends."""
        if self.restarting:
            self.systemd.restarting()
        else:
            self.systemd.stopping()


class Daemon(Protocol):
    """What signals act on."""

    @property
    def life(self) -> Life: ...  # noqa: D102

    def run(self) -> None: ...  # noqa: D102


def live_with_signals(
    open_daemon: Callable[[Callable[..., Life]], Daemon], environment: Mapping[str, str]
) -> bool:
    """Run a daemon until SIGTERM, SIGINT, a request or the end of a video; SIGHUP reloads it.

    Args:
        open_daemon: makes it, which may take as long as a download, with what is to make its `Life`.
        environment: says where the state folder is, and whether systemd watches.

    Returns:
        Whether it is to be started again.

    Raises:
        SystemExit: a signal has ended it, and its exit status is to be another than 0.
    """
    life: Life | None = None
    changed_meanwhile = False
    ended_meanwhile: str | None = None
    ended_by = 0

    # Neither logs: a storm of signals would interrupt the log in the log.
    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal ended_meanwhile, ended_by
        why = f"stopping on {signal.Signals(number).name}"
        if life is None:  # a model is still being read, or downloaded
            ended_meanwhile = why
            sys.exit(status_after(number))
        ended_by = number
        life.restarting = False
        life.stop(why)

    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        nonlocal changed_meanwhile
        if life is None:
            changed_meanwhile = True
        else:
            life.ask_reload()

    # Where every thread is, on standard error, when a library crashes or the watchdog fires.
    faulthandler.enable()
    watch = SelfWatch.of(environment)
    watch.begin()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if not sys.stdin.isatty():  # at a terminal it says that the terminal is gone
        signal.signal(signal.SIGHUP, on_hangup)
    try:
        daemon = open_daemon(partial(Life, watch=watch))
        life = daemon.life
    except SystemExit:
        log.info("%s", ended_meanwhile)
        raise
    if ended_meanwhile is not None:  # somebody has caught our SystemExit
        life.stop(ended_meanwhile)
    if changed_meanwhile:
        life.ask_reload()
    daemon.run()
    _leave_signals(life, status_after(ended_by))
    return life.restarting


def _leave_signals(life: Life, status: int) -> None:
    """Hear signals no longer, now that the daemon has ended, and exit where its status is not 0."""
    if life.restarting:
        end_at_once()  # whoever asks from here on
    if not life.restarting:  # as a signal may have had it meanwhile
        # All is done: whoever asks again need not kill what is only leaving.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if status:
        sys.exit(status)
