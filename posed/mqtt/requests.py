"""Requests over MQTT: which verbs there are, how much may be asked, and the answers.

Whoever may publish on the request topics is trusted with the verbs, not with being careful: nothing that a
message can hold, and no number of them, does more than be refused.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from posed.errors import PosedError, RequestError
from posed.log import Throttled
from posed.messages.structs import Envelope, Request, Response, encode
from posed.messages.topics import Topics
from posed.mqtt.attempt import Received
from posed.mqtt.broker import Broker, PublishResult
from posed.timing import RateLimiter

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024
"""A request's payload may have at most this many bytes: room for the polygons of many zones."""

MAX_WAITING: Final = 32
"""At most this many requests may wait for the main loop, which looks for them after each frame."""

MAX_AT_ONCE: Final = 20
MAX_PER_S: Final = 10.0
"""`MAX_AT_ONCE` requests are taken at once, and this many per second in the long run: more than buttons and
sliders make."""

WARN_EVERY_S: Final = 60.0

_MAX_ERROR: Final = 300
"""The reason in an answer, which quotes what came, has at most this many characters."""

_VERB: Final = re.compile(r"[a-z][a-z_]{0,31}", re.ASCII)
"""A verb has to look like this; a topic of it is then safe to answer on."""

R = TypeVar("R", bound=Request)
S = TypeVar("S", bound=Struct)


class PartlyDone(RequestError):
    """What was asked for was done for some cameras at most.

    Args:
        why: in one line.
        data: what was done, and what was not.
    """

    def __init__(self, why: str, data: Struct) -> None:
        super().__init__(why)
        self.data = data


@dataclass(frozen=True, slots=True)
class Verb(Generic[R]):
    """Something that can be asked for.

    Args:
        request: the verb's arguments.
        handle: does it and returns the response's `data`, from the thread that calls `serve`, within
            milliseconds. A PosedError that it raises is the answer.
    """

    request: type[R]
    handle: Callable[[R], Struct]


class Requests:
    """Takes requests from the network thread and answers them from another.

    Args:
        topics: where they come and are answered.
        verbs: what can be asked for.
        clock: monotonic time, s.
    """

    def __init__(
        self, topics: Topics, verbs: Mapping[str, Verb[Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.verbs = verbs
        self._topics = topics
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._limiter = RateLimiter(MAX_AT_ONCE, MAX_PER_S, clock)
        self._warn = Throttled(log, WARN_EVERY_S, clock)

    def receive(self, message: Received) -> None:
        """Keep a request for `serve`, or drop it with a throttled warning."""
        verb = self._topics.verb(message.topic)
        why = self._objection(verb, message)
        if why is None:
            self._waiting.append((verb, message.payload))
        else:
            self._warn.warning(f"request {verb[:32]!r} dropped: {why}")

    def serve(self, broker: Broker) -> None:
        """Answer everything that waits."""
        for _ in range(len(self._waiting)):
            verb, payload = self._waiting.popleft()
            response = self.answer(verb, payload)
            log.debug("request %s: %s", verb, response.status)
            result = broker.publish(self._topics.response(verb), encode(response), qos=1)
            if result is PublishResult.TOO_LARGE:
                self._say_too_large(broker, verb, response)

    def _say_too_large(self, broker: Broker, verb: str, response: Response[Struct]) -> None:
        """Answer at least that there is an answer, which the broker does not take."""
        error = f"{response.status}, but the answer is larger than the broker takes"
        short: Response[Struct] = Response(transaction=response.transaction, status="error", error=error)
        broker.publish(self._topics.response(verb), encode(short), qos=1)

    def answer(self, verb: str, payload: bytes) -> Response[Struct]:
        """Do what is asked for, or say why not.

        Args:
            verb: the last part of the topic.
            payload: JSON, an object; empty is one without arguments.
        """
        transaction: str | UnsetType = UNSET
        payload = payload or b"{}"
        try:
            transaction = _decode(payload, Envelope).transaction
            data = self._do(verb, payload)
        except PartlyDone as error:
            return Response(
                transaction=transaction, status="error", error=str(error)[:_MAX_ERROR], data=error.data
            )
        except PosedError as error:
            return Response(transaction=transaction, status="error", error=str(error)[:_MAX_ERROR])
        return Response(transaction=transaction, status="ok", data=data)

    def _do(self, name: str, payload: bytes) -> Struct:
        verb = self.verbs.get(name)
        if verb is None:
            raise RequestError(f"request: must be one of {', '.join(sorted(self.verbs))}, got {name!r}")
        return verb.handle(_decode(payload, verb.request))

    def _objection(self, verb: str, message: Received) -> str | None:
        """Why a message is not even answered."""
        if message.retained:
            return "it is retained, and would come again with every connection"
        if not _VERB.fullmatch(verb):
            return "no verb looks like this"
        if len(message.payload) > MAX_BYTES:
            return f"must be at most {MAX_BYTES} bytes, got {len(message.payload)}"
        if not self._limiter.grants():
            return f"more than {MAX_PER_S:g} requests per second"
        if len(self._waiting) >= MAX_WAITING:
            return f"{MAX_WAITING} are waiting already"
        return None


def _decode(payload: bytes, kind: type[S]) -> S:
    """Raises: RequestError: says where, the rule, and what came."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        rule, _, place = str(error).partition(" - at `$.")
        raise RequestError(f"{place.rstrip('`') or 'request'}: {rule[0].lower()}{rule[1:]}") from None
    except RecursionError:
        raise RequestError("request: nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestError(f"request: must be JSON in UTF-8 ({_reason(payload, error)})") from None


def _reason(payload: bytes, error: Exception) -> str:
    """Why this is no JSON; in Python's words where it is no UTF-8, since msgspec's differ by version."""
    try:
        payload.decode()
    except UnicodeDecodeError as undecodable:
        return str(undecodable)
    return str(error)
