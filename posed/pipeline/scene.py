"""One camera's people: from the poses of each frame to who is there, and what events come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from posed.config import CAMERA, CameraConfig
from posed.frame import Frame, Image, RotatedCrop
from posed.networks import Network
from posed.people.events import EventDetector, TrackedPerson
from posed.people.person import Person
from posed.people.pitch import Pitch
from posed.people.rotated_crops import RotatedCropScheduler
from posed.people.tracker import Ended, Tracker
from posed.pipeline.detection import poses_of
from posed.pipeline.frame_rate import FrameRate
from posed.pipeline.inferred import Inferred
from posed.pipeline.journal import Journal
from posed.pipeline.journal_writer import JournalWriter
from posed.pipeline.kept_pitch import KeptPitch
from posed.pose import Pose


class PoseRecorder(Protocol):
    """Takes the poses of each frame as they were decoded."""

    def take(self, frame: Frame, poses: Sequence[Pose], *, dark: bool) -> None:
        """Take one frame, and whether it is too dark for its poses to be believed."""

    def settings_changed(self) -> None:
        """From the next frame on other settings apply."""


class Scene:
    """What belongs to one camera: who is there, what they do, and which events come of it; for one thread.

    Who is down goes into the journal with the events of it, so that a fall goes on after a restart: it is
    confirmed, or cleared by the same person getting up.

    Args:
        config: of the camera: how poses are decoded, its people and zones, and whether it mirrors.
        journal: takes the events and who is down.
        pitch_file: for how far the camera looks down; None: that is not kept.
        recorder: takes the poses before anything is made of them; None: nobody records them.
        name: of the camera, for the log.
        last_id: the last id that somebody had before this camera in this run; none is given twice.

    Attributes:
        frame_rate: how often frames come, and how long the newest took; whoever processes them counts them.
        newest: the newest frame's picture and everybody visible in it; None where there is none of now.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        config: CameraConfig,
        journal: Journal,
        pitch_file: Path | None = None,
        recorder: PoseRecorder | None = None,
        *,
        name: str = CAMERA,
        last_id: int = 0,
    ) -> None:
        self._decode = config.decode
        self._mirror = config.mirror
        self._reports_falls = config.people.falls
        self._tracker = Tracker(config.people, self.keypoint_threshold, last_id)
        self._detector = EventDetector(config.people, config.zones)
        self._journal = JournalWriter(journal, self._detector, name)
        self._crops = RotatedCropScheduler(config.people, config.zones)
        self._for_crop: tuple[Sequence[Person], Sequence[Ended], float, tuple[int, int]] | None = None
        self._kept_pitch = KeptPitch(self.pitch, pitch_file, name)
        self._recorder = recorder
        self.frame_rate = FrameRate()
        self.newest: tuple[Image, Sequence[TrackedPerson]] | None = None

    def restore(self) -> None:
        """Go on with who was down before, as the journal has it; to be called before the first frame."""
        self._journal.restore()

    def configure(self, config: CameraConfig) -> None:
        """Go on with other settings; everybody stays who they are."""
        self._decode = config.decode
        self._reports_falls = config.people.falls
        self._tracker.configure(config.people, self.keypoint_threshold)
        self._detector.configure(config.people, config.zones)
        self._crops.configure(config.people, config.zones)
        if self._recorder is not None:
            self._recorder.settings_changed()

    @property
    def keypoint_threshold(self) -> float:
        """The score from which on a keypoint is visible."""
        return self._decode.keypoint_threshold

    @property
    def last_id(self) -> int:
        """The id of whoever came last."""
        return self._tracker.last_id

    @property
    def people(self) -> Sequence[TrackedPerson]:
        """Everybody in the last frame, those who are hidden for a moment too."""
        return self._detector.people

    @property
    def pitch(self) -> Pitch:
        """How far the camera looks down."""
        return self._detector.pitch

    def zone_counts(self) -> Mapping[str, int]:
        """By zone, how many people are in it."""
        return self._detector.zone_counts()

    def decode(self, inferred: Inferred, network: Network | None) -> list[Pose]:
        """Find every pose in one of the camera's frames.

        Args:
            inferred: what the model gave for the frame.
            network: of that model; None where there is none but those in cameras.

        Returns:
            Best first, px of the frame; left and right are the person's own.
        """
        return poses_of(inferred, network, self._decode, mirror=self._mirror)

    def record(self, frame: Frame, poses: Sequence[Pose], *, dark: bool) -> None:
        """Hand a frame to whoever records it.

        Args:
            frame: whose poses they are.
            poses: as decoded, px of the frame.
            dark: whether it is too dark for them to be believed.
        """
        if self._recorder is not None:
            self._recorder.take(frame, poses, dark=dark)

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
            self._journal.add(event, frame.time, self.keypoint_threshold)
        self._journal.commit()
        self._for_crop = people, ended, frame.time_s, size
        self._kept_pitch.keep(frame.time_s)
        visible = [one for one in self.people if True in one.person.visible.tolist()]
        self.newest = frame.image, visible
        return visible

    def next_crop(self, *, has_room: bool = True) -> RotatedCrop | None:
        """The rotated crop to infer next; once after each `update`, when nobody waits for what that said.

        Args:
            has_room: whether the engine can take another one.
        """
        if self._for_crop is None:
            return None
        (people, ended, time_s, size), self._for_crop = self._for_crop, None
        down = self._detector.falls.down if self._reports_falls else []
        return self._crops.next(people, ended, down, time_s, size, has_room=has_room)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody is down, and not yet reported as fallen."""
        down = self._detector.falls.down if self._reports_falls else []
        return any(not one.confirmed for one in down)

    def clear_falls(self, time_s: float, event: str | None = None) -> list[str]:
        """Somebody looks after a fall, or all of them.

        Args:
            time_s: wall clock, s since 1970.
            event: the id of the fall's event; None for all.

        Returns:
            Ids of the `fall_cleared` events.
        """
        ids = [
            self._journal.add(cleared, time_s, self.keypoint_threshold)
            for number in self._journal.falls_of(event)
            for cleared in self._detector.clear_falls(number)
        ]
        self._journal.commit()
        return ids
