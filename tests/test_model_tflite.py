"""What a .tflite is: input, outputs, decoder op; and files that are none."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posed.errors import ModelError
from posed.model.tflite import Model, _File, parse_model, read_model
from tests.make_tflite import CORAL, SEPARATE, HeadSpec, make_tflite, ramp

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


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_the_type_of_the_input_is_told(dtype: str) -> None:
    assert parsed(make_tflite(dtype=dtype)).input.dtype == dtype


def test_outputs_are_those_of_the_file_in_its_order() -> None:
    for heads in (CORAL, SEPARATE[::-1], [HeadSpec("classes", ramp(0, 1001))]):
        outputs = parsed(make_tflite(heads)).outputs
        assert [(output.name, output.shape[3]) for output in outputs] == [
            (head.name, len(head.biases)) for head in heads
        ]


def test_operators_are_told_with_what_they_read_and_give() -> None:
    model = parsed(make_tflite(sigmoid=True, decoder={"stride": 16}))
    *convolutions, sigmoid = model.nodes
    assert [node.builtin_code for node in model.nodes] == [3, 3, 3, 14]
    assert {node.inputs[0] for node in convolutions} == {model.input.index}
    assert sigmoid.inputs == convolutions[0].outputs
    assert sigmoid.outputs == (model.outputs[0].index,)


@pytest.mark.parametrize(
    ("dtype", "said"), [("uint8", "uint8, scale 0.0078125, zero point 128"), ("float32", "float32")]
)
def test_a_tensor_is_described(dtype: str, said: str) -> None:
    assert parsed(make_tflite(dtype=dtype)).input.describe() == said


@pytest.mark.parametrize("edgetpu", [False, True])
def test_a_compiled_model_is_told_from_a_plain_one(edgetpu: bool) -> None:
    assert parsed(make_tflite(edgetpu=edgetpu)).edgetpu is edgetpu


def test_the_decoder_op_is_removed_and_its_options_are_kept() -> None:
    with_decoder = make_tflite(decoder={"stride": 16, "score_threshold": 0.25})
    model = parsed(with_decoder)
    assert model.decoder == {"stride": 16, "score_threshold": 0.25}
    assert len(model.content) == len(with_decoder)
    assert parsed(model.content).decoder is None
    assert parsed(model.content).outputs == model.outputs


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


DAMAGE = st.lists(
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
"""Places in WHOLE, and what is written over them."""


def damaged(changes: list[tuple[int, bytes]]) -> bytes:
    """WHOLE with changes."""
    content = bytearray(WHOLE)
    for at, new in changes:
        content[at : at + len(new)] = new
    return bytes(content)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=DAMAGE)
def test_a_damaged_file_is_read_or_refused_but_nothing_else(changes: list[tuple[int, bytes]]) -> None:
    with contextlib.suppress(ModelError):
        assert parsed(damaged(changes)).size > (0, 0)
