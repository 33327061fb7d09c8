"""What commands print for people: detections, the catalogue, a model, a download's progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import cv2
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from posed.commands.detect import Detection, write_image
from posed.config import Config
from posed.drawing.skeletons import draw_poses
from posed.errors import ImageError, ModelError, one_line
from posed.messages.structs import Sender, encode, rfc3339
from posed.messages.words import event_in_words
from posed.model.card import card_of
from posed.model.catalogue import (
    CATALOGUE,
    WEIGHTS,
    ModelFile,
    find,
    find_weights,
    locate,
    models_folder,
    unknown,
)
from posed.model.pull import is_whole, pull
from posed.networks import Network
from posed.networks.pair import Pair
from posed.pose import KEYPOINTS, Pose

if TYPE_CHECKING:
    from posed.commands.draw import Progress as Drawn
    from posed.commands.record import Written
    from posed.commands.replay import Played
    from posed.pipeline.occurrence import Occurrence


_NAME_COLUMNS: Final = 16
_PERSON_COLUMNS: Final = 23
"""A table of keypoints has their names and, for each person, so many columns."""


@cache
def _console() -> Console:
    """As wide as the terminal; 80 columns where there is none."""
    return Console(highlight=False)


@cache
def _sender(device: str) -> Sender:
    return Sender.start(device)


def show_detection(detection: Detection, sequence: int, settings: Config, *, as_json: bool) -> None:
    """Print what was found in one picture: a table, or one `poses` message on one line."""
    if as_json:
        print_line(encode(detection.message(_sender(settings.device), sequence)).decode())
        return
    count = len(detection.poses)
    alone = ", assumed to be alone: several would be one body here" if settings.decode.people == "one" else ""
    print_line(
        f"{detection.path}: {count} {'person' if count == 1 else 'people'}{alone if count else ''} "
        f"(inference {detection.inference_s * 1000:.1f} ms)"
    )
    beside = max(1, (_console().width - _NAME_COLUMNS) // _PERSON_COLUMNS)
    for first in range(0, count, beside):
        shown = detection.poses[first : first + beside]
        _print_table(_people_table(shown, first + 1, detection.keypoint_threshold))


def _people_table(poses: Sequence[Pose], number: int, threshold: float) -> Table:
    """The keypoints of people beside each other, of whom the first has this number."""
    table = Table("keypoint", box=None)
    for pose in poses:
        table.add_column(f"person {number} ({pose.score:.2f})", no_wrap=True)
        number += 1
    for index, name in enumerate(KEYPOINTS):
        cells = [
            f"{pose.points[index][1]:7.1f} {pose.points[index][0]:7.1f}  {pose.scores[index]:.2f}"
            if pose.scores[index] >= threshold
            else "-"
            for pose in poses
        ]
        table.add_row(name, *cells)
    return table


def print_line(text: str) -> None:
    """Print on standard output.

    Raises:
        ImageError: it cannot be written.
    """
    with _printing():
        print(text, flush=True)  # noqa: T201


@contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What is still buffered would be tried again when Python ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ImageError(f"standard output: cannot be written ({error.strerror})") from None


def _print_table(table: Table) -> None:
    with _printing():
        _console().print(table)


def drawn_files(pictures: Sequence[Path], out: Path | None) -> list[Path]:
    """Where each picture is drawn to: `out`, or for several pictures a file of its own in that folder.

    Raises:
        ImageError: the name's ending is no picture format, or the folder cannot be made.
    """
    if out is None:
        return []
    if len(pictures) == 1:
        if not cv2.haveImageWriter(str(out)):
            raise ImageError(f"{out}: must end in a picture format such as .png or .jpg, got {out.suffix!r}")
        return [out]
    if out.suffix and not out.is_dir():
        raise ImageError(f"{out}: must be a folder for several pictures, got the name of a file")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{out}: must be a folder for several pictures ({error.strerror})") from None
    stems = [picture.stem for picture in pictures]
    numbered = len(set(stems)) < len(stems)
    return [
        out / (f"{number}-{stem}.png" if numbered else f"{stem}.png")
        for number, stem in enumerate(stems, start=1)
    ]


def draw_detection(detection: Detection, out: Path) -> None:
    """Write the picture with its skeletons."""
    write_image(out, draw_poses(detection.image, detection.poses, detection.keypoint_threshold))


def show_catalogue() -> None:
    """Print the known models and which of their files are here, and the weights to make others of."""
    table = Table("name", "size", "stride", "for the CPU", "for the Edge TPU", "MB", box=None)
    for entry in CATALOGUE:
        table.add_row(
            entry.name,
            "any" if entry.size is None else f"{entry.size[1]}×{entry.size[0]}",
            f"{entry.stride}",
            *(_here(file) for file in (entry.cpu, entry.edgetpu)),
            _megabytes(entry.files),
        )
    weights = Table("weights to export", "MobileNetV1", "posed model pull", box=None)
    for known in WEIGHTS:
        weights.add_row(
            known.name, f"{known.multiplier:.2f}", "yes" if known.files else "says where they are"
        )
    for rows in (table, weights):
        _print_table(rows)
        print_line("")
    for source, licence in dict.fromkeys((entry.source, entry.licence) for entry in CATALOGUE):
        print_line(f"source: {source}, licence: {licence}")
    print_line(f"downloads are kept in: {models_folder()}")


def _megabytes(files: Sequence[ModelFile]) -> str:
    """How large all files are together."""
    sizes = [file.size_bytes for file in files if file.size_bytes is not None]
    return f"{sum(sizes) / 1e6:.1f}" if len(sizes) == len(files) else "?"


def _here(file: ModelFile | None) -> str:
    if file is None:
        return "-"
    path = file.path()
    try:
        if not path.is_file():
            return "not here"
        return "here" if is_whole(file, path) else "damaged"
    except OSError:
        return "unreadable"


def show_model(pair: Pair) -> None:
    """Print what the files of a model hold."""
    entry = pair.entry
    published = (None, None) if entry is None else (entry.cpu, entry.edgetpu)
    for network, file in zip((pair.plain, pair.compiled), published, strict=True):
        if network is None:
            continue
        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(overflow="fold")
        facts = _facts(network)
        if entry is not None:
            facts += [("source", entry.source), ("licence", entry.licence)]
        if file is not None:
            facts.append(("SHA-256", file.sha256))
        for name, value in (*facts, *card_of(network.model.path).items()):
            table.add_row(escape(name), escape(value))
        print_line(str(network.model.path))
        _print_table(table)


def _facts(network: Network) -> list[tuple[str, str]]:
    model = network.model
    width, height = model.size
    decoder = "none"
    if model.decoder is not None:
        shown = {one_line(name): value for name, value in model.decoder.items() if not name.startswith("_")}
        options = ", ".join(f"{name} {value:g}" for name, value in shown.items())
        decoder = f"PosenetDecoderOp, not used ({options})"
    sides = f"{height}×{width} px"
    if model.resizable:
        sides = f"any size, {sides} by default (model.input_size)"
    return [
        ("input", f"{sides}, {model.input.describe()}"),
        *network.facts(),
        ("compiled for the Edge TPU", "yes" if model.edgetpu else "no"),
        ("decoder in the file", decoder),
    ]


def pull_with_progress(name: str) -> None:
    """Download every file of a known model, or known weights, with a progress bar.

    Raises:
        ModelError: the name is unknown, or the checksums of those weights are; or it should be there already.
        DownloadError: a file could not be had.
    """
    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TimeRemainingColumn())
    console = _progress_console()
    for file, folder in _files_to_pull(name):
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(file.name[-30:], total=file.size_bytes)

            def show(
                done_bytes: int, total_bytes: int | None, bar: Progress = progress, task: TaskID = task
            ) -> None:
                bar.update(task, completed=done_bytes, total=total_bytes)

            path = pull(file, folder, show) if file.url else file.path()
        print_line(str(path))


def _files_to_pull(name: str) -> list[tuple[ModelFile, Path]]:
    """Each file that belongs to a name, and the folder where it is kept."""
    entry = find(name)
    if entry is not None:
        if not entry.is_published:
            locate(name)
        return [(file, file.path().parent) for file in entry.files]
    weights = find_weights(name)
    if weights is None:
        raise unknown(name)
    if not weights.files:
        raise ModelError(
            f"weights {name}: their checksums are not known; download {weights.url} and what it names "
            f"into {weights.folder()} by hand"
        )
    return [(file, weights.folder()) for file in weights.files]


def _progress_console() -> Console:
    """Standard error; where that is no terminal, nothing, as rich before 15 ends a hidden bar with a line."""
    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    return console


def _progress(*columns: ProgressColumn) -> Progress:
    """On standard error where that is a terminal; what is printed meanwhile stands above it."""
    console = _progress_console()
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
    )


@contextmanager
def record_progress() -> Iterator[Callable[[Written], None]]:
    """Shows how a recording goes."""
    with _progress(TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        task = progress.add_task("waiting for the daemon; Ctrl-C ends", total=None)

        def show(written: Written) -> None:
            progress.update(task, description=f"{_said(written)}, {written.people} people; Ctrl-C ends")

        yield show


def show_recorded(out: Path, written: Written) -> None:
    """Print what was recorded."""
    print_line(f"{out}: {_said(written)}, {written.seconds:.1f} s")


def _said(written: Written) -> str:
    lost = f", {written.lost} more were lost on the way" if written.lost else ""
    return f"{written.frames} frames{lost}, {written.size_bytes / 1e6:.2f} MB"


@contextmanager
def replay_progress(path: Path, file: IO[bytes]) -> Iterator[Callable[[Played], None]]:
    """Shows how far a recording has been played, and says at the end how much that was."""
    size_bytes = path.stat().st_size if path.is_file() else None
    frames, since_s = 0, 0.0
    with _progress(TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn()) as progress:
        task = progress.add_task(str(path)[-40:], total=size_bytes)

        def show(played: Played) -> None:
            nonlocal frames, since_s
            frames, since_s = frames + 1, played.since_s
            if size_bytes is not None:
                progress.update(task, completed=file.tell())

        yield show
    print(f"{path}: {frames} frames, {since_s:.1f} s", file=sys.stderr)  # noqa: T201


def show_event(number: str, event: Occurrence, since_s: float, *, as_json: bool) -> None:
    """Print an event of a recording, on one line, in words or with all that is known of it.

    Args:
        number: the event's id in this replay.
        event: the event as it is published.
        since_s: media time that passed since the recording's first frame, s.
        as_json: whether to print a JSON object.
    """
    if as_json:
        fields = {
            "id": number,
            "since_s": round(since_s, 3),
            "time": rfc3339(event.time_s),
            "type": event.type,
            "person": event.person,
            "zone": event.zone,
            "detail": dict(event.detail),
        }
        print_line(json.dumps(fields))
        return
    print_line(f"{since_s:10.2f} s  {event_in_words(event)}")


@contextmanager
def draw_progress(video: Path) -> Iterator[Callable[[Drawn], None]]:
    """Shows how much of a video is drawn."""
    columns = (TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(), TimeRemainingColumn())
    with _progress(*columns) as progress:
        task = progress.add_task(str(video)[-40:], total=None)

        def show(drawn: Drawn) -> None:
            progress.update(task, completed=drawn.frames, total=drawn.total)

        yield show
