"""What a .tflite is: heads, stride, decoder op; and files that are none."""

from __future__ import annotations

import contextlib
import itertools
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posed.errors import ModelError
from posed.model.tflite import Model, _File, parse_model, read_model
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

WHOLE = make_tflite(SEPARATE, decoder={"stride": 16, "score_threshold": 0.25, "nms_radius": 10})
"""A small file with everything in it that the reader reads."""


def parsed(content: bytes) -> Model:
    return parse_model(content, Path("pose.tflite"))


def refusal(content: bytes, folder: Path) -> str:
    """The line that a file is refused with, without the folder."""
    path = folder / "pose.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "")


@pytest.mark.parametrize("order", list(itertools.permutations(SEPARATE)))
def test_heads_are_found_in_any_order(order: tuple[HeadSpec, ...]) -> None:
    model = parsed(make_tflite(order))
    assert model.heatmaps.name == HEATMAPS.name
    assert model.short_offsets.name == SHORT_OFFSETS.name
    assert [tensor.name for tensor in model.mid_offsets] == [FORWARD.name, BACKWARD.name]


def test_heads_are_found_whatever_their_names_are() -> None:
    model = parsed(make_tflite([renamed(head, f"output_{n}") for n, head in enumerate(CORAL)]))
    names = [tensor.name for tensor in (model.heatmaps, model.short_offsets, *model.mid_offsets)]
    assert names == ["output_0", "output_1", "output_2"]


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(97, 65), (288, 416), (257, 353), (100, 70)])
def test_the_stride_is_read_off_the_shapes(stride: int, size: tuple[int, int]) -> None:
    model = parsed(make_tflite(size=size, stride=stride))
    assert model.stride == stride
    assert model.size == size
    assert model.grid == (-(-size[1] // stride), -(-size[0] // stride))


@pytest.mark.parametrize("decoder", [None, {"stride": 16}])
@pytest.mark.parametrize(
    ("size", "grid"),
    [((288, 416), (27, 19)), ((512, 512), (33, 33)), ((768, 640), (41, 49)), ((353, 288), (19, 23))],
)
def test_models_that_pad_their_own_input_have_their_stride_too(
    size: tuple[int, int], grid: tuple[int, int], decoder: dict[str, float] | None
) -> None:
    # Coral's ResNets and BodyPix; of the last only one side is a multiple of the stride.
    model = parsed(make_tflite(size=size, padded=True, decoder=decoder))
    assert (model.stride, model.grid) == (16, grid)


@pytest.mark.parametrize("stride", [8, 32])
def test_the_stride_of_a_padded_input_follows_from_shapes(stride: int) -> None:
    assert parsed(make_tflite(size=(256, 192), stride=stride, padded=True)).stride == stride


@pytest.mark.parametrize("file", ["quant_decoder", "quant_decoder_edgetpu"])
def test_corals_bodypix_is_read(shared: Path, file: str) -> None:
    model = read_model(shared / f"other_models/bodypix/bodypix_mobilenet_v1_075_512_512_16_{file}.tflite")
    assert (model.size, model.grid, model.stride) == ((512, 512), (33, 33), 16)
    assert model.short_offsets.name == "float_short_offsets"


def test_the_decoder_op_names_the_stride_where_shapes_do_not() -> None:
    assert parsed(make_tflite(size=(8, 8), stride=8, decoder={"stride": 16})).stride == 16


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_the_type_of_the_input_is_told(dtype: str) -> None:
    assert parsed(make_tflite(dtype=dtype)).input.dtype == dtype


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_heatmaps_after_the_sigmoid_are_told_from_logits(dtype: str, sigmoid: bool) -> None:
    assert parsed(make_tflite(dtype=dtype, sigmoid=sigmoid)).sigmoid is sigmoid


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_compiled_sigmoid_is_told_by_what_heatmaps_can_hold(dtype: str, sigmoid: bool) -> None:
    assert parsed(make_tflite(dtype=dtype, sigmoid=sigmoid, edgetpu=True)).sigmoid is sigmoid


@pytest.mark.parametrize("edgetpu", [False, True])
def test_a_compiled_model_is_told_from_a_plain_one(edgetpu: bool) -> None:
    assert parsed(make_tflite(edgetpu=edgetpu)).edgetpu is edgetpu


def test_the_decoder_op_is_removed_and_its_options_are_kept() -> None:
    with_decoder = make_tflite(decoder={"stride": 16, "score_threshold": 0.25})
    model = parsed(with_decoder)
    assert model.decoder == {"stride": 16, "score_threshold": 0.25}
    assert len(model.content) == len(with_decoder)
    assert parsed(model.content).decoder is None
    assert parsed(model.content).heatmaps == model.heatmaps


def test_corals_file_changes_in_five_places_at_most(shared: Path) -> None:
    path = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    model = read_model(path)
    changed = sum(old != new for old, new in zip(path.read_bytes(), model.content, strict=True))
    assert changed == 5


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: must be a readable \.tflite \(No such file"):
        read_model(tmp_path / "none.tflite")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert refusal(b"", tmp_path) == "/pose.tflite: must be a whole .tflite, got 0 bytes (no TFL3 at byte 4)"


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    assert "no TFL3 at byte 4" in refusal(b"\x89PNG\r\n\x1a\n" + bytes(1000), tmp_path)


def test_a_file_cut_off_anywhere_is_refused() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ModelError):
            parsed(WHOLE[:length])


def test_a_cut_off_real_file_is_refused(shared: Path, tmp_path: Path) -> None:
    path = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    content = path.read_bytes()
    for length in [len(content) * tenths // 10 for tenths in range(10)] + [len(content) - 1]:
        assert f"got {length} bytes" in refusal(content[:length], tmp_path)


def test_a_classifier_is_refused_with_what_it_gives(tmp_path: Path) -> None:
    line = refusal(make_tflite([HeadSpec("classes", ramp(0, 1001))]), tmp_path)
    assert line == (
        "/pose.tflite: heads: must include one heatmap head (17 channels), got 'classes' (1, 4, 5, 1001)"
    )


def test_a_model_without_mid_offsets_is_refused(tmp_path: Path) -> None:
    assert "must include mid offsets (64 channels) or displacement_fwd" in refusal(
        make_tflite([HEATMAPS, SHORT_OFFSETS]), tmp_path
    )


@pytest.mark.parametrize("names", [("a", "b"), ("fwd_a", "fwd_b"), ("displacement_fwd", "b")])
def test_two_displacements_that_nobody_can_tell_apart_are_refused(
    names: tuple[str, str], tmp_path: Path
) -> None:
    heads = [HEATMAPS, SHORT_OFFSETS, renamed(FORWARD, names[0]), renamed(BACKWARD, names[1])]
    assert "must have fwd and bwd in their names" in refusal(make_tflite(heads), tmp_path)


@pytest.mark.parametrize("stride", [4, 12, 64])
def test_a_grid_that_fits_no_stride_is_refused(stride: int, tmp_path: Path) -> None:
    line = refusal(make_tflite(size=(193, 129), stride=stride), tmp_path)
    cells = f"{-(-129 // stride)}×{-(-193 // stride)}"
    assert f"input of 129×193 px and a grid of {cells} cells" in line


def test_an_input_too_small_to_tell_strides_apart_is_refused(tmp_path: Path) -> None:
    assert "must be one of 8, 16, 32" in refusal(make_tflite(size=(8, 8), stride=8), tmp_path)


@pytest.mark.parametrize("count", [0, 2])
def test_a_file_with_other_than_one_subgraph_is_refused(count: int, tmp_path: Path) -> None:
    assert refusal(make_tflite(subgraphs=count), tmp_path) == (
        f"/pose.tflite: subgraphs: must be one, got {count}"
    )


def test_a_decoder_op_whose_options_are_damaged_is_refused(tmp_path: Path) -> None:
    options = make_tflite(decoder={"stride": 16})
    at = options.index(b"stride\0")
    damaged = options[:at] + b"\xff" * 12 + options[at + 12 :]
    assert "PosenetDecoderOp: options must be a flexbuffer map" in refusal(damaged, tmp_path)


def test_a_file_that_reuses_its_bytes_is_refused_at_once(tmp_path: Path) -> None:
    assert "the same bytes are used too often" in refusal(tower(20_000), tmp_path)


def test_a_file_that_ends_within_a_list_is_refused() -> None:
    whole = tower(4)
    for length in range(len(WHOLE), len(whole)):
        with pytest.raises(ModelError):
            parsed(whole[:length])


def tower(count: int) -> bytes:
    """A file with `count` operators that are all the same table, which has `count` inputs."""
    whole = _File(WHOLE)
    (graph,) = whole._tables(whole._u32(0), 2)
    field = whole._field(graph, 3)
    assert field is not None
    operators = len(WHOLE)
    vtable = operators + 4 + 4 * count
    table = vtable + 8
    inputs = table + 8
    data = bytearray(WHOLE) + bytes(inputs + 4 + 4 * count - len(WHOLE))
    struct.pack_into("<I", data, field, operators - field)
    elements = range(operators + 4, vtable, 4)
    struct.pack_into(f"<{1 + count}I", data, operators, count, *(table - element for element in elements))
    struct.pack_into("<4H", data, vtable, 8, 8, 0, 4)
    struct.pack_into("<iI", data, table, table - vtable, inputs - table - 4)
    struct.pack_into("<I", data, inputs, count)
    return bytes(data)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(WHOLE) - 4),
            st.one_of(
                st.binary(min_size=1, max_size=1),
                st.sampled_from(
                    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"]
                ),
                st.integers(-64, 2 * len(WHOLE)).map(lambda value: struct.pack("<i", value)),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_damaged_file_is_read_or_refused_but_nothing_else(changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(WHOLE)
    for at, new in changes:
        damaged[at : at + len(new)] = new
    with contextlib.suppress(ModelError):
        assert parsed(bytes(damaged)).stride in {8, 16, 32}
