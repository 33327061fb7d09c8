"""Holds posed's decoder for many people against TF.js's own on the same heads.

The heads are those of the real CPU models in ../shared on real pictures, and made-up ones with noise. TF.js
(@tensorflow-models/posenet from npm) decodes them as published, and then with one rule after another replaced
by PersonLab's, which shows what each rule is worth; with all replaced the two must agree. Distances are px of
the model's input, over all 17 keypoints of the poses that both found, unsure ones too; scores are 0-1.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.frame import Letterbox
from posed.model.outputs import OutputTensor
from posed.model.tflite import read_model
from posed.networks.posenet import PoseNet, decode_many
from posed.networks.posenet.heads import Heads
from posed.networks.posenet.many import REFINEMENTS
from posed.pose import Pose
from scripts.paths import SHARED
from scripts.standins.heads import disturbed, heads_of, person
from scripts.tfjs import FOLDER, NoPackagesError, install_packages, write
from tests.system.conftest import Table
from tests.system.needs import cannot, locked, need_debian

pytestmark = pytest.mark.system

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
    "ties": "roots with one and the same score come in the order of C++'s std::priority_queue, as Google's",
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


@pytest.fixture
def packages() -> Path:
    """The folder that has TF.js."""
    need_debian("node", "nodejs")
    need_debian("npm", "npm")
    try:
        with locked("install"):
            return install_packages()
    except NoPackagesError as error:
        cannot(str(error))


@pytest.mark.shared
def test_tfjs_with_our_rules_says_what_we_say(
    packages: Path, shared: Path, tmp_path: Path, table: Table
) -> None:
    cases = [(MADE_UP, heads) for heads in made_up_heads()]
    cases += [
        (name, heads) for name, file in MODELS.items() for heads in model_heads(shared / "models" / file)
    ]
    heads = [heads for _, heads in cases]
    ours = [
        decode_many(one, CONFIG.max_people, CONFIG.score_threshold, CONFIG.nms_radius_px) for one in heads
    ]
    theirs = decode_with_tfjs(packages, tmp_path, heads)
    differences = [
        [difference(mine, other) for other in others] for mine, others in zip(ours, theirs, strict=True)
    ]
    print_differences(table, [source for source, _ in cases], differences)
    print_rules(table)
    final = merged(row[-1] for row in differences)
    table.foot(
        f"\nAll replaced, {len(cases)} heads: worst keypoint {max(final.keypoints_px, default=0):.1e} px, "
        f"worst score {max(final.scores, default=0):.1e}; {'' if final.is_within_bounds() else 'NOT '}within "
        f"the bounds ({WORST_PX} px, {WORST_SCORE}, no pose found by one alone)."
    )
    assert final.is_within_bounds()


def print_differences(
    table: Table, sources: Sequence[str], differences: Sequence[Sequence[Difference]]
) -> None:
    """By source as published and with all replaced; of all with one rule after another."""
    table.head(f"{'heads':16} {'TF.js':18}   both  ours  theirs median px   p95 px  worst px     score")
    for source in dict.fromkeys(sources):
        mine = [row for row, one in zip(differences, sources, strict=True) if one == source]
        table.row(f"{source:16} {'as published':18} {merged(row[0] for row in mine).row()}")
        table.row(f"{source:16} {'all replaced':18} {merged(row[-1] for row in mine).row()}")
    table.row(f"{'all':16} {'as published':18} {merged(row[0] for row in differences).row()}")
    for index, rule in enumerate(RULES, 1):
        table.row(f"{'all':16} {'+ ' + rule:18} {merged(row[index] for row in differences).row()}")


def print_rules(table: Table) -> None:
    """What the words of the table mean."""
    table.row("")
    table.row(
        "both, ours, theirs: poses found by both, by posed alone, by TF.js alone. score: worst difference."
    )
    table.row("What was replaced in TF.js, each on top of those before:")
    for rule, meaning in RULES.items():
        table.row(f"  {rule:12} {meaning}")


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


def with_false_keypoints(heatmaps: OutputTensor, random: np.random.Generator) -> OutputTensor:
    """Float heatmaps with single bright cells that belong to nobody: roots of poses too weak to keep."""
    bright = random.random(heatmaps.data.shape) < FALSE_KEYPOINTS / heatmaps.data.size
    return OutputTensor(np.where(bright, random.normal(6, 1, bright.shape), heatmaps.data).astype(np.float32))


def model_heads(path: Path) -> Iterator[Heads]:
    """What a model says of the pictures in ../shared."""
    network = PoseNet.of(read_model(path))
    with open_engine(EngineConfig(kind="cpu", threads=1), network.model, None) as engine:
        for picture in pictures(SHARED / "testdata"):
            image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            letterbox = Letterbox((image.shape[1], image.shape[0]), network.model.size)
            yield network.heads(engine.infer(letterbox.apply(image)))


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


def decode_with_tfjs(packages: Path, folder: Path, heads: Sequence[Heads]) -> list[list[list[Pose]]]:
    """TF.js's poses at or above the threshold: per heads, per decoder (as published, then rule by rule)."""
    rules = list(RULES)
    job = {
        "max_people": CONFIG.max_people,
        "score_threshold": CONFIG.score_threshold,
        "nms_radius_px": CONFIG.nms_radius_px,
        "refinements": REFINEMENTS,
        "decoders": [rules[:count] for count in range(len(rules) + 1)],
        "heads": [write(folder, str(index), one) for index, one in enumerate(heads)],
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = ["node", str(FOLDER / "decode.mjs"), str(packages), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "poses.json").read_text(encoding="utf-8"))
    return [[as_poses(poses) for poses in by_decoder] for by_decoder in found]


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
