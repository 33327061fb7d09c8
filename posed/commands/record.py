"""Records the raw poses of one camera of a daemon that runs: asks over MQTT, and writes down what comes."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import msgspec

from posed.config import Config, mqtt_password
from posed.errors import BrokerError, RecordingError
from posed.messages.structs import (
    ByCamera,
    RecordedFrame,
    RecordingLine,
    RecordingStart,
    RecordRequest,
    Response,
    encode,
)
from posed.messages.topics import Topics
from posed.mqtt.broker_session import BrokerSession, broker_session
from posed.timing import NotBefore

ASK_S: Final = 20.0
"""The daemon is asked each time to go on for this long, s; a recorder that was killed leaves it on no
longer."""

AGAIN_S: Final = 5.0
"""The daemon is asked again this often, s."""

ANSWER_S: Final = 10.0
"""A daemon that has answered nothing for this long is gone, s."""

_VERB: Final = "record"

_decode_line = msgspec.json.Decoder(RecordingLine).decode
_decode_answer = msgspec.json.Decoder(Response[ByCamera[RecordingStart]]).decode


@dataclass(slots=True)
class Written:
    """What has been recorded so far.

    Attributes:
        frames: how many; `lost`: how many more the daemon sent and the broker did not bring.
        people: how many are in the newest frame.
        size_bytes: the file's size.
    """

    frames: int = 0
    lost: int = 0
    people: int = 0
    size_bytes: int = 0
    began_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time since the recording began, s."""
        return time.monotonic() - self.began_at


def record(  # noqa: PLR0913 - keywords, each with a name at the call
    config: Config,
    camera: str,
    out: Path,
    *,
    seconds: float | None,
    replace: bool,
    show: Callable[[Written], object],
    stopped: Callable[[], bool] = lambda: False,
) -> Written | None:
    """Write a recording until it is long enough, or stopped.

    Args:
        config: names the broker and the device.
        camera: the name of the camera that is recorded.
        out: the file.
        seconds: how long to record, s; None until it is stopped.
        replace: whether a file that is there is overwritten.
        show: called with what has been written, after each frame.
        stopped: asked several times a second.

    Returns:
        None where it was stopped before the daemon had answered, so that there is no file.

    Raises:
        RecordingError: the file is there already, or cannot be written.
        BrokerError: the broker cannot be reached, or the daemon does not answer, or says why it cannot.
        ConfigError: the configuration cannot be used.
    """
    if out.is_file() and not replace:
        raise RecordingError(f"{out}: exists already; choose another name, or use --force")
    with broker_session(config.mqtt, mqtt_password(config.mqtt)) as session:
        recorder = _Recorder(session, Topics.of(config), config.device, camera)
        start = recorder.begin(stopped)
        if start is None:
            return None
        with _opened(out) as file:
            lines = _Lines(file, out)
            lines.add(start)
            while not stopped() and (seconds is None or lines.written.seconds < seconds):
                for line in recorder.receive():
                    lines.add(line)
                    show(lines.written)
            lines.flush()
    return lines.written


class _Recorder:
    """A conversation with the daemon."""

    def __init__(self, session: BrokerSession, topics: Topics, device: str, camera: str) -> None:
        self._session = session
        self._request, self._response = topics.request(_VERB), topics.response(_VERB)
        self._recording = topics.camera(camera).recording
        self._device = device
        self._camera = camera
        self._transaction = f"record-{secrets.token_hex(4)}"
        self._next_ask = NotBefore()
        self._give_up = NotBefore()
        self._give_up.put_off(ANSWER_S)
        session.listen(self._response, self._recording)
        self._ask()

    def begin(self, stopped: Callable[[], bool]) -> RecordingStart | None:
        """The daemon's first answer; None when stopped before."""
        while not stopped():
            for line in self.receive():
                # Frames that come before are of somebody else's recording.
                if isinstance(line, RecordingStart):
                    return line
        return None

    def receive(self) -> list[RecordingLine]:
        """What has come, within a moment."""
        if self._next_ask.is_due:
            self._ask()
        if self._give_up.is_due:
            raise BrokerError(
                f"device {self._device}: no answer within {ANSWER_S:g} s; is its daemon running, "
                f"and may this user publish on {self._request}?"
            )
        lines = [self._line(topic, payload) for topic, payload in self._session.receive(0.2)]
        return [line for line in lines if line is not None]

    def _ask(self) -> None:
        self._next_ask.put_off(AGAIN_S)
        request = RecordRequest(transaction=self._transaction, camera=self._camera, seconds=ASK_S)
        self._session.publish(self._request, encode(request))

    def _line(self, topic: str, payload: bytes) -> RecordingLine | None:
        try:
            if topic == self._recording:
                line: RecordingLine = _decode_line(payload)
                return line
            answer = _decode_answer(payload)
        except msgspec.DecodeError as error:
            raise BrokerError(
                f"device {self._device}: sends what this version cannot read: {error}"
            ) from None
        if answer.transaction != self._transaction:
            return None
        self._give_up.put_off(ANSWER_S)
        if answer.status == "error":
            raise BrokerError(f"device {self._device}: {answer.error}")
        return answer.data.cameras.get(self._camera) if answer.data else None


class _Lines:
    """The file, and what is in it."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.written = Written()
        self._file = file
        self._path = path
        self._start: RecordingStart | None = None
        self._number: int | None = None

    def add(self, line: RecordingLine) -> None:
        if isinstance(line, RecordedFrame):
            self._count(line)
        elif _is_news(line, self._start):
            # The daemon counts from 0 again where it was started anew.
            self._number = self._number if self._start and line.run == self._start.run else None
            self._start = line
        else:
            return
        self._write(encode(line) + b"\n")

    def _count(self, frame: RecordedFrame) -> None:
        if self._number is not None:
            self.written.lost += max(0, frame.number - self._number - 1)
        self._number = frame.number
        self.written.frames += 1
        self.written.people = len(frame.poses)

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise self._failed(error) from None
        self.written.size_bytes += len(line)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> RecordingError:
        # What is still in the buffer would be tried again, and fail again, when the file is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())
        return RecordingError(f"{self._path}: cannot be written ({error.strerror})")


def _is_news(line: RecordingStart, before: RecordingStart | None) -> bool:
    """Whether it says more than when it was asked."""
    return before is None or msgspec.structs.replace(line, time=before.time) != before


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written ({error.strerror})") from None
