"""Compares posed with the PyPI package neura-fall-detection, side by side on the same clips at the same rate.

    scripts/python evaluate.peer                             # ../shared/footage at 10 fps, Coral's 353x481
    scripts/python evaluate.peer --use check --require-ahead

By group: falls reported by each, and clips without a fall in which each reported one; then the clips that
they take differently. Both have their default settings; posed also knows the bed or sofa of a clip, as its
owner would have drawn it: the peer has no such setting. What the peer said, and posed's inferences, are
kept in ${XDG_CACHE_HOME:-~/.cache}/posed-check/footage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from posed.config import Config
from posed.errors import PosedError
from posed.pipeline.occurrence import Occurrence
from scripts.evaluate.clips import Clip, FootageError, read_footage
from scripts.evaluate.inferences import PoseFinder
from scripts.evaluate.options import rate
from scripts.evaluate.play import Played, play
from scripts.evaluate.score import Score, reported_at, score_of
from scripts.paths import CORAL_353X481, FOOTAGE, INFERENCES, ROOT

_PROCESSES: Final = 2
_PLAYER: Final = Path(__file__).with_name("peer_alerts.py")

_Pair = tuple[Played, Played]
"""A clip as posed and as the peer took it."""


class PeerError(Exception):
    """The peer ended early; the message is the last that it said."""


def main() -> int:
    """Play, print and compare; returns the exit status."""
    options = parse_options()
    try:
        clips = _wanted(options.footage, options.use)
        peer, python = options.peer
        theirs = play_peer(clips, options.fps, peer, python)
        with multiprocessing.Pool(_PROCESSES) as pool:
            task = partial(_play_posed, model=options.model, fps=options.fps)
            ours = pool.map(task, clips, chunksize=1)
    except (FootageError, PosedError, PeerError) as error:
        print(f"peer: {error}", file=sys.stderr)
        return 2
    print(f"== posed ({Path(options.model).stem}) and {peer}, {options.fps:g} fps, {len(clips)} clips")
    posed_score, peer_score = print_table(list(zip(ours, theirs, strict=True)))
    ahead = posed_score.reported > peer_score.reported and posed_score.false < peer_score.false
    if options.require_ahead and not ahead:
        print("peer: posed must report more of the falls, and fewer that are none", file=sys.stderr)
        return 1
    return 0


def _wanted(footage: Path, use: str) -> list[Clip]:
    clips = [clip for clip in read_footage(footage) if use in ("all", clip.use)]
    if not clips:
        raise FootageError(f"{footage}: has no such clip")
    return clips


def _play_posed(clip: Clip, model: str, fps: float) -> Played:
    config = Config().first
    with PoseFinder(model, config.decode) as network:
        return play(clip, network, config, fps, INFERENCES)


def play_peer(clips: Sequence[Clip], fps: float, peer: str, python: str) -> list[Played]:
    """Every clip through the peer, unless its alerts are known.

    Args:
        clips: to play.
        fps: frames per second.
        peer: its name and version.
        python: that of the environment which has it.

    Raises:
        PeerError: the peer ended before it was through.
    """
    file = INFERENCES / "peer.json"
    known: dict[str, list[float]] = json.loads(file.read_text()) if file.is_file() else {}
    player = _digest(_PLAYER)
    keys = {str(clip.path): f"{_digest(clip.path)} {fps:g} fps {peer} {player}" for clip in clips}
    new = [path for path, key in keys.items() if key not in known]
    if new:
        # The peer unpacks its models there.
        environment = {**os.environ, "XDG_CACHE_HOME": str(INFERENCES)}
        command = [python, "-m", f"scripts.evaluate.{_PLAYER.stem}", f"{fps:g}", *new]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for number, line in enumerate(process.stdout, start=1):
                path, alerts_s = json.loads(line)
                known[keys[path]] = alerts_s
                _keep(file, known)
                print(f"peer: {number} of {len(new)} {Path(path).stem}", file=sys.stderr)
            if process.wait():
                errors.seek(0)
                last = (errors.read().splitlines() or ["nothing said"])[-1]
                raise PeerError(f"{peer}: ended with {process.returncode} ({last})")
    return [_played_of(clip, known[keys[str(clip.path)]]) for clip in clips]


def _played_of(clip: Clip, alerts_s: Sequence[float]) -> Played:
    return Played(clip, reported=[(at, Occurrence("fall", at)) for at in alerts_s])


def _keep(file: Path, known: dict[str, list[float]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(known, indent=1))
    part.replace(file)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def print_table(pairs: Sequence[_Pair]) -> tuple[Score, Score]:
    """Print the figures of both by group, and the clips that they take differently; returns all in all."""
    groups: dict[str, list[_Pair]] = defaultdict(list)
    for one in pairs:
        clip = one[0].clip
        groups[clip.group].append(one)
        groups[f"all {clip.use}"].append(one)
    print(f"{'':24}{'falls reported':^24}{'others with a fall':^24}")
    print(f"{'':24}" + f"{'posed':>12}{'peer':>12}" * 2)
    for name, some in sorted(groups.items(), key=lambda item: (item[0].startswith("all"), item[0])):
        _print_row(name, some)
    scores = _print_row("all", pairs)
    print("taken differently:")
    for ours, theirs in pairs:
        _print_difference(ours, theirs)
    return scores


def _print_row(name: str, pairs: Sequence[_Pair]) -> tuple[Score, Score]:
    ours, theirs = (score_of(some) for some in zip(*pairs, strict=True))
    reported = [f"{one.reported} of {one.falls}" if one.falls else "-" for one in (ours, theirs)]
    false = [f"{one.false} of {one.others}" if one.others else "-" for one in (ours, theirs)]
    print(f"{name:24}" + "".join(f"{cell:>12}" for cell in (*reported, *false)))
    return ours, theirs


def _print_difference(ours: Played, theirs: Played) -> None:
    clip = ours.clip
    fall = clip.fall_start_s is not None
    good = [(reported_at(one) is not None) if fall else not one.falls for one in (ours, theirs)]
    if good[0] == good[1]:
        return
    times = [", ".join(f"{at:.1f}" for at in one.falls) or "nothing" for one in (ours, theirs)]
    truth = f"falls at {clip.fall_start_s:g}" if fall else "no fall"
    right = "posed" if good[0] else "peer"
    print(f"{right:5} is right  {clip.use:6} {clip.name}: {truth}; posed {times[0]}; peer {times[1]}")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.peer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--footage", type=Path, default=FOOTAGE, help=f"a folder with a manifest.csv ({FOOTAGE})"
    )
    parser.add_argument("--use", choices=("try", "check", "all"), default="all", help="which clips (all)")
    parser.add_argument("--fps", type=rate, default=10.0, help="frames per second of both (10)")
    parser.add_argument("--model", default=str(CORAL_353X481), help="posed's (Coral's 353x481)")
    parser.add_argument(
        "--require-ahead",
        action="store_true",
        help="end with 1 unless posed tells more of the falls and fewer that are none",
    )
    # From scripts/python: the package, and the Python that has it.
    parser.add_argument("--peer", nargs=2, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
