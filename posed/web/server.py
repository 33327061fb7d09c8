"""The web server: an event loop in a thread of its own, which the daemon starts, feeds and stops."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp import web
from msgspec import Struct

from posed.config import Config
from posed.frame import Frame
from posed.log import Throttled
from posed.messages.structs import EventMessage, PageState, Response
from posed.paths import timeline_file
from posed.people.events import TrackedPerson
from posed.pipeline.stage_timings import StageTimings
from posed.timing import Backoff, NotBefore
from posed.web import history, metrics, pages, requests, settings
from posed.web.authenticator import LOGIN, Authenticator, Handler, TrustedProxy, headers_of
from posed.web.camera_stream import ShownFrame
from posed.web.connection import Connection, Limits, add_headers, in_time
from posed.web.main_loop_calls import MainLoopCalls
from posed.web.stream import Stream
from posed.web.timeline import Kind, Timeline

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 30.0
"""Attempts to listen are at most this far apart, s, where the port is taken or the address does not exist
yet."""

MAX_BYTES: Final = 64 * 1024
"""A request may have at most this many bytes: room for the polygons of many zones."""

KEPT_EVERY_S: Final = 1.0
"""The timeline learns this often how every camera does, s."""

_HANDLERS_STOP_S: Final = 0.5

_WARN_EVERY_S: Final = 60.0

_warn = Throttled(log, _WARN_EVERY_S)

_silent = logging.getLogger(f"{__name__}.aiohttp")
"""aiohttp writes to this logger, which is silent: it quotes requests, in which a token may be."""
_silent.disabled = True


class WebServer:
    """Serves the page, and what else has a route.

    A port that is taken ends nothing: the daemon works without its page, and the server waits for the port.

    Args:
        config: the whole configuration; `web` is the server's own section.
        state: how everything does; called by `serve`.
        answer: does what is asked for, as over MQTT; called by `serve`.
        environment: says where the state folder is.

    Attributes:
        limits: the limits of connections; taken over when the server begins to listen.
        listening: whether the server can be reached.
    """

    def __init__(
        self,
        config: Config,
        state: Callable[[], PageState],
        answer: Callable[[str, bytes], Response[Struct]],
        environment: Mapping[str, str],
    ) -> None:
        self._config = config.web
        self._state = state
        self._answer = answer
        self.calls = MainLoopCalls()
        self._loop = asyncio.new_event_loop()
        self.stream = Stream(config, self._loop)
        self.timeline = Timeline(timeline_file(environment), config.web.timeline_days)
        self._next_kept = NotBefore()
        self.metrics = metrics.Metrics(config.cameras)
        self._authenticator = Authenticator(config.web, pages.ask_for_token)
        self._stopping = asyncio.Event()
        self.limits = Limits()
        self.listening = False
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    # From the main loop

    def start(self) -> None:
        """Listen, in the background."""
        self.timeline.start()
        self._thread.start()

    def configure(self, config: Config) -> None:
        """Go on with other cameras, and with what may be seen of each."""
        self.stream.configure(config)
        self.metrics.configure(config.cameras)

    def show(
        self,
        camera: str,
        frame: Frame,
        people: Sequence[TrackedPerson],
        stages: StageTimings,
        keypoint_threshold: float,
    ) -> None:
        """A camera's frame was processed, and these people are in it.

        This costs next to nothing while nobody looks at this camera.
        """
        published_at = time.monotonic() - stages.wall_s.get("look", 0.0)
        self.metrics.count_frame(camera, published_at - frame.captured_at, stages.wall_s)
        self.stream.show(camera, ShownFrame(frame, people, stages.wall_s, keypoint_threshold))

    def report(self, event: EventMessage) -> None:
        """Something happened."""
        self.metrics.count_event(event.camera, event.type)
        self.stream.report(event)
        self.timeline.add(event)

    def serve(self) -> None:
        """Answer requests, and show and keep how everything does; the main loop calls this often."""
        answered = self.calls.serve(self._answer)
        is_shown = self.stream.is_due(at_once=answered)
        is_kept = self._config.timeline_days > 0 and self._next_kept.take(KEPT_EVERY_S)
        if not (is_shown or is_kept):
            return
        now = self._state()
        if is_shown:
            self.stream.refresh(now)
        if is_kept:
            self.timeline.note({name: _kind(now, name) for name in now.cameras})

    def leave(self) -> None:
        """Begin to stop, without waiting."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stopping.set)

    def stop(self, timeout_s: float) -> None:
        """Close all connections, within `timeout_s` seconds."""
        self.leave()
        if self._thread.ident is not None:
            self.timeline.stop(timeout_s)
            self._thread.join(timeout_s)

    # In the server's own thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        runner = web.AppRunner(
            self._app(), shutdown_timeout=_HANDLERS_STOP_S, logger=_silent, access_log=None
        )
        await runner.setup()
        try:
            if await self._listen(runner):
                await self._stopping.wait()
        finally:
            await self.stream.close()
            if self._server is not None:
                self._server.close()
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> bool:
        """Try until it listens; False if it is to stop before."""
        host, port = self._config.host, self._config.port
        where = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, random.random)
        warned_of = ""
        assert runner.server is not None
        proxy = TrustedProxy(self._config.trusted_proxy)
        connection = partial(Connection, runner.server, [], self.limits, proxy)
        while not self._stopping.is_set():
            try:
                self._server = await self._loop.create_server(connection, host, port)
            except OSError as error:
                if warned_of != str(error):
                    log.warning("live view: waiting for %s: %s", where, os.strerror(error.errno or 0))
                warned_of = str(error)
            else:
                log.info("live view: %s", where)
                self.listening = True
                return True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff.next_s())
        return False

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[in_time, self._authenticator.middleware, _without_bugs], client_max_size=MAX_BYTES
        )
        app.on_response_prepare.append(partial(add_headers, headers_of(self._config)))
        app.add_routes(self._routes())
        return app

    def _routes(self) -> Sequence[web.AbstractRouteDef]:
        """Everything that is served; all of it behind the authenticator."""
        return [
            web.post(LOGIN, self._authenticator.login),
            web.get("/live/{camera:[^/]*}", self.stream.serve),
            web.post("/api/request/{verb}", requests.handler(self.calls)),
            web.get("/api/settings", settings.answer),
            web.get("/api/timeline", history.handler(self.timeline)),
            *metrics.routes(self.metrics, self.calls),
            *pages.routes(lambda: self.stream.cameras),
        ]


def _kind(now: PageState, camera: str) -> Kind:
    """How a camera does, in the timeline's words: the gravest of all that holds."""
    state = now.cameras[camera]
    if any(fall.camera == camera for fall in now.falls):
        return "fall"
    if state.paused:
        return "paused"
    if state.people is None:
        return "blind"
    if any(tracked.posture == "lying" for tracked in now.people[camera]):
        return "lying"
    return "somebody" if state.people else "empty"


@web.middleware
async def _without_bugs(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A bug in an answer is logged, and ends neither the server nor the daemon, which others rely on."""
    try:
        return await handler(request)
    except (web.HTTPException, asyncio.CancelledError, ConnectionError):
        raise
    except Exception:  # noqa: BLE001 logged, with all there is to know
        _warn.warning(f"live view: {request.path}: failed: {traceback.format_exc()}")
        return web.Response(status=500, text="failed: the log says more\n")
