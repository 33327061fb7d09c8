"""Trains a PoseNet, on drawings or on COCO's pictures, and writes it as uint8 .tflite files.

    scripts/train                                      # 100 minutes on two CPU cores; less on a GPU
    scripts/train --resume --minutes 180               # longer; say all other options again
    scripts/train --coco person_keypoints_train2017.json --images train2017 --minutes 2000
    scripts/train --resume --minutes 0                 # no more training: only figures and files

Pictures are prepared once and kept. The network is trained at smaller sizes than it is used at, then measured
on pictures that it never saw, and written for the output strides 16, 32 and 8 to the folder --output, with a
card that says what it is. Everything it needs meanwhile lies in --work: pictures (0.3 MB each), the
checkpoint, the weights. Ctrl-C ends it, and --resume goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from posed import synthetic
from posed.commands.detect import Detection, detect
from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.errors import ImageError, ModelError, PosedError
from posed.model.architecture import check_size
from posed.model.card import CARD, DRAWN, PEOPLE
from posed.model.export import export, parsed_size
from posed.model.tflite import Model, read_model
from posed.networks import INPUT_SIZE, network_of, posenet
from posed.networks.posenet.heads import Heads
from posed.pose import Pose
from scripts.paths import CACHE
from scripts.training import learn
from scripts.training.figures import Truth, figures_of, matched
from scripts.training.pool import Pool, Sample, coco_pictures, coco_pool, draw_pool
from scripts.training.posenet import NETWORKS, PoseNet, infer, native_of

STRIDES: Final = (16, 32, 8)
"""Output strides that files are written for, px."""

HELD_OUT_SEED: Final = 10_000_000
"""Of the first drawing that is only for measuring; those to learn from count up from 0."""

HELD_OUT_PEOPLE: Final = (1, 2, 3)
"""How many people are in the drawings for measuring, in turn."""

LOW_EVERY: Final = 2
"""In each how-manieth drawing to learn from most people lie, fall or bend down: they look in more ways than
those who stand, and a room has few of them."""

HELD_OUT_EVERY: Final = 20
"""Of COCO's pictures each how-manieth is only for measuring."""

CALIBRATION: Final = 100
"""Pictures that the converter sees, of those to learn from."""

SURE: Final = 0.5
"""Score from which on a keypoint of the model of real people counts as the truth."""

_BATCH: Final = 8
"""Pictures at a time while measuring."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things lie below --work."""

    work: Path
    kind: str
    origin: str

    @property
    def pool(self) -> Path:
        """Pictures to learn from; those of other annotations or another renderer lie elsewhere."""
        return self.work / f"{self.kind}-{self.origin}"

    @property
    def held_out(self) -> Path:
        """Pictures to measure with."""
        return self.work / f"{self.kind}-{self.origin}-held-out"

    @property
    def checkpoint(self) -> Path:
        """State of the training."""
        return self.work / f"{self.kind}.checkpoint.pt"


def main() -> None:
    """Prepare, train, measure, write."""
    arguments = _arguments()
    try:
        check_size(arguments.size, max(STRIDES))
        check_size(arguments.first_size, max(STRIDES))
        check_size(arguments.train_size, max(STRIDES))
        kind = f"{'coco' if arguments.coco else 'drawings'}-{_text(arguments.size)}"
        folders = Folders(arguments.work, kind, _origin(arguments.coco))
        folders.work.mkdir(parents=True, exist_ok=True)
        arguments.output.mkdir(parents=True, exist_ok=True)
        check_files(arguments, folders)
        prepare(arguments, folders)
        if arguments.minutes > 0:
            train(arguments, folders)
        model, progress = learn.load(folders.checkpoint)
        finish(arguments, folders, model, progress)
    except (PosedError, OSError) as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        print("train: stopped; the same command with --resume goes on", file=sys.stderr)
        sys.exit(130)


def check_files(arguments: argparse.Namespace, folders: Folders) -> None:
    """Read what is needed only later, since preparing and training take hours.

    Raises:
        PosedError: something is missing or no good.
    """
    goes_on = arguments.resume or not arguments.minutes
    if not goes_on and folders.checkpoint.exists():
        raise ModelError(
            f"{folders.checkpoint}: must not be there when a training begins, which writes it anew; "
            "--resume goes on with it, another --work leaves it"
        )
    start = folders.checkpoint if goes_on else arguments.start
    if start is not None:
        learn.load(start)
    if arguments.reference is not None:
        poses_in(arguments.reference, arguments.photographs)


def _origin(coco: Path | None) -> str:
    """What the pictures come from, in 8 letters: the annotations, or the renderer's source."""
    sources = sorted(Path(synthetic.__file__).parent.glob("*.py")) if coco is None else [coco]
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    except OSError as error:
        raise ImageError(f"{coco}: {error.strerror}") from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--output",
        "-o",
        type=Path,
        default=Path("models"),
        help="folder for the files (default: %(default)s)",
    )
    add("--name", help="what the files' names begin with (default: drawings, or coco)")
    add("--work", type=Path, default=CACHE / "train", help="folder for everything else")
    add("--coco", type=Path, help="COCO keypoint annotations, instead of drawings")
    add("--images", type=Path, help="folder with the pictures of --coco")
    add("--pictures", type=_count, default=20000, help="drawings to learn from (default: %(default)s)")
    add("--held-out", type=_count, default=500, help="drawings to measure with (default: %(default)s)")
    add("--size", type=_size, default=(353, 257), help="WIDTHxHEIGHT of the files (default: 353x257)")
    add(
        "--first-size",
        type=_size,
        default=(193, 193),
        help="WIDTHxHEIGHT to train at for most of the time (default: 193x193)",
    )
    add(
        "--train-size",
        type=_size,
        default=(257, 257),
        help="WIDTHxHEIGHT to train at last (default: 257x257)",
    )
    add("--minutes", type=_minutes, default=100, help="to train, with those before a --resume (default: 100)")
    add(
        "--seen",
        type=_count,
        default=10**8,
        help="end after this many pictures; such runs can be repeated",
    )
    add("--batch", type=_count, default=16, help="pictures per step (default: %(default)s)")
    add("--rate", type=float, default=3e-3, help="highest learning rate (default: %(default)s)")
    add("--seed", type=_whole, default=1, help="of everything by chance (default: %(default)s)")
    add(
        "--processes",
        type=_count,
        help="on the CPU (default: as many as cores, that divide --batch)",
    )
    add("--loaders", type=_whole, default=0, help="processes that prepare pictures; 8 or so with a GPU")
    add("--photographs", type=Path, nargs="+", help="pictures of real people to measure with, too")
    add("--reference", type=Path, help="a .tflite trained on real people, which says where they are there")
    add("--start", type=Path, help="checkpoint of another training to take the first weights from")
    add("--resume", action="store_true", help="go on from the last checkpoint; say all else again")
    arguments = parser.parse_args()
    if (arguments.coco is None) != (arguments.images is None):
        parser.error("--coco and --images: must be given together")
    if (arguments.photographs is None) != (arguments.reference is None):
        parser.error("--photographs and --reference: must be given together")
    if arguments.name is None:
        arguments.name = "coco" if arguments.coco else "drawings"
    if arguments.processes is None:
        cores = os.cpu_count() or 1
        arguments.processes = max(count for count in range(1, cores + 1) if arguments.batch % count == 0)
    if arguments.batch % arguments.processes:
        parser.error(
            f"--batch: must be a multiple of --processes {arguments.processes}, got {arguments.batch}"
        )
    return arguments


def _size(text: str) -> tuple[int, int]:
    try:
        return parsed_size(text)
    except ModelError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("size: ")) from None


def _count(text: str) -> int:
    return _whole(text, 1)


def _whole(text: str, least: int = 0) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
    return int(text)


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 <= minutes < math.inf:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return minutes


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _bar(*columns: str) -> Progress:
    texts = [TextColumn(f"{{task.fields[{column}]}}") for column in columns]
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *texts, TimeElapsedColumn()
    )


def prepare(arguments: argparse.Namespace, folders: Folders) -> None:
    """Draw or read the pictures, those that are not there yet."""
    size, workers = arguments.size, arguments.processes
    if arguments.coco:
        pictures = coco_pictures(arguments.coco)
        held_out = pictures[::HELD_OUT_EVERY]
        learned = [one for index, one in enumerate(pictures) if index % HELD_OUT_EVERY]
        steps = {
            "pictures to measure with": (
                len(held_out), coco_pool(folders.held_out, held_out, arguments.images, size, workers)
            ),
            "pictures to learn from": (
                len(learned), coco_pool(folders.pool, learned, arguments.images, size, workers)
            ),
        }  # fmt: skip
    else:
        steps = {
            "drawings to measure with": (
                arguments.held_out,
                draw_pool(
                    folders.held_out, arguments.held_out, size, HELD_OUT_SEED, HELD_OUT_PEOPLE, 0, workers
                ),
            ),
            "drawings to learn from": (
                arguments.pictures,
                draw_pool(folders.pool, arguments.pictures, size, 0, None, LOW_EVERY, workers),
            ),
        }
    with _bar() as bar:
        for what, (count, done) in steps.items():
            task = bar.add_task(what, total=count)
            for there in done:
                bar.update(task, completed=min(there, count))


def train(arguments: argparse.Namespace, folders: Folders) -> None:
    """Train, with a bar that counts seconds."""
    settings = learn.Settings(
        folders.pool,
        folders.checkpoint,
        arguments.start,
        (arguments.first_size, arguments.train_size),
        arguments.batch,
        arguments.rate,
        arguments.minutes,
        arguments.seen,
        arguments.seed,
        arguments.processes,
        arguments.loaders,
    )
    with _bar("said") as bar:
        task = bar.add_task("training, %", total=100, said="")

        def report(progress: learn.Progress, rate: float) -> None:
            parts = " ".join(f"{value:.2f}" for value in progress.losses)
            speed = progress.pictures / max(progress.elapsed_s, 1e-3)
            said = f"{progress.pictures} pictures, {speed:.0f}/s, rate {rate:.1e}, losses {parts}"
            bar.update(task, completed=round(100 * progress.share(settings)), said=said)

        learn.learn(settings, resume=arguments.resume, report=report)


def finish(arguments: argparse.Namespace, folders: Folders, model: PoseNet, progress: learn.Progress) -> None:
    """Measure, write the files, measure those, and write the card."""
    held_out, pool = Pool(folders.held_out), Pool(folders.pool)
    pictures = [pool[index].image for index in range(min(CALIBRATION, len(pool)))]
    width, height = arguments.size
    card = {"all": _card_of_all(arguments, len(pool), len(held_out), progress)}
    for stride in STRIDES:
        native = native_of(stride)
        weights = model.weights(native)
        np.savez(folders.work / f"{arguments.name}_{native}.npz", **weights)
        path = arguments.output / f"{arguments.name}_{height}_{width}_{stride}.tflite"
        result = export(
            weights, NETWORKS[native], stride=stride, size=arguments.size, quantize="uint8",
            calibration=pictures, out=path,
        )  # fmt: skip
        print(*result.lines(), sep="\n")
        before = figures_of(float_heads(model, held_out, stride)).summary()
        after = figures_of(file_heads(read_model(path), held_out)).summary()
        card[path.name] = {"figures": figures_text(after), "before quantising": figures_text(before)}
        if arguments.photographs:
            card[path.name]["photographs"] = photographs_text(
                path, arguments.photographs, arguments.reference
            )
        print(*(f"  {key}: {value}" for key, value in card[path.name].items()), sep="\n")
    path = arguments.output / CARD
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: written")


def _card_of_all(
    arguments: argparse.Namespace, pictures: int, held_out: int, progress: learn.Progress
) -> dict[str, str]:
    if arguments.coco:
        what, measured = f"{pictures} pictures of {arguments.coco.name}", f"every {HELD_OUT_EVERY}th picture"
    else:
        what = f"{pictures} drawings by posed itself; no photograph, so it hardly sees real people"
        measured = "drawings of its own, with 1 to 3 people, as a camera in a room sees them"
    return {
        PEOPLE: "real" if arguments.coco else DRAWN,
        "trained on": what,
        "trained for": f"{progress.all_pictures} views in {progress.all_s / 60:.0f} min",
        "measured on": f"{held_out} held-out pictures: {measured}; PCK within 0.2 of the torso, "
        f"people at OKS 0.5, score threshold {DecodeConfig().score_threshold}",
    }


def figures_text(summary: dict[str, float]) -> str:
    """What `Figures.summary` says, in a line."""
    return (
        f"PCK {summary['pck']:.2f}, recall of people {summary['recall']:.2f}, "
        f"precision {summary['precision']:.2f}"
    )


def photographs_text(path: Path, pictures: Sequence[Path], reference: Path) -> str:
    """How many people a file finds in photographs, held against what a model of real people finds."""
    found = poses_in(path, pictures)
    wanted = [
        [one for pose in poses if (one := Truth(pose.points.astype(np.float32), pose.scores >= SURE)).counts]
        for poses in poses_in(reference, pictures)
    ]
    right = sum(len(matched(people, poses)) for people, poses in zip(wanted, found, strict=True))
    people, others = sum(map(len, wanted)), sum(map(len, found)) - right
    return f"finds {right} of the {people} people that {reference.name} clearly finds, and {others} others"


def poses_in(path: Path, pictures: Sequence[Path]) -> list[list[Pose]]:
    """What a model finds in each picture, on the CPU."""
    network = network_of(read_model(path), INPUT_SIZE)
    with open_engine(EngineConfig(kind="cpu"), network.model, None) as engine:
        found = list(detect(pictures, engine, network, DecodeConfig()))
    for one in found:
        if isinstance(one, PosedError):
            raise one
    return [one.poses for one in found if isinstance(one, Detection)]


def float_heads(model: PoseNet, pool: Pool, stride: int) -> Iterator[tuple[Sample, Heads]]:
    """What the network says of every picture before it is quantised."""
    for first in range(0, len(pool), _BATCH):
        samples = [pool[index] for index in range(first, min(first + _BATCH, len(pool)))]
        yield from zip(samples, infer(model, [one.image for one in samples], stride), strict=True)


def file_heads(model: Model, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Heads]]:
    """What a file says of every picture, on the CPU."""
    network = posenet.PoseNet.of(model)
    with open_engine(EngineConfig(kind="cpu", threads=1), network.model, None) as engine:
        for sample in samples:
            yield sample, network.heads(engine.infer(sample.image))


if __name__ == "__main__":
    main()
