"""What of a model file is PoseNet's: heads, stride, sigmoid; and files that hold none."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from posed.errors import ModelError
from posed.model.tflite import parse_model, read_model
from posed.networks.posenet import PoseNet
from tests.make_tflite import (
    BACKWARD,
    CORAL,
    FORWARD,
    HEATMAPS,
    SEPARATE,
    SHORT_OFFSETS,
    HeadSpec,
    make_tflite,
    ramp,
    renamed,
)
from tests.test_model_tflite import DAMAGE, damaged


def posenet(content: bytes) -> PoseNet:
    return PoseNet.of(parse_model(content, Path("pose.tflite")))


def refusal(content: bytes) -> str:
    """The line that a file is refused with."""
    with pytest.raises(ModelError) as caught:
        posenet(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("order", list(itertools.permutations(SEPARATE)))
def test_heads_are_found_in_any_order(order: tuple[HeadSpec, ...]) -> None:
    heads = posenet(make_tflite(order)).model.outputs
    assert [head.name for head in heads] == [head.name for head in SEPARATE]


def test_heads_are_found_whatever_their_names_are() -> None:
    network = posenet(make_tflite([renamed(head, f"output_{n}") for n, head in enumerate(CORAL)]))
    assert [head.name for head in network.model.outputs] == ["output_0", "output_1", "output_2"]


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(97, 65), (288, 416), (257, 353), (100, 70)])
def test_the_stride_is_read_off_the_shapes(stride: int, size: tuple[int, int]) -> None:
    network = posenet(make_tflite(size=size, stride=stride))
    assert network.stride == stride
    assert network.model.size == size
    assert network.grid == (-(-size[1] // stride), -(-size[0] // stride))


@pytest.mark.parametrize("decoder", [None, {"stride": 16}])
@pytest.mark.parametrize(
    ("size", "grid"),
    [((288, 416), (27, 19)), ((512, 512), (33, 33)), ((768, 640), (41, 49)), ((353, 288), (19, 23))],
)
def test_models_that_pad_their_own_input_have_their_stride_too(
    size: tuple[int, int], grid: tuple[int, int], decoder: dict[str, float] | None
) -> None:
    # Coral's ResNets and BodyPix; of the last only one side is a multiple of the stride.
    network = posenet(make_tflite(size=size, padded=True, decoder=decoder))
    assert (network.stride, network.grid) == (16, grid)


@pytest.mark.parametrize("stride", [8, 32])
def test_the_stride_of_a_padded_input_follows_from_shapes(stride: int) -> None:
    assert posenet(make_tflite(size=(256, 192), stride=stride, padded=True)).stride == stride


@pytest.mark.parametrize("file", ["quant_decoder", "quant_decoder_edgetpu"])
def test_corals_bodypix_is_read(shared: Path, file: str) -> None:
    path = shared / f"other_models/bodypix/bodypix_mobilenet_v1_075_512_512_16_{file}.tflite"
    network = PoseNet.of(read_model(path))
    assert (network.model.size, network.grid, network.stride) == ((512, 512), (33, 33), 16)
    heads = ["float_heatmaps", "float_short_offsets", "float_mid_offsets"]
    assert [head.name for head in network.model.outputs] == heads


def test_the_decoder_op_names_the_stride_where_shapes_do_not() -> None:
    assert posenet(make_tflite(size=(8, 8), stride=8, decoder={"stride": 16})).stride == 16


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_heatmaps_after_the_sigmoid_are_told_from_logits(dtype: str, sigmoid: bool) -> None:
    assert posenet(make_tflite(dtype=dtype, sigmoid=sigmoid)).sigmoid is sigmoid


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_compiled_sigmoid_is_told_by_what_heatmaps_can_hold(dtype: str, sigmoid: bool) -> None:
    assert posenet(make_tflite(dtype=dtype, sigmoid=sigmoid, edgetpu=True)).sigmoid is sigmoid


def test_a_classifier_is_refused_with_what_it_gives() -> None:
    line = refusal(make_tflite([HeadSpec("classes", ramp(0, 1001))]))
    assert line == ("heads: must include one heatmap head (17 channels), got 'classes' (1, 4, 5, 1001)")


def test_a_model_without_mid_offsets_is_refused() -> None:
    assert "must include mid offsets (64 channels) or displacement_fwd" in refusal(
        make_tflite([HEATMAPS, SHORT_OFFSETS])
    )


@pytest.mark.parametrize("names", [("a", "b"), ("fwd_a", "fwd_b"), ("displacement_fwd", "b")])
def test_two_displacements_that_nobody_can_tell_apart_are_refused(
    names: tuple[str, str],
) -> None:
    heads = [HEATMAPS, SHORT_OFFSETS, renamed(FORWARD, names[0]), renamed(BACKWARD, names[1])]
    assert "must have fwd and bwd in their names" in refusal(make_tflite(heads))


@pytest.mark.parametrize("stride", [4, 12, 64])
def test_a_grid_that_fits_no_stride_is_refused(stride: int) -> None:
    line = refusal(make_tflite(size=(193, 129), stride=stride))
    cells = f"{-(-129 // stride)}×{-(-193 // stride)}"
    assert f"input of 129×193 px and a grid of {cells} cells" in line


def test_an_input_too_small_to_tell_strides_apart_is_refused() -> None:
    assert "must be one of 8, 16, 32" in refusal(make_tflite(size=(8, 8), stride=8))


def test_what_is_no_head_is_left_out() -> None:
    network = posenet(make_tflite([HeadSpec("classes", ramp(0, 8)), *CORAL]))
    assert [head.name for head in network.model.outputs] == [head.name for head in CORAL]


def test_heads_of_other_types_are_refused() -> None:
    model = parse_model(make_tflite(), Path("pose.tflite"))
    changed = replace(model, outputs=tuple(replace(head, dtype="int32") for head in model.outputs))
    with pytest.raises(ModelError, match=r"^heads: must be uint8, int8 or float32, got int32 in 'heatmap'$"):
        PoseNet.of(changed)


def test_quantised_heads_without_a_scale_are_refused() -> None:
    model = parse_model(make_tflite(), Path("pose.tflite"))
    changed = replace(model, outputs=tuple(replace(head, scale=0.0) for head in model.outputs))
    with pytest.raises(ModelError, match=r"^heads: uint8 needs a scale, got none in 'heatmap'$"):
        PoseNet.of(changed)


def test_heads_of_different_grids_are_refused() -> None:
    model = parse_model(make_tflite(), Path("pose.tflite"))
    first, *others = model.outputs
    changed = replace(model, outputs=(replace(first, shape=(1, 5, 5, 17)), *others))
    with pytest.raises(ModelError, match=r"^heads: must share one grid \(1, height, width\), got 'heatmap'"):
        PoseNet.of(changed)


def test_facts_are_those_of_the_file() -> None:
    in_steps = "uint8, scale 0.125, zero point 128"
    assert posenet(make_tflite(SEPARATE)).facts() == [
        ("network", "PoseNet"),
        ("output stride", "16 px"),
        ("padding", "none"),
        ("grid", "4×5 cells"),
        ("heatmaps", f"17 channels, {in_steps}"),
        ("short offsets", f"34 channels, {in_steps}"),
        ("forward displacements", f"32 channels, {in_steps}"),
        ("backward …", f"32 channels, {in_steps}"),
        ("heatmap values", "logits"),
    ]


@pytest.mark.parametrize("size", [(288, 416), (353, 288)])
@pytest.mark.parametrize("padded", [False, True])
def test_facts_say_whether_the_model_pads_its_input(size: tuple[int, int], padded: bool) -> None:
    facts = dict(posenet(make_tflite(size=size, padded=padded)).facts())
    assert facts["padding"] == ("the model pads its input by a pixel" if padded else "none")


@pytest.mark.parametrize("name", ["float_long_offsets", "float_segments", "float_part_heatmaps"])
def test_a_file_that_gives_masks_too_is_a_bodypix(name: str) -> None:
    channels = 34 if "long" in name else 1
    network = posenet(make_tflite([*CORAL, HeadSpec(name, ramp(0, channels))]))
    assert dict(network.facts())["network"] == "BodyPix, run as a PoseNet: its masks are left out"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=DAMAGE)
def test_a_damaged_file_is_a_posenet_or_refused(changes: list[tuple[int, bytes]]) -> None:
    with contextlib.suppress(ModelError):
        assert posenet(damaged(changes)).stride in {8, 16, 32}
