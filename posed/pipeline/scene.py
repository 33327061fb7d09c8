"""From the poses of each frame to people who are followed, and to the events that come of them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from posed.config import Config
from posed.files import replace_file
from posed.frame import Frame, RotatedCrop
from posed.messages.structs import person_message
from posed.mqtt.spool import Occurrence
from posed.people.events import Event, EventDetector, TrackedPerson
from posed.people.person import Person
from posed.people.pitch import Pitch, Told
from posed.people.posture import Posture
from posed.people.rotated_crops import RotatedCropScheduler
from posed.people.tracker import Ended, Tracker
from posed.pose import Pose

log = logging.getLogger(__name__)

PITCH_KEPT_S: Final = 3600.0
"""How often the pitch is written at most, for the sake of an SD card, s."""


class Following:
    """Who is there, what they do, and what is told of it; for one thread.

    Who is down is kept in a file, so that a fall goes on after a restart: it is confirmed, or cleared by the
    same person getting up.

    Args:
        config: of people, and the threshold of keypoints.
        tell: takes an event over for ever and returns its id.
        file: for who is down.
        settle: waits until what was told is on disk.
        pitch_file: for how far the camera looks down; None: that is not kept.
    """

    def __init__(
        self,
        config: Config,
        tell: Callable[[Occurrence], str],
        file: Path,
        settle: Callable[[], object] = lambda: None,
        pitch_file: Path | None = None,
    ) -> None:
        self._threshold = config.decode.keypoint_threshold
        self._tells_falls = config.people.falls
        self._tell = tell
        self._file = file
        self._settle = settle
        self._tracker = Tracker(config.people, self._threshold)
        self._detector = EventDetector(config.people)
        self._crops = RotatedCropScheduler(config.people)
        self._newest: tuple[Sequence[Person], Sequence[Ended], float, tuple[int, int]] | None = None
        self._ids_of_falls: dict[int, str] = {}
        self._falls_before: frozenset[object] = frozenset()
        """Numbers of those who went down in a run before: ids of people begin anew with each."""
        self._kept: tuple[list[tuple[int, bool]], dict[int, str]] = ([], {})
        self._restore()
        self._pitch_file = pitch_file
        self._pitch_kept: tuple[float | None, float] = None, 0.0
        self._pitch_kept_s = -math.inf
        self._pitch_told: Told = "learning"
        self._restore_pitch()

    def configure(self, config: Config) -> None:
        """Go on with other settings; everybody stays who they are."""
        self._threshold = config.decode.keypoint_threshold
        self._tells_falls = config.people.falls
        self._tracker.configure(config.people, self._threshold)
        self._detector.configure(config.people)
        self._crops.configure(config.people)

    @property
    def people(self) -> Sequence[TrackedPerson]:
        """Everybody in the last frame, those who are hidden for a moment too."""
        return self._detector.people

    @property
    def posture(self) -> Posture | None:
        """Of whoever is there for the longest; None where there is nobody."""
        return self.people[0].posture if self.people else None

    @property
    def pitch(self) -> Pitch:
        """How far the camera looks down."""
        return self._detector.pitch

    def zone_counts(self) -> Mapping[str, int]:
        """By zone, how many people are in it."""
        return self._detector.zone_counts()

    def update(self, poses: Sequence[Pose], frame: Frame, *, dark: bool = False) -> Sequence[TrackedPerson]:
        """Take one frame.

        Args:
            poses: px of the frame.
            frame: whose they are.
            dark: whether it is too dark for them to be believed.

        Returns:
            Everybody of whom something is visible.
        """
        size = frame.image.shape[1], frame.image.shape[0]
        people, ended = self._tracker.update(poses, frame.time_s, size), self._tracker.ended
        for event in self._detector.update(people, ended, frame.time_s, size, dark=dark):
            self._pass_on(event, frame.time)
        self._newest = people, ended, frame.time_s, size
        self._keep()
        self._keep_pitch(frame.time_s)
        return [one for one in self.people if True in one.person.visible.tolist()]

    def next_crop(self) -> RotatedCrop | None:
        """Where to look turned next; once after each `update`, when nobody waits for what that said."""
        if self._newest is None:
            return None
        (people, ended, time_s, size), self._newest = self._newest, None
        down = self._detector.falls.down if self._tells_falls else []
        return self._crops.next(people, ended, down, time_s, size)

    def clear_falls(self, time_s: float, event: str | None = None) -> list[str]:
        """Somebody looks after a fall, or all of them.

        Args:
            time_s: wall clock, s since 1970.
            event: the id of the fall's event; None for all.

        Returns:
            Ids of the `fall_cleared` events.
        """
        numbers = [number for number, one in self._ids_of_falls.items() if event in (None, one)]
        ids = [self._pass_on(one, time_s) for number in numbers for one in self._detector.clear_falls(number)]
        self._keep()
        return ids

    def _pass_on(self, event: Event, time_s: float) -> str:
        number, detail, person = event.detail.get("fall"), dict(event.detail), event.person
        if number in self._falls_before:
            person = None
        if event.type == "fall_cleared" and isinstance(number, int):
            detail["fall"] = self._ids_of_falls.pop(number, "")
        elif event.type == "fall":
            del detail["fall"]
        evidence = event.evidence and person_message(event.evidence.pose, self._threshold).keypoints
        one = self._tell(Occurrence(event.type, time_s, person, event.zone, detail, evidence))
        log.info("%s: person %s%s", event.type, person, "" if event.zone is None else f", {event.zone}")
        if event.type == "fall" and isinstance(number, int):
            self._ids_of_falls[number] = one
        return one

    def _restore(self) -> None:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            ids = {int(number): str(one) for number, one in kept["ids"].items()}
            self._detector.restore(kept["falls"])
            self._ids_of_falls = ids
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning(
                "%s: cannot be read, so falls from before do not end by themselves: %s", self._file, error
            )
        self._falls_before = frozenset(down.number for down in self._detector.falls.down)

    def _keep(self) -> None:
        """Write who is down where that changed; a full or read-only disk is tried at the next change."""
        downs = [(down.number, down.confirmed) for down in self._detector.falls.down]
        if (downs, self._ids_of_falls) == self._kept:
            return
        if self._ids_of_falls != self._kept[1]:
            # The file says that the fall was told: a kill in between must not leave that alone behind.
            self._settle()
        self._kept = downs, dict(self._ids_of_falls)
        try:
            replace_file(self._file, json.dumps({"falls": self._detector.dump(), "ids": self._ids_of_falls}))
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._file, error.strerror)

    def _restore_pitch(self) -> None:
        if self._pitch_file is None:
            return
        try:
            self.pitch.restore(json.loads(self._pitch_file.read_text(encoding="utf-8")))
            self._pitch_kept = self.pitch.learned_deg, self.pitch.learned_s
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s: cannot be read, so the pitch is learned anew: %s", self._pitch_file, error)

    def _keep_pitch(self, time_s: float) -> None:
        """Write the pitch when it is believed, is another, or is known much better; tell what comes of it."""
        pitch = self.pitch
        if pitch.told != self._pitch_told:
            self._pitch_told = pitch.told
            level = logging.WARNING if pitch.told == "too_steep" else logging.INFO
            log.log(level, "camera: %s", pitch.words)
        deg, learned_s = pitch.learned_deg, pitch.learned_s
        kept_deg, kept_s = self._pitch_kept
        if self._pitch_file is None or deg is None or (deg == kept_deg and learned_s < 2 * kept_s):
            return
        if abs(time_s - self._pitch_kept_s) < PITCH_KEPT_S:
            return
        self._pitch_kept, self._pitch_kept_s = (deg, learned_s), time_s
        try:
            replace_file(self._pitch_file, json.dumps(pitch.dump()))
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._pitch_file, error.strerror)
