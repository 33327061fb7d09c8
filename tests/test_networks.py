"""Which network a model file holds, and what it makes of the output tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.errors import ModelError
from posed.frame import Letterbox
from posed.model.outputs import Outputs
from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, network_of
from posed.networks.pair import load_pair
from posed.networks.posenet import PoseNet
from scripts.standins.heads import heads_of, person
from tests.make_tflite import HeadSpec, make_tflite, ramp

SIZE = (641, 481)
SETTINGS = DecodeConfig()


def outputs_of(*, displacements: bool) -> Outputs:
    """Of somebody in the middle, with mid offsets in one tensor or as two displacements."""
    heads = heads_of([person((240, 320), 300)], SIZE, 16)
    mid = (heads.mid_offsets,)
    if displacements:
        data = heads.mid_offsets.data
        mid = tuple(type(heads.mid_offsets)(half) for half in np.split(data, 2, axis=2))
    return (heads.heatmaps, heads.short_offsets, *mid)


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_file_with_posenets_heads_is_a_posenet(stride: int, sigmoid: bool) -> None:
    content = make_tflite(stride=stride, sigmoid=sigmoid)
    model = parse_model(content, Path("pose.tflite"))
    network = network_of(model, INPUT_SIZE)
    assert isinstance(network, PoseNet)
    assert (network.stride, network.sigmoid) == (stride, sigmoid)


def test_a_file_that_holds_no_known_network_is_one_line() -> None:
    model = parse_model(make_tflite([HeadSpec("classes", ramp(0, 1001))]), Path("pose.tflite"))
    with pytest.raises(ModelError) as caught:
        network_of(model, INPUT_SIZE)
    assert str(caught.value) == (
        "pose.tflite: heads: must include one heatmap head (17 channels), got 'classes' (1, 4, 5, 1001)"
    )


@pytest.mark.parametrize("displacements", [False, True])
def test_poses_are_in_pixels_of_the_source_frame(displacements: bool) -> None:
    view = Letterbox((1282, 962), SIZE)
    network = load_pair("drawings-257x353-16").network
    [pose] = network.poses(outputs_of(displacements=displacements), view, SETTINGS)
    expected = view.to_source(person((240, 320), 300))
    np.testing.assert_allclose(pose.points, expected, atol=1)
