"""Poses in pictures, without a camera or a broker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from posed.camera.images import read_image
from posed.config import CAMERA, Config, DecodeConfig, with_defaults
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.errors import ImageError
from posed.frame import Frame, Image
from posed.messages.reports import poses_message
from posed.messages.structs import Poses, Sender, people_messages
from posed.networks import Network
from posed.networks.pair import load_pair
from posed.pipeline.detection import infer, poses_of
from posed.pose import Pose


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """What was found in one picture.

    Args:
        path: the picture's file.
        image: RGB uint8, (height, width, 3).
        poses: best first, px of the picture.
        keypoint_threshold: keypoints scored below are not shown, 0-1.
        inference_s: time the engine took, s.
        total_s: time from the read picture to its poses, s.
    """

    path: Path
    image: Image
    poses: list[Pose]
    keypoint_threshold: float
    inference_s: float
    total_s: float

    def message(self, sender: Sender, sequence: int) -> Poses:
        """The same as a `poses` message, with the picture's path."""
        return poses_message(
            sender,
            CAMERA,
            sequence=sequence,
            time_s=time.time(),
            shape=self.image.shape,
            inference_ms=round(self.inference_s * 1000, 2),
            latency_ms=round(self.total_s * 1000, 2),
            people=people_messages(self.poses, self.keypoint_threshold),
            image=os.fsencode(self.path).decode("utf-8", "replace"),
        )


def detect_in(paths: Sequence[Path], config: Config) -> Iterator[Detection | ImageError]:
    """What is in each picture, in order, with the configured model and engine.

    Args:
        paths: the pictures' files.
        config: names both.

    Raises:
        ModelError, EngineError: of the configured model and engine.
    """
    pair = load_pair(config.model.name, input_size=config.model.input_size)
    decode = with_defaults(config, pair.network.defaults).decode
    with open_engine(config.engine, pair.cpu, pair.edgetpu) as engine:
        yield from detect(paths, engine, pair.network, decode)


def detect(
    paths: Sequence[Path], engine: Engine, network: Network, settings: DecodeConfig
) -> Iterator[Detection | ImageError]:
    """What is in each picture, in order; one that cannot be read gives its error instead.

    Args:
        paths: the pictures' files.
        engine: an engine that is open.
        network: of the model that the engine has opened.
        settings: thresholds and limits.
    """
    for path in paths:
        try:
            image = read_image(path)
        except ImageError as error:
            yield error
        else:
            yield _detect_one(path, image, engine, network, settings)


def _detect_one(
    path: Path, image: Image, engine: Engine, network: Network, settings: DecodeConfig
) -> Detection:
    began = time.perf_counter()
    frame = Frame(image, sequence=0, captured_at=time.monotonic(), time_s=0.0, time=time.time())
    inferred = infer(frame, engine, network.model.size)
    poses = poses_of(inferred, network, settings)
    inference_s, total_s = inferred.stages.wall_s["invoke"], time.perf_counter() - began
    return Detection(path, image, poses, settings.keypoint_threshold, inference_s, total_s)


def write_image(path: Path, image: Image) -> None:
    """Write an RGB picture in the format that the name's ending says.

    Raises:
        ImageError: the ending is unknown or the file cannot be written.
    """
    try:
        fits, encoded = cv2.imencode(path.suffix or "?", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        fits = False
    if not fits:
        raise ImageError(f"{path}: must end in a picture format such as .png or .jpg, got {path.suffix!r}")
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror})") from None
