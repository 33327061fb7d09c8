"""Pictures with known keypoints, prepared once and read many times: drawn by posed itself, or COCO's."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.errors import ImageError
from posed.frame import Image, Letterbox
from posed.pose import KEYPOINT_COUNT
from posed.synthetic.scene import random_still

CHUNK: Final = 500
"""Pictures per file: a run that is stopped loses no more than this per process."""

HIDDEN: Final = 1
"""State of a keypoint that is in the picture, but behind somebody or something: not learned, not held against
anybody. 0 is one that is outside the picture or that nobody marked."""

SHOWN: Final = 2
"""State of a keypoint that counts: visible, or behind the own body only, as COCO's annotators mark them."""

_FARTHEST_PX: Final = 1e6
"""From the corner of a picture to anything that annotations mark, far beyond any picture."""

Picture = tuple[str, list[dict[str, Any]]]
"""A file's name and what is said of the people in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and everybody in it.

    Args:
        image: RGB uint8, (height, width, 3).
        points: (people, 17, 2) float32, y first, px of the picture.
        states: (people, 17) uint8: 0, HIDDEN or SHOWN.
        ignored: (boxes, 4) float32 y, x, height, width px: where people are whose keypoints nobody marked.
        areas: (people,) float32 px²: how much of the picture shows each; nan where nobody knows.
    """

    image: Image
    points: NDArray[np.float32]
    states: NDArray[np.uint8]
    ignored: NDArray[np.float32]
    areas: NDArray[np.float32]


class Pool:
    """The pictures of a folder that `draw_pool` or `coco_pool` filled; memory-mapped.

    Args:
        folder: with chunks.

    Raises:
        ImageError: nothing is there.
    """

    def __init__(self, folder: Path) -> None:
        self._chunks = [_Chunk(path) for path in sorted(folder.glob("*.images.npy"))]
        if not self._chunks:
            raise ImageError(f"{folder}: must hold prepared pictures, got none")
        self._starts = np.cumsum([0] + [len(chunk) for chunk in self._chunks])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """The picture of a number, from 0."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._chunks[chunk].sample(index - int(self._starts[chunk]))


class _Chunk:
    def __init__(self, path: Path) -> None:
        self._images = np.load(path, mmap_mode="r")
        with np.load(_people_path(path)) as people:
            self._people = {name: people[name] for name in people.files}
        # Pictures that an earlier version prepared have none.
        self._people.setdefault("areas", np.full(len(self._people["owner"]), np.nan, np.float32))

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, index: int) -> Sample:
        mine = self._people["owner"] == index
        ignored = self._people["ignored"][self._people["ignored_owner"] == index]
        points, states, areas = (self._people[name][mine] for name in ("points", "states", "areas"))
        return Sample(self._images[index], points, states, ignored, areas)


def _people_path(images: Path) -> Path:
    return images.with_name(images.name.replace(".images.npy", ".people.npz"))


def _write_chunk(path: Path, samples: Sequence[Sample]) -> None:
    """People first: a chunk is there once its pictures are."""
    owners = [index for index, sample in enumerate(samples) for _ in sample.points]
    ignored_owners = [index for index, sample in enumerate(samples) for _ in sample.ignored]
    np.savez(
        _people_path(path),
        owner=np.array(owners, np.int32),
        points=np.concatenate([sample.points for sample in samples]),
        states=np.concatenate([sample.states for sample in samples]),
        ignored_owner=np.array(ignored_owners, np.int32),
        ignored=np.concatenate([sample.ignored for sample in samples]),
        areas=np.concatenate([sample.areas for sample in samples]),
    )
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, np.stack([sample.image for sample in samples]))
    part.replace(path)


def draw_pool(  # noqa: PLR0913, PLR0917 each is a decision of the caller's
    folder: Path,
    count: int,
    size: tuple[int, int],
    first_seed: int,
    people: Sequence[int] | None,
    low_every: int,
    workers: int,
) -> Iterator[int]:
    """Fill a folder with drawings; what is there already stays.

    Args:
        folder: made where it is missing.
        count: pictures; rounded up to whole chunks.
        size: (width, height), px.
        first_seed: of the first picture; each has the next one.
        people: how many people are in the pictures, in turn; None for the renderer's own mixture.
        low_every: in each how-manieth picture most people lie, fall or bend down; 0 for none.
        workers: processes.

    Yields:
        How many pictures are there.
    """
    jobs = [(_chunk_path(folder, index), first_seed + index * CHUNK) for index in range(_chunks_for(count))]
    draw = partial(_draw_chunk, size=size, people=people, low_every=low_every)
    yield from _fill(folder, jobs, draw, workers)


def _draw_chunk(
    job: tuple[Path, int], size: tuple[int, int], people: Sequence[int] | None, low_every: int
) -> None:
    path, first_seed = job
    seeds = range(first_seed, first_seed + CHUNK)
    _write_chunk(path, [drawing(seed, size, people, low_every) for seed in seeds])


def drawing(
    seed: int, size: tuple[int, int], people: Sequence[int] | None = None, low_every: int = 0
) -> Sample:
    """One drawn picture.

    Args:
        seed: decides everything.
        size: (width, height), px.
        people: how many people there are, by the seed in turn; None for the renderer's own mixture.
        low_every: as `draw_pool` has it.
    """
    count = None if people is None else people[seed % len(people)]
    low = bool(low_every) and seed % low_every == 0
    rendered = random_still(seed, size, count, tame=True, low=low)
    points = [person.points for person in rendered.people]
    states = [_states(person.points, person.visible | person.self_hidden, size) for person in rendered.people]
    return sample_of(rendered.image, points, states, areas=[person.area_px for person in rendered.people])


def sample_of(
    image: Image,
    points: Sequence[Any],
    states: Sequence[Any],
    ignored: Sequence[Any] = (),
    areas: Sequence[float] | None = None,
) -> Sample:
    """A sample out of lists with one entry per person (per box)."""
    return Sample(
        image,
        np.array(points, np.float32).reshape(-1, KEYPOINT_COUNT, 2),
        np.array(states, np.uint8).reshape(-1, KEYPOINT_COUNT),
        np.array(ignored, np.float32).reshape(-1, 4),
        np.array([math.nan] * len(points) if areas is None else areas, np.float32),
    )


def _states(
    points: NDArray[np.float64], shown: NDArray[np.bool_], size: tuple[int, int]
) -> NDArray[np.uint8]:
    inside = ((points >= 0) & (points <= np.array([size[1] - 1, size[0] - 1]))).all(axis=1)
    return np.where(shown, SHOWN, np.where(inside, HIDDEN, 0)).astype(np.uint8)


def _chunk_path(folder: Path, index: int) -> Path:
    return folder / f"{index:05}.images.npy"


def _chunks_for(count: int) -> int:
    return math.ceil(count / CHUNK)


def _fill(folder: Path, jobs: Iterable[Any], work: Callable[[Any], None], workers: int) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True)
    every = list(jobs)
    missing = [job for job in every if not job[0].exists()]
    done = len(every) - len(missing)
    yield done * CHUNK
    # Not forked: OpenCV's threads do not survive that, and a child would wait for them for ever.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, cv2.setNumThreads, (1,)) as processes:
        for _ in processes.map(work, missing):
            done += 1
            yield done * CHUNK


def coco_pool(
    folder: Path, pictures: Sequence[Picture], images: Path, size: tuple[int, int], workers: int
) -> Iterator[int]:
    """Fill a folder with COCO's pictures, letterboxed to one size; what is there already stays.

    Args:
        folder: made where it is missing.
        pictures: of `coco_pictures`.
        images: folder with the files that they name.
        size: (width, height), px.
        workers: processes.

    Yields:
        How many pictures are there, at most (the last chunk may be short).

    Raises:
        ImageError: a picture cannot be read.
    """
    jobs = [
        (_chunk_path(folder, index), pictures[index * CHUNK : (index + 1) * CHUNK])
        for index in range(_chunks_for(len(pictures)))
    ]
    yield from _fill(folder, jobs, partial(_coco_chunk, images=images, size=size), workers)


def coco_pictures(annotations: Path) -> list[Picture]:
    """Every picture with at least one person that the annotations name.

    Raises:
        ImageError: no such file, one of another format, or one without keypoints.
    """
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        people: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for person in content["annotations"]:
            people[person["image_id"]].append(
                {
                    "keypoints": person.get("keypoints", ()),
                    "bbox": person["bbox"],
                    "area": person.get("area"),
                }
            )
        pictures = [(names[image], people[image]) for image in names if image in people]
    except OSError as error:
        raise ImageError(f"{annotations}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ImageError(f"{annotations}: must be COCO keypoint annotations, got {error!r}") from error
    # Those of COCO's objects have the same format.
    if not any(person["keypoints"] for _, everybody in pictures for person in everybody):
        raise ImageError(f"{annotations}: must mark somebody's keypoints, got none")
    return pictures


def _coco_chunk(job: tuple[Path, Sequence[Picture]], images: Path, size: tuple[int, int]) -> None:
    path, pictures = job
    _write_chunk(path, [coco_sample(images / name, people, size) for name, people in pictures])


def coco_sample(path: Path, people: Sequence[dict[str, Any]], size: tuple[int, int]) -> Sample:
    """One of COCO's pictures, letterboxed.

    Args:
        path: of the picture.
        people: each with `keypoints` (x, y, v times 17; COCO's order is PoseNet's), `bbox` (x, y, width,
            height) and, where it is known, `area`; one without a marked keypoint (a crowd, or somebody far
            away) is ignored.
        size: (width, height) to fit it into, px.

    Raises:
        ImageError: the picture cannot be read, or somebody has not 17 keypoints.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise ImageError(f"{path}: must be a picture, got something that cannot be read")
    letterbox = Letterbox((picture.shape[1], picture.shape[0]), size)
    image = letterbox.apply(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    origin, unit = letterbox.to_source(np.array([[0.0, 0.0], [1.0, 1.0]]))
    px_per_px = float(np.prod(1 / (unit - origin)))
    points, states, ignored, areas = [], [], [], []
    for person in people:
        try:
            marks = np.array(person["keypoints"], np.float64)
            x, y, width, height = map(float, person["bbox"])
            area = float(person.get("area") or math.nan)
        except (TypeError, ValueError, OverflowError) as error:
            raise ImageError(f"{path}: keypoints, bbox and area must be numbers, got {person}") from error
        if not (np.abs(np.append(marks, (x, y, width, height))) <= _FARTHEST_PX).all():
            raise ImageError(f"{path}: keypoints and bbox must be at most {_FARTHEST_PX:.0f}, got {person}")
        if not marks.any():
            corners = (np.array([[y, x], [y + height, x + width]]) - origin) / (unit - origin)
            ignored.append((*corners[0], *(corners[1] - corners[0])))
            continue
        if marks.size != 3 * KEYPOINT_COUNT:
            raise ImageError(f"{path}: people must have {KEYPOINT_COUNT} keypoints, got {marks.size / 3:g}")
        marks = marks.reshape(KEYPOINT_COUNT, 3)
        points.append((marks[:, 1::-1] - origin) / (unit - origin))
        states.append(np.where(marks[:, 2] > 0, SHOWN, 0))
        # Nobody takes more than the picture: whoever says so says nothing.
        areas.append(area * px_per_px if 0 < area <= picture.shape[0] * picture.shape[1] else math.nan)
    return sample_of(image, points, states, ignored, areas)
