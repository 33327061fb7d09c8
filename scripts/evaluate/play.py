"""Plays a clip through all that the daemon does with a recording, and notes what came of it."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from posed.camera.health import Darkness, is_due
from posed.config import CameraConfig, ZoneConfig
from posed.frame import Frame, RotatedCrop
from posed.people.events import TrackedPerson
from posed.people.rotated_crops import merge_detections
from posed.pipeline.followed_region import FollowedRegion
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.rotated_crop_queue import RotatedCropQueue
from posed.pipeline.scene import Scene
from posed.pose import Pose
from scripts.evaluate.clips import HELD_S, LIES_AFTER_S, Clip, frame_times, video_facts
from scripts.evaluate.inferences import Inferences, PoseFinder, frame_of


@dataclass(slots=True)
class Moment:
    """One frame, as it was played.

    Args:
        index: of the frame in the clip.
        time_s: of the clip.
        poses: everybody found, as it is and in rotated crops.
        crop: the rotated crop of it, or of an earlier one, that was inferred as well, if any.
        people: as the daemon tells them.
    """

    index: int
    time_s: float
    poses: list[Pose]
    crop: RotatedCrop | None
    people: list[TrackedPerson]


@dataclass(slots=True)
class Played:
    """What came of a clip.

    Args:
        reported: events with the time in the clip at which they were reported, s.
        postures: by (truth, reported): frames; `presumed` are those of everybody while nothing is labelled.
        pitch_deg: how far the camera looks down, as is known at the end; None where it is not.
        ids: of everybody who was ever reported.
        lying_frames, lying_found: frames in which the fallen person lies, and in which somebody is found.
        frames, crops: frames, and rotated crops that were inferred.
    """

    clip: Clip
    reported: list[tuple[float, Occurrence]]
    postures: Counter[tuple[str, str]] = field(default_factory=Counter)
    presumed: Counter[tuple[str, str]] = field(default_factory=Counter)
    pitch_deg: float | None = None
    ids: set[int] = field(default_factory=set)
    lying_frames: int = 0
    lying_found: int = 0
    frames: int = 0
    crops: int = 0
    moments: list[Moment] = field(default_factory=list)

    @property
    def falls(self) -> list[float]:
        """When falls were reported, s of the clip."""
        return [time_s for time_s, event in self.reported if event.type == "fall"]


def config_for(clip: Clip, base: CameraConfig, *, mirror: bool = False) -> CameraConfig:
    """A camera's settings with what the owner would have drawn as a resting zone."""
    if not clip.resting:
        return base
    corners = tuple((1 - x if mirror else x, y) for x, y in clip.resting)
    zone = ZoneConfig(polygon=corners, kind="resting")
    return base.model_copy(update={"zones": {"rest": zone}})


class WithFrames:
    """Rotated crops that are inferred with the frame in which they are due, as of a recording.

    Args:
        requested: the crops.
    """

    beside, has_room = False, True

    def __init__(self, requested: RotatedCropQueue) -> None:
        self._requested = requested

    def inferred(self, index: int, frame: Frame) -> tuple[int, RotatedCrop] | None:
        """The crop whose poses come with a frame, and of which frame it is; None where there is none."""
        crop = self._requested.take(frame, live=False)
        return None if crop is None else (index, crop)


class BesideFrames:
    """Rotated crops that an engine infers beside the frames of an AI Camera, one after the other.

    As in `posed.pipeline.capture`: one is inferred, one waits for that, and what was found comes with the
    next frame.

    Args:
        requested: the crops.
        per_s: how many the engine can infer a second; 0: none.
    """

    beside = True

    def __init__(self, requested: RotatedCropQueue, per_s: float) -> None:
        self._requested = requested
        self._takes_s = 1 / per_s if per_s else math.inf
        self._free_s = math.inf
        self._at_work: tuple[int, RotatedCrop] | None = None
        self._waits: tuple[int, RotatedCrop] | None = None

    @property
    def has_room(self) -> bool:
        """As `posed.pipeline.feed.Feed.has_room_for_crop`."""
        return self._requested.is_empty

    def inferred(self, index: int, frame: Frame) -> tuple[int, RotatedCrop] | None:
        """As `WithFrames.inferred`."""
        done = None
        while self._at_work is not None and self._free_s <= frame.time_s + _ROUNDING_S:
            done, self._at_work, self._waits = self._at_work, self._waits, None
            self._free_s += self._takes_s
        if self._waits is None and (crop := self._requested.take(frame, live=True)) is not None:
            if self._at_work is None:
                self._at_work, self._free_s = (index, crop), frame.time_s + self._takes_s
            else:
                self._waits = index, crop
        return done


_ROUNDING_S: Final = 1e-6
"""Sums of times miss a frame's by less."""


class Player:
    """Plays clips through what the daemon does with frames; what it knows goes on from clip to clip.

    Args:
        network: what finds the poses.
        cache: folder of inferences.
        config: the camera's settings.
        folder: for the state that a daemon keeps on disk; what it learned of the camera is taken from there.
        crops_per_s: how many rotated crops an engine can infer beside the frames; infinity: they are inferred
            with the frames.
    """

    def __init__(
        self,
        network: PoseFinder,
        cache: Path,
        config: CameraConfig,
        folder: Path,
        crops_per_s: float = math.inf,
    ) -> None:
        self._network, self._cache, self._config = network, cache, config
        self._scene = Scene(config, MemoryJournal(self._report), folder / "pitch.json")
        self._crops = RotatedCropQueue()
        self._crops_per_s = crops_per_s
        self._followed = FollowedRegion()
        self._sequence = 0
        self._now_s = 0.0
        self._darkness = Darkness()
        self.reported: list[tuple[float, Occurrence]] = []
        """Events, each with the time in its clip at which it was reported, s."""

    @property
    def pitch_deg(self) -> float | None:
        """How far the camera looks down; None until that is believed."""
        return self._scene.pitch.deg

    def _report(self, event: Occurrence) -> str:
        self.reported.append((self._now_s, event))
        return str(len(self.reported))

    def _engine(self) -> WithFrames | BesideFrames:
        """How rotated crops are inferred."""
        if math.isinf(self._crops_per_s):
            return WithFrames(self._crops)
        return BesideFrames(self._crops, self._crops_per_s)

    def _follow(self, inferences: Inferences, index: int, frame_size: tuple[int, int]) -> list[Pose]:
        """Everybody in a frame, where the network looks at it."""
        region = self._followed.within(frame_size)
        look = inferences.look(index, None if region is None else RotatedCrop(region, turn_deg=0))
        self._followed.move(look.next_region, frame_size)
        return look.poses

    def play(self, clip: Clip, fps: float, *, held: bool = True, mirror: bool = False) -> Iterator[Moment]:
        """Play one clip, as a recording that begins.

        Args:
            clip: to play.
            fps: frames per second of the camera; above the clip's own each frame is shown several times.
            held: whether with the held end that footage has.
            mirror: whether as in a mirror.
        """
        count, clip_fps, size = video_facts(clip.path)
        if not held:
            count = max(1, count - round(HELD_S * clip_fps))
        threshold = self._config.decode.keypoint_threshold
        crops = self._engine()
        with Inferences(clip, self._network, self._cache, mirror=mirror) as inferences:
            judged_s = -math.inf
            for index, self._now_s in frame_times(count, clip_fps, fps):
                frame = frame_of(size, self._sequence, self._now_s)
                poses, inferred = self._follow(inferences, index, size), crops.inferred(index, frame)
                if inferred is not None:
                    found = inferences.look(*inferred).poses
                    if crops.beside:
                        found = [pose.from_beside() for pose in found]
                    poses = merge_detections(poses, found, inferred[1].turn_deg, threshold)
                if is_due(self._now_s, judged_s):
                    judged_s = self._now_s
                    self._darkness.update(inferences.brightness(index))
                self._scene.update(poses, frame, dark=self._darkness.dark)
                if (next_crop := self._scene.next_crop(has_room=crops.has_room)) is not None:
                    self._crops.add(next_crop, frame)
                self._sequence += 1
                crop = None if inferred is None else inferred[1]
                yield Moment(index, self._now_s, poses, crop, list(self._scene.people))


def play(  # noqa: PLR0913 what a clip is played with
    clip: Clip,
    network: PoseFinder,
    base: CameraConfig,
    fps: float,
    cache: Path,
    *,
    keep: bool = False,
    mirror: bool = False,
    learn: bool = False,
    crops_per_s: float = math.inf,
) -> Played:
    """Play one clip in a daemon of its own.

    Args:
        clip: to play.
        network: what finds the poses.
        base: the camera's settings.
        fps: frames per second of the camera; above the clip's own each frame is shown several times.
        cache: folder of inferences.
        keep: whether every moment is kept, to look at.
        mirror: whether as in a mirror.
        learn: whether another daemon has seen the clip before, until it knew how far the camera looks down.
        crops_per_s: as of `Player`.
    """
    config = config_for(clip, base, mirror=mirror)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if learn:
            _learn(Player(network, cache, config, folder, crops_per_s), clip, fps, mirror=mirror)
        player = Player(network, cache, config, folder, crops_per_s)
        played = Played(clip, player.reported)
        for moment in player.play(clip, fps, mirror=mirror):
            _note(played, moment)
            if keep:
                played.moments.append(moment)
        played.pitch_deg = player.pitch_deg
    return played


def _learn(player: Player, clip: Clip, fps: float, *, mirror: bool) -> None:
    """Play a clip over and over until the pitch is believed, or nothing is left to learn from it."""
    for _ in range(_ROUNDS):
        for _moment in player.play(clip, fps, mirror=mirror):
            if player.pitch_deg is not None:
                return


_ROUNDS: Final = 10
"""Each track teaches so much at most, so a clip of one second upright takes as many rounds."""


def play_on(  # noqa: PLR0913, PLR0917 what clips are played with
    clips: Sequence[Clip],
    network: PoseFinder,
    base: CameraConfig,
    fps: float,
    cache: Path,
    seconds: float,
    crops_per_s: float = math.inf,
) -> tuple[int, list[str]]:
    """Play clips without their held ends one after the other, over and over, in one daemon.

    Returns:
        How many times, and which clip was playing when a fall was reported.
    """
    falls, rounds, played_s = [], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        player = Player(network, cache, base, Path(folder), crops_per_s)
        while played_s < seconds:
            rounds += 1
            for clip in clips:
                before = len(player.reported)
                frames = sum(1 for _ in player.play(clip, fps, held=clip.held))
                played_s += frames / fps
                reported = [event for _, event in player.reported[before:] if event.type == "fall"]
                falls += [f"{clip.name}, round {rounds}"] * len(reported)
    return rounds, falls


def _note(played: Played, moment: Moment) -> None:
    played.frames += 1
    played.crops += moment.crop is not None
    played.ids |= {one.person.id for one in moment.people}
    clip = played.clip
    if clip.fall_start_s is not None and moment.time_s >= clip.fall_start_s + LIES_AFTER_S:
        played.lying_frames += 1
        played.lying_found += any(one.person.seen for one in moment.people)
    truth = clip.posture_at(moment.time_s)
    if truth is not None:
        if not moment.people:
            played.postures[truth, "nobody"] += 1
        for one in moment.people:
            played.postures[truth, one.posture] += 1
    elif clip.whoever is not None:
        for one in moment.people:
            played.presumed[clip.whoever, one.posture] += 1
