from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posed.config import EngineConfig
from posed.engine import open_engine
from posed.errors import ModelError
from posed.model.architecture import check_size, grid_of, mobilenet_v1
from posed.model.tfjs import read_tfjs
from posed.model.tflite import read_model
from posed.networks.posenet import PoseNet
from tests.forward import forward, random_weights

SMALL = mobilenet_v1(0.1)


def strides_and_dilations(network, stride):
    return {
        layer.name: (layer.stride, layer.dilation)
        for layer in network.layers(stride)
        if (layer.stride, layer.dilation) != (1, 1)
    }


def test_at_its_native_stride_a_network_is_not_dilated():
    network = mobilenet_v1(1.0)
    assert network.native_stride == 32
    assert network.dilated(32) == ()
    assert strides_and_dilations(network, 32) == dict.fromkeys(
        ("conv_0", "depthwise_2", "depthwise_4", "depthwise_6", "depthwise_12"), (2, 1)
    )


def test_strides_beyond_the_wanted_one_become_dilation_behind():
    dilated = {f"depthwise_{index}": (1, 2) for index in range(7, 13)}
    strides = dict.fromkeys(("conv_0", "depthwise_2", "depthwise_4"), (2, 1))
    assert strides_and_dilations(mobilenet_v1(1.0), 8) == strides | dilated | {"depthwise_13": (1, 4)}
    assert mobilenet_v1(1.0).dilated(16) == ("depthwise_13",)


def test_a_network_native_to_16_is_dilated_at_8():
    network = mobilenet_v1(0.75, native_stride=16)
    assert network.dilated(16) == ()
    assert network.dilated(8) == tuple(f"depthwise_{index}" for index in range(7, 14))


def test_channels_are_googles_and_multiples_of_8():
    assert mobilenet_v1(1.0).channels[-1] == 1024
    assert mobilenet_v1(0.75, native_stride=16).channels == (24, 48, 96, 96, 192, 192, *[384] * 8)
    assert all(count % 8 == 0 for count in mobilenet_v1(0.35).channels)
    assert min(mobilenet_v1(0.01).channels) == 8


def test_a_stride_beyond_the_native_one_is_refused():
    with pytest.raises(
        ModelError, match=r"stride: must be at most 16 for mobilenet_v1_075, got 32; its layers"
    ):
        mobilenet_v1(0.75, native_stride=16).layers(32)


@pytest.mark.parametrize("stride", [0, 4, 12, 64])
def test_a_stride_that_posenet_does_not_have_is_refused(stride):
    with pytest.raises(ModelError, match=f"stride: must be one of 8, 16, 32, got {stride}"):
        mobilenet_v1(1.0).layers(stride)


@pytest.mark.parametrize(("multiplier", "native"), [(0.0, 32), (2.5, 32), (float("nan"), 32), (1.0, 8)])
def test_a_body_that_does_not_exist_is_refused(multiplier, native):
    with pytest.raises(ModelError, match="must be"):
        mobilenet_v1(multiplier, native)


@pytest.mark.parametrize("size", [(481, 353), (641, 481), (33, 33), (257, 257)])
def test_a_size_of_whole_cells_is_accepted(size):
    check_size(size, 32)


@pytest.mark.parametrize(
    ("size", "stride", "nearest"),
    [
        ((480, 353), 16, "465x353 or 481x353"),
        ((640, 480), 32, "609x449 or 641x481"),
        ((1, 1), 8, "9x9"),
        ((481, 360), 8, "481x353 or 481x361"),
    ],
)
def test_a_size_that_fits_no_stride_names_the_nearest(size, stride, nearest):
    with pytest.raises(ModelError) as error:
        check_size(size, stride)
    assert str(error.value) == (
        f"size: width - 1 and height - 1 must be multiples of the stride {stride}, "
        f"got {size[0]}x{size[1]}; nearest: {nearest}"
    )


def test_weights_without_a_layer_are_refused_by_its_name():
    weights = random_weights(SMALL)
    del weights["pointwise_7/bias"]
    with pytest.raises(ModelError, match=r"must have layer pointwise_7/bias of mobilenet_v1_010, got none"):
        SMALL.check_weights(weights)


def test_weights_of_another_shape_are_refused():
    weights = random_weights(SMALL)
    weights["heatmap/weights"] = weights["heatmap/weights"][..., :16]
    with pytest.raises(ModelError, match=r"heatmap/weights must be \(1, 1, \d+, 17\) float32, got .* 16\)"):
        SMALL.check_weights(weights)


def test_weights_that_are_no_numbers_are_refused():
    weights = random_weights(SMALL)
    weights["conv_0/bias"][0] = np.nan
    with pytest.raises(ModelError, match="conv_0/bias must be finite"):
        SMALL.check_weights(weights)


@pytest.mark.parametrize(("fine", "coarse"), [(8, 16), (16, 32), (8, 32)])
def test_a_finer_stride_says_the_same_at_coarser_cells(fine, coarse):
    weights = random_weights(SMALL)
    image = np.random.default_rng(2).integers(0, 256, (65, 97, 3), np.uint8)
    at_fine, at_coarse = (forward(SMALL, weights, image, stride) for stride in (fine, coarse))
    step = coarse // fine
    for name, values in at_coarse.items():
        assert values.shape[:2] == grid_of((97, 65), coarse)
        assert values.std() > 0.01
        np.testing.assert_allclose(at_fine[name][::step, ::step], values, atol=1e-5)


def test_googles_weights_through_this_architecture_say_what_googles_file_says(shared: Path):
    weights, network = read_tfjs(shared / "models" / "tfjs-float-100-stride16")
    path = shared / "models/float/posenet_mobilenet_v1_100_257_257_32_float.tflite"
    googles = PoseNet.of(read_model(path))
    image = np.random.default_rng(3).integers(0, 256, (257, 257, 3), np.uint8)
    ours = forward(network, weights, image, 32)
    with open_engine(EngineConfig(kind="cpu"), googles.model, None) as engine:
        theirs = googles.heads(engine.infer(image))
    mid = np.concatenate([ours["displacement_fwd"], ours["displacement_bwd"]], axis=2)
    np.testing.assert_allclose(ours["heatmap"], theirs.heatmaps.values(), atol=0.01)
    np.testing.assert_allclose(ours["offset"], theirs.short_offsets.values(), atol=0.05)
    np.testing.assert_allclose(mid, theirs.mid_offsets.values(), atol=0.05)
