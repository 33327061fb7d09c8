"""Plays recorded poses again: through tracking, postures, zones and events, as the daemon would have.

Only the frames' own times count, so that a recording gives the same events at any speed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from posed.config import Config, changed
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


def replay(
    lines: Iterable[RecordingLine], config: Config, report: Callable[[Occurrence], str], *, as_recorded: bool
) -> Iterator[Played]:
    """Play a recording.

    Args:
        lines: the recording's lines.
        config: the settings.
        report: takes an event over and returns its id.
        as_recorded: whether the recorded settings go before those of `config`.

    Raises:
        RecordingError: the recorded settings are none of this version's.
    """
    since_s, before_s = 0.0, math.inf
    start: RecordingStart | None = None
    scene: Scene | None = None
    with TemporaryDirectory(prefix="posed-replay-") as folder:
        journal, pitch = MemoryJournal(report), Path(folder) / "pitch.json"
        for line in lines:
            if isinstance(line, RecordingStart):
                config = _with_settings(config, line) if as_recorded else config
                if scene is None or start is None or line.run != start.run:
                    # The daemon was started anew, so that ids begin anew and falls go on.
                    scene = Scene(config, journal, pitch)
                    scene.restore()
                scene.configure(config)
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


def _with_settings(config: Config, start: RecordingStart) -> Config:
    try:
        return changed(config, start.settings)
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
