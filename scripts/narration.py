"""What the demo prints of what a subscriber receives: sentences for people, or every message."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TextIO

import msgspec
import numpy as np

from posed.camera.synthetic import SyntheticCamera
from posed.config import CameraConfig
from posed.messages.structs import EventMessage, FallMessage
from posed.messages.words import event_in_words
from posed.pose import KEYPOINTS
from posed.synthetic.scene import RenderedPerson

Say = Callable[[str], None]

RATE_OVER_S: Final = 5.0
"""The frame rate is counted over this time, s."""

STALE_S: Final = 2.0
"""Who was in a frame says nothing any more after this time, s."""

NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

POSTURES: Final = {"unknown": "in between"}
"""These postures have another name in a sentence than in a message."""

BOLD_RED: Final = "1;31"
FAINT: Final = "2"


class Narrator(Protocol):
    """Tells what comes."""

    def take(self, kind: str, payload: bytes) -> None:
        """A message came, on a topic that ends in `kind`."""

    def tick(self) -> None:
        """Time has passed; called many times a second."""

    def end(self) -> None:
        """No more messages come."""


class Sentences:
    """Tells what happens at once, and once a second who is there.

    Args:
        say: prints a line.
        paint: makes a line stand out, or step back, by a code of the terminal.
        clock: monotonic time, s.
    """

    def __init__(
        self, say: Say, paint: Callable[[str, str], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._paint, self._clock = say, paint, clock
        self._frames_at: deque[float] = deque()
        self._postures: Sequence[str] = ()
        self._waits: dict[str, str | None] = {}
        self._blind: str | None = None
        self._fallen_since: str | None = None
        self._count = self._falls = 0
        self._next_at = clock() + 1

    def take(self, kind: str, payload: bytes) -> None:
        """A message came."""
        match kind:
            case "poses":
                self._take_poses(msgspec.json.decode(payload))
            case "events":
                self._take_event(msgspec.json.decode(payload, type=EventMessage))
            case "state":
                self._take_state(msgspec.json.decode(payload))
            case "fall":
                self._fallen_since = msgspec.json.decode(payload, type=FallMessage).since

    def tick(self) -> None:
        """Say who is there, where a second has passed since that was said."""
        now = self._clock()
        if now < self._next_at:
            return
        self._next_at = self._next_at + 1 if now < self._next_at + 1 else now + 1
        line = f"{clock_time(datetime.now().astimezone())}  {self._state(now)}"
        self._say(self._paint(BOLD_RED if self._fallen_since else FAINT, line))

    def end(self) -> None:
        """Say how much it was."""
        falls = f", {counted(self._falls, 'fall', 'falls')}" if self._falls else ""
        self._say(f"the end: {counted(self._count, 'frame', 'frames')}{falls}")

    def _take_poses(self, poses: dict[str, Any]) -> None:
        self._frames_at.append(self._clock())
        self._count += 1
        self._postures = [person["posture"] for person in poses["people"]]

    def _take_state(self, state: dict[str, Any]) -> None:
        if "camera" not in state:
            self._waits["engine"] = waiting("engine", state["engine"])
            return
        self._waits["camera"] = waiting("camera", state)
        self._blind = None if state["sight"] in (None, "ok") else f"the picture is {state['sight']}"

    def _take_event(self, event: EventMessage) -> None:
        line = f"{clock_time(local(event.time))}  {event_in_words(event)}"
        is_fall = event.type == "fall"
        self._falls += is_fall
        self._say(self._paint(BOLD_RED, line) if is_fall else line)

    def _state(self, now: float) -> str:
        while self._frames_at and self._frames_at[0] < now - RATE_OVER_S:
            self._frames_at.popleft()
        if not self._frames_at or self._frames_at[-1] < now - STALE_S:
            return "; ".join(one for one in self._waits.values() if one) or "waiting for a picture"
        fallen = f"FALLEN since {clock_time(local(self._fallen_since))}" if self._fallen_since else None
        parts = [people_in_words(self._postures), fallen, self._blind or rate_in_words(self._frames_at)]
        return "; ".join(part for part in parts if part)


class Messages:
    """Tells of every message, beside the truth where it is known.

    Args:
        say: prints a line.
        truth: where everybody really is; None where nobody knows.
    """

    def __init__(self, say: Say, truth: Truth | None) -> None:
        self._say, self._truth = say, truth
        self._count = 0
        self._errors_px: list[float] = []

    def take(self, kind: str, payload: bytes) -> None:
        """A message came."""
        match kind:
            case "poses":
                self._take_poses(msgspec.json.decode(payload))
            case "state":
                state = msgspec.json.decode(payload)
                self._say(camera_line(state) if "camera" in state else machine_line(state))
            case _:
                self._say(f"{kind:6s} {payload.decode()}")

    def tick(self) -> None:
        """Time alone is no message."""

    def end(self) -> None:
        """Say how many there were, and how far from the truth."""
        self._say(f"{self._count} poses messages received")
        if self._errors_px:
            self._say(f"median distance from the truth: {np.median(self._errors_px):.1f} px")

    def _take_poses(self, poses: dict[str, Any]) -> None:
        self._count += 1
        people = poses["people"]
        number = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
        self._say(f"poses  {poses['sequence']:6d}  {poses['inference_ms']:5.1f} ms  {number}")
        if self._truth is None:
            for person in people:
                self._say(f"         {person_text(person)}")
            return
        errors_px = self._truth.errors_px(poses["sequence"], people)
        self._errors_px += [error_px for error_px in errors_px if error_px is not None]
        for person, error_px in zip(people, errors_px, strict=True):
            self._say(f"         {person_text(person)}  ({error_text(error_px)})")


class Truth:
    """Where everybody really is: the scene is drawn from numbers, so a second camera knows them as well.

    Args:
        config: of the synthetic camera.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._camera = SyntheticCamera(config)

    def people(self, sequence: int) -> list[RenderedPerson]:
        """Who really is in a frame, by its number."""
        return self._camera.truth(sequence)

    def errors_px(self, sequence: int, found: Sequence[Mapping[str, Any]]) -> list[float | None]:
        """How far off found people are, px: the mean distance of their keypoints from a drawn person's.

        A drawn person is one found person at most, the nearest ones first.

        Args:
            sequence: number of the frame.
            found: people of its `poses` message.

        Returns:
            For each of them; None where nobody is drawn, as of somebody who has just left the picture.
        """
        drawn = self.people(sequence)
        errors: list[float | None] = [None] * len(found)
        free = set(range(len(drawn)))
        for distance, row, column in sorted(
            (distance, row, column)
            for row, person in enumerate(found)
            for column, one in enumerate(drawn)
            if (distance := distance_px(person, one)) is not None
        ):
            if errors[row] is None and column in free:
                errors[row] = distance
                free.remove(column)
        return errors


def distance_px(found: Mapping[str, Any], drawn: RenderedPerson) -> float | None:
    """The mean distance of the keypoints that both show, px; None where there are none."""
    keypoints = [found["keypoints"][name] for name in KEYPOINTS]
    points = np.array([[np.nan] * 2 if one is None else [one["y"], one["x"]] for one in keypoints])
    shared = drawn.visible & ~np.isnan(points[:, 0])
    if not shared.any():
        return None
    return float(np.linalg.norm(points - drawn.points, axis=1)[shared].mean())


def machine_line(state: dict[str, Any]) -> str:
    """One line for the machine: how its cameras and its engine do."""
    cameras = ", ".join(f"{name} {status}" for name, status in state["cameras"].items())
    warning = state["model"].get("warning")
    return f"state  {cameras}, engine {status_text(state['engine'])} ({state['engine']['kind']})" + (
        f", model {state['model']['name']} {warning}" if warning else ""
    )


def camera_line(state: dict[str, Any]) -> str:
    """One line for a camera: who is there, or what is waited for."""
    people = "?" if state["people"] is None else state["people"]
    return f"{state['camera']:6s} people {people}, {state['fps']} fps, {status_text(state)}"


def status_text(device: dict[str, Any]) -> str:
    """Whether it works, or why it is waited for."""
    status: str = device["status"]
    return f"{status} ({device['why']})" if status == "waiting" and device.get("why") else status


def person_text(person: dict[str, Any]) -> str:
    """Score, and nose and wrists as far as they are seen."""
    parts = [f"score {person['score']:.2f}"]
    for name in ("nose", "left_wrist", "right_wrist"):
        place = person["keypoints"][name]
        parts.append(f"{name} " + ("-" if place is None else f"{place['x']:.0f},{place['y']:.0f}"))
    return "  ".join(parts)


def error_text(error_px: float | None) -> str:
    """How far off that is."""
    return "nobody is there" if error_px is None else f"{error_px:.1f} px off"


def waiting(name: str, part: Mapping[str, Any]) -> str | None:
    """Why a camera or an engine gives nothing, by its state; None where it works."""
    if part["status"] == "ok":
        return None
    what = f"the {name} is paused" if part["status"] == "paused" else f"waiting for the {name}"
    return f"{what}: {part['why']}" if part.get("why") else what


def people_in_words(postures: Sequence[str]) -> str:
    """How many people there are, and in which postures."""
    counts = Counter(POSTURES.get(posture, posture) for posture in postures).most_common()
    match len(postures):
        case 0:
            return "nobody"
        case 1:
            return f"1 person, {counts[0][0]}"
        case number if len(counts) == 1:
            return f"{number} people, {'both' if number == 2 else 'all'} {counts[0][0]}"
        case number:
            return f"{number} people: " + ", ".join(f"{number_word(some)} {name}" for name, some in counts)


def rate_in_words(frames_at: deque[float]) -> str | None:
    """How often frames came, by when they did, s; None where they are too few to say so."""
    if len(frames_at) < 2:
        return None
    return f"{(len(frames_at) - 1) / (frames_at[-1] - frames_at[0]):.1f} frames per second"


def number_word(number: int) -> str:
    """A small number as a word, others in digits."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def counted(count: int, one: str, many: str) -> str:
    """A number of things."""
    return f"{count} {one if count == 1 else many}"


def local(time: str) -> datetime:
    """A message's time, as the clock on the wall here shows it."""
    return datetime.fromisoformat(time).astimezone()


def clock_time(moment: datetime) -> str:
    """A time of the day."""
    return f"{moment:%H:%M:%S}"


def painter(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Callable[[str, str], str]:
    """What colours lines, where the stream is a terminal and nobody minds.

    Source: no-color.org.
    """
    if not stream.isatty() or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return lambda _code, line: line
    return lambda code, line: f"\x1b[{code}m{line}\x1b[0m"
