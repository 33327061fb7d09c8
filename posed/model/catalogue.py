"""The models that are known by name, and the way from a name or path to the files of a model."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from posed.errors import ModelError
from posed.paths import cache_folder, exists, is_file, is_folder

_CORAL_SOURCE: Final = "https://github.com/google-coral/test_data"
_CORAL_ROOT: Final = f"{_CORAL_SOURCE}/raw/104342d2d3480b3e66203073dac24f4e2dbb4c41/"
_CORAL_URL: Final = f"{_CORAL_ROOT}posenet/"
_WEIGHTS_URL: Final = "https://storage.googleapis.com/tfjs-models/savedmodel/posenet/mobilenet"

BUNDLED_FOLDER: Final = Path(__file__).resolve().parent / "bundled"
"""This folder holds the models that come with posed."""

_COMPILED: Final = "_edgetpu"
"""The Edge TPU compiler appends this to a file's name, before the extension."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file as it is published.

    Args:
        name: the file's name here, which is the publisher's where the URL ends in one.
        url: where it is downloaded from; empty for a file that comes with posed.
        sha256: the checksum of its content, hexadecimal.
        size_bytes: the file's length; None where that is not known.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int | None = None

    def path(self, environment: Mapping[str, str] = os.environ) -> Path:
        """Where the file is, or will be once it is downloaded."""
        return (models_folder(environment) if self.url else BUNDLED_FOLDER) / self.name


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is known by name: the same network for the CPU and compiled for the Edge TPU.

    Args:
        name: what `model.name` calls it; the numbers are height x width.
        stride: output stride, px of the model input from cell to cell.
        size: (width, height) of the model input, px; None where it may be any.
        source: who publishes it, a URL.
        licence: the licence of the weights, SPDX.
        cpu: the plain file; None where there is none.
        edgetpu: the compiled file; None where there is none.
    """

    name: str
    stride: int
    size: tuple[int, int] | None
    source: str
    licence: str
    cpu: ModelFile | None
    edgetpu: ModelFile | None

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files there are, the plain one first."""
        return tuple(file for file in (self.cpu, self.edgetpu) if file is not None)

    @property
    def is_published(self) -> bool:
        """Whether its files can be downloaded; else they come with posed."""
        return any(file.url for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model that are on this machine.

    Args:
        cpu: the plain file; None if it is not there.
        edgetpu: the one compiled for the Edge TPU; None if it is not there.
    """

    cpu: Path | None
    edgetpu: Path | None


def _coral_file(name: str, sha256: str, size_bytes: int | None = None) -> ModelFile:
    return ModelFile(name, _CORAL_URL + name, sha256, size_bytes)


def _coral(height: int, width: int, cpu: ModelFile, edgetpu: ModelFile) -> Entry:
    name = f"coral-{height}x{width}"
    return Entry(name, 16, (width, height), _CORAL_SOURCE, "Apache-2.0", cpu, edgetpu)


def _drawings(stride: int, sha256: str, size_bytes: int) -> Entry:
    file = ModelFile(f"drawings_257_353_{stride}.tflite", "", sha256, size_bytes)
    return Entry(f"drawings-257x353-{stride}", stride, (353, 257), "posed", "Apache-2.0", file, None)


CATALOGUE: Final = (
    _drawings(32, "20a7d90a38a51ed476a20f43f55d2bc26dad66c3f583d4d39cb829a308d1c9ef", 849824),
    _drawings(16, "4a5c342a2c01c1be87e037bc65549435cf134b139ca849d681892b85e8516941", 849824),
    _drawings(8, "0f4f95293ff336377aeb8fa29fd85cc9dfc4b184153dd8ab677ac855742698fc", 849904),
    _coral(
        353,
        481,
        _coral_file(
            "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite",
            "db1b5e8d7d6a5030bf1880346b81a52ac3a95682db8bff5d5d7b2f97712c93e2",
            1_475_200,
        ),
        _coral_file(
            "posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite",
            "a0f588a04965da43f45702658b890a54bbb968fd53d8e891fceacb9d38ae8dd8",
            1_598_832,
        ),
    ),
    _coral(
        481,
        641,
        _coral_file(
            "posenet_mobilenet_v1_075_481_641_16_quant_decoder.tflite",
            "904b7ebe503c3df88ba5324e62fb4d33c23ee38bff5f2cabe89da27e3fc8296a",
            1_475_200,
        ),
        _coral_file(
            "posenet_mobilenet_v1_075_481_641_16_quant_decoder_edgetpu.tflite",
            "7df42a2e3cb0e931128d609c02b5b092b25ec90efc213214c349f7f8b3701a9f",
            1_717_616,
        ),
    ),
    _coral(
        721,
        1281,
        _coral_file(
            "posenet_mobilenet_v1_075_721_1281_16_quant_decoder.tflite",
            "5736564bf36c0ef8d51e20074280a7d68ba5d53cd8fbdff13024a2aeaba17dc6",
        ),
        _coral_file(
            "posenet_mobilenet_v1_075_721_1281_16_quant_decoder_edgetpu.tflite",
            "a37fda9b75bfc7e5a2f696702c656aeca6f6b50eb1a2054f67ba48456800c331",
        ),
    ),
    Entry(
        "movenet-lightning",
        4,
        (192, 192),
        _CORAL_SOURCE,
        "Apache-2.0",
        ModelFile(
            "movenet_single_pose_lightning_ptq.tflite",
            f"{_CORAL_ROOT}movenet_single_pose_lightning_ptq.tflite",
            "cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105",
            2_894_840,
        ),
        ModelFile(
            "movenet_single_pose_lightning_ptq_edgetpu.tflite",
            f"{_CORAL_ROOT}movenet_single_pose_lightning_ptq_edgetpu.tflite",
            "25c88b77586f65c5c80d868c0555fb194f2b38c0b55aa491f4a93b7d7da58e78",
            3_087_168,
        ),
    ),
    Entry(
        "movenet-multipose",
        4,
        None,
        "https://www.kaggle.com/models/google/movenet",
        "Apache-2.0",
        ModelFile(
            "movenet_multipose_lightning_float16.tflite",
            "https://tfhub.dev/google/lite-model/movenet/multipose/lightning/tflite/float16/1?lite-format=tflite",
            "d4489f89e6bd6777a8b9a1a16189832131f84ff90d82fae729e670b84d7948dd",
            9_585_276,
        ),
        None,
    ),
)
"""These models are known by name: those that come with posed, then Coral's PoseNets, the fastest first, then
MoveNets."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that `posed model export` makes models of.

    Args:
        name: by which `posed model pull` knows them, if it does.
        multiplier: the multiplier of MobileNetV1's channels.
        precision: as they are stored: float, quant1 (8 bit) or quant2 (16 bit).
        url: where the TF.js graph model is; its shards lie beside it.
        files: all files, with checksums; none where those are not known, so that they cannot be pulled.
    """

    name: str
    multiplier: float
    precision: str
    url: str
    files: tuple[ModelFile, ...] = ()

    def folder(self, environment: Mapping[str, str] = os.environ) -> Path:
        """Where the weights are, or will be once they are downloaded."""
        return models_folder(environment) / self.name


def _weights(multiplier: int, precision: str, **sha256_of: str) -> Weights:
    folder = f"{_WEIGHTS_URL}/{precision}/{multiplier:03d}/"
    files = tuple(
        ModelFile(name, folder + name, sha256)
        for name, sha256 in (
            ("model-stride16.json", sha256_of.get("graph")),
            ("group1-shard1of1.bin", sha256_of.get("shard")),
        )
        if sha256 is not None
    )
    name = f"tfjs-{precision}-{multiplier:03d}"
    return Weights(name, multiplier / 100, precision, f"{folder}model-stride16.json", files)


WEIGHTS: Final = (
    *(_weights(multiplier, precision) for precision in ("float", "quant1") for multiplier in (50, 75, 100)),
    _weights(50, "quant2"),
    _weights(
        75,
        "quant2",
        graph="a8b2ed00ed1fc764729da234f133c47ec9c155513630c12a15e2a772d80cee07",
        shard="fa9f00dab1468f722f497c06f5c29f60ee3ad9eb1fa81499d0eb16d99290cbd8",
    ),
    _weights(100, "quant2"),
)
"""These are Google's weights for TF.js, of which one set is as good as another for every stride."""


def find(name: str) -> Entry | None:
    """The model of that name, or None if the catalogue has none."""
    return next((entry for entry in CATALOGUE if entry.name == name), None)


def is_published(name: str) -> bool:
    """Whether that is a model of the catalogue that can be downloaded."""
    entry = find(name)
    return entry is not None and entry.is_published


def is_path(name: str) -> bool:
    """Whether that is meant for a file, and not for a model of the catalogue."""
    return Path(name).suffix == ".tflite" or os.sep in name


def find_weights(name: str) -> Weights | None:
    """The weights of that name, or None if the catalogue has none."""
    return next((weights for weights in WEIGHTS if weights.name == name), None)


def locate_weights(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of weights that are on this machine; never downloads.

    Args:
        name: a name of the catalogue, or a path, which is not looked at here.
        environment: names the cache folder of catalogue weights.

    Raises:
        ModelError: nothing of the known weights is there.
    """
    weights = find_weights(name)
    if weights is None or Path(name).exists():
        return Path(name)
    folder = weights.folder(environment)
    try:
        if is_folder(folder):
            return folder
    except OSError as error:
        raise ModelError(f"weights {name}: {folder} cannot be accessed: {error.strerror}") from error
    how = (
        f"get them with: posed model pull {name}"
        if weights.files
        else f"download {weights.url} and what it names into that folder by hand"
    )
    raise ModelError(f"weights {name}: not in {folder}; {how}")


def unknown(name: str) -> ModelError:
    """The error for a name that is neither a model of the catalogue nor a file: says which ones come near."""
    if find_weights(name) is not None:
        return ModelError(f"model {name}: are weights; make a model of them with: posed model export {name}")
    names = [entry.name for entry in CATALOGUE]
    weights = [known.name for known in WEIGHTS]
    near = difflib.get_close_matches(name, names, cutoff=0.5) or difflib.get_close_matches(name, weights)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return ModelError(f"model {name}: must be a known name or the path of a .tflite; {hint}")


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where downloaded models are kept."""
    return cache_folder(environment) / "models"


def locate(name: str, environment: Mapping[str, str] = os.environ) -> ModelFiles:
    """The files of a model that are on this machine; never downloads.

    Args:
        name: a name of the catalogue, or a path, beside which the other file of a pair is looked for by name.
        environment: names the cache folder of catalogue models.

    Returns:
        At least one file. Which one is compiled, its name says; what is inside was not read.

    Raises:
        ModelError: the name is unknown, or nothing of the model is there.
    """
    entry = find(name)
    return _beside(name) if entry is None else _known(entry, environment)


def _known(entry: Entry, environment: Mapping[str, str]) -> ModelFiles:
    cpu, edgetpu = (
        None if file is None else _if_file(file.path(environment)) for file in (entry.cpu, entry.edgetpu)
    )
    if cpu is None and edgetpu is None:
        folder = entry.files[0].path(environment).parent
        how = f"get it with: posed model pull {entry.name}" if entry.is_published else "install posed again"
        raise ModelError(f"model {entry.name}: not in {folder}; {how}")
    return ModelFiles(cpu, edgetpu)


def _beside(name: str) -> ModelFiles:
    path = Path(name)
    if _if_file(path) is None:
        raise _missing(name, path)
    if path.stem.endswith(_COMPILED):
        return ModelFiles(_if_file(path.with_name(path.stem.removesuffix(_COMPILED) + path.suffix)), path)
    return ModelFiles(path, _if_file(path.with_name(path.stem + _COMPILED + path.suffix)))


def _missing(name: str, path: Path) -> ModelError:
    if exists(path):
        return ModelError(f"model {name}: must be a file, got a folder or device")
    if is_path(name):
        return ModelError(f"model {name}: no such file")
    return unknown(name)


def _if_file(path: Path) -> Path | None:
    """The path, if a file is there.

    Raises:
        ModelError: the system does not let us look.
    """
    try:
        return path if is_file(path) else None
    except OSError as error:
        raise ModelError(f"model {path}: cannot be accessed: {error.strerror}") from error
