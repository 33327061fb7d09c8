"""From clips that were played to the figures and their tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from scripts.evaluate.play import Played

_TRUTHS: Final = ("standing", "sitting", "lying", "neither")
_REPORTED: Final = ("standing", "sitting", "lying", "unknown", "nobody")


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of some clips.

    Args:
        falls, reported: clips in which somebody falls, and in which that was reported.
        others, false: clips in which nobody falls, and in which a fall was reported.
        early: falls reported in clips of a fall before it began, or more than once.
        delays_s: from the labelled start to the event.
        ids: by clip.
        lying_frames, lying_found: frames in which who fell lies, and in which somebody is found.
        frames, crops: frames, and rotated crops that were inferred.
    """

    falls: int
    reported: int
    others: int
    false: int
    early: int
    delays_s: tuple[float, ...]
    ids: tuple[int, ...]
    lying_frames: int
    lying_found: int
    frames: int
    crops: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What must hold; None for anything."""

    most_missed: int | None
    most_false: int | None

    def problems(self, score: Score) -> list[str]:
        """Which bounds are not kept, in words."""
        problems = []
        missed = score.falls - score.reported
        if self.most_missed is not None and missed > self.most_missed:
            problems.append(f"falls missed: must be at most {self.most_missed}, got {missed}")
        if self.most_false is not None and score.false > self.most_false:
            problems.append(f"other clips with a fall: must be at most {self.most_false}, got {score.false}")
        return problems


def reported_at(played: Played) -> float | None:
    """When the labelled fall was reported, s of the clip; None where it was not."""
    start_s = played.clip.fall_start_s
    return next((time_s for time_s in played.falls if start_s is not None and time_s > start_s), None)


def score_of(played: Sequence[Played]) -> Score:
    """The figures of some clips together."""
    falls = [one for one in played if one.clip.fall_start_s is not None]
    others = [one for one in played if one.clip.fall_start_s is None]
    reported = [(one, at) for one in falls if (at := reported_at(one)) is not None]
    return Score(
        falls=len(falls),
        reported=len(reported),
        others=len(others),
        false=sum(bool(one.falls) for one in others),
        early=sum(len(one.falls) for one in falls) - len(reported),
        delays_s=tuple(at - (one.clip.fall_start_s or 0.0) for one, at in reported),
        ids=tuple(len(one.ids) for one in played),
        lying_frames=sum(one.lying_frames for one in played),
        lying_found=sum(one.lying_found for one in played),
        frames=sum(one.frames for one in played),
        crops=sum(one.crops for one in played),
    )


def print_tables(played: Sequence[Played], *, wrong: bool) -> Score:
    """Print the figures by group and all in all; returns the latter."""
    groups: dict[str, list[Played]] = defaultdict(list)
    for one in played:
        groups[one.clip.group].append(one)
        groups[f"all {one.clip.use}"].append(one)
    print(
        f"{'':24}{'reported':>12}{'delay s':>16}{'false':>9}{'early':>6}{'ids':>6}"
        f"{'lying found':>13}{'crops':>8}"
    )
    for name, some in sorted(groups.items(), key=lambda item: (item[0].startswith("all"), item[0])):
        _print_row(name, score_of(some))
    score = score_of(played)
    _print_row("all", score)
    print("postures reported of everybody, by what is labelled:")
    _print_postures([one.postures for one in played])
    _print_looking_down([one for one in played if one.clip.looks_down])
    if wrong:
        _print_wrong(played)
    return score


def _print_row(name: str, score: Score) -> None:
    delays = sorted(score.delays_s)
    delay = f"{median(delays):.1f} (max {delays[-1]:.1f})" if delays else "-"
    found = f"{score.lying_found / score.lying_frames:.2f}" if score.lying_frames else "-"
    reported = f"{score.reported} of {score.falls}" if score.falls else "-"
    false = f"{score.false} of {score.others}" if score.others else "-"
    ids = sum(score.ids) / max(1, len(score.ids))
    print(
        f"{name:24}{reported:>12}{delay:>16}{false:>9}{score.early:>6}{ids:>6.1f}"
        f"{found:>13}{score.crops / score.frames:>8.2f}"
    )


def _print_looking_down(played: Sequence[Played]) -> None:
    """The same of cameras that look down, where also those count of whom only the whole clip is labelled."""
    if played:
        known = sum(one.pitch_deg is not None for one in played)
        print(f"the same, {len(played)} cameras that look down, of which {known} knew so at the end:")
        _print_postures([one.postures + one.presumed for one in played])
    for one in played:
        postures = one.postures + one.presumed
        frames = sum(postures["standing", reported] for reported in _REPORTED)
        if frames:
            pitch = "not known" if one.pitch_deg is None else f"{one.pitch_deg:.0f} degrees"
            right = postures["standing", "standing"] / frames
            print(f"  {one.clip.use:6}{one.clip.name:38} {pitch:>10}, standing {right:.2f} of {frames}")


def _print_postures(counts: Sequence[Counter[tuple[str, str]]]) -> None:
    total: Counter[tuple[str, str]] = Counter()
    for one in counts:
        total.update(one)
    print(f"{'labelled':12}" + "".join(f"{reported:>10}" for reported in _REPORTED) + f"{'frames':>10}")
    for truth in _TRUTHS:
        frames = sum(total[truth, reported] for reported in _REPORTED)
        if frames:
            cells = "".join(f"{total[truth, reported] / frames:>10.2f}" for reported in _REPORTED)
            print(f"{truth:12}{cells}{frames:>10}")


def _print_wrong(played: Sequence[Played]) -> None:
    for one in played:
        times = ", ".join(f"{at:.1f}" for at in one.falls)
        if one.clip.fall_start_s is None and one.falls:
            print(f"false   {one.clip.use:6} {one.clip.name}: reported at {times}")
        elif one.clip.fall_start_s is not None and reported_at(one) is None:
            print(f"missed  {one.clip.use:6} {one.clip.name}: begins at {one.clip.fall_start_s:g}")
        elif one.clip.fall_start_s is not None and len(one.falls) > 1:
            print(f"early   {one.clip.use:6} {one.clip.name}: reported at {times}")
