"""Plays recorded poses again: through tracking, postures, zones and events, as the daemon would have.

Only the frames' own times count, so that a recording gives the same events at any speed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from posed.config import CameraConfig, Config, changed
from posed.config.settings import ZONES
from posed.errors import ConfigError, RecordingError
from posed.frame import Frame
from posed.messages.structs import RecordedFrame, RecordingLine, RecordingStart, pose_of
from posed.people.events import TrackedPerson
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene

LONGEST_WAIT_S: Final = 2.0
"""Longer gaps in a recording, such as a pause, are cut to this when it is played at a speed, s."""


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A recording of which the first line has been read.

    Args:
        start: that line.
        lines: all lines, the first one included; to be taken once.
        config: has the camera of the recording, and no other, with the settings that it is played with.
        as_recorded: whether what is recorded of settings goes before those.
    """

    start: RecordingStart
    lines: Iterator[RecordingLine]
    config: Config
    as_recorded: bool

    @property
    def camera(self) -> str:
        """The name of the camera that was recorded."""
        return self.start.camera


def begin(lines: Iterable[RecordingLine], config: Config, camera: str | None, *, as_recorded: bool) -> Begun:
    """Read the first line of a recording, and choose the settings to play it with.

    Args:
        lines: the recording's lines.
        config: has the settings.
        camera: the name of the camera in `config` whose settings are taken; None: of the one that was
            recorded, if it is there, or of the only one.
        as_recorded: whether the recorded settings go before those of `config`.

    Raises:
        RecordingError: the recorded settings are none of this version's.
        ConfigError: it is not clear which camera's settings are meant.
    """
    rest = iter(lines)
    start = next(rest)
    assert isinstance(start, RecordingStart), "a recording begins with a start"
    known = start.camera if start.camera in config.cameras else None
    settings = CameraConfig() if as_recorded else config.cameras[config.chosen(camera or known)]
    alone = _with_camera(config, start.camera, settings)
    return Begun(
        start,
        itertools.chain([start], rest),
        _as_recorded(alone, start) if as_recorded else alone,
        as_recorded,
    )


def _with_camera(config: Config, name: str, settings: CameraConfig) -> Config:
    """A configuration with this camera alone."""
    try:
        return changed(config.model_copy(update={"cameras": {name: settings}}), {})
    except ConfigError as error:
        raise RecordingError(f"recorded of a camera that cannot be: {error.problems[0]}") from None


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What came of one frame.

    Args:
        start: how the recording, or this part of it, begins.
        config: the settings that the frame was played with.
        since_s: media time that passed since the recording's first frame, s; where time leaps back, none did.
        people: everybody of whom something is visible.
    """

    start: RecordingStart
    config: Config
    frame: Frame
    since_s: float
    people: Sequence[TrackedPerson]
    scene: Scene


def replay(recording: Begun, report: Callable[[Occurrence], str]) -> Iterator[Played]:
    """Play a recording.

    Args:
        recording: the recording, and the settings.
        report: takes an event over and returns its id.

    Raises:
        RecordingError: settings that are recorded further on are none of this version's.
    """
    config, camera = recording.config, recording.camera
    since_s, before_s = 0.0, math.inf
    start: RecordingStart | None = None
    scene: Scene | None = None
    with TemporaryDirectory(prefix="posed-replay-") as folder:
        journal, pitch = MemoryJournal(report), Path(folder) / "pitch.json"
        for line in recording.lines:
            if isinstance(line, RecordingStart):
                if recording.as_recorded:
                    config = _as_recorded(config, line)
                if scene is None or start is None or line.run != start.run:
                    # The daemon was started anew, so that ids begin anew and falls go on.
                    scene = Scene(config.cameras[camera], journal, pitch, name=camera)
                    scene.restore()
                scene.configure(config.cameras[camera])
                start = line
                continue
            assert start is not None, "a recording begins with a start"
            assert scene is not None
            frame = _frame(line)
            since_s += max(0.0, frame.time_s - before_s)
            before_s = frame.time_s
            people = scene.update([pose_of(pose) for pose in line.poses], frame, dark=line.dark)
            yield Played(start, config, frame, since_s, people, scene)


def paced(
    frames: Iterable[Played],
    speed: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Played]:
    """Hand frames on when they are due.

    Args:
        frames: the frames of a recording.
        speed: how many times as fast as they were; 0 for as fast as possible.
        clock: monotonic time, s.
        sleep: waits for the given number of seconds.
    """
    due_at, before_s = clock(), None
    for played in frames:
        if speed > 0:
            gap_s = 0.0 if before_s is None else played.frame.time_s - before_s
            due_at += min(max(gap_s, 0.0), LONGEST_WAIT_S) / speed
            before_s = played.frame.time_s
            sleep(max(0.0, due_at - clock()))
        yield played


def _as_recorded(config: Config, start: RecordingStart) -> Config:
    """A configuration with the recorded settings."""
    zones = {name: value for name, value in start.settings.items() if name == ZONES}
    others = {name: value for name, value in start.settings.items() if name != ZONES}
    try:
        return changed(changed(config, others), zones, start.camera)
    except ConfigError as error:
        raise RecordingError(
            f"recorded by posed {start.version!r} with settings that this version does not have: "
            f"{error.problems[0]}; give others with --config"
        ) from None


def _frame(line: RecordedFrame) -> Frame:
    """The frame without its picture, which nobody kept: as large as it was, and black."""
    width, height = line.size
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Frame(image, line.sequence, line.time_s, line.time_s, line.time)


class Numbered:
    """Gives events numbers as ids, so that a recording gives the same each time, and keeps them until taken.

    Args:
        publish: takes each event over, too, and returns its id at the broker.
    """

    def __init__(self, publish: Callable[[Occurrence], str] | None = None) -> None:
        self._publish = publish
        self._waiting: list[tuple[str, Occurrence]] = []
        self._numbers: dict[str, str] = {}

    def __call__(self, occurrence: Occurrence) -> str:
        """Take an event over; returns the id by which another one may name it."""
        number = str(len(self._numbers) + 1)
        event_id = self._publish(occurrence) if self._publish else number
        self._numbers[event_id] = number
        detail = dict(occurrence.detail)
        if "fall" in detail:
            detail["fall"] = self._numbers.get(detail["fall"], "")
        self._waiting.append((number, replace(occurrence, detail=detail)))
        return event_id

    def take(self) -> list[tuple[str, Occurrence]]:
        """The events since the last time, each with its number."""
        waiting, self._waiting = self._waiting, []
        return waiting
