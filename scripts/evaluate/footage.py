"""Plays labelled footage of real people through posed, and prints what it reported of them.

    scripts/python evaluate.footage                          # ../shared/footage at 15 and 10 fps, both sizes
    scripts/python evaluate.footage --use check --fps 10     # the quick half
    scripts/python evaluate.footage --clips urfd_dm_fall-02-cam0 -o /tmp/strips
    scripts/python evaluate.footage --learn                  # again, once each camera's pitch is known
    scripts/python evaluate.footage --crops-per-s 0 2 5      # as an AI Camera, beside a CPU that is slow

For each rate and model, and by group: falls reported, seconds from the labelled start to the event, clips
in which a fall was reported that was none, ids per clip, frames in which who lies is found, and inferences
spent; then postures against the labels. Inferences are kept in
${XDG_CACHE_HOME:-~/.cache}/posed-check/footage.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from posed.config import CameraConfig, Config, changed
from posed.errors import PosedError
from posed.networks import INPUT_SIZE
from scripts.evaluate.clips import Clip, FootageError, read_footage
from scripts.evaluate.drawing import draw_strip
from scripts.evaluate.inferences import PoseFinder, camera_config
from scripts.evaluate.options import at_least_one, default_models, rate
from scripts.evaluate.play import Played, play, play_on
from scripts.evaluate.score import Bounds, Score, print_tables
from scripts.paths import FOOTAGE, INFERENCES, WALKERS


@dataclass(frozen=True)
class Conditions:
    """What clips are played with.

    Args:
        model: a name of the catalogue, or a path.
        config: the camera's settings.
        fps: frames per second that are processed.
        input_size: both sides of the input of a model that takes any, px.
        crops_per_s: how many rotated crops an engine infers beside the frames; infinity: with them.
    """

    model: str
    config: CameraConfig
    fps: float
    input_size: int = INPUT_SIZE
    crops_per_s: float = math.inf


def main() -> int:
    """Play, print, and compare with the bounds; returns the exit status."""
    options = parse_options()
    try:
        clips = chosen_clips(options)
        settings = changed(Config(), dict(options.set))
        good = True
        for model in options.models:
            config = camera_config(settings, model)
            for fps, crops_per_s in itertools.product(options.fps, options.crops_per_s):
                conditions = Conditions(model, config, fps, crops_per_s=crops_per_s)
                for learn in (False, True) if options.learn else (False,):
                    played = play_all(clips, options, conditions, learn=learn)
                    learned = ", each camera's pitch learned before" if learn else ""
                    crops = "" if math.isinf(crops_per_s) else f", {crops_per_s:g} rotated crops/s beside"
                    print(f"\n== {Path(model).stem}, {fps:g} fps, {len(clips)} clips{crops}{learned}")
                    score = print_tables(played, wrong=options.wrong)
                    good = within(score, Bounds(options.most_missed, options.most_false)) and good
                if options.hours:
                    good = play_hours(clips, options, conditions) and good
                if options.output:
                    for one in played:
                        print(draw_strip(one, options.output, config, options.every))
    except (FootageError, PosedError, OSError) as error:
        print(f"footage: {error}", file=sys.stderr)
        return 2
    return 0 if good else 1


def chosen_clips(options: argparse.Namespace) -> list[Clip]:
    """The clips that the command line asks for.

    Raises:
        FootageError: there is none.
    """
    clips = [
        clip
        for clip in read_footage(options.footage)
        if options.use in ("all", clip.use) and (not options.clips or clip.name in options.clips)
    ]
    unknown = set(options.clips or ()) - {clip.name for clip in clips}
    if unknown or not clips:
        raise FootageError(f"{options.footage}: has no such clip: {', '.join(sorted(unknown))}")
    return [replace(clip, resting=()) for clip in clips] if options.no_zones else clips


def within(score: Score, bounds: Bounds) -> bool:
    """Whether the figures keep the bounds; says which they do not."""
    problems = bounds.problems(score)
    for problem in problems:
        print(f"out of bounds: {problem}", file=sys.stderr)
    return not problems


def play_hours(clips: Sequence[Clip], options: argparse.Namespace, given: Conditions) -> bool:
    """People who come and go, for hours, of whom nobody falls; whether no fall was reported."""
    passers = [clip for clip in clips if clip.name.startswith("intel")]
    if WALKERS.is_file():
        passers.append(Clip(WALKERS, "check", "no_fall", None, (), (), held=False))
    if not passers:
        raise FootageError("--hours: must have clips of passers-by (intel_*), got none")
    with PoseFinder(given.model, given.config.decode) as network:
        seconds = options.hours * 3600
        rounds, falls = play_on(
            passers, network, given.config, given.fps, INFERENCES, seconds, given.crops_per_s
        )
    print(
        f"{options.hours:g} h of {len(passers)} clips of passers-by, {rounds} rounds: "
        f"{len(falls)} falls reported"
    )
    for fall in falls:
        print(f"false   {fall}")
    return not falls


def play_clips(
    clips: Sequence[Clip], model: str, config: CameraConfig, fps: float, input_size: int
) -> list[Played]:
    """Every clip as it is, side by side, with this size of an input that takes any."""
    how = {"keep": False, "mirror": False, "learn": False}
    task = partial(play_one, given=Conditions(model, config, fps, input_size), how=how)
    with multiprocessing.Pool() as pool:
        return pool.map(task, clips, chunksize=1)


def play_all(
    clips: Sequence[Clip], options: argparse.Namespace, given: Conditions, *, learn: bool
) -> list[Played]:
    """Every clip, side by side."""
    how = {"keep": bool(options.output), "mirror": options.mirror, "learn": learn}
    task = partial(play_one, given=given, how=how)
    if options.processes == 1:
        return [task(clip) for clip in clips]
    with multiprocessing.Pool(options.processes) as pool:
        return pool.map(task, clips, chunksize=1)


def play_one(clip: Clip, given: Conditions, how: dict[str, bool]) -> Played:
    """One clip, with a network of its own."""
    with PoseFinder(given.model, given.config.decode, given.input_size) as network:
        return play(clip, network, given.config, given.fps, INFERENCES, **how, crops_per_s=given.crops_per_s)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.footage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--footage", type=Path, default=FOOTAGE, help=f"a folder with a manifest.csv ({FOOTAGE})"
    )
    parser.add_argument("--use", choices=("try", "check", "all"), default="all", help="which clips (all)")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument(
        "--fps",
        type=rate,
        nargs="+",
        default=[15.0, 10.0],
        help="above a clip's own, frames are shown several times (15 10)",
    )
    parser.add_argument("--models", nargs="+", default=default_models(), metavar="MODEL")
    parser.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        type=_value,
        help="a setting, such as people.fall_confirm_s 5",
    )
    parser.add_argument(
        "--learn", action="store_true", help="play all again, in daemons that know their camera's pitch"
    )
    parser.add_argument(
        "--crops-per-s",
        type=crops_per_s,
        nargs="+",
        default=[math.inf],
        metavar="N",
        help="rotated crops that an engine can infer beside the frames of an AI Camera; 0: none (inf: all, "
        "with the frames)",
    )
    parser.add_argument("--mirror", action="store_true", help="play every clip as in a mirror")
    parser.add_argument(
        "--no-zones", action="store_true", help="play as if nobody had drawn the beds and sofas"
    )
    parser.add_argument("--hours", type=hours, default=0, help="of passers-by, too, one after the other")
    parser.add_argument("--wrong", action="store_true", help="name every clip that was taken wrongly")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FOLDER", help="write a strip of pictures of each clip"
    )
    parser.add_argument("--every", type=rate, default=1.0, help="seconds between its pictures (1)")
    parser.add_argument("--most-missed", type=int, metavar="N", help="end with 1 where more falls are missed")
    parser.add_argument(
        "--most-false", type=int, metavar="N", help="end with 1 where more other clips report a fall"
    )
    parser.add_argument("--processes", type=at_least_one, help="(one per core)")
    return parser.parse_args()


def crops_per_s(text: str) -> float:
    """A number of rotated crops a second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text}")
    return value


def hours(text: str) -> float:
    """A number of hours that somebody may wait for."""
    value = float(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"must be 0 to 1000, got {text}")
    return value


def _value(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


if __name__ == "__main__":
    sys.exit(main())
