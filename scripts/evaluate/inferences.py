"""What the network says of each frame of a clip, kept on disk so that a change of rules is tried in seconds.

Kept are the poses, and where the network would look next, by frame, region and turn, in one file per clip,
model and decoder. A region that a rule asks for and that nobody looked at before is inferred then. How bright
frames are is kept in a file beside it, per clip, model's size and way of measuring.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np

import posed.camera.health
import posed.frame
import posed.networks
from posed.camera.health import brightness
from posed.config import CameraConfig, Config, DecodeConfig, EngineConfig, with_defaults
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.frame import Frame, Image, Letterbox, Region, RotatedCrop, RotatedLetterbox, View
from posed.networks import INPUT_SIZE
from posed.networks.pair import Pair, load_pair
from posed.pose import Pose
from scripts.evaluate.clips import Clip, Frames

_STORED: Final = np.float32
_Key = tuple[int, tuple[int, int, int, int, int] | None]
_Looked = tuple[list[Any], tuple[int, int, int, int] | None]
K = TypeVar("K")
V = TypeVar("V")


def camera_config(config: Config, model: str) -> CameraConfig:
    """The settings of the only camera, with the defaults of the network of a model."""
    return with_defaults(config, load_pair(model).network.defaults).first


@dataclass(frozen=True, slots=True)
class Look:
    """What a network says of a frame, or of a part of it.

    Args:
        poses: everybody, px of the frame.
        next_region: where it would look in the next frame; None for all of it.
    """

    poses: list[Pose]
    next_region: Region | None


class PoseFinder:
    """A model on the CPU, opened when the first frame needs it.

    Args:
        model: a name of the catalogue, or the path of a .tflite.
        decode: how poses are read from it.
        input_size: both sides of its input, px, where it takes any.
    """

    def __init__(self, model: str, decode: DecodeConfig, input_size: int = INPUT_SIZE) -> None:
        self.pair: Pair = load_pair(model, input_size=input_size)
        self.decode = decode
        self._stack = ExitStack()
        self._engine: Engine | None = None
        width, height = self.pair.model.size
        settings = f"{decode!r} {width}x{height}".encode()
        self.key = _digest(_model_bytes(self.pair), settings, *_decoder_sources())
        self.brightness_key = f"{width}x{height}-{_digest(*_brightness_sources())}"

    def look(self, image: Image, crop: RotatedCrop | None) -> Look:
        """Look at a frame, or at a part of it that may be turned."""
        if self._engine is None:
            # One thread: clips run side by side.
            config = EngineConfig(kind="cpu", threads=1)
            self._engine = self._stack.enter_context(open_engine(config, self.pair.cpu, None))
        size, frame_size = self.pair.model.size, (image.shape[1], image.shape[0])
        view: View = Letterbox(frame_size, size) if crop is None else RotatedLetterbox(crop, size)
        outputs, network = self._engine.infer(view.apply(image)), self.pair.network
        poses = network.poses(outputs, view, self.decode)
        return Look(poses, network.next_region(outputs, view, self.decode, frame_size))

    def brightness(self, image: Image) -> float:
        """Of a frame, as the daemon's pipeline measures it."""
        letterbox = Letterbox((image.shape[1], image.shape[0]), self.pair.model.size)
        return brightness(letterbox.inside(letterbox.apply(image)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the engine."""
        self._stack.close()


class Inferences:
    """The inferences of one clip; a context manager that keeps new ones when it ends.

    Args:
        clip: whose.
        network: what infers.
        folder: where they are kept.
        mirror: whether its pictures are as in a mirror.
    """

    def __init__(self, clip: Clip, network: PoseFinder, folder: Path, *, mirror: bool = False) -> None:
        self._frames = Frames(clip.path, mirror=mirror)
        self._network = network
        stem = f"{clip.name}{'-mirror' * mirror}-{_digest(clip.path.read_bytes())}"
        self._known: _Kept[_Key, _Looked] = _Kept(folder / f"{stem}-{network.key}.poses")
        self._brightness: _Kept[int, float] = _Kept(folder / f"{stem}-{network.brightness_key}.brightness")

    def look(self, index: int, crop: RotatedCrop | None = None) -> Look:
        """What the network says of a frame of the clip.

        Args:
            index: of the frame, from 0.
            crop: a part of it, perhaps turned; None for the frame as it is.
        """
        region = None
        if crop is not None:
            part = crop.region
            region = part.left, part.top, part.right, part.bottom, crop.turn_deg
        found, next_region = self._known.get((index, region), lambda: self._infer(index, crop))
        poses = [
            Pose(points.astype(np.float64), scores.astype(np.float64), score)
            for points, scores, score in found
        ]
        return Look(poses, None if next_region is None else Region(*next_region))

    def brightness(self, index: int) -> float:
        """Of a frame of the clip, 0-255."""
        return self._brightness.get(index, lambda: self._network.brightness(self._frames.at(index)))

    def _infer(self, index: int, crop: RotatedCrop | None) -> _Looked:
        look = self._network.look(self._frames.at(index), crop)
        region = look.next_region
        return (
            [(one.points.astype(_STORED), one.scores.astype(_STORED), one.score) for one in look.poses],
            None if region is None else (region.left, region.top, region.right, region.bottom),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what is new."""
        self._known.write()
        self._brightness.write()


class _Kept(Generic[K, V]):
    """What is made once and kept in a file.

    Args:
        file: where; read at once, if it is there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[K, V] = {}
        self._is_new = False
        if file.is_file():
            self._known = pickle.loads(file.read_bytes())  # noqa: S301 written by ourselves

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What is known, or else made now."""
        if key not in self._known:
            self._known[key], self._is_new = make(), True
        return self._known[key]

    def write(self) -> None:
        """Keep what is new."""
        if self._is_new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(f"{self._file.suffix}.part")
            part.write_bytes(pickle.dumps(self._known, protocol=pickle.HIGHEST_PROTOCOL))
            part.replace(self._file)


def frame_of(image_size: tuple[int, int], sequence: int, time_s: float) -> Frame:
    """A frame without its picture, of which only the size counts."""
    width, height = image_size
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Frame(image, sequence, time_s, time_s, time_s)


def _model_bytes(pair: Pair) -> bytes:
    return b"" if pair.cpu is None else pair.cpu.path.read_bytes()


def _decoder_sources() -> Sequence[bytes]:
    folder = Path(posed.networks.__file__).parent
    return [path.read_bytes() for path in (Path(__file__), *sorted(folder.rglob("*.py")))]


def _brightness_sources() -> Sequence[bytes]:
    return [Path(str(module.__file__)).read_bytes() for module in (posed.camera.health, posed.frame)]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]
