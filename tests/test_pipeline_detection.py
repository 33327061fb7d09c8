"""The one way from a frame to the poses in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.frame import CameraInference, Frame, Letterbox, Region, RotatedCrop, RotatedLetterbox
from posed.model.outputs import Outputs, OutputTensor
from posed.networks.pair import load_pair
from posed.pipeline.detection import infer, poses_of
from posed.pipeline.inferred import Inferred, RotatedInference
from posed.pipeline.stage_timings import StageTimings
from posed.pose import MIRRORED
from scripts.standins.heads import heads_of, person

SIZE = (641, 481)
SETTINGS = DecodeConfig()
NETWORK = load_pair("drawings-257x353-16").network
TRUE = person((240, 200), 300)


class FakeEngine:
    """Sees somebody left of the middle of every picture."""

    kind, device, why = "cpu", "fake", "asked for"

    def infer(self, image: np.ndarray) -> Outputs:
        assert image.shape == (SIZE[1], SIZE[0], 3)
        return outputs_of(TRUE)

    def invoke(self) -> None: ...

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None: ...


def outputs_of(*people: np.ndarray) -> Outputs:
    heads = heads_of(people, SIZE, 16)
    return heads.heatmaps, heads.short_offsets, heads.mid_offsets


def inferred(factor: int = 1) -> Inferred:
    image = np.zeros((SIZE[1] * factor, SIZE[0] * factor, 3), np.uint8)
    return infer(Frame(image, 0, 0.0, 0.0, 0.0), FakeEngine(), SIZE)


def test_poses_are_in_pixels_of_the_frame() -> None:
    given = inferred(factor=2)
    [pose] = poses_of(given, NETWORK, SETTINGS)
    np.testing.assert_allclose(pose.points, given.view.to_source(TRUE), atol=1)
    assert list(given.stages.wall_s) == ["letterbox", "invoke"]


def test_left_and_right_change_places_in_a_mirrored_frame() -> None:
    [true], [mirrored] = (poses_of(inferred(), NETWORK, SETTINGS, mirror=mirror) for mirror in (False, True))
    np.testing.assert_array_equal(mirrored.points, true.points[list(MIRRORED)])


def test_somebody_found_only_in_a_turned_part_is_there_too() -> None:
    view = RotatedLetterbox(RotatedCrop(Region.whole(SIZE), 90), SIZE)
    rotated = RotatedInference(view, outputs_of(person((240, 320), 300)))
    given = replace(inferred(), outputs=outputs_of(), rotated=rotated)
    [pose] = poses_of(given, NETWORK, SETTINGS)
    np.testing.assert_allclose(pose.points, view.to_source(person((240, 320), 300)), atol=1.5)
    assert not pose.beside


def seen_by_camera(*, mirrored: bool) -> Inferred:
    """A frame of which the camera's own network says where somebody is, in px of an input half as large."""
    view, outputs = Letterbox((SIZE[0] * 2, SIZE[1] * 2), SIZE), outputs_of(TRUE)
    heads = tuple(output.values() for output in outputs)
    inference = CameraInference(heads, 16, view, mirrored, took_s=0.0)
    frame = Frame(np.zeros((SIZE[1] * 2, SIZE[0] * 2, 3), np.uint8), 0, 0.0, 0.0, 0.0, inference)
    return Inferred(frame, view, tuple(OutputTensor(head) for head in heads), StageTimings())


def test_what_a_camera_has_seen_itself_is_decoded_alike() -> None:
    given = seen_by_camera(mirrored=False)
    [pose] = poses_of(given, NETWORK, SETTINGS)
    np.testing.assert_allclose(pose.points, given.view.to_source(TRUE), atol=2)


def test_a_pose_of_a_crop_beside_the_camera_says_so() -> None:
    given = seen_by_camera(mirrored=False)
    view = RotatedLetterbox(RotatedCrop(Region.whole((SIZE[0] * 2, SIZE[1] * 2)), 90), SIZE)
    rotated = RotatedInference(view, outputs_of(person((240, 160), 150)))
    for mirror in (False, True):
        poses = poses_of(replace(given, rotated=rotated), NETWORK, SETTINGS, mirror=mirror)
        assert sorted(pose.beside for pose in poses) == [False, True]


@pytest.mark.parametrize("mirror", [False, True])
def test_left_and_right_are_those_the_cameras_network_saw(mirror: bool) -> None:
    true, confused = (
        poses_of(seen_by_camera(mirrored=mirrored), NETWORK, SETTINGS, mirror=mirror)[0].points
        for mirrored in (False, True)
    )
    np.testing.assert_allclose(true, seen_by_camera(mirrored=False).view.to_source(TRUE), atol=2)
    np.testing.assert_array_equal(confused, true[list(MIRRORED)])
