"""Holds posed's decoder for many people against TF.js's own on the same heads.

    scripts/check_decoder

The heads are those of the real CPU models in ../shared on real pictures, and made-up ones with noise. TF.js
(@tensorflow-models/posenet from npm) decodes them as published, and then with one rule after another replaced
by PersonLab's, which shows what each rule is worth; with all replaced the two must agree. Distances are px of
the model's input, over all 17 keypoints of the poses that both found, unsure ones too; scores are 0-1.

The packages are installed once, into ${XDG_CACHE_HOME:-~/.cache}/posed-check/tfjs.
Exit status: 0 within the bounds, 1 not, 77 it cannot run here (no node 18, npm, network or ../shared).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))

from posed.config import DecodeConfig, EngineConfig  # noqa: E402
from posed.decode import decode_many  # noqa: E402
from posed.decode.logits import logits_of  # noqa: E402
from posed.decode.many import REFINEMENTS  # noqa: E402
from posed.engine import open_engine  # noqa: E402
from posed.engine.base import Head, Heads  # noqa: E402
from posed.frame import Letterbox  # noqa: E402
from posed.model.tflite import read_model  # noqa: E402
from posed.pose import Pose  # noqa: E402
from tests.heads import heads_of, person  # noqa: E402

CONFIG: Final = DecodeConfig()
MODELS: Final = {
    "coral 353x481": "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite",
    "coral 481x641": "posenet_mobilenet_v1_075_481_641_16_quant_decoder.tflite",
    "float stride 8": "float/posenet_mobilenet_v1_075_353_481_8_float.tflite",
    "float stride 16": "float/posenet_mobilenet_v1_075_353_481_16_float.tflite",
    "float stride 32": "float/posenet_mobilenet_v1_100_257_257_32_float.tflite",
}
MADE_UP: Final = "made up"
FALSE_KEYPOINTS: Final = 30
"""How many there are in each of the made-up heads, about."""

EVERY: Final = 20
"""Each how-manieth frame of the video is taken."""

RULES: Final = {
    "bilinear": "offsets and scores are sampled between cells (scores as logits), not at the nearest one",
    "refinements": f"{REFINEMENTS} steps by the short offset after each edge, not 2",
    "grid": "a keypoint is kept within the grid, not only the cell that is read for it",
    "root score": "the root's score is sampled where its offset leads, not taken from its cell",
    "weak poses": "a pose below the threshold takes no place and covers nothing",
    "rescoring": "what a pose shares is taken from the one with the lower score, not from the later root",
    "ties": "roots with one and the same score come in the order of their cells, not of the heap",
}
"""What is replaced in TF.js, in this order, each on top of those before."""

WORST_PX: Final = 0.01
WORST_SCORE: Final = 0.0001
SAME_PX: Final = 30.0
"""Poses whose keypoints are nearer than this (median) are the same person."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between our poses and theirs in one or more heads.

    Args:
        keypoints_px: distance of each keypoint of the poses that both found.
        scores: difference of those poses' scores.
        ours: poses that only we found.
        theirs: poses that only they found.
    """

    keypoints_px: tuple[float, ...]
    scores: tuple[float, ...]
    ours: int
    theirs: int

    def is_within_bounds(self) -> bool:
        """Whether both decoders said the same."""
        return (
            len(self.scores) > 0
            and self.ours == self.theirs == 0
            and max(self.keypoints_px) <= WORST_PX
            and max(self.scores) <= WORST_SCORE
        )

    def row(self) -> str:
        """The figures as columns of the table."""
        px = np.array(self.keypoints_px or (np.nan,))
        return (
            f"{len(self.scores):6} {self.ours:5} {self.theirs:7} {np.median(px):9.4f} "
            f"{np.percentile(px, 95):8.4f} {px.max():9.4f} {max(self.scores, default=np.nan):9.5f}"
        )


def main() -> None:
    """Print the table and what it means."""
    packages = install_packages()
    if not (SHARED / "models").is_dir():
        cannot("needs ../shared (models and pictures)")
    cases = [(MADE_UP, heads) for heads in made_up_heads()]
    cases += [(model, heads) for model in MODELS for heads in model_heads(SHARED / "models" / MODELS[model])]
    heads = [heads for _, heads in cases]
    ours = [
        decode_many(one, CONFIG.max_people, CONFIG.score_threshold, CONFIG.nms_radius_px) for one in heads
    ]
    theirs = decode_with_tfjs(packages, heads)
    table = [[difference(mine, other) for other in others] for mine, others in zip(ours, theirs, strict=True)]

    print(f"{'heads':16} {'TF.js':18}   both  ours  theirs median px   p95 px  worst px     score")
    sources = [source for source, _ in cases]
    for source in dict.fromkeys(sources):
        mine = [row for row, one in zip(table, sources, strict=True) if one == source]
        print(f"{source:16} {'as published':18} {merged(row[0] for row in mine).row()}")
        print(f"{source:16} {'all replaced':18} {merged(row[-1] for row in mine).row()}")
    print(f"{'all':16} {'as published':18} {merged(row[0] for row in table).row()}")
    for index, rule in enumerate(RULES, 1):
        print(f"{'all':16} {'+ ' + rule:18} {merged(row[index] for row in table).row()}")
    print(
        "\nboth, ours, theirs: poses found by both, by posed alone, by TF.js alone. score: worst difference."
    )
    print("What was replaced in TF.js, each on top of those before:")
    for rule, meaning in RULES.items():
        print(f"  {rule:12} {meaning}")

    final = merged(row[-1] for row in table)
    print(
        f"\nAll replaced, {len(cases)} heads: worst keypoint {max(final.keypoints_px, default=0):.1e} px, "
        f"worst score {max(final.scores, default=0):.1e}; {'' if final.is_within_bounds() else 'NOT '}within "
        f"the bounds ({WORST_PX} px, {WORST_SCORE}, no pose found by one alone)."
    )
    sys.exit(0 if final.is_within_bounds() else 1)


def cannot(why: str) -> NoReturn:
    """End, since this machine lacks something."""
    print(f"check_decoder: cannot run here: {why}", file=sys.stderr)
    sys.exit(77)


def install_packages() -> Path:
    """The folder that has TF.js in node_modules, which is made where it is not there yet."""
    if not shutil.which("node") or not shutil.which("npm"):
        cannot("needs node and npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 18:
        cannot(f"needs node 18 or later, got {version.strip()}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posed-check" / "tfjs"
    wanted = (ROOT / "scripts/tfjs/package.json").read_text(encoding="utf-8")
    installed = cache / "installed.json"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        (cache / "package.json").write_text(wanted, encoding="utf-8")
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
            cannot(f"npm install failed: {' '.join(errors[:3]) or done.returncode}")
        installed.write_text(wanted, encoding="utf-8")
    return cache


def made_up_heads() -> Iterator[Heads]:
    """People in known places at every stride, their heads disturbed so that every rule comes to bear."""
    random = np.random.default_rng(1)
    for stride in (8, 16, 32):
        for people in range(6):
            size = (640 // stride * stride + 1, 480 // stride * stride + 1)
            centres = random.uniform((140, 40), (340, 600), (people, 2))
            heads = heads_of([person((y, x), random.uniform(150, 400)) for y, x in centres], size, stride)
            yield Heads(
                with_false_keypoints(disturbed(heads.heatmaps, 1.0, random), random),
                disturbed(heads.short_offsets, 4.0, random),
                disturbed(heads.mid_offsets, 8.0, random),
                stride,
            )


def disturbed(head: Head, deviation: float, random: np.random.Generator) -> Head:
    """A float head with noise."""
    return Head((head.data + random.normal(0, deviation, head.data.shape)).astype(np.float32))


def with_false_keypoints(heatmaps: Head, random: np.random.Generator) -> Head:
    """Float heatmaps with single bright cells that belong to nobody: roots of poses too weak to keep."""
    bright = random.random(heatmaps.data.shape) < FALSE_KEYPOINTS / heatmaps.data.size
    return Head(np.where(bright, random.normal(6, 1, bright.shape), heatmaps.data).astype(np.float32))


def model_heads(path: Path) -> Iterator[Heads]:
    """What a model says of the pictures in ../shared."""
    model = read_model(path)
    with open_engine(EngineConfig(kind="cpu", threads=1), model, None) as engine:
        for picture in pictures(SHARED / "testdata"):
            image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            letterbox = Letterbox((image.shape[1], image.shape[0]), model.size)
            yield engine.infer(letterbox.apply(image))


def pictures(folder: Path) -> Iterator[NDArray[Any]]:
    """Both pictures and some frames of the video, BGR."""
    for name in ("couple_640x480.bmp", "squat.bmp"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None, name
        yield picture
    video = cv2.VideoCapture(str(folder / "walkers_768x576.mp4"))
    index = 0
    while True:
        is_there, frame = video.read()
        if not is_there:
            break
        if index % EVERY == 0:
            yield frame
        index += 1
    assert index > EVERY, "a video that cannot be read"


def decode_with_tfjs(packages: Path, heads: Sequence[Heads]) -> list[list[list[Pose]]]:
    """TF.js's poses at or above the threshold: per heads, per decoder (as published, then rule by rule)."""
    rules = list(RULES)
    with tempfile.TemporaryDirectory(prefix="posed-compare-") as name:
        folder = Path(name)
        job = {
            "max_people": CONFIG.max_people,
            "score_threshold": CONFIG.score_threshold,
            "nms_radius_px": CONFIG.nms_radius_px,
            "refinements": REFINEMENTS,
            "decoders": [rules[:count] for count in range(len(rules) + 1)],
            "heads": [write(folder, str(index), one) for index, one in enumerate(heads)],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        script = ROOT / "scripts/tfjs/decode.mjs"
        command = ["node", str(script), str(packages), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"check_decoder: node failed: {done.stderr}")
        found = json.loads((folder / "poses.json").read_text(encoding="utf-8"))
    return [[as_poses(poses) for poses in by_decoder] for by_decoder in found]


def write(folder: Path, name: str, heads: Heads) -> dict[str, Any]:
    """The heads as raw float32 files, and their description."""
    mid = heads.mid_offsets.values()
    half = mid.shape[2] // 2
    parts: dict[str, NDArray[Any]] = {
        "heatmaps": logits_of(heads),
        "short": heads.short_offsets.values(),
        "forwards": mid[:, :, :half],
        "backwards": mid[:, :, half:],
    }
    for part, values in parts.items():
        (folder / f"{name}.{part}").write_bytes(values.astype("<f4").tobytes())
    return {"name": name, "stride": heads.stride, "height": mid.shape[0], "width": mid.shape[1]}


def as_poses(found: Sequence[dict[str, Any]]) -> list[Pose]:
    """What node wrote; TF.js leaves it to its caller to drop poses below the threshold."""
    poses = [Pose(np.array(pose["points"]), np.array(pose["scores"]), pose["score"]) for pose in found]
    return [pose for pose in poses if pose.score >= CONFIG.score_threshold]


def difference(ours: Sequence[Pose], theirs: Sequence[Pose]) -> Difference:
    """Pairs the poses, nearest first, and measures."""
    apart = {
        (i, j): np.linalg.norm(mine.points - other.points, axis=1)
        for i, mine in enumerate(ours)
        for j, other in enumerate(theirs)
    }
    distances_px: list[float] = []
    scores: list[float] = []
    left, right = set(range(len(ours))), set(range(len(theirs)))
    for (i, j), px in sorted(apart.items(), key=lambda item: float(np.median(item[1]))):
        if i in left and j in right and np.median(px) < SAME_PX:
            left.remove(i)
            right.remove(j)
            distances_px += px.tolist()
            scores.append(abs(ours[i].score - theirs[j].score))
    return Difference(tuple(distances_px), tuple(scores), len(left), len(right))


def merged(differences: Iterator[Difference]) -> Difference:
    """All as one."""
    every = list(differences)
    return Difference(
        tuple(px for one in every for px in one.keypoints_px),
        tuple(score for one in every for score in one.scores),
        sum(one.ours for one in every),
        sum(one.theirs for one in every),
    )


if __name__ == "__main__":
    main()
